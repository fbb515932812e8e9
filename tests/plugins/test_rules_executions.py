"""Rules about fills and cash that look beyond the record: at the order, at the bar of the day, at what was held."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

import fpa_core
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order

DAY = "2024-05-02T15:00:00Z"


@pytest.fixture
def data() -> Iterator[DataLayer]:
    """Open a layer in memory."""
    with fpa_core.open(":memory:") as layer:
        yield layer


def fill(price, quantity, number="1", side="buy", symbol="A", order="o1", at=DAY) -> Fill:
    return Fill(symbol, at, side, price, quantity, "main", number, order)


def messages(data: DataLayer, rule: str, *records: object) -> list[str]:
    """Return what a rule finds in records, one by one and as tables."""
    whole = [finding.message for finding in data.validate(list(records)).findings if finding.rule == rule]
    return [message.split(": ", 1)[-1] if message.startswith(rule) else message for message in whole]


def test_a_fill_fits_its_order(data):
    """A fill beyond the limit, of another side or symbol, or beyond the quantity with those before it, is told; without an order nothing is."""
    data.store.save(
        Order("o1", "A", 100, "buy", "limit", limit_price=10, timestamp=DAY, updated_at=DAY, account="main")
    )
    rule = "fill.order"
    assert [] == messages(data, rule, fill(10, 60, "1"), fill("9.5", 40, "2"), fill(99, 1, "3", order="other"))
    assert ["the price 10.01 is beyond the limit 10: order o1"] == messages(data, rule, fill("10.01", 1))
    assert ["a sell of A, not a buy of A: order o1"] == messages(data, rule, fill(9, 1, side="sell"))
    assert ["a buy of B, not a buy of A: order o1"] == messages(data, rule, fill(9, 1, symbol="B"))
    assert ["110 are filled of 100: order o1"] == messages(data, rule, fill(10, 60, "1"), fill(10, 50, "2"))
    (told,) = messages(data, rule, fill(10, 100, "1"), fill(10, Decimal("1E-30"), "2"))
    assert told.startswith("100.000000000000000000000000000001 are filled of 100"), "the sum is exact"
    assert [] == messages(data, rule, Fill("A", DAY, "sell", 99, 1, "other", "1", "o1")), (
        "it is the order of another account"
    )


def test_a_sale_is_at_the_limit_or_above(data):
    """The limit of a sale is its lowest price."""
    data.store.save(
        Order("o1", "A", 100, "sell", "limit", limit_price=10, timestamp=DAY, updated_at=DAY, account="main")
    )
    assert [] == messages(data, "fill.order", fill("10.5", 1, side="sell"))
    assert 1 == len(messages(data, "fill.order", fill("9.99", 1, side="sell")))


def test_a_fill_is_within_the_bar_of_its_day(data):
    """A price far outside the stored bar of the day is told; within, or without a bar, nothing is."""
    data.store.save(Bar("A", "2024-05-02T00:00:00Z", 10, "10.1", "9.9", 10, 100, "1d"))
    rule = "fill.outside_bar"
    assert [] == messages(
        data, rule, fill("10.1", 1), fill("10.2", 1, "2"), fill(1000, 1, "3", at="2024-05-03T15:00:00Z")
    )
    (told,) = messages(data, rule, fill("100.5", 1))
    assert told == "the price 100.5 is outside the bar of its day, 9.9 to 10.1"


def test_a_dividend_is_that_of_what_was_held(data):
    """What is paid is the amount of a share times the shares before the ex-date, splits included."""
    fills = [fill(10, 50, "1", at="2024-04-01T15:00:00Z"), fill(10, 7, "2", at="2024-05-10T00:00:00Z")]
    actions = [
        CorporateAction("A", "2024-04-15T00:00:00Z", "split", 2),
        CorporateAction("A", "2024-05-10T00:00:00Z", "dividend", amount="0.25"),
    ]

    def told(amount, currency="USD", day="2024-05-16T20:00:00Z"):
        flow = CashFlow(day, "dividend", amount, currency, "main", "A")
        result = data.validator.validate_dataset({"cash": [flow], "fills": fills, "corporate_actions": actions})
        return [finding.message for finding in result.findings if finding.rule == "cash.dividend"]

    assert [] == told("25.00") == told("25.01") == told(250, "EUR") == told(250, day="2024-12-01T00:00:00Z")
    assert ["250 were paid for 100 shares at 0.25, which makes 25.00"] == told(250)


def test_findings_do_not_keep_records_out(data):
    """What these rules doubt is stored, and counted under the warnings of the receipt."""
    receipt = data.ingest([fill(10, 5, "1"), fill(10, 5, "2"), fill(10, 0, "3")])
    assert (2, 1) == (receipt.inserted, receipt.quarantined)
    assert {"fill.duplicate": 1} == receipt.warnings
