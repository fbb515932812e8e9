"""Histories of accounts at brokers: executions become fills, and all other bookings cash flows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from fpa_core.formats import Format, FormatOffer, Match
from fpa_core.numbers import decimal_text
from fpa_plugins.files.vendors.transactions import (
    AMOUNT,
    CURRENCY,
    FEE,
    ID,
    WORD,
    exchanged,
    history,
    number_of,
    texts_or_none,
    transactions,
    with_columns,
    with_word,
)

if TYPE_CHECKING:
    from fpa_plugins.files.rows import Rows

__all__ = ["FORMATS"]

_NEW_YORK = "America/New_York"
_USD_HISTORY = Format(tz=_NEW_YORK, decimal=".", day_first=False)
"""Brokers in the United States write dates of New York, the month first, and dollars with a point."""


def _forex(rows: Rows) -> Rows:
    """Part exchanges of currencies, which Interactive Brokers lists among trades as ``EUR.USD``, into their two sides and the commission."""
    if not any(name.lower() == "iborderid" for name in rows.names):
        rows = evolve(rows, names=tuple("IBOrderID" if name.lower() == "orderid" else name for name in rows.names))
    words, classes = texts_or_none(rows, "Buy/Sell"), texts_or_none(rows, "AssetClass")
    symbols, quantities = texts_or_none(rows, "Symbol"), texts_or_none(rows, "Quantity")
    prices, fees = texts_or_none(rows, "TradePrice"), texts_or_none(rows, "IBCommission")
    charged = texts_or_none(rows, "IBCommissionCurrency")
    legs: dict[int, list[tuple[str, str, Decimal]]] = {}
    for index, asset in enumerate(classes):
        base, dot, quote = (symbols[index] or "").partition(".")
        quantity, price = number_of(quantities[index]), number_of(prices[index])
        if asset != "CASH" or not dot or quantity is None or price is None:
            continue
        bought = abs(quantity) if (words[index] or "").upper().startswith("B") else -abs(quantity)
        legs[index] = [("conversion", base, bought), ("conversion", quote, -bought * price)]
        if fee := number_of(fees[index]):
            legs[index].append(("fee", charged[index] or quote, fee))
    return exchanged(
        rows,
        words,
        legs,
        amount="NetCash",
        currency="CurrencyPrimary",
        id_="TransactionID",
        replaced=frozenset(legs),
    )


# Facts: sections "Trades" and "Cash Transactions" of Flex queries, Interactive Brokers reporting reference. Times are of New York unless the query
# says otherwise; a commission that was paid is below zero. A query may also list orders and lots: their executions alone are fills.
_IBKR_WORDS = {
    "conversion": "conversion",
    "fee": "fee",
    "buy": "buy",
    "sell": "sell",
    "buy (ca.)": "buy",
    "sell (ca.)": "sell",
}
_IBKR = (
    *history(
        "ibkr.trades",
        "Interactive Brokers: trades of a Flex query",
        Match(columns=("Symbol", "Quantity", "TradePrice", "Buy/Sell")),
        transactions(WORD, _IBKR_WORDS, fees=("IBCommission", "Taxes"), charged_below_zero=True, before=_forex),
        fills={
            "symbol": "Symbol",
            "timestamp": "DateTime",
            "price": "TradePrice",
            "quantity": "Quantity",
            "account": "ClientAccountID",
            "fill_id": "TradeID",
            "order_id": "IBOrderID",
            "fee": FEE,
            "currency": "CurrencyPrimary",
            "fee_currency": "IBCommissionCurrency",
            "multiplier": "Multiplier",
            "amount": "NetCash",
            "exchange": "Exchange",
        },
        cash={
            "timestamp": "DateTime",
            "amount": AMOUNT,
            "currency": CURRENCY,
            "account": "ClientAccountID",
            "transaction_id": ID,
            "reference": "Symbol",
        },
        form=Format(tz=_NEW_YORK, decimal="."),
        only={"LevelOfDetail": ("EXECUTION",)},
    ),
    FormatOffer(
        "ibkr.cash",
        Format(
            kind="cash",
            columns={
                "timestamp": "DateTime",
                "flow_type": "(made) type",
                "amount": "Amount",
                "currency": "CurrencyPrimary",
                "account": "ClientAccountID",
                "symbol": "Symbol",
                "transaction_id": "TransactionID",
                "reference": "Description",
                "type_raw": "Type",
            },
            complete=True,
            tz=_NEW_YORK,
            decimal=".",
            only={"LevelOfDetail": ("DETAIL",)},
            match=Match(columns=("DateTime", "Amount", "Type", "CurrencyPrimary"), without=("TradePrice", "Quantity")),
        ),
        "Interactive Brokers: cash transactions of a Flex query",
        transactions(
            "Type",
            {
                "dividends": "dividend",
                "payment in lieu of dividends": "dividend",
                "withholding tax": "tax",
                "871(m) withholding": "tax",
                "deposits/withdrawals": "deposit|withdrawal",
                "deposits & withdrawals": "deposit|withdrawal",
                "broker interest *": "interest",
                "bond interest *": "interest",
                "other fees": "fee",
                "advisor fees": "fee",
                "commission adjustments": "fee",
                "other income": "adjustment",
            },
            amount="Amount",
        ),
    ),
)


def _first_date(rows: Rows) -> Rows:
    """Keep the first date of ``10/09/2023 as of 10/06/2023``: the day on which Charles Schwab booked it."""
    import pyarrow as pa

    dates = [None if text is None else text.split(" as of ")[0] for text in texts_or_none(rows, "Date")]
    place = [name.strip().lower() for name in rows.names].index("date")
    cells = list(rows.cells)
    cells[place] = pa.array(dates, pa.string())
    return evolve(rows, cells=cells)


# Facts: header line and words of "History: export", Charles Schwab. A row may be "10/09/2023 as of 10/06/2023": booked on the first day.
_SCHWAB = history(
    "schwab.transactions",
    "Charles Schwab: transactions",
    Match(columns=("Date", "Action", "Symbol", "Description", "Quantity", "Price", "Fees & Comm", "Amount")),
    transactions(
        "Action",
        {
            "buy": "buy",
            "buy to open": "buy",
            "buy to close": "buy",
            "buy to cover": "buy",
            "reinvest shares": "buy",
            "sell": "sell",
            "sell short": "sell",
            "sell to open": "sell",
            "sell to close": "sell",
            "cash dividend": "dividend",
            "qualified dividend": "dividend",
            "non-qualified div": "dividend",
            "special dividend": "dividend",
            "special qual div": "dividend",
            "reinvest dividend": "dividend",
            "qual div reinvest": "dividend",
            "pr yr cash div": "dividend",
            "long term cap gain": "dividend",
            "short term cap gain": "dividend",
            "bank interest": "interest",
            "credit interest": "interest",
            "margin interest": "interest",
            "bond interest": "interest",
            "moneylink transfer": "deposit|withdrawal",
            "moneylink deposit": "deposit",
            "funds received": "deposit",
            "wire received": "deposit",
            "wire funds received": "deposit",
            "wire sent": "withdrawal",
            "wire funds": "withdrawal",
            "journal": "transfer",
            "journaled funds": "transfer",
            "internal transfer": "transfer",
            "nra tax adj": "tax",
            "nra withholding": "tax",
            "foreign tax paid": "tax",
            "adr mgmt fee": "fee",
            "service fee": "fee",
            "misc cash entry": "adjustment",
            "cash in lieu": "adjustment",
            "cash merger": "proceeds",
        },
        amount="Amount",
        fees=("Fees & Comm",),
        before=_first_date,
    ),
    fills={
        "symbol": "Symbol",
        "timestamp": "Date",
        "price": "Price",
        "quantity": "Quantity",
        "fee": FEE,
        "amount": "Amount",
    },
    cash={
        "timestamp": "Date",
        "amount": "Amount",
        "symbol": "Symbol",
        "reference": "Description",
        "type_raw": "Action",
    },
    form=_USD_HISTORY,
)

# Facts: header line and words of "Activity & orders: history, download", Fidelity. The words are the beginning of a sentence.
_FIDELITY = history(
    "fidelity.history",
    "Fidelity: history of an account",
    Match(columns=("Run Date", "Action", "Symbol")),
    transactions(
        "Action",
        {
            "you bought*": "buy",
            "reinvestment*": "buy",
            "you sold*": "sell",
            "dividend received*": "dividend",
            "long-term cap gain*": "dividend",
            "short-term cap gain*": "dividend",
            "return of capital*": "dividend",
            "interest*": "interest",
            "margin interest*": "interest",
            "electronic funds transfer received*": "deposit",
            "electronic funds transfer paid*": "withdrawal",
            "direct deposit*": "deposit",
            "wire transfer from*": "deposit",
            "wire transfer to*": "withdrawal",
            "transferred from*": "transfer",
            "transferred to*": "transfer",
            "journaled*": "transfer",
            "foreign tax paid*": "tax",
            "non-resident tax*": "tax",
            "adr fee*": "fee",
            "fee charged*": "fee",
            "advisory fee*": "fee",
            "in lieu of frx share*": "adjustment",
            "merger mer payout*": "proceeds",
        },
        fees=("Commission ($)", "Fees ($)", "Commission", "Fees"),
    ),
    fills={
        "symbol": "Symbol",
        "timestamp": "Run Date",
        "price": "Price*",
        "quantity": "Quantity",
        "account": "Account Number",
        "fee": FEE,
        "amount": "Amount*",
    },
    cash={
        "timestamp": "Run Date",
        "amount": "Amount*",
        "account": "Account Number",
        "symbol": "Symbol",
        "reference": "Action",
    },
    form=_USD_HISTORY,
)

# Facts: header line and transaction codes of "Reports: account activity", Robinhood. Amounts below zero are in parentheses.
_ROBINHOOD = history(
    "robinhood.transactions",
    "Robinhood: account activity",
    Match(
        columns=(
            *("Activity Date", "Process Date", "Settle Date", "Instrument"),
            *("Trans Code", "Quantity", "Price", "Amount"),
        )
    ),
    transactions(
        "Trans Code",
        {
            "buy": "buy",
            "bto": "buy",
            "btc": "buy",
            "sell": "sell",
            "sto": "sell",
            "stc": "sell",
            "cdiv": "dividend",
            "mdiv": "dividend",
            "int": "interest",
            "slip": "interest",
            "mint": "interest",
            "ach": "deposit|withdrawal",
            "rtp": "deposit|withdrawal",
            "wire": "deposit|withdrawal",
            "xent": "transfer",
            "gold": "fee",
            "afee": "fee",
            "dfee": "fee",
            "dtax": "tax",
            "cil": "adjustment",
            "misc": "adjustment",
        },
        amount="Amount",
    ),
    fills={
        "symbol": "Instrument",
        "timestamp": "Activity Date",
        "price": "Price",
        "quantity": "Quantity",
        "amount": "Amount",
    },
    cash={
        "timestamp": "Activity Date",
        "amount": "Amount",
        "symbol": "Instrument",
        "reference": "Description",
        "type_raw": "Trans Code",
    },
    form=_USD_HISTORY,
)


def _settled_in_another_currency(rows: Rows) -> Rows:
    """Add the two sides of the exchange to trades of Trading 212 that are priced in one currency and settled in another."""
    words = texts_or_none(rows, "Action")
    quantities, prices = texts_or_none(rows, "No. of shares"), texts_or_none(rows, "Price / share")
    priced, settled = texts_or_none(rows, "Currency (Price / share)"), texts_or_none(rows, "Currency (Total)")
    totals = texts_or_none(rows, "Total")
    fees = [texts_or_none(rows, name) for name in _TRADING212_FEES]
    legs: dict[int, list[tuple[str, str, Decimal]]] = {}
    for index, word in enumerate(words):
        quantity, price, total = (number_of(column[index]) for column in (quantities, prices, totals))
        own, other = priced[index], settled[index]
        side = (word or "").lower().rpartition(" ")[2]
        if (
            side not in ("buy", "sell")
            or not own
            or not other
            or own == other
            or quantity is None
            or price is None
            or total is None
        ):
            continue
        sign = 1 if side == "buy" else -1
        charged = sum((number_of(column[index]) or Decimal(0) for column in fees), Decimal(0))
        paid = abs(total) - sign * charged
        legs[index] = [("conversion", own, sign * quantity * price), ("conversion", other, -sign * paid)]
    return exchanged(rows, words, legs, amount="Total", currency="Currency (Total)", id_="ID")


# Facts: header line and words of "History: export", Trading 212; times are in UTC. The total includes the fees.
_TRADING212_FEES = (
    "Currency conversion fee",
    "Stamp duty reserve tax",
    "Transaction fee",
    "Finra fee",
    "French transaction tax",
)
_TRADING212 = history(
    "trading212.transactions",
    "Trading 212: history",
    Match(columns=("Action", "Time", "ISIN", "Ticker", "No. of shares", "Price / share")),
    transactions(
        WORD,
        {
            **{f"{how} {side}": side for how in ("market", "limit", "stop", "stop limit") for side in ("buy", "sell")},
            "dividend*": "dividend",
            "deposit": "deposit",
            "withdrawal": "withdrawal",
            "interest on cash": "interest",
            "lending interest": "interest",
            "currency conversion": "conversion",
            "conversion": "conversion",
            "spending cashback": "adjustment",
            "result adjustment": "adjustment",
        },
        fees=_TRADING212_FEES,
        before=_settled_in_another_currency,
    ),
    fills={
        "symbol": "Ticker",
        "timestamp": "Time",
        "price": "Price / share",
        "quantity": "No. of shares",
        "fill_id": "ID",
        "fee": FEE,
        "currency": "Currency (Price / share)",
        "fee_currency": "Currency (Total)",
    },
    cash={
        "timestamp": "Time",
        "amount": AMOUNT,
        "currency": CURRENCY,
        "symbol": "Ticker",
        "transaction_id": ID,
        "reference": "Notes",
        "type_raw": "Action",
    },
    form=Format(tz="UTC", decimal="."),
)

# Facts: header line of "Trading account statement", Revolut; times have their zone.
_REVOLUT = history(
    "revolut.transactions",
    "Revolut: statement of the trading account",
    Match(columns=("Date", "Ticker", "Type", "Quantity", "Price per share", "Total Amount")),
    transactions(
        "Type",
        {
            "buy*": "buy",
            "sell*": "sell",
            "dividend*": "dividend",
            "cash top-up": "deposit",
            "cash withdrawal": "withdrawal",
            "custody fee": "fee",
        },
    ),
    fills={
        "symbol": "Ticker",
        "timestamp": "Date",
        "price": "Price per share",
        "quantity": "Quantity",
        "currency": "Currency",
    },
    cash={
        "timestamp": "Date",
        "amount": "Total Amount",
        "currency": "Currency",
        "symbol": "Ticker",
        "type_raw": "Type",
    },
    form=Format(tz="UTC", decimal="."),
)

_COINBASE_PRICE = "(made) price"
_COINBASE_NAMES = {
    "Price at Transaction": _COINBASE_PRICE,
    "Spot Price at Transaction": _COINBASE_PRICE,
    "Price Currency": CURRENCY,
    "Spot Price Currency": CURRENCY,
}


def _coinbase(rows: Rows) -> Rows:
    """Give columns one name that were renamed over the years; name a deposit of coins as what it is, and write a withdrawal below zero."""
    named = evolve(rows, names=tuple(_COINBASE_NAMES.get(name.strip(), name) for name in rows.names))
    words, assets = texts_or_none(named, "Transaction Type"), texts_or_none(named, "Asset")
    currencies, totals = texts_or_none(named, CURRENCY), texts_or_none(named, "Subtotal")
    made, amounts = [], []
    for word, asset, currency, total in zip(words, assets, currencies, totals, strict=True):
        traded = (word or "").lower().endswith(("buy", "sell"))
        made.append(word if traded or asset == currency else f"{word} of {asset}")
        number = number_of(total)
        below = (word or "").lower() == "withdrawal" and number is not None
        amounts.append(decimal_text(-abs(number)) if below and number is not None else total)
    return with_columns(named, {WORD: made, AMOUNT: amounts})


# Facts: header lines of "Statements: transactions" (Coinbase) and "fills.csv" (Coinbase Exchange and Pro). What goes to a wallet or comes from one is
# neither a fill nor cash, and is set aside.
_COINBASE = (
    *history(
        "coinbase.transactions",
        "Coinbase: transactions of an account",
        Match(
            columns=("Timestamp", "Transaction Type", "Asset", "Quantity Transacted", "Subtotal", "Fees and/or Spread")
        ),
        transactions(
            WORD,
            {
                "buy": "buy",
                "advance trade buy": "buy",
                "advanced trade buy": "buy",
                "sell": "sell",
                "advance trade sell": "sell",
                "advanced trade sell": "sell",
                "deposit": "deposit",
                "withdrawal": "withdrawal",
            },
            fees=("Fees and/or Spread",),
            before=_coinbase,
        ),
        fills={
            "symbol": "Asset",
            "timestamp": "Timestamp",
            "price": _COINBASE_PRICE,
            "quantity": "Quantity Transacted",
            "fill_id": "ID",
            "fee": FEE,
            "currency": CURRENCY,
        },
        cash={
            "timestamp": "Timestamp",
            "amount": AMOUNT,
            "currency": CURRENCY,
            "transaction_id": "ID",
            "reference": "Notes",
        },
        form=Format(tz="UTC", decimal="."),
    ),
    FormatOffer(
        "coinbase.fills",
        Format(
            kind="fills",
            columns={
                "symbol": "product",
                "timestamp": "created at",
                "side": "side",
                "price": "price",
                "quantity": "size",
                "account": "portfolio",
                "fill_id": "trade id",
                "fee": "fee",
                "currency": "price/fee/total unit",
                "amount": "total",
            },
            complete=True,
            tz="UTC",
            decimal=".",
            match=Match(
                columns=("portfolio", "trade id", "product", "side", "created at", "size", "price", "fee", "total")
            ),
        ),
        "Coinbase Exchange: fills",
    ),
)

# Facts: "Account activities", Alpaca API reference: executions have a time, and all else a date; fees are activities of their own.
_ALPACA = history(
    "alpaca.activities",
    "Alpaca: activities of an account",
    Match(columns=("activity_type", "id")),
    transactions(
        WORD,
        {
            "fill buy*": "buy",
            "fill sell*": "sell",
            "trans*": "deposit|withdrawal",
            "csd*": "deposit",
            "csw*": "withdrawal",
            "jnlc*": "transfer",
            "jnl*": "transfer",
            "acatc*": "transfer",
            "divnra*": "tax",
            "divtw*": "tax",
            "divft*": "tax",
            "divfee*": "fee",
            "div*": "dividend",
            "cgd*": "dividend",
            "intnra*": "tax",
            "inttw*": "tax",
            "int*": "interest",
            "cfee*": "fee",
            "fee*": "fee",
            "ptc*": "fee",
            "ptr*": "adjustment",
            "ma*": "proceeds",
        },
        amount="net_amount",
        before=with_word("activity_type", "side"),
    ),
    fills={
        "symbol": "symbol",
        "timestamp": "transaction_time",
        "price": "price",
        "quantity": "qty",
        "account": "account_id",
        "fill_id": "id",
        "order_id": "order_id",
    },
    cash={
        "timestamp": "date",
        "amount": "net_amount",
        "account": "account_id",
        "symbol": "symbol",
        "transaction_id": "id",
        "reference": "description",
        "type_raw": "activity_type",
    },
    form=_USD_HISTORY,
)

FORMATS: tuple[FormatOffer, ...] = (
    *_IBKR,
    *_SCHWAB,
    *_FIDELITY,
    *_ROBINHOOD,
    *_TRADING212,
    *_REVOLUT,
    *_COINBASE,
    *_ALPACA,
)
