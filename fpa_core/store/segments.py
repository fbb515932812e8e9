"""Segments: rows of one kind and one subject, in order of time, as narrow integers; pure functions from tables to bytes and back.

A segment is a header, which says how each column is coded and where its bytes lie, and the bytes of the columns. Times and numbers are
integers at one scale a column (see :mod:`fpa_core.store.integers`); texts are numbers of a dictionary. Columns are compressed where that pays. Header and columns each carry a CRC-32, so that a column can be read alone
and damage is never returned as data. docs/reference/segment-format.md describes every byte.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core import columns
from fpa_core.exceptions import CorruptionError
from fpa_core.records import Kind
from fpa_core.store import integers
from fpa_core.store.compression import compressed, decompressed
from fpa_core.store.integers import WIDTHS, Integers

__all__ = ["Segment", "checksum_of", "encode_segment", "ranks"]

MAGIC = b"FPAS"
VERSION = 1

_HEADER = struct.Struct("<4sBBHIII")
"""Magic, version, zero, columns, rows, bytes of the whole header, CRC-32 of the header (taken with this field zero)."""

_COLUMN = struct.Struct("<BBBbqqIIIII")
"""Coding, flags, width, scale, base, step, offset, stored bytes, raw bytes, bytes of the null mask, CRC-32 of the stored bytes."""


class _Coding(IntEnum):
    EMPTY = 0
    """Every value is null."""
    OFFSET = integers.OFFSET
    DELTA = integers.DELTA
    TEXT = 3
    """As OFFSET, but the values are positions in a dictionary of texts."""


_COMPRESSED = 1
_NULLS = 2


class _Head(NamedTuple):
    coding: int
    flags: int
    width: int
    scale: int
    base: int
    step: int
    offset: int
    stored: int
    raw: int
    nulls: int
    crc: int


def encode_segment(kind: Kind, rows: pa.Table | pa.RecordBatch, extra: Mapping[str, Integers] | None = None) -> bytes:
    """Return rows of one subject, in order of time, as a segment.

    :param rows: columns of the kind, decimals in any form (see :mod:`fpa_core.columns`); one that is not there is null throughout. The
        subject's own column is left to whoever keeps the segment.
    :param extra: further integer columns, such as the batch of each row.
    """
    coded = [
        (column.name, *_encode_column(column.type, rows, column.name))
        for column in kind.columns
        if column.field != kind.subject
    ]
    coded += [(name, *_encode_integers(values, None, 0)) for name, values in (extra or {}).items()]
    size = _HEADER.size + sum(1 + len(name.encode()) + _COLUMN.size for name, _, _ in coded)
    heads, payloads = [], []
    offset = size
    for name, head, payload in coded:
        label = name.encode()
        placed = head._replace(offset=offset, stored=len(payload), crc=zlib.crc32(payload))
        heads.append(bytes([len(label)]) + label + _COLUMN.pack(*placed))
        payloads.append(payload)
        offset += len(payload)
    rest = b"".join(heads)
    blank = _HEADER.pack(MAGIC, VERSION, 0, len(coded), rows.num_rows, size, 0)
    crc = zlib.crc32(rest, zlib.crc32(blank))
    return b"".join([_HEADER.pack(MAGIC, VERSION, 0, len(coded), rows.num_rows, size, crc), rest, *payloads])


def checksum_of(content: bytes | memoryview) -> bytes:
    """Return what tells a segment from any other: the CRC of its header, in which those of its columns stand."""
    return bytes(content[_HEADER.size - 4 : _HEADER.size])


def _whole(array: Any) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _encode_column(column_type: str, rows: pa.Table | pa.RecordBatch, name: str) -> tuple[_Head, bytes]:
    place = rows.schema.get_field_index(name)
    array = None if place < 0 else _whole(rows.column(place))
    if array is None or array.null_count == len(array):
        return _Head(_Coding.EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), b""
    valid = None if not array.null_count else array.is_valid().to_numpy(zero_copy_only=False)
    if column_type == "text":
        return _encode_texts(array, valid)
    scale = 0
    if column_type == "decimal":
        scaled = columns.narrow(array, rows.schema.field(place))
        if scaled is None:  # too long for 64 bits at one scale: kept as texts, which hold any number
            return _encode_texts(columns.as_texts(array), valid)
        array, scale = scaled
    if not pa.types.is_int64(array.type):
        array = columns.times_as_ns(array)
    # Where a value is null the memory holds any number, which is not looked at.
    numbers = np.frombuffer(array.buffers()[1], np.int64, len(array), 8 * array.offset)
    return _encode_integers(_filled(numbers, valid), valid, scale)


def _filled(values: Integers, valid: npt.NDArray[np.bool_] | None) -> Integers:
    """Return *values* with a value that is there anyway in the place of nulls, so that they cost no width."""
    return values if valid is None else np.where(valid, values, values[np.argmax(valid)])


def _encode_integers(values: Integers, valid: npt.NDArray[np.bool_] | None, scale: int) -> tuple[_Head, bytes]:
    coded = integers.encode(values)
    head = _Head(coded.coding, 0, coded.width, scale, coded.base, coded.step, 0, 0, 0, 0, 0)
    return _finish(head, coded.payload, valid)


def _encode_texts(array: pa.Array, valid: npt.NDArray[np.bool_] | None) -> tuple[_Head, bytes]:
    encoded = array.dictionary_encode()
    words = [text.encode() for text in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = 0 if len(words) == 1 else next(width for width in WIDTHS if len(words) <= 1 << 8 * width)
    lengths = np.array([len(word) for word in words], "<u4")
    payload = struct.pack("<I", len(words)) + lengths.tobytes() + b"".join(words)
    if width:
        payload += codes.astype(f"<u{width}").tobytes()
    return _finish(_Head(_Coding.TEXT, 0, width, 0, 0, 1, 0, 0, 0, 0, 0), payload, valid)


def _finish(head: _Head, payload: bytes, valid: npt.NDArray[np.bool_] | None) -> tuple[_Head, bytes]:
    """Put the null mask before the payload and compress both where it pays."""
    flags = head.flags
    mask = b""
    if valid is not None:
        mask = np.packbits(valid, bitorder="little").tobytes()
        flags |= _NULLS
    raw = mask + payload
    frame = compressed(raw)
    if frame is not None:
        flags |= _COMPRESSED
    return head._replace(flags=flags, raw=len(raw), nulls=len(mask)), raw if frame is None else frame


class Segment:
    """A segment read: the header is checked at once, each column when it is asked for.

    :raises CorruptionError: when the bytes are not a segment, or not as they were written.
    """

    def __init__(self, content: bytes | memoryview, what: object = "segment") -> None:
        self._content = memoryview(content)
        self._what = what
        self._decoded: dict[str, Integers] = {}
        self._heads: dict[str, _Head] = {}
        self._arrays: dict[tuple[str, bool], pa.Array] | None = None
        self._entries = dict(self._read_header())

    def _read_header(self) -> Iterator[tuple[str, int]]:
        """Yield the names of the columns, and where their entries are."""
        try:
            magic, version, spare, count, rows, size, crc = _HEADER.unpack_from(self._content)
        except struct.error:
            raise self._damaged("it is too short") from None
        if magic != MAGIC or version != VERSION:
            raise self._damaged(f"it is no segment of version {VERSION}")
        rest = self._content[_HEADER.size : size]
        if zlib.crc32(rest, zlib.crc32(_HEADER.pack(magic, version, spare, count, rows, size, 0))) != crc:
            raise self._damaged("its header does not match its checksum")
        self.rows: int = rows
        header = bytes(self._content[:size])
        at = _HEADER.size
        for _ in range(count):
            end = at + 1 + header[at]
            yield header[at + 1 : end].decode(), end
            at = end + _COLUMN.size

    def _head(self, name: str) -> _Head:
        if name not in self._heads:
            self._heads[name] = _Head._make(_COLUMN.unpack_from(self._content, self._entries[name]))
        return self._heads[name]

    def _damaged(self, why: str) -> CorruptionError:
        return CorruptionError(
            f"{self._what} is damaged: {why}", hint="restore the database from a backup", operation="read a segment"
        )

    def _payload(self, name: str) -> tuple[_Head, memoryview]:
        head = self._head(name)
        stored = self._content[head.offset : head.offset + head.stored]
        if len(stored) != head.stored or zlib.crc32(stored) != head.crc:
            raise self._damaged(f"its column {name} does not match its checksum")
        if head.flags & _COMPRESSED:
            stored = memoryview(decompressed(stored, head.raw))
        return head, stored

    @property
    def weight(self) -> int:
        """Bytes that the segment takes with all columns decoded, about."""
        return len(self._content) + 8 * self.rows * sum(self._head(name).raw > 0 for name in self._entries)

    def keep(self) -> None:
        """Decode every column asked for as a whole from now on, and keep it, for who will ask again."""
        self._arrays = {}

    def has_integers(self, name: str) -> bool:
        """Tell whether a column is kept as integers, not as texts."""
        return self._head(name).coding != _Coding.TEXT

    def integers(self, name: str) -> Integers:
        """Return the unscaled integers of a column that has them; where it is null, any number."""
        # Times are asked for again and again: to find the rows of a range, and to return them.
        if name not in self._decoded:
            head, payload = self._payload(name)
            self._decoded[name] = self._integers(head, payload[head.nulls :], 0, self.rows)
        return self._decoded[name]

    @staticmethod
    def _integers(head: _Head, payload: memoryview, start: int, end: int) -> Integers:
        return integers.decode(head.coding, head.width, head.base, head.step, payload, start, end)

    def places(self) -> Integers:
        """Return the order of arrival of each row among those of its time: what was kept as ``seq``, else their order here."""
        return self.integers("seq") if "seq" in self._entries else ranks(self.integers("timestamp"))

    def scale(self, name: str) -> int:
        """Return how many digits of a decimal column's integers stand after the point."""
        return self._head(name).scale

    def array(
        self, name: str, column_type: str, start: int = 0, end: int | None = None, *, scaled: bool = False
    ) -> pa.Array:
        """Return rows of a column as Arrow: a decimal column, times, integers or texts.

        :param scaled: return decimals as the integers they are kept as (see :meth:`scale`), unless they are kept as texts.
        """
        end = self.rows if end is None else end
        if self._arrays is None:
            return self._array(name, column_type, start, end, scaled=scaled)
        if (kept := self._arrays.get((name, scaled))) is None:
            kept = self._arrays[name, scaled] = self._array(name, column_type, 0, self.rows, scaled=scaled)
        return kept.slice(start, end - start)

    def _array(self, name: str, column_type: str, start: int, end: int, *, scaled: bool) -> pa.Array:
        count = end - start
        head = self._head(name)
        if head.coding == _Coding.EMPTY:
            return _nulls(count, pa.int64() if scaled and column_type == "decimal" else _EMPTY[column_type])
        if name in self._decoded and not head.flags & _NULLS:
            return self._as_arrow(self._decoded[name][start:end], column_type, head, scaled=scaled)
        head, payload = self._payload(name)
        mask = None
        if head.flags & _NULLS:
            bits = np.unpackbits(np.frombuffer(payload[: head.nulls], np.uint8), count=self.rows, bitorder="little")
            mask = bits[start:end]
        payload = payload[head.nulls :]
        if head.coding == _Coding.TEXT:
            return self._texts(head, payload, mask, start, end)
        return self._as_arrow(self._integers(head, payload, start, end), column_type, head, mask, scaled=scaled)

    @staticmethod
    def _as_arrow(
        values: Integers, column_type: str, head: _Head, mask: npt.NDArray[np.uint8] | None = None, *, scaled: bool
    ) -> pa.Array:
        count = len(values)
        validity = None if mask is None else pa.py_buffer(np.packbits(mask, bitorder="little"))
        nulls = 0 if mask is None else count - int(mask.sum())
        values.setflags(write=False)  # others may be given a view of the same memory
        kind = columns.TIME if column_type == "time" else pa.int64()
        found = pa.Array.from_buffers(kind, count, [validity, pa.py_buffer(values)], nulls)
        return columns.from_scaled(found, head.scale) if column_type == "decimal" and not scaled else found

    def _texts(
        self, head: _Head, payload: memoryview, mask: npt.NDArray[np.uint8] | None, start: int, end: int
    ) -> pa.Array:
        (count,) = struct.unpack_from("<I", payload)
        lengths = np.frombuffer(payload[4 : 4 + 4 * count], "<u4")
        ends = np.zeros(count + 1, np.int32)
        np.cumsum(lengths, out=ends[1:])
        text_start = 4 + 4 * count
        text_end = text_start + int(ends[-1])
        words = pa.Array.from_buffers(
            pa.string(), count, [None, pa.py_buffer(ends), pa.py_buffer(payload[text_start:text_end])]
        )
        codes = np.frombuffer(payload[text_end:], f"<u{head.width}") if head.width else np.zeros(self.rows, np.uint8)
        indices = pa.array(codes[start:end], mask=None if mask is None else mask == 0)
        return words.take(indices)


def _nulls(count: int, kind: pa.DataType) -> pa.Array:
    """Return a column without values; all of one type share their memory."""
    shared = _shared_nulls(kind)
    return shared.slice(0, count) if count <= len(shared) else pa.nulls(count, kind)


@functools.lru_cache(maxsize=8)
def _shared_nulls(kind: pa.DataType) -> pa.Array:
    return pa.nulls(32_768, kind)


_EMPTY = {"decimal": pa.decimal128(38, 0), "time": columns.TIME, "integer": pa.int64(), "text": pa.string()}


def ranks(times: Integers) -> Integers:
    """Return the place, from 0, of each row among those that share its time; *times* are in order."""
    count = np.arange(len(times))
    first = np.ones(len(times), bool)
    first[1:] = times[1:] != times[:-1]
    return count - np.maximum.accumulate(np.where(first, count, 0))
