"""DataValidator: single records, streams of them, tables in chunks, and records against each other."""

import itertools
import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import DataError, PluginError, ValidationError
from fpa_core.kinds import QUOTES, SNAPSHOTS, TRADES
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.validator import DataValidator, Rule, Severity, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

NOW = 1_600_000_000 * 10**9
FUTURE = NOW + 60 * 10**9


# What rules about series say of records that share a time, as most here do, is tried elsewhere.
ROW_RULES = [rule for rule in RULES if rule.scope != "series"]


def validator(level="standard", *extra, overrides=None, **options):
    rules = configure([*ROW_RULES, *extra], level, overrides)
    return DataValidator(RuleSet(rules), level=level, now_ns=lambda: NOW, **options)


def in_order(result):
    return sorted(result.findings, key=lambda finding: (finding.row, finding.rule))


def quote(bid, ask, ts=NOW, symbol="IBM"):
    return Quote(symbol, Instant(ts), bid, ask)


GOOD = quote("10.00", "10.02")
CROSSED = quote("10.02", "10.00")
LOCKED = quote("10.02", "10.02")
WIDE = quote("10", "20")
ONE_SIDED = quote("10", None)
MIXED = [GOOD, CROSSED, LOCKED, GOOD, WIDE, ONE_SIDED, quote(0, 5, FUTURE)]


@attrs.frozen(kw_only=True)
class Falling(Rule):
    """No bid is below the highest bid before it."""

    id = "test.falling"
    kind = "quotes"
    fields = ("bid",)
    scope = "series"
    needs = ("memory",)

    def check(self, quote, memory):
        if quote.bid is None:
            return None
        highest = memory.setdefault(quote.symbol, quote.bid)
        memory[quote.symbol] = max(highest, quote.bid)
        return quote.bid >= highest


def test_good_record():
    """A record nothing is wrong with is valid, and the counts tell which rules judged it."""
    result = validator().validate(GOOD)
    assert result.is_valid
    assert result.rows == 1
    assert (result.errors, result.warnings, result.info, result.findings) == ([], [], [], ())
    assert set(result.counts) == {
        "quote.positive", "quote.crossed", "quote.locked", "quote.spread", "quote.one_sided", "time.future",
        "time.past",
    }  # fmt: skip
    assert all(tally.evaluated == 1 and not tally.failed for tally in result.counts.values())
    result.raise_for_errors()


def test_warnings_stay_warnings():
    """At standard a crossed quote is valid with a warning, at strict it is not."""
    standard, strict = validator().validate_quote(CROSSED), validator("strict").validate_quote(CROSSED)
    assert standard.is_valid
    assert standard.warnings == ["quote.crossed: the ask 10 is below the bid 10.02"]
    assert standard.flagged == {"quote.crossed": 1}
    assert not strict.is_valid
    assert strict.errors == standard.warnings
    assert strict.flagged == {}
    with pytest.raises(ValidationError, match=r"the ask 10 is below the bid 10\.02") as caught:
        strict.raise_for_errors()
    assert caught.value.findings == strict.findings


def test_information():
    """What is merely worth knowing is told apart from warnings."""
    result = validator().validate(LOCKED)
    assert result.info == ["quote.locked: bid and ask are both 10.02"]
    assert result.warnings == []


def test_not_evaluated():
    """A rule that lacks a value neither passes nor fails."""
    counts = validator().validate(ONE_SIDED).counts
    assert (counts["quote.crossed"].evaluated, counts["quote.crossed"].not_evaluated) == (0, 1)


def test_records():
    """Many records are judged in turn, and each finding knows the position of its record."""
    result = validator().validate(iter(MIXED))
    assert result.rows == len(MIXED)
    assert [(finding.rule, finding.row) for finding in result.findings] == [
        ("quote.crossed", 1),
        ("quote.locked", 2),
        ("quote.spread", 4),
        ("quote.one_sided", 5),
        ("quote.positive", 6),
        ("time.future", 6),
    ]


def test_records_of_all_kinds():
    """Records of different kinds may be judged together, and of few records no finding is left out."""
    result = validator(examples=1).validate([CROSSED, Trade("IBM", NOW, 1, 0), CROSSED])
    assert [finding.rule for finding in result.findings] == ["quote.crossed", "trade.size", "quote.crossed"]


def test_no_record():
    """What is no record of any kind is refused with the kinds there are."""
    with pytest.raises(DataError, match="unknown kind of record"):
        validator().validate(["AAPL"])


def test_check():
    """The quick way for live data returns findings alone."""
    assert validator().check(GOOD) == ()
    (finding,) = validator().check(CROSSED)
    assert (finding.rule, finding.severity, finding.subject, finding.ts_ns) == (
        "quote.crossed",
        Severity.WARNING,
        "IBM",
        NOW,
    )
    assert finding.observed == {"bid": Decimal("10.02"), "ask": Decimal(10)}


def test_table():
    """A table is judged like its records: same counts, same findings."""
    judge = validator()
    by_table = judge.validate(("quotes", to_table(QUOTES, MIXED)))
    by_record = judge.validate(MIXED)
    assert by_table.counts == by_record.counts
    assert by_table.flagged == by_record.flagged
    assert in_order(by_table) == in_order(by_record)


def test_examples_are_bounded():
    """Of a large table a few examples of each rule are kept, while the counts are complete."""
    judge = validator(examples=3)
    table = to_table(QUOTES, [CROSSED] * 50 + [WIDE] * 2)
    result = judge.validate((QUOTES, table))
    assert Counter(finding.rule for finding in result.findings) == {"quote.crossed": 3, "quote.spread": 2}
    assert result.counts["quote.crossed"].failed == 50
    assert len(judge.validate((QUOTES, table), examples=10).findings) == 12


def test_talkative_backend():
    """The bound on examples holds even if a backend explains more than it was asked for."""

    class Talkative(RuleSet):
        def explain(self, kind, verdict, table, limit=None, *, records=None):  # noqa: ARG002
            return super().explain(kind, verdict, table, records=records)

    judge = DataValidator(Talkative(configure(ROW_RULES, "standard")), now_ns=lambda: NOW, examples=2)
    assert len(judge.validate(("quotes", to_table(QUOTES, [CROSSED] * 9))).findings) == 2


def test_crash_is_no_pass():
    """Rows on which a rule crashes are refused at any level, with the traceback; the others are not."""

    class Careless(Rule):
        """The size of the bid is above zero."""

        id = "test.careless"
        kind = "quotes"

        def check(self, quote):
            return quote.bid_size > 0

    judge = validator("lenient", Careless)
    quotes = [Quote("IBM", NOW, 10, 11, 5), GOOD]
    split = judge.start_run().split(QUOTES, to_table(QUOTES, quotes))
    ((row, (finding,)),) = split.refused
    assert (row, finding.rule, split.accepted_rows.tolist()) == (1, "RULE_CRASHED: test.careless", [0])
    assert "TypeError" in finding.observed["traceback"]
    result = judge.validate(quotes)
    assert not result.is_valid
    assert result.counts["test.careless"].not_evaluated == 1


def test_as_dict():
    """A result becomes plain values that JSON can hold."""
    described = validator().validate([GOOD, CROSSED]).as_dict()
    assert (described["valid"], described["rows"]) == (True, 2)
    assert described["rules"]["quote.crossed"] == {"evaluated": 2, "not_evaluated": 0, "failed": 1}
    assert described["findings"] == [
        {
            "rule": "quote.crossed",
            "severity": "warning",
            "message": "the ask 10 is below the bid 10.02",
            "observed": {"bid": "10.02", "ask": "10.00"},
            "row": 1,
        }
    ]


def test_split_nothing_wrong():
    """When no row is refused, the very table comes back."""
    table = to_table(QUOTES, [GOOD, CROSSED])
    split = validator().start_run().split("quotes", table)
    assert split.accepted is table
    assert split.accepted_rows.tolist() == [0, 1]
    assert split.refused == ()
    assert split.flagged == {"quote.crossed": 1}


def test_split():
    """Every row is in exactly one part, and each refused row comes with all that it broke."""
    table = to_table(QUOTES, MIXED)
    examination = validator("strict").start_run()
    split = examination.split(QUOTES, table)
    assert from_table(QUOTES, split.accepted) == [MIXED[row] for row in split.accepted_rows]
    assert split.accepted_rows.tolist() == [0, 2, 3, 5]
    assert {row: [finding.rule for finding in findings] for row, findings in split.refused} == {
        1: ["quote.crossed"],
        4: ["quote.spread"],
        6: ["quote.positive", "time.future"],
    }
    assert split.refused[2].findings[0].row == 6
    assert split.flagged == {"quote.locked": 1, "quote.one_sided": 1}
    assert examination.result().flagged == split.flagged


def test_flagged_counts_accepted_rows_only():
    """A lesser finding on a refused row is told with the row, not counted among the accepted."""
    overrides = {"quote.spread": {"severity": "warning"}, "time.future": {"severity": "error"}}
    judge = validator(overrides=overrides)
    table = to_table(QUOTES, [WIDE, quote(10, 20, FUTURE)])
    split = judge.start_run().split(QUOTES, table)
    assert split.flagged == {"quote.spread": 1}
    assert [finding.rule for finding in split.refused[0].findings] == ["time.future", "quote.spread"]
    assert judge.validate((QUOTES, table)).flagged == {"quote.spread": 1}
    assert judge.validate([WIDE, quote(10, 20, FUTURE)]).flagged == {"quote.spread": 1}


def test_split_sees_more_in_records():
    """Rules may look at what a table does not hold, where the caller has the records."""
    positions = (Position("IBM", 1, 100, 90), Position("SPY", 1, 50, 50))
    right = PortfolioSnapshot(NOW, 160, positions=positions, cash=10)
    wrong = PortfolioSnapshot(NOW, 999, positions=positions, cash=10)
    table = to_table(SNAPSHOTS, [right, wrong])
    judge = validator("strict")
    (refused,) = judge.start_run().split(SNAPSHOTS, table, [right, wrong]).refused
    assert (refused.row, refused.findings[0].message) == (1, "positions and cash make 160, not 999")
    assert judge.start_run().split(SNAPSHOTS, table).refused == ()


PRICES = st.sampled_from([None, 0, -1, "9.99", 10, "10.01", 12])


@given(
    pairs=st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_chunks(pairs, cuts):
    """The size of the chunks changes nothing: not the parts, not the findings, not the counts, not even of rules that remember."""
    judge = validator("strict", Falling)
    quotes = [quote(bid, ask) for bid, ask in pairs]
    whole = judge.start_run()
    expected = whole.split(QUOTES, to_table(QUOTES, quotes))
    chunked = judge.start_run()
    accepted, refused = [], []
    bounds = [0, *sorted(min(cut, len(quotes)) for cut in cuts), len(quotes)]
    for start, end in itertools.pairwise(bounds):
        split = chunked.split(QUOTES, to_table(QUOTES, quotes[start:end]))
        accepted += [start + row for row in split.accepted_rows.tolist()]
        refused += [start + row for row, _ in split.refused]
    assert accepted == expected.accepted_rows.tolist()
    assert refused == [row for row, _ in expected.refused]
    one, other = whole.result(), chunked.result()
    assert (one.rows, one.counts, one.flagged) == (other.rows, other.counts, other.flagged)
    assert in_order(one) == in_order(other)


@given(pairs=st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_permutation(pairs, seed):
    """The order of rows changes nothing for rules about rows."""
    quotes = [quote(bid, ask) for bid, ask in pairs]
    shuffled = random.Random(seed).sample(quotes, len(quotes))
    judge = validator("strict")
    one, other = (judge.start_run().split(QUOTES, to_table(QUOTES, each)) for each in (quotes, shuffled))
    assert Counter(from_table(QUOTES, one.accepted)) == Counter(from_table(QUOTES, other.accepted))
    assert one.flagged == other.flagged


def test_input_is_left_alone():
    """Judging does not change the table or the records."""
    table = to_table(QUOTES, MIXED)
    validator("strict").start_run().split(QUOTES, table)
    assert table.equals(to_table(QUOTES, MIXED))


def test_empty_table():
    """A table without rows is valid."""
    split = validator("strict").start_run().split(QUOTES, to_table(QUOTES, []))
    assert (split.accepted.num_rows, split.accepted_rows.tolist(), split.refused) == (0, [], ())
    assert validator().validate([]).is_valid


def test_no_rules():
    """At level off nothing is judged, and everything accepted."""
    judge = validator("off")
    split = judge.start_run().split(QUOTES, to_table(QUOTES, [CROSSED]))
    assert split.accepted.num_rows == 1
    assert judge.validate(CROSSED).counts == {}
    assert judge.rules() == []


def test_register():
    """A rule written in a program joins those of the plugins, at the level of the validator, for records and tables."""

    class Listed(Rule):
        """The symbol is listed."""

        id = "house.listed"
        kind = ("quotes", "trades")
        fields = ("symbol",)

        def check(self, record):
            return record.symbol in {"IBM", "SPY"}

    judge = validator("strict")
    judge.register(Listed)
    stranger = quote(10, "10.02", symbol="XYZ")
    assert judge.validate(stranger).errors == ["house.listed: The symbol is listed."]
    assert [row for row, _ in judge.start_run().split(QUOTES, to_table(QUOTES, [GOOD, stranger])).refused] == [1]
    assert "house.listed" in [rule["id"] for rule in judge.rules()]
    with pytest.raises(PluginError, match=r"duplicate rule house\.listed"):
        judge.register(Listed())
    with pytest.raises(PluginError, match="not a subclass"):
        judge.register(len)
    off = validator("off")
    off.register(Listed)
    assert off.validate(stranger).is_valid


def test_verbs():
    """There is a verb for each kind, and it takes that kind only."""
    judge = validator()
    position = Position("IBM", 1, 100, 90, current_price=90)
    snapshot = PortfolioSnapshot(NOW, 100, positions=(position,), cash=0)
    assert judge.validate_quote(GOOD).is_valid
    assert judge.validate_trade(Trade("IBM", NOW, 10, 0)).warnings == ["trade.size: the size 0 is not above zero"]
    assert judge.validate_bar(Bar("IBM", NOW, 1, 2, 3, 4, 5, "1d")).errors
    assert judge.validate_order(Order("1", "IBM", 0, "buy", "market")).errors
    assert judge.validate_position(position).warnings == ["position.value: 1 at 90 are not worth 100"]
    result = judge.validate_portfolio_snapshot(snapshot)
    assert (result.rows, result.warnings) == (2, ["position.value: 1 at 90 are not worth 100"])
    with pytest.raises(DataError, match="expected a Quote, not Trade"):
        judge.validate_quote(Trade("IBM", NOW, 10, 1))
    with pytest.raises(DataError, match="expected a PortfolioSnapshot"):
        judge.validate_portfolio_snapshot(GOOD)


def test_price_bounds():
    """A price is within bounds unless a rule about the price of trades warns of it."""
    judge = validator(overrides={"trade.bounds": {"max_price": 1000}})
    prices = [1, "1000", "1000.01", 0, Decimal("-36.98")]
    assert [judge.validate_price_bounds("CL", price) for price in prices] == [True, True, False, False, False]


def test_timestamps():
    """Times that step back, lie in the future or name no instant are errors; equal ones are in order."""
    judge = validator()
    assert judge.validate_timestamp_consistency(
        [NOW - 5, NOW - 5, datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)]
    ).is_valid
    result = judge.validate_timestamp_consistency(
        ["2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z", datetime(2020, 1, 3), FUTURE]  # noqa: DTZ001
    )
    assert [(finding.rule, finding.row) for finding in result.findings] == [
        ("time.order", 1),
        ("time.form", 2),
        ("time.future", 3),
    ]
    assert result.errors[0] == "time.order: 2020-01-01T00:00:00Z comes after 2020-01-02T00:00:00Z"
    assert (result.counts["time.order"].evaluated, result.counts["time.form"].failed) == (3, 1)


def test_trades_against_quotes():
    """A trade is judged by the last two-sided quote of its symbol at or before it, and may lie one spread outside."""
    quotes = [quote(20, 21, 50), quote(10, 11, 10), quote(10, None, 15), quote(12, 11, 20)]
    trades = [
        Trade("IBM", Instant(5), 99, 1),
        Trade("IBM", Instant(10), 12, 1),
        Trade("IBM", Instant(16), "12.01", 1),
        Trade("IBM", Instant(20), "9.99", 1),
        Trade("IBM", Instant(60), 20, 1),
        Trade("SPY", Instant(60), 20, 1),
    ]
    judge = validator(overrides={"trade.outside_quote": {"forward": 0}})
    result = judge.validate_data_consistency(quotes, trades)
    assert [(finding.rule, finding.row) for finding in result.findings] == [
        ("trade.outside_quote", 2),
        ("trade.outside_quote", 3),
    ]
    assert result.is_valid
    assert result.warnings[0].startswith(
        "trade.outside_quote: the price 12.01 is more than the spread outside the quote 10 to 11"
    )
    tally = result.counts["trade.outside_quote"]
    assert (tally.evaluated, tally.not_evaluated, tally.failed) == (4, 2, 2)
    assert result.flagged == {"trade.outside_quote": 2}
    assert result.findings[0].kind == TRADES.name


def test_snapshots_against_positions():
    """A snapshot without positions is judged by those given for its account and time."""
    positions = [
        Position("IBM", 1, 100, 90, timestamp=Instant(5)),
        Position("SPY", 1, 50, 50, timestamp=Instant(5)),
        Position("SPY", 1, 50, 50, timestamp=Instant(6)),
    ]
    snapshots = [
        PortfolioSnapshot(Instant(5), 160, cash=10),
        PortfolioSnapshot(Instant(6), 160, cash=10),
        PortfolioSnapshot(Instant(7), 1, cash=9),
    ]
    result = validator().validate_data_consistency(snapshots=snapshots, positions=positions)
    assert result.warnings == ["snapshot.total: positions and cash make 60, not 160"]
    assert result.counts["snapshot.total"].not_evaluated == 1
