"""diskcache on the SQLite of apsw, which is current everywhere: the standard library's is often one that corrupts databases in WAL mode."""

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
"""Whose errors diskcache knows, by SQLite's result; any other is a DatabaseError to it."""


def result_code(error: Exception) -> int:
    """Return SQLite's primary result code in an error of either library; an error without one says that the database makes no sense."""
    code: int = getattr(error, "result", None) or getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT
    return code & 0xFF


class Connection:
    """What diskcache asks of a connection of the standard library.

    :param timeout: seconds to wait for a lock that another connection holds.
    """

    __slots__ = ("_connection",)

    def __init__(self, path: str, timeout: float) -> None:
        self._connection = apsw.Connection(path)
        self._connection.set_busy_timeout(int(timeout * 1000))
        # Statements are not prepared anew for each key, as they are where a plan may depend on it.
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        # diskcache's triggers write texts in double quotes.
        self._connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 1)
        self._connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 1)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> apsw.Cursor:
        """Begin a statement; one that returns no rows is then done."""
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
        """End it, and statements still open with it."""
        self._connection.close(force=True)


class Cache(diskcache.Cache):  # type: ignore[misc]
    """diskcache with connections of this kind: one for each thread, and none that a fork handed down."""

    @property
    def _con(self) -> Connection:
        local = self._local
        if getattr(local, "pid", None) != (pid := os.getpid()):
            self.close()
            local.pid = pid
        connection: Connection | None = getattr(local, "con", None)
        if connection is None:
            connection = local.con = Connection(os.path.join(self._directory, DBNAME), self._timeout)  # noqa: PTH118
            # Settings of a connection, as the folder has them; there are none yet while it is made.
            try:
                settings = connection.execute("SELECT key, value FROM Settings").fetchall()
            except sqlite3.OperationalError:
                settings = []
            for key, value in settings:
                if str(key).startswith("sqlite_"):
                    self.reset(key, value, update=False)
        return connection
