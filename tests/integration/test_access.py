"""Who may read, write and decide: files are private, links are not followed, foreign files are not obeyed, secrets are masked, a read-only store is only read."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_schemas import migrate

from fpa_core import open as open_layer
from fpa_core.cli.main import main
from fpa_core.exceptions import ConfigError, DatabaseError, DataError, SchemaError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.outputs import whole_file
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import known_migrations
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

pytestmark = pytest.mark.usefixtures("migrated_databases")
posix = pytest.mark.skipif(os.name != "posix", reason="this system has no permissions of this kind")
root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can make files of other users")

QUOTES = [Quote("A", Instant(i), 1, 2) for i in range(20)]
CSV = "symbol,timestamp,bid,ask\nA,2024-05-01T14:30:00Z,1,2\nA,2024-05-01T14:30:01Z,x,2\n"


def run(*arguments: str | Path) -> int:
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return 0 if end.value.code is None else int(end.value.code)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a file to ingest, with the umask that hides nothing."""
    (tmp_path / "quotes.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Clear the umask, so that the system restricts no permissions by itself."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Private files


@posix
def test_everything_written_is_private(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database, configuration, exports, reports, logs and backups can be read by their owner alone, whatever the umask is."""
    monkeypatch.setenv("FPA_LOGGING__FILE", "fpa.log")
    assert 0 == run("init", "new")
    assert 0 == run("ingest", "quotes.csv")
    for command in (
        ["query", "quotes", "-o", "out.csv"],
        ["query", "quotes", "-o", "out.parquet"],
        ["quarantine", "export", "-o", "rejected.csv"],
        ["store", "backup", "copies"],
    ):
        assert 0 == run(*command), command
    assert 1 == run("validate", "quotes.csv", "--html", "report.html")
    assert 0 == run("demo", "day", "--quotes", "1000")
    wrong = [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name != "quotes.csv"
        and mode(path) & 0o077
        and (path.is_file() or path.name in {"copies", "new", "day"})
    ]
    assert [] == wrong


@posix
def test_links_are_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No output goes through a link to another file: it takes the place of the link, or is refused."""
    victim = folder / "victim"
    for name in ("day/quotes.csv.gz", "new/fpa.toml", "out.csv", "report.html", "fpa.log", "dangling/fpa.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(folder / "nowhere" if "dangling" in name else victim)
    victim.write_text("mine")
    assert 0 == run("demo", "day", "--quotes", "1000")
    assert 2 == run("init", "new")
    assert 0 == run("init", "--force", "new")
    assert 2 == run("init", "dangling")
    assert 0 == run("ingest", "quotes.csv")
    assert 0 == run("query", "quotes", "-o", "out.csv")
    assert 1 == run("validate", "quotes.csv", "--html", "report.html")
    monkeypatch.setenv("FPA_LOGGING__FILE", "fpa.log")
    capsys.readouterr()
    assert 3 == run("inventory")
    assert "symbolic link" in capsys.readouterr().err
    assert "mine" == victim.read_text()
    assert not (folder / "nowhere").exists()
    assert gzip.decompress((folder / "day/quotes.csv.gz").read_bytes())


@posix
def test_database_that_is_a_link_is_refused(folder: Path) -> None:
    """A link can be turned to another database behind one's back."""
    (folder / "portfolio.db").symlink_to(folder / "other.db")
    assert 5 == run("inventory")
    assert not (folder / "other.db").exists()


@posix
def test_log_goes_on_in_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is there is appended to."""
    monkeypatch.setenv("FPA_LOGGING__FILE", "fpa.log")
    monkeypatch.setenv("FPA_PLUGINS__BLOCK", "unheard-of")
    for _ in range(2):
        assert 0 == run("plugins")
    assert 2 == (folder / "fpa.log").read_text().count("unheard-of")


# What killed programs leave


def test_left_temporary_files_are_removed(tmp_path: Path) -> None:
    """The next writer of a file removes what a killed one left, and leaves alone what another one is writing just now."""
    target = tmp_path / "out[1].csv"
    left = tmp_path / f".out[1].csv.{'0' * 32}.part"
    other = tmp_path / f".out1.csv.{'0' * 32}.part"
    for path in (left, other):
        path.write_bytes(b"half")
    with whole_file(target) as first:
        first.write(b"first")
        with whole_file(target) as second:
            second.write(b"second")
        first.write(b", and whole")
    assert b"first, and whole" == target.read_bytes()
    assert {target, other} == set(tmp_path.iterdir())


def test_failed_output_leaves_nothing(tmp_path: Path) -> None:
    """An output that breaks off leaves the file that was there, and no other."""
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(TypeError), whole_file(target) as stream:
        stream.write("half")  # type: ignore[arg-type]
    assert "before" == target.read_text()
    with pytest.raises(DataError, match="cannot be written"), whole_file(tmp_path / "nowhere" / "out.csv"):
        pass
    assert [target] == list(tmp_path.iterdir())


# Whom to obey


@posix
def test_configuration_that_all_may_write_is_not_obeyed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that anybody could have written is refused where it is found, and used where it is named."""
    settings = folder / "fpa.toml"
    settings.write_text('[store]\npath = "elsewhere.db"\n')
    settings.chmod(0o666)
    assert 3 == run("inventory")
    error = capsys.readouterr().err
    assert "every user of this computer may write to it" in error
    assert "--config" in error
    assert 5 == run("--config", settings, "inventory")
    assert str(folder / "elsewhere.db") in capsys.readouterr().err
    settings.chmod(0o644)
    assert 5 == run("inventory")


@posix
@root
def test_configuration_of_another_user_is_not_obeyed(folder: Path) -> None:
    """A configuration that belongs to another user, found in a folder above, is refused."""
    settings = folder / "fpa.toml"
    settings.write_text('[store]\npath = "elsewhere.db"\n')
    os.chown(settings, 65_534, -1)
    below = folder / "below"
    below.mkdir()
    os.chdir(below)
    with pytest.raises(ConfigError, match="belongs to another user"):
        open_layer()


@posix
def test_database_that_all_may_write_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A database that anybody could have changed is opened with a warning."""
    path = folder / "test.db"
    open_store(SqliteOptions(path=path)).close()
    path.chmod(0o666)
    with caplog.at_level(logging.WARNING, "fpa.store.sqlite"):
        open_store(SqliteOptions(path=path)).close()
    assert "every user of this computer may write to it" in caplog.text


def test_secret_in_a_path_is_masked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path with a secret in it is masked in what commands print, in errors, and in reprs."""
    (folder / "fpa.toml").write_text('[store]\npath = "${CUSTOMER}/portfolio.db"\n')
    (folder / "fpa.toml").chmod(0o600)
    monkeypatch.setenv("CUSTOMER", "canary-customer-7")
    assert 0 == run("ingest", "quotes.csv")
    for command in (
        ["store", "stats"],
        ["store", "stats", "--json"],
        ["store", "check"],
        ["config", "show"],
        ["store", "migrate", "--plan"],
    ):
        assert 0 == run(*command)
    assert 5 == run("--read-only", "undo", "1")
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(open_layer(lazy=True))
        assert "canary" not in repr(data.config)
    printed = capsys.readouterr()
    assert "canary" not in printed.out + printed.err
    assert "***" in printed.out
    assert "***" in printed.err


# Reading only


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Make a database with some rows, closed."""
    path = tmp_path / "data" / "test.db"
    with open_layer(environ={"FPA_STORE__PATH": str(path)}) as data:
        data.store.save(QUOTES)
    return path


def read_only(path: Path) -> dict[str, str]:
    return {"FPA_STORE__PATH": str(path), "FPA_STORE__READ_ONLY": "true"}


def test_reading_makes_no_file(closed: Path) -> None:
    """A store that is opened for reading answers as any other does, and leaves the folder as it was."""
    before = closed.read_bytes(), closed.stat().st_mtime_ns
    files = set(closed.parent.iterdir())
    with open_layer(
        environ=read_only(closed) | {"FPA_CACHE__BACKEND": "disk", "FPA_CACHE__PATH": str(closed.parent / "cache")}
    ) as data:
        assert QUOTES == data.store.get_quotes("A")
        assert QUOTES == data.store.get_quotes("A")
        assert () == data.check().problems
        assert files == set(closed.parent.iterdir())
    assert files == set(closed.parent.iterdir())
    assert before == (closed.read_bytes(), closed.stat().st_mtime_ns)


def test_writing_is_refused(closed: Path) -> None:
    """Every way to write is refused with the same error."""
    with open_layer(environ=read_only(closed)) as data:
        for write in (
            lambda: data.store.save(QUOTES),
            lambda: data.store.undo(1),
            lambda: data.store.delete(data.select(Quote, "A")),
            data.store.seal,
            data.stream,
            data.operations.compact,
        ):
            with pytest.raises(DatabaseError, match="opened for reading only"):
                write()
    with open_layer(environ={"FPA_STORE__PATH": str(closed)}) as data:
        assert 1 == len(data.store.batches())


def test_missing_database_is_not_made(tmp_path: Path) -> None:
    """A store to be read that is not there is an error, and stays so."""
    with pytest.raises(DatabaseError, match="there is no database"):
        open_layer(environ=read_only(tmp_path / "new" / "test.db"))
    assert [] == list(tmp_path.iterdir())


def test_old_schema_is_not_migrated(tmp_path: Path) -> None:
    """A store of an older schema cannot be read without a migration, and is not migrated."""
    path = tmp_path / "old.db"
    connection = open_file(str(path), 6)
    migrate(connection, path, known_migrations()[:3])
    connection.close()
    with pytest.raises(SchemaError, match=r"its schema is 3, and reading it needs \d+"):
        open_layer(environ=read_only(path))


def test_reading_beside_a_writer(closed: Path) -> None:
    """Readers see what a writer commits, while it is open and after it was closed, and never disturb it."""
    with open_layer(environ=read_only(closed) | {"FPA_CACHE__TTL": "0"}) as reader:
        assert 20 == reader.select(Quote).count()
        with open_layer(environ={"FPA_STORE__PATH": str(closed)}) as writer:
            for i in range(1, 6):
                writer.store.save(Quote("B", Instant(i), 1, 2))
                assert 20 + i == reader.select(Quote).count()
        assert 25 == reader.select(Quote).count()
    with open_layer(environ={"FPA_STORE__PATH": str(closed)}) as writer:
        writer.store.save(Quote("B", Instant(9), 1, 2))
    with open_layer(environ=read_only(closed)) as reader:
        assert 26 == reader.select(Quote).count()


def test_change_under_a_frozen_read_is_told(closed: Path) -> None:
    """A read of a file that nobody seemed to write is an error if somebody did meanwhile: it may have seen two states."""
    with open_layer(environ=read_only(closed)) as reader:
        pool = reader.store.backend.database._pool
        connection = pool.borrow()
        connection.execute("SELECT count(*) FROM quotes").fetchall()
        with open_layer(environ={"FPA_STORE__PATH": str(closed)}) as writer:
            writer.store.save([Quote("B", Instant(i), 1, 2) for i in range(500)])
        with pytest.raises(DatabaseError, match="was changed while it was read"):
            pool.give_back(connection)
        assert 520 == reader.select(Quote).count()


@posix
def test_reading_where_nothing_can_be_written(closed: Path) -> None:
    """A store in a folder that cannot be written is read, with a cache that would be beside it."""
    command = [sys.executable, "-c", _COUNT, str(closed)]
    if os.geteuid() == 0:  # who may write everywhere, unless that is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("the tests run as root, and there is no setpriv")
        command = ["setpriv", "--bounding-set", "-dac_override,-fowner", *command]
    closed.chmod(0o444)
    closed.parent.chmod(0o555)
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        closed.parent.chmod(0o755)
    assert ("refused\n20\n", 0) == (ended.stdout, ended.returncode), ended.stderr


_COUNT = """
import sys
from pathlib import Path
from fpa_core import open
from fpa_core.models import Quote
try:
    Path(sys.argv[1] + "-wal").touch()
except PermissionError:
    print("refused")
with open(environ={"FPA_STORE__PATH": sys.argv[1], "FPA_STORE__READ_ONLY": "true"}) as data:
    print(data.select(Quote).count())
"""


def test_log_of_a_killed_writer_is_told(closed: Path) -> None:
    """A log that a killed program left cannot be read without writing, and the error says what to do."""
    log = closed.with_name(f"{closed.name}-wal")
    log.write_bytes(b"\0" * 100)
    files = set(closed.parent.iterdir())
    with pytest.raises(DatabaseError, match="ended without closing it"):
        open_layer(environ=read_only(closed))
    assert files == set(closed.parent.iterdir())


def test_many_threads_read_only(closed: Path) -> None:
    """Threads share a store that is only read."""
    counts: list[int] = []
    with open_layer(environ=read_only(closed)) as data:
        threads = [threading.Thread(target=lambda: counts.append(data.select(Quote, "A").count())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [20] * 8 == counts
