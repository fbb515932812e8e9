"""The SQLite store among hostile neighbours: files that are moved, locks that are held, bytes that change."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.kinds import QUOTES
from fpa_core.models import Bar, Order, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined
from fpa_core.store import DataStore
from fpa_plugins.sqlite.files import waiting
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

pytestmark = pytest.mark.usefixtures("migrated_databases")
needs_open_files_to_move = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be moved there")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "portfolio.db"


@pytest.fixture
def store(path: Path) -> Iterator[DataStore]:
    store = DataStore(open_store(SqliteOptions(path=path)))
    yield store
    with contextlib.suppress(DatabaseError):  # what is gone cannot be sealed
        store.backend.close()


def quote(ts: int) -> Quote:
    return Quote("A", Instant(ts), 1, 2)


# Files


@pytest.mark.parametrize("empty", [False, True])
def test_a_log_without_its_database_is_kept(store: DataStore, path: Path, tmp_path: Path, empty: bool) -> None:
    """A write-ahead log beside a missing or empty database is not destroyed: opening is refused, and works once the database is back."""
    store.save([quote(ts) for ts in range(3)])
    killed, log = tmp_path / "killed" / path.name, tmp_path / "killed" / f"{path.name}-wal"
    killed.parent.mkdir()
    shutil.copy(path, killed)
    shutil.copy(f"{path}-wal", log)
    aside = killed.rename(tmp_path / "aside.db")
    if empty:
        killed.touch()
    before = log.read_bytes()
    with pytest.raises(DatabaseError, match=r"is missing or empty, but portfolio[.]db-wal beside it holds batches"):
        open_store(SqliteOptions(path=killed))
    assert before == log.read_bytes()
    aside.replace(killed)
    again = DataStore(open_store(SqliteOptions(path=killed)))
    assert 3 == again.select(Quote).count()
    again.backend.close()


@needs_open_files_to_move
@pytest.mark.parametrize("name", ["portfolio.db", "portfolio.db-wal"])
@pytest.mark.parametrize("change", ["moved", "deleted", "replaced"])
def test_a_batch_for_files_that_are_gone_is_not_acknowledged(
    store: DataStore, path: Path, name: str, change: str
) -> None:
    """Once the database or its log is not under its name any more, a batch fails instead of going where nobody finds it."""
    store.save(quote(1))
    file = path.with_name(name)
    aside = path.with_name("aside")
    file.rename(aside)
    if change == "replaced":
        shutil.copy(aside, file)
    with pytest.raises(DatabaseError, match="was moved, replaced or deleted while it was open"):
        store.save(quote(2))
    if change == "moved":
        aside.rename(file)
        store.save(quote(2))
        assert 2 == store.select(Quote).count()


@needs_open_files_to_move
def test_a_file_moved_during_a_batch_fails_it(store: DataStore, path: Path) -> None:
    """A database that is moved while a batch is being written takes the batch with it, and the batch says so."""
    store.save(quote(1))

    def move_while_writing() -> None:
        with store.batch() as batch:
            batch.write_records(QUOTES, [quote(2)])
            path.rename(path.with_name("aside"))

    with pytest.raises(DatabaseError, match="was moved, replaced or deleted"):
        move_while_writing()
    path.with_name("aside").rename(path)
    assert [quote(1)] == store.get_quotes()


# Locks


def test_who_waits_longest_tries_most_often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The pauses of a writer that waits for the lock become shorter, it says once what it waits for, and gives up when its time is over."""
    now = 100.0
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds

    monkeypatch.setattr(waiting.time, "monotonic", lambda: now)
    monkeypatch.setattr(waiting.time, "sleep", sleep)
    again = waiting.waiting(5.0, "p.db")
    for _ in range(2):  # a handler serves one wait after another
        pauses.clear()
        caplog.clear()
        tries = 0
        while again(tries):
            tries += 1
        assert 5.0 <= sum(pauses) < 5.1
        assert sum(pauses[:100]) > 2 * sum(pauses[-100:])
        assert min(pauses) >= waiting.LEAST_PAUSE / 2
        assert ["another process is writing to p.db: waiting for it, at most 5 s"] == caplog.messages


def test_a_read_that_fails_says_why(store: DataStore) -> None:
    """An error of the disk while reading is what is told, not that there was nothing to roll back any more."""
    store.save(quote(1))

    def fail() -> None:
        with store.backend.database.reader("read quotes") as tables:  # type: ignore[attr-defined]
            tables.rows._session.connection.execute("ROLLBACK")  # as the engine does by itself
            raise apsw.IOError("disk I/O error")

    with pytest.raises(DatabaseError, match="could not read quotes: disk I/O error"):
        fail()
    assert [quote(1)] == store.get_quotes()


def test_a_full_disk_is_named_when_reading_fails(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a read fails because its disk is full, the error says so and how to mend it."""
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))

    def fail() -> None:
        with store.backend.database.reader("read quotes"):  # type: ignore[attr-defined]
            raise apsw.IOError("disk I/O error")

    with pytest.raises(DatabaseError, match="no space left on its disk") as raised:
        fail()
    assert raised.value.hint == "free some space"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_within_a_read_is_refused(store: DataStore) -> None:
    """Who forks while reading has a child that may not use the database, is told so, and can itself go on."""
    store.save([quote(ts) for ts in range(3)])
    scan = store.backend.scan(store.select(Quote).query, rows=1)
    next(scan)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        status = 1
        try:
            store.get_quotes()
        except DatabaseError as error:
            status = 0 if "was forked while its parent was using an SQLite database" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert 2 == sum(batch.num_rows for batch in scan)
    store.save(quote(9))
    assert 4 == store.select(Quote).count()


# Damage


def change(path: Path, statement: str, *values: Any) -> None:
    """Change a database past the store, as a bit that was flipped in memory before the page got its checksum might."""
    edit = open_file(str(path), apsw.SQLITE_OPEN_READWRITE)
    edit.execute(statement, values)
    edit.close(True)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE quotes SET bid = '1x'", "number"),
        ("UPDATE quotes SET bid_exchange = CAST(x'ff41' AS TEXT)", "quotes"),
        ("UPDATE bars SET close = '1..2'", "number"),
        ("UPDATE orders SET side = 'buz'", "orders"),
        ("UPDATE quarantine SET kind = 'trade5'", "quarantine"),
        ("UPDATE quarantine SET state = 'opem'", "quarantine"),
        ("UPDATE quarantine SET arguments = 'x' || char(1) || 'y' || char(1) || 'z'", "quarantine"),
        ("UPDATE quarantine_findings SET text = '{'", "quarantine"),
        ("UPDATE quarantine_layouts SET layout = '[1]'", "quarantine"),
        ("UPDATE segments SET kind = 'tradex'", None),
        ("UPDATE segments SET last_row = '{'", "segments"),
        ("UPDATE batches SET origin = CAST(x'fffe' AS TEXT)", "batches"),
    ],
)
def test_what_cannot_be_decoded_is_damage(path: Path, statement: str, table: str | None) -> None:
    """A stored value that is no text, no number or no JSON any more is a CorruptionError that names its table."""
    store = DataStore(open_store(SqliteOptions(path=path, seal_rows=None)))
    store.save([Quote("B", Instant(ts), 1, 2) for ts in range(9)])
    store.seal()
    order = Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1))
    store.save([quote(1), Bar("A", Instant(0), 1, 2, 1, 2, 5, "1m"), order])
    with store.batch() as batch:
        finding = {"rule": "format", "message": "price: 'x' in row 3", "observed": [1.5]}
        batch.quarantine([Quarantined("trades", "A", 1, 3, "A,x", (finding,), cells={"symbol": "A", "price": "x"})])
    store.backend.close()
    change(path, statement)
    store = DataStore(open_store(SqliteOptions(path=path, seal_rows=None)))
    problems = []
    for read in (
        store.get_quotes,
        store.get_bars,
        store.get_orders,
        store.quarantined,
        store.batches,
        store.inventory,
        lambda: store.latest("B"),
        lambda: store.select(Quote, as_known_at=Instant(2**62)).to_list(),
    ):
        try:
            read()
        except CorruptionError as error:
            problems.append(str(error))
    store.backend.close()
    if table is not None:
        assert problems
        assert all(table in problem for problem in problems)
