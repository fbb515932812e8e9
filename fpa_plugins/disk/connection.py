"""diskcache on the SQLite of apsw, which is up to date on all systems; that of the standard library often corrupts databases in WAL mode."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import apsw
import diskcache
from diskcache.core import DBNAME

__all__ = ["Cache", "Connection", "result_code"]

_STANDARD: Final = {
    apsw.SQLITE_BUSY: sqlite3.OperationalError,
    apsw.SQLITE_LOCKED: sqlite3.OperationalError,
    apsw.SQLITE_ERROR: sqlite3.OperationalError,
    apsw.SQLITE_IOERR: sqlite3.OperationalError,
    apsw.SQLITE_CANTOPEN: sqlite3.OperationalError,
}
"""The exceptions that diskcache expects, by SQLite's result code; DatabaseError for any other."""


def result_code(error: Exception) -> int:
    """Return SQLite's primary result code of an error of either library. An error without a code counts as a corrupt database."""
    code: int = getattr(error, "result", None) or getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT
    return code & 0xFF


class Connection:
    """The part of the standard library's connection interface that diskcache uses.

    :param timeout: seconds to wait for a lock that another connection holds.
    """

    __slots__ = ("_connection",)

    def __init__(self, path: str, timeout: float) -> None:
        self._connection = apsw.Connection(path)
        self._connection.set_busy_timeout(int(timeout * 1000))
        # Do not re-prepare statements for each key, which SQLite does if a plan may depend on it.
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        # diskcache's triggers have string literals in double quotes.
        self._connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 1)
        self._connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 1)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> apsw.Cursor:
        """Execute a statement. A statement that returns no rows is complete afterwards."""
        try:
            return self._connection.execute(statement, values)
        except apsw.Error as error:
            raised = _STANDARD.get(code := result_code(error), sqlite3.DatabaseError)(str(error))
            raised.sqlite_errorcode = code
            raise raised from error

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Close the connection and all open statements."""
        self._connection.close(force=True)


class Cache(diskcache.Cache):  # type: ignore[misc]
    """diskcache with connections of this class: one per thread, and never one inherited by a fork."""

    @property
    def _con(self) -> Connection:
        local = self._local
        if getattr(local, "pid", None) != (pid := os.getpid()):
            self.close()
            local.pid = pid
        connection: Connection | None = getattr(local, "con", None)
        if connection is None:
            connection = local.con = Connection(os.path.join(self._directory, DBNAME), self._timeout)  # noqa: PTH118
            # Settings of a connection from the folder; none exist yet while the folder is created.
            try:
                settings = connection.execute("SELECT key, value FROM Settings").fetchall()
            except sqlite3.OperationalError:
                settings = []
            for key, value in settings:
                if str(key).startswith("sqlite_"):
                    self.reset(key, value, update=False)
        return connection
