"""Files of Massive, formerly Polygon.io."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import prices
from fpa_plugins.files.vendors.preparing import dates

__all__ = ["FORMATS"]

# Facts: "Flat Files: Stocks (minute and day aggregates, trades, quotes)" and "REST: Custom Bars, Daily Market Summary,
# Trades, Quotes", Massive documentation. Times are nanoseconds in flat files and milliseconds in aggregates of the REST
# interface; the days of shares begin at midnight in New York. The daily market summary has the time of the close.
# Quotes of options have no conditions; those of currencies have no sizes, and the time of the participant alone.
_DAYS = "America/New_York"
_BAR = {"timestamp": "t", **prices("o", "h", "l", "c", "v"), "vwap": "vw", "trade_count": "n"}
_TRADE = {
    "timestamp": "sip_timestamp",
    "price": "price",
    "size": "size",
    "exchange": "exchange",
    "trade_id": "id",
    "conditions": "conditions",
}
_QUOTE = {
    "timestamp": "sip_timestamp",
    "bid": "bid_price",
    "bid_size": "bid_size",
    "bid_exchange": "bid_exchange",
    "ask": "ask_price",
    "ask_size": "ask_size",
    "ask_exchange": "ask_exchange",
    "conditions": "conditions",
}

FORMATS: tuple[FormatOffer, ...] = (
    FormatOffer(
        "massive.aggregates",
        Format(
            kind="bars",
            columns={
                "symbol": "ticker",
                "timestamp": "window_start",
                "trade_count": "transactions",
                **prices("open", "high", "low", "close", "volume"),
            },
            complete=True,
            tz=_DAYS,
            match=Match(columns=("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")),
        ),
        "Massive (Polygon): minute and day aggregates of flat files",
    ),
    FormatOffer(
        "massive.trades",
        Format(
            kind="trades",
            columns={"symbol": "ticker", **_TRADE},
            complete=True,
            match=Match(columns=("ticker", "exchange", "price", "sip_timestamp", "size", "conditions")),
        ),
        "Massive (Polygon): trades of flat files",
    ),
    FormatOffer(
        "massive.quotes",
        Format(
            kind="quotes",
            columns={"symbol": "ticker", **_QUOTE},
            complete=True,
            match=Match(columns=("ticker", "ask_price", "ask_size", "bid_price", "bid_size", "sip_timestamp")),
        ),
        "Massive (Polygon): quotes of flat files",
    ),
    FormatOffer(
        "massive.currency_quotes",
        Format(
            kind="quotes",
            columns={
                "symbol": "ticker",
                "timestamp": "participant_timestamp",
                "bid": "bid_price",
                "bid_exchange": "bid_exchange",
                "ask": "ask_price",
                "ask_exchange": "ask_exchange",
            },
            complete=True,
            match=Match(
                columns=("ticker", "ask_exchange", "ask_price", "bid_exchange", "bid_price", "participant_timestamp"),
                without=("sip_timestamp", "ask_size", "bid_size"),
            ),
        ),
        "Massive (Polygon): quotes of currencies of flat files",
    ),
    FormatOffer(
        "massive.rest_aggregates",
        Format(
            kind="bars",
            columns={"symbol": "../ticker", **_BAR},
            complete=True,
            tz=_DAYS,
            match=Match(columns=("t", "o", "h", "l", "c", "v", "../ticker"), without=("T",), exact=True),
        ),
        "Massive (Polygon): aggregates of a symbol from the REST interface",
    ),
    FormatOffer(
        "massive.rest_grouped",
        Format(
            kind="bars",
            columns={"symbol": "T", **_BAR},
            complete=True,
            interval="1d",
            tz=_DAYS,
            match=Match(columns=("T", "t", "o", "h", "l", "c", "v"), without=("S",), exact=True),
        ),
        "Massive (Polygon): daily market summary of all symbols from the REST interface",
        dates("t", _DAYS),
    ),
    FormatOffer(
        "massive.rest_trades",
        Format(
            kind="trades",
            columns=_TRADE,
            complete=True,
            match=Match(
                columns=("price", "size", "exchange", "sip_timestamp", "participant_timestamp"), without=("ticker",)
            ),
        ),
        "Massive (Polygon): trades of a symbol from the REST interface",
    ),
    FormatOffer(
        "massive.rest_quotes",
        Format(
            kind="quotes",
            columns=_QUOTE,
            complete=True,
            match=Match(
                columns=("ask_price", "ask_size", "bid_price", "bid_size", "sip_timestamp"), without=("ticker",)
            ),
        ),
        "Massive (Polygon): quotes of a symbol from the REST interface",
    ),
)
