"""A digest of rows that does not depend on how they are cut into batches, to tell whether two copies are equal."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RowDigest"]


class RowDigest:
    """SHA-256 of rows in their order: of each column its values and which of them are missing, then of all columns.

    :ivar rows: how many rows were added.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns = [(hashlib.sha256(), hashlib.sha256(), hashlib.sha256()) for _ in schema]
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows, which have the columns and types of the schema."""
        self.rows += batch.num_rows
        for (values, lengths, valid), field, array in zip(self._columns, self._schema, batch.columns, strict=True):
            assert array.type == field.type, f"{field.name}: {array.type} is not {field.type}"
            if not len(array):
                continue
            valid.update(array.is_valid().to_numpy(zero_copy_only=False).tobytes())
            if pa.types.is_string(field.type):
                texts = pc.fill_null(array, "")
                lengths.update(pc.binary_length(texts).to_numpy().tobytes())
                values.update(_text_bytes(texts))
            else:
                values.update(_fixed_bytes(array))

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        whole = hashlib.sha256()
        for hashes, field in zip(self._columns, self._schema, strict=True):
            whole.update(f"{field.name}\0{field.type}\0".encode())
            for part in hashes:
                whole.update(part.digest())
        return whole.hexdigest()


def _text_bytes(texts: pa.Array) -> Any:
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    return memoryview(data)[ends[0] : ends[-1]] if data is not None else b""


def _fixed_bytes(array: pa.Array) -> bytes:
    """Return the values of a column of a fixed width, those that are missing as zeros."""
    width = array.type.bit_width // 8
    words = np.frombuffer(array.buffers()[1], np.int64, len(array) * width // 8, array.offset * width).reshape(
        len(array), -1
    )
    if array.null_count:
        words = np.where(array.is_valid().to_numpy(zero_copy_only=False)[:, None], words, 0)
    return words.tobytes()
