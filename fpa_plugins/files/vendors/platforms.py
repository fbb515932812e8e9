"""Files of trading platforms: MetaTrader, TradingView, LEAN."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import MINUTES, NUMBER, NUMBER_OR_NONE, prices
from fpa_plugins.files.vendors.preparing import at_the_end

__all__ = ["FORMATS"]

# Facts: "History Center: export" (MetaTrader 4 help) and "Symbols: bars, ticks, export" (MetaTrader 5 help). Times are
# those of the broker's server, so the zone is asked for. VOL is zero where an exchange reports no volume; TICKVOL counts
# changes of the price, which is what MetaTrader 4 writes as the volume.
_MT4_ROW = (r"\d{4}\.\d{2}\.\d{2}", r"\d{2}:\d{2}", *[NUMBER] * 5)
_MT5_FILE = r"^(?P<symbol>[^_]+)_(?P<interval>M\d+|H\d+|Daily|Weekly|Monthly|D1|W1|MN1?)(?:_|\.)"
_MT5_INTERVALS = {
    **{f"M{n}": f"{n}m" for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)},
    **{f"H{n}": f"{n}h" for n in (1, 2, 3, 4, 6, 8, 12)},
    "D1": "1d",
    "Daily": "1d",
    "W1": "1w",
    "Weekly": "1w",
    "MN": "1mo",
    "MN1": "1mo",
    "Monthly": "1mo",
}
_MT5_PRICES = ("<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>")
_METATRADER = (
    FormatOffer(
        "mt4.bars",
        Format(
            kind="bars",
            columns={"timestamp": ("date", "time"), **prices("open", "high", "low", "close", "volume")},
            complete=True,
            names=("date", "time", "open", "high", "low", "close", "volume"),
            values={"interval": MINUTES},
            match=Match(
                row=_MT4_ROW,
                # HistData.com writes the same in a zone that is known.
                file=r"^(?!DAT_MT_)(?:(?P<symbol>[A-Z]{6}[a-z.]*)(?P<interval>\d+)\.csv)?",
                file_required=True,
            ),
        ),
        "MetaTrader 4: bars",
    ),
    FormatOffer(
        "mt5.bars",
        Format(
            kind="bars",
            columns={"timestamp": ("<DATE>", "<TIME>"), **prices(*_MT5_PRICES)},
            complete=True,
            values={"interval": _MT5_INTERVALS},
            match=Match(columns=("<DATE>", "<TIME>", *_MT5_PRICES, "<SPREAD>"), file=_MT5_FILE),
        ),
        "MetaTrader 5: bars",
    ),
    FormatOffer(
        "mt5.daily",
        Format(
            kind="bars",
            columns={"timestamp": "<DATE>", **prices(*_MT5_PRICES)},
            complete=True,
            values={"interval": _MT5_INTERVALS},
            match=Match(columns=("<DATE>", *_MT5_PRICES, "<SPREAD>"), without=("<TIME>",), file=_MT5_FILE),
        ),
        "MetaTrader 5: bars of days, weeks or months",
    ),
    FormatOffer(
        "mt5.ticks",
        Format(
            kind="quotes",
            columns={"timestamp": ("<DATE>", "<TIME>"), "bid": "<BID>", "ask": "<ASK>"},
            complete=True,
            # A tick names only what changed.
            carry=("bid", "ask"),
            match=Match(
                columns=("<DATE>", "<TIME>", "<BID>", "<ASK>", "<LAST>", "<VOLUME>"),
                file=r"^(?P<symbol>[^_]+)_\d{12}_\d{12}",
            ),
        ),
        "MetaTrader 5: ticks; bids and asks that did not change are filled in",
    ),
)

# Facts: "How to export chart data", TradingView: time,open,high,low,close,Volume; the file is called as the exchange,
# the symbol and the interval, "NASDAQ_AAPL, 5.csv".
_TRADINGVIEW_INTERVALS = {
    **MINUTES,
    **{f"{n}S": f"{n}s" for n in (1, 5, 10, 15, 30, 45)},
    "1D": "1d",
    "D": "1d",
    "1W": "1w",
    "W": "1w",
    "1M": "1mo",
    "M": "1mo",
}
_TRADINGVIEW = (
    FormatOffer(
        "tradingview.bars",
        Format(
            kind="bars",
            columns={"timestamp": "time", **prices("open", "high", "low", "close", "Volume")},
            complete=True,
            values={"interval": _TRADINGVIEW_INTERVALS},
            match=Match(
                columns=("time", "open", "high", "low", "close", "Volume"),
                without=("volume", "symbol", "Symbol", "interval"),
                exact=True,
                file=r"^(?:[A-Z0-9]+_)?(?P<symbol>[^,]+), (?P<interval>\d*[SDWM]?)(?:_[0-9a-f]+)?(?: \(\d+\))?\.csv",
            ),
        ),
        "TradingView: bars of a chart",
    ),
)

# Facts: readme files of the folders equity, crypto and forex of the data of LEAN (QuantConnect). Prices of shares are
# in ten thousandths of a dollar, at the time of New York; those of coins and currencies are as they are. The names of
# the files do not tell shares from coins: a ticker of a share has at most five letters, a pair at least six.
_LEAN_SHARE = r"(?P<symbol>[a-z][a-z.]{0,4})"
_LEAN_PAIR = r"(?P<symbol>[a-z0-9]{6,12})"
_LEAN_TIME = r"\d{1,8}(?:\.\d+)?"
_LEAN_DAY = r"\d{8} \d{2}:\d{2}"
_LEAN_BAR = ("time", "open", "high", "low", "close", "volume")
_LEAN_READ = {"timestamp": "time", **prices("open", "high", "low", "close", "volume")}
_LEAN_QUOTES = (
    *("time", "bid_open", "bid_high", "bid_low", "bid_close", "bid_size"),
    *("ask_open", "ask_high", "ask_low", "ask_close", "ask_size"),
)
_LEAN_QUOTES_READ = {
    "timestamp": "time",
    "bid": "bid_close",
    "bid_size": "bid_size",
    "ask": "ask_close",
    "ask_size": "ask_size",
}


_LEAN_TICKS = "(?:tick_trade|trade_tick)"
"""The end of the name of a file of trades: its readme has the words in the other order than LEAN itself."""


def _lean_file(symbol: str, resolution: str, kind: str) -> str:
    return _lean_named(symbol, f"{resolution}_{kind}")


def _lean_named(symbol: str, rest: str) -> str:
    return rf"^(?P<date>\d{{8}})_{symbol}_{rest}\.csv"


def _lean_quotes(symbol: str, resolution: str, price: str, scale: str | None, tz: str | None) -> Format:
    return Format(
        kind="quotes",
        columns=_LEAN_QUOTES_READ,
        complete=True,
        tz=tz,
        time_unit="ms-of-day",
        scale=scale,
        names=_LEAN_QUOTES,
        match=Match(
            row=(r"\d{1,8}", *[f"(?:{price})?"] * 4, NUMBER_OR_NONE, *[f"(?:{price})?"] * 4, NUMBER_OR_NONE),
            file=_lean_file(symbol, resolution, "quote"),
            file_required=True,
        ),
    )


_NEW_YORK = "America/New_York"
_LEAN = (
    FormatOffer(
        "lean.equity_bars",
        Format(
            kind="bars",
            columns=_LEAN_READ,
            complete=True,
            tz=_NEW_YORK,
            time_unit="ms-of-day",
            scale="0.0001",
            names=_LEAN_BAR,
            values={"interval": {"minute": "1m", "second": "1s"}},
            match=Match(
                row=(r"\d{1,8}", *[r"\d+"] * 5),
                file=_lean_file(_LEAN_SHARE, "(?P<interval>minute|second)", "trade"),
                file_required=True,
            ),
        ),
        "LEAN: minute and second bars of shares",
    ),
    FormatOffer(
        "lean.equity_days",
        Format(
            kind="bars",
            columns=_LEAN_READ,
            complete=True,
            tz=_NEW_YORK,
            scale="0.0001",
            names=_LEAN_BAR,
            match=Match(row=(_LEAN_DAY, *[r"\d+"] * 5), file=rf"^{_LEAN_SHARE}\.csv", file_required=True),
        ),
        "LEAN: hour and daily bars of shares",
    ),
    FormatOffer(
        "lean.equity_ticks",
        Format(
            kind="trades",
            columns={
                "timestamp": "time",
                "price": "price",
                "size": "size",
                "exchange": "exchange",
                "conditions": "condition",
            },
            complete=True,
            tz=_NEW_YORK,
            time_unit="ms-of-day",
            scale="0.0001",
            names=("time", "price", "size", "exchange", "condition", "suspicious"),
            only={"suspicious": ("0",)},
            match=Match(
                row=(_LEAN_TIME, r"\d+", r"\d+", r"[A-Z0-9/]*", r"[0-9A-Fa-f]*", r"[01]"),
                file=_lean_named(_LEAN_SHARE, _LEAN_TICKS),
                file_required=True,
            ),
        ),
        "LEAN: trades of shares; those marked as suspicious are left out",
    ),
    FormatOffer(
        "lean.equity_minute_quotes",
        _lean_quotes(_LEAN_SHARE, "minute", r"\d+", "0.0001", _NEW_YORK),
        "LEAN: quotes of shares at the end of each minute",
        at_the_end(60_000),
    ),
    FormatOffer(
        "lean.equity_second_quotes",
        _lean_quotes(_LEAN_SHARE, "second", r"\d+", "0.0001", _NEW_YORK),
        "LEAN: quotes of shares at the end of each second",
        at_the_end(1_000),
    ),
    FormatOffer(
        "lean.pair_bars",
        Format(
            kind="bars",
            columns=_LEAN_READ,
            complete=True,
            tz="UTC",
            time_unit="ms-of-day",
            names=_LEAN_BAR,
            values={"interval": {"minute": "1m", "second": "1s"}},
            match=Match(
                row=(r"\d{1,8}", *[NUMBER] * 5),
                file=_lean_file(_LEAN_PAIR, "(?P<interval>minute|second)", "trade"),
                file_required=True,
            ),
        ),
        "LEAN: minute and second bars of coins",
    ),
    FormatOffer(
        "lean.pair_minute_quotes",
        _lean_quotes(_LEAN_PAIR, "minute", NUMBER, None, None),
        "LEAN: quotes of coins and currencies at the end of each minute",
        at_the_end(60_000),
    ),
    FormatOffer(
        "lean.pair_second_quotes",
        _lean_quotes(_LEAN_PAIR, "second", NUMBER, None, None),
        "LEAN: quotes of coins and currencies at the end of each second",
        at_the_end(1_000),
    ),
    FormatOffer(
        "lean.pair_trades",
        Format(
            kind="trades",
            columns={"timestamp": "time", "price": "price", "size": "size"},
            complete=True,
            tz="UTC",
            time_unit="ms-of-day",
            names=("time", "price", "size"),
            match=Match(
                row=(_LEAN_TIME, NUMBER, NUMBER), file=_lean_named(_LEAN_PAIR, _LEAN_TICKS), file_required=True
            ),
        ),
        "LEAN: trades of coins",
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_METATRADER, *_TRADINGVIEW, *_LEAN)
