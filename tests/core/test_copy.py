"""Copies between stores: interrupted at any step they go on, and what does not arrive is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from full_store import T, fill, read_all
from interrupted import Interrupted, InterruptedAtError

from fpa_core.engine.audit_log import AuditTrail
from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import Reader, Writer
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.kinds import QUOTES, TRADES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant
from fpa_core.operations import copy
from fpa_core.operations.check import check
from fpa_core.operations.comparison import Comparison, compare
from fpa_core.operations.copy import copy_store
from fpa_core.protocols import CoverageEntry, Quarantined, Query
from fpa_core.store import DataStore
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite


class Losing:
    """A database that loses a row of those that are inserted."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        with self.inner.writer(operation) as tables:
            insert = tables.rows.insert
            tables.rows.insert = lambda kind, rows: insert(kind, list(rows)[1:])
            yield tables


def open_store(name: str, folder: Path, number: int = 0) -> DataStore:
    if name == "memory":
        return DataStore(open_memory(MemoryStoreOptions()))
    return DataStore(open_sqlite(SqliteOptions(path=folder / f"{number}.db", seal_rows=None)))


def database(store: DataStore) -> Any:
    assert isinstance(store.backend, EngineStore)
    return store.backend.database


def copied(store: DataStore, target: Any) -> Comparison:
    return copy_store(database(store), target, audit=AuditTrail(), tick=lambda _done, _all: None)


def compared(store: DataStore, other: DataStore) -> Comparison:
    return compare(database(store), database(other), lambda _done, _all: None)


@pytest.fixture(scope="module")
def full() -> Iterator[DataStore]:
    """Open a store with something of everything, which no test changes."""
    with contextlib.closing(open_store("memory", Path())) as store:
        fill(store)
        yield store


@pytest.mark.parametrize("small", [False, True], ids=["large_steps", "small_steps"])
def test_there_and_back(full: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool) -> None:
    """A store copied to a file, and from there to a third one, is the same in all three; both copies are sound."""
    if small:
        monkeypatch.setattr(copy, "ROWS_AT_ONCE", 50)
        monkeypatch.setattr(copy, "BYTES_AT_ONCE", 1)
        monkeypatch.setattr(copy, "_PAGE", 7)
    with (
        contextlib.closing(open_store("sqlite", tmp_path)) as there,
        contextlib.closing(open_store("memory", tmp_path)) as back,
    ):
        ticks: list[tuple[int, int]] = []
        found = copy_store(database(full), database(there), audit=AuditTrail(), tick=lambda *done: ticks.append(done))
        assert found.equal
        assert ticks[-1][0] == ticks[-1][1]
        assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
        assert copied(there, database(back)).totals == found.totals
        assert read_all(full) == read_all(there) == read_all(back)
        assert () == check(database(there)).problems == check(database(back)).problems


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_interrupted_at_each_step(
    full: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """Interrupted at any of its steps, a copy is known as unfinished, and made again it is equal."""
    monkeypatch.setattr(copy, "ROWS_AT_ONCE", 400)
    expected = read_all(full)
    for steps in range(1, 100):
        with contextlib.closing(open_store(backend, tmp_path, steps)) as other:
            interrupted = Interrupted(database(other), steps)
            with contextlib.suppress(InterruptedAtError):
                copied(full, interrupted)
            whole = interrupted.left >= 0
            unfinished = [one.problem for one in check(database(other)).problems if "unfinished" in one.problem]
            assert ([] if whole else ["it is an unfinished copy of memory"]) == unfinished
            assert copied(full, database(other)).equal
            assert expected == read_all(other)
            assert () == check(database(other)).problems
        if whole:
            break
    assert steps > 10


def test_what_is_lost_is_noticed(full: DataStore) -> None:
    """A target that does not keep what it is given is no copy: the parts that differ are named."""
    with contextlib.closing(open_store("memory", Path())) as other:
        with pytest.raises(CorruptionError, match=r"differs from the store in \d+ parts: rows quotes") as error:
            copied(full, Losing(database(other)))
        assert error.value.hint is not None
        assert copied(full, database(other)).equal


def change_value(tables: Writer) -> None:
    row = next(page for page in tables.rows.select(Query(QUOTES, ("S3",), limit=1), COLUMNS))[0]
    tables.rows.delete(Query(QUOTES, ("S3",), row[1], row[1] + 1))
    tables.rows.insert(QUOTES, [(*row[:2], "9999", *row[3:])])


def change_batch(tables: Writer) -> None:
    row = next(page for page in tables.rows.select(Query(QUOTES, ("S3",), limit=1), COLUMNS))[0]
    tables.rows.delete(Query(QUOTES, ("S3",), row[1], row[1] + 1))
    tables.rows.insert(QUOTES, [(*row[:-2], row[-2] + 1, None)])


def lose_row(tables: Writer) -> None:
    row = next(page for page in tables.rows.select(Query(QUOTES, ("S3",), limit=1), COLUMNS))[0]
    tables.rows.delete(Query(QUOTES, ("S3",), row[1], row[1] + 1))


def lose_symbol(tables: Writer) -> None:
    tables.rows.delete(Query(QUOTES, ("S3",)))


def lose_history(tables: Writer) -> None:
    tables.rows.delete_history(Query(QUOTES, ("S1",)))


def lose_segment(tables: Writer) -> None:
    tables.segments.remove([info.id for info in tables.segments.find(Query(TRADES))])


def change_time_of_a_batch(tables: Writer) -> None:
    tables.batches.amend(1, recorded_ns=tables.batches.find(batch=1)[0].recorded_ns + 1)


COLUMNS = ("symbol", "ts_ns", "bid", "ask", "bid_size", "ask_size", "bid_exchange", "ask_exchange", "conditions", "seq", "batch", "since")  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_value, ("rows", "quotes", "S3", "values")),
        (change_batch, ("rows", "quotes", "S3", "provenance")),
        (lose_row, ("rows", "quotes", "S3", "rows")),
        (lose_symbol, ("rows", "quotes", "S3", "only here")),
        (lose_history, ("history", "quotes", "S1", "only here")),
        (lose_segment, ("rows", "trades", "SEALED", "only here")),
        (change_time_of_a_batch, ("batches", "", "", "values")),
    ],
)
def test_differences(full: DataStore, change: Any, expected: tuple[str, ...]) -> None:
    """What differs between two stores is named by table, kind and symbol, and how it differs; copying again mends it."""
    with contextlib.closing(open_store("memory", Path())) as other:
        copied(full, database(other))
        with database(other).writer("change") as tables:
            change(tables)
        (found,) = compared(full, other).differences
        assert expected == (found.part.table, found.part.kind, found.part.subject, found.what)
        mirrored = {"only here": "only there"}.get(found.what, found.what)
        assert [mirrored] == [one.what for one in compared(other, full).differences]
        assert copied(full, database(other)).equal


def test_a_copy_of_another_store(full: DataStore) -> None:
    """A copy of one store does not become that of another, and a store is not copied to itself."""
    with (
        contextlib.closing(open_store("memory", Path())) as other,
        contextlib.closing(open_store("memory", Path())) as third,
    ):
        copied(full, database(other))
        third.save([Quote("A", Instant(1), 1, 2)])
        with pytest.raises(DatabaseError, match="already holds other data: it is a copy of memory"):
            copied(third, database(other))
        with pytest.raises(DatabaseError, match="it is the store itself"):
            copied(full, database(full))


def test_first_and_last_times() -> None:
    """Rows of the first and the last month that can be stored are copied, also when they are copied anew."""
    rows = [Quote("A", Instant(ts), 1, 2) for ts in (MIN_NS + 1, MIN_NS + 2, 0, MAX_NS)]
    with (
        contextlib.closing(open_store("memory", Path())) as store,
        contextlib.closing(open_store("memory", Path())) as other,
    ):
        store.save(rows)
        copied(store, database(other))
        store.save([evolve(row, bid=3) for row in rows])
        assert copied(store, database(other)).equal
        assert 8 == other.select(Quote).count()


def test_other_writers_meanwhile(tmp_path: Path) -> None:
    """The source is read in one state: what is written to it during the copy is not in it, and comes with the next one."""
    with (
        contextlib.closing(open_store("sqlite", tmp_path)) as store,
        contextlib.closing(open_store("memory", tmp_path)) as other,
    ):
        store.save([Trade("A", Instant(T + i), 1, 1) for i in range(100)])
        numbers = iter(range(10**6))

        class Busy(Interrupted):
            @contextlib.contextmanager
            def writer(self, operation: str) -> Iterator[Writer]:
                store.save([Trade("A", Instant(T + 1_000 + next(numbers)), 1, 1)])
                with self.inner.writer(operation) as tables:
                    yield tables

        assert copied(store, Busy(database(other), 0)).equal
        assert 100 == other.select(Trade).count()
        assert copied(store, database(other)).equal
        assert store.select(Trade).count() == other.select(Trade).count() > 100


def test_a_segment_that_is_missing(tmp_path: Path) -> None:
    """A store with a damaged catalog is not copied as if it were whole."""
    with (
        contextlib.closing(open_store("memory", tmp_path)) as store,
        contextlib.closing(open_store("memory", tmp_path)) as other,
    ):
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(9)])
        store.seal()

        class Forgetful(Interrupted):
            @contextlib.contextmanager
            def reader(self, operation: str) -> Iterator[Reader]:
                with self.inner.reader(operation) as tables:
                    tables.segments.contents = lambda _ids: {}
                    yield tables

        with pytest.raises(CorruptionError, match="is missing"):
            copy_store(
                Forgetful(database(store), 0),
                database(other),
                audit=AuditTrail(),
                tick=lambda _done, _all: None,
            )


def test_no_table_is_forgotten(full: DataStore, tmp_path: Path) -> None:
    """Every table of the database has as many rows in a copy as in the store, but for the audit log and what belongs to the file itself."""
    with (
        contextlib.closing(open_store("sqlite", tmp_path, 1)) as store,
        contextlib.closing(open_store("sqlite", tmp_path, 2)) as other,
    ):
        copied(full, database(store))
        store.discard_quarantined(batch=1)
        with store.batch(origin="test") as batch:
            batch.write_records(TRADES, [Trade("SEALED", Instant(T), 100, 1, trade_id="0")])
            batch.quarantine([Quarantined("trades", "SEALED", T, 2, "x", ())])
            batch.cover([CoverageEntry("bars", "A", "1m", "test", 0, 1, 0)])
        copied(store, database(other))
    counts = []
    for number in (1, 2):
        with contextlib.closing(open_file(str(tmp_path / f"{number}.db"), apsw.SQLITE_OPEN_READONLY)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            counts.append({name: connection.execute(f'SELECT count(*) FROM "{name}"').get for (name,) in names})
    own = {"audit_log", *(name for name in counts[0] if name.startswith(("sqlite_", "schema_")))}
    assert {name: rows for name, rows in counts[0].items() if name not in own} == {
        name: rows for name, rows in counts[1].items() if name not in own
    }
    assert {"quarantine_history", "quarantine_matches", "coverage", "segments"} <= {
        name for name, rows in counts[0].items() if rows
    }
