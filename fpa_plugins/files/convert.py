"""From rows as a file has them to exact columns, with the verdict that the record class would give each row."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.numbers import MIN_NS, decimal_text
from fpa_core.protocols import Chunk, Reject
from fpa_core.records import BARS, Column
from fpa_plugins.files.cells import Problems, is_instant, texts_of, widened
from fpa_plugins.files.headers import Layout
from fpa_plugins.files.rows import Rows, clipped

__all__ = ["to_chunk"]


def to_chunk(layout: Layout, rows: Rows, progress: float, notes: tuple[str, ...] = ()) -> Chunk:
    """Return the rows as a chunk of the layout's kind: what can be a record in its table, the others among its rejects."""
    count = len(rows.positions)
    arrays: dict[str, pa.Array] = {}
    bad: dict[int, list[str]] = {}
    for column in layout.kind.columns:
        place = layout.places.get(column.name)
        problems: Problems = {}
        array = _absent(column, count)
        if place is not None:
            array, problems = _exact(column, rows.cells[place], dates=layout.kind is BARS)
        array = _filled(array, layout.fills.get(column.name))
        if column.name in layout.needed and array.null_count > len(problems):
            problems |= {index: "it is missing" for index in _nulls(array) if index not in problems}
        for index, problem in problems.items():
            bad.setdefault(index, []).append(f"{column.name}: {problem}")
        arrays[column.name] = array
    table = pa.table(arrays)
    if not bad:
        return Chunk(layout.kind, table, rows.positions, rows.rejects, progress, notes)
    refused = [
        Reject(rows.positions[index], clipped(rows.raw(index)), "; ".join(bad[index]), cells)
        for index, cells in zip(bad, _cells(layout, rows, list(bad)), strict=True)
    ]
    good = [index for index in range(count) if index not in bad]
    return Chunk(
        layout.kind,
        table.take(pa.array(good, pa.int64())),
        [rows.positions[index] for index in good],
        sorted([*rows.rejects, *refused], key=lambda reject: reject.row),
        progress,
        notes,
    )


def _cells(layout: Layout, rows: Rows, indexes: list[int]) -> Iterator[dict[str, str]]:
    """Yield the texts of rows by the names of the kind's columns, with what stands in for missing ones."""
    filled = {
        name: decimal_text(value) if isinstance(value, Decimal) else str(value) for name, value in layout.fills.items()
    }
    taken = pa.array(indexes, pa.int64())
    texts = [texts_of(rows.cells[place].take(taken))[0].to_pylist() for place in layout.places.values()]
    for row in zip(*texts, strict=True):
        yield filled | {name: text for name, text in zip(layout.places, row, strict=True) if text}


def _absent(column: Column, count: int) -> pa.Array:
    return pa.nulls(count, pa.decimal128(38, 0) if column.type == "decimal" else column.arrow)


def _filled(array: pa.Array, value: object) -> pa.Array:
    if value is None or not array.null_count:
        return array
    if isinstance(value, Decimal) and pa.types.is_string(array.type):
        value = decimal_text(value)
    return pc.fill_null(array, pa.scalar(value, array.type))


def _nulls(array: pa.Array) -> list[int]:
    return list(pc.indices_nonzero(array.is_null()).to_pylist())


def _exact(column: Column, cells: pa.Array, *, dates: bool) -> tuple[pa.Array, Problems]:
    """Return the column's exact values of *cells*, and which of them are none."""
    if column.type == "decimal" and pa.types.is_decimal(cells.type):
        return widened(cells), {}
    if column.type == "time" and is_instant(cells.type):
        try:
            return _without_nat(cells.cast(columns.TIME))
        except pa.ArrowInvalid:  # beyond what nanoseconds can say: as texts, each is judged alone
            pass
    texts, problems = texts_of(cells)
    if column.type == "decimal":
        array, more = parsing.parse_decimals(texts)
    elif column.type == "time":
        array, more = parsing.parse_times(texts, dates=dates)
    else:
        array, more = _converted(column, texts)
    return array, problems | more


def _without_nat(times: pa.Array) -> tuple[pa.Array, Problems]:
    """Refuse the instant that numpy and pandas take for no time at all."""
    nat = pc.equal(columns.times_as_ns(times), MIN_NS)
    if not pc.any(nat).as_py():
        return times, {}
    places = pc.indices_nonzero(nat).to_pylist()
    return pc.if_else(nat, None, times), dict.fromkeys(places, "NaT is no time; leave a missing value empty")


def _converted(column: Column, texts: pa.Array) -> tuple[pa.Array, Problems]:
    """Put each distinct text through the converter of the record's field: there are few of them, and the verdict is the record's own."""
    encoded = texts.dictionary_encode()
    values: list[Any] = []
    refused: dict[int, str] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(column.convert(text))
        except DataError as error:
            values.append(None)
            refused[code] = error.message.split(": ", 1)[-1]
    array = pa.array(values, column.arrow).take(encoded.indices)
    if not refused:
        return array, {}
    codes = encoded.indices.to_pylist()
    return array, {index: refused[code] for index, code in enumerate(codes) if code in refused}
