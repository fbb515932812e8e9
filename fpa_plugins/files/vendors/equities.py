"""Files of vendors of daily and intraday prices of shares, funds and indices."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import MINUTES, NUMBER, prices
from fpa_plugins.files.vendors.preparing import as_traded, daily

__all__ = ["FORMATS"]

_NEW_YORK = "America/New_York"
_OHLCV = prices("Open", "High", "Low", "Close", "Volume")
_OHLCV_NAMES = ("Open", "High", "Low", "Close", "Volume")

# Facts: header of "Historical data: download", Yahoo Finance; of its page as it is copied; "History" and "download",
# yfinance documentation. Close is without dividends, unless yfinance was told to adjust it, which the file does not say.
_YAHOO = (
    FormatOffer(
        "yahoo.bars",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(columns=("Date", *_OHLCV_NAMES, "Adj Close"), without=("Ticker",)),
        ),
        "Yahoo Finance: daily bars of a symbol, also copied from its page",
        daily("Date"),
    ),
    FormatOffer(
        "yfinance.history",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(columns=("Date", *_OHLCV_NAMES, "Dividends", "Stock Splits")),
        ),
        "yfinance: daily bars of Ticker.history()",
        daily("Date"),
    ),
    FormatOffer(
        "yfinance.intraday_history",
        Format(
            kind="bars",
            columns={"timestamp": "Datetime", **_OHLCV},
            complete=True,
            match=Match(columns=("Datetime", *_OHLCV_NAMES, "Dividends", "Stock Splits")),
        ),
        "yfinance: bars of Ticker.history() that are shorter than a day",
    ),
    FormatOffer(
        "yfinance.download",
        Format(
            kind="bars",
            columns={"symbol": "Ticker", "timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(columns=("Date", "Ticker", *_OHLCV_NAMES)),
        ),
        "yfinance: daily bars of download(), also of several symbols",
        daily("Date"),
    ),
    FormatOffer(
        "yfinance.intraday_download",
        Format(
            kind="bars",
            columns={"symbol": "Ticker", "timestamp": "Datetime", **_OHLCV},
            complete=True,
            match=Match(columns=("Datetime", "Ticker", *_OHLCV_NAMES)),
        ),
        "yfinance: bars of download() that are shorter than a day",
    ),
)

# Facts: first line of the files of "Free historical market data" (ASCII), Stooq. The times of day are those of no
# documented zone, so the zone is asked for.
_STOOQ = (
    FormatOffer(
        "stooq.bars",
        Format(
            kind="bars",
            columns={
                "symbol": "<TICKER>",
                "interval": "<PER>",
                "timestamp": ("<DATE>", "<TIME>"),
                **prices("<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"),
            },
            complete=True,
            values={"interval": {**MINUTES, "D": "1d", "W": "1w", "M": "1mo"}},
            match=Match(
                columns=(
                    *("<TICKER>", "<PER>", "<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>"),
                    *("<VOL>", "<OPENINT>"),
                )
            ),
        ),
        "Stooq: bars of the ASCII archives",
    ),
)

# Facts: "Time series stock data APIs", Alpha Vantage documentation. Times are those of US/Eastern, newest first.
_ALPHA_INTERVALS = {
    **{f"Time Series ({n}min)": f"{n}m" for n in (1, 5, 15, 30)},
    "Time Series (60min)": "1h",
    "Time Series (Daily)": "1d",
    "Weekly Time Series": "1w",
    "Weekly Adjusted Time Series": "1w",
    "Monthly Time Series": "1mo",
    "Monthly Adjusted Time Series": "1mo",
}
_ALPHA_FILES = {
    **{f"intraday_{n}min": f"{n}m" for n in (1, 5, 15, 30)},
    "intraday_60min": "1h",
    "daily": "1d",
    "weekly": "1w",
    "monthly": "1mo",
}
_ALPHA_FILE = (
    r"^(?P<interval>intraday_\d+min|daily|weekly|monthly)(?:_adjusted)?_(?P<symbol>[A-Za-z0-9.\-]+?)(?: \(\d+\))?\.csv"
)
_ALPHA_JSON = ("(key)", "(path)", "../Meta Data/2. Symbol", "1. open", "2. high", "3. low", "4. close")
_ALPHA_WHERE = {"symbol": "../Meta Data/2. Symbol", "interval": "(path)", "timestamp": "(key)"}
_ALPHA = (
    FormatOffer(
        "alphavantage.bars",
        Format(
            kind="bars",
            columns={**_ALPHA_WHERE, **prices("1. open", "2. high", "3. low", "4. close", "5. volume")},
            complete=True,
            tz=_NEW_YORK,
            values={"interval": _ALPHA_INTERVALS},
            match=Match(columns=(*_ALPHA_JSON, "5. volume")),
        ),
        "Alpha Vantage: bars as JSON",
    ),
    FormatOffer(
        "alphavantage.adjusted",
        Format(
            kind="bars",
            columns={**_ALPHA_WHERE, **prices("1. open", "2. high", "3. low", "4. close", "6. volume")},
            complete=True,
            tz=_NEW_YORK,
            values={"interval": _ALPHA_INTERVALS},
            match=Match(columns=(*_ALPHA_JSON, "5. adjusted close", "6. volume")),
        ),
        "Alpha Vantage: bars with adjusted closes as JSON; the close as it was traded is read",
    ),
    FormatOffer(
        "alphavantage.csv",
        Format(
            kind="bars",
            columns={"timestamp": "timestamp", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            tz=_NEW_YORK,
            values={"interval": _ALPHA_FILES},
            match=Match(
                columns=("timestamp", "open", "high", "low", "close", "volume"),
                without=("adjusted_close", "symbol"),
                file=_ALPHA_FILE,
                file_required=True,
            ),
        ),
        "Alpha Vantage: bars as CSV under the name it gives, as daily_IBM.csv",
    ),
    FormatOffer(
        "alphavantage.adjusted_csv",
        Format(
            kind="bars",
            columns={"timestamp": "timestamp", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            tz=_NEW_YORK,
            values={"interval": _ALPHA_FILES},
            match=Match(
                columns=(
                    *("timestamp", "open", "high", "low", "close", "adjusted_close"),
                    *("volume", "dividend_amount"),
                ),
                file=_ALPHA_FILE,
            ),
        ),
        "Alpha Vantage: bars with adjusted closes as CSV; the close as it was traded is read",
    ),
)

# Facts: "End-of-day prices", Tiingo documentation.
_TIINGO = (
    FormatOffer(
        "tiingo.daily",
        Format(
            kind="bars",
            columns={"timestamp": "date", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            interval="1d",
            match=Match(
                columns=(
                    *("date", "close", "high", "low", "open", "volume", "adjClose", "adjHigh", "adjLow", "adjOpen"),
                    *("adjVolume", "divCash", "splitFactor"),
                )
            ),
        ),
        "Tiingo: daily bars; the prices as they were traded are read",
        daily("date"),
    ),
)

# Facts: readme of the bundles of shares, funds and futures, FirstRate Data: times of the start of the bar in US Eastern
# time. The names of these say how they are adjusted. Those of coins say nothing, and have times in UTC.
_FIRSTRATE_STEM = r"^(?P<symbol>[A-Z0-9.\-]+?)_(?:full_|sample_)?(?P<interval>1min|5min|30min|1hour|1day)"
_FIRSTRATE_FILE = _FIRSTRATE_STEM + r"(?:_[a-z_]+)?\.(?:txt|csv)"
_FIRSTRATE_ADJUSTED = _FIRSTRATE_STEM + r"_(?:adj|unadj|continuous)[a-z_]*\.(?:txt|csv)"
_FIRSTRATE_INTERVALS = {"1min": "1m", "5min": "5m", "30min": "30m", "1hour": "1h", "1day": "1d"}
_FIRSTRATE_NAMES = ("timestamp", "open", "high", "low", "close", "volume")
_FIRSTRATE = (
    FormatOffer(
        "firstrate.bars",
        Format(
            kind="bars",
            columns={"timestamp": "timestamp", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            values={"interval": _FIRSTRATE_INTERVALS},
            match=Match(columns=_FIRSTRATE_NAMES, file=_FIRSTRATE_FILE, file_required=True),
        ),
        "FirstRate Data: bars with a header",
    ),
    FormatOffer(
        "firstrate.bars_bare",
        Format(
            kind="bars",
            columns={"timestamp": "timestamp", **prices("open", "high", "low", "close", "volume")},
            complete=True,
            tz=_NEW_YORK,
            names=_FIRSTRATE_NAMES,
            values={"interval": _FIRSTRATE_INTERVALS},
            match=Match(
                row=(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2})?", *[NUMBER] * 5),
                file=_FIRSTRATE_ADJUSTED,
                file_required=True,
            ),
        ),
        "FirstRate Data: bars of shares and futures, named as AAPL_full_1min_adjsplitdiv.txt",
    ),
)

# Facts: "Data format", Kibot: month/day/year and times of the start of the bar in US Eastern time; files are called
# by the symbol with the ending txt, which is needed: others write the same rows with the day first, or in other zones.
_KIBOT_FILE = r"^(?P<symbol>(?-i:[A-Z0-9^_.\-]+))\.txt"
_KIBOT_DATE = r"\d{2}/\d{2}/\d{4}"
_KIBOT_NAMES = ("Open", "High", "Low", "Close", "Volume")
_KIBOT = (
    FormatOffer(
        "kibot.bars",
        Format(
            kind="bars",
            columns={"timestamp": ("Date", "Time"), **_OHLCV},
            complete=True,
            tz=_NEW_YORK,
            time_format="%m/%d/%Y %H:%M",
            names=("Date", "Time", *_KIBOT_NAMES),
            match=Match(row=(_KIBOT_DATE, r"\d{2}:\d{2}", *[NUMBER] * 5), file=_KIBOT_FILE, file_required=True),
        ),
        "Kibot: intraday bars",
    ),
    FormatOffer(
        "kibot.daily",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            time_format="%m/%d/%Y",
            names=("Date", *_KIBOT_NAMES),
            match=Match(row=(_KIBOT_DATE, *[NUMBER] * 5), file=_KIBOT_FILE, file_required=True),
        ),
        "Kibot: daily bars",
        daily("Date"),
    ),
)

# Facts: price_timeseries() of norgatedata (the header of an export of Norgate Data Updater is documented nowhere that was
# found), EODHD ("End-of-day historical stock market data API" and
# "Intraday historical data API"), Nasdaq.com ("Historical quotes: download"), Investing.com ("Historical data:
# download"), Cboe ("Historical data for Cboe VIX Index"; "Option EOD summary: file layout").
_DAILY = (
    FormatOffer(
        "norgate.daily",
        Format(
            kind="bars",
            columns={"symbol": "Symbol", "timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(columns=("Symbol", "Date", *_OHLCV_NAMES, "Turnover")),
        ),
        "Norgate Data: daily bars",
        daily("Date"),
    ),
    FormatOffer(
        "norgate.py_bars",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(
                columns=("Date", *_OHLCV_NAMES, "Turnover", "Unadjusted Close", "Dividend"), without=("Symbol",)
            ),
        ),
        "norgatedata: daily bars written with df.to_csv(); adjusted ones are refused",
        as_traded("Close", "Unadjusted Close", daily("Date")),
    ),
    FormatOffer(
        "eodhd.daily",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **_OHLCV},
            complete=True,
            interval="1d",
            match=Match(columns=("Date", *_OHLCV_NAMES, "Adjusted_close")),
        ),
        "EODHD: daily bars; the close as it was traded is read",
        daily("Date"),
    ),
    FormatOffer(
        "eodhd.intraday",
        Format(
            kind="bars",
            columns={"timestamp": "Timestamp", **_OHLCV},
            complete=True,
            time_unit="s",
            match=Match(columns=("Timestamp", "Gmtoffset", "Datetime", *_OHLCV_NAMES)),
        ),
        "EODHD: intraday bars",
    ),
    FormatOffer(
        "nasdaq.daily",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **prices("Open", "High", "Low", "Close/Last", "Volume")},
            complete=True,
            interval="1d",
            time_format="%m/%d/%Y",
            match=Match(columns=("Date", "Close/Last", "Open", "High", "Low")),
        ),
        "Nasdaq.com: daily bars",
    ),
    FormatOffer(
        "investing.daily",
        Format(
            kind="bars",
            columns={"timestamp": "Date", **prices("Open", "High", "Low", "Price", "Vol.")},
            complete=True,
            interval="1d",
            magnitudes=True,
            match=Match(columns=("Date", "Price", "Open", "High", "Low", "Change %")),
        ),
        "Investing.com: daily bars; Price is the close",
        daily("Date"),
    ),
    FormatOffer(
        "cboe.index",
        Format(
            kind="bars",
            columns={"timestamp": "DATE", **prices("OPEN", "HIGH", "LOW", "CLOSE")},
            complete=True,
            interval="1d",
            time_format="%m/%d/%Y",
            match=Match(
                columns=("DATE", "OPEN", "HIGH", "LOW", "CLOSE"),
                exact=True,
                file=r"^(?P<symbol>[A-Z0-9]+)_History\.csv",
                file_required=True,
            ),
        ),
        "Cboe: daily bars of an index, as VIX_History.csv",
    ),
    FormatOffer(
        "cboe.options",
        Format(
            refuse="an option chain has many contracts per underlying symbol; option chains are not supported",
            match=Match(columns=("underlying_symbol", "quote_date", "root", "expiration", "strike", "option_type")),
        ),
        "Cboe DataShop: summaries of options (refused)",
    ),
)

# Facts: "Price history: download", Barchart. Those who read its files take times of day for Chicago's in files of futures
# and New York's in those of shares, so the zone is asked for. The last line says when the file was made.
_BARCHART = (
    FormatOffer(
        "barchart.bars",
        Format(
            kind="bars",
            columns={"symbol": "Symbol", "timestamp": "Time", **prices("Open", "High", "Low", "Last", "Volume")},
            complete=True,
            day_first=False,
            match=Match(columns=("Time", "Open", "High", "Low", "Last", "Change", "Volume")),
        ),
        "Barchart: bars; Last is the close",
    ),
    FormatOffer(
        "barchart.latest",
        Format(
            kind="bars",
            columns={"symbol": "Symbol", "timestamp": "Time", **prices("Open", "High", "Low", "Latest", "Volume")},
            complete=True,
            day_first=False,
            match=Match(columns=("Time", "Open", "High", "Low", "Latest", "Change", "Volume")),
        ),
        "Barchart: bars; Latest is the close",
    ),
)

FORMATS: tuple[FormatOffer, ...] = (
    *_YAHOO,
    *_STOOQ,
    *_ALPHA,
    *_TIINGO,
    *_FIRSTRATE,
    *_KIBOT,
    *_DAILY,
    *_BARCHART,
)
