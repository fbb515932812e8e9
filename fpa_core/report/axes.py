"""Axes: ticks at round values, and their labels."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["Tick", "duration", "round_up", "step_text", "time_ticks", "value_ticks"]

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_STEPS = (
    *(10**power for power in range(9)),
    *(_SECOND * each for each in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200)),
    *(_DAY * each for each in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600)
MOST_TICKS = 8

VALUE_STEPS = 4
"""The number of steps between ticks of the value axis, at most."""

_UNITS = ((_DAY, "d"), (3_600 * _SECOND, "h"), (60 * _SECOND, "min"), (_SECOND, "s"), (10**6, "ms"), (10**3, "µs"))


class Tick(NamedTuple):
    """A tick of the time axis.

    :ivar share: its position on the axis, from 0 to 1.
    :ivar label: the label; ``below`` is the second line, set if a larger unit such as a day begins here.
    """

    share: float
    label: str
    below: str


def time_ticks(first_ns: int, last_ns: int) -> list[Tick]:
    """Return ticks at round times of a range."""
    span = max(last_ns - first_ns, 1)
    step = next((each for each in _STEPS if span // each < MOST_TICKS), None)
    if step is None:
        return _calendar_ticks(first_ns, last_ns)
    ticks: list[Tick] = []
    shown = ""
    for ns in range(-(-first_ns // step) * step, last_ns + 1, step):
        moment = datetime.fromtimestamp(ns // _SECOND, UTC)
        day = f"{moment.day} {moment:%b %Y}"
        if step >= _DAY:
            label, below = f"{moment.day} {moment:%b}", f"{moment:%Y}"
        else:
            label, below = f"{moment:%H:%M}", day
            if step < 60 * _SECOND:
                label += f":{moment:%S}"
            if step < _SECOND:
                label += f".{ns % _SECOND:09d}"[: 1 + 9 - int(math.log10(step))]
        ticks.append(Tick((ns - first_ns) / span, label, below if below != shown else ""))
        shown = below
    return ticks


def _calendar_ticks(first_ns: int, last_ns: int) -> list[Tick]:
    """Return ticks at the first of months or years."""
    start, end = (datetime.fromtimestamp(ns // _SECOND, UTC) for ns in (first_ns, last_ns))
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    step = next((each for each in _MONTHS if (last - first) // each < MOST_TICKS), _MONTHS[-1])
    ticks: list[Tick] = []
    shown = ""
    for month in range(-(-first // step) * step, last + 1, step):
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        share = (int(moment.timestamp()) * _SECOND - first_ns) / (last_ns - first_ns)
        if not 0 <= share <= 1:
            continue
        year = f"{moment:%Y}"
        below = "" if step % 12 == 0 or year == shown else year
        ticks.append(Tick(share, year if step % 12 == 0 else f"{moment:%b}", below))
        shown = year
    return ticks


def round_up(value: int) -> int:
    """Return the next number of the form 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 5:
        return max(value, 1)
    power = 10 ** int(math.log10(value))
    return next(int(power * factor) for factor in (1, 2, 2.5, 5, 10) if power * factor >= value)


def duration(ns: int) -> str:
    """Return a length of time as text, in its two largest units."""
    parts = []
    for unit, label in _UNITS:
        if ns >= unit:
            parts.append(f"{ns // unit:,} {label}")
            ns %= unit
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or f"{ns} ns"


def value_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round values from *low* to *high*, with their labels: five at most."""
    span = high - low
    if span <= 0:
        return [(low, f"{low:,.6g}")]
    power = 10.0 ** math.floor(math.log10(span / VALUE_STEPS))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor * VALUE_STEPS >= span)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(number * step, step_text(number * step, step)) for number in range(first, last + 1)]


def step_text(value: float, step: float) -> str:
    """Return a multiple of a round step with the decimals that the step needs."""
    if not 1e-9 <= step <= 1e12:
        return f"{value:.3g}"
    exponent = math.floor(math.log10(step) + 1e-9)
    halves = round(step / 10.0**exponent, 3) == 2.5  # 2.5 needs one decimal more than 2
    return f"{value + 0.0:,.{max(0, int(halves) - exponent)}f}"
