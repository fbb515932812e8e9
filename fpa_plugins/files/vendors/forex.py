"""Files of vendors of currency prices: HistData, Dukascopy, TrueFX."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import NUMBER, prices

__all__ = ["FORMATS"]

# Facts: "Data files: detailed specification", HistData.com. Times are Eastern Standard Time all the year round. NinjaTrader
# exports the same rows in other zones, so that the name that HistData.com gives is needed.
_EST = "Etc/GMT+5"
_HISTDATA_BARS = ("time", "open", "high", "low", "close", "volume")
_HISTDATA = (
    FormatOffer(
        "histdata.bars",
        Format(
            kind="bars",
            columns={"timestamp": "time", **prices("open", "high", "low", "close")},
            complete=True,
            interval="1m",
            tz=_EST,
            time_format="%Y%m%d %H%M%S",
            delimiter=";",
            names=_HISTDATA_BARS,
            match=Match(
                row=(r"\d{8} \d{6}", *[NUMBER] * 5),
                file=r"^DAT_(?:ASCII|NT)_(?P<symbol>[A-Z]{6})_M1",
                file_required=True,
            ),
        ),
        "HistData.com: minute bars of bids, generic ASCII",
    ),
    FormatOffer(
        "histdata.metatrader_bars",
        Format(
            kind="bars",
            columns={"timestamp": ("date", "time"), **prices("open", "high", "low", "close")},
            complete=True,
            interval="1m",
            tz=_EST,
            time_format="%Y.%m.%d %H:%M",
            names=("date", *_HISTDATA_BARS),
            match=Match(
                row=(r"\d{4}\.\d{2}\.\d{2}", r"\d{2}:\d{2}", *[NUMBER] * 5),
                file=r"^DAT_MT_(?P<symbol>[A-Z]{6})_M1",
                file_required=True,
            ),
        ),
        "HistData.com: minute bars of bids for MetaTrader (DAT_MT)",
    ),
    FormatOffer(
        "histdata.ticks",
        Format(
            kind="quotes",
            columns={"timestamp": "time", "bid": "bid", "ask": "ask"},
            complete=True,
            tz=_EST,
            time_format="%Y%m%d %H%M%S%f",
            names=("time", "bid", "ask", "volume"),
            match=Match(
                row=(r"\d{8} \d{9}", NUMBER, NUMBER, NUMBER),
                file=r"^DAT_ASCII_(?P<symbol>[A-Z]{6})_T",
            ),
        ),
        "HistData.com: ticks, generic ASCII",
    ),
)

# Facts: "Historical data export", Dukascopy: 31.01.2024 00:00:00.000, local times with their offset from GMT.
_DUKASCOPY_FILE = r"^(?P<symbol>[A-Z0-9.\-]+)_Candlestick_(?P<interval>\d+_[A-Za-z]+)_"
_DUKASCOPY_INTERVALS = {
    **{f"{n}_M": f"{n}m" for n in (1, 5, 10, 15, 30)},
    "1_Hour": "1h",
    "4_Hour": "4h",
    "1_D": "1d",
    "1_W": "1w",
    "1_S": "1s",
    "10_S": "10s",
}
_DUKASCOPY_TICKS = r"^(?P<symbol>[A-Z0-9.\-]+)_Ticks_"
_DUKASCOPY_READ = {"bid": "Bid", "bid_size": "BidVolume", "ask": "Ask", "ask_size": "AskVolume"}
_DUKASCOPY_BARS = ("Open", "High", "Low", "Close", "Volume")
_DUKASCOPY_COLUMNS = ("Ask", "Bid", "AskVolume", "BidVolume")


def _candles(name: str, tz: str | None) -> Format:
    return Format(
        kind="bars",
        columns={"timestamp": name, **prices(*_DUKASCOPY_BARS)},
        complete=True,
        tz=tz,
        values={"interval": _DUKASCOPY_INTERVALS},
        match=Match(columns=(name, *_DUKASCOPY_BARS), file=_DUKASCOPY_FILE),
    )


def _ticks(name: str, tz: str | None) -> Format:
    return Format(
        kind="quotes",
        columns={"timestamp": name, **_DUKASCOPY_READ},
        complete=True,
        tz=tz,
        match=Match(columns=(name, *_DUKASCOPY_COLUMNS), file=_DUKASCOPY_TICKS),
    )


_DUKASCOPY = (
    FormatOffer("dukascopy.bars", _candles("Gmt time", "UTC"), "Dukascopy: candles in GMT"),
    FormatOffer("dukascopy.local_bars", _candles("Local time", None), "Dukascopy: candles in local time"),
    FormatOffer("dukascopy.ticks", _ticks("Gmt time", "UTC"), "Dukascopy: ticks in GMT"),
    FormatOffer("dukascopy.local_ticks", _ticks("Local time", None), "Dukascopy: ticks in local time"),
)

# Facts: "Historical downloads", TrueFX: EUR/USD,20240501 00:00:00.123,1.06661,1.06664, in GMT, without a header.
_TRUEFX = (
    FormatOffer(
        "truefx.ticks",
        Format(
            kind="quotes",
            columns={"symbol": "symbol", "timestamp": "time", "bid": "bid", "ask": "ask"},
            complete=True,
            tz="UTC",
            names=("symbol", "time", "bid", "ask"),
            match=Match(row=(r"[A-Z]{3}/[A-Z]{3}", r"\d{8} \d{2}:\d{2}:\d{2}(?:\.\d{1,3})?", NUMBER, NUMBER)),
        ),
        "TrueFX: ticks",
    ),
    FormatOffer(
        "truefx.ticks_with_header",
        Format(
            kind="quotes",
            columns={"symbol": "symbol", "timestamp": "timestamp", "bid": "bid", "ask": "ask"},
            complete=True,
            tz="UTC",
            match=Match(
                columns=("symbol", "timestamp", "bid", "ask"),
                without=("bid_size", "ask_size"),
                file=r"^[A-Z]{6}-\d{4}-\d{2}\.csv",
                file_required=True,
            ),
        ),
        "TrueFX: ticks to which a header was added, under the name it gives, as EURUSD-2024-05.csv",
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_HISTDATA, *_DUKASCOPY, *_TRUEFX)
