"""Connections to one database file, shared between threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import apsw

from fpa_core.engine.turns import Turns
from fpa_core.exceptions import DatabaseError
from fpa_plugins.sqlite.files.forking import check_forked, close_before_forks

if TYPE_CHECKING:
    from fpa_plugins.sqlite.files.read_only import ReadOnlyFile
    from fpa_plugins.sqlite.files.writable import WritableFile

__all__ = ["Pool"]

_INHERITED: list[object] = []
"""Connections of a parent process, which are never closed here: that would wait for its mutexes, and release its locks."""


class _Loan:
    """A context with a connection for reading. It is entered thousands of times a second, so it is a class and not a generator."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> apsw.Connection:
        self._connection = self._pool.borrow()
        return self._connection

    def __exit__(self, *failure: object) -> None:
        self._pool.give_back(self._connection)


class Pool:
    """One writer and any number of readers on one file.

    A reader belongs to whoever borrowed it until it is given back, so that no statement left open by one caller holds another on an old
    view of the data. Connections do not survive a fork: see :mod:`fpa_plugins.sqlite.files.forking`.
    """

    def __init__(self, file: WritableFile | ReadOnlyFile) -> None:
        self.file = file
        self._path = str(file.path)
        self._reset()
        close_before_forks(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._lent = 0
        self._forking = False
        self._readers: list[apsw.Connection] = []
        self._turns = Turns(self._path, self.file.busy_timeout)
        self._holds_turn = False
        self._writer: apsw.Connection | None = None

    @property
    def writing_connection(self) -> apsw.Connection | None:
        """The connection for writing; None until it is first lent."""
        return self._writer

    @property
    def is_open(self) -> bool:
        """Whether this process may still use it."""
        return not self._closed and self._pid == os.getpid()

    def _check(self) -> None:
        if self._pid != os.getpid():
            _INHERITED.extend((self._readers, self._writer))
            self._reset()
        check_forked(self._path)
        if self._closed:
            raise DatabaseError(f"{self._path}: the store is closed", path=self._path, operation="use")

    def reader(self) -> _Loan:
        """Lend a connection for reading."""
        return _Loan(self)

    def borrow(self) -> apsw.Connection:
        """Take a connection for reading, which :meth:`give_back` returns."""
        self._check()
        with self._lock:
            if self._forking:
                self._returned.wait_for(lambda: not self._forking)
            self._lent += 1
            connection = self._readers.pop() if self._readers else None
        try:
            if connection is not None and self.file.read_only and self.file.is_stale(connection):
                connection.close(True)
                connection = None
            return connection or self.file.connect()
        except BaseException:
            self._take_back(None)
            raise

    def _take_back(self, connection: apsw.Connection | None) -> None:
        with self._lock:
            self._lent -= 1
            if connection is not None:
                self._readers.append(connection)
            if self._forking:
                self._returned.notify_all()

    def give_back(self, connection: apsw.Connection) -> None:
        """Take a connection back."""
        if self._pid != os.getpid():
            _INHERITED.append(connection)
            return
        usable = not self._closed and not connection.in_transaction
        if not usable:
            connection.close(True)
        self._take_back(connection if usable else None)
        if usable and self.file.read_only:
            self.file.check_read(connection)

    @contextlib.contextmanager
    def writer(self) -> Iterator[apsw.Connection]:
        """Lend the connection for writing; other threads wait, as long as other processes would.

        :raises DatabaseBusyError: when the wait takes longer than the busy timeout, or the thread is already writing.
        """
        self._check()
        if self.file.read_only:
            raise DatabaseError(
                f"{self._path} was opened for reading only",
                hint="open it without read_only in [store], and without --read-only",
                path=self._path,
                operation="write",
            )
        with self._turns:
            self._writer = self._writer or self.file.connect()
            yield self._writer

    def before_fork(self, patience: float) -> bool:
        """Close all connections and lend none until the fork is done; return False if one is still in use after *patience* seconds."""
        idle = self._holds_turn = self._turns.acquire(patience)
        self._lock.acquire()
        self._forking = True
        idle = self._returned.wait_for(lambda: not self._lent, patience) and idle
        idle = idle and not (self._writer is not None and self._writer.in_transaction)
        if idle:
            for connection in (*self._readers, self._writer):
                if connection is not None:
                    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                    connection.close(True)
            self._readers, self._writer = [], None
            self.file.forget_log()
        return idle

    def after_fork(self) -> None:
        """Lend connections again; a child makes its own locks instead."""
        self._forking = False
        self._returned.notify_all()
        self._lock.release()
        if self._holds_turn:
            self._turns.release()

    def close(self) -> None:
        """Close what is not on loan; what is, closes when it comes back."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close(True)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(True)
