"""The longest gaps between the rows of each series, without the times at which its market was closed. Memory is bounded.

With a calendar, a gap is as long as the sessions that it contains. Without one, days and nights are guessed from the data: see :class:`Gaps`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fpa_core.report.series import MOST_SYMBOLS, Series

__all__ = ["MOST_GAPS", "NIGHT", "Gap", "Gaps", "Sessions"]

Sessions: TypeAlias = Callable[[str, int, int], Sequence[tuple[int, int]] | None]
"""Returns the opens and closes of the sessions of a symbol that overlap a range of time, in nanoseconds; None if no calendar is known."""

MOST_GAPS = 20
"""The number of gaps kept."""

NIGHT = 4 * 3_600 * 10**9
"""Without a calendar, a longer break may be a night."""

HOLIDAYS = 2
"""Without a calendar, as many weekdays may be missing because they were holidays."""

TOLERANCE = 1.5
"""The largest distance of two bars that is no gap, in intervals."""

_DAY = 86_400 * 10**9
_UNITS = {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": _DAY, "w": 7 * _DAY, "mo": 31 * _DAY}


class Gap(NamedTuple):
    """A gap between two rows of a series. The longest sort last.

    :ivar ns: how long the market was open, or may have been, in nanoseconds.
    :ivar start_ns: the time of the last row before; ``end_ns`` is that of the first row after.
    :ivar missing: for bars of a day or more, how many are missing; else 0.
    """

    ns: int
    name: str
    start_ns: int
    end_ns: int
    missing: int = 0


class _Followed:
    """What is remembered of a series: its last time, the days with rows, and breaks that may be nights."""

    __slots__ = ("days", "last", "nights", "weekend")

    def __init__(self) -> None:
        self.last: int | None = None
        self.days = 0
        self.nights = 0
        self.weekend = 0

    @property
    def never_closes(self) -> bool:
        """Whether there were rows on a Saturday and on a Sunday."""
        return self.weekend == 3


class Gaps:
    """The longest gaps of all series.

    Without a calendar, the following are no gaps: weekends, unless the series has rows on both days of some; up to :data:`HOLIDAYS` missing
    weekdays; and breaks longer than :data:`NIGHT`, if the series has one between at least every other two days.

    :param sessions: looks up calendars; None for none.
    :ivar by_calendar: whether any series had a calendar.
    :ivar left_out: the number of breaks taken for nights, weekends or holidays without one.
    """

    def __init__(self, sessions: Sessions | None = None) -> None:
        self.by_calendar = False
        self.left_out = 0
        self._sessions = sessions or (lambda _subject, _start, _end: None)
        self._followed: dict[str, _Followed] = {}
        self._gaps: list[Gap] = []
        self._nights: list[Gap] = []

    def add(self, series: Series) -> None:
        """Add the rows of a series in a chunk."""
        if series.name not in self._followed and len(self._followed) >= MOST_SYMBOLS:
            return
        known = self._followed.setdefault(series.name, _Followed())
        times = series.times if known.last is None else np.r_[known.last, series.times]
        days = (
            times + _DAY // 2 if _length(series.interval) >= _DAY else times
        ) // _DAY  # a bar of a day begins near midnight
        known.days += int(np.count_nonzero(np.diff(days))) + (known.last is None)
        weekdays = (days + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
        known.weekend |= int((weekdays == 5).any()) | 2 * int((weekdays == 6).any())
        known.last = int(times.max())
        later = np.flatnonzero(times[1:] > times[:-1])
        if len(later):
            self._look(series, known, times[later], times[later + 1], (days[later], days[later + 1]))

    def _look(self, series: Series, known: _Followed, starts: Any, ends: Any, days: tuple[Any, Any]) -> None:
        step = _length(series.interval)
        hours = self._sessions(series.subject, int(starts[0]), int(ends[-1])) if step <= _DAY else None
        nights = np.zeros(len(starts), bool)
        missing = np.zeros(len(starts), np.int64)
        spans = ends - starts
        if step > _DAY:
            missing = np.rint(spans / step).astype(np.int64) - 1
            spans = np.where(spans > TOLERANCE * step, spans, 0)
        elif hours is not None:
            self.by_calendar = True
            spans, missing = _within(hours, starts, ends, step)
        else:
            between = days[1] - days[0] - 1 if known.never_closes else _weekdays_between(*days)
            closed = (between <= HOLIDAYS) & (not known.never_closes)
            if step == _DAY:
                missing = between
                self.left_out += int(np.count_nonzero((days[1] - days[0] > 1) & closed))
                spans = np.where(closed, 0, missing * _DAY)
            else:
                breaks = closed & (spans > NIGHT)
                weekends = breaks & (days[1] - days[0] - 1 > between)
                nights = breaks & ~weekends
                self.left_out += int(np.count_nonzero(weekends))
                known.nights += int(np.count_nonzero(nights))
                spans = np.where((spans > TOLERANCE * step) & ~weekends, spans, 0)
        for kept, places in ((self._gaps, ~nights), (self._nights, nights)):
            chosen = np.flatnonzero(places & (spans > 0))
            longest = chosen[np.argsort(spans[chosen], kind="stable")[-MOST_GAPS:]]
            for place in longest.tolist():
                gap = Gap(int(spans[place]), series.name, int(starts[place]), int(ends[place]), int(missing[place]))
                (heapq.heappush if len(kept) < MOST_GAPS else heapq.heappushpop)(kept, gap)

    def longest(self) -> list[Gap]:
        """Return the longest gaps, the longest first."""
        odd = [gap for gap in self._nights if not self._sleeps(self._followed[gap.name])]
        return sorted([*self._gaps, *odd], reverse=True)[:MOST_GAPS]

    @property
    def assumed(self) -> int:
        """The number of breaks that were taken for nights, weekends or holidays, because no calendar is known."""
        return self.left_out + sum(known.nights for known in self._followed.values() if self._sleeps(known))

    @staticmethod
    def _sleeps(known: _Followed) -> bool:
        """Return whether the long breaks of a series are nights, because there are so many."""
        return known.days > 1 and 2 * known.nights >= known.days - 1 and not known.never_closes


def _length(interval: str | None) -> int:
    """Return the length of an interval in nanoseconds, 0 for None. A month counts as 31 days, a year as 12 months."""
    if interval is None:
        return 0
    digits = interval.rstrip("smhdwo")
    return int(digits) * _UNITS[interval[len(digits) :]]


def _weekdays_between(first: Any, last: Any) -> Any:
    """Return how many weekdays lie between two days."""
    dates = [days.astype("datetime64[D]") for days in (first, last)]
    return np.maximum(np.busday_count(dates[0] + 1, dates[1]), 0)


def _within(hours: Sequence[tuple[int, int]], starts: Any, ends: Any, step: int) -> tuple[Any, Any]:
    """Return how long the sessions were open in each gap, 0 if nothing is missing; and how many bars of a day are missing."""
    opens, closes = (np.array([hour[edge] for hour in hours], np.int64) for edge in (0, 1))
    if step == _DAY:
        opened = np.searchsorted(opens, ends) - np.searchsorted(opens, starts)
        missing = np.maximum(opened - 1, 0)
        return missing * _DAY, missing
    if not len(opens):
        return np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    before = np.r_[0, np.cumsum(closes - opens)]

    def open_until(times: Any) -> Any:
        place = np.searchsorted(opens, times, side="right") - 1
        inside = np.minimum(times, closes[place]) - opens[place]
        return np.where(place < 0, 0, before[place] + inside)

    spans = open_until(ends) - open_until(starts)
    return np.where(spans > TOLERANCE * step, spans, 0), np.zeros(len(starts), np.int64)
