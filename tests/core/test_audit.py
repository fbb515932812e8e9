"""Validation of what is stored: every rule over the database, in parts, and only for what changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpa_core import audit as auditing
from fpa_core.arrow.conversion import to_table
from fpa_core.audit import audit
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, QUOTES, TRADES
from fpa_core.models import Bar, CashFlow, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.store import DataStore
from fpa_core.validator import DataValidator, Rule, configure
from fpa_plugins.memory.plugin import MemoryStoreOptions, open_store
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

NOW = 1_700_000_000 * 10**9
SECOND = 10**9
DAY = 86_400 * SECOND


def fresh():
    return DataStore(open_store(MemoryStoreOptions()))


def judge(level="standard", **options):
    return DataValidator(RuleSet(configure(RULES, level)), now_ns=lambda: NOW, **options)


def failures(result):
    return {rule: tally.failed for rule, tally in result.counts.items() if tally.failed}


def test_rules_about_several_kinds_are_run():
    """Trades are compared with quotes, fills with trades, positions with snapshots, whatever file or program brought them."""
    store = fresh()
    store.save([Quote("A", NOW - DAY, 10, 11)])
    store.save([Trade("A", NOW - DAY + SECOND, 15, 100)])
    times = {"timestamp": NOW - DAY, "updated_at": NOW - DAY + 2 * SECOND}
    store.save(Order("o", "A", 5, "buy", "market", "filled", filled_quantity=5, average_fill_price=99, **times))
    held = [Position("A", 5, timestamp=NOW - DAY, market_value=10, cost_basis=10, unrealized_pnl=0, day_pnl=0)]
    store.save(PortfolioSnapshot(NOW - DAY, 1000, buying_power=0, day_pnl=0, total_pnl=0, cash=0, positions=held))
    found = failures(audit(store, judge()))
    assert {"trade.outside_quote": 1, "order.trades": 1, "snapshot.total": 1}.items() <= found.items()
    assert set(failures(audit(store, judge(), Trade))) == {"trade.outside_quote"}
    assert "trade.outside_quote" not in failures(audit(store, judge(), "orders"))


PRICES = st.sampled_from([9, 10, 11, 30])


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 30), PRICES, st.integers(0, 3)), min_size=1, max_size=30
    ),
    at_once=st.sampled_from([1, 3, 1000]),
)
def test_parts_are_as_good_as_the_whole(rows, at_once):
    """However time is divided, the counts of all rules about rows and series are those of one table in the order of the store."""
    trades = [Trade(symbol, NOW - 40 * DAY + day * DAY, price, size) for symbol, day, price, size in rows]
    store, validator = fresh(), judge("strict")
    store.save(trades)
    stored = store.select(Trade).to_list()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "ROWS_AT_ONCE", at_once)
        result = audit(store, validator)
    whole = validator.start_run(against_store=False)
    whole.validate(TRADES, to_table(TRADES, stored))
    assert len(stored) == result.rows
    assert whole.result().counts == result.counts


def test_only_what_changed():
    """After a batch only the subjects it and later ones changed are validated, with all their rows."""
    store, validator = fresh(), judge()
    for symbol in "ABC":
        store.save([Quote(symbol, NOW - DAY, 12, 11), Quote(symbol, NOW - DAY + SECOND, 10, 11)])
    assert 6 == audit(store, validator).rows
    store.save(Quote("B", NOW - DAY + 2 * SECOND, 10, 11))
    assert 3 == audit(store, validator, since=3).rows
    assert 0 == audit(store, validator, since=4).rows
    assert 7 == audit(store, validator, since=0).rows
    with store.stream() as stream:
        stream.write(Quote("C", NOW - DAY + 2 * SECOND, 10, 11)).result()
    assert {"C"} == {finding.subject for finding in audit(store, validator, since=4).findings}
    with pytest.raises(DataError, match="there is no batch 99"):
        audit(store, validator, since=99)


def test_stored_bars_are_not_compared_with_themselves():
    """Rules that compare a new bar or order with the stored one have nothing to say of the stored one."""
    store = fresh()
    store.save([Bar("A", NOW - DAY, 10, 11, 9, 10, 5, interval="1m")])

    def stored(*_, **__):
        raise AssertionError("the store was asked")

    validator = judge(stored_bars=stored, stored=stored)
    assert 1 == audit(store, validator, BARS).rows


def test_findings_are_few_and_progress_is_complete():
    """Of each rule so many findings are kept as the validator keeps; the share of what is done ends at one."""
    store = fresh()
    store.save([Quote(f"S{number}", NOW - DAY, 12, 11) for number in range(9)])
    told = []
    result = audit(store, judge(examples=2), QUOTES, progress=lambda rows, share: told.append((rows, share)))
    assert (9, 2) == (
        result.counts["quote.crossed"].failed,
        len([f for f in result.findings if f.rule == "quote.crossed"]),
    )
    assert (9, 1.0) == told[-1]


def test_cash_without_a_symbol_among_cash_with_one():
    """Deposits have no symbol, dividends have: the market data of those that have one are looked at."""
    store = fresh()
    times = {"timestamp": NOW - DAY}
    store.save(
        [
            CashFlow(flow_type="deposit", amount=5, **times),
            CashFlow(flow_type="dividend", amount=1, symbol="A", **times),
        ]
    )
    store.save([Order("o1", "B", 1, "buy", "market", **times)])
    assert 3 == audit(store, judge()).rows


def test_nothing_stored():
    """An empty store is valid."""
    assert audit(fresh(), judge()).is_valid


class Even(Rule):
    """The size is an even number."""

    id = "acme.even"
    kind = "trades"
    fields = ("size", "exchange")

    def check(self, trade):
        return trade.size % 2 == 0


def test_sentences_say_what_was_expected_and_what_came():
    """A finding whose rule says no more than its summary names what is expected and what came; others say it themselves, values once."""
    quotes = judge().validate([Quote("A", NOW - DAY, 12, 11)])
    assert ["the ask 11 is below the bid 12"] == [quotes.sentence(finding) for finding in quotes.findings]
    validator = DataValidator(RuleSet(configure([Even], "standard")), now_ns=lambda: NOW)
    trades = validator.validate([Trade("A", NOW - DAY, 10, 3)])
    assert ["expected: the size is an even number; got: size 3, exchange missing"] == [
        trades.sentence(finding) for finding in trades.findings
    ]
