"""For each row of a table, the row before it of the same series; where the table has none, what is remembered from before the table."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fpa_core.numbers import EXACT
from fpa_core.protocols import Failure
from fpa_core.validator.vectors import Numbers, Truth

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns

__all__ = ["Preceding", "series_names", "stepped"]

Rows = npt.NDArray[np.int64]

_FEW = 2**15
_MOST = 2**63 - 1


class Preceding:
    """The row before each row, of the same series.

    :param key: the fields that name a series.
    :param fields: what is asked of the row before: columns of numbers, times or integers.
    :param memory: what was remembered of each series, by its name: a tuple of the fields' values. It is brought up to date at once.
    :param counts: the rows that count as a row before; None for all. The others have one, too, but are none.
    :ivar exists: which rows have one.
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
        self._is_shift = len(names) == 1 and counts is None  # one series: the row before is the one above
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

    def numbers(self, field: str) -> Numbers:
        """Return the values of the rows before; not known where there is none, or it has no value."""
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
            return Numbers(units, scale, None, low, high)
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
        return Numbers(taken, scale, known, low, high)

    def value(self, field: str, row: int) -> Any:
        """Return the exact value of the row before a row."""
        before = int(self._before[row])
        if before >= 0:
            return self._columns.value(field, before)
        values = self._old.get(row)
        return None if values is None else values[self._fields.index(field)]

    def values(self, row: int) -> tuple[Any, ...]:
        """Return all fields of the row before a row."""
        return tuple(self.value(field, row) for field in self._fields)


def _found(
    columns: Columns, key: tuple[str, ...], counts: npt.NDArray[np.bool_] | None
) -> tuple[Rows, list[Any], Rows, list[int]]:
    """Return the series of each row, their names, and the rows before and last; found once for all rules that ask alike."""
    if counts is None and key in columns.series:
        known: tuple[Rows, list[Any], Rows, list[int]] = columns.series[key]
        return known
    codes, names = series_names(columns, key)
    found = (codes, names, *_rows_before(codes, len(names), counts))
    if counts is None:
        columns.series[key] = found
    return found


def series_names(columns: Columns, key: Sequence[str]) -> tuple[Rows, list[Any]]:
    """Return a number for the series of each row, and what names each series: the value of the field, or a tuple of several."""
    codes, names = columns.codes(key[0])
    if len(key) == 1:
        return codes, list(names)
    tuples: list[tuple[Any, ...]] = [(name,) for name in names]
    for field in key[1:]:
        more, others = columns.codes(field)
        if not len(more):
            return codes, []
        found, codes = np.unique(codes * len(others) + more, return_inverse=True)
        tuples = [(*tuples[number // len(others)], others[number % len(others)]) for number in found.tolist()]
    return codes, tuples


def stepped(
    columns: Columns,
    key: Sequence[str],
    fields: Sequence[str],
    memory: MutableMapping[Any, Any],
    start: Callable[[], Any],
    step: Callable[..., bool | Failure | None],
) -> Truth:
    """Judge a table by a function of a state and the next values, row after row."""
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
    return Truth(holds, known, failures.__getitem__ if failures else None)


def _rows_before(codes: Rows, series: int, counts: npt.NDArray[np.bool_] | None) -> tuple[Rows, list[int]]:
    """Return the row before each row, -1 for none, and the last row of each series that counts, -1 for none."""
    rows = len(codes)
    places = np.arange(rows)
    if series <= 1:
        order, codes_in_order = places, codes
    else:
        # A stable sort of few numbers is a radix sort, in proportion to the rows.
        order = np.argsort(codes.astype(np.int16) if series < _FEW else codes, kind="stable")
        codes_in_order = codes[order]
    ends = np.searchsorted(codes_in_order, np.arange(series), side="right")
    begins = np.searchsorted(codes_in_order, np.arange(series), side="left")
    marked = places if counts is None else np.maximum.accumulate(np.where(counts[order], places, -1))
    shifted = np.empty(rows, np.int64)
    if rows:
        shifted[0] = -1
        shifted[1:] = marked[:-1]
    own = shifted >= (begins[codes_in_order] if series > 1 else 0)
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
