"""What sources were asked a moment ago: it is not asked again at once. The answers are kept in the cache of the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import Query
from fpa_core.sources.gaps import Gap, Subject

__all__ = ["LATEST_TTL", "RECENT_TTL", "Memory", "RecentAnswers"]

LATEST_TTL = 1.0
"""Seconds for which the latest record that a source has is not asked for again."""

RECENT_TTL = 5.0
"""Seconds for which the part of a history that is too young to be final is not fetched again by :meth:`fpa_core.DataLayer.get`."""

SECOND_NS = 10**9

T = TypeVar("T")


class Memory(Protocol):
    """Keeps answers for a while. It may forget them at any time, and fails never."""

    def read_many(
        self, keys: Sequence[str], load: Callable[[Sequence[str]], Mapping[str, T]], ttl: float
    ) -> Mapping[str, T]:
        """Return the values of *keys*; those that are not kept are loaded together, and kept for *ttl* seconds."""
        ...

    def recall(self, key: str) -> Any:
        """Return a value; None if it is not kept."""
        ...

    def remember(self, key: str, value: Any, ttl: float, query: Query) -> None:
        """Keep a value for *ttl* seconds, or until the rows of *query* change."""
        ...


class RecentAnswers:
    """What sources answered a moment ago."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def latest(
        self,
        origin: str,
        kind: Kind,
        symbols: Sequence[str],
        load: Callable[[Sequence[str]], Iterable[Any]],
        ttl: float,
    ) -> list[Any]:
        """Return the latest record of each symbol that has one, in the order of *symbols*.

        :param load: asks the source for the records of symbols.
        :param ttl: seconds; with 0 the source is asked each time.
        """
        if ttl <= 0:
            return list(load(symbols))
        # Who allows a second is not answered with what somebody else keeps for an hour.
        keys = {f"latest:{origin}:{kind.name}:{ttl:g}:{symbol}": symbol for symbol in symbols}

        def load_keys(missing: Sequence[str]) -> dict[str, Any]:
            found = {getattr(one, kind.subject): one for one in load([keys[key] for key in missing])}
            return {key: found[keys[key]] for key in missing if keys[key] in found}

        values = self._memory.read_many(list(keys), load_keys, ttl)
        return [values[key] for key in keys if key in values]

    def not_recent(self, gaps: Iterable[Gap], ttl: float) -> list[Gap]:
        """Return the gaps without those that were fetched less than *ttl* seconds ago, up to the present of then."""
        return [gap for gap in gaps if not self._is_recent(gap, ttl)]

    def _is_recent(self, gap: Gap, ttl: float) -> bool:
        fetched = self._memory.recall(_key(gap.subject)) if ttl > 0 else None
        return fetched is not None and fetched[0] <= gap.start_ns and gap.end_ns <= fetched[1] + int(ttl * SECOND_NS)

    def note(self, gap: Gap, ttl: float) -> None:
        """Remember that a gap has just been fetched."""
        if ttl > 0:
            query = Query(KINDS[gap.subject.kind], (gap.subject.symbol,))
            self._memory.remember(_key(gap.subject), [gap.start_ns, gap.end_ns], ttl, query)


def _key(subject: Subject) -> str:
    return f"fetched:{subject.origin}:{subject.kind}:{subject.symbol}:{subject.interval}"
