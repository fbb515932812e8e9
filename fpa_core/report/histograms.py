"""Histograms of numbers: bins of equal, round widths, from a low to a high quantile; what lies outside is counted in the outer bins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from attrs import frozen

__all__ = ["Histogram", "histogram"]

BINS = 30
"""The number of bins that is aimed at."""

OUTER = 0.005
"""The fraction of the values at each end that may lie outside the range of the bins if they are far away."""

FAR = 3
"""How many times wider than the values within those fractions the whole range must be for the ends to be cut off."""


@frozen
class Histogram:
    """A histogram.

    :ivar start: the lower edge of the first bin, and ``width`` the width of each.
    :ivar counts: the number of values in each bin.
    :ivar below: how many of the first bin lie below its lower edge, and ``above`` how many of the last above its upper one.
    """

    start: float
    width: float
    counts: Sequence[int]
    below: int = 0
    above: int = 0

    @property
    def end(self) -> float:
        """The upper edge of the last bin."""
        return self.start + self.width * len(self.counts)


def histogram(counts: Mapping[float, int], *, whole: bool = False) -> Histogram | None:
    """Return the histogram of values with their counts; None if there are fewer than two different finite ones.

    :param whole: whether the values are whole numbers, so that no bin is narrower than 1.
    """
    finite = sorted(value for value in counts if math.isfinite(value))
    if len(finite) < 2:
        return None
    values = np.array(finite)
    weights = np.array([counts[value] for value in finite])
    low, high = _range(values, weights)
    width = _round_width((high - low) / BINS)
    if whole:
        width = max(width, 1.0)
    if not (math.isfinite(width) and width > 0 and math.isfinite(values[-1] - values[0])):
        return None
    first = math.floor(low / width)
    number = math.floor(high / width) - first + 1
    if number > 3 * BINS or first * width + width == first * width:
        return None  # the values differ by too little for floating-point numbers
    places = np.clip(np.floor(values / width) - first, 0, number - 1).astype(np.int64)
    found = np.bincount(places, weights, minlength=number).astype(np.int64).tolist()
    start, end = first * width, (first + number) * width
    below, above = int(weights[values < start].sum()), int(weights[values >= end].sum())
    return Histogram(start, width, found, below, above)


def _range(values: npt.NDArray[np.float64], weights: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the range of the bins: all values, unless few of them are far away."""
    passed = np.cumsum(weights) / weights.sum()
    last = len(values) - 1
    inner_low = float(values[min(int(np.searchsorted(passed, OUTER)), last)])
    inner_high = float(values[min(int(np.searchsorted(passed, 1 - OUTER)), last)])
    low, high = float(values[0]), float(values[-1])
    if inner_high > inner_low and high - low > FAR * (inner_high - inner_low):
        return inner_low, inner_high
    return low, high


def _round_width(width: float) -> float:
    """Return the next number of the form 1, 2, 2.5 or 5 times a power of ten."""
    if width <= 0 or not math.isfinite(width):
        return width
    power = 10.0 ** math.floor(math.log10(width))
    return next((power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= width * (1 - 1e-9)), 10 * power)
