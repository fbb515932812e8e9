"""Tables that come in columns: Parquet, Arrow IPC and Feather files, and frames of Python's data libraries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from fpa_core.exceptions import DataError
from fpa_plugins.files.cells import texts_of
from fpa_plugins.files.containers import Content
from fpa_plugins.files.dialect import MAX_COLUMNS
from fpa_plugins.files.rows import Rows

__all__ = ["read_arrow", "read_feather", "read_parquet", "read_table"]

_UNNAMED_INDEX = "__index_level_0__"
"""What pandas calls an index without a name when it becomes a column."""

_TIMESTAMP = "timestamp"


def read_parquet(content: Content, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of a Parquet file in batches of at most *chunk_rows*."""
    from pyarrow import parquet

    try:
        with content.seekable() as stream:
            schema = parquet.ParquetFile(stream).schema_arrow
            # Texts as dictionaries: one that recurs is decoded once.
            texts = [
                field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            stream.seek(0)
            file = parquet.ParquetFile(stream, page_checksum_verification=True, read_dictionary=texts)
            yield from _rows(file.iter_batches(batch_size=chunk_rows), content.name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{content.name}: this is not a complete Parquet file: {error}", source=content.name) from error


def read_arrow(content: Content, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of an Arrow IPC file or stream."""
    try:
        with content.seekable() as stream:
            if content.head.startswith(b"ARROW1"):
                file = ipc.open_file(stream)
                batches: Iterable[pa.RecordBatch] = (file.get_batch(at) for at in range(file.num_record_batches))
            else:
                batches = ipc.open_stream(stream)
            yield from _rows(_cut(batches, chunk_rows), content.name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{content.name}: this is not a complete Arrow file: {error}", source=content.name) from error


def read_feather(content: Content, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of a Feather file of the first version; those of the second are Arrow IPC."""
    from pyarrow import feather  # and with it pandas, where that is installed

    try:
        with content.seekable() as stream:
            table = feather.read_table(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{content.name}: this is not a complete Feather file: {error}", source=content.name) from error
    yield from read_table(table, content.name, chunk_rows)


def read_table(table: Any, name: str, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of an Arrow table, or of anything that offers itself as an Arrow stream, as pandas and polars frames do."""
    try:
        reader = pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as a table: {error}", source=name) from error
    yield from _rows(_cut(reader, chunk_rows), name)


def _cut(batches: Iterable[pa.RecordBatch], chunk_rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, chunk_rows):
            yield batch.slice(start, chunk_rows)


def _rows(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[Rows]:
    row = 1
    for batch in batches:
        if batch.num_columns > MAX_COLUMNS:
            raise DataError(
                f"{name}: {batch.num_columns:,} columns; a table of records has at most {MAX_COLUMNS:,}", source=name
            )
        names = _names(batch.schema)
        try:
            cells = [_guarded(column) for column in batch.columns]
        except pa.ArrowInvalid as error:
            raise DataError(f"{name}: its columns are damaged: {error}", source=name) from error
        yield Rows(names, cells, range(row, row + batch.num_rows), _Raw(names, cells), typed=True).without_empty()
        row += batch.num_rows


def _names(schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of the columns; pandas' index of times without a name, the only column of times, is the timestamp."""
    times = [each.name for each in schema if pa.types.is_timestamp(each.type) or pa.types.is_date(each.type)]
    names = tuple(schema.names)
    if times != [_UNNAMED_INDEX] or _TIMESTAMP in names:
        return names
    return tuple(_TIMESTAMP if name == _UNNAMED_INDEX else name for name in names)


def _guarded(column: pa.Array) -> pa.Array:
    """Return a column that holds what its type promises, for Arrow believes the file: texts are bytes until proven text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return column
    if pa.types.is_dictionary(kind):
        words = _bytes_of(column.dictionary)
        column = pa.DictionaryArray.from_arrays(column.indices, words)
        column.validate(full=True)
        texts = pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
        return column if texts else column.dictionary_decode()
    column = _bytes_of(column)
    column.validate(full=True)  # offsets that lead out of the file, for one
    if column.type == pa.binary_view():
        return column.cast(pa.large_binary())
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py():
        return pc.if_else(pc.is_nan(column), None, column)  # what numpy and pandas write for a missing value
    return column


def _bytes_of(column: pa.Array) -> pa.Array:
    """Return texts as their bytes, any other column as it is."""
    kind = column.type
    if kind == pa.string_view():
        return column.cast(pa.binary_view())
    if pa.types.is_string(kind):
        return column.cast(pa.binary())
    return column.cast(pa.large_binary()) if pa.types.is_large_string(kind) else column


class _Raw:
    """The rows of a batch as JSON text, for want of a text of their own."""

    def __init__(self, names: tuple[str, ...], cells: list[pa.Array]) -> None:
        self._names = names
        self._cells = cells

    def __call__(self, index: int) -> str:
        texts = (texts_of(cells.slice(index, 1))[0][0].as_py() for cells in self._cells)
        present = {name: text for name, text in zip(self._names, texts, strict=True) if text is not None}
        return json.dumps(present, ensure_ascii=False)
