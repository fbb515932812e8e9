"""Exports of brokers: positions, and what is rejected with the reason. Executions and cash are in :mod:`fpa_plugins.files.vendors.histories`."""

from __future__ import annotations

from fpa_core.formats import Format, FormatOffer, Match
from fpa_plugins.files.vendors.preparing import one_account

__all__ = ["FORMATS"]

_TRANSACTIONS = (
    "these are transactions of an account (purchases, sales, dividends, transfers), not market trades, and this layout is not known; "
    "fills need the columns side, price and quantity, cash flows flow_type and amount"
)


def _refused(name: str, description: str, refuse: str, *columns: str, without: tuple[str, ...] = ()) -> FormatOffer:
    return FormatOffer(
        name, Format(refuse=refuse, match=Match(columns=columns, without=without)), f"{description} (refused)"
    )


# Facts: "Flex queries: open positions, trades" and "Activity statements", Interactive Brokers reporting reference.
# A query may be told to write each lot under its sum: the sums alone are positions. A statement is a file of many tables,
# each of which has its own header behind its name.
_IBKR_COLUMNS = {
    "symbol": "Symbol",
    "quantity": "Quantity",
    "current_price": "MarkPrice",
    "market_value": "PositionValue",
    "cost_basis": "CostBasisMoney",
    "avg_entry_price": "CostBasisPrice",
    "unrealized_pnl": "FifoPnlUnrealized",
    "side": "Side",
    "timestamp": "ReportDate",
    "account": "ClientAccountID",
    "asset_class": "AssetClass",
}
# A report's date stands for an instant: the midnight that begins it in New York.
_IBKR_ZONE = "America/New_York"
_IBKR_NAMES = ("Symbol", "Quantity", "MarkPrice", "PositionValue", "CostBasisMoney")
_IBKR = (
    FormatOffer(
        "ibkr.positions",
        Format(
            kind="positions",
            columns=_IBKR_COLUMNS,
            complete=True,
            tz=_IBKR_ZONE,
            match=Match(columns=_IBKR_NAMES, without=("LevelOfDetail", "TradeID")),
        ),
        "Interactive Brokers: open positions of a Flex query",
    ),
    FormatOffer(
        "ibkr.positions_and_lots",
        Format(
            kind="positions",
            columns=_IBKR_COLUMNS,
            complete=True,
            tz=_IBKR_ZONE,
            only={"LevelOfDetail": ("SUMMARY",)},
            match=Match(columns=(*_IBKR_NAMES, "LevelOfDetail"), without=("TradeID",)),
        ),
        "Interactive Brokers: open positions of a Flex query with their lots; the sums are read",
    ),
    _refused(
        "ibkr.activity",
        "Interactive Brokers: activity statement",
        "an activity statement has many tables in one file; export trades, cash transactions and open positions "
        "with a Flex query as CSV",
        *("Header", "DataDiscriminator", "Asset Category"),
    ),
)

# Facts: header lines of "Positions: export" and "History: export", Charles Schwab. What is Security Type in files until
# 2024 is Asset Type in later ones; an export of all accounts has one table below the other.
_SCHWAB = (
    FormatOffer(
        "schwab.positions",
        Format(
            kind="positions",
            columns={
                "symbol": "Symbol",
                "quantity": "Qty (Quantity)",
                "current_price": "Price",
                "market_value": "Mkt Val (Market Value)",
                "cost_basis": "Cost Basis",
                "unrealized_pnl": "Gain $ (Gain/Loss $)",
                "day_pnl": "Day Chng $ (Day Change $)",
                "asset_class": "Security Type",
            },
            complete=True,
            match=Match(columns=("Symbol", "Qty (Quantity)", "Price", "Mkt Val (Market Value)", "Cost Basis")),
        ),
        "Charles Schwab: positions, with the time given by --as-of",
        one_account("Symbol", ("Account Total", "Positions Total"), {"Asset Type": "Security Type"}),
    ),
)

# Facts: header lines of "Portfolio positions: download" and "Activity & orders: history, download", Fidelity.
_FIDELITY = (
    FormatOffer(
        "fidelity.positions",
        Format(
            kind="positions",
            columns={
                "account": "Account Number",
                "symbol": "Symbol",
                "quantity": "Quantity",
                "current_price": "Last Price",
                "market_value": "Current Value",
                "cost_basis": "Cost Basis Total",
                "avg_entry_price": "Average Cost Basis",
                "unrealized_pnl": "Total Gain/Loss Dollar",
                "day_pnl": "Today's Gain/Loss Dollar",
            },
            complete=True,
            match=Match(
                columns=("Account Number", "Symbol", "Quantity", "Last Price", "Current Value", "Cost Basis Total")
            ),
        ),
        "Fidelity: positions, with the time given by --as-of",
    ),
)

# Facts: header lines of exports: Webull ("Orders: export"), DEGIRO ("Transactions", "Account", "Portfolio"), XTB ("Cash
# operations", "Closed positions"), Portfolio Performance ("Export: all transactions").
_OTHERS = (
    _refused(
        "webull.orders",
        "Webull: orders",
        "its orders have no ids, so they cannot be distinguished, and their executions are not market trades",
        *("Symbol", "Side", "Status", "Filled", "Total Qty", "Avg Price", "Time-in-Force", "Placed Time"),
    ),
    _refused(
        "degiro.transactions",
        "DEGIRO: transactions",
        f"{_TRANSACTIONS}; export the portfolio to have the positions",
        *("Date", "Time", "Product", "ISIN", "Quantity", "Price", "Local value", "Order ID"),
    ),
    _refused(
        "degiro.account",
        "DEGIRO: account",
        f"{_TRANSACTIONS}; export the portfolio to have the positions",
        *("Date", "Time", "Value date", "Product", "ISIN", "Description", "FX", "Change", "Balance"),
    ),
    FormatOffer(
        "degiro.positions",
        Format(
            kind="positions",
            # Closing is in the currency of the security, the value in the one of the account: the two are not mixed.
            columns={"symbol": "Symbol/ISIN", "quantity": "Amount", "market_value": "Value in *"},
            complete=True,
            match=Match(columns=("Product", "Symbol/ISIN", "Amount", "Closing", "Local value")),
        ),
        "DEGIRO: portfolio, with the time given by --as-of",
    ),
    _refused(
        "xtb.cash_operations",
        "XTB: cash operations",
        _TRANSACTIONS,
        *("ID", "Type", "Time", "Comment", "Symbol", "Amount"),
        without=("Price", "Quantity", "Status", "Side"),
    ),
    _refused(
        "xtb.closed_positions",
        "XTB: closed positions",
        _TRANSACTIONS,
        *("Position", "Symbol", "Type", "Volume", "Open time", "Open price", "Close time", "Close price"),
    ),
    _refused(
        "portfolioperformance.transactions",
        "Portfolio Performance: transactions",
        _TRANSACTIONS,
        *("Date", "Type", "Value", "Shares", "Ticker Symbol", "Note"),
    ),
    _refused(
        "portfolioperformance.german_transactions",
        "Portfolio Performance: transactions in German",
        _TRANSACTIONS,
        *("Datum", "Typ", "Wert", "Stück", "Ticker-Symbol", "Notiz"),
    ),
)

FORMATS: tuple[FormatOffer, ...] = (*_IBKR, *_SCHWAB, *_FIDELITY, *_OTHERS)
