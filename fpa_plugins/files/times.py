"""Parse a column of times in a known notation into exact instants."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core.arrow import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.formats import zone_of
from fpa_core.numbers import MIN_NS, to_ns
from fpa_plugins.files import zones
from fpa_plugins.files.cells import Problems, texts_of, without_nulls
from fpa_plugins.files.patterns import ISO, Pattern
from fpa_plugins.files.timestyles import (
    EARLIEST,
    NUMBER,
    SHORTEST_TIME,
    UNIT_WORDS,
    UNITS,
    TimeStyle,
    exact,
    shown,
    unit_of,
)

__all__ = ["DAY", "Times", "read_times"]

DAY = 86_400 * 10**9
_EXCEL_EPOCH = -25_569
"""Day 0 of spreadsheets, 1899-12-30, in days since 1970."""

Nanoseconds = npt.NDArray[np.int64]


@frozen
class Times:
    """Times that were read.

    :ivar utc: nanoseconds since 1970.
    :ivar local: the local times of the same moments, as if these were UTC; *date_only* marks those without a time of day.
    :ivar valid: which rows have a time.
    """

    utc: Nanoseconds
    local: Nanoseconds
    date_only: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    problems: Problems


def read_times(style: TimeStyle, cells: pa.Array) -> Times:
    """Return the times of *cells*."""
    if pa.types.is_timestamp(cells.type):
        return _read_typed(style, cells)
    if pa.types.is_date(cells.type):
        return _read_typed(style, cells.cast(pa.timestamp("s")), dates=True)
    texts, problems = texts_of(cells)
    if style.form == "epoch":
        found = _read_numbers(style, without_nulls(texts))
    elif style.pattern is not None:
        found = _read_pattern(style, style.pattern, without_nulls(texts))
    else:
        found = _read_iso(style, texts)
    return evolve(found, problems=problems | found.problems) if problems else found


def _read_typed(style: TimeStyle, cells: pa.Array, *, dates: bool = False) -> Times:
    problems: Problems = {}
    zone = style.zone
    given = cells.type.tz
    try:
        stamps = cells.cast(pa.timestamp("ns", given))
    except pa.ArrowInvalid:
        in_range = _in_range(cells)
        problems = dict.fromkeys(
            np.flatnonzero(~in_range & _present(cells)).tolist(), "it is outside 1677-09-21 to 2262-04-11"
        )
        stamps = pc.if_else(pa.array(in_range), cells, None).cast(pa.timestamp("ns", given))
    ns, valid = _numbers(stamps.view(pa.int64()))
    nat = valid & (ns == MIN_NS)
    if nat.any():
        problems |= dict.fromkeys(np.flatnonzero(nat).tolist(), "NaT is not a time; leave a missing value empty")
        valid &= ~nat
    nothing = np.zeros(len(ns), np.bool_)
    if given is not None:
        zone = zone or _known_zone(given)
        return Times(ns, zones.to_local(ns, zone) if zone else ns, nothing, valid, problems)
    if dates:
        return _from_local(style, ns, np.ones(len(ns), np.bool_), valid, problems)
    return _from_local(style, ns, nothing, valid, problems)


def _known_zone(name: str) -> ZoneInfo | None:
    """Return the zone of a column's type. It only affects how values are displayed, and may be unknown on this machine."""
    try:
        return zone_of(name)
    except DataError:
        return None


def _in_range(cells: pa.Array) -> npt.NDArray[np.bool_]:
    bound = {"s": 9_223_372_036, "ms": 9_223_372_036_854, "us": 9_223_372_036_854_775}[cells.type.unit]
    numbers = pc.fill_null(cells.cast(pa.timestamp(cells.type.unit)).view(pa.int64()), 0).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.bool_] = (numbers >= -bound) & (numbers <= bound)
    return found


def _present(cells: pa.Array) -> npt.NDArray[np.bool_]:
    present: npt.NDArray[np.bool_] = cells.is_valid().to_numpy(zero_copy_only=False)
    return present


def _numbers(array: pa.Array) -> tuple[Nanoseconds, npt.NDArray[np.bool_]]:
    """Return the values as integers, 0 where missing, and which of them are present."""
    if not array.null_count:
        return array.to_numpy(), np.ones(len(array), np.bool_)
    return pc.fill_null(array, 0).to_numpy(), _present(array)


def _read_iso(style: TimeStyle, texts: pa.Array) -> Times:
    """Read ISO 8601 texts; those without a zone are local times of the style's."""
    try:
        # Arrow also accepts hours without minutes; the length check excludes them.
        if (pc.min(pc.binary_length(texts)).as_py() or 0) >= SHORTEST_TIME:
            utc, valid = _numbers(columns.times_as_ns(texts.cast(columns.TIME)))
            local = utc if style.zone is None and not style.dates else _local(style, utc, texts)
            return Times(utc, local, np.zeros(len(utc), np.bool_), valid, {})
    except pa.ArrowInvalid:
        pass
    return _read_pattern(style, ISO, without_nulls(texts))


def _local(style: TimeStyle, utc: Nanoseconds, texts: pa.Array) -> Nanoseconds:
    if style.zone is not None:
        return zones.to_local(utc, style.zone)
    parts = pc.extract_regex(texts, r"(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)$")
    if parts.null_count == len(parts):
        return utc
    return utc + _offsets(
        pc.struct_field(parts, "sign"), pc.struct_field(parts, "hours"), pc.struct_field(parts, "minutes")
    )


def _offsets(sign: pa.Array, hours: pa.Array, minutes: pa.Array) -> Nanoseconds:
    found = (_integers(hours) * 60 + _integers(minutes)) * (60 * 10**9)
    minus = pc.fill_null(pc.equal(sign, "-"), False).to_numpy(zero_copy_only=False)
    return np.where(minus, -found, found)


def _integers(texts: pa.Array, default: str = "0") -> Nanoseconds:
    filled = pc.if_else(pc.fill_null(pc.equal(texts, ""), True), default, texts)
    numbers: Nanoseconds = filled.cast(pa.int64()).to_numpy()
    return numbers


def _read_pattern(style: TimeStyle, pattern: Pattern, texts: pa.Array) -> Times:
    """Read texts of one pattern: put into plain form by Arrow, a whole column at a time."""
    trimmed = pc.utf8_trim_whitespace(texts)
    plain, offset, date_only = pattern.plain(trimmed)
    problems: Problems = {}
    present = _present(texts)
    unmatched = present & ~_present(plain)
    if unmatched.any():
        problems = _strangers(style, trimmed, np.flatnonzero(unmatched).tolist())
    try:
        stamps = plain.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:  # well-formed but invalid, such as the 30th of February
        stamps, more = _checked(plain)
        problems |= {index: f"{shown(texts[index].as_py())} {what}" for index, what in more.items()}
    local, valid = _numbers(stamps.view(pa.int64()))
    days = date_only.to_numpy(zero_copy_only=False)
    if offset is None:
        found = _from_local(style, local, days, valid, problems, texts)
    else:
        sign, hours, minutes, zoned = offset
        aware = zoned.to_numpy(zero_copy_only=False)
        shift = _offsets(sign, hours, minutes)
        naive = _from_local(style, local, days, valid & ~aware, problems, texts)
        utc = np.where(aware, local - shift, naive.utc)
        clock = local if style.zone is None else np.where(aware, zones.to_local(utc, style.zone), local)
        found = Times(utc, clock, days, np.where(aware, valid, naive.valid), naive.problems)
    if pattern.compact or not unmatched.any():  # a number beside times of digits alone is one of them that was spoiled
        return found
    return _with_numbers(found, trimmed, unmatched, style.latest)


def _with_numbers(times: Times, texts: pa.Array, unmatched: npt.NDArray[np.bool_], latest: int) -> Times:
    """Also accept numbers among texts if their unit is certain, because some feeds write both."""
    utc, local, valid, problems = times.utc.copy(), times.local.copy(), times.valid.copy(), dict(times.problems)
    for index in np.flatnonzero(unmatched).tolist():
        text = texts[index].as_py()
        number = exact(text) if NUMBER.fullmatch(text) else None
        unit = None if number is None else unit_of(text, latest)
        if number is not None and unit is not None and (ns := number * UNITS[unit]) == ns.to_integral_value():
            utc[index] = local[index] = int(ns)
            valid[index] = True
            problems.pop(index, None)
    return Times(utc, local, times.date_only, valid, problems)


def _strangers(style: TimeStyle, texts: pa.Array, indexes: list[int]) -> Problems:
    words = "ISO-8601 time" if style.pattern is None else f"time written {style.pattern.directives}"
    return {
        index: f"{shown(texts[index].as_py())} is not an {words}"
        if words[0] == "I"
        else f"{shown(texts[index].as_py())} is not a {words}"
        for index in indexes
    }


def _checked(plain: pa.Array) -> tuple[pa.Array, Problems]:
    """Parse plain texts into timestamps one by one; also return the problems."""
    values: list[int | None] = []
    problems: Problems = {}
    for index, text in enumerate(plain.to_pylist()):
        try:
            values.append(None if text is None else to_ns(f"{text}Z"))
        except DataError:
            values.append(None)
            problems[index] = "is not a time: no such day, hour, minute or second, or outside 1677-09-21 to 2262-04-11"
    return pa.array(values, pa.int64()).cast(pa.timestamp("ns")), problems


def _from_local(
    style: TimeStyle,
    local: Nanoseconds,
    days: npt.NDArray[np.bool_],
    valid: npt.NDArray[np.bool_],
    problems: Problems,
    texts: pa.Array | None = None,
) -> Times:
    """Return local times as instants of the style's zone; a date alone is its midnight where dates are times."""
    problems = dict(problems)
    if style.dates and style.zone is None:  # the midnight of a day, wherever it is: a bar of a day belongs to that day
        days = days | (local % DAY == 0)
    naive = valid & ~days
    if style.dates:
        valid = valid.copy()
    else:
        for index in np.flatnonzero(valid & days).tolist():
            problems[index] = f"{_text(texts, local, index)} is a date without a time"
        valid = valid & ~days
    if style.zone is None:
        for index in np.flatnonzero(naive).tolist():
            problems[index] = f"{_text(texts, local, index)} has no time zone"
        return Times(local, local, days, valid & ~naive, problems)
    utc, twice, never = zones.to_utc(local, style.zone, later=style.ambiguous == "later")
    if style.ambiguous == "refuse":
        for index in np.flatnonzero(twice & naive).tolist():
            problems[index] = (
                f"{_text(texts, local, index)} occurs twice in {style.zone.key}, when clocks are set back; use --ambiguous earlier or later"
            )
        valid = valid & ~(twice & naive)
    for index in np.flatnonzero(never & naive).tolist():
        problems[index] = (
            f"{_text(texts, local, index)} never occurs in {style.zone.key}, because clocks are set forward"
        )
    return Times(utc, local, days, valid & ~(never & naive), problems)


def _text(texts: pa.Array | None, local: Nanoseconds, index: int) -> str:
    if texts is not None:
        return shown(texts[index].as_py())
    return repr(str(np.datetime64(int(local[index]), "ns")).removesuffix(".000000000"))


def _read_numbers(style: TimeStyle, texts: pa.Array) -> Times:
    """Read numbers of the style's unit."""
    numbers, problems = parsing.parse_decimals(texts)
    values, more = _scaled(style, numbers)
    problems |= more
    array, valid = _numbers(pa.array(values, pa.int64()) if isinstance(values, list) else values)
    nothing = np.zeros(len(array), np.bool_)
    if style.unit in UNITS:
        if not style.unit_said and (odd := _of_other_units(style, array, valid, texts)):
            valid[list(odd)] = False
            problems |= odd
        local = array if style.zone is None else zones.to_local(array, style.zone)
        return Times(array, local, nothing, valid, problems)
    if style.unit == "ms-of-day":
        array = array + (style.date or 0) * DAY
    days = array % DAY == 0 if style.unit == "excel" and bool((array[valid] % DAY == 0).all()) else nothing
    return _from_local(style, array, days, valid, problems)


def _of_other_units(style: TimeStyle, ns: Nanoseconds, valid: npt.NDArray[np.bool_], texts: pa.Array) -> dict[int, str]:
    """Return which numbers are of another unit by their size: in the column's unit they would be times before 1980."""
    odd: dict[int, str] = {}
    for index in np.flatnonzero(valid & (ns < EARLIEST)).tolist():
        text = texts[index].as_py().strip()
        unit = unit_of(text, style.latest)
        if unit not in {None, style.unit}:
            words = f"{UNIT_WORDS[unit or '']} since 1970, and the column is in {UNIT_WORDS[style.unit or '']}"
            odd[index] = f"{shown(text)} is a number of {words}"
    return odd


def _scaled(style: TimeStyle, numbers: pa.Array) -> tuple[Any, Problems]:
    """Return decimals of the style's unit as integers of nanoseconds."""
    factor = {**UNITS, "ms-of-day": 10**6, "excel": DAY}[style.unit or "ns"]
    shift = _EXCEL_EPOCH if style.unit == "excel" else 0
    if pa.types.is_decimal128(numbers.type) and not numbers.type.scale:
        try:
            return pc.multiply_checked(pc.add(numbers.cast(pa.int64()), shift), factor), {}
        except pa.ArrowInvalid:
            pass
    values: list[int | None] = []
    problems: Problems = {}
    for index, number in enumerate(columns.as_decimals(numbers)):
        ns = None if number is None else (number + shift) * factor
        if (
            ns is not None and style.unit == "excel"
        ):  # a share of a day in binary: to the microsecond, as spreadsheets show it
            ns = round(ns / 1000) * Decimal(1000)
        if ns is None or (ns == ns.to_integral_value() and MIN_NS < ns < 2**63):
            values.append(None if ns is None else int(ns))
        else:
            values.append(None)
            problems[index] = f"{number} is not a whole number of nanoseconds in 1677-09-21 to 2262-04-11"
    return values, problems
