"""A year of two accounts equals, to the cent, a model of plain Python that is written from the formulas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from account_model import Model, ns

from fpa_core.demo.year import Year, made_up_year
from fpa_core.exceptions import DataError
from fpa_core.portfolio import Portfolio
from fpa_core.store import DataStore
from fpa_plugins.memory.plugin import MemoryStoreOptions, open_store

MONTHS = [ns(date(2024, month, 1)) - 1 for month in range(2, 13)] + [ns(date(2025, 1, 1))]
SEEDS = (1, 2, 3)


def cents(amount) -> Decimal:
    return Decimal(round(Fraction(amount) * 100)) / 100


@pytest.fixture(scope="module", params=SEEDS)
def year(request) -> Year:
    """Return the year of a seed."""
    return made_up_year(request.param)


@pytest.fixture(scope="module")
def portfolio(year) -> Iterator[Portfolio]:
    """Store the year, and open its portfolio at the end of it."""
    with DataStore(open_store(MemoryStoreOptions())) as store:
        receipt = store.save(year.records)
        assert receipt.duplicate == receipt.revised == 0
        assert store.save(year.records).inserted == 0
        yield Portfolio(store, clock=lambda: ns(date(2025, 1, 1)))


@pytest.fixture(params=["main", "ira"])
def account(request) -> str:
    """Return an account."""
    return request.param


def test_it_is_a_year_worth_the_name(year):
    """The year has partial fills, shorts, splits, two currencies, and fills with and without ids."""
    assert len(year.fills) > len(year.orders) > 100
    assert {fill.fill_id is None for fill in year.fills} == {True, False}
    assert {"USD", "EUR"} == {fill.currency for fill in year.fills}
    assert {"split", "dividend"} == {action.action_type for action in year.actions}


@pytest.mark.parametrize("method", ["fifo", "lifo", "average"])
def test_lots_and_gains(year, portfolio, account, method):
    """Open lots and realised gains of every method are those of the model, at the end of each month."""
    model = Model(year, account)
    for at_ns in MONTHS:
        gains, held = model.closed_and_open(at_ns, method)
        lots = defaultdict(list)
        for lot in portfolio.lots(account, as_of=at_ns, method=method):
            assert lot.cost == pytest.approx(lot.price * abs(lot.quantity), abs=Decimal("1e-12"))
            lots[lot.symbol].append((lot.quantity, cents(lot.cost)))
        assert {name: [(q, cents(abs(q) * unit)) for q, unit in found] for name, found in held.items()} == lots
        realized = portfolio.realized(account, "symbol", end=at_ns, method=method)
        assert {name: cents(gain) for name, gain in gains.items()} == {row.key: cents(row.realized) for row in realized}


def test_positions(year, portfolio, account):
    """Quantities, values and unrealised gains are those of the model, and agree with the snapshots."""
    model = Model(year, account)
    for at_ns in MONTHS:
        _, held = model.closed_and_open(at_ns)
        expected = {
            name: (
                sum(q for q, _ in lots),
                cents(sum(q for q, _ in lots) * Fraction(model.price(name, at_ns))),
                cents(sum(q * (Fraction(model.price(name, at_ns)) - unit) for q, unit in lots)),
            )
            for name, lots in held.items()
        }
        found = portfolio.positions(account, as_of=at_ns)
        assert expected == {one.symbol: (one.quantity, cents(one.market_value), cents(one.unrealized)) for one in found}
        assert [one for one in found if one.difference or one.explanation] == []


def test_equity(year, portfolio, account):
    """The equity of every month's end is the model's, by currency and in dollars."""
    model = Model(year, account, closing=True)
    points = portfolio.equity(account, every="month")
    for at_ns in MONTHS[:-1]:
        expected = {name: cents(amount) for name, amount in model.equity(at_ns).items()}
        assert expected == {point.currency: cents(point.equity) for point in points if point.ts_ns == at_ns}
    for point in portfolio.equity(account, every="month", currency="USD"):
        assert cents(model.dollars(model.equity(point.ts_ns), point.ts_ns)) == cents(point.equity)
    assert sum(point.external for point in points) == model.put_in(0, MONTHS[-1])


def test_returns(year, portfolio, account):
    """Both rates of return are the model's, to the tenth place."""
    model = Model(year, account)
    end = MONTHS[-1]
    weighted = portfolio.returns(account, "time_weighted", currency="USD")
    assert round(model.time_weighted(end), 12) == round(weighted, 12)
    by_money = portfolio.returns(account, "money_weighted", currency="USD")
    assert model.money_weighted(end) == pytest.approx(float(by_money), abs=1e-9)
    with pytest.raises(DataError, match="EUR, USD"):
        portfolio.returns(account)


def test_gains_add_up(year, portfolio, account):
    """Gains by day, month, symbol and of the whole are one sum, which is what equity grew by beyond what was put in."""
    model = Model(year, account)
    end = MONTHS[-1]
    equity = model.equity(end)
    converted = defaultdict(Decimal)
    for flow in model.flows:
        if flow.flow_type in ("deposit", "withdrawal", "conversion"):
            converted[flow.currency] += flow.amount
    expected = {name: cents(amount - converted[name]) for name, amount in equity.items()}
    for by in ("day", "month", "symbol", "account"):
        rows = portfolio.pnl(account, by)
        sums = defaultdict(Decimal)
        for row in rows:
            assert cents(row.unexplained) == 0
            parts = (row.realized, row.unrealized, row.dividends, row.interest, row.fees, row.taxes, row.other)
            assert row.total == pytest.approx(sum(parts), abs=Decimal("1e-12"))
            sums[row.currency] += row.total
        assert expected == {name: cents(amount) for name, amount in sums.items()}, by
    months = portfolio.pnl(account, "month", currency="USD")
    assert cents(model.dollars(equity, end) - model.put_in(0, end)) == cents(sum(row.total for row in months))
    assert any(row.fx for row in months)


def test_everything_reconciles(portfolio, account):
    """Orders, fills, positions, snapshots, cash and dividends agree, to the cent."""
    assert [] == portfolio.reconcile(account)
