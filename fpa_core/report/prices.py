"""The prices of a series over time: the lowest and the highest in each bin, and the rows that broke rules. Memory is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, frozen

from fpa_core.kinds import Kind
from fpa_core.report.series import MOST_FOLLOWED, Series
from fpa_core.report.timing import WIDTHS, TimeCounts, level_for

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PRICES", "Mark", "PriceLine", "PriceLines", "prices_of"]

MOST_STEPS = 480
"""The largest number of bins of a series."""

MOST_MARKS = 40
"""The number of findings of a series that are marked one by one."""

PRICES = {"bars": "close", "trades": "price", "quotes": "mid of bid and ask, or the only side given"}
"""The price of each kind that has one."""


@frozen
class Mark:
    """A row that broke a rule: its time, its price (NaN if missing), the rule, and its severity."""

    ns: int
    price: float
    rule: str
    severity: str


@define
class Band:
    """The lowest and the highest price of a bin."""

    low: float
    high: float


class PriceLine:
    """The prices of one series.

    :ivar bands: the lowest and the highest price by the number of the bin, which is its start divided by the width. Rows that would be
        rejected are left out.
    :ivar marks: the first rows that broke a rule of severity error or warning; ``broken`` counts all over time, by severity.
    """

    def __init__(self) -> None:
        self.level = 0
        self.bands: dict[int, Band] = {}
        self.marks: list[Mark] = []
        self.broken: dict[str, TimeCounts] = {}

    @property
    def width(self) -> int:
        """The width of a bin in nanoseconds."""
        return WIDTHS[self.level]

    def add(self, times: Any, prices: Any) -> None:
        """Add prices without missing ones, sorted by time."""
        if not len(times):
            return
        edges = [int(times[0]), int(times[-1])]
        if self.bands:
            edges += [min(self.bands) * self.width, max(self.bands) * self.width]
        self._widen(level_for(min(edges), max(edges), self.level, MOST_STEPS))
        places = times // self.width
        starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
        lows, highs = (ufunc.reduceat(prices, starts).tolist() for ufunc in (np.minimum, np.maximum))
        for place, low, high in zip(places[starts].tolist(), lows, highs, strict=True):
            self._take(place, low, high)

    def mark(self, times: Any, prices: Any, rule: str, severity: str) -> None:
        """Add the times and prices of rows that broke a rule."""
        self.broken.setdefault(severity, TimeCounts()).add(times)
        for ns, price in zip(times[: MOST_MARKS - len(self.marks)].tolist(), prices.tolist(), strict=False):
            self.marks.append(Mark(ns, price, rule, severity))

    def _take(self, place: int, low: float, high: float) -> None:
        band = self.bands.get(place)
        if band is None:
            self.bands[place] = Band(low, high)
        else:
            band.low, band.high = min(band.low, low), max(band.high, high)

    def _widen(self, level: int) -> None:
        if level == self.level:
            return
        factor = WIDTHS[level] // self.width
        old, self.bands, self.level = self.bands, {}, level
        for place, band in old.items():
            self._take(place // factor, band.low, band.high)


class PriceLines:
    """The prices of all series, of which the first :data:`MOST_FOLLOWED` are followed."""

    def __init__(self) -> None:
        self.lines: dict[str, PriceLine] = {}

    def add(self, series: Series, prices: Any, accepted: Any, failures: list[tuple[str, str, Any]]) -> None:
        """Add the rows of a series in a chunk.

        :param prices: the price of each row of the chunk, NaN if it has none.
        :param accepted: which rows of the chunk would not be rejected.
        :param failures: for each broken rule of severity error or warning, its id, the severity, and which rows of the chunk broke it.
        """
        if series.name not in self.lines and len(self.lines) >= MOST_FOLLOWED:
            return
        line = self.lines.setdefault(series.name, PriceLine())
        own = prices[series.rows]
        shown = accepted[series.rows] & np.isfinite(own)
        line.add(series.times[shown], own[shown])
        for rule, severity, failed in failures:
            mine = failed[series.rows]
            if mine.any():
                line.mark(series.times[mine], own[mine], rule, severity)


def prices_of(kind: Kind, table: pa.Table) -> Any:
    """Return the price of each row as a float, NaN if it has none; None if rows of the kind have no price."""
    if kind.name not in PRICES:
        return None
    if kind.name == "quotes":
        bid, ask = (_floats(table, name) for name in ("bid", "ask"))
        mid = (bid + ask) / 2
        return np.where(np.isnan(mid), np.where(np.isnan(bid), ask, bid), mid)
    return _floats(table, PRICES[kind.name])


def _floats(table: pa.Table, name: str) -> Any:
    import pyarrow as pa

    column = table.column(name).cast(pa.float64())
    return column.combine_chunks().to_numpy(zero_copy_only=False)
