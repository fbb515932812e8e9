"""Up to where live data are complete: what connections delivered without a break becomes coverage, and what lies between them a gap."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from fpa_core.intervals import longest_ns
from fpa_core.kinds import BARS, Kind
from fpa_core.protocols import CoverageEntry
from fpa_core.sources.ranges import intersection, subtract, union

if TYPE_CHECKING:
    from fpa_core.store import DataStore

__all__ = ["LIVE_BARS", "Completeness", "Key", "live_interval"]

_log = logging.getLogger("fpa.sources")

LIVE_BARS = "1m"
"""The interval of bars that are delivered live."""

SECOND_NS = 10**9

AHEAD_NS = 60 * SECOND_NS
"""How far clocks may differ: a record that is further in the future has a wrong time."""

Key: TypeAlias = tuple[Kind, str]
"""A kind and a symbol."""


def live_interval(kind: Kind) -> str | None:
    """Return the interval of what is delivered live: bars have one."""
    return LIVE_BARS if kind is BARS else None


class Completeness:
    """Knows for each kind and symbol up to where all that happened was delivered or fetched.

    A connection that is open delivers everything from its beginning by our clock, or from its first record, if that is later: so a clock that is behind
    does not hide what was missed. What lies between the end of one connection and the beginning of the next is a gap.

    :param overlap_ns: by how much gaps are made longer at both ends, since clocks differ and rows come late.
    :param every: seconds between two entries into the ledger.
    :param wait: seconds after which a connection without a record begins by the clock alone.
    :param miss: told of each gap: its key, and the first and the last instant, which is excluded.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        origin: str,
        *,
        overlap_ns: int,
        every: float,
        wait: float,
        miss: Callable[[Key, int, int], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._keys = list(keys)
        self._origin = origin
        self._overlap = overlap_ns
        self._every = every
        self._wait = wait
        self._miss = miss
        self._monotonic = monotonic
        self._until: dict[Key, int] = {}
        self._rows: dict[Key, int] = {}
        self._connected_ns: int | None = None
        self._begun = False  # whether what this connection covers has begun
        self._begin_by = 0.0
        self._last_ns: int | None = None
        self._next = 0.0

    @property
    def missing(self) -> int:
        """For how many kinds and symbols something is missed now; it becomes a gap when it is known where it ends."""
        return 0 if self._begun else len(self._until)

    def resume(self, store: DataStore, earliest: int, now: int) -> list[CoverageEntry]:
        """Go on where the ledger ends, unless that is before *earliest*, and report the holes it has.

        :returns: what to enter into the ledger before the source is asked: ranges without length, for what nothing recent is known of. They claim
            nothing, and tell the next run where this one began, should it be killed before it has stored anything.
        """
        begins = []
        for kind, symbol in self._keys:
            entries = [
                one
                for one in store.coverage(kind, symbol)
                if one.origin == self._origin and one.interval == live_interval(kind)
            ]
            recent = intersection(union((one.start_ns, one.end_ns) for one in entries), [(earliest, now)])
            known = [one.start_ns for one in entries if one.start_ns == one.end_ns and earliest <= one.start_ns <= now]
            known += [at for ends in recent for at in ends]
            if known:
                self._until[kind, symbol] = max(known)
                for hole in subtract([(min(known), max(known))], recent):
                    self._miss((kind, symbol), *hole)
                continue
            if entries:
                _log.warning(
                    "%s of %s: the last run ended too long ago to catch up; `fpa backfill` closes the gap",
                    kind.name,
                    symbol,
                )
            begin = now - self._overlap
            begins.append(CoverageEntry(kind.name, symbol, live_interval(kind), self._origin, begin, begin, 0))
        return begins

    def connect(self, at_ns: int) -> None:
        """Note that a connection began."""
        self._connected_ns = at_ns
        self._last_ns = None
        self._rows.clear()
        self._next = self._monotonic() + self._every
        self._begun = False
        self._begin_by = self._monotonic() + self._wait

    def count(self, key: Key, at_ns: int | None, now_ns: int) -> None:
        """Count a record of a time; None if it has none. A time in the future says nothing of how far the source has come."""
        self._rows[key] = self._rows.get(key, 0) + 1
        if at_ns is None or at_ns >= now_ns + AHEAD_NS or (self._last_ns is not None and at_ns <= self._last_ns):
            return
        self._last_ns = at_ns
        if not self._begun and self._connected_ns is not None:
            self._begin(max(at_ns, self._connected_ns))

    def _begin(self, at_ns: int) -> None:
        self._begun = True
        end = at_ns + self._overlap
        for key in self._keys:
            if key in self._until:
                self._miss_range(key, self._until[key], end)
            self._until[key] = end

    def _miss_range(self, key: Key, start: int, end: int) -> None:
        if start < end:
            self._miss(key, start, end)

    def disconnect(self) -> list[CoverageEntry]:
        """Note that the connection ended, and return what to enter into the ledger."""
        if self._connected_ns is None:
            return []
        if not self._begun:
            self._begin(self._connected_ns)
        entries = self._entries()
        # What came last may not have been all there was at that time.
        for key in self._keys:
            self._until[key] = min(self._until[key], self._reached(key[0]))
        self._connected_ns, self._begun = None, False
        return entries

    def due(self) -> list[CoverageEntry]:
        """Return what to enter into the ledger now; it is not due each time."""
        now = self._monotonic()
        if self._connected_ns is None or (not self._begun and now < self._begin_by):
            return []
        if not self._begun:
            self._begin(self._connected_ns)
        if now < self._next:
            return []
        self._next = now + self._every
        return self._entries()

    def drop(self, key: Key, first_ns: int, last_ns: int) -> list[CoverageEntry]:
        """Note that records of these times were not stored: a gap. Return what to enter into the ledger before that."""
        if self._connected_ns is not None and not self._begun:
            self._begin(self._connected_ns)
        start, end = first_ns - self._overlap, last_ns + self._overlap
        self._miss_range(key, start, end)
        if key not in self._until:
            return []
        until = min(start, self._reached(key[0]))
        before = [self._entry(key, until, 0)] if self._until[key] < until else []
        self._until[key] = max(self._until[key], end)  # nothing of that time was delivered without a break
        return before

    def _reached(self, kind: Kind) -> int:
        """Return the time up to which this connection has delivered everything of a kind: a bar comes after its end."""
        connected = self._connected_ns or 0
        if self._last_ns is None:
            return connected
        late = 2 * longest_ns(LIVE_BARS) if kind is BARS else self._overlap
        return max(connected, self._last_ns) - late

    def _entries(self) -> list[CoverageEntry]:
        """Return what was delivered without a break since the last time."""
        entries = []
        for key in self._keys:
            reached = self._reached(key[0])
            if self._until[key] < reached:
                entries.append(self._entry(key, reached, self._rows.pop(key, 0)))
                self._until[key] = reached
        return entries

    def _entry(self, key: Key, until: int, rows: int) -> CoverageEntry:
        kind, symbol = key
        return CoverageEntry(kind.name, symbol, live_interval(kind), self._origin, self._until[key], until, rows)
