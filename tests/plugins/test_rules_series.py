"""Each rule about series by example: records in a row, the verdict on each, and the sentence of the last failure."""

import sys
from decimal import Decimal

import pytest

from fpa_core import calendars
from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import ConfigError, MissingDependencyError
from fpa_core.kinds import kind_of
from fpa_core.models import Bar, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import to_ns
from fpa_core.validator import configure
from fpa_plugins.rules import (
    account_history,
    bands,
    bar_history,
    bar_times,
    executions,
    identities,
    jumps,
    order_history,
    sequence,
    sessions,
    standstill,
    windows,
)
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

NOON = to_ns("2024-07-03T12:00:00Z")
S = 10**9
H = 3600 * S


def quote(seconds, bid, ask, symbol="IBM"):
    return Quote(symbol, NOON + round(seconds * S), bid, ask)


def fill(seconds, account="a", fill_id=None):
    return Fill("IBM", NOON + seconds * S, "buy", 10, 5, account, fill_id)


def trade(seconds, price, size=1, symbol="IBM", **values):
    return Trade(symbol, NOON + round(seconds * S), price, size, **values)


def trades(*prices):
    return [trade(second, price) for second, price in enumerate(prices)]


def numbered(*ids, exchange="N"):
    return [trade(second, 10, exchange=exchange, trade_id=each) for second, each in enumerate(ids)]


def bar(minutes, close=10, volume=5, interval="1m", symbol="IBM", **values):
    ohl = {"open": close, "high": close, "low": close} | values
    return Bar(symbol, NOON + minutes * 60 * S, ohl["open"], ohl["high"], ohl["low"], close, volume, interval)


def order(status, seconds=None, filled=0, name="1"):
    updated = None if seconds is None else NOON + seconds * S
    return Order(name, "IBM", 100, "buy", "market", status, filled_quantity=filled, updated_at=updated)


def snapshot(hours, total, profit=None, account="default"):
    return PortfolioSnapshot(NOON + hours * H, total, day_pnl=profit, account=account)


def apart(hours, interval="1d", **values):
    return [bar(round(60 * hour), interval=interval, **values) for hour in hours]


def held(quantity, seconds=0, symbol="IBM", account="default"):
    return Position(symbol, quantity, None, None, timestamp=NOON + seconds * S, account=account)


def illiquid(*minutes):
    return [bar(minute) for minute in minutes]


CALM = [quote(second, 10, "10.02") for second in range(20)]
Y, N, _ = True, False, None

CASES = [
    (sequence.Order(), [quote(0, 1, 2), quote(1, 1, 2), quote(1, 1, 2)], [_, Y, Y], None),
    (
        sequence.Order(),
        [trade(0, 1), trade(-1, 1)],
        [_, N],
        "2024-07-03T11:59:59Z comes after 2024-07-03T12:00:00Z",
    ),
    (sequence.Order(), [trade(0, 1, exchange="N"), trade(-1, 1, exchange="Q")], [_, _], None),
    (sequence.Order(), [bar(1), bar(0, interval="1d"), bar(0, symbol="SPY"), bar(0)], [_, _, _, N], None),
    (sequence.Order(), [quote(9, 1, 2), quote(1, 1, 2), quote(2, 1, 2)], [_, N, Y], None),
    (
        sequence.Shared(),
        [quote(0, 1, 2), quote(0, 1, 2), quote(0.001, 1, 2)],
        [_, N, Y],
        "the record before has the time 2024-07-03T12:00:00Z, too",
    ),
    (sequence.Duplicate(), numbered("1", "2", "1", None), [Y, Y, N, _], "the trade id 1 has come before"),
    (sequence.Duplicate(), numbered("1") + numbered("1", exchange="Q"), [Y, Y], None),
    (sequence.Duplicate(window=1), numbered("1", "2", "1"), [Y, Y, Y], None),
    (
        sequence.Sequence(),
        numbered("7", "8", "11", "9", "x", "12"),
        [_, Y, N, _, _, Y],
        "2 trades are missing before 11: the last was 8",
    ),
    (
        sessions.Gap(),
        [bar(0), bar(1), bar(6), bar(400)],
        [_, Y, N, _],
        "bars are missing: 2024-07-03T12:06:00Z follows 2024-07-03T12:01:00Z, at an interval of 1m",
    ),
    (sessions.Gap(), [bar(1), bar(0), bar(0, interval="1d"), bar(4320, interval="1d")], [_, _, _, _], None),
    (
        jumps.TradeJump(),
        trades("10", "10.5", "5.25", "0", "5.30"),
        [_, Y, N, N, Y],
        "the price 0 is -100.00% from 5.25",
    ),
    (
        jumps.TradeJump(),
        trades("10.00", "5.00"),
        [_, N],
        "the price 5 is -50.00% from 10; a split of 2 for 1 would explain it",
    ),
    (
        jumps.BarJump(),
        [bar(0, "645.57"), bar(1, "92.70")],
        [_, N],
        "the price 92.7 is -85.64% from 645.57; a split of 7 for 1 would explain it",
    ),
    (jumps.BarJump(), [bar(0, 4), bar(1, 12)], [_, N], "the price 12 is +200.00% from 4; a split of 1 for 3 would explain it"),
    (jumps.BarJump(), [bar(0, -4), bar(1, "-4.5"), bar(2, -9)], [_, Y, N], "the price -9 is -100.00% from -4.5"),
    (
        bar_history.Repeated(),
        [bar(0), bar(1), bar(0), bar(0, 11), bar(0, interval="5m")],
        [Y, Y, N, Y, Y],
        "the bar of 2024-07-03T12:00:00Z has come before",
    ),
    (bar_history.Repeated(window=1), [bar(0), bar(1), bar(0)], [Y, Y, Y], None),
    (
        bar_history.Conflict(),
        [bar(0), bar(0), bar(0, "10.5", open=10)],
        [Y, Y, N],
        "the bar of 2024-07-03T12:00:00Z came before with high 10 then, 10.5 now; low 10 then, 10.5 now; close 10 then, 10.5 now",
    ),
    (
        standstill.Frozen(max_age=60, min_quotes=3),
        [quote(0, 1, 2), quote(50, 1, 2), quote(70, 1, 2), quote(80, 1, 2), quote(90, 1, 3), quote(91, None, None)],
        [Y, Y, Y, N, Y, _],
        "bid and ask have not changed in 4 quotes since 2024-07-03T12:00:00Z",
    ),
    (
        windows.QuoteOutlier(),
        [*CALM, quote(20, "10.01", "10.02"), quote(21, 11, "11.02"), quote(22, 10, "10.02"), quote(23, 10, None)],
        [*[_] * 20, Y, N, Y, _],
        "the mid price 11.01 is far from the median of those before it, 10.01",
    ),
    (
        windows.QuoteOutlier(confirm=3),
        [*CALM, *[quote(30 + second, 11, "11.02") for second in range(4)]],
        [*[_] * 20, N, N, Y, _],
        None,
    ),
    (
        windows.QuoteOutlier(),
        [*CALM, quote(86_400, 20, 21)],
        [*[_] * 20, _],
        None,
    ),
    (
        windows.WideSpread(),
        [*CALM, quote(20, 10, "10.90"), quote(21, 10, "11.10"), quote(22, 0, 1)],
        [*[_] * 20, Y, N, _],
        "the spread 1.1 is more than 50 times the median of those before it",
    ),
    (
        windows.TradeOutlier(),
        trades(*["10.00", "10.02"] * 10, "10.06", "10.50"),
        [*[_] * 20, Y, N],
        "the price 10.5 is far from the trimmed mean of those before it, 10.010526",
    ),
    (
        bands.Bands(),
        trades("100", "104.99", "105.50", "0"),
        [_, Y, N, _],
        "the price 105.5 is outside the band of 5.0% round 100",
    ),
    (bands.Bands(tier=2), trades("100", "109.99", "110.01"), [_, Y, N], None),
    (bands.Bands(previous_close="2"), trades("2", "2.40", "2.41"), [_, Y, N], None),
    (bands.Bands(), trades("0.10", "0.17", "0.18"), [_, Y, N], None),
    # 15:40 in New York: twice the band
    (bands.Bands(), [trade(27_600, 100), trade(27_601, 109), trade(27_602, 111)], [_, Y, N], None),
    # The mean of five minutes moves the reference once it is 1 % away, and not before 30 seconds have passed.
    (bands.Bands(), [trade(0, 100), trade(1, 104), trade(2, 104), trade(40, 107)], [_, Y, Y, Y], None),
    (
        order_history.Transition(),
        [order("new"), order("filled"), order("rejected"), order("filled")],
        [_, Y, N, Y],
        "an order that was filled cannot become rejected",
    ),
    (
        order_history.Unusual(),
        [order("cancelled"), order("filled"), order("filled")],
        [_, N, Y],
        "an order that was cancelled seldom becomes filled",
    ),
    (
        order_history.Fills(),
        [order("partially_filled", filled=40), order("filled", filled=100), order("filled", filled=40), order("new", name="2")],
        [_, Y, N, _],
        "the filled quantity decreases from 100 to 40",
    ),
    (
        order_history.Late(),
        [order("new", 0), order("filled", 2), order("partially_filled", 1), order("filled", 2), order("filled")],
        [_, Y, N, Y, _],
        "the update of 2024-07-03T12:00:01Z is older than the known one of 2024-07-03T12:00:02Z",
    ),
    (
        account_history.Order(),
        [snapshot(0, 1), snapshot(1, 1), snapshot(1, 2), snapshot(0, 1, account="b")],
        [_, Y, N, _],
        "the snapshot of 2024-07-03T13:00:00Z comes after that of 2024-07-03T13:00:00Z",
    ),
    (
        account_history.DayPnL(),
        [snapshot(0, 990), snapshot(1, 1000), snapshot(24, 1050, 50), snapshot(25, 1050, 10), snapshot(26, 1050), snapshot(0, 9, 9)],
        [_, _, Y, N, _, _],
        "the total changed by 50 since 2024-07-03T13:00:00Z, the profit of the day is 10: 40 came from elsewhere",
    ),
    (bar_times.Interval(), apart([0, 24, 48], "1m"), [_, _, N], "bars said to be of 1m are not: 0 of 2 distances fit, this one is 1d"),
    (bar_times.Interval(), apart([0, 1 / 60, 2 / 60]), [_, _, N], "bars said to be of 1d are not: 0 of 2 distances fit, this one is 1m"),
    (bar_times.Interval(), apart([0, 24, 24, 96, 120, 119]), [_, _, _, Y, Y, Y], None),
    (bar_times.Interval(), apart([48, 24, 0], "1h"), [_, _, N], None),
    (bar_times.Interval(), apart([0, 0.5, 1, 1.5], "1h"), [_, _, N, N], None),
    (bar_times.Interval(), illiquid(0, 3, 9, 11, 12, 1440), [_, _, Y, Y, Y, Y], None),
    (bar_times.Interval(), illiquid(*range(0, 110, 5)), [_, _, *[Y] * 18, N, N], "bars said to be of 1m are not: 0 of 21 distances fit, this one is 5m"),
    (bar_times.Interval(), apart([0, 24 * 29, 24 * 60], "1mo"), [_, _, Y], None),
    (bar_times.Interval(), apart([0, 24 * 7, 24 * 13], "1w"), [_, _, Y], None),
    (
        bar_times.Day(),
        [*apart([0]), *apart([-8]), *apart([24]), *apart([0]), *apart([0], "1m"), *apart([1], symbol="SPY")],
        [Y, N, Y, N, _, Y],
        "the bar of 2024-07-03T04:00:00Z came before, and this one of 2024-07-03T12:00:00Z is of the same day",
    ),
    (bar_times.Day(), apart([11, 17]), [Y, N], "the bar of 2024-07-03T23:00:00Z came before, and this one of 2024-07-04T05:00:00Z is of the same day"),
    (bar_times.Day(), apart([-12, 11]), [Y, Y], None),  # 23 hours: the clocks have changed
    (bar_times.Day(), apart([0, 24 * 7, 24 * 9], "1w"), [Y, Y, N], None),
    (bar_times.Day(window=1), apart([0, 24, 48, 1]), [Y, Y, Y, Y], None),
    (
        identities.PositionConflict(),
        [held(5), held(7, symbol="SPY"), held(7, account="b"), held(5), held(7, 1), held(7)],
        [Y, Y, Y, Y, Y, N],
        "the position IBM of 2024-07-03T12:00:00Z came before with quantity 5 then, 7 now; lots of one holding or several accounts are typical causes",
    ),
    (identities.PositionConflict(), [Position("IBM", 1, None, None), Position("IBM", 2, None, None)], [_, _], None),
    (
        identities.SnapshotConflict(),
        [snapshot(0, 1), snapshot(0, 1), snapshot(0, 2, account="b"), snapshot(1, 2), snapshot(0, 2)],
        [Y, Y, Y, Y, N],
        "the snapshot of 2024-07-03T12:00:00Z came before with total_value 1 then, 2 now; several accounts are a typical cause",
    ),
    (
        identities.OrderConflict(),
        [order("new", 0), order("filled", 1, 100), order("partially_filled", 1, 40), order("new"), order("new", 0), order("new", 1, name="2")],
        [Y, Y, N, _, Y, Y],
        "the order 1 of 2024-07-03T12:00:01Z came before with status filled then, partially_filled now; filled_quantity 100 then, 40 now; it is unknown which is later",
    ),
    (
        identities.TradeId(),
        [trade(0, 10, trade_id="1"), trade(0, 11, trade_id="2"), trade(0, 10, trade_id="1"), trade(0, 10), trade(1, 10, trade_id="1", exchange="Q"), trade(0, 11, trade_id="1")],
        [Y, Y, Y, _, Y, N],
        "the trade id 1 came before with price 10 then, 11 now; ids rounded by a spreadsheet or a float are a typical cause",
    ),
    (
        executions.Duplicate(),
        [fill(1), fill(1), fill(1, account="b"), fill(1, fill_id="7"), fill(2, fill_id="7"), fill(2, fill_id="7"), fill(2, fill_id="8")],
        [Y, N, Y, N, Y, Y, N],
        "buy 5 at 10 of 2024-07-03T12:00:02Z occurs twice, as 7 and as 8: an execution may be listed twice",
    ),
    (identities.TradeId(window=1), [trade(0, 10, trade_id="1"), trade(0, 10, trade_id="2"), trade(0, 11, trade_id="1")], [Y, Y, Y], None),
]  # fmt: skip


def live(rule, records, stored=lambda *_: None):
    needed = {"memory": {}, "stored": stored, "stored_bars": None}
    given = {name: needed[name] for name in rule.needs}
    return [rule.check(record, **given) for record in records]


@pytest.mark.parametrize(("rule", "records", "expected", "message"), CASES, ids=lambda each: getattr(each, "id", ""))
def test_series(rule, records, expected, message):
    """Records one by one and as a table get the verdicts expected, and a failure says why."""
    found = live(rule, records)
    assert expected == [verdict if verdict is None else bool(verdict) for verdict in found]
    failures = [verdict for verdict in found if verdict is not None and not verdict]
    assert message is None or message == failures[-1].message
    kind = kind_of(records[0])
    ready = type(rule)(**{each.name: getattr(rule, each.name) for each in rule.parameters()}, severity="warning")
    (verdict,) = RuleSet([ready]).validate(kind, to_table(kind, records))
    assert expected == verdict.passed.to_pylist()
    rows = [row for row, passed in enumerate(expected) if passed is False]
    assert failures == [verdict.why(row) for row in rows]


def test_every_rule_about_series_has_examples():
    """Each rule about series is tried with records that pass and records that fail; those that need a store are tried elsewhere."""
    tried = {(rule.id, verdict) for rule, _, expected, _ in CASES for verdict in expected}
    ids = {rule.id for rule in RULES if rule.scope == "series"} - {"fill.order", "fill.outside_bar"}
    assert {(each, verdict) for each in ids for verdict in (True, False)} <= tried


def test_outliers_know_their_limits():
    """A finding tells what would have been allowed, and by what it was judged."""
    (found,) = [
        each for each in live(windows.TradeOutlier(), trades(*["10.00", "10.02"] * 10, "10.50")) if each is not None
    ]
    assert ("9.9391303 to 10.08087", "mean 10.01 of 18 trades") == (found.limit, found.related)
    failure = live(windows.QuoteOutlier(), [*CALM, quote(21, 11, "11.02")])[-1]
    assert ("9.99999 to 10.02001", "median 10.01 of 20 quotes") == (failure.limit, failure.related)
    assert Decimal("10.01") == Decimal(failure.related.split()[1])


def test_kinds_do_not_mix():
    """A series of quotes and one of trades of the same symbol have nothing to do with each other."""
    rules, memory = RuleSet([sequence.Order()]), {}
    assert [] == rules.check(quote(5, 1, 2), memory)
    assert [] == rules.check(trade(1, 1), memory)
    assert ["time.order"] == [finding.rule for finding in rules.check(trade(0, 1), memory)]


def test_refused_rows_are_part_of_no_series():
    """A row that breaks a rule about rows as an error is not judged by rules about series, nor are later rows judged by it."""
    rules = RuleSet(configure(RULES, "standard", {"trade.size": {"severity": "error"}}))
    records = [trade(0, 10), trade(1, 99, 0), trade(2, 10)]
    memory = {}
    assert [[], ["trade.size"], []] == [[f.rule for f in rules.check(record, memory)] for record in records]
    found = {
        verdict.rule: verdict.passed.to_pylist()
        for verdict in rules.validate(kind_of("trades"), to_table(kind_of("trades"), records))
    }
    assert [None, None, True] == found["trade.jump"]
    assert [True, False, True] == found["trade.size"]


def test_calendar():
    """Sessions and holidays of an exchange are known; the ends of a session belong to it."""
    pytest.importorskip("exchange_calendars")
    (rule,) = configure([sessions.Session], "standard", {"time.session": {"calendar": "XNYS"}})
    times = {
        "2024-07-02T13:29:59Z": False, "2024-07-02T13:30:00Z": True, "2024-07-02T20:00:00Z": True,
        "2024-07-02T20:00:01Z": False, "2024-07-03T17:30:00Z": False, "2024-07-04T15:00:00Z": False, "1890-01-01T00:00:00Z": None,
    }  # fmt: skip
    records = [Quote("IBM", each, 1, 2) for each in times]
    assert list(times.values()) == [rule.check(record) for record in records]
    (verdict,) = RuleSet([rule]).validate(kind_of("quotes"), to_table(kind_of("quotes"), records))
    assert list(times.values()) == verdict.passed.to_pylist()
    assert "XNYS is closed at 2024-07-04T15:00:00Z" == rule.describe(records[5])


def test_gaps_within_sessions():
    """With a calendar, bars are missing only within a session, and days only between sessions."""
    pytest.importorskip("exchange_calendars")
    (rule,) = configure([sessions.Gap], "standard", {"time.gap": {"calendar": "XNYS"}})
    ends = ["2024-07-01T19:59:00Z", "2024-07-02T13:30:00Z", "2024-07-02T13:40:00Z", "2024-07-02T13:41:00Z"]
    days = ["2024-07-02T04:00:00Z", "2024-07-03T04:00:00Z", "2024-07-05T04:00:00Z", "2024-07-09T04:00:00Z"]
    minutes = [Bar("IBM", each, 1, 1, 1, 1, 1, "1m") for each in ends]
    daily = [Bar("IBM", each, 1, 1, 1, 1, 1, "1d") for each in days]
    weekly = [Bar("IBM", each, 1, 1, 1, 1, 1, "1w") for each in days]
    expected = [None, None, False, True, None, True, True, False, None, None, None, None]
    records = [*minutes, *daily, *weekly]
    assert expected == [each if each is None else bool(each) for each in live(rule, records)]
    (verdict,) = RuleSet([rule]).validate(kind_of("bars"), to_table(kind_of("bars"), records))
    assert expected == verdict.passed.to_pylist()


def test_unknown_calendar():
    """A calendar that does not exist is told when the rules are configured; without one the rule about sessions is off."""
    pytest.importorskip("exchange_calendars")
    with pytest.raises(ConfigError, match="NOWHERE"):
        configure([sessions.Session, sessions.Gap], "standard", {"time.session": {"calendar": "NOWHERE"}})
    assert [] == configure([sessions.Session], "standard")


def test_calendars_are_an_extra(monkeypatch):
    """Where the package is missing, the error says how to install it, when the rules are configured."""
    calendars.sessions.cache_clear()
    calendars._calendar.cache_clear()
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(MissingDependencyError, match="needs the package exchange_calendars") as caught:
        configure([sessions.Session], "standard", {"time.session": {"calendar": "XNYS"}})
    assert caught.value.command == "pip install 'financial-portfolio-automation[calendars]'"
    calendars.sessions.cache_clear()
