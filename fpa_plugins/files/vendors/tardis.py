"""Files of Tardis.dev."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match

__all__ = ["FORMATS"]

# Facts: "Downloadable CSV files: data types", Tardis.dev documentation. Times are microseconds since 1970; a side is
# the one of the taker, or "unknown". Files of liquidations have the header of trades: only their name tells them apart.
_TRADES = ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
_LIQUIDATIONS = r"liquidations"

FORMATS: tuple[FormatOffer, ...] = (
    FormatOffer(
        "tardis.trades",
        Format(
            kind="trades",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "price": "price",
                "size": "amount",
                "trade_id": "id",
                "exchange": "exchange",
                "side": "side",
            },
            complete=True,
            time_unit="us",
            values={"side": {"unknown": ""}},
            match=Match(columns=_TRADES, file=rf"^(?!.*{_LIQUIDATIONS})", file_required=True),
        ),
        "Tardis.dev: trades",
    ),
    FormatOffer(
        "tardis.quotes",
        Format(
            kind="quotes",
            columns={
                "symbol": "symbol",
                "timestamp": "timestamp",
                "bid": "bid_price",
                "bid_size": "bid_amount",
                "ask": "ask_price",
                "ask_size": "ask_amount",
                "bid_exchange": "exchange",
                "ask_exchange": "exchange",
            },
            complete=True,
            time_unit="us",
            match=Match(
                columns=(
                    *("exchange", "symbol", "timestamp", "local_timestamp"),
                    *("ask_amount", "ask_price", "bid_price", "bid_amount"),
                )
            ),
        ),
        "Tardis.dev: quotes and book tickers",
    ),
    FormatOffer(
        "tardis.liquidations",
        Format(
            refuse="these are liquidations, not market trades",
            match=Match(columns=_TRADES, file=_LIQUIDATIONS, file_required=True),
        ),
        "Tardis.dev: liquidations (refused)",
    ),
    FormatOffer(
        "tardis.book_changes",
        Format(
            refuse="these are levels of an order book; ask Tardis.dev for quotes to get the best bid and ask",
            match=Match(columns=(*_TRADES[:4], "is_snapshot", "side", "price", "amount")),
        ),
        "Tardis.dev: incremental_book_L2 (refused)",
    ),
    FormatOffer(
        "tardis.book_snapshots",
        Format(
            refuse="these are levels of an order book; ask Tardis.dev for quotes to get the best bid and ask",
            match=Match(columns=("timestamp", "asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount")),
        ),
        "Tardis.dev: snapshots of order books (refused)",
    ),
    FormatOffer(
        "tardis.derivative_ticker",
        Format(
            refuse="funding rates and open interest cannot be stored; ask Tardis.dev for trades or quotes",
            match=Match(columns=(*_TRADES[:4], "funding_rate", "open_interest", "last_price", "mark_price")),
        ),
        "Tardis.dev: derivative tickers (refused)",
    ),
    FormatOffer(
        "tardis.options_chain",
        Format(
            refuse="an option chain holds many contracts and their greeks; ask Tardis.dev for trades or quotes",
            match=Match(columns=(*_TRADES[:4], "strike_price", "expiration", "open_interest", "mark_price", "mark_iv")),
        ),
        "Tardis.dev: option chains (refused)",
    ),
)
