"""Rules that compare a value with the last ones of its series: outliers among quotes and trades, and spreads far above the usual.

The published filters use neighbours on both sides. A stream has no later ones, and a verdict must not depend on whether the data come from a
stream or a file, so only earlier values are used here. A new window starts with each UTC day.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from decimal import Decimal

from attrs import define, field, frozen
from attrs.validators import ge

from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import STATISTICAL, Rule, SeriesRule
from fpa_plugins.rules.rounding import rounded

__all__ = ["RULES", "QuoteOutlier", "TradeOutlier", "WideSpread"]

_DAY = 86_400 * 10**9
_HALF = Decimal("0.5")
_ZERO = Decimal(0)


@define
class Window:
    """The last values of a day, in order of time and sorted.

    :ivar suspects: the last outliers, which were not added.
    """

    day: int | None = None
    values: deque[Decimal] = field(factory=deque)
    sorted: list[Decimal] = field(factory=list)
    suspects: list[Decimal] = field(factory=list)

    def at(self, ts_ns: int) -> None:
        """Start a new window if a value is of another day than the last."""
        if (day := ts_ns // _DAY) != self.day:
            self.day = day
            self.begin([])

    def begin(self, values: list[Decimal]) -> None:
        """Replace the content by these values."""
        self.values = deque(values)
        self.sorted = sorted(values)
        self.suspects = []

    def add(self, value: Decimal, size: int) -> None:
        """Add a value, and remove the oldest if there are more than *size*."""
        self.values.append(value)
        insort(self.sorted, value)
        if len(self.values) > size:
            del self.sorted[bisect_left(self.sorted, self.values.popleft())]


@define
class SummedWindow(Window):
    """A window that maintains the sums of its values and of their squares."""

    total: Decimal = Decimal(0)
    squares: Decimal = Decimal(0)

    def begin(self, values: list[Decimal]) -> None:
        """Replace the content by these values."""
        super().begin(values)
        self.total, self.squares = sums(values)

    def add(self, value: Decimal, size: int) -> None:
        """Add a value, and remove the oldest if there are more than *size*."""
        oldest = self.values[0] if len(self.values) == size else None
        super().add(value, size)
        self.total, self.squares = sums([value], self.total, self.squares)
        if oldest is not None:
            total, squares = sums([oldest])
            self.total, self.squares = EXACT.subtract(self.total, total), EXACT.subtract(self.squares, squares)


def sums(values: list[Decimal], total: Decimal = _ZERO, squares: Decimal = _ZERO) -> tuple[Decimal, Decimal]:
    """Add values, and their squares."""
    for value in values:
        total = EXACT.add(total, value)
        squares = EXACT.add(squares, EXACT.multiply(value, value))
    return total, squares


def _median(values: list[Decimal]) -> Decimal:
    half = len(values) // 2
    if len(values) % 2:
        return values[half]
    return EXACT.multiply(EXACT.add(values[half - 1], values[half]), _HALF)


@frozen(kw_only=True)
class QuoteOutlier(SeriesRule):
    """The mid price is near the median of those before it.

    Near means within ``max_mad`` times their median absolute deviation, or within ``min_rel`` of the median, for calm times when the deviation is
    zero. Outliers are not added to the window; after ``confirm`` of them in a row near each other, they are the new level and pass. After
    rmOutliersQuotes of the R package highfrequency (maxi = 10, window = 50), and Barndorff-Nielsen, Hansen, Lunde and Shephard, "Realized
    kernels in practice", Econometrics Journal 12 (2009), whose median is centred.

    Good: mids about 10.00, then 10.01. Bad: mids about 10.00, then 11.00.

    :ivar window: the number of mid prices of each symbol to compare with.
    :ivar warmup: the number of mid prices needed before the check begins.
    :ivar max_mad: how many median absolute deviations are allowed.
    :ivar min_rel: the deviation that is always allowed, as a fraction of the median. The default is this project's own choice.
    :ivar confirm: how many outliers in a row, near each other, make a new level.
    """

    id = "quote.outlier"
    kind = "quotes"
    fields = ("ts_ns", "bid", "ask")
    levels = STATISTICAL
    priority = 60

    window: int = field(default=50, validator=ge(2), metadata={"unit": "quotes"})
    warmup: int = field(default=20, validator=ge(1), metadata={"unit": "quotes"})
    max_mad: Decimal = field(default=Decimal(10), converter=to_decimal, metadata={"unit": "deviations"})
    min_rel: Decimal = field(default=Decimal("0.001"), converter=to_decimal, metadata={"unit": "of the median"})
    confirm: int = field(default=5, validator=ge(2), metadata={"unit": "quotes"})

    def start(self) -> Window:
        """Return an empty window."""
        return Window()

    def step(self, state: Window, ts_ns: int, bid: Decimal | None, ask: Decimal | None) -> bool | Failure | None:
        """Check the next mid price."""
        if not bid or not ask:
            return None
        state.at(ts_ns)
        mid = EXACT.multiply(EXACT.add(bid, ask), _HALF)
        if len(state.values) < self.warmup:
            state.add(mid, self.window)
            return None
        median = _median(state.sorted)
        off = EXACT.abs(EXACT.subtract(mid, median))
        allowed = EXACT.multiply(self.min_rel, EXACT.abs(median))
        if off > allowed:
            deviations = sorted(EXACT.abs(EXACT.subtract(value, median)) for value in state.sorted)
            allowed = max(allowed, EXACT.multiply(self.max_mad, _median(deviations)))
        if off <= allowed:
            state.suspects.clear()
            state.add(mid, self.window)
            return True
        state.suspects = [*state.suspects, mid][-self.confirm :]
        if len(state.suspects) == self.confirm and max(state.suspects) - min(state.suspects) <= allowed:
            state.begin(state.suspects)
            return True
        low, high = EXACT.subtract(median, allowed), EXACT.add(median, allowed)
        return Failure(
            f"the mid price {decimal_text(mid)} is far from the median of those before it, {decimal_text(median)}",
            f"{decimal_text(low)} to {decimal_text(high)}",
            f"median {decimal_text(median)} of {len(state.values)} quotes",
        )


@frozen(kw_only=True)
class WideSpread(SeriesRule):
    """The spread is at most a given multiple of the median of those before it.

    After rmLargeSpread of the R package highfrequency (maxi = 50), whose median is of the whole day. Checked only if both prices and the
    median are above zero.

    Good: spreads of 0.01, then 0.05. Bad: spreads of 0.01, then 0.60.

    :ivar window: the number of spreads of each symbol to compare with.
    :ivar warmup: the number of spreads needed before the check begins.
    :ivar max_times: the largest allowed multiple of the median.
    """

    id = "quote.wide"
    kind = "quotes"
    fields = ("ts_ns", "bid", "ask")
    levels = STATISTICAL
    priority = 55

    window: int = field(default=500, validator=ge(2), metadata={"unit": "quotes"})
    warmup: int = field(default=20, validator=ge(1), metadata={"unit": "quotes"})
    max_times: Decimal = field(default=Decimal(50), converter=to_decimal, metadata={"unit": "times the median"})

    def start(self) -> Window:
        """Return an empty window."""
        return Window()

    def step(self, state: Window, ts_ns: int, bid: Decimal | None, ask: Decimal | None) -> bool | Failure | None:
        """Check the next spread."""
        if bid is None or ask is None or bid <= 0 or ask <= 0:
            return None
        state.at(ts_ns)
        spread = EXACT.subtract(ask, bid)
        ready = len(state.values) >= self.warmup
        median = _median(state.sorted) if ready else Decimal(0)
        state.add(spread, self.window)
        if median <= 0:
            return None
        if spread <= (allowed := EXACT.multiply(self.max_times, median)):
            return True
        return Failure(
            f"the spread {decimal_text(spread)} is more than {decimal_text(self.max_times)} times the median of those before it",
            decimal_text(allowed),
            f"median {decimal_text(median)}",
        )


@frozen(kw_only=True)
class TradeOutlier(SeriesRule):
    """The price is near the trimmed mean of those before it: ``|p - mean| < deviations * s + gamma``.

    Mean and standard deviation s are of the last ``window`` prices of the day, without a fraction ``trim`` of them, half of it at each end. After
    Brownlees and Gallo, "Financial econometric analysis at ultra-high frequency: data handling concerns", Computational Statistics & Data
    Analysis 51 (2006), whose neighbours lie on both sides.

    Good: prices about 10.00, then 10.03. Bad: prices about 10.00, then 10.50.

    :ivar window: the number of prices of each symbol to compare with.
    :ivar warmup: the number of prices needed before the check begins.
    :ivar trim: the fraction of them that is left out.
    :ivar deviations: how many standard deviations are allowed.
    :ivar gamma: an additional allowance in the unit of the price: a few ticks.
    """

    id = "trade.outlier"
    kind = "trades"
    fields = ("ts_ns", "price")
    levels = STATISTICAL
    priority = 60

    window: int = field(default=80, validator=ge(4), metadata={"unit": "trades"})
    warmup: int = field(default=20, validator=ge(4), metadata={"unit": "trades"})
    trim: Decimal = field(default=Decimal("0.10"), converter=to_decimal, metadata={"unit": "of the prices"})
    deviations: Decimal = field(default=Decimal(3), converter=to_decimal, metadata={"unit": "standard deviations"})
    gamma: Decimal = field(default=Decimal("0.04"), converter=to_decimal, metadata={"unit": "price"})

    def start(self) -> SummedWindow:
        """Return an empty window."""
        return SummedWindow()

    def step(self, state: SummedWindow, ts_ns: int, price: Decimal) -> bool | Failure | None:
        """Check the next price."""
        state.at(ts_ns)
        verdict = None if len(state.values) < self.warmup else self._judge(state, price)
        state.add(price, self.window)
        return verdict

    def _judge(self, state: SummedWindow, price: Decimal) -> bool | Failure:
        cut = int(len(state.sorted) * self.trim / 2)
        left_out, squares_out = sums(state.sorted[:cut] + state.sorted[len(state.sorted) - cut :])
        count = len(state.sorted) - 2 * cut
        total, squares = EXACT.subtract(state.total, left_out), EXACT.subtract(state.squares, squares_out)
        # Multiplied by the count, so that no division rounds: n |p - mean| - n gamma < deviations * sqrt(n (n Q - S^2) / (n - 1)).
        off = EXACT.abs(EXACT.subtract(EXACT.multiply(price, count), total))
        beyond = EXACT.subtract(off, EXACT.multiply(self.gamma, count))
        if beyond < 0:
            return True
        spread = EXACT.subtract(EXACT.multiply(squares, count), EXACT.multiply(total, total))
        wide = EXACT.multiply(EXACT.multiply(self.deviations, self.deviations), EXACT.multiply(spread, count))
        if EXACT.multiply(EXACT.multiply(beyond, beyond), count - 1) < wide:
            return True
        mean = total / count
        allowed = self.deviations * (spread / (count * (count - 1))).sqrt() + self.gamma
        return Failure(
            f"the price {decimal_text(price)} is far from the trimmed mean of those before it, {rounded(mean)}",
            f"{rounded(mean - allowed)} to {rounded(mean + allowed)}",
            f"mean {rounded(mean)} of {count} trades",
        )


RULES: tuple[type[Rule], ...] = (QuoteOutlier, WideSpread, TradeOutlier)
