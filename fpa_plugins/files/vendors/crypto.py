"""Files of crypto exchanges, of ccxt and freqtrade, and of CryptoDataDownload."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import BOOLEAN, INTEGER, MILLIS, MINUTES, NUMBER, SECONDS, prices

__all__ = ["FORMATS"]

# Facts of Binance: "Binance Public Data" (README of binance-public-data), of which the headers are those that the
# files of futures carry. Times are milliseconds, and microseconds in files of the spot market since 2025.
_KLINES_FILE = r"^(?P<symbol>[A-Z0-9_]+)-(?P<interval>\d+(?:s|mo|m|h|d|w))-\d{4}-\d{2}"
_KLINES = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
_TRADES_FILE = r"^(?P<symbol>[A-Z0-9_]+)-(?:trades|aggTrades)-\d{4}"
_KLINES_READ = {"timestamp": "open_time", **prices("open", "high", "low", "close", "volume"), "trade_count": "count"}
_TRADES_READ = {"timestamp": "time", "price": "price", "size": "qty", "trade_id": "id", "side": "is_buyer_maker"}
_AGGREGATES = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time")
_AGGREGATES_READ = {
    "timestamp": "transact_time",
    "price": "price",
    "size": "quantity",
    "trade_id": "agg_trade_id",
    "side": "is_buyer_maker",
}
# When the buyer was the maker, the seller took: the aggressor sold.
_MAKER = {"side": {"true": "sell", "True": "sell", "TRUE": "sell", "false": "buy", "False": "buy", "FALSE": "buy"}}
_SPOT_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")


def _binance_trades(columns: dict[str, str], match: Match, names: tuple[str, ...] = ()) -> Format:
    return Format(kind="trades", columns=columns, complete=True, tz="UTC", names=names, values=_MAKER, match=match)


_BINANCE = (
    FormatOffer(
        "binance.klines",
        Format(
            kind="bars",
            columns=_KLINES_READ,
            complete=True,
            tz="UTC",
            match=Match(
                columns=("open_time", "open", "high", "low", "close", "volume", "close_time"), file=_KLINES_FILE
            ),
        ),
        "Binance: klines with a header",
    ),
    FormatOffer(
        "binance.klines_bare",
        Format(
            kind="bars",
            columns=_KLINES_READ,
            complete=True,
            tz="UTC",
            names=_KLINES,
            match=Match(
                row=(MILLIS, *[NUMBER] * 5, MILLIS, NUMBER, INTEGER, NUMBER, NUMBER, NUMBER),
                file=_KLINES_FILE,
            ),
        ),
        "Binance: klines without a header, also as arrays of the REST interface",
    ),
    FormatOffer(
        "binance.trades",
        _binance_trades(
            _TRADES_READ, Match(columns=("id", "price", "qty", "time", "is_buyer_maker"), file=_TRADES_FILE)
        ),
        "Binance: trades with a header",
    ),
    FormatOffer(
        "binance.trades_bare",
        _binance_trades(
            _TRADES_READ,
            Match(row=(INTEGER, NUMBER, NUMBER, NUMBER, MILLIS, BOOLEAN, BOOLEAN), file=_TRADES_FILE),
            _SPOT_TRADES,
        ),
        "Binance: trades of the spot market without a header",
    ),
    FormatOffer(
        "binance.futures_trades_bare",
        _binance_trades(
            _TRADES_READ,
            Match(row=(INTEGER, NUMBER, NUMBER, NUMBER, MILLIS, BOOLEAN), file=_TRADES_FILE),
            _SPOT_TRADES[:-1],
        ),
        "Binance: trades of futures without a header",
    ),
    FormatOffer(
        "binance.agg_trades",
        _binance_trades(_AGGREGATES_READ, Match(columns=(*_AGGREGATES, "is_buyer_maker"), file=_TRADES_FILE)),
        "Binance: aggregated trades with a header",
    ),
    FormatOffer(
        "binance.agg_trades_bare",
        _binance_trades(
            _AGGREGATES_READ,
            Match(
                row=(INTEGER, NUMBER, NUMBER, r"-?\d+", r"-?\d+", MILLIS, BOOLEAN, BOOLEAN),
                file=_TRADES_FILE,
            ),
            (*_AGGREGATES, "is_buyer_maker", "is_best_match"),
        ),
        "Binance: aggregated trades of the spot market without a header",
    ),
    FormatOffer(
        "binance.futures_agg_trades_bare",
        _binance_trades(
            _AGGREGATES_READ,
            Match(row=(INTEGER, NUMBER, NUMBER, r"-?\d+", r"-?\d+", MILLIS, BOOLEAN), file=_TRADES_FILE),
            (*_AGGREGATES, "is_buyer_maker"),
        ),
        "Binance: aggregated trades of futures without a header",
    ),
    FormatOffer(
        "binance.book_ticker",
        Format(
            kind="quotes",
            columns={
                "timestamp": "transaction_time",
                "bid": "best_bid_price",
                "bid_size": "best_bid_qty",
                "ask": "best_ask_price",
                "ask_size": "best_ask_qty",
            },
            complete=True,
            tz="UTC",
            match=Match(
                columns=("best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time"),
                file=r"^(?P<symbol>[A-Z0-9_]+)-bookTicker-",
            ),
        ),
        "Binance: best bid and ask of futures (bookTicker)",
    ),
)

# Facts: "Downloadable historical OHLCVT data" and "Downloadable historical market data (time and sales)", Kraken support.
_KRAKEN = (
    FormatOffer(
        "kraken.ohlcvt",
        Format(
            kind="bars",
            columns={
                "timestamp": "time",
                **prices("open", "high", "low", "close", "volume"),
                "trade_count": "trades",
            },
            complete=True,
            tz="UTC",
            time_unit="s",
            names=("time", "open", "high", "low", "close", "volume", "trades"),
            values={"interval": MINUTES},
            match=Match(
                row=(SECONDS, *[NUMBER] * 5, INTEGER),
                file=r"^(?P<symbol>[A-Z0-9.]+)_(?P<interval>\d+)\.csv",
            ),
        ),
        "Kraken: OHLCVT bars; the number in the file's name is the interval in minutes",
    ),
    FormatOffer(
        "kraken.trades",
        Format(
            kind="trades",
            columns={"timestamp": "time", "price": "price", "size": "volume"},
            complete=True,
            tz="UTC",
            time_unit="s",
            names=("time", "price", "volume"),
            match=Match(row=(SECONDS, NUMBER, NUMBER), file=r"^(?P<symbol>[A-Z0-9.]{5,14})\.csv", file_required=True),
        ),
        "Kraken: trades (time and sales)",
    ),
)

# Facts: "Get product candles" and "Get product trades", Coinbase Exchange REST API. A side is the one of the maker.
_COINBASE = (
    FormatOffer(
        "coinbase.candles",
        Format(
            kind="bars",
            columns={"timestamp": "time", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            tz="UTC",
            time_unit="s",
            names=("time", "low", "high", "open", "close", "volume"),
            # Other exchanges order the same six numbers in other ways, so the name of the product must be in the file's.
            match=Match(
                row=(SECONDS, *[NUMBER] * 5),
                file=r"^(?:coinbase[-_])?(?P<symbol>[A-Z0-9]{2,10}-[A-Z]{3,5})(?![A-Za-z0-9]).*\.jsonl?",
                file_required=True,
            ),
        ),
        "Coinbase Exchange: candles as arrays (time, low, high, open, close, volume)",
    ),
    FormatOffer(
        "coinbase.trades",
        Format(
            kind="trades",
            columns={
                "timestamp": "time",
                "price": "price",
                "size": "size",
                "trade_id": "trade_id",
                "side": "side",
                "symbol": "product_id",
            },
            complete=True,
            values={"side": {"buy": "sell", "sell": "buy"}},
            match=Match(
                columns=("trade_id", "side", "size", "price", "time"),
                without=("bid", "ask", "order_id", "commission", "fee", "liquidity"),
                file=r"^(?:coinbase[-_])?(?P<symbol>[A-Z0-9]{2,10}-[A-Z]{3,5})(?![A-Za-z0-9])",
            ),
        ),
        "Coinbase Exchange: trades",
    ),
)

# Facts: headers of the files at public.bybit.com ("Bybit public data", trading and spot).
_BYBIT = (
    FormatOffer(
        "bybit.trades",
        Format(
            kind="trades",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "price": "price",
                "size": "size",
                "trade_id": "trdMatchID",
                "side": "side",
            },
            complete=True,
            time_unit="s",
            match=Match(columns=("timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID")),
        ),
        "Bybit: trades of linear and inverse contracts",
    ),
    FormatOffer(
        "bybit.spot_trades",
        Format(
            kind="trades",
            columns={"timestamp": "timestamp", "price": "price", "size": "volume", "trade_id": "id", "side": "side"},
            complete=True,
            time_unit="ms",
            match=Match(
                columns=("id", "timestamp", "price", "volume", "side"),
                without=("symbol", "status", "type", "commission", "fee"),
                file=r"^(?P<symbol>[A-Z0-9]+)[_-]\d{4}-\d{2}",
            ),
        ),
        "Bybit: trades of the spot market",
    ),
)

# Facts: "Data Downloading" and "Data handler for trades", freqtrade; "Trade structure" and "OHLCV structure", ccxt manual.
# Exchanges order six numbers in several ways (Bitfinex puts the close second), so freqtrade's name of the file is needed.
_CCXT = (
    FormatOffer(
        "ccxt.ohlcv",
        Format(
            kind="bars",
            columns={"timestamp": "timestamp", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            tz="UTC",
            names=("timestamp", "open", "high", "low", "close", "volume"),
            match=Match(
                row=(MILLIS, *[NUMBER] * 5),
                file=r"^(?P<symbol>[A-Z0-9_]+)-(?P<interval>\d+(?:s|mo|m|h|d|w))(?:-[a-z_]+)?\.json",
                file_required=True,
            ),
        ),
        "ccxt and freqtrade: OHLCV arrays, named as BTC_USDT-1m.json",
    ),
    FormatOffer(
        "ccxt.trades",
        Format(
            kind="trades",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "price": "price",
                "size": "amount",
                "trade_id": "id",
                "side": "side",
            },
            complete=True,
            match=Match(
                columns=("timestamp", "id", "type", "side", "price", "amount", "cost"),
                file=r"^(?P<symbol>[A-Z0-9]+_[A-Z0-9_]+)-trades\.",
            ),
        ),
        "ccxt and freqtrade: trades of the market, a table of timestamp, id, type, side, price, amount, cost",
    ),
    FormatOffer(
        "ccxt.trades_bare",
        Format(
            kind="trades",
            columns={"timestamp": "timestamp", "price": "price", "size": "amount", "trade_id": "id", "side": "side"},
            complete=True,
            names=("timestamp", "id", "type", "side", "price", "amount", "cost"),
            match=Match(
                row=(MILLIS, r".*", r".*", r"buy|sell", NUMBER, NUMBER, NUMBER),
                file=r"^(?P<symbol>[A-Z0-9]+_[A-Z0-9_]+)-trades\.",
            ),
        ),
        "freqtrade: trades of the market as arrays",
    ),
)

# Facts: header lines of the files at cryptodatadownload.com; times are of the start of the interval, in UTC.
_CRYPTODATADOWNLOAD = (
    FormatOffer(
        "cryptodatadownload.bars",
        Format(
            kind="bars",
            columns={
                "symbol": "symbol",
                "timestamp": "unix",
                **prices("open", "high", "low", "close", "Volume*"),
                "trade_count": "tradecount",
            },
            complete=True,
            tz="UTC",
            values={"interval": {"d": "1d", "minute": "1m", "hour": "1h"}},
            match=Match(
                columns=("unix", "date", "symbol", "open", "high", "low", "close"),
                file=r"_(?P<interval>d|\d+min|\d+h|minute|hour)\.csv",
            ),
        ),
        "CryptoDataDownload: bars, with the line of the address or without",
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_BINANCE, *_KRAKEN, *_COINBASE, *_BYBIT, *_CCXT, *_CRYPTODATADOWNLOAD)
