"""What is measured of a system, each figure in one go that the others take turns with."""

from __future__ import annotations

import gc
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from systems.system import BUDGET, System, latencies

__all__ = ["MEASURES", "Bench"]

HOUR_NS = 3600 * 10**9
LIVE_SECONDS = 1.5
SINGLES = 150_000
FEW_SINGLES = 3_000
"""Single rows made ready for a system that writes less than that in the time there is."""

MEASURES = ("write", "range_columns", "range_records", "scan", "latest", "bars", "live", "again")
"""In this order: the reads see what the write left, and writing the same rows again comes last."""

Figures = dict[str, float]


class Bench:
    """One system under measurement."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self.rows = system.rows
        self._folder = folder
        self._round = 0
        self._given: Any = None
        self._singles: Sequence[Any] = ()
        self._count = self.rows.table.num_rows
        self._windows = _windows(self.rows.times, self.rows.symbols)

    def _input(self) -> Any:
        if self._given is None or self.system.consumes:
            self._given = self.system.make_input()
        return self._given

    def write(self) -> Figures:
        """Write all rows in bulk to a new folder."""
        given = self._input()
        if self._round:
            self.system.close()
            shutil.rmtree(self._here)
        self._round += 1
        self._here = self._folder / f"round{self._round}"
        self._here.mkdir(parents=True)
        self.system.open(self._here)
        if hasattr(os, "sync"):
            os.sync()  # or who waits for the disk, as a durable write does, waits for what others left to be written
        taken = _seconds(lambda: self.system.write(given))
        stored = self.system.count()
        self.system.close()
        size = sum(path.stat().st_size for path in self._here.rglob("*") if path.is_file())
        self.system.open(self._here)
        return {"rows_s": self._count / taken, "bytes_row": size / stored, "lost": self._count - stored}

    def range_columns(self) -> Figures:
        """Read an hour of a symbol as columns."""
        return self._read(lambda *window: _length(self.system.columns(*window)))

    def range_records(self) -> Figures:
        """Read an hour of a symbol as records."""
        return self._read(lambda *window: _length(self.system.records(*window)))

    def _read(self, read: Callable[..., int]) -> Figures:
        read(*self._windows[0])
        gc.collect()
        rows = calls = 0
        begun = time.perf_counter()
        while (taken := time.perf_counter() - begun) < BUDGET:
            rows += read(*self._windows[calls % len(self._windows)])
            calls += 1
        return {"rows_s": rows / taken, "ms": taken / calls * 1e3, "rows": rows / calls}

    def scan(self) -> Figures:
        """Read everything as columns, twice, and take the better: the first may find the cache cold."""
        taken = min(_seconds(self.system.scan) for _ in range(2))
        return {"rows_s": self._count / taken, "ms": taken * 1e3}

    def latest(self) -> Figures:
        """Read the latest row of a symbol."""
        return latencies(self.system.latest, self.rows.symbols)

    def bars(self) -> Figures:
        """Make 1-minute bars of all symbols."""
        symbols = self.rows.symbols
        found = self.system.bars(symbols)
        return {"ms": min(_seconds(lambda: self.system.bars(symbols)) for _ in range(2)) * 1e3, "bars": found}

    def live(self) -> Figures:
        """Write rows one at a time, each durable, into a database of its own."""
        if not self._singles or self.system.consumes:
            most = FEW_SINGLES if self.system.few_singles else SINGLES
            self._singles = self.system.make_single(min(most, self._count))
        return self._apart(lambda: self._write_live(self._singles))

    def _write_live(self, singles: Sequence[Any]) -> Figures:
        gc.collect()
        begun = time.perf_counter()
        done = self.system.live(singles, begun + LIVE_SECONDS)
        return {"rows_s": done / (time.perf_counter() - begun)}

    def _apart(self, work: Callable[[], Figures]) -> Figures:
        """Do *work* in a folder of its own, and come back."""
        apart = self._folder / "apart"
        shutil.rmtree(apart, ignore_errors=True)
        apart.mkdir()
        self.system.close()
        self.system.open(apart)
        try:
            return work()
        finally:
            self.system.close()
            self.system.open(self._here)
            shutil.rmtree(apart)

    def again(self) -> Figures:
        """Write the same rows a second time."""
        given = self._input()
        before = self.system.count()
        taken = _seconds(lambda: self.system.again(given))
        return {"rows_s": self._count / taken, "doubled": self.system.count() - before}

    def extra(self, name: str) -> Figures:
        """Measure something that only this system has."""
        return self._apart(getattr(self.system, name))


def _windows(times: Any, symbols: Sequence[str]) -> list[tuple[str, int, int]]:
    """Choose a symbol and an hour, thirty times; all systems get the same."""
    chance = random.Random(11)
    first, last = int(times[0]), int(times[-1])
    # Not the ends of the day, which hold less on real data.
    quarter = (last - first) // 4
    hour = min(HOUR_NS, quarter)
    starts = (chance.randrange(first + quarter, last - quarter - hour + 1) for _ in range(30))
    return [(chance.choice(symbols), start, start + hour) for start in starts]


def _length(columns: Any) -> int:
    return columns.num_rows if hasattr(columns, "num_rows") else len(columns)


def _seconds(work: Callable[[], Any]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
