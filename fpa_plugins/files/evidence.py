"""Detect the kind of rows from the columns of a file, and reject tables that only look like market records."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_core.kinds import (
    BARS,
    CASH,
    CORPORATE_ACTIONS,
    FILLS,
    KINDS,
    ORDERS,
    POSITIONS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    Kind,
)
from fpa_plugins.files.vocabulary import fields_of, squeezed, synonyms

__all__ = ["kind_by_columns", "listed", "shown_kind"]

_OHL = {"open", "high", "low"}
_PORTFOLIO = (ORDERS, POSITIONS, SNAPSHOTS, FILLS, CORPORATE_ACTIONS, CASH)
_FILL = {"price", "quantity", "side"}


@frozen
class _Sign:
    """The evidence for a kind: a test of the fields, and its description."""

    test: Callable[[set[str]], bool]
    words: str


_SIGNS: dict[Kind, _Sign] = {
    QUOTES: _Sign(lambda found: bool(found & {"bid", "ask"}), "bid or ask"),
    TRADES: _Sign(lambda found: {"price", "size"} <= found, "price and size"),
    BARS: _Sign(
        lambda found: "close" in found and bool(found & (_OHL | {"interval"})),
        "close, and open, high, low or interval",
    ),
    ORDERS: _Sign(
        lambda found: {"order_id", "status"} <= found and bool(found & {"symbol", "side"}), "order_id and status"
    ),
    POSITIONS: _Sign(
        lambda found: "quantity" in found and bool(found & {"market_value", "cost_basis"}),
        "quantity, and market_value or cost_basis",
    ),
    SNAPSHOTS: _Sign(lambda found: "total_value" in found, "total_value"),
    FILLS: _Sign(lambda found: found >= _FILL, "side, price and quantity"),
    CORPORATE_ACTIONS: _Sign(
        lambda found: {"symbol", "timestamp", "action_type"} <= found, "symbol, ex_date and action_type"
    ),
    CASH: _Sign(lambda found: {"flow_type", "amount"} <= found, "flow_type and amount"),
}

_WEAK_CLOSES = {squeezed(word) for word in ("last", "last_price", "price")}
"""Names that mean a close only beside open, high and low."""

_CONTRACTS = {
    squeezed(word): word
    for word in [
        "strike",
        "strike_price",
        "expiration",
        "expiration_date",
        "expiry",
        "option_type",
        "put_call",
        "series",
        "level",
    ]
}
_SIDES = {squeezed(word) for word in ["side", "buy_sell", "action", "transaction_type", "trade_type"]}
_OWN = {
    squeezed(word): word
    for word in [
        "commission",
        "comm",
        "comm_fee",
        "fees_comm",
        "ib_commission",
        "ibcommission",
        "fee",
        "fees",
        "status",
        "order_id",
        "orderid",
        "client_order_id",
        "exec_id",
        "execution_id",
        "account",
        "account_id",
        "account_number",
        "client_account_id",
        "realized_pl",
        "realized_pnl",
        "proceeds",
        "total_amount",
        "amount_usd",
        "executed",
        "filled",
    ]
}
_CHARGES = {squeezed(word) for word in ["commission", "comm", "comm_fee", "fees_comm", "ib_commission"]}
"""What no print of the market has, so that it needs no side beside it."""
_EXECUTIONS = {
    squeezed(word)
    for word in [
        *("commission", "comm", "comm_fee", "fees_comm", "ib_commission", "fee", "fees", "exec_id"),
        *("execution_id", "fill_id", "account", "account_id", "account_number", "client_account_id", "realized_pl"),
        *("realized_pnl", "proceeds", "fill_price", "net_amount", "net_cash"),
    ]
}
"""What an execution of one's own order has, and no print of the market."""
_EX_DATES = {squeezed(word) for word in ["ex_date", "ex_dividend_date"]}
_PRICED = {squeezed(word) for word in ["price", "bid", "ask", "open", "close", "quantity", "qty", "size", "shares"]}
"""What a row has that is more than cash."""
_BOOK = re.compile(
    r"(bids?|asks?)\[\d+\]\W?(price|amount|size|px)|(bid|ask)_?(price|px|size|sz|amount)_?0?[1-9]\d?|is_snapshot",
    re.IGNORECASE,
)


def listed(names: Sequence[str]) -> str:
    """Return names as text for a message."""
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "") if any(names) else "(none)"


def shown_kind(kind: Kind) -> str:
    """Return the description of the evidence for *kind*."""
    return _SIGNS[kind].words


def kind_by_columns(
    names: Sequence[str],
    source: str,
    *,
    said: Kind | None,
    has_interval: bool,
    mapped: frozenset[str],
) -> Kind:
    """Return the kind of the rows of a file whose columns are *names*.

    :param said: the kind given by the user; the columns may contradict it.
    :param names: the names of the columns to use; the others are empty.
    :param mapped: fields for which the user or a format gives the column.
    :raises DataError: if the kind cannot be detected, or the rows do not match any kind.
    """
    keys = set(map(squeezed, names))
    _refuse_others(names, keys, source, asked="symbol" not in mapped)
    found = {kind: set(fields_of(kind, names)) | set(mapped) for kind in KINDS.values()}
    if said is not None:
        _check_said(said, found[said], names, source)
        return said
    fit = _fitting(found, keys, mapped, has_interval=has_interval)
    if not any(kind in fit for kind in _PORTFOLIO if kind is not FILLS):
        _refuse_book_events(keys, source)
    if not any(kind in fit for kind in _PORTFOLIO):
        _refuse_own(keys, source)
    if len(fit) == 1:
        return fit[0]
    raise _undecided(fit, names, source)


def _check_said(said: Kind, found: set[str], names: Sequence[str], source: str) -> None:
    """Raise DataError if the columns lack what the kind given by the user needs; an interval can be given as well."""
    if not _SIGNS[said].test(found | ({"interval"} if said is BARS else set())):
        raise DataError(
            f"{source}: {said.name} need {_SIGNS[said].words}; the file has {listed(names)}",
            hint=f"give the column with --column {_example(said)}=NAME",
            source=source,
        )


def _fitting(
    found: Mapping[Kind, set[str]], keys: set[str], mapped: frozenset[str], *, has_interval: bool
) -> list[Kind]:
    """Return the kinds that rows may be of.

    :param found: the fields of each kind that the columns have.
    :param keys: the squeezed names of the columns.
    """
    bars = found[BARS]
    fields = {**found, BARS: bars | {"interval"}} if has_interval else found
    fit = [kind for kind, sign in _SIGNS.items() if sign.test(fields[kind]) and _is_plain(kind, keys, mapped)]
    named = keys & {"close", "c", "closeprice", "closelast"}
    if BARS in fit and not bars & _OHL and not bars & mapped and not named:
        fit.remove(BARS)
    # Portfolio records may have prices and quantities, but market records have no order, holding or total.
    fit = [kind for kind in fit if kind in _PORTFOLIO] or fit
    if FILLS in fit and len(fit) > 1:  # an order has a status, a holding a value, and both may have a side and a price
        fit.remove(FILLS)
    if bars >= _OHL | {"close"} and BARS in fit:  # a row with a high and a low is not a single trade
        fit = [kind for kind in fit if kind is not TRADES]
    return fit


def _undecided(fit: Sequence[Kind], names: Sequence[str], source: str) -> DataError:
    """Return the error for columns of no kind, or of several ones."""
    if names and all(name == str(place) for place, name in enumerate(names)):
        return DataError(
            f"{source}: the rows are lists of {len(names)} values without names",
            hint="name them with --names timestamp,open,..., or give the format with --as (`fpa formats` lists them)",
            source=source,
        )
    needs = "; ".join(f"{kind.name}: {sign.words}" for kind, sign in _SIGNS.items() if not fit or kind in fit)
    what = f"could be {' or '.join(kind.name for kind in fit)}" if fit else "do not match any kind of record"
    choices = "|".join(kind.name for kind in fit or KINDS.values())
    hint = (
        f"choose one with --kind {choices}"
        if fit
        else _guess(names) or f"give the kind and the columns: --kind {choices} --column FIELD=NAME"
    )
    return DataError(
        f"{source}: the columns {listed(names)} {what}; each kind needs: {needs}", hint=hint, source=source
    )


def _is_plain(kind: Kind, keys: set[str], mapped: frozenset[str]) -> bool:
    """Return whether columns show more than the fields of *kind*, which rows of another kind may have, too."""
    if kind is FILLS:
        own = {"fee", "account", "fill_id"}
        return bool(keys & _EXECUTIONS or mapped & own) and "status" not in keys
    if kind is CORPORATE_ACTIONS:
        return bool(keys & _EX_DATES) or "actiontype" in keys
    return kind is not CASH or not (keys & (_PRICED | _EX_DATES) or {"price", "quantity"} & mapped)


def _example(kind: Kind) -> str:
    return {
        QUOTES: "bid",
        TRADES: "price",
        BARS: "close",
        ORDERS: "order_id",
        POSITIONS: "quantity",
        SNAPSHOTS: "total_value",
        FILLS: "side",
        CORPORATE_ACTIONS: "action_type",
        CASH: "flow_type",
    }[kind]


def _refuse_others(names: Sequence[str], keys: set[str], source: str, *, asked: bool) -> None:
    """Reject tables whose rows do not match any kind."""
    levels = [name for name in names if _BOOK.fullmatch(name)]
    if levels:
        raise DataError(
            f"{source}: the columns {listed(levels)} are levels of an order book; only the best bid and ask can be stored",
            hint="to read the first level as quotes, use --column bid=NAME --column ask=NAME, with --ignore for the others",
            source=source,
        )
    contracts = [word for key, word in _CONTRACTS.items() if key in keys]
    if contracts and asked:
        raise DataError(
            f"{source}: with the columns {listed(contracts)} one symbol has many securities, and their rows would be mixed into one series",
            hint="use a column that identifies each security: --column symbol=NAME; if one alone is in the file, --ignore "
            + ",".join(contracts),
            source=source,
        )


def _refuse_book_events(keys: set[str], source: str) -> None:
    """Reject events of an order book, which have prices, sides and order ids."""
    if "orderid" in keys and keys & {"action", "sequence"} and not keys & _CHARGES:
        raise DataError(
            f"{source}: order_id beside {'action' if 'action' in keys else 'sequence'} means events of an order book, which are not supported",
            source=source,
        )
    if {"action", "side"} <= keys:
        raise DataError(
            f"{source}: action beside side means events of an order book, or of your own transactions; neither are market trades",
            hint="if these are market trades nevertheless, use --ignore action",
            source=source,
        )


def _refuse_own(keys: set[str], source: str) -> None:
    """Reject the user's own orders and executions, which are not market trades."""
    told = [word for key, word in _OWN.items() if key in keys]
    if told and (keys & _SIDES or keys & _CHARGES):
        raise DataError(
            f"{source}: columns such as {listed([*(['side'] if keys & _SIDES else []), *told])} indicate your own orders or fills (executions), which are not market trades",
            hint="orders need the columns order_id and status, fills side, price and quantity. "
            f"If these are market trades nevertheless, use --kind trades --ignore {','.join(told)}",
            source=source,
        )


def _guess(names: Sequence[str]) -> str | None:
    telling = [
        "bid",
        "ask",
        "price",
        "size",
        "close",
        "order_id",
        "status",
        "market_value",
        "cost_basis",
        "total_value",
    ]
    known = {squeezed(word) for kind in KINDS.values() for words in synonyms(kind).values() for word in words}
    guesses = [
        f"{near[0]!r} for {name!r}"
        for name in names
        if squeezed(name) not in known and (near := difflib.get_close_matches(name.lower(), telling, n=1, cutoff=0.8))
    ]
    return f"did you mean {', '.join(guesses)}?" if guesses else None
