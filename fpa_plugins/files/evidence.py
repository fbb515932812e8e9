"""What a file's columns tell of the kind of its rows, and which tables look like records of a market and are none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, KINDS, ORDERS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, Kind
from fpa_plugins.files.vocabulary import fields_of, squeezed, synonyms

__all__ = ["kind_by_columns", "listed", "shown_kind"]

_OHL = {"open", "high", "low"}
_PORTFOLIO = (ORDERS, POSITIONS, SNAPSHOTS)


@frozen
class _Sign:
    """What tells a kind: the test of the fields found, and the same in words."""

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
_BOOK = re.compile(
    r"(bids?|asks?)\[\d+\]\W?(price|amount|size|px)|(bid|ask)_?(price|px|size|sz|amount)_?0?[1-9]\d?|is_snapshot",
    re.IGNORECASE,
)


def listed(names: Sequence[str]) -> str:
    """Return names as a message shows them."""
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "") if any(names) else "(none)"


def shown_kind(kind: Kind) -> str:
    """Return what tells *kind*, in words."""
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

    :param said: the kind as the user says it, which the columns may contradict.
    :param names: those that are to be looked at; others are empty.
    :param mapped: fields for which the user or a format names the column.
    :raises DataError: when it cannot be told, or the rows are none of the kinds there are.
    """
    keys = set(map(squeezed, names))
    _refuse_others(names, keys, source, asked="symbol" not in mapped)
    found = {kind: set(fields_of(kind, names)) | set(mapped) for kind in KINDS.values()}
    extra = {"interval"} if has_interval else set()
    if said is not None:
        if not _SIGNS[said].test(found[said] | (extra | {"interval"} if said is BARS else set())):
            raise DataError(
                f"{source}: {said.name} need {_SIGNS[said].words}; the file has {listed(names)}",
                hint=f"say which column it is with --column {_example(said)}=NAME",
                source=source,
            )
        return said
    fit = [kind for kind, sign in _SIGNS.items() if sign.test(found[kind] | (extra if kind is BARS else set()))]
    bars = found[BARS]
    if (
        BARS in fit
        and not bars & _OHL
        and not (bars & mapped)
        and not keys & ({"close", "c", "closeprice", "closelast"})
    ):
        fit.remove(BARS)
    # A portfolio's record may well carry prices and quantities; a market's carries no order, holding or total.
    fit = [kind for kind in fit if kind in _PORTFOLIO] or fit
    if bars >= _OHL | {"close"} and BARS in fit:  # what has a high and a low is no single print
        fit = [kind for kind in fit if kind is not TRADES]
    if not any(kind in fit for kind in _PORTFOLIO):
        _refuse_own(keys, source)
    if len(fit) == 1:
        return fit[0]
    if names and all(name == str(place) for place, name in enumerate(names)):
        raise DataError(
            f"{source}: the rows are lists of {len(names)} values without names",
            hint="name them with --names timestamp,open,..., or say the format with --as (`fpa formats` lists them)",
            source=source,
        )
    needs = "; ".join(f"{kind.name}: {sign.words}" for kind, sign in _SIGNS.items() if not fit or kind in fit)
    what = f"could be {' or '.join(kind.name for kind in fit)}" if fit else "are of no kind of record"
    choices = "|".join(kind.name for kind in fit or KINDS.values())
    hint = (
        f"say which with --kind {choices}"
        if fit
        else _guess(names) or f"say which columns are which: --kind {choices} --column FIELD=NAME"
    )
    raise DataError(
        f"{source}: the columns {listed(names)} {what}; what tells a kind is {needs}", hint=hint, source=source
    )


def _example(kind: Kind) -> str:
    return {
        QUOTES: "bid",
        TRADES: "price",
        BARS: "close",
        ORDERS: "order_id",
        POSITIONS: "quantity",
        SNAPSHOTS: "total_value",
    }[kind]


def _refuse_others(names: Sequence[str], keys: set[str], source: str, *, asked: bool) -> None:
    """Refuse tables of other things than the kinds there are."""
    levels = [name for name in names if _BOOK.fullmatch(name)]
    if levels:
        raise DataError(
            f"{source}: the columns {listed(levels)} are levels of an order book, of which no kind of record keeps more than the best bid and ask",
            hint="if the first level is wanted as quotes, say so: --column bid=NAME --column ask=NAME, with --ignore for the others",
            source=source,
        )
    contracts = [word for key, word in _CONTRACTS.items() if key in keys]
    if contracts and asked:
        raise DataError(
            f"{source}: with the columns {listed(contracts)} a symbol stands for many securities, and their rows would be taken for one series",
            hint="name each security with a column of its own, --column symbol=NAME; if one alone is in the file, --ignore "
            + ",".join(contracts),
            source=source,
        )


def _refuse_own(keys: set[str], source: str) -> None:
    """Refuse orders and executions of the user's own, which are no prints of the market."""
    if "orderid" in keys and keys & {"action", "sequence"}:
        raise DataError(
            f"{source}: order_id beside {'action' if 'action' in keys else 'sequence'} means events of an order book, which are not supported",
            source=source,
        )
    if {"action", "side"} <= keys:
        raise DataError(
            f"{source}: action beside side means events of an order book, or of your own transactions; neither are trades of the market",
            hint="if these are prints of the market all the same: --ignore action",
            source=source,
        )
    told = [word for key, word in _OWN.items() if key in keys]
    if told and (keys & _SIDES or keys & _CHARGES):
        raise DataError(
            f"{source}: columns such as {listed([*(['side'] if keys & _SIDES else []), *told])} tell of your own orders or fills (executions), which are no trades of the market",
            hint="orders need the columns order_id and status; fills have no kind of record yet. "
            f"If these are prints of the market all the same: --kind trades --ignore {','.join(told)}",
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
