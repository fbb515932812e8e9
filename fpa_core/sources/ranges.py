"""Sets of instants as ranges [start, end) in nanoseconds: sorted, apart from each other, none empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["Range", "intersection", "subtract", "total", "union"]

Range: TypeAlias = tuple[int, int]
"""The first instant included, and the first excluded."""


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the instants that are in any of *ranges*, which come in any order."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def subtract(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return the instants of *ranges* that are in none of *others*. Both are sorted and apart."""
    left: list[Range] = []
    place = 0
    for start, end in ranges:
        while place < len(others) and others[place][1] <= start:
            place += 1
        at, begin = place, start
        while at < len(others) and others[at][0] < end:
            if begin < others[at][0]:
                left.append((begin, others[at][0]))
            begin = max(begin, others[at][1])
            at += 1
        if begin < end:
            left.append((begin, end))
    return left


def intersection(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return the instants that are in both. Both are sorted and apart."""
    return subtract(ranges, subtract(ranges, others))


def total(ranges: Iterable[Range]) -> int:
    """Return how many nanoseconds *ranges* have together."""
    return sum(end - start for start, end in ranges)
