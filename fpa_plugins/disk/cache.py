"""The disk cache backend: entries in a diskcache folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.protocols import Capability, Entry, RemovalCause, RemovalListener, Usage
from fpa_plugins.disk import rows
from fpa_plugins.disk.database import Database
from fpa_plugins.disk.framing import pack

__all__ = ["DiskCache"]

MAX_GENERATIONS = 100_000
"""The largest number of tags with their own generations. Beyond it, a purge deletes them all and starts a new common one."""

PAGE = 500
"""Keys read at once while listing."""

LOOKS = 128
"""The size is checked this many times while ``max_bytes`` are written. It may be exceeded by one such share."""


class DiskCache:
    """The disk cache backend.

    Other processes may use the same folder. A damaged or removed folder is recreated, because it is only a cache. If the cache is too large, the
    oldest entries are evicted.

    :raises CacheError: if the folder cannot be used; from every method if the database stays locked for too long.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES})

    def __init__(self, path: str | Path, *, max_bytes: int = 2**30, timeout: float = 10.0) -> None:
        self._max_bytes = max_bytes
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._watchers: tuple[RemovalListener, ...] = ()
        self._written = 0  # bytes written since the size was last checked
        self._database = Database(Path(path).expanduser().absolute(), max_bytes, timeout, self._rebuilt)
        self._run = self._database.run
        self._run(lambda _: None)

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None."""
        return self._run(lambda cache: rows.read(cache, key))

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the existing entries of *keys*, by key."""
        wanted = tuple(keys)

        def read_all(cache: Any) -> dict[str, Entry]:
            return {key: entry for key in wanted if (entry := rows.read(cache, key)) is not None}

        return self._run(read_all)

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry unless it is too large or a generation in *fence* has changed."""
        row = _row(key, entry)
        if (size := len(row.content)) > self._max_bytes:
            self._evicted["oversize"] += 1
            old = self._run(lambda cache: self._replaced(cache, row))
            self.delete(key)
            self._tell(old and [(key, RemovalCause.EVICTED)])
            return False

        def watched(cache: Any) -> tuple[list[str] | None, list[tuple[str, RemovalCause]]]:
            with cache.transact():
                old = self._replaced(cache, row)
                return rows.write(cache, row, fence), old

        swept, old = self._run(watched if self._watchers else lambda cache: (rows.write(cache, row, fence), []))
        if swept is None:
            return False
        self._tell(old)
        if swept:
            self._expired(swept)
        self._make_room(size)
        return True

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the times of the entry."""

        def touch(cache: Any) -> bool:
            with cache.transact():
                if (entry := rows.read(cache, key)) is None:
                    return False
                row = _row(key, evolve(entry, expires_at=expires_at, keep_until=keep_until))
                return rows.write(cache, row) is not None

        return self._run(touch)

    def delete(self, key: str) -> bool:
        """Delete the entry, and return whether there was one."""
        return self._run(partial(rows.delete, key=key))

    def delete_many(self, keys: Sequence[str]) -> list[str]:
        """Delete the entries of *keys* in one transaction, and return those for which there was one."""

        def delete_all(cache: Any) -> list[str]:
            with cache.transact():
                return [key for key in keys if rows.delete(cache, key)]

        return self._run(delete_all)

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
        """Return the current generation of each tag."""
        return self._run(partial(rows.generations, tags=tags))

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation."""
        self._run(partial(rows.bump, tags=tags))

    def purge(self, now: float, limit: int | None = None) -> int:
        """Delete at most *limit* entries that are useless at *now*."""
        self._run(partial(rows.forget_generations, above=MAX_GENERATIONS))
        purged = 0
        while limit is None or purged < limit:
            step = PAGE if limit is None else min(limit - purged, PAGE)  # let others use the database in between
            swept = self._run(partial(rows.expire, now=now, limit=step))
            self._expired(swept)
            purged += len(swept)
            if len(swept) < step:
                break
        return purged

    def clear(self) -> int:
        """Delete all entries and return their number."""
        return int(self._run(lambda cache: cache.clear()))

    def usage(self) -> Usage:
        """Return the usage of the cache. The bytes are those of the database and its files."""
        entries, size = self._run(lambda cache: (len(cache), cache.volume()))
        return Usage(entries, size, dict(self._evicted))

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Notify *listener* of entries that this object removes or replaces; removals by other processes are not seen."""
        with self._lock:
            self._watchers = (*self._watchers, listener)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # Eviction and its notifications

    def _make_room(self, written: int) -> None:
        """Evict the oldest entries if enough bytes were written since the size was last checked."""
        self._written += written
        if self._written * LOOKS >= self._max_bytes:
            self._written = 0
            dropped = self._run(partial(rows.cull, limit=self._max_bytes))
            self._evicted["size"] += len(dropped)
            self._tell([(key, RemovalCause.EVICTED) for key in dropped])

    def _expired(self, keys: list[str]) -> None:
        self._evicted["expired"] += len(keys)
        self._tell([(key, RemovalCause.EXPIRED) for key in keys])

    def _rebuilt(self) -> None:
        self._evicted["rebuilt"] += 1

    def _replaced(self, cache: Any, row: rows.Row) -> list[tuple[str, RemovalCause]]:
        """Return the key that *row* replaces, with the cause of its removal; empty if there is none. Used only if there are watchers."""
        if (old := rows.read(cache, row.key)) is None:
            return []
        until = old.expires_at if old.keep_until is None else old.keep_until
        if old.tags and not old.tags_verified:
            return [(row.key, RemovalCause.INVALIDATED)]
        over = until is not None and until <= row.stored_at
        return [(row.key, RemovalCause.EXPIRED if over else RemovalCause.REPLACED)]

    def _tell(self, removed: list[tuple[str, RemovalCause]]) -> None:
        for watcher in self._watchers:
            for key, cause in removed:
                watcher(key, cause)


def _row(key: str, entry: Entry) -> rows.Row:
    return rows.Row(
        key, pack(entry), entry.stored_at, entry.expires_at if entry.keep_until is None else entry.keep_until
    )
