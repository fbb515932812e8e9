"""What a file covers, as the user says: a file itself says nothing of the days it has no rows of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fpa_core.exceptions import DataError
from fpa_core.intervals import interval_text
from fpa_core.kinds import BARS, CORPORATE_ACTIONS, QUOTES, TRADES, Kind, kind_of
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import Chunk, CoverageEntry

if TYPE_CHECKING:
    from fpa_core.store.batch import StoreBatch

__all__ = ["Covering"]

COVERED = (QUOTES, TRADES, BARS, CORPORATE_ACTIONS)
"""The kinds that the ledger is kept of."""


class Covering:
    """Enters into the ledger that a batch has all rows of a range, of each symbol that is in it.

    A symbol without rows is covered if it is given with its kind, and of bars with their interval: then there are none.

    :param covers: the first instant and the first excluded.
    :param origin: what provenance calls the batch.
    :param now_ns: the present time, after which nobody knows what there will be.
    :raises DataError: if it is not a range, or ends in the future.
    """

    def __init__(
        self,
        covers: Any,
        origin: str,
        *,
        now_ns: int,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
    ) -> None:
        try:
            start, end = covers
        except (TypeError, ValueError):
            raise DataError(
                f"covers: {covers!r} is not a start and an end", hint='give two times: ("2024-05-01", "2024-06-01")'
            ) from None
        self._start, self._end = to_ns(start, "covers", dates=True), to_ns(end, "covers", dates=True)
        if self._start >= self._end:
            raise DataError("covers: the range is empty; the end is the first time excluded", field="covers")
        if self._end > now_ns:
            raise DataError(
                f"covers: the range ends at {ns_text(self._end)}, which is still to come", field="covers", value=end
            )
        self._origin = origin
        self._rows: Counter[tuple[str, str, str | None]] = Counter()
        if kind is not None:
            own = _covered(kind_of(kind))
            length = None if interval is None or own is not BARS else interval_text(interval)
            if symbol is not None and "{" not in symbol and (own is not BARS or length is not None):
                self._rows[own.name, symbol, length] = 0

    def watch(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yield chunks, and note whose rows they are.

        :raises DataError: for a kind of which the ledger keeps nothing.
        """
        for chunk in chunks:
            if chunk.table.num_rows:
                self._count(_covered(chunk.kind), chunk)
            yield chunk

    def _count(self, kind: Kind, chunk: Chunk) -> None:
        import pyarrow as pa

        from fpa_core.arrow import columns

        times = columns.times_as_ns(chunk.table.column("timestamp").combine_chunks()).to_numpy(zero_copy_only=False)
        names = [kind.subject, "interval"] if kind is BARS else [kind.subject]
        keys = chunk.table.select(names).append_column("within", pa.array((times >= self._start) & (times < self._end)))
        for row in keys.group_by(names).aggregate([("within", "sum")]).to_pylist():
            self._rows[kind.name, row[kind.subject], row.get("interval")] += row["within_sum"]

    def enter(self, batch: StoreBatch) -> None:
        """Enter what was noted into the ledger, with the batch."""
        batch.cover(
            [
                CoverageEntry(kind, symbol, interval, self._origin, self._start, self._end, rows)
                for (kind, symbol, interval), rows in self._rows.items()
            ]
        )


def _covered(kind: Kind) -> Kind:
    if kind not in COVERED:
        raise DataError(
            f"covers: the ledger keeps nothing of {kind.name}",
            hint=f"it is of {', '.join(one.name for one in COVERED)}",
            field="covers",
        )
    return kind
