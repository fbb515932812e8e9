"""The ways in which dates and times are written, each as one regular expression for a text and for a whole Arrow column of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.exceptions import DataError

__all__ = ["DAY_OR_MONTH_FIRST", "ISO", "PATTERNS", "Pattern", "directive_pattern"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONE = r"(?: ?(?:(?P<utc>Z|z|UTC|GMT)|(?:UTC|GMT)?(?P<sign>[+-])(?P<zh>\d\d):?(?P<zm>[0-5]\d)?))?"
_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?"
_COMPACT_CLOCK = r"(?P<H>\d\d):?(?P<M>\d\d)(?::?(?P<S>\d\d)(?:[.,:](?P<f>\d{1,9})|(?P<unmarked>\d{3}|\d{6}|\d{9}))?)?"
"""Without a mark, a fraction is of milli-, micro- or nanoseconds: other digits may as well be a cell that was spoiled."""
_MONTH = r"(?P<b>[A-Za-z]{3,9})"
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
"""Between these, eight digits may be a date."""

Offset = tuple[pa.Array, pa.Array, pa.Array, pa.Array]
"""Sign, hours and minutes of zones, as texts, and which rows name one."""


@frozen
class Pattern:
    """One way to write a time.

    :ivar words: the way in words; ``directives`` the same as ``strftime`` has it.
    :ivar regex: with the groups Y, y, m, b, d, H, M, S, f (or ``unmarked``), p and those of a zone.
    :ivar form: ``iso`` or ``pattern``.
    :ivar compact: whether it is digits throughout, so that a number may be meant.
    """

    words: str
    directives: str
    regex: str
    form: str = "pattern"
    compact: bool = False

    @functools.cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex, re.ASCII)

    def fits(self, text: str) -> bool:
        """Return whether *text* is written so, and a day and time that may exist."""
        match = self._compiled.fullmatch(text)
        if match is None:
            return False
        found = match.groupdict()
        month = _month_number(found["b"]) if found.get("b") else int(found.get("m") or 1)
        if not (1 <= month <= 12 and 1 <= int(found.get("d") or 1) <= 31):
            return False
        if self.compact and not _FIRST_YEAR <= int(found["Y"]) <= _LAST_YEAR:
            return False
        hour = int(found.get("H") or 0)
        most = 12 if found.get("p") else 24
        return hour <= most and int(found.get("M") or 0) < 60 and int(found.get("S") or 0) < 60

    def is_local(self, text: str) -> bool:
        """Return whether *text* has a time of day and no zone."""
        match = self._compiled.fullmatch(text)
        return match is not None and match.groupdict().get("H") is not None and not _zone_in(match)

    def is_zoned(self, text: str) -> bool:
        """Return whether *text* names a zone."""
        match = self._compiled.fullmatch(text)
        return match is not None and _zone_in(match)

    def is_midnight(self, text: str) -> bool:
        """Return whether the time of day in *text* is midnight."""
        match = self._compiled.fullmatch(text)
        found = {} if match is None else match.groupdict()
        clock = (found.get(name) for name in ("H", "M", "S", "f", "unmarked"))
        return match is not None and not found.get("p") and not any(int(part or 0) for part in clock)

    def is_date(self, text: str) -> bool:
        """Return whether *text* is a date alone."""
        match = self._compiled.fullmatch(text)
        return match is not None and match.groupdict().get("H") is None

    def dates_only(self, texts: Sequence[str]) -> bool:
        """Return whether all *texts* are dates alone."""
        return all(map(self.is_date, texts))

    def plain(self, texts: pa.Array) -> tuple[pa.Array, Offset | None, pa.Array]:
        """Return *texts* as ``2024-05-01 14:30:00.123456789``, null where they are not written so; their zones; and which are dates alone."""
        parts = pc.extract_regex(texts, f"^(?:{self.regex})$")
        names = [parts.type.field(place).name for place in range(parts.type.num_fields)]

        def part(name: str) -> Any:
            return pc.struct_field(parts, name) if name in names else None

        year = part("Y") if "Y" in names else _century(part("y"))
        month = _two(part("m")) if "m" in names else _months(part("b"))
        hour = part("H")
        date_only = pc.fill_null(pc.equal(hour, ""), False) if hour is not None else pc.is_valid(parts)
        hours = _afternoon(_two(hour), part("p")) if hour is not None else "00"
        minutes = _two(part("M")) if "M" in names else "00"
        seconds = _two(part("S")) if "S" in names else "00"
        joined = [year, "-", month, "-", _two(part("d")), " ", hours, ":", minutes, ":", seconds]
        fraction = _joined([part(name) for name in ("f", "unmarked") if name in names])
        if fraction is not None and pc.any(pc.not_equal(fraction, "")).as_py():
            joined += [".", pc.utf8_rpad(pc.fill_null(fraction, ""), 9, "0")]
        plain = pc.binary_join_element_wise(*joined, "", null_handling="emit_null")
        plain = pc.if_else(pc.is_valid(parts), plain, None)
        return plain, _offset(part) if "sign" in names else None, date_only


def _zone_in(match: re.Match[str]) -> bool:
    found = match.groupdict()
    return bool(found.get("utc") or found.get("sign"))


def _offset(part: Any) -> Offset:
    utc = part("utc")
    zoned = (
        pc.not_equal(part("sign"), "") if utc is None else pc.or_(pc.not_equal(part("sign"), ""), pc.not_equal(utc, ""))
    )
    return part("sign"), part("zh"), part("zm"), pc.fill_null(zoned, False)


def _joined(texts: Sequence[pa.Array]) -> pa.Array | None:
    return pc.binary_join_element_wise(*texts, "") if len(texts) > 1 else texts[0] if texts else None


def _two(texts: pa.Array) -> pa.Array:
    return pc.utf8_lpad(texts, 2, "0")


def _month_number(name: str) -> int:
    short = name[:3].lower()
    return _MONTHS.index(short) + 1 if short in _MONTHS else 0


def _months(names: pa.Array) -> pa.Array:
    places = pc.index_in(pc.utf8_lower(pc.utf8_slice_codeunits(names, 0, 3)), pa.array(_MONTHS))
    return _two(pc.add(places, 1).cast(pa.string()))


def _century(years: pa.Array) -> pa.Array:
    """Return years of two digits with the century that POSIX takes: 69 to 99 are of the twentieth."""
    return pc.binary_join_element_wise(pc.if_else(pc.less(years, "69"), "20", "19"), years, "")


def _afternoon(hours: pa.Array, halves: pa.Array | None) -> pa.Array:
    """Return hours of 24, given whether those of 12 are of the morning or the afternoon."""
    if halves is None or not pc.any(pc.not_equal(halves, "")).as_py():
        return hours
    half = pc.utf8_lower(halves)
    after = pc.equal(half, "p")
    noon = pc.equal(hours, "12")
    number = pc.if_else(pc.equal(hours, "00"), "0", hours).cast(pa.int64())
    moved = pc.if_else(pc.and_(after, pc.invert(noon)), pc.add(number, 12), number)
    moved = pc.if_else(pc.and_(pc.equal(half, "a"), noon), 0, moved)
    return _two(moved.cast(pa.string()))


def _date_and_clock(date: str, clock: str = _CLOCK, between: str = "(?:[T,;]| )+") -> str:
    return f"{date}(?:{between}{clock}{_ZONE})?"


ISO = Pattern(
    "ISO 8601",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    rf"(?P<Y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)(?:[T ](?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{{1,9}}))?)?{_ZONE})?",
    form="iso",
)

PATTERNS: tuple[Pattern, ...] = (
    ISO,
    Pattern(
        "year, month, day", "%Y-%m-%d %H:%M:%S", _date_and_clock(r"(?P<Y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})")
    ),
    Pattern(
        "year, month and day without marks",
        "%Y%m%d %H:%M:%S",
        _date_and_clock(r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)", _COMPACT_CLOCK, "[T,; ]*"),
        compact=True,
    ),
    Pattern("day.month.year", "%d.%m.%Y %H:%M:%S", _date_and_clock(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<Y>\d{4})")),
    Pattern(
        "day/month/year", "%d/%m/%Y %H:%M:%S", _date_and_clock(r"(?P<d>\d{1,2})[/-](?P<m>\d{1,2})[/-](?P<Y>\d{4})")
    ),
    Pattern(
        "month/day/year", "%m/%d/%Y %H:%M:%S", _date_and_clock(r"(?P<m>\d{1,2})[/-](?P<d>\d{1,2})[/-](?P<Y>\d{4})")
    ),
    Pattern(
        "day, name of the month, year",
        "%d-%b-%Y %H:%M:%S",
        _date_and_clock(rf"(?P<d>\d{{1,2}})[- ]{_MONTH}[- ,]+(?P<Y>\d{{4}})"),
    ),
    Pattern(
        "name of the month, day, year",
        "%b %d, %Y %H:%M:%S",
        _date_and_clock(rf"{_MONTH}\.? (?P<d>\d{{1,2}}),? (?P<Y>\d{{4}})"),
    ),
)
"""The patterns that are known, ISO 8601 first."""

DAY_OR_MONTH_FIRST = PATTERNS[4:6]
"""The two patterns that one text may have: only a column in which one of them fits throughout tells which it is."""

_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "b": _MONTH,
    "B": _MONTH,
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d\d)",
    "S": r"(?P<S>\d\d)",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "z": r"(?:(?P<utc>Z|z|UTC|GMT)|(?:UTC|GMT)?(?P<sign>[+-])(?P<zh>\d\d):?(?P<zm>[0-5]\d)?)",
    "a": "[A-Za-z]{3}",
    "A": "[A-Za-z]{6,9}",
    "%": "%",
}


def directive_pattern(text: str) -> Pattern:
    """Return the pattern that ``strftime`` directives describe; ``%f`` takes up to nine digits.

    :raises DataError: for directives that are unknown, occur twice, or leave out the day.
    """
    regex, places = "", iter(text)
    seen: set[str] = set()
    # Where one number follows another without a mark between, each has two digits.
    two = bool({"%H%M", "%m%d", "%d%m"} & {text[at : at + 4] for at in range(len(text))})
    for letter in places:
        if letter != "%":
            regex += re.escape(letter)
            continue
        directive = next(places, "")
        if directive == "T":
            directive_regex = _DIRECTIVES["H"] + ":" + _DIRECTIVES["M"] + ":" + _DIRECTIVES["S"]
            names = {"H", "M", "S"}
        elif directive in _DIRECTIVES:
            directive_regex, names = _DIRECTIVES[directive], {directive}
        else:
            raise DataError(
                f"time_format: %{directive} in {text!r} is unknown",
                hint=f"known: {', '.join(f'%{each}' for each in _DIRECTIVES)}, %T",
                value=text,
            )
        if names & seen:
            raise DataError(f"time_format: %{directive} occurs twice in {text!r}", value=text)
        seen |= names
        regex += directive_regex.replace(r"\d{1,2}", r"\d\d") if two else directive_regex
    has_day = "d" in seen and bool({"Y", "y"} & seen) and bool({"m", "b", "B"} & seen)
    if not has_day:
        raise DataError(
            f"time_format: {text!r} does not contain a complete date",
            hint="write it like %Y-%m-%d %H:%M:%S",
            value=text,
        )
    return Pattern(f"written {text}", text, regex)
