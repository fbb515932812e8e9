"""The one table definition per record kind: derived from the record classes, used by every backend, file format and command.

A :class:`Kind` knows its columns, what identifies a row, and how records become Arrow tables and come back. Nothing else in the project
lists the fields of a record.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import itertools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, field, fields, frozen, make_class

from fpa_core import models
from fpa_core.exceptions import DataError
from fpa_core.models import Record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BARS",
    "KINDS",
    "ORDERS",
    "POSITIONS",
    "QUOTES",
    "SNAPSHOTS",
    "TRADES",
    "Column",
    "Kind",
    "concat",
    "from_table",
    "from_values",
    "kind_of",
    "to_table",
]

ColumnType: TypeAlias = Literal["text", "decimal", "time", "integer"]
"""How a column's values are kept: text; exact decimals; nanoseconds since 1970; 64-bit integers."""


@frozen
class Column:
    """One column of a record kind.

    ``name`` is what files, Arrow tables, JSON and constructors call it; ``field`` is the record's attribute and the database's column (they
    differ for times: ``timestamp`` and ``ts_ns``). A required column has no null in the store; a stamped one may be missing in a record and
    is set when the record is stored.
    """

    name: str
    field: str
    type: ColumnType
    required: bool
    convert: Callable[[Any], Any]

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type; a decimal column's scale varies with its data, so this one's stands for all (see :mod:`fpa_core.columns`)."""
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

    def __repr__(self) -> str:
        return f"<Kind {self.name}>"

    @property
    def singular(self) -> str:
        """The name for one record."""
        return self.name[:-1]

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
    return Column(attribute.alias, attribute.name, column_type, required, attribute.converter)


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
) -> Kind:
    hints = get_type_hints(record)
    columns = [_column(attribute, hints[attribute.name], key) for attribute in fields(record)]
    kept = tuple(column for column in columns if column)
    return Kind(name, record, kept, subject, key, multiset, venue_id, version, returns)


QUOTES = _kind("quotes", models.Quote, ("symbol", "ts_ns"), multiset=True)
TRADES = _kind("trades", models.Trade, ("symbol", "ts_ns"), multiset=True, venue_id=("exchange", "trade_id"))
BARS = _kind("bars", models.Bar, ("symbol", "interval", "ts_ns"))
ORDERS = _kind("orders", models.Order, ("order_id",), version="updated_ns")
POSITIONS = _kind("positions", models.Position, ("symbol", "account", "ts_ns"), returns=True)
SNAPSHOTS = _kind("snapshots", models.PortfolioSnapshot, ("account", "ts_ns"), subject="account", returns=True)

KINDS = {kind.name: kind for kind in (QUOTES, TRADES, BARS, ORDERS, POSITIONS, SNAPSHOTS)}
"""All kinds by name."""

_LOOKUP: dict[Any, Kind] = {key: kind for kind in KINDS.values() for key in (kind.name, kind.singular, kind.record)}


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
        raise DataError(f"{shown} is no kind of record", hint=f"kinds: {', '.join(KINDS)}", value=what) from None


def to_table(kind: Kind, records: Sequence[Any]) -> pa.Table:
    """Return *records*, all of *kind*, as an Arrow table with the kind's columns."""
    import pyarrow as pa

    from fpa_core import columns

    arrays = {}
    for column in kind.columns:
        values = list(map(attrgetter(column.field), records))
        if column.type == "decimal":
            arrays[column.name] = columns.decimal_column(values)
        elif column.type == "time":
            arrays[column.name] = columns.time_column(values)
        else:
            arrays[column.name] = pa.array(values, column.arrow)
    return pa.table(arrays)


def concat(kind: Kind, tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables of *kind* as one, in one piece; decimals take the scale that holds all of them, or else become texts."""
    import pyarrow as pa

    from fpa_core import columns

    if len(tables) == 1:
        return tables[0].combine_chunks()
    arrays = []
    for column in kind.columns:
        parts = [chunk for table in tables for chunk in table.column(column.name).chunks]
        arrays.append(pa.chunked_array(columns.unified(parts) if column.type == "decimal" else parts))
    return pa.table(arrays, names=[column.name for column in kind.columns]).combine_chunks()


def from_table(kind: Kind, table: pa.Table | pa.RecordBatch) -> list[Any]:
    """Return the records of a table with the columns of *kind*; columns that are left out keep their defaults.

    The values are taken as already checked: they came from records.

    :raises DataError: when a column is left out that has no default and cannot be missing.
    """
    from fpa_core import columns

    values: list[Iterable[Any]] = []
    for column in kind.columns:
        if column.name not in table.schema.names:
            values.append(itertools.repeat(_default(kind, column)))
            continue
        array = table.column(column.name)
        if array.null_count == table.num_rows:
            values.append(itertools.repeat(None, table.num_rows))
            continue
        if hasattr(array, "combine_chunks"):
            array = array.combine_chunks()
        if column.type == "decimal":
            values.append(columns.as_decimals(array, columns.scale_of(table.schema.field(column.name))))
        elif column.type == "time":
            ns = columns.times_as_ns(array)
            values.append(ns.to_pylist() if ns.null_count else ns.to_numpy().tolist())  # numpy is several times as fast
        elif column.type == "integer":
            values.append(array.to_pylist())
        else:
            values.append(columns.spread(array, functools.partial(_words, kind, column)))
    return _restore(kind, values)


def from_values(kind: Kind, values: Sequence[Any]) -> Any:
    """Return one record of stored values, a value a column: decimals as canonical texts, times as nanoseconds."""
    draft, converters = _one(kind)
    record = draft(
        *[
            value if value is None or convert is None else convert(value)
            for convert, value in zip(converters, values, strict=True)
        ]
    )
    _set_class(record, kind.record)
    return record


@functools.lru_cache(maxsize=16)
def _one(kind: Kind) -> tuple[Callable[..., Any], list[Callable[[Any], Any] | None]]:
    """Return what makes a draft of the values of all columns, and what each of them goes through before."""
    converters = [
        Decimal
        if column.type == "decimal"
        else column.convert
        if column.type == "text" and _is_word(kind, column)
        else None
        for column in kind.columns
    ]
    return _draft(kind), converters


def _words(kind: Kind, column: Column, texts: pa.Array) -> list[Any]:
    """Return texts as a record has them: words such as "buy" are enumerations there."""
    words: list[Any] = texts.to_pylist()
    return [column.convert(word) for word in words] if _is_word(kind, column) else words


def _default(kind: Kind, column: Column) -> Any:
    default = getattr(fields(kind.record), column.field).default
    if default is not NOTHING:
        return default
    if column.required:
        raise DataError(
            f"{kind.name}: the column {column.name} is not there",
            hint=f"there must be: {', '.join(each.name for each in kind.columns if each.required)}",
            field=f"{kind.record.__name__}.{column.name}",
        )
    return None


@functools.lru_cache(maxsize=256)
def _is_word(kind: Kind, column: Column) -> bool:
    hint = get_type_hints(kind.record)[column.field]
    return any(isinstance(option, type) and issubclass(option, StrEnum) for option in (*get_args(hint), hint))


def _restore(kind: Kind, values: list[Iterable[Any]]) -> list[Any]:
    """Build records from columns of checked values, past the converters."""
    with _no_garbage_collection():
        records: list[Any] = list(map(_draft(kind), *values))
        collections.deque(map(_set_class, records, itertools.repeat(kind.record)), maxlen=0)  # a loop at the speed of C
    return records


_set_class = object.__dict__["__class__"].__set__


@functools.lru_cache(maxsize=16)
def _draft(kind: Kind) -> type[Any]:
    """Return a class of the layout of the records that is not frozen: what it makes can become records, at half the cost of making these."""
    others = {one.name: field(default=one.default) for one in fields(kind.record) if one.name not in kind.by_field}
    names = {name: field() for name in kind.by_field} | others
    return make_class(f"{kind.record.__name__}Draft", names, slots=True, eq=False, weakref_slot=False)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector from going through a growing list of records, none of which is garbage, again and again.

    It takes longer than all the rest. Only who switches it off switches it on again, so it stays off for good in no order of threads.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
