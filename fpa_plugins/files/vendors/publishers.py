"""Files of those who publish official figures: the Federal Reserve Bank of St. Louis and the National Stock Exchange of India."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.patterns import prices
from fpa_plugins.files.vendors.preparing import one_series, securities

__all__ = ["FORMATS"]

# Facts: CSV download of a series, FRED ("Download data: CSV"). The header of the values is the name of the series;
# series are of days, weeks, months or more, so the interval is asked for.
_SERIES = {"symbol": "series", "timestamp": "date", "close": "value"}
_OTHERS = (
    *("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "SYMBOL", "PRICE", "TIME", "Open", "High", "Low", "Close", "Volume"),
    *("Symbol", "Price", "Time", "open", "high", "low", "close", "volume", "symbol", "price", "time"),
)
_FRED = (
    FormatOffer(
        "fred.series",
        Format(
            kind="bars",
            columns=_SERIES,
            complete=True,
            nulls=(".",),
            match=Match(columns=("observation_date",)),
        ),
        "FRED: a series, as bars with a close alone",
        one_series,
    ),
    FormatOffer(
        "fred.old_series",
        Format(
            kind="bars",
            columns=_SERIES,
            complete=True,
            nulls=(".",),
            match=Match(
                columns=("DATE",),
                without=_OTHERS,
                exact=True,
                file=r"^[A-Z0-9]{3,}\.csv",
                file_required=True,
            ),
        ),
        "FRED: a series as it was written until 2024, under its own name",
        one_series,
    ),
)

# Facts: "Full bhavcopy and security deliverable data", "Bhavcopy (PR)" and "CM-UDiFF common bhavcopy final", NSE.
# A series other than EQ is another security: N2 is a bond of the company, not its share.
_NSE = (
    FormatOffer(
        "nse.full_bhavcopy",
        Format(
            kind="bars",
            columns={
                "symbol": "SYMBOL",
                "timestamp": "DATE1",
                "vwap": "AVG_PRICE",
                "trade_count": "NO_OF_TRADES",
                **prices("OPEN_PRICE", "HIGH_PRICE", "LOW_PRICE", "CLOSE_PRICE", "TTL_TRD_QNTY"),
            },
            complete=True,
            interval="1d",
            match=Match(
                columns=(
                    *("SYMBOL", "SERIES", "DATE1", "OPEN_PRICE", "HIGH_PRICE", "LOW_PRICE", "CLOSE_PRICE"),
                    *("TTL_TRD_QNTY", "NO_OF_TRADES"),
                )
            ),
        ),
        "NSE: full bhavcopy (sec_bhavdata_full)",
        securities("SYMBOL", "SERIES"),
    ),
    FormatOffer(
        "nse.bhavcopy",
        Format(
            kind="bars",
            columns={
                "symbol": "SYMBOL",
                "timestamp": "TIMESTAMP",
                "trade_count": "TOTALTRADES",
                **prices("OPEN", "HIGH", "LOW", "CLOSE", "TOTTRDQTY"),
            },
            complete=True,
            interval="1d",
            match=Match(
                columns=(
                    *("SYMBOL", "SERIES", "OPEN", "HIGH", "LOW", "CLOSE", "LAST", "PREVCLOSE", "TOTTRDQTY"),
                    *("TIMESTAMP", "TOTALTRADES"),
                )
            ),
        ),
        "NSE: bhavcopy of the cash market until 2024 (cm...bhav.csv)",
        securities("SYMBOL", "SERIES"),
    ),
    FormatOffer(
        "nse.udiff_bhavcopy",
        Format(
            kind="bars",
            columns={
                "symbol": "TckrSymb",
                "timestamp": "TradDt",
                "trade_count": "TtlNbOfTxsExctd",
                **prices("OpnPric", "HghPric", "LwPric", "ClsPric", "TtlTradgVol"),
            },
            complete=True,
            interval="1d",
            # The same header serves derivatives, whose contracts a symbol alone does not name, and the other exchange.
            only={"Sgmt": ("CM",), "Src": ("NSE",)},
            match=Match(
                columns=(
                    *("TradDt", "Sgmt", "Src", "TckrSymb", "SctySrs", "OpnPric", "HghPric", "LwPric", "ClsPric"),
                    "TtlTradgVol",
                )
            ),
        ),
        "NSE: bhavcopy of the cash market since 2024 (BhavCopy_NSE_CM)",
        securities("TckrSymb", "SctySrs"),
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_FRED, *_NSE)
