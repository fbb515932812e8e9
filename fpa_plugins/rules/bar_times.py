"""Rules about the times of bars: whether they fit their interval, and two bars of one day or week."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from attrs.validators import ge

from fpa_core.numbers import ns_text
from fpa_core.protocols import Failure
from fpa_core.validator import FLAG, WARN, Rule, SeriesRule
from fpa_plugins.rules.intervals import DAY, WEEK, interval_ns, span_text
from fpa_plugins.rules.stored import held, page_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fpa_core.models import Bar
    from fpa_core.protocols import StoredBars
    from fpa_core.validator.vectors import Columns, KleeneMask

    Times = npt.NDArray[np.int64]

__all__ = ["RULES", "Day", "Interval"]

_SERIES = ("symbol", "interval")
_MOST = 2**63 - 1
_LONG = 20 * DAY // 24
"""A distance this long is between two sessions, not within one."""
_HUNDRED = 100


@define
class _Distances:
    """The distances of the bars of a series so far.

    :ivar fit: how many are about the interval; ``short`` counts those of at most half of it, ``long`` those of about a day or more.
    :ivar common: the greatest common divisor of all of them; once it is below twice the interval, it is not updated.
    """

    last: int | None = None
    total: int = 0
    fit: int = 0
    short: int = 0
    long: int = 0
    common: int = 0


@frozen(kw_only=True)
class Interval(SeriesRule):
    """The usual distance of bars does not contradict their interval.

    Distances longer than the interval are normal: nights, weekends and times without trades. Bars contradict their interval if

    - most distances are at most half of it: minute bars labelled 1d;
    - or all are about a day or more but the interval is shorter: daily bars labelled 1m;
    - or many distances are all multiples of twice the interval or more: 5-minute bars labelled 1m;
    - or, for an interval of a day or more, nearly none of many distances is about the interval: weekly bars labelled 1d.

    Nothing is rejected for it.

    Good: bars of 1m at 12:00, 12:01, 12:02. Bad: bars of 1m at the midnights of three days.

    :ivar many: the number of distances needed for the last two conditions.
    :ivar min_fit: the percentage of distances that must be about an interval of a day or more.
    """

    id = "bar.interval"
    kind = "bars"
    fields = ("ts_ns", "interval")
    key = _SERIES
    levels = FLAG

    many: int = field(default=20, validator=ge(2), metadata={"unit": "distances"})
    min_fit: int = field(default=5, validator=ge(0), metadata={"unit": "percent of the distances"})

    def start(self) -> _Distances:
        """Return the state before the first bar."""
        return _Distances()

    def step(self, state: _Distances, ts_ns: int, interval: str) -> bool | Failure | None:
        """Check the next bar."""
        last, state.last = state.last, ts_ns
        if last is None or last == ts_ns:
            return None
        distance, length = abs(ts_ns - last), interval_ns(interval)
        is_short = distance <= length // 2
        state.total += 1
        state.short += is_short
        state.fit += not is_short and distance < length + length // 2
        state.long += distance >= _LONG
        if not state.common or state.common >= 2 * length:
            state.common = math.gcd(state.common, distance)
        if state.total < 2:
            return None
        if not self._contradicts(length, state):
            return True
        return self._failure(distance, interval, state.fit, state.total)

    def _contradicts(self, length: int, state: _Distances) -> bool:
        if 2 * state.short > state.total or (length < _LONG and state.long == state.total):
            return True
        if state.total < self.many:
            return False
        if length < DAY:
            return state.common >= 2 * length
        return _HUNDRED * state.fit < self.min_fit * state.total

    @staticmethod
    def _failure(distance: int, interval: str, fit: int, total: int) -> Failure:
        return Failure(
            f"bars said to be of {interval} are not: {fit} of {total} distances fit, this one is {span_text(distance)}",
            interval,
        )

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Validate a table."""
        import numpy as np

        from fpa_core.validator.lagged import series_names
        from fpa_core.validator.vectors import KleeneMask

        codes, names = series_names(columns, _SERIES)
        times = columns.numbers("ts_ns").units
        known, holds = np.zeros(len(columns), np.bool_), np.ones(len(columns), np.bool_)
        order = np.argsort(codes, kind="stable") if len(names) > 1 else np.arange(len(columns))
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1)) if len(names) > 1 else [0, len(columns)]
        counted: list[tuple[Times, npt.NDArray[np.uint64], Times, Times, str]] = []
        for number, name in enumerate(names):
            rows = order[ends[number] : ends[number + 1]]
            if not len(rows):
                continue
            state = memory.get(name)
            if state is None:
                state = memory[name] = self.start()
            distances, fit, total = self._count(times[rows], state, name[1], rows, known, holds)
            if not holds[rows].all():
                counted.append((rows, distances, fit, total, name[1]))

        def why(row: int) -> Failure:
            for rows, distances, fit, total, interval in counted:
                place = int(rows.searchsorted(row))
                if place < len(rows) and rows[place] == row:
                    return self._failure(int(distances[place]), interval, int(fit[place]), int(total[place]))
            raise KeyError(row)

        return KleeneMask(holds, known, why if counted else None)

    def _count(
        self,
        times: Times,
        state: _Distances,
        interval: str,
        rows: Times,
        known: npt.NDArray[np.bool_],
        holds: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.uint64], Times, Times]:
        """Count the distances of one series, check its rows, and return the distances and the counts so far of each row."""
        import numpy as np

        before = np.empty_like(times)
        before[0], before[1:] = times[0] if state.last is None else state.last, times[:-1]
        # As unsigned: the difference of two times may need all 64 bits.
        distances = np.where(times >= before, times - before, before - times).view(np.uint64)
        length = interval_ns(interval)
        counts = distances > 0
        is_short = counts & (distances <= np.uint64(min(length // 2, _MOST)))
        is_fit = counts & ~is_short & (distances < np.uint64(min(length + length // 2, _MOST)))
        is_long = counts & (distances >= np.uint64(_LONG))
        total = state.total + np.cumsum(counts)
        fit, short, long = (
            old + np.cumsum(each) for old, each in ((state.fit, is_fit), (state.short, is_short), (state.long, is_long))
        )
        wrong = 2 * short > total
        if length < _LONG:
            wrong |= long == total
        if length >= DAY:
            wrong |= (total >= self.many) & (_HUNDRED * fit < self.min_fit * total)
        elif not state.common or state.common >= 2 * length:
            given = np.concatenate([np.array([state.common], np.uint64), np.where(counts, distances, np.uint64(0))])
            common = np.gcd.accumulate(given)[1:]
            wrong |= (total >= self.many) & (common >= np.uint64(2 * length))
            state.common = int(common[-1])
        known[rows] = counts & (total >= 2)
        holds[rows] = ~wrong
        state.last, state.total = int(times[-1]), int(total[-1])
        state.fit, state.short, state.long = int(fit[-1]), int(short[-1]), int(long[-1])
        return distances, fit, total


@frozen(kw_only=True)
class Day(SeriesRule):
    """There is only one daily bar per day, and only one weekly bar per week.

    Vendors stamp a bar with midnight in UTC, midnight of the exchange, or the close, so files of two vendors may contain each day twice. Bars are
    of one day if they share their day in UTC, or are at most half a day apart. Days shortened by an hour when clocks change are not
    affected. Stored bars count, too. Only intervals of 1d and 1w are checked; a week begins on Monday.

    Good: bars of 1d at 2024-05-01T00:00Z and 2024-05-02T00:00Z. Bad: at 2024-05-01T00:00Z and 2024-05-01T20:00Z.

    :ivar window: how many days of each symbol are remembered.
    """

    id = "bar.day"
    kind = "bars"
    fields = ("ts_ns", "interval")
    key = _SERIES
    levels = WARN
    needs = ("memory", "stored_bars")

    window: int = field(default=10_000, validator=ge(1), metadata={"unit": "days"})

    def check(  # type: ignore[override]  # given what `needs` names
        self, record: Bar, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None
    ) -> bool | Failure | None:
        """Check one bar against those before it and the stored ones."""
        if interval_ns(record.interval) not in (DAY, WEEK):
            return None
        times: list[int] = []
        if stored_bars is not None:
            times = page_of(memory, stored_bars, record.symbol, record.interval, record.ts_ns).times
        state = memory.setdefault((record.symbol, record.interval), OrderedDict())
        return self._next(state, record.ts_ns, record.interval, times)

    def _next(self, state: OrderedDict[int, int], ts_ns: int, interval: str, stored: list[int]) -> bool | Failure:
        """Check the next bar of a series, and remember it."""
        length = interval_ns(interval)
        day = _number(ts_ns, length)
        others = [("came before", other) for near in (day - 1, day, day + 1) if (other := state.get(near)) is not None]
        first, end = bisect_left(stored, ts_ns - length), bisect_right(stored, ts_ns + length)
        others += [("is in the store", other) for other in stored[first:end]]
        state[day] = ts_ns
        if len(state) > self.window:
            state.popitem(last=False)
        for where, other in others:
            if _near(ts_ns, other, length):
                told = "day" if length == DAY else "week"
                return Failure(
                    f"the bar of {ns_text(other)} {where}, and this one of {ns_text(ts_ns)} is of the same {told}",
                    related=ns_text(other),
                )
        return True

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None) -> KleeneMask:  # type: ignore[override]
        """Validate a table; at once if its days are all different, as they nearly always are."""
        import numpy as np

        from fpa_core.validator.lagged import series_names
        from fpa_core.validator.vectors import KleeneMask

        interval_codes, intervals = columns.codes("interval")
        daily = np.array([interval_ns(each) in (DAY, WEEK) for each in intervals], np.bool_)
        judged = daily[interval_codes]
        if not judged.any():
            return columns.unknown()
        stored = {} if stored_bars is None else held(columns, stored_bars)
        codes, names = series_names(columns, _SERIES)
        times = columns.numbers("ts_ns").units
        order = np.argsort(codes, kind="stable") if len(names) > 1 else np.arange(len(columns))
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1)) if len(names) > 1 else [0, len(columns)]
        holds = np.ones(len(columns), np.bool_)
        failures: dict[int, Failure] = {}
        for number, name in enumerate(names):
            rows = order[ends[number] : ends[number + 1]]
            if not len(rows) or interval_ns(name[1]) not in (DAY, WEEK):
                continue
            state = memory.setdefault(name, OrderedDict())
            beside = stored[name].times if name in stored else np.zeros(0, np.int64)
            if self._apart(times[rows], state, beside, interval_ns(name[1])):
                self._remember(times[rows], state, interval_ns(name[1]))
                continue
            known = beside.tolist()
            for row, ts_ns in zip(rows.tolist(), times[rows].tolist(), strict=True):
                verdict = self._next(state, ts_ns, name[1], known)
                if isinstance(verdict, Failure):
                    holds[row], failures[row] = False, verdict
        return KleeneMask(holds, judged, failures.__getitem__ if failures else None)

    @staticmethod
    def _apart(times: Times, state: OrderedDict[int, int], stored: Times, length: int) -> bool:
        """Return whether no two of these times are of one day."""
        import numpy as np

        known = np.fromiter(state.values(), np.int64, len(state))
        together = np.unique(np.concatenate([times, known, stored]))
        before, after = together[:-1], together[1:]
        distances = (after - before).view(np.uint64)
        same = _number(after, length) == _number(before, length)
        near = (distances <= np.uint64(length // 2)) | (same & (distances < np.uint64(length * 23 // 24)))
        return not bool(near.any())

    def _remember(self, times: Times, state: OrderedDict[int, int], length: int) -> None:
        last: Iterable[int] = times.tolist()
        state.update((_number(each, length), each) for each in last)
        while len(state) > self.window:
            state.popitem(last=False)


def _number(ts_ns: Any, length: int) -> Any:
    """Return the number of the day or week of one or many times. Weeks begin on Monday, and 1970 began on a Thursday."""
    days = ts_ns // DAY
    return days if length == DAY else (days + 3) // 7


def _near(one: int, other: int, length: int) -> bool:
    """Return whether two different times are of one day or week."""
    distance = abs(one - other)
    if not distance:
        return False
    same = _number(one, length) == _number(other, length)
    return distance <= length // 2 or (same and distance < length * 23 // 24)


RULES: tuple[type[Rule], ...] = (Interval, Day)
