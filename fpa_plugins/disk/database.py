"""The diskcache of a folder: opened on use, retried while it is locked, and recreated if it is damaged or missing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import diskcache
from diskcache.core import DBNAME

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError
from fpa_plugins.disk import rows
from fpa_plugins.disk.connection import Cache, result_code
from fpa_plugins.disk.folder import ENTRIES, prepare, wipe
from fpa_plugins.disk.safe import SafeDisk

__all__ = ["Database"]

T = TypeVar("T")

TRIES = 4
"""How often an operation is tried, each time with an equal share of the timeout: after a wait, with a new connection, in a new folder."""

_BUSY: Final = frozenset({apsw.SQLITE_BUSY, apsw.SQLITE_LOCKED})
_DAMAGE: Final = frozenset({apsw.SQLITE_ERROR, apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB, apsw.SQLITE_IOERR})

_SETTINGS: Final[Mapping[str, Any]] = {
    # Settings stored in the folder override defaults, so all are given every time.
    "statistics": 0,  # turns reads into writes; DataCache counts
    "tag_index": 0,
    "eviction_policy": "least-recently-stored",  # the others turn reads into writes
    "cull_limit": 0,  # the statements here sweep and make room themselves
    "disk_min_file_size": 2**15,
    # Readers and a writer do not block each other. Nothing is synced: a power failure may lose the folder, but it is only a cache.
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 0,
}


class Database:
    """The database of a cache and its folder.

    :ivar folder: the folder.
    :param rebuilt: called each time a damaged folder is emptied.
    """

    def __init__(self, folder: Path, max_bytes: int, timeout: float, rebuilt: Callable[[], None]) -> None:
        self.folder = folder
        self._path = os.fspath(folder / ENTRIES / DBNAME)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._rebuilt = rebuilt
        self._lock = fork_safe_lock()
        self._cache: Any = None
        self._file: tuple[int, int] | None = (
            None  # the identity of the database file; it changes if the folder is recreated
        )
        self._closed = False

    def close(self) -> None:
        """Close the connections. Later operations raise an error."""
        with self._lock:
            self._closed = True
            if self._cache is not None:
                self._cache.close()
                self._cache = None

    def run(self, operation: Callable[[Any], T]) -> T:
        """Run *operation*. Wait for locks up to the timeout, and rebuild an unusable folder.

        :raises CacheError: if the folder cannot be used, or the database stays locked for too long.
        """
        problem: Exception | None = None
        damaged = False
        for _ in range(TRIES):
            cache = None
            try:
                cache = self._open()
                return operation(cache)
            except diskcache.Timeout as error:
                problem = error
                rows.roll_back(cache)
            except (sqlite3.DatabaseError, apsw.Error, UnicodeDecodeError) as error:  # the last: a key that is no text
                problem = error
                code = result_code(error)
                if code in _BUSY:
                    rows.roll_back(cache)
                else:
                    self._forget(cache, wipe_folder=damaged)
                    # The first time, another process may have recreated the folder: try a new connection.
                    damaged = code in _DAMAGE
            except OSError as error:
                problem = error
                break
        raise CacheError(
            f"the disk cache in {self.folder} does not answer: {problem or 'it is locked'}",
            hint="if other processes lock it for long, increase timeout or give each its own path",
        ) from problem

    def _open(self) -> Any:
        """Return the diskcache of the current database file."""
        cache = self._cache
        if cache is not None and self._identity() == self._file:
            return cache
        with self._lock:
            if self._closed:
                raise CacheError(f"the disk cache in {self.folder} is closed")
            if self._cache is None or self._identity() != self._file:
                prepare(self.folder)
                try:
                    cache = Cache(
                        str(self.folder / ENTRIES),
                        timeout=self._timeout / TRIES,
                        disk=SafeDisk,
                        size_limit=self._max_bytes,
                        **_SETTINGS,
                    )
                except (
                    AttributeError,
                    TypeError,
                    ValueError,
                ) as error:  # settings in the folder that no version of diskcache wrote
                    raise sqlite3.DatabaseError(f"its settings are invalid: {error}") from error
                rows.make_generations(cache)
                self._cache, self._file = cache, self._identity()
            return self._cache

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - on every operation, and pathlib is slower
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _forget(self, broken: Any, *, wipe_folder: bool) -> None:
        with self._lock:
            if self._cache is not broken:
                return  # another thread has done it
            if broken is not None:
                with contextlib.suppress(sqlite3.Error, apsw.Error):
                    broken.close()
            self._cache = None
            if wipe_folder:
                self._rebuilt()
                wipe(self.folder)
