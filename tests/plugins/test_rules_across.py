"""Rules about data sets: each kind of record judged by another."""

import pytest

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, KINDS, POSITIONS, QUOTES, SNAPSHOTS, TRADES
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.validator import DataValidator, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

S = 10**9
NOW = 1_700_000_000 * S


def judge(**parameters):
    rules = configure(RULES, "standard", {name.replace("__", "."): values for name, values in parameters.items()})
    return DataValidator(RuleSet(rules), now_ns=lambda: NOW)


def quote(second, bid="10.00", ask="10.02", symbol="IBM"):
    return Quote(symbol, Instant(round(second * S)), bid, ask)


def trade(second, price, size=100, symbol="IBM"):
    return Trade(symbol, Instant(round(second * S)), price, size)


def found(result, rule):
    tally = result.counts[rule]
    rows = [finding.row for finding in result.findings if finding.rule == rule]
    return rows, (tally.evaluated, tally.not_evaluated, tally.failed)


def messages(result, rule):
    return [finding.message for finding in result.findings if finding.rule == rule]


QUOTES_OF_A_DAY = [quote(0), quote(10, "11.00", "11.02"), quote(20, "12.00", None), quote(5, symbol="SPY")]


def test_trades_against_quotes():
    """A trade may lie one spread outside the quote that stood; one side is no quote; without a quote nothing is judged."""
    trades = [trade(1, "10.04"), trade(1, "10.05"), trade(25, "11.00"), trade(-1, 99), trade(1, 1, symbol="X")]
    result = judge().validate_dataset({QUOTES: QUOTES_OF_A_DAY, TRADES: trades})
    assert ([1], (3, 2, 1)) == found(result, "trade.outside_quote")
    (finding,) = [each for each in result.findings if each.rule == "trade.outside_quote"]
    assert (
        "the price 10.05 is more than the spread outside the quote 10 to 10.02 of 1970-01-01T00:00:00Z"
        == finding.message
    )
    assert ("9.98 to 10.04", "quote 10 to 10.02 of 1970-01-01T00:00:00Z") == (finding.limit, finding.related)


@pytest.mark.parametrize(
    ("parameters", "fails"),
    [
        ({}, [False, True, True]),
        ({"forward": 0}, [True, True, True]),
        ({"forward": 0, "back": "1s"}, [True, False, True]),
        ({"lag": "1s", "forward": 0}, [True, False, True]),
        ({"spreads": 100, "forward": 0}, [False, False, False]),
    ],
)
def test_clocks_that_differ(parameters, fails):
    """A trade may fit a quote just after it, or before it when reports are late; the lag moves the quote it is judged by."""
    trades = [trade(9.6, "11.01"), trade(10.5, "10.01"), trade(5, "11.01")]
    result = judge(trade__outside_quote=parameters).validate_dataset({TRADES: trades, QUOTES: QUOTES_OF_A_DAY})
    assert [row for row, failed in enumerate(fails) if failed] == found(result, "trade.outside_quote")[0]


def test_bars_against_trades():
    """The trades of a bar lie between low and high, and make up its volume; a bar without trades is not judged."""

    def bar(minute, high, low, volume):
        return Bar("IBM", Instant(minute * 60 * S), low, high, low, high, volume, "1m")

    bars = [
        bar(0, "10.05", "10.00", 300), bar(0, "10.04", "10.00", 300), bar(0, "10.05", "10.01", None),
        bar(0, "10.05", "10.00", 310), bar(1, 1, 1, 1),
    ]  # fmt: skip
    trades = [trade(0, "10.00"), trade(59.9, "10.05", 200), trade(60 * 3, 5)]
    result = judge().validate_dataset({BARS: bars, TRADES: trades})
    assert ([1, 2, 3], (4, 1, 3)) == found(result, "bar.trades")
    assert [
        "a trade at 10.05 is above the high 10.04",
        "a trade at 10 is below the low 10.01",
        "the trades make 300, not the volume 310",
    ] == messages(result, "bar.trades")


def test_positions_against_quotes():
    """A position is priced off a quote that is fresh and near; a symbol without quotes is not judged."""

    def position(second, price, symbol="IBM"):
        return Position(symbol, 1, price, 1, timestamp=Instant(second * S), current_price=price)

    positions = [position(1, "10.01"), position(1, 11), position(5000, "11.01"), position(-1, 1), position(1, 1, "X")]
    result = judge().validate_dataset({POSITIONS: positions, QUOTES: QUOTES_OF_A_DAY})
    assert ([1, 2, 3], (4, 1, 3)) == found(result, "position.fresh")
    far, old, none = messages(result, "position.fresh")
    assert "the price 11 is far from the quote 10 to 10.02 of 1970-01-01T00:00:00Z" == far
    assert old.startswith("the last quote is of 1970-01-01T00:00:10Z: ")
    assert none.startswith("no quote: ")


def test_orders_against_trades():
    """A fill lies between the trades of the time in which it came about."""

    def order(average, until=60):
        return Order(
            "1", "IBM", 100, "buy", "market", "filled", 100, average, timestamp=Instant(0), updated_at=Instant(until * S)
        )  # fmt: skip

    trades = [trade(30, "10.00"), trade(40, "10.02"), trade(100, 20)]
    orders = [order("10.01"), order("10.50"), order(None), order(15, 10)]
    result = judge().validate_dataset({"orders": orders, "trades": to_table(TRADES, trades)})
    assert ([1], (2, 2, 1)) == found(result, "order.trades")
    assert ["the average price 10.5 is outside the trades of its time, 10 to 10.02"] == messages(result, "order.trades")


@pytest.mark.parametrize("as_tables", [True, False])
def test_snapshots_against_positions(as_tables):
    """A snapshot is judged by the positions of its account and time, which come as records or as a table."""
    positions = [Position("IBM", 1, 100, 90, timestamp=Instant(5)), Position("SPY", 1, 50, 50, timestamp=Instant(5))]
    snapshots = [
        PortfolioSnapshot(Instant(5), 160, cash=10),
        PortfolioSnapshot(Instant(5), 170, cash=10),
        PortfolioSnapshot(Instant(6), 1, cash=1),
    ]
    data = {POSITIONS: positions, SNAPSHOTS: snapshots}
    given = {kind: to_table(kind, records) for kind, records in data.items()} if as_tables else data
    assert ([1], (2, 1, 1)) == found(judge().validate_dataset(given), "snapshot.total")


def test_all_other_rules_judge_too():
    """A data set is also judged kind by kind, as if each came alone; counts of rules for several kinds add up."""
    data = {QUOTES: [quote(0, 11, 10)], TRADES: [trade(0, 10, 0)]}
    result = judge().validate_dataset(data)
    assert {"quote.crossed": 1, "trade.size": 1, "time.past": 2} == result.flagged
    assert (2, 2) == (result.rows, result.counts["time.future"].evaluated)
    assert "trade.outside_quote" not in judge().validate_dataset({TRADES: data[TRADES]}).counts
    assert KINDS.keys() >= {finding.kind for finding in result.findings}


def test_data_consistency_of_everything():
    """The verb for records takes all kinds, and leaves out what rules say of single records."""
    result = judge().validate_data_consistency(
        QUOTES_OF_A_DAY, [trade(1, "10.05", 0)], bars=[Bar("IBM", Instant(0), 1, 1, 1, 1, 1, "1m")]
    )
    assert {"trade.outside_quote", "bar.trades"} == {finding.rule for finding in result.findings}
