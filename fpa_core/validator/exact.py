"""Columns of exact numbers and of three-valued (Kleene) booleans, with the usual operators.

Arrow's decimal kernels fail on columns whose scales differ much, and on sums at full precision. Here a column of decimals is a column of
integers with one power of ten: 64-bit integers while every value and result is known to fit, Python integers otherwise. So every verdict
is exact, and nearly always as fast as integer arithmetic.
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

__all__ = ["Bools", "DecimalColumn", "KleeneMask", "units_of"]

Bools: TypeAlias = npt.NDArray[np.bool_]

_MAX = 2**63 - 1


class KleeneMask:
    """One verdict per row: true, false, or unknown.

    :ivar holds: which rows are known to be true.
    :ivar known: which rows are known; None for all.
    :ivar why: returns the reason for a failed row; None if the row alone explains it.
    """

    __slots__ = ("holds", "known", "why")

    def __init__(self, holds: Bools, known: Bools | None = None, why: Callable[[int], Failure] | None = None) -> None:
        self.holds = holds if known is None else holds & known
        self.known = known
        self.why = why

    def with_reasons(self, why: Callable[[int], Failure]) -> KleeneMask:
        """Return this mask with *why* as the reasons for failed rows."""
        return KleeneMask(self.holds, self.known, why)

    def __invert__(self) -> KleeneMask:
        return KleeneMask(~self.holds, self.known)

    def __and__(self, other: KleeneMask) -> KleeneMask:
        """Kleene and: false if either is false, even if the other is unknown."""
        return ~(~self | ~other)

    def __or__(self, other: KleeneMask) -> KleeneMask:
        """Kleene or: true if either is true, even if the other is unknown."""
        holds = self.holds | other.holds
        known = _both(self.known, other.known)
        return KleeneMask(holds, known if known is None else known | holds)

    def where(self, condition: KleeneMask) -> KleeneMask:
        """Return this mask with the rows unknown in which *condition* is not known to be true."""
        return KleeneMask(self.holds, _both(self.known, condition.holds), self.why)

    def to_arrow(self) -> pa.BooleanArray:
        """Return an Arrow array with null for unknown rows."""
        return pa.array(self.holds, mask=None if self.known is None else ~self.known)


@attrs.frozen(eq=False)
class DecimalColumn:
    """A column of exact numbers: integers times ``10 ** -scale``; or one number for all rows.

    Comparisons give a `KleeneMask` that is unknown if a value is missing.

    :ivar units: the integers; 0 if the value is missing.
    :ivar known: which rows have a value; None for all.
    :ivar low, high: bounds of the integers, used to rule out overflow.
    """

    units: Any
    scale: int
    known: Bools | None
    low: int
    high: int

    def present(self) -> KleeneMask:
        """Return which rows have a value."""
        return KleeneMask(np.ones(len(self.units), np.bool_) if self.known is None else self.known)

    def __lt__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:
        return self._compare(operator.lt, other)

    def __le__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:
        return self._compare(operator.le, other)

    def __gt__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:
        return self._compare(operator.gt, other)

    def __ge__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:
        return self._compare(operator.ge, other)

    def __eq__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:  # type: ignore[override]
        return self._compare(operator.eq, other)

    def __ne__(self, other: DecimalColumn | Decimal | int) -> KleeneMask:  # type: ignore[override]
        return self._compare(operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: DecimalColumn | Decimal | int) -> DecimalColumn:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.add, one, two, one.scale, (one.low + two.low, one.high + two.high))

    def __sub__(self, other: DecimalColumn | Decimal | int) -> DecimalColumn:
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.sub, one, two, one.scale, (one.low - two.high, one.high - two.low))

    def __mul__(self, other: DecimalColumn | Decimal | int) -> DecimalColumn:
        two = _numbers(other)
        ends = [a * b for a in (self.low, self.high) for b in (two.low, two.high)]
        return _combine(operator.mul, self, two, self.scale + two.scale, ends)

    __radd__ = __add__
    __rmul__ = __mul__

    def __mod__(self, other: DecimalColumn | Decimal | int) -> DecimalColumn:
        """Return the remainder; only for numbers not below zero."""
        one, two = _aligned(self, _numbers(other))
        return _combine(operator.mod, one, two, one.scale, (0, max(two.high, 0)))

    def at_scale(self, scale: int) -> DecimalColumn:
        """Return the same numbers at a larger scale."""
        return _rescaled(self, scale)

    def value(self, row: int) -> Decimal | None:
        """Return the exact value of a row; None if it is missing."""
        if self.known is not None and not self.known[row]:
            return None
        return EXACT.scaleb(Decimal(int(self.units[row])), -self.scale)

    def __abs__(self) -> DecimalColumn:
        bound = max(-self.low, self.high)
        return DecimalColumn(abs(self.units), self.scale, self.known, 0, bound)

    def _compare(self, compare: Callable[[Any, Any], Any], other: DecimalColumn | Decimal | int) -> KleeneMask:
        one, two = _aligned(self, _numbers(other))
        if not _fits(two.low, two.high):  # numbers beyond 64 bits compare only with Python integers
            one = _wide(one)
        return KleeneMask(compare(one.units, two.units), _both(one.known, two.known))


def _numbers(value: DecimalColumn | Decimal | int) -> DecimalColumn:
    if isinstance(value, DecimalColumn):
        return value
    scale = max(0, -int(value.as_tuple().exponent)) if isinstance(value, Decimal) else 0
    units = units_of(value, scale) if isinstance(value, Decimal) else value
    return DecimalColumn(units, scale, None, units, units)


def units_of(value: Decimal, scale: int) -> int:
    """Return ``value * 10 ** scale`` as an integer."""
    return int(EXACT.scaleb(value, scale))


def _fits(*ends: int) -> bool:
    return all(-_MAX <= end <= _MAX for end in ends)


def _wide(numbers: DecimalColumn) -> DecimalColumn:
    units = numbers.units.astype(object) if isinstance(numbers.units, np.ndarray) else numbers.units
    return attrs.evolve(numbers, units=units)


def _combine(
    operation: Callable[[Any, Any], Any], one: DecimalColumn, two: DecimalColumn, scale: int, ends: Sequence[int]
) -> DecimalColumn:
    low, high = min(ends), max(ends)
    if not _fits(low, high, two.low, two.high, one.low, one.high):
        one, two = _wide(one), _wide(two)
    return DecimalColumn(operation(one.units, two.units), scale, _both(one.known, two.known), low, high)


def _aligned(one: DecimalColumn, two: DecimalColumn) -> tuple[DecimalColumn, DecimalColumn]:
    """Return both at the larger of their scales."""
    scale = max(one.scale, two.scale)
    return _rescaled(one, scale), _rescaled(two, scale)


def _rescaled(numbers: DecimalColumn, scale: int) -> DecimalColumn:
    if numbers.scale == scale:
        return numbers
    wider = numbers * 10 ** (scale - numbers.scale)
    return DecimalColumn(wider.units, scale, wider.known, wider.low, wider.high)


def _both(one: Bools | None, two: Bools | None) -> Bools | None:
    return two if one is None else one if two is None else one & two
