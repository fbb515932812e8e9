"""Stores that break one contract each, by a wrapper around a correct one: the conformance kit must find every one of them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import BARS, KINDS, ORDERS, QUOTES, TRADES, Kind
from fpa_core.numbers import MIN_NS, Instant
from fpa_core.protocols import (
    Batch,
    Capability,
    Changed,
    CoverageEntry,
    InventoryEntry,
    Quarantined,
    QuarantineQuery,
    Query,
    Sealed,
    WriteCounts,
)
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

__all__ = ["ZOO", "Innocent", "open_animal"]

ZOO: dict[str, type[Innocent]] = {}
"""The broken stores by name."""


def open_correct(path: Path) -> Any:
    """Open the store that is wrapped."""
    return open_store(SqliteOptions(path=path, synchronous="normal"))


def open_animal(name: str, path: Path) -> Innocent:
    """Open a store of the zoo."""
    return (ZOO | {"Innocent": Innocent, "DeclaresNothing": DeclaresNothing})[name](path)


_FOLLOWERS: list[tuple[Innocent, Any]] = []
"""Who wants to know what the handles of this process commit."""


class Transaction:
    """A batch of a correct store, between the calls of which a broken one does its mischief."""

    def __init__(self, store: Innocent, inner: Any) -> None:
        self.store, self.inner = store, inner
        self.batch_id = store.id_of(inner.batch_id)

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        return self.store.write(self.inner, kind, table)

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        return self.store.write(self.inner, kind, to_table(kind, records))

    def delete(self, query: Query) -> int:
        return self.inner.delete(query)

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        return self.store.quarantine(self.inner, records)

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        return self.store.replay(self.inner, kind, table, ids, fixed=fixed)

    def discard(self, query: QuarantineQuery) -> int:
        return self.inner.discard(query)

    def reject_again(self, records: Sequence[Quarantined]) -> None:
        self.inner.reject_again(records)

    def undo(self, batch_id: int) -> int:
        return self.store.undo(self.inner, batch_id)

    changed: Changed | None = None

    def announce(self, changed: Changed) -> None:
        self.changed = changed

    def cover(self, entries: Sequence[CoverageEntry]) -> None:
        self.store.cover(self.inner, entries)

    def finish(self, **given: Any) -> None:
        self.inner.finish(**given)


class Stream:
    """A stream of a correct store."""

    def __init__(self, store: Innocent, inner: Any) -> None:
        self.store, self.inner, self.batch_id = store, inner, inner.batch_id

    @contextlib.contextmanager
    def group(self) -> Iterator[Transaction]:
        with self.inner.group() as inner:
            transaction = Transaction(self.store, inner)
            yield transaction
        self.store.pass_on(transaction.changed)

    def close(self) -> None:
        self.inner.close()


class Innocent:
    """A correct store, wrapped: what it passes shows that the wrapper is not what the kit finds in the others.

    :cvar contract: the contract that a subclass breaks, and ``test`` the test that finds it.
    """

    contract: ClassVar[str] = ""
    test: ClassVar[str] = ""

    def __init_subclass__(cls, contract: str = "", test: str = "") -> None:
        cls.contract, cls.test = contract, test
        if contract:
            ZOO[cls.__name__] = cls

    def __init__(self, path: Path) -> None:
        self.inner = open_correct(path)
        self.path = path
        self.capabilities = self.inner.capabilities | {Capability.NOTIFIES}

    @contextlib.contextmanager
    def transaction(self, **given: Any) -> Iterator[Transaction]:
        with self.inner.transaction(**given) as inner:
            transaction = Transaction(self, inner)
            yield transaction
        self.pass_on(transaction.changed)

    def follow(self, on_change: Any) -> Innocent:
        _FOLLOWERS.append((self, on_change))
        return self

    def is_current(self) -> bool:
        return True

    def pass_on(self, changed: Changed | None) -> None:
        """Notify the other handles of this process of what was committed."""
        for store, on_change in _FOLLOWERS:
            if changed and store is not self and store.path == self.path:
                on_change(changed)

    def stream(self, **given: Any) -> Stream:
        return Stream(self, self.inner.stream(**given))

    def id_of(self, batch_id: int) -> int:
        return batch_id

    def write(self, inner: Any, kind: Kind, table: pa.Table) -> WriteCounts:
        return inner.write(kind, table)

    def quarantine(self, inner: Any, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        return inner.quarantine(records)

    def replay(self, inner: Any, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool) -> WriteCounts:
        return inner.replay(kind, table, ids, fixed=fixed)

    def undo(self, inner: Any, batch_id: int) -> int:
        return inner.undo(batch_id)

    def cover(self, inner: Any, entries: Sequence[CoverageEntry]) -> None:
        inner.cover(entries)

    def coverage(self, kind: Kind | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        return self.inner.coverage(kind, subject)

    def asked(self, query: Query) -> Query:
        return query

    def scan(self, query: Query, rows: int = 16_384, **given: Any) -> Iterator[pa.RecordBatch]:
        return self.inner.scan(self.asked(query), rows, **given)

    def count(self, query: Query) -> int:
        return self.inner.count(self.asked(query))

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        return self.inner.inventory(kind)

    def changed_parts(self, *given: Any) -> set[int] | None:
        return self.inner.changed_parts(*given)

    def row_ranges(self, query: Query, parts: int) -> Sequence[InventoryEntry]:
        return self.inner.row_ranges(query, parts)

    def batches(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        return self.inner.batches(batch=batch, limit=limit, children=children)

    def quarantined(self, query: QuarantineQuery) -> Iterator[Quarantined]:
        return self.inner.quarantined(query)

    def count_quarantined(self, query: QuarantineQuery) -> Any:
        return self.inner.count_quarantined(query)

    def seal(self, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
        return self.inner.seal(kind, subject=subject, least=least)

    def describe(self) -> Any:
        return self.inner.describe()

    def close(self) -> None:
        self.inner.close()

    def stored(self, kind: Kind, **conditions: Any) -> list[Any]:
        """Return the records of a kind, as the correct store has them."""
        query = Query(kind, **conditions)
        return [record for batch in self.inner.scan(query) for record in from_table(kind, batch)]


# C1


class DropsEqualRows(Innocent, contract="C1", test="test_equal_rows_are_kept"):
    """Keeps one of equal rows."""

    def write(self, inner, kind, table):
        return inner.write(kind, to_table(kind, list(dict.fromkeys(from_table(kind, table)))))


class KeepsRedeliveries(Innocent, contract="C1", test="test_parts_of_a_batch_add_nothing_again"):
    """Stores rows again when they are delivered again."""

    def write(self, inner, kind, table):
        if kind is not TRADES:
            return inner.write(kind, table)
        records = from_table(kind, table)
        again = [row for row in self.stored(kind) if row in records]
        inner.write(kind, to_table(kind, [*again, *records]))
        return WriteCounts(inserted=len(records))


class MergesByTime(Innocent, contract="C1", test="test_equal_times_keep_their_order"):
    """Keeps the last row of a time."""

    def write(self, inner, kind, table):
        records = {(row.symbol, row.ts_ns): row for row in from_table(kind, table)} if kind is QUOTES else None
        return inner.write(kind, table if records is None else to_table(kind, list(records.values())))


class SortsByPrice(Innocent, contract="C1", test="test_equal_times_keep_their_order"):
    """Loses the order of arrival at one time."""

    def scan(self, query, rows=16_384, **given):
        for batch in self.inner.scan(query, rows, **given):
            by = [name for name in ("symbol", "timestamp", "bid") if name in batch.schema.names]
            yield batch if query.kind is not QUOTES else batch.sort_by([(name, "ascending") for name in by])


class IgnoresCorrections(Innocent, contract="C1", test="test_a_corrected_trade_stays_corrected"):
    """Takes a trade whose id is stored for a redelivery."""

    def write(self, inner, kind, table):
        records = from_table(kind, table)
        if kind is TRADES:
            known = {(row.exchange, row.trade_id) for row in self.stored(TRADES) if row.trade_id}
            records = [row for row in records if (row.exchange, row.trade_id) not in known]
        counts = inner.write(kind, to_table(kind, records))
        return counts + WriteCounts(duplicate=table.num_rows - len(records))


class BringsBackTrades(Innocent, contract="C1", test="test_a_corrected_trade_stays_corrected"):
    """Lets the first version of a corrected trade return when it is delivered again."""

    def write(self, inner, kind, table):
        counts = inner.write(kind, table)
        if kind is TRADES and counts.duplicate and not counts.inserted:
            for row in from_table(kind, table):
                inner.delete(Query(TRADES, equal={"trade_id": row.trade_id}))
            inner.write(kind, table)
        return counts


class ForgetsGroups(Innocent, contract="C1", test="test_counting_spans_groups"):
    """Counts the rows of each group of a stream on their own."""

    def stream(self, *, origin):
        stream = super().stream(origin=origin)
        stream.group = lambda: self.transaction(origin=origin)  # type: ignore[method-assign]
        return stream


class IncludesTheEnd(Innocent, contract="C1", test="test_ranges_are_half_open"):
    """Reads the row at the end of a range."""

    def asked(self, query):
        return query if query.end_ns is None else evolve(query, end_ns=query.end_ns + 1)


class ExcludesTheStart(Innocent, contract="C1", test="test_ranges_are_half_open"):
    """Leaves out the row at the start of a range."""

    def asked(self, query):
        return query if query.start_ns is None else evolve(query, start_ns=query.start_ns + 1)


class IgnoresLimits(Innocent, contract="C1", test="test_limits_count_from_either_end"):
    """Reads all rows."""

    def asked(self, query):
        return evolve(query, limit=None)


class IgnoresReverse(Innocent, contract="C1", test="test_latest_first_is_the_reverse"):
    """Reads the first rows first."""

    def asked(self, query):
        return evolve(query, reverse=False)


class LimitsTheWrongEnd(Innocent, contract="C1", test="test_limits_count_from_either_end"):
    """Counts a limit from the start and then turns the rows round."""

    def scan(self, query, rows=16_384, **given):
        batches = list(self.inner.scan(evolve(query, reverse=False), rows, **given))
        for batch in batches[::-1] if query.reverse else batches:
            yield batch.take(pa.array(range(batch.num_rows))[::-1]) if query.reverse else batch


class TakesBracketsForClasses(Innocent, contract="C1", test="test_patterns_of_symbols"):
    """Matches patterns as a shell does."""

    match = staticmethod(fnmatchcase)

    def asked(self, query):
        names = [extent.subject for extent in self.inner.inventory(query.kind)] if query.patterns else ()
        found = tuple(name for name in names if any(self.match(name, pattern) for pattern in query.patterns))
        return evolve(query, patterns=(), subjects=(*(query.subjects or ()), *found)) if query.patterns else query


class IgnoresCase(TakesBracketsForClasses, contract="C1", test="test_patterns_of_symbols"):
    """Matches patterns as LIKE does."""

    @staticmethod
    def match(name, pattern):
        return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


class CountsTooMuch(Innocent, contract="C1", test="test_conditions_on_columns"):
    """Counts rows without regard to their columns."""

    def count(self, query):
        return self.inner.count(evolve(query, equal={}))


class LosesRowsWhenSealing(Innocent, contract="C1", test="test_late_rows_are_read_in_their_place"):
    """Seals all rows but the last."""

    def seal(self, kind, *, subject=None, least=1):
        with self.inner.transaction(origin="oops") as transaction:
            transaction.delete(Query(kind, limit=1, reverse=True))
        return self.inner.seal(kind, subject=subject, least=least)


# C2


class KeepsTheFirstVersion(Innocent, contract="C2", test="test_a_later_version_revises"):
    """Takes another version of a bar for a redelivery."""

    def write(self, inner, kind, table):
        if kind is BARS and (stored := self.stored(BARS)):
            known = {(row.symbol, row.ts_ns, row.interval) for row in stored}
            news = [row for row in from_table(kind, table) if (row.symbol, row.ts_ns, row.interval) not in known]
            return inner.write(kind, to_table(kind, news)) + WriteCounts(duplicate=table.num_rows - len(news))
        return inner.write(kind, table)


class BringsBackOldVersions(Innocent, contract="C2", test="test_a_later_version_revises"):
    """Lets a version of a bar return that was replaced."""

    def write(self, inner, kind, table):
        counts = inner.write(kind, table)
        if kind is BARS and counts.duplicate == table.num_rows:
            for row in from_table(kind, table):
                inner.delete(Query(BARS, (row.symbol,), row.ts_ns, row.ts_ns + 1))
            inner.write(kind, table)
        return counts


class RegressesOrders(Innocent, contract="C2", test="test_an_order_never_regresses"):
    """Reads the update of an order that came last, even an older one."""

    def write(self, inner, kind, table):
        counts = inner.write(kind, table)
        if kind is ORDERS and counts.revised:
            for row in from_table(kind, table):
                inner.delete(Query(ORDERS, equal={"order_id": row.order_id}))
                inner.write(kind, to_table(kind, [evolve(row, quantity=row.quantity + 1)]))
        return counts


class ForgetsVersions(Innocent, contract="C2", test="test_an_earlier_version_stays_in_the_history"):
    """Overwrites: an earlier version is nowhere."""

    def scan(self, query, rows=16_384, **given):
        current = {str(row) for row in self.stored(query.kind)}
        for batch in self.inner.scan(query, rows, **given):
            if query.known_at_ns is None:
                yield batch
            else:
                kept = [str(row) in current for row in from_table(query.kind, batch)]
                yield batch.filter(pa.array(kept, pa.bool_()))


# C3


class LooksAhead(Innocent, contract="C3", test="test_nothing_is_known_before_it_was_stored"):
    """Reads what is known now, whatever time was asked for."""

    def asked(self, query):
        return evolve(query, known_at_ns=None)


class LooksAheadAtCorrections(Innocent, contract="C3", test="test_nothing_is_known_before_it_was_stored"):
    """Gives the rows of the past in their version of today."""

    def asked(self, query):
        return evolve(query, known_at_ns=None) if query.kind is TRADES else query


class KnowsTooLate(Innocent, contract="C3", test="test_nothing_is_known_before_it_was_stored"):
    """Does not know a batch at the moment it was recorded."""

    def asked(self, query):
        return query if query.known_at_ns is None else evolve(query, known_at_ns=query.known_at_ns - 1)


class ForgetsDeletions(ForgetsVersions, contract="C3", test="test_a_deleted_row_stays_in_the_history"):
    """Deletes from the past, too."""


class UndoesNothing(Innocent, contract="C3", test="test_undo_takes_the_rows_of_its_batch_alone"):
    """Marks a batch as undone and leaves its rows."""

    def undo(self, inner, batch_id):
        rows = self.stored(QUOTES, batch=batch_id)
        changed = inner.undo(batch_id)
        inner.write(QUOTES, to_table(QUOTES, rows))
        return changed


class ForgetsSealedHistory(Innocent, contract="C3", test="test_sealed_rows_that_are_taken_back_stay_known"):
    """Drops sealed rows when they are taken back, instead of keeping them as history."""

    def undo(self, inner, batch_id):
        changed = inner.undo(batch_id)
        for kind in (QUOTES, TRADES):
            inner._tables.retired.remove([info.id for info in inner._tables.retired.find(Query(kind))])
        return changed


class UndoesTooMuch(Innocent, contract="C3", test="test_undo_takes_the_rows_of_its_batch_alone"):
    """Takes back later batches, too."""

    def undo(self, inner, batch_id):
        changed = inner.undo(batch_id)
        for batch in self.inner.batches():
            if batch.id > batch_id:
                inner.delete(Query(QUOTES, batch=batch.id))
        return changed


class UndoesLaterVersions(Innocent, contract="C3", test="test_undo_leaves_later_versions"):
    """Brings back an earlier version although a later one stands."""

    def undo(self, inner, batch_id):
        rows = self.stored(BARS)
        changed = inner.undo(batch_id)
        for row in rows if not changed else ():
            inner.delete(Query(BARS, (row.symbol,)))
        return changed


class CountsRepeatsAsInserted(Innocent, contract="C3", test="test_batches_list_what_they_brought"):
    """Writes the wrong counts into its list of batches."""

    def batches(self, **given):
        return [evolve(one, inserted=one.inserted + one.duplicate) for one in self.inner.batches(**given)]


class CountsWrongInReceipts(Innocent, contract="C3", test="test_batches_list_what_they_brought"):
    """Returns that every row was inserted."""

    def write(self, inner, kind, table):
        inner.write(kind, table)
        return WriteCounts(inserted=table.num_rows)


class NumbersBackwards(Innocent, contract="C3", test="test_ids_and_times_of_batches_increase"):
    """Gives batches ids that decrease."""

    def id_of(self, batch_id):
        return 1_000 - batch_id

    def batches(self, *, batch=None, limit=None, children=False):
        found = self.inner.batches(batch=None if batch is None else 1_000 - batch, limit=limit, children=children)
        return [evolve(one, id=1_000 - one.id) for one in found]


class LosesProvenance(Innocent, contract="C3", test="test_batches_list_what_they_brought"):
    """Forgets which file a batch came from."""

    def batches(self, **given):
        return [evolve(one, digest=None) for one in self.inner.batches(**given)]


class MiscountsTheInventory(Innocent, contract="C3", test="test_inventory"):
    """Counts times instead of rows."""

    def inventory(self, kind):
        times = Counter(subject for subject, _ in {(getattr(r, kind.subject), r.ts_ns) for r in self.stored(kind)})
        return [evolve(one, rows=times[one.subject]) for one in self.inner.inventory(kind)]


class IgnoresOrigins(Innocent, contract="C3", test="test_rows_by_origin"):
    """Reads rows of any origin."""

    def asked(self, query):
        return evolve(query, origins=None)


# C4


class DropsEqualRejects(Innocent, contract="C4", test="test_equal_rejected_rows_are_counted"):
    """Keeps one of equal rejected rows."""

    def quarantine(self, inner, records):
        return inner.quarantine(list({one.raw: one for one in records}.values()))


class DoublesRejects(Innocent, contract="C4", test="test_equal_rejected_rows_are_counted"):
    """Keeps rejected rows again when they come again."""

    def quarantine(self, inner, records):
        raws = {one.raw for one in records}
        known = [one for one in self.inner.quarantined(QuarantineQuery()) if one.raw in raws]
        return inner.quarantine([*known, *records])


class LosesFindings(Innocent, contract="C4", test="test_a_rejected_record_is_kept_as_it_came"):
    """Forgets all findings but the first."""

    def quarantined(self, query):
        return (evolve(one, findings=one.findings[:1]) for one in self.inner.quarantined(query))


class HidesDiscarded(Innocent, contract="C4", test="test_discarded_records_stay"):
    """Forgets what was discarded."""

    def quarantined(self, query):
        return (one for one in self.inner.quarantined(query) if one.state != "discarded")


class DiscardsForGood(Innocent, contract="C4", test="test_undoing_a_discard_again_and_again"):
    """Reopens discarded records only the first time that the batch which discarded them is undone."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.undone: set[int] = set()

    def undo(self, inner, batch_id):
        changed = inner.undo(batch_id)
        if batch_id in self.undone:
            inner.discard(QuarantineQuery())
        self.undone.add(batch_id)
        return changed


class ReplaysOldVersions(Innocent, contract="C4", test="test_a_later_version_stands_when_an_earlier_one_is_replayed"):
    """Puts a replayed version above a later one."""

    def replay(self, inner, kind, table, ids, *, fixed):
        del fixed
        return inner.replay(kind, table, ids, fixed=True)


class ReplaysNothing(Innocent, contract="C4", test="test_a_replayed_row_stands_beside_equal_ones"):
    """Marks records as replayed and takes their rows for ones that are stored."""

    def replay(self, inner, kind, table, ids, *, fixed):
        inner.replay(kind, table.slice(0, 0), ids, fixed=fixed)
        return WriteCounts(duplicate=table.num_rows)


# C5


class RoundsDecimals(Innocent, contract="C5", test="test_a_decimal_comes_back"):
    """Keeps twelve digits after the point."""

    def write(self, inner, kind, table):
        def rounded(value):
            return value.quantize(Decimal("1e-12")) if isinstance(value, Decimal) and abs(value) < 10**9 else value

        records = [
            evolve(row, **{column.name: rounded(getattr(row, column.field)) for column in kind.columns if column.type == "decimal"})
            for row in from_table(kind, table)
        ]  # fmt: skip
        return inner.write(kind, to_table(kind, records))


class KeepsFloats(Innocent, contract="C5", test="test_a_decimal_comes_back"):
    """Keeps numbers as floats."""

    def write(self, inner, kind, table):
        records = [
            evolve(
                row,
                **{
                    column.name: None if value is None else Decimal(repr(float(value)))
                    for column in kind.columns
                    if column.type == "decimal"
                    for value in [getattr(row, column.field)]
                },
            )
            for row in from_table(kind, table)
        ]
        return inner.write(kind, to_table(kind, records))


class TruncatesToMicroseconds(Innocent, contract="C5", test="test_every_nanosecond_counts"):
    """Keeps times in microseconds."""

    def write(self, inner, kind, table):
        records = [
            evolve(row, timestamp=Instant(max(row.ts_ns // 1_000 * 1_000, MIN_NS + 1)))
            for row in from_table(kind, table)
        ]
        return inner.write(kind, to_table(kind, records))


class FoldsCase(Innocent, contract="C5", test="test_names_are_kept"):
    """Writes symbols in capital letters."""

    def write(self, inner, kind, table):
        place = table.schema.get_field_index("symbol")
        if place >= 0:
            texts = pc.utf8_upper(table.column(place).cast(pa.string()))
            table = table.set_column(place, "symbol", texts)
        return inner.write(kind, table)


class TakesEmptyForMissing(Innocent, contract="C5", test="test_a_whole_record_comes_back"):
    """Reads a missing price as zero."""

    def scan(self, query, rows=16_384, **given):
        for batch in self.inner.scan(query, rows, **given):
            place = batch.schema.get_field_index("bid")
            if place < 0 or not batch.column(place).null_count:
                yield batch
            else:
                records = [evolve(row, bid=row.bid or 0) for row in from_table(query.kind, batch)]
                yield from to_table(query.kind, records).to_batches()


# C6


class KeepsAbortedBatches(Innocent, contract="C6", test="test_an_error_in_a_batch_leaves_nothing"):
    """Commits a batch that ended with an error."""

    @contextlib.contextmanager
    def transaction(self, **given):
        failed: BaseException | None = None
        with self.inner.transaction(**given) as inner:
            try:
                yield Transaction(self, inner)
            except RuntimeError as error:
                failed = error
        if failed is not None:
            raise failed


class ShowsUnfinishedBatches(Innocent, contract="C6", test="test_a_batch_is_invisible_until_it_ends"):
    """Commits each call of a batch on its own."""

    @contextlib.contextmanager
    def transaction(self, **given):
        stream = self.inner.stream(origin=given["origin"])

        class Each(Transaction):
            def __init__(self, store: Innocent) -> None:
                self.store, self.batch_id = store, stream.batch_id

            def write(self, kind, table):
                with stream.group() as group:
                    return group.write(kind, table)

        yield Each(self)
        stream.close()


class ForgetsWhenClosed(Innocent, contract="C6", test="test_data_outlive_the_store"):
    """Says that it is persistent, and begins anew each time it is opened."""

    numbers = itertools.count()

    def __init__(self, path: Path) -> None:
        super().__init__(path.with_name(f"{path.name}_{next(self.numbers)}"))


class WritesWhenClosed(Innocent, contract="C6", test="test_killed_without_closing"):
    """Acknowledges deletions and carries them out when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.later: list[Query] = []

    @contextlib.contextmanager
    def transaction(self, **given):
        with super().transaction(**given) as transaction:
            transaction.delete = lambda query: self.later.append(query) or self.inner.count(query)
            yield transaction

    def close(self) -> None:
        if self.later:
            with self.inner.transaction(origin="late") as transaction:
                for query in self.later:
                    transaction.delete(query)
        self.inner.close()


# C7


class TearsScans(Innocent, contract="C7", test="test_a_scan_sees_one_moment"):
    """Reads each part of a scan at its own time."""

    def scan(self, query, rows=16_384, **given):
        for start in itertools.count(0, rows):
            batches = list(self.inner.scan(query, **given))
            if start >= sum(batch.num_rows for batch in batches):
                return
            yield pa.Table.from_batches(batches).slice(start, rows).combine_chunks().to_batches()[0]


class PassesOnTooEarly(Innocent, contract="C7", test="test_what_another_handle_commits_is_passed_on"):
    """Tells other handles what is written before it is committed, and so also what is taken back."""

    def write(self, inner, kind, table):
        self.pass_on({kind: frozenset(table.column("symbol").unique().to_pylist())})
        return inner.write(kind, table)


class BelongsToAThread(Innocent, contract="C7", test="test_many_threads_write_and_read"):
    """Can be used by the thread that opened it only."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.owner = threading.get_ident()

    def count(self, query):
        if threading.get_ident() != self.owner:
            raise DatabaseError("this store belongs to another thread")
        return super().count(query)


class LocksReadersOut(Innocent, contract="C7", test="test_a_writer_waits_for_another"):
    """Lets nobody read while a batch is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writing = threading.Lock()

    @contextlib.contextmanager
    def transaction(self, **given):
        with self.writing, super().transaction(**given) as transaction:
            yield transaction

    def count(self, query):
        if not self.writing.acquire(timeout=0.2):
            raise DatabaseError("the store is busy")
        self.writing.release()
        return super().count(query)


class SharesNothing(ForgetsWhenClosed, contract="C7", test="test_two_handles_see_the_same_data"):
    """Says that it is shared, and gives each handle data of its own."""


class DeclaresNothing(Innocent):
    """A correct store that declares no capability."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.capabilities = frozenset()


class ForgetsEmptyRanges(Innocent, contract="C3", test="test_the_ledger_knows_what_was_fetched"):
    """Enters only ranges with rows into the ledger."""

    def cover(self, inner: Any, entries: Sequence[CoverageEntry]) -> None:
        inner.cover([one for one in entries if one.rows])


class CoversAfterUndo(Innocent, contract="C3", test="test_an_undone_batch_covers_nothing"):
    """Keeps ranges of undone batches in the ledger."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entered: list[CoverageEntry] = []

    def cover(self, inner: Any, entries: Sequence[CoverageEntry]) -> None:
        inner.cover(entries)
        self.entered += [evolve(one, batch=inner.batch_id) for one in entries]

    def coverage(self, kind: Kind | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        return [one for one in self.entered if kind in (None, KINDS[one.kind]) and subject in (None, one.subject)]
