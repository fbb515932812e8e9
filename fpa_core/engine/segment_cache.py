"""Cache segments in bounded memory, since what was read is likely to be read again: those of a range decoded, some columns of many as narrow as they are stored."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from fpa_core.engine.catalog import SegmentInfo

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.segments.reader import Segment

__all__ = ["CachedSegment", "SegmentCache"]


class CachedSegment:
    """A segment in memory. If it is kept, each column is decoded as a whole on first use, and ranges of it are views."""

    def __init__(self, info: SegmentInfo, segment: Segment) -> None:
        self.segment = segment
        self.weight = 0
        self._info = info
        self._whole: dict[tuple[tuple[str, ...], bool], pa.RecordBatch] | None = None

    def keep(self) -> None:
        """Keep what is decoded from now on."""
        self.weight = self.segment.weight
        self.segment.keep()
        self._whole = {}

    def pack(self, names: Sequence[str]) -> None:
        """Keep the columns named, as narrow as they are stored, and nothing else."""
        self.weight = self.segment.pack(names)

    def rows(self, start: int, end: int, names: Sequence[str], *, scaled: bool) -> pa.RecordBatch:
        """Return rows with the columns named; *scaled* as for :meth:`fpa_core.segments.reader.Segment.array`."""
        from fpa_core.engine.segment_rows import rows_of

        if self._whole is None:
            return rows_of(self._info, self.segment, start, end, names=names, scaled=scaled)
        key = (tuple(names), scaled)
        if (whole := self._whole.get(key)) is None:
            whole = self._whole[key] = rows_of(self._info, self.segment, names=names, scaled=scaled)
        return whole.slice(start, end - start)


_Key: TypeAlias = tuple[int, bytes, tuple[str, ...] | None]
"""The id and the checksum of a segment, and the columns that are kept of it; None for all."""


OFTEN = 0.8
"""The share of the memory for segments that were read again; the rest is for those that were read once."""


class SegmentCache:
    """Keeps the segments read last, shared by all readers of a store.

    A segment never changes, and its checksum stands in the catalog: a reader gets what the catalog of its own moment names, whatever became of
    the rows since.

    Those that were read once make room first, the one unused for longest before the others. One that is read again counts as read often, and comes
    back to those read once only if there are too many of its kind. So a reading of much data, in whatever ranges, does not evict what small reads use
    again and again (the segmented LRU of Karedla, Love and Wherry, "Caching strategies to improve disk system performance", Computer 27, 1994).

    :param max_bytes: memory to use at most, approximately; none for 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._once: OrderedDict[_Key, CachedSegment] = OrderedDict()
        self._often: OrderedDict[_Key, CachedSegment] = OrderedDict()
        self._bytes = self._often_bytes = 0
        self._together: tuple[str, ...] = ()  # the columns read last for which others made room

    def _owned(self) -> threading.Lock:
        """Return the lock. A forked child begins anew: a thread that held the lock then is not there to release it."""
        if self._pid != os.getpid():
            self._begin()
        return self._lock

    def get(self, info: SegmentInfo, read: Callable[[], Segment], *, scanning: bool = False) -> CachedSegment:
        """Return a segment and keep it, evicting the least recently used ones if there is no room.

        :param scanning: whether it is one of many that are read together: it does not evict others, and does not count as read again.
        """
        key = (info.id, info.checksum, None)
        if (kept := self._find(key, scanning=scanning)) is not None:
            return kept
        cached = CachedSegment(info, read())
        with self._owned():
            room = self._max_bytes - (self._bytes if scanning else 0)
            if cached.segment.weight <= room and key not in self._once and key not in self._often:
                cached.keep()
                self._add(key, cached)
        return cached

    def columns(self, info: SegmentInfo, names: Sequence[str], read: Callable[[], Segment]) -> CachedSegment:
        """Return a segment of which no other columns than *names* are needed, and keep these if there is room.

        It is one of many that are read together, and evicts only what was kept for such a reading of other columns.
        """
        asked = tuple(names)
        for key in ((info.id, info.checksum, None), (info.id, info.checksum, asked)):
            if (kept := self._find(key, scanning=True)) is not None:
                return kept
        cached = CachedSegment(info, read())
        if self._has_room(info.bytes, asked):
            cached.pack(names)
            with self._owned():
                if self._bytes + cached.weight <= self._max_bytes and key not in self._once:
                    self._add(key, cached)
        return cached

    def _has_room(self, size: int, names: tuple[str, ...]) -> bool:
        """Return whether there is room for the columns *names* of a segment, after those of readings of others have gone, if that is needed."""
        with self._owned():
            if self._bytes + size > self._max_bytes and self._together != names:
                self._together = names
                for key in [key for key in self._once if key[2] not in (None, names)]:
                    self._bytes -= self._once.pop(key).weight
            return self._bytes + size <= self._max_bytes

    def _find(self, key: _Key, *, scanning: bool) -> CachedSegment | None:
        with self._owned():
            if (kept := self._often.get(key)) is not None:
                if not scanning:
                    self._often.move_to_end(key)
            elif (kept := self._once.get(key)) is not None and not scanning:
                self._read_again(key)
            return kept

    def _read_again(self, key: _Key) -> None:
        """Count a segment as read often, and the least recently used of these as read once if there are too many."""
        self._often[key] = self._once.pop(key)
        self._often_bytes += self._often[key].weight
        while self._often_bytes > OFTEN * self._max_bytes:
            oldest, segment = self._often.popitem(last=False)
            self._once[oldest] = segment
            self._often_bytes -= segment.weight

    def _add(self, key: _Key, cached: CachedSegment) -> None:
        """Add a segment, and evict others if there is no room."""
        self._once[key] = cached
        self._bytes += cached.weight
        while self._bytes > self._max_bytes:
            if len(self._once) > 1:
                _, oldest = self._once.popitem(last=False)
            else:  # the one that was added, which needs more than the others leave
                _, oldest = self._often.popitem(last=False)
                self._often_bytes -= oldest.weight
            self._bytes -= oldest.weight

    def kept(self) -> list[CachedSegment]:
        """Return what is kept, in the order in which it makes room."""
        with self._owned():
            return [*self._once.values(), *self._often.values()]

    def clear(self) -> None:
        """Forget all."""
        with self._owned():
            self._once.clear()
            self._often.clear()
            self._bytes = self._often_bytes = 0
