"""Damaged copies of a file, and how checks and reads of them end."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
from full_store import read_all

from fpa_core.exceptions import FpaError
from fpa_core.operations.check import check
from fpa_core.store import DataStore
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

__all__ = ["anywhere", "count_flips", "in_ledger", "outcome_of_check"]

LEDGER = ("batches", "batches_by_time", "batches_by_parent", "segments", "segments_by_time")


def flipped(whole: Path, target: Path, places: Iterator[int], bit: int) -> int:
    """Write a copy in which one bit is another one; return where."""
    content = bytearray(whole.read_bytes())
    place = next(places)
    content[place] ^= 1 << bit
    target.write_bytes(content)
    return place


def ledger_bytes(whole: Path) -> list[range]:
    """Return where the pages of the batches and of the catalog lie."""
    with contextlib.closing(open_file(str(whole), apsw.SQLITE_OPEN_READONLY)) as connection:
        size = connection.pragma("page_size")
        names = ", ".join(f"'{name}'" for name in LEDGER)
        pages = connection.execute(f"SELECT pageno FROM dbstat WHERE name IN ({names})").fetchall()
    return [range((page - 1) * size, page * size) for (page,) in pages]


def outcome_of_check(path: Path) -> str:
    """Return how a check of a file ends: what it found, or the error of opening it."""
    try:
        with contextlib.closing(open_store(SqliteOptions(path=path, read_only=True))) as backend:
            report = check(backend.database)
    except FpaError as error:
        return type(error).__name__
    return "found" if report.errors else "sound"


def outcome_of_reading(path: Path, answers: dict[str, Any]) -> str:
    """Return how reading all of a file ends."""
    try:
        with DataStore(open_store(SqliteOptions(path=path, read_only=True))) as store:
            return "the same" if read_all(store) == answers else "another answer"
    except FpaError as error:
        return type(error).__name__


def count_flips(
    whole: Path, folder: Path, answers: dict[str, Any], places: Iterator[int], number: int, seed: int
) -> tuple[list[str], list[str]]:
    """Return how checks and reads of so many damaged copies end that did not end well."""
    dice = random.Random(seed)
    path = folder / "flipped.db"
    missed, wrong = [], []
    for _ in range(number):
        bit = dice.randrange(8)
        place = flipped(whole, path, places, bit)
        if (found := outcome_of_check(path)) == "sound":
            missed.append(f"byte {place}, bit {bit}: {found}")
        if (read := outcome_of_reading(path, answers)) == "another answer":
            wrong.append(f"byte {place}, bit {bit}: {read}")
    return missed, wrong


def anywhere(whole: Path, seed: int) -> Iterator[int]:
    dice, size = random.Random(seed), whole.stat().st_size
    while True:
        yield dice.randrange(size)


def in_ledger(whole: Path, seed: int) -> Iterator[int]:
    dice, ranges = random.Random(seed), ledger_bytes(whole)
    while True:
        yield dice.choice(dice.choice(ranges))
