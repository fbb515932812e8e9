"""Gaps between stored rows: bars that are missing, and long times without a quote or trade while the market was open.

Whether a source has anything for a gap is another question: see :mod:`fpa_core.sources.gaps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.calendars import Sessions, sessions
from fpa_core.exceptions import DataError
from fpa_core.intervals import interval_text, longest_ns
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind, kind_of
from fpa_core.numbers import ns_text, to_ns, to_seconds

if TYPE_CHECKING:
    from fpa_core.store import DataStore

__all__ = ["LONGER_THAN", "StoredGap", "stored_gaps"]

LONGER_THAN = "15m"
"""How long a market has to be open without a quote or trade until it is a gap."""

_KINDS = (QUOTES, TRADES, BARS)
_DAY_NS = 86_400 * 10**9
_TOLERANCE = 1.5
"""The distance of two bars, in intervals, beyond which one is missing: bars of months differ in length."""

Times: TypeAlias = npt.NDArray[np.int64]


@frozen
class StoredGap:
    """A range of time without stored rows.

    :ivar interval: that of the bars; None for quotes and trades, and for a symbol without bars of any interval.
    :ivar start_ns: the time of the last row before, or the beginning of the range asked about; ``end_ns`` is the time of the first row after, or its end.
    :ivar open_ns: how long the market was open meanwhile; for bars, the length of those that are missing.
    :ivar missing: the number of bars that are missing; None for quotes and trades.
    """

    kind: str
    symbol: str
    interval: str | None
    start_ns: int
    end_ns: int
    open_ns: int
    missing: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the gap for machines, its times as text."""
        return {
            "kind": self.kind,
            "symbol": self.symbol,
            "interval": self.interval,
            "start": ns_text(self.start_ns),
            "end": ns_text(self.end_ns),
            "open_seconds": self.open_ns / 1e9,
            "missing": self.missing,
        }


def stored_gaps(
    store: DataStore,
    what: Any,
    symbols: str | Sequence[str] | None = None,
    *,
    start: Any = None,
    end: Any = None,
    interval: str | None = None,
    longer_than: str | float | None = None,
    calendar: str | None = None,
    as_known_at: Any = None,
) -> Iterator[StoredGap]:
    """Yield the gaps of each symbol, in order of symbol, interval and time.

    :param what: quotes, trades or bars.
    :param symbols: None for all that have rows.
    :param start: the first time of the range; from there to the first row may be a gap, too. None begins with the first row.
    :param end: the first time after the range; None ends with the last row.
    :param interval: only bars of this interval; None for those of each.
    :param longer_than: report only gaps during which the market was open longer, as ``"30m"`` or seconds. None takes all missing bars, and for quotes
        and trades :data:`LONGER_THAN`.
    :param calendar: the exchange whose sessions count, such as XNYS; None for a market that is always open.
    :raises DataError: if the kind has no gaps, a parameter is wrong, or the calendar does not cover the rows.
    :raises ConfigError: if the exchange is unknown.
    :raises MissingDependencyError: if there is a calendar, and exchange_calendars is not installed.
    """
    kind = kind_of(what)
    if kind not in _KINDS:
        raise DataError(f"{kind.name} have no gaps", hint="quotes, trades and bars have", field="kind", value=kind.name)
    if interval is not None and kind is not BARS:
        raise DataError(f"interval: {kind.name} have none", field="interval", value=interval)
    least = longer_than if longer_than is not None or kind is BARS else LONGER_THAN
    search = _Search(
        kind,
        None if start is None else to_ns(start, "start", dates=True),
        None if end is None else to_ns(end, "end", dates=True),
        0 if least is None else int(to_seconds(least, "longer_than") * 1e9),
        None if calendar is None else sessions(calendar),
        calendar,
    )
    if search.start is not None and search.end is not None and search.start > search.end:
        raise DataError("start: it is later than the end", field="start", value=start)
    names = [symbols] if isinstance(symbols, str) else symbols
    if names is None:
        names = [entry.subject for entry in store.inventory(kind)]
    length = None if interval is None else interval_text(interval)
    conditions: dict[str, Any] = {} if length is None else {"interval": length}
    for name in dict.fromkeys(names):
        needed = ["timestamp", "interval"] if kind is BARS else ["timestamp"]
        rows = store.select(
            kind, name, start=search.start, end=search.end, as_known_at=as_known_at, columns=needed, **conditions
        )
        yield from search.of_symbol(name, length, rows)


@frozen
class _Search:
    """What is looked for.

    :ivar least: gaps are longer, in nanoseconds of an open market.
    """

    kind: Kind
    start: int | None
    end: int | None
    least: int
    sessions: Sessions | None
    calendar: str | None

    def of_symbol(self, symbol: str, interval: str | None, rows: Any) -> Iterator[StoredGap]:
        """Return the gaps of a symbol, by interval."""
        series: dict[str | None, _Series] = {}
        for batch in rows.batches():
            times = columns.times_as_ns(batch.column("timestamp")).to_numpy()
            for name, own in _by_interval(batch, times):
                self._check_covered(symbol, own)
                series.setdefault(name, _Series(self, symbol, name)).add(own)
        if not series:
            series[interval] = _Series(self, symbol, interval)
        for name in sorted(series, key=lambda each: 0 if each is None else longest_ns(each)):
            yield from series[name].gaps()

    def _check_covered(self, symbol: str, times: Times) -> None:
        if self.sessions is None:
            return
        known = self.sessions.opens[0], self.sessions.closes[-1]
        if times[0] < known[0] - _DAY_NS or times[-1] > known[1] + _DAY_NS:
            raise DataError(
                f"{symbol} has rows from {ns_text(int(times[0]))} to {ns_text(int(times[-1]))}; "
                f"the calendar {self.calendar} has sessions from {ns_text(known[0])} to {ns_text(known[1])} only",
                hint="ask for less with start and end, or leave out the calendar",
                field="calendar",
            )

    def open_between(self, first: Times, last: Times) -> Times:
        """Return how long the market was open between times."""
        if self.sessions is None:
            return last - first
        return self.sessions.elapsed(last) - self.sessions.elapsed(first)

    def sessions_between(self, first: Times, last: Times) -> Times:
        """Return how many sessions began in [first, last); there has to be a calendar."""
        assert self.sessions is not None
        opens = np.asarray(self.sessions.opens, np.int64)
        return np.searchsorted(opens, last) - np.searchsorted(opens, first)


class _Series:
    """The rows of one symbol and interval, as they come."""

    def __init__(self, search: _Search, symbol: str, interval: str | None) -> None:
        self._search = search
        self._symbol = symbol
        self._interval = interval
        self._step = 0 if interval is None else longest_ns(interval)
        self._last: int | None = None
        self._found: list[StoredGap] = []

    def add(self, times: Times) -> None:
        """Add rows in order of time."""
        if self._last is None:
            self._to_first_row(int(times[0]))
        else:
            times = np.concatenate([[self._last], times])
        self._last = int(times[-1])
        self._look(times[:-1], times[1:], bar_before=True)

    def gaps(self) -> list[StoredGap]:
        """Return the gaps, the one after the last row included."""
        search = self._search
        if search.end is not None:
            if self._last is not None:
                self._look(np.array([self._last]), np.array([search.end]), bar_before=True, at_edge=True)
            elif search.start is not None:
                self._look(np.array([search.start]), np.array([search.end]), bar_before=False, at_edge=True)
        return self._found

    def _to_first_row(self, first: int) -> None:
        if self._search.start is not None:
            self._look(np.array([self._search.start]), np.array([first]), bar_before=False, at_edge=True)

    def _look(self, first: Times, last: Times, *, bar_before: bool, at_edge: bool = False) -> None:
        """Add the gaps between pairs of times.

        :param bar_before: whether there is a row at the first time, as opposed to the beginning of the range.
        :param at_edge: whether one of them is the beginning or the end of the range, which need not fall on a bar.
        """
        search, step = self._search, self._step
        if not step:
            opened = search.open_between(first, last)
            missing = None
            found = opened > search.least
        else:
            if step == _DAY_NS and search.sessions is not None:
                bars = search.sessions_between(first, last)
            else:
                counted = search.open_between(first, last) if step < _DAY_NS else last - first
                # Bars of months differ in length; the end of a range is no bar that may be late.
                bars = counted // step if at_edge else np.where(counted > _TOLERANCE * step, np.rint(counted / step), 1)
            missing = np.maximum(bars.astype(np.int64) - bar_before, 0)
            opened = missing * step
            found = (missing > 0) & (opened > search.least)
        for place in np.flatnonzero(found & (last > first)).tolist():
            self._found.append(
                StoredGap(
                    search.kind.name,
                    self._symbol,
                    self._interval,
                    int(first[place]),
                    int(last[place]),
                    int(opened[place]),
                    None if missing is None else int(missing[place]),
                )
            )


def _by_interval(batch: Any, times: Times) -> Iterator[tuple[str | None, Times]]:
    """Yield the times of the rows of each interval; None is the interval of what is no bar."""
    if "interval" not in batch.schema.names:
        yield None, times
        return
    intervals = batch.column("interval")
    for value in pc.unique(intervals).to_pylist():
        yield value, times[pc.equal(intervals, value).to_numpy(zero_copy_only=False)]
