"""The sessions of exchanges, from the package exchange_calendars, which is an extra."""

from __future__ import annotations

import functools
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from fpa_core.exceptions import ConfigError
from fpa_core.packages import needs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Sessions", "calendar_code", "session_dates", "session_days", "sessions"]

_FROM = "1990-01-01"
_EPOCH = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001  # a date
_DAY_NS = 86_400 * 10**9


def calendar_code(name: str | None) -> str | None:
    """Return the code of an exchange as an option of a source has it: None if there are data at any time, which is written as ``none``."""
    return None if name is None or name.lower() in {"", "none"} else name


@frozen(eq=False)
class Sessions:
    """The sessions of an exchange.

    :ivar opens: the starts of its sessions in nanoseconds since 1970, sorted.
    :ivar closes: the ends of its sessions.
    """

    opens: Sequence[int]
    closes: Sequence[int]

    def number(self, ts_ns: int) -> int | None:
        """Return the number of the session that contains a time, its end included; -1 between sessions, None outside the calendar."""
        if not self.opens[0] <= ts_ns <= self.closes[-1]:
            return None
        place = bisect_right(self.opens, ts_ns) - 1
        return place if ts_ns <= self.closes[place] else -1

    def numbers(self, ts_ns: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the session numbers of many times, and which of the times are within the calendar."""
        import numpy as np

        opens, closes = np.asarray(self.opens, np.int64), np.asarray(self.closes, np.int64)
        known = (ts_ns >= opens[0]) & (ts_ns <= closes[-1])
        place = np.searchsorted(opens, ts_ns, side="right") - 1
        return np.where(known & (ts_ns <= closes[place]), place, -1), known

    def between(self, start_ns: int, end_ns: int) -> list[tuple[int, int]] | None:
        """Return the sessions that overlap a range of time, as opens and closes; None if the calendar does not cover the range."""
        if not self.opens[0] <= start_ns <= end_ns <= self.closes[-1]:
            return None
        places = slice(bisect_left(self.closes, start_ns), bisect_right(self.opens, end_ns))
        return list(zip(self.opens[places], self.closes[places], strict=True))

    def elapsed(self, ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how long the exchange was open before each time, in nanoseconds since the first session."""
        import numpy as np

        opens, closes = np.asarray(self.opens, np.int64), np.asarray(self.closes, np.int64)
        before = np.concatenate([[0], np.cumsum(closes - opens)])
        place = np.searchsorted(opens, ts_ns, side="right") - 1
        inside = np.minimum(ts_ns, closes[place]) - opens[place]
        return np.where(place < 0, 0, before[place] + inside)

    def opened(self, ts_ns: int) -> int:
        """Return how many sessions began at or before a time."""
        return bisect_right(self.opens, ts_ns)


@functools.lru_cache(maxsize=32)
def sessions(name: str) -> Sessions:
    """Return the sessions of an exchange by its code, such as XNYS; see the list of exchange_calendars.

    :raises MissingDependencyError: if exchange_calendars is not installed.
    :raises ConfigError: if the exchange is unknown.
    """
    calendar = _calendar(name)
    return Sessions(calendar.opens_nanos.tolist(), calendar.closes_nanos.tolist())


@functools.lru_cache(maxsize=32)
def session_days(name: str) -> tuple[tuple[int, int], ...]:
    """Return the days of an exchange's sessions as ranges [start, end) in nanoseconds since 1970, sorted and apart.

    A day is that of the exchange's time zone, from midnight to midnight, with the trading before and after the regular hours. A session that begins the evening before extends its day. Half days are days; holidays and weekends are not.

    :raises MissingDependencyError: if exchange_calendars is not installed.
    :raises ConfigError: if the exchange is unknown.
    """
    calendar = _calendar(name)
    days: list[tuple[int, int]] = []
    for label, opens, closes in zip(
        calendar.sessions, calendar.opens_nanos.tolist(), calendar.closes_nanos.tolist(), strict=True
    ):
        midnight = datetime(label.year, label.month, label.day, tzinfo=calendar.tz)
        after = datetime.fromordinal(midnight.toordinal() + 1).replace(tzinfo=calendar.tz)
        start = min(int(midnight.timestamp()) * 10**9, opens)
        end = max(int(after.timestamp()) * 10**9, closes)
        if days and start <= days[-1][1]:
            days[-1] = (days[-1][0], max(end, days[-1][1]))
        else:
            days.append((start, end))
    return tuple(days)


@functools.lru_cache(maxsize=32)
def session_dates(name: str) -> tuple[tuple[int, int], ...]:
    """Return the dates of an exchange's sessions as ranges [start, end), from midnight to midnight in UTC: daily bars are stored under them.

    :raises MissingDependencyError: if exchange_calendars is not installed.
    :raises ConfigError: if the exchange is unknown.
    """
    dates: list[tuple[int, int]] = []
    for label in _calendar(name).sessions:
        start = (label.toordinal() - _EPOCH) * _DAY_NS
        if dates and dates[-1][1] == start:
            dates[-1] = (dates[-1][0], start + _DAY_NS)
        else:
            dates.append((start, start + _DAY_NS))
    return tuple(dates)


@functools.lru_cache(maxsize=8)
def _calendar(name: str) -> Any:
    with needs("exchange_calendars", "the calendar of an exchange", extra="calendars"):
        import exchange_calendars
        from exchange_calendars.errors import CalendarError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its warnings about pandas do not concern our users
            return _since(exchange_calendars, name)
    except CalendarError as error:
        raise ConfigError(f"calendar: {error}", hint="codes are those of exchange_calendars, such as XNYS") from error


def _since(package: Any, name: str) -> Any:
    """Return a calendar from 1990 on, or from its first year."""
    try:
        return package.get_calendar(name, start=_FROM)
    except ValueError:  # the calendar starts later
        return package.get_calendar(name)
