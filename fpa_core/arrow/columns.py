"""Arrow columns of exact values: decimals and nanosecond times, in all their forms, a whole column at a time.

A *decimal column* is ``decimal128(38, s)`` if its values fit, else ``decimal256(76, s)``, else canonical text. The three are equivalent;
:func:`as_decimals`, :func:`as_texts` and :func:`as_numeric` convert any of them to the form the caller needs.

If 64 bits are enough, there is a fourth and cheapest form: *scaled* integers. The metadata of their field has the scale, the number of digits
after the point (:func:`scaled_field`, :func:`scale_of`). :func:`as_scaled` and :func:`from_scaled` convert to this form and back.

:mod:`fpa_core.arrow.parsing` parses text into columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.exceptions import CorruptionError
from fpa_core.numbers import decimal_text

__all__ = [
    "TIME",
    "as_decimals",
    "as_dictionary",
    "as_numeric",
    "as_scaled",
    "as_texts",
    "decimal_type",
    "equal",
    "from_scaled",
    "map_dictionary",
    "max_digits",
    "narrowest_decimal_type",
    "rescale",
    "scale_of",
    "scaled_field",
    "time_column",
    "times_as_ns",
    "times_as_texts",
    "to_common_type",
    "to_scaled_integers",
    "valid_mask",
]

TIME = pa.timestamp("ns", "UTC")
"""The Arrow type of every time."""

SCALE = b"scale"
"""The key of a scaled field's metadata."""

_BLOCK = 16_384
"""Values processed at once, so that they stay in the processor's cache between steps."""

_LONG = 2**17
"""The number of texts from which starting a thread pays off."""

_SHORT_RUN = 16
"""The average length of runs above which finding them pays off."""

T = TypeVar("T")


def max_digits(texts: pa.Array) -> tuple[int, int]:
    """Return the most characters before and after the point of decimal *texts*. A sign is counted, too, so the result may be one too large."""
    length = pc.binary_length(texts)
    point = pc.find_substring(texts, ".")
    whole = pc.less(point, 0)
    after = pc.max(pc.if_else(whole, 0, pc.subtract(pc.subtract(length, point), 1))).as_py() or 0
    return pc.max(pc.if_else(whole, length, point)).as_py() or 0, after


def decimal_type(before: int, after: int) -> pa.DataType | None:
    """Return the narrower of the two decimal types with enough digits before and after the point; None if neither has."""
    if before + after > 76:
        return None
    return pa.decimal128(38, after) if before + after <= 38 else pa.decimal256(76, after)


def narrowest_decimal_type(texts: pa.Array) -> pa.DataType | None:
    """Return the narrowest Arrow decimal that holds all *texts*; None if there is none, or if texts have exponents.

    The digits are counted here because Arrow's own cast silently overflows for some numbers that are too wide.
    """
    found = decimal_type(*max_digits(texts))
    if found is None or _any_has(texts, "E") or _any_has(texts, "e"):
        return None
    return found


def _any_has(texts: pa.Array, letter: str) -> bool:
    return bool(pc.any(pc.match_substring(texts, letter)).as_py())


def as_numeric(column: pa.Array) -> pa.Array:
    """Return *column* as Arrow decimals of one scale if possible, else unchanged as canonical text.

    :raises CorruptionError: if a text is not a number.
    """
    if not pa.types.is_string(column.type):
        return column
    found = narrowest_decimal_type(column)
    try:
        return column if found is None else column.cast(found)
    except pa.ArrowInvalid as error:
        raise _damaged(str(error)) from error


def _damaged(problem: str) -> CorruptionError:
    return CorruptionError(
        f"a stored number is damaged: {problem}", hint="restore the database from a backup", operation="read a number"
    )


def _is_number(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


def as_texts(column: pa.Array) -> pa.Array:
    """Return the canonical texts of a decimal column (see :func:`fpa_core.numbers.decimal_text`)."""
    if pa.types.is_string(column.type):
        return column
    written = column.cast(pa.string())
    scale = column.type.scale
    texts = pc.ascii_rtrim(pc.ascii_rtrim(written, "0"), ".") if scale > 0 else written
    # Arrow writes numbers far below one, zero at a scale beyond six, and all at a scale below zero, with an exponent.
    if not 0 <= scale <= 6 and _any_has(written, "E"):
        odd = pc.fill_null(pc.match_substring(written, "E"), False)
        mended = [decimal_text(value) for value in column.filter(odd).to_pylist()]
        texts = pc.replace_with_mask(texts, odd, pa.array(mended, pa.string()))
    return texts


def to_common_type(parts: Sequence[pa.Array]) -> list[pa.Array]:
    """Return decimal columns in one type that holds them all: Arrow decimals of the largest scale, or text if these do not fit."""
    types = {part.type for part in parts}
    if len(types) == 1:
        return list(parts)
    scale = max((one.scale for one in types if pa.types.is_decimal(one)), default=0)
    # The digits are counted first, because Arrow's cast to a larger scale silently overflows for numbers that are too wide.
    if all(pa.types.is_decimal128(one) for one in types) and max(map(_whole_digits, parts)) + scale <= 38:
        return [part.cast(pa.decimal128(38, scale)) for part in parts]
    return [as_texts(part) for part in parts]


def _whole_digits(part: pa.Array) -> int:
    """Return the most digits before the point of any value of Arrow decimals."""
    ends = [end for end in pc.min_max(part).as_py().values() if end]
    return max((end.adjusted() + 1 for end in ends), default=0)


def equal(one: pa.Array, other: pa.Array) -> bool:
    """Return whether two columns have the same values; decimals may differ in type."""
    if one.type != other.type:
        one, other = as_texts(one), as_texts(other)
    return bool(one.equals(other))


def as_decimals(column: pa.Array, scale: int | None = None) -> list[Decimal | None]:
    """Return the values of a decimal column as Decimals in canonical form. If *scale* is given, the column has scaled integers."""

    def made(values: pa.Array) -> list[Decimal]:
        texts = as_texts(values if scale is None else from_scaled(values, scale)).to_pylist()
        try:
            return list(map(Decimal, texts))
        except InvalidOperation:
            raise _damaged(next(repr(text) for text in texts if not _is_number(text))) from None

    return map_dictionary(column, made)


def as_dictionary(texts: pa.Array) -> pa.DictionaryArray:
    """Return dictionary-encoded texts. In runs of equal texts, as in rows of few symbols, only the first of each run is looked up."""
    plain = len(texts) < _BLOCK or texts.null_count or pa.types.is_dictionary(texts.type)
    if plain or _runs(texts.slice(0, _BLOCK)) is None or (starts := _runs(texts)) is None:
        return texts.dictionary_encode() if len(texts) < _LONG else _in_halves(texts)
    firsts = texts.take(pa.array(starts)).dictionary_encode()
    codes = np.repeat(firsts.indices.to_numpy(), np.diff(starts, append=len(texts)))
    return pa.DictionaryArray.from_arrays(pa.array(codes), firsts.dictionary)


def _in_halves(texts: pa.Array) -> pa.DictionaryArray:
    middle = len(texts) // 2
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(pa.Array.dictionary_encode, (texts.slice(0, middle), texts.slice(middle)))
        return pa.chunked_array(list(halves)).unify_dictionaries().combine_chunks()


def _runs(texts: pa.Array) -> npt.NDArray[np.int64] | None:
    """Return the start of each run of equal texts; None if there are too many runs to be useful."""
    changes = pc.not_equal(texts.slice(1), texts.slice(0, len(texts) - 1))
    starts = np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1
    return None if _SHORT_RUN * len(starts) >= len(texts) else np.concatenate([[0], starts])


def map_dictionary(column: pa.Array, made: Callable[[pa.Array], list[T]]) -> list[T | None]:
    """Return *made* applied to each value of *column*. It is called once per distinct value, because prices and words recur."""
    encoded = column.dictionary_encode()
    values = np.array([*made(encoded.dictionary), None], object)
    places = pc.fill_null(encoded.indices, len(values) - 1) if encoded.null_count else encoded.indices
    found: list[T | None] = values[places.to_numpy()].tolist()
    return found


def scaled_field(name: str, scale: int) -> pa.Field:
    """Return the field of a column of scaled integers."""
    return pa.field(name, pa.int64(), metadata={SCALE: str(scale)})


def scale_of(field: pa.Field) -> int | None:
    """Return the scale of a field of scaled integers; None for other fields."""
    found = (field.metadata or {}).get(SCALE)
    return None if found is None else int(found)


def from_scaled(column: pa.Array, scale: int, precision: int = 38) -> pa.Array:
    """Return scaled integers as ``decimal128(precision, scale)``, whose digits must be enough for them."""
    if not len(column):
        return pa.array([], pa.decimal128(precision, scale))
    numbers = np.frombuffer(column.buffers()[1], np.int64, len(column), 8 * column.offset)
    words = np.empty((len(column), 2), np.int64)
    words[:, 0] = numbers
    np.right_shift(numbers, 63, out=words[:, 1])
    buffers = [_validity(column), pa.py_buffer(words)]
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(column), buffers, column.null_count)


def as_scaled(column: pa.Array) -> tuple[pa.Array, int] | None:
    """Return Arrow decimals as scaled integers and their scale; None if one of them needs more than 64 bits."""
    if not pa.types.is_decimal128(column.type) or column.type.scale < 0:
        return None
    if not len(column):
        return pa.array([], pa.int64()), column.type.scale
    words = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset).reshape(-1, 2)
    low = np.empty(len(column), np.int64)
    valid = valid_mask(column)
    for start in range(0, len(column), _BLOCK):
        block = slice(start, start + _BLOCK)
        low[block] = words[block, 0]
        fits = words[block, 1] == low[block] >> 63
        if not fits.all() and (valid is None or not (fits | ~valid[block]).all()):
            return None
    buffers = [_validity(column), pa.py_buffer(low)]
    return pa.Array.from_buffers(pa.int64(), len(column), buffers, column.null_count), column.type.scale


def to_scaled_integers(column: pa.Array, field: pa.Field) -> tuple[pa.Array, int] | None:
    """Return a decimal column of any form as scaled integers and their scale; None if one of them needs more than 64 bits."""
    scale = scale_of(field)
    return as_scaled(as_numeric(column)) if scale is None else (column, scale)


def rescale(column: pa.Array, places: int) -> pa.Array:
    """Return scaled integers at a scale increased by a number of places.

    :raises pyarrow.ArrowInvalid: if one of them then needs more than 64 bits.
    """
    if places <= 18:  # 10**18 is the last power of ten in 64 bits
        return pc.multiply_checked(column, 10**places)
    if pc.any(pc.not_equal(column, 0)).as_py():
        raise pa.ArrowInvalid(f"64 bits do not hold it at a scale larger by {places}")
    return column


def _validity(column: pa.Array) -> pa.Buffer | None:
    """Return the validity bitmap, aligned to the first bit of a byte."""
    valid = valid_mask(column)
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def valid_mask(column: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Return which values of a column with a bitmap of its own are not null; None if all are.

    Unpacking the bitmap takes a sixth of the time of Arrow's ``is_valid`` and its conversion.
    """
    if not column.null_count:
        return None
    first, count = column.offset % 8, len(column)
    packed = np.frombuffer(column.buffers()[0], np.uint8, (first + count + 7) // 8, column.offset // 8)
    return np.unpackbits(packed, bitorder="little")[first : first + count].view(np.bool_)


def time_column(values: Sequence[int | None]) -> pa.Array:
    """Return a time column of nanoseconds."""
    return pa.array(values, pa.int64()).cast(TIME)


def times_as_ns(column: pa.Array) -> pa.Array:
    """Return a time column as int64 nanoseconds, without copying."""
    return (
        column.view(pa.int64()) if isinstance(column, pa.Array) else column.cast(pa.int64())
    )  # a view takes less time


def times_as_texts(column: pa.Array) -> pa.Array:
    """Return a time column as ISO-8601 UTC texts with 0, 3, 6 or 9 fractional digits each (see :func:`fpa_core.numbers.ns_text`)."""
    # Arrow writes "2024-05-01 14:30:00.123456789", always with all the digits of the unit.
    texts = pc.binary_replace_slice(column.cast(pa.timestamp("ns")).cast(pa.string()), 10, 11, "T")
    ns = times_as_ns(column)
    for unit, length in ((1_000, 26), (1_000_000, 23), (1_000_000_000, 19)):
        exact = pc.equal(ns, pc.multiply(pc.divide(ns, unit), unit))
        texts = pc.if_else(exact, pc.utf8_slice_codeunits(texts, 0, length), texts)
    return pc.binary_join_element_wise(texts, "Z", "")
