"""What an account earned: gains by period, symbol or account, and rates of return.

Within one currency everything adds up exactly: equity is what was put in, and what was earned by dividends, interest and the like, less fees
and taxes, and the realised and the unrealised gains. What does not fit is told as *unexplained*.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction

from attrs import frozen

from fpa_core.amounts import decimal_of
from fpa_core.exceptions import DataError
from fpa_core.numbers import ns_text
from fpa_core.portfolio.rates import Rates
from fpa_core.portfolio.valuation import Moment

__all__ = ["ANSWER_PLACES", "PnL", "Valued", "change", "change_in_one", "money_weighted", "time_weighted"]

ANSWER_PLACES = 12
"""Decimal places of a rate of return that is found by search."""

LARGEST_RATE = 10**18
"""The largest rate that is searched for: a twelfth more in one day is as much in a year, compounded."""

SMALLEST_GROWTH = Decimal("1e-900000")
"""The smallest growth in a year that is searched for."""

YEAR_NS = 365 * 86_400 * 10**9
"""A year as rates of return by dates count it: 365 days."""

_CONTEXT = Context(prec=60, Emin=-(10**9))


@frozen(kw_only=True)
class PnL:
    """What was earned in a period, or by a symbol, in one currency.

    :ivar key: the period (``2024-05-01``, ``2024-05``), the symbol (empty for what belongs to none), or the account.
    :ivar realized: gains of what was closed, fees of fills included; ``unrealized`` the change of the gains of what is open.
    :ivar dividends: likewise interest, fees, taxes and other: as they were booked, what was paid below zero.
    :ivar fx: where currencies are converted, what the change of their rates made, and what exchanging them cost.
    :ivar total: all of it together.
    :ivar unexplained: what equity changed by beyond it: cash of mergers that was not booked, or was booked twice.
    """

    key: str
    currency: str
    realized: Decimal
    unrealized: Decimal
    dividends: Decimal
    interest: Decimal
    fees: Decimal
    taxes: Decimal
    other: Decimal
    fx: Decimal
    total: Decimal
    unexplained: Decimal


def change(key: str, before: Moment, after: Moment, currency: str) -> PnL:
    """Return what was earned in one currency from one moment to a later one."""

    def grown(name: str) -> Fraction:
        then: Fraction = getattr(before, name).get(currency, Fraction(0))
        now: Fraction = getattr(after, name).get(currency, Fraction(0))
        return now - then

    def booked(name: str) -> Fraction:
        place = (name, currency)
        return after.income.get(place, Fraction(0)) - before.income.get(place, Fraction(0))

    realized = grown("realized")
    unrealized = grown("market_value") - grown("basis")
    names = ("dividends", "interest", "fees", "taxes", "other")
    income = {name: booked(name) for name in names}
    total = realized + unrealized + sum(income.values(), Fraction(0))
    moved = after.equity(currency) - before.equity(currency) - grown("external") - grown("converted")
    return PnL(
        key=key,
        currency=currency,
        realized=decimal_of(realized),
        unrealized=decimal_of(unrealized),
        **{name: decimal_of(amount) for name, amount in income.items()},
        fx=Decimal(0),
        total=decimal_of(total),
        unexplained=decimal_of(moved - total),
    )


def change_in_one(key: str, before: Moment, after: Moment, currency: str, rates: Rates) -> PnL:
    """Return what was earned in all currencies, in one, at the rates of the later moment."""

    def turned(amount: Fraction, own: str, at_ns: int) -> Fraction:
        return rates.convert(amount, own, currency, at_ns)

    names = ("realized", "unrealized", "dividends", "interest", "fees", "taxes", "other", "total", "unexplained")
    sums = dict.fromkeys(names, Fraction(0))
    moved = Fraction(0)
    for own in sorted({*before.currencies, *after.currencies}):
        row = change(key, before, after, own)
        for name in names:
            sums[name] += turned(Fraction(getattr(row, name)), own, after.known_ns)
        external = after.external.get(own, Fraction(0)) - before.external.get(own, Fraction(0))
        moved += turned(after.equity(own) - external, own, after.known_ns) - turned(
            before.equity(own), own, before.known_ns
        )
    fx = moved - sums["total"] - sums["unexplained"]
    sums["total"] += fx
    return PnL(key=key, currency=currency, fx=decimal_of(fx), **{name: decimal_of(sums[name]) for name in names})


@frozen
class Valued:
    """The equity of an account just before money was put in or taken out, or at the end, and the amount that was put in then."""

    ts_ns: int
    equity: Fraction
    external: Fraction


def time_weighted(points: Sequence[Valued]) -> Fraction:
    """Return the time-weighted rate of return: the product of the growth between external flows, less one.

    It is valued at every flow, as the Global Investment Performance Standards ask for (CFA Institute, GIPS 2020, 2.A.21; C. Bacon, Practical
    Portfolio Performance Measurement and Attribution, "true time-weighted return"): with the equity E before each flow F,
    ``(1 + R) = product of E(i) / (E(i-1) + F(i-1))``. It is not annualised.

    :param points: in order of time; the first is where the account begins.
    :raises DataError: if the account was worth nothing or less after a flow, so that a rate has no meaning.
    """
    growth = Fraction(1)
    for before, after in itertools.pairwise(points):
        start = before.equity + before.external
        if start <= 0:
            if after.equity == start == 0:
                continue  # nothing was there, and nothing came of it
            raise DataError(
                f"the account is worth {decimal_of(start)} after the flow of {ns_text(before.ts_ns)}: no rate of return from there has a meaning",
                hint="give a later start",
                field="start",
            )
        growth *= after.equity / start
    return growth - 1


def money_weighted(points: Sequence[Valued]) -> Decimal:
    """Return the money-weighted rate of return, by year: the rate at which all that was put in grows to what is there in the end.

    It solves ``sum of F(i) (1 + r)^((T - t(i)) / 365 days) = E(T)`` by bisection (internal rate of return by dates, as XIRR of spreadsheets;
    CFA Institute, GIPS 2020, 2.A.26), and is rounded to :data:`ANSWER_PLACES` places. The equity of the first point counts as put in.

    A span of less than a year is annualised, too.

    :raises DataError: if no rate, or none up to :data:`LARGEST_RATE`, solves it.
    """
    if len(points) < 2:
        raise DataError("a rate of return needs a beginning and an end", field="points")
    end = points[-1]
    flows = [
        (_years(end.ts_ns - point.ts_ns), point.external + (point.equity if place == 0 else 0))
        for place, point in enumerate(points[:-1])
    ]
    flows = [(years, amount) for years, amount in flows if amount]
    final = end.equity

    def value(growth: Decimal) -> Decimal:
        total = _decimal(-final)
        for years, amount in flows:
            total = _CONTEXT.add(total, _CONTEXT.multiply(_decimal(amount), _CONTEXT.power(growth, years)))
        return total

    # Not 0, at which everything but the last flows is worth nothing. A loss within minutes, by year, is close to it.
    low, high = SMALLEST_GROWTH, Decimal(2)
    below = value(low)
    while (below < 0) == (value(high) < 0):
        high *= 10
        if high > LARGEST_RATE:
            raise DataError(
                "no rate of return solves the flows of the account",
                hint="ask for the time-weighted one",
                field="method",
            )
    step = Decimal(10) ** -(ANSWER_PLACES + 6)
    while high - low > step:
        middle = _CONTEXT.divide(_CONTEXT.add(low, high), 2)
        if (value(middle) < 0) == (below < 0):
            low = middle
        else:
            high = middle
    return round(_CONTEXT.subtract(_CONTEXT.divide(_CONTEXT.add(low, high), 2), 1), ANSWER_PLACES)


def _years(ns: int) -> Decimal:
    return _CONTEXT.divide(Decimal(ns), Decimal(YEAR_NS))


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))
