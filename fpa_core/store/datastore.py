"""DataStore: save, read, change and delete records of every kind, on any backend."""

from __future__ import annotations

import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from attrs import astuple, evolve

from fpa_core.arrow.conversion import from_values
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import BARS, KINDS, QUOTES, SNAPSHOTS, TRADES, Kind, kind_of
from fpa_core.models import (
    Bar,
    CashFlow,
    CorporateAction,
    Fill,
    Order,
    PortfolioSnapshot,
    Position,
    Quote,
    Trade,
)
from fpa_core.numbers import to_ns, to_seconds
from fpa_core.patterns import escape
from fpa_core.protocols import (
    Batch,
    Capability,
    Changed,
    CoverageEntry,
    InventoryEntry,
    Quarantined,
    Query,
    Receipt,
    Sealed,
    StoreBackend,
)
from fpa_core.store.batch import StoreBatch
from fpa_core.store.freshness import Freshness, freshness_of
from fpa_core.store.queries import (
    ColumnConditions,
    QuarantineConditions,
    SelectOptions,
    as_texts,
    check_columns,
    make_query,
    quarantine_query,
)
from fpa_core.store.row_reader import ReadThrough, RowReader
from fpa_core.store.selection import Selection
from fpa_core.store.updates import delete_record, delete_rows, exchange_record, update_record
from fpa_core.store.writer import BatchWriter

if TYPE_CHECKING:
    from fpa_core.store.derived.views import QuotedTrades, ResampledBars
    from fpa_core.store.streams.record_filter import RecordFilter
    from fpa_core.store.streams.stream import AsyncStream, Stream

__all__ = ["DataStore"]

R = TypeVar("R")


class DataStore:
    """Records of all kinds in a database; safe for threads.

    Every write is a batch: all or nothing, durable when the call returns, with a :class:`~fpa_core.protocols.Receipt`. Replaced and deleted rows
    stay in the history.

    In the ``get`` methods ``start_time`` is included and ``end_time`` is not; ``limit`` counts from the start.

    :param backend: the database.
    :param clock: the present time in nanoseconds, for records without a time.
    :param read_through: answers repeated reads from a cache; None to read from the database every time.
    :param reopen: opens the same database in another process, for :meth:`Selection.partitions`; it can be pickled. None if that is not known.
    :ivar writer: the parts of a write that ingest and quarantine share.
    """

    def __init__(
        self,
        backend: StoreBackend,
        *,
        clock: Callable[[], int] = time.time_ns,
        read_through: ReadThrough | None = None,
        reopen: Callable[[], StoreBackend] | None = None,
    ) -> None:
        self._rows = RowReader(backend, read_through, reopen)
        self.writer = BatchWriter(self._rows, clock)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    @property
    def backend(self) -> StoreBackend:
        """The database."""
        return self._rows.backend

    # Writing

    def save(self, records: Any, *, origin: str = "api") -> Receipt:
        """Save one record or several, of any kinds, as one batch.

        Rows that are stored already add nothing; a different version of a bar, order, position or snapshot replaces the stored one. The
        positions of a snapshot count as rows of their own in the receipt.

        :param origin: where the records come from, such as ``alpaca:sip``.
        """
        return self.writer.save(records, origin=origin)

    def batch(
        self, *, origin: str = "api", file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> AbstractContextManager[StoreBatch]:
        """Write a batch in any number of calls; it is committed when the context ends, or discarded if it ends with an error.

        :param file: the name of the file the rows come from, and *digest* its SHA-256.
        :param replays: the batch whose rejected rows it writes.
        """
        return self.writer.batch(origin=origin, file=file, digest=digest, replays=replays)

    def stream(
        self,
        *,
        origin: str = "api",
        max_rows: int = 256,
        max_delay: Any = "50ms",
        max_waiting: int = 16_384,
        record_filter: RecordFilter | None = None,
    ) -> Stream:
        """Write records one at a time, from any thread, durably in groups.

        All records of a stream count as one batch: use one stream for each connection to a source. What the source delivers again after a
        reconnection adds nothing.

        :param max_rows: commit when this many records are queued, or
        :param max_delay: when the first of them is this old: ``"50ms"``, or seconds; 0 commits at once.
        :param max_waiting: when this many records are queued, because the disk is slow, writing waits until there is room.
        :param record_filter: checks records before they are stored; :meth:`fpa_core.DataLayer.stream` checks them against the rules.
        """
        from fpa_core.store.streams.stream import Stream

        if max_rows < 1:
            raise DataError("max_rows: a group has at least one record", field="max_rows", value=max_rows)
        stream = Stream(
            self.writer,
            origin=origin,
            max_rows=max_rows,
            max_delay=to_seconds(max_delay, "max_delay"),
            max_waiting=max_waiting,
            record_filter=record_filter,
        )
        self._streams.add(stream)
        return stream

    def astream(
        self,
        *,
        origin: str = "api",
        max_rows: int = 256,
        max_delay: Any = "50ms",
        max_waiting: int = 16_384,
        record_filter: RecordFilter | None = None,
    ) -> AsyncStream:
        """Write records one at a time on an event loop; the parameters are those of :meth:`stream`."""
        from fpa_core.store.streams.stream import AsyncStream

        begin = functools.partial(
            self.stream,
            origin=origin,
            max_rows=max_rows,
            max_delay=max_delay,
            max_waiting=max_waiting,
            record_filter=record_filter,
        )
        return AsyncStream(begin)

    def delete(self, selection: Selection[Any], *, origin: str = "api") -> Receipt:
        """Delete the rows of a selection; they stay in the history, and :meth:`undo` restores them."""
        query = selection.query
        if query.known_at_ns is not None:
            raise DataError(
                "rows as they were known in the past cannot be deleted",
                hint="select without as_known_at",
                field="as_known_at",
            )
        if selection.adjust is not None:
            raise DataError("adjusted rows cannot be deleted", hint="select without adjust", field="adjust")
        if selection.by_time and query.limit is not None:
            raise DataError(
                "a limit over several symbols cannot be deleted", hint='select without order="time"', field="order"
            )
        return delete_rows(self.writer, query, selection if query.kind is SNAPSHOTS else (), origin=origin)

    def undo(self, batch_id: int) -> Receipt:
        """Undo a batch: rows it inserted go, and rows it revised or deleted return, unless a later batch replaced them."""
        self._rows.require(Capability.UNDO)
        with self.batch(origin=f"undo:{batch_id}") as batch:
            changed = batch.undo(batch_id)

            def complete(receipt: Receipt) -> Receipt:
                notes = [f"batch {batch_id} undone: {changed} rows changed"]
                try:
                    if records := self.count_quarantined(changed_by=batch.id):
                        notes.append(f"{records:,} records of the quarantine changed their state")
                except DatabaseError as error:  # the undo is committed all the same
                    notes.append(
                        f"the number of records of the quarantine that changed their state is unknown: {error}"
                    )
                return evolve(receipt, notes=tuple(notes))

            batch.complete_receipt(complete)
        return batch.receipt

    def seal(self, what: Kind | str | type[Any] | None = None, *, symbol: str | None = None, least: int = 1) -> Sealed:
        """Move single quotes and trades of symbols that have at least *least* of them into compact segments, and seal their history; reads return the same."""
        done = Sealed()
        if Capability.SEAL in self.backend.capabilities:
            for kind in KINDS.values() if what is None else [kind_of(what)]:
                done += self.backend.seal(kind, subject=symbol, least=least)
        return done

    def on_change(self, listener: Callable[[Changed], None]) -> None:
        """Call *listener* with the changed subjects, by kind, after each batch that changed something, before the writing call returns."""
        self.writer.notifications.on_change(listener)

    def on_commit(self, listener: Callable[[Receipt], None]) -> None:
        """Call *listener* with the receipt of each committed batch, groups of streams included, before the writing call returns."""
        self.writer.notifications.on_commit(listener)

    # Reading

    @overload
    def select(
        self, what: type[R], symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> Selection[R]: ...

    @overload
    def select(
        self, what: Kind | str, symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> Selection[Any]: ...

    def select(
        self,
        what: Any,
        symbol: str | Sequence[str] | None = None,
        *,
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        batch: int | None = None,
        origin: str | Sequence[str] | None = None,
        limit: int | None = None,
        latest_first: bool = False,
        columns: Sequence[str] | None = None,
        order: str = "symbol",
        adjust: str | None = None,
        max_age: Any = None,
        **equal: Unpack[ColumnConditions],
    ) -> Selection[Any]:
        """Describe rows to read; nothing is read yet.

        :param what: a record class, or the name of a kind such as ``"quotes"``.
        :param symbol: one or several; None for all. In a pattern ``*`` matches any characters and ``?`` exactly one; a backslash escapes the
            next character (see :mod:`fpa_core.patterns`). For snapshots this is the account.
        :param start: the first instant included; *end* the first instant excluded: aware datetime, ISO text, date (midnight UTC) or nanoseconds.
        :param as_known_at: read what was known at that moment: later batches, revisions and deletions do not count.
        :param batch: only rows of this batch.
        :param origin: only rows of batches of this origin, as ``files:fxcm`` or ``files:*``, or of one of several. A row that several batches
            have belongs to the one that brought it first.
        :param limit: the maximum number of rows.
        :param latest_first: newest first; a *limit* then counts from the end.
        :param columns: the columns of Arrow forms, in this order; None for all.
        :param order: ``"symbol"``: by symbol, then time; ``"time"``: by time over all symbols.
        :param adjust: ``"splits"`` or ``"all"`` (splits and cash dividends): prices and sizes adjusted for the corporate actions that are known
            (*as_known_at* counts), see :mod:`fpa_core.store.adjust`; None for prices as they are stored.
        :param max_age: how old the newest row of each symbol may be, as ``"15m"``, when something is read: else :class:`StaleDataError` is raised.
            The age counts from the end of a bar; *end* and *as_known_at*, if they are earlier, count as now. None for any age.
        :param equal: further columns, and the value each must have, as ``interval="1m"``.
        :raises DataError: if a parameter is invalid.
        """
        query = make_query(
            what,
            symbol,
            start=start,
            end=end,
            as_known_at=as_known_at,
            batch=batch,
            origin=origin,
            limit=limit,
            latest_first=latest_first,
            **equal,
        )
        if query.known_at_ns is not None:
            self._rows.require(Capability.KNOWN_AT)
        if order not in ("symbol", "time"):
            raise DataError(f"order: {order!r} is none of: symbol, time", field="order", value=order)
        if adjust is not None:
            from fpa_core.store.adjust import check_adjust

            check_adjust(query.kind, adjust)
        return Selection(
            self._rows,
            query,
            check_columns(query.kind, columns),
            by_time=order == "time",
            adjust=adjust,
            freshness=freshness_of(max_age, self.writer.clock),
        )

    @overload
    def latest(self, symbol: str, *, max_age: Any = None) -> Quote | None: ...

    @overload
    def latest(self, symbol: str, what: type[R], *, max_age: Any = None) -> R | None: ...

    @overload
    def latest(self, symbol: str, what: str, *, max_age: Any = None) -> Any: ...

    @overload
    def latest(
        self,
        symbol: list[str] | tuple[str, ...] | None,
        what: type[R],
        *,
        max_age: Any = None,
        **equal: Unpack[ColumnConditions],
    ) -> list[R]: ...

    def latest(self, symbol: Any, what: Any = Quote, *, max_age: Any = None, **equal: Unpack[ColumnConditions]) -> Any:
        """Return the last record of a symbol, of the kind *what*; None if there is none.

        :param symbol: several symbols, or None for all, give a list: the last record of each that has one, by symbol.
        :param max_age: how old it may be, as ``"15m"``, from its time or the end of a bar to now; of several symbols, that of each. None for any age.
        :param equal: with several symbols, further columns and the value each must have, as ``account="main"``.
        :raises StaleDataError: if it is older, or *max_age* is given and there is none.
        :raises DataError: for an unknown column, or a condition beside one symbol.
        """
        kind = kind_of(what)
        if not isinstance(symbol, str):
            return self._each(kind, symbol, None, equal, freshness_of(max_age, self.writer.clock))
        _refuse_conditions(equal)
        if max_age is not None:
            return self._fresh_latest(kind, symbol, max_age)
        if self._rows.read_through is None:
            return self._latest(kind, symbol)
        query = Query(kind, (symbol,), limit=1, reverse=True)
        return self._rows.cached(lambda: f"{kind.name}:latest:{symbol}", lambda: self._latest(kind, symbol), query)

    def _fresh_latest(self, kind: Kind, symbol: str, max_age: Any) -> Any:
        freshness = freshness_of(max_age, self.writer.clock)
        found = self.latest(symbol, kind.name)
        if freshness is not None:
            freshness.check_record(kind, symbol, found)
        return found

    def _latest(self, kind: Kind, symbol: str) -> Any:
        if kind.multiset and (values := self.backend.latest(kind, symbol)) is not None:
            return from_values(kind, values)
        return self.select(kind.record, escape(symbol), limit=1, latest_first=True).first()

    @overload
    def as_of(self, symbol: str, at: Any, *, max_age: Any = None) -> Quote | None: ...

    @overload
    def as_of(self, symbol: str, at: Any, what: type[R], *, max_age: Any = None) -> R | None: ...

    @overload
    def as_of(self, symbol: str, at: Any, what: str, *, max_age: Any = None) -> Any: ...

    @overload
    def as_of(
        self,
        symbol: list[str] | tuple[str, ...] | None,
        at: Any,
        what: type[R],
        *,
        max_age: Any = None,
        **equal: Unpack[ColumnConditions],
    ) -> list[R]: ...

    def as_of(
        self, symbol: Any, at: Any, what: Any = Quote, *, max_age: Any = None, **equal: Unpack[ColumnConditions]
    ) -> Any:
        """Return the record of a symbol that prevailed at an instant: the last one at or before it; None if there is none.

        :param symbol: several symbols, or None for all, give a list: the record of each that has one, by symbol.
        :param max_age: how old it may be at that instant, as ``"15m"``, from its time or the end of a bar. None for any age.
        :param equal: with several symbols, further columns and the value each must have, as ``account="main"``.
        :raises StaleDataError: if it is older, or *max_age* is given and there is none.
        :raises DataError: for an unknown column, or a condition beside one symbol.
        """
        # Not by select(): the end may be after the last valid instant, which to_ns() rejects.
        end_ns = to_ns(at, "at", dates=True) + 1
        kind, freshness = kind_of(what), freshness_of(max_age, self.writer.clock)
        if not isinstance(symbol, str):
            return self._each(kind, symbol, end_ns, equal, freshness)
        _refuse_conditions(equal)
        query = Query(kind, (symbol,), end_ns=end_ns, limit=1, reverse=True)
        found = Selection[Any](self._rows, query).first()
        if freshness is not None:
            freshness.check_record(kind, symbol, found, end_ns - 1)
        return found

    def _each(
        self,
        kind: Kind,
        symbols: Sequence[str] | None,
        end_ns: int | None,
        equal: ColumnConditions,
        freshness: Freshness | None,
    ) -> list[Any]:
        """Return the last record of each symbol before *end_ns*."""
        conditions = make_query(kind, **equal).equal
        wanted = {entry.subject for entry in self.inventory(kind)}
        if symbols is not None:
            wanted &= set(as_texts(symbols, "symbol") or ())
        query = Query(kind, end_ns=end_ns, equal=conditions, limit=1, reverse=True)
        found = {
            symbol: Selection[Any](self._rows, evolve(query, subjects=(symbol,))).first() for symbol in sorted(wanted)
        }
        if freshness is not None:
            for symbol in found if symbols is None else sorted(symbols):
                freshness.check_record(kind, symbol, found.get(symbol), None if end_ns is None else end_ns - 1)
        return [record for record in found.values() if record is not None]

    def bars(
        self,
        symbol: str | Sequence[str] | None = None,
        interval: str = "1m",
        *,
        from_: str = "trades",
        tz: str | None = None,
        start: Any = None,
        end: Any = None,
        origin: str | Sequence[str] | None = None,
        as_known_at: Any = None,
        max_age: Any = None,
    ) -> ResampledBars:
        """Describe bars of trades, of the mid prices of quotes, or of shorter bars; nothing is read yet.

        A bar covers the rows from its own time to the start of the next one; weeks begin on Monday. An interval without rows has no bar.
        All values are exact except ``vwap``, which is rounded to 18 digits, half to even. Every trade counts, whatever its conditions; of
        quotes, those with both sides, whose bars have no volume.

        Of stored bars, volume, ``vwap`` and number of trades are known where all of them have one.

        :param symbol: as for :meth:`select`; likewise *start*, *end*, *origin* and *as_known_at*, which choose the rows, and *max_age* of these.
        :param from_: ``"trades"``, ``"mid"``, or the interval of stored bars, such as ``"1m"``, which must divide *interval*.
        :param tz: the time zone by whose dates days, weeks and months are divided, such as ``"America/New_York"``; None for UTC.
        :raises DataError: for an invalid interval, or one that *from_* or *tz* does not fit.
        """
        from fpa_core.store.derived import resample
        from fpa_core.store.derived.views import ResampledBars

        interval = BARS.by_name["interval"].convert(interval)
        from_ = resample.check_from(interval, from_, tz)
        conditions: ColumnConditions = {} if from_ in resample.NEEDED else {"interval": from_}
        rows = self.select(
            {"trades": TRADES, "mid": QUOTES}.get(from_, BARS),
            symbol,
            columns=resample.needed(from_),
            **conditions,
            start=start,
            end=end,
            origin=origin,
            as_known_at=as_known_at,
            max_age=max_age,
        )
        return ResampledBars(rows, interval, from_, tz)

    def join_quotes(
        self, trades: Selection[Trade], tolerance: Any = None, *, origin: str | Sequence[str] | None = None
    ) -> QuotedTrades:
        """Describe trades, each with the prevailing quote: the last one at or before it; nothing is read yet.

        Of several quotes at the time of the trade, the last to arrive counts. Trades as known in the past are joined with the quotes known then.

        :param trades: a selection of trades; all their columns are read.
        :param tolerance: the maximum age of a quote, as ``"1s"``; None for any age.
        :param origin: only quotes of this origin, as for :meth:`select`.
        :raises DataError: if the selection is not of trades.
        """
        from fpa_core.store.derived.views import QuotedTrades

        if trades.query.kind is not TRADES:
            raise DataError(f"trades are joined with quotes, not {trades.query.kind.name}", field="trades")
        quotes: Selection[Quote] = self.select(QUOTES, origin=origin, as_known_at=trades.query.known_at_ns)
        tolerance_ns = None if tolerance is None else round(to_seconds(tolerance, "tolerance") * 10**9)
        return QuotedTrades(evolve(trades, columns=None), quotes, tolerance_ns)

    def inventory(self, what: Kind | str | type[Any] | None = None) -> list[InventoryEntry]:
        """Return what the store holds, by kind and symbol: the number of rows, the first and the last time."""
        kinds = KINDS.values() if what is None else [kind_of(what)]
        return [InventoryEntry(*entry) for kind in kinds for entry in self._inventory(kind)]

    def _inventory(self, kind: Kind) -> list[tuple[Any, ...]]:
        def load() -> list[tuple[Any, ...]]:  # plain types, which caches can keep
            return [astuple(entry) for entry in self.backend.inventory(kind)]

        return self._rows.cached(lambda: f"{kind.name}:inventory", load, Query(kind))

    def coverage(
        self, what: Kind | str | type[Any] | None = None, symbol: str | None = None
    ) -> Sequence[CoverageEntry]:
        """Return the ledger: the ranges of time that sources have delivered completely, so that no rows there means that there are none."""
        return self.backend.coverage(None if what is None else kind_of(what), symbol)

    def batches(self, *, limit: int | None = None, children: bool = False) -> list[Batch]:
        """Return the batches, latest first; the groups of streams, which are batches of their own, only with *children*."""
        return list(self.backend.batches(limit=limit, children=children))

    # Quarantine

    def quarantined(self, **conditions: Unpack[QuarantineConditions]) -> list[Quarantined]:
        """Return rejected records, latest first; the conditions are those of :func:`fpa_core.store.queries.quarantine_query`."""
        return list(self.backend.quarantined(quarantine_query(**conditions)))

    def iter_quarantined(
        self, *, in_order: bool = False, **conditions: Unpack[QuarantineConditions]
    ) -> Iterator[Quarantined]:
        """Yield rejected records one at a time, latest first, or *in_order* of batch and position in the source."""
        return self.backend.quarantined(evolve(quarantine_query(**conditions), in_order=in_order))

    def count_quarantined(self, **conditions: Unpack[QuarantineConditions]) -> int:
        """Count rejected records; a limit is ignored."""
        return sum(each.records for each in self.backend.count_quarantined(quarantine_query(**conditions)))

    def discard_quarantined(self, **conditions: Unpack[QuarantineConditions]) -> Receipt:
        """Mark open rejected records as discarded; undoing the batch reopens them.

        :raises DataError: if there is no condition at all, or a limit.
        """
        if not conditions:
            raise DataError("the records to discard must be selected", hint="give at least one condition, as batch=3")
        query = quarantine_query(**conditions)
        if query.limit is not None:
            raise DataError("a limit cannot select records to discard", hint="give ids", field="limit")
        with self.batch(origin="discard") as batch:
            notes = (f"{batch.discard(query):,} rejected records discarded",)
            batch.complete_receipt(lambda receipt: evolve(receipt, notes=notes))
        return batch.receipt

    # Quotes

    def save_quote(self, quote: Quote) -> Receipt:
        """Save a quote."""
        return self.save(quote)

    def save_quotes(self, quotes: Iterable[Quote]) -> Receipt:
        """Save quotes as one batch."""
        return self.save(quotes)

    def get_quotes(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Quote]:
        """Return quotes in order of time."""
        return self.select(Quote, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_quote(self, old: Quote, new: Quote) -> Receipt:
        """Replace one stored record equal to *old* by *new*.

        :raises DataError: if there is none.
        """
        return exchange_record(self.writer, old, new)

    def delete_quote(self, quote: Quote) -> Receipt:
        """Delete one quote equal to *quote*.

        :raises DataError: if there is none.
        """
        return delete_record(self.writer, quote)

    # Trades

    def save_trade(self, trade: Trade) -> Receipt:
        """Save a trade."""
        return self.save(trade)

    def save_trades(self, trades: Iterable[Trade]) -> Receipt:
        """Save trades as one batch."""
        return self.save(trades)

    def get_trades(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Trade]:
        """Return trades in order of time."""
        return self.select(Trade, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_trade(self, old: Trade, new: Trade) -> Receipt:
        """Replace one stored record equal to *old* by *new*.

        :raises DataError: if there is none.
        """
        return exchange_record(self.writer, old, new)

    def delete_trade(self, trade: Trade) -> Receipt:
        """Delete one trade equal to *trade*.

        :raises DataError: if there is none.
        """
        return delete_record(self.writer, trade)

    # Bars

    def save_bar(self, bar: Bar) -> Receipt:
        """Save a bar; a different one of the same symbol, interval and time is replaced."""
        return self.save(bar)

    def save_bars(self, bars: Iterable[Bar]) -> Receipt:
        """Save bars as one batch."""
        return self.save(bars)

    def get_bars(
        self,
        symbol: str | Sequence[str] | None = None,
        interval: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Bar]:
        """Return bars in order of time, of one interval or of all."""
        equal: ColumnConditions = {} if interval is None else {"interval": interval}
        return self.select(Bar, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_bar(self, bar: Bar) -> Receipt:
        """Replace the stored bar of the same symbol, interval and time."""
        return update_record(self.writer, bar)

    def delete_bar(self, bar: Bar) -> Receipt:
        """Delete the bar of that symbol, interval and time."""
        return delete_record(self.writer, bar)

    # Orders

    def save_order(self, order: Order) -> Receipt:
        """Save an order; a later version of the same id and account replaces the stored one, an earlier one does not."""
        return self.save(order)

    def get_order(self, order_id: str, account: str | None = None) -> Order | None:
        """Return an order as it stands, or None.

        :raises DataError: when several accounts have an order of that id, and none is named.
        """
        found = self._orders(order_id, account).to_list()
        if len(found) > 1:
            accounts = ", ".join(order.account for order in found)
            raise DataError(
                f"the accounts {accounts} have an order {order_id!r} each", hint="say which account", field="account"
            )
        return found[0] if found else None

    def _orders(self, order_id: str, account: str | None) -> Selection[Order]:
        equal: ColumnConditions = {"order_id": order_id}
        if account is not None:
            equal["account"] = account
        return self.select(Order, **equal)

    def get_orders(
        self,
        symbol: str | Sequence[str] | None = None,
        status: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
        account: str | None = None,
    ) -> list[Order]:
        """Return orders in the order in which they were submitted, of one status and account or of all."""
        equal: ColumnConditions = {}
        if status is not None:
            equal["status"] = status
        if account is not None:
            equal["account"] = account
        return self.select(Order, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_order(self, order: Order) -> Receipt:
        """Save a later version of a stored order.

        :raises DataError: when there is no order of that id and account.
        """
        if self.get_order(order.order_id, order.account) is None:
            raise DataError(
                f"there is no order {order.order_id!r} to update", hint="save_order() adds one", field="order_id"
            )
        return self.save(order)

    def delete_order(self, order_id: str, account: str | None = None) -> Receipt:
        """Delete an order.

        :raises DataError: when there is none, or several accounts have one of that id, and none is named.
        """
        if (order := self.get_order(order_id, account)) is None:
            raise DataError(f"there is no order {order_id!r} to delete", field="order_id", value=order_id)
        return delete_record(self.writer, order)

    # Fills

    def save_fill(self, fill: Fill) -> Receipt:
        """Save a fill; one without an id is taken for a fill equal to it that is stored already."""
        return self.save(fill)

    def save_fills(self, fills: Iterable[Fill]) -> Receipt:
        """Save fills as one batch; equal ones without ids are kept as often as they occur."""
        return self.save(fills)

    def get_fills(
        self,
        symbol: str | Sequence[str] | None = None,
        account: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Fill]:
        """Return fills by symbol and time, of one account or of all."""
        equal: ColumnConditions = {} if account is None else {"account": account}
        return self.select(Fill, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_fill(self, fill: Fill) -> Receipt:
        """Replace the stored fill of the same id and account."""
        return update_record(self.writer, fill)

    def delete_fill(self, fill: Fill) -> Receipt:
        """Delete the fill of that id and account."""
        return delete_record(self.writer, fill)

    # Cash flows

    def save_cash_flow(self, flow: CashFlow) -> Receipt:
        """Save a cash flow; one without an id is taken for one equal to it that is stored already."""
        return self.save(flow)

    def save_cash_flows(self, flows: Iterable[CashFlow]) -> Receipt:
        """Save cash flows as one batch; equal ones without ids are kept as often as they occur."""
        return self.save(flows)

    def get_cash_flows(
        self,
        account: str | None = None,
        flow_type: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[CashFlow]:
        """Return cash flows by account and time, of one type or of all."""
        equal: ColumnConditions = {} if flow_type is None else {"flow_type": flow_type}
        return self.select(CashFlow, account, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_cash_flow(self, flow: CashFlow) -> Receipt:
        """Replace the stored cash flow of the same id and account."""
        return update_record(self.writer, flow)

    def delete_cash_flow(self, flow: CashFlow) -> Receipt:
        """Delete the cash flow of that id and account."""
        return delete_record(self.writer, flow)

    # Corporate actions

    def save_corporate_action(self, action: CorporateAction) -> Receipt:
        """Save a corporate action; a different one of the same symbol, type and ex-date is replaced."""
        return self.save(action)

    def save_corporate_actions(self, actions: Iterable[CorporateAction]) -> Receipt:
        """Save corporate actions as one batch."""
        return self.save(actions)

    def get_corporate_actions(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[CorporateAction]:
        """Return corporate actions by symbol and ex-date."""
        return self.select(CorporateAction, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_corporate_action(self, action: CorporateAction) -> Receipt:
        """Replace the stored corporate action of the same symbol, type and ex-date."""
        return update_record(self.writer, action)

    def delete_corporate_action(self, action: CorporateAction) -> Receipt:
        """Delete the corporate action of that symbol, type and ex-date."""
        return delete_record(self.writer, action)

    # Positions

    def save_position(self, position: Position, snapshot: PortfolioSnapshot | None = None) -> Receipt:
        """Save a position, of now if it has no time; or as part of a snapshot, whose account and time it then takes."""
        if snapshot is not None:
            position = evolve(position, timestamp=snapshot.ts_ns, account=snapshot.account)
        return self.save(position)

    def get_positions(
        self,
        symbol: str | Sequence[str] | None = None,
        account: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Position]:
        """Return positions by symbol and time, of one account or of all."""
        equal: ColumnConditions = {} if account is None else {"account": account}
        return self.select(Position, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_position(self, position: Position) -> Receipt:
        """Replace the stored position of the same symbol, account and time."""
        return update_record(self.writer, position)

    def delete_position(self, position: Position) -> Receipt:
        """Delete the position of that symbol, account and time."""
        return delete_record(self.writer, position)

    # Snapshots

    def save_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Save a snapshot with its positions; a different one of the same account and time is replaced."""
        return self.save(snapshot)

    def get_portfolio_snapshots(
        self, account: str | None = None, start_time: Any = None, end_time: Any = None, limit: int | None = None
    ) -> list[PortfolioSnapshot]:
        """Return snapshots, with their positions, in order of time."""
        return self.select(PortfolioSnapshot, account, start=start_time, end=end_time, limit=limit).to_list()

    def get_latest_snapshot(self, account: str | None = None) -> PortfolioSnapshot | None:
        """Return the last snapshot of an account, or of whichever account has the latest one; None if there is none."""
        if account is None:
            last = max(self.inventory(PortfolioSnapshot), key=lambda entry: entry.last_ns, default=None)
            if last is None:
                return None
            account = escape(last.subject)
        return self.select(PortfolioSnapshot, account, limit=1, latest_first=True).first()

    def update_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Replace the stored snapshot of the same account and time, and its positions."""
        return update_record(self.writer, snapshot)

    def delete_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Delete the snapshot of that account and time, and its positions."""
        return delete_record(self.writer, snapshot)

    # Closing

    def close(self) -> None:
        """Make the records of open streams durable and release the database; calling it twice does nothing."""
        try:
            with contextlib.ExitStack() as streams:
                for stream in list(self._streams):
                    streams.callback(stream.close)
        finally:
            self.backend.close()

    def __repr__(self) -> str:
        return f"<DataStore on {type(self.backend).__name__}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_conditions(equal: ColumnConditions) -> None:
    if equal:
        name = next(iter(equal))
        raise DataError(
            f"{name}: conditions go with several symbols, or None for all",
            hint="give the symbol in a list",
            field=name,
        )
