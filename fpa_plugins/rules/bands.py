"""The price bands of limit-up limit-down, within which shares in the United States may trade."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from attrs import define, field, frozen
from attrs.converters import optional

from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import OPT_IN, Rule, SeriesRule
from fpa_plugins.rules.rounding import rounded

__all__ = ["RULES", "Bands"]

_FIVE_MINUTES = 300 * 10**9
_HOLD = 30 * 10**9
_ONE_PERCENT = Decimal("0.01")
_DOUBLED_FROM, _DOUBLED_TO = time(15, 35), time(16)


@define
class _Reference:
    """The prices of the last five minutes, and the reference price in effect.

    :ivar since: when it took effect, in nanoseconds since 1970.
    """

    prices: deque[tuple[int, Decimal]] = field(factory=deque)
    total: Decimal = Decimal(0)
    price: Decimal | None = None
    since: int = 0

    def at(self, ts_ns: int) -> None:
        """Drop prices older than five minutes, and update the reference price."""
        while self.prices and self.prices[0][0] <= ts_ns - _FIVE_MINUTES:
            self.total = EXACT.subtract(self.total, self.prices.popleft()[1])
        if not self.prices or ts_ns - self.since < _HOLD:
            return
        mean = self.total / len(self.prices)
        if self.price is None or abs(mean - self.price) >= _ONE_PERCENT * self.price:
            self.price, self.since = mean, ts_ns

    def add(self, ts_ns: int, price: Decimal) -> None:
        """Add a price. The first one is the reference."""
        self.prices.append((ts_ns, price))
        self.total = EXACT.add(self.total, price)
        if self.price is None:
            self.price, self.since = price, ts_ns


@frozen(kw_only=True)
class Bands(SeriesRule):
    """The price is within the limit-up limit-down band around the mean price of the last five minutes.

    The plan to address extraordinary market volatility (National Market System, since 2012), as of Amendment 18: with a previous close above 3.00
    the band is 5 % for tier 1 and 10 % for tier 2; from 0.75 to 3.00 it is 20 %; below, the lesser of 0.15 and 75 %. From 15:35 to 16:00 in New
    York it is doubled, for tier 1, and for tier 2 up to 3.00. The reference is the mean of the prices of five minutes; it changes when that mean
    differs by 1 %, and then stays for 30 seconds. Set the severity to enable the rule for shares of the United States, and set tier and previous
    close by overrides.

    Good, tier 1 about 100.00: 104.99. Bad: 105.50.

    :ivar tier: 1 for shares of the S&P 500, the Russell 1000 and some funds; 2 for all others.
    :ivar previous_close: the close of the day before, in the unit of the price; the reference price unless set.
    """

    id = "trade.luld"
    kind = "trades"
    fields = ("ts_ns", "price")
    levels = OPT_IN

    tier: Literal[1, 2] = 1
    previous_close: Decimal | None = field(default=None, converter=optional(to_decimal), metadata={"unit": "price"})

    def start(self) -> _Reference:
        """Return a reference without a price."""
        return _Reference()

    def step(self, state: _Reference, ts_ns: int, price: Decimal) -> bool | Failure | None:
        """Check the next price. A price outside the band does not change the reference."""
        if price <= 0:
            return None
        state.at(ts_ns)
        reference = state.price
        if reference is None:
            state.add(ts_ns, price)
            return None
        band = self.band(reference, ts_ns)
        low, high = reference - band, reference + band
        if low <= price <= high:
            state.add(ts_ns, price)
            return True
        return Failure(
            f"the price {decimal_text(price)} is outside the band of {band / reference:.1%} round {rounded(reference)}",
            f"{rounded(low)} to {rounded(high)}",
            f"reference {rounded(reference)}",
        )

    def band(self, reference: Decimal, ts_ns: int) -> Decimal:
        """Return the allowed distance from the reference price at a time."""
        close = reference if self.previous_close is None else self.previous_close
        if close > 3:
            band = reference * (Decimal("0.05") if self.tier == 1 else Decimal("0.10"))
        elif close >= Decimal("0.75"):
            band = reference * Decimal("0.20")
        else:
            band = min(Decimal("0.15"), reference * Decimal("0.75"))
        doubles = self.tier == 1 or close <= 3
        return 2 * band if doubles and _DOUBLED_FROM <= _new_york(ts_ns // 60_000_000_000) < _DOUBLED_TO else band


@lru_cache(maxsize=1024)
def _new_york(minute: int) -> time:
    """Return the time of day in New York at a minute since 1970."""
    return datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo("America/New_York")).time()


RULES: tuple[type[Rule], ...] = (Bands,)
