"""Write records, and tables of any columns, as CSV, JSON Lines or Parquet: exact, in bounded memory, and complete or not at all.

CSV has a line of names, decimals as plain digits, times as ISO-8601 in UTC, and empty cells for missing values. JSON Lines
has one object per line without the missing values; decimals are strings there, because most readers convert numbers to binary floats. Parquet
has nanosecond times for records, and decimals if one ``decimal128`` holds all values of the column, else text; other tables keep their types.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen
from pyarrow import ipc, parquet

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.kinds import Column, Kind
from fpa_core.outputs import whole_file

__all__ = ["FORMATS", "Format", "format_of", "text_rows", "write", "write_table"]

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
"""The output formats."""

SLICE_ROWS = 65_536
"""Rows converted to text at once."""

GROUP_ROWS = 131_072
"""Rows in a row group of a Parquet file."""


@frozen
class _Plain:
    """A column of a table other than those of kinds: how its values are written.

    :ivar type: as for :class:`fpa_core.kinds.Column`, or ``number`` for floats and booleans, ``other`` for what is written as text.
    """

    name: str
    type: str
    arrow: pa.DataType


_Columns: TypeAlias = Sequence[Column | _Plain]


def write(
    kind: Kind,
    batches: Iterable[pa.RecordBatch],
    target: str | os.PathLike[str] | BinaryIO,
    format: Format = "csv",  # noqa: A002 - it is called so wherever one is chosen
    *,
    names: Sequence[str] | None = None,
    further: Mapping[str, pa.DataType] | None = None,
) -> int:
    """Write *batches* of a kind, and return the number of rows.

    :param target: a path or a binary stream. A file is replaced only once all rows are written.
    :param names: the columns of *batches*, if not all of the kind.
    :param further: columns that come after those of the kind, with their types.
    :raises DataError: if the format is unknown or the path cannot be written.
    """
    columns_: list[Column | _Plain] = [*kind.columns] if names is None else [kind.by_name[name] for name in names]
    columns_ += (_Plain(name, _type_of(form), form) for name, form in (further or {}).items())
    return _write(columns_, batches, target, _WRITERS, format)


def write_table(
    batches: pa.RecordBatchReader | pa.Table,
    target: str | os.PathLike[str] | BinaryIO,
    format: Format | None = None,  # noqa: A002
) -> int:
    """Write a table of any columns, and return the number of rows.

    :param target: as for :func:`write`.
    :param format: None for what the name of the file says.
    :raises DataError: if the format is unknown, the path cannot be written, or a column cannot be written in that format, as nested values in CSV.
    """
    if format is None:
        format = format_of(target)  # noqa: A001
    reader = batches.to_reader() if isinstance(batches, pa.Table) else batches
    if format == "parquet":
        return _write(_plain(reader.schema, format=None), reader, target, {"parquet": _write_as_is}, format)
    return _write(_plain(reader.schema, format), reader, target, _WRITERS, format)


def format_of(target: str | os.PathLike[str] | BinaryIO) -> Format:
    """Return the format that the name of a file says.

    :raises DataError: if it says none.
    """
    suffix = Path(target).suffix.lower() if isinstance(target, (str, os.PathLike)) else ""
    for one in FORMATS:
        if suffix == f".{one}":
            return one
    raise DataError(
        f"the format of {target!s} is unknown",
        hint=f"give a name that ends in one of: {', '.join(f'.{one}' for one in FORMATS)}",
        value=str(target),
    )


def text_rows(batch: pa.RecordBatch) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of a batch of any columns as texts, exact as in CSV; nested values as Python shows them."""
    cells = [
        [None if value is None else str(value) for value in array.to_pylist()]
        if column.type == "nested"
        else _texts(column, array).to_pylist()
        for column, array in zip(_plain(batch.schema, None), batch.columns, strict=True)
    ]
    return zip(*cells, strict=True)


def _write(
    columns_: _Columns,
    batches: Iterable[pa.RecordBatch],
    target: str | os.PathLike[str] | BinaryIO,
    writers: dict[str, Callable[[_Columns, Iterable[pa.RecordBatch], BinaryIO], int]],
    format: str,  # noqa: A002
) -> int:
    try:
        writer = writers[format]
    except KeyError:
        raise DataError(
            f"unknown output format {format!r}", hint=f"one of: {', '.join(FORMATS)}", value=format
        ) from None
    if not isinstance(target, (str, os.PathLike)):
        return writer(columns_, batches, target)
    with whole_file(Path(target)) as stream:
        return writer(columns_, batches, stream)


def _plain(schema: pa.Schema, format: str | None) -> list[_Plain]:  # noqa: A002
    """Return how the columns of a table are written as text; None for a format that has types."""
    names = schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if format == "jsonl" and twice:
        raise DataError(
            f"two columns are called {twice[0]!r}, which JSON cannot hold", hint="name them apart", field=twice[0]
        )
    found = []
    for own in schema:
        kind = _type_of(own.type)
        if kind == "nested" and format is not None:
            raise DataError(
                f"{own.name}: values of type {own.type} cannot be written as {format}",
                hint="write Parquet, or ask for their parts",
                field=own.name,
            )
        found.append(_Plain(own.name, kind, own.type))
    return found


def _type_of(kind: pa.DataType) -> str:
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "nested"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return "time"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return "number"
    return (
        "text"
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        else "other"
    )


def _write_csv(columns_: _Columns, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    heads = _quoted(pa.array([column.name for column in columns_], pa.string())).to_pylist()
    stream.write(f"{','.join(heads)}\n".encode())
    return _write_lines(batches, stream, lambda batch: _csv_lines(columns_, batch))


def _write_jsonl(columns_: _Columns, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    return _write_lines(batches, stream, lambda batch: _json_lines(columns_, batch))


def _write_as_is(_: _Columns, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    """Write Parquet whose types are known beforehand."""
    reader = batches
    assert isinstance(reader, pa.RecordBatchReader)
    rows = 0
    with parquet.ParquetWriter(stream, reader.schema, compression="zstd", write_page_checksum=True) as writer:
        for table in _groups(reader):
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _write_lines(
    batches: Iterable[pa.RecordBatch], stream: BinaryIO, lines_of: Callable[[pa.RecordBatch], pa.Array]
) -> int:
    rows = 0
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            lines = lines_of(batch.slice(start, SLICE_ROWS))
            whole = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines), "")
            stream.write(whole[0].as_buffer())
        rows += batch.num_rows
    return rows


def _csv_lines(columns_: _Columns, batch: pa.RecordBatch) -> pa.Array:
    cells = [_texts(column, values) for column, values in zip(columns_, batch.columns, strict=True)]
    quoted = [
        _quoted(texts) if column.type in ("text", "other") else texts
        for column, texts in zip(columns_, cells, strict=True)
    ]
    lines = pc.binary_join_element_wise(*quoted, ",", null_handling="replace", null_replacement="")
    return pc.binary_join_element_wise(lines, "\n", "")


def _quoted(texts: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(texts, '[",\r\n]')
    if not pc.any(special).as_py():
        return texts
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, quoted, texts)


def _json_lines(columns_: _Columns, batch: pa.RecordBatch) -> pa.Array:
    members = []
    for column, array in zip(columns_, batch.columns, strict=True):
        # JSON has no infinity, and no number that is none.
        known = pc.if_else(pc.is_finite(array), array, None) if pa.types.is_floating(array.type) else array
        values = _texts(column, known)
        if column.type in ("text", "other"):
            values = _json_texts(values)
        elif column.type not in ("integer", "number"):
            values = pc.binary_join_element_wise('"', values, '"', "")
        name = json.dumps(column.name, ensure_ascii=False)
        members.append(pc.binary_join_element_wise(f"{name}:", values, ""))
    inside = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", inside, "}\n", "")


def _json_texts(texts: pa.Array) -> pa.Array:
    encoded = texts.dictionary_encode()
    literals = [json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()]
    return pa.array(literals, pa.string()).take(encoded.indices)


def _texts(column: Column | _Plain, values: pa.Array) -> pa.Array:
    if column.type == "decimal":
        return columns.as_texts(values)
    if column.type == "time":
        try:
            return columns.times_as_texts(values.cast(columns.TIME))
        except pa.ArrowInvalid:  # beyond the years that nanoseconds reach
            return values.cast(pa.string())
    return values.cast(pa.string())


def _write_parquet(columns_: _Columns, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    """Write in two passes, because the decimal type that holds all rows is known only after the last one."""
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as draft:
        rows, widths = _spool(columns_, batches, spool)
        schema = pa.schema([(column.name, _type(column, widths)) for column in columns_])
        spool.seek(0)
        with (
            ipc.open_stream(spool) as spooled,
            parquet.ParquetWriter(draft, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            for table in _groups(spooled):
                writer.write_table(table.cast(schema))
        draft.seek(0)
        shutil.copyfileobj(draft, stream, 1 << 20)
    return rows


def _spool(
    columns_: _Columns, batches: Iterable[pa.RecordBatch], spool: BinaryIO
) -> tuple[int, dict[str, tuple[int, int]]]:
    """Spool the rows with decimals as text. Return their number, and for each decimal column the most digits before and after the point."""
    widths = {column.name: (0, 0) for column in columns_ if column.type == "decimal"}
    schema = pa.schema([(column.name, pa.string() if column.name in widths else column.arrow) for column in columns_])
    rows = 0
    with ipc.new_stream(spool, schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            arrays = [batch.column(column.name) for column in columns_]
            for place, column in enumerate(columns_):
                if column.name in widths:
                    arrays[place] = columns.as_texts(arrays[place])
                    before, after = columns.max_digits(arrays[place])
                    widths[column.name] = max(before, widths[column.name][0]), max(after, widths[column.name][1])
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            rows += batch.num_rows
    return rows, widths


def _type(column: Column | _Plain, widths: dict[str, tuple[int, int]]) -> pa.DataType:
    if column.type != "decimal":
        return column.arrow
    found = columns.decimal_type(*widths[column.name])
    return found if found is not None and pa.types.is_decimal128(found) else pa.string()


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the batches as tables of about the size of a row group."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


_WRITERS: dict[str, Callable[[_Columns, Iterable[pa.RecordBatch], BinaryIO], int]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
