"""The enumerated words of records, such as "buy", and the synonyms that brokers and venues use.

Words are compared without regard to case, blanks, dashes and underscores: ``STP LMT``, ``stp_lmt`` and ``stp-lmt`` are equal. A broker's word
with two possible meanings is not in the tables; it is rejected, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from fpa_core.exceptions import DataError

__all__ = [
    "NULLS",
    "CashFlowType",
    "CorporateActionType",
    "ForeignWord",
    "OrderStatus",
    "OrderType",
    "PositionSide",
    "Side",
    "TimeInForce",
    "is_own_word",
    "to_own_word",
    "to_word",
]

NULLS = frozenset({"", "nan", "null", "none", "n/a", "na", "#n/a", "<na>", "nat", "-", "--", ".", "\\n"})
"""Spellings of a missing value, in lower case. A symbol may be any of them except the empty one."""


class Side(StrEnum):
    """Direction of an order, or of the aggressor of a trade."""

    BUY = "buy"
    SELL = "sell"


class PositionSide(StrEnum):
    """Direction of a position."""

    LONG = "long"
    SHORT = "short"


class OrderType(StrEnum):
    """Type of an order: how it is executed."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class OrderStatus(StrEnum):
    """Status of an order. The broker's own word is kept in ``Order.status_raw``."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class CashFlowType(StrEnum):
    """Why cash came into an account, or left it.

    Deposits, withdrawals and transfers are external: they are money put in or taken out. All others are part of what an account earns.
    """

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    TRANSFER = "transfer"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    FEE = "fee"
    TAX = "tax"
    CONVERSION = "conversion"
    """One side of an exchange of currencies."""
    ADJUSTMENT = "adjustment"
    """A correction by the broker, or cash paid for a fraction of a share."""
    PROCEEDS = "proceeds"
    """Cash for shares that a merger took: the other side of a corporate action, and so no income."""


class CorporateActionType(StrEnum):
    """What a company did to the holders of its shares."""

    SPLIT = "split"
    """Also a reverse split, and a dividend paid in shares."""
    DIVIDEND = "dividend"
    SPECIAL_DIVIDEND = "special_dividend"
    """Beside an ordinary dividend it may have the same ex-date."""
    SPINOFF = "spinoff"
    MERGER = "merger"
    SYMBOL_CHANGE = "symbol_change"


class TimeInForce(StrEnum):
    """How long an order stays in the market."""

    DAY = "day"
    GTC = "gtc"
    GTD = "gtd"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


Words: TypeAlias = type[StrEnum]

_UNFOLDED = dict.fromkeys(map(ord, " \t\r\n_-\u00a0"))

# Foreign words, folded. Sources: the documentation of Alpaca (orders) and of Interactive Brokers (TWS API, Flex queries), and FIX.
_SIDES = {
    Side.BUY: "b bot bought long buytoopen buytoclose buytocover",
    Side.SELL: "s sld sold short ss sellshort sellshortexempt selltoopen selltoclose",
}
_TYPES = {
    # An order "on open" or "on close" is a market or limit order whose time in force says when.
    OrderType.MARKET: "mkt moc moo marketonclose marketonopen",
    OrderType.LIMIT: "lmt loc loo limitonclose limitonopen",
    OrderType.STOP: "stp stoploss stopmarket",
    OrderType.STOP_LIMIT: "stplmt stoplosslimit",
    OrderType.TRAILING_STOP: "trail trailing trailstop",
}
_STATUSES = {
    # All that is not final is "new": on its way to the market, in it, or about to be changed. A status that is not final is put right by the
    # next update of the order; a final one that is wrong makes every later update look like a mistake. So these are here, too:
    # - pending_cancel, pending_replace: the request may fail, and fills may still come;
    # - stopped: a trade is guaranteed, but has not happened; suspended: not eligible to trade, until it is again;
    # - done_for_day: no update before the next trading day, which brings a fill, an expiry or nothing; calculated: filled or done for the day,
    #   with the settlement still to be worked out. Neither says whether it is the end.
    OrderStatus.NEW: (
        "accepted acceptedforbidding acknowledged active apipending calculated doneforday held open pending pendingcancel pendingnew "
        "pendingreplace pendingsubmit presubmitted queued stopped submitted suspended working"
    ),
    OrderStatus.PARTIALLY_FILLED: "partial partialfill partialfilled partiallyexecuted",
    OrderStatus.FILLED: "complete completed executed fill fullyfilled",
    # A replaced order is at its end, unfilled; its successor has an id of its own.
    OrderStatus.CANCELLED: "apicancelled replaced",
    # Interactive Brokers: "Inactive" is an order that was received and is not worked: refused by the system or the exchange.
    OrderStatus.REJECTED: "inactive",
    OrderStatus.EXPIRED: "",
}
# Sources: Alpaca (account activities, corporate actions), Interactive Brokers (Flex: cash transactions), Robinhood (transaction codes).
_FLOWS = {
    CashFlowType.DEPOSIT: "dep deposits contribution fundsreceived csd achdeposit wiredeposit",
    CashFlowType.WITHDRAWAL: "wd withdraw withdrawals withdrawl distribution csw achwithdrawal wirewithdrawal",
    CashFlowType.TRANSFER: "internaltransfer journal jnlc accounttransfer transfers",
    CashFlowType.DIVIDEND: (
        "div divs dividends cashdividend cashdiv qualifieddividend nonqualifieddividend ordinarydividend cdiv divcgl divcgs divnra "
        "paymentinlieu paymentinlieuofdividends dividendreceived specialdividend returnofcapital divroc"
    ),
    CashFlowType.INTEREST: (
        "int interestincome creditinterest debitinterest bankinterest brokerinterestreceived brokerinterestpaid bondinterest "
        "brokerinterest intpaid interestoncash lendinginterest marginint margininterest"
    ),
    CashFlowType.FEE: "fees otherfee otherfees commission commissions adrfee custodyfee regfee advisoryfee feerev ptc servicefee",
    CashFlowType.TAX: "taxes withholding withholdingtax foreigntax foreigntaxpaid nraadj nrataxadj divtw divft nrawithholding stampduty",
    CashFlowType.CONVERSION: "currencyconversion fx fxconversion forex currencyexchange exchange convert",
    CashFlowType.ADJUSTMENT: "adj adjustments cashinlieu cil correction misc",
    CashFlowType.PROCEEDS: "merger cashmerger mergerproceeds redemption",
}
_ACTIONS = {
    CorporateActionType.SPLIT: "splits stocksplit forwardsplit forwardsplits reversesplit reversesplits stockdividend stockdividends unitsplit spl",
    CorporateActionType.DIVIDEND: "dividends cashdividend cashdividends cash cd div",
    CorporateActionType.SPECIAL_DIVIDEND: "specialcashdividend special",
    CorporateActionType.SPINOFF: "spinoffs spunoff spin",
    CorporateActionType.MERGER: "mergers cashmerger cashmergers stockmerger stockmergers stockandcashmerger stockandcashmergers acquisition ma",
    CorporateActionType.SYMBOL_CHANGE: "namechange namechanges tickerchange rename nc",
}
# "closed" and "done" are left out on purpose: filled to one broker, cancelled or expired to another.


class ForeignWord(Exception):  # noqa: N818  # no error: it is caught where the word can be kept
    """Raised for a broker's word that could be translated; it has the meaning and the original spelling."""

    def __init__(self, meaning: StrEnum, written: str) -> None:
        super().__init__(meaning, written)
        self.meaning = meaning
        self.written = written


def _fold(text: str) -> str:
    return text.lower().translate(_UNFOLDED).replace("canceled", "cancelled")


def _own(words: Words) -> dict[str, StrEnum]:
    return {_fold(word.value): word for word in words}


def _foreign(table: Mapping[Any, str]) -> dict[str, StrEnum]:
    return {text: word for word, texts in table.items() for text in texts.split()}


def _exact(words: Iterable[StrEnum]) -> dict[str, StrEnum]:
    return {word.value: word for word in words}


_EXACT: dict[Words, dict[str, StrEnum]] = {
    words: _exact(words)
    for words in (Side, OrderType, OrderStatus, PositionSide, TimeInForce, CashFlowType, CorporateActionType)
}
_OWN: dict[Words, dict[str, StrEnum]] = {words: _own(words) for words in _EXACT}
_FOREIGN: dict[Words, dict[str, StrEnum]] = {
    Side: _foreign(_SIDES),
    OrderType: _foreign(_TYPES),
    OrderStatus: _foreign(_STATUSES),
    PositionSide: {},
    TimeInForce: {},
    CashFlowType: _foreign(_FLOWS),
    CorporateActionType: _foreign(_ACTIONS),
}
_TRANSLATED: frozenset[str] = frozenset().union(*(_OWN[words] for words in _FOREIGN if _FOREIGN[words]))


def is_own_word(value: str) -> bool:
    """Return whether *value* is one of this project's words for a side, an order type or an order status.

    Case, blanks, dashes, underscores and the spelling of "cancelled" are ignored. If this is false for a text that a converter accepts, the text
    is a broker's word, which the ``*_raw`` field of an order keeps.
    """
    return _fold(value) in _TRANSLATED


def to_word(words: Words, value: object) -> Any:
    """Return the member of *words* that *value* means.

    :raises DataError: if the word is unknown; the message lists the known ones.
    """
    try:
        return to_own_word(words, value)
    except ForeignWord as word:
        return word.meaning


def to_own_word(words: Words, value: object) -> Any:
    """Return the member of *words* that *value* is.

    :raises ForeignWord: if it is a broker's word for a member.
    :raises DataError: if the word is unknown; the message lists the known ones.
    """
    try:
        return _EXACT[words][value]  # type: ignore[index]
    except (KeyError, TypeError):
        pass
    folded = _fold(value) if isinstance(value, str) else ""
    if (own := _OWN[words].get(folded)) is not None:
        return own
    if (foreign := _FOREIGN[words].get(folded)) is not None:
        raise ForeignWord(foreign, str(value).strip())
    raise DataError(f"value: unknown value {value!r}; one of: {', '.join(words)}", value=value)
