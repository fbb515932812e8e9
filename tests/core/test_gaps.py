"""Gaps between stored rows: what is missing by the calendar, and nothing else."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core import Bar, DataError, Quote, Trade
from fpa_core.cli.main import cli
from fpa_core.exceptions import ConfigError
from fpa_core.numbers import ns_text, to_ns

MINUTE = 60 * 10**9
DAY = 1_440 * MINUTE
OPEN, CLOSE = to_ns("2024-05-01T13:30:00Z"), to_ns("2024-05-01T20:00:00Z")


def bar(time, interval="1m", symbol="A"):
    text = ns_text(time) if isinstance(time, int) else time if "T" in time else f"{time}T00:00:00Z"
    return Bar(symbol, text, 1, 2, 1, 2, 10, interval=interval)


def told(found):
    return [(gap.symbol, gap.interval, ns_text(gap.start_ns), ns_text(gap.end_ns), gap.missing) for gap in found]


@pytest.fixture
def data():
    with fpa_core.open(":memory:") as layer:
        yield layer


class TestBars:
    def test_missing_minutes_are_counted(self, data):
        """A gap lies between two bars that are more than their interval apart, and says how many are missing."""
        data.store.save([bar(OPEN + minute * MINUTE) for minute in (0, 1, 5, 6, 8)])
        assert [
            ("A", "1m", "2024-05-01T13:31:00Z", "2024-05-01T13:35:00Z", 3),
            ("A", "1m", "2024-05-01T13:36:00Z", "2024-05-01T13:38:00Z", 1),
        ] == told(data.gaps("bars", "A"))
        (longest,) = data.gaps(Bar, longer_than="2m")
        assert (3, 3 * MINUTE) == (longest.missing, longest.open_ns)

    def test_nights_weekends_and_holidays_are_no_gaps_by_the_calendar(self, data):
        """With a calendar the last minute of a session is followed by the first of the next; without one it is not."""
        pytest.importorskip("exchange_calendars")
        # Friday before Memorial Day, and the Tuesday after it.
        friday, tuesday = to_ns("2024-05-24T19:59:00Z"), to_ns("2024-05-28T13:30:00Z")
        data.store.save([bar(friday), bar(tuesday), bar(tuesday + 2 * MINUTE)])
        (gap,) = data.gaps("bars", calendar="XNYS")
        assert (tuesday, 1) == (gap.start_ns, gap.missing)
        assert 2 == len(data.gaps("bars"))

    @pytest.mark.parametrize("hour", ["00:00", "04:00", "13:30"])
    def test_days_are_those_of_sessions(self, data, hour):
        """A missing Tuesday is a gap, a weekend and a holiday are none, whatever hour daily bars are stored under."""
        pytest.importorskip("exchange_calendars")
        days = ["2024-05-24", "2024-05-29", "2024-05-30", "2024-07-03", "2024-07-05"]
        data.store.save([bar(f"{day}T{hour}:00Z", "1d") for day in days])
        found = data.gaps("bars", "A", calendar="XNYS", end="2024-07-09")
        assert [1, 22, 1] == [gap.missing for gap in found]
        assert f"2024-05-24T{hour}:00Z" == ns_text(found[0].start_ns)

    def test_the_ends_of_a_range_count_if_they_are_given(self, data):
        """What lacks between the start and the first bar, or the last one and the end, is a gap if these are asked about."""
        pytest.importorskip("exchange_calendars")
        data.store.save([bar(OPEN + 5 * MINUTE), bar(CLOSE - 3 * MINUTE)])
        whole = {"start": "2024-05-01", "end": "2024-05-02", "calendar": "XNYS"}
        assert [5, 381, 2] == [gap.missing for gap in data.gaps("bars", "A", **whole)]
        assert [381] == [gap.missing for gap in data.gaps("bars", "A", calendar="XNYS")]
        (unknown,) = data.gaps("bars", "B", **whole)
        assert (None, None, CLOSE - OPEN) == (unknown.interval, unknown.missing, unknown.open_ns)
        (absent,) = data.gaps("bars", "B", interval="1m", **whole)
        assert 390 == absent.missing

    def test_a_day_counts_if_it_lies_in_the_range(self, data):
        """Without a calendar, days are expected from midnight on that begin and end between the ends of a range."""
        data.store.save([bar("2024-05-04", "1d"), bar("2024-05-05", "1d")])
        asked = {"start": "2024-05-02T12:00:00Z", "end": "2024-05-07T12:00:00Z"}
        assert [1, 1] == [gap.missing for gap in data.gaps("bars", "A", **asked)]
        assert [] == data.gaps("bars", "A", start="2024-05-03T12:00:00Z", end="2024-05-06T12:00:00Z")

    def test_each_interval_is_a_series_of_its_own(self, data):
        """Bars of a minute, a day, a week and a month do not fill each other's gaps; months may be of any length."""
        data.store.save([bar(OPEN), bar(OPEN + 2 * MINUTE), bar("2024-05-01", "1d"), bar("2024-05-03", "1d")])
        data.store.save([bar(f"2024-{month:02}-01", "1mo") for month in (1, 2, 3, 5)])
        data.store.save([bar("2024-04-22", "1w"), bar("2024-04-29", "1w")])
        assert [("1m", 1), ("1d", 1), ("1mo", 1)] == [(gap.interval, gap.missing) for gap in data.gaps("bars")]
        assert [("1d", 1)] == [(gap.interval, gap.missing) for gap in data.gaps("bars", interval="day")]

    @given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 20), st.integers(0, 20))
    def test_bars_and_gaps_make_the_whole(self, minutes, before, after):
        """However bars are spread over a range: those there are and those missing make all minutes of it."""
        with fpa_core.open(":memory:") as layer:
            layer.store.save([bar(OPEN + minute * MINUTE) for minute in sorted(minutes)])
            start, end = OPEN + (min(minutes) - before) * MINUTE, OPEN + (max(minutes) + 1 + after) * MINUTE
            found = layer.gaps("bars", start=ns_text(start), end=ns_text(end))
            assert len(minutes) + sum(gap.missing for gap in found) == (end - start) // MINUTE


class TestQuotesAndTrades:
    def test_times_without_rows_while_the_market_was_open(self, data):
        """A night is no gap by the calendar; half an hour without a quote is one, and as long as the market was open."""
        pytest.importorskip("exchange_calendars")
        times = [OPEN, OPEN + 10 * MINUTE, OPEN + 40 * MINUTE, CLOSE, OPEN + DAY + 20 * MINUTE]
        data.store.save([Quote("A", ns_text(time), 1, 2) for time in times])
        found = data.gaps("quotes", calendar="XNYS")
        assert [30, 350, 20] == [gap.open_ns // MINUTE for gap in found]
        assert [30, 350] == [
            gap.open_ns // MINUTE for gap in data.gaps(Quote, ["A"], calendar="XNYS", longer_than=1_500)
        ]
        assert all(gap.missing is None for gap in found)

    def test_all_symbols_or_those_named(self, data):
        """Without symbols each that has rows is looked at, hot or sealed."""
        for symbol in "AB":
            times = [OPEN + i * 10**9 for i in (*range(3_000), *range(9_000, 12_000))]
            data.store.save([Trade(symbol, ns_text(time), 1, 1) for time in times])
        data.store.seal()
        assert [("A", 6_001), ("B", 6_001)] == [(gap.symbol, gap.open_ns // 10**9) for gap in data.gaps("trades")]
        assert ["B"] == [gap.symbol for gap in data.gaps("trades", "B")]

    def test_as_known_earlier(self, data):
        """What came later is not known earlier."""
        data.store.save([Trade("A", ns_text(OPEN + i * 20 * MINUTE), 1, 1) for i in (0, 2)])
        known = dt.datetime.now(dt.UTC)
        data.store.save([Trade("A", ns_text(OPEN + 20 * MINUTE), 1, 1)])
        assert (1, 2) == (len(data.gaps("trades", as_known_at=known)), len(data.gaps("trades")))


def test_what_cannot_be_asked(data):
    """Other kinds have no gaps; a calendar has to be known, and to cover the rows."""
    with pytest.raises(DataError, match="orders have no gaps"):
        data.gaps("orders")
    with pytest.raises(DataError, match="quotes have none"):
        data.gaps("quotes", interval="1m")
    with pytest.raises(DataError, match="later than the end"):
        data.gaps("quotes", start="2024-05-02", end="2024-05-01")
    pytest.importorskip("exchange_calendars")
    with pytest.raises(ConfigError, match="calendar"):
        data.gaps("quotes", "A", calendar="XXXX")
    data.store.save(bar("1970-01-02", "1d"))
    with pytest.raises(DataError, match="has sessions from 1990"):
        data.gaps("bars", calendar="XNYS")


def test_on_the_command_line(tmp_path, monkeypatch):
    """`fpa gaps KIND` shows them for people and machines; with another word it asks a source."""
    monkeypatch.chdir(tmp_path)
    with fpa_core.open("portfolio.db") as data:
        data.store.save([bar(OPEN), bar(OPEN + 125 * MINUTE)])
    run = CliRunner().invoke
    assert "2h 4m" in run(cli, ["gaps", "bars", "A"]).stdout
    (gap,) = json.loads(run(cli, ["gaps", "bars", "--json"]).stdout)["results"]
    assert ("A", "1m", 124, 7_440.0) == (gap["symbol"], gap["interval"], gap["missing"], gap["open_seconds"])
    assert "no gaps" in run(cli, ["gaps", "bars", "--longer-than", "3h"]).stdout
    assert "needs a SYMBOL and --start" in run(cli, ["gaps", "nowhere"]).output
    assert "--kind is for a SOURCE" in run(cli, ["gaps", "bars", "--kind", "bars"]).output
