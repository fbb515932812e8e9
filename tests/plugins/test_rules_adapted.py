"""Rules that are adapted: other parameters by symbol, filters, tolerances, levels of one's own, and stopping at the first error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import ConfigError
from fpa_core.kinds import QUOTES, SNAPSHOTS, TRADES
from fpa_core.models import PortfolioSnapshot, Quote, Trade
from fpa_core.validator import DataValidator, LevelProfile, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

NOW = 1_700_000_000 * 10**9
CLASSES = {"crypto": ("BTC*", "ETH*")}


def judge(level="standard", levels=None, **overrides):
    parameters = {name.replace("__", "."): values for name, values in overrides.items()}
    rules = configure(RULES, level, parameters, levels=levels, classes=CLASSES)
    return DataValidator(RuleSet(rules), now_ns=lambda: NOW, examples=100)


def quote(symbol, bid=10, ask=11, second=0, **values):
    return Quote(symbol, NOW - 10**12 + second * 10**9, bid, ask, **values)


def failed(validator, records, rule="quote.spread"):
    live, table = validator.validate(records), validator.validate((QUOTES, to_table(QUOTES, records)))
    assert live.counts == table.counts
    assert live.flagged == table.flagged
    return [(finding.row, str(finding.severity)) for finding in live.findings if finding.rule == rule]


WIDE = {"max_rel": "0.05"}


def test_overrides():
    """A symbol goes before a glob, a glob before a class, and these before the rule's own parameters."""
    adapted = {
        **WIDE,
        "overrides": {
            "class:crypto": {"max_rel": "0.5"},
            "BTC?": {"severity": "error"},
            "BTCX": {"enabled": False},
            "*USD": {"max_rel": "0.01"},
        },
    }
    symbols = ["IBM", "ETH", "BTC1", "BTCX", "BTCUSD"]
    assert [(0, "warning"), (2, "error"), (4, "warning")] == failed(
        judge(quote__spread=adapted), [quote(symbol) for symbol in symbols]
    )
    assert (4, 1) == (
        (
            tally := judge(quote__spread=adapted).validate([quote(each) for each in symbols]).counts["quote.spread"]
        ).evaluated,
        tally.not_evaluated,
    )


def test_overrides_of_a_rule_that_is_off():
    """A rule may be in force for some symbols alone."""
    adapted = {"overrides": {"IBM": {"severity": "warning"}}}
    records = [Trade(symbol, NOW, 10, 37) for symbol in ("IBM", "SPY")]
    result = judge(trade__lot=adapted).validate(records)
    assert (1, 1, 1) == (
        result.counts["trade.lot"].evaluated, result.counts["trade.lot"].not_evaluated, result.counts["trade.lot"].failed,
    )  # fmt: skip
    assert result.counts == judge(trade__lot=adapted).validate((TRADES, to_table(TRADES, records))).counts


def test_accounts():
    """For snapshots the overrides are by account."""
    snapshots = [PortfolioSnapshot(2 * 10**18, 1, account=account) for account in ("main", "test")]
    adapted = {"overrides": {"test": {"enabled": False}}}
    result = judge(time__future=adapted).validate((SNAPSHOTS, to_table(SNAPSHOTS, snapshots)))
    assert [0] == [finding.row for finding in result.findings if finding.rule == "time.future"]


def test_where():
    """A filter leaves records unjudged: those of other texts, beyond the bounds, or without a value."""
    records = [
        quote("IBM", bid_size=5), quote("SPY", bid_size=5), quote("IBM", bid_size=1), quote("IBM"), quote("IBM", bid_size=9),
    ]  # fmt: skip
    where = {"symbol": ["I*", "X"], "bid_size": {"min": "2", "max": 8}}
    assert [(0, "warning")] == failed(judge(quote__spread={**WIDE, "where": where}), records)
    late = {"timestamp": {"min": "2023-11-14T22:00:00Z"}}
    assert [] == failed(judge(quote__spread={**WIDE, "where": late}), records)


def test_where_of_a_series():
    """Rows that a filter leaves out are no part of the series."""
    trades = [
        Trade("IBM", NOW + second, price, size) for second, (price, size) in enumerate([(10, 5), (99, 1), (10, 5)])
    ]
    validator = judge(trade__jump={"where": {"size": {"min": 2}}})
    assert [] == [f.rule for f in validator.validate(trades).findings if f.rule == "trade.jump"]
    found = validator.validate((TRADES, to_table(TRADES, trades))).counts["trade.jump"]
    assert (1, 2, 0) == (found.evaluated, found.not_evaluated, found.failed)


SYMBOLS = st.sampled_from(["IBM", "BTC", "ETH", "SPY"])


@given(
    rows=st.lists(st.tuples(SYMBOLS, st.sampled_from([9, 10, 12, 14]), st.sampled_from([0, 1, 5])), max_size=10),
    cut=st.integers(0, 10),
)
def test_adapted_rules_in_chunks(rows, cut):
    """Adapted rules give records, tables and chunks the same verdicts, counts and reasons, those about series too."""
    validator = judge(
        trade__jump={
            "where": {"size": {"min": 1}},
            "overrides": {"class:crypto": {"max_rel": "0.3"}, "SPY": {"severity": "error"}, "IBM": {"enabled": False}},
        },
        trade__size={"overrides": {"B*": {"severity": "error"}}},
    )
    trades = [Trade(symbol, NOW - 100 + row, price, size) for row, (symbol, price, size) in enumerate(rows)]
    table = to_table(TRADES, trades)
    live, whole, parts = validator.validate(trades), validator.start_run(), validator.start_run()
    whole.split(TRADES, table)
    for chunk in (table.slice(0, cut), table.slice(cut)):
        parts.split(TRADES, chunk)
    for bulk in (whole.result(), parts.result()):
        assert not rows or live.counts == bulk.counts
        assert live.flagged == bulk.flagged
        told = [sorted((f.row, f.rule, f.severity, f.message) for f in each.findings) for each in (live, bulk)]
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("tolerate", "valid"), [(None, False), (2, True), (1, False), (0.5, True), (0.4, False), (0, False)]
)
def test_tolerate(tolerate, valid):
    """Findings up to a number or a fraction leave the whole valid, and count one severity less; rows are parted all the same."""
    records = [quote("IBM", 11, 10), quote("IBM"), quote("IBM"), quote("IBM", 11, 10)]
    validator = judge(quote__crossed={"severity": "error", "tolerate": tolerate})
    result = validator.validate(records)
    assert valid is result.is_valid
    assert ({"quote.crossed"} if valid else set()) == result.tolerated
    assert (0, 2) == (len(result.errors), len(result.warnings)) if valid else (2, 0)
    assert 2 == len(validator.split(QUOTES, to_table(QUOTES, records)).refused)


def test_stop():
    """A live record that breaks such a rule as an error is judged no further; reports of many records are complete."""
    validator = judge("strict", quote__positive={"stop": True})
    record = quote("IBM", -1, -2)
    assert ["quote.positive"] == [finding.rule for finding in validator.check(record)]
    assert {"quote.positive", "quote.crossed"} == {finding.rule for finding in validator.validate(record).findings}


LEVELS = {
    "mine": LevelProfile("standard", {"quote.*": "error", "quote.locked": "off", "trade.lot": "info"}),
    "house": LevelProfile("mine", {"quote.crossed": "info"}),
}


def test_levels_of_ones_own():
    """A level builds upon another, by rule or by glob; of several that fit the last counts."""
    severities = {rule.id: str(rule.severity) for rule in configure(RULES, "house", levels=LEVELS)}
    assert ("error", "info", "info") == tuple(
        severities[each] for each in ("quote.spread", "quote.crossed", "trade.lot")
    )
    assert "quote.locked" not in severities
    assert "error" == {rule.id: str(rule.severity) for rule in configure(RULES, "mine", levels=LEVELS)}["quote.crossed"]


@pytest.mark.parametrize(
    ("level", "levels", "problem"),
    [
        ("mine", {}, 'validator.level = "mine": expected one of off, lenient, standard, strict'),
        ("a", {"a": LevelProfile("b")}, 'a.extends = "b": expected one of off, lenient, standard, strict, a'),
        ("a", {"a": LevelProfile("b"), "b": LevelProfile("a")}, "circular definition: a extends b extends a"),
        ("a", {"a": LevelProfile(rules={"quote.nothing": "off"})}, 'quote.nothing": no rule matches'),
    ],
)
def test_levels_that_cannot_be(level, levels, problem):
    """A level must be known, must not build upon itself, and must speak of rules there are."""
    with pytest.raises(ConfigError) as caught:
        configure(RULES, level, levels=levels)
    assert problem in str(caught.value)


def test_every_problem_at_once():
    """Filters, overrides and tolerances that cannot be are all told, each with its place."""
    values = {
        "tolerate": 1.5,
        "where": {"symbl": "A", "symbol": 3, "bid": 7, "ask": {"mn": 1, "max": "x"}, "timestamp": {"min": "noon"}},
        "overrides": {"IBM": {"max_re": 1, "where": {}}, "class:stocks": {}, "SPY": 3, "X": {"max_rel": "x"}},
    }
    with pytest.raises(ConfigError) as caught:
        judge(quote__spread=values)
    problems = "\n".join(map(str, caught.value.problems))
    for expected in (
        '"quote.spread".tolerate = 1.5: not allowed: ', '.where.symbl = "A": unknown field', ".where.symbol = 3: expected a text",
        ".where.bid = 7: expected a table", ".where.ask.mn = 1: unknown key", '.where.ask.max = "x": not allowed',
        '.where.timestamp.min = "noon": not allowed', ".overrides.IBM.max_re = 1: unknown key", ".overrides.IBM.where: unknown key",
        '.overrides."class:stocks": unknown class', ".overrides.SPY = 3: expected a table", '.overrides.X.max_rel = "x": ',
    ):  # fmt: skip
        assert expected in problems, expected
    assert 12 == len(caught.value.problems)


def test_patterns_are_those_of_queries():
    """In filters, overrides and classes brackets stand for themselves, as in a query, and a backslash takes a wildcard's meaning away."""
    records = [quote(symbol) for symbol in ("BRK[B]", "BRKB", "X*", "XY")]
    assert [(0, "warning")] == failed(judge(quote__spread={**WIDE, "where": {"symbol": "BRK[B]"}}), records)
    assert [(2, "warning")] == failed(judge(quote__spread={**WIDE, "where": {"symbol": [r"?\*"]}}), records)
    for name in ("BRK[B]", "BRK[?]", r"*[B\]"):
        adapted = {"max_rel": "0.5", "overrides": {name: WIDE}}
        assert [(0, "warning")] == failed(judge(quote__spread=adapted), records[:2])


@pytest.mark.parametrize("place", [{"where": {"symbol": "A*\\"}}, {"overrides": {"A*\\": {}}}])
def test_patterns_that_end_in_a_backslash(place):
    """A pattern that ends in a backslash is reported with its place."""
    with pytest.raises(ConfigError, match="ends in a backslash"):
        judge(quote__spread=place)
