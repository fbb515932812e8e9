"""A portfolio over a store: what was known then, what does not add up and why, rates, prices, and versions of orders."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from attrs import evolve

import fpa_core
from fpa_core.exceptions import DataError, StaleDataError
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import to_ns
from fpa_core.portfolio import Portfolio, Rates

NOW = to_ns("2024-06-01T00:00:00Z")


def day(number: int, hour: int = 15) -> str:
    return f"2024-05-{number:02}T{hour:02}:00:00Z"


@pytest.fixture
def data() -> Iterator[fpa_core.DataLayer]:
    """Open a layer in memory whose clock stands."""
    with fpa_core.open(":memory:", clock=lambda: NOW) as layer:
        yield layer


@pytest.fixture
def store(data):
    """Return its store."""
    return data.store


@pytest.fixture
def portfolio(data) -> Portfolio:
    """Return its portfolio."""
    return data.portfolio


BOUGHT = Fill("AAPL", day(2), "buy", 100, 10, "main", "f1", "o1", 1)
SOLD = Fill("AAPL", day(6), "sell", 120, 4, "main", "f2", "o2", 1)
DEPOSIT = CashFlow(day(1), "deposit", 2000, "USD", "main")


def test_positions_as_of_and_as_known_at(store, portfolio):
    """A position counts what happened up to an instant, and, as known earlier, only what was stored by then."""
    store.save([BOUGHT, DEPOSIT])
    known = store.batches()[0].recorded_ns
    store.save([SOLD, evolve(BOUGHT, price=101)])
    ask = {"prices": {"AAPL": 110}}
    (now,) = portfolio.positions("main", **ask)
    assert (6, Decimal("606.6"), 660, Decimal("53.4")) == (now.quantity, now.cost, now.market_value, now.unrealized)
    assert [10] == [one.quantity for one in portfolio.positions("main", as_of=day(3), **ask)]
    (then,) = portfolio.positions("main", as_known_at=known, **ask)
    assert (10, 1001) == (then.quantity, then.cost)
    assert [] == portfolio.positions("main", as_of=day(2, 14), **ask)
    assert [Decimal("74.6")] == [one.gain for one in portfolio.realized("main")]
    assert [] == portfolio.realized("main", as_known_at=known)


def test_prices_are_the_latest_that_were_known(store, portfolio):
    """The close of a bar counts from its end, trades and quotes at their time; without any price there is no value."""
    store.save(BOUGHT)
    (bare,) = portfolio.positions("main")
    assert (bare.price, bare.market_value, bare.unrealized) == (None, None, None)
    store.save(
        [
            Bar("AAPL", day(2, 0), 1, 1, 1, 103, 1, "1d"),
            Bar("AAPL", day(3, 15), 1, 1, 1, 104, 1, "1h"),
            Trade("AAPL", day(4), 105, 1),
            Quote("AAPL", day(5), 105, 107),
            Quote("AAPL", day(5, 16), 105, None),
        ]
    )
    for at, price in (
        (day(2, 16), None),
        (day(3, 0), 103),
        (day(3, 15), 103),
        (day(3, 16), 104),
        (day(4), 105),
        (day(6), 106),
    ):
        assert [price] == [one.price for one in portfolio.positions("main", as_of=at)], at


def test_a_price_before_a_split_is_divided(store, portfolio):
    """A price that is older than a split counts for the new shares."""
    store.save([BOUGHT, Bar("AAPL", day(9, 0), 1, 1, 1, 100, 1, "1d"), CorporateAction("AAPL", day(10, 0), "split", 4)])
    (held,) = portfolio.positions("main", as_of=day(10))
    assert (40, 25, 1000) == (held.quantity, held.price, held.market_value)


def test_a_difference_to_a_snapshot_is_explained(store, portfolio):
    """What the last snapshot has otherwise than the fills is told with its likely cause."""

    def after(*records, quantity, on=7):
        at = day(on, 0)
        batch = store.save(
            [BOUGHT, SOLD, *records, Position("AAPL", quantity, None, None, timestamp=at, account="main")]
        )
        (held, *_) = portfolio.positions("main")
        store.undo(batch.batch)
        return held

    assert (6, 0, "") == ((one := after(quantity=6)).stated, one.difference, one.explanation)
    assert "2024-05-06T15:00:00Z is not in it yet" in after(quantity=10).explanation
    assert "2024-05-06T15:00:00Z is in it already" in after(quantity=6, on=5).explanation
    split = CorporateAction("AAPL", day(6, 23), "split", 4)
    assert "split of 2024-05-06T23:00:00Z is not in it yet" in after(split, quantity=6).explanation
    assert "a split may be missing" in after(quantity=24).explanation
    assert "a fill may be missing" in after(quantity=7).explanation
    other = store.save([BOUGHT, Position("MSFT", 5, None, None, timestamp=day(7), account="main")])
    (aapl, msft) = portfolio.positions("main")
    assert (10, 0, 5, "no fill of MSFT before it is stored") == (
        aapl.difference,
        msft.quantity,
        msft.stated,
        msft.explanation,
    )
    (stated,) = portfolio.positions("main", from_="snapshots")
    assert ("MSFT", 5) == (stated.symbol, stated.quantity)
    store.undo(other.batch)


def test_reconcile_tells_what_does_not_add_up(store, portfolio):
    """Each kind of contradiction is told once, with both figures."""
    order = Order(
        "o1", "AAPL", 10, "buy", "market", "filled", 9, 100, timestamp=day(2), updated_at=day(2), account="main"
    )
    store.save(
        [
            evolve(BOUGHT, amount="-1001.02"),
            SOLD,
            DEPOSIT,
            order,
            CorporateAction("AAPL", day(4, 0), "dividend", amount="0.25", payable_date=day(5, 0)),
            CashFlow(day(5), "dividend", 2, "USD", "main", "AAPL"),
            PortfolioSnapshot(day(7), 2000, cash=1000, positions=[Position("AAPL", 5, 500, None)], account="main"),
        ]
    )
    found = {(one.check, one.subject): (one.expected, one.found) for one in portfolio.reconcile("main")}
    assert {
        ("order", "o1"): (10, 9),
        ("order", "o2"): (4, 0),
        ("fill", "f1"): (-1001, Decimal("-1001.02")),
        ("dividend", "AAPL"): (Decimal("2.5"), 2),
        ("position", "AAPL"): (6, 5),
        ("cash", "USD"): (1480, 1000),
        ("snapshot", "USD"): (1500, 2000),
    } == found
    (short,) = [one for one in portfolio.reconcile("main", as_of=day(3)) if one.check == "order"]
    assert (-1, True) == (short.difference, "its 1 fills say 10" in short.message)


def test_what_is_not_kept_at_all_misses_nothing(store, portfolio):
    """An account of which only snapshots are stored is checked for what they say of themselves."""
    held = [Position("AAPL", 5, 500, None)]
    store.save(PortfolioSnapshot(day(7), 1500, cash=1000, positions=held, account="main"))
    assert [] == portfolio.reconcile("main")
    store.save(PortfolioSnapshot(day(8), 1600, cash=1000, positions=held, account="main"))
    assert [("snapshot", 1500, 1600)] == [(one.check, one.expected, one.found) for one in portfolio.reconcile("main")]


def test_rates_are_given_or_stored_and_never_guessed(store, portfolio):
    """Amounts stay in their currency; converting takes a rate that is given or stored, or fails."""
    store.save([evolve(DEPOSIT, currency="EUR"), evolve(BOUGHT, currency="EUR", fee=None)])
    ask = {"every": None, "prices": {"AAPL": 100}}
    (point,) = portfolio.equity("main", **ask)
    assert ("EUR", 1000, 1000, 2000) == (point.currency, point.cash, point.market_value, point.equity)
    with pytest.raises(DataError, match="no rate from EUR to USD"):
        portfolio.equity("main", currency="USD", **ask)
    (given,) = portfolio.equity("main", currency="USD", rates={"EUR/USD": "1.1"}, **ask)
    assert ("USD", 2200) == (given.currency, given.equity)
    store.save(Bar("USDEUR", day(30, 0), 1, 1, 1, "0.8", 1, "1d"))
    (stored,) = portfolio.equity("main", currency="USD", **ask)
    assert stored.equity == 2500
    with pytest.raises(DataError, match="not above zero"):
        Rates({"EURUSD": 0})


def test_gains_by_period_symbol_and_account(store, portfolio):
    """What a period or a symbol earned is told apart: realised, unrealised, dividends, interest, fees."""
    store.save(
        [
            BOUGHT,
            SOLD,
            DEPOSIT,
            *(CashFlow(day(5), kind, amount, "USD", "main", symbol) for kind, amount, symbol in FLOWS),
            *(Bar("AAPL", day(number, 0), 1, 1, 1, 100 + number, 1, "1d") for number in range(1, 31)),
        ]
    )
    by_symbol = {row.key: row for row in portfolio.pnl("main", "symbol")}
    assert (3, 0, -1) == (by_symbol["AAPL"].dividends, by_symbol["AAPL"].interest, by_symbol["AAPL"].taxes)
    assert (Decimal("78.6"), Decimal("179.4")) == (by_symbol["AAPL"].realized, by_symbol["AAPL"].unrealized)
    assert (2, -4, -2) == (by_symbol[""].interest, by_symbol[""].fees, by_symbol[""].total)
    (whole,) = portfolio.pnl("main", "account")
    assert ("main", 258) == (whole.key, whole.total)
    days = {row.key: row for row in portfolio.pnl("main", "day")}
    assert (19, 3) == (days["2024-05-02"].total, days["2024-05-05"].dividends)
    assert "2024-05-01" not in days, "a deposit is no gain"
    assert sum(row.total for row in days.values()) == whole.total
    (may,) = portfolio.pnl("main", "month", tz="America/New_York")
    assert ("2024-05", 258) == (may.key, may.total)
    later = portfolio.pnl("main", "account", start=day(6, 0))
    assert sum(row.total for name, row in days.items() if name >= "2024-05-06") == later[0].total


FLOWS = (("dividend", 3, "AAPL"), ("tax", -1, "AAPL"), ("interest", 2, None), ("fee", -4, None))


def test_returns_of_one_currency(store, portfolio):
    """An account of one currency needs no other; without a price or an amount there is no return."""
    store.save([DEPOSIT, evolve(BOUGHT, fee=None)])
    ask = {"end": "2024-05-31", "prices": {"AAPL": 120}}
    assert portfolio.returns("main", **ask) == Decimal("0.1")
    assert portfolio.returns("main", "money_weighted", **ask) > 2
    with pytest.raises(DataError, match="no price of AAPL"):
        portfolio.returns("main")
    store.save(evolve(BOUGHT, account="other", timestamp=day(1)))
    with pytest.raises(DataError, match="worth 0 after the flow"):
        portfolio.returns("other", **ask)


def test_the_history_of_an_order(store, portfolio):
    """Every version of an order is told with its batch and time, also one that came too late, and one that was undone."""
    new = Order("1", "A", 5, "buy", "market", timestamp=day(1), updated_at=day(1))
    filled = evolve(new, status="filled", filled_quantity=5, updated_at=day(3))
    late = evolve(new, status="partially_filled", filled_quantity=2, updated_at=day(2))
    batches = [store.save(version).batch for version in (new, filled, late)]
    store.save(evolve(new, account="other"))
    versions = portfolio.history("1", "default")
    assert [new, filled, late] == [one.order for one in versions]
    assert batches == [one.batch for one in versions]
    assert [(batches[1], "revised"), (None, None), (batches[2], "outdated")] == [
        (one.retired_by, one.reason) for one in versions
    ]
    times = {batch.id: batch.recorded_ns for batch in store.batches()}
    assert [times[batch] for batch in batches] == [one.known_ns for one in versions]
    undo = store.undo(batches[1]).batch
    assert late == store.get_order("1", "default"), "it is the latest that is left"
    assert {"undone"} <= {one.reason for one in portfolio.history("1", "default")}
    assert undo in {one.retired_by for one in portfolio.history("1", "default")}
    with pytest.raises(DataError, match="default, other"):
        portfolio.history("1")
    with pytest.raises(DataError, match="never had one"):
        portfolio.history("2")


def test_an_account_is_named_or_the_only_one(store, portfolio):
    """Without a name the only account is meant; of several, one must be named; two accounts never touch."""
    with pytest.raises(DataError, match="no account has"):
        portfolio.lots()
    store.save([BOUGHT, DEPOSIT])
    assert portfolio.lots() == portfolio.lots("main")
    store.save(evolve(BOUGHT, account="ira"))
    assert ["ira", "main"] == portfolio.accounts()
    with pytest.raises(DataError, match="several accounts: ira, main"):
        portfolio.lots()
    assert [10] == [lot.quantity for lot in portfolio.lots("ira")]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda portfolio: portfolio.positions(from_="x"), "fills, snapshots"),
        (lambda portfolio: portfolio.pnl(by="week"), "day, month, year"),
        (lambda portfolio: portfolio.equity(every="week"), "day, month, year"),
        (lambda portfolio: portfolio.returns(method="simple"), "time_weighted, money_weighted"),
        (lambda portfolio: portfolio.realized(by="x"), "day, month, year"),
    ],
)
def test_unknown_words_are_refused(portfolio, ask, words):
    """A word that is none of a method's is an error that lists them."""
    with pytest.raises(DataError) as caught:
        ask(portfolio)
    assert words in str(caught.value) + str(caught.value.hint)


# Fresh prices


VALUATIONS = {
    "positions": lambda portfolio, **ask: portfolio.positions("main", **ask),
    "pnl": lambda portfolio, **ask: portfolio.pnl("main", "account", **ask),
    "pnl by symbol": lambda portfolio, **ask: portfolio.pnl("main", "symbol", **ask),
    "equity": lambda portfolio, **ask: portfolio.equity("main", every=None, **ask),
    "returns": lambda portfolio, **ask: portfolio.returns("main", **ask),
}


@pytest.mark.parametrize("value", VALUATIONS.values(), ids=VALUATIONS)
def test_a_valuation_can_demand_fresh_prices(store, portfolio, value):
    """Whatever is valued: prices that are young enough are taken; of an older one, or none, the error says whose it is and how old."""
    store.save([DEPOSIT, BOUGHT, Fill("IBM", day(2), "buy", 50, 1, "main", "f3")])
    store.save([Trade("AAPL", day(31, 12), 105, 1), Trade("IBM", day(31, 18), 50, 1)])
    expected = value(portfolio)
    for fresh in (None, "12h", 43_200):
        assert expected == value(portfolio, max_age=fresh)
    with pytest.raises(StaleDataError, match="the newest of the prices of AAPL is 12 hours old") as caught:
        value(portfolio, max_age="11h")
    error = caught.value
    assert ("prices", "AAPL", to_ns(day(31, 12)), 43_200, 39_600) == (
        error.kind, error.symbol, error.newest_ns, error.age, error.max_age,
    )  # fmt: skip
    assert value(portfolio, max_age="11h", prices={"AAPL": 105})
    store.delete(store.select(Trade, "IBM"))
    with pytest.raises(StaleDataError, match="there are no prices of IBM, and one of the last 12h was asked for"):
        value(portfolio, max_age="12h")


def test_a_price_is_as_old_as_it_was_when_it_counted(store, portfolio):
    """Each day is valued at a price that was fresh then, so a feed that stopped in between is found; a daily close counts from its end."""
    store.save([DEPOSIT, BOUGHT])
    store.save([Bar("AAPL", day(number, 0), 1, 1, 1, 103, 1, "1d") for number in (2, 3, 4, 8, 9)])
    assert 5 == len(portfolio.equity("main", start=day(2, 0), end="2024-05-06T23:59:59Z", max_age="2d"))
    with pytest.raises(StaleDataError, match="of AAPL is 3 days old, of 2024-05-05T00:00:00Z"):
        portfolio.equity("main", start=day(2, 0), end=day(10, 0), max_age="2d")
    assert portfolio.equity("main", start=day(2, 0), end=day(10, 0), max_age="3d")
    assert portfolio.positions("main", as_of=day(10, 0), max_age=0)
    known = store.batches()[0].recorded_ns
    assert portfolio.positions("main", as_of=day(10, 0), as_known_at=known, max_age=0)


def test_rates_and_snapshots_can_be_too_old(store, portfolio):
    """A stored rate of exchange is a price like any other, and a position of a snapshot is as old as the snapshot."""
    store.save([CashFlow(day(1), "deposit", 2000, "EUR", "main"), Quote("EURUSD", day(30, 0), "1.1", "1.1")])
    assert [2200] == [one.equity for one in portfolio.equity("main", every=None, currency="USD", max_age="2d")]
    with pytest.raises(StaleDataError, match="of EURUSD is 2 days old"):
        portfolio.equity("main", every=None, currency="USD", max_age="1d")
    assert portfolio.equity("main", every=None, currency="USD", rates={"EURUSD": "1.1"}, max_age="1d")
    store.save(Position("AAPL", 10, 30, 20, timestamp=day(30, 0), account="main", current_price=3))
    assert portfolio.positions("main", from_="snapshots", max_age="2d")
    with pytest.raises(StaleDataError, match="the newest of the positions of AAPL is 2 days old"):
        portfolio.positions("main", from_="snapshots", max_age="47h")
