"""Entries in a diskcache folder."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import diskcache
from diskcache.core import DBNAME

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError
from fpa_core.protocols import MISS, Capability, Entry, Miss, Usage
from fpa_plugins.disk import rows
from fpa_plugins.disk.folder import prepare, wipe
from fpa_plugins.disk.framing import pack, retime, unpack
from fpa_plugins.disk.safe import SafeDisk

__all__ = ["DiskCache"]

T = TypeVar("T")

MAX_GENERATIONS = 100_000
"""Tags whose generations are remembered one by one; beyond that a purge forgets all, and a new one for all begins."""

TRIES = 4
"""How often an operation is tried, each time with a like share of the timeout: after a wait, with a new connection, in a new folder."""

PAGE = 500
"""Keys read at once while they are listed."""

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGE: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})

_SETTINGS: Final[Mapping[str, Any]] = {
    # Settings live in the folder and win over defaults, so each is given every time.
    "statistics": 0,  # turns reads into writes; DataCache counts
    "tag_index": 0,
    "eviction_policy": "least-recently-stored",  # the others turn reads into writes
    "cull_limit": 10,
    "disk_min_file_size": 2**15,
    # The standard library's SQLite is often one that can corrupt a database in WAL mode when several processes write it. Without WAL
    # and memory mapping it cannot, whatever its version; and processes with different versions agree. Losing power may cost the
    # folder, which is a cache, so nothing is synced, and writes are faster than with WAL.
    "sqlite_journal_mode": "truncate",
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 0,
}


class DiskCache:
    """The backend.

    Other processes may use the same folder. A folder that is damaged, or was removed, is dropped and made anew: it is a cache.

    :raises CacheError: when the folder cannot be used, and from every method when others keep the database locked for too long.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES})

    def __init__(self, path: str | Path, *, max_bytes: int = 2**30, timeout: float = 10.0) -> None:
        self._folder = Path(path).expanduser().absolute()
        self._database = os.fspath(self._folder / DBNAME)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._cache: Any = None
        self._file: tuple[int, int] | None = None  # which file the database is; another one if the folder was made anew
        self._closed = False
        self._run(lambda _: None)

    def get(self, key: str) -> Entry | Miss:
        """Return the entry, or MISS."""
        content = self._run(lambda cache: cache.get(key))
        return MISS if content is None else unpack(content) or MISS

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return those of the entries that are there."""
        return {key: entry for key in keys if (entry := self.get(key)) is not MISS}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry unless it is too large or a generation in *fence* has moved on."""
        content = pack(entry)
        if len(content) > self._max_bytes:
            self._evicted["oversize"] += 1
            self.delete(key)
            return False
        if fence is None:
            self._run(lambda cache: _set(cache, key, content, entry))
            return True

        def fenced(cache: Any) -> bool:
            with cache.transact():
                if rows.generations(cache, tuple(fence)) != fence:
                    return False
                _set(cache, key, content, entry)
                return True

        return self._run(fenced)

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times."""

        def touch(cache: Any) -> bool:
            with cache.transact():
                content = cache.get(key)
                if content is None or (entry := unpack(content)) is None:
                    return False
                entry = retime(entry, expires_at, keep_until)
                _set(cache, key, pack(entry), entry)
                return True

        return self._run(touch)

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        return bool(self._run(lambda cache: cache.delete(key)))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, read in pages."""
        last, after = prefix, False
        while True:
            page = self._run(partial(rows.keys_from, start=last, limit=PAGE, after=after))
            for key in page:
                if not key.startswith(prefix):
                    return
                yield key
            if len(page) < PAGE:
                return
            last, after = page[-1], True

    def generations(self, tags: Sequence[str]) -> dict[str, int]:
        """Return the present generation of each tag."""
        return self._run(partial(rows.generations, tags=tags))

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a generation it never had."""
        self._run(partial(rows.bump, tags=tags))

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries past use at *now*, at most *limit*."""
        self._run(partial(rows.forget_generations, above=MAX_GENERATIONS))
        if limit is None:
            purged: int = self._run(lambda cache: cache.expire(now))
        else:
            purged = self._run(partial(rows.expire, now=now, limit=limit))
        self._evicted["expired"] += purged
        return purged

    def clear(self) -> int:
        """Drop every entry and return how many there were."""
        return int(self._run(lambda cache: cache.clear()))

    def usage(self) -> Usage:
        """Tell how full it is: the bytes are those of the database and its files."""
        entries, size = self._run(lambda cache: (len(cache), cache.volume()))
        return Usage(entries, size, dict(self._evicted))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._closed = True
            if self._cache is not None:
                self._cache.close()
                self._cache = None

    def _run(self, operation: Callable[[Any], T]) -> T:
        """Do *operation*, waiting for others within bounds, and rebuilding a folder that is of no use."""
        problem: Exception | None = None
        damaged = False
        for _ in range(TRIES):
            cache = None
            try:
                cache = self._open()
                return operation(cache)
            except diskcache.Timeout as error:
                problem = error
            except sqlite3.DatabaseError as error:
                problem = error
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
                if code not in _BUSY:
                    self._forget(cache, wipe_folder=damaged)
                    # The first time it may be that another process has made the folder anew: a new connection tells.
                    damaged = code in _DAMAGE
            except OSError as error:
                problem = error
                break
        raise CacheError(
            f"the disk cache in {self._folder} does not answer: {problem or 'it is locked'}",
            hint="if other processes hold it for long, raise timeout or give each its own path",
        ) from problem

    def _open(self) -> Any:
        """Return the diskcache on the database file that is there now."""
        cache = self._cache
        if cache is not None and self._identity() == self._file:
            return cache
        with self._lock:
            if self._closed:
                raise CacheError(f"the disk cache in {self._folder} is closed")
            if self._cache is None or self._identity() != self._file:
                prepare(self._folder)
                try:
                    cache = diskcache.Cache(
                        str(self._folder),
                        timeout=self._timeout / TRIES,
                        disk=SafeDisk,
                        size_limit=self._max_bytes,
                        **_SETTINGS,
                    )
                except (
                    AttributeError,
                    TypeError,
                    ValueError,
                ) as error:  # settings in the folder that none of its versions wrote
                    raise sqlite3.DatabaseError(f"its settings make no sense: {error}") from error
                rows.make_generations(cache)
                self._cache, self._file = cache, self._identity()
            return self._cache

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._database)  # noqa: PTH116 - on every operation, and pathlib is slower
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _forget(self, broken: Any, *, wipe_folder: bool) -> None:
        with self._lock:
            if self._cache is not broken:
                return  # another thread has done it
            if broken is not None:
                with contextlib.suppress(sqlite3.Error):
                    broken.close()
            self._cache = None
            if wipe_folder:
                self._evicted["rebuilt"] += 1
                wipe(self._folder)


def _set(cache: Any, key: str, content: bytes, entry: Entry) -> None:
    until = entry.expires_at if entry.keep_until is None else entry.keep_until
    cache.set(key, content, expire=None if until is None else until - time.time())
