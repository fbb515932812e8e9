"""Connections to one database file: how they are opened, and shared between threads."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from fpa_core.exceptions import DatabaseBusyError, DatabaseError

__all__ = ["Pool", "immediate", "prepare_file"]

PAGE_BYTES = 16_384
"""Large enough for columnar segments to read well, small enough for single rows to write well."""

CACHE_KIB = 32_768
"""Pages that a connection keeps in memory at most: some million sealed rows, so that the hours looked at again need no reading."""


def prepare_file(path: Path) -> None:
    """Make the file and its folder when missing, readable by their owner alone, before SQLite would make them readable by all.

    :raises DatabaseError: when the path is a link, a folder, or cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_symlink():
            raise DatabaseError(
                f"{path} is a symbolic link",
                hint="name the file it points to: a link can be turned to another database behind your back",
                path=str(path),
                operation="open",
            )
        # An existing file keeps the permissions its owner gave it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
        if path.is_dir():
            raise DatabaseError(f"{path} is a folder, not a database file", path=str(path), operation="open")
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror or error}", path=str(path), operation="open"
        ) from error


@contextlib.contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """Write in one transaction, which holds the lock from the start: one that begins by reading could never be sure to get it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # The engine may have rolled back already (disk full); a second failure must not hide the first.
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
        raise


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
    view of the data. Connections do not survive a fork; a child opens its own.
    """

    def __init__(self, path: Path, *, synchronous: str, busy_timeout: float) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self._synchronous = synchronous
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._readers: list[apsw.Connection] = []
        self._writing = threading.RLock()
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
            self._reset()
        if self._closed:
            raise DatabaseError(f"{self.path}: the store is closed", path=str(self.path), operation="use")

    def connect(self) -> apsw.Connection:
        """Open a connection of one's own."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(int(self.busy_timeout * 1000))
        # Plans do not depend on bound values: where they may, a statement is prepared anew each time it is given others, which takes
        # longer than most of them run.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        settings = (
            f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {self._synchronous}; "
            f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"
        )
        connection.execute(settings).fetchall()  # read to the end: what follows the first row is not run before
        return connection

    def reader(self) -> _Loan:
        """Lend a connection for reading."""
        return _Loan(self)

    def borrow(self) -> apsw.Connection:
        """Take a connection for reading, which :meth:`give_back` returns."""
        self._check()
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        return connection or self.connect()

    def give_back(self, connection: apsw.Connection) -> None:
        """Take a connection back."""
        if self._closed or self._pid != os.getpid():
            connection.close(True)
        else:
            with self._lock:
                self._readers.append(connection)

    @contextlib.contextmanager
    def writer(self) -> Iterator[apsw.Connection]:
        """Lend the connection for writing; other threads wait, as long as other processes would.

        :raises DatabaseBusyError: when the wait takes longer than the busy timeout, or the thread is already writing.
        """
        self._check()
        if not self._writing.acquire(timeout=self.busy_timeout):
            raise DatabaseBusyError(
                f"{self.path}: another thread held the database for longer than {self.busy_timeout:g} s",
                hint="let it finish, or raise busy_timeout in [store]",
                path=str(self.path),
                operation="begin a batch",
            )
        try:
            self._writer = self._writer or self.connect()
            if self._writer.in_transaction:
                raise DatabaseBusyError(
                    f"{self.path}: this thread is already writing a batch",
                    hint="finish the batch first, or write through it",
                    path=str(self.path),
                    operation="begin a batch",
                )
            yield self._writer
        finally:
            self._writing.release()

    def close(self) -> None:
        """Close what is not on loan; what is, closes when it comes back."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close(True)
        if self._writer is not None:
            self._writer.close(True)
