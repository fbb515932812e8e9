"""What files once did that nobody saw: wrong times, lost trades, prints that were none. Each is right now, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Position, Quote, Trade

CASES = Path(__file__).parents[1] / "cases"
NOON = "2024-05-01T14:30:00Z"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a data layer over an empty database."""
    config = tmp_path / "fpa.toml"
    config.write_text('[store]\npath = "faults.db"\n', "utf-8")
    with fpa_core.open(config) as layer:
        yield layer


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes lines to a file."""

    def written(*lines: str, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return written


def held(data: DataLayer) -> list[Any]:
    """Return all that the database holds."""
    return [record for kind in KINDS for record in data.select(kind)]


def refusal(data: DataLayer, path: Path, **options: Any) -> str:
    """Return why a file is refused, which must leave nothing behind."""
    with pytest.raises(DataError) as caught:
        data.ingest(path, **options)
    assert held(data) == []
    return str(caught.value)


def test_sixteen_digits_are_microseconds(data: DataLayer):
    """A time of sixteen digits is in microseconds since 1970: in 2020, not in January 1970."""
    data.ingest(CASES / "A15_tardis_trades/t.csv")
    assert [trade.ts_ns for trade in data.select("trades")] == [1585699202957000000, 1585699203957000000]


def test_a_date_of_seventeen_digits_needs_a_zone(data: DataLayer, file: Callable[..., Path]):
    """A date and time of seventeen digits is no count of nanoseconds, and its zone is asked for."""
    path = file("symbol,time,bid,ask", "600519.SH,20240102093000500,1685.01,1685.20")
    assert "--tz" in refusal(data, path)
    data.ingest(path, tz="Asia/Shanghai")
    assert held(data) == [Quote("600519.SH", "2024-01-02T01:30:00.5Z", "1685.01", "1685.2")]


def test_a_fraction_without_a_mark_is_of_whole_thousandths(data: DataLayer, file: Callable[..., Path]):
    """Digits of a time without marks are milli-, micro- or nanoseconds, or their row alone is rejected; with a mark any number is a fraction."""
    times = [
        "20240501143000123",
        "20240501143001123456",
        "20240501143002123456789",
        "20240501143003",
        "20240501143005.5",
    ]
    rows = [f"X,{time},10,1" for time in times]
    odd = "X,2024050114300400123,10,1"
    assert "2024050114300400123' is a number whose unit" in refusal(
        data, file("symbol,timestamp,price,size", odd), tz="UTC"
    )
    path = file("symbol,timestamp,price,size", *rows * 400, odd, name="many.csv")
    assert data.ingest(path, tz="UTC").rejected == 1
    fractions = [trade.ts_ns % 10**9 for trade in held(data)[::400]]
    assert fractions == [123_000_000, 123_456_000, 123_456_789, 0, 500_000_000]


@pytest.mark.parametrize(
    "header", ["symbol,timestamp,price,amount", "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
)
def test_a_number_of_another_unit_is_no_time_of_1970(data: DataLayer, file: Callable[..., Path], header: str):
    """A count of seconds amid one of microseconds is rejected, whether the unit was found out or is that of a format, unless the user said the unit."""
    row = {"symbol": "XBTUSD", "local_timestamp": "1585699203957000", "side": "buy", "price": "6425.5", "amount": "12"}
    lines = [
        ",".join({**row, "timestamp": time}.get(name, "a") for name in header.split(","))
        for time in (*(f"1585699202{number:06}" for number in range(1_000)), "1714573800")
    ]
    path = file(header, *lines)
    receipt = data.ingest(path)
    assert (receipt.inserted, receipt.rejected) == (1_000, 1)
    problem = receipt.rejections[0].example
    assert "'1714573800' is a number of seconds since 1970, and the column is in microseconds" in problem
    assert data.ingest(path, time_unit="us").inserted == 1
    assert min(trade.ts_ns for trade in held(data)) == 1_714_573_800_000


@pytest.mark.parametrize("word", ["nan", "NaN", "null", "None", "-", "0", "1.23457E+17", ""])
def test_what_stands_for_no_id_joins_no_trades(data: DataLayer, file: Callable[..., Path], word: str):
    """Two trades of an instant whose ids are only a word for none, or the rest of a rounded one, stay two."""
    data.ingest(file("symbol,timestamp,price,size,trade_id", f"A,{NOON},1.0,1,{word}", f"A,{NOON},1.1,2,{word}"))
    assert held(data) == [Trade("A", NOON, "1", "1"), Trade("A", NOON, "1.1", "2")]


def test_an_id_of_two_prices_is_told(data: DataLayer, file: Callable[..., Path]):
    """An id that comes again at the same instant with another price is a warning."""
    receipt = data.ingest(file("symbol,timestamp,price,size,trade_id", f"A,{NOON},1.0,1,7", f"A,{NOON},1.1,2,7"))
    assert "trade.id" in receipt.warnings


@pytest.mark.parametrize(
    ("name", "bar"),
    [
        ("barchart.csv", ("AAPL", "2024-05-01T20:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d")),
        ("inv.csv", ("X", "2024-05-01T20:00Z", "169.58", "172.71", "169.11", "169.3", "50380000", "1d")),
    ],
)
def test_a_close_called_last_or_price_is_no_trade(data: DataLayer, name: str, bar: tuple[str, ...]):
    """A row with open, high and low is a bar, whatever its close is called; the volume of a day is no trade."""
    data.ingest(CASES / "D01_ohlc_last_as_trade" / name, symbol="X", interval="1d")
    assert held(data) == [Bar(*bar)]


@pytest.mark.parametrize(
    "lines",
    [
        ("symbol,date,side,qty,price,status", f"A,{NOON},buy,1,2,filled"),
        ("symbol,timestamp,side,commission", f"A,{NOON},buy,0.1"),
        ("timestamp,symbol,order_id,side,price,size", f"{NOON},A,77,buy,1,2"),
        ("timestamp,symbol,is_snapshot,side,price,amount", f"{NOON},A,true,bid,1,2"),
        ("timestamp,symbol,action,side,price,size", f"{NOON},A,A,B,1,2"),
    ],
    ids=lambda lines: lines[0],
)
def test_executions_and_levels_are_no_prints(data: DataLayer, file: Callable[..., Path], lines: tuple[str, ...]):
    """A file whose columns tell of own orders, own executions or levels of a book is not taken for prints of the market."""
    assert refusal(data, file(*lines))


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("quotes", ("time,symbol,first,second", f"{NOON},A,1,2")),
        ("trades", ("time,symbol,size,second", f"{NOON},A,1,2")),
        ("positions", ("time,symbol,quantity,second", f"{NOON},A,1,2")),
    ],
)
def test_a_kind_that_is_said_needs_a_column_that_tells_it(
    data: DataLayer, file: Callable[..., Path], kind: str, lines: tuple[str, ...]
):
    """No record without its essence is stored because the kind was said: the column is asked for."""
    assert "--column" in refusal(data, file(*lines), kind=kind)


def test_a_bar_of_a_day_is_found_on_its_day(data: DataLayer):
    """A midnight of Tokyo begins the day it is written as, and the same days from a file of dates add nothing."""
    options = {"symbol": "4063.T", "interval": "1d"}
    data.ingest(CASES / "A03_yfinance_tz_daily/4063.T.csv", **options)
    again = data.ingest(CASES / "A03_yfinance_tz_daily/plain.csv", **options)
    assert (0, 2, 0) == (again.inserted, again.duplicate, again.revised)
    (bar,) = data.select("bars", start="2022-01-04T00:00:00Z", end="2022-01-05T00:00:00Z")
    assert bar == Bar("4063.T", "2022-01-04T00:00Z", "4050", "4134", "4022", "4131", "5385000", "1d")


def test_an_interval_is_held_against_the_data(data: DataLayer):
    """A date alone is no bar of a minute, and bars a minute apart that are said to be of a day are a warning."""
    folder = CASES / "B65_interval_trusted"
    assert "--interval 1d" in refusal(data, folder / "daily.csv", symbol="X", interval="1m")
    assert "bar.interval" in data.ingest(folder / "min.csv", symbol="X", interval="1d").warnings


def test_date_and_time_of_day_are_joined(data: DataLayer):
    """A column of dates and one of times of day are one time, and none of three minutes is lost."""
    data.ingest(CASES / "B43_date_and_time/dt.csv", symbol="X", interval="1m", tz="UTC")
    minutes = ["2006-01-02T09:01:00", "2006-01-02T09:02:00", "2006-01-02T09:03:00"]
    assert minutes == [bar.timestamp.strftime("%Y-%m-%dT%H:%M:%S") for bar in data.select("bars")]


def test_positions_of_accounts_stay_apart(data: DataLayer, file: Callable[..., Path]):
    """The same symbol in two accounts is two positions."""
    data.ingest(
        file(
            "Account Number,Symbol,Time,Quantity,Market Value,Cost Basis",
            f"U1,AAPL,{NOON},5,600,500",
            f"U2,AAPL,{NOON},7,840,800",
        )
    )
    expected = [("U1", "5", "600", "500"), ("U2", "7", "840", "800")]
    assert held(data) == [
        Position("AAPL", quantity, value, cost, timestamp=NOON, account=account)
        for account, quantity, value, cost in expected
    ]


def test_lots_of_a_position_are_told(data: DataLayer):
    """Two rows of one position that differ are a warning, since one of them stands in the end."""
    assert "position.conflict" in data.ingest(CASES / "B48_positions/lots.csv").warnings


@pytest.mark.parametrize(
    "lines",
    [
        ("symbol,date,expiration,strike,type,open,high,low,close", "SPY,2024-05-01,2024-05-03,500,C,2,3,1,2"),
        ("symbol,series,date,open,high,low,close", "RELIANCE,EQ,2024-05-01,2540,2541,2530,2540"),
        ("symbol,timestamp,expiration,strike,type,bid,ask", f"SPY,{NOON},2024-05-03,500,C,2.1,2.2"),
    ],
    ids=lambda lines: lines[0],
)
def test_securities_of_one_symbol_are_not_one_series(
    data: DataLayer, file: Callable[..., Path], lines: tuple[str, ...]
):
    """A chain of options and the series of a share are refused until each security has a name of its own."""
    other = lines[1].replace(",500,", ",501,").replace(",EQ,", ",N2,")
    options = {"interval": "1d"} if "close" in lines[0] else {}
    assert "symbol" in refusal(data, file(*lines, other), **options)


def test_an_id_that_became_a_float_is_the_same_id(data: DataLayer, tmp_path: Path, file: Callable[..., Path]):
    """An id with a point and zeros, from a column of floats or a JSON number, or with a blank before it is that id."""
    data.ingest(file("symbol,timestamp,price,size,trade_id", f"A,{NOON},169.50,100,12345678901"))
    path = tmp_path / "rows.parquet"
    columns = {"symbol": ["A"], "timestamp": [NOON], "price": [169.5], "size": [100.0], "trade_id": [12345678901.0]}
    pq.write_table(pa.table(columns), path)
    row = f'{{"symbol":"A","timestamp":"{NOON}","price":169.5,"size":100,"trade_id":12345678901.0}}'
    for again in (
        path,
        file(row, name="rows.jsonl"),
        file("symbol, timestamp, price, size, trade_id", f"A, {NOON}, 169.5, 100, 12345678901", name="blanks.csv"),
    ):
        receipt = data.ingest(again)
        assert (0, 1) == (receipt.inserted, receipt.duplicate)
    assert held(data) == [Trade("A", NOON, "169.5", "100", trade_id="12345678901")]


def test_an_amount_of_money_is_no_size(data: DataLayer):
    """Beside a volume the amount is the money that changed hands."""
    data.ingest(CASES / "B39_dup_columns/amtonly.csv")
    assert [Decimal(100)] == [trade.size for trade in data.select("trades")]


@pytest.mark.parametrize("folder", ["A16_databento", "A16b_databento_renamed"])
def test_prices_in_billionths_are_prices(data: DataLayer, folder: str):
    """Fixed-point prices of a vendor that is known by its columns are stored as the prices they stand for."""
    data.ingest(CASES / folder / "ohlcv.csv")
    assert held(data) == [Bar("ESH4", "2024-01-01T00:00Z", "4500", "4510", "4490", "4505", "1000", "1m")]


def test_a_file_that_rewrites_stored_bars_is_told(data: DataLayer):
    """Bars that differ from what the store holds of their days are a warning each."""
    folder = CASES / "E06_cross_file_conflict"
    data.ingest(folder / "a.csv", interval="1d")
    receipt = data.ingest(folder / "adj.csv", interval="1d")
    assert (2, 2) == (receipt.revised, receipt.warnings["bar.conflict"])


def test_a_side_that_disagrees_with_the_sign_is_told(data: DataLayer):
    """A short position of more than nothing, and a long one of less, are warnings."""
    assert data.ingest(CASES / "D14_position_conflict_side/a.csv").warnings["position.side"] == 2


@pytest.mark.parametrize("symbol", ["true", "NaN", '["A"]', '{"a": 1}', "null", "600519.0", "1e5"])
def test_what_is_no_text_is_no_symbol(data: DataLayer, file: Callable[..., Path], symbol: str):
    """A JSON value that is neither a text nor a whole number names nothing, and its row alone is set aside."""
    rows = (f'{{"symbol":{name},"timestamp":"{NOON}","bid":1,"ask":2}}' for name in ('"A"', symbol))
    data.ingest(file(*rows, name="rows.jsonl"))
    assert held(data) == [Quote("A", NOON, "1", "2")]
    (aside,) = data.quarantine.list()
    assert aside.row == 2
    assert "symbol" in str(aside.findings)


def test_seconds_are_no_nanoseconds():
    """A count of seconds is refused as a time in nanoseconds, and the error names the unit."""
    with pytest.raises(DataError, match="seconds"):
        Quote("A", 1_714_573_800, "1", "2")


@pytest.mark.parametrize(
    ("written", "interval"), [("60m", "1h"), ("3600s", "1h"), ("24h", "1d"), ("7d", "1w"), ("60s", "1m"), ("1h", "1h")]
)
def test_a_length_of_time_has_one_spelling(written: str, interval: str):
    """Intervals of one length are one interval, so that a bar of two vendors is there once."""
    assert interval == Bar("A", NOON, "1", "2", "1", "2", None, written).interval


def test_control_characters_of_a_file_stay_off_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A header with escape sequences reaches the terminal with none of them."""
    monkeypatch.chdir(tmp_path)
    path = str(CASES / "D04_escape_in_header/e.csv")
    result = CliRunner().invoke(cli, ["ingest", path, "--symbol", "X", "--interval", "1d"])
    assert result.exit_code == 0
    assert "owned" in result.output
    assert not set(result.output) & {"\x1b", "\x07"}
