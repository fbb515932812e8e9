"""The engine's port on one SQLite file: its dialect, its snapshots and its lock."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from fpa_core.engine.audit_log import record_migration
from fpa_core.engine.sql.inspection import dangling, figures_of_kinds
from fpa_core.engine.sql.latest import latest_statement, latest_values
from fpa_core.engine.sql.tables import CAPABILITIES, SqlTables
from fpa_core.engine.tables import Database, Reader, Writer
from fpa_core.kinds import Kind
from fpa_core.outputs import why_distrusted
from fpa_core.protocols import Capability, Problem, Space, StoreDescription, Tick
from fpa_plugins.sqlite.connection import Pool
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.files.encryption import Key, check_encryption
from fpa_plugins.sqlite.files.inspection import check_schema, inspect
from fpa_plugins.sqlite.files.pages import check_header, reserve_checksums, without_verifying
from fpa_plugins.sqlite.files.writable import WritableFile
from fpa_plugins.sqlite.migrations import check_current, migrate
from fpa_plugins.sqlite.session import SqliteSession, immediate

if TYPE_CHECKING:
    from fpa_plugins.sqlite.files.read_only import ReadOnlyFile

__all__ = ["SqliteDatabase"]

_log = logging.getLogger("fpa.store.sqlite")


class SqliteDatabase(Database):
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

    capabilities = CAPABILITIES | {Capability.BACKUP, Capability.COMPACT}

    def __init__(
        self, path: Path, *, synchronous: str, busy_timeout: float, read_only: bool = False, key: Key | None = None
    ) -> None:
        self.path = path.expanduser().absolute()
        self.migration_backup: Path | None = None
        file: WritableFile | ReadOnlyFile
        if read_only:
            from fpa_plugins.sqlite.files.read_only import ReadOnlyFile

            file = ReadOnlyFile(self.path, key, busy_timeout=busy_timeout)
        else:
            file = WritableFile(self.path, key, synchronous=synchronous, busy_timeout=busy_timeout)
        if reason := why_distrusted(self.path):
            _log.warning("%s: %s: somebody else may have changed what it holds", self.path, reason)
        self._pool = Pool(file)
        with translated(self.path, "open"):
            check_encryption(self.path, key)
            check_header(self.path)
            with self._pool.reader() if read_only else self._pool.writer() as connection:
                if read_only:
                    check_current(connection, self.path)
                else:
                    back_up = functools.partial(_back_up, self.path, key)
                    self.migration_backup = migrate(connection, self.path, back_up=back_up, note=_note_migration)
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
            self._pool.file.check_place()
            yield SqlTables(SqliteSession(connection))
            self._pool.file.check_place()

    def version(self) -> object | None:
        """Return what differs after any change: the first number by other connections, the second by the writing one; they begin anew with it."""
        connection = self._pool.writing_connection
        return (
            None if connection is None else (connection, connection.pragma("data_version"), connection.total_changes())
        )

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row: one statement, which sees one state, and nothing is decoded."""
        with translated(self.path, f"read {kind.name}"), self._pool.reader() as connection:
            found = SqliteSession(connection).query(latest_statement(kind), (subject, subject))
        return latest_values(kind, subject, found)

    def describe(self) -> StoreDescription:
        """Return what file this is."""
        with translated(self.path, "describe"), self._pool.reader() as connection:
            return StoreDescription(
                backend="sqlite",
                engine=f"SQLite {apsw.sqlite_lib_version()}",
                path=str(self.path),
                schema=int(connection.pragma("user_version")),
                bytes=int(connection.pragma("page_count")) * int(connection.pragma("page_size")),
                kinds=figures_of_kinds(SqliteSession(connection)),
            )

    def inspect(self) -> Iterator[Problem]:
        """Yield what is wrong with the file and between its tables."""
        with translated(self.path, "check"), self._pool.reader() as connection:
            yield from inspect(connection, self.path, encrypted=self._pool.file.key is not None)
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
        from fpa_plugins.sqlite.files.copying import copy_database

        with translated(self.path, "back up"), self._pool.reader() as connection:
            copy_database(connection, path, tick, self._pool.file.key)

    def space(self) -> Space:
        """Return the size of the file, and of its free pages."""
        with translated(self.path, "describe"), self._pool.reader() as connection:
            size = int(connection.pragma("page_size"))
            return Space(int(connection.pragma("page_count")) * size, int(connection.pragma("freelist_count")) * size)

    def compact(self) -> None:
        """Rewrite the file without its free pages, in one transaction."""
        with translated(self.path, "compact"), self._pool.writer() as connection:
            if self._pool.file.key is None:
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


def _back_up(path: Path, key: Key | None, version: int) -> Path:
    from fpa_plugins.sqlite.files.copying import back_up

    return back_up(path, version, key)


def _note_migration(connection: apsw.Connection, version: int, backup: Path | None) -> None:
    record_migration(SqlTables(SqliteSession(connection)), version, int(connection.pragma("user_version")), backup)
