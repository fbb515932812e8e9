"""Times as files have them: which way a column of them is written, and the exact instants it says.

A column is read in one way, which is told by its texts where they allow one reading only, or by the user: ISO 8601 with zones, numbers since
1970 in one unit, or one of the patterns below. A local time needs a zone; a date alone is a calendar day.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.formats import zone_of
from fpa_core.numbers import MIN_NS, to_decimal, to_ns
from fpa_plugins.files import zones
from fpa_plugins.files.cells import NULLS, Problems, is_instant, texts_of, without_nulls
from fpa_plugins.files.patterns import DAY_OR_MONTH_FIRST, ISO, PATTERNS, Pattern

__all__ = ["DAY", "TimeStyle", "Times", "UnreadableTimes", "infer_times", "read_times"]

DAY = 86_400 * 10**9
EARLIEST = 315_532_800 * 10**9
"""1980-01-01: before it, a number is no likelier to be an instant than a count of something else."""

SAMPLE = 1_000
"""Rows looked at to find out how a column is written; where they leave it open, later ones are asked."""

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_BY_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SHORTEST_TIME = len("2024-05-01T14:30:00Z")
_EXCEL_EPOCH = -25_569
"""Day 0 of spreadsheets, 1899-12-30, in days since 1970."""

Nanoseconds = npt.NDArray[np.int64]


class UnreadableTimes(Exception):  # noqa: N818 - caught beside the rows it is about
    """A column of times that cannot be read without being told how.

    :ivar problem: what is wrong, with evidence; ``hint`` the option that mends it.
    :ivar undecided: whether more of the column could tell how it is to be read.
    """

    def __init__(self, problem: str, hint: str | None = None, *, undecided: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.undecided = undecided


@frozen
class TimeStyle:
    """How a column of times is written.

    :ivar form: ``iso``, ``epoch`` or ``pattern``.
    :ivar unit: of an epoch, a key of :data:`UNITS`, or ``excel`` or ``ms-of-day``.
    :ivar pattern: of texts that are not ISO 8601 with a zone.
    :ivar zone: of local times, and of the calendar days of daily bars.
    :ivar ambiguous: which instant a local time is that occurs twice.
    :ivar dates: whether a date alone is a time, its midnight; so it is for bars of a day and more, and where a zone says whose midnight.
    :ivar day_first: whether the day stands before the month where either could.
    :ivar date: the day of times of day, in days since 1970.
    """

    form: str
    unit: str | None = None
    pattern: Pattern | None = None
    zone: ZoneInfo | None = None
    ambiguous: str = "refuse"
    dates: bool = False
    date: int | None = None
    day_first: bool | None = None

    @property
    def words(self) -> str:
        """How the times are read, for a receipt."""
        where = "UTC" if self.zone is None else self.zone.key
        if self.form == "epoch":
            if self.unit == "excel":
                return f"times are days of a spreadsheet, {where}"
            if self.unit == "ms-of-day":
                return f"times are milliseconds since midnight, {where}"
            return f"times are {UNIT_WORDS[self.unit or 's']} since 1970 UTC"
        if self.pattern is not None:
            return f"times are {self.pattern.words}" + ("" if self.zone is None else f", {where}")
        return "times are ISO 8601" + ("" if self.zone is None else f", {where} where they name no zone")


@frozen
class Times:
    """Times that were read.

    :ivar utc: nanoseconds since 1970.
    :ivar local: the same moments as their clocks showed them, as if these were UTC; *date_only* says which have no time of day.
    :ivar valid: which rows have a time.
    """

    utc: Nanoseconds
    local: Nanoseconds
    date_only: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    problems: Problems


def infer_times(cells: pa.Array, *, latest: int, wanted: TimeStyle) -> TimeStyle:
    """Return how the times of *cells* are written.

    :param latest: the last instant that is believed, in nanoseconds since 1970.
    :param wanted: what the user or the format says; what it leaves open is found out.
    :raises UnreadableTimes: when the texts allow none or several readings, or are local and no zone is said.
    """
    if wanted.form == "epoch" or wanted.pattern is not None:
        return wanted
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return _typed_style(cells.type, cells, wanted)
    if pa.types.is_time(cells.type):
        raise UnreadableTimes("they are times of day without a date", "add the date")
    texts, _ = texts_of(cells.slice(0, SAMPLE))
    if _all_iso(texts):
        return wanted
    sample = [text.strip() for text in texts.unique().to_pylist() if text]
    sample = [text for text in sample if text and text.lower() not in NULLS]
    if not sample:
        return wanted
    if all(_NUMBER.fullmatch(text) for text in sample):
        return _numeric_style(sample, latest, wanted)
    return _text_style([text for text in sample if not (_NUMBER.fullmatch(text) and _unit_of(text, latest))], wanted)


def _all_iso(texts: pa.Array) -> bool:
    """Return whether all *texts* are ISO 8601 with a zone, as nearly all files of programs write it."""
    try:
        return bool((pc.min(pc.binary_length(texts)).as_py() or 0) >= _SHORTEST_TIME and texts.cast(columns.TIME))
    except pa.ArrowInvalid:
        return False


def _text_style(sample: list[str], wanted: TimeStyle) -> TimeStyle:
    """Return the style of a column of texts; numbers among them, which some feeds write, are left out of *sample*."""
    # Of a column of which some texts are no times, most tell the form: what the others are is for each row to say.
    counted = [(sum(map(pattern.fits, sample)), pattern) for pattern in PATTERNS]
    most = max(count for count, _ in counted)
    fitting = [pattern for count, pattern in counted if count == most > 0]
    if not fitting:  # each row says so of its own
        return wanted
    pattern = fitting[0]
    if pattern in DAY_OR_MONTH_FIRST and len(fitting) > 1 and wanted.day_first is not None:
        pattern = DAY_OR_MONTH_FIRST[0 if wanted.day_first else 1]
    elif pattern in DAY_OR_MONTH_FIRST and len(fitting) > 1:
        raise UnreadableTimes(
            f"{_shown(sample[0])} can be {' or '.join(each.words for each in fitting)}",
            "say --day-first or --month-first",
            undecided=True,
        )
    local = [text for text in sample if pattern.is_local(text)]
    # A midnight alone may be a day; beside other times of day it is a time like these.
    if wanted.dates and all(map(pattern.is_midnight, local)):
        local = []
    dates = [text for text in sample if pattern.is_date(text)]
    if len(dates) == len(sample) and not wanted.dates:
        raise UnreadableTimes(
            f"{_shown(sample[0])} is a date alone, which names no instant",
            "a date is enough for bars of a day and more (--interval 1d)",
        )
    if local and wanted.zone is None and not any(map(pattern.is_zoned, sample)):
        raise UnreadableTimes(
            f"{_shown(local[0])} has no time zone, so it names no instant",
            "say which with --tz, as --tz America/New_York",
        )
    if pattern.form == "iso":
        return wanted
    return evolve(wanted, form="pattern", pattern=pattern)


def _typed_style(kind: pa.DataType, cells: pa.Array, wanted: TimeStyle) -> TimeStyle:
    if is_instant(kind) or wanted.zone is not None:
        return wanted
    if wanted.dates and (pa.types.is_date(kind) or _are_midnights(cells)):
        return wanted
    if pa.types.is_date(kind):
        raise UnreadableTimes(
            "they are dates, which name no instant", "a date is enough for bars of a day and more (--interval 1d)"
        )
    if not len(cells) or cells.null_count == len(cells):
        return wanted
    first = cells.drop_null()[0]
    raise UnreadableTimes(
        f"{first.cast(pa.string()).as_py()!r} has no time zone, so it names no instant",
        "say which with --tz, as --tz America/New_York",
    )


def _are_midnights(cells: pa.Array) -> bool:
    local = cells.drop_null()
    try:
        return bool(pc.all(pc.equal(pc.floor_temporal(local, unit="day"), local)).as_py())
    except pa.ArrowException:  # beyond what can be floored: each is judged alone
        return True


def _numeric_style(sample: list[str], latest: int, wanted: TimeStyle) -> TimeStyle:
    """Return the style of a column of numbers, by how many digits these have."""
    for pattern in PATTERNS:
        if pattern.compact and all(map(pattern.fits, sample)):
            if pattern.dates_only(sample) and not wanted.dates:
                raise UnreadableTimes(
                    f"{sample[0]} is a date alone, which names no instant",
                    "a date is enough for bars of a day and more (--interval 1d)",
                )
            local = [
                text for text in sample if pattern.is_local(text) and not (wanted.dates and pattern.is_midnight(text))
            ]
            if local and wanted.zone is None:
                raise UnreadableTimes(
                    f"{sample[0]} has no time zone, so it names no instant",
                    "say which with --tz, as --tz Asia/Shanghai",
                )
            return evolve(wanted, form="pattern", pattern=pattern)
    units = [_unit_of(text, latest) for text in sample]
    known = {unit for unit in units if unit is not None}
    sure = sum(unit is not None for unit in units)
    if len(known) == 1 and 2 * sure > len(units):
        return evolve(wanted, form="epoch", unit=known.pop())
    odd = sample[units.index(None)] if None in units else sample[0]
    if len(known) > 1:
        others = next(text for text, unit in zip(sample, units, strict=True) if unit not in {None, units[0]})
        raise UnreadableTimes(
            f"{_shown(sample[0])} and {_shown(others)} are numbers of several units", "say --time-unit s, ms, us or ns"
        )
    what = "a number whose unit is not certain"
    if all(re.fullmatch(r"[1-7]\d{4}(\.\d+)?", text) for text in sample):
        raise UnreadableTimes(
            f"{_shown(odd)} is {what}; a spreadsheet writes days so", "say --time-unit excel if one did"
        )
    raise UnreadableTimes(f"{_shown(odd)} is {what}", "say --time-unit s, ms, us or ns")


def _unit_of(text: str, latest: int) -> str | None:
    """Return the unit of a number since 1970, by its size; None where it is not certain."""
    number = _exact(text)
    if number is None:
        return None
    unit = _BY_DIGITS.get(number.adjusted() + 1) if number > 0 else None
    return unit if unit and EARLIEST <= number * UNITS[unit] <= latest else None


def _exact(text: str) -> Decimal | None:
    try:
        return to_decimal(text)
    except DataError:
        return None


# Reading


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
            np.flatnonzero(~in_range & _present(cells)).tolist(), "it lies outside 1677-09-21 to 2262-04-11"
        )
        stamps = pc.if_else(pa.array(in_range), cells, None).cast(pa.timestamp("ns", given))
    ns, valid = _numbers(stamps.view(pa.int64()))
    nat = valid & (ns == MIN_NS)
    if nat.any():
        problems |= dict.fromkeys(np.flatnonzero(nat).tolist(), "NaT is no time; leave a missing value empty")
        valid &= ~nat
    nothing = np.zeros(len(ns), np.bool_)
    if given is not None:
        zone = zone or _known_zone(given)
        return Times(ns, zones.to_local(ns, zone) if zone else ns, nothing, valid, problems)
    if dates:
        return _from_local(style, ns, np.ones(len(ns), np.bool_), valid, problems)
    return _from_local(style, ns, nothing, valid, problems)


def _known_zone(name: str) -> ZoneInfo | None:
    """Return the zone that a column's type names, which says only how to show its values and may be unknown here."""
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
    """Return integers and which of them are there; 0 stands for the others."""
    if not array.null_count:
        return array.to_numpy(), np.ones(len(array), np.bool_)
    return pc.fill_null(array, 0).to_numpy(), _present(array)


def _read_iso(style: TimeStyle, texts: pa.Array) -> Times:
    """Read ISO 8601 texts; those without a zone are local times of the style's."""
    try:
        # Arrow also takes hours without minutes, which are shorter than any time with seconds.
        if (pc.min(pc.binary_length(texts)).as_py() or 0) >= _SHORTEST_TIME:
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
    except pa.ArrowInvalid:  # of the right shape and yet no time, as a 30th of February
        stamps, more = _checked(plain)
        problems |= {index: f"{_shown(texts[index].as_py())} {what}" for index, what in more.items()}
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
    return _with_numbers(found, trimmed, unmatched)


def _with_numbers(times: Times, texts: pa.Array, unmatched: npt.NDArray[np.bool_]) -> Times:
    """Take numbers among texts whose unit is certain: some feeds write both."""
    if not unmatched.any():
        return times
    utc, local, valid, problems = times.utc.copy(), times.local.copy(), times.valid.copy(), dict(times.problems)
    for index in np.flatnonzero(unmatched).tolist():
        text = texts[index].as_py()
        number = _exact(text) if _NUMBER.fullmatch(text) else None
        unit = None if number is None else _unit_of(text, 2**62)
        if number is not None and unit is not None and (ns := number * UNITS[unit]) == ns.to_integral_value():
            utc[index] = local[index] = int(ns)
            valid[index] = True
            problems.pop(index, None)
    return Times(utc, local, times.date_only, valid, problems)


def _strangers(style: TimeStyle, texts: pa.Array, indexes: list[int]) -> Problems:
    words = "ISO-8601 time" if style.pattern is None else f"time written {style.pattern.directives}"
    return {
        index: f"{_shown(texts[index].as_py())} is not an {words}"
        if words[0] == "I"
        else f"{_shown(texts[index].as_py())} is not a {words}"
        for index in indexes
    }


def _checked(plain: pa.Array) -> tuple[pa.Array, Problems]:
    """Return timestamps of plain texts one by one, and why some are none."""
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
            problems[index] = f"{_text(texts, local, index)} is a date alone, which names no instant"
        valid = valid & ~days
    if style.zone is None:
        for index in np.flatnonzero(naive).tolist():
            problems[index] = f"{_text(texts, local, index)} has no time zone, so it names no instant"
        return Times(local, local, days, valid & ~naive, problems)
    utc, twice, never = zones.to_utc(local, style.zone, later=style.ambiguous == "later")
    if style.ambiguous == "refuse":
        for index in np.flatnonzero(twice & naive).tolist():
            problems[index] = (
                f"{_text(texts, local, index)} occurs twice in {style.zone.key}, when clocks are set back; say --ambiguous earlier or later"
            )
        valid = valid & ~(twice & naive)
    for index in np.flatnonzero(never & naive).tolist():
        problems[index] = f"{_text(texts, local, index)} never occurs in {style.zone.key}, as clocks are set forward"
    return Times(utc, local, days, valid & ~(never & naive), problems)


def _text(texts: pa.Array | None, local: Nanoseconds, index: int) -> str:
    if texts is not None:
        return _shown(texts[index].as_py())
    return repr(str(np.datetime64(int(local[index]), "ns")).removesuffix(".000000000"))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _read_numbers(style: TimeStyle, texts: pa.Array) -> Times:
    """Read numbers of the style's unit."""
    numbers, problems = parsing.parse_decimals(texts)
    values, more = _scaled(style, numbers)
    problems |= more
    array, valid = _numbers(pa.array(values, pa.int64()) if isinstance(values, list) else values)
    nothing = np.zeros(len(array), np.bool_)
    if style.unit in UNITS:
        local = array if style.zone is None else zones.to_local(array, style.zone)
        return Times(array, local, nothing, valid, problems)
    if style.unit == "ms-of-day":
        array = array + (style.date or 0) * DAY
    days = array % DAY == 0 if style.unit == "excel" and bool((array[valid] % DAY == 0).all()) else nothing
    return _from_local(style, array, days, valid, problems)


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
            problems[index] = f"{number} is no whole nanosecond of 1677-09-21 to 2262-04-11"
    return values, problems
