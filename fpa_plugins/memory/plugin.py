"""Registers the ``memory`` cache and the ``memory`` store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration
from fpa_core.hookspecs import hookimpl
from fpa_core.packages import needs

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register, RegisterStore
    from fpa_core.protocols import CacheBackend, StoreBackend

__all__ = ["MemoryOptions", "MemoryStoreOptions"]


@frozen
class MemoryOptions:
    """Options of the ``memory`` cache.

    :ivar max_entries: the largest number of entries.
    :ivar max_bytes: the approximate size limit in bytes; None for no limit. A single value that exceeds it is not stored.
    :ivar policy: the eviction policy: ``s3fifo`` keeps entries that are used repeatedly and resists scans, ``lru`` evicts the least recently
        used entry.
    """

    max_entries: int = field(default=100_000, validator=validators.ge(1))
    max_bytes: int | None = field(default=256 * 2**20, validator=validators.optional(validators.ge(1)))  # type: ignore[arg-type]
    policy: Literal["s3fifo", "lru"] = field(default="s3fifo", validator=validators.in_(["s3fifo", "lru"]))


@frozen
class MemoryStoreOptions:
    """Keys of ``[store]`` with ``backend = "memory"``.

    :ivar busy_timeout: how long a writer waits for another one, in seconds or as text such as ``"30s"``.
    :ivar seal_rows: if the store is closed after a write, seal quotes and trades of symbols with at least this many single rows into segments.
        None for never; the data of a closed memory store are lost anyway.
    :ivar read_cache: the memory in bytes for decoded sealed rows, so that reading the same range of time again is faster; 0 for none.
    """

    busy_timeout: Duration = field(default=30.0, validator=validators.ge(0))
    seal_rows: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    read_cache: int = field(default=0, validator=validators.ge(0))


def create(options: MemoryOptions) -> CacheBackend:
    """Create the cache."""
    from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

    kind = LruMemoryCache if options.policy == "lru" else MemoryCache
    return kind(max_entries=options.max_entries, max_bytes=options.max_bytes)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Register the cache."""
    register("memory", create, MemoryOptions)


def open_store(options: MemoryStoreOptions) -> StoreBackend:
    """Create an empty store."""
    user = "the store 'memory'"
    with needs("pyarrow", user, plugin="memory"), needs("numpy", user, plugin="memory"):
        from fpa_core.engine.store import EngineStore
        from fpa_plugins.memory.database import MemoryDatabase
    database = MemoryDatabase(busy_timeout=options.busy_timeout)
    return EngineStore(database, seal_rows=options.seal_rows, read_cache=options.read_cache)


@hookimpl
def fpa_register_stores(register: RegisterStore) -> None:
    """Register the store."""
    register("memory", open_store, MemoryStoreOptions)
