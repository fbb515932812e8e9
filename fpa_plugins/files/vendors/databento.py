"""Files of Databento."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import prices
from fpa_plugins.files.vendors.preparing import fixed_point

__all__ = ["FORMATS"]

# Facts: "Schemas: trades, tbbo, mbp-1, mbp-10, mbo, bbo, ohlcv" and "Common fields, enums and types", Databento docs.
# Raw files have times in nanoseconds and prices in whole billionths; pretty ones have ISO times and prices with a point.
# Side A of a trade means that the aggressor sold, B that it bought, N that nobody knows.
_HEAD = ("rtype", "publisher_id", "instrument_id")
_EVENT = (*_HEAD, "action", "side", "depth", "price", "size", "sequence")
_SIDES = {"side": {"A": "sell", "B": "buy", "N": ""}}
_TOP = {"bid": "bid_px_00", "bid_size": "bid_sz_00", "ask": "ask_px_00", "ask_size": "ask_sz_00"}
_INTERVALS = {"interval": {"32": "1s", "33": "1m", "34": "1h", "35": "1d", "36": "1d"}}

FORMATS: tuple[FormatOffer, ...] = (
    FormatOffer(
        "databento.trades",
        Format(
            kind="trades",
            columns={"symbol": "symbol", "timestamp": "ts_event", "price": "price", "size": "size", "side": "side"},
            complete=True,
            values=_SIDES,
            only={"action": ("T",)},
            match=Match(columns=_EVENT, without=("bid_px_00", "order_id")),
        ),
        "Databento: trades",
        fixed_point("price"),
    ),
    FormatOffer(
        "databento.quotes",
        Format(
            kind="quotes",
            columns={"symbol": "symbol", "timestamp": "ts_event", **_TOP},
            complete=True,
            match=Match(columns=(*_EVENT, "bid_px_00", "ask_px_00"), without=("bid_px_01",)),
        ),
        "Databento: best bid and ask (mbp-1, tbbo)",
        fixed_point("bid_px_00", "ask_px_00"),
    ),
    FormatOffer(
        "databento.bbo",
        Format(
            kind="quotes",
            # ts_event is the time of the last trade; the quote stood at the end of the interval, which is ts_recv.
            columns={"symbol": "symbol", "timestamp": "ts_recv", **_TOP},
            complete=True,
            match=Match(columns=(*_HEAD, "side", "bid_px_00", "ask_px_00"), without=("action", "bid_px_01")),
        ),
        "Databento: best bid and ask at the end of each second or minute (bbo-1s, bbo-1m)",
        fixed_point("bid_px_00", "ask_px_00"),
    ),
    FormatOffer(
        "databento.ohlcv",
        Format(
            kind="bars",
            columns={
                "symbol": "symbol",
                "timestamp": "ts_event",
                "interval": "rtype",
                **prices("open", "high", "low", "close", "volume"),
            },
            complete=True,
            tz="UTC",
            values=_INTERVALS,
            match=Match(columns=(*_HEAD, "open", "high", "low", "close", "volume")),
        ),
        "Databento: bars (ohlcv-1s, -1m, -1h, -1d)",
        fixed_point("open", "high", "low", "close"),
    ),
    FormatOffer(
        "databento.mbo",
        Format(
            refuse="these are events of an order book (mbo); ask Databento for trades, mbp-1 or ohlcv",
            match=Match(columns=(*_HEAD, "action", "side", "price", "size", "channel_id", "order_id")),
        ),
        "Databento: market by order (refused)",
    ),
    FormatOffer(
        "databento.mbp10",
        Format(
            refuse="these are levels of an order book (mbp-10); ask Databento for mbp-1 to get the best bid and ask",
            match=Match(columns=(*_EVENT, "bid_px_00", "ask_px_00", "bid_px_01", "ask_px_01")),
        ),
        "Databento: ten levels of an order book (refused)",
    ),
)
