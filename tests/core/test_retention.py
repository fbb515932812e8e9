"""Retention: interrupted at any step, disturbed by others, or betrayed by its disk, it deletes nothing that is not in the archive."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve
from interrupted import Interrupted, InterruptedAtError
from pyarrow import parquet

from fpa_core import export
from fpa_core.arrow.conversion import from_table
from fpa_core.config import BarRetention, RetentionSection, TickRetention
from fpa_core.engine.audit_log import AuditTrail
from fpa_core.engine.changes import changed_parts
from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import Writer
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.kinds import KINDS, QUOTES, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations import retention
from fpa_core.operations.audit_log import verify_audit_log
from fpa_core.operations.check import check
from fpa_core.operations.retention import RetentionReport, plan_retention, retain
from fpa_core.operations.retention_bars import make_bars
from fpa_core.protocols import Quarantined, Query
from fpa_core.store import DataStore
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite

DAY = 86_400 * 10**9
MAY = 19_844 * DAY  # 1 May 2024

NOW = MAY + 100 * DAY + 5
TICKS = TickRetention(keep=40 * 86_400.0)
KEPT_FROM = MAY + 60 * DAY


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    """Open a store with a quote and a trade for each of 90 days: some sealed, some revised, deleted and undone."""
    if request.param == "memory":
        backend = open_memory(MemoryStoreOptions())
    else:
        backend = open_sqlite(SqliteOptions(path=tmp_path / "test.db", seal_rows=None))
    with contextlib.closing(DataStore(backend)) as store:
        store.save([Quote("A", Instant(MAY + day * DAY), 1, 2 + day) for day in range(90)])
        store.save([Trade("T", Instant(MAY + day * DAY), 1, 2, trade_id=str(day)) for day in range(90)])
        store.seal()
        store.save([Trade("T", Instant(MAY + day * DAY), 3, 2, trade_id=str(day)) for day in range(50, 70)])
        store.delete(store.select(Quote, "A", start=Instant(MAY + 10 * DAY), end=Instant(MAY + 15 * DAY)))
        undone = store.save([Quote("B", Instant(MAY + day * DAY), 1, 2) for day in range(90)])
        assert undone.batch is not None
        store.undo(undone.batch)
        store.save([Quote("C", Instant(MAY + day * DAY), 1, 2) for day in range(0, 90, 9)])
        yield store


def database(store: DataStore) -> Any:
    assert isinstance(store.backend, EngineStore)
    return store.backend.database


def section(folder: Path, **more: Any) -> RetentionSection:
    return evolve(RetentionSection(archive=folder / "archive", quotes=TICKS, trades=TICKS), **more)


def run(store: DataStore, own: RetentionSection, target: Any = None) -> RetentionReport:
    return retain(
        database(store) if target is None else target,
        own,
        NOW,
        make_bars=lambda query, interval: make_bars(store, query, interval),
        audit=AuditTrail(),
        tick=lambda _done, _all: None,
    )


def market_data(store: DataStore) -> Counter[Any]:
    return Counter([*store.get_quotes(), *store.get_trades()])


def archived(folder: Path, names: set[str] | None = None) -> Counter[Any]:
    """Return the records in the archive, their history aside; those of certain files, or of all."""
    found: Counter[Any] = Counter()
    for path in (folder / "archive").rglob("*.parquet"):
        if ".history." not in path.name and (names is None or path.name in names):
            with contextlib.suppress(pa.ArrowInvalid):  # a half of a file holds nothing
                found.update(from_table(KINDS[path.name.split("-")[0]], parquet.read_table(path)))
    return found


def test_a_plan_changes_nothing(store: DataStore, tmp_path: Path) -> None:
    """A plan tells the symbols with rows that are too old, and how many rows they have; nothing is written."""
    before = market_data(store), store.batches()
    plan = plan_retention(database(store), section(tmp_path, hold=("C",)), NOW)
    rows = {(one.kind, one.subject): (one.rows, one.history, one.held) for one in plan.expired}
    assert {
        ("quotes", "A"): (55, 5, False),
        ("quotes", "B"): (0, 60, False),
        ("quotes", "C"): (7, 0, True),
        ("trades", "T"): (60, 10, False),
    } == rows
    assert {KEPT_FROM} == {one.before_ns for one in plan.expired}
    assert 115 == plan.rows
    assert before == (market_data(store), store.batches())
    assert not (tmp_path / "archive").exists()


def test_a_segment_partly_too_old(store: DataStore, tmp_path: Path) -> None:
    """Of a segment that reaches into the time that is kept, the rest stays sealed, as it was."""
    store.seal()
    kept = {one: count for one, count in market_data(store).items() if one.ts_ns >= KEPT_FROM}
    known = store.select(Trade, as_known_at=store.batches()[-2].recorded_ns).to_list()
    with database(store).reader("look") as tables:
        assert 1 == len(list(tables.segments.find(Query(TRADES))))
    done = run(store, section(tmp_path))
    assert kept == market_data(store)
    assert [one for one in known if one.ts_ns >= KEPT_FROM] == store.select(
        Trade, as_known_at=store.batches()[-2].recorded_ns
    ).to_list()
    with database(store).reader("look") as tables:
        infos = list(tables.segments.find(Query(TRADES)))
        assert [(KEPT_FROM, 30)] == [(info.first_ns, info.rows) for info in infos]
    assert ["2024-05", "2024-06"] == [step.month for step in done.steps if step.kind == "trades"]
    assert () == check(database(store)).problems


@pytest.mark.parametrize("fails", ["database", "files"])
def test_interrupted_at_each_step(
    store: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Interrupted at any step, all that is not in the store is in the archive; the next run ends as one that was never interrupted."""
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 35)
    before = market_data(store)
    own = section(tmp_path)
    for steps in range(30):
        target = Interrupted(database(store), steps if fails == "database" else 1_000)
        with monkeypatch.context() as patch:
            if fails == "files":
                patch.setattr(export, "write", failing_after(steps))
            with contextlib.suppress(InterruptedAtError):
                run(store, own, target)
                break
        assert before == market_data(store) | archived(tmp_path)
        assert () == check(database(store)).problems
    assert steps > 2
    assert all(one.ts_ns >= KEPT_FROM for one in market_data(store))
    noted = {batch.file for batch in store.batches() if batch.origin == "retention" and batch.file}
    assert before == market_data(store) + archived(tmp_path, noted)
    assert () == verify_audit_log(database(store)).problems[1:]


def failing_after(calls: int) -> Callable[..., int]:
    """Return a writer of files that fails in the middle of one, after some."""
    left = iter(range(calls))
    write = export.write

    def failing(kind: Any, batches: Any, path: Path, form: Any, **more: Any) -> int:
        if next(left, None) is None:
            path.write_bytes(b"half")
            raise InterruptedAtError
        return write(kind, batches, path, form, **more)

    return failing


def test_a_disk_that_lies(store: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file does not hold what was written to it, nothing is deleted; a file that was damaged later is written anew."""
    before = market_data(store)
    write = export.write

    def losing(kind: Any, batches: Any, *arguments: Any, **more: Any) -> int:
        return write(kind, (batch.slice(1) for batch in batches), *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(export, "write", losing)
        with pytest.raises(CorruptionError, match="does not hold what was written to it") as error:
            run(store, section(tmp_path))
        assert "nothing was deleted" in str(error.value.hint)
    assert before == market_data(store)
    done = run(store, section(tmp_path))
    assert before == market_data(store) + archived(tmp_path, {path.name for step in done.steps for path in step.files})


def test_others_write_meanwhile(store: DataStore, tmp_path: Path) -> None:
    """Rows that came while a step was archived are archived as well; if they come without end, nothing of the step is deleted."""
    before = market_data(store)
    added: list[Quote] = []

    class Busy(Interrupted):
        @contextlib.contextmanager
        def writer(self, operation: str) -> Iterator[Writer]:
            if len(added) < self.left:
                added.append(Quote("A", Instant(MAY + len(added)), 7, 8))
                store.save(added[-1:])
            with self.inner.writer(operation) as tables:
                yield tables

    done = run(store, section(tmp_path), Busy(database(store), 2))
    assert 2 == len(added)
    assert {("A", 7)}.isdisjoint((quote.symbol, quote.bid) for quote in store.get_quotes())
    names = {path.name for step in done.steps for path in step.files}
    assert before + Counter(added) == market_data(store) + archived(tmp_path, names)
    store.save([Quote("A", Instant(MAY), 1, 1)])
    with pytest.raises(DatabaseError, match="others change them again and again"):
        run(store, section(tmp_path), Busy(database(store), 100))
    assert Quote("A", Instant(MAY), 1, 1) in store.get_quotes()
    assert () == check(database(store)).problems


def test_a_symbol_with_very_many_rows(store: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of a symbol that has more rows than a step is deleted day by day."""
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 9)
    before = market_data(store)
    done = run(store, section(tmp_path, hold=("B", "C")))
    assert [1] * 60 == [step.rows for step in done.steps if step.kind == "trades"]
    assert ["2024-05"] * 31 + ["2024-06"] * 29 == [step.month for step in done.steps if step.kind == "trades"]
    assert before == market_data(store) + archived(tmp_path)
    assert () == check(database(store)).problems


def test_bars_first(tmp_path: Path) -> None:
    """Bars are made of trades before these are deleted, where there are none; those of a vendor stay as they are."""
    with contextlib.closing(DataStore(open_memory(MemoryStoreOptions()))) as store:
        minute = 60 * 10**9
        store.save([Trade("A", Instant(MAY + i * minute // 2), 10 + i % 7, 5) for i in range(40)])
        store.save([Quote("Q", Instant(MAY + i * minute // 2), 10 + i % 7, 12 + i % 7) for i in range(10)])
        theirs = Bar("A", Instant(MAY + 2 * minute), 1, 1, 1, 1, 1, "1m")
        store.save([theirs])
        trades, mids = store.bars("A", "1m").to_list(), store.bars("Q", "5m", from_="mid").to_list()
        ticks = evolve(TICKS, bars="1m")
        done = run(store, section(tmp_path, trades=ticks, quotes=evolve(TICKS, bars="5m")))
        assert {"trades": 19, "quotes": 1} == {step.kind: step.bars for step in done.steps}
        assert [*(theirs if bar.ts_ns == theirs.ts_ns else bar for bar in trades), *mids] == store.get_bars()
        assert {"retention:trades", "retention:quotes"} <= {batch.origin for batch in store.batches()}
        assert [] == store.get_trades()


def test_bars_of_some_intervals(tmp_path: Path) -> None:
    """Bars of the intervals named go, others stay; each interval has files of its own."""
    with contextlib.closing(DataStore(open_memory(MemoryStoreOptions()))) as store:
        for interval in ("1m", "5m", "1d"):
            store.save(
                [
                    Bar("A", Instant(MAY + day * DAY), 1, 2, 1, close, 1, interval)
                    for day in range(2)
                    for close in (1, 2)
                ]
            )
        kept = store.select(Bar, interval="1d").to_list()
        done = run(store, section(tmp_path, bars=BarRetention(keep=86_400.0, intervals=("60s", "5m"))))
        assert kept == store.get_bars()
        assert [("1m", 2, 2), ("5m", 2, 2)] == [(step.interval, step.rows, step.history) for step in done.steps]
        assert ["bars-1m-2024-05", "bars-5m-2024-05"] == [step.files[0].name.rsplit("-", 1)[0] for step in done.steps]
        assert () == check(database(store)).problems


def test_without_an_archive(store: DataStore, tmp_path: Path) -> None:
    """Rows are deleted without a file only if that is what the configuration says of their kind."""
    done = run(store, section(tmp_path, quotes=evolve(TICKS, parquet=False)))
    assert {"quotes": False, "trades": True} == {step.kind: bool(step.files) for step in done.steps}
    assert () == check(database(store)).problems


def test_the_history_is_archived(store: DataStore, tmp_path: Path) -> None:
    """Earlier versions are in a file of their own, with the batches that brought and retired them."""
    with database(store).reader("look") as tables:
        expected = sum(len(page) for page in tables.rows.history(Query(TRADES, end_ns=KEPT_FROM)))
    done = run(store, section(tmp_path))
    files = [
        path
        for step in done.steps
        for path in step.files
        if path.name.startswith("trades") and ".history." in path.name
    ]
    found = [row for path in files for row in parquet.read_table(path).to_pylist()]
    assert expected == len(found) == 10
    assert {("revised", 3, 2)} == {(row["reason"], row["retired_by"], row["batch"]) for row in found}


def test_rejected_rows_of_that_time_are_replayed(store: DataStore, tmp_path: Path) -> None:
    """A rejected row stays in quarantine; put in later, it is a row like any other, and goes with the next run."""
    with store.batch(origin="test") as batch:
        batch.write_records(QUOTES, [Quote("R", Instant(MAY), 1, 2)])
        (kept,) = batch.quarantine([Quarantined("quotes", "R", MAY, 2, "R,1,2", ())])
    run(store, section(tmp_path))
    assert [kept.id] == [one.id for one in store.quarantined()]
    from fpa_core.arrow.conversion import to_table

    with store.batch(origin="test", replays=batch.id) as again:
        again.replay(QUOTES, to_table(QUOTES, [Quote("R", Instant(MAY), 1, 2)]), [kept.id])
    assert [Quote("R", Instant(MAY), 1, 2)] == store.get_quotes("R")
    assert 1 == run(store, section(tmp_path)).rows
    assert () == check(database(store)).problems


def test_copies_elsewhere_learn_of_it(store: DataStore, tmp_path: Path) -> None:
    """What is kept of the rows elsewhere, as in a lake, learns which ranges of time have to be read again."""
    spans = [(MAY + month * 30 * DAY, MAY + month * 30 * DAY + 29 * DAY) for month in range(3)]
    last = store.batches()[0].id
    run(store, section(tmp_path))
    with database(store).reader("look") as tables:
        now = tables.batches.find(limit=1)[0].id
        assert {0, 1, 2, 3, 4} >= changed_parts(tables, QUOTES, spans, last, now) >= {1, 3}  # type: ignore[operator]
        assert set() == changed_parts(tables, KINDS["bars"], spans, last, now)
