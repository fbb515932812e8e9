"""Real quotes and trades for the benchmarks, read from the files of FPA_SHARED_DATA through the project itself."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from systems.rows import Rows

from fpa_core.arrow.columns import scale_of
from fpa_core.layer import DataLayer, open_layer

__all__ = ["csv_rate", "folder", "real_rows"]

FILES = {
    "ibm-quotes": ("quotes", "quotes_us_equity_tick_IBM_2013-10-07_08.csv.gz"),
    "spy-trades": ("trades", "trades_us_equity_SPY_2013-10-07.csv.gz"),
}


def folder() -> Path:
    """Return where the files are, or should be."""
    return Path(os.environ.get("FPA_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def _layer(place: str, name: str) -> DataLayer:
    settings = Path(place) / f"{name}.toml"
    settings.write_text(f'[store]\npath = "{name}.db"\n', encoding="utf-8")
    return open_layer(settings, environ={})


def real_rows(name: str) -> Rows:
    """Return the rows of a file as validation lets them through: numbers as integers, columns that are empty left out."""
    kind, file = FILES[name]
    with tempfile.TemporaryDirectory() as place, _layer(place, "a") as data:
        data.ingest(folder() / file)
        table = data.select(kind).to_arrow(prices="scaled")
    scales, arrays = {}, {}
    for column in table.schema:
        array = table.column(column.name).combine_chunks()
        if array.null_count == len(array):
            continue
        if (scale := scale_of(column)) is not None:
            scales[column.name] = scale
        arrays[column.name] = array
    return Rows(name, kind, pa.table(arrays), scales)


def csv_rate(name: str, rounds: int = 3) -> float:
    """Return how many rows of a file are read, validated and stored in a second, best of several."""
    best = 0.0
    with tempfile.TemporaryDirectory() as place:
        for number in range(rounds):
            with _layer(place, f"round{number}") as data:
                begun = time.perf_counter()
                receipt = data.ingest(folder() / FILES[name][1])
                best = max(best, receipt.read / (time.perf_counter() - begun))
    return best
