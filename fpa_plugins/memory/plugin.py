"""Offers the ``memory`` cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen, validators

from fpa_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register
    from fpa_core.protocols import CacheBackend

__all__ = ["MemoryOptions"]


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


def create(options: MemoryOptions) -> CacheBackend:
    """Make the cache."""
    from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

    kind = LruMemoryCache if options.policy == "lru" else MemoryCache
    return kind(max_entries=options.max_entries, max_bytes=options.max_bytes)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Offer the cache."""
    register("memory", create, MemoryOptions)
