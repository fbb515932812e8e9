"""The schema and the way to it: all steps or none, under a backup, checksummed, never past what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import apsw
import numpy as np
import pytest
from attrs import evolve
from sqlite_schemas import create_tables, migrate

from fpa_core.arrow.batches import to_scaled
from fpa_core.arrow.conversion import to_table
from fpa_core.engine import segment_writer
from fpa_core.engine.sql.tables import SqlTables
from fpa_core.exceptions import SchemaError
from fpa_core.kinds import KINDS, TRADES
from fpa_core.models import Bar, Order, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined, QuarantineQuery
from fpa_core.store import DataStore
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import Migration, known_migrations
from fpa_plugins.sqlite.migrations.runner import pending_steps
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store
from fpa_plugins.sqlite.session import SqliteSession

pytestmark = pytest.mark.usefixtures("migrated_databases")

T = 1_714_573_800_000_000_000
NEXT = Migration(
    known_migrations()[-1].version + 1, "notes", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('here');"
)
BROKEN = Migration(NEXT.version, "broken", "CREATE TABLE notes (text TEXT); INSERT INTO nowhere VALUES (1);")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a database of the present schema with a row in it."""
    path = tmp_path / "test.db"
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        store.save(Quote("A", Instant(1), 1, 2))
    return path


def connect(path: Path) -> apsw.Connection:
    """Open a file as the store does, so that what a test writes has the checksums of its pages."""
    return open_file(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def tables(connection: apsw.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_migrations_lead_to_what_the_records_say(path: Path) -> None:
    """All steps together make exactly the tables that the record kinds define today, but for the order of columns."""
    migrated, defined = connect(path), apsw.Connection(":memory:")
    defined.execute(create_tables(list(KINDS.values())))
    for table in (*KINDS, *(f"{kind}_history" for kind in KINDS)):
        sql = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}') ORDER BY name"
        assert defined.execute(sql).fetchall() == migrated.execute(sql).fetchall()


def test_new_database_has_every_step(path: Path) -> None:
    """A new file gets all steps, each with its checksum, and the mark that it is ours."""
    connection = connect(path)
    steps = known_migrations()
    found = connection.execute("SELECT version, name, checksum FROM schema_versions").fetchall()
    assert [(step.version, step.name, step.checksum) for step in steps] == found
    assert (0x46504131, steps[-1].version) == (connection.pragma("application_id"), connection.pragma("user_version"))


def test_old_database_is_migrated_under_a_backup(path: Path) -> None:
    """An older schema is brought up to date, and the file as it was stays beside it."""
    connection = connect(path)
    backup = migrate(connection, path, [*known_migrations(), NEXT])
    assert backup is not None
    assert "notes" in tables(connection)
    old = connect(backup)
    assert "notes" not in tables(old)
    assert [("A",)] == old.execute("SELECT symbol FROM quotes").fetchall()
    assert 0o600 == backup.stat().st_mode & 0o777
    assert migrate(connection, path, [*known_migrations(), NEXT]) is None


def test_failed_migration_changes_nothing(path: Path) -> None:
    """A step that fails takes every change of the migration with it."""
    connection = connect(path)
    before = tables(connection)
    with pytest.raises(apsw.SQLError):
        migrate(connection, path, [*known_migrations(), BROKEN])
    assert before == tables(connection)
    assert NEXT.version - 1 == connection.pragma("user_version")
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        assert 1 == store.select(Quote).count()


def test_newer_database_is_refused(path: Path) -> None:
    """A schema of a newer version is refused with both versions, and left alone."""
    migrate(connect(path), path, [*known_migrations(), NEXT])
    with pytest.raises(
        SchemaError, match=f"its schema is {NEXT.version}, the newest known here is {NEXT.version - 1}"
    ) as error:
        open_store(SqliteOptions(path=path))
    assert "upgrade" in str(error.value.hint)


def test_changed_step_is_refused(path: Path) -> None:
    """A database whose past steps are not ours is refused."""
    connect(path).execute("UPDATE schema_versions SET checksum = 'x'")
    with pytest.raises(SchemaError, match=r"step 1 \(initial\)"):
        open_store(SqliteOptions(path=path))


def test_other_program_is_refused(tmp_path: Path) -> None:
    """An SQLite database of another program is refused and gets no tables of ours."""
    path = tmp_path / "test.db"
    other = connect(path)
    other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SchemaError, match="another program"):
        open_store(SqliteOptions(path=path))
    assert {"theirs"} == tables(other)


class Overtaken:
    """A connection to a new database that another process makes ours just after the first look at it."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.overtaken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def pragma(self, name: str) -> Any:
        """Look, and be overtaken."""
        found = self._connection.pragma(name)
        if not self.overtaken:
            self.overtaken = True
            migrate(connect(self._path), self._path)
        return found


def test_another_process_may_make_the_database_meanwhile(tmp_path: Path) -> None:
    """Who opens a new database while another process makes its tables does not take it for that of another program."""
    path = tmp_path / "test.db"
    own = connect(path)
    own.execute("PRAGMA journal_mode = WAL")
    connection = Overtaken(own, path)
    assert migrate(cast("apsw.Connection", connection), path) is None
    assert connection.overtaken
    assert not pending_steps(own, path, known_migrations())


def test_checksum_ignores_line_ends() -> None:
    """A checkout with other line ends has the same steps."""
    unix, windows = (Migration(1, "x", f"SELECT 1;{end}SELECT 2;{end}") for end in ("\n", "\r\n"))
    assert unix.checksum == windows.checksum


def test_undone_records_of_an_older_quarantine_stay_undone(tmp_path: Path) -> None:
    """Refused records of before there was a history keep their state, which undoing the undo takes back."""
    path = tmp_path / "old.db"
    connection = connect(path)
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


def old_database(path: Path, rows: int = 5_000) -> None:
    """Make a database of the schema before words: hot rows, a sealed segment without the column `side`, history, bars, refused rows."""
    connection = connect(path)
    migrate(connection, path, known_migrations()[:3])
    connection.execute(
        "INSERT INTO batches (id, source, recorded_ns, quarantined) VALUES (1, 'a', 1, 0), (2, 'b', 2, 3);"
        f"INSERT INTO trades VALUES ('HOT', {T}, '1', '2', NULL, 'X', 'i1', 0, 2), ('HOT', {T}, '1', '2', NULL, 'X', NULL, 1, 2);"
        f"INSERT INTO trades_history VALUES ('HOT', {T}, '9', '2', NULL, 'X', 'i1', 0, 1, 2, 'revised');"
        f"INSERT INTO bars VALUES ('A', {T}, '1', '1', '1', '1', '5', '60m', NULL, NULL, 1), ('A', {T}, '1', '1', '1', '2', '5', '1h', NULL, NULL, 2),"
        f" ('B', {T}, '1', '1', '1', '1', '5', '7d', NULL, NULL, 1);"
        "INSERT INTO orders VALUES ('o', 'A', '1', 'buy', 'market', 'new', '0', NULL, NULL, NULL, 'day', 1, 1, NULL, 'held', NULL, NULL, NULL, 1)"
    )
    findings = json.dumps([{"rule": "format", "message": "price: 'x' is not a decimal number"}])
    connection.executemany(
        "INSERT INTO quarantine (batch, kind, row, raw, findings, cells) VALUES (2, 'trades', ?, ?, ?, ?)",
        [(row, "A,x", findings, json.dumps({"symbol": "A", "price": "x"})) for row in (1, 2, 3)],
    )
    connection.execute("INSERT INTO quarantine_history VALUES (3, 'open', '[]', NULL, 2)")
    kind = evolve(TRADES, columns=tuple(column for column in TRADES.columns if column.name != "side"))
    batch = to_scaled(kind, to_table(kind, [sealed_trade(row) for row in range(rows)]).combine_chunks().to_batches()[0])
    pending = segment_writer.PendingSegment(kind, "S", batch, np.full(rows, 1))
    segment_writer.write_segments(SqlTables(SqliteSession(connection)), [pending])
    connection.close()


def sealed_trade(row: int) -> Trade:
    return Trade("S", T + row // 2, row % 2 + 1, 5, "c", "X")


def test_old_database_is_read_as_it_was(tmp_path: Path) -> None:
    """Rows of before the side of trades, hot and sealed, read equal, are recognised when they come again, and go with their batch."""
    path = tmp_path / "old.db"
    old_database(path)
    hot = [Trade("HOT", T, 1, 2, None, "X", "i1"), Trade("HOT", T, 1, 2, None, "X")]
    sealed_rows = [sealed_trade(row) for row in range(5_000)]
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        assert sealed_rows == store.select(Trade, "S").to_list()
        assert hot == store.select(Trade, "HOT").to_list()
        assert 5_000 == store.select(Trade, "S", side=None).count()
        assert sealed_rows[-1] == store.latest("S", Trade)
        again = store.save([*sealed_rows, *hot, Trade("HOT", T, 9, 2, None, "X", "i1")])
        assert (0, 5_003, 0) == (again.inserted, again.duplicate, again.revised)
        assert ("held", None) == ((order := store.select(Order).first()).status_raw, order.type_raw)
        assert [None, None] == [batch.reading for batch in store.batches()][1:]
        more = Trade("S", T, 1, 5, "c", "X", None, "sell")
        assert 1 == store.save(more).inserted
        store.seal()
        assert more in store.select(Trade, "S", end=T + 1).to_list()


def test_intervals_of_an_old_database_are_respelled(tmp_path: Path) -> None:
    """A stored bar is found under the one spelling of its interval; of two that become one, the later batch's stands and the other is history."""
    path = tmp_path / "old.db"
    old_database(path, rows=2)
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        assert [("A", "1h", 2), ("B", "1w", 1)] == [
            (bar.symbol, bar.interval, bar.close) for bar in store.select(Bar).to_list()
        ]
        again = store.save([Bar("A", T, 1, 1, 1, 1, 5, "60m"), Bar("B", T, 1, 1, 1, 1, 5, "7d")])
        assert (0, 2) == (again.inserted, again.duplicate)


def test_quarantine_of_an_old_database(tmp_path: Path) -> None:
    """Refused rows of before keep findings, cells and history, are found by rule, and are recognised when they come again."""
    path = tmp_path / "old.db"
    old_database(path, rows=2)
    row = Quarantined("trades", None, None, 1, "A,x", ({"rule": "format"},), cells={"symbol": "A", "price": "x"})
    with DataStore(open_store(SqliteOptions(path=path))) as store:
        found = store.quarantined()
        assert [({"symbol": "A", "price": "x"}, "format")] * 3 == [
            (one.cells, one.findings[0]["rule"]) for one in found
        ]
        assert 3 == len(list(store.backend.quarantined(QuarantineQuery(rules=("form*",)))))
        with store.batch(origin="again") as batch:
            assert [4] == [one.id for one in batch.quarantine([row] * 4)]
            batch.finish(read=4, reading='{"format": "csv"}')
        assert '{"format": "csv"}' == store.batches()[0].reading
