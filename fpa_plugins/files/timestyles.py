"""The notation of a column of times, detected if its texts allow only one reading, else given by the user.

A column has one notation: ISO 8601 with zones, numbers since 1970 in one unit, or one of the patterns of :mod:`fpa_plugins.files.patterns`. A local
time needs a zone; a date without a time is a calendar day.
"""

from __future__ import annotations

import re
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.numbers import MAX_NS, to_decimal
from fpa_core.words import NULLS
from fpa_plugins.files.cells import is_instant, texts_of
from fpa_plugins.files.patterns import DAY_OR_MONTH_FIRST, PATTERNS, Pattern

__all__ = [
    "EARLIEST",
    "NUMBER",
    "SAMPLE",
    "SHORTEST_TIME",
    "UNITS",
    "UNIT_WORDS",
    "TimeStyle",
    "UnreadableTimes",
    "exact",
    "infer_times",
    "shown",
    "unit_of",
]

EARLIEST = 315_532_800 * 10**9
"""1980-01-01: before it, a number is no likelier to be an instant than a count of something else."""

SAMPLE = 1_000
"""Rows looked at to find out how a column is written; where they leave it open, later ones are asked."""

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
SHORTEST_TIME = len("2024-05-01T14:30:00Z")
NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_BY_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}


class UnreadableTimes(Exception):  # noqa: N818 - caught beside the rows it is about
    """Raised for a column of times that cannot be read without an option.

    :ivar problem: the problem, with an example; ``hint`` is the option that fixes it.
    :ivar undecided: whether more rows of the column could decide how to read it.
    """

    def __init__(self, problem: str, hint: str | None = None, *, undecided: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.undecided = undecided


@frozen
class TimeStyle:
    """The notation of a column of times.

    :ivar form: ``iso``, ``epoch`` or ``pattern``.
    :ivar unit: of an epoch, a key of :data:`UNITS`, or ``excel`` or ``ms-of-day``.
    :ivar unit_said: whether the user said the unit: else a number whose size tells another one is refused.
    :ivar pattern: of texts that are not ISO 8601 with a zone.
    :ivar zone: of local times, and of the calendar days of daily bars.
    :ivar ambiguous: how to read a local time that occurs twice.
    :ivar dates: whether a date without a time means its midnight, as for bars of a day or more, or if a zone is given.
    :ivar day_first: whether the day is before the month in ambiguous dates.
    :ivar date: the day of times of day, in days since 1970.
    :ivar latest: the latest plausible time, in nanoseconds since 1970: a number that would be later is of another unit, or none.
    """

    form: str
    unit: str | None = None
    unit_said: bool = True
    pattern: Pattern | None = None
    zone: ZoneInfo | None = None
    ambiguous: str = "refuse"
    dates: bool = False
    date: int | None = None
    day_first: bool | None = None
    latest: int = MAX_NS

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
        return "times are ISO 8601" + ("" if self.zone is None else f", {where} if they have no zone")


def infer_times(cells: pa.Array, wanted: TimeStyle) -> TimeStyle:
    """Return the notation of the times of *cells*.

    :param wanted: the options of the user or the format; parts left open are detected.
    :raises UnreadableTimes: if the texts allow no reading or several, or are local without a given zone.
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
    if all(NUMBER.fullmatch(text) for text in sample):
        return _numeric_style(sample, wanted)
    return _text_style(
        [text for text in sample if not (NUMBER.fullmatch(text) and unit_of(text, wanted.latest))], wanted
    )


def _all_iso(texts: pa.Array) -> bool:
    """Return whether all *texts* are ISO 8601 with a zone, as nearly all files of programs write it."""
    try:
        return bool((pc.min(pc.binary_length(texts)).as_py() or 0) >= SHORTEST_TIME and texts.cast(columns.TIME))
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
            f"{shown(sample[0])} can be {' or '.join(each.words for each in fitting)}",
            "use --day-first or --month-first",
            undecided=True,
        )
    local = [text for text in sample if pattern.is_local(text)]
    # A midnight alone may be a day; beside other times of day it is a time like these.
    if wanted.dates and all(map(pattern.is_midnight, local)):
        local = []
    dates = [text for text in sample if pattern.is_date(text)]
    if len(dates) == len(sample) and not wanted.dates:
        raise UnreadableTimes(
            f"{shown(sample[0])} is a date without a time",
            "a date is enough for bars of a day and more (--interval 1d)",
        )
    if local and wanted.zone is None and not any(map(pattern.is_zoned, sample)):
        raise UnreadableTimes(
            f"{shown(local[0])} has no time zone",
            "give the time zone with --tz, such as --tz America/New_York",
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
        f"{first.cast(pa.string()).as_py()!r} has no time zone",
        "give the time zone with --tz, such as --tz America/New_York",
    )


def _are_midnights(cells: pa.Array) -> bool:
    local = cells.drop_null()
    try:
        return bool(pc.all(pc.equal(pc.floor_temporal(local, unit="day"), local)).as_py())
    except pa.ArrowException:  # beyond what can be floored: each is judged alone
        return True


def _numeric_style(sample: list[str], wanted: TimeStyle) -> TimeStyle:
    """Return the style of a column of numbers, by how many digits these have."""
    for pattern in PATTERNS:
        if pattern.compact and all(map(pattern.fits, sample)):
            if pattern.dates_only(sample) and not wanted.dates:
                raise UnreadableTimes(
                    f"{sample[0]} is a date without a time",
                    "a date is enough for bars of a day and more (--interval 1d)",
                )
            local = [
                text for text in sample if pattern.is_local(text) and not (wanted.dates and pattern.is_midnight(text))
            ]
            if local and wanted.zone is None:
                raise UnreadableTimes(
                    f"{sample[0]} has no time zone",
                    "give the time zone with --tz, such as --tz Asia/Shanghai",
                )
            return evolve(wanted, form="pattern", pattern=pattern)
    units = [unit_of(text, wanted.latest) for text in sample]
    known = {unit for unit in units if unit is not None}
    sure = sum(unit is not None for unit in units)
    if len(known) == 1 and 2 * sure > len(units):
        return evolve(wanted, form="epoch", unit=known.pop())
    odd = sample[units.index(None)] if None in units else sample[0]
    if len(known) > 1:
        others = next(text for text, unit in zip(sample, units, strict=True) if unit not in {None, units[0]})
        raise UnreadableTimes(
            f"{shown(sample[0])} and {shown(others)} are numbers of several units", "use --time-unit s, ms, us or ns"
        )
    what = "a number whose unit is not certain"
    if all(re.fullmatch(r"[1-7]\d{4}(\.\d+)?", text) for text in sample):
        raise UnreadableTimes(
            f"{shown(odd)} is {what}; it may be days from a spreadsheet", "use --time-unit excel in that case"
        )
    raise UnreadableTimes(f"{shown(odd)} is {what}", "use --time-unit s, ms, us or ns")


def unit_of(text: str, latest: int) -> str | None:
    """Return the unit of a number since 1970, by its size; None where it is not certain."""
    number = exact(text)
    if number is None:
        return None
    unit = _BY_DIGITS.get(number.adjusted() + 1) if number > 0 else None
    return unit if unit and EARLIEST <= number * UNITS[unit] <= latest else None


def exact(text: str) -> Decimal | None:
    """Return a text as a number; None if it is not one."""
    try:
        return to_decimal(text)
    except DataError:
        return None


def shown(text: str) -> str:
    """Return a text as a message quotes it, no longer than one can read."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
