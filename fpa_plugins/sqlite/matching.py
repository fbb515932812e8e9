"""Which rows of a segment a query wants, beside their time: by the batch that brought them, and by value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns
from fpa_core.numbers import decimal_text
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment
from fpa_plugins.sqlite.sealed import Entry

__all__ = ["Owners", "matching"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@frozen
class Owners:
    """Which batches the rows may come from.

    :ivar last: the last batch known at the time asked for; None where that is not asked for.
    :ivar among: the batches of the sources asked for, in order; None where any will do.
    """

    last: int | None = None
    among: Numbers | None = None

    def cover(self, entry: Entry, query: Query) -> bool:
        """Tell whether all rows of a segment come from them, as far as the catalog tells."""
        one = entry.first_batch == entry.last_batch
        return (
            (query.batch is None or (one and entry.first_batch == query.batch))
            and (self.last is None or entry.last_batch <= self.last)
            and (self.among is None or (one and entry.first_batch in self.among))
        )

    def meet(self, entry: Entry) -> bool:
        """Tell whether any row of a segment may come from them."""
        if self.last is not None and entry.first_batch > self.last:
            return False
        if self.among is None:
            return True
        first = np.searchsorted(self.among, entry.first_batch)
        return bool(first < len(self.among) and self.among[first] <= entry.last_batch)


def matching(segment: Segment, entry: Entry, query: Query, owners: Owners, start: int, end: int) -> Mask | None:
    """Tell which rows from *start* to *end* of a segment meet the further conditions; None where all do."""
    masks: list[Mask] = []
    if not owners.cover(entry, query):
        batches = segment.integers("batch")[start:end]
        if query.batch is not None:
            masks.append(batches == query.batch)
        if owners.last is not None:
            masks.append(batches <= owners.last)
        if owners.among is not None:
            masks.append(np.isin(batches, owners.among))
    for name, value in query.equal.items():
        column = query.kind.by_field[name]
        if name == query.kind.subject:
            masks.append(np.full(end - start, value == entry.subject))
            continue
        array = segment.array(column.name, column.type, start, end)
        if value is None:
            masks.append(array.is_null().to_numpy(zero_copy_only=False))
            continue
        if column.type == "decimal":
            array, value = columns.as_texts(array), decimal_text(value)  # noqa: PLW2901
        elif column.type == "time":
            array = columns.times_as_ns(array)
        equal = pc.fill_null(pc.equal(array, pa.scalar(value, array.type)), False)
        masks.append(equal.to_numpy(zero_copy_only=False))
    return np.logical_and.reduce(masks) if masks else None
