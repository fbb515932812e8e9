"""The check of a whole store and its repair: what is wrong is found, named, and mended where nothing is lost by it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve
from full_store import T, fill, read_all

from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.rows import Range, shape_of
from fpa_core.engine.tables import Database, Writer
from fpa_core.kinds import BARS, KINDS, QUOTES, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations.check import CheckReport, check
from fpa_core.operations.repair import repair
from fpa_core.protocols import Batch, CoverageEntry, Quarantined, Query, Severity
from fpa_core.store import DataStore
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite


@pytest.fixture(params=["memory", "sqlite"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    """Open a store with something of everything."""
    if request.param == "memory":
        backend = open_memory(MemoryStoreOptions())
    else:
        backend = open_sqlite(SqliteOptions(path=tmp_path / "test.db", seal_rows=None))
    with contextlib.closing(DataStore(backend)) as store:
        fill(store)
        yield store


def database(store: DataStore) -> Database:
    return store.backend.database  # type: ignore[attr-defined, no-any-return]


def found(store: DataStore) -> set[str]:
    """Return the checks that found an error."""
    return {problem.check for problem in check(database(store)).errors}


def segment_of(tables: Writer, subject: str) -> int:
    return next(tables.segments.find(Query(TRADES, (subject,)))).id


def test_sound(full: DataStore) -> None:
    """A store that nothing happened to is sound, and all of it was looked at."""
    report = check(database(full))
    assert () == report.problems
    inventory = {name: sum(entry.rows for entry in full.backend.inventory(kind)) for name, kind in KINDS.items()}
    assert inventory == {name: report.checked[f"{name} rows"] for name in KINDS}
    assert (1, 100, 40) == (
        report.checked["trades segments"],
        report.checked["bars history"],
        report.checked["rejected rows"],
    )
    assert len(full.backend.batches(children=True)) == report.checked["batches"]


def lost_row(tables: Writer) -> None:
    tables.rows.delete_ranges(QUOTES, [Range(("S2",), T, T + 50 * 10**9)])


def lost_history(tables: Writer) -> None:
    """Forget what a later version replaced."""
    bar = next(iter(tables.rows.at(BARS, [("A", "1m", T)])))
    tables.rows.insert_history(BARS, [(*bar, bar[-2], "revised")])


def unknown_batch(tables: Writer) -> None:
    tables.rows.insert(QUOTES, [row(Quote("X", Instant(5), 1, 2), batch=5_000)])


def undone_row(tables: Writer) -> None:
    undone = next(batch.id for batch in tables.batches.find() if batch.undone_by is not None)
    tables.rows.insert(QUOTES, [row(Quote("X", Instant(5), 1, 2), batch=undone)])


def odd_decimal(tables: Writer) -> None:
    symbol, ts_ns, _, *rest = row(Quote("X", Instant(5), 1, 2), batch=tables.batches.find(limit=1)[0].id)
    tables.rows.insert(QUOTES, [(symbol, ts_ns, "01.50", *rest)])


def reversed_history(tables: Writer) -> None:
    last = tables.batches.find(limit=1)[0].id
    tables.rows.insert_history(QUOTES, [(*row(Quote("X", Instant(5), 1, 2), batch=last), 1, "deleted")])


def odd_reason(tables: Writer) -> None:
    last = tables.batches.find(limit=1)[0].id
    tables.rows.insert_history(QUOTES, [(*row(Quote("X", Instant(5), 1, 2), batch=1), last, "gone")])


def early_version(tables: Writer) -> None:
    """Make an earlier version end after the version that reads return has begun."""
    bar = next(iter(tables.rows.at(BARS, [("A", "1m", T)])))
    tables.rows.insert_history(BARS, [(*bar[:-2], 1, None, tables.batches.find(limit=1)[0].id, "revised")])


def lost_segment(tables: Writer) -> None:
    tables.segments.remove([segment_of(tables, "SEALED")])


def changed_catalog(tables: Writer) -> None:
    """Lower the row count of a segment in the catalog by one."""
    info = next(tables.segments.find(Query(TRADES, ("SEALED",))))
    content = tables.segments.contents([info.id])[info.id]
    tables.segments.remove([info.id])
    tables.segments.add([(evolve(info, rows=info.rows - 1, last_ns=info.last_ns + 1), content)])


def changed_segment(tables: Writer) -> None:
    """Change a byte in the middle of a segment."""
    info = next(tables.segments.find(Query(TRADES, ("SEALED",))))
    content = bytearray(tables.segments.contents([info.id])[info.id])
    content[len(content) // 2] ^= 1
    tables.segments.remove([info.id])
    tables.segments.add([(info, bytes(content))])


def retired(tables: Writer) -> RetiredSegment:
    """Return the only retired segment."""
    (info,) = tables.retired.find(Query(QUOTES))
    return info


def lost_retired(tables: Writer) -> None:
    tables.retired.remove([retired(tables).id])


def doubled_retired(tables: Writer) -> None:
    info = retired(tables)
    tables.retired.add([(info, tables.segments.contents([info.id])[info.id])])


def changed_retired(tables: Writer) -> None:
    """Change a byte in the middle of a retired segment."""
    info = retired(tables)
    content = bytearray(tables.segments.contents([info.id])[info.id])
    content[len(content) // 2] ^= 1
    tables.retired.remove([info.id])
    tables.retired.add([(info, bytes(content))])


def change_catalog(**changes: object) -> Callable[[Writer], None]:
    """Return what changes the catalog's entry of the retired segment."""

    def change(tables: Writer) -> None:
        info = retired(tables)
        content = tables.segments.contents([info.id])[info.id]
        tables.retired.remove([info.id])
        tables.retired.add([(evolve(info, **changes), content)])

    return change


def rejected_of_nobody(tables: Writer) -> None:
    last = tables.quarantine.last_id()
    one = Quarantined("trades", "A", T, 1, "x", (), id=last + 1, batch=1)
    tables.quarantine.add([(1, one)])


def wrong_parent(tables: Writer) -> None:
    tables.batches.add(Batch(0, "api", 10**18, parent=4_000))


def wrong_sum(tables: Writer) -> None:
    stream = next(batch for batch in tables.batches.find() if batch.origin == "live")
    tables.batches.add(Batch(0, "live", 10**18, parent=stream.id))
    group = tables.batches.find(limit=1, children=True)[0]
    from fpa_core.protocols import WriteCounts

    tables.batches.record(group.id, recorded_ns=None, read=0, counts=WriteCounts(duplicate=3), quarantined=0, deleted=0)


def row(quote: Quote, *, batch: int) -> tuple[object, ...]:
    content = {"symbol": quote.symbol, "ts_ns": quote.ts_ns, "bid": "1", "ask": "2", "seq": 0, "batch": batch}
    return tuple(content.get(name) for name in shape_of(QUOTES).columns)


def test_sound_after_undos_in_any_order(full: DataStore) -> None:
    """A row whose batch and whose deletion were both undone, the batch first, is sound."""
    brought = full.save([Quote("UNDONE", T, 1, 2)])
    deleted = full.delete(full.select(Quote, "UNDONE"))
    full.undo(brought.batch)
    full.undo(deleted.batch)
    assert () == check(database(full)).problems


@pytest.mark.parametrize(
    ("damage", "finds"),
    [
        (lost_row, "batch"),
        (lost_history, "batch"),
        (unknown_batch, "row"),
        (undone_row, "history"),
        (odd_decimal, "row"),
        (reversed_history, "history"),
        (odd_reason, "history"),
        (early_version, "history"),
        (lost_segment, "batch"),
        (changed_catalog, "segment"),
        (changed_segment, "segment"),
        (lost_retired, "batch"),
        (doubled_retired, "batch"),
        (changed_retired, "segment"),
        (change_catalog(rows=2_499), "segment"),
        (change_catalog(reason="gone"), "history"),
        (change_catalog(retired_by=1), "history"),
        (change_catalog(retired_by=5_000), "history"),
        (rejected_of_nobody, "quarantine"),
        (wrong_parent, "batch"),
        (wrong_sum, "batch"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_no_checksum_can_know_is_found(full: DataStore, damage: Callable[[Writer], None], finds: str) -> None:
    """What is whole in itself and wrong in its relations is found, and the check goes on to its end."""
    with database(full).writer("damage") as tables:
        damage(tables)
    report = check(database(full))
    assert finds in {problem.check for problem in report.errors}
    assert all(problem.where and problem.problem and problem.remedy for problem in report.problems)
    assert "rejected rows" in report.checked


def test_damaged_segment_is_set_aside(full: DataStore, tmp_path: Path) -> None:
    """A repair takes a damaged segment out of the way and says what is missing; ingesting the file again brings it back."""
    covered = CoverageEntry("trades", "SEALED", None, "acme", T - 100, T + 10_000, 5_000)
    with full.batch() as batch:
        batch.cover([covered, evolve(covered, subject="ANOTHER")])
    with database(full).writer("damage") as tables:
        changed_segment(tables)
    report = check(database(full))
    (problem,) = [one for one in report.errors if one.check == "segment"]
    assert "2024-05-01T14:30:00" in problem.where
    before = read_without_trades(full)
    mended = repair(database(full), report, aside=tmp_path / "aside")
    assert () == mended.errors
    assert [True, False] == [one.repaired for one in mended.problems]
    assert "trades.csv (batch 1)" in mended.problems[0].remedy
    assert Severity.WARNING is mended.problems[1].severity
    assert before == read_without_trades(full)
    assert 0 == full.select(Trade).count()
    left = [(one.subject, one.start_ns - T, one.end_ns - T) for one in full.coverage("trades")]
    assert [("ANOTHER", -100, 10_000), ("SEALED", -100, 0), ("SEALED", 5_000, 10_000)] == left  # it is fetched again
    (kept,) = (tmp_path / "aside").iterdir()
    assert (0o600, 0o700) == (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777)
    assert f"its bytes are in {kept}" in mended.problems[0].problem
    again = full.save([Trade("SEALED", Instant(T + i), 100 + i % 7, i % 13 + 1, trade_id=str(i)) for i in range(5_000)])
    assert 5_000 == again.inserted
    assert () == check(database(full)).errors


def test_damaged_retired_segment_is_set_aside(full: DataStore) -> None:
    """A repair takes a damaged segment of the history out of the way: reads of the present are what they were, and the check tells what is missing."""
    with database(full).writer("damage") as tables:
        changed_retired(tables)
    report = check(database(full))
    (problem,) = [one for one in report.errors if one.check == "segment"]
    assert "the retired segment of quotes of RETIRED" in problem.where
    before = read_all(full)
    mended = repair(database(full), report)
    assert () == mended.errors
    assert [True, False] == [one.repaired for one in mended.problems]
    assert "set aside" in mended.problems[1].problem
    assert before == read_all(full) | {"batches": before["batches"]}
    with database(full).reader("look") as tables:
        assert [] == list(tables.retired.find(Query(QUOTES)))


def read_without_trades(store: DataStore) -> dict[str, object]:
    return {name: store.select(name).to_list() for name in KINDS if name != "trades"}


def test_check_beside_writers(full: DataStore) -> None:
    """A check of a store that is being written to finds nothing wrong: what comes meanwhile is not held against what was there."""
    stop = threading.Event()
    bar = Bar("LATER", Instant(1), 1, 1, 1, 1, 1, "1m")

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            receipt = full.save([evolve(bar, close=1, open=1), Quote("LATER", Instant(number), 1, 2)])
            full.undo(full.undo(receipt.batch).batch)
            full.save([Trade("LATER", Instant(number * 10_000 + i), 1, 2) for i in range(50)])
            full.seal("trades")
            with full.batch(origin="rejecting") as batch:
                batch.quarantine([Quarantined("bars", "A", number, 1, f"{number}", ())])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        errors = [problem for _ in range(5) for problem in check(database(full)).errors]
    finally:
        stop.set()
        writer.join()
    assert [] == errors


def test_repair_of_a_sound_store_changes_nothing(full: DataStore) -> None:
    """There is nothing to mend in a sound store."""
    before = read_all(full)
    assert () == repair(database(full), check(database(full))).problems
    assert before == read_all(full)


def test_clock_that_was_ahead_is_found_and_mended(full: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches recorded in the future are a warning; a repair records them now, in their order, and reads as known now see them."""
    now = time.time_ns()
    year = 365 * 86_400 * 10**9
    monkeypatch.setattr("fpa_core.engine.transaction.time.time_ns", lambda: now + year)
    full.save(Bar("LATER", Instant(1), 1, 1, 1, 1, 1, "1m"))
    monkeypatch.undo()
    full.save(Bar("LATER", Instant(2), 1, 1, 1, 1, 1, "1m"))
    report = check(database(full), now_ns=now)
    assert () == report.errors
    assert ["clock"] * 3 == [problem.check for problem in report.problems]
    assert 0 == full.select(Bar, "LATER", as_known_at=Instant(now)).count()
    mended = repair(database(full), report, now_ns=now)
    assert [True, True] == [problem.repaired for problem in mended.problems if problem.repaired]
    assert 2 == full.select(Bar, "LATER", as_known_at=Instant(now + 10)).count()
    batches = full.backend.batches(children=True)
    assert sorted((batch.recorded_ns for batch in batches), reverse=True) == [batch.recorded_ns for batch in batches]


def test_clock_that_was_behind_is_told(full: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose clock was behind the one before is a warning: its time is made up."""
    monkeypatch.setattr("fpa_core.engine.transaction.time.time_ns", lambda: 5)
    full.save(Bar("B", Instant(1), 1, 1, 1, 1, 1, "1m"))
    monkeypatch.undo()
    (problem,) = check(database(full)).problems
    assert ("clock", Severity.WARNING) == (problem.check, problem.severity)
    assert "behind" in problem.problem


def test_report_counts_only_what_is_still_wrong() -> None:
    """What was mended, and what is a warning, is no error."""
    from fpa_core.protocols import Problem

    one = Problem("row", "here", "bad", "mend it")
    report = CheckReport((one, evolve(one, repaired=True), evolve(one, severity=Severity.WARNING)))
    assert (one,) == report.errors
