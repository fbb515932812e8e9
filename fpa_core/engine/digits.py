"""How many digits the stored decimals have: what a type must hold that is named before the rows are read."""

from __future__ import annotations

import contextlib

from fpa_core.arrow import columns
from fpa_core.engine.scan import hot_batches
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment

__all__ = ["digits_of"]

HEAD_BYTES = 4_096
"""More than the header of a segment has."""

AT_ONCE = 256
"""Segments whose headers are asked for together."""

ROWS = 65_536


def digits_of(tables: Reader, kind: Kind) -> dict[str, tuple[int, int]]:
    """Return the most digits before and after the point of each decimal column.

    Of segments, only the headers are read, so there may be more digits before the point than said (see
    :meth:`fpa_core.segments.reader.Segment.digits`). After the point there are never more.
    """
    widest = {column.name: (0, 0) for column in kind.columns if column.type == "decimal"}

    def widen(name: str, before: int, after: int) -> None:
        widest[name] = max(widest[name][0], before), max(widest[name][1], after)

    if kind.multiset:
        with contextlib.closing(tables.segments.find(Query(kind))) as found:
            ids = [info.id for info in found]
        for start in range(0, len(ids), AT_ONCE):
            for head in tables.segments.heads(ids[start : start + AT_ONCE], HEAD_BYTES):
                segment = Segment(head, "a segment")
                for name in widest:
                    widen(name, *segment.digits(name))
    with contextlib.closing(hot_batches(tables, Query(kind), None, ROWS, names=list(widest))) as batches:
        for batch in batches:
            for name in widest:
                widen(name, *columns.max_digits(batch.column(name)))
    return widest
