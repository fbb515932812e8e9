"""What Python programs hold, handed to the data layer in one call: frames, tables, dicts, lists, documents, open files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.exceptions import DataError
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Trade

DAYS = pd.DatetimeIndex(["2024-05-01", "2024-05-02"], name="Date")
MINUTES = pd.DatetimeIndex(["2024-05-01 09:30", "2024-05-01 09:31"], name="Datetime").tz_localize("America/New_York")
PRICES = {"Adj Close": 168.9, "Close": 169.3, "High": 172.71, "Low": 169.11, "Open": 169.58, "Volume": 50383147}
WITHOUT_ADJUSTED = ("Close", "High", "Low", "Open", "Volume")

NOON = "2024-05-01T12:00:00.123456789Z"
LATER = "2024-05-01T12:00:01Z"
PAGE = {
    "bars": {
        "AAPL": [{"t": "2024-05-01T13:30:00Z", "o": 1.1, "h": 2, "l": 0.1, "c": 0.3, "v": 100, "n": 3, "vw": 1.25}]
    },
    "next_page_token": None,
}
"""A page of Alpaca's bars."""
PAGED = [Bar("AAPL", "2024-05-01T13:30Z", "1.1", "2", "0.1", "0.3", "100", "1m", "1.25", 3)]
CSV = f"symbol,timestamp,price,size\nA,{NOON},1.10,5\n"
FROM_CSV = [Trade("A", NOON, "1.1", "5")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataLayer]:
    """Open a data layer over an empty database."""
    monkeypatch.chdir(tmp_path)
    with fpa_core.open() as layer:
        yield layer


def download(*tickers: str, index: pd.Index, fields: tuple[str, ...] = WITHOUT_ADJUSTED, first: str = "Price") -> Any:
    """Make the frame that ``yfinance.download`` returns: columns of two levels, prices a unit higher in each row."""
    pairs = [(field, ticker) for field in fields for ticker in tickers]
    columns = pd.MultiIndex.from_tuples(pairs, names=["Price", "Ticker"])
    rows = [[PRICES[field] + row for field, _ in pairs] for row in range(len(index))]
    frame = pd.DataFrame(rows, index=index, columns=columns)
    return frame if first == "Price" else frame.swaplevel(axis=1).sort_index(axis=1)


def bar(symbol: str, row: int = 0, at: str | None = None, interval: str = "1d") -> Bar:
    """Return the bar that a row of :func:`download` stands for."""
    names = ("Open", "High", "Low", "Close", "Volume")
    values = [repr(PRICES[name] + row) for name in names]
    return Bar(symbol, at or f"2024-05-0{1 + row}T00:00Z", *values, interval)  # type: ignore[arg-type]


def stored(data: DataLayer, kind: str) -> list[Any]:
    """Return all records of a kind, by symbol and time."""
    return list(data.select(kind))


def test_a_download_of_one_symbol(data: DataLayer) -> None:
    """One symbol comes under two levels of columns, as yfinance makes them, and is named by the second."""
    receipt = data.ingest(download("AAPL", index=DAYS))
    assert (2, 0) == (receipt.inserted, receipt.quarantined)
    assert [bar("AAPL"), bar("AAPL", 1)] == stored(data, "bars")


def test_a_download_of_several_symbols(data: DataLayer) -> None:
    """Where the market of a symbol was closed, its NaN make no bar; the others are whole."""
    frame = download("7203.T", "AAPL", index=DAYS)
    frame.loc[DAYS[1], (slice(None), "7203.T")] = np.nan
    receipt = data.ingest(frame)
    assert (3, 0) == (receipt.read, receipt.quarantined)
    assert [bar("7203.T"), bar("AAPL"), bar("AAPL", 1)] == stored(data, "bars")


def test_a_download_grouped_by_ticker(data: DataLayer) -> None:
    """The symbol may stand on the upper level, as with ``group_by="ticker"``."""
    data.ingest(download("AAPL", "MSFT", index=DAYS, first="Ticker"))
    assert [bar("AAPL"), bar("AAPL", 1), bar("MSFT"), bar("MSFT", 1)] == stored(data, "bars")


def test_a_download_of_minutes(data: DataLayer) -> None:
    """Minutes come with the zone of the exchange, and are the instants that they name."""
    data.ingest(download("AAPL", index=MINUTES), interval="1m")
    expected = [bar("AAPL", row, f"2024-05-01T13:3{row}Z", "1m") for row in (0, 1)]
    assert expected == stored(data, "bars")


def test_a_download_that_is_not_adjusted(data: DataLayer) -> None:
    """With ``auto_adjust=False`` there are two closes: the one that was traded is taken, and the other told."""
    receipt = data.ingest(download("AAPL", "MSFT", index=DAYS, fields=tuple(PRICES)))
    assert [bar("AAPL"), bar("AAPL", 1), bar("MSFT"), bar("MSFT", 1)] == stored(data, "bars")
    assert any("Adj Close" in note for note in receipt.notes)


@pytest.mark.parametrize("name", ["timestamp", "Datetime", None])
def test_a_frame_without_a_zone(data: DataLayer, name: str | None) -> None:
    """Times without a zone are asked about, and are local times where one is said; an index of times needs no name."""
    index = pd.DatetimeIndex(["2024-05-01 09:30", "2024-05-01 09:31"], name=name)
    identifier = 2**60 + 1
    frame = pd.DataFrame({"symbol": "A", "price": [0.1, np.nan], "size": [1, 2], "trade_id": [identifier, 7]}, index)
    with pytest.raises(DataError, match="no time zone") as caught:
        data.ingest(frame)
    assert "--tz" in (caught.value.hint or "")
    receipt = data.ingest(frame, tz="America/New_York")
    assert [Trade("A", "2024-05-01T13:30Z", "0.1", "1", trade_id=str(identifier))] == stored(data, "trades")
    assert ["price: it is missing"] == [each.reason for each in receipt.rejections]


def test_a_frame_without_an_index(data: DataLayer) -> None:
    """A running number is no column, NaT is a missing time, and nanoseconds are kept."""
    times = pd.to_datetime([NOON, None], utc=True)
    receipt = data.ingest(pd.DataFrame({"symbol": ["A", "B"], "timestamp": times, "price": [0.1, 2], "size": [1, 2]}))
    assert [Trade("A", NOON, "0.1", "1")] == stored(data, "trades")
    assert ["timestamp: it is missing"] == [each.reason for each in receipt.rejections]
    assert () == receipt.notes


class Stream:
    """What any library of columns may offer: an Arrow stream, and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the stream as a capsule."""
        return self._table.__arrow_c_stream__(requested_schema)


COLUMNS = {
    "symbol": ["A", "B"],
    "timestamp": [NOON, LATER],
    "price": [Decimal("1.10"), Decimal("0.00000001")],
    "size": [0.1, None],
    "trade_id": [2**63 - 1, 1],
}


@pytest.mark.parametrize(
    "made",
    [pa.table, pl.DataFrame, pd.DataFrame, lambda columns: Stream(pa.table(columns)), dict],
    ids=["arrow", "polars", "pandas", "stream", "dict"],
)
def test_columns_of_any_library(data: DataLayer, made: Callable[[Any], Any]) -> None:
    """Decimals, floats, ids and nanoseconds come out the same whichever library holds them; what is missing is told."""
    receipt = data.ingest(made(COLUMNS))
    assert [Trade("A", NOON, "1.1", "0.1", trade_id=str(2**63 - 1))] == stored(data, "trades")
    assert ["size: it is missing"] == [each.reason for each in receipt.rejections]


def test_columns_of_mixed_values(data: DataLayer) -> None:
    """The lists of a dict may hold any numbers beside each other, and each is read by itself."""
    columns = {
        "symbol": ["A", "B", "C"],
        "timestamp": [pd.Timestamp(NOON), LATER, pd.NaT],
        "price": [Decimal("1.50"), 0.1, 1],
        "size": (np.float32(1.1), np.int64(3), 1),
        "trade_id": [2**70, "0x1f", None],
    }
    receipt = data.ingest(columns)
    expected = [Trade("A", NOON, "1.5", "1.1", trade_id=str(2**70)), Trade("B", LATER, "0.1", "3", trade_id="0x1f")]
    assert expected == stored(data, "trades")
    assert ["timestamp: it is missing"] == [each.reason for each in receipt.rejections]


def test_columns_of_arrays(data: DataLayer) -> None:
    """Arrays of numpy are columns: single floats by their own shortest text, NaT as missing."""
    columns = {
        "symbol": np.array(["A", "B"]),
        "timestamp": np.array(["2024-05-01T12:00:00.123456789", "NaT"], "datetime64[ns]"),
        "price": np.array([1.1, 2.2], np.float32),
        "size": np.array([5, 6]),
    }
    assert (1, 1) == ((receipt := data.ingest(columns, tz="UTC")).inserted, receipt.quarantined)
    assert [Trade("A", NOON, "1.1", "5")] == stored(data, "trades")


def test_columns_of_different_lengths(data: DataLayer) -> None:
    """Columns that are not as long as each other are an error that tells how long each is."""
    with pytest.raises(DataError, match="different lengths: symbol 1, price 2"):
        data.ingest({"symbol": ["A"], "price": [1, 2]})
    with pytest.raises(DataError, match="cannot be read as a table"):
        data.ingest({"symbol": np.array(["A"]), "price": np.array([1, 2])})


ROWS = [
    {"symbol": "A", "timestamp": NOON, "price": 0.1, "size": Decimal("5.00"), "trade_id": 2**60 + 1},
    {"symbol": "B", "timestamp": pd.Timestamp(LATER), "price": np.float64(1.1), "size": np.int64(3)},
    {"symbol": "C", "timestamp": LATER, "price": float("nan"), "size": 1},
]
FROM_ROWS = [Trade("A", NOON, "0.1", "5", trade_id=str(2**60 + 1)), Trade("B", LATER, "1.1", "3")]


@pytest.mark.parametrize("made", [list, iter, tuple], ids=["list", "generator", "tuple"])
def test_dicts(data: DataLayer, made: Callable[[Any], Any]) -> None:
    """Dicts are rows, all at once or one after the other; each number by its own text, NaN as missing."""
    receipt = data.ingest(made(ROWS))
    assert FROM_ROWS == stored(data, "trades")
    assert ["price: it is missing"] == [each.reason for each in receipt.rejections]


def test_one_dict(data: DataLayer) -> None:
    """A dict is a row where it holds none; a list in it is a value."""
    data.ingest(ROWS[0] | {"conditions": ["@", "T"]})
    assert [Trade("A", NOON, "0.1", "5", '["@", "T"]', trade_id=str(2**60 + 1))] == stored(data, "trades")


def test_records_one_by_one(data: DataLayer) -> None:
    """A generator of records is ingested as they are."""
    data.ingest(each for each in FROM_ROWS)
    assert FROM_ROWS == stored(data, "trades")


def test_lists_of_values(data: DataLayer) -> None:
    """What ccxt's ``fetch_ohlcv`` returns is read by the format that names its places."""
    candles = [[1714570200000, 1.1, 2, 0.1, 0.3, 100.25], [1714570260000, 1.1, 2, 0.1, 0.3, None]]
    data.ingest(candles, format="ccxt.ohlcv", symbol="BTC/USDT", interval="1m")
    first = ("1.1", "2", "0.1", "0.3")
    expected = [
        Bar("BTC/USDT", "2024-05-01T13:30Z", *first, "100.25", "1m"),
        Bar("BTC/USDT", "2024-05-01T13:31Z", *first, None, "1m"),
    ]
    assert expected == stored(data, "bars")


@pytest.mark.parametrize(
    "made",
    [
        lambda page: page,
        lambda page: io.StringIO(json.dumps(page)),
        lambda page: io.BytesIO(json.dumps(page).encode()),
    ],
    ids=["dict", "text", "bytes"],
)
def test_a_page_of_a_rest_interface(data: DataLayer, made: Callable[[Any], Any]) -> None:
    """A page is read the same as a dict, as the program got it, and as an open document: the symbol is the key of its bars."""
    receipt = data.ingest(made(PAGE), interval="1m")
    assert PAGED == stored(data, "bars")
    assert receipt.notes[0].startswith("read as alpaca.bars")


@pytest.mark.parametrize(
    "page",
    [
        PAGE | {"bars": {**PAGE["bars"], "MSFT": PAGE["bars"]["AAPL"]}},  # type: ignore[dict-item]
        {"symbol": "AAPL", "bars": PAGE["bars"]["AAPL"], "next_page_token": "x"},  # type: ignore[index]
        {
            "ticker": "AAPL",
            "results": [{"t": 1714570200000, "o": 1.1, "h": 2, "l": 0.1, "c": 0.3, "v": 100}],
            "count": 1,
        },
        {"symbol": "A", "timestamp": [NOON, LATER], "open": [1, 2], "close": [1.5, None], "volume": [1, 2]},
        {"data": {"A": {"timestamp": NOON, "price": 0.1, "size": 1}, "B": {"timestamp": NOON, "price": 1, "size": 1}}},
    ],
    ids=["symbols", "symbol", "results", "columns", "keys"],
)
def test_a_dict_is_read_as_its_document(data: DataLayer, tmp_path: Path, page: dict[str, Any]) -> None:
    """A dict gives the records, or the error, that its JSON text in a file gives."""
    path = tmp_path / "page.json"
    path.write_text(json.dumps(page, indent=1))

    def outcome(target: Any) -> Any:
        try:
            receipt = data.ingest(target, interval="1m")
        except DataError as error:
            return error.message.partition(": ")[2], error.hint
        kind = str(receipt.kind)
        found = stored(data, kind), receipt.quarantined, receipt.read
        data.store.undo(receipt.batch)
        return found

    assert outcome(path) == (told := outcome(page))
    assert told[0]


@pytest.mark.parametrize("made", [io.StringIO, lambda text: io.BytesIO(text.encode())], ids=["text", "bytes"])
def test_open_files(data: DataLayer, made: Callable[[str], Any]) -> None:
    """An open file of text or of bytes is read as the file would be."""
    data.ingest(made(CSV))
    assert FROM_CSV == stored(data, "trades")


def test_standard_input(data: DataLayer, tmp_path: Path) -> None:
    """``fpa ingest -`` reads what is piped into it."""
    done = subprocess.run(
        [sys.executable, "-m", "fpa_core", "ingest", "-", "--json"],
        cwd=tmp_path, input=CSV, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert 1 == json.loads(done.stdout)["results"][0]["inserted"]
    assert FROM_CSV == stored(data, "trades")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of fifty files, each of one symbol, which only its name tells."""
    folder = tmp_path / "day"
    folder.mkdir()
    for number in range(50):
        (folder / f"S{number:02}.csv").write_text(f"timestamp,price,size\n{NOON},{number}.5,1\n")
    return folder


FROM_FOLDER = [Trade(f"S{number:02}", NOON, f"{number}.5", "1") for number in range(50)]


def test_a_folder(data: DataLayer, folder: Path) -> None:
    """Each file of a folder is a batch of its own, in the order of names, and names its symbol."""
    receipts = data.ingest_files(folder, symbol="{name}")
    assert [f"S{number:02}.csv" for number in range(50)] == [Path(str(receipt.file)).name for receipt in receipts]
    assert 50 == len({receipt.batch for receipt in receipts})
    assert FROM_FOLDER == stored(data, "trades")


def test_a_folder_on_the_command_line(data: DataLayer, folder: Path) -> None:
    """The command does the same, and sums up."""
    told = CliRunner().invoke(cli, ["ingest", str(folder), "--symbol", "{name}", "--json"])
    assert 0 == told.exit_code, told.output
    printed = json.loads(told.stdout)
    assert (50, 50) == (printed["summary"]["inserted"], len(printed["results"]))
    assert FROM_FOLDER == stored(data, "trades")


# Mistakes


@pytest.mark.parametrize(
    ("options", "problem", "hint"),
    [
        ({"zone": "UTC"}, "zone: unknown option for reading files", "did you mean tz?"),
        ({"delimeter": ";"}, "delimeter: unknown option for reading files", "did you mean delimiter?"),
        ({"xyz": 1}, "xyz: unknown option for reading files", "known: columns, as_of, tz"),
        ({"decimal": "x"}, "decimal: 'x'", "one of: '.', ','"),
        ({"ambiguous": "x"}, "ambiguous: 'x'", "one of: 'refuse', 'earlier', 'later'"),
        ({"time_unit": "h"}, "time_unit: 'h'", "one of: 's', 'ms', 'us', 'ns', 'excel', 'ms-of-day'"),
        ({"tz": "Mars"}, "tz: 'Mars' is not a known time zone", "America/New_York"),
        ({"start": "2024-05-01"}, "start: only a source", "via"),
        ({"start": "2024-05-01", "end": "2024-05-02"}, "start and end: only a source", "via"),
    ],
)
def test_mistaken_options(data: DataLayer, options: dict[str, Any], problem: str, hint: str) -> None:
    """An option that is unknown, or has a value that is none, is an error that names it and what is allowed."""
    with pytest.raises(DataError) as caught:
        data.ingest("x.csv", **options)
    assert caught.value.message.startswith(problem)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["x.csv", "--start", "2024-05-01"], "--start requires --via"),
        (["x.csv", "--end", "2024-05-01"], "--end requires --via"),
        (["A", "--via", "files", "--dry-run"], "--dry-run"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    """A range of time is for another source only, and files only are judged without being stored: anything else is a mistake."""
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, ["ingest", *arguments])
    assert 2 == told.exit_code
    assert problem in told.stderr
