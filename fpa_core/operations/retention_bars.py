"""Bars made of trades or of the mid prices of quotes before these are deleted, where there are no bars yet."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow.conversion import concat
from fpa_core.engine.removal import RETENTION
from fpa_core.kinds import BARS, TRADES
from fpa_core.protocols import Query
from fpa_core.store import DataStore
from fpa_core.store.derived.resample import needed, resample

__all__ = ["make_bars"]

_ROWS = 65_536


def make_bars(store: DataStore, query: Query, interval: str) -> int:
    """Make bars of the rows of *query*, which begins and ends with a day, store those of which there are none, and return how many they are.

    Bars that are there, as from a vendor, stay as they are. A bar that was deleted on purpose is made again.
    """
    from_ = "trades" if query.kind is TRADES else "mid"
    rows = store.backend.scan(query, _ROWS, columns=needed(from_), scaled=True)
    tables = list(resample(rows, interval, from_))
    if not tables:
        return 0
    made = concat(BARS, tables)
    bars = Query(BARS, query.subjects, query.start_ns, query.end_ns, {"interval": interval})
    if not _new(store, bars, made).num_rows:
        return 0
    with store.batch(origin=f"{RETENTION}:{query.kind.name}") as batch:  # from here on nobody else writes
        new = _new(store, bars, made)
        batch.write(BARS, new)
    return int(new.num_rows)


def _new(store: DataStore, bars: Query, made: pa.Table) -> pa.Table:
    """Return the bars of which there are none."""
    there = [
        _keys(batch.column("symbol"), batch.column("timestamp"))
        for batch in store.backend.scan(bars, _ROWS, columns=("symbol", "timestamp"))
    ]
    keys = _keys(made.column("symbol"), made.column("timestamp"))
    return made.filter(pc.invert(pc.is_in(keys, pa.chunked_array(there, pa.string()))))


def _keys(symbols: pa.Array, times: pa.Array) -> pa.Array:
    """Return the time and the symbol of each row as one text."""
    return pc.binary_join_element_wise(times.cast(pa.int64()).cast(pa.string()), symbols, " ")
