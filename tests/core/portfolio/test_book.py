"""Lots and gains of shorts, corporate actions, fees in other currencies and named lots, as worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fpa_core.exceptions import DataError
from fpa_core.models import CorporateAction, Fill
from fpa_core.portfolio.book import Book, in_order


def day(number: int) -> str:
    return f"2024-05-{number:02}T15:00:00Z"


def fill(number: int, side: str, price, quantity, symbol: str = "A", **rest) -> Fill:
    rest = {"fill_id": f"f{number}"} | rest
    return Fill(symbol, day(number), side, price, quantity, "main", **rest)


def action(number: int, kind: str, *rates, symbol: str = "A", **rest) -> CorporateAction:
    return CorporateAction(symbol, f"2024-05-{number:02}T00:00:00Z", kind, *rates, **rest)


def book(*events, method="fifo") -> Book:
    found = Book("main", method)
    fills = [event for event in events if isinstance(event, Fill)]
    return found.take_all(in_order(fills, [event for event in events if not isinstance(event, Fill)]))


def held(found: Book) -> list[tuple]:
    return [(lot.symbol, lot.quantity, lot.cost) for lot in found.lots()]


def gained(found: Book) -> list[tuple]:
    return [(one.quantity, one.proceeds, one.cost, one.gain) for one in found.disposals()]


def test_fees_are_part_of_cost_and_proceeds():
    """A fee is added to the cost of a purchase and taken off the proceeds of a sale, by the share that is closed."""
    found = book(fill(1, "buy", 10, 100, fee=5), fill(2, "sell", 12, 40, fee=2))
    assert [("A", 60, 603)] == held(found)
    assert [(40, 478, 402, 76)] == gained(found)


def test_a_short_gains_as_the_price_falls():
    """What a short sale brought, less what it costs to buy back, is the gain; both fees count."""
    found = book(fill(1, "sell", 10, 100, fee=5), fill(2, "buy", 8, 40, fee=2))
    assert [("A", -60, 597)] == held(found)
    assert [(-40, 398, 322, 76)] == gained(found)


def test_a_sale_of_more_than_is_held_goes_short():
    """The part beyond the lots opens a short lot with its share of the fee."""
    found = book(fill(1, "buy", 10, 10), fill(2, "sell", 12, 15, fee=3))
    assert [("A", -5, 59)] == held(found)
    assert [(10, 118, 100, 18)] == gained(found)


def test_methods_choose_lots():
    """First in first out, last in first out, the average, and named lots close what they say."""
    bought = (fill(1, "buy", 10, 10), fill(2, "buy", 20, 10), fill(3, "buy", 30, 10))
    sold = fill(4, "sell", 40, 15)
    gains = {
        "fifo": [300, 100],
        "lifo": [100, 100],
        "average": [300],
    }
    for method, expected in gains.items():
        assert expected == [one.gain for one in book(*bought, sold, method=method).disposals()]
    named = book(*bought, sold, method={"f4": ["f2", "f3"]})
    assert [("f2", 200), ("f3", 50)] == [(one.opened_by, one.gain) for one in named.disposals()]
    assert [300, 100] == [one.gain for one in book(*bought, sold, method={"other": ["f2"]}).disposals()]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("hifo", "fifo, lifo, average"),
        ({"f4": ["f9"]}, "not open then"),
        ({"f4": ["f1"]}, "closes more than"),
    ],
)
def test_a_method_that_does_not_fit_is_refused(method, words):
    """An unknown method, a lot that is not open, and lots that are too small are errors."""
    with pytest.raises(DataError, match=words):
        book(fill(1, "buy", 10, 10), fill(2, "buy", 20, 10), fill(4, "sell", 40, 15), method=method)


def test_splits_leave_the_cost():
    """A split multiplies the quantity, a reverse split of 1 for 3 leaves thirds of a share; the cost stays."""
    assert [("A", 40, 100)] == held(book(fill(1, "buy", 10, 10), action(2, "split", 4)))
    found = book(fill(1, "buy", 10, 10), action(2, "split", 1, 3), fill(3, "sell", 40, 3))
    assert [("A", Decimal("0.333333333333333333"), 10)] == held(found)
    assert [(3, 120, 90, 30)] == gained(found)
    assert [("A", 10, 100)] == held(book(fill(2, "buy", 10, 10), action(2, "split", 4))), "bought on the ex-date"


def test_symbols_change_and_companies_part():
    """A new symbol takes the lots over; a spin-off divides their cost, as the company publishes it."""
    assert [("B", 10, 100)] == held(book(fill(1, "buy", 10, 10), action(2, "symbol_change", new_symbol="B")))
    spun = action(2, "spinoff", 1, 5, new_symbol="B", basis_fraction="0.25")
    assert [("A", 10, 75), ("B", 2, 25)] == held(book(fill(1, "buy", 10, 10), spun))
    assert [("A", 10, 100), ("B", 2, 0)] == held(
        book(fill(1, "buy", 10, 10), action(2, "spinoff", 1, 5, new_symbol="B"))
    )


def test_mergers_pay_shares_cash_or_both():
    """Cash closes the lots; shares take their cost; of both, the cash reduces the cost, and what exceeds it is a gain."""
    cash = book(fill(1, "buy", 10, 10), action(2, "merger", amount=12))
    assert ([], [(10, 120, 100, 20)], {"USD": 120}) == (held(cash), gained(cash), dict(cash.merger_cash))
    shares = book(fill(1, "buy", 10, 10), action(2, "merger", 1, 2, new_symbol="B"))
    assert ([("B", 5, 100)], []) == (held(shares), gained(shares))
    both = book(fill(1, "buy", 10, 10), action(2, "merger", 1, 2, new_symbol="B", amount=12))
    assert ([("B", 5, 0)], [(0, 120, 100, 20)]) == (held(both), gained(both))
    short = book(fill(1, "sell", 10, 10), action(2, "merger", amount=12))
    assert [(-10, 100, 120, -20)] == gained(short)


@pytest.mark.parametrize(
    ("kind", "rest", "words"),
    [
        ("split", {}, "no ratio"),
        ("symbol_change", {}, "no new_symbol"),
        ("spinoff", {"new_rate": 1}, "no new_symbol"),
        ("merger", {}, "no ratio .* or an amount"),
        ("merger", {"amount": 1, "currency": "EUR"}, "pays EUR"),
    ],
)
def test_an_action_that_says_too_little_is_refused(kind, rest, words):
    """A corporate action that cannot be applied is an error that names it; of a symbol that is not held it matters to nobody."""
    with pytest.raises(DataError, match=words):
        book(fill(1, "buy", 10, 10), action(2, kind, **rest))
    assert [("B", 10, 100)] == held(book(fill(1, "buy", 10, 10, "B"), action(2, kind, **rest)))


def test_currencies_and_multipliers():
    """A fee in another currency is no part of a cost; two currencies of one symbol are two positions; contracts count by their multiplier."""
    found = book(
        fill(1, "buy", 10, 10, fee=1, fee_currency="BNB"),
        fill(2, "buy", 9, 10, currency="EUR"),
        fill(3, "sell", 2, 1, "A 240621C00100000", multiplier=100, fee="0.65"),
    )
    assert [("EUR", 90), ("USD", 100), ("USD", Decimal("199.35"))] == [(lot.currency, lot.cost) for lot in found.lots()]
    assert found.lots()[-1].price == Decimal("1.9935")
    with pytest.raises(DataError, match="opens and closes nothing"):
        book(fill(1, "buy", 10, 0))
