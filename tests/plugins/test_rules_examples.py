"""Each standard rule by example: what passes, what fails, what cannot be judged, and the sentence a failure gives."""

from decimal import Decimal

import pytest

from fpa_core.exceptions import DataError
from fpa_core.models import Bar, CashFlow, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant, to_ns
from fpa_plugins.rules import bar_history, bars, executions, orders, portfolio, quotes, ticks, time, trades
from fpa_plugins.rules.catalog import RULES

NOW = 1_700_000_000 * 10**9
S = 10**9


def quote(bid, ask):
    return Quote("IBM", NOW, bid, ask)


def trade(price, size=1, ts=NOW):
    return Trade("IBM", Instant(ts), price, size)


def bar(opening, high, low, close, volume=None):
    return Bar("IBM", NOW, opening, high, low, close, volume, "1m")


def order(quantity=100, order_type="market", side="buy", **values):
    return Order("1", "IBM", quantity, side, order_type, **values)


def filled(quantity, average, **values):
    return order(100, status="filled", filled_quantity=quantity, average_fill_price=average, **values)


def position(quantity, price, value, cost=None, profit=None, **values):
    return Position("IBM", quantity, value, cost, profit, current_price=price, **values)


def snapshot(total, cash, *values):
    held = tuple(Position(f"S{number}", 1, value, None) for number, value in enumerate(values))
    return PortfolioSnapshot(NOW, total, cash=cash, positions=held)


def fill(quantity=10, amount=None, **values):
    return Fill("IBM", NOW, "buy", 5, quantity, amount=amount, **values)


def flow(kind, amount):
    return CashFlow(NOW, kind, amount)


PASS = [
    (executions.Quantity(), fill("0.001")),
    (executions.Amount(), fill(10, -51, fee=1)),
    (executions.Amount(), fill(10, "-5000.01", multiplier=100)),
    (executions.Amount(), Fill("IBM", NOW, "sell", 5, 10, fee=1, amount=49)),
    (executions.Sign(), flow("deposit", 1)),
    (executions.Sign(), flow("fee", "-1.5")),
    (quotes.Positive(), quote(10, None)),
    (quotes.Crossed(), quote(10, "10.02")),
    (quotes.Crossed(), quote(10, 10)),
    (quotes.Crossed(), quote("-37.00", "-36.98")),
    (quotes.Locked(), quote("10.02", 10)),
    (quotes.Spread(), quote(10, "10.50")),
    (quotes.Spread(), quote("9.5", "10.5")),
    (quotes.Spread(), quote("10.02", 10)),
    (quotes.OneSided(), quote(0, 0)),
    (trades.Positive(), trade("0.0001")),
    (trades.Size(), trade(10, "0.5")),
    (trades.Bounds(min_price=1, max_price=1000), trade(1000)),
    (bars.Positive(), bar(None, None, None, 10)),
    (bars.Range(), bar(10, 12, 9, 11)),
    (bars.Range(), bar(None, None, 9, 11)),
    (bars.Volume(), bar(10, 12, 9, 11, 0)),
    (time.Future(), trade(1, ts=NOW + S)),
    (orders.Quantity(), order(100)),
    (orders.Quantity(), order(None, notional=50)),
    (orders.Overfill(), order(100, filled_quantity=100)),
    (orders.Overfill(max_overfill=1), order(100, filled_quantity=101)),
    (orders.Prices(), order()),
    (orders.Prices(), order(order_type="limit", limit_price=10)),
    (orders.Prices(), order(order_type="stop", stop_price=10)),
    (orders.Prices(), order(order_type="stop_limit", stop_price=10, limit_price=10)),
    (orders.Fill(), order()),
    (orders.Fill(), filled(100, "9.99", order_type="limit", limit_price=10)),
    (orders.Fill(), filled(100, "10.01", order_type="limit", limit_price=10, side="sell")),
    (orders.Fill(), filled(100, 12, limit_price=10)),
    (orders.Fill(), order(status="partially_filled", filled_quantity=5, average_fill_price=10)),
    (portfolio.Value(), position(100, 10, 1000)),
    (portfolio.Value(), position(-100, 10, -1000)),
    (portfolio.Value(), position(100, 10, "1000.01")),
    (portfolio.Value(), position(1_000_000, 10, 10_000_010)),
    (portfolio.Value(multiplier=50), position(2, 5000, 500_000)),
    (portfolio.PnL(), position(100, 10, 1000, 900, 100)),
    (portfolio.Total(), snapshot(1000, 100, 600, 300)),
    (portfolio.Total(), snapshot("1000.03", 100, 600, 300)),
    (bar_history.Wick(), bar(10, 12, 9, 11)),
    (bar_history.Wick(), bar(10, 22, 5, 11)),
    (ticks.QuoteTick(), quote("10.01", "0.9999")),
    (ticks.QuoteTick(table=[["0", "0.5"]]), quote("10.5", None)),
    (ticks.OrderTick(), order(order_type="limit", limit_price="10.010")),
    (ticks.TradeLot(), trade(10, 200)),
    (ticks.OrderLot(lot="0.1"), order("0.3")),
    (time.Stale(), trade(1, ts=NOW - 3600 * S)),
    (time.Past(), trade(1, ts=to_ns("1980-01-01T00:00:00Z"))),
    (time.Past(earliest="1970-01-01"), trade(1, ts=Instant(0))),
    (portfolio.Side(), position(5, 1, 5, side="long")),
    (portfolio.Side(), position(-5, 1, -5, side="short")),
    (portfolio.Side(), position(0, 1, 0, side="short")),
]

FAIL = [
    (executions.Quantity(), fill(0), None),
    (executions.Amount(), fill(10, -50, fee=1), "price, quantity and fee make -51, not -50"),
    (executions.Sign(), flow("withdrawal", 100), "a withdrawal of 100 has the wrong sign"),
    (executions.Sign(), flow("deposit", -1), "a deposit of -1 has the wrong sign"),
    (quotes.Positive(), quote(0, "10.02"), "not above zero: bid 0"),
    (quotes.Positive(), quote(-1, "-0.50"), "not above zero: bid -1, ask -0.5"),
    (quotes.Crossed(), quote("10.02", 10), "the ask 10 is below the bid 10.02"),
    (quotes.Locked(), quote(10, 10), "bid and ask are both 10"),
    (quotes.Spread(), quote(10, "11.50"), "the spread 1.5 is 13.95% of the mid price, more than 10%"),
    (quotes.Spread(max_rel="0.0005"), quote(10, "10.02"), "the spread 0.02 is 0.20% of the mid price, more than 0.05%"),
    (quotes.OneSided(), quote(10, None), "the ask is missing"),
    (quotes.OneSided(), quote(None, 10), "the bid is missing"),
    (quotes.OneSided(), quote(None, None), "no side is quoted"),
    (trades.Positive(), trade("-36.98"), "the price -36.98 is not above zero"),
    (trades.Size(), trade(10, 0), "the size 0 is not above zero"),
    (trades.Bounds(min_price=1, max_price=1000), trade(1500), "the price 1500 is not in 1 to 1000"),
    (trades.Bounds(min_price=1), trade("0.5"), "the price 0.5 is below 1"),
    (trades.Bounds(max_price=1000), trade("1000.01"), "the price 1000.01 is above 1000"),
    (bars.Positive(), bar(10, 12, 0, "-36.98"), "not above zero: low 0, close -36.98"),
    (
        bars.Range(),
        bar(10, "10.5", None, 11),
        "the high is not the highest or the low not the lowest: open 10, high 10.5, low missing, close 11",
    ),
    (bars.Range(), bar(None, 8, 9, 8), None),
    (bars.Volume(), bar(10, 12, 9, 11, -1), "the volume -1 is negative"),
    (time.Future(), trade(1, ts=NOW + S + 1), "2023-11-14T22:13:21.000000001Z lies more than 1 s in the future"),
    (time.Future(tolerance="50ms"), trade(1, ts=NOW + S), "2023-11-14T22:13:21Z lies more than 0.05 s in the future"),
    (
        orders.Quantity(),
        order(0),
        "ordered 0, filled 0: the ordered quantity must be above zero, and the filled quantity not below zero",
    ),
    (orders.Quantity(), order(None, notional=0), None),
    (orders.Quantity(), order(100, filled_quantity=-1), None),
    (orders.Overfill(), order(100, filled_quantity=101), "101 filled of 100 ordered"),
    (orders.Prices(), order(order_type="limit"), "a limit order with limit price missing, stop price missing"),
    (orders.Prices(), order(order_type="stop_limit", stop_price=10), None),
    (orders.Prices(), order(order_type="stop", limit_price=10), None),
    (orders.Prices(), order(limit_price=10), None),
    (
        orders.Fill(),
        filled(100, "10.01", order_type="limit", limit_price=10),
        "status filled: filled 100 of 100 at 10.01, limit 10",
    ),
    (orders.Fill(), filled(100, "9.99", order_type="limit", limit_price=10, side="sell"), None),
    (orders.Fill(), filled(99, 10), None),
    (orders.Fill(), filled(100, None), None),
    (orders.Fill(), order(average_fill_price=10), None),
    (orders.Fill(), order(filled_quantity=5, average_fill_price=10), None),
    (portfolio.Value(), position(100, 10, 1100), "100 at 10 are not worth 1100"),
    (portfolio.Value(), position(-100, 10, 1000), None),
    (portfolio.Value(), position(100, 10, "1000.02"), None),
    (portfolio.PnL(), position(100, 10, 1000, 900, 50), "value 1000 less cost 900 is not the profit 50"),
    (portfolio.Total(), snapshot(1100, 100, 600, 300), "positions and cash make 1000, not 1100"),
    (
        bar_history.Wick(),
        bar(1180, 1190, "0.06", "1178.85"),
        "the high or the low is more than a factor of 2 from open and close: open 1180, high 1190, low 0.06, close 1178.85",
    ),
    (bar_history.Wick(), bar(10, "22.01", 9, 11), None),
    (
        ticks.QuoteTick(),
        quote("10.015", "0.99995"),
        "bid 10.015 is not a multiple of 0.01, ask 0.99995 is not a multiple of 0.0001",
    ),
    (
        ticks.OrderTick(),
        order(order_type="limit", limit_price="10.015"),
        "limit_price 10.015 is not a multiple of 0.01",
    ),
    (ticks.TradeLot(), trade(10, 37), "the size 37 is not a multiple of the lot 100"),
    (ticks.OrderLot(), order(37), "the quantity 37 is not a multiple of the lot 100"),
    (time.Stale(), trade(1, ts=NOW - 3600 * S - 1), "2023-11-14T21:13:19.999999999Z lies more than 3600 s back"),
    (
        time.Past(),
        trade(1, ts=Instant(1_585_699_202_957_000)),
        "1970-01-19T08:28:19.202957Z lies before 1980-01-01: a time in another unit, such as microseconds, looks like this",
    ),
    (time.Past(), Bar("IBM", "1979-12-31T23:59:00Z", 1, 1, 1, 1, 1, "12h"), None),
    (
        portfolio.Side(),
        position(5, 1, 5, side="short"),
        "the side is short and the quantity 5: short quantities are negative",
    ),
    (portfolio.Side(), position(-5, 1, -5, side="long"), None),
]

UNKNOWN = [
    (quotes.Positive(), quote(None, None)),
    (quotes.Crossed(), quote(10, None)),
    (quotes.Crossed(), quote(10, 0)),
    (quotes.Locked(), quote(0, 0)),
    (quotes.Spread(), quote(0, 10)),
    (trades.Bounds(), trade(10)),
    (bars.Range(), bar(None, None, None, 10)),
    (bars.Volume(), bar(None, None, None, 10)),
    (time.Future(), order()),
    (orders.Overfill(), order(None, notional=50)),
    (orders.Prices(), order(order_type="trailing_stop", stop_price=10)),
    (portfolio.Value(), position(1, None, 1)),
    (portfolio.Value(), position(1, 5, 500, asset_class="us_option")),
    (portfolio.PnL(), position(1, 1, 1, 1, None)),
    (portfolio.Total(), snapshot(1000, 100)),
    (portfolio.Total(), snapshot(1000, None, 1)),
    (portfolio.Total(), snapshot(1000, 1, 1, None)),
    (bar_history.Wick(), bar(10, 12, 0, 11)),
    (bar_history.Wick(), bar(None, None, None, 11)),
    (ticks.QuoteTick(), quote(None, -1)),
    (ticks.QuoteTick(table=[["5", "0.5"]]), quote("4.9", None)),
    (ticks.OrderLot(), order(None, notional=1)),
    (time.Past(), Bar("IBM", "1970-01-01T00:00Z", 1, 1, 1, 1, 1, "1d")),
    (portfolio.Side(), position(5, 1, 5)),
]


def verdict(rule, record):
    return rule.check(record, **({"now_ns": NOW} if rule.needs else {}))


def name(value):
    return getattr(value, "id", None)


@pytest.mark.parametrize(("rule", "record"), PASS, ids=name)
def test_pass(rule, record):
    """Good records pass."""
    assert verdict(rule, record) is True


@pytest.mark.parametrize(("rule", "record", "message"), FAIL, ids=name)
def test_fail(rule, record, message):
    """Bad records fail, and the sentence says why with the numbers."""
    assert verdict(rule, record) is False
    assert rule.describe(record) == (message or rule.describe(record))


@pytest.mark.parametrize(("rule", "record"), UNKNOWN, ids=name)
def test_not_evaluated(rule, record):
    """A record that lacks what the rule needs is not judged."""
    assert verdict(rule, record) is None


def test_every_rule_about_rows_has_examples():
    """Each rule about rows is tried with a record that passes and one that fails."""
    ids = {rule.id for rule in RULES if rule.scope == "row"} - {
        "time.session"
    }  # that one needs a calendar, and is tried with its kin
    assert ids == {rule.id for rule, _ in PASS}
    assert ids == {rule.id for rule, _, _ in FAIL}


def test_limits():
    """Rules with a limit tell what would just have been allowed."""
    cases = {
        "10% of the mid price": (quotes.Spread(), quote(10, 20)),
        "1 to any": (trades.Bounds(min_price=1), trade(0)),
        "any to 5": (trades.Bounds(max_price=5), trade(6)),
        "1 s": (time.Future(), trade(1)),
        "3600 s": (time.Stale(), trade(1)),
        "589.425 to 2360": (bar_history.Wick(), bar(1180, 1190, "0.06", "1178.85")),
        "bid 0.01": (ticks.QuoteTick(), quote("10.015", "0.9")),
        "100": (ticks.TradeLot(), trade(1, 1)),
    }
    assert list(cases) == [rule.limit(record) for rule, record in cases.values()]
    assert quotes.Crossed().limit(quote(2, 1)) is None


@pytest.mark.parametrize("table", [[], [["1"]], [["1", "0"]], [["1", "0.1"], ["0", "0.1"]], [["x", "1"]]])
def test_tables_of_ticks(table):
    """A table of ticks has pairs of a price and a tick above zero, in rising order."""
    with pytest.raises(DataError):
        ticks.QuoteTick(table=table)


def test_lots_are_above_zero():
    """A lot of nothing is refused."""
    with pytest.raises(DataError, match="above zero"):
        ticks.TradeLot(lot=0)


def test_clocks_are_held_closer_at_strict():
    """At strict a time may lie 50 ms ahead, at other levels as much as the tolerance says, and never more than that at strict."""
    tolerances = [
        time.Future(tolerance=tolerance).at(level).tolerance
        for level in ("standard", "strict")
        for tolerance in (1, 0.01)
    ]
    assert tolerances == [1, 0.01, 0.05, 0.01]


def test_parameters_are_exact():
    """Parameters may be given as text, and are exact decimals; nonsense is refused."""
    assert quotes.Spread(max_rel="0.10").max_rel == quotes.Spread(max_rel=0.1).max_rel == Decimal("0.1")
    assert time.Future(tolerance="50ms").tolerance == 0.05
    with pytest.raises(DataError):
        quotes.Spread(max_rel="a tenth")
    with pytest.raises(DataError):
        time.Future(tolerance=-1)
