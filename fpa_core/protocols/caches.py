"""The protocol of cache backends: entries under text keys, bounded in size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from attrs import define, field, frozen

from fpa_core.protocols.capabilities import Capability

__all__ = ["MAX_KEY_LENGTH", "CacheBackend", "Entry", "MinimalCache", "RemovalCause", "RemovalListener", "Usage"]

MAX_KEY_LENGTH = 4_096
"""The longest key, namespace included, in characters. Every backend must take it; DataCache refuses a longer one."""


class RemovalCause(StrEnum):
    """Why an entry was removed from the cache."""

    EXPIRED = "expired"
    """It had expired, and was swept or replaced."""
    EVICTED = "evicted"
    """The cache was full."""
    EXPLICIT = "explicit"
    """It was deleted, or the cache was cleared."""
    REPLACED = "replaced"
    """Another value was stored under its key."""
    INVALIDATED = "invalidated"
    """It was invalidated by a pattern or a tag. An entry invalidated by a tag is removed when its key is written, it is swept, or it is evicted."""


RemovalListener: TypeAlias = Callable[[str, RemovalCause], None]
"""Called with the key of a removed entry and the cause."""


@define
class Entry:
    """A cached value with its times, size and tags. Entries are read-only except for ``uses``.

    :ivar value: the value, or its encoded bytes if the backend stores bytes.
    :ivar stored_at: when it was stored, in seconds of the cache's clock; ``expires_at``: when it expires, None for never.
    :ivar keep_until: until when it is kept as a stale value; None means until ``expires_at``.
    :ivar size: its size in bytes, approximately.
    :ivar tags: the generation of each tag when the value was made; the entry is invalid once one of them has changed.
    :ivar tags_verified: whether the backend checked, when it read the entry, that the generations of the tags are current; if False, the
        caller checks.
    :ivar uses: approximate number of reads, increased without a lock by whoever returns the value. The eviction policy of a backend may use and
        lower it.
    """

    value: Any
    stored_at: float
    expires_at: float | None = None
    keep_until: float | None = None
    size: int = 0
    tags: Mapping[str, int] = field(factory=dict)
    tags_verified: bool = field(default=False, eq=False)
    uses: int = field(default=0, eq=False)


@frozen
class Usage:
    """The number of entries, their bytes, and the evictions by cause since the cache was opened."""

    entries: int
    bytes: int
    evicted: Mapping[str, int] = field(factory=dict)


class MinimalCache(Protocol):
    """The least that a cache in this process must do. ``fpa_core.cache.CompletedCache`` makes a :class:`CacheBackend` of it.

    :meth:`get` may be called while another thread is in any method; the others are called by one thread at a time.
    """

    def get(self, key: str, /) -> Entry | None:
        """Return the entry, expired or not, or None if there is none."""
        ...

    def put(self, key: str, entry: Entry, /) -> Collection[str]:
        """Store the entry; return the keys evicted to make room, *key* itself if the entry was too large and nothing is stored under it."""
        ...

    def delete(self, key: str, /) -> bool:
        """Delete the entry; return whether there was one."""
        ...

    def keys(self) -> Iterable[str]:
        """Return all keys, in any order."""
        ...


class CacheBackend(Protocol):
    """Stores entries under text keys, within its bounds. DataCache handles lifetimes, tags and encoding.

    Keys and tags begin with a namespace and a colon. Keys have up to ``MAX_KEY_LENGTH`` characters of any kind. Every method may be called from any thread. An error of a driver is raised as
    :class:`~fpa_core.exceptions.CacheError`, and so is a key that cannot be stored, such as one that is not valid Unicode.
    """

    capabilities: frozenset[Capability]

    def get(self, key: str, /) -> Entry | None:
        """Return the entry, expired or not, or None if there is none."""
        ...

    def get_many(self, keys: Iterable[str]) -> Mapping[str, Entry]:
        """Return the entries that exist, by key."""
        ...

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry, evicting others by the backend's policy; return whether it was stored.

        An entry that is too large is not stored, and an older one of the key is deleted. With a *fence* the entry is stored only if every tag
        in it still has the given generation, checked atomically with storing; otherwise nothing changes.
        """
        ...

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the expiry times of the entry atomically; return whether there was one."""
        ...

    def delete(self, key: str) -> bool:
        """Delete the entry; return whether there was one."""
        ...

    def delete_many(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete the entries of *keys*; return those for which there was one. DataCache passes up to 500 at once."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, in any order; concurrent changes may or may not be seen."""
        ...

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        """Return the current generation of each tag.

        A tag never bumped has one, too, which stays until the tag is bumped or the storage lost. It should differ from that of any other
        storage, also of a later one. Generations are integers of up to 62 bits.
        """
        ...

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation, which invalidates every entry made under an earlier one."""
        ...

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries that have expired at *now*, at most *limit*; return how many."""
        ...

    def clear(self) -> int:
        """Drop every entry and return how many there were. Generations are kept."""
        ...

    def usage(self) -> Usage:
        """Return the current usage."""
        ...

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Call *listener*, with no lock held, for each entry that this object expires, evicts, replaces or invalidates.

        It is not called for entries removed by :meth:`delete` and :meth:`clear`, nor for those that a server drops. A listener does not raise.
        """
        ...

    def close(self) -> None:
        """Release all resources; calling it twice does nothing."""
        ...
