"""The page of a report: where its rows came from, sentences that read as failures, charts, rows to download."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import QUOTES, kind_of
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Order, Quote, Record, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Chunk
from fpa_core.report import FileReport, examine, page
from fpa_core.report.axes import value_ticks
from fpa_core.report.figures import grouped, moment, size_text
from fpa_core.report.histograms import BINS, histogram
from fpa_core.report.prices import MOST_MARKS, MOST_STEPS, PriceLine, prices_of
from fpa_core.report.rows import MOST_BYTES, MOST_ENDS, MOST_ROWS, Ends, FailedRows, Row

MINUTE = 60 * 10**9
START = 10**18
QUOTED = "symbol,timestamp,bid,ask\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go where a database may be made: rules about orders ask it for what is stored."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def layer() -> Iterator[DataLayer]:
    """Open a layer with the rules of level standard."""
    with fpa_core.open(":memory:") as data:
        yield data


class Texts(HTMLParser):
    """The text of a page, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[dict[str, str | None]] = []
        self._texts: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self._texts))

    def handle_starttag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        if element == "a":
            self.links.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)


def read(report: FileReport) -> Texts:
    return Texts(page([report], now_ns=0))


def report_on(layer: DataLayer, records: Sequence[Record], size: int = 100) -> FileReport:
    kind = kind_of(records[0])
    parts = [(start, records[start : start + size]) for start in range(0, len(records), size)]
    chunks = [Chunk(kind, to_table(kind, part), range(start + 1, start + 1 + len(part))) for start, part in parts]
    return examine("data.csv", layer.validator, iter(chunks))


def rows_of(link: dict[str, str | None]) -> list[dict[str, str]]:
    """Return the rows of a link to CSV."""
    head, _, text = str(link["href"]).partition(",")
    assert "data:text/csv;charset=utf-8" == head
    return list(csv.DictReader(io.StringIO(unquote(text), newline="")))


# Provenance


def test_where_a_report_came_from(tmp_path: Path) -> None:
    """The page names the file with its size and digest, the version, the configuration, its overlay, and what the rules were set to."""
    (tmp_path / "fpa.toml").write_text(
        '[validator.rules."bar.jump"]\nmax_rel = "0.5"\n[env.test.validator.rules."bar.wick"]\nseverity = "info"\n'
        '[validator.rules."time.gap".overrides.A]\nmax_gap = "2h"\n',
        encoding="utf-8",
    )
    file = tmp_path / "bars.csv"
    file.write_bytes(b"symbol,timestamp,open,high,low,close,volume\nA,2024-07-01T00:00:00Z,1,1,1,1,1\n")
    with fpa_core.open(tmp_path / "fpa.toml", env="test", environ={}, lazy=True) as data:
        found = data.report(file, interval="1d")
    proof = found.provenance.file
    assert proof is not None
    assert (len(file.read_bytes()), hashlib.sha256(file.read_bytes()).hexdigest()) == (proof.size, proof.digest)
    assert not found.provenance.changed
    text = read(found).text
    for part in (proof.digest, f"{proof.size} bytes", f"fpa {found.provenance.version}", str(tmp_path / "fpa.toml")):
        assert part in text
    assert "environment test" in text
    assert re.search(r"max_rel = 0.5 of the close before [^ ]*fpa.toml:2", text)
    assert "split_tolerance = 0.03 of the price a split would give default" in text
    assert re.search(r"bar\.wick info [^ ]*fpa.toml:4", text)
    assert re.search(r"for A : max_gap = 7200.0 [^ ]*fpa.toml:5", text)
    assert "window = 10,000 bars default" in text
    assert "order.fill" not in text


def test_the_digest_is_that_of_receipts(layer: DataLayer, tmp_path: Path) -> None:
    """The digest of a report is the digest that an ingest of the file records."""
    file = tmp_path / "quotes.csv"
    file.write_text(f"{QUOTED}A,2024-07-01T00:00:00Z,1,2\n", encoding="utf-8")
    proof = layer.report(file).provenance.file
    receipt = layer.ingest(file)
    assert proof is not None
    assert [proof.digest] == [batch.digest for batch in layer.store.batches() if batch.id == receipt.batch]


def test_a_file_that_changes_while_it_is_read(layer: DataLayer, tmp_path: Path) -> None:
    """The page warns that the digest may be wrong."""
    file = tmp_path / "quotes.csv"
    file.write_text(f"{QUOTED}A,2024-07-01T00:00:00Z,1,2\n", encoding="utf-8")

    def append(rows: int, share: float | None) -> None:  # noqa: ARG001
        file.write_text(f"{QUOTED}A,2024-07-01T00:00:00Z,1,3.5\n", encoding="utf-8")

    found = layer.report(file, progress=append)
    assert found.provenance.changed
    assert "modified while it was read" in read(found).text


def test_seconds_and_rows_without_a_file(layer: DataLayer) -> None:
    """Without a file there is neither size nor digest; the duration is measured by the timer."""
    quotes = [Quote("A", START, 1, 2)]
    ticks = iter([10.0, 12.5])
    chunk = Chunk(QUOTES, to_table(QUOTES, quotes), [1])
    text = read(examine("quotes", layer.validator, iter([chunk]), timer=lambda: next(ticks))).text
    assert "read in 2.5 s" in text
    assert "SHA-256" not in text
    assert "none; the defaults apply" in text


# Sentences and figures


def test_rules_read_as_failures(layer: DataLayer) -> None:
    """The first row that broke a rule comes first, then what was expected, so that a rule does not read as its opposite."""
    text = read(report_on(layer, [Quote("A", START, 1, 2), Quote("A", START + 1, 2, 2)])).text
    assert "quote.locked Row 2: bid and ask are both 2. Expected: the ask differs from the bid." in text


def test_information_is_no_warning(layer: DataLayer) -> None:
    """Findings of severity info have a figure of their own: they neither make a file doubtful nor a figure amber."""
    found = report_on(layer, [Quote("A", START, 2, "2.01"), Quote("A", START + 1, 2, 2)])
    html = page([found], now_ns=0)
    assert (0, 0, 1) == (found.refused, found.warned, found.noted)
    assert "<dt>with warnings</dt><dd>0</dd>" in html
    assert "<dt>with info only</dt><dd>1</dd>" in html
    assert "An ingest would store all 2 rows." in Texts(html).text
    warned = page([report_on(layer, [Quote("A", START, 2, 1)])], now_ns=0)
    assert '<dt>with warnings</dt><dd class="warning">1</dd>' in warned
    assert "1 of them with warnings." in Texts(warned).text


def test_each_example_has_its_sentence(layer: DataLayer) -> None:
    """Every failing row shown says what is wrong with it; a jump shows the close before, and the split that explains it."""
    closes = [100, 50, 49, 7]
    bars = [
        Bar("A", START + place * 86_400 * 10**9, close, close, close, close, 5, "1d")
        for place, close in enumerate(closes)
    ]
    text = read(report_on(layer, bars)).text
    assert "The price 50 is -50.00% from 100; a split of 2 for 1 would explain it." in text
    assert "The price 7 is -85.71% from 49; a split of 7 for 1 would explain it." in text
    assert "100 at 2001-09-09T01:46:40Z" in text
    assert "49 at 2001-09-11T01:46:40Z" in text


def test_numbers_are_grouped(layer: DataLayer) -> None:
    """Large numbers have separators wherever they are shown; the ends of a column are named minimum and maximum."""
    bars = [Bar("A", START + place * MINUTE, 9, 9, 9, 9, volume, "1m") for place, volume in enumerate((134_102_300, 7))]
    text = read(report_on(layer, bars)).text
    assert "134102300" not in text
    assert 2 <= text.count("134,102,300")
    assert "minimum 5 % median 95 % maximum" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("1234", "1,234"),
        ("-1234567.00012", "-1,234,567.00012"),
        ("-0.5", "-0.5"),
        ("1E+5", "1E+5"),
        ("", ""),
    ],
)
def test_grouped(text: str, shown: str) -> None:
    """Digits before the point are grouped, those after it are not, and what is no plain number stays."""
    assert shown == grouped(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20))
def test_grouping_keeps_the_number(number: Decimal) -> None:
    """Without the separators the text is the same."""
    assert f"{number:f}" == grouped(f"{number:f}").replace(",", "")


def test_sizes_and_moments() -> None:
    """Sizes have the largest unit below them and the exact bytes; a midnight is a date."""
    assert ("999 bytes", "1.5 kB (1,500 bytes)", "2.0 GB (2,000,000,000 bytes)") == (
        size_text(999),
        size_text(1_500),
        size_text(2 * 10**9),
    )
    assert ("1970-01-01", "1970-01-01 00:00:00.001") == (moment(0), moment(10**6))


# Contents and rows


def test_the_contents_lead_to_all_sections(layer: DataLayer) -> None:
    """Each section has an entry in the table of contents, for each file its own."""
    found = report_on(layer, [Quote("A", START, 2, 1), Quote("A", START + 1, 1, 2)])
    html = page([found, found], now_ns=0)
    anchors = set(re.findall(r'<section id="([^"]+)"', html))
    assert {"file0-rules", "file0-prices", "file0-examples", "file0-gaps", "file0-ends", "file1-making"} <= anchors
    links = {str(link["href"])[1:] for link in Texts(html).links}
    assert anchors <= links


def test_first_and_last_rows() -> None:
    """The ends of a file are its first and last rows, none twice, however it is cut."""
    trades = [Trade("A", START + place, place + 1, 1) for place in range(3 * MOST_ENDS)]
    kind = kind_of(trades[0])
    for size in (1, 4, 100):
        for count in (1, MOST_ENDS, MOST_ENDS + 2, 3 * MOST_ENDS):
            ends = Ends()
            for start in range(0, count, size):
                part = trades[start : min(start + size, count)]
                ends.add(kind, to_table(kind, part), range(start + 1, start + 1 + len(part)))
            numbers = list(range(1, count + 1))
            assert numbers[:MOST_ENDS] == [row.number for row in ends.first]
            assert [number for number in numbers[-MOST_ENDS:] if number > MOST_ENDS] == [
                row.number for row in ends.last
            ]
            assert all(str(row.number) == row.values["price"] for row in (*ends.first, *ends.last))


def test_failing_rows_can_be_saved(layer: DataLayer) -> None:
    """Each rule has a link with its failing rows as CSV, exact and with what is wrong; texts of any kind survive."""
    nasty = 'a,"b" c&<d>=1+1 %41'
    trades = [Trade(nasty, START, "0.10", 5), Trade(nasty, START + 1, "-0.123456789", 5)]
    links = [link for link in read(report_on(layer, trades)).links if "download" in link]
    (price,) = [link for link in links if str(link["download"]) == "data.csv-trade.positive.csv"]
    (row,) = rows_of(price)
    assert ("2", nasty, "-0.123456789") == (row["row"], row["symbol"], row["price"])
    assert "-0.123456789" in row["finding"]


def test_unparsed_rows_can_be_saved(layer: DataLayer, tmp_path: Path) -> None:
    """Rows that are no records are saved with their text and the problem."""
    file = tmp_path / "quotes.csv"
    file.write_text(f"{QUOTED}A,2024-07-01T00:00:00Z,1,2\nA,never,1,2\n", encoding="utf-8")
    (link,) = [link for link in read(layer.report(file)).links if "record.shape" in str(link.get("download"))]
    (row,) = rows_of(link)
    assert "2" == row["row"]
    assert "never" in row["text"]
    assert "'never'" in row["finding"]


def test_saved_rows_are_bounded(layer: DataLayer) -> None:
    """A link has the first rows only, and says of how many."""
    count = MOST_ROWS + 500
    found = report_on(layer, [Quote("A", START + place, 2, 2) for place in range(count)], size=400)
    (link,) = [link for link in read(found).links if "quote.locked" in str(link.get("download"))]
    saved = rows_of(link)
    assert list(range(1, len(saved) + 1)) == [int(row["row"]) for row in saved]
    assert MOST_ROWS == len(saved)
    assert f"CSV of the first {MOST_ROWS:,} of {count:,} rows" in read(found).text


def test_saved_bytes_are_bounded() -> None:
    """Long rows fill a link before there are many of them; after the first that does not fit no later one is kept."""
    rows = FailedRows(["text"])
    for number in range(1, 20):
        rows.add(Row(number, {"text": "ä" * 10_000}), "too long")
    rows.add(Row(20, {"text": "short"}), "short")
    assert 0 == rows.room
    assert 6 == rows.count == rows.text.count("too long")
    assert len(rows.text.encode()) <= MOST_BYTES


# Charts


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 10**18), st.floats(-1e9, 1e9)), min_size=1, max_size=20),
        min_size=1,
        max_size=6,
    )
)
def test_bands_contain_the_prices(parts: list[list[tuple[int, float]]]) -> None:
    """The band of each step is the lowest and the highest price in it, in a bounded number of steps."""
    line = PriceLine()
    for part in parts:
        ordered = sorted(part)
        line.add(np.array([ns for ns, _ in ordered]), np.array([price for _, price in ordered]))
    expected: dict[int, list[float]] = {}
    for ns, price in (each for part in parts for each in part):
        expected.setdefault(ns // line.width, []).append(price)
    assert {place: (min(prices), max(prices)) for place, prices in expected.items()} == {
        place: (band.low, band.high) for place, band in line.bands.items()
    }
    assert max(line.bands) - min(line.bands) < MOST_STEPS


def test_prices_of_each_kind() -> None:
    """Quotes have the mid of their sides or the one they have; trades and bars have their price; orders have none."""
    quotes = [
        Quote("A", START, 1, 2),
        Quote("A", START, None, 3),
        Quote("A", START, 4, None),
        Quote("A", START, None, None),
    ]
    assert [1.5, 3.0, 4.0] == prices_of(QUOTES, to_table(QUOTES, quotes)).tolist()[:3]
    assert np.isnan(prices_of(QUOTES, to_table(QUOTES, quotes))[3])
    order = Order("1", "A", 1, "buy", "market", timestamp=START)
    assert prices_of(kind_of(order), to_table(kind_of(order), [order])) is None


def test_rejected_rows_are_marked_and_not_drawn(layer: DataLayer) -> None:
    """A price that would be rejected does not stretch the scale; it is marked, with its rule, as warnings are."""
    bars = [Bar("A", START + place * MINUTE, 100, 101, 99, 100 + place % 2, 1, "1m") for place in range(50)]
    found = report_on(layer, [*bars[:20], evolve(bars[20], close=5_000), *bars[21:]])
    line = found.prices.lines["A 1m"]
    prices = {price for band in line.bands.values() for price in (band.low, band.high)}
    assert {100.0, 101.0} == prices
    assert [("bar.range", "error", 5_000.0)] == [(mark.rule, mark.severity, mark.price) for mark in line.marks]
    html = page([found], now_ns=0)
    assert 1 == html.count("<circle")
    assert "bar.range at 2001-09-09 02:06:40: 5,000" in html


def test_many_findings_are_marked_below_the_line(layer: DataLayer) -> None:
    """Circles for thousands of findings would cover the line: the steps that have some are marked below it."""
    found = report_on(layer, [Quote("A", START + place * MINUTE, 2, 1) for place in range(MOST_MARKS + 1)])
    html = page([found], now_ns=0)
    assert "<circle" not in html
    assert MOST_MARKS + 1 == found.prices.lines["A"].broken["warning"].total
    assert f"more than {MOST_MARKS} findings" in html


def test_the_line_breaks_at_gaps(layer: DataLayer) -> None:
    """The line of a series with a gap has two pieces, and the gap is shaded; without one it has one piece."""
    bars = [Bar("A", START + place * MINUTE, 1, 1, 1, 1, 1, "1m") for place in range(200)]
    for missing, pieces in ((0, 1), (60, 2)):
        html = page([report_on(layer, [*bars[:50], *bars[50 + missing :]])], now_ns=0)
        (path,) = re.findall(r'<path d="([^"]*)"', html)
        assert (pieces, pieces - 1) == (path.count("M"), html.count('class="gap"'))


@given(
    st.dictionaries(st.floats(-1e12, 1e12), st.integers(1, 1_000), min_size=2, max_size=60),
    st.booleans(),
)
def test_histograms_count_every_value(counts: dict[float, int], whole: bool) -> None:
    """Each value is in the bin whose range it lies in, or in an outer one; the number of bins is bounded."""
    found = histogram(counts, whole=whole)
    if found is None:
        return
    assert sum(counts.values()) == sum(found.counts)
    assert len(found.counts) <= 3 * BINS
    assert sum(count for value, count in counts.items() if value < found.start) == found.below
    assert sum(count for value, count in counts.items() if value >= found.end) == found.above
    assert not whole or found.width >= 1


def test_histograms_have_round_bins() -> None:
    """Bins begin at round numbers; values far away from nearly all others are counted in the outer bins."""
    counts = Counter({float(value): 10 for value in range(100)})
    plain = histogram(counts, whole=True)
    far = histogram(counts | Counter({1e9: 1}), whole=True)
    assert plain is not None
    assert far is not None
    assert (0, 5, 20, 0) == (plain.start, plain.width, len(plain.counts), plain.above)
    assert (far.start, far.width, far.above) == (plain.start, plain.width, 1)
    assert histogram({1.0: 5}) is None
    assert histogram({1.0: 5, float("inf"): 1}) is None


def test_the_page_has_histograms_of_numbers(layer: DataLayer) -> None:
    """Columns of numbers with different values have a histogram; others have none."""
    html = page([report_on(layer, [Trade("A", START + place, place + 1, 5) for place in range(30)])], now_ns=0)
    assert ["price"] == re.findall(r'<figure class="histogram"><h3><code>(\w+)</code>', html)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_ticks_of_prices(low: float, span: float) -> None:
    """The ticks of a price axis are few, in order, and within it; their labels differ."""
    ticks = value_ticks(low, low + span)
    slack = span * 1e-6 + abs(low) * 1e-12
    assert 1 <= len(ticks) <= 6
    assert all(low - slack <= value <= low + span + slack for value, _ in ticks)
    assert [value for value, _ in ticks] == sorted(value for value, _ in ticks)
    if span > abs(low) * 1e-9:
        assert len({label for _, label in ticks}) == len(ticks)


def test_nothing_to_draw(layer: DataLayer) -> None:
    """Rows without a price, and a price that never changes, make a page all the same."""
    empty = report_on(layer, [Quote("A", Instant(1), None, None)])
    assert "file0-prices" not in page([empty], now_ns=0)
    assert "file0-prices" in page([report_on(layer, [Trade("A", Instant(1), 5, 1)])], now_ns=0)
