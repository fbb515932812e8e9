"""Offers the ``memory`` cache and the ``memory`` store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration
from fpa_core.exceptions import MissingDependencyError
from fpa_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register
    from fpa_core.protocols import CacheBackend, StoreBackend

__all__ = ["MemoryOptions", "MemoryStoreOptions"]


@frozen
class MemoryOptions:
    """Options of the ``memory`` cache.

    :ivar max_entries: how many entries at most.
    :ivar max_bytes: how many bytes at most, about; None for no such bound. A value that exceeds it alone is not kept.
    :ivar policy: who goes when there is no room: ``s3fifo`` keeps what is asked for again and withstands scans, ``lru`` drops the entry
        unused for longest.
    """

    max_entries: int = field(default=100_000, validator=validators.ge(1))
    max_bytes: int | None = field(default=256 * 2**20, validator=validators.optional(validators.ge(1)))  # type: ignore[arg-type]
    policy: Literal["s3fifo", "lru"] = field(default="s3fifo", validator=validators.in_(["s3fifo", "lru"]))


@frozen
class MemoryStoreOptions:
    """Keys of ``[store]`` with ``backend = "memory"``.

    :ivar busy_timeout: how long a writer waits for another one, in seconds or as text such as ``"30s"``.
    :ivar seal_rows: on closing after a write, quotes and trades of a symbol with at least so many single rows are sealed into segments; None for
        never: what is closed is gone.
    :ivar read_cache: bytes of memory for sealed rows that were read for a range of time, decoded, so that reading it again is faster; 0 for none.
    """

    busy_timeout: Duration = field(default=30.0, validator=validators.ge(0))
    seal_rows: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    read_cache: int = field(default=0, validator=validators.ge(0))


def create(options: MemoryOptions) -> CacheBackend:
    """Make the cache."""
    from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

    kind = LruMemoryCache if options.policy == "lru" else MemoryCache
    return kind(max_entries=options.max_entries, max_bytes=options.max_bytes)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Offer the cache."""
    register("memory", create, MemoryOptions)


def open_store(options: MemoryStoreOptions) -> StoreBackend:
    """Make an empty store."""
    try:
        from fpa_core.engine.store import EngineStore
        from fpa_plugins.memory.store import MemoryDatabase
    except ModuleNotFoundError as error:
        if error.name not in {"pyarrow", "numpy"}:
            raise
        raise MissingDependencyError(
            f"the store 'memory' needs the package {error.name}, which is not installed",
            plugin="memory",
            package=error.name,
            command=f"pip install {error.name}",
        ) from error
    database = MemoryDatabase(busy_timeout=options.busy_timeout)
    return EngineStore(database, seal_rows=options.seal_rows, read_cache=options.read_cache)


@hookimpl
def fpa_register_stores(register: Register[StoreBackend]) -> None:
    """Offer the store."""
    register("memory", open_store, MemoryStoreOptions)
