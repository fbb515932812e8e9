"""From the names of a file's columns to the kind of its records and the place of each field.

Names are compared without regard to case, blanks, dashes and underscores: ``Bid Price``, ``bid_price`` and ``bidPrice`` are one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import NOTHING, fields, frozen

from fpa_core.exceptions import DataError
from fpa_core.protocols import SourceRequest
from fpa_core.records import BARS, KINDS, ORDERS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, Column, Kind

__all__ = ["Layout", "layout_of"]

_TIME = "ts time datetime date t"
_SYMBOL = "sym ticker instrument s"
_SYNONYMS: dict[Kind, dict[str, str]] = {
    QUOTES: {
        "symbol": _SYMBOL,
        "timestamp": _TIME,
        "bid": "bid_price bp",
        "ask": "ask_price ap offer offer_price",
        "bid_size": "bs bid_qty bid_quantity bid_volume",
        "ask_size": "as ask_qty ask_quantity ask_volume offer_size",
        "bid_exchange": "bx",
        "ask_exchange": "ax",
        "conditions": "condition cond c",
    },
    TRADES: {
        "symbol": _SYMBOL,
        "timestamp": _TIME,
        "price": "px p last last_price trade_price",
        "size": "qty quantity volume amount last_size trade_size q v",
        "conditions": "condition cond c",
        "exchange": "venue ex x",
        "trade_id": "id i",
    },
    BARS: {
        "symbol": _SYMBOL,
        "timestamp": _TIME,
        "open": "o open_price",
        "high": "h high_price",
        "low": "l low_price",
        "close": "c close_price",
        "volume": "v vol",
        "interval": "timeframe resolution bar_size",
        "vwap": "vw",
        "trade_count": "n trades",
    },
    ORDERS: {
        "order_id": "id",
        "symbol": _SYMBOL,
        "timestamp": f"{_TIME} submitted_at created_at",
        "quantity": "qty",
        "order_type": "type",
        "filled_quantity": "filled_qty",
        "average_fill_price": "avg_fill_price filled_avg_price",
        "time_in_force": "tif",
    },
    POSITIONS: {
        "symbol": _SYMBOL,
        "timestamp": _TIME,
        "quantity": "qty shares",
        "unrealized_pnl": "unrealized_pl",
        "avg_entry_price": "average_entry_price avg_price",
        "account": "account_id",
    },
    SNAPSHOTS: {
        "timestamp": _TIME,
        "total_value": "equity portfolio_value",
        "account": "account_id",
    },
}
"""What else a field is called, by kind. Its own name and its name in the database always count."""

_PRICES_OF_A_BAR = {"open", "high", "low", "interval"}


@frozen
class _Sign:
    """What tells a kind: the test of the fields found, and the same in words."""

    test: Callable[[set[str]], bool]
    words: str


_SIGNS: dict[Kind, _Sign] = {
    QUOTES: _Sign(lambda found: bool(found & {"bid", "ask"}), "bid or ask"),
    TRADES: _Sign(lambda found: {"price", "size"} <= found, "price and size"),
    BARS: _Sign(
        lambda found: "close" in found and bool(found & _PRICES_OF_A_BAR), "close, and open, high, low or interval"
    ),
    ORDERS: _Sign(lambda found: {"order_id", "status"} <= found, "order_id and status"),
    POSITIONS: _Sign(
        lambda found: "quantity" in found and bool(found & {"market_value", "cost_basis"}),
        "quantity, and market_value or cost_basis",
    ),
    SNAPSHOTS: _Sign(lambda found: "total_value" in found, "total_value"),
}

_HINTS = {
    "symbol": "if they are all of one symbol, name it with --symbol",
    "interval": "if they are all of one interval, name it with --interval",
}


@frozen
class Layout:
    """Where the fields of a kind are in a file.

    :ivar places: the index of the file's column, by public name of the field.
    :ivar needed: fields that no record is without, by public name.
    :ivar fills: what stands in for a missing value, by public name.
    :ivar ignored: the file's columns that are no field of the kind.
    """

    kind: Kind
    places: Mapping[str, int]
    needed: frozenset[str]
    fills: Mapping[str, object]
    ignored: tuple[str, ...]


def layout_of(names: Sequence[str], request: SourceRequest, source: str) -> Layout:
    """Return the layout of a file whose columns are *names*.

    :raises DataError: when the kind cannot be told, two columns are one field, or one that is needed is missing.
    """
    kind = request.kind or _kind_of(names, request, source)
    places = _places(kind, names)
    chosen: dict[str, int] = {}
    for index, name in places.items():
        if name in chosen:
            raise DataError(
                f"{source}: the columns {names[chosen[name]]!r} and {names[index]!r} are both {kind.singular}.{name}",
                hint="rename or drop one of them",
                source=source,
            )
        chosen[name] = index
    # A time that is stamped when a record is stored has a default, so it is not needed here.
    needed = frozenset(column.name for column in kind.columns if column.required and _default(kind, column) is NOTHING)
    fills = _fills(kind, request, source)
    for name in (column.name for column in kind.columns):
        if name in needed and name not in chosen and name not in fills:
            raise DataError(
                f"{source}: {kind.name} need a column {name!r}; the file has {_listed(names)}",
                hint=_HINTS.get(name) or _nearest(name, names),
                field=f"{kind.singular}.{name}",
                source=source,
            )
    ignored = tuple(name or "(no name)" for index, name in enumerate(names) if index not in places)
    return Layout(kind, chosen, needed, fills, ignored)


def _default(kind: Kind, column: Column) -> object:
    return getattr(fields(kind.record), column.field).default


def _fills(kind: Kind, request: SourceRequest, source: str) -> dict[str, object]:
    given = {"symbol": request.symbol, "interval": request.interval, "account": request.account}
    fills: dict[str, object] = {}
    for column in kind.columns:
        value = given.get(column.name)
        if value is not None:
            try:
                fills[column.name] = column.convert(value)
            except DataError as error:
                problem = error.message.split(": ", 1)[-1]
                raise DataError(
                    f"{source}: the {column.name} asked for: {problem}", hint=error.hint, source=source
                ) from None
        elif (default := _default(kind, column)) not in (NOTHING, None):
            fills[column.name] = default
    return fills


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _vocabulary(kind: Kind) -> dict[str, str]:
    words = {_squeezed(word): name for name, more in _SYNONYMS[kind].items() for word in more.split()}
    for column in kind.columns:  # last, so that no synonym takes a field's own name
        words[_squeezed(column.field)] = words[_squeezed(column.name)] = column.name
    return words


_VOCABULARIES = {kind: _vocabulary(kind) for kind in KINDS.values()}


def _places(kind: Kind, names: Sequence[str]) -> dict[int, str]:
    """Return the field of each column that has one, by the column's index."""
    words = _VOCABULARIES[kind]
    return {index: words[key] for index, name in enumerate(names) if (key := _squeezed(name)) in words}


def _kind_of(names: Sequence[str], request: SourceRequest, source: str) -> Kind:
    extra = {"interval"} if request.interval else set()
    found = {kind: set(_places(kind, names).values()) for kind in KINDS.values()}
    fit = [kind for kind, sign in _SIGNS.items() if sign.test(found[kind] | (extra if kind is BARS else set()))]
    # A portfolio's record may well carry prices and quantities; a market's carries no order, holding or total.
    fit = [kind for kind in fit if kind in (ORDERS, POSITIONS, SNAPSHOTS)] or fit
    if "orderid" in map(_squeezed, names):  # events of an order book have prices and sizes, and are no trades
        fit = [kind for kind in fit if kind is ORDERS]
    if len(fit) == 1:
        return fit[0]
    needs = "; ".join(f"{kind.name}: {sign.words}" for kind, sign in _SIGNS.items())
    what = f"could be {' or '.join(kind.name for kind in fit)}" if fit else "are of no kind of record"
    choices = "|".join(kind.name for kind in fit or KINDS.values())
    raise DataError(
        f"{source}: the columns {_listed(names)} {what}; what tells a kind is {needs}",
        hint=f"say which with --kind {choices}" if fit else _guess(names) or f"rename columns, or say --kind {choices}",
        source=source,
    )


def _guess(names: Sequence[str]) -> str | None:
    telling = (
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
    )
    known = {word for words in _VOCABULARIES.values() for word in words}
    guesses = [
        f"{near[0]!r} for {name!r}"
        for name in names
        if _squeezed(name) not in known and (near := difflib.get_close_matches(name.lower(), telling, n=1, cutoff=0.7))
    ]
    return f"did you mean {', '.join(guesses)}?" if guesses else None


def _nearest(name: str, names: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, [each.lower() for each in names], n=1)
    return f"did you mean it by {near[0]!r}?" if near else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (", …" if len(names) > 40 else "") if any(names) else "(none)"
