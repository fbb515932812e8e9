"""Rules that compare one kind of record with another: trades and positions with quotes, bars and orders with trades."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import field, frozen

from fpa_core.config import Duration
from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal, to_seconds
from fpa_core.protocols import Failure, Reach
from fpa_core.validator import FLAG, WARN, Rule
from fpa_plugins.rules.intervals import interval_ns

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask
    from fpa_plugins.rules.timelines import Timelines

__all__ = ["RULES", "BarTrades", "FreshQuote", "OrderTrades", "OutsideQuote"]


@frozen(kw_only=True)
class _Across(Rule):
    """Base class: each row is compared with the rows of another kind of the same symbol, in the order of their times."""

    scope: ClassVar[Literal["row", "series", "dataset"]] = "dataset"
    against: ClassVar[tuple[str, ...]]

    def mask(self, columns: Columns, others: Mapping[str, Columns]) -> KleeneMask:
        """Validate a table."""
        import numpy as np

        from fpa_core.validator.vectors import KleeneMask
        from fpa_plugins.rules.timelines import Timelines

        found = Timelines(others[self.against[0]], self.looks_at, self.complete)
        holds, known = np.ones(len(columns), np.bool_), np.ones(len(columns), np.bool_)
        failures: dict[int, Failure] = {}
        rows = zip(columns.values("symbol"), *map(columns.values, self.fields), strict=True)
        for row, (symbol, *values) in enumerate(rows):
            verdict = self.judge(found, symbol, *values)
            known[row] = verdict is not None
            holds[row] = bool(verdict)
            if isinstance(verdict, Failure):
                failures[row] = verdict
        return KleeneMask(holds, known, failures.__getitem__)

    looks_at: ClassVar[tuple[str, ...]] = ()
    complete: ClassVar[bool] = True

    def judge(self, found: Timelines, symbol: str, *values: Any) -> bool | Failure | None:
        """Check a row by the values of ``fields``."""
        raise NotImplementedError(f"{type(self).__name__} has no judge")

    def reach(self, columns: Columns) -> Reach | None:
        """Return the times of the rows it looks at."""
        import pyarrow.compute as pc

        from fpa_core.arrow.columns import times_as_ns

        ends = [pc.min_max(times_as_ns(columns.arrow(name))).as_py() for name in self.fields if name.endswith("_ns")]
        firsts, lasts = ([one[end] for one in ends if one[end] is not None] for end in ("min", "max"))
        before, after = self.beyond(columns)
        return Reach(
            min(firsts, default=0) - before,
            max(lasts, default=-1) + after,
            self.looks_at if self.looks_back else None,
        )

    looks_back: ClassVar[bool] = False

    def beyond(self, columns: Columns) -> tuple[int, int]:
        """Return how long before and after the times of its own rows those are that it looks at, in nanoseconds."""
        raise NotImplementedError(f"{type(self).__name__} has no beyond")


@frozen(kw_only=True)
class OutsideQuote(_Across):
    """The price of a trade is at most a given number of spreads outside the current quote.

    The quote is the last two-sided one of the symbol at or before the time of the trade less the lag. Because clocks of trades and quotes differ,
    the trade may also fit a quote shortly after that, or, if it was reported late, one shortly before. After Lee and
    Ready, "Inferring trade direction from intraday data", Journal of Finance 46 (1991), and tradesCleanupUsingQuotes of the R package
    highfrequency.

    Good: 10.00 to 10.02, traded at 10.03. Bad: 10.05.

    :ivar spreads: how many spreads below the bid or above the ask the price may be.
    :ivar lag: how long before the trade the quote is looked up: seconds, or text such as "500ms".
    :ivar forward: how long after that time a quote may be that the trade fits.
    :ivar back: how long before that time a quote may have been valid that the trade fits.
    """

    id = "trade.outside_quote"
    kind = "trades"
    against = ("quotes",)
    fields = ("ts_ns", "price")
    looks_at = ("bid", "ask")
    looks_back: ClassVar[bool] = True
    levels = WARN

    spreads: Decimal = field(default=Decimal(1), converter=to_decimal, metadata={"unit": "spreads"})
    lag: Duration = field(default=0.0, converter=to_seconds, metadata={"unit": "s"})
    forward: Duration = field(default=0.5, converter=to_seconds, metadata={"unit": "s"})
    back: Duration = field(default=0.0, converter=to_seconds, metadata={"unit": "s"})

    def judge(self, found: Timelines, symbol: str, *values: Any) -> bool | Failure | None:
        """Check one trade."""
        moment, price = values[0] - round(self.lag * 10**9), values[1]
        place = found.last(symbol, moment)
        if place is None:
            return None
        if self._fits(price, *found.row(symbol, place)):
            return True
        first = found.last(symbol, moment - round(self.back * 10**9)) or 0
        after = found.between(symbol, moment, moment + round(self.forward * 10**9)).stop
        if any(self._fits(price, *found.row(symbol, other)) for other in range(first, after)):
            return True
        bid, ask = found.row(symbol, place)
        low, high = self._range(bid, ask)
        spreads = "the spread" if self.spreads == 1 else f"{decimal_text(self.spreads)} spreads"
        quote = f"{decimal_text(bid)} to {decimal_text(ask)} of {ns_text(found.time(symbol, place))}"
        return Failure(
            f"the price {decimal_text(price)} is more than {spreads} outside the quote {quote}",
            f"{decimal_text(low)} to {decimal_text(high)}",
            f"quote {quote}",
        )

    def beyond(self, columns: Columns) -> tuple[int, int]:  # noqa: ARG002
        """Return how far it looks."""
        lag, forward, back = (round(seconds * 10**9) for seconds in (self.lag, self.forward, self.back))
        return lag + back, forward - lag

    def _fits(self, price: Decimal, bid: Decimal, ask: Decimal) -> bool:
        low, high = self._range(bid, ask)
        return low <= price <= high

    def _range(self, bid: Decimal, ask: Decimal) -> tuple[Decimal, Decimal]:
        low, high = min(bid, ask), max(bid, ask)
        room = EXACT.multiply(self.spreads, EXACT.subtract(high, low))
        return EXACT.subtract(low, room), EXACT.add(high, room)


@frozen(kw_only=True)
class FreshQuote(_Across):
    """The price of a position matches a fresh quote.

    A fresh quote is a two-sided one of the symbol at the time of the position or shortly before. The price must be between bid and ask, or near.

    Good: priced 10.01 at 12:00:00, quote 10.00 to 10.02 of 11:59:58. Bad: the quote is of 09:30:00, or the price 11.00.

    :ivar max_age: how old the quote may be: seconds, or text such as "15m".
    :ivar max_rel: how far outside bid and ask the price may be, as a fraction of it.
    """

    id = "position.fresh"
    kind = "positions"
    against = ("quotes",)
    fields = ("ts_ns", "current_price")
    looks_at = ("bid", "ask")
    looks_back: ClassVar[bool] = True
    levels = FLAG

    max_age: Duration = field(default=900.0, converter=to_seconds, metadata={"unit": "s"})
    max_rel: Decimal = field(default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "of the price"})

    def judge(self, found: Timelines, symbol: str, *values: Any) -> bool | Failure | None:
        """Check one position."""
        ts_ns, price = values
        if ts_ns is None or price is None or not found.has(symbol):
            return None
        place = found.last(symbol, ts_ns)
        if place is None or ts_ns - found.time(symbol, place) > round(self.max_age * 10**9):
            told = "no quote" if place is None else f"the last quote is of {ns_text(found.time(symbol, place))}"
            return Failure(
                f"{told}: the price {decimal_text(price)} of {ns_text(ts_ns)} is off none", f"{self.max_age:g} s"
            )
        bid, ask = found.row(symbol, place)
        room = EXACT.abs(EXACT.multiply(self.max_rel, price))
        low, high = EXACT.subtract(min(bid, ask), room), EXACT.add(max(bid, ask), room)
        if low <= price <= high:
            return True
        quote = f"{decimal_text(bid)} to {decimal_text(ask)} of {ns_text(found.time(symbol, place))}"
        return Failure(
            f"the price {decimal_text(price)} is far from the quote {quote}",
            f"{decimal_text(low)} to {decimal_text(high)}",
            f"quote {quote}",
        )

    def beyond(self, columns: Columns) -> tuple[int, int]:  # noqa: ARG002
        """Return how far it looks: back to the last quote, whenever that was."""
        return 0, 0


@frozen(kw_only=True)
class BarTrades(_Across):
    """The trades in a bar's interval are between its low and high, and their sizes sum to its volume.

    Checked only if there are trades of the symbol in the interval. Bars that exclude odd lots or late reports differ in volume.

    Good: high 10.05, low 10.00, volume 300; trades 100 at 10.00, 200 at 10.05. Bad: the same with a trade at 10.10.

    :ivar max_volume_rel: how much volume and sum may differ, as a fraction of the sum.
    """

    id = "bar.trades"
    kind = "bars"
    against = ("trades",)
    fields = ("ts_ns", "interval", "high", "low", "volume")
    looks_at = ("price", "size")
    levels = FLAG

    max_volume_rel: Decimal = field(default=Decimal("0.01"), converter=to_decimal, metadata={"unit": "of the sum"})

    def judge(self, found: Timelines, symbol: str, *values: Any) -> bool | Failure | None:
        """Check one bar."""
        ts_ns, interval, high, low, volume = values
        places = found.between(symbol, ts_ns, ts_ns + interval_ns(interval) - 1)
        if not places:
            return None
        trades = [found.row(symbol, place) for place in places]
        bottom, top = min(price for price, _ in trades), max(price for price, _ in trades)
        total = Decimal(0)
        for _, size in trades:
            total = EXACT.add(total, size)
        told = []
        if high is not None and top > high:
            told.append(f"a trade at {decimal_text(top)} is above the high {decimal_text(high)}")
        if low is not None and bottom < low:
            told.append(f"a trade at {decimal_text(bottom)} is below the low {decimal_text(low)}")
        if volume is not None and EXACT.abs(EXACT.subtract(volume, total)) > EXACT.multiply(self.max_volume_rel, total):
            told.append(f"the trades make {decimal_text(total)}, not the volume {decimal_text(volume)}")
        if not told:
            return None if high is None and low is None and volume is None else True
        limit = f"{decimal_text(bottom)} to {decimal_text(top)}, volume {decimal_text(total)}"
        return Failure("; ".join(told), limit, f"{len(trades)} trades from {ns_text(found.time(symbol, places[0]))}")

    def beyond(self, columns: Columns) -> tuple[int, int]:
        """Return how far it looks: as far as the longest bar."""
        return 0, max(map(interval_ns, columns.arrow("interval").drop_null().unique().to_pylist()), default=0)


@frozen(kw_only=True)
class OrderTrades(_Across):
    """The average price of an order is within the range of the trades in the time it was filled.

    That is the time from its submission to its last update. Checked only if there are trades of the symbol in it.

    Good: filled at 10.01 on average, trades from 10.00 to 10.02. Bad: filled at 10.50.

    :ivar tolerance: how much earlier and later the trades may be: seconds, or text such as "1s".
    """

    id = "order.trades"
    kind = "orders"
    against = ("trades",)
    fields = ("ts_ns", "updated_ns", "average_fill_price")
    looks_at = ("price",)
    levels = FLAG

    tolerance: Duration = field(default=1.0, converter=to_seconds, metadata={"unit": "s"})

    def judge(self, found: Timelines, symbol: str, *values: Any) -> bool | Failure | None:
        """Check one order."""
        since, until, average = values
        if since is None or until is None or average is None:
            return None
        room = round(self.tolerance * 10**9)
        prices = [found.row(symbol, place)[0] for place in found.between(symbol, since - room, until + room)]
        if not prices:
            return None
        low, high = min(prices), max(prices)
        if low <= average <= high:
            return True
        limit = f"{decimal_text(low)} to {decimal_text(high)}"
        told = f"the average price {decimal_text(average)} is outside the trades of its time, {limit}"
        return Failure(told, limit, f"{len(prices)} trades from {ns_text(since)} to {ns_text(until)}")

    def beyond(self, columns: Columns) -> tuple[int, int]:  # noqa: ARG002
        """Return how far it looks."""
        room = round(self.tolerance * 10**9)
        return room, room


RULES: tuple[type[Rule], ...] = (OutsideQuote, FreshQuote, BarTrades, OrderTrades)
