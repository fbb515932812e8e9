"""Calls of the Python API with arguments of every sort, fitting and odd, so that the same seed makes the same calls."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from fpa_core import models
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.numbers import Instant

__all__ = ["Call", "calls", "make"]

TEXTS = (
    "",
    " ",
    "A",
    "BRK.B",
    "BRK[B]",
    "*",
    "A*",
    "[",
    "\\",
    "\x00",
    "a\x00b",
    "\ud800",
    "é",
    "\U0001f600",
    "x" * 5_000,
    "nan",
    "' OR 1=1 --",
    "a,b",
    "a\nb",
)
NUMBERS = (0, 1, -1, 2, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**40, True)
FLOATS = (0.0, -0.0, 0.1, 1e300, 1e-300, 5e-324, float("nan"), float("inf"), float("-inf"))
DECIMALS = tuple(
    map(Decimal, ("0", "-0", "1.10", "1e-30", "1e30", "9" * 76, "9" * 77, "NaN", "sNaN", "Infinity", "0." + "1" * 80))
)
UTC = dt.UTC
WITHOUT_ZONE = dt.datetime(2024, 5, 1)  # noqa: DTZ001  # on purpose
TIMES: tuple[Any, ...] = (
    "2024-05-01", "2024-05-01T14:30:00Z", "2024-05-01T14:30:00.123456789+02:00", "2024-02-30", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "24:00", "now", "1d", Instant(0), Instant(2**63 - 1), Instant(-(2**63)), 0, 10**18, 2**63, -(2**63) - 1, WITHOUT_ZONE,
    dt.datetime(2024, 5, 1, tzinfo=UTC), dt.datetime.max.replace(tzinfo=UTC), dt.datetime.min.replace(tzinfo=UTC), dt.date(2024, 5, 1), dt.date.max, None,
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None,
    (),
    [],
    {},
    set(),
    b"",
    b"\xff",
    object(),
    ...,
    1j,
    range(3),
    ["A", None],
    [["A"]],
    {"A": 1},
    int,
)
INTERVALS = ("1m", "5m", "1h", "1d", "1w", "1mo", "60m", "0m", "-1m", "1x", "", "999999999999d", "m", "1M")


class Call(NamedTuple):
    """A call, and how to make it again.

    :ivar target: the attribute of the layer, with dots.
    """

    target: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


def calls(count: int, seed: int) -> Iterator[Call]:
    """Yield calls."""
    chance = random.Random(seed)  # to be repeated
    draw = _Draw(chance)
    shapes = _shapes(draw)
    for _ in range(count):
        target, positional, named = chance.choice(shapes)
        yield Call(
            target,
            tuple(draw.odd_or(one) for one in positional),
            {name: draw.odd_or(one) for name, one in named.items() if chance.random() < 0.5},
        )


def make(data: DataLayer, call: Call) -> object:
    """Make a call, and read what it returns to its end."""
    if call.target.startswith("models."):
        return repr(getattr(models, call.target.partition(".")[2])(*call.positional, **call.named))
    found: Any = data
    for name in call.target.split("."):
        found = getattr(found, name)
    answer = found(*call.positional, **call.named)
    if hasattr(answer, "to_arrow"):
        answer.to_arrow()
    if hasattr(answer, "__next__"):
        answer = list(answer)
    return repr(answer)[:100]


class _Draw:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def odd_or(self, fitting: Callable[[], Any]) -> Any:
        """Return a fitting argument, mostly."""
        return self._chance.choice(ODD) if self._chance.random() < 0.03 else fitting()

    def one_of(self, *sets: tuple[Any, ...]) -> Callable[[], Any]:
        return lambda: self._chance.choice(self._chance.choice(sets))


def _shapes(draw: _Draw) -> list[tuple[str, tuple[Callable[[], Any], ...], dict[str, Callable[[], Any]]]]:
    text, number, time = draw.one_of(TEXTS), draw.one_of(NUMBERS), draw.one_of(TIMES)
    value = draw.one_of(TEXTS, NUMBERS, FLOATS, DECIMALS, DECIMALS)
    kind = draw.one_of((*KINDS, *(one.record for one in KINDS.values())), (*KINDS, "quote", "nothing"))
    interval, flag = draw.one_of(INTERVALS), draw.one_of((True, False))
    symbol = draw.one_of(TEXTS, (["A", "B"], ("A",), None))
    amount = draw.one_of(("1", "2.50", 3, Decimal("0.10")), DECIMALS, NUMBERS, FLOATS)
    side, words = draw.one_of(("buy", "sell", "hold", "")), draw.one_of(("market", "limit", "new", "filled", "", "x"))
    of_series = {"start_time": time, "end_time": time, "limit": number}
    rejected = {
        "id": number,
        "batch": number,
        "kind": kind,
        "rule": text,
        "symbol": text,
        "state": draw.one_of(("open", "replayed", "x", "")),
        "limit": number,
    }
    asked = {
        "start": time, "end": time, "as_known_at": time, "batch": number, "origin": text, "limit": number, "latest_first": flag, "columns": symbol,
        "order": draw.one_of(("time", "symbol", "x")), "adjust": draw.one_of((None, "splits", "all", "x")),
    }  # fmt: skip
    row = {
        "symbol": text,
        "timestamp": time,
        "bid": amount,
        "ask": amount,
        "price": amount,
        "size": amount,
        "close": amount,
        "interval": interval,
        "x": value,
    }

    def rows() -> Any:
        return [{name: one() for name, one in row.items()} for _ in range(draw._chance.randrange(3))]

    return [
        ("models.Quote", (text, time, amount, amount), {"bid_size": amount, "ask_size": amount}),
        ("models.Trade", (text, time, amount, amount), {"trade_id": value, "conditions": value, "side": side}),
        (
            "models.Bar",
            (text, time, amount, amount, amount, amount, amount, interval),
            {"vwap": amount, "trade_count": number},
        ),
        (
            "models.Order",
            (value, text, amount, side, words, words, amount),
            {"timestamp": time, "updated_at": time, "limit_price": amount, "account": text},
        ),
        ("models.Position", (text, amount, amount, amount), {"timestamp": time, "account": text, "side": side}),
        ("models.PortfolioSnapshot", (time, amount), {"account": text, "cash": amount}),
        (
            "models.Fill",
            (text, time, side, amount, amount),
            {"fill_id": value, "order_id": value, "account": text, "fee": amount},
        ),
        ("models.CashFlow", (time, words, amount), {"currency": text, "account": text}),
        ("models.CorporateAction", (text, words, time), {}),
        ("select", (kind, symbol), asked),
        ("store.select", (kind, symbol), asked),
        ("store.get_quotes", (symbol,), of_series),
        ("store.get_trades", (symbol,), of_series),
        ("store.get_bars", (symbol, interval), of_series),
        ("store.get_orders", (symbol,), of_series | {"status": words, "account": text}),
        ("store.get_order", (text,), {"account": text}),
        ("store.get_positions", (symbol,), of_series | {"account": text}),
        ("store.get_fills", (symbol,), of_series | {"account": text}),
        ("store.get_cash_flows", (), of_series | {"account": text, "flow_type": words}),
        ("store.get_corporate_actions", (symbol,), of_series),
        ("store.get_portfolio_snapshots", (), of_series | {"account": text}),
        ("store.latest", (symbol,), {"what": kind, "interval": interval}),
        ("store.as_of", (symbol, time), {"what": kind, "account": text}),
        (
            "store.bars",
            (symbol, interval),
            {"from_": draw.one_of(("trades", "quotes", "1m", "1d", "x")), "tz": text, "start": time, "end": time},
        ),
        ("store.batches", (), {"limit": number, "children": flag}),
        ("store.inventory", (kind,), {}),
        ("store.coverage", (kind, text), {}),
        ("store.undo", (number,), {}),
        ("store.seal", (kind,), {"symbol": text, "least": number}),
        ("store.quarantined", (), rejected),
        ("store.count_quarantined", (), rejected),
        ("store.save", (rows,), {"origin": text}),
        (
            "ingest",
            (rows,),
            {"kind": kind, "symbol": text, "interval": interval, "origin": text, "tz": text, "max_rejected": value},
        ),
        ("validate", (rows,), {"kind": kind, "symbol": text, "interval": interval}),
        ("sniff", (rows,), {"kind": kind, "symbol": text}),
        ("ingest", (text,), {"kind": kind, "via": text, "start": time, "end": time}),
        ("quarantine.fix", (number, lambda: {"bid": value(), "x": value()}), {}),
        ("quarantine.get", (number,), {}),
        ("quarantine.replay", (), rejected | {"ignore_rules": symbol}),
        ("quarantine.retry", (number,), {"tz": text, "kind": kind}),
        ("quarantine.discard", (), rejected),
        ("cache.set", (text, value), {"ttl": value, "tags": symbol, "kind": text}),
        ("cache.get", (text,), {"default": value}),
        ("cache.get_many", (symbol,), {}),
        ("cache.get_or_load", (text, lambda: lambda: "loaded"), {"ttl": value, "tags": symbol}),
        ("cache.delete", (text,), {}),
        ("cache.contains", (text,), {}),
        ("cache.touch", (text,), {"ttl": value}),
        ("cache.keys", (text,), {}),
        ("cache.invalidate_pattern", (text,), {}),
        ("cache.invalidate_tags", (text, text), {}),
        ("cache.purge", (), {"limit": number}),
        ("portfolio.positions", (text,), {"as_of": time, "as_known_at": time}),
        ("portfolio.lots", (text,), {"method": words}),
        ("portfolio.pnl", (text,), {"by": words, "start": time, "end": time}),
        ("portfolio.realized", (text,), {"by": words}),
        ("portfolio.equity", (text,), {"start": time, "end": time}),
        ("portfolio.reconcile", (text,), {}),
    ]
