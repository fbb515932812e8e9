"""Segments: rows of one kind and one subject, in order of time, as narrow integers; pure functions from tables to bytes and back.

A segment is a header, which says how each column is coded and where its bytes lie, and the bytes of the columns. Times and numbers are
integers at one scale a column, kept as offsets from the least value or as differences from row to row, whichever is narrower; texts are
numbers of a dictionary. Columns are compressed where that pays. Header and columns each carry a CRC-32, so that a column can be read alone
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

__all__ = ["Segment", "encode_segment", "ranks"]

Integers = npt.NDArray[np.int64]

MAGIC = b"FPAS"
VERSION = 1

_HEADER = struct.Struct("<4sBBHIII")
"""Magic, version, zero, columns, rows, bytes of the whole header, CRC-32 of the header (taken with this field zero)."""

_COLUMN = struct.Struct("<BBBbqqIIIII")
"""Coding, flags, width, scale, base, step, offset, stored bytes, raw bytes, bytes of the null mask, CRC-32 of the stored bytes."""

_DELTA = struct.Struct("<qI")
"""Least difference, and how many stand apart, before the bytes of differences."""

_ZSTD = pa.Codec("zstd", compression_level=1)
_PAYS = 0.9
"""Share of its size to which a column must shrink for compression to pay for its time."""

_CLOSER = 4
"""How much closer together differences must lie than values to be kept in their place at no fewer bytes."""

_EXCEPTION_BYTES = 12
_WIDTHS = (1, 2, 4, 8)


class _Coding(IntEnum):
    EMPTY = 0
    """Every value is null."""
    OFFSET = 1
    """Value = base + step x number; a width of 0 means that all numbers are 0."""
    DELTA = 2
    """Value = value before + base of the differences + step x number; the first value and the wide differences stand apart."""
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


def encode_segment(kind: Kind, table: pa.Table, extra: Mapping[str, Integers] | None = None) -> bytes:
    """Return rows of one subject, in order of time, as a segment.

    :param table: the kind's columns; the subject's own column is left to whoever keeps the segment.
    :param extra: further integer columns, such as the batch of each row.
    """
    coded: list[tuple[str, _Head, bytes]] = [
        (column.name, *_encode_array(column.type, _whole(table.column(column.name))))
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
    blank = _HEADER.pack(MAGIC, VERSION, 0, len(coded), table.num_rows, size, 0)
    crc = zlib.crc32(rest, zlib.crc32(blank))
    return b"".join([_HEADER.pack(MAGIC, VERSION, 0, len(coded), table.num_rows, size, crc), rest, *payloads])


def _whole(array: Any) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _encode_array(column_type: str, array: pa.Array) -> tuple[_Head, bytes]:
    if array.null_count == len(array):
        return _Head(_Coding.EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), b""
    valid = None if not array.null_count else array.is_valid().to_numpy(zero_copy_only=False)
    if column_type == "decimal":
        array = columns.as_numeric(array)
        if (scaled := columns.as_scaled(array)) is not None:
            numbers = np.frombuffer(scaled[0].buffers()[1], np.int64, len(array))
            return _encode_integers(_filled(numbers, valid), valid, scaled[1])
        array = columns.as_texts(array)  # too long for 64 bits at one scale: kept as texts, which hold any number
    elif column_type != "text":
        numbers = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return _encode_integers(_filled(numbers, valid), valid, 0)
    return _encode_texts(array, valid)


def _filled(values: Integers, valid: npt.NDArray[np.bool_] | None) -> Integers:
    """Return *values* with a value that is there anyway in the place of nulls, so that they cost no width."""
    return values if valid is None else np.where(valid, values, values[np.argmax(valid)])


def _encode_integers(values: Integers, valid: npt.NDArray[np.bool_] | None, scale: int) -> tuple[_Head, bytes]:
    base, top = int(values.min()), int(values.max())
    if base == top:
        head = _Head(_Coding.OFFSET, 0, 0, scale, base, 1, 0, 0, 0, 0, 0)
        return _finish(head, b"", valid)
    # Differences may pass 64 bits; they are taken modulo 2**64, which adding them up again undoes.
    offsets = values.view(np.uint64) - np.uint64(base % 2**64)
    step = _common(offsets)
    reach = (top - base) // step
    width = _width(reach)
    if top - base < 2**62:
        steps = np.diff(values)
        least = int(steps.min())
        numbers = (steps - least).view(np.uint64)
        differences = _Differences.plan(numbers)
        # At the same width those that lie much closer together are compressed to much less.
        closer = differences.width == width and _CLOSER * differences.reach < reach
        if closer or differences.size < len(offsets) * width:
            head = _Head(_Coding.DELTA, 0, differences.width, scale, int(values[0]), differences.step, 0, 0, 0, 0, 0)
            return _finish(head, differences.payload(numbers, least), valid)
    head = _Head(_Coding.OFFSET, 0, width, scale, base, step, 0, 0, 0, 0, 0)
    return _finish(head, _divided(offsets, step).astype(f"<u{width}").tobytes(), valid)


def _common(numbers: npt.NDArray[np.uint64]) -> int:
    """Return the greatest number that divides all; as a rule a few of them show already that there is none but 1."""
    few = int(np.gcd.reduce(numbers[:64]))
    step = few if few == 1 else int(np.gcd.reduce(numbers)) or 1
    return step if step < 2**63 else 1  # the header has 63 bits for it; only the two far ends of time are further apart


def _divided(numbers: npt.NDArray[np.uint64], step: int) -> npt.NDArray[np.uint64]:
    return numbers if step == 1 else numbers // np.uint64(step)


def _width(top: int) -> int:
    """Return the fewest bytes that hold numbers up to *top*."""
    return next(width for width in _WIDTHS if top < 1 << 8 * width)


class _Differences(NamedTuple):
    """How differences are kept: what they are divided by, the greatest of them, the bytes of each, which are too wide for those, and the bytes of all."""

    step: int
    reach: int
    width: int
    wide: npt.NDArray[np.int64]
    size: int

    @classmethod
    def plan(cls, numbers: npt.NDArray[np.uint64]) -> _Differences:
        """Choose the width that takes the fewest bytes."""
        step = _common(numbers)
        reach = int(numbers.max()) // step
        widest = _width(reach)
        chosen = cls(step, reach, widest, np.zeros(0, np.int64), _DELTA.size + len(numbers) * widest)
        for width in _WIDTHS[: _WIDTHS.index(widest)]:
            wide = np.flatnonzero(numbers >= np.uint64(step << 8 * width))
            size = _DELTA.size + len(numbers) * width + len(wide) * _EXCEPTION_BYTES
            if size < chosen.size:
                chosen = cls(step, reach, width, wide, size)
        return chosen

    def payload(self, numbers: npt.NDArray[np.uint64], least: int) -> bytes:
        """Return the bytes of the differences."""
        numbers = _divided(numbers, self.step)
        kept = numbers.astype(f"<u{self.width}")
        kept[self.wide] = 0
        exceptions = [self.wide.astype("<u4").tobytes(), numbers[self.wide].astype("<u8").tobytes()]
        return b"".join([_DELTA.pack(least, len(self.wide)), *exceptions, kept.tobytes()])


def _encode_texts(array: pa.Array, valid: npt.NDArray[np.bool_] | None) -> tuple[_Head, bytes]:
    encoded = array.dictionary_encode()
    words = [text.encode() for text in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = 0 if len(words) == 1 else next(width for width in _WIDTHS if len(words) <= 1 << 8 * width)
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
    stored = raw
    if len(raw) > 64:
        packed = bytes(_ZSTD.compress(raw))
        if len(packed) < _PAYS * len(raw):
            stored, flags = packed, flags | _COMPRESSED
    return head._replace(flags=flags, raw=len(raw), nulls=len(mask)), stored


class Segment:
    """A segment read: the header is checked at once, each column when it is asked for.

    :raises CorruptionError: when the bytes are not a segment, or not as they were written.
    """

    def __init__(self, content: bytes | memoryview, what: str = "segment") -> None:
        self._content = memoryview(content)
        self._what = what
        self._decoded: dict[str, Integers] = {}
        self._heads = dict(self._read_header())

    def _read_header(self) -> Iterator[tuple[str, _Head]]:
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
        at = 0
        for _ in range(count):
            length = rest[at]
            name = bytes(rest[at + 1 : at + 1 + length]).decode()
            at += 1 + length
            yield name, _Head._make(_COLUMN.unpack_from(rest, at))
            at += _COLUMN.size

    def _damaged(self, why: str) -> CorruptionError:
        return CorruptionError(
            f"{self._what} is damaged: {why}", hint="restore the database from a backup", operation="read a segment"
        )

    def _payload(self, name: str) -> tuple[_Head, memoryview]:
        head = self._heads[name]
        stored = self._content[head.offset : head.offset + head.stored]
        if len(stored) != head.stored or zlib.crc32(stored) != head.crc:
            raise self._damaged(f"its column {name} does not match its checksum")
        if head.flags & _COMPRESSED:
            stored = memoryview(_ZSTD.decompress(stored, head.raw))
        return head, stored

    def has_integers(self, name: str) -> bool:
        """Tell whether a column is kept as integers, not as texts."""
        return self._heads[name].coding != _Coding.TEXT

    def integers(self, name: str) -> Integers:
        """Return the unscaled integers of a column that has them; where it is null, any number."""
        if (
            name not in self._decoded
        ):  # times are asked for again and again: to find the rows of a range, and to return them
            head, payload = self._payload(name)
            self._decoded[name] = self._integers(head, payload[head.nulls :], 0, self.rows)
        return self._decoded[name]

    def _integers(self, head: _Head, payload: memoryview, start: int, end: int) -> Integers:
        if head.coding == _Coding.EMPTY or not head.width or end <= start:
            return np.full(max(0, end - start), head.base, np.int64)
        if head.coding == _Coding.OFFSET:
            return _lift(np.frombuffer(payload, f"<u{head.width}")[start:end], head.step, head.base)
        least, wide = _DELTA.unpack_from(payload)
        rest = _DELTA.size + wide * _EXCEPTION_BYTES
        steps = np.empty(end, np.int64)
        steps[0] = head.base
        steps[1:] = _lift(np.frombuffer(payload[rest:], f"<u{head.width}")[: end - 1], head.step, least)
        if wide:
            places = np.frombuffer(payload[_DELTA.size : _DELTA.size + 4 * wide], "<u4").astype(np.int64)
            numbers = np.frombuffer(payload[_DELTA.size + 4 * wide : rest], "<u8")
            within = int(np.searchsorted(places, end - 1))  # they are in order
            steps[1 + places[:within]] = _lift(numbers[:within], head.step, least)
        return np.cumsum(steps, out=steps)[start:]

    def places(self) -> Integers:
        """Return the order of arrival of each row among those of its time: what was kept as ``seq``, else their order here."""
        return self.integers("seq") if "seq" in self._heads else ranks(self.integers("timestamp"))

    def scale(self, name: str) -> int:
        """Return how many digits of a decimal column's integers stand after the point."""
        return self._heads[name].scale

    def array(
        self, name: str, column_type: str, start: int = 0, end: int | None = None, *, scaled: bool = False
    ) -> pa.Array:
        """Return rows of a column as Arrow: a decimal column, times, integers or texts.

        :param scaled: return decimals as the integers they are kept as (see :meth:`scale`), unless they are kept as texts.
        """
        end = self.rows if end is None else end
        count = end - start
        if name in self._decoded and not self._heads[name].flags & _NULLS:
            return self._as_arrow(self._decoded[name][start:end], column_type, self._heads[name], scaled=scaled)
        head, payload = self._payload(name)
        if head.coding == _Coding.EMPTY:
            return _nulls(count, pa.int64() if scaled and column_type == "decimal" else _EMPTY[column_type])
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
    return pa.nulls(16_384, kind)


_EMPTY = {"decimal": pa.decimal128(38, 0), "time": columns.TIME, "integer": pa.int64(), "text": pa.string()}


def ranks(times: Integers) -> Integers:
    """Return the place, from 0, of each row among those that share its time; *times* are in order."""
    count = np.arange(len(times))
    first = np.ones(len(times), bool)
    first[1:] = times[1:] != times[:-1]
    return count - np.maximum.accumulate(np.where(first, count, 0))


def _lift(numbers: npt.NDArray[Any], step: int, base: int) -> Integers:
    """Return base + step x number, modulo 2**64."""
    values = numbers.astype(np.uint64)
    if step != 1:
        values *= np.uint64(step)
    if base:
        values += np.uint64(base % 2**64)
    return values.view(np.int64)
