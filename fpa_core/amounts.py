"""Exact amounts: fractions inside a calculation, decimals outside."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from fpa_core.numbers import MAX_DIGITS

__all__ = ["PLACES", "decimal_of", "fraction_of"]

PLACES = 18
"""Decimal places that an amount is rounded to, half to even, if no decimal is equal to it: a third of a share, an average price."""


def fraction_of(value: Decimal | None) -> Fraction:
    """Return a decimal as a fraction; a missing one is 0."""
    return Fraction(0) if value is None else Fraction(value)


def decimal_of(value: Fraction) -> Decimal:
    """Return a fraction as the decimal that is equal to it, or, if there is none, rounded half to even to :data:`PLACES` places."""
    places = _places(value.denominator)
    if places is None or places > MAX_DIGITS:
        places = PLACES
    return Decimal(f"{round(value * 10**places)}E-{places}")  # as text, because that is never rounded to a context


def _places(denominator: int) -> int | None:
    """Return how many decimal places a fraction in lowest terms with this denominator has; None if they never end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None
