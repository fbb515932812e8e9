"""Records as Arrow tables of their kind's columns, and back."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from attrs import NOTHING, field, fields, make_class

from fpa_core.exceptions import CorruptionError, DataError
from fpa_core.kinds import Column, Kind
from fpa_core.numbers import YEAR_1980, Instant

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["concat", "from_table", "from_values", "texts_of_rows", "to_table", "values_of_rows"]


def to_table(kind: Kind, records: Sequence[Any]) -> pa.Table:
    """Return *records*, all of *kind*, as an Arrow table with the kind's columns."""
    import pyarrow as pa

    from fpa_core.arrow import columns, parsing

    arrays = {}
    for column in kind.columns:
        values = list(map(attrgetter(column.field), records))
        if column.type == "decimal":
            arrays[column.name] = parsing.decimal_column(values)
        elif column.type == "time":
            arrays[column.name] = columns.time_column(values)
        else:
            arrays[column.name] = pa.array(values, column.arrow)
    return pa.table(arrays)


def concat(kind: Kind, tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables of *kind* as one contiguous table. Decimals get the scale that holds all of them, or become text if there is none."""
    import pyarrow as pa

    from fpa_core.arrow import columns

    if len(tables) == 1:
        return tables[0].combine_chunks()
    arrays = []
    for column in kind.columns:
        parts = [chunk for table in tables for chunk in table.column(column.name).chunks]
        arrays.append(pa.chunked_array(columns.to_common_type(parts) if column.type == "decimal" else parts))
    return pa.table(arrays, names=[column.name for column in kind.columns]).combine_chunks()


def from_table(kind: Kind, table: pa.Table | pa.RecordBatch) -> list[Any]:
    """Return the records of a table with the columns of *kind*. Fields of missing columns get their defaults.

    The values are not checked again, because they came from records.

    :raises DataError: if a required column is missing.
    :raises CorruptionError: if a value is none that a record could have.
    """
    from fpa_core.arrow import columns

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
            values.append(_instants(columns.times_as_ns(array)))
        elif column.type == "integer":
            values.append(array.to_pylist())
        else:
            values.append(columns.map_dictionary(array, functools.partial(_words, kind, column)))
    return _restore(kind, values)


def values_of_rows(kind: Kind, table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the values of each row by column, without missing ones, as exact JSON-compatible data: decimals and times as texts."""
    from fpa_core.arrow import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    names = [column.name for column in kind.columns]
    cells = [
        read.get(column.type, lambda array: array)(table.column(column.name).combine_chunks()).to_pylist()
        for column in kind.columns
    ]
    for row in zip(*cells, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def texts_of_rows(kind: Kind, table: pa.Table) -> Iterator[dict[str, str]]:
    """Yield the values of each row as :func:`values_of_rows` does, all of them as texts."""
    for values in values_of_rows(kind, table):
        yield {name: str(value) for name, value in values.items()}


def _instants(ns: pa.Array) -> list[int | None]:
    """Return times as records hold them. Times before 1980 become Instants, so that ``evolve`` of the record accepts them."""
    import pyarrow.compute as pc

    found: list[int | None] = (
        ns.to_pylist() if ns.null_count else ns.to_numpy().tolist()
    )  # numpy is several times as fast
    first = pc.min(ns).as_py()
    return found if first is None or first >= YEAR_1980 else [None if one is None else _instant(one) for one in found]


def _instant(ns: int) -> int:
    return ns if ns >= YEAR_1980 else Instant(ns)


def from_values(kind: Kind, values: Sequence[Any]) -> Any:
    """Return a record from its stored values, one per column: decimals as canonical text, times as nanoseconds."""
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
    """Return the function that makes a draft from the values of all columns, and the converter of each column."""
    converters = [
        Decimal
        if column.type == "decimal"
        else _instant
        if column.type == "time"
        else column.convert
        if column.type == "text" and _is_word(kind, column)
        else None
        for column in kind.columns
    ]
    return _draft(kind), converters


def _words(kind: Kind, column: Column, texts: pa.Array) -> list[Any]:
    """Return texts as records hold them: words such as "buy" become enumeration members."""
    words: list[Any] = texts.to_pylist()
    if not _is_word(kind, column):
        return words
    try:
        return [column.convert(word) for word in words]
    except DataError as error:
        raise CorruptionError(
            f"{kind.name}: a stored {column.name} is damaged: {error.message}",
            hint="restore the database from a backup",
            operation=f"read {kind.name}",
        ) from error


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
    """Build records from columns of checked values, bypassing the converters."""
    with _no_garbage_collection():
        records: list[Any] = list(map(_draft(kind), *values))
        collections.deque(map(_set_class, records, itertools.repeat(kind.record)), maxlen=0)  # a loop in C
    return records


_set_class = object.__dict__["__class__"].__set__


@functools.lru_cache(maxsize=16)
def _draft(kind: Kind) -> type[Any]:
    """Return a mutable class with the memory layout of the records. Its instances can be turned into records at half the cost of creating them."""
    others = {one.name: field(default=one.default) for one in fields(kind.record) if one.name not in kind.by_field}
    names = {name: field() for name in kind.by_field} | others
    return make_class(f"{kind.record.__name__}Draft", names, slots=True, eq=False, weakref_slot=False)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable the garbage collector while a list of records grows: scanning them, none of which is garbage, takes longer than making them.

    Only the caller that disables it enables it again, so it cannot stay disabled, whatever the order of threads.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
