"""Prices as a store knows them: the last one at an instant, without looking ahead."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import to_ns
from fpa_core.patterns import escape
from fpa_core.portfolio.valuation import Mark

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.store.freshness import Freshness

__all__ = ["StoredMarks"]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_Way: TypeAlias = Callable[[str, int], Mark | None]
_BARS_TRIED = 64
"""Bars looked at, the latest first, for one that has ended: those of several intervals may still be open."""


def _length_ns(interval: str) -> int | None:
    """Return the length of an interval; None for months, whose length varies."""
    unit = _UNITS.get(interval[-1])
    return None if unit is None or interval.endswith("mo") else int(interval[:-1]) * unit * 10**9


class StoredMarks:
    """The last price of a symbol at an instant: the close of a bar that has ended by then, a trade, or the middle of a quote; the latest counts.

    Closes of daily bars are read once for each symbol, because portfolios are valued day by day.

    :param freshness: what is demanded of each price at its instant, or at *as_known_at* if that is earlier; None for nothing.
    """

    def __init__(self, store: DataStore, as_known_at: Any = None, freshness: Freshness | None = None) -> None:
        self._store = store
        self._freshness = freshness
        self._known_ns = None if as_known_at is None else to_ns(as_known_at, "as_known_at", dates=True)
        self._known = {} if as_known_at is None else {"as_known_at": as_known_at}
        self._daily: dict[str, tuple[list[int], list[Fraction]]] = {}
        self._others: dict[str, list[_Way]] = {}
        self._found: dict[tuple[str, int], Mark | None] = {}

    def __call__(self, symbol: str, at_ns: int) -> Mark | None:
        """Return the last price that was known at an instant.

        :raises StaleDataError: if it is older than was demanded, or there is none although one was.
        """
        mark = self._last(symbol, at_ns)
        self._check(symbol, mark, at_ns)
        return mark

    def price(self, symbol: str, at_ns: int) -> Fraction | None:
        """Return the price alone, as rates of exchange are looked up: under several names, so that there may be none.

        :raises StaleDataError: if it is older than was demanded.
        """
        mark = self._last(symbol, at_ns)
        if mark is None:
            return None
        self._check(symbol, mark, at_ns)
        return mark.price

    def _check(self, symbol: str, mark: Mark | None, at_ns: int) -> None:
        if self._freshness is not None:
            now = at_ns if self._known_ns is None else min(at_ns, self._known_ns)
            self._freshness.check_price(symbol, None if mark is None else mark.ts_ns, now)

    def _last(self, symbol: str, at_ns: int) -> Mark | None:
        place = (symbol, at_ns)
        if place not in self._found:
            self._found[place] = self._find(symbol, at_ns)
        return self._found[place]

    def _find(self, symbol: str, at_ns: int) -> Mark | None:
        ends, closes = self._daily_closes(symbol)
        place = bisect.bisect_right(ends, at_ns) - 1
        best = None if place < 0 else Mark(closes[place], ends[place])
        if best is not None and best.ts_ns == at_ns:
            return best
        for look in self._ways(symbol):
            mark = look(symbol, at_ns)
            if mark is not None and (best is None or mark.ts_ns > best.ts_ns):
                best = mark
        return best

    def _daily_closes(self, symbol: str) -> tuple[list[int], list[Fraction]]:
        if symbol not in self._daily:
            bars = self._store.select(Bar, escape(symbol), interval="1d", **self._known)
            ended = [(bar.ts_ns + _UNITS["d"] * 10**9, Fraction(bar.close)) for bar in bars.to_list()]
            self._daily[symbol] = [end for end, _ in ended], [close for _, close in ended]
        return self._daily[symbol]

    def _ways(self, symbol: str) -> list[_Way]:
        """Return how a price of a symbol may be found beside its daily bars."""
        if symbol not in self._others:
            ways: tuple[tuple[Kind, _Way], ...] = (
                (BARS, self._bar),
                (TRADES, self._trade),
                (QUOTES, self._quote),
            )
            self._others[symbol] = held = []
            for kind, look in ways:
                if self._store.select(kind, escape(symbol), limit=1, **self._known).first() is not None:
                    held.append(look)
        return self._others[symbol]

    def _bar(self, symbol: str, at_ns: int) -> Mark | None:
        latest = self._store.select(Bar, escape(symbol), end=at_ns, limit=_BARS_TRIED, latest_first=True, **self._known)
        ended = [
            Mark(Fraction(bar.close), bar.ts_ns + length)
            for bar in latest
            if (length := _length_ns(bar.interval)) is not None and bar.ts_ns + length <= at_ns
        ]
        return max(ended, key=lambda mark: mark.ts_ns, default=None)

    def _trade(self, symbol: str, at_ns: int) -> Mark | None:
        trade = self._store.select(
            Trade, escape(symbol), end=at_ns + 1, limit=1, latest_first=True, **self._known
        ).first()
        return None if trade is None else Mark(Fraction(trade.price), trade.ts_ns)

    def _quote(self, symbol: str, at_ns: int) -> Mark | None:
        quotes = self._store.select(
            Quote, escape(symbol), end=at_ns + 1, limit=_BARS_TRIED, latest_first=True, **self._known
        )
        return next((Mark(Fraction(mid), quote.ts_ns) for quote in quotes if (mid := quote.mid) is not None), None)
