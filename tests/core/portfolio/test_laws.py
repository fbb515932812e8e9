"""Laws of random accounts: what the model says, and what must be equal whatever happened."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

from account_model import Model
from attrs import evolve
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fpa_core.amounts import decimal_of
from fpa_core.models import CashFlow, CorporateAction, Fill
from fpa_core.numbers import Instant
from fpa_core.portfolio.book import Book, in_order
from fpa_core.portfolio.performance import Valued, change, money_weighted, time_weighted
from fpa_core.portfolio.valuation import Marks, Walk

HOUR = 3_600 * 10**9
times = st.integers(1, 40).map(lambda hour: Instant(hour * HOUR))
amounts = st.decimals("0.01", 500, places=2)
fills = st.builds(
    lambda symbol, ts, side, price, quantity, fee: Fill(symbol, ts, side, price, quantity, "main", None, None, fee),
    st.sampled_from("AB"),
    times,
    st.sampled_from(["buy", "sell"]),
    amounts,
    st.integers(1, 30).map(Decimal) | st.decimals("0.001", 9, places=3),
    st.none() | st.decimals("-0.5", 3, places=2),
)
splits = st.builds(
    lambda symbol, ts, new, old: CorporateAction(symbol, ts, "split", new, old),
    st.sampled_from("AB"),
    times,
    st.integers(1, 10),
    st.integers(1, 10),
)
flows = st.builds(
    lambda ts, kind, amount, currency: CashFlow(ts, kind, amount, currency, "main"),
    times,
    st.sampled_from(["deposit", "withdrawal", "dividend", "interest", "fee", "tax", "adjustment", "conversion"]),
    st.decimals(-500, 500, places=2),
    st.sampled_from(["USD", "EUR"]),
)


def numbered(found: list[Fill]) -> list[Fill]:
    """Return fills with ids that are in order."""
    return [evolve(fill, fill_id=f"{place:03}") for place, fill in enumerate(found)]


accounts = st.lists(fills, max_size=14).map(numbered)
methods = st.sampled_from(["fifo", "lifo", "average"])


@settings(max_examples=150, deadline=None)
@given(accounts, st.lists(splits, max_size=3, unique_by=lambda one: (one.symbol, one.ts_ns)), methods)
def test_a_random_account_is_the_models(found, actions, method):
    """Lots and gains of any fills and splits are exactly those of the model, fractions of a share included."""
    model = Model(SimpleNamespace(fills=found, flows=[], actions=actions), "main")
    book = Book("main", method).take_all(in_order(found, actions))
    gains, lots = model.closed_and_open(50 * HOUR, method)
    held = {symbol: [(lot.quantity, lot.cost) for lot in own] for symbol, _, own in book.places()}
    assert {name: [(q, abs(q) * unit) for q, unit in own] for name, own in lots.items()} == held
    summed = defaultdict(Fraction)
    for closing in book.closings:
        summed[closing.symbol] += closing.gain
    assert dict(gains) == dict(summed)


@settings(max_examples=150, deadline=None)
@given(accounts, st.lists(flows, max_size=8), st.lists(splits, max_size=2), methods, st.integers(0, 40))
def test_everything_earned_is_explained(found, moved, actions, method, middle):
    """In any account, over any part of its time, equity changes by what was put in and what was earned, and by nothing else."""
    walk = Walk("main", found, actions, moved, method)
    marks = Marks({"A": "12.34", "B": "0.77"})
    before, after = walk.moment(middle * HOUR, marks), walk.moment(50 * HOUR, marks)
    for currency in sorted({*before.currencies, *after.currencies}):
        row = change("all", before, after, currency)
        assert row.unexplained == 0
        parts = (row.realized, row.unrealized, row.dividends, row.interest, row.fees, row.taxes, row.other)
        assert abs(Fraction(row.total) - sum(map(Fraction, parts))) < Fraction(1, 10**15)


@given(accounts, methods, methods)
def test_methods_differ_only_in_time(found, one, other):
    """What was realised, and what is open at its cost, come to the same with every method: only the time of gains differs."""

    def sums(method):
        book = Book("main", method).take_all(in_order(found, []))
        realized = sum((closing.gain for closing in book.closings), Fraction(0))
        return realized - sum((lot.basis for _, _, lots in book.places() for lot in lots), Fraction(0))

    assert sums(one) == sums(other)


@given(accounts)
def test_named_lots_in_order_are_first_in_first_out(found):
    """Naming the lots that first in, first out would close gives the same disposals."""
    book = Book("main").take_all(in_order(found, []))
    named = defaultdict(list)
    for closing in book.closings:
        named[closing.closed_by].append(closing.opened_by)
    opened = {lot.fill_id for _, _, lots in book.places() for lot in lots}
    # A fill that closes one position and opens the other way closes more than its lots.
    assume(not opened & named.keys())
    closed = {name for name in named if any(c.opened_by == name for c in book.closings)}
    assume(not closed & named.keys())
    assert book.closings == Book("main", dict(named)).take_all(in_order(found, [])).closings


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(-20, 30)), min_size=1, max_size=6))
def test_flows_do_not_change_a_time_weighted_return(found):
    """What is put in or taken out changes no time-weighted return: the growth of each part of the time is what counts."""
    points, growth, equity = [], Fraction(1), Fraction(0)
    for place, (put_in, percent) in enumerate(found):
        points.append(Valued(place, equity, Fraction(put_in)))
        equity = (equity + put_in) * Fraction(100 + percent, 100)
        growth *= Fraction(100 + percent, 100)
    points.append(Valued(len(found), equity, Fraction(0)))
    assert growth - 1 == time_weighted(points)


@given(st.integers(1, 10**6), st.integers(-90, 300), st.integers(1, 3_000))
@example(deposit=1, percent=-23, days=1)
def test_a_money_weighted_return_of_one_deposit(deposit, percent, days):
    """One deposit that grew by a percentage in a year has that rate; in other spans, the yearly rate that compounds to it."""
    end = Fraction(deposit) * Fraction(100 + percent, 100)
    points = [Valued(0, Fraction(0), Fraction(deposit)), Valued(days * 24 * HOUR, end, Fraction(0))]
    rate = (1 + percent / 100) ** (365 / days) - 1
    assume(rate < 10**5)
    assert abs(float(money_weighted(points)) - rate) <= 1e-9 * max(1, rate)


@given(st.fractions())
def test_amounts_are_exact_or_rounded_at_the_end(value):
    """A fraction becomes the decimal that is equal to it, or the nearest of 18 places."""
    found = Fraction(decimal_of(value))
    assert found == value or abs(found - value) <= Fraction(1, 2 * 10**18)
