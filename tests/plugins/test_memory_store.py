"""The memory store against the contracts of every store, and against SQLite: what one answers, the other does."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DatabaseBusyError, DatabaseError, FpaError
from fpa_core.kinds import KINDS, Kind, kind_of
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Quarantined, QuarantineQuery, Query, State, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing import StoreContract
from fpa_plugins.memory.plugin import MemoryStoreOptions, open_store
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store_factory(self):
        return lambda _: partial(open_store, MemoryStoreOptions())


@pytest.fixture
def backend() -> Iterator[StoreBackend]:
    """Open an empty store."""
    opened = open_store(MemoryStoreOptions())
    yield opened
    opened.close()


SYMBOLS = ("A", "B*")
POOL = (
    *(Quote(symbol, Instant(ts), bid, 9) for symbol in SYMBOLS for ts in range(4) for bid in (1, 2)),
    *(Trade("A", Instant(ts), price, 1, trade_id=id_) for ts in (1, 2) for price in (1, 2) for id_ in (None, "7")),
    *(
        Bar("A", Instant(ts), 1, 9, 1, close, 5, every)
        for every in ("1m", "1d")
        for ts in (0, 1)
        for close in (1, 2, 3)
    ),
    *(
        Order(number, symbol, 5, "buy", "market", timestamp=Instant(1), updated_at=Instant(later))
        for number in "12"
        for symbol in SYMBOLS
        for later in (1, 2, 3)
    ),
    *(Position("A", size, 1, 1, timestamp=Instant(1), account=account) for size in (1, 2) for account in "XY"),
    *(PortfolioSnapshot(Instant(1), value, account=account) for value in (1, 2) for account in "XY"),
)
"""So few records that they meet."""

rows = st.lists(st.sampled_from(POOL), max_size=10)
numbers = st.integers(0, 20)
"""Which of the batches there are, counted round."""
conditions = st.fixed_dictionaries(
    {"kind": st.sampled_from(list(KINDS))},
    optional={
        "subjects": st.sampled_from([("A",), ("A", "B*"), ("X",), ()]),
        "patterns": st.sampled_from([("B*",), (r"B\\*", "?")]),
        "start_ns": st.integers(0, 3),
        "end_ns": st.integers(0, 4),
        "batch": numbers,
        "origins": st.sampled_from([("o*",), ("live",)]),
        "known_at_ns": numbers,
        "limit": st.integers(0, 4),
        "reverse": st.booleans(),
    },
)
steps = st.one_of(
    st.tuples(st.just("ingest"), st.lists(rows, min_size=1, max_size=3), rows),
    st.tuples(st.just("group"), rows, rows),
    st.tuples(st.just("delete"), conditions),
    st.tuples(st.just("undo"), numbers),
    st.tuples(st.just("replay"), numbers, st.booleans()),
    st.tuples(st.just("judge"), numbers, st.booleans()),
    st.tuples(st.just("seal"), st.sampled_from([1, 3])),
)


class Driver:
    """Does steps to a store, and answers in values that are the same for every store."""

    def __init__(self, store: StoreBackend) -> None:
        self.store = store
        self.live = None

    def do(self, name: str, *given: Any) -> Any:
        """Return what a step gave, or the error that it raised."""
        try:
            return getattr(self, name)(*given)
        except FpaError as error:
            return type(error), str(error)

    def ingest(self, calls: Sequence[Sequence[Any]], refused: Sequence[Any]) -> Any:
        with self.store.transaction(origin="one") as batch:
            counts = [batch.write(kind, to_table(kind, own)) for rows in calls for kind, own in by_kind(rows)]
            kept = [one.id for one in batch.quarantine(list(map(rejected, refused)))]
            batch.finish(read=sum(map(len, calls)) + len(refused))
        return counts, kept

    def group(self, rows: Sequence[Any], refused: Sequence[Any]) -> Any:
        self.live = self.live or self.store.stream(origin="live")
        try:
            with self.live.group() as group:
                counts = [group.write_records(kind, own) for kind, own in by_kind(rows)]
                return counts, [one.id for one in group.quarantine(list(map(rejected, refused)))]
        except DatabaseError:
            self.live = None  # it was undone
            raise

    def delete(self, asked: dict[str, Any]) -> int:
        with self.store.transaction(origin="other") as batch:
            return batch.delete(self.query(asked | {"known_at_ns": None}))

    def undo(self, number: int) -> int:
        with self.store.transaction(origin="undo") as batch:
            return batch.undo(self.batch(number))

    def replay(self, number: int, fixed: bool) -> Any:
        refused = self.open_records(number)
        with self.store.transaction(origin="replay", replays=refused[0].batch if refused else None) as batch:
            return [
                batch.replay(
                    kind, to_table(kind, [POOL[int(one.raw)] for one in own]), [one.id for one in own], fixed=fixed
                )
                for kind, own in by_kind(refused, lambda one: KINDS[one.kind])
            ]

    def judge(self, number: int, again: bool) -> Any:
        refused = self.open_records(number)
        with self.store.transaction(origin="judge") as batch:
            if again:
                batch.reject_again([evolve(one, findings=({"rule": "b.c", "message": "'x' 1"},)) for one in refused])
            return batch.discard(QuarantineQuery(ids=tuple(one.id for one in refused[::2])))

    def seal(self, least: int) -> Any:
        return [self.store.seal(kind, least=least) for kind in KINDS.values()]

    def open_records(self, number: int) -> list[Quarantined]:
        batch = self.batch(number)
        return list(self.store.quarantined(QuarantineQuery(batch=batch, states=(State.OPEN,), in_order=True)))

    def batch(self, number: int) -> int:
        there = self.store.batches(children=True)
        return there[number % len(there)].id if there else 1

    def query(self, asked: dict[str, Any]) -> Query:
        chosen = {name: self.batch(asked[name]) for name in ("batch", "known_at_ns") if asked.get(name) is not None}
        if "known_at_ns" in chosen:
            chosen["known_at_ns"] = sum(one.recorded_ns for one in self.store.batches(batch=chosen["known_at_ns"]))
        return Query(**asked | chosen | {"kind": KINDS[asked["kind"]]})

    def ask(self, asked: dict[str, Any]) -> Any:
        query = self.query(asked)
        return self.read(query), self.store.count(query)

    def read(self, query: Query) -> list[Any]:
        return [row for batch in self.store.scan(query, 3) for row in batch.to_pylist()]

    def all(self) -> Any:
        """Return all there is to see."""
        refused = [list(self.store.quarantined(QuarantineQuery(in_order=order))) for order in (True, False)]
        found = DataStore(self.store)
        return (
            [self.read(Query(kind)) for kind in KINDS.values()],
            [self.store.inventory(kind) for kind in KINDS.values()],
            [found.latest(symbol, what) for symbol in SYMBOLS for what in (Quote, Trade, Bar)],
            [evolve(one, recorded_ns=0) for one in self.store.batches(children=True)],
            refused,
            self.store.count_quarantined(QuarantineQuery(rules=("a*",), symbols=("A",), origins=("o*",))),
            dict(self.store.describe().kinds),
        )


def by_kind(records: Sequence[Any], key: Any = kind_of) -> list[tuple[Kind, list[Any]]]:
    ordered = sorted(records, key=lambda record: key(record).name)
    return [(kind, list(own)) for kind, own in itertools.groupby(ordered, key)]


def rejected(record: Any) -> Quarantined:
    number, kind = POOL.index(record), kind_of(record)
    finding = {"rule": "a.b", "message": f"'{number}' at 1.5", "observed": [number, None]}
    return Quarantined(kind.name, "A", record.ts_ns, number or None, str(number), (finding,), cells={"x": str(number)})


@given(st.lists(steps, max_size=8), st.lists(conditions, max_size=6))
def test_answers_as_sqlite_does(done: list[Any], asked: list[Any]) -> None:
    """After the same steps both stores hold the same, now and as of every earlier batch, down to the bytes of segments."""
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        opened = [
            open_store(MemoryStoreOptions()),
            open_sqlite(SqliteOptions(Path(folder) / "test.db", synchronous="normal", seal_rows=None)),
        ]
        one, other = (Driver(stack.enter_context(contextlib.closing(store))) for store in opened)
        for step in done:
            assert one.do(*step) == other.do(*step)
            assert one.all() == other.all()
        for question in asked:
            assert one.ask(question) == other.ask(question)
        for number, kind in itertools.product(range(len(opened[0].batches(children=True))), KINDS):
            question = {"kind": kind, "known_at_ns": number}
            assert one.ask(question) == other.ask(question)


def test_open_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer in memory is opened without a file, next to one and whatever variables say; two share nothing, and nothing is written."""
    (tmp_path / "fpa.toml").write_text('[store]\npath = "a.db"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPA_STORE__PATH", "b.db")
    monkeypatch.setenv("FPA_ENV", "prod")
    quote = Quote("A", Instant(2 * 10**18), 1, 2)
    with fpa_core.open(":memory:") as one, fpa_core.open(":memory:") as other:
        assert 1 == one.ingest([quote]).inserted
        assert ([quote], []) == (one.select(Quote).to_list(), other.select(Quote).to_list())
        told = one.store.backend.describe()
    assert ("memory", None, 1) == (told.backend, told.path, told.kinds["quotes"].rows)
    assert ["fpa.toml"] == [path.name for path in tmp_path.iterdir()]


def test_capabilities(backend: StoreBackend) -> None:
    """It knows the past, undoes and seals, and outlives no process."""
    assert {Capability.KNOWN_AT, Capability.VERSIONS, Capability.UNDO, Capability.SEAL} == backend.capabilities


def test_busy_writer_is_told() -> None:
    """A writer that waits too long for another thread gets a typed error, and one within its own batch at once."""
    with DataStore(open_store(MemoryStoreOptions(busy_timeout=0.05))) as store:
        seen: list[BaseException | None] = []
        quote = Quote("A", Instant(1), 1, 2)
        with store.batch():

            def save() -> None:
                try:
                    store.save(quote)
                except DatabaseError as error:
                    seen.append(error)

            thread = threading.Thread(target=save)
            thread.start()
            thread.join()
            with pytest.raises(DatabaseBusyError, match="already writing a batch"):
                store.save(quote)
        assert isinstance(seen[0], DatabaseBusyError)
        assert "held the database for longer than 0.05 s" in str(seen[0])
        assert 1 == store.save(quote).inserted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_a_copy(store: DataStore) -> None:
    """A child goes on with a copy, even if another thread of its parent was writing; the parent sees nothing of that."""
    quotes = [Quote("A", Instant(ts), 1, 2) for ts in range(3)]
    store.save(quotes[0])
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with store.batch():
            writing.set()
            done.wait()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(0 if store.save(quotes[1]).inserted == 1 and store.get_quotes() == quotes[:2] else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    done.set()
    thread.join()
    store.save(quotes[2])
    assert [quotes[0], quotes[2]] == store.get_quotes()


def test_closing_ends_a_batch(backend: StoreBackend) -> None:
    """A batch that is open when the store is closed is not acknowledged."""
    with pytest.raises(DatabaseError, match="closed"), backend.transaction(origin="api"):
        backend.close()
