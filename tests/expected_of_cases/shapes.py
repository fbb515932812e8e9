"""The shapes that files have: containers, spellings of numbers and times, missing values, names, and each kind of record."""

from __future__ import annotations

import csv
from pathlib import Path

from expected_of_cases.entries import ENTRIES, Entry, refused, stored
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade

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


def _first(second: int, **more: str) -> Quote:
    return Quote("AAPL", f"2024-05-01T14:30:{second:02}Z", **({"bid": "169.57", "ask": "169.59"} | more))


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
_NOON = "2024-05-01T20:00:00Z"
_SENT = "2024-05-01T14:00:00Z"
_CHANGED = "2024-05-01T14:00:01Z"
_ALXN = Order(
    *("o1", "ALXN", "351", "buy", "market", "new"),
    timestamp="2021-07-14T13:57:52.79776Z",
    updated_at="2021-07-14T13:57:52.812205Z",
    client_order_id="c-o1",
    status_raw="held",
)
_FILLED = Order(
    *("o1", "IBM", "10", "buy", "limit", "filled", "10", "164.42"), timestamp=_SENT, updated_at="2024-05-01T14:00:02Z"
)


def _order(number: int, side: str, order_type: str, status: str = "new", **raw: str) -> Order:
    return Order(*(f"o{number}", "IBM", "10", side, order_type, status), timestamp=_SENT, updated_at=_CHANGED, **raw)


_SIDES = (
    _order(0, "buy", "market"),
    _order(1, "buy", "market", side_raw="B", type_raw="MKT"),
    _order(2, "buy", "limit"),
    _order(3, "buy", "limit", side_raw="BOT", type_raw="LMT"),
    _order(4, "sell", "limit", side_raw="sell_short"),
    _order(5, "sell", "stop_limit", side_raw="Sell Short", type_raw="STP LMT"),
    _order(6, "buy", "trailing_stop", side_raw="buy_to_cover"),
    _order(7, "sell", "stop_limit", side_raw="SLD"),
    _order(8, "sell", "stop_limit"),
    _order(9, "sell", "market", side_raw="short", type_raw="MOC"),
)
# What is on its way to its end is new; "closed" (o12) is filled to one broker and cancelled to another.
_STATUSES = (
    _order(0, "buy", "market", "new"),
    *(
        _order(number, "buy", "market", meaning, status_raw=word)
        for number, word, meaning in (
            (1, "accepted", "new"),
            (2, "pending_new", "new"),
            (3, "held", "new"),
            (4, "done_for_day", "new"),
            (6, "replaced", "cancelled"),
            (7, "pending_cancel", "new"),
            (8, "stopped", "new"),
            (9, "suspended", "new"),
            (10, "calculated", "new"),
            (11, "open", "new"),
            (16, "Submitted", "new"),
            (17, "PreSubmitted", "new"),
            (19, "partial", "partially_filled"),
            (20, "Executed", "filled"),
            (21, "working", "new"),
        )
    ),
    _order(5, "buy", "market", "partially_filled"),
    _order(13, "buy", "market", "filled"),
    _order(14, "buy", "market", "cancelled"),
    _order(15, "buy", "market", "cancelled"),
    _order(18, "buy", "market", "partially_filled"),
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
        refused("float_symbol.parquet", "symbol", "600519.0", interval="1m"),
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
        stored(
            "barchart.csv",
            Bar("AAPL", "2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d"),
            rejected={2: ""},
            interval="1d",
        ),
        stored(
            "blank.csv",
            Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100"),
            Trade("AAPL", "2024-05-01T14:30:01Z", "169.6", "200"),
        ),
        stored("commas.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100")),
        stored("eof.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100"), rejected={2: ""}),
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
            Bar("X", "2020-04-20T00:00Z", None, None, None, "-36.98", None, "1d"),
            Bar("X", "2020-05-26T00:00Z", None, None, None, "34.7", None, "1d"),
            rejected={2: "close"},
            flags=("bar.positive",),
            **_DAY,
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
        stored("v.jsonl", *(_first(second, ask=None) for second in (0, 1, 3)), rejected={3: "ask"}),  # type: ignore[arg-type]
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
        refused("case.csv", "'date'", "'DATE'", **_DAY),
        refused("d.csv", "Close", **_DAY),
        stored("e.csv", Bar("X", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", None, "1d"), **_DAY),
        stored("p.csv", Bar("X", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", None, "1d"), **_DAY),
        stored("tc.csv", _SMALL, Bar("X", "2024-05-02T00:00Z", "1", "2", "1", "2", None, "1d"), **_DAY),
        stored("turn.csv", Trade("000001.SZ", "2024-05-01T02:30:00Z", "10.58", "100")),
        stored("volqty.csv", Trade("AAPL", "2024-05-01T14:30:00Z", "169.58", "100")),
    ),
    "B40_epochs": (
        refused("big.csv", "9223372036854775807", "--time-unit"),
        refused("d12.csv", "202405011430"),
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
        refused("dropped.csv", "date", **_MINUTES),
        refused("dropped.csv", "date", **_MINUTES, tz="UTC"),
        stored("dropped.csv", *_FUTURE_BARS, **_MINUTES, tz="UTC", columns={"timestamp": ("Date", "clock")}),
        refused("dt.csv", "zone", "--tz", **_MINUTES),
        stored("dt.csv", *_FUTURE_BARS, **_MINUTES, tz="UTC"),
    ),
    "B47_own_fills": (refused("f.csv", "own executions"),),
    "B48_positions": (
        refused("alpaca.jsonl", "--as-of"),
        stored(
            "alpaca.jsonl",
            Position(
                *("AAPL", "-5", "-600", "-500", "-100", "-10", _NOON),
                avg_entry_price="100",
                current_price="120",
                side="short",
                asset_class="us_equity",
            ),
            as_of=_NOON,
        ),
        refused("dateonly.csv", "date", "--tz"),
        stored("dateonly.csv", Position("AAPL", "5", "600", "500", timestamp="2024-05-01T00:00Z"), tz="UTC"),
        # The vendor's days begin in New York.
        stored(
            "ib.csv",
            Position(
                *("AAPL", "-5", "-600", "-500", "-100", None, "2024-05-01T04:00Z"), current_price="120", side="short"
            ),
        ),
        stored("lots.csv", Position("AAPL", "7", "840", "800", timestamp=_NOON), flags=("position.conflict",)),
        refused("notime.csv", "--as-of"),
        stored("notime.csv", Position("AAPL", "5", "600", "500", timestamp=_NOON), as_of=_NOON),
        stored(
            "t.csv",
            Position("AAPL", "-5", "-600", "-500", timestamp=_NOON),
            Position("VTI", "0.029053", "7.26", "6.9", timestamp=_NOON),
            Position("BTC/USD", "0.00000001", "0.00058", "0.0005", timestamp=_NOON),
            Position("CASH", "0", "0", "0", timestamp=_NOON),
        ),
    ),
    "B49_orders": (
        stored("alpaca.jsonl", _ALXN),
        stored("alpaca_trim.jsonl", _ALXN),
        stored(
            "frac.csv",
            Order(
                *("o1", "IBM", "0.029053", "buy", "market", "filled", "0.029053", "164.4123456789"),
                timestamp=_SENT,
                updated_at=_CHANGED,
            ),
            Order(
                *("o2", "IBM", None, "buy", "market", "filled", "0.5", "164.4"), timestamp=_SENT, updated_at=_CHANGED
            ),
        ),
        refused("notime.csv", "--as-of"),
        stored("noupd.csv", Order("o1", "IBM", "10", "buy", "limit", "filled", timestamp=_SENT, updated_at=_SENT)),
        stored(
            "numid.jsonl",
            Order(*("12345678901234567890", "IBM", "1", "buy", "market", "new"), timestamp=_SENT, updated_at=_SENT),
        ),
        stored(
            "over.csv",
            Order(*("o1", "IBM", "10", "buy", "market", "filled", "12", "164.4"), timestamp=_SENT, updated_at=_CHANGED),
            flags=("order.overfill",),
        ),
        stored("partial.csv", _FILLED),
        stored(
            "same.csv",
            Order(*("o1", "IBM", "10", "buy", "limit", "filled", "10", "164.42"), timestamp=_SENT, updated_at=_CHANGED),
        ),
        stored("side.csv", *_SIDES),
        stored("st.csv", *_STATUSES, rejected={13: "status"}, flags=("order.fill",)),
    ),
    "B50_snapshots": (
        refused("acct.jsonl", "--as-of"),
        stored(
            "acct.jsonl",
            PortfolioSnapshot(_NOON, "2500.75", "5000", cash="1000.5", account="PA1"),
            as_of=_NOON,
        ),
        refused("date.csv", "date", "--tz"),
        stored("date.csv", PortfolioSnapshot("2024-05-01T00:00Z", "100"), tz="UTC"),
        stored(
            "h.jsonl",
            PortfolioSnapshot("2024-05-01T00:00Z", "100000"),
            PortfolioSnapshot("2024-05-02T00:00Z", "100250.5"),
        ),
        stored(
            "s.csv",
            PortfolioSnapshot("2024-05-01T20:00Z", "0", "0", cash="0"),
            PortfolioSnapshot("2024-05-02T20:00Z", "-12.5", "0", cash="-12.5"),
            PortfolioSnapshot("2024-05-03T20:00Z", "1000000", cash="0.00000001"),
        ),
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
        stored("array.jsonl", _first(0, bid="1", ask="2"), _first(1, bid="1", ask="2")),
        stored("comma.jsonl", _first(0, bid="1", ask="2")),
        stored("cut.jsonl", _first(0, bid="1", ask="2"), rejected={2: ""}),
        stored("lines_in_array.jsonl", _first(0, bid="1", ask="2"), _first(1, bid="1", ask="2")),
        refused("mixed.jsonl", "--kind"),
        # The second row is a trade: a quote with neither side is none.
        stored(
            "mixed.jsonl",
            _first(0, bid="1", ask="2"),
            _first(4, bid="0.1", ask="0.00000001"),
            _first(5, bid="12345678901234567890.123456789", ask="2"),
            rejected={2: "", 3: "bid", 4: "bid"},
            kind="quotes",
        ),
        stored("nested.jsonl", _first(0, bid="1", ask="2")),
        stored("pretty.jsonl", _first(0, bid="1", ask="2")),
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
        # The close lies above the high of zero: that row only wrong data have.
        stored(
            "zerobar.csv",
            Bar("X", "2016-08-02T00:00Z", "5137.7", "5140", "5130", "5137.73", "0", "1d"),
            rejected={1: "bar.range"},
            **_DAY,
        ),
    ),
}
