"""Write records as CSV, JSON Lines or Parquet: exact, in bounded memory, and complete or not at all.

CSV has the kind's columns in their order, decimals as plain digits, times as ISO-8601 in UTC, and empty cells for missing values. JSON Lines
has one object per line without the missing values; decimals are strings there, because most readers convert numbers to binary floats. Parquet
has nanosecond times, and decimals if one ``decimal128`` holds all values of the column, else text.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc, parquet

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.kinds import Column, Kind
from fpa_core.outputs import whole_file

__all__ = ["FORMATS", "Format", "write"]

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
"""The output formats."""

SLICE_ROWS = 65_536
"""Rows converted to text at once."""

GROUP_ROWS = 131_072
"""Rows in a row group of a Parquet file."""


def write(
    kind: Kind,
    batches: Iterable[pa.RecordBatch],
    target: str | os.PathLike[str] | BinaryIO,
    format: Format = "csv",  # noqa: A002 - it is called so wherever one is chosen
) -> int:
    """Write *batches*, which have the columns of *kind*, and return the number of rows.

    :param target: a path or a binary stream. A file is replaced only once all rows are written.
    :raises DataError: if the format is unknown or the path cannot be written.
    """
    try:
        writer = _WRITERS[format]
    except KeyError:
        raise DataError(
            f"unknown output format {format!r}", hint=f"one of: {', '.join(FORMATS)}", value=format
        ) from None
    if not isinstance(target, (str, os.PathLike)):
        return writer(kind, batches, target)
    with whole_file(Path(target)) as stream:
        return writer(kind, batches, stream)


def _write_csv(kind: Kind, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    stream.write(f"{','.join(column.name for column in kind.columns)}\n".encode())
    return _write_lines(batches, stream, lambda batch: _csv_lines(kind, batch))


def _write_jsonl(kind: Kind, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    return _write_lines(batches, stream, lambda batch: _json_lines(kind, batch))


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


def _csv_lines(kind: Kind, batch: pa.RecordBatch) -> pa.Array:
    cells = [_texts(column, batch.column(column.name)) for column in kind.columns]
    quoted = [
        _quoted(texts) if column.type == "text" else texts for column, texts in zip(kind.columns, cells, strict=True)
    ]
    lines = pc.binary_join_element_wise(*quoted, ",", null_handling="replace", null_replacement="")
    return pc.binary_join_element_wise(lines, "\n", "")


def _quoted(texts: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(texts, '[",\r\n]')
    if not pc.any(special).as_py():
        return texts
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, quoted, texts)


def _json_lines(kind: Kind, batch: pa.RecordBatch) -> pa.Array:
    members = []
    for column in kind.columns:
        values = _texts(column, batch.column(column.name))
        if column.type == "text":
            values = _json_texts(values)
        elif column.type != "integer":
            values = pc.binary_join_element_wise('"', values, '"', "")
        members.append(pc.binary_join_element_wise(f'"{column.name}":', values, ""))
    inside = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", inside, "}\n", "")


def _json_texts(texts: pa.Array) -> pa.Array:
    encoded = texts.dictionary_encode()
    literals = [json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()]
    return pa.array(literals, pa.string()).take(encoded.indices)


def _texts(column: Column, values: pa.Array) -> pa.Array:
    if column.type == "decimal":
        return columns.as_texts(values)
    if column.type == "time":
        return columns.times_as_texts(values)
    return values.cast(pa.string())


def _write_parquet(kind: Kind, batches: Iterable[pa.RecordBatch], stream: BinaryIO) -> int:
    """Write in two passes, because the decimal type that holds all rows is known only after the last one."""
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as draft:
        rows, widths = _spool(kind, batches, spool)
        schema = pa.schema([(column.name, _type(column, widths)) for column in kind.columns])
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


def _spool(kind: Kind, batches: Iterable[pa.RecordBatch], spool: BinaryIO) -> tuple[int, dict[str, tuple[int, int]]]:
    """Spool the rows with decimals as text. Return their number, and for each decimal column the most digits before and after the point."""
    widths = {column.name: (0, 0) for column in kind.columns if column.type == "decimal"}
    schema = pa.schema(
        [(column.name, pa.string() if column.name in widths else column.arrow) for column in kind.columns]
    )
    rows = 0
    with ipc.new_stream(spool, schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            arrays = [batch.column(column.name) for column in kind.columns]
            for place, column in enumerate(kind.columns):
                if column.name in widths:
                    arrays[place] = columns.as_texts(arrays[place])
                    before, after = columns.max_digits(arrays[place])
                    widths[column.name] = max(before, widths[column.name][0]), max(after, widths[column.name][1])
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            rows += batch.num_rows
    return rows, widths


def _type(column: Column, widths: dict[str, tuple[int, int]]) -> pa.DataType:
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


_WRITERS: dict[str, Callable[[Kind, Iterable[pa.RecordBatch], BinaryIO], int]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
