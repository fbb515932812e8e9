"""One rule, two forms: the verdicts of check and mask are the same for every standard rule, on any data."""

import itertools
from decimal import Decimal

import attrs
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.arrow.parsing import decimal_column
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, KINDS
from fpa_core.models import (
    Bar,
    CashFlow,
    CashFlowType,
    CorporateAction,
    CorporateActionType,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    PortfolioSnapshot,
    Position,
    Quote,
    Side,
    Trade,
)
from fpa_core.numbers import EXACT, MAX_NS, MIN_NS, Instant
from fpa_core.validator import DataValidator
from fpa_plugins.rules.bands import Bands
from fpa_plugins.rules.bar_history import Conflict
from fpa_plugins.rules.bar_times import Day, Interval
from fpa_plugins.rules.bars import Range
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.executions import Amount, OutsideBar
from fpa_plugins.rules.executions import Duplicate as FillDuplicate
from fpa_plugins.rules.identities import TradeId
from fpa_plugins.rules.jumps import TradeJump
from fpa_plugins.rules.orders import Overfill
from fpa_plugins.rules.portfolio import Value
from fpa_plugins.rules.quotes import Spread
from fpa_plugins.rules.ruleset import RuleSet
from fpa_plugins.rules.sequence import Duplicate
from fpa_plugins.rules.sessions import Gap
from fpa_plugins.rules.standstill import Frozen
from fpa_plugins.rules.ticks import QuoteTick
from fpa_plugins.rules.time import Future
from fpa_plugins.rules.trades import Bounds
from fpa_plugins.rules.windows import QuoteOutlier, TradeOutlier, WideSpread

NOW = 1_700_000_000 * 10**9

WILD = st.one_of(
    st.builds(lambda n, e: Decimal(n).scaleb(-e), st.integers(-(10**24), 10**24), st.integers(0, 21)),
    st.builds(lambda n, e: EXACT.scaleb(Decimal(n), -e), st.integers(-(10**76) + 1, 10**76 - 1), st.integers(0, 76)),
)
"""Numbers of 21 decimals and of 76 digits; some columns of these fit no Arrow decimal and fall back to texts."""
TAME = st.sampled_from(
    [
        Decimal(text)
        for text in ("0", "0.00", "-0.01", "-36.98", "9.99", "10", "10.00", "10.01", "10.51", "11", "1000", "1E+3")
    ]
)
"""Few numbers, so that they are often equal, or stand at a limit."""

BAR_TIMES = st.integers(-12, 12).map(lambda number: NOW + number * 7 * 3600 * 10**9) | st.sampled_from(
    [Instant(MIN_NS + 1), MAX_NS]
)
"""Times some hours apart, and the ends of time."""

ACCOUNTS = st.sampled_from(["default", "b"])

STORED_ORDERS = {
    ("1", "default"): Order("1", "IBM", 11, "buy", "limit", "partially_filled", 10, limit_price=10, updated_at=NOW),
    ("2", "b"): Order("2", "SPY", "10.51", "sell", "limit", limit_price="10.01", account="b"),
}
STORED_BARS = [
    Bar("IBM", NOW - NOW % (86_400 * 10**9), 10, "10.51", "9.99", 10, 1, "1d"),
    Bar("SPY", NOW - NOW % (86_400 * 10**9), None, None, None, 10, 1, "1d"),
]


def stored_order(order_id, account):
    return STORED_ORDERS.get((order_id, account))


def stored_bars(symbols, interval, start_ns, end_ns, *, last=None):
    """Yield the stored bars, of which there is one for each symbol."""
    found = [
        bar
        for bar in STORED_BARS
        if bar.symbol in symbols and bar.interval == interval and start_ns <= bar.ts_ns < end_ns
    ]
    columns = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    for bar in found[:last]:
        yield from to_table(BARS, [bar]).select(columns).to_batches()


def numbers(*, wild):
    return WILD if wild else TAME


@st.composite
def fills(draw, times, symbols, number):
    """Draw a fill; its amount is often what price, quantity and fee make, or nearly so."""
    maybe = st.none() | number
    fill = draw(
        st.builds(
            Fill,
            symbols,
            times,
            st.sampled_from(Side),
            number,
            number,
            ACCOUNTS,
            st.sampled_from([None, "1", "2", "3"]),
            st.sampled_from([None, "1", "2", "3"]),
            maybe,
            fee_currency=st.sampled_from([None, "USD", "EUR"]),
            multiplier=maybe,
            amount=maybe,
        )
    )
    return draw(st.just(fill) | st.sampled_from(["0", "0.01", "0.02"]).map(lambda off: with_amount(fill, Decimal(off))))


def with_amount(fill, off):
    """Return the fill with the amount that it makes, and *off* more, if that is a number a record may hold."""
    value = EXACT.minus(EXACT.multiply(fill.signed_quantity, EXACT.multiply(fill.price, fill.multiplier or Decimal(1))))
    try:
        return attrs.evolve(fill, amount=EXACT.add(EXACT.subtract(value, fill.fee or Decimal(0)), off))
    except (ArithmeticError, DataError):
        return fill


@st.composite
def records(draw, kind):
    """Draw a few records of *kind*, tame or wild throughout, each optional field now and then missing."""
    number = numbers(wild=draw(st.booleans()))
    maybe = st.none() | number
    times = st.integers(NOW - 5 * 10**9, NOW + 5 * 10**9) | st.sampled_from([NOW, NOW + 10**9, NOW + 10**9 + 1])
    symbols = st.sampled_from(["IBM", "SPY"])
    one = {
        "quotes": st.builds(Quote, symbols, times, maybe, maybe, maybe, maybe),
        "trades": st.builds(
            Trade,
            symbols,
            times,
            number,
            number,
            exchange=st.sampled_from([None, "N", "Q"]),
            trade_id=st.sampled_from([None, "1", "2", "3", "x"]),
        ),
        "bars": st.builds(
            Bar,
            symbols,
            BAR_TIMES | times,
            maybe,
            maybe,
            maybe,
            number,
            maybe,
            st.sampled_from(["1s", "2s", "1d", "1w"]),
        ),
        "orders": st.builds(
            Order,
            st.sampled_from(["1", "2"]),
            symbols,
            maybe,
            st.sampled_from(Side),
            st.sampled_from(OrderType),
            st.sampled_from(OrderStatus),
            number,
            maybe,
            maybe,
            maybe,
            timestamp=st.none() | times,
            updated_at=st.none() | times,
            notional=maybe,
            account=ACCOUNTS,
        ),
        "positions": st.builds(
            Position,
            symbols,
            number,
            maybe,
            maybe,
            maybe,
            timestamp=st.none() | times,
            current_price=maybe,
            asset_class=st.sampled_from([None, "us_equity", "us_option"]),
        ),
        "snapshots": st.builds(PortfolioSnapshot, times, number, cash=maybe, day_pnl=maybe),
        "fills": fills(times | BAR_TIMES, symbols, number),
        "corporate_actions": st.builds(
            CorporateAction,
            symbols,
            times | BAR_TIMES,
            st.sampled_from(CorporateActionType),
            maybe,
            maybe,
            maybe,
            new_symbol=st.sampled_from([None, "SPY"]),
            basis_fraction=maybe,
            record_date=st.none() | times,
            payable_date=st.none() | times,
        ),
        "cash": st.builds(
            CashFlow,
            times,
            st.sampled_from(CashFlowType),
            number,
            st.sampled_from(["USD", "EUR"]),
            account=ACCOUNTS,
            symbol=st.none() | symbols,
            transaction_id=st.sampled_from([None, "1", "2"]),
        ),
    }[kind]
    return draw(st.lists(one, max_size=8))


def passed(rule, kind, table, records=None):
    (verdict,) = RuleSet([rule]).validate(
        kind, table, records=records, now_ns=NOW, stored=stored_order, stored_bars=stored_bars
    )
    return verdict.passed.to_pylist()


def checked(rule, records):
    needs = {"now_ns": NOW, "memory": {}, "stored": stored_order, "stored_bars": stored_bars}
    given = {name: needs[name] for name in rule.needs}
    return [
        verdict if verdict is None else bool(verdict) for verdict in (rule.check(each, **given) for each in records)
    ]


CASES = [rule(severity="warning") for rule in RULES if rule.scope != "dataset"] + [
    Spread(max_rel=Decimal("0.123456789012345678901")),
    Spread(max_rel=0),
    Bounds(min_price="-1", max_price="10.0"),
    Bounds(min_price="10"),
    Bounds(max_price=10**30),
    Overfill(max_overfill="0.01"),
    Value(multiplier=100, skip_asset_classes=[]),
    Future(tolerance="50ms"),
    QuoteOutlier(severity="warning", window=3, warmup=1, confirm=2),
    WideSpread(severity="warning", window=3, warmup=1, max_times=2),
    TradeOutlier(severity="warning", window=5, warmup=4, deviations=1),
    TradeJump(max_rel=0, split_tolerance=1),
    QuoteTick(severity="warning", table=[["1", "0.5"]]),
    Gap(max_intervals=0.5, max_gap="3s"),
    Frozen(severity="warning", max_age="1s", min_quotes=1),
    Duplicate(window=1),
    Conflict(window=1),
    Bands(severity="warning", tier=2, previous_close="0.5"),
    Interval(severity="warning", many=2, min_fit=50),
    Day(severity="warning", window=1),
    TradeId(severity="warning", window=2),
    Amount(severity="warning", tolerance=0),
    FillDuplicate(severity="warning", window=1),
    OutsideBar(severity="warning", max_rel=0),
]
RULES_OF = {name: [rule for rule in CASES if name in rule.kinds] for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_check_equals_mask(name, data):
    """A rule gives each row the same verdict alone and in a table, and neither form changes what it judges."""
    kind, rows = KINDS[name], data.draw(records(name))
    table = to_table(kind, rows)
    copies = [attrs.evolve(row) for row in rows]
    for rule in RULES_OF[name]:
        expected = checked(rule, rows)
        assert passed(rule, kind, table) == expected, rule
        assert passed(rule, kind, table, rows) == expected, rule
    assert rows == copies
    assert table.equals(to_table(kind, copies))


def in_order(result):
    return sorted((f.row, f.rule, f.severity, f.message, f.limit or "", f.related or "") for f in result.findings)


def of_one(case):
    """Return a backend for the cases that share no id with this one's: an engine takes each id once."""
    return DataValidator(
        RuleSet([case]), now_ns=lambda: NOW, stored=stored_order, stored_bars=stored_bars, examples=100
    )


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_live_equals_bulk(name, data):
    """Single records, their table, and the table in chunks of any size give the same counts and findings, for every rule."""
    kind, rows = KINDS[name], data.draw(records(name))
    table = to_table(kind, rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    for rule in RULES_OF[name]:
        judge = of_one(rule)
        live, whole, chunked = judge.validate(rows), judge.start_run(), judge.start_run()
        whole.split(kind, table)
        for start, end in itertools.pairwise([0, *cuts, len(rows)]):
            chunked.split(kind, table.slice(start, end - start))
        for bulk in (whole.result(), chunked.result()):
            assert in_order(live) == in_order(bulk), rule
            assert not rows or live.counts == bulk.counts, rule
            assert live.flagged == bulk.flagged, rule


def test_scales_that_arrow_cannot_align():
    """Prices of 4 decimals are compared with prices of 21, which Arrow's own decimals cannot do."""
    coarse, fine = (
        [Decimal("10.0001")] * 3,
        [Decimal("10.000099999999999999999"), None, Decimal("10.000100000000000000001")],
    )
    table = pa.table(
        {
            "symbol": ["X"] * 3,
            "open": decimal_column([None] * 3),
            "high": decimal_column(coarse).cast(pa.decimal128(38, 4)),
            "low": decimal_column(fine).cast(pa.decimal128(38, 21)),
            "close": decimal_column(coarse),
        }
    )
    assert passed(Range(), KINDS["bars"], table) == [True, True, False]
