"""The built-in formats of vendors are recognised by their looks and come out as the vendors mean them."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendor_cases import CASES

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import KINDS
from fpa_core.models import Bar, Trade
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.source import FilesSource
from fpa_plugins.files.vendors import BUILT_IN
from fpa_plugins.files.vendors.preparing import fixed_point, one_series

SAMPLES = Path(__file__).parents[1] / "formats"
OFFERS = {offer.name: offer for offer in BUILT_IN}


def sample(name: str) -> Path:
    """Return the one file in the folder of a format."""
    (path,) = (SAMPLES / name).iterdir()
    return path


def request(path: Path, options: dict[str, Any], name: str | None = None) -> SourceRequest:
    """Return the request to read *path* as the user says it."""
    own = {key: options[key] for key in ("symbol", "interval", "account") if key in options}
    form = Format(**{key: value for key, value in options.items() if key not in own})
    return SourceRequest(str(path), **own, format=form, format_name=name, formats=OFFERS)


def records_of(path: Path, name: str | None = None, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return the records of a file and the rows that are set aside."""
    chunks = list(FilesSource().read(request(path, options, name)))
    records = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    return records, [reject for chunk in chunks for reject in chunk.rejects]


def recognised(path: Path, **options: Any) -> set[str | None]:
    """Return the names of the formats that a file is recognised as: several where its rows have several."""
    return {seen.format for seen in FilesSource().sniff(request(path, options))}


@pytest.mark.parametrize("name", CASES)
def test_a_sample_is_read_as_the_vendor_means_it(name: str):
    """A sample of a vendor's file gives exactly the records it stands for, or is refused with the reason."""
    case = CASES[name]
    if case.refusal is not None:
        with pytest.raises(DataError) as caught:
            records_of(sample(name), **case.options)
        assert case.refusal in str(caught.value)
        return
    records, rejects = records_of(sample(name), **case.options)
    assert list(case.records) == records
    assert case.set_aside == len(rejects), rejects


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.part_of is None])
def test_a_sample_is_read_as_what_it_is_called(name: str):
    """A format that is named gives what it gives when it is recognised."""
    case = CASES[name]
    if case.refusal is not None:
        with pytest.raises(DataError, match=case.refusal):
            records_of(sample(name), name, **case.options)
        return
    assert list(case.records) == records_of(sample(name), name, **case.options)[0]


@pytest.mark.parametrize("name", CASES)
def test_a_sample_is_recognised(name: str):
    """A sample has one format alone, which is its own."""
    case = CASES[name]
    path = sample(name)
    if case.refusal is None:
        shown = set(OFFERS[name].format.parts.values()) or {name}
        assert recognised(path, **case.options) <= shown
        return
    with pytest.raises(DataError) as caught:
        records_of(path)
    assert str(OFFERS[name].format.refuse) in str(caught.value)


def test_every_format_has_a_sample():
    """No format is untested, no sample is of none, and the names are unique."""
    assert set(OFFERS) == set(CASES) == {path.name for path in SAMPLES.iterdir()}
    assert len(OFFERS) == len(BUILT_IN)


@pytest.mark.parametrize("offer", BUILT_IN, ids=lambda offer: offer.name)
def test_a_table_is_sound(offer: FormatOffer):
    """The fields of a format are those of its kind, its patterns fit together, and it says what it is in one line."""
    form, match = offer.format, offer.format.match
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9_]+", offer.name)
    assert 10 < len(offer.description) < 110
    assert "\n" not in offer.description
    assert form.refuse or form.divide_by or form.complete
    if form.kind is not None:
        assert set(form.columns) <= set(KINDS[form.kind].by_name)
    assert set(form.parts.values()) <= set(OFFERS)
    if match is None:
        return
    assert match.columns or match.row
    assert not match.row or len(match.row) == len(form.names)
    for pattern in match.row:
        re.compile(pattern)
    if match.file is not None:
        assert set(re.compile(match.file).groupindex) <= {"symbol", "interval", "date"}


def rows_of(**columns: list[str | None]) -> Rows:
    """Return rows of texts."""
    cells = [pa.array(values, pa.string()) for values in columns.values()]
    return Rows(tuple(columns), cells, range(1, len(cells[0]) + 1), str)


def column(rows: Rows, name: str) -> list[Decimal | None]:
    """Return the numbers of a column."""
    values = rows.cells[rows.names.index(name)].to_pylist()
    return [None if value is None else Decimal(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 2)), min_size=1))
def test_fixed_point_prices_are_exact(prices: list[int | None]):
    """Whole billionths become the decimals they stand for, to the last digit; nothing stays nothing."""
    rows = fixed_point("price")(rows_of(price=[None if price is None else str(price) for price in prices]), Format())
    assert column(rows, "price") == [None if price is None else Decimal(price).scaleb(-9) for price in prices]


def test_prices_with_a_point_are_left_alone():
    """Prices that Databento wrote for people are not scaled, and its mark for no price is none."""
    prepare = fixed_point("price", "other")
    assert column(prepare(rows_of(price=["5500.250000000", None]), Format()), "price") == [Decimal("5500.25"), None]
    assert column(prepare(rows_of(price=["9223372036854775807"]), Format()), "price") == [None]
    assert prepare(rows_of(price=["", "x"]), Format()).cells[0].to_pylist() == ["", "x"]


def test_several_series_are_refused():
    """A file of FRED with two series is refused, as one symbol would stand for both."""
    with pytest.raises(DataError, match="2 series: A, B"):
        one_series(rows_of(observation_date=["2024-05-01"], A=["1"], B=["2"]), Format())


@pytest.mark.parametrize("name", ["mt5.bars", "mt5.ticks", "mt4.bars"])
def test_the_zone_of_a_broker_is_asked_for(name: str):
    """Times of a broker's server name no instant until the user says the zone."""
    options = {key: value for key, value in CASES[name].options.items() if key != "tz"}
    with pytest.raises(DataError) as caught:
        records_of(sample(name), **options)
    assert "--tz" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["coinbase.candles", "massive.aggregates", "fred.series"])
def test_an_interval_that_no_one_says_is_asked_for(name: str):
    """A file whose interval neither its rows nor its name tell is refused until the user says it."""
    options = {key: value for key, value in CASES[name].options.items() if key != "interval"}
    with pytest.raises(DataError, match="interval") as caught:
        records_of(sample(name), **options)
    assert "--interval" in str(caught.value.hint)


def test_the_page_of_yahoo_can_be_copied(tmp_path: Path):
    """The marks that the page of Yahoo Finance has at the names of closes, and its dates, are understood."""
    path = tmp_path / "page.csv"
    path.write_text(
        "Date,Open,High,Low,Close*,Adj Close**,Volume\n"
        '"Apr 29, 2024",173.37,176.03,173.10,173.50,172.99,"68,169,400"\n',
        encoding="utf-8",
    )
    records, _ = records_of(path, symbol="AAPL")
    assert records == [Bar("AAPL", "2024-04-29T00:00Z", "173.37", "176.03", "173.1", "173.5", "68169400", "1d")]


def test_the_trades_of_a_file_of_quotes_can_be_taken():
    """Of Databento's mbp-1 and tbbo, the rows that are trades are read when the format is named."""
    records, _ = records_of(sample("databento.quotes"), "databento.trades")
    assert records == [Trade("ESU4", "2024-07-01T00:00:00.0000001Z", "5500.25", "1", side="sell")]
