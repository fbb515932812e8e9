"""Files of one's own account: executions, positions, orders and snapshots."""

from __future__ import annotations

from expected_of_cases.entries import ENTRIES, refused, stored
from fpa_core.models import Fill, Order, PortfolioSnapshot, Position, Trade

__all__ = ["ACCOUNTS"]

_NOON = "2024-05-01T20:00:00Z"
_SENT = "2024-05-01T14:00:00Z"
_CHANGED = "2024-05-01T14:00:01Z"
_ALXN = Order(
    *("o1", "ALXN", "351", "buy", "market", "new"),
    timestamp="2021-07-14T13:57:52.79776Z",
    updated_at="2021-07-14T13:57:52.812205Z",
    client_order_id="c-o1",
    status_raw="held",
)
_FILLED = Order(
    *("o1", "IBM", "10", "buy", "limit", "filled", "10", "164.42"), timestamp=_SENT, updated_at="2024-05-01T14:00:02Z"
)


def _order(number: int, side: str, order_type: str, status: str = "new", **raw: str) -> Order:
    return Order(*(f"o{number}", "IBM", "10", side, order_type, status), timestamp=_SENT, updated_at=_CHANGED, **raw)


_SIDES = (
    _order(0, "buy", "market"),
    _order(1, "buy", "market", side_raw="B", type_raw="MKT"),
    _order(2, "buy", "limit"),
    _order(3, "buy", "limit", side_raw="BOT", type_raw="LMT"),
    _order(4, "sell", "limit", side_raw="sell_short"),
    _order(5, "sell", "stop_limit", side_raw="Sell Short", type_raw="STP LMT"),
    _order(6, "buy", "trailing_stop", side_raw="buy_to_cover"),
    _order(7, "sell", "stop_limit", side_raw="SLD"),
    _order(8, "sell", "stop_limit"),
    _order(9, "sell", "market", side_raw="short", type_raw="MOC"),
)
# What is on its way to its end is new; "closed" (o12) is filled to one broker and cancelled to another.
_STATUSES = (
    _order(0, "buy", "market", "new"),
    *(
        _order(number, "buy", "market", meaning, status_raw=word)
        for number, word, meaning in (
            (1, "accepted", "new"),
            (2, "pending_new", "new"),
            (3, "held", "new"),
            (4, "done_for_day", "new"),
            (6, "replaced", "cancelled"),
            (7, "pending_cancel", "new"),
            (8, "stopped", "new"),
            (9, "suspended", "new"),
            (10, "calculated", "new"),
            (11, "open", "new"),
            (16, "Submitted", "new"),
            (17, "PreSubmitted", "new"),
            (19, "partial", "partially_filled"),
            (20, "Executed", "filled"),
            (21, "working", "new"),
        )
    ),
    _order(5, "buy", "market", "partially_filled"),
    _order(13, "buy", "market", "filled"),
    _order(14, "buy", "market", "cancelled"),
    _order(15, "buy", "market", "cancelled"),
    _order(18, "buy", "market", "partially_filled"),
)

ACCOUNTS: dict[str, ENTRIES] = {
    "B47_own_fills": (
        # The fee tells that they are executions of one's own, and a sale may be written below zero.
        stored(
            "f.csv",
            Fill("AAPL", "2024-05-01T14:30:00Z", "buy", "169.58", "100", fee="1"),
            Fill("AAPL", "2024-05-01T15:30:00Z", "sell", "170.1", "100", fee="1"),
        ),
        # What is said to be prints all the same is stored as such, and the size below zero is told.
        stored(
            "f.csv",
            Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100", side="buy"),
            Trade("AAPL", "2024-05-01T15:30:00Z", "170.1", "-100", side="sell"),
            flags=("trade.size",),
            kind="trades",
            ignore=("commission",),
        ),
    ),
    "B48_positions": (
        refused("alpaca.jsonl", "--as-of"),
        stored(
            "alpaca.jsonl",
            Position(
                *("AAPL", "-5", "-600", "-500", "-100", "-10", _NOON),
                avg_entry_price="100",
                current_price="120",
                side="short",
                asset_class="us_equity",
            ),
            as_of=_NOON,
        ),
        refused("dateonly.csv", "date", "--tz"),
        stored("dateonly.csv", Position("AAPL", "5", "600", "500", timestamp="2024-05-01T00:00Z"), tz="UTC"),
        # The vendor's days begin in New York.
        stored(
            "ib.csv",
            Position(
                *("AAPL", "-5", "-600", "-500", "-100", None, "2024-05-01T04:00Z"), current_price="120", side="short"
            ),
        ),
        stored("lots.csv", Position("AAPL", "7", "840", "800", timestamp=_NOON), flags=("position.conflict",)),
        refused("notime.csv", "--as-of"),
        stored("notime.csv", Position("AAPL", "5", "600", "500", timestamp=_NOON), as_of=_NOON),
        stored(
            "t.csv",
            Position("AAPL", "-5", "-600", "-500", timestamp=_NOON),
            Position("VTI", "0.029053", "7.26", "6.9", timestamp=_NOON),
            Position("BTC/USD", "0.00000001", "0.00058", "0.0005", timestamp=_NOON),
            Position("CASH", "0", "0", "0", timestamp=_NOON),
        ),
    ),
    "B49_orders": (
        stored("alpaca.jsonl", _ALXN),
        stored("alpaca_trim.jsonl", _ALXN),
        stored(
            "frac.csv",
            Order(
                *("o1", "IBM", "0.029053", "buy", "market", "filled", "0.029053", "164.4123456789"),
                timestamp=_SENT,
                updated_at=_CHANGED,
            ),
            Order(
                *("o2", "IBM", None, "buy", "market", "filled", "0.5", "164.4"), timestamp=_SENT, updated_at=_CHANGED
            ),
        ),
        refused("notime.csv", "--as-of"),
        stored(
            "notime.csv",
            Order("o1", "IBM", "10", "buy", "limit", "filled", timestamp=_NOON, updated_at=_NOON),
            as_of=_NOON,
        ),
        # Neither row says when the order stood so, and a filled one does not become new again.
        stored(
            "noupd.csv",
            Order("o1", "IBM", "10", "buy", "limit", "filled", timestamp=_SENT, updated_at=_SENT),
            rejected={2: "order.transition"},
        ),
        stored(
            "numid.jsonl",
            Order(*("12345678901234567890", "IBM", "1", "buy", "market", "new"), timestamp=_SENT, updated_at=_SENT),
        ),
        stored(
            "over.csv",
            Order(*("o1", "IBM", "10", "buy", "market", "filled", "12", "164.4"), timestamp=_SENT, updated_at=_CHANGED),
            flags=("order.overfill",),
        ),
        stored("partial.csv", _FILLED),
        stored(
            "same.csv",
            Order(*("o1", "IBM", "10", "buy", "limit", "filled", "10", "164.42"), timestamp=_SENT, updated_at=_CHANGED),
        ),
        stored("side.csv", *_SIDES),
        stored("st.csv", *_STATUSES, rejected={13: "status"}, flags=("order.fill",)),
    ),
    "B50_snapshots": (
        refused("acct.jsonl", "--as-of"),
        stored(
            "acct.jsonl",
            PortfolioSnapshot(_NOON, "2500.75", "5000", cash="1000.5", account="PA1"),
            as_of=_NOON,
        ),
        refused("date.csv", "date", "--tz"),
        stored("date.csv", PortfolioSnapshot("2024-05-01T00:00Z", "100"), tz="UTC"),
        stored(
            "h.jsonl",
            PortfolioSnapshot("2024-05-01T00:00Z", "100000"),
            PortfolioSnapshot("2024-05-02T00:00Z", "100250.5"),
        ),
        stored(
            "s.csv",
            PortfolioSnapshot("2024-05-01T20:00Z", "0", "0", cash="0"),
            PortfolioSnapshot("2024-05-02T20:00Z", "-12.5", "0", cash="-12.5"),
            PortfolioSnapshot("2024-05-03T20:00Z", "1000000", cash="0.00000001"),
        ),
    ),
}
