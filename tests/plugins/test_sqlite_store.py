"""What is SQLite's own: its file, its connections, its errors. The contracts of a store are those of the conformance kit."""

from __future__ import annotations

import gc
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from sqlite_layouts import LAYOUTS, laid_out

from fpa_core.exceptions import CorruptionError, DatabaseBusyError, DatabaseError, SchemaError
from fpa_core.models import Quote
from fpa_core.numbers import Instant, ns_text
from fpa_core.protocols import Capability, StoreBackend
from fpa_core.store import DataStore
from fpa_plugins.sqlite.migrations.runner import known_migrations
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

pytestmark = pytest.mark.usefixtures("migrated_databases")


def at(folder: Path, **options: Any) -> SqliteOptions:
    return SqliteOptions(path=folder / "test.db", **options)


def test_describe(store: DataStore, backend: StoreBackend) -> None:
    """The store tells what it is."""
    store.save(Quote("A", Instant(1), 1, 2))
    told = backend.describe()
    assert ("sqlite", known_migrations()[-1].version, 1) == (told.backend, told.schema, told.kinds["quotes"].rows)
    assert {
        Capability.PERSISTENT,
        Capability.SHARED,
        Capability.KNOWN_AT,
        Capability.VERSIONS,
        Capability.UNDO,
        Capability.SEAL,
        Capability.BACKUP,
        Capability.COMPACT,
    } == backend.capabilities


def test_reads_keep_no_object_of_the_driver(store: DataStore) -> None:
    """A cursor is gone once its read has ended, whether it was read to its end or not, and so is a blob that was looked into."""
    store.save(Quote("A", Instant(time), 1, 2) for time in range(1, 2_000))
    store.seal()

    def left() -> int:
        gc.collect()
        return sum(type(each).__name__ in {"Cursor", "Blob"} for each in gc.get_objects())

    def read() -> None:
        quotes = store.select(Quote, "A")
        assert 1_999 == len(list(quotes))
        assert quotes.first() is not None
        next(iter(quotes.scan(10)))
        assert 1_999 == len(quotes.reader().read_all())

    read()
    before = left()
    for _ in range(5):
        read()
    assert before == left()


def test_no_room_is_a_typed_error(tmp_path: Path) -> None:
    """A database that cannot grow says so, keeps what it had, and goes on."""
    store = DataStore(open_store(at(tmp_path)))
    store.save(Quote("A", Instant(1), 1, 2))
    with store.backend.database._pool.writer() as connection:  # type: ignore[attr-defined]
        connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(DatabaseError, match="no space left"):
        store.save([Quote("A", Instant(7 * ts), ts * ts % 9_973, 2) for ts in range(200_000)])
    assert [Quote("A", Instant(1), 1, 2)] == store.get_quotes()
    store.close()


# Connections


@pytest.mark.parametrize(("option", "level"), [("full", 2), ("normal", 1)])
def test_every_connection_has_its_settings(tmp_path: Path, option: str, level: int) -> None:
    """Readers and the writer are as durable and as careful as was asked for."""
    with DataStore(open_store(at(tmp_path, synchronous=option))) as store:
        pool = store.backend.database._pool  # type: ignore[attr-defined]
        for lend in (pool.writer, pool.reader):
            with lend() as connection:
                names = ("journal_mode", "synchronous", "trusted_schema", "cell_size_check", "page_size")
                assert ("wal", level, 0, 1, 16_384) == tuple(connection.pragma(name) for name in names)


def error_of(work: Callable[[], Any]) -> BaseException | None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - it is what was asked for
        return error
    return None


def test_busy_writer_is_told(tmp_path: Path) -> None:
    """A writer that waits too long for another one gets a typed error, in the same process and from another connection."""
    options = at(tmp_path, busy_timeout=0.05)
    one, other = DataStore(open_store(options)), DataStore(open_store(options))
    with one.batch():
        with pytest.raises(DatabaseBusyError, match="another writer"):
            other.save(Quote("A", Instant(1), 1, 2))
        seen: list[BaseException | None] = []
        waiting = threading.Thread(target=lambda: seen.append(error_of(lambda: one.save(Quote("A", Instant(1), 1, 2)))))
        waiting.start()
        waiting.join()
        assert isinstance(seen[0], DatabaseBusyError)
        with pytest.raises(DatabaseError, match="already writing a batch"):
            one.save(Quote("A", Instant(1), 1, 2))
    other.save(Quote("A", Instant(1), 1, 2))
    one.close()
    other.close()


# Files


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_files_are_private(tmp_path: Path) -> None:
    """The database, its log and a folder made for it are readable by their owner alone."""
    store = DataStore(open_store(SqliteOptions(path=tmp_path / "new" / "test.db")))
    store.save(Quote("A", Instant(1), 1, 2))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert {"test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600} == modes
    assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_refused(tmp_path: Path) -> None:
    """A path that is a symbolic link is not followed."""
    (tmp_path / "test.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseError, match="symbolic link"):
        open_store(at(tmp_path))


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder in the place of the file is a clear error."""
    (tmp_path / "test.db").mkdir()
    with pytest.raises(DatabaseError, match="folder"):
        open_store(at(tmp_path))


def test_unreachable_path(tmp_path: Path) -> None:
    """A file in the place of the folder is a clear error."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseError, match="cannot be opened"):
        open_store(SqliteOptions(path=tmp_path / "file" / "test.db"))


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is refused and not changed."""
    path = tmp_path / "test.db"
    path.write_bytes(b"symbol,timestamp,bid,ask\n" * 1_000)
    with pytest.raises(SchemaError, match="not an SQLite database"):
        open_store(at(tmp_path))
    assert path.read_bytes().startswith(b"symbol,")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damage_is_reported(tmp_path: Path, layout: str) -> None:
    """A damaged database is reported as such, not read as empty."""
    with laid_out(layout), DataStore(open_store(at(tmp_path))) as store:
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(5_000)])
    path = tmp_path / "test.db"
    content = bytearray(path.read_bytes())
    content[-60_000:] = b"\xff" * 60_000  # where the rows are: the pages of empty tables lie before them
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="damaged"):
        DataStore(open_store(at(tmp_path))).get_quotes()


def test_other_engine_errors_are_ours_too(backend: StoreBackend) -> None:
    """No error of the engine escapes as its own class."""
    with pytest.raises(DatabaseError, match="could not write a batch"), backend.transaction(origin="api"):
        raise apsw.ConstraintError("made up")
    with pytest.raises(DatabaseError, match="cannot be written"), backend.transaction(origin="api"):
        raise apsw.ReadOnlyError("made up")


def test_clock_may_step_back(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are recorded in order even when the clock steps back."""
    for now in (2_000, 1_000):
        monkeypatch.setattr("fpa_core.engine.transaction.time.time_ns", lambda now=now: now)
        store.save(Quote("A", Instant(now), 1, 2))
    assert [2_001, 2_000] == [batch.recorded_ns for batch in store.batches()]


def test_a_clock_far_behind_is_told(
    store: DataStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch begun by a clock some minutes or more behind the last batch is a warning; one behind by seconds is not."""
    year = 365 * 86_400 * 10**9
    now = time.time_ns()
    for ahead in (year, year - 60 * 10**9, 0):
        monkeypatch.setattr("fpa_core.engine.transaction.time.time_ns", lambda ahead=ahead: now + ahead)
        store.save(Quote("A", Instant(ahead), 1, 2))
        assert ["WARNING"] * (ahead == 0) == [record.levelname for record in caplog.records]
    assert ns_text(now)[:16] in caplog.text
    assert ns_text(now + year)[:16] in caplog.text
