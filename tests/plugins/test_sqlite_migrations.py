"""The schema and the way to it: all steps or none, under a backup, checksummed, never past what is known."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from fpa_core.exceptions import SchemaError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.records import KINDS
from fpa_core.store import DataStore
from fpa_plugins.sqlite.migrations import Migration, known_migrations, migrate
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store
from fpa_plugins.sqlite.schema import create_tables

NEXT = Migration(
    len(known_migrations()) + 1, "notes", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('here');"
)
BROKEN = Migration(NEXT.version, "broken", "CREATE TABLE notes (text TEXT); INSERT INTO nowhere VALUES (1);")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a database of the present schema with a row in it."""
    path = tmp_path / "test.db"
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        store.save(Quote("A", Instant(1), 1, 2))
    return path


def tables(connection: apsw.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_first_migration_is_what_the_records_say() -> None:
    """The frozen script of the first schema holds exactly the tables that the record kinds define today."""
    assert known_migrations()[0].sql.endswith(create_tables(list(KINDS.values())))


def test_new_database_has_every_step(path: Path) -> None:
    """A new file gets all steps, each with its checksum, and the mark that it is ours."""
    connection = apsw.Connection(str(path))
    steps = known_migrations()
    found = connection.execute("SELECT version, name, checksum FROM schema_versions").fetchall()
    assert [(step.version, step.name, step.checksum) for step in steps] == found
    assert (0x46504131, steps[-1].version) == (connection.pragma("application_id"), connection.pragma("user_version"))


def test_old_database_is_migrated_under_a_backup(path: Path) -> None:
    """An older schema is brought up to date, and the file as it was stays beside it."""
    connection = apsw.Connection(str(path))
    backup = migrate(connection, path, [*known_migrations(), NEXT])
    assert backup is not None
    assert "notes" in tables(connection)
    old = apsw.Connection(str(backup))
    assert "notes" not in tables(old)
    assert [("A",)] == old.execute("SELECT symbol FROM quotes").fetchall()
    assert 0o600 == backup.stat().st_mode & 0o777
    assert migrate(connection, path, [*known_migrations(), NEXT]) is None


def test_failed_migration_changes_nothing(path: Path) -> None:
    """A step that fails takes every change of the migration with it."""
    connection = apsw.Connection(str(path))
    before = tables(connection)
    with pytest.raises(apsw.SQLError):
        migrate(connection, path, [*known_migrations(), BROKEN])
    assert before == tables(connection)
    assert NEXT.version - 1 == connection.pragma("user_version")
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        assert 1 == store.select(Quote).count()


def test_newer_database_is_refused(path: Path) -> None:
    """A schema of a newer version is refused with both versions, and left alone."""
    migrate(apsw.Connection(str(path)), path, [*known_migrations(), NEXT])
    with pytest.raises(
        SchemaError, match=f"its schema is {NEXT.version}, the newest known here is {NEXT.version - 1}"
    ) as error:
        open_store(SqliteOptions(path=path))
    assert "upgrade" in str(error.value.hint)


def test_changed_step_is_refused(path: Path) -> None:
    """A database whose past steps are not ours is refused."""
    apsw.Connection(str(path)).execute("UPDATE schema_versions SET checksum = 'x'")
    with pytest.raises(SchemaError, match=r"step 1 \(initial\)"):
        open_store(SqliteOptions(path=path))


def test_other_program_is_refused(tmp_path: Path) -> None:
    """An SQLite database of another program is refused and gets no tables of ours."""
    path = tmp_path / "test.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SchemaError, match="another program"):
        open_store(SqliteOptions(path=path))
    assert {"theirs"} == tables(other)


def test_checksum_ignores_line_ends() -> None:
    """A checkout with other line ends has the same steps."""
    unix, windows = (Migration(1, "x", f"SELECT 1;{end}SELECT 2;{end}") for end in ("\n", "\r\n"))
    assert unix.checksum == windows.checksum


def test_undone_records_of_an_older_quarantine_stay_undone(tmp_path: Path) -> None:
    """Refused records of before there was a history keep their state, which undoing the undo takes back."""
    path = tmp_path / "old.db"
    connection = apsw.Connection(str(path))
    migrate(connection, path, known_migrations()[:2])
    connection.execute(
        "INSERT INTO batches (id, source, recorded_ns, undone_by) VALUES (1, 'api', 1, 2), (2, 'undo:1', 2, NULL);"
        "INSERT INTO quarantine (batch, kind, row, raw, findings, state) VALUES (1, 'quotes', 1, '{}', '[]', 'undone'), (1, 'quotes', 2, '{}', '[]', 'open')"
    )
    connection.close()
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        assert [("open", None), ("undone", 2)] == [(one.state, one.changed_by) for one in store.quarantined()]
        store.undo(2)
        assert ["open", "open"] == [one.state for one in store.quarantined()]
