"""Bars against what the store holds: rewritten bars, second bars of a day, jumps from the last stored bar, and when the store is asked."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import MIN_NS, Instant
from fpa_core.validator import DataValidator, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

S = 10**9
H = 3600 * S
DAY = 24 * H
START = 19_000 * DAY
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
ASKING = ("bar.conflict", "bar.day", "bar.jump")


class Stored:
    """Stored bars that count how often they are asked."""

    def __init__(self, bars):
        self.bars = sorted(bars, key=lambda bar: (bar.symbol, bar.ts_ns))
        self.asked = []

    def __call__(self, symbols, interval, start_ns, end_ns, *, last=None):
        self.asked.append((tuple(symbols), interval))
        found = [
            bar
            for bar in self.bars
            if bar.symbol in symbols and bar.interval == interval and start_ns <= bar.ts_ns < end_ns
        ]
        found = found if last is None else found[::-1][:last]
        for part in (
            itertools.batched(found, 3)
            if hasattr(itertools, "batched")
            else [found[i : i + 3] for i in range(0, len(found), 3)]
        ):
            yield from to_table(BARS, list(part)).select(COLUMNS).to_batches()


def bar(hours, close=10, interval="1h", symbol="A", volume=5):
    return Bar(symbol, START + round(hours * H), close, close, close, close, volume, interval)


def judge(stored, *ids):
    rules = [rule for rule in RULES if rule.id in (ids or ASKING)]
    return DataValidator(
        RuleSet(configure(rules, "standard")), stored_bars=stored, now_ns=lambda: 2 * 10**18, examples=99
    )


def table(bars):
    return to_table(BARS, bars)


def told(result):
    return sorted((found.row, found.rule, found.message, found.limit, found.related or "") for found in result.findings)


def chunked(validator, bars, cuts):
    examination = validator.start_run()
    for start, end in itertools.pairwise([0, *cuts, len(bars)]):
        examination.validate(BARS, table(bars[start:end]))
    return examination.result()


def toml(folder, level="standard"):
    path = folder / "fpa.toml"
    path.write_text(f'[store]\npath = "{folder / "bars.db"}"\n[validator]\nlevel = "{level}"\n', encoding="utf-8")
    return path


def write(folder, name, *rows):
    path = folder / name
    path.write_text("\n".join(["symbol,timestamp,open,high,low,close", *rows]) + "\n", encoding="utf-8")
    return path


def test_adjusted_prices_of_a_second_file(tmp_path):
    """A file that rewrites every bar with half the price is flagged, bar by bar, with the split that explains it; the same again is not."""
    first = write(tmp_path, "a.csv", "A,2024-05-01,10,11,9,10", "A,2024-05-02,10,11,9,10")
    second = write(tmp_path, "b.csv", "A,2024-05-01,5,5.5,4.5,5", "A,2024-05-02,5,5.5,4.5,5")
    with fpa_core.open(toml(tmp_path)) as data:
        assert {} == data.ingest(first, interval="1d").warnings
        assert {} == data.ingest(first, interval="1d").warnings
        judged = data.validate(second, interval="1d")
        receipt = data.ingest(second, interval="1d")
        assert ({"bar.conflict": 2}, 2) == (receipt.warnings, receipt.revised)
        assert {} == data.ingest(second, interval="1d").warnings
    found = judged.findings[0]
    assert found.message == (
        "the store has the bar of 2024-05-01T00:00:00Z with open 10 then, 5 now; high 11 then, 5.5 now; low 9 then, 4.5 now; "
        "close 10 then, 5 now; prices adjusted for a split of 2 for 1 would explain it"
    )
    assert ("open 10, high 11, low 9, close 10, volume missing", 2) == (
        found.limit,
        judged.counts["bar.conflict"].failed,
    )


def test_strict_refuses_what_would_rewrite(tmp_path):
    """At strict a bar that contradicts the stored one is quarantined, and the stored one stays."""
    with fpa_core.open(toml(tmp_path, "strict")) as data:
        data.ingest([bar(0), bar(1)])
        receipt = data.ingest([bar(0), bar(1, "10.5")])
        assert (1, 1, 0) == (receipt.duplicate, receipt.quarantined, receipt.revised)
        assert [Decimal(10), Decimal(10)] == [each.close for each in data.select(Bar)]


def test_three_vendors_of_a_day(tmp_path):
    """Bars of one day that vendors stamp with midnight, midnight in New York and the close are told, each in its own file."""
    times = ["2024-05-01T04:00:00Z", "2024-05-01", "2024-05-01T20:00:00Z"]
    with fpa_core.open(toml(tmp_path)) as data:
        receipts = [
            data.ingest(write(tmp_path, f"{i}.csv", f"A,{time},2,2,2,2"), interval="1d") for i, time in enumerate(times)
        ]
    assert [{}, {"bar.day": 1}, {"bar.day": 1}] == [receipt.warnings for receipt in receipts]


def test_jump_from_the_stored_bar():
    """The first bar of a series is compared with the last stored one before it, if that is near; the stored one of its own time is not meant."""
    stored = Stored([bar(0, 10), bar(1, 30), bar(1, 7, symbol="B"), bar(1, 7, "1m")])
    assert [] == told(judge(stored, "bar.jump").validate((BARS, table([bar(1, 10), bar(2, 10)]))))
    (found,) = judge(stored, "bar.jump").validate((BARS, table([bar(2, 10), bar(3, 10)]))).findings
    assert (0, "30 at 2022-01-08T01:00:00Z") == (found.row, found.related)
    assert [] == told(judge(stored, "bar.jump").validate((BARS, table([bar(1 + 241, 10)]))))


def test_causes():
    """A message names the split, or the other file, that usually makes such a change; a small correction has none."""
    stored = Stored([bar(0, 70), bar(1, 70), bar(2, 70), bar(3, 0)])
    arriving = [bar(0, 10), bar(1, 55), bar(2, 71), bar(3, 1)]
    found = judge(stored, "bar.conflict").validate((BARS, table(arriving))).findings
    ends = [
        "prices adjusted for a split of 7 for 1 would explain it",
        "adjusted prices, or those of another symbol, would explain it",
        "close 70 then, 71 now",
        "close 0 then, 1 now",
    ]
    assert all(each.message.endswith(end) for each, end in zip(found, ends, strict=True))


def test_one_lookup_for_a_chunk():
    """The store is asked once for a symbol, an interval and a chunk; where there are many symbols, once for all of them."""
    few, many = Stored([]), Stored([])
    judge(few, "bar.conflict", "bar.day").validate((BARS, table([bar(24 * day, interval="1d") for day in range(50)])))
    assert [(("A",), "1d")] == few.asked
    judge(many, "bar.conflict", "bar.day").validate(
        (BARS, table([bar(0, symbol=f"S{number}") for number in range(50)]))
    )
    assert 1 == len(many.asked)
    assert 50 == len(many.asked[0][0])


def test_records_one_by_one_ask_seldom():
    """Of single bars the first asks, and those of the hours around it do not."""
    stored = Stored([])
    judge(stored, "bar.conflict").validate([bar(hour) for hour in range(100)])
    assert 1 == len(stored.asked)


def test_ticks_ask_nothing(tmp_path, monkeypatch):
    """Quotes and trades, in a stream or a table, never ask for stored bars."""
    with fpa_core.open(toml(tmp_path)) as data:
        monkeypatch.setattr(data.store.backend, "scan", None)
        with data.stream() as stream:
            stream.write(Quote("A", START, 1, 2))
            stream.write(Trade("A", START, 1, 2))
        assert {} == data.ingest([Quote("A", START + 1, 1, "1.01"), Trade("A", START + 1, 1, 2)]).warnings


def test_bars_of_a_stream(tmp_path):
    """A live bar that differs from the stored one is flagged, too."""
    with fpa_core.open(toml(tmp_path)) as data:
        data.ingest([bar(0), bar(1)])
        with data.stream() as stream:
            tickets = [stream.write(each) for each in (bar(0), bar(1, 11), bar(2, 11))]
    found = [[finding.rule for finding in ticket.findings()] for ticket in tickets]
    assert [[], ["bar.conflict"], []] == found


def test_judging_makes_no_database(tmp_path):
    """A file of bars is judged without a database where there is none."""
    path = write(tmp_path, "a.csv", "A,2024-05-01,10,11,9,10")
    with fpa_core.open(toml(tmp_path), lazy=True) as data:
        assert data.validate(path, interval="1d").is_valid
    assert not (tmp_path / "bars.db").exists()


def test_times_that_are_centuries_apart():
    """A stored bar is found beside a row, though the next row of the table is centuries before."""
    rows = [bar(20, interval="1d"), Bar("A", Instant(MIN_NS + 1), 10, 10, 10, 10, 5, "1d")]
    for arriving in (rows, rows[::-1]):
        found = judge(Stored([bar(0, interval="1d")]), "bar.day").validate((BARS, table(arriving)))
        assert 1 == found.counts["bar.day"].failed


@pytest.mark.parametrize("many", [False, True])
def test_descending_file(many):
    """Rows in falling order meet the stored bars of their own times."""
    hours = range(20)
    symbols = [f"S{number}" for number in range(9)] if many else ["A"]
    stored = Stored([bar(hour, hour + 1, symbol=symbol) for hour in hours for symbol in symbols])
    arriving = [bar(hour, hour + 1 + (hour == 7), symbol=symbol) for symbol in symbols for hour in reversed(hours)]
    found = judge(stored, "bar.conflict").validate((BARS, table(arriving))).findings
    assert len(symbols) == len(found)
    assert all("close 8 then, 9 now" in each.message for each in found)


BAR_OF = st.builds(
    Bar,
    st.sampled_from("ABCDEF"),
    st.integers(0, 30).map(lambda number: START + number * 7 * H),
    st.none() | st.sampled_from([Decimal(1), Decimal("1.5")]),
    st.just(9),
    st.just(1),
    st.sampled_from([Decimal(2), Decimal("2.00"), Decimal(10), Decimal(10**30), Decimal("0.1") ** 25, Decimal(0)]),
    st.none() | st.just(1),
    st.sampled_from(["7h", "1d", "1w"]),
)


@given(
    stored=st.lists(BAR_OF, max_size=12, unique_by=lambda bar: (bar.symbol, bar.ts_ns, bar.interval)),
    arriving=st.lists(BAR_OF, max_size=12),
    data=st.data(),
)
def test_live_equals_bulk(stored, arriving, data):
    """Single bars, their table, and the table in chunks get the same findings against the same stored bars."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    one = judge(Stored(stored)).validate(arriving)
    for other in (
        judge(Stored(stored)).validate((BARS, table(arriving))),
        chunked(judge(Stored(stored)), arriving, cuts),
    ):
        assert told(one) == told(other)
        assert not arriving or one.counts == other.counts


def test_memory_is_bounded():
    """Of many chunks a rule remembers no more records than its window, and the store's page beside."""
    rules, memory = (
        RuleSet(configure([rule for rule in RULES if rule.id in ASKING], "standard", {"bar.conflict": {"window": 10}})),
        {},
    )
    for start in range(0, 1000, 100):
        rules.validate(BARS, table([bar(hour) for hour in range(start, start + 100)]), memory)
    assert 10 == len(memory["bar.conflict"]["A", "1h"])
    assert {("A", "1h")} == memory["bar.conflict"].keys()
