"""Sealed rows that become history, and return: how they lie, on every store of the engine that needs no server; what they are is told by the conformance kit."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.engine import catalog, history_sealing, restoration, retirement
from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.removal import RETENTION, remove
from fpa_core.engine.tables import Database
from fpa_core.engine.transaction import begin
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import QUOTES, TRADES, Kind
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.operations.comparison import compare
from fpa_core.operations.copy import copy_store
from fpa_core.protocols import Batch, Query
from fpa_core.store import DataStore
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite


def open_one(name: str, folder: Path) -> DataStore:
    if name == "memory":
        return DataStore(open_memory(MemoryStoreOptions()))
    return DataStore(open_sqlite(SqliteOptions(path=folder / "test.db", synchronous="normal", seal_rows=None)))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    """Open an empty store."""
    with contextlib.closing(open_one(request.param, tmp_path)) as store:
        yield store
        assert [] == [one for one in check(database(store)).problems if one.check != "clock"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments of ten rows, of which three are worth one."""
    monkeypatch.setattr(catalog, "SEGMENT_ROWS", 10)
    monkeypatch.setattr(catalog, "LEAST_ROWS", 3)


def database(store: DataStore) -> Database:
    return store.backend.database  # type: ignore[attr-defined, no-any-return]


def quotes(times: Sequence[int], bid: int = 1) -> list[Quote]:
    return [Quote("A", Instant(ts), bid, 100 + ts % 3) for ts in times]


def trades(times: Sequence[int], price: int = 1) -> list[Trade]:
    return [Trade("A", Instant(ts), price, 1, trade_id=f"t{ts}") for ts in times]


def bulk(store: DataStore, rows: Sequence[Any]) -> int:
    """Store rows as a table, so that they are sealed at once, and return their batch."""
    with store.batch() as batch:
        kind = QUOTES if isinstance(rows[0], Quote) else TRADES
        batch.write(kind, to_table(kind, rows))
    return batch.receipt.batch


class Layout:
    """Where the rows of a kind lie: rows of segments, of retired ones (by the batch that retired them), and single ones."""

    def __init__(self, store: DataStore, kind: Kind = QUOTES) -> None:
        with database(store).reader("look") as tables:
            self.sealed = [info.rows for info in tables.segments.find(Query(kind))]
            self.retired = list(tables.retired.find(Query(kind)))
            self.hot = tables.rows.count(Query(kind))
            self.history = sum(map(len, tables.rows.history(Query(kind))))
            self.contents = tables.segments.contents([info.id for info in self.retired])

    @property
    def rows_retired(self) -> list[tuple[int, int]]:
        return [(info.retired_by, info.rows) for info in self.retired]


def test_segments_are_retired_as_they_are(store: DataStore) -> None:
    """The undo of a bulk batch moves its segments: same numbers, same bytes, and no single row anywhere."""
    batch = bulk(store, quotes(range(30)))
    with database(store).reader("look") as tables:
        before = list(tables.segments.find(Query(QUOTES)))
        contents = tables.segments.contents([info.id for info in before])
    assert (f"batch {batch} undone: 30 rows changed",) == store.undo(batch).notes
    layout = Layout(store)
    assert [RetiredSegment.of(info, batch + 1, "undone") for info in before] == layout.retired
    assert contents == layout.contents
    assert ([], 0, 0) == (layout.sealed, layout.hot, layout.history)


def test_a_deletion_retires_segments_too(store: DataStore) -> None:
    """Of a range, the segments inside go as they are, and those at its ends in part: the rest of these stays sealed, and few rows become single ones of the history."""
    bulk(store, quotes(range(30)))
    deleted = store.delete(store.select(Quote, "A", start=8, end=25)).batch
    layout = Layout(store)
    assert [8, 5] == layout.sealed
    assert [(deleted, 10), (deleted, 5)] == layout.rows_retired
    assert (0, 2) == (layout.hot, layout.history)
    assert quotes([*range(8), *range(25, 30)]) == store.get_quotes("A")


def test_a_batch_among_others_is_taken_out_of_their_segments(store: DataStore) -> None:
    """Of segments that hold the rows of several batches, those of one go, and the others stay sealed."""
    store.save(quotes(range(0, 30, 2)))
    second = store.save(quotes(range(1, 30, 2), bid=2)).batch
    store.seal()
    undone = store.undo(second).batch
    layout = Layout(store)
    assert [5, 5, 5] == layout.sealed
    assert [(undone, 5)] * 3 == layout.rows_retired
    assert (0, 0) == (layout.hot, layout.history)
    assert quotes(range(0, 30, 2)) == store.get_quotes("A")
    store.undo(undone)
    assert sorted([*quotes(range(0, 30, 2)), *quotes(range(1, 30, 2), bid=2)], key=lambda row: row.ts_ns) == (
        store.get_quotes("A")
    )


@pytest.mark.parametrize("make", [quotes, trades])
def test_segments_return_as_they_were_cut(store: DataStore, make: Any) -> None:
    """The undo of an undo writes the segments again, restored; however often it is done, no row becomes a single one."""
    kind = QUOTES if make is quotes else TRADES
    last = bulk(store, make(range(30)))
    for _ in range(4):
        last = store.undo(last).batch
    layout = Layout(store, kind)
    assert [10, 10, 10] == layout.sealed
    assert [(2, 10), (4, 10)] * 3 == layout.rows_retired
    assert (0, 0) == (layout.hot, layout.history)
    with database(store).reader("look") as tables:
        assert {(1, last)} == {(info.first_batch, info.last_batch) for info in tables.segments.find(Query(kind))}


def test_rows_in_the_way_are_respected(store: DataStore) -> None:
    """Where other rows have come to lie since, what returns takes its place among them, or after them if its place is taken."""
    batch = bulk(store, quotes(range(30)))
    undone = store.undo(batch).batch
    store.save(quotes([5, 12], bid=2))
    store.undo(undone)
    expected = sorted([*quotes([5, 12], bid=2), *quotes(range(30))], key=lambda row: row.ts_ns)
    assert expected == store.get_quotes("A")
    assert [10] == Layout(store).sealed, "only the last segment was out of their way"


def test_a_trade_returns_once(store: DataStore) -> None:
    """A trade whose correction stands does not return with its segment; when the correction goes, it does."""
    rows = trades(range(10))
    batch = bulk(store, rows)
    undone = store.undo(batch).batch
    correction = store.save(evolve(rows[4], price=7)).batch
    store.undo(undone)
    assert [*rows[:4], evolve(rows[4], price=7), *rows[5:]] == store.get_trades("A")
    store.undo(correction)
    assert rows == store.get_trades("A")


def test_a_corrected_trade_goes_and_returns(store: DataStore) -> None:
    """A batch of corrections in segments of their own is undone to what stood before, which is sealed history, too."""
    rows, corrections = trades(range(10)), trades(range(10), price=2)
    bulk(store, rows)
    second = store.save(corrections).batch
    store.seal()
    undone = store.undo(second).batch
    assert rows == store.get_trades("A")
    store.seal()
    store.undo(undone)
    assert corrections == store.get_trades("A")


def test_what_was_deleted_returns_with_its_batch(store: DataStore) -> None:
    """Rows of a batch that was undone after they were deleted stay away when the deletion is undone, and return with the batch."""
    rows = quotes(range(20))
    batch = bulk(store, rows)
    deleted = store.delete(store.select(Quote)).batch
    undone = store.undo(batch).batch
    store.undo(deleted)
    assert [] == store.get_quotes()
    assert [(2, 10), (undone, 10)] * 2 == Layout(store).rows_retired
    store.undo(undone)
    assert rows == store.get_quotes()
    for number, known in [(1, 20), (2, 0), (3, 0), (4, 0), (5, 20)]:
        at = store.batches()[-number].recorded_ns
        assert known == store.select(Quote, as_known_at=at).count()


def test_a_batch_recognises_rows_that_it_deletes_meanwhile(store: DataStore) -> None:
    """What a batch has recognised in a segment stays recognised when the segment is divided in the same transaction."""
    rows = quotes(range(10))
    bulk(store, [*rows, rows[9]])
    with store.backend.transaction(origin="api") as transaction:
        assert 5 == transaction.write(QUOTES, to_table(QUOTES, [*rows[:4], rows[9]])).duplicate
        assert 4 == transaction.delete(Query(QUOTES, ("A",), 4, 8))
        counts = transaction.write(QUOTES, to_table(QUOTES, [rows[0], rows[9], rows[9], rows[5]]))
        assert (3, 1) == (counts.inserted, counts.duplicate)
    assert [rows[0], *rows[:4], rows[5], *rows[8:], rows[9], rows[9]] == store.get_quotes("A")


@pytest.mark.parametrize("end", [7, 10, 30])
def test_retention_removes_retired_rows(store: DataStore, end: int) -> None:
    """Rows that are removed for good go out of retired segments, and the rest of these stays history."""
    batch = bulk(store, quotes(range(30)))
    undone = store.undo(batch).batch
    store.undo(undone)
    with database(store).writer("remove") as tables:
        removed = remove(tables, Query(QUOTES, end_ns=end))
        assert (end, end, {1: end}) == (removed.rows, removed.history, dict(removed.brought))
        note = {"kind": "quotes", "start_ns": None, "end_ns": end, "brought": list(removed.brought.items())}
        tables.batches.amend(begin(tables, Batch(0, RETENTION, 0)).id, reading=json.dumps(note))
        append(tables.audit_log, "retain", {}, batch=undone + 2)
    at = store.batches()[-1].recorded_ns
    assert quotes(range(end, 30)) == store.select(Quote, as_known_at=at).to_list()


def test_a_copy_has_the_same_retired_segments(store: DataStore, tmp_path: Path) -> None:
    """A copy has their bytes; one that is brought up to date loses those that are gone, and gets what is new."""
    with open_one("sqlite", tmp_path / "copy") as other:
        for _ in range(2):
            undone = store.undo(bulk(store, quotes(range(20)))).batch
            assert copy_store(database(store), database(other), audit=AuditTrail(), tick=lambda _done, _all: None).equal
            assert Layout(store).rows_retired == Layout(other).rows_retired
            assert sorted(Layout(store).contents.values()) == sorted(Layout(other).contents.values())
        with database(other).writer("forget") as tables:
            (gone, *_) = tables.retired.retired_by(QUOTES, undone)
            tables.retired.remove([gone.id])
            tables.retired.add([(evolve(gone, reason="deleted"), b"another")])
        with pytest.raises(CorruptionError):
            compare(database(store), database(other), lambda _done, _all: None)
        assert copy_store(database(store), database(other), audit=AuditTrail(), tick=lambda _done, _all: None).equal


@pytest.mark.parametrize("module", [retirement, restoration])
def test_what_is_written_is_read_back(store: DataStore, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """If a part of a segment, or one that returns, is not read back as it was written, nothing is changed."""
    batch = bulk(store, quotes(range(30)))
    last = store.undo(batch).batch if module is restoration else batch
    before = Layout(store)
    with monkeypatch.context() as patch:
        patch.setattr("fpa_core.engine.subject_rows.equal_rows", lambda *_: False)
        act = (lambda: store.undo(last)) if module is restoration else lambda: store.delete(store.select(Quote, end=5))
        with pytest.raises(CorruptionError, match="does not hold what was written to it"):
            act()
    after = Layout(store)
    assert (before.sealed, before.rows_retired) == (after.sealed, after.rows_retired)


@contextlib.contextmanager
def two_stores() -> Iterator[tuple[DataStore, DataStore, Callable[[], Iterator[DataStore]]]]:
    """Open a store that seals a few rows already, and one that never seals; also yield what iterates over both, each with its own bounds."""
    with (
        pytest.MonkeyPatch.context() as patch,
        open_one("memory", Path()) as sealed,
        open_one("memory", Path()) as plain,
    ):
        patch.setattr(catalog, "SEGMENT_ROWS", 4)

        def each() -> Iterator[DataStore]:
            for store, least in ((sealed, 2), (plain, 10**9)):
                patch.setattr(catalog, "LEAST_ROWS", least)
                yield store

        yield sealed, plain, each


@settings(max_examples=30, deadline=None)
@given(
    script=st.lists(
        st.tuples(st.sampled_from(["write", "delete", "undo", "seal"]), st.integers(0, 9), st.integers(1, 12)),
        min_size=2,
        max_size=7,
    ),
    question=st.tuples(st.integers(0, 20), st.integers(0, 22), st.none() | st.integers(0, 9), st.booleans()),
)
def test_any_time_of_knowledge_is_read_in_any_way(
    script: list[tuple[str, int, int]], question: tuple[int, int, int | None, bool]
) -> None:
    """Ranges, limits and counts of what was known at any time are those of a store that has never sealed a row."""
    start, end, limit, latest_first = question
    with two_stores() as (sealed, plain, each):
        for store in each():
            for act, which, length in script:
                if act == "write":
                    bulk(store, quotes([which + one // 2 for one in range(length)], bid=which))
                elif act == "delete":
                    store.delete(store.select(Quote, start=which, end=which + length))
                elif act == "seal":
                    if store is sealed:
                        store.seal()
                elif undoable := [batch.id for batch in store.batches() if batch.undone_by is None]:
                    store.undo(undoable[which % len(undoable)])
        for batch, other in zip(sealed.batches(), plain.batches(), strict=True):
            given_: dict[str, Any] = {"start": start, "end": end, "limit": limit, "latest_first": latest_first}
            one = sealed.select(Quote, **given_, as_known_at=batch.recorded_ns)
            two = plain.select(Quote, **given_, as_known_at=other.recorded_ns)
            assert two.to_list() == one.to_list()
            assert two.count() == one.count()
            by_batch = sealed.select(Quote, batch=1, as_known_at=batch.recorded_ns).to_list()
            assert plain.select(Quote, batch=1, as_known_at=other.recorded_ns).to_list() == by_batch


@settings(max_examples=30, deadline=None)
@given(
    script=st.lists(
        st.tuples(st.sampled_from(["write", "write", "delete", "undo", "undo", "seal"]), st.integers(0, 8)),
        min_size=3,
        max_size=10,
    )
)
def test_trades_are_taken_back_as_in_a_store_that_never_sealed(script: list[tuple[str, int]]) -> None:
    """Batches of trades with ids, which correct each other, are deleted and undone in any order with the same results, now and as known at any time."""
    with two_stores() as (sealed, plain, each):
        for store in each():
            for act, which in script:
                if act == "write":  # each id has one time, and a few prices
                    rows = trades(range(which, which + 8), price=1 + which % 3)
                    bulk(store, [evolve(row, trade_id=None) if row.ts_ns % 4 == 0 else row for row in rows])
                elif act == "delete":
                    store.delete(store.select(Trade, start=which, end=which + 6))
                elif act == "seal":
                    if store is sealed:
                        store.seal()
                elif undoable := [batch.id for batch in store.batches() if batch.undone_by is None]:
                    store.undo(undoable[which % len(undoable)])
        assert plain.get_trades() == sealed.get_trades()
        for batch, other in zip(sealed.batches(), plain.batches(), strict=True):
            assert (batch.inserted, batch.duplicate, batch.revised, batch.deleted) == (
                (other.inserted, other.duplicate, other.revised, other.deleted)
            )
            known = sealed.select(Trade, as_known_at=batch.recorded_ns).to_list()
            assert plain.select(Trade, as_known_at=other.recorded_ns).to_list() == known
        assert [] == [one for one in check(database(sealed)).problems if one.check != "clock"]


def test_the_history_is_sealed(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single rows of the history become retired segments, by the batch that retired them and the reason; those that are few stay as they are."""
    monkeypatch.setattr(catalog, "LEAST_ROWS", 100)
    first = store.save(quotes([*range(25), 24], bid=3)).batch
    store.save([evolve(one, symbol="B") for one in quotes(range(9))])
    store.save(quotes(range(2), bid=4))
    undone = store.undo(first).batch
    deleted = store.delete(store.select(Quote)).batch
    assert 37 == Layout(store).history
    at = [batch.recorded_ns for batch in store.batches()]
    known = [store.select(Quote, as_known_at=when).to_list() for when in at]
    monkeypatch.setattr(catalog, "LEAST_ROWS", 3)
    assert 35 == store.seal().history
    layout = Layout(store)
    assert {(undone, 26), (deleted, 9)} == {
        (by, sum(rows for one, rows in layout.rows_retired if one == by)) for by, _ in layout.rows_retired
    }
    assert (2, 0, []) == (layout.history, layout.hot, layout.sealed)
    assert known == [store.select(Quote, as_known_at=when).to_list() for when in at]
    assert 0 == store.seal().history
    assert [] == store.get_quotes()
    for batch in (deleted, undone):
        store.undo(batch)
    assert sorted(map(repr, known[2])) == sorted(map(repr, store.select(Quote)))


def test_many_rows_are_sealed_in_steps(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long history is sealed in several transactions; a time with more rows than one of them takes is sealed as a whole."""
    monkeypatch.setattr(history_sealing, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(catalog, "LEAST_ROWS", 100)
    rows = quotes([*range(7), *[9] * 13, *range(10, 16)])
    undone = store.undo(store.save(rows).batch).batch
    monkeypatch.setattr(catalog, "LEAST_ROWS", 3)
    assert len(rows) - 1 <= store.seal().history <= len(rows)
    store.undo(undone)
    assert rows == store.get_quotes("A")


def test_corrections_are_sealed(store: DataStore) -> None:
    """Trades that corrections replaced are sealed history; they are found again when an old version arrives, or the corrections are undone."""
    rows, corrections = trades(range(20)), trades(range(20), price=2)
    bulk(store, rows)
    second = bulk(store, corrections)
    assert 20 == store.seal().history
    assert [(second, 10)] * 2 == Layout(store, TRADES).rows_retired
    receipt = store.save(rows)
    assert (0, 20) == (receipt.revised, receipt.duplicate)
    assert corrections == store.get_trades("A")
    versions = store.backend.history(TRADES, {"symbol": "A", "ts_ns": 3})
    assert [("1", "revised"), ("2", None)] == [(one.values[2], one.reason) for one in versions]
    undone = store.undo(second).batch
    assert rows == store.get_trades("A")
    store.seal()
    store.undo(undone)
    assert corrections == store.get_trades("A")


def test_sealing_the_history_is_verified(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a sealed history is not read back as it was, it stays in single rows."""
    monkeypatch.setattr(catalog, "LEAST_ROWS", 100)
    store.undo(store.save(quotes(range(20))).batch)
    monkeypatch.setattr(catalog, "LEAST_ROWS", 3)
    with monkeypatch.context() as patch:
        patch.setattr("fpa_core.engine.subject_rows.equal_rows", lambda *_: False)
        with pytest.raises(CorruptionError, match="does not hold what was written to it"):
            store.seal()
    assert (20, []) == (Layout(store).history, Layout(store).rows_retired)


def test_what_was_known_can_be_divided(store: DataStore) -> None:
    """Where rows lay that an undo has taken away is told by their retired segments."""
    store.undo(bulk(store, quotes(range(100))))
    query = Query(QUOTES, known_at_ns=store.batches()[-1].recorded_ns)
    ranges = store.backend.row_ranges(query, 2)
    assert 100 == sum(one.rows for one in ranges)
    assert set(range(100)) == {ts for one in ranges for ts in range(one.first_ns, one.last_ns + 1)}
    assert [] == store.backend.row_ranges(Query(QUOTES), 2)


def test_a_published_copy_hears_of_sealed_rows_that_went(store: DataStore) -> None:
    """The parts of time in which sealed rows were deleted are told as changed, and no others."""
    bulk(store, quotes(range(30)))
    deleted = store.delete(store.select(Quote, start=10, end=20)).batch
    assert {3} == store.backend.changed_parts(QUOTES, [(0, 9), (10, 19), (20, 29)], 1, deleted)
    last = bulk(store, trades(range(5)))
    assert set() == store.backend.changed_parts(QUOTES, [(0, 9), (10, 19), (20, 29)], deleted, last)
