"""Files as vendors of market data and brokers write them."""

from __future__ import annotations

from attrs import evolve

from expected_of_cases.entries import ENTRIES, refused, stored
from fpa_core.models import Bar, CashFlow, Fill, Position, Quote, Trade

__all__ = ["VENDORS"]


def _ada(symbol: str = "ADABTC") -> tuple[Bar, Bar]:
    return (
        Bar(
            *(symbol, "2021-11-27T00:00Z", "0.00002853", "0.00002854", "0.00002851", "0.00002854", "36304.2", "1m"),
            trade_count=79,
        ),
        Bar(
            *(symbol, "2021-11-27T00:01Z", "0.00002854", "0.00002860", "0.00002854", "0.00002859", "89196.6", "1m"),
            trade_count=98,
        ),
    )


_IBKR = (
    Fill("AAPL", "2024-05-01T13:30:01Z", "buy", "169.58", "100", fill_id="700001", fee="1"),
    Fill("AAPL", "2024-05-01T19:30:00Z", "sell", "170.1", "100", fill_id="700002", fee="1"),
)
_HOURS = (
    Bar("LINK", "2025-01-01T00:00Z", "4.1507", "4.1587", "4.1506", "4.1554", "539.23", "1h", trade_count=13),
    Bar("LINK", "2025-01-01T01:00Z", "4.1554", "4.16", "4.15", "4.159", "120.1", "1h", trade_count=9),
)
_OF_LINK = {"symbol": "LINK", "interval": "1h"}
_APPLE = ("2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d")
_JAPAN = (
    Bar("4063.T", "2022-01-04T00:00Z", "4050", "4134", "4022", "4131", "5385000", "1d"),
    Bar("4063.T", "2022-01-05T00:00Z", "4100", "4118", "4066", "4080", "4258500", "1d"),
)
_STOOQ = (
    Bar("7203.JP", "2026-04-28T00:00Z", "3050", "3088", "3044", "3070", "18390900", "1d"),
    Bar("7203.JP", "2026-04-29T00:00Z", "3065", "3101", "3057", "3067", "19390900", "1d"),
)
# Foreign exchange has no volume of its own: the ticks are counted instead. Athens is the zone of many brokers' servers.
_EURUSD = (
    Bar("EURUSD", "2024-01-01T22:00Z", "1.1039", "1.10401", "1.10388", "1.104", "45", "1m"),
    Bar("EURUSD", "2024-01-01T22:01Z", "1.104", "1.1041", "1.10395", "1.10405", "37", "1m"),
)
_EET = {"tz": "Europe/Athens"}
_MINUTE = ("2022-01-03T09:00Z", "178.26", "178.26", "178.21", "178.21", "1118", "1m", "178.235733", 65)
# Midnight of New York is the beginning of the day of 9 January, which is what a bar of a day is filed under.
_POLYGON = Bar(
    *("AAPL", "2023-01-09T00:00Z", "130.465", "133.41", "129.89", "130.15", "70790813", "1d", "131.6292", 645365)
)
_EXCEL = {"symbol": "X", "interval": "1d"}

VENDORS: dict[str, ENTRIES] = {
    "A01_yahoo_csv": (
        stored(
            "AAPL.csv",
            Bar(
                *("AAPL", "2024-04-26T00:00Z", "169.880005", "171.339996", "169.179993", "169.300003"),
                *("44838400", "1d"),
            ),
            Bar("AAPL", "2024-04-29T00:00Z", "173.369995", "176.029999", "173.100006", "173.5", "68169400", "1d"),
            Bar(
                *("AAPL", "2024-05-01T00:00Z", "169.580002", "172.710007", "169.110001", "169.300003"),
                *("50383100", "1d"),
            ),
            rejected={3: "close"},
            symbol="AAPL",
        ),
    ),
    "A02_yfinance_multi": (
        stored(
            "msft.csv",
            Bar(
                *("MSFT", "2023-02-17T00:00Z", "255.84107105146936", "256.53147567397895", "252.49743818375117"),
                *("254.5292510986328", "30000100", "1d"),
            ),
            Bar("MSFT", "2023-02-21T00:00Z", "250.9", "251", "248.1", "249.2", "28397400", "1d"),
        ),
    ),
    "A02b_yfinance_two": (
        stored(
            "two.csv",
            Bar("AAPL", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", "50383100", "1d"),
            Bar("MSFT", "2024-05-01T00:00Z", "392.6", "401.7", "390.3", "394.94", "23562500", "1d"),
        ),
    ),
    "A03_yfinance_tz_daily": (
        stored("4063.T.csv", *_JAPAN, symbol="4063.T", interval="1d"),
        stored(("4063.T.csv", "plain.csv"), *_JAPAN, symbol="4063.T", interval="1d"),
        stored(("plain.csv", "4063.T.csv"), *_JAPAN, symbol="4063.T", interval="1d"),
    ),
    "A04_stooq_bulk": (stored("7203.csv", *_STOOQ), stored(("7203.jp.txt", "7203.csv"), *_STOOQ)),
    "A04b_stooq_5min": (
        refused("s.csv", "zone", "--tz"),
        stored(
            "s.csv",
            Bar("7203.JP", "2026-04-28T07:00Z", "3050", "3088", "3044", "3070", "18390900", "5m"),
            Bar("7203.JP", "2026-04-28T07:05Z", "3065", "3101", "3057", "3067", "19390900", "5m"),
            tz="Europe/Warsaw",
        ),
    ),
    "A05_binance_klines_2021": (stored("ADABTC-1m-2021-11-27.csv", *_ada()),),
    "A06_binance_klines_2025": (stored("k.csv", *_HOURS, **_OF_LINK),),
    "A07_binance_klines_header": (
        stored("ms.csv", *_ada(), symbol="ADABTC", interval="1m"),
        stored("us.csv", *_HOURS, **_OF_LINK),
    ),
    # "count" in a file that no vendor is known of is no certain name of the number of trades.
    "A07b_binance_klines_renamed": (
        stored(
            "ms.csv",
            *(Bar(bar.symbol, bar.ts_ns, bar.open, bar.high, bar.low, bar.close, bar.volume, "1m") for bar in _ada()),
            symbol="ADABTC",
            interval="1m",
        ),
        stored(
            "us.csv",
            *(Bar(bar.symbol, bar.ts_ns, bar.open, bar.high, bar.low, bar.close, bar.volume, "1h") for bar in _HOURS),
            **_OF_LINK,
        ),
    ),
    # The buyer was the maker, so a sale met the order in the book. An id of 0 stands for none.
    "A10_binance_aggtrades": (
        stored(
            "a.csv",
            Trade(*("BTCUSDT", "2024-01-01T00:00:00.012Z", "42314", "0.12"), trade_id="2000000001", side="sell"),
            symbol="BTCUSDT",
        ),
        stored(
            "ms2.csv",
            Trade("X", "2025-01-01T00:00:00.010866Z", "0.2", "50", side="buy"),
            symbol="X",
        ),
    ),
    "A10b_binance_bookticker": (
        stored(
            "b.csv", Quote("BTCUSDT", "2024-01-01T00:00:00.012Z", "42313.9", "42314", "2.1", "0.5"), symbol="BTCUSDT"
        ),
    ),
    "A11_kraken": (
        stored(
            "XBTUSD.csv",
            Trade("XBTUSD", "2021-03-25T08:59:00Z", "52591.9", "0.001"),
            Trade("XBTUSD", "2021-03-25T08:59:01Z", "52591.9", "0.002"),
        ),
        stored(
            "XBTUSD_1.csv",
            Bar(
                *("XBTUSD", "2021-03-25T08:59Z", "52591.9", "52599.9", "52591.8", "52599.9", "0.22770854", "1m"),
                trade_count=14,
            ),
            Bar(
                *("XBTUSD", "2021-03-25T09:00Z", "52600", "52674.9", "52599.9", "52665.2", "0.95504117", "1m"),
                trade_count=23,
            ),
        ),
        stored(
            "h.csv",
            Bar(
                *("XBTUSD", "2021-03-25T08:59Z", "52591.9", "52599.9", "52591.8", "52599.9", "0.22770854", "1m"),
                trade_count=14,
            ),
            symbol="XBTUSD",
            interval="1m",
        ),
    ),
    "A13_cdd": (
        stored(
            "daily.csv",
            Bar(
                *("BTC/USD", "2024-01-01T00:00Z", "42283.58", "44184.1", "42180.77", "44179.55", "27174.29", "1d"),
            ),
            interval="1d",
        ),
        stored(
            "nourl.csv",
            Bar("BTC/USD", "2022-03-01T03:43Z", "43046.58", "43046.58", "43046.58", "43046.58", "0", "1m"),
            interval="1m",
        ),
        stored(
            "url.csv",
            Bar("BTCUSDT", "2024-01-01T01:00Z", "42500", "42600", "42400", "42550", "12.3", "1h", trade_count=1000),
            interval="1h",
        ),
    ),
    "A14_bybit": (
        stored(
            "lin.csv",
            Trade("BTCUSDT", "2024-01-01T00:00:01.0123Z", "42314", "0.003", trade_id="aaaa-1", side="buy"),
            Trade("BTCUSDT", "2024-01-01T00:00:01.5Z", "42313.9", "0.001", trade_id="aaaa-2", side="sell"),
        ),
        stored(
            "spot.csv",
            Trade("BTCUSDT", "2025-05-19T00:00:00.074Z", "106453.8", "0.003718", trade_id="1", side="sell"),
            Trade("BTCUSDT", "2025-05-19T00:00:00.15Z", "106456.9", "0.0005", trade_id="2", side="buy"),
            symbol="BTCUSDT",
        ),
    ),
    "A15_tardis_trades": (
        stored(
            "t.csv",
            Trade("XBTUSD", "2020-04-01T00:00:02.957Z", "6425.5", "12", None, "bitmex", "aaa", "buy"),
            Trade("XBTUSD", "2020-04-01T00:00:03.957Z", "6425", "150", None, "bitmex", "bbb", "sell"),
        ),
    ),
    # rtype 33 is bars of a minute; prices without a point are counted in billionths.
    "A16_databento": (
        stored("mbp.csv", Quote("ESU4", "2024-07-01T00:00:00Z", "5500.25", "5500.5", "10", "12")),
        stored("ohlcv.csv", Bar("ESH4", "2024-01-01T00:00Z", "4500", "4510", "4490", "4505", "1000", "1m")),
        stored(
            "tr.csv",
            Trade("LULU", "2023-09-29T12:01:59.873672175Z", "382.41", "100"),
        ),
    ),
    "A16b_databento_renamed": (
        stored("mbp.csv", Quote("ESU4", "2024-07-01T00:00:00Z", "5500.25", "5500.5", "10", "12")),
        stored("ohlcv.csv", Bar("ESH4", "2024-01-01T00:00Z", "4500", "4510", "4490", "4505", "1000", "1m")),
        stored(
            "ohlcv.csv",
            Bar("ESH4", "2024-01-01T00:00Z", "4500", "4510", "4490", "4505", "1000", "1m"),
            scale="1e-9",
        ),
    ),
    "A17b_polygon_rest": (
        stored("a.jsonl", _POLYGON, symbol="AAPL", interval="1d"),
        refused("d.json", "interval", "--interval"),
        stored("d.json", _POLYGON, interval="1d"),
        stored("g.jsonl", _POLYGON),
    ),
    "A18_alpaca_rest_bars": (
        stored("bars.json", Bar("AAPL", *_MINUTE), interval="1m"),
        stored(
            "bars.jsonl",
            Bar("AAPL", *_MINUTE),
            Bar("AAPL", "2022-01-03T09:01Z", "178.3", "178.4", "178.3", "178.35", "20", "1m", "178.33", 2),
            symbol="AAPL",
            interval="1m",
        ),
    ),
    "A18b_alpaca_rest_trades": (
        refused("t.jsonl", "symbol", "--symbol"),
        stored(
            "t.jsonl",
            Trade("AAPL", "2022-01-03T09:00:00.086175744Z", "178.26", "246", '["@", "T"]', "P", "1"),
            Trade("AAPL", "2022-01-03T09:00:00.1Z", "178.26", "10", '["@"]', "P", "2"),
            symbol="AAPL",
        ),
    ),
    "A18d_alpaca_stream": (
        stored(
            ("s.jsonl", "q.jsonl", "b.jsonl"),
            Trade("AAPL", "2021-02-22T15:51:44.208Z", "126.55", "1", '["@", "I"]', "D", "96921"),
            Quote("AMD", "2021-02-22T15:51:45.335689322Z", "87.66", "87.68", "1", "4", "U", "Q", '["R"]'),
            Bar(
                *("SPY", "2021-02-22T19:15Z", "388.985", "389.13", "388.975", "389.12", "49378", "1m"),
                vwap="389.062639",
                trade_count=461,
            ),
        ),
    ),
    "A18e_alpaca_py_csv": (
        stored(
            "b.csv",
            Bar(
                *("AAPL", "2022-01-03T00:00Z", "177.83", "182.88", "177.71", "182.01", "104701220", "1d"),
                vwap="181.417551",
                trade_count=747555,
            ),
            interval="1d",
        ),
    ),
    "A20_tiingo": (
        stored(
            "d.csv",
            Bar("AAPL", "2024-05-01T00:00Z", "169.58", "172.705", "169.11", "169.3", "50383147", "1d"),
            symbol="AAPL",
        ),
        stored(
            "iex.csv",
            Bar("AAPL", "2024-05-01T13:30Z", "169.58", "169.9", "169.1", "169.6", None, "5m"),
            Bar("AAPL", "2024-05-01T13:35Z", "169.6", "169.9", "169.5", "169.7", None, "5m"),
            symbol="AAPL",
            interval="5m",
        ),
    ),
    "A23_truefx": (
        refused("h.csv", "zone", "--tz"),
        stored("h.csv", Quote("EUR/USD", "2024-05-01T00:00:00.123Z", "1.06661", "1.06664"), tz="UTC"),
        stored(
            "t.csv",
            Quote("EUR/USD", "2024-05-01T00:00:00.123Z", "1.06661", "1.06664"),
            Quote("EUR/USD", "2024-05-01T00:00:00.345Z", "1.0666", "1.06663"),
        ),
    ),
    "A24_mt5": (
        refused("EURUSD_M1.csv", "zone", "--tz"),
        stored("EURUSD_M1.csv", *_EURUSD, **_EET),
        stored("EURUSD_M1.tsv", *_EURUSD, **_EET),
        stored("clean.tsv", *_EURUSD, symbol="EURUSD", interval="1m", **_EET),
        # A side that is left empty is the one before.
        stored(
            "ticks.tsv",
            Quote("EURUSD", "2024-01-01T22:00:00.123Z", "1.1039", "1.10398"),
            Quote("EURUSD", "2024-01-01T22:00:00.623Z", "1.1039", "1.10399"),
            symbol="EURUSD",
            **_EET,
        ),
    ),
    "A25_ibkr_flex": (
        refused("act.csv", "Flex query"),
        # Executions of one's own are fills; a sale is written below zero, and so is a commission that was paid.
        stored("iso.csv", *_IBKR),
        stored("t.csv", *(evolve(one, order_id=order) for one, order in zip(_IBKR, ("55", "56"), strict=True))),
    ),
    "A26_schwab": (
        refused("pos.csv", "--as-of"),
        stored(
            "pos.csv",
            Position(
                *("BAR", "300", "42105", "40503.61", "1601.39", None, "2024-05-01T20:00Z"), current_price="140.35"
            ),
            rejected={2: "quantity"},
            as_of="2024-05-01T16:00:00-04:00",
        ),
        stored(
            "tx.csv",
            CashFlow(*("2022-03-01T05:00Z", "deposit", "1000000"), reference="Tfr BANK", type_raw="MoneyLink Transfer"),
            Fill(*("BAR", "2023-10-09T04:00Z", "buy", "135.0075", "300"), fee="1.34", amount="-40503.61"),
            flags=("fill.amount",),
        ),
    ),
    "A26d_trading212": (
        stored(
            "t.csv",
            Fill("CSCO", "2023-12-18T14:30:03.613Z", "buy", "49.96", "0.029053", fill_id="EOF7504196256"),
        ),
        stored("revolut.csv", Fill("O", "2023-09-22T13:30:10.514Z", "buy", "52.07", "1.63453043")),
        refused("webull.csv", "orders"),
    ),
    "A26e_degiro_xtb": (refused("pp.csv", "transactions"), refused("x.csv", "transactions")),
    "A27_ccxt": (
        stored(
            "BTC_USDT-1m.json",
            Bar(
                *("BTC_USDT", "2017-11-04T23:02Z", "0.00162008", "0.00162008", "0.00162008", "0.00162008"),
                *("108.14853839", "1m"),
            ),
            Bar("BTC_USDT", "2017-11-04T23:03Z", "0.00161", "0.00161", "0.00161", "0.00161", "82.390199", "1m"),
        ),
        refused("o.jsonl", "without names", "--as", symbol="X", interval="1h"),
        stored(
            "o.jsonl",
            Bar("X", "2022-12-16T05:00Z", "17376.5", "17394", "17359.5", "17393.5", "1598.719", "1h"),
            symbol="X",
            interval="1h",
            format="ccxt.ohlcv",
        ),
        stored(
            "o.jsonl",
            Bar("X", "2022-12-16T05:00Z", "17376.5", "17394", "17359.5", "17393.5", "1598.719", "1h"),
            symbol="X",
            interval="1h",
            names=("timestamp", "open", "high", "low", "close", "volume"),
        ),
        stored(
            "t.csv",
            Trade("X", "2023-02-02T09:20:00.138Z", "1666.8", "26.062", trade_id="1206419187", side="buy"),
            symbol="X",
        ),
        stored(
            "t2.csv",
            Trade("X", "2023-02-02T04:10:00.092Z", "23438", "0.013", trade_id="1588563957", side="buy"),
            Trade("X", "2023-02-02T04:10:00.211Z", "23437.5", "0.001", trade_id="1588563958", side="sell"),
            symbol="X",
        ),
    ),
    # The name of the file tells the day, and that these are LEAN's files: its prices are ten-thousandths, its times those of New York.
    "A28_lean": (
        stored(
            "20131007_spy_minute_trade.csv",
            Bar("SPY", "2013-10-07T13:30Z", "169.58", "169.6", "169.55", "169.59", "123400", "1m"),
            Bar("SPY", "2013-10-07T13:31Z", "169.59", "169.61", "169.58", "169.6", "45100", "1m"),
            symbol="SPY",
        ),
    ),
    "A31_norgate": (stored("n.csv", Bar("AAPL", *_APPLE)),),
    "A32_eodhd": (stored("e.csv", Bar("AAPL", *_APPLE), symbol="AAPL"),),
    "A33_cboe": (
        refused("c.csv", "option"),
        refused("chain.csv", "strike", interval="1d"),
        refused("qchain.csv", "strike"),
    ),
    "A34_pandas_index": (
        stored(
            "idx.csv",
            Bar("AAPL", "2024-05-01T13:30Z", "169.58", "169.9", "169.2", "169.6", "1200", "1m"),
            Bar("AAPL", "2024-05-01T13:31Z", "169.6", "169.8", "169.5", "169.7", "300", "1m"),
            symbol="AAPL",
            interval="1m",
        ),
        stored(
            "p.csv",
            Quote("AAPL", "2024-05-01T14:30:00Z", "169.57", "169.59"),
            Quote("AAPL", "2024-05-01T14:30:01Z", "169.58", "169.6"),
        ),
    ),
    "A35_excel": (
        stored("bom.csv", Bar("X", *_APPLE), **_EXCEL),
        refused("cp1252.csv", "UTF-8", "--encoding", **_EXCEL),
        stored(
            "cp1252.csv", Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL, encoding="cp1252"
        ),
        # There is no thirty-first month.
        stored("dmy.csv", Bar("X", "2024-12-31T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL),
        refused("dmy2.csv", "05/01/2024", "--day-first or --month-first", **_EXCEL),
        stored(
            "dmy2.csv",
            Bar("X", "2024-01-05T00:00Z", "1", "2", "1", "2", None, "1d"),
            **_EXCEL,
            time_format="%d/%m/%Y",
        ),
        stored("dmy2.csv", Bar("X", "2024-01-05T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL, day_first=True),
        stored("dmy2.csv", Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL, day_first=False),
        refused("excel.csv", "5/1/2024 9:30", "--day-first or --month-first", symbol="X", interval="30m"),
        stored(
            "excel.csv",
            Bar("X", "2024-05-01T13:30Z", "1", "2", "1", "2", None, "30m"),
            symbol="X",
            interval="30m",
            time_format="%m/%d/%Y %H:%M",
            tz="America/New_York",
        ),
        stored(
            "excel.csv",
            Bar("X", "2024-05-01T13:30Z", "1", "2", "1", "2", None, "30m"),
            symbol="X",
            interval="30m",
            day_first=False,
            tz="America/New_York",
        ),
        stored("semi.csv", Bar("X", *_APPLE), **_EXCEL),
        stored("sep.csv", Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL),
        stored("sepc.csv", Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL),
        refused("serial.csv", "45413", "--time-unit excel", **_EXCEL),
        stored(
            "serial.csv", Bar("X", "2024-05-01T00:00Z", "1", "2", "1", "2", None, "1d"), **_EXCEL, time_unit="excel"
        ),
        stored(
            "thou.csv",
            Bar("X", "2024-05-01T00:00Z", "1169.58", "1172.71", "1169.11", "1169.3", "50383147", "1d"),
            **_EXCEL,
        ),
        stored("utf16.csv", Bar("X", *_APPLE), **_EXCEL),
    ),
}
