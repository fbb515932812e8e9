"""Whole columns of exact numbers and of three-valued truths, with the operators one would use on single values.

Arrow's own decimal kernels refuse columns whose scales differ much, and sums at full precision. Here a column of decimals is a column of
integers with one power of ten: 64-bit ones while every value and result provably fits, Python's own beyond that. So every verdict is the
one exact arithmetic gives, and nearly always at the speed of plain integers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.numbers import EXACT
from fpa_core.protocols import Failure

__all__ = ["Bools", "Numbers", "Truth", "units_of"]

Bools: TypeAlias = npt.NDArray[np.bool_]

_MAX = 2**63 - 1


class Truth:
    """One verdict a row: true, false, or not known.

    :ivar holds: where it is known to be true.
    :ivar known: where it is known at all; None for everywhere.
    :ivar why: tells the reasons for a row that failed, where they do not lie in the row alone.
    """

    __slots__ = ("holds", "known", "why")

    def __init__(self, holds: Bools, known: Bools | None = None, why: Callable[[int], Failure] | None = None) -> None:
        self.holds = holds if known is None else holds & known
        self.known = known
        self.why = why

    def explained(self, why: Callable[[int], Failure]) -> Truth:
        """Return this with reasons."""
        return Truth(self.holds, self.known, why)

    def __invert__(self) -> Truth:
        return Truth(~self.holds, self.known)

    def __and__(self, other: Truth) -> Truth:
        """Both; false where either is false, even if the other is not known."""
        return ~(~self | ~other)

    def __or__(self, other: Truth) -> Truth:
        """Either; true where one is true, even if the other is not known."""
        holds = self.holds | other.holds
        known = _both(self.known, other.known)
        return Truth(holds, known if known is None else known | holds)

    def where(self, condition: Truth) -> Truth:
        """Return this where *condition* is known to be true; elsewhere it is not known."""
        return Truth(self.holds, _both(self.known, condition.holds), self.why)

    def to_arrow(self) -> pa.BooleanArray:
        """Return an Arrow array with null for what is not known."""
        return pa.array(self.holds, mask=None if self.known is None else ~self.known)


@attrs.frozen(eq=False)
class Numbers:
    """A column of exact numbers: integers, all to be multiplied by ``10 ** -scale``; or one number, for all rows.

    Comparisons give a `Truth` that is not known where a value is missing.

    :ivar units: the integers; 0 where the value is missing.
    :ivar known: where there is a value; None for everywhere.
    :ivar low, high: bounds of the integers, by which overflow is ruled out beforehand.
    """

    units: Any
    scale: int
    known: Bools | None
    low: int
    high: int

    def present(self) -> Truth:
        """Tell which rows have a value."""
        return Truth(np.ones(len(self.units), np.bool_) if self.known is None else self.known)

    def __lt__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.lt, other)

    def __le__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.le, other)

    def __gt__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.gt, other)

    def __ge__(self, other: Numbers | Decimal | int) -> Truth:
        return self._compare(operator.ge, other)

    def __eq__(self, other: Numbers | Decimal | int) -> Truth:  # type: ignore[override]
        return self._compare(operator.eq, other)

    def __ne__(self, other: Numbers | Decimal | int) -> Truth:  # type: ignore[override]
        return self._compare(operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Numbers | Decimal | int) -> Numbers:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.add, one, two, one.scale, (one.low + two.low, one.high + two.high))

    def __sub__(self, other: Numbers | Decimal | int) -> Numbers:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.sub, one, two, one.scale, (one.low - two.high, one.high - two.low))

    def __mul__(self, other: Numbers | Decimal | int) -> Numbers:
        two = _numbers(other)
        ends = [a * b for a in (self.low, self.high) for b in (two.low, two.high)]
        return _combine(operator.mul, self, two, self.scale + two.scale, ends)

    __radd__ = __add__
    __rmul__ = __mul__

    def __mod__(self, other: Numbers | Decimal | int) -> Numbers:
        """Return the remainder, for numbers not below zero."""
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.mod, one, two, one.scale, (0, max(two.high, 0)))

    def at_scale(self, scale: int) -> Numbers:
        """Return the same numbers at a scale no less than theirs."""
        return _rescaled(self, scale)

    def value(self, row: int) -> Decimal | None:
        """Return one of them, exactly."""
        if self.known is not None and not self.known[row]:
            return None
        return EXACT.scaleb(Decimal(int(self.units[row])), -self.scale)

    def __abs__(self) -> Numbers:
        bound = max(-self.low, self.high)
        return Numbers(abs(self.units), self.scale, self.known, 0, bound)

    def _compare(self, compare: Callable[[Any, Any], Any], other: Numbers | Decimal | int) -> Truth:
        one, two = _aligned(self, _numbers(other))
        if not _fits(two.low, two.high):  # a single number beyond 64 bits compares with Python's integers only
            one = _wide(one)
        return Truth(compare(one.units, two.units), _both(one.known, two.known))


def _numbers(value: Numbers | Decimal | int) -> Numbers:
    if isinstance(value, Numbers):
        return value
    scale = max(0, -int(value.as_tuple().exponent)) if isinstance(value, Decimal) else 0
    units = units_of(value, scale) if isinstance(value, Decimal) else value
    return Numbers(units, scale, None, units, units)


def units_of(value: Decimal, scale: int) -> int:
    """Return a decimal as a whole number of the units of a scale: times ten to its power."""
    return int(EXACT.scaleb(value, scale))


def _fits(*ends: int) -> bool:
    return all(-_MAX <= end <= _MAX for end in ends)


def _wide(numbers: Numbers) -> Numbers:
    units = numbers.units.astype(object) if isinstance(numbers.units, np.ndarray) else numbers.units
    return attrs.evolve(numbers, units=units)


def _combine(
    operation: Callable[[Any, Any], Any], one: Numbers, two: Numbers, scale: int, ends: Sequence[int]
) -> Numbers:
    low, high = min(ends), max(ends)
    if not _fits(low, high, two.low, two.high, one.low, one.high):
        one, two = _wide(one), _wide(two)
    return Numbers(operation(one.units, two.units), scale, _both(one.known, two.known), low, high)


def _aligned(one: Numbers, two: Numbers) -> tuple[Numbers, Numbers]:
    """Bring both to the larger of their scales."""
    scale = max(one.scale, two.scale)
    return _rescaled(one, scale), _rescaled(two, scale)


def _rescaled(numbers: Numbers, scale: int) -> Numbers:
    if numbers.scale == scale:
        return numbers
    wider = numbers * 10 ** (scale - numbers.scale)
    return Numbers(wider.units, scale, wider.known, wider.low, wider.high)


def _both(one: Bools | None, two: Bools | None) -> Bools | None:
    return two if one is None else one if two is None else one & two
