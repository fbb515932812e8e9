"""How a column of 64-bit integers becomes few bytes and back: pure functions, the heart of a segment.

Numbers are kept as steps above the least of them, or as differences from row to row, whichever takes fewer bytes. What is common to all,
such as the cents of prices that move by whole ticks or the zeros of times in milliseconds, is divided out first.
docs/reference/segment-format.md describes every byte.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["DELTA", "OFFSET", "WIDTHS", "Coded", "Integers", "decode", "encode"]

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.unsignedinteger[Any]]

OFFSET = 1
"""Value = base + step x number; a width of 0 means that all numbers are 0."""
DELTA = 2
"""Value = value before + least difference + step x number; the first value and the wide differences stand apart."""

WIDTHS = (1, 2, 4, 8)
"""Bytes that a number may take."""

_DIFFERENCES = struct.Struct("<qI")
"""Least difference, and how many stand apart, before the bytes of differences."""

_EXCEPTION_BYTES = 12

_CLOSER = 4
"""How much closer together differences must lie than values to be kept in their place at no fewer bytes: they are compressed to less."""

_FEW = 64
"""Numbers that show, as a rule, that all of them have no common divisor but 1."""


class Coded(NamedTuple):
    """Integers as bytes, and what is needed to read them."""

    coding: int
    width: int
    base: int
    step: int
    payload: bytes


def encode(values: Integers) -> Coded:
    """Return *values*, at least one, in the fewest bytes that reading them fast allows."""
    base, top = int(values.min()), int(values.max())
    if base == top:
        return Coded(OFFSET, 0, base, 1, b"")
    if top - base < 2**31:  # differences, too, fit into 32 bits, which are half as much to go through
        signed: Any = np.int32
        offsets: Numbers = values.astype(np.uint32)
        offsets -= np.uint32(base % 2**32)
    else:
        # Differences may pass 64 bits; they are taken modulo 2**64, which adding them up again undoes.
        signed = np.int64
        offsets = values.view(np.uint64) - np.uint64(base % 2**64)
    step, numbers = _stepped(offsets)
    reach = (top - base) // step
    width = _width(reach)
    if top - base < 2**62:
        steps = np.diff(numbers.view(signed))
        least = int(steps.min())
        closest = int(steps.max()) - least
        # Where a number takes a byte already, differences must lie much closer to be worth it.
        if width > 1 or _CLOSER * closest < reach:
            differences = _Differences.plan((steps - least).view(numbers.dtype), closest)
            closer = differences.width == width and _CLOSER * closest < reach
            if closer or differences.size < len(values) * width:
                return Coded(DELTA, differences.width, int(values[0]), step, differences.payload(least * step))
    return Coded(OFFSET, width, base, step, numbers.astype(f"<u{width}").tobytes())


def _stepped(offsets: Numbers) -> tuple[int, Numbers]:
    """Return the greatest number that divides all, and what remains of them."""
    step = int(np.gcd.reduce(offsets[:_FEW])) or int(np.gcd.reduce(offsets))
    if step > 1:
        unsigned = offsets.dtype.type
        numbers = offsets // unsigned(step)
        if (numbers * unsigned(step) != offsets).any():
            step = int(np.gcd.reduce(offsets))
            numbers = offsets // unsigned(step)
        if 1 < step < 2**63:  # the header has 63 bits for it; only the two far ends of time are further apart
            return step, numbers
    return 1, offsets


def _width(top: int) -> int:
    """Return the fewest bytes that hold numbers up to *top*."""
    return next(width for width in WIDTHS if top < 1 << 8 * width)


class _Differences(NamedTuple):
    """How differences are kept: the bytes of each, which are too wide for those, and the bytes of all."""

    numbers: Numbers
    width: int
    wide: npt.NDArray[np.int64]
    size: int

    @classmethod
    def plan(cls, numbers: Numbers, reach: int) -> _Differences:
        """Choose the width that takes the fewest bytes; none that is narrower than one that takes more."""
        width = _width(reach)
        size = _DIFFERENCES.size + len(numbers) * width
        wide = np.zeros(0, np.int64)
        for narrower in reversed(WIDTHS[: WIDTHS.index(width)]):
            stands_apart = numbers >= numbers.dtype.type(1 << 8 * narrower)
            apart = int(np.count_nonzero(stands_apart))
            smaller = _DIFFERENCES.size + len(numbers) * narrower + apart * _EXCEPTION_BYTES
            if smaller >= size:
                break
            width, size, wide = narrower, smaller, np.flatnonzero(stands_apart)
        return cls(numbers, width, wide, size)

    def payload(self, least: int) -> bytes:
        """Return the bytes of the differences."""
        kept = self.numbers.astype(f"<u{self.width}")
        kept[self.wide] = 0
        exceptions = [self.wide.astype("<u4").tobytes(), self.numbers[self.wide].astype("<u8").tobytes()]
        return b"".join([_DIFFERENCES.pack(least, len(self.wide)), *exceptions, kept.tobytes()])


def decode(coding: int, width: int, base: int, step: int, payload: memoryview, start: int, end: int) -> Integers:
    """Return the values from *start* to *end*."""
    if not width or end <= start:
        return np.full(max(0, end - start), base, np.int64)
    values = np.empty(end - start, np.int64)
    if coding == OFFSET:
        _lift(_numbers(payload, width, end - start, start * width), step, base, values)
        return values
    least, wide = _DIFFERENCES.unpack_from(payload)
    numbers = _numbers(payload, width, end - 1, _DIFFERENCES.size + wide * _EXCEPTION_BYTES)
    _lift(numbers[start:], step, least, values[1:])
    # The rows before the first one asked for need only be summed up.
    passed = int(numbers[:start].sum(dtype=np.int64)) if start else 0
    if wide:
        places = np.frombuffer(payload, "<u4", wide, _DIFFERENCES.size)
        first, last = np.searchsorted(places, (start, end - 1)).tolist()  # they are in order
        apart = _numbers(payload, 8, wide, _DIFFERENCES.size + 4 * wide)
        passed += int(apart[:first].sum())
        values[1:][places[first:last] - start] = apart[first:last] * step + least
    values[0] = _wrapped(base + start * least + passed * step)
    return np.cumsum(values, out=values)


def _numbers(payload: memoryview, width: int, count: int, at: int) -> npt.NDArray[Any]:
    """Return numbers as they are kept; those of 64 bits as signed ones, since sums are taken modulo 2**64 anyway."""
    return np.frombuffer(payload, "<i8" if width == 8 else f"<u{width}", count, at)


def _lift(numbers: npt.NDArray[Any], step: int, base: int, out: Integers) -> None:
    """Put base + step x number, modulo 2**64, into *out*."""
    np.copyto(out, numbers)
    if step != 1:
        np.multiply(out, step, out=out)
    if base:
        np.add(out, base, out=out)


def _wrapped(number: int) -> int:
    """Return a number modulo 2**64 as a signed one."""
    return (number + 2**63) % 2**64 - 2**63
