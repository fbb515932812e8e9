"""Profiles of columns in bounded memory: exact while there are few distinct values, from a sample when there are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fpa_core.arrow import columns
from fpa_core.kinds import Column
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.report.histograms import Histogram, histogram

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["QUANTILES", "Profile"]

MOST_DISTINCT = 20_000
"""The number of distinct values beyond which a sample replaces their counts."""

QUANTILES = (0.05, 0.5, 0.95)


def _is_text(array: pa.Array) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(array.type))


class Profile:
    """The profile of one column.

    :ivar rows: how many rows there were, and ``missing`` how many without a value.
    :ivar counts: how often each value occurs; None once there are more than :data:`MOST_DISTINCT`.
    :ivar zero: how many values are zero, and ``negative`` how many are below it; of numbers.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.rows = 0
        self.missing = 0
        self.zero = 0
        self.negative = 0
        self.low: Any = None
        self.high: Any = None
        self.counts: dict[Any, int] | None = {}
        self._sample: list[Any] = []
        self._stride = 1

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.column.type in {"decimal", "integer"}

    def add(self, array: pa.ChunkedArray) -> None:
        """Add the values of a chunk."""
        if array.null_count < len(array):
            for value, count in self._counted(array.combine_chunks().drop_null()):
                self._take(value, count)
        # The sample has every n-th row, independent of its value.
        self._thin(array)
        self.rows += len(array)
        self.missing += array.null_count

    def _counted(self, array: pa.Array) -> Iterator[tuple[Any, int]]:
        """Yield each distinct value of a chunk, converted as in records, with its count."""
        if self.column.type == "time":
            array = columns.times_as_ns(array)
        if self.counts is None and not _is_text(array):
            yield from self._ends(array)
            return
        encoded = array.value_counts()
        for value, count in zip(encoded.field("values").to_pylist(), encoded.field("counts").to_pylist(), strict=True):
            yield (Decimal(value) if self.column.type == "decimal" else value), count

    def _ends(self, array: pa.Array) -> Iterator[tuple[Any, int]]:
        """Yield the smallest and the largest value, and a zero and a negative number if the column has any."""
        import pyarrow.compute as pc

        ends = pc.min_max(array).as_py()
        yield from ((ends[edge], 0) for edge in ("min", "max"))
        if self.is_number and ends["min"] <= 0:
            self.zero += pc.sum(pc.equal(array, 0)).as_py() or 0
            self.negative += pc.sum(pc.less(array, 0)).as_py() or 0

    def _take(self, value: Any, count: int) -> None:
        if self.low is None or value < self.low:
            self.low = value
        if self.high is None or value > self.high:
            self.high = value
        if self.is_number:
            self.zero += count if value == 0 else 0
            self.negative += count if value < 0 else 0
        if self.counts is not None:
            self.counts[value] = self.counts.get(value, 0) + count
            if len(self.counts) > MOST_DISTINCT:
                self.counts = None

    def _thin(self, array: pa.ChunkedArray) -> None:
        if not self.is_number:
            return
        start = -self.rows % self._stride
        picked = array.take(list(range(start, len(array), self._stride))).drop_null() if start < len(array) else []
        self._sample += [Decimal(value.as_py()) for value in picked]
        while len(self._sample) > MOST_DISTINCT:
            self._sample = self._sample[::2]
            self._stride *= 2

    # Results

    @property
    def distinct(self) -> str:
        """The number of distinct values, as text."""
        return f"{len(self.counts):,}" if self.counts is not None else f"> {MOST_DISTINCT:,}"

    def text(self, value: Any) -> str:
        """Return a value as text for display."""
        if value is None:
            return ""
        if self.column.type == "time":
            return ns_text(value)
        return decimal_text(value) if isinstance(value, Decimal) else str(value)

    def quantiles(self) -> list[Any]:
        """Return the quantiles :data:`QUANTILES` of the numbers; exact while there are few distinct values."""
        if not self.is_number or self.low is None:
            return []
        if self.counts is None:
            ordered = sorted(self._sample)
            return [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in QUANTILES]
        total = self.rows - self.missing
        found: list[Any] = []
        passed = 0
        wanted = [share * total for share in QUANTILES]
        for value in sorted(self.counts):
            passed += self.counts[value]
            while len(found) < len(wanted) and passed >= wanted[len(found)]:
                found.append(value)
        return found

    def histogram(self) -> Histogram | None:
        """Return the histogram of the numbers; from a sample if there are many distinct values, None if there are fewer than two."""
        if not self.is_number:
            return None
        counts = self.counts if self.counts is not None else Counter([*self._sample, self.low, self.high])
        whole = all(value == int(value) for value in counts)
        floats: Counter[float] = Counter()
        for value, count in counts.items():
            floats[float(value)] += count
        return histogram(floats, whole=whole)

    def most_frequent(self, most: int = 3) -> list[tuple[str, int]]:
        """Return the values that occur most often, with their counts."""
        counts = sorted((self.counts or {}).items(), key=lambda each: (-each[1], str(each[0])))
        return [(self.text(value), count) for value, count in counts[:most]]
