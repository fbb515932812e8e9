"""The engine's port on one SQLite file: its dialect, its snapshots and its lock."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from fpa_core.engine.audit_log import record_migration
from fpa_core.engine.catalog import last_values
from fpa_core.engine.damage import damaged
from fpa_core.engine.rows import Row
from fpa_core.engine.sql.inspection import dangling
from fpa_core.engine.sql.session import Parameters, Wanted
from fpa_core.engine.sql.tables import SqlTables
from fpa_core.engine.tables import Reader, Writer, unsupported
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import KINDS, Kind
from fpa_core.outputs import why_distrusted
from fpa_core.patterns import start_of, text_after, translate
from fpa_core.protocols import Capability, Changed, ChangeFeed, KindFigures, Problem, Space, StoreDescription, Tick
from fpa_plugins.sqlite.connection import Pool, immediate, prepare_file
from fpa_plugins.sqlite.copying import copy_database
from fpa_plugins.sqlite.encryption import Key, check_encryption
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.inspection import check_schema, inspect
from fpa_plugins.sqlite.migrations import check_current, migrate
from fpa_plugins.sqlite.pages import check_header, reserve_checksums, without_verifying

__all__ = ["SqliteDatabase", "SqliteSession", "glob"]

_log = logging.getLogger("fpa.store.sqlite")

FEW = 16
"""Rows of ``wanted`` that are bound to the statement itself; more go through a temporary table."""

_WANTED = (
    "CREATE TEMP TABLE IF NOT EXISTS wanted (n INTEGER PRIMARY KEY, a TEXT, b TEXT, x INTEGER, y INTEGER, z INTEGER)"
)


class SqliteSession:
    """See :class:`fpa_core.engine.sql.session.Session`."""

    same = "IS"

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except UnicodeDecodeError as error:
            raise _not_text(sql, error) from error

    def stream(self, sql: str, parameters: Parameters = (), *, size: int = 16_384) -> Generator[list[Row], None, None]:
        """Yield the rows of a statement. The connection stays at its moment for as long as the cursor is open."""
        cursor = self.connection.execute(sql, parameters)
        try:
            while page := list(itertools.islice(cursor, size)):
                yield page
        except UnicodeDecodeError as error:
            raise _not_text(sql, error) from error
        finally:
            cursor.close()

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        self.connection.execute(sql, parameters)
        return int(self.connection.changes())

    def bulk(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows."""
        self.connection.executemany(_insert(table, tuple(columns)), rows)

    def heads(self, table: str, column: str, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first bytes of blobs, of which only the first page is read."""
        for number in ids:
            with contextlib.closing(self.connection.blob_open("main", table, column, number, False)) as blob:
                yield blob.read(size)

    def wanted(self, rows: Sequence[Wanted]) -> tuple[str, list[Any]]:
        """Make *rows* a relation: a common table expression or, for many rows, a temporary table."""
        if not rows:
            return "WITH wanted (n, a, b, x, y, z) AS (SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE FALSE) ", []
        if len(rows) <= FEW:
            values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
            bound = [value for n, row in enumerate(rows) for value in (n, *row)]
            return f"WITH wanted (n, a, b, x, y, z) AS (VALUES {values}) ", bound
        self.connection.execute(_WANTED)
        self.connection.execute("DELETE FROM temp.wanted")
        self.connection.executemany(
            "INSERT INTO temp.wanted VALUES (?, ?, ?, ?, ?, ?)", ((n, *row) for n, row in enumerate(rows))
        )
        return "", []

    def matches(self, column: str, pattern: str) -> tuple[str, list[Any]]:
        """Return the condition that a column matches a pattern: a GLOB, and a range, since an index serves no bound GLOB."""
        start = start_of(pattern)
        if after := text_after(start):
            return f"({column} GLOB ? AND {column} >= ? AND {column} < ?)", [glob(pattern), start, after]
        return f"{column} GLOB ?", [glob(pattern)]


def _not_text(sql: str, error: UnicodeDecodeError) -> CorruptionError:
    """Return the error for bytes in the place of a text: the driver names neither row nor column."""
    tables = dict.fromkeys(re.findall(r"\bFROM ([a-z_]+)", sql))
    return damaged(" or ".join(tables), "some key", f"the bytes {bytes(error.object[:24])!r} are no text in UTF-8")


@functools.lru_cache(maxsize=256)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def glob(pattern: str) -> str:
    """Return a pattern as SQLite's GLOB understands it: there, only brackets take the meaning from a character."""
    return translate(pattern, many="*", one="?", literal=lambda text: re.sub(r"([*?\[])", r"[\1]", text))


class SqliteDatabase:
    """See :class:`fpa_core.engine.tables.Database`.

    :param path: the file; it and its folder are made when missing.
    :param synchronous: ``full`` or ``normal``.
    :param busy_timeout: how long a writer waits for another one, in seconds.
    :param read_only: change nothing and make no file.
    :param key: of an encrypted file.
    :raises SchemaError: when the file is no database of ours, of a newer version, or its schema was changed.
    :raises CorruptionError: when it is damaged.
    :raises DatabaseError: when it cannot be opened.
    """

    capabilities = frozenset(
        {
            Capability.PERSISTENT,
            Capability.SHARED,
            Capability.KNOWN_AT,
            Capability.VERSIONS,
            Capability.UNDO,
            Capability.SEAL,
            Capability.BACKUP,
            Capability.COMPACT,
        }
    )

    def __init__(
        self, path: Path, *, synchronous: str, busy_timeout: float, read_only: bool = False, key: Key | None = None
    ) -> None:
        self.path = path.expanduser().absolute()
        self.migration_backup: Path | None = None
        if not read_only:
            prepare_file(self.path)
        if self.path.exists() and (reason := why_distrusted(self.path)):
            _log.warning("%s: %s: somebody else may have changed what it holds", self.path, reason)
        self._pool = Pool(self.path, synchronous=synchronous, busy_timeout=busy_timeout, read_only=read_only, key=key)
        with translated(self.path, "open"):
            check_encryption(self.path, key)
            check_header(self.path)
            if read_only:
                with self._pool.reader() as connection:
                    check_current(connection, self.path)
                    check_schema(connection, self.path)
            else:
                with self._pool.writer() as connection:
                    self.migration_backup = migrate(connection, self.path, key=key, note=_note_migration)
                    check_schema(connection, self.path)

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:
        """Open one state of the store, in a read transaction."""
        with translated(self.path, operation), self._pool.reader() as connection:
            connection.execute("BEGIN")
            try:
                yield SqlTables(SqliteSession(connection))
            finally:
                # The engine has rolled back already if the disk failed; a second error would hide the first.
                if connection.in_transaction:
                    with contextlib.suppress(apsw.Error):
                        connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        """Open the latest state, with the write lock from the start."""
        with translated(self.path, operation), self._pool.writer() as connection, immediate(connection):
            self._pool.check_place()
            yield SqlTables(SqliteSession(connection))
            self._pool.check_place()

    def version(self) -> object | None:
        """Return what differs after any change: the first number by other connections, the second by the writing one; they begin anew with it."""
        connection = self._pool.writing_connection
        return (
            None if connection is None else (connection, connection.pragma("data_version"), connection.total_changes())
        )

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row: one statement, which sees one state, and nothing is decoded."""
        with translated(self.path, f"read {kind.name}"), self._pool.reader() as connection:
            found: list[Any] = SqliteSession(connection).query(_latest_statement(kind), (subject,))
        if not found:
            return None
        # Of one time the hot row is the later one: it arrived when the other was sealed already.
        row = found[0] if len(found) == 1 or found[0][1] >= found[1][1] else found[1]
        if not row[0]:
            return list(row[2:])
        by_name = last_values(row[2], f"{kind.name} of {subject}")
        return [by_name.get(column.name) for column in kind.columns]

    def describe(self) -> StoreDescription:
        """Return what file this is."""
        with translated(self.path, "describe"), self._pool.reader() as connection:
            return StoreDescription(
                backend="sqlite",
                engine=f"SQLite {apsw.sqlite_lib_version()}",
                path=str(self.path),
                schema=int(connection.pragma("user_version")),
                bytes=int(connection.pragma("page_count")) * int(connection.pragma("page_size")),
                kinds={name: _figures(connection, name) for name in KINDS},
            )

    def grants(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("sqlite", Capability.ROLES)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("sqlite", Capability.ROLES)

    def announce(self, changed: Changed) -> None:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("sqlite", Capability.NOTIFIES)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("sqlite", Capability.NOTIFIES)

    def inspect(self) -> Iterator[Problem]:
        """Yield what is wrong with the file and between its tables."""
        with translated(self.path, "check"), self._pool.reader() as connection:
            yield from inspect(connection, self.path, encrypted=self._pool.key is not None)
            yield from dangling(SqliteSession(connection), str(self.path))

    @contextlib.contextmanager
    def salvager(self, operation: str) -> Iterator[Writer]:
        """Open the latest state for writing; pages that do not match their checksums are read as they are."""
        with (
            translated(self.path, operation),
            self._pool.writer() as connection,
            without_verifying(connection),
            immediate(connection),
        ):
            yield SqlTables(SqliteSession(connection))

    def copy_to(self, path: Path, tick: Tick) -> None:
        """Copy one state, page by page; writers go on meanwhile."""
        with translated(self.path, "back up"), self._pool.reader() as connection:
            copy_database(connection, path, tick, self._pool.key)

    def space(self) -> Space:
        """Return the size of the file, and of its free pages."""
        with translated(self.path, "describe"), self._pool.reader() as connection:
            size = int(connection.pragma("page_size"))
            return Space(int(connection.pragma("page_count")) * size, int(connection.pragma("freelist_count")) * size)

    def compact(self) -> None:
        """Rewrite the file without its free pages, in one transaction."""
        with translated(self.path, "compact"), self._pool.writer() as connection:
            if self._pool.key is None:
                reserve_checksums(connection)  # for a file of before there were any
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def is_open(self) -> bool:
        """Return whether this process may still use it."""
        return self._pool.is_open

    def close(self) -> None:
        """Release the file; SQLite folds the write-ahead log into it."""
        with translated(self.path, "close"):
            self._pool.close()


def _note_migration(connection: apsw.Connection, version: int, backup: Path | None) -> None:
    record_migration(SqlTables(SqliteSession(connection)), version, int(connection.pragma("user_version")), backup)


@functools.cache
def _latest_statement(kind: Kind) -> str:
    """Return the statement for the last hot row and what the catalog says of the last sealed one: whether it is sealed, its time, its values."""
    fields = ", ".join(column.field for column in kind.columns)
    rest = ", NULL" * (len(kind.columns) - 1)
    hot = f"SELECT 0, ts_ns, {fields} FROM {kind.name} WHERE {kind.subject} = ?1 ORDER BY ts_ns DESC, seq DESC LIMIT 1"
    sealed = f"SELECT 1, last_ns, last_row{rest} FROM segments WHERE kind = '{kind.name}' AND subject = ?1 ORDER BY last_ns DESC LIMIT 1"
    return f"SELECT * FROM ({hot}) UNION ALL SELECT * FROM ({sealed})"


def _figures(connection: apsw.Connection, kind: str) -> KindFigures:
    sums = "SELECT count(*), ifnull(sum(rows), 0), ifnull(sum(bytes), 0) FROM segments WHERE kind = ?"
    segments, rows, size = next(connection.execute(sums, (kind,)))
    hot = connection.execute(f"SELECT count(*) FROM {kind}").get
    return KindFigures(hot + rows, hot, rows, segments, size)
