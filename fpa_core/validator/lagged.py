"""For each row of a table, the previous row of the same series; for the first row of a series, the one remembered from earlier tables."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fpa_core.numbers import EXACT
from fpa_core.protocols import Failure
from fpa_core.validator.vectors import DecimalColumn, KleeneMask

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns

__all__ = ["Lagged", "fold_series", "series_names"]

Rows = npt.NDArray[np.int64]

_FEW = 2**15
_MOST = 2**63 - 1
_DENSE = 4
"""Up to so many possible series a row, a table of them is cheaper than sorting."""


class Lagged:
    """The previous row of each row, in the same series.

    :param key: the fields that identify a series.
    :param fields: the fields to return of the previous row: columns of numbers, times or integers.
    :param memory: the last values of the fields of each series, as a tuple by series key. It is updated by the constructor.
    :param counts: the rows that count as previous ones; None for all. Rows that do not count still have a previous one.
    :ivar exists: which rows have a previous one.
    """

    def __init__(
        self,
        columns: Columns,
        key: Sequence[str],
        fields: Sequence[str],
        memory: MutableMapping[Any, Any],
        counts: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._columns = columns
        self._fields = tuple(fields)
        codes, names, self._before, last = _found(columns, tuple(key), counts)
        self._is_shift = len(names) == 1 and counts is None  # a single series: the previous row is the one above
        old = [memory.get(name) for name in names]
        first = np.flatnonzero(self._before < 0)
        carries = np.array([values is not None for values in old], np.bool_)
        self._carried = first[carries[codes[first]]] if len(first) else first
        self._old = {int(row): old[codes[row]] for row in self._carried}
        self.exists = self._before >= 0
        self.exists[self._carried] = True
        for code, row in enumerate(last):
            if row >= 0:
                memory[names[code]] = tuple(columns.value(field, int(row)) for field in self._fields)

    def numbers(self, field: str) -> DecimalColumn:
        """Return the values of the previous rows; unknown if there is none, or its value is missing."""
        place = self._fields.index(field)
        column = self._columns.numbers(field)
        carried = [values[place] for values in self._old.values()]
        present = [value for value in carried if value is not None]
        scale = max([column.scale, *(_scale(value) for value in present)])
        column = column.at_scale(scale)
        extra = [0 if value is None else _units(value, scale) for value in carried]
        low, high = min([column.low, *extra, 0]), max([column.high, *extra, 0])
        units = column.units
        if not -_MOST <= low <= high <= _MOST:
            units = units.astype(object)
        if len(units) == 0:
            return DecimalColumn(units, scale, None, low, high)
        inside = self._before >= 0
        if self._is_shift:
            taken = np.empty_like(units)
            taken[0], taken[1:] = 0, units[:-1]
        else:
            taken = np.where(inside, units[self._before], 0)
        known = inside.copy() if column.known is None else inside & column.known[self._before]
        if len(self._carried):
            taken[self._carried] = extra
            known[self._carried] = [value is not None for value in carried]
        return DecimalColumn(taken, scale, known, low, high)

    def value(self, field: str, row: int) -> Any:
        """Return the exact value of the previous row of *row*."""
        before = int(self._before[row])
        if before >= 0:
            return self._columns.value(field, before)
        values = self._old.get(row)
        return None if values is None else values[self._fields.index(field)]

    def values(self, row: int) -> tuple[Any, ...]:
        """Return all fields of the previous row of *row*."""
        return tuple(self.value(field, row) for field in self._fields)


def _found(
    columns: Columns, key: tuple[str, ...], counts: npt.NDArray[np.bool_] | None
) -> tuple[Rows, list[Any], Rows, list[int]]:
    """Return the series of each row, their keys, and the previous and the last rows; computed once for all rules with the same key."""
    if counts is None and key in columns.series:
        known: tuple[Rows, list[Any], Rows, list[int]] = columns.series[key]
        return known
    codes, names = series_names(columns, key)
    found = (codes, names, *_rows_before(codes, len(names), counts))
    if counts is None:
        columns.series[key] = found
    return found


def series_names(columns: Columns, key: Sequence[str]) -> tuple[Rows, list[Any]]:
    """Return a number for the series of each row, and the key of each series: a value, or a tuple if there are several fields."""
    codes, names = columns.codes(key[0])
    if len(key) == 1:
        return codes, list(names)
    tuples: list[tuple[Any, ...]] = [(name,) for name in names]
    for field in key[1:]:
        more, others = columns.codes(field)
        if not len(more):
            return codes, []
        found, codes = _numbered(codes * len(others) + more, len(tuples) * len(others))
        tuples = [(*tuples[number // len(others)], others[number % len(others)]) for number in found.tolist()]
    return codes, tuples


def _numbered(values: Rows, limit: int) -> tuple[Rows, Rows]:
    """Return the values that occur, in order, and the place of each among them; all are below *limit*."""
    if limit > _DENSE * len(values):
        found, places = np.unique(values, return_inverse=True)
        return found, places
    occurs = np.zeros(limit, np.bool_)
    occurs[values] = True  # a table of what occurs takes linear time; sorting does not
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[values]


def fold_series(
    columns: Columns,
    key: Sequence[str],
    fields: Sequence[str],
    memory: MutableMapping[Any, Any],
    start: Callable[[], Any],
    step: Callable[..., bool | Failure | None],
) -> KleeneMask:
    """Return the verdicts of *step* on each row in turn, given the state of its series and its values."""
    codes, names = series_names(columns, key)
    states = []
    for name in names:
        state = memory.get(name)
        if state is None:
            state = memory[name] = start()
        states.append(state)
    failures: dict[int, Failure] = {}
    known = np.ones(len(columns), np.bool_)
    holds = np.ones(len(columns), np.bool_)
    rows = zip(codes.tolist(), *(columns.values(field) for field in fields), strict=True)
    for row, (code, *values) in enumerate(rows):
        verdict = step(states[code], *values)
        if verdict is None:
            known[row] = False
        elif not verdict:
            holds[row] = False
            if isinstance(verdict, Failure):
                failures[row] = verdict
    return KleeneMask(holds, known, failures.__getitem__ if failures else None)


def _rows_before(codes: Rows, series: int, counts: npt.NDArray[np.bool_] | None) -> tuple[Rows, list[int]]:
    """Return the previous row of each row, and the last row of each series that counts; -1 for none."""
    rows = len(codes)
    places = np.arange(rows)
    if series <= 1:
        marked = places if counts is None else np.maximum.accumulate(np.where(counts, places, -1))
        return np.concatenate(([-1], marked))[:-1] if rows else places, marked[-1:].tolist()
    # A stable sort of 16-bit integers is a radix sort, which takes linear time.
    order = np.argsort(codes.astype(np.int16) if series < _FEW else codes, kind="stable")
    codes_in_order = codes[order]
    ends = np.searchsorted(codes_in_order, np.arange(series), side="right")
    begins = np.searchsorted(codes_in_order, np.arange(series), side="left")
    marked = places if counts is None else np.maximum.accumulate(np.where(counts[order], places, -1))
    shifted = np.concatenate(([-1], marked[:-1]))
    own = shifted >= begins[codes_in_order]
    before = np.full(rows, -1, np.int64)
    before[order[own]] = order[shifted[own]]
    last = [
        int(order[marked[end - 1]]) if end > begin and marked[end - 1] >= begin else -1
        for begin, end in zip(begins, ends, strict=True)
    ]
    return before, last


def _scale(value: Any) -> int:
    return max(0, -int(value.as_tuple().exponent)) if isinstance(value, Decimal) else 0


def _units(value: Any, scale: int) -> int:
    return int(EXACT.scaleb(value, scale)) if isinstance(value, Decimal) else value * 10**scale
