"""Connections to one database file: how they are opened, and shared between threads."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_plugins.sqlite.encryption import Key
from fpa_plugins.sqlite.forking import check_forked, close_before_forks
from fpa_plugins.sqlite.pages import open_file
from fpa_plugins.sqlite.read_only import ReadOnlyFile

__all__ = ["Pool", "immediate", "prepare_file"]

PAGE_BYTES = 16_384
"""Large enough for columnar segments to read well, small enough for single rows to write well."""

_log = logging.getLogger("fpa.store.sqlite")

NOTICE_AFTER = 1.0
"""Seconds of waiting for a lock after which it is logged."""

PAUSE, LONG_PAUSE, LEAST_PAUSE = 0.004, 0.05, 0.0005
"""Seconds between two tries to get the write lock: at first, when others turn out to write much, and at least."""

LONG_AFTER = 0.25
"""Seconds of waiting after which others write much: until then the pauses stay short, since most batches are."""

_INHERITED: list[object] = []
"""Connections of a parent process, which are never closed here: that would wait for its mutexes, and release its locks."""

CACHE_KIB = 32_768
"""Pages that a connection keeps in memory at most: some million sealed rows, so that the hours looked at again need no reading."""


def prepare_file(path: Path) -> None:
    """Make the file and its folder when missing, readable by their owner alone, before SQLite would make them readable by all.

    :raises DatabaseError: when the path is a link, a folder, or cannot be made, or only its write-ahead log is there.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        str(path).encode()
        if _size(log) and not _size(path):
            raise DatabaseError(
                f"{path} is missing or empty, but {log.name} beside it holds batches of it, which a new database would destroy",
                hint="put the database file back, or a backup of it; or, to begin anew, move the log elsewhere",
                path=str(path),
                operation="open",
            )
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
    except UnicodeEncodeError:
        raise DatabaseError(f"{str(path)!r} is not valid Unicode", path=str(path), operation="open") from None
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror or error}", path=str(path), operation="open"
        ) from error


def waiting(timeout: float, path: object) -> Callable[[int], bool]:
    """Return what SQLite calls while another connection holds a lock: it waits a moment and returns whether to try again.

    Who has waited for long tries more often than those who came later, and so is more likely to be next. SQLite's own rule is the reverse: a writer that
    has waited for long looks ten times a second only, and those who come later are served before it.

    A wait of more than a second is logged as a warning, once: a person at a terminal should know what is going on.

    :param timeout: seconds after which to give up.
    """
    since, told = 0.0, False

    def again(tries: int) -> bool:
        nonlocal since, told
        now = time.monotonic()
        since, told = (since, told) if tries else (now, False)
        waited = now - since
        if waited >= timeout:
            return False
        if waited >= NOTICE_AFTER and not told:
            told = True
            _log.warning("another process is writing to %s: waiting for it, at most %g s", path, timeout)
        pause = PAUSE if waited < LONG_AFTER else max(LONG_PAUSE / (1 + waited) ** 2, LEAST_PAUSE)
        time.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311  # so that two writers do not keep step
        return True

    return again


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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
    view of the data. Connections do not survive a fork: see :mod:`fpa_plugins.sqlite.forking`.
    """

    def __init__(
        self, path: Path, *, synchronous: str, busy_timeout: float, read_only: bool = False, key: Key | None = None
    ) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self.read_only = ReadOnlyFile(path, key) if read_only else None
        self.key = key
        self._synchronous = synchronous
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
        self._writing = threading.RLock()
        self._holds_writing = False
        self._writer: apsw.Connection | None = None
        self._places: dict[str, tuple[int, int] | None] = {}

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
        check_forked(str(self.path))
        if self._closed:
            raise DatabaseError(f"{self.path}: the store is closed", path=str(self.path), operation="use")

    def connect(self) -> apsw.Connection:
        """Open a connection of one's own."""
        if self.read_only is not None:
            return self.read_only.connect(int(self.busy_timeout * 1000), f"PRAGMA cache_size = -{CACHE_KIB}")
        self.check_place(writing=False)
        connection = open_file(str(self.path), apsw.SQLITE_OPEN_READWRITE, self.key)
        connection.set_busy_handler(waiting(self.busy_timeout, self.path))
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
            if self._forking:
                self._returned.wait_for(lambda: not self._forking)
            self._lent += 1
            connection = self._readers.pop() if self._readers else None
        try:
            if connection is not None and self.read_only is not None and self.read_only.is_stale(connection):
                connection.close(True)
                connection = None
            return connection or self.connect()
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
        if usable and self.read_only is not None:
            self.read_only.check(connection)

    @contextlib.contextmanager
    def writer(self) -> Iterator[apsw.Connection]:
        """Lend the connection for writing; other threads wait, as long as other processes would.

        :raises DatabaseBusyError: when the wait takes longer than the busy timeout, or the thread is already writing.
        """
        self._check()
        if self.read_only is not None:
            raise DatabaseError(
                f"{self.path} was opened for reading only",
                hint="open it without read_only in [store], and without --read-only",
                path=str(self.path),
                operation="write",
            )
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

    def check_place(self, *, writing: bool = True) -> None:
        """Refuse files that are not those that were opened under the database's name: nobody would find what is written to them.

        :param writing: whether a transaction is open, so that there is a write-ahead log.
        :raises DatabaseError: if the database or its write-ahead log was moved, replaced or deleted.
        """
        for name in (str(self.path), f"{self.path}-wal")[: 1 + writing]:
            place = _identity(name)
            if self._places.setdefault(name, place) != place:
                raise DatabaseError(
                    f"{name} was moved, replaced or deleted while it was open; nothing of the batch was kept",
                    hint="put the files back, and open the store again",
                    path=name,
                    operation="use",
                )

    def before_fork(self, patience: float) -> bool:
        """Close all connections and lend none until the fork is done; return False if one is still in use after *patience* seconds."""
        idle = self._writing.acquire(timeout=patience)
        self._holds_writing = idle
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
            self._places.pop(f"{self.path}-wal", None)  # the next to open the database may make a new one
        return idle

    def after_fork(self) -> None:
        """Lend connections again; a child makes its own locks instead."""
        self._forking = False
        self._returned.notify_all()
        self._lock.release()
        if self._holds_writing:
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
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(True)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # twice for each batch
    except OSError:
        return None
    return found.st_dev, found.st_ino
