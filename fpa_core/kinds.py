"""The one table definition per record kind: derived from the record classes, used by every backend, file format and command.

A :class:`Kind` knows its columns and what identifies a row. Nothing else in the project lists the fields of a record. How records become
Arrow tables and come back is told in :mod:`fpa_core.arrow.conversion`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from attrs import fields, frozen

from fpa_core import models
from fpa_core.exceptions import DataError
from fpa_core.models import Record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BARS",
    "CASH",
    "CORPORATE_ACTIONS",
    "FILLS",
    "KINDS",
    "ORDERS",
    "POSITIONS",
    "QUOTES",
    "SNAPSHOTS",
    "TRADES",
    "Column",
    "Kind",
    "kind_of",
]

ColumnType: TypeAlias = Literal["text", "decimal", "time", "integer"]
"""How a column's values are kept: text; exact decimals; nanoseconds since 1970; 64-bit integers."""


@frozen
class Column:
    """One column of a record kind.

    ``name`` is what files, Arrow tables, JSON and constructors call it; ``field`` is the record's attribute and the database's column (they
    differ for times: ``timestamp`` and ``ts_ns``). A required column has no null in the store; a stamped one may be missing in a record and
    is set when the record is stored. ``convert`` returns what the record holds for what is given, without regard to its other fields.
    """

    name: str
    field: str
    type: ColumnType
    required: bool
    convert: Callable[[Any], Any]

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type; a decimal column's scale varies with its data, so this one's stands for all (see :mod:`fpa_core.arrow.columns`)."""
        import pyarrow as pa

        types_ = {
            "text": pa.string(),
            "decimal": pa.decimal128(38, 18),
            "time": pa.timestamp("ns", "UTC"),
            "integer": pa.int64(),
        }
        return types_[self.type]


@frozen(eq=False)
class Kind:
    """A record kind.

    :ivar name: plural, as in file names, tables and commands.
    :ivar record: the class.
    :ivar subject: the column one asks by first: the symbol, or the account of a snapshot.
    :ivar key: the fields that identify a row. For a multiset they only order it: equal keys, and equal rows, may occur many times.
    :ivar multiset: whether rows are counted (quotes, trades) or replaced by later versions (the rest).
    :ivar venue_id: the fields that make a row of a multiset unique after all, wherever the last of them is present.
    :ivar returns: whether a version that was replaced may come back by arriving again (the state of an account), instead of being taken
        for a redelivery (data from a file or feed).
    :ivar made_id: the field of the key that is made when a record is stored without it (see :mod:`fpa_core.identity`).
    :ivar version: the field that tells a later version from an earlier one, where arrival does not.
    """

    name: str
    record: type[Any]
    columns: tuple[Column, ...]
    subject: str
    key: tuple[str, ...]
    multiset: bool
    venue_id: tuple[str, ...]
    version: str | None
    returns: bool = False
    made_id: str | None = None

    def __repr__(self) -> str:
        return f"<Kind {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the name: in another process it is that process's own kind."""
        return kind_of, (self.name,)

    @property
    def singular(self) -> str:
        """The name for one record."""
        return self.name.removesuffix("s")

    @functools.cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by public name."""
        return {column.name: column for column in self.columns}

    @functools.cached_property
    def by_field(self) -> dict[str, Column]:
        """The columns by attribute."""
        return {column.field: column for column in self.columns}


def _column(attribute: Any, hint: Any, key: tuple[str, ...]) -> Column | None:
    optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    kind = next(iter(set(get_args(hint)) - {type(None)})) if optional else hint
    if get_origin(kind) is tuple:
        return None  # the positions of a snapshot are a kind of their own
    column_type: ColumnType
    if attribute.name.endswith("_ns"):
        column_type = "time"
    elif kind is Decimal:
        column_type = "decimal"
    elif kind is int:
        column_type = "integer"
    else:
        assert issubclass(kind, str | StrEnum), f"{attribute.name}: no column type for {kind}"
        column_type = "text"
    required = not optional or attribute.name in key or attribute.name in ("ts_ns", "updated_ns")
    convert = attribute.metadata.get("convert", attribute.converter)
    return Column(attribute.alias, attribute.name, column_type, required, convert)


def _kind(
    name: str,
    record: type[Any],
    key: tuple[str, ...],
    *,
    subject: str = "symbol",
    multiset: bool = False,
    venue_id: tuple[str, ...] = (),
    version: str | None = None,
    returns: bool = False,
    made_id: str | None = None,
) -> Kind:
    hints = get_type_hints(record)
    columns = [_column(attribute, hints[attribute.name], key) for attribute in fields(record)]
    kept = tuple(column for column in columns if column)
    return Kind(name, record, kept, subject, key, multiset, venue_id, version, returns, made_id)


QUOTES = _kind("quotes", models.Quote, ("symbol", "ts_ns"), multiset=True)
TRADES = _kind("trades", models.Trade, ("symbol", "ts_ns"), multiset=True, venue_id=("exchange", "trade_id"))
BARS = _kind("bars", models.Bar, ("symbol", "interval", "ts_ns"))
ORDERS = _kind("orders", models.Order, ("order_id", "account"), version="updated_ns")
POSITIONS = _kind("positions", models.Position, ("symbol", "account", "ts_ns"), returns=True)
SNAPSHOTS = _kind("snapshots", models.PortfolioSnapshot, ("account", "ts_ns"), subject="account", returns=True)
FILLS = _kind("fills", models.Fill, ("fill_id", "account"), made_id="fill_id")
CORPORATE_ACTIONS = _kind("corporate_actions", models.CorporateAction, ("symbol", "action_type", "ts_ns"))
CASH = _kind("cash", models.CashFlow, ("transaction_id", "account"), subject="account", made_id="transaction_id")

KINDS = {
    kind.name: kind for kind in (QUOTES, TRADES, BARS, ORDERS, POSITIONS, SNAPSHOTS, FILLS, CORPORATE_ACTIONS, CASH)
}
"""All kinds by name."""

_LOOKUP: dict[Any, Kind] = {key: kind for kind in KINDS.values() for key in (kind.name, kind.singular, kind.record)}
_LOOKUP |= {"cash_flow": CASH, "cash_flows": CASH}


def kind_of(what: Kind | str | type[Any] | Record) -> Kind:
    """Return the kind of a name (``quotes`` or ``quote``), a record class or a record.

    :raises DataError: when it is none.
    """
    if isinstance(what, Kind):
        return what
    try:
        return _LOOKUP[what if isinstance(what, (str, type)) else type(what)]
    except KeyError:
        shown = repr(what) if isinstance(what, str) else getattr(what, "__name__", type(what).__name__)
        raise DataError(f"unknown kind of record: {shown}", hint=f"kinds: {', '.join(KINDS)}", value=what) from None
