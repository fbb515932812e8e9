"""Write segments: pure functions from tables to bytes. :mod:`fpa_core.segments.reader` reads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from isal.isal_zlib import crc32

from fpa_core.arrow import columns
from fpa_core.kinds import Kind
from fpa_core.segments import integers
from fpa_core.segments.compression import compressed
from fpa_core.segments.integers import WIDTHS, Integers
from fpa_core.segments.layout import COLUMN, COMPRESSED, HEADER, MAGIC, NULLS, VERSION, Coding, Head

__all__ = ["Draft", "draft_segment", "encode_segment"]


class Draft(NamedTuple):
    """A segment whose columns are not yet compressed: their names, heads and bytes, and the number of rows."""

    names: Sequence[str]
    heads: Sequence[Head]
    contents: Sequence[bytes]
    rows: int

    def segment(self, frames: Sequence[bytes | None]) -> bytes:
        """Return the segment.

        :param frames: the compressed contents; None for each that is stored uncompressed.
        """
        size = HEADER.size + sum(1 + len(name.encode()) + COLUMN.size for name in self.names)
        entries, payloads = [], []
        offset = size
        for name, head, content, frame in zip(self.names, self.heads, self.contents, frames, strict=True):
            label = name.encode()
            payload = content if frame is None else frame
            flags = head.flags if frame is None else head.flags | COMPRESSED
            coding, _, width, scale, base, step, _, _, _, nulls, _ = head
            sizes = offset, len(payload), len(content), nulls, crc32(payload)
            entries += [bytes([len(label)]), label, COLUMN.pack(coding, flags, width, scale, base, step, *sizes)]
            payloads.append(payload)
            offset += len(payload)
        rest = b"".join(entries)
        blank = HEADER.pack(MAGIC, VERSION, 0, len(self.names), self.rows, size, 0)
        crc = crc32(rest, crc32(blank))
        return b"".join([HEADER.pack(MAGIC, VERSION, 0, len(self.names), self.rows, size, crc), rest, *payloads])


def draft_segment(kind: Kind, rows: pa.Table | pa.RecordBatch, extra: Mapping[str, Integers] | None = None) -> Draft:
    """Encode rows of one subject, in order of time, for a segment.

    :param rows: columns of the kind, decimals in any form (see :mod:`fpa_core.arrow.columns`); an absent one is all null. The
        subject's own column is not encoded; the caller keeps it with the segment.
    :param extra: additional integer columns, such as the batch of each row.
    """
    coded = [
        (column.name, *_encode_column(column.type, rows, column.name))
        for column in kind.columns
        if column.field != kind.subject
    ]
    coded += [(name, *_encode_integers(values, None, 0)) for name, values in (extra or {}).items()]
    names, heads, contents = zip(*coded, strict=True)
    return Draft(names, heads, contents, rows.num_rows)


def encode_segment(kind: Kind, rows: pa.Table | pa.RecordBatch, extra: Mapping[str, Integers] | None = None) -> bytes:
    """Return rows of one subject as a segment; the parameters are those of :func:`draft_segment`."""
    draft = draft_segment(kind, rows, extra)
    return draft.segment(compressed(draft.contents))


def _whole(array: Any) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _encode_column(column_type: str, rows: pa.Table | pa.RecordBatch, name: str) -> tuple[Head, bytes]:
    place = rows.schema.get_field_index(name)
    array = None if place < 0 else _whole(rows.column(place))
    if array is None or array.null_count == len(array):
        return Head(Coding.EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), b""
    valid = columns.valid_mask(array)
    if column_type == "text":
        return _encode_texts(array, valid)
    scale = 0
    if column_type == "decimal":
        scaled = columns.to_scaled_integers(array, rows.schema.field(place))
        if scaled is None:  # too long for 64 bits at one scale: stored as text, which holds any number
            return _encode_texts(columns.as_texts(array), valid)
        array, scale = scaled
    if not pa.types.is_int64(array.type):
        array = columns.times_as_ns(array)
    # The memory of null values has arbitrary numbers; they are ignored.
    numbers = np.frombuffer(array.buffers()[1], np.int64, len(array), 8 * array.offset)
    return _encode_integers(_filled(numbers, valid), valid, scale)


def _filled(values: Integers, valid: npt.NDArray[np.bool_] | None) -> Integers:
    """Return *values* with nulls replaced by an existing value, so that they need no extra width."""
    if valid is None:
        return values
    filled = values.copy()
    filled[np.flatnonzero(~valid)] = values[np.argmax(valid)]
    return filled


def _encode_integers(values: Integers, valid: npt.NDArray[np.bool_] | None, scale: int) -> tuple[Head, bytes]:
    coded = integers.encode(values)
    head = Head(coded.coding, 0, coded.width, scale, coded.base, coded.step, 0, 0, 0, 0, 0)
    return _finish(head, coded.payload, valid)


def _encode_texts(array: pa.Array, valid: npt.NDArray[np.bool_] | None) -> tuple[Head, bytes]:
    encoded = array.dictionary_encode()
    words = [text.encode() for text in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = 0 if len(words) == 1 else next(width for width in WIDTHS if len(words) <= 1 << 8 * width)
    lengths = np.array([len(word) for word in words], "<u4")
    payload = struct.pack("<I", len(words)) + lengths.tobytes() + b"".join(words)
    if width:
        payload += codes.astype(f"<u{width}").tobytes()
    return _finish(Head(Coding.TEXT, 0, width, 0, 0, 1, 0, 0, 0, 0, 0), payload, valid)


def _finish(head: Head, payload: bytes, valid: npt.NDArray[np.bool_] | None) -> tuple[Head, bytes]:
    """Prepend the null mask to the payload."""
    if valid is None:
        return head, payload
    mask = np.packbits(valid, bitorder="little").tobytes()
    return head._replace(flags=head.flags | NULLS, nulls=len(mask)), mask + payload
