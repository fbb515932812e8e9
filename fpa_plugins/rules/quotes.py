"""Rules for quotes. A side that is missing or zero counts as not quoted, so such a quote is neither crossed nor locked nor wide."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import field, frozen

from fpa_core.models import Quote
from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.validator import INFO, WARN, Rule, every

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Crossed", "Locked", "OneSided", "Positive", "Spread"]


class Positive(Rule):
    """A quoted price is above zero.

    Some instruments trade at or below zero: crude oil on 2020-04-20, calendar spreads on any day.

    Good: bid 10.00, ask missing. Bad: bid 0, ask 10.02.
    """

    id = "quote.positive"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = WARN
    priority = 10

    def check(self, quote: Quote) -> bool | None:
        """Check one quote."""
        bid, ask = quote.bid, quote.ask
        return every(None if bid is None else bid > 0, None if ask is None else ask > 0)

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.every(columns.numbers("bid") > 0, columns.numbers("ask") > 0)

    def describe(self, quote: Quote) -> str:
        """Return a message with the prices that are not above zero."""
        sides = (("bid", quote.bid), ("ask", quote.ask))
        low = [f"{side} {decimal_text(price)}" for side, price in sides if price is not None and price <= 0]
        return f"not above zero: {', '.join(low)}"


class Crossed(Rule):
    """The ask is not below the bid.

    Feeds that merge several venues, or sample each side separately, cross often: 9 % of one retail EURUSD feed. A cleaning step of
    Barndorff-Nielsen, Hansen, Lunde and Shephard, "Realized kernels in practice", Econometrics Journal 12 (2009).

    Good: bid 10.00, ask 10.02. Bad: bid 10.02, ask 10.00.
    """

    id = "quote.crossed"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = WARN
    priority = 30

    def check(self, quote: Quote) -> bool | None:
        """Check one quote."""
        return quote.ask >= quote.bid if quote.bid and quote.ask else None

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        bid, ask = columns.numbers("bid"), columns.numbers("ask")
        return (ask >= bid).where((bid != 0) & (ask != 0))

    def describe(self, quote: Quote) -> str:
        """Return a message with both prices."""
        return f"the ask {_text(quote.ask)} is below the bid {_text(quote.bid)}"


class Locked(Rule):
    """The ask differs from the bid.

    A locked market is unusual but real. The rule counts it, and rejects nothing at any level.

    Good: bid 10.00, ask 10.02. Bad: bid 10.00, ask 10.00.
    """

    id = "quote.locked"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = INFO

    def check(self, quote: Quote) -> bool | None:
        """Check one quote."""
        return quote.ask != quote.bid if quote.bid and quote.ask else None

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        bid, ask = columns.numbers("bid"), columns.numbers("ask")
        return (ask != bid).where((bid != 0) & (ask != 0))

    def describe(self, quote: Quote) -> str:
        """Return a message with the price."""
        return f"bid and ask are both {_text(quote.bid)}"


@frozen(kw_only=True)
class Spread(Rule):
    """The spread is at most a given fraction of the mid price.

    spread = ask - bid; mid = (bid + ask) / 2; both prices above zero.

    Good: bid 10.00, ask 10.50. Bad: bid 10.00, ask 11.50 (14 %).

    :ivar max_rel: the largest spread as a fraction of the mid price: 0.10 is a tenth. The default is this project's own choice.
    """

    id = "quote.spread"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = WARN
    priority = 40

    max_rel: Decimal = field(default=Decimal("0.10"), converter=to_decimal, metadata={"unit": "of the mid price"})

    def check(self, quote: Quote) -> bool | None:
        """Check one quote."""
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None or bid <= 0 or ask <= 0:
            return None
        # Compare twice the spread with twice the mid, which needs no division.
        return EXACT.multiply(2, EXACT.subtract(ask, bid)) <= EXACT.multiply(self.max_rel, EXACT.add(ask, bid))

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        bid, ask = columns.numbers("bid"), columns.numbers("ask")
        return (2 * (ask - bid) <= self.max_rel * (ask + bid)).where((bid > 0) & (ask > 0))

    def describe(self, quote: Quote) -> str:
        """Return a message with the spread and its limit."""
        spread, mid = quote.spread, quote.mid
        assert spread is not None
        assert mid is not None
        limit = decimal_text(EXACT.multiply(self.max_rel, 100))
        return f"the spread {_text(spread)} is {spread / mid:.2%} of the mid price, more than {limit}%"

    def limit(self, quote: Quote) -> str:  # noqa: ARG002
        """Return the largest spread as a percentage of the mid price."""
        return f"{decimal_text(EXACT.multiply(self.max_rel, 100))}% of the mid price"


class OneSided(Rule):
    """Both sides are quoted.

    A missing side differs from one at zero. Options far from the money, and feeds that send one side at a time, omit a side.

    Good: bid 10.00, ask 10.02. Bad: bid 10.00, ask missing.
    """

    id = "quote.one_sided"
    kind = "quotes"
    fields = ("bid", "ask")
    levels = INFO

    def check(self, quote: Quote) -> bool:
        """Check one quote."""
        return quote.bid is not None and quote.ask is not None

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("bid").present() & columns.numbers("ask").present()

    def describe(self, quote: Quote) -> str:
        """Return a message with the missing side."""
        if quote.bid is None:
            return "no side is quoted" if quote.ask is None else "the bid is missing"
        return "the ask is missing"


def _text(price: Decimal | None) -> str:
    return "missing" if price is None else decimal_text(price)


RULES: tuple[type[Rule], ...] = (Positive, Crossed, Locked, Spread, OneSided)
