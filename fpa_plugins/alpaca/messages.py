"""Alpaca's messages as records. Its REST interface and its stream use the same short names.

Sources: "Historical quotes, trades, bars", "Real-time stock data", "Orders at Alpaca", "Get all open positions", "Get account", Alpaca
documentation. A quote without a side has a price and a size of zero there, and so it has here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fpa_core.exceptions import DataError
from fpa_core.intervals import is_dated
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.models import (
    Bar,
    CashFlow,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    PortfolioSnapshot,
    Position,
    PositionSide,
    Quote,
    Trade,
)
from fpa_core.numbers import Instant, to_decimal, to_ns
from fpa_core.protocols import Correction
from fpa_core.words import to_word

__all__ = [
    "INVALID",
    "RECORDS",
    "TIMEFRAMES",
    "account_name",
    "cancellation",
    "correction",
    "date_of",
    "midnight_of",
    "raw_text",
    "to_activity",
    "to_order",
    "to_position",
    "to_snapshot",
]

TIMEFRAMES = {
    **{f"{count}m": f"{count}Min" for count in range(1, 60)},
    **{f"{count}h": f"{count}Hour" for count in range(1, 24)},
    "1d": "1Day",
    "1w": "1Week",
    **{f"{count}mo": f"{count}Month" for count in (1, 2, 3, 6, 12)},
}
"""Alpaca's word for each interval of bars."""

INVALID = {"canceled", "incorrect"}
"""What the field ``u`` of a historical trade says if the trade is no longer valid."""

Message = Mapping[str, Any]

_NEW_YORK = ZoneInfo("America/New_York")
_EPOCH = date(1970, 1, 1).toordinal()
_DAY_NS = 86_400 * 10**9


def _instant(value: Any) -> Instant:
    """Return a time: text in JSON, nanoseconds since 1970 in MessagePack."""
    return Instant(value.to_unix_nano() if hasattr(value, "to_unix_nano") else to_ns(value))


def _conditions(codes: Any) -> str | None:
    """Return condition codes as one text: a list as JSON, the same as from a file, so that a row is known from wherever it comes."""
    return None if codes is None else codes if isinstance(codes, str) else _json(tuple(codes))


@functools.lru_cache(maxsize=4_096)
def _json(codes: tuple[str, ...]) -> str:
    return json.dumps(codes, ensure_ascii=False)


def to_quote(symbol: str, message: Message, interval: str | None = None) -> Quote:  # noqa: ARG001
    """Return a quote."""
    get = message.get
    return Quote(
        symbol,
        _instant(message["t"]),
        get("bp"),
        get("ap"),
        get("bs"),
        get("as"),
        get("bx"),
        get("ax"),
        _conditions(get("c")),
    )


def to_trade(symbol: str, message: Message, interval: str | None = None) -> Trade:  # noqa: ARG001
    """Return a trade."""
    get = message.get
    number = get("i")
    return Trade(
        symbol,
        _instant(message["t"]),
        message["p"],
        message["s"],
        _conditions(get("c")),
        get("x"),
        None if number is None else str(number),
    )


def date_of(at: int) -> Instant:
    """Return midnight in UTC of the date that an instant has in New York: bars of days and longer are stored under it, as those from files."""
    return Instant((datetime.fromtimestamp(at // 10**9, _NEW_YORK).toordinal() - _EPOCH) * _DAY_NS)


def midnight_of(date_ns: int) -> int:
    """Return midnight in New York of the first date at or after an instant: where a bar that is stored there begins."""
    day = datetime.fromordinal(-(-date_ns // _DAY_NS) + _EPOCH).replace(tzinfo=_NEW_YORK)
    return int(day.timestamp()) * 10**9


def to_bar(symbol: str, message: Message, interval: str | None = None) -> Bar:
    """Return a bar; those of the stream are of a minute."""
    get = message.get
    length = interval or "1m"
    at = _instant(message["t"])
    return Bar(
        symbol,
        date_of(at) if is_dated(length) else at,
        get("o"),
        get("h"),
        get("l"),
        message["c"],
        get("v"),
        length,
        get("vw"),
        get("n"),
    )


RECORDS: Mapping[Kind, Callable[..., Any]] = {QUOTES: to_quote, TRADES: to_trade, BARS: to_bar}
"""What makes the records of a kind, of a symbol, a message, and the interval of bars."""


def correction(message: Message) -> Correction:
    """Return the notice that a trade was wrong: ``o`` stands for original, ``c`` for corrected."""
    changes = {
        "trade_id": str(message["ci"]),
        "price": to_decimal(message["cp"]),
        "size": to_decimal(message["cs"]),
        "conditions": _conditions(message.get("cc")),
    }
    return Correction(message["S"], message.get("x"), str(message["oi"]), _instant(message["t"]), changes)


def cancellation(message: Message) -> Correction:
    """Return the notice that a trade was cancelled."""
    return Correction(message["S"], message.get("x"), str(message["i"]), _instant(message["t"]))


def raw_text(message: Any) -> str:
    """Return a message as JSON text, for the quarantine."""

    def plain(value: Any) -> Any:
        return value.to_unix_nano() if hasattr(value, "to_unix_nano") else str(value)

    return json.dumps(message, default=plain, ensure_ascii=False)


# The account


def account_name(account: Message) -> str:
    """Return what records call an account: its number."""
    return str(account.get("account_number") or account.get("id") or "default")


def to_snapshot(account: Message, positions: Sequence[Position], now_ns: int) -> PortfolioSnapshot:
    """Return an account with its positions."""
    equity, before = to_decimal(account["equity"], "equity"), account.get("last_equity")
    return PortfolioSnapshot(
        Instant(now_ns),
        equity,
        account.get("buying_power"),
        None if before is None else equity - to_decimal(before, "last_equity"),
        None,
        positions,
        account.get("cash"),
        account.get("currency") or "USD",
        account_name(account),
    )


def to_position(message: Message) -> Position:
    """Return a position; what is short is negative. A side of another name is left out, as the sign tells it."""
    quantity = to_decimal(message["qty"], "qty")
    side = message.get("side")
    if side == PositionSide.SHORT and quantity > 0:
        quantity = -quantity
    return Position(
        message["symbol"],
        quantity,
        message.get("market_value"),
        message.get("cost_basis"),
        unrealized_pnl=message.get("unrealized_pl"),
        day_pnl=message.get("unrealized_intraday_pl"),
        avg_entry_price=message.get("avg_entry_price"),
        current_price=message.get("current_price"),
        side=side if side in set(PositionSide) else None,
        asset_class=message.get("asset_class"),
    )


def to_order(message: Message, account: str) -> Order:
    """Return an order. A status or type that is not known is told by its other fields; the broker's word is kept beside ours.

    :raises DataError: if it has no symbol or side, as the parent of a multi-leg order has none.
    """
    if message.get("symbol") is None or message.get("side") is None:
        raise DataError(
            "Order.symbol: an order of several legs has no symbol and side of its own; its legs have",
            field="Order.symbol",
        )
    status = message.get("status")
    kind = message.get("type") or message.get("order_type")
    return Order(
        order_id=message["id"],
        symbol=message["symbol"],
        quantity=message.get("qty"),
        side=message["side"],
        order_type=str(kind) if _known(OrderType, kind) else _type_of(message),
        status=str(status) if _known(OrderStatus, status) else _status_of(message),
        filled_quantity=message.get("filled_qty") or 0,
        average_fill_price=message.get("filled_avg_price"),
        limit_price=message.get("limit_price"),
        stop_price=message.get("stop_price"),
        time_in_force=message["time_in_force"],
        timestamp=message.get("submitted_at") or message.get("created_at"),
        updated_at=message.get("updated_at") or message.get("submitted_at") or message.get("created_at"),
        client_order_id=message.get("client_order_id"),
        status_raw=status,
        notional=message.get("notional"),
        trail_price=message.get("trail_price"),
        trail_percent=message.get("trail_percent"),
        type_raw=kind,
        side_raw=None if message["side"] in {"buy", "sell"} else message["side"],
        account=account,
    )


def to_activity(message: Message, account: str) -> Fill | CashFlow:
    """Return a fill, or a cash flow under its date.

    :raises DataError: if it is of another type, or moves no cash, as a split of shares does.
    """
    kind = message["activity_type"]
    if kind == "FILL":
        return Fill(
            message["symbol"],
            _instant(message["transaction_time"]),
            message["side"],
            message["price"],
            message["qty"],
            account,
            fill_id=message["id"],
            order_id=message.get("order_id"),
        )
    amount = to_decimal(message.get("net_amount") or 0, "net_amount")
    if not amount:
        raise DataError(f"CashFlow.amount: an activity of the type {kind} moves no cash", field="CashFlow.amount")
    return CashFlow(
        Instant(to_ns(message["date"], "date", dates=True)),
        kind,
        amount,
        message.get("currency") or "USD",
        account,
        symbol=message.get("symbol"),
        transaction_id=message["id"],
        reference=message.get("description"),
    )


def _known(words: Any, word: Any) -> bool:
    try:
        to_word(words, word)
    except DataError:
        return False
    return True


def _status_of(message: Message) -> OrderStatus:
    """Return the status that the times of an order tell."""
    for name, status in (
        ("filled_at", OrderStatus.FILLED),
        ("canceled_at", OrderStatus.CANCELLED),
        ("replaced_at", OrderStatus.CANCELLED),
        ("expired_at", OrderStatus.EXPIRED),
        ("failed_at", OrderStatus.REJECTED),
    ):
        if message.get(name):
            return status
    return OrderStatus.PARTIALLY_FILLED if Decimal(message.get("filled_qty") or 0) else OrderStatus.NEW


def _type_of(message: Message) -> OrderType:
    """Return the type that the prices of an order tell."""
    if message.get("trail_price") or message.get("trail_percent"):
        return OrderType.TRAILING_STOP
    limit, stop = message.get("limit_price"), message.get("stop_price")
    if limit and stop:
        return OrderType.STOP_LIMIT
    return OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET
