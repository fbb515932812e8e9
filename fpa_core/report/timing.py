"""Counts over time in bounded memory: the bins grow wider as the covered time grows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_BINS", "WIDTHS", "TimeCounts", "level_for"]

_SECOND = 10**9
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3_600 * _SECOND, 86_400 * _SECOND

WIDTHS: tuple[int, ...] = (
    *(10**power for power in range(11)),
    *(_MINUTE * each for each in (1, 5, 10, 30)),
    *(_HOUR * each for each in (1, 2, 6, 12)),
    *(_DAY * 2**power for power in range(17)),
)
"""Widths of bins in nanoseconds. Each is a multiple of the one before, so that bins can be merged."""

MOST_BINS = 240
"""The largest number of bins between the first and the last time; with more, they are made wider."""


def level_for(first: int, last: int, level: int = 0, most: int = MOST_BINS) -> int:
    """Return the lowest level, not below *level*, whose bins cover a range of time with at most *most* of them."""
    while level + 1 < len(WIDTHS) and last // WIDTHS[level] - first // WIDTHS[level] >= most:
        level += 1
    return level


class TimeCounts:
    """Counts of times in bins of equal width.

    :ivar level: the index in :data:`WIDTHS` of the width of the bins.
    :ivar counts: the counts by the number of the bin, which is its start divided by the width.
    """

    def __init__(self) -> None:
        self.level = 0
        self.counts: dict[int, int] = {}

    @property
    def width(self) -> int:
        """The width of a bin in nanoseconds."""
        return WIDTHS[self.level]

    @property
    def total(self) -> int:
        """The number of times counted."""
        return sum(self.counts.values())

    def add(self, times: npt.NDArray[Any]) -> None:
        """Count times, in nanoseconds."""
        if not len(times):
            return
        self._widen(int(times.min()), int(times.max()))
        bins, counts = np.unique(times // self.width, return_counts=True)
        for place, count in zip(bins.tolist(), counts.tolist(), strict=True):
            self.counts[place] = self.counts.get(place, 0) + count

    def _widen(self, first: int, last: int) -> None:
        if self.counts:
            first = min(first, min(self.counts) * self.width)
            last = max(last, max(self.counts) * self.width)
        self.at_level(level_for(first, last, self.level))

    def at_level(self, level: int) -> None:
        """Merge bins so that they have the width of a level, if they are narrower."""
        if level <= self.level:
            return
        factor = WIDTHS[level] // self.width
        joined: dict[int, int] = {}
        for place, count in self.counts.items():
            joined[place // factor] = joined.get(place // factor, 0) + count
        self.level, self.counts = level, joined

    @staticmethod
    def aligned(many: Iterable[TimeCounts]) -> int:
        """Give all counts bins of the same width, and return it."""
        each = list(many)
        level = max((one.level for one in each), default=0)
        if each and (places := [place * one.width for one in each for place in one.counts]):
            level = level_for(min(places), max(places), level)
        for one in each:
            one.at_level(level)
        return WIDTHS[level]
