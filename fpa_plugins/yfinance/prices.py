"""Yahoo's numbers as decimals, and what splits make of them.

Yahoo sends prices as single-precision numbers, widened: 169.3 arrives as 169.3000030517578. It divides what was traded before a split by the split's
ratio. Both are undone here: the price is the shortest decimal that becomes the number sent when it is divided and rounded in the same way.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
from attrs import frozen

__all__ = ["Split", "factor_on", "ratio_of", "shortest", "whole"]

MOST_SHARES = 10_000
"""The largest number of old or new shares that is looked for in a ratio that arrives as a float."""


@frozen(order=True)
class Split:
    """*ratio* new shares for one old share, from the date on which it takes effect."""

    on: date
    ratio: Fraction


def ratio_of(value: float) -> Fraction:
    """Return the ratio of a split, of which yfinance gives the quotient: 0.3333333333333333 is 1 for 3."""
    nearest = Fraction(value).limit_denominator(MOST_SHARES)
    return nearest if float(nearest) == value else Fraction(repr(float(value)))


def factor_on(splits: Sequence[Split], day: date) -> Fraction:
    """Return what one price of a day was divided by: the ratios of all later splits, multiplied. *splits* are in order of time."""
    later = splits[bisect.bisect_right([split.on for split in splits], day) :]
    return math.prod((split.ratio for split in later), start=Fraction(1))


def shortest(value: float, factor: Fraction = Fraction(1)) -> Decimal | None:
    """Return the shortest decimal that is *value* when it is divided by *factor*, in the precision of *value*; None for not a number."""
    number = float(value)
    if math.isnan(number):
        return None
    single = float(np.float32(number)) == number
    traded, divisor = number * float(factor), float(factor)
    for digits in range(1, 17):
        text = f"{traded:.{digits}g}"
        sent = float(text) / divisor
        if (float(np.float32(sent)) if single else sent) == number:
            return Decimal(text)
    return Decimal(repr(traded))


def whole(value: float, factor: Fraction = Fraction(1)) -> Decimal | None:
    """Return a number of shares in those of its day, whole unless Yahoo itself sends fractions; None for not a number."""
    number = float(value)
    if math.isnan(number):
        return None
    if factor == 1 and not number.is_integer():
        return Decimal(repr(number))
    return Decimal(round(Fraction(number) / factor))
