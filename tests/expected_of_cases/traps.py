"""Files that were once read wrong, or not at all, with what they should become."""

from __future__ import annotations

from expected_of_cases.entries import ENTRIES, refused, stored
from fpa_core.models import Bar, Fill, Order, Position, Quote, Trade

__all__ = ["TRAPS"]

_DAY = {"symbol": "X", "interval": "1d"}
_NOON = "2024-05-01T14:30:00Z"


def _quote(symbol: str, time: str = _NOON) -> Quote:
    return Quote(symbol, time, "1", "2")


def _bar(symbol: str, time: str, interval: str = "1d") -> Bar:
    return Bar(symbol, time, "1", "2", "1", "2", None, interval)


def _days(scale: str, *prices: str) -> tuple[Bar, ...]:
    return tuple(Bar("A", f"2024-05-0{day}T00:00Z", *prices, None, scale) for day in (1, 2))


def _ibm(status: str, filled: str, price: str | None, seconds: str) -> Order:
    return Order(
        *("o1", "IBM", "10", "buy", "limit", status, filled, price, "164.5"),
        timestamp="2024-05-01T14:00:00Z",
        updated_at=f"2024-05-01T14:00:{seconds}Z",
    )


_AMUB = ("14.7448", "14.7448", "14.7448", "14.7448", "1", "1d")
_WRITTEN = tuple(Trade("A", _NOON, f"1.{number}", str(number + 1)) for number in range(3))
_SPY = (
    Bar("SPY", "2024-05-01T04:00Z", "1", "2", "1", "2", None, "1d"),
    Bar("SPY", "2024-05-01T00:00Z", "1", "2.7", "1", "2.5", None, "1d"),
    Bar("SPY", "2024-05-01T20:00Z", "1", "2.7", "1", "2.6", None, "1d"),
)

TRAPS: dict[str, ENTRIES] = {
    # The symbol stays text; an execution of one's own is a fill, not a print.
    "C02_ibkr_numeric_symbol": (
        stored(
            "f.csv",
            Fill("639", "2025-10-01T02:30Z", "buy", "2.98", "1000", "U1", "8001", exchange="SEHK"),
        ),
    ),
    "C03_zero_price": (
        stored("f.csv", Trade("MATICUSD", "2022-04-11T10:00Z", "0", "0.0361482"), flags=("trade.positive",)),
    ),
    # Trades without ids that come twice within a file are two; the file a second time adds none.
    "C05_questdb_twice": (
        stored(
            ("d.csv", "d.csv"),
            Trade("23231", "1979-01-03T00:00Z", "44.5", "1"),
            Trade("23231", "1979-01-03T00:00Z", "44.5", "2"),
            Trade("23231", "1979-01-10T00:00Z", "44.5", "1"),
            Trade("23231", "1979-01-10T00:00Z", "44.5", "1"),
        ),
    ),
    "C06_mixed_tz": (
        stored(
            "d.csv",
            _quote("A", "2023-03-01T19:00Z"),
            _quote("A", "2023-03-01T18:00Z"),
            _quote("A", "2022-01-25T22:16:27.668Z"),
            rejected={4: "timestamp"},
        ),
    ),
    "C08_polygon_two_days": (
        stored("d.csv", Bar("AMUB", "2019-08-13T04:00Z", *_AMUB, None, 1), flags=("bar.conflict",), interval="1d"),
        stored(
            "d.csv",
            Bar("AMUB", "2019-08-13T00:00Z", *_AMUB, None, 1),
            flags=("bar.conflict",),
            interval="1d",
            tz="America/New_York",
        ),
    ),
    "C13_excel_scientific_symbol": (stored("d.csv", _quote("1.00E+05"), _quote("600519.0"), _quote("Mar-24")),),
    "C14_month_interval": (
        refused("d.csv", "1M", interval="1M"),
        stored("d.csv", _bar("A", "2024-05-01T00:00Z", "1mo"), _bar("A", "2024-06-01T00:00Z", "1mo"), interval="1mo"),
    ),
    "C15_unsorted_desc": (stored("d.csv", *(_bar("A", f"2024-05-0{day}T00:00Z") for day in (1, 2, 3)), interval="1d"),),
    "C17_tvdata_live_dup_minutes": (
        refused("a.csv", "zone", "--tz", interval="1m"),
        stored(
            "a.csv",
            Bar("CAPITALCOM:US500", "2022-12-28T13:34Z", "3840.9", "3841.1", "3840.6", "3840.8", "25", "1m"),
            interval="1m",
            tz="UTC",
        ),
    ),
    "C18_rotki_binance_local": (refused("a.csv", "executions"),),
    "C19_kind_conflict_quotes_trades": (
        refused("a.csv", "--kind"),
        stored("a.csv", _quote("A"), kind="quotes"),
        refused("tick.csv", "--kind"),
        stored("tick.csv", Trade("A", _NOON, "1.5", "100"), kind="trades"),
        stored("tick.csv", _quote("A"), kind="quotes"),
        # EXPECT.txt has it asked; open, high, low and close beside each other are those of a bar, and a note names the price.
        stored("tv.csv", Bar("A", _NOON, "1", "2", "1", "2", "100", "1m"), interval="1m"),
        stored("tv.csv", Bar("A", _NOON, "1", "2", "1", "2", "100", "1m"), kind="bars", interval="1m"),
    ),
    "C20_undo_wrong_unit": (
        stored("t.csv", Trade("XBTUSD", "2020-04-01T00:00:02.957Z", "6425.5", "12", None, "bitmex", "aaa", "buy")),
    ),
    "C22_lob": (
        refused("a.csv", "order book", "--column bid=NAME"),
        stored(
            "a.csv",
            Quote("A", _NOON, "1", "2"),
            columns={"bid": "bid_price_1", "ask": "ask_price_1"},
            ignore=("bid_size_1", "ask_size_1", "bid_price_2"),
        ),
        refused("b.csv", "order book"),
    ),
    "D01_ohlc_last_as_trade": (
        stored(
            "barchart.csv",
            Bar("AAPL", "2024-05-01T20:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d"),
            interval="1d",
        ),
        stored(
            "inv.csv", Bar("X", "2024-05-01T20:00Z", "169.58", "172.71", "169.11", "169.3", "50380000", "1d"), **_DAY
        ),
        stored(
            "inv_d.csv", Bar("X", "2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50380000", "1d"), **_DAY
        ),
        stored(
            "nse.csv", Bar("SBIN", "2024-05-31T10:00Z", "826", "835", "822", "830", "25000000", "1d"), interval="1d"
        ),
    ),
    # Of two versions of one instant nothing tells which is later but their order in the file.
    "D02_partial_orders": (
        stored("partial.csv", _ibm("filled", "10", "164.42", "02")),
        stored("fills.csv", _ibm("filled", "6", "164.42", "02"), flags=("order.fill",)),
        stored(
            "noupd.csv",
            Order(
                *("o1", "IBM", "10", "buy", "limit", "filled", "10", "164.4", "164.5"),
                timestamp="2024-05-01T14:00Z",
                updated_at="2024-05-01T14:00Z",
            ),
            rejected={2: "order.transition"},
        ),
        stored("same.csv", _ibm("partially_filled", "4", "164.4", "01"), flags=("order.fills", "order.unusual")),
    ),
    "D04_escape_in_header": (
        stored("e.csv", Bar("X", "2024-05-01T00:00Z", None, None, None, "2", None, "1d"), **_DAY),
    ),
    # A symbol that is said is for what names none, a cell as well as a file; a note tells of it.
    "D07_symbol_option_vs_column": (
        stored("m.csv", _quote("AAPL"), rejected={2: "symbol"}),
        stored("m.csv", _quote("AAPL"), _quote("MSFT", "2024-05-01T14:30:01Z"), symbol="MSFT"),
    ),
    # EXPECT.txt is from when milliseconds could not be read; they are certain by their size. Equal quotes are kept as often as they come.
    "D09_mostly_bad_rc": (stored("t.csv", *[_quote("A", "2024-05-01T14:30:00.123Z")] * 500),),
    "D10_two_files_symbols": (
        stored(
            ("AAPL.csv", "MSFT.csv"),
            _bar("AAPL", "2024-05-01T00:00Z"),
            Bar("MSFT", "2024-05-01T00:00Z", "3", "4", "3", "4", None, "1d"),
            symbol="{name}",
            interval="1d",
        ),
        stored(
            ("AAPL.csv", "MSFT.csv"),
            Bar("AAPL", "2024-05-01T00:00Z", "3", "4", "3", "4", None, "1d"),
            flags=("bar.conflict",),
            symbol="AAPL",
            interval="1d",
        ),
    ),
    "D11_interval_col_vs_option": (
        stored("a.csv", _bar("A", _NOON, "5m")),
        stored("a.csv", _bar("A", _NOON, "5m"), interval="1d"),
    ),
    "D12_time_close_vs_open": (stored("a.csv", _bar("A", _NOON, "1m"), interval="1m"),),
    "D13_negative_zero_size": (stored("a.csv", Trade("A", _NOON, "0", "0"), Trade("A", _NOON, "0", "0")),),
    "D14_position_conflict_side": (
        stored(
            "a.csv",
            Position("A", "5", "600", "500", timestamp=_NOON, side="short", current_price="120"),
            Position("B", "-5", "600", "500", timestamp=_NOON, side="long", current_price="120"),
            flags=("position.side",),
        ),
    ),
    # Both ids are what a spreadsheet left of longer ones: no ids of trades.
    "D17_excel_truncated_id": (
        stored("a.csv", Trade("A", _NOON, "1", "1"), Trade("A", "2024-05-01T14:30:01Z", "1", "1")),
    ),
    "D19_taq_17": (
        refused("taq.csv", "zone", "--tz"),
        stored(
            "taq.csv",
            Quote("600519.SH", "2024-01-02T01:30:00.5Z", "1685.01", "1685.2"),
            Quote("600519.SH", "2024-01-02T01:30:03.5Z", "1685", "1685.2"),
            tz="Asia/Shanghai",
        ),
    ),
    # Both ids of f64.parquet are larger than a float holds exactly, and became the same.
    "E01_nan_ids": (
        stored("n.jsonl", *_WRITTEN[:2]),
        stored("f.parquet", *_WRITTEN),
        stored("null.parquet", *_WRITTEN),
        stored("f64.parquet", *_WRITTEN[:2]),
    ),
    # EXPECT.txt refuses what no name told; the names of these columns are certain now. Never a quote without a price.
    "E02_empty_quotes": (
        stored(
            "bt.csv",
            Quote("BTCUSDT", "2024-01-01T00:00:00.012Z", "42313.9", "42314", "2.1", "0.5"),
            Quote("BTCUSDT", "2024-01-01T00:00:00.013Z", "42313.9", "42314.1", "2.1", "0.5"),
        ),
        stored("mbp.csv", Quote("ESU4", "2024-07-01T00:00:00Z", "5500.25", "5500.5", "10", "12")),
        stored("pos.csv", Position("MSFT", "12", "5949.12", "4000", timestamp="2024-05-01T20:00Z")),
    ),
    "E03_folder_stdin": (stored("x.csv", _quote("A")), refused(".", "folder")),
    "E05_second_bars_of_day": (
        stored(("a.csv", "b.csv", "c.csv"), *_SPY, flags=("bar.day",), interval="1d"),
        stored("b.csv", _SPY[1], interval="1d"),
        # Where the zone is said, midnight of New York is that day: one bar, of which the second file has another version.
        stored(("a.csv", "b.csv"), _SPY[1], flags=("bar.conflict",), interval="1d", tz="America/New_York"),
    ),
    "E06_cross_file_conflict": (
        stored(("a.csv", "adj.csv"), *_days("1d", "5", "5.5", "4.5", "5"), flags=("bar.conflict",), interval="1d"),
    ),
    "E07_ts_ms_and_date": (
        stored("t.csv", Trade("A", "2023-02-02T09:20:00.138Z", "1666.8", "26.062")),
        stored("u.csv", Trade("A", "2023-02-02T09:20:00.138Z", "1666.8", "26.062")),
    ),
    # Sixteen digits are microseconds, whatever they were meant for.
    "E09_future_ms_as_ns": (
        stored("x.csv", _quote("A", "2024-05-01T14:30:00.123Z"), _quote("A", "2024-05-01T14:30:00.124Z")),
    ),
    "E10_short_sale_flags": (
        stored("x.csv", Trade("A", _NOON, "1", "1", side="sell"), Trade("A", _NOON, "1", "1", side="buy")),
    ),
    "F01_interval_spellings": (stored(("a.csv", "b.csv"), _bar("A", "2024-05-01T14:00Z", "1h")),),
}
