"""A year of two made-up accounts from a seed: orders, partial fills, fees, dividends, splits, deposits, a short, and a foreign currency.

Everything adds up to the cent, as in the books of a careful broker, so that calculations can be held against it. Prices are random and mean nothing.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import define, field

from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position

__all__ = ["ACCOUNTS", "CURRENCIES", "Year", "made_up_year"]

ACCOUNTS = ("main", "ira")
CURRENCIES = {"AAPL": "USD", "MSFT": "USD", "TSLA": "USD", "XYZ": "USD", "SAP": "EUR"}
"""The currency of each symbol that is traded."""

OPENING = {"AAPL": Decimal(180), "MSFT": Decimal(400), "TSLA": Decimal(250), "XYZ": Decimal(3), "SAP": Decimal(150)}
RATE = Decimal("1.0950")
"""Dollars for a euro at the beginning; the rate is stored as bars of EURUSD."""

CENT = Decimal("0.01")
REACH = 20
"""Cents by which prices of fills may differ from the close of their day, and its bar reaches up and down."""
FIRST, LAST = date(2024, 1, 1), date(2024, 12, 31)
TAX = 15
"""Percent of a dividend."""

SPLITS = {"AAPL": (date(2024, 6, 10), 4, 1), "XYZ": (date(2024, 9, 2), 1, 10)}
DIVIDENDS = {
    "AAPL": (date(2024, 5, 10), "0.96"),
    "MSFT": (date(2024, 8, 15), "0.75"),
    "SAP": (date(2024, 5, 16), "2.20"),
}


def _at(day: date, hour: int = 0, minute: int = 0) -> str:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC).isoformat()


@define
class Year:
    """The records of a year, and what they come to.

    :ivar closes: the close of each symbol by day, of EURUSD too.
    :ivar held: the quantity of each account and symbol at the end; negative if it is short.
    :ivar cash: the cash of each account and currency at the end.
    """

    seed: int
    orders: list[Order] = field(factory=list)
    fills: list[Fill] = field(factory=list)
    actions: list[CorporateAction] = field(factory=list)
    flows: list[CashFlow] = field(factory=list)
    bars: list[Bar] = field(factory=list)
    snapshots: list[PortfolioSnapshot] = field(factory=list)
    closes: dict[str, dict[date, Decimal]] = field(factory=lambda: defaultdict(dict))
    held: dict[tuple[str, str], Decimal] = field(factory=lambda: defaultdict(Decimal))
    cash: dict[tuple[str, str], Decimal] = field(factory=lambda: defaultdict(Decimal))

    @property
    def records(self) -> list[object]:
        """All records, to be stored."""
        return [*self.orders, *self.fills, *self.actions, *self.flows, *self.bars, *self.snapshots]


def made_up_year(seed: int) -> Year:
    """Return the year of a seed: the same one each time."""
    chance, year = random.Random(seed), Year(seed)  # noqa: S311 - not for secrets; the year must be reproducible
    for number, account in enumerate(ACCOUNTS):
        _flow(year, account, FIRST, "deposit", 200_000 + 50_000 * number, hour=9)
    prices, rate = dict(OPENING), RATE
    day = FIRST
    while day <= LAST:
        _corporate(year, day, prices)
        if day.weekday() < 5:
            for symbol, price in prices.items():
                prices[symbol] = max(CENT, (price * Decimal(chance.randint(970, 1032)) / 1000).quantize(CENT))
            rate = (rate * Decimal(chance.randint(9970, 10031)) / 10000).quantize(Decimal("0.0001"))
            _trade(year, chance, day, prices)
            _close(year, day, prices, rate)
        _monthly(year, chance, day, rate)
        day += timedelta(days=1)
    return year


def _flow(
    year: Year,
    account: str,
    day: date,
    kind: str,
    amount: Decimal | int | str,
    currency: str = "USD",
    *,
    hour: int = 22,
    **rest: Any,
) -> None:
    exact = Decimal(amount)
    year.cash[account, currency] += exact
    year.flows.append(CashFlow(_at(day, hour), kind, exact, currency, account, **rest))


def _corporate(year: Year, day: date, prices: dict[str, Decimal]) -> None:
    for symbol, (when, new, old) in SPLITS.items():
        if day == when:
            year.actions.append(CorporateAction(symbol, _at(day), "split", new, old))
            prices[symbol] = (prices[symbol] * old / new).quantize(CENT)
            for place in [place for place in year.held if place[1] == symbol]:
                year.held[place] = year.held[place] * new / old
    for symbol, (when, amount) in DIVIDENDS.items():
        if day == when:
            currency = CURRENCIES[symbol]
            year.actions.append(CorporateAction(symbol, _at(day), "dividend", amount=amount, currency=currency))
            for account in ACCOUNTS:
                if quantity := year.held[account, symbol]:
                    paid = Decimal(amount) * quantity
                    later = day + timedelta(days=9)
                    _flow(year, account, later, "dividend", paid, currency, symbol=symbol)
                    _flow(year, account, later, "tax", -(paid * TAX / 100).quantize(CENT), currency, symbol=symbol)


def _trade(year: Year, chance: random.Random, day: date, prices: dict[str, Decimal]) -> None:
    for account in ACCOUNTS:
        if chance.random() < 0.35:
            symbol = chance.choice(["AAPL", "MSFT", "SAP", "XYZ"])
            holds = year.held[account, symbol]
            if holds >= 10 and chance.random() < 0.45:
                _order(year, chance, account, day, symbol, "sell", chance.randint(1, int(holds)), prices)
            else:
                _order(year, chance, account, day, symbol, "buy", chance.choice([10, 20, 40, 100]), prices)
    if (day.month, day.day) == (3, 5):
        _order(year, chance, "main", day, "TSLA", "sell", 120, prices)
    if (day.month, day.day) in {(6, 4), (10, 7)}:
        _order(year, chance, "main", day, "TSLA", "buy", 50, prices)


def _order(
    year: Year,
    chance: random.Random,
    account: str,
    day: date,
    symbol: str,
    side: str,
    quantity: int,
    prices: dict[str, Decimal],
) -> None:
    """Add an order and its one to three fills."""
    number, currency = f"o{len(year.orders) + 1}", CURRENCIES[symbol]
    left, value, minute, filled = Decimal(quantity), Decimal(0), 0, Decimal(0)
    sign = 1 if side == "buy" else -1
    while left:
        part = left if minute == 2 or left == 1 else Decimal(chance.randint(1, int(left)))
        price = prices[symbol] + CENT * chance.randint(-REACH, REACH) if prices[symbol] > 1 else prices[symbol]
        fee = Decimal(chance.choice(["0.35", "1.00", "0"]))
        named = f"x{len(year.fills)}" if chance.random() < 0.5 else None
        year.fills.append(
            Fill(
                symbol, _at(day, 15, minute), side, price, part, account, named, number, fee, currency, multiplier=None
            )
        )
        year.cash[account, currency] -= sign * price * part + fee
        year.held[account, symbol] += sign * part
        value, filled, left, minute = value + price * part, filled + part, left - part, minute + 1
    average = (value / filled).quantize(Decimal("0.000001"))
    year.orders.append(
        Order(
            *(number, symbol, quantity, side, "market", "filled", filled, average),
            timestamp=_at(day, 14, 59),
            updated_at=_at(day, 15, 5),
            account=account,
        )
    )


def _monthly(year: Year, chance: random.Random, day: date, rate: Decimal) -> None:
    if day.day == 3:
        _flow(year, "main", day, "interest", chance.choice(["1.23", "0.87", "-2.10"]))
        _flow(year, "ira", day, "fee", "-1.50")
    if (day.month, day.day) == (1, 4):  # euros for SAP
        for account in ACCOUNTS:
            _flow(year, account, day, "conversion", -60_000)
            _flow(year, account, day, "conversion", (60_000 / rate).quantize(CENT), "EUR")
    if (day.month, day.day) == (4, 15):
        _flow(year, "main", day, "deposit", 25_000)
    if (day.month, day.day) == (11, 20):
        _flow(year, "main", day, "withdrawal", -12_345)


def _close(year: Year, day: date, prices: dict[str, Decimal], rate: Decimal) -> None:
    for symbol, price in (*prices.items(), ("EURUSD", rate)):
        year.closes[symbol][day] = price
        reach = REACH * CENT if price > REACH * CENT and symbol in prices else Decimal(0)
        year.bars.append(Bar(symbol, _at(day), price, price + reach, price - reach, price, 1_000, "1d"))
    if day.month % 3 == 0 and (day + timedelta(days=3)).month != day.month:
        for account in ACCOUNTS:
            held = [
                Position(symbol, quantity, quantity * prices[symbol], None)
                for (name, symbol), quantity in year.held.items()
                if name == account and quantity and CURRENCIES[symbol] == "USD"
            ]
            cash = year.cash[account, "USD"]
            total = cash + sum(position.market_value or 0 for position in held)
            euro = [
                Position(symbol, quantity, None, None)
                for (name, symbol), quantity in year.held.items()
                if name == account and quantity and CURRENCIES[symbol] == "EUR"
            ]
            year.snapshots.append(
                PortfolioSnapshot(_at(day, 23), total, positions=[*held, *euro], cash=cash, account=account)
            )
