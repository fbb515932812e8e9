"""Files of Alpaca: its REST interface, its stream, and tables of alpaca-py."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import prices

__all__ = ["FORMATS"]

# Facts: "Historical bars, trades, quotes", "Real-time stock data", "Orders at Alpaca", "Get all open positions",
# "Get account" and "Get account portfolio history", Alpaca documentation. T and t, S and s are different names.
# The days of bars begin at midnight in New York. A history of the portfolio has seconds, and in samples milliseconds.
_DAYS = "America/New_York"
_BAR = {"timestamp": "t", **prices("o", "h", "l", "c", "v"), "vwap": "vw", "trade_count": "n"}
_TRADE = {"timestamp": "t", "price": "p", "size": "s", "exchange": "x", "trade_id": "i", "conditions": "c"}
_QUOTE = {
    "timestamp": "t",
    "bid": "bp",
    "bid_size": "bs",
    "bid_exchange": "bx",
    "ask": "ap",
    "ask_size": "as",
    "ask_exchange": "ax",
    "conditions": "c",
}
_BAR_NAMES = ("t", "o", "h", "l", "c", "v", "n", "vw")
_TRADE_NAMES = ("t", "p", "s", "x", "i", "c", "z")
_QUOTE_NAMES = ("t", "bp", "bs", "bx", "ap", "as", "ax", "c", "z")


def _bars(symbol: str | None, *more: str, without: tuple[str, ...] = ("T",)) -> Format:
    return Format(
        kind="bars",
        columns=_BAR if symbol is None else {"symbol": symbol, **_BAR},
        complete=True,
        tz=_DAYS,
        match=Match(columns=(*_BAR_NAMES, *more), without=without, exact=True),
    )


def _trades(symbol: str | None, *more: str, without: tuple[str, ...] = ("T",)) -> Format:
    return Format(
        kind="trades",
        columns=_TRADE if symbol is None else {"symbol": symbol, **_TRADE},
        complete=True,
        match=Match(columns=(*_TRADE_NAMES, *more), without=without, exact=True),
    )


def _quotes(symbol: str | None, *more: str, without: tuple[str, ...] = ("T",)) -> Format:
    return Format(
        kind="quotes",
        columns=_QUOTE if symbol is None else {"symbol": symbol, **_QUOTE},
        complete=True,
        match=Match(columns=(*_QUOTE_NAMES, *more), without=without, exact=True),
    )


_ONE = ("T", "../ticker")
_SEVERAL = ("T", "../symbol")

_REST = (
    FormatOffer("alpaca.bars", _bars("(key)", "(key)", without=_SEVERAL), "Alpaca: bars of several symbols"),
    FormatOffer("alpaca.symbol_bars", _bars("../symbol", "../symbol"), "Alpaca: bars of one symbol"),
    FormatOffer(
        "alpaca.bar_lines",
        _bars(None, without=("T", "S", "(key)", "../symbol", "../ticker")),
        "Alpaca and Massive: bars of one symbol as JSON Lines",
    ),
    FormatOffer("alpaca.trades", _trades("(key)", "(key)", without=_SEVERAL), "Alpaca: trades of several symbols"),
    FormatOffer("alpaca.symbol_trades", _trades("../symbol", "../symbol"), "Alpaca: trades of one symbol"),
    FormatOffer(
        "alpaca.trade_lines",
        _trades(None, without=("T", "S", "(key)", "../symbol")),
        "Alpaca: trades of one symbol as JSON Lines",
    ),
    FormatOffer("alpaca.quotes", _quotes("(key)", "(key)", without=_SEVERAL), "Alpaca: quotes of several symbols"),
    FormatOffer("alpaca.symbol_quotes", _quotes("../symbol", "../symbol"), "Alpaca: quotes of one symbol"),
    FormatOffer(
        "alpaca.quote_lines",
        _quotes(None, without=("T", "S", "(key)", "../symbol")),
        "Alpaca: quotes of one symbol as JSON Lines",
    ),
)

_STREAM = (
    FormatOffer(
        "alpaca.stream",
        Format(
            only={"T": ("t", "q", "b", "u", "d")},
            divide_by="T",
            parts={
                "t": "alpaca.stream_trades",
                "q": "alpaca.stream_quotes",
                "b": "alpaca.stream_bars",
                "u": "alpaca.stream_bars",
                "d": "alpaca.stream_days",
            },
            match=Match(columns=("T", "S", "t"), exact=True),
        ),
        "Alpaca: recorded messages of the stream of market data",
    ),
    FormatOffer(
        "alpaca.stream_trades",
        Format(kind="trades", columns={"symbol": "S", **_TRADE}, complete=True),
        "Alpaca: trades of the stream (T is t)",
    ),
    FormatOffer(
        "alpaca.stream_quotes",
        Format(kind="quotes", columns={"symbol": "S", **_QUOTE}, complete=True),
        "Alpaca: quotes of the stream (T is q)",
    ),
    FormatOffer(
        "alpaca.stream_bars",
        Format(kind="bars", columns={"symbol": "S", **_BAR}, complete=True, interval="1m"),
        "Alpaca: minute bars of the stream, also updated ones (T is b or u)",
    ),
    FormatOffer(
        "alpaca.stream_days",
        Format(kind="bars", columns={"symbol": "S", **_BAR}, complete=True, interval="1d", tz=_DAYS),
        "Alpaca: daily bars of the stream (T is d)",
    ),
)

_PYTHON = (
    FormatOffer(
        "alpaca.py_bars",
        Format(
            kind="bars",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "vwap": "vwap",
                "trade_count": "trade_count",
                **prices("open", "high", "low", "close", "volume"),
            },
            complete=True,
            tz=_DAYS,
            match=Match(
                columns=("symbol", "timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"),
                without=("interval", "timeframe"),
            ),
        ),
        "alpaca-py: bars written with df.to_csv() or df.to_parquet()",
    ),
    FormatOffer(
        "alpaca.py_trades",
        Format(
            kind="trades",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "price": "price",
                "size": "size",
                "exchange": "exchange",
                "trade_id": "id",
                "conditions": "conditions",
            },
            complete=True,
            match=Match(
                columns=("symbol", "timestamp", "exchange", "price", "size", "id", "conditions", "tape"),
            ),
        ),
        "alpaca-py: trades written with df.to_csv() or df.to_parquet()",
    ),
    FormatOffer(
        "alpaca.py_quotes",
        Format(
            kind="quotes",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "conditions": "conditions",
                "bid": "bid_price",
                "bid_size": "bid_size",
                "bid_exchange": "bid_exchange",
                "ask": "ask_price",
                "ask_size": "ask_size",
                "ask_exchange": "ask_exchange",
            },
            complete=True,
            match=Match(
                columns=(
                    *("symbol", "timestamp", "ask_exchange", "ask_price", "ask_size"),
                    *("bid_exchange", "bid_price", "bid_size", "conditions", "tape"),
                )
            ),
        ),
        "alpaca-py: quotes written with df.to_csv() or df.to_parquet()",
    ),
)

_ACCOUNT = (
    FormatOffer(
        "alpaca.orders",
        Format(
            kind="orders",
            columns={
                "order_id": "id",
                "client_order_id": "client_order_id",
                "symbol": "symbol",
                "timestamp": "submitted_at",
                "updated_at": "updated_at",
                "quantity": "qty",
                # order_type is the former name of type, and has the same value.
                "side": "side",
                "order_type": "type",
                "status": "status",
                "time_in_force": "time_in_force",
                "filled_quantity": "filled_qty",
                "average_fill_price": "filled_avg_price",
                "limit_price": "limit_price",
                "stop_price": "stop_price",
                "notional": "notional",
                "trail_price": "trail_price",
                "trail_percent": "trail_percent",
            },
            complete=True,
            match=Match(
                columns=(
                    *("id", "client_order_id", "submitted_at", "updated_at", "symbol", "qty", "filled_qty"),
                    *("filled_avg_price", "type", "side", "time_in_force", "status"),
                )
            ),
        ),
        "Alpaca: orders",
    ),
    FormatOffer(
        "alpaca.positions",
        Format(
            kind="positions",
            columns={
                "symbol": "symbol",
                "quantity": "qty",
                "side": "side",
                "asset_class": "asset_class",
                "market_value": "market_value",
                "cost_basis": "cost_basis",
                "unrealized_pnl": "unrealized_pl",
                "day_pnl": "unrealized_intraday_pl",
                "avg_entry_price": "avg_entry_price",
                "current_price": "current_price",
            },
            complete=True,
            match=Match(columns=("asset_id", "symbol", "qty", "avg_entry_price", "side", "market_value", "cost_basis")),
        ),
        "Alpaca: open positions, with the time given by --as-of",
    ),
    FormatOffer(
        "alpaca.account",
        Format(
            kind="snapshots",
            columns={
                "account": "account_number",
                "currency": "currency",
                "cash": "cash",
                "total_value": "equity",
                "buying_power": "buying_power",
            },
            complete=True,
            match=Match(columns=("account_number", "status", "currency", "cash", "equity", "buying_power")),
        ),
        "Alpaca: the account, with the time given by --as-of",
    ),
    FormatOffer(
        "alpaca.portfolio_history",
        Format(
            kind="snapshots",
            columns={"timestamp": "timestamp", "total_value": "equity"},
            complete=True,
            match=Match(columns=("timestamp", "equity", "profit_loss")),
        ),
        "Alpaca: history of the portfolio's value",
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_REST, *_STREAM, *_PYTHON, *_ACCOUNT)
