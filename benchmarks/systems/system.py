"""What is asked of each system compared."""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from systems.rows import Rows

__all__ = ["BUDGET", "System", "latencies", "sync_tree"]

BUDGET = 0.5
"""Seconds spent on what is repeated to be measured."""


class System:
    """One system and one folder it keeps its data in.

    A verb that a system has not, raises NotImplementedError and is left blank in the table.

    :cvar title: its name in tables.
    :cvar durable: what a write that has returned is worth.
    :cvar lacks: what it does not do, or does to the data.
    :cvar most_rows: how many rows it is given, where all would take minutes a round.
    :cvar consumes: whether writing changes the objects it is given, so that each write needs new ones.
    :cvar few_singles: whether a few thousand single rows are more than it writes in the time there is.
    :cvar extras: measures it alone has: methods that return figures.
    :cvar kinds: which rows it has a place for.
    """

    title: ClassVar[str]
    durable: ClassVar[str]
    lacks: ClassVar[str] = ""
    most_rows: ClassVar[int | None] = None
    consumes: ClassVar[bool] = False
    few_singles: ClassVar[bool] = True
    extras: ClassVar[Sequence[str]] = ()
    kinds: ClassVar[Sequence[str]] = ("quotes", "trades")

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def make_input(self) -> Any:
        """Return the rows in the form the system takes; the time for this is not counted."""
        return self.rows.table

    def open(self, folder: Path) -> None:
        """Begin to use a folder, new or not."""
        raise NotImplementedError

    def write(self, given: Any) -> None:
        """Write all rows in bulk, durably where the system can."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the folder as it is to stay."""

    def again(self, given: Any) -> None:
        """Write rows that are there already, in the way the system has for rows that may be."""
        self.write(given)

    def count(self) -> int:
        """Count the rows stored."""
        raise NotImplementedError

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> Any:
        """Return a symbol's rows in a half-open range, a column at a time; it has a length."""
        raise NotImplementedError

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        """Return a symbol's rows in a half-open range as records with exact numbers."""
        raise NotImplementedError

    def scan(self) -> int:
        """Read all rows, all columns, and return how many they were."""
        raise NotImplementedError

    def latest(self, symbol: str) -> Any:
        """Return a symbol's latest row."""
        raise NotImplementedError

    def bars(self, symbols: Sequence[str]) -> int:
        """Make 1-minute bars of the mid (or the price) of all symbols and return how many they were."""
        raise NotImplementedError

    def make_single(self, count: int) -> Sequence[Any]:
        """Return rows one by one in the form the system takes; the time for this is not counted."""
        raise NotImplementedError

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        """Write rows one at a time, each durable, until there are no more or time is up; return how many."""
        raise NotImplementedError


def sync_tree(folder: Path) -> None:
    """Have the operating system put every file and folder below *folder* on disk."""
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def latencies(call: Callable[[str], Any], symbols: Sequence[str]) -> dict[str, float]:
    """Time *call* for symbols at random and return the median and the 99th percentile."""
    chance = random.Random(5)
    for symbol in symbols:
        call(symbol)
    gc.collect()
    taken = []
    end = time.perf_counter() + BUDGET
    while (begun := time.perf_counter()) < end:
        call(chance.choice(symbols))
        taken.append(time.perf_counter() - begun)
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6}
