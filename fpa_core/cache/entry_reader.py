"""Read and write entries of a backend: check their times and tags, and encode values if the backend stores bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.codec import DecodeError, decode, encode
from fpa_core.cache.stats import Count, Counters
from fpa_core.cache.ttl import Lifetimes, Ttl
from fpa_core.cache.values import UNREADABLE, copy_out, freeze
from fpa_core.exceptions import CacheError
from fpa_core.protocols import CacheBackend, Capability, Entry

__all__ = ["EntryReader", "Found"]

CLOCK_TOLERANCE = 1.0
"""Seconds by which an entry may be stored after now. If it is more, the wall clock was set back, and the entry counts as expired."""

_REASONS = {reason: Count[reason.name] for reason in MissReason}


@define
class Found:
    """A usable entry and its frozen value, which :meth:`copy_out` copies for the caller."""

    entry: Entry
    frozen_value: Any
    now: float

    @property
    def stale(self) -> bool:
        """Whether it has expired."""
        return self.entry.expires_at is not None and self.now >= self.entry.expires_at

    def within(self, window: float) -> bool:
        """Return whether it expired less than *window* seconds ago, or not at all."""
        return self.entry.expires_at is not None and self.now < self.entry.expires_at + window

    def copy_out(self) -> Any:
        """Return a copy of the value that the caller may change."""
        return copy_out(self.frozen_value)


@frozen(eq=False)
class EntryReader:
    """The entries of one namespace of a backend. Keys and tags are passed with their prefix.

    :ivar encodes: whether the backend keeps bytes; ``outlives`` whether its entries may carry times of another process's clock.
    """

    backend: CacheBackend
    prefix: str
    clock: Callable[[], float]
    lifetimes: Lifetimes
    counters: Counters = field(factory=Counters, init=False)
    encodes: bool = field(init=False)
    outlives: bool = field(init=False)

    @encodes.default
    def _encodes(self) -> bool:
        return Capability.STORES_BYTES in self.backend.capabilities

    @outlives.default
    def _outlives(self) -> bool:
        return not self.backend.capabilities.isdisjoint({Capability.PERSISTENT, Capability.SHARED})

    def miss_reason(self, entry: Entry | None, now: float, *, stale: bool = False) -> MissReason | None:
        """Return why *entry* cannot be used, or None if it can."""
        if entry is None:
            return MissReason.ABSENT
        if self.is_expired(entry, now, stale=stale):
            return MissReason.EXPIRED
        if entry.tags and not entry.tags_verified and self.backend.generations(tuple(entry.tags)) != entry.tags:
            return MissReason.INVALIDATED
        return None

    def is_expired(self, entry: Entry, now: float, *, stale: bool) -> bool:
        """Return whether *entry* has expired, without looking at its tags."""
        if self.outlives and entry.stored_at > now + CLOCK_TOLERANCE:
            return True
        due = entry.keep_until if stale and entry.keep_until is not None else entry.expires_at
        return due is not None and now >= due

    def find(self, key: str, *, stale: bool = False) -> Found | MissReason:
        """Return the entry of *key*, or why there is none to use."""
        entry = self.backend.get(key)
        now = self.clock()
        if (reason := self.miss_reason(entry, now, stale=stale)) is not None:
            return reason
        assert entry is not None
        return self.unpack(entry, now)

    def find_many(self, keys: Sequence[str], *, stale: bool = False) -> dict[str, Found | MissReason]:
        """Return the entry of each key, asking the backend once for entries and once for generations."""
        entries = self.backend.get_many(keys)
        now = self.clock()
        tags = {tag for entry in entries.values() if not entry.tags_verified for tag in entry.tags}
        present = self.backend.generations(tuple(tags)) if tags else {}
        answers: dict[str, Found | MissReason] = {}
        for key in keys:
            if (entry := entries.get(key)) is None:
                answers[key] = MissReason.ABSENT
            elif self.is_expired(entry, now, stale=stale):
                answers[key] = MissReason.EXPIRED
            elif not entry.tags_verified and any(present[tag] != generation for tag, generation in entry.tags.items()):
                answers[key] = MissReason.INVALIDATED
            else:
                answers[key] = self.unpack(entry, now)
        return answers

    def unpack(self, entry: Entry, now: float) -> Found | MissReason:
        """Decode the value of a usable entry."""
        if not self.encodes:
            return MissReason.UNDECODABLE if entry.value is UNREADABLE else Found(entry, entry.value, now)
        try:
            return Found(entry, decode(entry.value), now)
        except DecodeError:
            return MissReason.UNDECODABLE

    def count(self, answer: Found | MissReason) -> None:
        """Count a read with this answer."""
        if isinstance(answer, MissReason):
            self.counters.add(_REASONS[answer])
        else:
            answer.entry.uses += 1
            self.counters.add(Count.STALE_HITS if answer.stale else Count.HITS)

    def tag_names(self, tags: Iterable[str]) -> list[str]:
        """Return *tags* with the prefix."""
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise CacheError(f"tags are a collection of texts; write ({tags!r},) for one")
        names = list(tags)
        for tag in names:
            if not isinstance(tag, str) or tag.startswith("\0"):
                raise CacheError(f"{tag!r} cannot be a tag", hint="tags are texts that do not begin with NUL")
        return [self.prefix + tag for tag in names]

    def store(
        self,
        key: str,
        value: Any,
        ttl: Ttl,
        tags: Mapping[str, int],
        fence: Mapping[str, int] | None = None,
        jitter: float | None = None,
    ) -> bool:
        """Store *value*; return whether it was stored. If the lifetime is zero or less, nothing is stored and an older entry is kept.

        :raises CacheError: if the value cannot be cached.
        """
        now = self.clock()
        expiry = self.lifetimes.expiry(now, ttl, jitter)
        if self.encodes:
            content: Any = encode(value)
            size = len(content)
        else:
            content, size = freeze(value)
        if expiry is None:
            return False
        entry = Entry(content, now, expiry[0], expiry[1], size, tags)
        if self.backend.put(key, entry) if fence is None else self.backend.put(key, entry, fence=fence):
            self.counters.stored()
            return True
        self.counters.add(Count.REFUSED)
        return False
