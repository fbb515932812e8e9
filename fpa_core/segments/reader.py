"""Read segments: rows of one kind and one subject, in order of time, as narrow integers. :mod:`fpa_core.segments.writer` writes them.

A segment is a header, with the coding and the position of each column, and the bytes of the columns. Times and numbers are integers at one
scale per column (see :mod:`fpa_core.segments.integers`); texts are positions in a dictionary. Columns are compressed if that pays off. Header and columns each carry a CRC-32, so that a column can be read alone and damage is never returned as data. docs/reference/segment-format.md describes every byte.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from isal.isal_zlib import crc32

from fpa_core.arrow import columns
from fpa_core.exceptions import CorruptionError
from fpa_core.segments import integers
from fpa_core.segments.compression import decompressed
from fpa_core.segments.integers import Integers
from fpa_core.segments.layout import COLUMN, COMPRESSED, HEADER, MAGIC, NULLS, VERSION, Coding, Head

__all__ = ["Segment", "ranks"]


class Segment:
    """A segment to read. The header is checked at once, each column when it is read.

    :raises CorruptionError: if the bytes are not a segment, or are damaged.
    """

    def __init__(self, content: bytes | memoryview, what: object = "segment") -> None:
        self._content = memoryview(content)
        self._what = what
        self._decoded: dict[str, Integers] = {}
        self._heads: dict[str, Head] = {}
        self._arrays: dict[tuple[str, bool], pa.Array] | None = None
        self._payloads: dict[str, memoryview] = {}
        self._entries = dict(self._read_header())

    def _read_header(self) -> Iterator[tuple[str, int]]:
        """Yield the names of the columns, and the positions of their entries."""
        try:
            magic, version, spare, count, rows, size, crc = HEADER.unpack_from(self._content)
        except struct.error:
            raise self._damaged("it is too short") from None
        if magic != MAGIC or version != VERSION:
            raise self._damaged(f"it is not a segment of version {VERSION}")
        rest = self._content[HEADER.size : size]
        if crc32(rest, crc32(HEADER.pack(magic, version, spare, count, rows, size, 0))) != crc:
            raise self._damaged("its header does not match its checksum")
        self.rows: int = rows
        header = bytes(self._content[:size])
        at = HEADER.size
        for _ in range(count):
            end = at + 1 + header[at]
            yield header[at + 1 : end].decode(), end
            at = end + COLUMN.size

    def _head(self, name: str) -> Head:
        if name not in self._heads:
            if name not in self._entries:  # a column added to the kind after this segment was written
                return _ABSENT
            self._heads[name] = Head._make(COLUMN.unpack_from(self._content, self._entries[name]))
        return self._heads[name]

    def _damaged(self, why: str) -> CorruptionError:
        return CorruptionError(
            f"{self._what} is damaged: {why}", hint="restore the database from a backup", operation="read a segment"
        )

    def _payload(self, name: str) -> tuple[Head, memoryview]:
        head = self._head(name)
        if (kept := self._payloads.get(name)) is not None:
            return head, kept
        stored = self._content[head.offset : head.offset + head.stored]
        if len(stored) != head.stored or crc32(stored) != head.crc:
            raise self._damaged(f"its column {name} does not match its checksum")
        if head.flags & COMPRESSED:
            stored = memoryview(decompressed(stored, head.raw))
        return head, stored

    @property
    def weight(self) -> int:
        """The approximate size in bytes of the segment with all columns decoded."""
        return len(self._content) + 8 * self.rows * sum(self._head(name).raw > 0 for name in self._entries)

    def keep(self) -> None:
        """From now on, decode every requested column completely and keep it for later requests."""
        self._arrays = {}

    def pack(self, names: Iterable[str]) -> int:
        """From now on, have the columns *names* alone, uncompressed and as narrow as they are stored; return their size in bytes."""
        stored = [name for name in names if self._head(name).coding != Coding.EMPTY]
        # The memory of a compressed column is its own; a view of another would keep the whole segment.
        self._payloads = {
            name: payload if self._head(name).flags & COMPRESSED else memoryview(bytes(payload))
            for name in stored
            for _, payload in [self._payload(name)]
        }
        self._content = memoryview(b"")
        return sum(map(len, self._payloads.values()))

    def integers(self, name: str) -> Integers:
        """Return the unscaled integers of an integer column. Null values have arbitrary numbers."""
        # Times are needed repeatedly: to find the rows of a range, and to return them.
        if name not in self._decoded:
            head, payload = self._payload(name)
            self._decoded[name] = self._integers(head, payload[head.nulls :], 0, self.rows)
        return self._decoded[name]

    def is_plain(self, name: str) -> bool:
        """Return whether each row of a column is an integer: none is null, and they are not stored as texts."""
        head = self._head(name)
        return head.coding not in (Coding.TEXT, Coding.EMPTY) and not head.flags & NULLS

    def write_integers(self, name: str, out: Integers) -> None:
        """Write the unscaled integers of a plain column to *out*, which has as many places as there are rows."""
        head, payload = self._payload(name)
        integers.decode(head.coding, head.width, head.base, head.step, payload, 0, self.rows, out)

    @staticmethod
    def _integers(head: Head, payload: memoryview, start: int, end: int) -> Integers:
        return integers.decode(head.coding, head.width, head.base, head.step, payload, start, end)

    def places(self) -> Integers:
        """Return the order of arrival of each row among those of the same time: the stored ``seq``, else their order in the segment."""
        return self.integers("seq") if "seq" in self._entries else ranks(self.integers("timestamp"))

    def since(self) -> Integers | None:
        """Return the batch that restored each row, below 0 for rows that no batch restored; None if no batch restored any row."""
        return self.integers("since") if "since" in self._entries else None

    def scale(self, name: str) -> int:
        """Return the scale of a decimal column's integers."""
        return self._head(name).scale

    def digits(self, name: str) -> tuple[int, int]:
        """Return how many digits the numbers of a decimal column have before and after the point, from the header alone.

        Numbers stored as differences may have more before the point than this says, which is three more than the first of them has.
        """
        head = self._head(name)
        if head.coding == Coding.EMPTY:
            return 0, 0
        first = abs(head.base)
        peak = first * 1_000 if head.coding == Coding.DELTA else first + head.step * (256**head.width - 1)
        return max(0, len(str(peak)) - head.scale), head.scale

    def array(
        self, name: str, column_type: str, start: int = 0, end: int | None = None, *, scaled: bool = False
    ) -> pa.Array:
        """Return rows of a column as Arrow: a decimal column, times, integers or texts.

        :param scaled: return decimals as the stored integers (see :meth:`scale`), unless they are stored as text.
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
        if head.coding == Coding.EMPTY:
            return _nulls(count, pa.int64() if scaled and column_type == "decimal" else _EMPTY[column_type])
        if name in self._decoded and not head.flags & NULLS:
            return self._as_arrow(self._decoded[name][start:end], column_type, head, scaled=scaled)
        head, payload = self._payload(name)
        mask = None
        if head.flags & NULLS:
            bits = np.unpackbits(np.frombuffer(payload[: head.nulls], np.uint8), count=self.rows, bitorder="little")
            mask = bits[start:end]
        payload = payload[head.nulls :]
        if head.coding == Coding.TEXT:
            return self._texts(head, payload, mask, start, end)
        return self._as_arrow(self._integers(head, payload, start, end), column_type, head, mask, scaled=scaled)

    @staticmethod
    def _as_arrow(
        values: Integers, column_type: str, head: Head, mask: npt.NDArray[np.uint8] | None = None, *, scaled: bool
    ) -> pa.Array:
        count = len(values)
        validity = None if mask is None else pa.py_buffer(np.packbits(mask, bitorder="little"))
        nulls = 0 if mask is None else count - int(mask.sum())
        values.setflags(write=False)  # other callers may get a view of the same memory
        kind = columns.TIME if column_type == "time" else pa.int64()
        found = pa.Array.from_buffers(kind, count, [validity, pa.py_buffer(values)], nulls)
        return columns.from_scaled(found, head.scale) if column_type == "decimal" and not scaled else found

    def _texts(
        self, head: Head, payload: memoryview, mask: npt.NDArray[np.uint8] | None, start: int, end: int
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
    """Return a column of nulls. Columns of one type share their memory."""
    shared = _shared_nulls(kind)
    return shared.slice(0, count) if count <= len(shared) else pa.nulls(count, kind)


@functools.lru_cache(maxsize=8)
def _shared_nulls(kind: pa.DataType) -> pa.Array:
    return pa.nulls(32_768, kind)


_ABSENT = Head(Coding.EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_EMPTY = {"decimal": pa.decimal128(38, 0), "time": columns.TIME, "integer": pa.int64(), "text": pa.string()}


def ranks(times: Integers) -> Integers:
    """Return the position, from 0, of each row among those of the same time; *times* are sorted."""
    count = np.arange(len(times))
    first = np.ones(len(times), bool)
    first[1:] = times[1:] != times[:-1]
    return count - np.maximum.accumulate(np.where(first, count, 0))
