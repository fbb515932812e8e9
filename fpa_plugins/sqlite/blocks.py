"""Segments lately read, decoded, in bounded memory: whoever looks at an hour looks at it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pyarrow as pa

from fpa_core.segments.reader import Segment
from fpa_plugins.sqlite.sealed import Entry, rows_of

__all__ = ["Block", "Blocks"]


class Block:
    """A segment read; of one that is kept, each column is decoded as a whole when it is first asked for, and parts of it are views."""

    def __init__(self, entry: Entry, segment: Segment) -> None:
        self.segment = segment
        self._entry = entry
        self._whole: dict[tuple[tuple[str, ...], bool], pa.RecordBatch] | None = None

    def keep(self) -> None:
        """Keep what is decoded from now on."""
        self.segment.keep()
        self._whole = {}

    def rows(self, start: int, end: int, names: Sequence[str], *, scaled: bool) -> pa.RecordBatch:
        """Return rows with the columns named; *scaled* as for :meth:`fpa_core.segments.reader.Segment.array`."""
        if self._whole is None:
            return rows_of(self._entry, self.segment, start, end, names=names, scaled=scaled)
        key = (tuple(names), scaled)
        if (whole := self._whole.get(key)) is None:
            whole = self._whole[key] = rows_of(self._entry, self.segment, names=names, scaled=scaled)
        return whole.slice(start, end - start)


class Blocks:
    """Keeps the segments read last, shared by all readers of a store.

    A segment never changes, and its checksum stands in the catalog: what the catalog of a reader's own moment names is what it gets, whatever
    became of the rows since.

    :param max_bytes: memory to use at most, about; none for 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, bytes], Block] = OrderedDict()
        self._bytes = 0

    def get(self, entry: Entry, read: Callable[[], Segment], *, passing: bool = False) -> Block:
        """Return the segment of an entry, and keep it; the longest unused go when there is no room.

        :param passing: whether it is one of many that are read together: such a one drives none out.
        """
        key = (entry.id, entry.checksum)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        block = Block(entry, read())
        weight = block.segment.weight
        with self._lock:
            room = self._max_bytes - (self._bytes if passing else 0)
            if weight <= room and key not in self._kept:
                block.keep()
                self._kept[key] = block
                self._bytes += weight
                while self._bytes > self._max_bytes:
                    _, oldest = self._kept.popitem(last=False)
                    self._bytes -= oldest.segment.weight
        return block

    def kept(self) -> list[Block]:
        """Return what is kept, the longest unused first."""
        with self._lock:
            return list(self._kept.values())

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
