"""Reading Parquet: a batch at a time, in the types the file has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import parquet

from fpa_core.exceptions import DataError
from fpa_plugins.files.cells import texts_of
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.stream import Stream

__all__ = ["read"]


def read(stream: Stream, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of the Parquet file *stream* in batches of at most *chunk_rows*."""
    row = 1
    try:
        file = parquet.ParquetFile(stream.file, page_checksum_verification=True)
        names = tuple(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=chunk_rows):
            cells = [_guarded(column) for column in batch.columns]
            yield Rows(names, cells, range(row, row + batch.num_rows), _Raw(names, cells))
            row += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{stream.name}: this is no whole Parquet file: {error}", source=stream.name) from error


def _guarded(column: pa.Array) -> pa.Array:
    """Return a column that holds what its type promises, for Arrow believes the file: texts are bytes until proven text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        column.validate(full=True)
    if pa.types.is_string(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.large_binary()) if pa.types.is_large_string(column.type) else column


class _Raw:
    """The rows of a batch as JSON text, for want of a text of their own."""

    def __init__(self, names: tuple[str, ...], cells: list[pa.Array]) -> None:
        self._names = names
        self._cells = cells

    def __call__(self, index: int) -> str:
        texts = (texts_of(cells.slice(index, 1))[0][0].as_py() for cells in self._cells)
        present = {name: text for name, text in zip(self._names, texts, strict=True) if text is not None}
        return json.dumps(present, ensure_ascii=False)
