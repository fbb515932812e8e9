"""What an account holds, has gained and is worth, by formulas alone: lists and numbers, counted anew from the first record for each question.

It shares no line with fpa_core.portfolio, and knows no books or walks. A cost by unit is a fraction, so that no half of a cent is lost.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

__all__ = ["Model"]

EXTERNAL = ("deposit", "withdrawal", "transfer")


class Model:
    """One account of a year.

    :param closing: whether the close of a day counts at its last instant, as it does for the figures of that day.
    """

    def __init__(self, year, account: str, *, closing: bool = False) -> None:
        self.year = year
        self.closing = closing
        self.fills = sorted(
            (fill for fill in year.fills if fill.account == account),
            key=lambda fill: (fill.ts_ns, fill.side != "buy", fill.fill_id or ""),
        )
        self.flows = [flow for flow in year.flows if flow.account == account]

    def closed_and_open(self, end_ns: int, method: str = "fifo"):
        """Return gains by symbol, and the open lots of each symbol: [quantity, cost of one unit]."""
        gains, lots = defaultdict(Fraction), defaultdict(list)
        splits = sorted((a for a in self.year.actions if a.action_type == "split"), key=lambda a: a.ts_ns)
        for fill in [*self.fills, None]:
            now = end_ns if fill is None or fill.ts_ns > end_ns else fill.ts_ns
            while splits and splits[0].ts_ns <= now:
                split = splits.pop(0)
                for lot in lots[split.symbol]:
                    lot[0] *= Fraction(split.new_rate) / Fraction(split.old_rate)
                    lot[1] *= Fraction(split.old_rate) / Fraction(split.new_rate)
            if fill is None or fill.ts_ns > end_ns:
                break
            self.execute(fill, lots[fill.symbol], gains, method)
        return gains, {symbol: held for symbol, held in lots.items() if held}

    @staticmethod
    def execute(fill, held, gains, method: str) -> None:
        sign = 1 if fill.side == "buy" else -1
        unit = Fraction(fill.price) + sign * Fraction(fill.fee or 0) / Fraction(
            fill.quantity
        )  # a purchase costs the fee more, a sale brings it less
        left = Fraction(fill.quantity)
        while left and held and held[0][0] * sign < 0:
            lot = held[-1] if method == "lifo" else held[0]
            part = min(left, abs(lot[0]))
            gains[fill.symbol] += part * (unit - lot[1]) * -sign
            lot[0] += sign * part
            left -= part
            if not lot[0]:
                held.remove(lot)
        if left:
            held.append([sign * left, unit])
            if method == "average":
                total = sum(lot[0] for lot in held)
                held[:] = [[total, sum(lot[0] * lot[1] for lot in held) / total]]

    def cash(self, end_ns: int):
        """Return the balance of each currency."""
        balance = defaultdict(Decimal)
        for flow in self.flows:
            if flow.ts_ns <= end_ns:
                balance[flow.currency] += flow.amount
        for fill in self.fills:
            if fill.ts_ns <= end_ns:
                sign = 1 if fill.side == "buy" else -1
                balance[fill.currency] -= sign * fill.price * fill.quantity + (fill.fee or 0)
        return balance

    def price(self, symbol: str, end_ns: int) -> Decimal:
        """Return the last close of a day that has ended, with every later split taken into account."""
        day = (
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(end_ns + self.closing) // 1000)
        ).date() - timedelta(days=1)
        while day not in self.year.closes[symbol]:
            day -= timedelta(days=1)
        price = self.year.closes[symbol][day]
        ended = ns(day + timedelta(days=1))
        for action in self.year.actions:
            if action.symbol == symbol and action.action_type == "split" and ended <= action.ts_ns <= end_ns:
                price = price * action.old_rate / action.new_rate
        return price

    def value(self, end_ns: int):
        """Return the market value of the positions in each currency."""
        _, lots = self.closed_and_open(end_ns)
        value = defaultdict(Decimal)
        currencies = {fill.symbol: fill.currency for fill in self.fills}
        for symbol, held in lots.items():
            quantity = sum(lot[0] for lot in held)
            value[currencies[symbol]] += self.price(symbol, end_ns) * quantity.numerator / quantity.denominator
        return value

    def equity(self, end_ns: int):
        """Return cash and market value in each currency."""
        cash, value = self.cash(end_ns), self.value(end_ns)
        return {currency: cash[currency] + value[currency] for currency in {*cash, *value}}

    def dollars(self, amounts, end_ns: int) -> Decimal:
        """Return amounts of all currencies in dollars."""
        return sum(
            amount if currency == "USD" else amount * self.price("EURUSD", end_ns)
            for currency, amount in amounts.items()
            if amount
        ) or Decimal(0)

    def put_in(self, after_ns: int, end_ns: int) -> Decimal:
        """Return what was put in, less what was taken out; all of it was in dollars."""
        chosen = [flow for flow in self.flows if flow.flow_type in EXTERNAL and after_ns < flow.ts_ns <= end_ns]
        assert {flow.currency for flow in chosen} <= {"USD"}
        return sum((flow.amount for flow in chosen), Decimal(0))

    def time_weighted(self, end_ns: int) -> Decimal:
        """Return the product of the growth between the flows, less one."""
        times = sorted({flow.ts_ns for flow in self.flows if flow.flow_type in EXTERNAL and flow.ts_ns <= end_ns})
        with localcontext() as context:
            context.prec = 60
            growth = Decimal(1)
            for start, stop in zip(times, [*(ts - 1 for ts in times[1:]), end_ns], strict=True):
                begin = self.dollars(self.equity(start - 1), start - 1) + self.put_in(start - 1, start)
                growth *= self.dollars(self.equity(stop), stop) / begin
            return growth - 1

    def money_weighted(self, end_ns: int) -> float:
        """Return the yearly rate at which the flows grow to the final equity, by Newton's method in floats."""
        final = float(self.dollars(self.equity(end_ns), end_ns))
        flows = [
            ((end_ns - flow.ts_ns) / (365 * 86_400e9), float(flow.amount))
            for flow in self.flows
            if flow.flow_type in EXTERNAL and flow.ts_ns <= end_ns
        ]
        rate = 0.05
        for _ in range(100):
            value = sum(amount * (1 + rate) ** years for years, amount in flows) - final
            slope = sum(amount * years * (1 + rate) ** (years - 1) for years, amount in flows)
            rate -= value / slope
        return rate


def ns(day: date) -> int:
    """Return the midnight that begins a day, in nanoseconds."""
    return (day - date(1970, 1, 1)).days * 86_400 * 10**9
