"""Queries from what callers ask for: the options of ``select`` and the conditions of the quarantine, checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict, TypeVar

from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind, kind_of
from fpa_core.numbers import to_ns
from fpa_core.patterns import name_of
from fpa_core.protocols import QuarantineQuery, Query, State

__all__ = [
    "ColumnConditions",
    "QuarantineConditions",
    "SelectOptions",
    "as_texts",
    "check_columns",
    "make_query",
    "quarantine_query",
]

T = TypeVar("T")


class ColumnConditions(TypedDict, total=False):
    """The columns of all kinds, and the value each must have; None selects rows in which it is missing."""

    account: str
    action_type: str
    amount: Any
    ask: Any
    ask_exchange: str | None
    ask_size: Any
    asset_class: str | None
    average_fill_price: Any
    avg_entry_price: Any
    basis_fraction: Any
    bid: Any
    bid_exchange: str | None
    bid_size: Any
    buying_power: Any
    cash: Any
    client_order_id: str | None
    close: Any
    conditions: str | None
    cost_basis: Any
    currency: str
    current_price: Any
    day_pnl: Any
    exchange: str | None
    fee: Any
    fee_currency: str | None
    fill_id: str
    filled_quantity: Any
    flow_type: str
    high: Any
    interval: str
    limit_price: Any
    liquidity: str | None
    low: Any
    market_value: Any
    multiplier: Any
    new_rate: Any
    new_symbol: str | None
    notional: Any
    old_rate: Any
    open: Any
    order_id: str | None
    order_type: str
    payable_date: Any
    price: Any
    quantity: Any
    record_date: Any
    reference: str | None
    side: str | None
    side_raw: str | None
    size: Any
    status: str
    status_raw: str | None
    stop_price: Any
    time_in_force: str
    timestamp: Any
    total_pnl: Any
    total_value: Any
    trade_count: int | None
    trade_id: str | None
    trail_percent: Any
    trail_price: Any
    transaction_id: str
    type_raw: str | None
    unrealized_pnl: Any
    updated_at: Any
    volume: Any
    vwap: Any


class SelectOptions(ColumnConditions, total=False):
    """The keyword parameters of :meth:`fpa_core.store.DataStore.select`, which documents them."""

    start: Any
    end: Any
    as_known_at: Any
    batch: int | None
    origin: str | Sequence[str] | None
    limit: int | None
    latest_first: bool
    columns: Sequence[str] | None
    order: str
    adjust: str | None
    max_age: Any


class QuarantineConditions(TypedDict, total=False):
    """The conditions of rejected records, as :func:`quarantine_query` documents them."""

    id: int | Iterable[int] | None
    batch: int | None
    kind: Kind | str | None
    symbol: str | Sequence[str] | None
    rule: str | Sequence[str] | None
    origin: str | Sequence[str] | None
    state: str | Sequence[str] | None
    changed_by: int | None
    limit: int | None


def make_query(
    what: Kind | str | type[Any],
    symbol: str | Sequence[str] | None = None,
    *,
    start: Any = None,
    end: Any = None,
    as_known_at: Any = None,
    batch: int | None = None,
    origin: str | Sequence[str] | None = None,
    limit: int | None = None,
    latest_first: bool = False,
    **equal: Any,
) -> Query:
    """Return the query of the parameters of :meth:`fpa_core.store.DataStore.select`.

    :raises DataError: for a time without a zone, an unknown column, a negative limit, or an invalid pattern.
    """
    kind = kind_of(what)
    named = {one: name_of(one) for one in as_texts(symbol, "symbol") or ()}
    origins = as_texts(origin, "origin")
    for pattern in origins or ():
        name_of(pattern)  # raises for an invalid pattern
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise DataError(f"limit: a whole number from 0 is needed, not {limit!r}", field="limit", value=limit)
    conditions = {}
    for name, value in equal.items():
        column = kind.by_name.get(name) or kind.by_field.get(name)
        if column is None:
            raise DataError(
                f"{kind.name} have no column {name!r}", hint=f"columns: {', '.join(kind.by_name)}", field=name
            )
        try:
            # A query may be about any time, so an integer is taken as nanoseconds, however small.
            convert = to_ns if column.type == "time" else column.convert
            conditions[column.field] = None if value is None else convert(value)
        except DataError as error:
            problem = error.message.split(": ", 1)[-1]
            raise DataError(f"{name}: {problem}", hint=error.hint, field=name, value=value) from None

    def instant(value: Any, name: str) -> int | None:
        return None if value is None else to_ns(value, name, dates=True)

    return Query(
        kind,
        None if symbol is None else tuple(dict.fromkeys(name for name in named.values() if name is not None)),
        instant(start, "start"),
        instant(end, "end"),
        conditions,
        batch,
        instant(as_known_at, "as_known_at"),
        limit,
        latest_first,
        patterns=tuple(one for one, name in named.items() if name is None),
        origins=origins,
    )


def check_columns(kind: Kind, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the columns asked for, each once; None for all.

    :raises DataError: for a column that *kind* does not have, or if there are none.
    """
    if names is None:
        return None
    found = tuple(dict.fromkeys(as_texts(names, "columns") or ()))
    unknown = [name for name in found if name not in kind.by_name]
    if unknown or not found:
        problem = f"{kind.name} have no column {unknown[0]!r}" if unknown else "columns: at least one is needed"
        raise DataError(problem, hint=f"columns: {', '.join(kind.by_name)}", field="columns", value=names)
    return found


def quarantine_query(
    *,
    id: int | Iterable[int] | None = None,  # noqa: A002  # the name of the column
    batch: int | None = None,
    kind: Kind | str | None = None,
    symbol: str | Sequence[str] | None = None,
    rule: str | Sequence[str] | None = None,
    origin: str | Sequence[str] | None = None,
    state: str | Sequence[str] | None = None,
    changed_by: int | None = None,
    limit: int | None = None,
) -> QuarantineQuery:
    """Return a query for rejected records; every condition given must hold.

    :param id: one id, or several.
    :param batch: the batch that rejected them; *changed_by* the batch that set their state.
    :param symbol: one pattern, or several (see :mod:`fpa_core.patterns`); so are *rule*, a rule they broke, and *origin*, that of
        their batch.
    :param state: one or several of :class:`~fpa_core.protocols.State`.
    :raises DataError: for an unknown kind or state, or an invalid pattern.
    """
    states = as_texts(state, "state")
    if unknown := [each for each in states or () if each not in set(State)]:
        raise DataError(f"state: {unknown[0]!r} is none of: {', '.join(State)}", field="state", value=unknown[0])
    patterns = [as_texts(symbol, "symbol"), as_texts(rule, "rule"), as_texts(origin, "origin")]
    for pattern in itertools.chain.from_iterable(each or () for each in patterns):
        name_of(pattern)  # raises for an invalid pattern
    return QuarantineQuery(
        batch=batch,
        ids=None if id is None else tuple(id) if isinstance(id, Iterable) else (id,),
        kind=None if kind is None else kind_of(kind).name,
        symbols=patterns[0],
        rules=patterns[1],
        origins=patterns[2],
        states=states,
        changed_by=changed_by,
        limit=limit,
    )


def as_texts(texts: str | Sequence[str] | None, field: str) -> tuple[str, ...] | None:
    """Return one text or several as a tuple; None as it is.

    :raises DataError: for anything else.
    """
    if texts is None or isinstance(texts, str):
        return None if texts is None else (texts,)
    found: tuple[Any, ...] = (texts,)
    if isinstance(texts, Iterable) and not isinstance(texts, (bytes, type)):
        found = tuple(texts)
    for one in found:
        if not isinstance(one, str):
            raise DataError(f"{field}: a text is needed, or several, not {one!r}", field=field, value=one)
    return found
