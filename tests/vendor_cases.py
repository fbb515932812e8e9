"""What the samples of vendors' files in ``tests/formats`` hold, written by hand from what the vendors say of them.

A sample is in the folder of its format, under a name that the vendor gives such files.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position, Quote, Trade

__all__ = ["CASES", "Case"]


@frozen
class Case:
    """What comes out of a sample.

    :ivar records: the records, in the order of the file.
    :ivar options: what the user has to say.
    :ivar refusal: words of the error, where the file is refused.
    :ivar set_aside: how many rows are set aside, as totals and footers are.
    :ivar part_of: the format that is recognised, where this one reads some of its rows.
    """

    records: tuple[Any, ...] = ()
    options: dict[str, Any] = field(factory=dict)
    refusal: str | None = None
    set_aside: int = 0
    part_of: str | None = None


def _case(*records: Any, **options: Any) -> Case:
    return Case(records, options)


def _refused(words: str) -> Case:
    return Case(refusal=words)


_STREAM_TRADE = Trade("AAPL", "2021-02-22T15:51:44.208Z", "126.55", "1", '["@", "I"]', "D", "96921")
_STREAM_QUOTE = Quote("AMD", "2021-02-22T15:51:45.335689322Z", "87.66", "87.68", "1", "4", "U", "Q", '["R"]')
_STREAM_BAR = Bar(
    *("SPY", "2021-02-22T19:15Z", "388.985", "389.13", "388.975", "389.12", "49378", "1m"),
    vwap="389.062639",
    trade_count=461,
)
_ALPACA_DAY = ("2022-01-03T00:00Z", "177.83", "182.88", "177.71", "182.01", "104701220", "1d", "181.417551", 747555)
_ALPACA_MINUTE = ("2022-01-03T09:00Z", "178.26", "178.27", "178.21", "178.22", "1118", "1m", "178.235733", 65)
_ALPACA_TRADES = (
    Trade("AAPL", "2022-01-03T09:00:00.086175744Z", "178.26", "246", '["@", "T"]', "P", "1"),
    Trade("AAPL", "2022-01-03T09:00:00.1Z", "178.27", "10", '["@"]', "P", "2"),
)
_ENOUGH = {"as_of": "2024-05-01T20:00:00Z"}
_SOMETIME = "2024-05-01T20:00:00Z"

_CRYPTO = {
    "binance.klines": _case(
        Bar(
            *("ADABTC", "2021-11-27T00:00Z", "0.00002853", "0.00002854", "0.00002851", "0.00002854"),
            *("36304.2", "1m"),
            trade_count=79,
        ),
        Bar(
            *("ADABTC", "2021-11-27T00:01Z", "0.00002854", "0.0000286", "0.00002854", "0.00002859"),
            *("89196.6", "1m"),
            trade_count=98,
        ),
    ),
    "binance.klines_bare": _case(
        Bar("BNBUSDT", "2025-01-01T00:00Z", "4.1507", "4.1587", "4.1506", "4.1554", "539.23", "1h", trade_count=13),
        Bar("BNBUSDT", "2025-01-01T01:00Z", "4.1554", "4.16", "4.15", "4.159", "120.1", "1h", trade_count=9),
    ),
    "binance.trades": _case(
        Trade("BTCUSDT", "2024-01-01T00:00:00.012Z", "42313.9", "0.12", trade_id="4428301812", side="sell"),
        Trade("BTCUSDT", "2024-01-01T00:00:00.044Z", "42314", "0.005", trade_id="4428301813", side="buy"),
    ),
    "binance.trades_bare": _case(
        Trade("BNBUSDT", "2020-03-08T23:17:13.583Z", "17.8018", "5.69", trade_id="51175358", side="sell"),
        Trade("BNBUSDT", "2020-03-08T23:17:13.6Z", "17.802", "1", trade_id="51175359", side="buy"),
    ),
    "binance.futures_trades_bare": _case(
        Trade("ETHUSDT", "2017-07-12T13:19:09.59Z", "4.000001", "12", trade_id="28457", side="sell"),
        Trade("ETHUSDT", "2017-07-12T13:19:09.601Z", "4.000002", "1", trade_id="28458", side="buy"),
    ),
    "binance.agg_trades": _case(
        Trade("BTCUSDT", "2024-01-01T00:00:00.012Z", "42314", "0.12", trade_id="2000000001", side="sell"),
    ),
    "binance.agg_trades_bare": _case(
        Trade("ETHBTC", "2025-01-01T00:00:00.010866Z", "0.2", "50", trade_id="10", side="buy"),
        Trade("ETHBTC", "2025-01-01T00:00:00.011Z", "0.200001", "2", trade_id="11", side="sell"),
    ),
    "binance.futures_agg_trades_bare": _case(
        Trade("LTCUSDT", "2017-06-30T03:35:09.153Z", "0.01633102", "4.70443515", trade_id="26129", side="sell"),
    ),
    "binance.book_ticker": _case(Quote("BTCUSDT", "2024-01-01T00:00:00.012Z", "42313.9", "42314", "2.1", "0.5")),
    "kraken.ohlcvt": _case(
        Bar(
            *("XBTUSD", "2021-03-25T08:59Z", "52591.9", "52599.9", "52591.8", "52599.9", "0.22770854", "1m"),
            trade_count=14,
        ),
        Bar(
            *("XBTUSD", "2021-03-25T09:00Z", "52600", "52674.9", "52599.9", "52665.2", "0.95504117", "1m"),
            trade_count=23,
        ),
    ),
    "kraken.trades": _case(
        Trade("XBTUSD", "2021-03-25T08:59:00Z", "52591.9", "0.001"),
        Trade("XBTUSD", "2021-03-25T08:59:01Z", "52591.9", "0.002"),
    ),
    "coinbase.candles": _case(
        Bar("BTC-USD", "2024-05-01T00:01Z", "60250", "60310.5", "60200.1", "60300.25", "12.5", "1m"),
        Bar("BTC-USD", "2024-05-01T00:00Z", "60200", "60260", "60190", "60250", "8.75", "1m"),
        interval="1m",
    ),
    "coinbase.trades": _case(
        Trade("BTC-USD", "2014-11-07T22:19:28.578544Z", "10", "0.01", trade_id="74", side="sell"),
        Trade("BTC-USD", "2014-11-07T01:08:43.642366Z", "10.5", "0.02", trade_id="73", side="buy"),
    ),
    "bybit.trades": _case(
        Trade(
            *("BTCUSDT", "2024-01-01T00:00:01.0123Z", "42314", "0.003"),
            trade_id="6a9b5c1e-3a52-5d2c-8a1e-0b8f3d7c1a01",
            side="buy",
        ),
        Trade(
            *("BTCUSDT", "2024-01-01T00:00:01.5Z", "42313.9", "0.001"),
            trade_id="7b0c6d2f-4b63-6e3d-9b2f-1c9f4e8d2b12",
            side="sell",
        ),
    ),
    "bybit.spot_trades": _case(
        Trade("BTCUSDT", "2025-05-19T00:00:00.074Z", "106453.8", "0.003718", trade_id="1", side="sell"),
        Trade("BTCUSDT", "2025-05-19T00:00:00.15Z", "106456.9", "0.0005", trade_id="2", side="buy"),
    ),
    "ccxt.ohlcv": _case(
        Bar(
            *("BTC_USDT", "2017-11-04T23:02Z", "0.00162008", "0.00162009", "0.00162007", "0.00162008"),
            *("108.14853839", "1m"),
        ),
        Bar("BTC_USDT", "2017-11-04T23:03Z", "0.00161", "0.00161", "0.00161", "0.00161", "82.390199", "1m"),
    ),
    "ccxt.trades": _case(
        Trade("ETH_USDT", "2023-02-02T09:20:00.138Z", "1666.8", "26.062", trade_id="1206419187", side="buy"),
        Trade("ETH_USDT", "2023-02-02T09:20:00.211Z", "1666.7", "0.5", trade_id="1206419188", side="sell"),
    ),
    "ccxt.trades_bare": _case(
        Trade("XRP_ETH", "2019-10-11T00:00:11.62Z", "0.00141342", "23", trade_id="13519807", side="sell"),
        Trade("XRP_ETH", "2019-10-11T00:00:11.621Z", "0.00141266", "54", trade_id="13519808", side="buy"),
    ),
    "cryptodatadownload.bars": _case(
        Bar("BTCUSDT", "2024-01-01T01:00Z", "42500", "42600", "42400", "42550", "12.3", "1h", trade_count=1000),
        Bar("BTCUSDT", "2024-01-01T00:00Z", "42400", "42500", "42300", "42500", "10.5", "1h", trade_count=900),
    ),
    "tardis.trades": _case(
        Trade("XBTUSD", "2020-04-01T00:00:02.957Z", "6425.5", "12", None, "bitmex", "aaa", side="buy"),
        Trade("XBTUSD", "2020-04-01T00:00:03.957Z", "6425", "150", None, "bitmex", "bbb"),
    ),
    "tardis.quotes": _case(
        Quote(
            *("BTC-USD", "2020-09-01T00:00:03.696Z", "11656.1", "11656.2", "30982", "2003"),
            *("huobi-dm-swap", "huobi-dm-swap"),
        ),
        Quote(
            *("BTC-USD", "2020-09-01T00:00:03.798Z", "11656.1", None, "31000", None),
            *("huobi-dm-swap", "huobi-dm-swap"),
        ),
    ),
    "tardis.liquidations": _refused("liquidations"),
    "tardis.book_changes": _refused("levels of an order book"),
    "tardis.book_snapshots": _refused("levels of an order book"),
    "tardis.derivative_ticker": _refused("funding rates"),
    "tardis.options_chain": _refused("option chain"),
}

_INSTITUTIONAL = {
    "databento.trades": _case(
        Trade("LULU", "2023-09-29T12:01:59.873672175Z", "382.41", "100"),
        Trade("LULU", "2023-09-29T12:02:00.999672175Z", "382.4", "50", side="sell"),
    ),
    "databento.quotes": _case(
        Quote("ESU4", "2024-07-01T00:00:00Z", "5500.25", "5500.5", "10", "12"),
        Quote("ESU4", "2024-07-01T00:00:00.0000001Z", None, "5500.5", "0", "12"),
    ),
    "databento.bbo": _case(Quote("ESU4", "2024-07-01T00:00:01Z", "5500.25", "5500.5", "10", "12")),
    "databento.ohlcv": _case(
        Bar("ESH4", "2024-01-01T00:00Z", "4500", "4510.25", "4490", "4505", "1000", "1m"),
        Bar("ESH4", "2024-01-01T00:00Z", "4500", "4511", "4490", "4508", "60000", "1h"),
    ),
    "databento.mbo": _refused("events of an order book"),
    "databento.mbp10": _refused("levels of an order book"),
    "massive.aggregates": _case(
        Bar("AAPL", "2025-04-16T08:35Z", "200.29", "200.63", "200.29", "200.5", "4930", "1m", trade_count=129),
        Bar("AAPL", "2025-04-16T08:36Z", "200.39", "200.61", "200.34", "200.34", "1815", "1m", trade_count=57),
        interval="1m",
    ),
    "massive.trades": _case(
        Trade("MSFT", 1679990400018381329, "276.16", "55", "12,37", "11", "1"),
        Trade("MSFT", 1679990400020100000, "276.2", "0.5", None, "4", "71675"),
    ),
    "massive.quotes": _case(Quote("A", 1770800340066046795, "131.1", "131.2", "2", "3", "12", "19", "1,81")),
    "massive.currency_quotes": _case(
        Quote("C:EUR-USD", 1757552407000000000, "1.16971", "1.16978", bid_exchange="48", ask_exchange="48"),
        Quote("C:EUR-USD", 1757552408000000000, "1.1697", "1.16979", bid_exchange="48", ask_exchange="48"),
    ),
    "massive.rest_aggregates": _case(
        Bar("AAPL", "2023-01-09T00:00Z", "130.465", "133.41", "129.89", "130.15", "70790813", "1d", "131.6292", 645365),
        interval="1d",
    ),
    "massive.rest_grouped": _case(
        Bar("AAPL", "2023-01-09T00:00Z", "130.465", "133.41", "129.89", "130.15", "70790813", "1d", "131.6292", 645365),
    ),
    "massive.rest_trades": _case(
        Trade("AAPL", 1517562000016036600, "171.55", "100", '["12", "41"]', "11", "1"), symbol="AAPL"
    ),
    "massive.rest_quotes": _case(
        Quote("AAPL", 1517562000065700400, "102.6", "102.7", "20", "60", "11", "7"), symbol="AAPL"
    ),
    "alpaca.bars": _case(
        Bar("AAPL", *_ALPACA_DAY),
        Bar("MSFT", _ALPACA_DAY[0], "335.35", "338", "329.78", "334.75", *_ALPACA_DAY[5:]),
        interval="1d",
    ),
    "alpaca.symbol_bars": _case(Bar("AAPL", *_ALPACA_MINUTE), interval="1m"),
    "alpaca.bar_lines": _case(
        Bar("AAPL", *_ALPACA_MINUTE),
        Bar("AAPL", "2022-01-03T09:01Z", *_ALPACA_MINUTE[1:]),
        symbol="AAPL",
        interval="1m",
    ),
    "alpaca.trades": _case(*_ALPACA_TRADES),
    "alpaca.symbol_trades": _case(_ALPACA_TRADES[0]),
    "alpaca.trade_lines": _case(*_ALPACA_TRADES, symbol="AAPL"),
    "alpaca.quotes": _case(_STREAM_QUOTE),
    "alpaca.symbol_quotes": _case(_STREAM_QUOTE),
    "alpaca.quote_lines": _case(_STREAM_QUOTE, symbol="AMD"),
    "alpaca.stream": _case(_STREAM_TRADE, _STREAM_QUOTE, _STREAM_BAR),
    "alpaca.stream_trades": Case((_STREAM_TRADE,), part_of="alpaca.stream"),
    "alpaca.stream_quotes": Case((_STREAM_QUOTE,), part_of="alpaca.stream"),
    "alpaca.stream_bars": Case(
        (
            _STREAM_BAR,
            Bar(
                *("SPY", "2021-02-22T19:15Z", "388.985", "389.13", "388.97", "389.12", "49500", "1m"),
                *("389.0626", 463),
            ),
        ),
        part_of="alpaca.stream",
    ),
    "alpaca.stream_days": Case(
        (Bar("SPY", "2021-02-22T00:00Z", "387.06", "389.62", "386.74", "387.03", "66530000", "1d", "388.1", 400000),),
        part_of="alpaca.stream",
    ),
    "alpaca.py_bars": _case(Bar("AAPL", *_ALPACA_DAY), interval="1d"),
    "alpaca.py_trades": _case(
        Trade("AAPL", "2022-01-03T09:00:00.086175Z", "178.26", "246", "['@', 'T']", "P", "1"),
    ),
    "alpaca.py_quotes": _case(
        Quote("AMD", "2021-02-22T15:51:45.335689Z", "87.66", "87.68", "1", "4", "U", "Q", "['R']"),
    ),
    "alpaca.orders": _case(
        Order(
            *("61e69015-8549-4bfd-b9c3-01e75843f47d", "ALXN", "351", "buy", "market", "new"),
            timestamp="2021-07-14T13:57:52.79776Z",
            updated_at="2021-07-14T13:57:52.812205Z",
            client_order_id="eb9e2aaa-f71a-4f51-b5b4-52a6c565dad4",
            status_raw="held",
        ),
        Order(
            *("9f3a1c2e-0000-4bfd-b9c3-01e75843f47d", "AAPL", "10", "sell", "limit", "filled", "10", "146.25", "146.2"),
            time_in_force="gtc",
            timestamp="2021-07-14T14:00:00Z",
            updated_at="2021-07-14T14:00:02Z",
            client_order_id="c-2",
        ),
    ),
    "alpaca.positions": _case(
        Position(
            *("AAPL", "-5", "-600", "-500", "-100", "-10", _SOMETIME),
            avg_entry_price="100",
            current_price="120",
            side="short",
            asset_class="us_equity",
        ),
        **_ENOUGH,
    ),
    "alpaca.account": _case(PortfolioSnapshot(_SOMETIME, "2500.75", "5000", cash="1000.5", account="PA1"), **_ENOUGH),
    "alpaca.portfolio_history": _case(
        PortfolioSnapshot("2024-05-01T00:00Z", "100000"), PortfolioSnapshot("2024-05-02T00:00Z", "100250.5")
    ),
}

_APPLE = ("2024-05-01T00:00Z", "169.58", "172.71", "169.11", "169.3", "50383147", "1d")
_IBM = ("IBM", "2023-07-11T00:00Z", "132.95", "134.5", "132.6", "134.44", "2925213", "1d")
_EQUITIES = {
    "yahoo.bars": _case(
        Bar(
            *("AAPL", "2024-04-26T00:00Z", "169.880005", "171.339996", "169.179993", "169.300003"),
            *("44838400", "1d"),
        ),
        Bar("AAPL", "2024-04-29T00:00Z", "173.369995", "176.029999", "173.100006", "173.5", "68169400", "1d"),
        symbol="AAPL",
    ),
    "yfinance.history": _case(
        Bar("4063.T", "2022-01-04T00:00Z", "4050", "4134", "4022", "4131", "5385000", "1d"),
        Bar("4063.T", "2022-01-05T00:00Z", "4100", "4118", "4066", "4080", "4258500", "1d"),
        symbol="4063.T",
    ),
    "yfinance.intraday_history": _case(
        Bar("AAPL", "2024-05-01T13:30Z", "169.58", "169.9", "169.1", "169.6", "1200000", "1m"),
        Bar("AAPL", "2024-05-01T13:31Z", "169.6", "169.8", "169.5", "169.7", "300000", "1m"),
        symbol="AAPL",
        interval="1m",
    ),
    "yfinance.download": _case(
        Bar("AAPL", "2024-05-01T00:00Z", "169.6", "172.7", "169.1", "169.3", "50383100", "1d"),
        Bar("MSFT", "2024-05-01T00:00Z", "392.6", "401.7", "390.3", "394.94", "23562500", "1d"),
    ),
    "yfinance.intraday_download": _case(
        Bar("MSFT", "2024-05-01T13:30Z", "392.1", "392.9", "391.5", "392.6", "500000", "5m"), interval="5m"
    ),
    "stooq.bars": _case(
        Bar("7203.JP", "2026-04-28T00:00Z", "3050", "3088", "3044", "3070", "18390900", "1d"),
        Bar("7203.JP", "2026-04-29T00:00Z", "3065", "3101", "3057", "3067", "19390900", "1d"),
    ),
    "alphavantage.bars": _case(
        Bar("IBM", "2024-10-29T23:55Z", "210.46", "210.56", "210.36", "210.38", "633", "5m"),
        Bar("IBM", "2024-10-29T23:50Z", "210.4", "210.46", "210.3", "210.46", "41", "5m"),
    ),
    "alphavantage.adjusted": _case(Bar(*_IBM)),
    "alphavantage.csv": _case(
        Bar(*_IBM), Bar("IBM", "2023-07-10T00:00Z", "131.76", "133.05", "131.69", "132.9", "2369425", "1d")
    ),
    "alphavantage.adjusted_csv": _case(Bar(*_IBM)),
    "tiingo.daily": _case(
        Bar("AAPL", "2024-05-01T00:00Z", "169.58", "172.705", "169.11", "169.3", "50383147", "1d"), symbol="AAPL"
    ),
    "firstrate.bars": _case(
        Bar("AAPL", "2024-05-01T13:30Z", "169.58", "169.9", "169.1", "169.6", "1200000", "1m"), tz="America/New_York"
    ),
    "firstrate.bars_bare": _case(
        Bar("AACG", "2008-01-29T15:00Z", "9.51", "9.99", "9.5", "9.5", "89745", "1m"),
        Bar("AACG", "2008-01-29T15:01Z", "9.5", "9.64", "9.35", "9.6", "55200", "1m"),
    ),
    "kibot.bars": _case(
        Bar("WMT", "2011-08-31T13:30Z", "12.52", "12.68", "12.5", "12.66", "1004620", "5m"),
        Bar("WMT", "2011-08-31T13:35Z", "12.65", "12.65", "12.58", "12.63", "696432", "5m"),
        interval="5m",
    ),
    "kibot.daily": _case(
        Bar("OIH", "2009-12-30T00:00Z", "119.06", "119.78", "118.27", "119.4", "4300000", "1d"),
        Bar("OIH", "2009-12-31T00:00Z", "119.5", "119.87", "118.8", "118.89", "3900000", "1d"),
    ),
    "norgate.daily": _case(Bar("AAPL", *_APPLE)),
    "norgate.py_bars": _case(Bar("AAPL", *_APPLE), symbol="AAPL"),
    "eodhd.daily": _case(Bar("AAPL", *_APPLE), symbol="AAPL"),
    "eodhd.intraday": _case(
        Bar("AAPL", "2019-08-02T13:35Z", "205.5", "205.9", "205.1", "205.3", "150000", "5m"),
        symbol="AAPL",
        interval="5m",
    ),
    "nasdaq.daily": _case(
        Bar("X", "2024-12-13T00:00Z", "192.71", "194.34", "191.26", "191.38", "18883220", "1d"),
        Bar("X", "2024-12-12T00:00Z", "196.3", "196.7053", "193.28", "193.63", "25197760", "1d"),
        symbol="X",
    ),
    "investing.daily": _case(
        Bar("ADA", "2021-12-31T00:00Z", "0.8387", "0.8535", "0.8029", "0.8299", "457620000", "1d"),
        Bar("ADA", "2021-12-30T00:00Z", "0.8168", "0.8586", "0.8042", "0.8387", "1200000000", "1d"),
        symbol="ADA",
    ),
    "cboe.index": _case(
        Bar("VIX", "1990-01-02T00:00Z", "17.24", "17.24", "17.24", "17.24", None, "1d"),
        Bar("VIX", "1990-01-03T00:00Z", "18.19", "18.19", "18.19", "18.19", None, "1d"),
    ),
    "cboe.options": _refused("option chain"),
    "barchart.bars": _case(
        Bar("AAPL", "2024-05-13T00:00Z", *_APPLE[1:]),
        Bar("AAPL", "2024-05-10T00:00Z", "170.1", "171.2", "169.9", "170.33", "40000000", "1d"),
        interval="1d",
    ),
    "barchart.latest": _case(
        Bar("GPRE", "2026-05-04T00:00Z", "17.54", "18.09", "17.35", "18.07", "1195900", "1d"),
        Bar("GPRE", "2026-05-01T00:00Z", "17.38", "18.08", "17.38", "17.76", "1000000", "1d"),
        symbol="GPRE",
        interval="1d",
    ),
    "fred.series": _case(
        Bar("DCOILWTICO", "2020-04-20T00:00Z", None, None, None, "-36.98", None, "1d"),
        Bar("DCOILWTICO", "2020-05-26T00:00Z", None, None, None, "34.7", None, "1d"),
        interval="1d",
    ),
    "fred.old_series": _case(
        Bar("DGS10", "2020-05-22T00:00Z", None, None, None, "0.66", None, "1d"),
        Bar("DGS10", "2020-05-26T00:00Z", None, None, None, "0.69", None, "1d"),
        interval="1d",
    ),
    "nse.full_bhavcopy": _case(
        Bar("20MICRONS", "2024-09-02T00:00Z", "318.8", "323.8", "316", "318.5", "151582", "1d", "319.25", 3528),
        Bar("RELIANCE-N2", "2024-09-02T00:00Z", "1100", "1101", "1099", "1100", "20", "1d", "1100.1", 3),
    ),
    "nse.bhavcopy": _case(
        Bar("ABC", "2019-01-02T00:00Z", "100", "110", "95", "105", "1000", "1d", trade_count=50),
        Bar("ABC-N1", "2019-01-02T00:00Z", "100", "110", "95", "101", "10", "1d", trade_count=5),
    ),
    "nse.udiff_bhavcopy": _case(
        Bar("RELIANCE", "2024-10-01T00:00Z", "2900", "2950", "2890", "2940", "5000000", "1d", trade_count=120000),
        Bar("RELIANCE-N2", "2024-10-01T00:00Z", "1100", "1101", "1099", "1100", "20", "1d", trade_count=3),
    ),
}

_EURUSD_HISTDATA = (
    Bar("EURUSD", "2012-02-01T05:00Z", "1.3066", "1.3066", "1.30656", "1.30656", None, "1m"),
    Bar("EURUSD", "2012-02-01T05:01Z", "1.30657", "1.30657", "1.30647", "1.30656", None, "1m"),
)
_TRUEFX = Quote("EUR/USD", "2024-05-01T00:00:00.123Z", "1.06661", "1.06664")
_PLATFORMS = {
    "histdata.bars": _case(*_EURUSD_HISTDATA),
    "histdata.metatrader_bars": _case(*_EURUSD_HISTDATA),
    # In July the clocks of New York are at UTC-4; those of HistData.com stay at UTC-5.
    "histdata.ticks": _case(
        Quote("EURUSD", "2012-07-01T05:00:03.66Z", "1.3066", "1.30677"),
        Quote("EURUSD", "2012-07-01T05:00:03.973Z", "1.30658", "1.30675"),
    ),
    "dukascopy.bars": _case(
        Bar("EURUSD", "2024-01-15T10:00Z", "1.0951", "1.0953", "1.095", "1.0952", "120.5", "1m"),
        Bar("EURUSD", "2024-01-15T10:01Z", "1.0952", "1.0952", "1.0949", "1.095", "98.25", "1m"),
    ),
    "dukascopy.local_bars": _case(
        Bar("EURUSD", "2018-01-12T17:00Z", "1.20137", "1.20158", "1.20026", "1.20106", "185.93", "1h"),
        Bar("EURUSD", "2018-01-12T18:00Z", "1.20105", "1.20177", "1.20092", "1.2016", "862.529", "1h"),
    ),
    "dukascopy.ticks": _case(
        Quote("USDJPY", "2024-01-15T10:30:00.123Z", "145.5", "145.503", "1.2", "1.5"),
        Quote("USDJPY", "2024-01-15T10:30:00.4Z", "145.501", "145.504", "0.5", "0.75"),
    ),
    "dukascopy.local_ticks": _case(Quote("USDJPY", "2017-11-30T23:00:00.192Z", "112.5", "112.503", "1.2", "1.5")),
    "truefx.ticks": _case(_TRUEFX, Quote("EUR/USD", "2024-05-01T00:00:00.345Z", "1.0666", "1.06663")),
    "truefx.ticks_with_header": _case(_TRUEFX),
    "mt4.bars": _case(
        Bar("EURUSD", "2024-01-01T22:00Z", "1.1039", "1.10401", "1.10388", "1.104", "45", "1h"),
        Bar("EURUSD", "2024-01-01T23:00Z", "1.104", "1.1041", "1.10395", "1.10405", "37", "1h"),
        tz="Europe/Athens",
    ),
    "mt5.bars": _case(
        Bar("EURUSD", "2024-01-01T22:00Z", "1.1039", "1.10401", "1.10388", "1.104", "45", "1m"),
        Bar("EURUSD", "2024-01-01T22:01Z", "1.104", "1.1041", "1.10395", "1.10405", "37", "1m"),
        tz="Europe/Athens",
    ),
    "mt5.daily": _case(
        Bar("EURUSD", "2024-01-02T00:00Z", "1.1039", "1.10401", "1.09388", "1.094", "45123", "1d"),
        Bar("EURUSD", "2024-01-03T00:00Z", "1.094", "1.0966", "1.08935", "1.09205", "51234", "1d"),
    ),
    "mt5.ticks": _case(
        Quote("EURUSD", "2024-01-01T22:00:00.123Z", "1.1039", "1.10398"),
        Quote("EURUSD", "2024-01-01T22:00:00.623Z", "1.1039", "1.10399"),
        Quote("EURUSD", "2024-01-01T22:00:00.901Z", "1.10391", "1.10399"),
        tz="Europe/Athens",
    ),
    "tradingview.bars": _case(
        Bar("AAPL", "2024-05-01T13:30Z", "169.58", "169.9", "169.1", "169.6", "1200000", "5m"),
        Bar("AAPL", "2024-05-01T13:35Z", "169.6", "169.8", "169.5", "169.7", "300000", "5m"),
    ),
    "lean.equity_bars": _case(
        Bar("SPY", "2013-10-07T13:30Z", "169.58", "169.6", "169.55", "169.59", "123400", "1m"),
        Bar("SPY", "2013-10-07T13:31Z", "169.59", "169.61", "169.58", "169.6", "45100", "1m"),
        symbol="SPY",
    ),
    "lean.equity_days": _case(
        Bar("SPY", "2013-10-07T00:00Z", "167.85", "168.34", "167.56", "167.56", "63670000", "1d"),
        Bar("SPY", "2013-10-08T00:00Z", "167.62", "167.62", "165.4", "165.52", "127000000", "1d"),
        symbol="SPY",
        interval="1d",
    ),
    "lean.equity_ticks": _case(
        Trade("BAC", "2013-10-08T08:00:00.009367Z", "13.745", "100", "0", "D"),
        symbol="BAC",
    ),
    "lean.equity_minute_quotes": _case(
        Quote("SPY", "2013-10-07T13:31Z", "169.58", "169.59", "12", "10"),
        Quote("SPY", "2013-10-07T13:32Z", None, "169.6", None, "7"),
        symbol="SPY",
    ),
    "lean.equity_second_quotes": _case(
        Quote("SPY", "2013-10-07T13:30:01Z", "169.58", "169.59", "12", "10"), symbol="SPY"
    ),
    "lean.pair_bars": _case(
        Bar("BTCUSD", "2018-10-07T00:00Z", "6600.01", "6605", "6600", "6604.5", "12.25", "1m"),
        Bar("BTCUSD", "2018-10-07T00:01Z", "6604.5", "6606", "6604", "6605", "1.5", "1m"),
        symbol="BTCUSD",
    ),
    "lean.pair_minute_quotes": _case(
        Quote("EURUSD", "2014-05-01T00:01Z", "1.38703", "1.38713", "0", "0"), symbol="EURUSD", tz="UTC"
    ),
    "lean.pair_second_quotes": _case(
        Quote("EURUSD", "2014-05-01T00:00:01Z", "1.38703", "1.38713", "0", "0"), symbol="EURUSD", tz="UTC"
    ),
    "lean.pair_trades": _case(
        Trade("BTCUSD", "2018-10-07T00:01:26.4Z", "6600.01", "0.5"),
        Trade("BTCUSD", "2018-10-07T00:01:26.5Z", "6600.02", "0.25"),
        symbol="BTCUSD",
    ),
}

_BROKERS = {
    "ibkr.positions": _case(
        Position(*("AAPL", "-5", "-600", "-500", "-100", None, "2024-05-01T04:00Z"), current_price="120", side="short"),
    ),
    "ibkr.positions_and_lots": _case(
        Position(
            *("INTC", "30", "2647.2", "2961.7", "-314.5", None, "2024-05-01T04:00Z", "U1"),
            avg_entry_price="98.72",
            current_price="88.24",
            side="long",
            asset_class="STK",
        ),
    ),
    "ibkr.activity": _refused("Flex query"),
    "schwab.positions": Case(
        (
            Position(
                *("BAR", "300", "42105", "40503.61", "1601.39", "210", _SOMETIME),
                current_price="140.35",
                asset_class="Equity",
            ),
        ),
        _ENOUGH,
        set_aside=1,
    ),
    "fidelity.positions": Case(
        (
            Position(
                *("AAPL", "2.543", "694.67", "671.05", "23.62", "17.8", _SOMETIME, "Z25225580"),
                avg_entry_price="263.88",
                current_price="273.17",
            ),
            Position(
                *("AAPL", "7", "1912.19", "2000", "-87.81", "49", _SOMETIME, "Z26679636"),
                avg_entry_price="285.71",
                current_price="273.17",
            ),
        ),
        _ENOUGH,
        set_aside=1,
    ),
    "webull.orders": _refused("have no ids"),
    "degiro.transactions": _refused("fills"),
    "degiro.account": _refused("fills"),
    "degiro.positions": _case(
        Position("US6536561086", "13", "1019.29", None, timestamp=_SOMETIME),
        Position("US67059N1081", "20", "801.19", None, timestamp=_SOMETIME),
        **_ENOUGH,
    ),
    "xtb.cash_operations": _refused("fills"),
    "xtb.closed_positions": _refused("fills"),
    "portfolioperformance.transactions": _refused("fills"),
    "portfolioperformance.german_transactions": _refused("fills"),
}


def _history(
    name: str, fills: tuple[Fill, ...], cash: tuple[CashFlow, ...], *, cash_first: bool = False, set_aside: int = 0
) -> dict[str, Case]:
    """Return the cases of a history: of the whole file, and of the parts that it is divided into."""
    records = cash + fills if cash_first else fills + cash
    whole = Case(records, set_aside=set_aside)
    return {name: whole} | {
        f"{name}_{part}": Case(records, set_aside=set_aside, part_of=name) for part in ("fills", "cash")
    }


# Dates are midnights of New York; what is written below zero, or in parentheses, left the account.
_HISTORIES: dict[str, Case] = {
    **_history(
        "ibkr.trades",
        (
            Fill(
                *("AAPL", "2024-05-01T13:30:01Z", "buy", "169.58", "60", "U1", "700001", "55", "0.6", "USD", "USD"),
                *("1", "-10175.4"),
                exchange="NYSE",
            ),
            Fill(
                *("AAPL", "2024-05-01T13:30:02Z", "buy", "169.58", "40", "U1", "700002", "55", "0.4", "USD", "USD"),
                *("1", "-6783.6"),
                exchange="NYSE",
            ),
            Fill(
                *("639", "2024-05-02T06:30:00Z", "sell", "2.98", "1000", "U1", "8001", "57", "8.64", "HKD", "HKD"),
                *("1", "2971.36"),
                exchange="SEHK",
            ),
        ),
        # An exchange of currencies is no position: it is cash in both of them, and a commission.
        tuple(
            CashFlow("2024-05-03T14:00Z", kind, amount, currency, "U1", reference="EUR.USD")
            for kind, amount, currency in (
                ("conversion", "5000", "EUR"),
                ("conversion", "-5362.5", "USD"),
                ("fee", "-2", "USD"),
            )
        ),
    ),
    "ibkr.cash": _case(
        *(
            CashFlow(day, kind, amount, "USD", "U1", symbol, number, text, raw)
            for day, kind, amount, symbol, number, text, raw in (
                (
                    *("2024-05-01T04:00Z", "deposit", "10000", None, "1"),
                    *("CASH RECEIPTS / ELECTRONIC FUND TRANSFERS", "Deposits/Withdrawals"),
                ),
                ("2024-05-02T04:00Z", "withdrawal", "-250.5", None, "2", "DISBURSEMENT", "Deposits/Withdrawals"),
                (
                    *("2024-05-17T00:20Z", "dividend", "25", "AAPL", "3"),
                    *("AAPL(US0378331005) CASH DIVIDEND USD 0.25 PER SHARE", "Dividends"),
                ),
                (
                    *("2024-05-17T00:20Z", "tax", "-3.75", "AAPL", "4"),
                    *("AAPL(US0378331005) CASH DIVIDEND USD 0.25 PER SHARE - US TAX", "Withholding Tax"),
                ),
                (
                    *("2024-05-03T04:00Z", "interest", "-1.17", None, "5"),
                    *("USD DEBIT INT FOR APR-2024", "Broker Interest Paid"),
                ),
            )
        )
    ),
    **_history(
        "schwab.transactions",
        (
            Fill("BAR", "2023-10-09T04:00Z", "buy", "135.0075", "300", fee="1.34", amount="-40503.59"),
            Fill("BAR", "2023-10-11T04:00Z", "sell", "140", "100", fee="0.12", amount="13999.88"),
        ),
        (
            CashFlow(
                *("2023-10-10T04:00Z", "dividend", "12.5"),
                symbol="BAR",
                reference="BAR CORP",
                type_raw="Qualified Dividend",
            ),
            CashFlow("2023-10-12T04:00Z", "withdrawal", "-1000", reference="Tfr BANK", type_raw="MoneyLink Transfer"),
        ),
        set_aside=1,  # a split, of which the file tells the new shares only
    ),
    **_history(
        "fidelity.history",
        (
            Fill("AAPL", "2024-01-15T05:00Z", "buy", "150", "10", amount="-1500"),
            Fill("AAPL", "2024-01-16T05:00Z", "sell", "155", "4", fee="4.96", amount="615.04"),
        ),
        (
            CashFlow(
                *("2024-02-15T05:00Z", "dividend", "1.44"),
                symbol="AAPL",
                reference="DIVIDEND RECEIVED APPLE INC (AAPL) (Cash)",
            ),
            CashFlow("2024-02-16T05:00Z", "deposit", "2000", reference="Electronic Funds Transfer Received (Cash)"),
        ),
    ),
    **_history(
        "robinhood.transactions",
        (
            Fill("VTI", "2025-05-16T04:00Z", "buy", "250", "1", amount="-250"),
            Fill("VTI", "2025-05-17T04:00Z", "sell", "1260.5", "0.5", amount="630.25"),
        ),
        (
            CashFlow(
                *("2025-05-18T04:00Z", "dividend", "0.93"),
                symbol="VTI",
                reference="Cash Div: R/D 2025-05-01",
                type_raw="CDIV",
            ),
            CashFlow("2025-05-19T04:00Z", "withdrawal", "-100", reference="ACH Withdrawal", type_raw="ACH"),
            CashFlow("2025-05-20T04:00Z", "fee", "-5", reference="Gold Subscription Fee", type_raw="GOLD"),
        ),
    ),
    **_history(
        "trading212.transactions",
        (
            Fill(
                *("CSCO", "2023-12-18T14:30:03.613Z", "buy", "50", "10"),
                fill_id="EOF7504196256",
                fee="0.6",
                fee_currency="GBP",
            ),
            Fill(
                *("ULVR", "2023-12-19T15:00Z", "sell", "39.5", "2"),
                fill_id="EOF7504196257",
                currency="GBP",
                fee_currency="GBP",
            ),
        ),
        (
            CashFlow(
                *("2023-12-01T08:00Z", "deposit", "500", "GBP"),
                transaction_id="D1",
                reference="Bank Transfer",
                type_raw="Deposit",
            ),
            # The pounds that were turned into dollars to pay for the shares; the fee of it is that of the fill.
            *(
                CashFlow(
                    "2023-12-18T14:30:03.613Z", "conversion", amount, currency, symbol="CSCO", type_raw="Market buy"
                )
                for amount, currency in (("500", "USD"), ("-400", "GBP"))
            ),
            CashFlow(*("2023-12-20T10:00Z", "dividend", "2.65", "GBP"), symbol="CSCO", type_raw="Dividend (Ordinary)"),
        ),
        cash_first=True,
    ),
    **_history(
        "revolut.transactions",
        (Fill("O", "2023-09-22T13:30:10.514Z", "buy", "52.07", "1.63453043"),),
        (CashFlow("2023-09-21T10:00Z", "deposit", "100", type_raw="CASH TOP-UP"),),
    ),
    **_history(
        "coinbase.transactions",
        (
            Fill("BTC", "2024-05-02T11:30Z", "buy", "58000", "0.01", fill_id="a2", fee="8.61"),
            Fill("BTC", "2024-05-03T12:00Z", "sell", "60000", "0.004", fill_id="a3", fee="0.96"),
        ),
        (
            CashFlow("2024-05-01T10:00Z", "deposit", "1000", transaction_id="a1", reference="Deposit from bank"),
            CashFlow("2024-05-04T12:00Z", "withdrawal", "-100", transaction_id="a4", reference="To bank"),
        ),
        cash_first=True,
        set_aside=1,  # coins from a wallet are neither a fill nor cash
    ),
    "coinbase.fills": _case(
        Fill(
            *("BTC-USD", "2021-03-01T14:00:00.123Z", "buy", "48000", "0.01"), fill_id="101", fee="2.4", amount="-482.4"
        ),
        Fill(
            *("BTC-USD", "2021-03-02T14:00:00.456Z", "sell", "49000", "0.01"),
            fill_id="102",
            fee="2.45",
            amount="487.55",
        ),
    ),
    "alpaca.corporate_actions": Case(
        (
            CorporateAction(
                *("NVDA", "2024-06-10T00:00Z", "split", "10", "1"),
                record_date="2024-06-06T00:00Z",
                payable_date="2024-06-07T00:00Z",
                type_raw="forward_splits",
            ),
            CorporateAction("XYZ", "2024-09-02T00:00Z", "split", "1", "10", type_raw="reverse_splits"),
            CorporateAction("S", "2024-09-03T00:00Z", "split", "1.05", "1", type_raw="stock_dividends"),
            CorporateAction(
                *("AAPL", "2024-05-10T00:00Z", "dividend"),
                amount="0.25",
                record_date="2024-05-13T00:00Z",
                payable_date="2024-05-16T00:00Z",
                type_raw="cash_dividends",
            ),
            CorporateAction("COST", "2023-12-27T00:00Z", "special_dividend", amount="15", type_raw="cash_dividends"),
            CorporateAction(*("GE", "2024-04-02T00:00Z", "spinoff", "1", "4"), new_symbol="GEV", type_raw="spin_offs"),
            CorporateAction(
                *("VMW", "2023-11-22T00:00Z", "merger", "0.252", "1", "142.5"),
                new_symbol="AVGO",
                type_raw="stock_and_cash_mergers",
            ),
            CorporateAction("FB", "2022-06-09T00:00Z", "symbol_change", new_symbol="META", type_raw="name_changes"),
        ),
        set_aside=1,  # what is worthless is of no type of ours
    ),
    **_history(
        "alpaca.activities",
        (
            Fill(
                *("LPCN", "2019-05-24T15:34:06.977Z", "buy", "1.63", "1"),
                fill_id="20190524113406977::8efc7b9a-8b2b-4000-9955-d36e7db0df74",
                order_id="904837e3-3b76-47ec-b432-046db621571b",
            ),
        ),
        (
            CashFlow(
                *("2019-08-01T04:00Z", "dividend", "1.02"),
                symbol="T",
                transaction_id="20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf",
                type_raw="DIV",
            ),
            CashFlow("2019-08-02T04:00Z", "withdrawal", "-50", transaction_id="20190802000000000::1", type_raw="CSW"),
        ),
    ),
}

CASES: dict[str, Case] = {**_CRYPTO, **_INSTITUTIONAL, **_EQUITIES, **_PLATFORMS, **_BROKERS, **_HISTORIES}
"""By the name of the format."""
