"""A backend as DataCache sees it: entries judged against the clock and their tags, values encoded where the backend keeps bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.lifetimes import Lifetimes, Ttl
from fpa_core.cache.stats import Count, Counters
from fpa_core.cache.values import UNREADABLE, give, hold
from fpa_core.envelope import EnvelopeError, decode, encode
from fpa_core.exceptions import CacheError
from fpa_core.protocols import CacheBackend, Capability, Entry

__all__ = ["Found", "Shelf"]

CLOCK_TOLERANCE = 1.0
"""Seconds by which an entry may be younger than now; more, and the wall clock was set back, so its times mean nothing."""

_REASONS = {reason: Count[reason.name] for reason in MissReason}


@define
class Found:
    """An entry that may be used, and its value: still to be passed through :func:`fpa_core.cache.values.give`."""

    entry: Entry
    held: Any
    now: float

    @property
    def stale(self) -> bool:
        """Whether it is past its time."""
        return self.entry.expires_at is not None and self.now >= self.entry.expires_at

    def within(self, window: float) -> bool:
        """Tell whether it is past its time by less than *window* seconds."""
        return self.entry.expires_at is not None and self.now < self.entry.expires_at + window

    def give(self) -> Any:
        """Return the caller's own copy of the value."""
        return give(self.held)


@frozen(eq=False)
class Shelf:
    """The entries of one namespace of a backend. Keys and tags given to it carry the prefix already.

    :ivar encodes: whether the backend keeps bytes; ``outlives`` whether its entries carry times of another process's clock.
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

    def judge(self, entry: Entry | None, now: float, *, stale: bool = False) -> MissReason | None:
        """Say why *entry* is of no use, or None when it is."""
        if entry is None:
            return MissReason.ABSENT
        if self.past_use(entry, now, stale=stale):
            return MissReason.EXPIRED
        if entry.tags and not entry.standing and self.backend.generations(tuple(entry.tags)) != entry.tags:
            return MissReason.INVALIDATED
        return None

    def past_use(self, entry: Entry, now: float, *, stale: bool) -> bool:
        """Tell whether the clock alone rules *entry* out."""
        if self.outlives and entry.stored_at > now + CLOCK_TOLERANCE:
            return True
        due = entry.keep_until if stale and entry.keep_until is not None else entry.expires_at
        return due is not None and now >= due

    def find(self, key: str, *, stale: bool = False) -> Found | MissReason:
        """Return what is kept under *key*, or why there is nothing of use."""
        entry = self.backend.get(key)
        now = self.clock()
        if (reason := self.judge(entry, now, stale=stale)) is not None:
            return reason
        assert entry is not None
        return self.unpack(entry, now)

    def find_many(self, keys: Sequence[str], *, stale: bool = False) -> dict[str, Found | MissReason]:
        """Return what is kept under each key, asking the backend once for entries and once for generations."""
        entries = self.backend.get_many(keys)
        now = self.clock()
        tags = {tag for entry in entries.values() if not entry.standing for tag in entry.tags}
        present = self.backend.generations(tuple(tags)) if tags else {}
        answers: dict[str, Found | MissReason] = {}
        for key in keys:
            if (entry := entries.get(key)) is None:
                answers[key] = MissReason.ABSENT
            elif self.past_use(entry, now, stale=stale):
                answers[key] = MissReason.EXPIRED
            elif not entry.standing and any(present[tag] != generation for tag, generation in entry.tags.items()):
                answers[key] = MissReason.INVALIDATED
            else:
                answers[key] = self.unpack(entry, now)
        return answers

    def unpack(self, entry: Entry, now: float) -> Found | MissReason:
        """Decode the value of an entry that was judged to be of use."""
        if not self.encodes:
            return MissReason.UNDECODABLE if entry.value is UNREADABLE else Found(entry, entry.value, now)
        try:
            return Found(entry, decode(entry.value), now)
        except EnvelopeError:
            return MissReason.UNDECODABLE

    def count(self, answer: Found | MissReason) -> None:
        """Count a read that was answered so."""
        if isinstance(answer, MissReason):
            self.counters.add(_REASONS[answer])
        else:
            answer.entry.uses += 1
            self.counters.add(Count.STALE_HITS if answer.stale else Count.HITS)

    def tag_names(self, tags: Iterable[str]) -> list[str]:
        """Return *tags* as the backend knows them."""
        if isinstance(tags, str):
            raise CacheError(f"tags are a collection of texts; write ({tags!r},) for one")
        names = list(tags)
        for tag in names:
            if not isinstance(tag, str) or tag.startswith("\0"):
                raise CacheError(f"{tag!r} cannot be a tag", hint="tags are texts that do not begin with NUL")
        return [self.prefix + tag for tag in names]

    def keep(
        self,
        key: str,
        value: Any,
        ttl: Ttl,
        tags: Mapping[str, int],
        fence: Mapping[str, int] | None = None,
        jitter: float | None = None,
    ) -> bool:
        """Store *value*; tell whether it was kept. A lifetime of zero or less keeps nothing and leaves what was there.

        :raises CacheError: for a value no cache can keep.
        """
        now = self.clock()
        span = self.lifetimes.span(now, ttl, jitter)
        if self.encodes:
            content: Any = encode(value)
            size = len(content)
        else:
            content, size = hold(value)
        if span is None:
            return False
        entry = Entry(content, now, span[0], span[1], size, tags)
        if self.backend.put(key, entry) if fence is None else self.backend.put(key, entry, fence=fence):
            self.counters.stored()
            return True
        self.counters.add(Count.REFUSED)
        return False
