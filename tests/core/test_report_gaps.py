"""Gaps of a report: the longest ones of each series, without the times at which its market was closed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, Kind, kind_of
from fpa_core.models import Bar, Trade
from fpa_core.numbers import Instant, ns_text, to_ns
from fpa_core.report.gaps import MOST_GAPS, Gap, Gaps, Sessions
from fpa_core.report.series import Coverage, series_of, times_of

HOUR = 3_600 * 10**9
DAY = 24 * HOUR


def series(records: Sequence[Any]) -> list[Any]:
    kind: Kind = kind_of(records[0])
    table = to_table(kind, records)
    return list(series_of(kind, table, times_of(table)))


def gaps_of(records: Sequence[Any], size: int = 10_000, sessions: Sessions | None = None) -> Gaps:
    found = Gaps(sessions)
    for start in range(0, len(records), size):
        for each in series(records[start : start + size]):
            found.add(each)
    return found


def bars(times: Sequence[str], interval: str = "1d") -> list[Bar]:
    return [Bar("A", to_ns(time, dates=True), 1, 1, 1, 1, 1, interval) for time in times]


def spans(gaps: Gaps) -> list[tuple[str, str]]:
    return [(ns_text(gap.start_ns)[:16], ns_text(gap.end_ns)[:16]) for gap in gaps.longest()]


def minutes(day: str, first: int, last: int) -> list[Bar]:
    """Return the minute bars of a day from one hour to another."""
    start = to_ns(day, dates=True)
    return [Bar("A", start + 60 * 10**9 * each, 1, 1, 1, 1, 1, "1m") for each in range(first * 60, last * 60)]


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 10**6)), min_size=1, max_size=60), st.integers(1, 20))
def test_the_longest_are_found(rows: list[tuple[str, int]], size: int) -> None:
    """The longest times without rows are found, for each symbol on its own, across the borders of chunks."""
    ordered = sorted(rows, key=lambda row: row[1])
    found = gaps_of([Trade(symbol, Instant(ns), 1, 1) for symbol, ns in ordered], size)
    expected = []
    for symbol in "AB":
        times = [ns for name, ns in ordered if name == symbol]
        expected += [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    assert sorted(expected, reverse=True)[:MOST_GAPS] == [gap.ns for gap in found.longest()]


def test_bars_are_followed_by_interval() -> None:
    """Minutes and days of one symbol are two series: neither fills the gaps of the other."""
    days = bars(["2024-07-01", "2024-07-10"])
    mixed = [days[0], *minutes("2024-07-02", 10, 11), days[1]]
    coverage = Coverage()
    for each in series(mixed):
        coverage.add(each)
    assert ["A 1d", "A 1m"] == [name for name, _ in coverage.fullest(9)]
    assert [("A 1d", 6)] == [(gap.name, gap.missing) for gap in gaps_of(mixed).longest()]


def test_weekends_and_holidays_are_no_gaps_of_daily_bars() -> None:
    """Without a calendar, days around weekends and a holiday or two are not listed, but counted; a missing week is a gap."""
    days = ["2024-03-27", "2024-03-28", "2024-04-02", "2024-04-03", "2024-04-11", "2024-04-12", "2024-04-15"]
    found = gaps_of(bars(days))
    assert [("A 1d", 5)] == [(gap.name, gap.missing) for gap in found.longest()]
    assert 2 == found.assumed


def test_a_bar_of_a_day_may_begin_at_local_midnight() -> None:
    """Mondays of New York and of Tokyo are Mondays, whatever day UTC has."""
    for clock in ("T04:00:00Z", "T15:00:00Z"):
        shift = timedelta(days=-1 if clock > "T12" else 0)
        dates = [datetime(2024, 7, day, tzinfo=UTC) + shift for day in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15)]
        assert [] == gaps_of(bars([f"{date:%Y-%m-%d}{clock}" for date in dates])).longest()


def test_a_market_that_never_closes() -> None:
    """A series with rows on Saturdays and Sundays has no weekends: each missing day is a gap."""
    days = [f"2024-07-{day:02}" for day in range(1, 29) if day not in {13, 24}]
    found = gaps_of(bars(days))
    assert [1, 1] == [gap.missing for gap in found.longest()]
    assert {"2024-07-12", "2024-07-23"} == {start[:10] for start, _ in spans(found)}


@pytest.mark.parametrize("size", [7, 100, 10_000])
def test_nights_are_no_gaps(size: int) -> None:
    """The breaks between the days of a market that closes are not listed; missing minutes of a day, and a missing week, are."""
    week = [minutes(f"2024-07-{day:02}", 14, 21) for day in (1, 2, 3, 4, 5, 15, 16)]
    del week[1][60:90]
    found = gaps_of([bar for day in week for bar in day], size)
    assert [("2024-07-05T20:59", "2024-07-15T14:00"), ("2024-07-02T14:59", "2024-07-02T15:30")] == spans(found)
    assert 5 == found.assumed


def test_a_long_break_of_a_market_without_nights() -> None:
    """Where days follow each other without a break, eight hours without rows are a gap; the weekend is none."""
    week = [minutes(f"2024-07-{day:02}", 0, 24) for day in (1, 2, 3, 4, 5, 8)]
    week[2] = week[2][: 8 * 60] + week[2][16 * 60 :]
    found = gaps_of([bar for day in week for bar in day])
    assert [("2024-07-03T07:59", "2024-07-03T16:00")] == spans(found)


def test_a_break_of_a_single_day_is_a_gap() -> None:
    """A file of one day has no nights, however long it is silent."""
    assert [5 * HOUR] == [
        gap.ns for gap in gaps_of([Trade("A", Instant(hour * HOUR), 1, 1) for hour in (9, 14)]).longest()
    ]


def test_weeks_and_months() -> None:
    """Bars longer than a day are missing when their distance is more than one and a half intervals."""
    assert [2] == [gap.missing for gap in gaps_of(bars(["2024-07-01", "2024-07-08", "2024-07-29"], "1w")).longest()]
    months = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-05-01"]
    assert [1] == [gap.missing for gap in gaps_of(bars(months, "1mo")).longest()]


def hours(*sessions: tuple[int, int]) -> Sessions:
    return lambda _symbol, start, end: [one for one in sessions if one[1] >= start and one[0] <= end]


def test_gaps_are_as_long_as_the_sessions_within() -> None:
    """With a calendar, only the time in which the market was open counts: the night before and the day after do not."""
    one, two = (9 * HOUR, 17 * HOUR), (DAY + 9 * HOUR, DAY + 17 * HOUR)
    times = [9 * HOUR, 16 * HOUR, DAY + 10 * HOUR, DAY + 20 * HOUR]
    found = gaps_of([Trade("A", Instant(ns), 1, 1) for ns in times], sessions=hours(one, two))
    assert [7 * HOUR, 7 * HOUR, 2 * HOUR] == [gap.ns for gap in found.longest()]
    assert found.by_calendar
    assert 0 == found.assumed


def test_a_gap_outside_of_sessions_is_none() -> None:
    """The last row of a session and the first of the next have no gap between them."""
    one, two = (9 * HOUR, 17 * HOUR), (DAY + 9 * HOUR, DAY + 17 * HOUR)
    found = gaps_of([Trade("A", Instant(ns), 1, 1) for ns in (17 * HOUR, DAY + 9 * HOUR)], sessions=hours(one, two))
    assert [] == found.longest()


@given(
    st.lists(st.integers(0, 20 * DAY), min_size=2, max_size=20, unique=True),
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 23)), min_size=1, max_size=20),
)
def test_open_time_is_the_overlap(times: list[int], days: list[tuple[int, int]]) -> None:
    """However sessions and rows lie, the length of a gap is the sum of its overlaps with the sessions."""
    sessions = [(day * DAY + min(a, b) * HOUR, day * DAY + max(a, b) * HOUR + 1) for day, (a, b) in enumerate(days)]
    rows = sorted(times)
    found = gaps_of([Trade("A", Instant(ns), 1, 1) for ns in rows], sessions=lambda *_: sessions)
    expected = [
        sum(max(0, min(end, close) - max(start, opened)) for opened, close in sessions)
        for start, end in itertools.pairwise(rows)
    ]
    assert sorted((span for span in expected if span), reverse=True) == [gap.ns for gap in found.longest()]


def test_holidays_of_a_calendar(tmp_path: Path) -> None:
    """A calendar that a rule is given decides: the fourth of July is no gap, the ninth is; other symbols have none."""
    pytest.importorskip("exchange_calendars")
    (tmp_path / "fpa.toml").write_text(
        '[store]\nbackend = "memory"\n[validator.rules."time.gap".overrides.IBM]\ncalendar = "XNYS"\n', encoding="utf-8"
    )
    days = ["2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08", "2024-07-10"]
    rows = [evolve(bar, symbol=symbol) for symbol in ("IBM", "X") for bar in bars(days)]
    with fpa_core.open(tmp_path / "fpa.toml", environ={}, lazy=True) as data:
        found = gaps_of(rows, sessions=data.validator.sessions)
        assert data.validator.sessions("X", 0, DAY) is None
        assert data.validator.sessions("IBM", to_ns("1900-01-01", dates=True), DAY) is None
        opened = data.validator.sessions("IBM", to_ns("2024-07-03", dates=True), to_ns("2024-07-06", dates=True))
    assert [Gap(DAY, "IBM 1d", to_ns("2024-07-08", dates=True), to_ns("2024-07-10", dates=True), 1)] == found.longest()
    assert opened is not None
    assert ["2024-07-03T13:30", "2024-07-05T13:30"] == [ns_text(start)[:16] for start, _ in opened]


def test_sessions_need_a_calendar() -> None:
    """Without a rule that has a calendar, no sessions are known."""
    with fpa_core.open(":memory:") as data:
        assert data.validator.sessions("IBM", 0, DAY) is None


def test_memory_of_gaps_is_bounded() -> None:
    """Of many gaps the longest are kept."""
    rows = [Trade("A", Instant(each * each * 1_000), 1, 1) for each in range(1_000)]
    assert MOST_GAPS == len(gaps_of(rows, 7).longest())


def test_kinds_without_intervals_have_no_step() -> None:
    """Bars of the same time and different intervals do not meet; the series of a kind without intervals is its symbol."""
    assert ["A 1d"] == [each.name for each in series(bars(["2024-07-01"]))]
    assert ["A"] == [each.name for each in series([Trade("A", Instant(0), 1, 1)])]
    assert "interval" in BARS.by_name
