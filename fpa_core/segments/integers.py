"""Encode columns of 64-bit integers in few bytes, and decode them. All functions are pure.

Numbers are stored as offsets from the smallest one, or as differences from row to row, whichever takes fewer bytes. A common divisor, such as
the tick of prices or the milliseconds of times, is divided out first.
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
"""Value = value before + smallest difference + step x number; the first value and the wide differences are stored separately."""

WIDTHS = (1, 2, 4, 8)
"""Possible widths of a number in bytes."""

_DIFFERENCES = struct.Struct("<qI")
"""The header of differences: the smallest difference, and the number of wide ones."""

_EXCEPTION_BYTES = 12

_CLOSER = 4
"""How much narrower the range of differences must be to prefer them at the same number of bytes, because they compress better."""

_FEW = 64
"""Size of the sample that usually shows that there is no common divisor except 1."""


class Coded(NamedTuple):
    """Encoded integers, and the parameters to decode them."""

    coding: int
    width: int
    base: int
    step: int
    payload: bytes


def encode(values: Integers) -> Coded:
    """Encode *values*, at least one, in the fewest bytes that can still be decoded fast."""
    base, top = int(values.min()), int(values.max())
    if base == top:
        return Coded(OFFSET, 0, base, 1, b"")
    if top - base < 2**31:  # differences fit into 32 bits, too, which halves the memory to process
        signed: Any = np.int32
        offsets: Numbers = values.astype(np.uint32)
        offsets -= np.uint32(base % 2**32)
    else:
        # Differences may exceed 64 bits; they are taken modulo 2**64, which summing them up undoes.
        signed = np.int64
        offsets = values.view(np.uint64) - np.uint64(base % 2**64)
    step, numbers = _stepped(offsets)
    reach = (top - base) // step
    width = _width(reach)
    if top - base < 2**62:
        steps = np.diff(numbers.view(signed))
        least = int(steps.min())
        closest = int(steps.max()) - least
        # If a number takes one byte, differences must have a much narrower range to pay off.
        if width > 1 or _CLOSER * closest < reach:
            differences = _Differences.plan((steps - least).view(numbers.dtype), closest)
            closer = differences.width == width and _CLOSER * closest < reach
            if closer or differences.size < len(values) * width:
                return Coded(DELTA, differences.width, int(values[0]), step, differences.payload(least * step))
    return Coded(OFFSET, width, base, step, numbers.astype(f"<u{width}").tobytes())


def _stepped(offsets: Numbers) -> tuple[int, Numbers]:
    """Return the greatest common divisor, and the numbers divided by it."""
    step = int(np.gcd.reduce(offsets[:_FEW])) or int(np.gcd.reduce(offsets))
    if step > 1:
        unsigned = offsets.dtype.type
        numbers = offsets // unsigned(step)
        if (numbers * unsigned(step) != offsets).any():
            step = int(np.gcd.reduce(offsets))
            numbers = offsets // unsigned(step)
        if 1 < step < 2**63:  # the header has 63 bits for it; only extreme values are further apart
            return step, numbers
    return 1, offsets


def _width(top: int) -> int:
    """Return the fewest bytes that hold numbers up to *top*."""
    return next(width for width in WIDTHS if top < 1 << 8 * width)


class _Differences(NamedTuple):
    """The encoding of differences: the bytes of each, which ones are too wide, and the total size."""

    numbers: Numbers
    width: int
    wide: npt.NDArray[np.int64]
    size: int

    @classmethod
    def plan(cls, numbers: Numbers, reach: int) -> _Differences:
        """Choose the width that takes the fewest bytes; stop at the first narrower width that takes more."""
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


def decode(
    coding: int,
    width: int,
    base: int,
    step: int,
    payload: memoryview,
    start: int,
    end: int,
    out: Integers | None = None,
) -> Integers:
    """Return the values from *start* to *end*.

    :param out: where to write them; a new array for None.
    """
    values = np.empty(max(0, end - start), np.int64) if out is None else out
    if not width or end <= start:
        values[:] = base
        return values
    if coding == OFFSET:
        _lift(_numbers(payload, width, end - start, start * width), step, base, values)
        return values
    least, wide = _DIFFERENCES.unpack_from(payload)
    numbers = _numbers(payload, width, end - 1, _DIFFERENCES.size + wide * _EXCEPTION_BYTES)
    _lift(numbers[start:], step, least, values[1:])
    # The rows before *start* need only be summed up.
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
    """Return numbers as stored. Those of 64 bits are signed, because sums are taken modulo 2**64 anyway."""
    return np.frombuffer(payload, "<i8" if width == 8 else f"<u{width}", count, at)


def _lift(numbers: npt.NDArray[Any], step: int, base: int, out: Integers) -> None:
    """Write base + step x number, modulo 2**64, to *out*."""
    np.copyto(out, numbers)
    if step != 1:
        np.multiply(out, step, out=out)
    if base:
        np.add(out, base, out=out)


def _wrapped(number: int) -> int:
    """Return a number modulo 2**64 as a signed one."""
    return (number + 2**63) % 2**64 - 2**63
