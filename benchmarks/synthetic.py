"""Made-up best bids and offers for benchmarks, a column at a time: the same seed gives the same rows on every machine.

Each symbol's bid walks by whole cents, the offer stands one to three cents above it, sizes are round lots with many small and few large
ones, times are nanoseconds spread evenly over a trading day, and about 2 % of the rows share symbol and time with another: exchanges do
send several changes with one stamp. Rows come in order of time with the symbols mixed, as a feed sends them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

__all__ = ["DAY_ROWS", "SCALES", "SYMBOLS", "chunks", "quotes"]

SYMBOLS = [f"SYM{number:02}" for number in range(20)]
SCALES = {"bid": 2, "ask": 2, "bid_size": 0, "ask_size": 0}
"""Digits after the point of each column of integers."""

OPEN_NS = 1_714_570_200_000_000_000
"""2024-05-01 09:30 in New York."""
DAY_NS = 23_400 * 10**9
DAY_ROWS = 1_000_000
SHARED = 0.02
"""Share of the rows that have symbol and time in common with another."""


def quotes(rows: int = DAY_ROWS, *, seed: int = 7, begin_ns: int = OPEN_NS, span_ns: int = DAY_NS) -> pa.Table:
    """Return quotes from *begin_ns* on: symbol, timestamp, and prices and sizes as integers (see :data:`SCALES`)."""
    chance = np.random.default_rng(seed)
    symbols = np.sort(chance.integers(0, len(SYMBOLS), rows)).astype(np.int32)
    times = chance.integers(0, span_ns, rows)
    times = times[np.lexsort([times, symbols])]
    starts = np.searchsorted(symbols, symbols)
    again = chance.random(rows) < SHARED / 2
    again[1:] &= ~again[:-1]
    again &= np.arange(rows) > starts  # the first of a symbol has none before it
    times[again] = times[np.flatnonzero(again) - 1]
    walk = np.cumsum(chance.choice([-1, 0, 0, 0, 1], rows))
    bid = 5_000 + 1_900 * symbols.astype(np.int64) + walk - walk[starts]
    ask = bid + chance.choice([1, 1, 1, 1, 2, 2, 3], rows)
    sizes = [100 * np.minimum(chance.geometric(0.15, rows), 200) for _ in range(2)]
    order = np.argsort(times, kind="stable")
    names = pa.DictionaryArray.from_arrays(pa.array(symbols[order]), pa.array(SYMBOLS)).cast(pa.string())
    stamps = pa.array(begin_ns + times[order]).cast(pa.timestamp("ns", "UTC"))
    columns = [pa.array(column[order]) for column in (bid, ask, *sizes)]
    return pa.table([names, stamps, *columns], names=["symbol", "timestamp", *SCALES])


def chunks(rows: int, *, seed: int = 7, at_once: int = 100_000) -> Iterator[pa.Table]:
    """Yield *rows* quotes in order of time, so many at once, at the pace of :func:`quotes`: as many days as it takes."""
    span = DAY_NS * at_once // DAY_ROWS
    for number, start in enumerate(range(0, rows, at_once)):
        count = min(at_once, rows - start)
        yield quotes(count, seed=seed + number, begin_ns=OPEN_NS + number * span, span_ns=span * count // at_once)
