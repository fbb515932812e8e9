"""Read the rows of many subjects in order of time, in bounded memory, from any backend.

A backend yields rows subject by subject. So time is divided into windows with few enough rows to be sorted, and each is read separately.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from attrs import evolve

from fpa_core.arrow import columns
from fpa_core.numbers import MAX_NS, MIN_NS
from fpa_core.protocols import Query, StoreBackend
from fpa_core.retrying import read_whole

__all__ = ["by_time"]

MOST = 500_000
"""Maximum number of rows sorted at once; more only if they share one nanosecond."""


def by_time(
    backend: StoreBackend,
    query: Query,
    rows: int,
    names: Sequence[str],
    as_table: Callable[[Sequence[pa.RecordBatch]], pa.Table],
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *query* by time, then subject, then arrival; in reverse if it asks for the latest first.

    Each window is a read of its own, so rows written meanwhile may appear. The limit counts over all subjects.

    :param rows: the maximum number of rows of a batch.
    :param as_table: makes one table of batches with the columns *names*.
    """
    needed = list(dict.fromkeys([*names, "timestamp"]))
    left = query.limit
    for window in _windows(backend, evolve(query, limit=None)):
        batches = read_whole(functools.partial(_all_of, backend, window, needed))
        if not batches:
            continue
        table = as_table(batches)
        times = columns.times_as_ns(table.column("timestamp").combine_chunks()).to_numpy()
        order = np.argsort(-1 - times if query.reverse else times, kind="stable")  # -1 - t: as -t, and never too large
        ordered = table.select(names).take(pa.array(order if left is None else order[:left]))
        yield from ordered.combine_chunks().to_batches(rows)
        if left is not None:
            left -= ordered.num_rows
            if left <= 0:
                return


def _all_of(backend: StoreBackend, window: Query, names: Sequence[str]) -> list[pa.RecordBatch]:
    return list(backend.scan(window, columns=names, scaled=True))


def _windows(backend: StoreBackend, query: Query) -> Iterator[Query]:
    """Halve the time of *query* until no part has too many rows."""
    first = MIN_NS if query.start_ns is None else query.start_ns
    end = MAX_NS + 1 if query.end_ns is None else query.end_ns
    # Counting without further conditions reads no rows. Rows known in the past that no longer exist are only found with them.
    bound = query if query.known_at_ns is not None else evolve(query, equal={}, batch=None, origins=None)
    if end - first <= 1 or backend.count(bound) <= MOST:
        yield query
        return
    middle = (first + end) // 2
    halves = [evolve(query, end_ns=middle), evolve(query, start_ns=middle)]
    for half in reversed(halves) if query.reverse else halves:
        yield from _windows(backend, half)
