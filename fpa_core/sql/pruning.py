"""Which symbols and which time the condition of a query admits.

DuckDB hands a condition over as an expression of Arrow. Arrow itself says whether an expression can hold for rows of which something is
guaranteed, as it does to skip the files of a dataset: so ranges of symbols and of time are offered as such files, and the smallest that can
hold rows is found. Where to divide is guessed from the constants in the text of the condition, which is right for comparisons with them; what
the guess leaves open is found by halving. A wrong guess costs time and changes no answer. What cannot be told so stays: the condition is
applied to the rows anyway.
"""

from __future__ import annotations

import bisect
import datetime as dt
import functools
import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds
from attrs import frozen
from pyarrow.fs import LocalFileSystem

from fpa_core.kinds import Kind
from fpa_core.protocols import InventoryEntry, Query
from fpa_core.sql.layout import MICROSECONDS

__all__ = ["Admitted", "admitted", "fields_of"]

Expression: TypeAlias = ds.Expression

_FORMAT = ds.ParquetFileFormat()
_SYSTEM = LocalFileSystem()

PROVEN = 64
"""Symbols for which it is looked at whether all their rows satisfy the condition."""


MANY = 256
"""Ranges of symbols that are halved at once."""

GUESSED = 32
"""Constants of a condition by which ranges are divided; a condition with more of them is halved alone."""

_WORD = re.compile(r"\w+")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z")
_INTEGER = re.compile(r"(?<![\w.:-])-?\d{1,19}(?![\w.:-])")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@frozen
class Admitted:
    """The rows that a condition may admit.

    :ivar whole: whether it admits all of these, so that it need not be applied again.
    """

    query: Query
    whole: bool


def admitted(
    condition: Expression, schema: pa.Schema, kind: Kind, entries: Sequence[InventoryEntry]
) -> Admitted | None:
    """Return the rows of *kind* that a condition on the columns of *schema* may admit; None if there are none.

    :param entries: the symbols there are, in order, with their times.
    """
    if not entries:
        return None
    subject = kind.by_field[kind.subject].name
    used = fields_of(condition, schema)
    # Of texts in dictionaries Arrow can tell less.
    plain = schema.set(schema.get_field_index(subject), pa.field(subject, pa.string()))
    asked = _Asked(condition, plain, kind, used)
    subjects = [entry.subject for entry in entries]
    kept = asked.subjects(subjects) if subject in used else subjects
    chosen = set(kept)
    within = [entry for entry in entries if entry.subject in chosen]
    if not within:
        return None
    low, high = min(entry.first_ns for entry in within) // 1_000, max(entry.last_ns for entry in within) // 1_000
    if used & {"timestamp", "ts_ns"}:
        if (span := asked.span(low, high)) is None:
            return None
        low, high = span
    query = Query(
        kind, None if len(kept) == len(subjects) else tuple(kept), start_ns=low * 1_000, end_ns=(high + 1) * 1_000
    )
    return Admitted(query, whole=len(kept) <= PROVEN and asked.all_of(kept, low, high))


def fields_of(condition: Expression, schema: pa.Schema) -> set[str]:
    """Return the columns that a condition is about: those without which it cannot be evaluated."""

    def needs(name: str) -> bool:
        others = pa.schema([own for own in schema if own.name != name])
        try:
            ds.Scanner.from_batches([], schema=others, filter=condition)
        except pa.ArrowInvalid:
            return True
        return False

    written = str(condition)
    # A field that is given by its position has no name in the text.
    likely = schema.names if "FieldPath" in written else set(schema.names) & set(_WORD.findall(written))
    return {name for name in likely if needs(name)}


@frozen
class _Asked:
    """A condition, asked about ranges of rows."""

    condition: Expression
    schema: pa.Schema
    kind: Kind
    used: set[str]

    def subjects(self, subjects: Sequence[str]) -> list[str]:
        """Return the subjects that may have rows: ranges of them are halved until they are excluded, or are one."""
        kept: list[str] = []
        ranges = self._divided(subjects)
        while ranges:
            alive = _alive(
                self.condition,
                self.schema,
                ((one, self._between(subjects[one[0]], subjects[one[1] - 1])) for one in ranges),
            )
            if len(alive) > MANY:  # the condition excludes little: more questions would take longer than reading
                return sorted([*kept, *(subject for start, end in alive for subject in subjects[start:end])])
            kept += [subjects[start] for start, end in alive if end - start == 1]
            halves = [
                ((start, (start + end) // 2), ((start + end) // 2, end)) for start, end in alive if end - start > 1
            ]
            ranges = [half for both in halves for half in both]
        return sorted(kept)

    def _divided(self, subjects: Sequence[str]) -> list[tuple[int, int]]:
        """Divide all subjects at those that the condition names."""
        named = set(_TEXT.findall(str(self.condition)))
        edges = {0, len(subjects)}
        for name in named if len(named) <= GUESSED else ():
            place = bisect.bisect_left(subjects, name)
            edges |= {place, place + (place < len(subjects) and subjects[place] == name)}
        return [(start, end) for start, end in itertools.pairwise(sorted(edges)) if start < end]

    def span(self, low: int, high: int) -> tuple[int, int] | None:
        """Return the first and the last microsecond that may have rows; None if none may."""
        cells = self._cells(low, high)
        ends = [(edge, edge) for start, end in cells if start < end for edge in (start, end)]
        alive = self._may_have([*cells, *ends])
        found = [cell for cell in cells if cell in alive]
        if not found:
            return None
        (start, first), (last, end) = found[0], found[-1]
        if start < first and (start, start) not in alive:
            start = _least(start, first, lambda edge: bool(self._may_have([(start, edge)])))
        if last < end and (end, end) not in alive:
            end = -_least(-end, -last, lambda edge: bool(self._may_have([(-edge, end)])))
        return start, end

    def _cells(self, low: int, high: int) -> list[tuple[int, int]]:
        """Divide the microseconds from *low* to *high* at the times that the condition names, each of which is a cell of its own."""
        written = str(self.condition)
        named = set(map(_microseconds, _TIME.findall(written)))
        if "ts_ns" in self.used:
            named |= {int(text) // 1_000 for text in _INTEGER.findall(written)}
        cuts = sorted(cut for cut in named if low <= cut <= high)
        cells, start = [], low
        for cut in cuts if len(cuts) <= GUESSED else ():
            cells += [(start, cut - 1)] * (start < cut) + [(cut, cut)]
            start = cut + 1
        return cells + [(start, high)] * (start <= high)

    def _may_have(self, ranges: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return those ranges of microseconds that may have rows."""
        return set(_alive(self.condition, self.schema, ((one, self._times(*one)) for one in ranges)))

    def all_of(self, subjects: Iterable[str], low: int, high: int) -> bool:
        """Return whether the condition is certain to hold for all rows of subjects in a time: its opposite holds for none."""
        times = self._times(low, high)
        offered = (((0, 0), self._between(subject, subject) & times) for subject in subjects)
        return not _alive(~self.condition, self.schema, offered)

    def _times(self, first: int, last: int) -> Expression:
        """Return the guarantee of times from one microsecond to another, on the columns of them that the condition is about."""
        parts = []
        if "timestamp" in self.used:
            low, high = (pa.scalar(edge, MICROSECONDS) for edge in (first, last))
            parts += [ds.field("timestamp") >= low, ds.field("timestamp") <= high]
        if "ts_ns" in self.used:
            parts += [ds.field("ts_ns") >= first * 1_000, ds.field("ts_ns") <= last * 1_000 + 999]
        return functools.reduce(operator.and_, parts, ds.scalar(True))

    def _between(self, first: str, last: str) -> Expression:
        subject = ds.field(self.kind.by_field[self.kind.subject].name)
        return subject == first if first == last else (subject >= first) & (subject <= last)


def _microseconds(text: str) -> int:
    """Return a time as microseconds since 1970; 0, a useless guess, if it is a symbol that only looks like a time."""
    try:
        return (dt.datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError:
        return 0


def _alive(
    condition: Expression, schema: pa.Schema, offered: Iterable[tuple[tuple[int, int], Expression]]
) -> list[tuple[int, int]]:
    """Return which ranges may have rows that satisfy the condition, given what is guaranteed of each."""
    ranges, fragments = [], []
    for number, (one, guaranteed) in enumerate(offered):
        ranges.append(one)
        fragments.append(_FORMAT.make_fragment(str(number), _SYSTEM, partition_expression=guaranteed))
    if not fragments:
        return []
    files = ds.FileSystemDataset(fragments, schema, _FORMAT, _SYSTEM)
    return [ranges[int(found.path)] for found in files.get_fragments(filter=condition)]


def _least(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest number from *low* to *high* for which *holds*, which does for all above it, and for *high*."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
