"""A rule about prices that stop changing while quotes keep arriving: a frozen feed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from fpa_core.config import Duration
from fpa_core.numbers import ns_text, to_seconds
from fpa_core.protocols import Failure
from fpa_core.validator import STATISTICAL, Rule, SeriesRule

__all__ = ["RULES", "Frozen"]


@frozen(kw_only=True)
class Frozen(SeriesRule):
    """The prices changed within a given time and number of quotes.

    If bid and ask stay the same for a long time and for many quotes, the feed repeats its last quote or the market is closed.

    Good: 10.00 to 10.02 for 5 minutes, then 10.00 to 10.03. Bad: 10.00 to 10.02 for 2 hours, in 500 quotes.

    :ivar max_age: how long bid and ask may stay the same: seconds, or text such as "1h".
    :ivar min_quotes: how many quotes in a row must also have been the same.
    """

    id = "quote.frozen"
    kind = "quotes"
    fields = ("ts_ns", "bid", "ask")
    levels = STATISTICAL

    max_age: Duration = field(default=3600.0, converter=to_seconds, metadata={"unit": "s"})
    min_quotes: int = field(default=100, validator=ge(1), metadata={"unit": "quotes"})

    def step(
        self, state: dict[str, Any], ts_ns: int, bid: Decimal | None, ask: Decimal | None
    ) -> bool | Failure | None:
        """Check the next quote."""
        if bid is None and ask is None:
            return None
        if not state or state["prices"] != (bid, ask):
            state.update(prices=(bid, ask), since=ts_ns, quotes=1)
            return True
        state["quotes"] += 1
        if ts_ns - state["since"] <= round(self.max_age * 10**9) or state["quotes"] <= self.min_quotes:
            return True
        since = ns_text(state["since"])
        return Failure(
            f"bid and ask have not changed in {state['quotes']} quotes since {since}", f"{self.max_age:g} s", since
        )


RULES: tuple[type[Rule], ...] = (Frozen,)
