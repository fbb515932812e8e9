"""The shapes that files have: containers, spellings of numbers and times, missing values, names."""

from __future__ import annotations

import csv
from pathlib import Path

from expected_of_cases.entries import ENTRIES, Entry, refused, stored
from fpa_core.models import Bar, Quote, Trade

__all__ = ["SHAPES"]

FOLDER = Path(__file__).parents[1] / "cases"

_DAY = {"symbol": "X", "interval": "1d"}
_APPLE = Bar("X", "2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d")
_SMALL = Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d")


def _bars(first: str | None = "1200.5", second: str = "300", symbol: str = "X") -> tuple[Bar, Bar]:
    return (
        Bar(symbol, "2024-05-01T13:30Z", "169.58", "169.9", "169.2", "169.6", first, "1m"),
        Bar(symbol, "2024-05-01T13:31Z", "169.6", "169.8", "169.5", "169.7", second, "1m"),
    )


_DAYS = (
    Bar("X", "2024-05-01T00:00Z", "169.58", "169.9", "169.2", "169.6", "1200.5", "1d"),
    Bar("X", "2024-05-02T00:00Z", "169.6", "169.8", "169.5", "169.7", "300", "1d"),
)
_MINUTES = {"symbol": "X", "interval": "1m"}


def _first(second: int, bid: str | None, ask: str | None) -> Quote:
    return Quote("AAPL", f"2024-05-01T14:30:{second:02}Z", bid, ask)


def _sized(second: int, bid: str, ask: str, bid_size: str = "3", ask_size: str = "4") -> Quote:
    return Quote("AAPL", f"2024-05-01T14:30:{second:02}Z", bid, ask, bid_size, ask_size)


def _quote(time: str) -> Quote:
    return Quote("X", time, "1", "2")


_FUTURE_BARS = tuple(
    Bar("X", f"2006-01-02T09:0{minute}Z", *prices, "1m")
    for minute, prices in (
        (1, ("3602", "3603", "3597", "3599", "5699")),
        (2, ("3600", "3601", "3598", "3599", "894")),
        (3, ("3599", "3602", "3598", "3600", "883")),
    )
)


def _named() -> tuple[Quote, ...]:
    """Return the quotes of the file of names: each symbol as it stands between its quotes, with the bid and ask beside it."""
    with (FOLDER / "B51_symbols/s.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(Quote(*row) for row in list(csv.reader(lines))[1:] if row[0].isprintable())


def _each(names: str, *records: Bar) -> tuple[Entry, ...]:
    """Return entries of files that all hold the same days."""
    return tuple(stored(name, *records, **_DAY) for name in names.split())


SHAPES: dict[str, ENTRIES] = {
    # What a file holds tells what it is, whatever its name; of a packed file that is cut off, nothing is certain.
    "B36_containers": (
        *_each("A.CSV a.CSV.GZ a.csv.gz a a.txt a.csv.tmp my.data.2024.05.csv isgz.csv notgz.csv.gz a.parquet", _APPLE),
        *_each("a.csv.bz2 a.csv.xz a.csv.zip a.zip zip.csv a.xlsx", _APPLE),
        *_each("a.feather a.json", _SMALL),
        refused("a.csv.gz.part", "cut off", **_DAY),
        refused("cut.csv.gz", "cut off", **_DAY),
    ),
    "B37_parquet": (
        *(
            stored(f"{name}.parquet", *_bars(), **_MINUTES)
            for name in (
                *("aware_ny", "aware_us", "decimal", "float_ns", "float_s", "int_ms", "int_ns", "int_s", "int_us"),
                *("str_time", "unnamed_index", "float32"),
            )
        ),
        stored("uint64.parquet", *_bars("18446744073709551615", "1"), **_MINUTES),
        stored("big_float.parquet", *_bars("1e22", "12345678901234568"), **_MINUTES),
        stored("cat_symbol.parquet", *_bars(symbol="AAPL"), interval="1m"),
        stored("multicol.parquet", *_bars(symbol="AAPL"), interval="1m"),
        stored("int_symbol.parquet", *_bars(symbol="700"), interval="1m"),
        # 600519.0 is no name of a share: the zeros and digits that it had are not known.
        refused("float_symbol.parquet", "symbol", "fraction", interval="1m"),
        refused("date32.parquet", "date", "--interval 1d", **_MINUTES),
        stored("date32.parquet", *_DAYS, **_DAY),
        stored("naive_named_date_index.parquet", *_DAYS, **_DAY),
        refused("naive_ns.parquet", "zone", "--tz", **_MINUTES),
        stored("naive_ns.parquet", *_bars(), **_MINUTES, tz="UTC"),
        stored("nan_volume.parquet", *_bars(None), **_MINUTES),
        stored("nat.parquet", _bars()[1], rejected={1: "timestamp"}, **_MINUTES),
        refused("time64.parquet", "timestamp", **_MINUTES),
        refused("empty.parquet", "no rows", **_MINUTES),
    ),
    "B38_summary_line": (
        # The vendor is an American one, and recognised: it writes the month first.
        stored(
            "barchart.csv",
            Bar("AAPL", "2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d"),
            rejected={2: "cells"},
            interval="1d",
        ),
        stored(
            "barchart.csv",
            Bar("AAPL", "2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d"),
            rejected={2: "cells"},
            interval="1d",
            time_format="%m/%d/%Y",
        ),
        stored(
            "blank.csv",
            Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100"),
            Trade("AAPL", "2024-05-01T14:30:01Z", "169.6", "200"),
        ),
        stored("commas.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100")),
        stored("eof.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100"), rejected={2: "cells"}),
        stored(
            "t.csv",
            Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100"),
            Trade("AAPL", "2024-05-01T14:30:01Z", "169.6", "200"),
            rejected={3: "timestamp"},
        ),
    ),
    "B38c_nulls": (
        stored(
            "fred.csv",
            Bar("DCOILWTICO", "2020-04-20T00:00Z", None, None, None, "-36.98", None, "1d"),
            Bar("DCOILWTICO", "2020-05-26T00:00Z", None, None, None, "34.7", None, "1d"),
            rejected={2: "close"},
            flags=("bar.positive",),
            interval="1d",
        ),
        stored(
            "fred2.csv",
            Bar("X", "2020-04-20T00:00Z", None, None, None, "-36.98", None, "1d"),
            Bar("X", "2020-05-26T00:00Z", None, None, None, "34.7", None, "1d"),
            rejected={2: "close"},
            flags=("bar.positive",),
            **_DAY,
        ),
        # The fourteenth ask is infinite.
        stored(
            "n.csv",
            *(
                Quote("AAPL", f"2024-05-01T14:30:{second:02}Z", "169.57", None, "3", "4")
                for second in range(15)
                if second != 13
            ),
            rejected={14: "ask"},
        ),
        stored("v.jsonl", *(_first(second, "169.57", None) for second in (0, 1, 3)), rejected={3: "ask"}),
        stored(
            "vol.csv",
            *(Bar("AAPL", f"2024-05-0{day}T00:00Z", "1", "2", "1", "2", None, "1d") for day in (1, 2, 3)),
            interval="1d",
        ),
    ),
    # EXPECT.txt sets the sixth, seventh and fourteenth row aside. A dollar sign, marks between thousands and an amount in brackets are certain
    # all the same, beside numbers with a decimal point.
    "B38d_numbers": (
        stored(
            "n.csv",
            _sized(0, "169.57", "169.59"),
            _sized(1, "169.57", "169.59"),
            _sized(2, "0", "0", "0.5", "0.00000001"),
            _sized(3, "169.57", "169.59"),
            _sized(4, "0.5", "0.6"),
            _sized(5, "1169.57", "1169.59"),
            _sized(6, "169.57", "169.59"),
            _sized(8, "169.57", "169.59"),
            _sized(13, "-169.57", "169.59"),
            _sized(
                18, "0.000000000000000001", "123456789012345678901234567890.123456789", "1000000000000", "0.00000001"
            ),
            rejected=dict.fromkeys((8, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21), "bid"),
        ),
    ),
    "B39_dup_columns": (
        # 100 shares at 169.58 are 16958.00 of money.
        stored("amt.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100")),
        stored("amtonly.csv", Trade("000001.SZ", "2024-05-01T02:30:00Z", "10.58", "100")),
        refused("case.csv", "'date'", "'DATE'", "--column", "--ignore", **_DAY),
        stored(
            "case.csv",
            Bar("X", "2024-05-02T00:00Z", "1", "2", "1", "1", None, "1d"),
            **_DAY,
            columns={"timestamp": "DATE"},
        ),
        stored("case.csv", Bar("X", "2024-05-02T00:00Z", "1", "2", "1", "1", None, "1d"), **_DAY, ignore=("date",)),
        refused("d.csv", "Close", **_DAY),
        stored("e.csv", Bar("X", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", None, "1d"), **_DAY),
        stored("p.csv", Bar("X", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", None, "1d"), **_DAY),
        stored("tc.csv", _SMALL, Bar("X", "2024-05-02T00:00Z", "1", "2", "1", "2", None, "1d"), **_DAY),
        stored("turn.csv", Trade("000001.SZ", "2024-05-01T02:30:00Z", "10.58", "100")),
        stored("volqty.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100")),
    ),
    "B40_epochs": (
        refused("big.csv", "9223372036854775807", "--time-unit"),
        refused("d12.csv", "zone", "--tz"),
        stored("d12.csv", _quote("2024-05-01T14:30:00Z"), tz="UTC"),
        refused("d14.csv", "zone", "--tz"),
        stored("d14.csv", _quote("2024-05-01T14:30:00Z"), tz="UTC"),
        refused("d17.csv", "zone", "--tz"),
        stored("d17.csv", _quote("2024-05-01T14:30:00.123Z"), tz="UTC"),
        refused("d20.csv", "17145738001234567890"),
        refused("d8.csv", "20240501", "date"),
        stored("float_ns.csv", _quote("2024-05-01T14:30:00.123456789Z")),
        stored("floats.csv", _quote("2024-05-01T14:30:00.123456Z")),
        stored("ms13.csv", _quote("2024-05-01T14:30:00.123Z")),
        refused("neg.csv", "-86400000000000", "--time-unit"),
        stored("ns19.csv", _quote("2024-05-01T14:30:00.123456789Z")),
        refused("ps.csv", "1714573800123456789000"),
        stored("s10.csv", _quote("2024-05-01T14:30:00Z")),
        stored("us16.csv", _quote("2024-05-01T14:30:00.123456Z")),
        stored("us_f.csv", _quote("2024-05-01T14:30:00.123456Z")),
        refused("zero.csv", "0", "--time-unit"),
        stored("zero.csv", _quote("1970-01-01T00:00:00Z"), flags=("time.past",), time_unit="s"),
    ),
    "B43_date_and_time": (
        refused("broken_header.csv", "--names", **_MINUTES),
        stored(
            "broken_header.csv",
            *_FUTURE_BARS,
            **_MINUTES,
            tz="UTC",
            skip=1,
            names=("Date", "Time", "Open", "High", "Low", "Close", "Volume"),
        ),
        refused("dropped.csv", "zone", "--tz", **_MINUTES),
        # A column of times of day beside one of dates belongs to it, whatever it is called.
        stored("dropped.csv", *_FUTURE_BARS, **_MINUTES, tz="UTC"),
        stored("dropped.csv", *_FUTURE_BARS, **_MINUTES, tz="UTC", columns={"timestamp": ("Date", "clock")}),
        refused("dt.csv", "zone", "--tz", **_MINUTES),
        stored("dt.csv", *_FUTURE_BARS, **_MINUTES, tz="UTC"),
    ),
    "B51_symbols": (
        stored(
            "blank.csv",
            Quote("AAPL", "2024-05-01T14:30:00Z", "1", "2"),
            Quote("AAPL", "2024-05-01T14:30:00Z", "1", "2"),
            rejected={3: "symbol"},
        ),
        stored(
            "odd.jsonl",
            Quote("700", "2024-05-01T14:30:00Z", "1", "2"),
            rejected=dict.fromkeys(range(2, 9), "symbol"),
        ),
        # A blank of no width is not printable, and so belongs to no name.
        stored("s.csv", *_named(), rejected={38: "symbol"}),
        stored(("s.csv", "s.jsonl"), *_named(), rejected={38: "symbol"}),
        stored(
            "space.csv",
            Quote("AAPL", "2024-05-01T14:30:00Z", "1", "2", conditions="R"),
            Quote("MSFT", "2024-05-01T14:30:00Z", "1", "2", conditions="R"),
        ),
        stored("space2.csv", Quote("AAPL", "2024-05-01T14:30:00Z", "1", "2")),
    ),
    "B54_json_shapes": (
        stored("array.jsonl", _first(0, "1", "2"), _first(1, "1", "2")),
        stored("comma.jsonl", _first(0, "1", "2")),
        stored("cut.jsonl", _first(0, "1", "2"), rejected={2: "JSON"}),
        stored("lines_in_array.jsonl", _first(0, "1", "2"), _first(1, "1", "2")),
        refused("mixed.jsonl", "--kind"),
        # The second row has neither side, which real feeds send when a market maker is away: kept, and flagged.
        stored(
            "mixed.jsonl",
            _first(0, "1", "2"),
            _first(1, None, None),
            _first(4, "0.1", "0.00000001"),
            _first(5, "12345678901234567890.123456789", "2"),
            rejected={3: "bid", 4: "bid"},
            kind="quotes",
        ),
        stored("nested.jsonl", _first(0, "1", "2")),
        stored("pretty.jsonl", _first(0, "1", "2")),
    ),
    "B62_two_formats": (
        *(
            stored(
                files,
                Trade("AAPL", "2024-05-01T14:30:00.123456789Z", "169.5", "100", trade_id="12345678901"),
                Trade("AAPL", "2024-05-01T14:30:00.123456789Z", "169.5", "100", trade_id="12345678902"),
            )
            for files in (("a.csv", "b.jsonl", "c.parquet"), ("c.parquet", "a.csv"), ("b.jsonl", "c.parquet"))
        ),
    ),
    "B64_revisions": (
        stored(
            "live.csv",
            Bar("QAN.AX", "2022-11-20T23:00Z", "6", "6.1", "5.9", "6.05", "100", "1d"),
            Bar("QAN.AX", "2022-11-21T05:10:42Z", "6", "6.1", "5.9", "6.05", "101", "1d"),
            flags=("bar.day",),
            interval="1d",
        ),
        stored(
            "r.csv",
            Bar("US500", "2022-12-28T13:37Z", "3840.7", "3840.8", "3840.6", "3840.7", "17", "1m"),
            Bar("US500", "2022-12-28T13:38Z", "3840.6", "3840.8", "3840.6", "3840.6", "3", "1m"),
            flags=("bar.conflict",),
            interval="1m",
        ),
    ),
    "B65_interval_trusted": (
        refused("daily.csv", "date", "--interval 1d", **_MINUTES),
        stored(
            "daily.csv",
            *(Bar("X", f"2024-0{day}T00:00Z", "1", "2", "1", "2", "5", "1d") for day in ("4-29", "4-30", "5-01")),
            **_DAY,
        ),
        stored(
            "min.csv",
            *(Bar("X", f"2024-05-01T13:3{minute}Z", "1", "2", "1", "2", None, "1d") for minute in range(3)),
            flags=("bar.interval",),
            **_DAY,
        ),
        stored(
            "min.csv",
            *(Bar("X", f"2024-05-01T13:3{minute}Z", "1", "2", "1", "2", None, "1m") for minute in range(3)),
            **_MINUTES,
        ),
    ),
    "B66_misc": (
        stored(
            "bigvol.csv",
            Bar(
                *("X", "2024-05-01T00:00Z", "0.00000001", "0.00000002", "0.00000001", "0.00000001"),
                *("1234567890123.456789", "1d"),
            ),
            Bar(
                *("X", "2024-05-02T00:00Z", "0.00000001", "0.00000002", "0.00000001", "0.00000001"),
                *("1234567890123.456789", "1d"),
            ),
            **_DAY,
        ),
        stored("close_shift.csv", Bar("X", "2024-05-01T00:00Z", None, None, None, "1", None, "1d"), symbol="X"),
        stored("future.csv", _quote("2124-05-01T00:00:00Z"), flags=("time.future",)),
        # A number without a unit, 1M (a minute or a month) and a tick are no certain intervals.
        stored(
            "iv.csv",
            *(
                Bar(f"X{number}", "2024-05-01T00:00Z", "1", "2", "1", "2", None, interval)
                for interval, numbers in {
                    "1m": (0, 11, 19, 20, 23),
                    "5m": (1, 7),
                    "1h": (8, 9, 10, 21, 22),
                    "1d": (2, 3, 4, 12),
                    "1w": (16, 17),
                    "1mo": (14, 15),
                }.items()
                for number in numbers
            ),
            rejected=dict.fromkeys((6, 7, 14, 19, 25), "interval"),
        ),
        # A price below zero happened on that day; a size below zero is told.
        stored(
            "neg.csv",
            Trade("CLK0", "2020-04-20T18:30:00Z", "-37.63", "5"),
            Trade("CLK0", "2020-04-20T18:30:01Z", "0", "0"),
            Trade("CLK0", "2020-04-20T18:30:02Z", "-37.6", "-5"),
            flags=("trade.positive", "trade.size"),
        ),
        stored(
            "old.csv",
            Bar("X", "1792-05-17T00:00Z", "1", "2", "1", "2", None, "1d"),
            rejected={1: "timestamp"},
            interval="1d",
        ),
        stored(
            "split.csv",
            Bar("X", "2014-06-06T00:00Z", "649.9", "651.26", "644.47", "645.57", "12497800", "1d"),
            Bar("X", "2014-06-09T00:00Z", "92.7", "93.88", "91.75", "93.7", "75415000", "1d"),
            flags=("bar.jump",),
            **_DAY,
        ),
        # Only the adjusted close of the first day is there.
        stored(
            "zerobar.csv",
            Bar("X", "2016-08-01T00:00Z", "0", "0", "0", "0", "0", "1d"),
            Bar("X", "2016-08-02T00:00Z", "5137.7", "5140", "5130", "5137.73", "0", "1d"),
            flags=("bar.positive",),
            **_DAY,
        ),
    ),
}
