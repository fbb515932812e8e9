"""Stored bars to compare with those of a table or a record: one lookup per chunk, compared a column at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from fpa_core.numbers import MAX_NS
from fpa_plugins.rules.intervals import DAY, interval_ns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from fpa_core.protocols import StoredBars
    from fpa_core.validator.vectors import Columns

    Times = npt.NDArray[np.int64]

__all__ = ["VALUES", "Held", "Page", "held", "last_before", "page_of"]

VALUES = ("open", "high", "low", "close", "volume")

_APART = 4
"""The largest number of series to look up one by one. More are looked up together, over the time range of all of them."""
_PAGE = 128
"""Intervals to each side to look up with a single record, so that the next records need no lookup."""
_SERIES = ("symbol", "interval")


@frozen(eq=False)
class Held:
    """Stored bars of one series: their times in ascending order, and their columns.

    :ivar columns: see :class:`fpa_core.validator.vectors.Columns`.
    """

    times: Times
    columns: Columns

    def at(self, places: Times) -> Columns:
        """Return the bars at some positions, in this order."""
        import numpy as np
        import pyarrow as pa

        if len(places) == len(self.times) and (np.diff(places) > 0).all():
            return self.columns
        return type(self.columns)(self.columns.kind, self.columns.table.take(pa.array(places)))

    def matching(self, times: Times) -> tuple[Times, Times]:
        """Return which of *times* are stored, by position, and the positions of the stored bars."""
        import numpy as np

        if not len(self.times):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(self.times, times), len(self.times) - 1)
        rows = np.flatnonzero(self.times[places] == times)
        return rows, places[rows]


def held(columns: Columns, bars: StoredBars) -> dict[Any, Held]:
    """Return, by symbol and interval, the stored bars to compare with the rows of a table. Series without stored bars are left out.

    For intervals below a day these are the bars at the times of the rows, for others those around them. They are looked up once for all rules.
    """
    if "bars" not in columns.lookups:
        columns.lookups["bars"] = _look_up(columns, bars)
    found: dict[Any, Held] = columns.lookups["bars"]
    return found


def _look_up(columns: Columns, bars: StoredBars) -> dict[Any, Held]:
    import numpy as np

    from fpa_core.validator.lagged import series_names

    codes, names = series_names(columns, _SERIES)
    times = columns.numbers("ts_ns").units
    if len(names) > 1:
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
        own = {name: np.sort(times[order[ends[i] : ends[i + 1]]]) for i, name in enumerate(names)}
    else:
        # The difference of times that are centuries apart does not fit 64 bits.
        own = {name: times if (times[1:] > times[:-1]).all() else np.sort(times) for name in names}
    by_interval: dict[str, list[str]] = {}
    for (symbol, interval), each in own.items():
        if len(each) and symbol is not None and interval is not None:
            by_interval.setdefault(interval, []).append(symbol)
    parts: dict[Any, list[pa.RecordBatch]] = {}
    for interval, symbols in by_interval.items():
        for group in [[symbol] for symbol in symbols] if len(symbols) <= _APART else [symbols]:
            wanted = {symbol: own[symbol, interval] for symbol in group}
            for symbol, batch in _read(bars, interval, wanted):
                parts.setdefault((symbol, interval), []).append(batch)
    return {name: _held(columns, batches) for name, batches in parts.items()}


def _read(bars: StoredBars, interval: str, wanted: dict[str, Times]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield stored bars by symbol; those of short intervals only at the given times."""
    import numpy as np
    import pyarrow as pa

    step = interval_ns(interval)
    around = min(step, 31 * DAY) if step >= DAY else 0
    start, end = min(int(times[0]) for times in wanted.values()), max(int(times[-1]) for times in wanted.values())
    for batch in bars(tuple(wanted), interval, start - around, min(end + around, MAX_NS) + 1):
        for symbol, part in _by_symbol(batch):
            if around:
                yield symbol, part
                continue
            times, own = part.column("timestamp").view(pa.int64()).to_numpy(), wanted[symbol]
            met = own[np.minimum(np.searchsorted(own, times), len(own) - 1)] == times
            if met.all():
                yield symbol, part
            elif met.any():
                yield symbol, part.filter(pa.array(met))


def _by_symbol(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Split a batch whose rows are sorted by symbol."""
    symbols = batch.column("symbol")
    if not len(symbols):
        return
    if symbols[0].as_py() == symbols[len(symbols) - 1].as_py():
        yield symbols[0].as_py(), batch
        return
    start = 0
    for run in symbols.value_counts():
        count = run["counts"].as_py()
        yield run["values"].as_py(), batch.slice(start, count)
        start += count


def _held(columns: Columns, batches: Sequence[pa.RecordBatch]) -> Held:
    import pyarrow as pa

    from fpa_core.arrow.columns import to_common_type
    from fpa_core.validator.vectors import Columns

    arrays = {
        name: pa.concat_arrays(to_common_type([batch.column(name) for batch in batches]))
        for name in ("timestamp", *VALUES)
    }
    times = arrays["timestamp"].view(pa.int64()).to_numpy()
    return Held(times, Columns(columns.kind, pa.table(arrays)))


@frozen
class Page:
    """Stored bars around a time.

    :ivar start_ns: the first time it covers; ``end_ns`` is the first time it does not cover.
    """

    start_ns: int
    end_ns: int
    times: list[int]
    contents: list[tuple[Any, ...]]

    def content(self, ts_ns: int) -> tuple[Any, ...] | None:
        """Return the values of the bar of a time."""
        place = bisect_left(self.times, ts_ns)
        return self.contents[place] if place < len(self.times) and self.times[place] == ts_ns else None


def page_of(memory: MutableMapping[Any, Any], bars: StoredBars, symbol: str, interval: str, ts_ns: int) -> Page:
    """Return the stored bars around a time. *memory* keeps them until a time outside of them is requested."""
    slot = ("stored", symbol, interval)
    page: Page | None = memory.get(slot)
    if page is None or not page.start_ns <= ts_ns < page.end_ns:
        from fpa_core.arrow.columns import as_decimals, times_as_ns

        step = interval_ns(interval)
        wide = min(_PAGE * step, MAX_NS // 4)
        start, end = max(ts_ns - wide, -MAX_NS), min(ts_ns + wide, MAX_NS) + 1
        around = min(step, 31 * DAY) if step >= DAY else 0
        times: list[int] = []
        contents: list[tuple[Any, ...]] = []
        for batch in bars((symbol,), interval, start - around, min(end - 1 + around, MAX_NS) + 1):
            times += times_as_ns(batch.column("timestamp")).to_pylist()
            contents += zip(*(as_decimals(batch.column(name)) for name in VALUES), strict=True)
        page = memory[slot] = Page(start, end, times, contents)
    return page


def last_before(bars: StoredBars, symbol: str, interval: str, ts_ns: int, span: int) -> tuple[int, Any] | None:
    """Return time and close of the last stored bar before a time, at most *span* before it."""
    from fpa_core.arrow.columns import as_decimals, times_as_ns

    for batch in bars((symbol,), interval, max(ts_ns - span, -MAX_NS), ts_ns, last=1):
        if batch.num_rows:
            return times_as_ns(batch.column("timestamp"))[0].as_py(), as_decimals(batch.column("close"))[0]
    return None
