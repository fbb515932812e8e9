"""What a cache must do: keep entries under text keys within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from attrs import define, field, frozen

from fpa_core.protocols.capabilities import Capability

__all__ = ["CacheBackend", "Entry", "RemovalCause", "RemovalWatcher", "Usage"]


class RemovalCause(StrEnum):
    """Why an entry left the cache."""

    EXPIRED = "expired"
    """It was past any use, and swept or replaced."""
    EVICTED = "evicted"
    """There was no room."""
    EXPLICIT = "explicit"
    """It was deleted, or the cache cleared."""
    REPLACED = "replaced"
    """Another value took its key."""
    INVALIDATED = "invalidated"
    """A pattern or a tag ended it. What a tag ended leaves when its key is written again, it is swept, or room is needed."""


RemovalWatcher: TypeAlias = Callable[[str, RemovalCause], None]
"""Is given the key of an entry that left, and why."""


@define
class Entry:
    """A cached value and what is known of it. Nobody changes more of one than its uses.

    :ivar value: the value, or its encoded bytes where the backend stores bytes.
    :ivar stored_at: when it was put, in seconds of the cache's clock; ``expires_at``: when it ceases to be fresh, None for never.
    :ivar keep_until: until when a stale value may still be of use; None means until ``expires_at``.
    :ivar size: bytes it counts for.
    :ivar tags: the generation of each tag when the value was made; the entry is dead once one of them has moved on.
    :ivar standing: whether the backend, as it read the entry, found that none of them has; if it did not look, others ask.
    :ivar uses: how often the value was given out, about: whoever does so raises it, without a lock. What a backend keeps when there is too
        little room may rest on it, and it may lower it.
    """

    value: Any
    stored_at: float
    expires_at: float | None = None
    keep_until: float | None = None
    size: int = 0
    tags: Mapping[str, int] = field(factory=dict)
    standing: bool = field(default=False, eq=False)
    uses: int = field(default=0, eq=False)


@frozen
class Usage:
    """How full a cache is: entries, their bytes, and how many were evicted since it was opened, by cause."""

    entries: int
    bytes: int
    evicted: Mapping[str, int] = field(factory=dict)


class CacheBackend(Protocol):
    """A place for entries under text keys. It keeps and bounds them; freshness, tags and encoding are DataCache's business."""

    capabilities: frozenset[Capability]

    def get(self, key: str, /) -> Entry | None:
        """Return the entry, expired or not, or None when there is none."""
        ...

    def get_many(self, keys: Iterable[str]) -> Mapping[str, Entry]:
        """Return those of the entries that are there."""
        ...

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry, making room as the backend's policy says; tell whether it was kept.

        One that is too large is not kept, and the key is gone. With a *fence* the entry is kept only if every tag in it still has the
        generation given, as one step with the storing; otherwise nothing changes.
        """
        ...

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times, as one step; tell whether there was one."""
        ...

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, in no order; changes meanwhile may or may not show."""
        ...

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        """Return the present generation of each tag. Tags never bumped share one, which no other storage, nor a later one, should share."""
        ...

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a generation it never had, which ends every entry made under an earlier one."""
        ...

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries that are past use at *now*, at most *limit*; return how many."""
        ...

    def clear(self) -> int:
        """Drop every entry and return how many there were. Generations stay."""
        ...

    def usage(self) -> Usage:
        """Tell how full it is."""
        ...

    def watch(self, watcher: RemovalWatcher) -> None:
        """Call *watcher*, with no lock held, for each entry that this object drops of itself: expired, evicted, replaced, invalidated.

        Not for those that :meth:`delete` and :meth:`clear` take away; whoever calls these knows. A watcher does not raise.
        """
        ...

    def close(self) -> None:
        """Release what is held; calling it twice does nothing."""
        ...
