"""Reports: the figures are those of the file, the memory is bounded, and no text of the data becomes markup."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import strategies as own
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.columns import from_scaled
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import QUOTES, kind_of
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant
from fpa_core.protocols import Chunk
from fpa_core.report import FileReport, examine, page
from fpa_core.report.axes import duration, round_up, time_ticks
from fpa_core.report.markup import Html, tag
from fpa_core.report.profiles import MOST_DISTINCT, Profile
from fpa_core.report.timing import MOST_BINS, WIDTHS, TimeCounts

NASTY = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&amp;", "a'b;--", "</title>"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go where a database may be made: rules about orders ask it for what is stored."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def layer() -> Iterator[DataLayer]:
    """Open a layer with the rules of level standard."""
    with fpa_core.open(environ={}, lazy=True) as data:
        yield data


def chunks(records: list[Any], size: int = 3) -> Iterator[Chunk]:
    for start in range(0, len(records), size):
        part = records[start : start + size]
        yield Chunk(kind_of(part[0]), to_table(kind_of(part[0]), part), range(start + 1, start + 1 + len(part)))


def report(layer: DataLayer, records: list[Any], size: int = 3) -> FileReport:
    return examine("data.csv", layer.validator, chunks(records, size))


class Reader(HTMLParser):
    """Notes the elements, attributes and texts of a page, and that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[element] += 1
        self.attributes += attributes
        if element != "meta":
            self.open.append(element)

    def handle_startendtag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[element] += 1
        self.attributes += attributes

    def handle_endtag(self, element: str) -> None:
        assert element == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


# The figures


EXPECTED = {
    "quotes_fx_fxcm_EURUSD_2014-05-04_06": (168_850, {"quote.crossed": 15_160, "quote.locked": 19_522}, {"bid": ("1.38645", "1.39514"), "ask": ("1.38649", "1.39515")}),
    "bars_single_price_1d_WTI_1986_on": (10_226, {"bar.positive": 1}, {"close": ("-36.98", "145.31")}),
    "quotes_future_1m_GC_2013-10-07": (28_747, {"quote.crossed": 15, "quote.locked": 67, "quote.one_sided": 1_722}, {"bid_size": ("0", "58")}),
}  # fmt: skip
"""Rows, findings by rule, and least and largest values: what is known of the files."""


@pytest.mark.parametrize("name", EXPECTED)
def test_figures_of_a_real_file(shared_data: Path, layer: DataLayer, name: str) -> None:
    """What the report says of a real file is what is known of it, and the page says it."""
    rows, findings, ends = EXPECTED[name]
    found = layer.report(shared_data / f"{name}.csv.gz")
    assert rows == found.rows == found.all_rows.total
    assert findings == {rule: found.result.counts[rule].failed for rule in findings}
    assert findings == {rule: found.over_time[rule].total for rule in findings}
    assert all(ends[column][0] == found.profiles[column].text(found.profiles[column].low) for column in ends)
    text = Reader(page([found], now_ns=0)).text
    for figure in (rows, *findings.values()):
        assert f"{figure:,}" in text
    for low, high in ends.values():
        assert low in text
        assert high in text


def test_a_file_is_summed_up(layer: DataLayer) -> None:
    """Rows are refused, flagged or clean, each once; those that are no records count among the refused."""
    good = Bar("A", 10**18, 1, 2, "0.5", 1, 5, "1m")
    minute = 60 * 10**9
    bars = [good, evolve(good, timestamp=10**18 + minute, close=9), evolve(good, timestamp=10**18 + 2 * minute, low=-1)]
    found = report(layer, bars)
    assert (3, 1, 1, 0, 1) == (found.rows, found.refused, found.warned, found.noted, found.flagged)
    assert (3, 1) == (found.symbols.symbols["A"].rows, found.symbols.symbols["A"].broken["error"])
    assert [2] == [each.row for each in found.examples["bar.range"]]
    assert "9" == found.examples["bar.range"][0].values["close"]
    assert not found.result.is_valid


def test_rows_that_are_no_records(layer: DataLayer, tmp_path: Path) -> None:
    """Rows of the file are counted with those that are no records, in findings and in examples."""
    path = tmp_path / "quotes.csv"
    path.write_text("symbol,timestamp,bid,ask\nA,never,1,2\nA,1970-01-01T00:00:01Z,1.1,1.0\n", encoding="utf-8")
    found = layer.report(path)
    assert (2, 1, 1, 1) == (found.rows, found.refused, found.flagged, found.shapeless)
    assert [2] == [each.row for each in found.examples["quote.crossed"]]
    rows = {finding.rule: finding.row for finding in layer.validate(path).findings}
    assert (0, 1) == (rows["record.shape"], rows["quote.crossed"])
    assert "timestamp: 'never' is not" in Reader(page([found], now_ns=0)).text


@pytest.fixture(scope="module")
def standard() -> Iterator[DataLayer]:
    """Open a layer whose rules many files are validated with."""
    with fpa_core.open(":memory:", environ={"FPA_VALIDATOR__LEVEL": "standard"}) as data:
        yield data


@given(
    st.lists(own.quotes(st.sampled_from(["A", "B"]), st.integers(0, 10**13)), min_size=1, max_size=30),
    st.integers(1, 9),
)
def test_chunks_do_not_matter(standard: DataLayer, quotes: list[Quote], size: int) -> None:
    """However a file is cut into chunks, the page is the same."""
    once, cut = (report(standard, quotes, each) for each in (100, size))
    assert (once.rows, once.refused, once.warned, once.noted) == (cut.rows, cut.refused, cut.warned, cut.noted)
    assert (once.ends.first, once.ends.last) == (cut.ends.first, cut.ends.last)
    assert {rule: rows.text for rule, rows in once.failed_rows.items()} == {
        rule: rows.text for rule, rows in cut.failed_rows.items()
    }
    for label, line in once.prices.lines.items():
        other = cut.prices.lines[label]
        assert (line.level, line.bands.keys()) == (other.level, other.bands.keys())
        for place, band in line.bands.items():  # Arrow rounds decimals of different scales differently
            assert (band.low, band.high) == pytest.approx((other.bands[place].low, other.bands[place].high))
    assert once.all_rows.counts == cut.all_rows.counts
    assert {rule: counts.counts for rule, counts in once.over_time.items()} == {
        rule: counts.counts for rule, counts in cut.over_time.items()
    }
    for name, profile in once.profiles.items():
        assert (profile.low, profile.high, profile.counts) == (
            cut.profiles[name].low,
            cut.profiles[name].high,
            cut.profiles[name].counts,
        )


@given(st.lists(own.records(), min_size=1, max_size=6))
def test_any_records_make_a_page(standard: DataLayer, records: list[Any]) -> None:
    """Whatever the records, the page is whole, and nothing in it runs or is fetched."""
    by_kind = [[record for record in records if type(record) is kind] for kind in {type(record) for record in records}]
    check(page([report(standard, part) for part in by_kind], now_ns=0))


def check(text: str) -> Reader:
    reader = Reader(text)
    assert [] == reader.open
    assert 0 == sum(
        reader.elements[element] for element in ("script", "img", "link", "iframe", "object", "image", "use")
    )
    assert [] == [name for name, _ in reader.attributes if name.startswith(("on", "xlink")) or name == "src"]
    links = [str(value) for name, value in reader.attributes if name == "href"]
    assert all(link.startswith(("#file", "data:text/csv;charset=utf-8,")) for link in links)
    anchors = [value for name, value in reader.attributes if name == "id"]
    assert len(set(anchors)) == len(anchors)
    assert {link[1:] for link in links if link.startswith("#")} <= set(anchors)
    assert "url(" not in text
    assert "@import" not in text
    return reader


@pytest.mark.parametrize("nasty", NASTY)
def test_texts_are_escaped(layer: DataLayer, nasty: str) -> None:
    """A symbol, a column, a file name that looks like markup is text on the page."""
    trades = [Trade(nasty, Instant(place), -1, 0, nasty, nasty) for place in range(3)]
    found = examine(nasty, layer.validator, chunks(trades))
    reader = check(page([found, found], now_ns=0))
    assert reader.text.count(re.sub(r"\s+", " ", nasty)) > 5


def test_several_files_are_one_page(layer: DataLayer) -> None:
    """Several files have an overview that leads to each of them."""
    found = [report(layer, [Quote("A", 10**18, 2, 1)]), report(layer, [Quote("B", 10**18, 1, "1.01")])]
    reader = check(page(found, now_ns=0))
    assert {"#file0", "#file1"} <= {value for name, value in reader.attributes if name == "href"}
    assert "2 rows: 0 would be rejected (0 %), 1 stored with warnings (50.00 %)." in reader.text


def test_memory_is_bounded(layer: DataLayer) -> None:
    """Ten times the rows do not take more memory than a fraction more."""

    def peak(rows: int) -> int:
        def many() -> Iterator[Chunk]:
            for start in range(0, rows, 20_000):
                numbers = np.arange(start, start + 20_000)
                prices = from_scaled(pa.array(numbers), 3)
                table = to_table(QUOTES, [Quote("A", Instant(1), 1, 2)]).take(pa.array([0] * 20_000))
                times = pa.array(numbers * 10**9, pa.timestamp("ns", "UTC"))
                table = (
                    table.set_column(1, "timestamp", times).set_column(2, "bid", prices).set_column(3, "ask", prices)
                )
                yield Chunk(QUOTES, table, range(start + 1, start + 20_001))

        tracemalloc.start()
        found = examine("many", layer.validator, many())
        page([found], now_ns=0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert rows == found.rows
        return most

    assert peak(400_000) < 1.5 * peak(40_000) + 4_000_000


# Its parts


@given(st.lists(st.lists(st.integers(MIN_NS + 1, MAX_NS), max_size=20), max_size=5))
@example([[0, 1], [MAX_NS]])
def test_times_are_counted(parts: list[list[int]]) -> None:
    """Every time is counted in its bin, however far apart they are, in a bounded number of bins."""
    counts = TimeCounts()
    for part in parts:
        counts.add(np.array(part, np.int64))
    times = [ns for part in parts for ns in part]
    assert Counter(ns // counts.width for ns in times) == counts.counts
    assert not times or max(counts.counts) - min(counts.counts) < MOST_BINS


def test_widths_can_be_joined() -> None:
    """Each width of a bin is a multiple of the one before."""
    assert all(wide % narrow == 0 for narrow, wide in itertools.pairwise(WIDTHS))


@given(st.lists(st.integers(-50, 50).map(lambda value: Decimal(value) / 4), min_size=1, max_size=60))
def test_quantiles_are_values(values: list[Decimal]) -> None:
    """Quantiles of few values are exact: values of the column, below which that share of them lies."""
    profile = Profile(QUOTES.by_name["bid"])
    for start in range(0, len(values), 7):
        quotes = [Quote("A", Instant(1), value, None) for value in values[start : start + 7]]
        profile.add(to_table(QUOTES, quotes).column("bid"))
    assert (min(values), max(values)) == (profile.low, profile.high)
    for share, value in zip((0.05, 0.5, 0.95), profile.quantiles(), strict=True):
        assert value in values
        assert sum(one <= value for one in values) >= share * len(values) > sum(one < value for one in values) - 1e-9
    assert (values.count(Decimal(0)), sum(value < 0 for value in values)) == (profile.zero, profile.negative)


def test_quantiles_of_many_values() -> None:
    """Of many distinct values the quantiles come from a sample, and are near."""
    profile = Profile(QUOTES.by_name["bid"])
    for start in range(0, 3 * MOST_DISTINCT, 10_000):
        numbers = [Decimal(number) for number in range(start, start + 10_000)]
        profile.add(pa.chunked_array([pa.array(numbers, pa.decimal128(38, 0))]))
    assert profile.counts is None
    assert "> 20,000" == profile.distinct
    low, median, high = (int(value) / (3 * MOST_DISTINCT) for value in profile.quantiles())
    assert (pytest.approx(0.05, abs=0.01), pytest.approx(0.5, abs=0.01), pytest.approx(0.95, abs=0.01)) == (
        low,
        median,
        high,
    )
    assert (0, 3 * MOST_DISTINCT - 1, 1) == (profile.low, profile.high, profile.zero)


def test_long_decimals_have_a_profile() -> None:
    """Decimals too long for Arrow's, which come as texts, are numbers all the same."""
    profile = Profile(QUOTES.by_name["bid"])
    long = Decimal("1" + 60 * "0" + ".5")
    profile.add(to_table(QUOTES, [Quote("A", Instant(1), long, None), Quote("A", Instant(1), -3, None)]).column("bid"))
    assert (Decimal(-3), long, 1) == (profile.low, profile.high, profile.negative)


@given(st.integers(-(2**61), 2**61), st.integers(1, 2**61))
def test_ticks_are_few_and_in_order(first: int, span: int) -> None:
    """An axis has ticks at round times within its range, none of them twice, and no more than there is room for."""
    ticks = time_ticks(first, first + span)
    assert len(ticks) <= 9
    assert all(0 <= tick.share <= 1 for tick in ticks)
    assert sorted({tick.share for tick in ticks}) == [tick.share for tick in ticks]


@pytest.mark.parametrize(
    ("value", "top"), [(1, 1), (3, 3), (6, 10), (11, 20), (21, 25), (999, 1_000), (1_001, 2_000), (26_000, 50_000)]
)
def test_axes_end_at_round_numbers(value: int, top: int) -> None:
    """The top of an axis is a round number not far above the largest value."""
    assert top == round_up(value)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_500, "1 µs"), (90 * 10**9, "1 min 30 s"), (86_400 * 10**9 * 400, "400 d"), (3_600_000 * 10**6, "1 h")],
)  # fmt: skip
def test_durations(ns: int, text: str) -> None:
    """Lengths of time are told in their two largest units."""
    assert text == duration(ns)


def test_markup_escapes_what_is_not_markup() -> None:
    """Only what is marked as markup is taken for it."""
    assert '<p class="a&quot;b">&lt;b&gt;<b>x</b>3</p>' == tag("p", "<b>", Html("<b>x</b>"), 3, None, class_='a"b')
