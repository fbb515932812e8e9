"""The built-in formats of vendors are recognised by their looks and come out as the vendors mean them."""

from __future__ import annotations

import json
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
from fpa_core.models import Bar, Quote, Trade
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
        shown = set(OFFERS[case.part_of or name].format.parts.values()) or {name}
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


@pytest.mark.parametrize("name", ["mt5.bars", "mt5.ticks", "mt4.bars", "firstrate.bars"])
def test_the_zone_that_a_file_leaves_open_is_asked_for(name: str):
    """Times of a broker's server, or of shares and coins alike, name no instant until the user says the zone."""
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


_WEEKS = {
    "Date,Open,High,Low,Close,Adj Close,Volume": "{},1,2,1,2,2,5",
    "Date,Open,High,Low,Close,Adjusted_close,Volume": "{},1,2,1,2,2,5",
    "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits": "{},1,2,1,2,5,0,0",
    "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor": "{},2,2,1,1,5,2,2,1,1,5,0,1",
    "Date,Price,Open,High,Low,Vol.,Change %": "{},2,1,2,1,5K,1%",
}


@pytest.mark.parametrize("header", _WEEKS)
@pytest.mark.parametrize(
    "days",
    [
        ("2024-04-15", "2024-04-22", "2024-04-29", "2024-05-01"),
        ("2024-05-01", "2024-04-01", "2024-03-01"),
        ("01/04/2024", "01/11/2024", "01/18/2024"),
    ],
)
def test_weeks_under_the_header_of_days_are_asked_about(tmp_path: Path, header: str, days: tuple[str, ...]):
    """Vendors write weeks and months as they write days, so that dates far apart are read only when the interval is said."""
    path = tmp_path / "file.csv"
    path.write_text("\n".join([header, *map(_WEEKS[header].format, days)]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="days apart") as caught:
        records_of(path, symbol="X")
    assert "--interval 1w" in str(caught.value.hint)
    records, rejects = records_of(path, symbol="X", interval="1w")
    assert ["1w"] * len(days) == [record.interval for record in records]
    assert [] == rejects


def test_days_with_holidays_are_days(tmp_path: Path):
    """A long holiday makes no weeks of days, and two rows far apart tell nothing."""
    path = tmp_path / "file.csv"
    days = ["2024-04-25", "2024-04-26", "2024-05-07", "2024-05-08", "2024-05-09"]
    for some in (days, days[:2]):
        lines = ["Date,Open,High,Low,Close,Adj Close,Volume", *(f"{day},1,2,1,2,2,5" for day in some)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert {record.interval for record in records_of(path, symbol="X")[0]} == {"1d"}


_NORGATE = "Date,Open,High,Low,Close,Volume,Turnover,Unadjusted Close,Dividend\n{}\n"


def test_adjusted_prices_of_norgate_are_refused_unless_they_are_meant(tmp_path: Path):
    """Closes that are not those that were traded tell that all prices are adjusted, for splits or for dividends too."""
    path = tmp_path / "AAPL.csv"
    path.write_text(_NORGATE.format("2024-05-01,84,86,83,85,10,1700,170.0,0"), encoding="utf-8")
    with pytest.raises(DataError, match="adjusted: in 1 rows") as caught:
        records_of(path, symbol="AAPL")
    assert "--column close=Close" in str(caught.value.hint)
    records, _ = records_of(path, symbol="AAPL", columns={"close": "Close"})
    assert records == [Bar("AAPL", "2024-05-01T00:00Z", "84", "86", "83", "85", "10", "1d")]


@pytest.mark.parametrize("row", ["2024-05-01,84,86,83,85.000002,10,1700,85,0", "2024-05-01,84,86,83,85,10,1700,,0"])
def test_prices_of_norgate_as_they_were_traded_are_read(tmp_path: Path, row: str):
    """What a single float rounds is no adjustment, and an empty cell tells of none."""
    path = tmp_path / "AAPL.csv"
    path.write_text(_NORGATE.format(row), encoding="utf-8")
    assert [Decimal(85)] == [round(record.close, 5) for record in records_of(path, symbol="AAPL")[0]]


def test_trades_of_bybit_are_read_in_their_older_form(tmp_path: Path):
    """Files without the last column, RPI, and with the newest trade first are trades of Bybit as well."""
    header, *rows = sample("bybit.trades").read_text(encoding="utf-8").splitlines()
    older = [line.rpartition(",")[0] for line in (header, *reversed(rows))]
    path = tmp_path / "BTCUSDT2020-03-26.csv"
    path.write_text("\n".join(older) + "\n", encoding="utf-8")
    assert recognised(path) == {"bybit.trades"}
    assert records_of(path)[0] == list(reversed(CASES["bybit.trades"].records))


def test_quotes_of_options_of_massive_have_fewer_columns(tmp_path: Path):
    """Flat files of options have no conditions nor times of participants, and are quotes all the same."""
    path = tmp_path / "2023-03-28.csv"
    path.write_text(
        "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,sequence_number,sip_timestamp\n"
        "O:SPY241220P00720000,309,326.5,1,303,321.25,2,81779,1680010200067217664\n",
        encoding="utf-8",
    )
    assert recognised(path) == {"massive.quotes"}
    assert records_of(path)[0] == [
        Quote("O:SPY241220P00720000", 1680010200067217664, "321.25", "326.5", "2", "1", "303", "309")
    ]


@pytest.mark.parametrize(
    ("series", "volume", "interval"),
    [
        ("Time Series (60min)", "5. volume", "1h"),
        ("Weekly Time Series", "5. volume", "1w"),
        ("Weekly Adjusted Time Series", "6. volume", "1w"),
        ("Monthly Time Series", "5. volume", "1mo"),
        ("Monthly Adjusted Time Series", "6. volume", "1mo"),
    ],
)
def test_the_series_of_alpha_vantage_tells_the_interval(tmp_path: Path, series: str, volume: str, interval: str):
    """Each series of Alpha Vantage has its own title, and volume moves one place behind an adjusted close."""
    time = "2024-11-29 16:00:00" if interval == "1h" else "2024-11-29"
    bar = {"1. open": "223.35", "2. high": "230.36", "3. low": "222.65", "4. close": "227.41", volume: "17200"}
    if volume == "6. volume":
        bar |= {"5. adjusted close": "225.80", "7. dividend amount": "0.0000"}
    about = {"1. Information": series, "2. Symbol": "IBM", "3. Last Refreshed": time, "4. Time Zone": "US/Eastern"}
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"Meta Data": about, series: {time: bar}}), encoding="utf-8")
    (record,) = records_of(path)[0]
    assert ("IBM", interval, Decimal("227.41"), Decimal(17200)) == (
        *(record.symbol, record.interval),
        *(record.close, record.volume),
    )


def test_adjusted_weeks_of_alpha_vantage_have_names_with_blanks(tmp_path: Path):
    """The CSV of weeks and months writes 'adjusted close' where that of days writes 'adjusted_close'."""
    path = tmp_path / "weekly_adjusted_IBM.csv"
    path.write_text(
        "timestamp,open,high,low,close,adjusted close,volume,dividend amount\n"
        "2024-11-29,223.35,230.36,222.65,227.41,225.80,17200,0.0000\n",
        encoding="utf-8",
    )
    (record,) = records_of(path)[0]
    assert ("1w", Decimal("227.41")) == (record.interval, record.close)


@pytest.mark.parametrize(
    ("time", "stored"),
    [
        ("2023-02-01T05:00:00Z", "2023-02-01T00:00Z"),  # shares in winter
        ("2023-09-27T04:00:00Z", "2023-09-27T00:00Z"),  # shares in summer
        ("2025-08-01T00:00:00Z", "2025-08-01T00:00Z"),  # coins: midnight in UTC
        ("2022-03-08T06:00:00Z", "2022-03-08T06:00Z"),  # coins until July 2025: midnight in Chicago
    ],
)
def test_only_midnights_of_new_york_are_days_of_alpaca(tmp_path: Path, time: str, stored: str):
    """Days of shares begin at midnight in New York, and those of coins elsewhere: no bar comes to another day."""
    path = tmp_path / "bars.json"
    bar = {"t": time, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5, "n": 3, "vw": 1.5}
    path.write_text(json.dumps({"bars": {"X": [bar]}, "next_page_token": None}), encoding="utf-8")
    (record,) = records_of(path, interval="1d")[0]
    assert stored == f"{record.timestamp:%Y-%m-%dT%H:%MZ}"


_SCHWAB = '"Symbol","Description","Qty (Quantity)","Price","Mkt Val (Market Value)","Cost Basis","Asset Type",\n'
_SCHWAB_AAPL = '"AAPL","APPLE INC","10","100.00","$1,000.00","$900.00","Equity",\n'
_SCHWAB_TOTAL = '"{}","--","--","--","$1,000.00","$900.00","--",\n'


def test_positions_of_schwab_have_an_asset_type(tmp_path: Path):
    """What Schwab calls the type of an asset is read under both of the names that it gave it."""
    path = tmp_path / "positions.csv"
    path.write_text(
        f'"Positions for account Individual ...111 as of 10:00 AM ET, 2026/04/26"\n\n{_SCHWAB}{_SCHWAB_AAPL}'
        + _SCHWAB_TOTAL.format("Positions Total"),
        encoding="utf-8",
    )
    records, rejects = records_of(path, as_of="2026-04-26T14:00:00Z")
    assert ["Equity"] == [record.asset_class for record in records]
    assert 1 == len(rejects)


@pytest.mark.parametrize("second", [_SCHWAB, ""])
def test_several_accounts_of_schwab_are_refused(tmp_path: Path, second: str):
    """The accounts of one file are not told apart by its rows, and one would stand for the other."""
    path = tmp_path / "positions.csv"
    part = _SCHWAB_AAPL + _SCHWAB_TOTAL.format("Account Total")
    path.write_text(f"{_SCHWAB}{part}{second}{part}", encoding="utf-8")
    with pytest.raises(DataError, match="several accounts"):
        records_of(path, as_of="2026-04-26T14:00:00Z")


def test_the_zone_of_barchart_is_asked_for(tmp_path: Path):
    """Times of day are those of Chicago for futures and of New York for shares, which the file does not say."""
    path = tmp_path / "file.csv"
    path.write_text(
        "Time,Open,High,Low,Latest,Change,%Change,Volume\n2026-05-07 09:29,7334,7335,7333,7334.5,0,0%,100\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError) as caught:
        records_of(path, symbol="ESM26", interval="1m")
    assert "--tz" in str(caught.value.hint)
    records, _ = records_of(path, symbol="ESM26", interval="1m", tz="America/Chicago")
    assert ["2026-05-07T14:29Z"] == [f"{record.timestamp:%Y-%m-%dT%H:%MZ}" for record in records]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("ES 06-24.Last.txt", "20240502 093000;5100;5101;5099;5100.5;120"),
        ("data.txt", "05/06/2024,09:30,1,2,1,2,5"),
        ("AAPL.csv", "05/06/2024,1,2,1,2,5"),
        ("BTC_full_1min.txt", "2024-05-02 09:30:00,1,2,1,2,5"),
    ],
)
def test_rows_that_several_vendors_write_need_a_name(tmp_path: Path, name: str, row: str):
    """NinjaTrader writes the rows of HistData.com, and anyone those of Kibot, in another zone or order of days; so does FirstRate Data with coins."""
    path = tmp_path / name
    path.write_text(f"{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        records_of(path, symbol="X", interval="1m")
    assert "--as" in str(caught.value.hint)


def test_a_commission_is_of_ones_own(tmp_path: Path):
    """A newer statement of Revolut calls its side a type; its commission tells that these are no trades of the market."""
    path = tmp_path / "revolut.csv"
    path.write_text(
        "Date,Symbol,Type,Quantity,Price,Amount,Currency,State,Commission\n"
        "2024-03-15T13:30:10.514Z,AAPL,BUY,10,171.25,1712.50,USD,COMPLETED,0.00\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError, match="your own orders or fills"):
        records_of(path)


@pytest.mark.parametrize("name", ["20131008_bac_Trade_Tick.csv", "20131008_bac_tick_trade.csv"])
def test_trades_of_lean_have_two_names(tmp_path: Path, name: str):
    """The readme of LEAN and LEAN itself order the words of the name of a file of trades differently."""
    path = tmp_path / name
    path.write_bytes(sample("lean.equity_ticks").read_bytes())
    assert recognised(path, symbol="BAC") == {"lean.equity_ticks"}


_INTRADAY = {
    "Stooq": "Date,Time,Open,High,Low,Close,Volume\n2024-05-01,15:30:00,1,2,1,2,5\n",
    "Alpha Vantage": "timestamp,open,high,low,close,volume\n2024-05-01 15:30:00,1,2,1,2,5\n",
    "Tiingo": "date,close,high,low,open\n2024-05-01 15:30:00+02:00,2,2,1,1\n",
}


@pytest.mark.parametrize("vendor", _INTRADAY)
def test_headers_that_are_no_vendors_own_ask_for_what_is_missing(tmp_path: Path, vendor: str):
    """Files whose header says nothing of the vendor are read by the names of their columns, and ask for the symbol, interval and zone."""
    path = tmp_path / "download.csv"
    path.write_text(_INTRADAY[vendor], encoding="utf-8")
    with pytest.raises(DataError, match="symbol"):
        records_of(path)
    with pytest.raises(DataError, match="interval"):
        records_of(path, symbol="X")
    if vendor != "Tiingo":  # it writes the offset
        with pytest.raises(DataError, match="time zone"):
            records_of(path, symbol="X", interval="5m")
    (record,) = records_of(path, symbol="X", interval="5m", tz="Europe/Warsaw")[0]
    assert ("2024-05-01T13:30Z", "5m") == (f"{record.timestamp:%Y-%m-%dT%H:%MZ}", record.interval)
    assert (Decimal(1), Decimal(2), Decimal(1), Decimal(2)) == (record.open, record.high, record.low, record.close)
