"""Segments lately read, decoded, in bounded memory: whoever looks at an hour looks at it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from fpa_core.store.segments import Segment
from fpa_plugins.sqlite.sealed import Entry

__all__ = ["Blocks"]


class Blocks:
    """Keeps the segments read last, shared by all readers of a store.

    A segment never changes, and its checksum stands in the catalog: what the catalog of a reader's own moment names is what it gets, whatever
    became of the rows since.

    :param max_bytes: memory to use at most, about; none for 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, bytes], Segment] = OrderedDict()
        self._bytes = 0

    def get(self, entry: Entry, read: Callable[[], Segment]) -> Segment:
        """Return the segment of an entry, and keep it decoded."""
        key = (entry.id, entry.checksum)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        segment = read()
        if segment.weight <= self._max_bytes:
            segment.keep()
            with self._lock:
                if key not in self._kept:
                    self._bytes += segment.weight
                    self._kept[key] = segment
                while self._bytes > self._max_bytes:
                    _, oldest = self._kept.popitem(last=False)
                    self._bytes -= oldest.weight
        return segment

    def kept(self) -> list[Segment]:
        """Return what is kept, the longest unused first."""
        with self._lock:
            return list(self._kept.values())

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
