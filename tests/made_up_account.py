"""A year of two made-up accounts, from a seed: orders, partial fills, fees, dividends, splits, deposits, a short, and a foreign currency."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from attrs import define, field

from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position

__all__ = ["CURRENCIES", "Year", "made_up_year"]

CURRENCIES = {"AAPL": "USD", "MSFT": "USD", "TSLA": "USD", "XYZ": "USD", "SAP": "EUR"}
CENT = Decimal("0.01")
FIRST, LAST = date(2024, 1, 1), date(2024, 12, 31)
SPLITS = {"AAPL": (date(2024, 6, 10), 4, 1), "XYZ": (date(2024, 9, 2), 1, 10)}
DIVIDENDS = {
    "AAPL": (date(2024, 5, 10), "0.96"),
    "MSFT": (date(2024, 8, 15), "0.75"),
    "SAP": (date(2024, 5, 16), "2.20"),
}


def at(day: date, hour: int = 0, minute: int = 0) -> str:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC).isoformat()


@define
class Year:
    """All records, and the closes that bars have, by symbol and day."""

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
        """Everything, as it would be saved."""
        return [*self.orders, *self.fills, *self.actions, *self.flows, *self.bars, *self.snapshots]


def made_up_year(seed: int) -> Year:
    """Return the year of a seed: the same one each time."""
    chance, year = random.Random(seed), Year(seed)
    for number, account in enumerate(("main", "ira")):
        flow(year, account, FIRST, "deposit", 200_000 + 50_000 * number, hour=9)
    prices = {"AAPL": Decimal(180), "MSFT": Decimal(400), "TSLA": Decimal(250), "XYZ": Decimal(3), "SAP": Decimal(150)}
    rate = Decimal("1.0950")
    day = FIRST
    while day <= LAST:
        corporate(year, day, prices)
        if day.weekday() < 5:
            for symbol, price in prices.items():
                prices[symbol] = max(CENT, (price * Decimal(chance.randint(970, 1032)) / 1000).quantize(CENT))
            rate = (rate * Decimal(chance.randint(9970, 10031)) / 10000).quantize(Decimal("0.0001"))
            trade(year, chance, day, prices)
            close(year, day, prices, rate)
        monthly(year, chance, day, rate)
        day += timedelta(days=1)
    return year


def flow(
    year: Year, account: str, day: date, kind: str, amount, currency: str = "USD", *, hour: int = 22, **rest
) -> None:
    amount = Decimal(amount)
    year.cash[account, currency] += amount
    year.flows.append(CashFlow(at(day, hour), kind, amount, currency, account, **rest))


def corporate(year: Year, day: date, prices: dict[str, Decimal]) -> None:
    for symbol, (when, new, old) in SPLITS.items():
        if day == when:
            year.actions.append(CorporateAction(symbol, at(day), "split", new, old))
            prices[symbol] = (prices[symbol] * old / new).quantize(CENT)
            for place in [place for place in year.held if place[1] == symbol]:
                year.held[place] = year.held[place] * new / old
    for symbol, (when, amount) in DIVIDENDS.items():
        if day == when:
            currency = CURRENCIES[symbol]
            year.actions.append(CorporateAction(symbol, at(day), "dividend", amount=amount, currency=currency))
            for account in ("main", "ira"):
                if quantity := year.held[account, symbol]:
                    paid = Decimal(amount) * quantity
                    later = day + timedelta(days=9)
                    flow(year, account, later, "dividend", paid, currency, symbol=symbol)
                    flow(year, account, later, "tax", -(paid * 15 / 100).quantize(CENT), currency, symbol=symbol)


def trade(year: Year, chance: random.Random, day: date, prices: dict[str, Decimal]) -> None:
    for account in ("main", "ira"):
        if chance.random() < 0.35:
            symbol = chance.choice(["AAPL", "MSFT", "SAP", "XYZ"])
            holds = year.held[account, symbol]
            if holds >= 10 and chance.random() < 0.45:
                order(year, chance, account, day, symbol, "sell", chance.randint(1, int(holds)), prices)
            else:
                order(year, chance, account, day, symbol, "buy", chance.choice([10, 20, 40, 100]), prices)
    if (day.month, day.day) == (3, 5):
        order(year, chance, "main", day, "TSLA", "sell", 120, prices)
    if (day.month, day.day) in {(6, 4), (10, 7)}:
        order(year, chance, "main", day, "TSLA", "buy", 50, prices)


def order(
    year: Year, chance: random.Random, account: str, day: date, symbol: str, side: str, quantity: int, prices
) -> None:
    number, currency = f"o{len(year.orders) + 1}", CURRENCIES[symbol]
    left, value, minute, filled = Decimal(quantity), Decimal(0), 0, Decimal(0)
    sign = 1 if side == "buy" else -1
    while left:
        part = left if minute == 2 or left == 1 else Decimal(chance.randint(1, int(left)))
        price = prices[symbol] + CENT * chance.randint(-20, 20) if prices[symbol] > 1 else prices[symbol]
        fee = Decimal(chance.choice(["0.35", "1.00", "0"]))
        named = f"x{len(year.fills)}" if chance.random() < 0.5 else None
        year.fills.append(
            Fill(symbol, at(day, 15, minute), side, price, part, account, named, number, fee, currency, multiplier=None)
        )
        year.cash[account, currency] -= sign * price * part + fee
        year.held[account, symbol] += sign * part
        value, filled, left, minute = value + price * part, filled + part, left - part, minute + 1
    average = (value / filled).quantize(Decimal("0.000001"))
    year.orders.append(
        Order(
            *(number, symbol, quantity, side, "market", "filled", filled, average),
            timestamp=at(day, 14, 59),
            updated_at=at(day, 15, 5),
            account=account,
        )
    )


def monthly(year: Year, chance: random.Random, day: date, rate: Decimal) -> None:
    if day.day == 3:
        flow(year, "main", day, "interest", chance.choice(["1.23", "0.87", "-2.10"]))
        flow(year, "ira", day, "fee", "-1.50")
    if (day.month, day.day) == (1, 4):  # euros for SAP
        for account in ("main", "ira"):
            flow(year, account, day, "conversion", -60_000)
            flow(year, account, day, "conversion", (60_000 / rate).quantize(CENT), "EUR")
    if (day.month, day.day) == (4, 15):
        flow(year, "main", day, "deposit", 25_000)
    if (day.month, day.day) == (11, 20):
        flow(year, "main", day, "withdrawal", -12_345)


def close(year: Year, day: date, prices: dict[str, Decimal], rate: Decimal) -> None:
    for symbol, price in (*prices.items(), ("EURUSD", rate)):
        year.closes[symbol][day] = price
        year.bars.append(Bar(symbol, at(day), price, price, price, price, 1000, "1d"))
    if day.month % 3 == 0 and (day + timedelta(days=3)).month != day.month:
        for account in ("main", "ira"):
            held = [
                Position(symbol, quantity, quantity * prices[symbol], None)
                for (name, symbol), quantity in year.held.items()
                if name == account and quantity and CURRENCIES[symbol] == "USD"
            ]
            cash = year.cash[account, "USD"]
            total = cash + sum(position.market_value for position in held)
            euro = [
                Position(symbol, quantity, None, None)
                for (name, symbol), quantity in year.held.items()
                if name == account and quantity and CURRENCIES[symbol] == "EUR"
            ]
            year.snapshots.append(
                PortfolioSnapshot(at(day, 23), total, positions=[*held, *euro], cash=cash, account=account)
            )
