"""The state machine of a store: any operations in any order leave what a plain list of rows would hold."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa
import pytest
from attrs import astuple, evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fpa_core.arrow.conversion import to_table
from fpa_core.engine.store import EngineStore
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import kind_of
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.patterns import escape
from fpa_core.protocols import Capability, Receipt
from fpa_core.store import DataStore, Selection
from fpa_core.store.batch import StoreBatch
from fpa_core.store.streams.stream import Stream
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.model import Model, Question, Row
from fpa_core.testing.store.base import Opener, StoreFactory, StoreTests

__all__ = ["BrokenOff", "MachineTests", "StoreMachine", "calls", "run_machine", "write"]

KINDS: tuple[type[Any], ...] = (Quote, Trade)
SYMBOLS = ("A", "B*")
ORIGINS = ("files:one", "files:two", "live")
LAST = 6
"""Rows have times from 0 to this one, or as much later than the last stored row."""

symbols = st.sampled_from(SYMBOLS)
times = st.integers(0, LAST).map(Instant)
quotes = st.builds(Quote, symbols, times, own.few_prices(), st.just(2))
trades = st.builds(
    lambda symbol, ts, price, number: Trade(symbol, Instant(ts), price, 1, trade_id=number),
    symbols,
    times,
    own.few_prices(),
    st.none() | st.sampled_from("12"),
)
some = st.lists(quotes | trades, max_size=8)
many = st.one_of(some, st.lists(quotes, min_size=3, max_size=16), st.lists(trades, min_size=3, max_size=16))
numbers = st.integers(0, 30)
"""An index into what exists, modulo its length."""
calls = st.lists(st.tuples(many, st.booleans()), min_size=1, max_size=3)
"""The rows of each call of a batch, and whether the call gets a table."""


Calls: TypeAlias = list[tuple[list[Any], bool]]

_numbers = itertools.count()


class BrokenOff(Exception):  # noqa: N818  # it is what happens to a batch, not what went wrong
    """Ends a batch before it is complete."""


def now_and_then(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw None most of the time: a query with many conditions selects no rows."""
    return st.one_of(st.none(), st.none(), st.none(), values)


questions = st.builds(
    Question,
    st.sampled_from(KINDS),
    st.none() | symbols,
    st.none() | times,
    st.none() | st.integers(0, 3 * LAST),
    st.none() | st.integers(0, 6),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 8), min_size=1, max_size=3),
    now_and_then(numbers),
    now_and_then(st.sampled_from([*ORIGINS, "files:*"])),
    now_and_then(numbers),
    st.integers(-1, 3 * LAST),
)


class StoreMachine(RuleBasedStateMachine):
    """A store, its model, and the operations on both.

    A backend with failures of its own (a file that breaks off, a server that goes away) adds rules in a subclass, which it names as
    :attr:`StoreContract.machine`.
    """

    def __init__(self, factory: StoreFactory) -> None:
        super().__init__()
        self.factory = factory
        self.capabilities: frozenset[Capability] = frozenset()
        self.opener: Opener
        self.model = Model()
        self.store: Any = None
        self.past: list[dict[type[Any], list[Any]]] = []
        self.delivered: list[list[Any]] = []
        self.stream: Stream | None = None

    @initialize()
    def begin(self) -> None:
        """Open an empty store."""
        self.opener = self.factory(f"machine_{next(_numbers)}")
        self.open()

    def open(self) -> None:
        """Open the store; streams end when a store is closed."""
        self.stream = None
        self.store = DataStore(self.opener())
        self.capabilities = self.store.backend.capabilities

    def teardown(self) -> None:
        """Check the store as a whole, and close it."""
        if self.store is not None:
            if isinstance(self.store.backend, EngineStore):
                assert [] == [one for one in check(self.store.backend.database).problems if one.check != "clock"]
            self.store.close()

    # What is done to it

    @rule(given=calls, ahead=st.booleans(), origin=st.sampled_from(ORIGINS))
    def ingest(self, given: Calls, ahead: bool, origin: str) -> None:
        """Store rows in several calls of one batch."""
        calls = self.shifted(given, ahead)
        with self.store.batch(origin=origin) as batch:
            write(batch, calls)
        self.learn(batch.receipt, origin, rows_of(calls))

    @precondition(lambda self: self.delivered)
    @rule(which=numbers, start=st.integers(0, 8), end=st.integers(1, 30), as_table=st.booleans())
    def ingest_again(self, which: int, start: int, end: int, as_table: bool) -> None:
        """Store all or some rows of an earlier batch again."""
        rows = self.delivered[which % len(self.delivered)][start:end]
        with self.store.batch(origin="files:one") as batch:
            write(batch, [(rows, as_table)])
        self.learn(batch.receipt, "files:one", rows)

    @rule(rows=some, again=st.none() | numbers, ahead=st.booleans())
    def write_to_stream(self, rows: list[Any], again: int | None, ahead: bool) -> None:
        """Write rows to the open stream or a new one, with rows of earlier batches as after a reconnect."""
        rows = rows_of(self.shifted([(rows, False)], ahead))
        if again is not None and self.delivered:
            rows = [*self.delivered[again % len(self.delivered)][:6], *rows]
        if self.stream is None:
            self.stream = self.store.stream(origin="live", max_rows=10**6, max_delay="1h")
            self.model.begin(self.stream.batch, "live")
        tickets = [self.stream.write(row) for row in rows]
        if rows and self.stream.batch in self.model.undone:
            with pytest.raises(DatabaseError, match="was undone while it was being written"):
                self.stream.flush()
            with pytest.raises(DatabaseError, match="has stopped"):
                self.stream.close()
            self.stream = None
            return
        self.stream.flush()
        for ticket in tickets:
            ticket.result(0)
        if rows:
            self.learn_group(self.stream, rows)

    @precondition(lambda self: self.stream)
    @rule()
    def close_stream(self) -> None:
        """Close the open stream."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    @rule(what=st.none() | st.sampled_from(KINDS), symbol=st.none() | symbols, least=st.sampled_from([1, 1, 4]))
    def seal(self, what: type[Any] | None, symbol: str | None, least: int) -> None:
        """Seal everything, or one kind or symbol."""
        self.store.seal(what, symbol=symbol, least=least)

    @precondition(lambda self: self.model.origins and Capability.UNDO in self.capabilities)
    @rule(which=numbers, late=st.booleans())
    def undo(self, which: int, late: bool) -> None:
        """Undo any batch, an undo or a deletion too; half of the time one of the last three."""
        known = sorted(self.model.origins.keys() - self.model.parents.keys())
        target = known[-1 - which % min(3, len(known))] if late else known[which % len(known)]
        if target in self.model.undone:
            with pytest.raises(DataError, match="already undone"):
                self.store.undo(target)
            return
        self.about_to_go(self.model.leaving(target))
        receipt = self.store.undo(target)
        self.model.begin(receipt.batch, f"undo:{target}")
        changed = self.model.undo(receipt.batch, target)
        assert (f"batch {target} undone: {changed} rows changed",) == receipt.notes

    @rule(question=questions)
    def delete(self, question: Question) -> None:
        """Delete the rows of a selection."""
        question = self.of_these_batches(evolve(question, by_time=False, known=None))
        rows = self.model.answer(question)
        self.about_to_go(rows)
        receipt = self.store.delete(self.selection(question))
        self.model.begin(receipt.batch, "api")
        deleted = self.model.delete(receipt.batch, rows)
        assert (f"{deleted} {kind_of(question.what).name} deleted",) == receipt.notes

    @precondition(lambda self: self.model.read(Quote))
    @rule(which=numbers, new=quotes)
    def update_quote(self, which: int, new: Quote) -> None:
        """Replace one quote with another."""
        standing = self.model.read(Quote)
        old = standing[which % len(standing)].record
        going = [row for row in standing if row.record == old][: int(old != new)]
        there = sum(row.record == new for row in standing) if going else 0
        self.about_to_go(going)
        batch = self.store.update_quote(old, new).batch
        self.model.begin(batch, "api")
        self.model.delete(batch, going)
        self.model.arrive(batch, [new] * (there + 1))

    def about_to_go(self, rows: Sequence[Row]) -> None:
        """Close the stream if the contracts do not define which of the remaining rows it was matched with."""
        if self.stream is not None and self.model.is_ambiguous(rows, self.stream.batch):
            self.close_stream()

    # How it ends, and begins again

    @precondition(lambda self: Capability.PERSISTENT in self.capabilities)
    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self.store.close()
        self.open()

    @rule(given=calls, ahead=st.booleans())
    def break_off(self, given: Calls, ahead: bool) -> None:
        """Raise an error in the middle of a batch: nothing of it may remain."""
        with contextlib.suppress(BrokenOff), self.store.batch() as batch:
            write(batch, self.shifted(given, ahead))
            raise BrokenOff

    # What must hold

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """After every step all rows, the latest rows, the inventory and the batches equal those of the model."""
        if self.store is None:
            return
        expected = {what: records(self.model.read(what)) for what in KINDS}
        self.past.append(expected)
        assert expected == contents(self.store)
        extents = {}
        for what, symbol in itertools.product(KINDS, SYMBOLS):
            rows = [record for record in expected[what] if record.symbol == symbol]
            assert (rows[-1] if rows else None) == self.store.latest(symbol, what)
            if rows:
                extents[kind_of(what).name, symbol] = (len(rows), rows[0].ts_ns, rows[-1].ts_ns)
        assert extents == {
            (one.kind, one.subject): (one.rows, one.first_ns, one.last_ns) for one in self.store.inventory()
        }
        batches = self.store.backend.batches(children=True)
        brought = {one.id: (one.inserted, one.duplicate, one.revised, one.deleted) for one in batches}
        assert brought == {batch: astuple(counts) for batch, counts in self.model.brought.items()}

    @rule(asked=st.lists(questions, min_size=1, max_size=4))
    def ask(self, asked: list[Question]) -> None:
        """Read ranges, columns, either order, the past, and the rows as of a time."""
        for question in asked:
            self.check(self.of_these_batches(question))

    def check(self, question: Question) -> None:
        """Compare one reading with the model."""
        symbol, what = question.symbol or SYMBOLS[0], question.what
        before = [
            row.record
            for row in self.model.read(what)
            if row.record.symbol == symbol and row.record.ts_ns <= question.at
        ]
        assert (before[-1] if before else None) == self.store.as_of(symbol, question.at, what)
        whole = self.model.answer(evolve(question, limit=None))
        if len({row.order for row in whole}) < len(whole):
            return  # a stream wrote where a later batch had deleted: of these two the past tells no order of arrival
        meant = records(self.model.answer(question))
        selection = self.selection(question)
        assert meant == selection.to_list()
        assert len(meant) == selection.count()
        kind = kind_of(what)
        names = list(dict.fromkeys(list(kind.by_name)[number % len(kind.columns)] for number in question.columns))
        table = self.selection(question, columns=names).to_arrow()
        fields = [kind.by_name[name].field for name in names]
        assert names == table.column_names
        assert [tuple(getattr(record, name) for name in fields) for record in meant] == values_of(table)

    def selection(self, question: Question, **further: Any) -> Selection[Any]:
        """Return the selection that a question describes."""
        batches = self.store.backend.batches(children=True)
        recorded = [batch.recorded_ns for batch in batches if batch.id == question.known]
        selection: Selection[Any] = self.store.select(
            question.what,
            None if question.symbol is None else escape(question.symbol),
            start=question.start,
            end=question.end,
            limit=question.limit,
            latest_first=question.latest_first,
            order="time" if question.by_time else "symbol",
            batch=question.batch,
            origin=question.origin,
            as_known_at=recorded[0] if recorded else None,
            **further,
        )
        return selection

    def of_these_batches(self, question: Question) -> Question:
        """Return the question with indexes of batches replaced by their ids."""
        ids = sorted(self.model.origins)
        batch, known = (
            ids[which % len(ids)] if which is not None and ids else None for which in (question.batch, question.known)
        )
        if Capability.KNOWN_AT not in self.capabilities:
            known = None
        return evolve(question, batch=batch, known=known)

    def shifted(self, given: Calls, ahead: bool) -> Calls:
        """Return the rows drawn, or the same moved behind the last stored row."""
        last = max((row.record.ts_ns for row in self.model.standing()), default=0)
        return [
            ([evolve(row, timestamp=Instant(row.ts_ns + last * ahead)) for row in rows], as_table)
            for rows, as_table in given
        ]

    def learn(self, receipt: Receipt, origin: str, rows: list[Any]) -> None:
        """Store rows in the model, as a new batch, and compare the counts."""
        self.model.begin(receipt.batch, origin)
        self.model.arrive(receipt.batch, rows)
        self.compare(receipt)
        self.delivered.append(rows)

    def learn_group(self, stream: Stream, rows: list[Any]) -> None:
        """Store the rows of a group in the model, as a batch of its own, whose counts are also those of its stream."""
        (group,) = self.store.backend.batches(limit=1, children=True)
        assert stream.batch == group.parent
        counts = self.model.begin(group.id, "live", stream.batch)
        self.model.arrive(group.id, rows)
        whole = self.model.brought[stream.batch]
        whole.inserted += counts.inserted
        whole.duplicate += counts.duplicate
        whole.revised += counts.revised
        self.compare(stream.receipt)
        self.delivered.append(rows)

    def compare(self, receipt: Receipt) -> None:
        """Compare a receipt with the counts of its batch."""
        counts = self.model.brought[receipt.batch]
        told = (receipt.inserted, receipt.duplicate, receipt.revised)
        assert (counts.inserted, counts.duplicate, counts.revised) == told


def write(batch: StoreBatch, calls: Calls) -> None:
    """Write rows to a batch, kind by kind in each call."""
    for rows, as_table in calls:
        for what in KINDS:
            if part := [row for row in rows if isinstance(row, what)]:
                if as_table:
                    batch.write(kind_of(what), to_table(kind_of(what), part))
                else:
                    batch.write_records(kind_of(what), part)


def rows_of(calls: Calls) -> list[Any]:
    """Return the rows of all calls."""
    return [row for rows, _ in calls for row in rows]


def records(rows: Sequence[Row]) -> list[Any]:
    """Return the records of rows."""
    return [row.record for row in rows]


def contents(store: DataStore) -> dict[type[Any], list[Any]]:
    """Return all rows of a store."""
    return {what: store.select(what).to_list() for what in KINDS}


def values_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return the rows of a table, with times as nanoseconds."""
    columns = [column.cast("int64") if pa.types.is_timestamp(column.type) else column for column in table.columns]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def run_machine(machine: type[StoreMachine], factory: StoreFactory, *, examples: int, steps: int) -> None:
    """Run the machine on *examples* stores, with at most *steps* operations on each."""
    effort = settings(
        max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck), deadline=None
    )
    run_state_machine_as_test(functools.partial(machine, factory), settings=effort)  # type: ignore[arg-type]


class MachineTests(StoreTests):
    """Any operations in any order.

    :cvar machine: what may happen to the store.
    :cvar machine_examples: how many stores are tried; 2,000 in a long run.
    :cvar machine_steps: how much happens to each of them at most.
    """

    machine: ClassVar[type[StoreMachine]] = StoreMachine
    machine_examples: ClassVar[int] = 40
    machine_steps: ClassVar[int] = 12

    @holds(Contract.C1)
    def test_the_store_agrees_with_a_plain_list(self, layout: str, store_factory: StoreFactory) -> None:
        """After any operations, a store holds what a plain list of rows would hold."""
        del layout
        run_machine(self.machine, store_factory, examples=self.machine_examples, steps=self.machine_steps)
