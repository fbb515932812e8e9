"""Connections that change nothing and make no file.

A file with a write-ahead log is in use, or was when its program ended: it is read with the log. Without one nobody is writing, and the file is read as
if it never changed, since SQLite would make a log to read it otherwise. Whether it changed after all is looked at when the read ends.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Literal, TypeAlias

import apsw

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_plugins.sqlite.files.encryption import Key
from fpa_plugins.sqlite.files.pages import open_file, set_up

__all__ = ["ReadOnlyFile"]

_Stamp: TypeAlias = tuple[int, int, int]


class ReadOnlyFile:
    """A database file that is only read.

    :param busy_timeout: how long a connection waits for a lock of another one, in seconds.
    :raises DatabaseError: if there is no such file.
    """

    read_only: Literal[True] = True

    def __init__(self, path: Path, key: Key | None = None, *, busy_timeout: float) -> None:
        self.path = path
        self.key = key
        self.busy_timeout = busy_timeout
        self._log = path.with_name(path.name + "-wal")
        self._index = path.with_name(path.name + "-shm")
        self._frozen: weakref.WeakKeyDictionary[apsw.Connection, _Stamp] = weakref.WeakKeyDictionary()
        if not path.is_file():
            raise DatabaseError(
                f"there is no database at {path}",
                hint="open it without read_only to make one",
                path=str(path),
                operation="open",
            )

    def connect(self) -> apsw.Connection:
        """Open a connection."""
        stamp = self._stamp()
        how = ""
        if not self._log.exists():
            how = "?immutable=1"
        elif not os.access(self._index, os.W_OK):
            how = "?readonly_shm=1"  # also when there is none: SQLite would make it
        try:
            connection = open_file(
                f"{self.path.as_uri()}{how}", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, self.key
            )
            connection.set_busy_timeout(int(self.busy_timeout * 1000))
            set_up(connection)
            connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            raise DatabaseError(
                f"{self.path} cannot be read without writing: a program that was writing it ended without closing it",
                hint="open it once without read_only, which takes over what is in its log",
                path=str(self.path),
                operation="open",
            ) from error
        if how == "?immutable=1":
            self._frozen[connection] = stamp
        return connection

    def is_stale(self, connection: apsw.Connection) -> bool:
        """Return whether a connection would not see what was written since it was opened."""
        stamp = self._frozen.get(connection)
        return stamp is not None and (self._log.exists() or stamp != self._stamp())

    def check_read(self, connection: apsw.Connection) -> None:
        """Check that what a connection has just read was one state.

        :raises DatabaseBusyError: if another program changed the file meanwhile.
        """
        stamp = self._frozen.get(connection)
        if stamp is not None and stamp != self._stamp():
            raise DatabaseBusyError(
                f"{self.path} was changed while it was read: another program opened it for writing",
                hint="read again",
                path=str(self.path),
                operation="read",
            )

    def check_place(self) -> None:
        """Do nothing: nothing is written that could go astray."""

    def forget_log(self) -> None:
        """Do nothing: each connection looks whether there is a write-ahead log."""

    def _stamp(self) -> _Stamp:
        status = self.path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
