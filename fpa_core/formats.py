"""File formats as data: the names of columns, the notation of cells, and how to recognise the files of a vendor.

A :class:`Format` corresponds to a table of ``fpa.toml`` (``[formats.NAME]``), the options of ``fpa ingest`` and the keywords of
:meth:`fpa_core.DataLayer.ingest`; all use the same names. Parts that a format leaves open are detected from the file itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict
from zoneinfo import ZoneInfo

from attrs import evolve, field, fields, frozen
from attrs.validators import instance_of, optional

from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS

__all__ = [
    "TIME_UNITS",
    "Format",
    "FormatOffer",
    "FormatOptions",
    "Match",
    "Prepare",
    "check_options",
    "merged",
    "zone_of",
]

TIME_UNITS = ("s", "ms", "us", "ns", "excel", "ms-of-day")
"""Units of numeric times: since 1970; days since 1899-12-30, as spreadsheets count; since the local midnight of the file's date."""

TimeUnit = Literal["s", "ms", "us", "ns", "excel", "ms-of-day"]
Ambiguous = Literal["refuse", "earlier", "later"]


def _pattern(_instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None:
        try:
            re.compile(value)
        except re.error as error:
            raise DataError(f"{attribute.name}: {value!r} is not a regular expression: {error}") from None


def _kind(_instance: Any, _attribute: Any, value: str | None) -> None:
    if value is not None and value not in KINDS:
        raise DataError(f"kind: {value!r} is unknown", hint=f"one of: {', '.join(KINDS)}", value=value)


def _one_of(*allowed: str) -> Callable[[Any, Any, str | None], None]:
    """Return a validator that accepts only *allowed* words and None."""

    def check(_instance: Any, attribute: Any, value: str | None) -> None:
        if value is not None and value not in allowed:
            raise DataError(
                f"{attribute.name}: {value!r} is unknown", hint=f"one of: {', '.join(map(repr, allowed))}", value=value
            )

    return check


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called *name*.

    :raises DataError: if the zone is unknown.
    """
    try:
        return ZoneInfo(name)
    except (
        KeyError,
        ValueError,
        OSError,
        TypeError,
    ) as error:  # an unknown name, not a valid name, or a folder of the zone database
        raise DataError(
            f"tz: {name!r} is not a known time zone", hint="write it like America/New_York or UTC", value=name
        ) from error


def _zone(_instance: Any, _attribute: Any, value: str | None) -> None:
    if value is not None:
        zone_of(value)


@frozen(kw_only=True)
class Match:
    """How to recognise a file of a format. A file must match all parts that are given; a format without any is used only by name.

    :ivar columns: names that the header must have; ``without`` has names that it must not have. Case, blanks and punctuation are ignored.
    :ivar row: for files without a header: one regular expression for each cell of a row.
    :ivar file: a regular expression to search for in the file name; its groups ``symbol``, ``interval`` and ``date`` supply missing values.
    :ivar file_required: whether *file* must match. If not, it only supplies the values of its groups.
    :ivar exact: whether names are compared case-sensitively, as for vendors with the columns ``T`` and ``t``.
    """

    columns: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    row: tuple[str, ...] = ()
    file: str | None = field(default=None, validator=_pattern)
    file_required: bool = False
    exact: bool = False


@frozen(kw_only=True)
class Format:
    """How to read files. Every part is optional.

    :ivar kind: the kind of the records: ``quotes``, ``trades``, ...
    :ivar columns: the column of each field, as ``{"timestamp": "ts_event"}``; a tuple of two names joins them, such as a date and a time of day.
        A name that ends in ``*`` stands for the first column with this prefix.
    :ivar complete: whether *columns* lists all columns to read; if not, other columns are matched by their names.
    :ivar symbol: the symbol of files that do not contain it; ``{name}`` in it is the file name up to the first dot. Likewise *interval*, *account*.
    :ivar as_of: the time of orders, positions and snapshots without one.
    :ivar tz: the time zone of times without one, such as ``America/New_York``; days of daily bars begin at its midnight.
    :ivar time_unit: the unit of numeric times, one of :data:`TIME_UNITS`.
    :ivar time_format: the format of times, in the directives of ``strftime``; ``%f`` accepts up to nine digits.
    :ivar day_first: whether 01/02/2024 is in February, if a whole column is ambiguous. If None, an ambiguous column is an error.
    :ivar ambiguous: how to read a local time that occurs twice, when clocks are set back.
    :ivar scale: the factor that prices are multiplied by, such as ``1e-9`` for fixed-point prices.
    :ivar decimal: the decimal mark, ``.`` or ``,``; *thousands* is the thousands separator.
    :ivar magnitudes: whether numbers may end in K, M or B for thousands, millions and thousand millions.
    :ivar delimiter: the delimiter between cells; *encoding* is the text encoding, such as ``latin-1``.
    :ivar names: the column names of files without a header.
    :ivar skip: the number of lines to skip before the header, or before the first row if there is no header; *footer* is the number at the end.
    :ivar comment: the prefix of comment lines.
    :ivar nulls: additional spellings of a missing value.
    :ivar values: the meaning of words in a field, as ``{"side": {"Bought": "buy"}}``.
    :ivar ignore: columns to ignore.
    :ivar only: the required values of a column, by its name; other rows are skipped and counted in a note.
    :ivar carry: fields in which a missing value repeats the value of the row before.
    :ivar divide_by: the column that selects the format of a row; *parts* maps its values to formats.
    :ivar refuse: the reason why files of this format are rejected.
    :ivar match: how files of this format are recognised.
    """

    kind: str | None = field(default=None, validator=_kind)
    columns: Mapping[str, str | tuple[str, ...]] = field(factory=dict)
    complete: bool = False
    symbol: str | None = None
    interval: str | None = None
    account: str | None = None
    as_of: str | None = None
    tz: str | None = field(default=None, validator=_zone)
    time_unit: TimeUnit | None = field(default=None, validator=_one_of(*TIME_UNITS))
    time_format: str | None = None
    day_first: bool | None = None
    ambiguous: Ambiguous = field(default="refuse", validator=_one_of("refuse", "earlier", "later"))
    scale: str | None = None
    decimal: Literal[".", ","] | None = field(default=None, validator=_one_of(".", ","))
    thousands: str | None = None
    magnitudes: bool = False
    delimiter: str | None = None
    encoding: str | None = None
    names: tuple[str, ...] = ()
    skip: int = 0
    footer: int = 0
    comment: str | None = None
    nulls: tuple[str, ...] = ()
    values: Mapping[str, Mapping[str, str]] = field(factory=dict)
    ignore: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(factory=dict)
    carry: tuple[str, ...] = ()
    divide_by: str | None = None
    parts: Mapping[str, str] = field(factory=dict)
    refuse: str | None = None
    match: Match | None = field(default=None, validator=optional(instance_of(Match)))


class FormatOptions(TypedDict, total=False):
    """The parts of a :class:`Format` that can be given for each file."""

    columns: Mapping[str, str | tuple[str, ...]]
    as_of: str | None
    tz: str | None
    time_unit: TimeUnit | None
    time_format: str | None
    day_first: bool | None
    ambiguous: Ambiguous
    scale: str | None
    decimal: Literal[".", ","] | None
    thousands: str | None
    delimiter: str | None
    encoding: str | None
    magnitudes: bool
    names: tuple[str, ...]
    skip: int
    footer: int
    comment: str | None
    nulls: tuple[str, ...]
    values: Mapping[str, Mapping[str, str]]
    ignore: tuple[str, ...]


_ELSEWHERE = {
    "zone": "tz",
    "timezone": "tz",
    "sep": "delimiter",
    "separator": "delimiter",
    "dayfirst": "day_first",
    "skiprows": "skip",
    "skipfooter": "footer",
    "na_values": "nulls",
    "null_values": "nulls",
    "unit": "time_unit",
    "date_format": "time_format",
}
"""The names of the same options in other libraries."""


def check_options(options: Iterable[str]) -> None:
    """Check the names of the options given for a file.

    :raises DataError: if one is unknown; the hint suggests a similar name.
    """
    known = tuple(FormatOptions.__annotations__)
    for name in options:
        if name not in known:
            near = _ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
            listed = f"known: {', '.join(known)}"
            raise DataError(
                f"{name}: unknown option for reading files",
                hint=f"did you mean {near}? {listed}" if near else listed,
                field=name,
            )


Prepare: TypeAlias = Callable[[Any, Format], Any]
"""A function that changes a block of rows before its columns are read; it gets the user's options for the file."""


@frozen
class FormatOffer:
    """A format from a plugin or the configuration.

    :ivar prepare: changes a block of rows before its columns are read, for formats that a table cannot describe.
    """

    name: str
    format: Format
    description: str = ""
    prepare: Prepare | None = None


def merged(below: Format, above: Format) -> Format:
    """Return *below* overridden by every part that *above* sets. Columns and values are merged, so that single entries can be changed."""
    changes: dict[str, Any] = {}
    for attribute in fields(Format):
        value, default = getattr(above, attribute.name), getattr(_DEFAULT, attribute.name)
        if value != default:
            joined = isinstance(value, Mapping) and attribute.name != "only"
            changes[attribute.name] = {**getattr(below, attribute.name), **value} if joined else value
    return evolve(below, **changes)


_DEFAULT = Format()
