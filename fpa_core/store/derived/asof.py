"""Join trades with the prevailing quote: the last one at or before the time of the trade.

Of several quotes at the time of a trade, the last to arrive counts. Trades come in batches, and the quotes of each symbol in a batch are read
once, in order: memory is bounded by the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.arrow import columns
from fpa_core.kinds import QUOTES

__all__ = ["QuotesOf", "asof_join"]

Times = npt.NDArray[np.int64]

_NULL = {"decimal": pa.decimal128(38, 0), "time": columns.TIME, "integer": pa.int64(), "text": pa.string()}

QuotesOf = Callable[[str, int, int], Iterable[pa.RecordBatch]]
"""Returns the quotes of a symbol in order: from the one that prevails at the first time to the last time, inclusive."""


def asof_join(
    trades: pa.RecordBatch, quotes_of: QuotesOf, names: Sequence[str], tolerance_ns: int | None = None
) -> pa.Table:
    """Return the prevailing quote of each trade, in the order of the trades; all null if there is none, or it is older than the tolerance.

    :param names: the columns of the quotes, including the time.
    """
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, _NULL[QUOTES.by_name[name].type]) for name in names], list(names))
    times = columns.times_as_ns(trades.column("timestamp")).to_numpy()
    codes = trades.column("symbol").dictionary_encode()
    numbers = codes.indices.to_numpy()
    order = np.lexsort([times, numbers])
    edges = np.flatnonzero(np.diff(numbers[order], prepend=-1)).tolist()
    parts: list[pa.RecordBatch] = []
    for start, end in zip(edges, [*edges[1:], len(order)], strict=True):
        rows = order[start:end]
        symbol = codes.dictionary[int(numbers[rows[0]])].as_py()
        first, last = int(times[rows[0]]), int(times[rows[-1]])
        parts += _matched(times[rows], quotes_of(symbol, first, last), nothing, tolerance_ns)
    table = _concatenated(parts or [nothing])
    if (order[1:] < order[:-1]).any():
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        table = table.take(pa.array(back))
    return table


def _matched(
    times: Times, batches: Iterable[pa.RecordBatch], nothing: pa.RecordBatch, tolerance_ns: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield the quotes of one symbol that prevailed at *times*, which ascend, in one or more batches."""
    held = nothing
    done = 0
    for batch in batches:
        # Trades before this batch get their quote from the one before it. Those at its first time do not: the later quote counts.
        upto = int(np.searchsorted(times, _ns(batch)[0], "left"))
        if upto > done:
            yield _taken(times[done:upto], held, tolerance_ns)
            done = upto
        held = batch
    if done < len(times):
        yield _taken(times[done:], held, tolerance_ns)


def _taken(times: Times, quotes: pa.RecordBatch, tolerance_ns: int | None) -> pa.RecordBatch:
    """Return the last of *quotes* at or before each time; null if there is none."""
    if not quotes.num_rows:
        return quotes.take(pa.nulls(len(times), pa.int64()))
    quoted = _ns(quotes)
    rows = np.searchsorted(quoted, times, "right") - 1
    missing = rows < 0
    if tolerance_ns is not None:
        # The difference is never negative, but may need 64 bits without a sign.
        age = times.view(np.uint64) - quoted[np.maximum(rows, 0)].view(np.uint64)
        missing |= age > np.uint64(min(tolerance_ns, 2**64 - 1))
    return quotes.take(pa.array(rows, mask=missing))


def _ns(batch: pa.RecordBatch) -> Times:
    times: Times = columns.times_as_ns(batch.column("timestamp")).to_numpy()
    return times


def _concatenated(parts: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return quotes as one table, whatever their decimal types."""
    names = parts[0].schema.names
    arrays = []
    for name in names:
        chunks = [part.column(name) for part in parts]
        if QUOTES.by_name[name].type == "decimal":
            chunks = columns.to_common_type([columns.as_numeric(chunk) for chunk in chunks])
        arrays.append(pa.concat_arrays(chunks))
    return pa.table(arrays, names=names)
