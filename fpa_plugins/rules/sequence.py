"""Rules about the order of records: times that go back or are shared, and ids that repeat or are missing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge

from fpa_core.numbers import ns_text
from fpa_core.protocols import Failure
from fpa_core.validator import FLAG, INFO, OPT_IN, PairRule, Rule, SeriesRule

if TYPE_CHECKING:
    from fpa_core.validator.lagged import Lagged
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Duplicate", "Order", "Sequence", "Shared"]

_VENUE = ("symbol", "exchange")


class Order(PairRule):
    """The time is not before that of the record before it.

    Checked within a symbol; for trades also within an exchange, for bars within an interval. Feeds of different symbols are independent. Late
    reports are real, so nothing is rejected for it.

    Good: 12:00:01 after 12:00:00. Bad: 11:59:59 after 12:00:00.
    """

    id = "time.order"
    kind = ("quotes", "trades", "bars")
    fields = ("ts_ns",)
    keeps = ("ts_ns",)
    key = {"quotes": ("symbol",), "trades": _VENUE, "bars": ("symbol", "interval")}  # noqa: RUF012
    levels = FLAG

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
        """Compare the times."""
        earlier: bool = now[0] >= before[0]
        return earlier

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Compare the times of a table."""
        return columns.numbers("ts_ns") >= before.numbers("ts_ns")

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Return a message with both times."""
        return Failure(f"{ns_text(now[0])} comes after {ns_text(before[0])}", ns_text(before[0]), ns_text(before[0]))


class Shared(PairRule):
    """The time differs from that of the record before it of the same symbol.

    In busy markets, dozens of valid ticks share a millisecond. The rule counts those beyond the first of each time. Only neighbours are compared;
    times that go back are reported by time.order.

    Good: 12:00:00.001 after 12:00:00.000. Bad: 12:00:00.000 again.
    """

    id = "time.shared"
    kind = ("quotes", "trades")
    fields = ("ts_ns",)
    keeps = ("ts_ns",)
    levels = INFO

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
        """Compare the times."""
        differs: bool = now[0] != before[0]
        return differs

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Compare the times of a table."""
        return columns.numbers("ts_ns") != before.numbers("ts_ns")

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:  # noqa: ARG002
        """Return a message with the time."""
        return Failure(f"the record before has the time {ns_text(now[0])}, too", related=ns_text(now[0]))


@frozen(kw_only=True)
class Duplicate(SeriesRule):
    """The id of the trade has not come before for the same symbol and exchange.

    A redelivery after a reconnect repeats ids, and so does a correction. The store keeps one row per id, and its history.

    Good: ids 1, 2, 3. Bad: ids 1, 2, 1.

    :ivar window: how many ids of each symbol and exchange are remembered.
    """

    id = "time.duplicate"
    kind = "trades"
    fields = ("trade_id",)
    key = _VENUE
    levels = INFO

    window: int = field(default=100_000, validator=ge(1), metadata={"unit": "ids"})

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Validate a table; at once if no trade has an id."""
        if not columns.strings("trade_id").present().holds.any():
            return columns.unknown()
        return SeriesRule.mask(self, columns, memory)

    def start(self) -> OrderedDict[str, None]:
        """Return no ids; those that leave go from the front, which a plain dict would have to search for."""
        return OrderedDict()

    def step(self, state: OrderedDict[str, None], trade_id: str | None) -> bool | Failure | None:
        """Check the next id."""
        if trade_id is None:
            return None
        if trade_id in state:
            return Failure(f"the trade id {trade_id} has come before", related=f"trade {trade_id}")
        state[trade_id] = None
        if len(state) > self.window:
            state.popitem(last=False)
        return True


@frozen(kw_only=True)
class Sequence(SeriesRule):
    """The id of the trade is one more than that of the trade before it of the same symbol and exchange.

    For venues that number their trades without gaps, such as crypto exchanges: a gap means that trades were lost. An id that is not a number, or
    not above the highest so far, is not checked.

    Good: ids 7, 8, 9. Bad: ids 7, 8, 11.
    """

    id = "trade.sequence"
    kind = "trades"
    fields = ("trade_id",)
    key = _VENUE
    levels = OPT_IN

    def step(self, state: dict[str, int], trade_id: str | None) -> bool | Failure | None:
        """Check the next id."""
        if trade_id is None or not (trade_id.isascii() and trade_id.isdigit() and len(trade_id) <= 30):
            return None
        number, before = int(trade_id), state.get("last")
        if before is not None and number <= before:
            return None
        state["last"] = number
        if before is None or number == before + 1:
            return None if before is None else True
        missing = number - before - 1
        return Failure(
            f"{missing} trades are missing before {number}: the last was {before}", str(before + 1), f"trade {before}"
        )


RULES: tuple[type[Rule], ...] = (Order, Shared, Duplicate, Sequence)
