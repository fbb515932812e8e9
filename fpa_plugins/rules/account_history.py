"""Rules about an account over time: the order of its snapshots, and the changes from day to day."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import FLAG, INFO, PairRule, Rule, SeriesRule

if TYPE_CHECKING:
    from fpa_core.validator.lagged import Lagged
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "DayPnL", "Order"]

_DAY = 86_400 * 10**9


class Order(PairRule):
    """The snapshot is later than the one before it of the same account.

    Good: 12:00:01 after 12:00:00. Bad: 12:00:00 again, or 11:59:59.
    """

    id = "snapshot.order"
    kind = "snapshots"
    fields = ("ts_ns",)
    keeps = ("ts_ns",)
    key = ("account",)
    levels = FLAG

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
        """Compare the times."""
        later: bool = now[0] > before[0]
        return later

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Compare the times of a table."""
        return columns.numbers("ts_ns") > before.numbers("ts_ns")

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Return a message with both times."""
        told = ns_text(before[0])
        return Failure(f"the snapshot of {ns_text(now[0])} comes after that of {told}", told, told)


@frozen(kw_only=True)
class DayPnL(SeriesRule):
    """The profit of the day is the change of the total value since the day before.

    A difference is a deposit, a withdrawal or an error; the message has the amount. Days are in UTC. The snapshot is compared with the last one of
    an earlier day.

    Good: 1000 at the end of yesterday, now 1050, profit of the day 50. Bad: the same with a profit of 10, unless 40 were paid in.

    :ivar tolerance: the difference allowed, in the currency of the account.
    """

    id = "snapshot.day_pnl"
    kind = "snapshots"
    fields = ("ts_ns", "total_value", "day_pnl")
    key = ("account",)
    levels = INFO

    tolerance: Decimal = field(default=Decimal("0.02"), converter=to_decimal, metadata={"unit": "currency"})

    def step(self, state: dict[str, Any], ts_ns: int, total: Decimal, profit: Decimal | None) -> bool | Failure | None:
        """Check the next snapshot."""
        day = ts_ns // _DAY
        if state and day > state["day"]:
            state.update(eve=state["total"], eve_ns=state["ts_ns"])
        if state and day < state["day"]:
            return None
        state.update(day=day, total=total, ts_ns=ts_ns)
        if profit is None or state.get("eve") is None:
            return None
        change = EXACT.subtract(total, state["eve"])
        flow = EXACT.subtract(change, profit)
        if EXACT.abs(flow) <= self.tolerance:
            return True
        return Failure(
            f"the total changed by {decimal_text(change)} since {ns_text(state['eve_ns'])}, the profit of the day is "
            f"{decimal_text(profit)}: {decimal_text(flow)} came from elsewhere",
            decimal_text(change),
            f"total {decimal_text(state['eve'])} at {ns_text(state['eve_ns'])}",
        )


RULES: tuple[type[Rule], ...] = (Order, DayPnL)
