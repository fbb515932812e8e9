"""How a vendor's files are read, said as data: what their columns are called, how their cells are written, and how to recognise them.

A :class:`Format` is a table of ``fpa.toml`` (``[formats.NAME]``), the options of ``fpa ingest`` and the keywords of
:meth:`fpa_core.DataLayer.ingest`, all in the same words. Whatever a format leaves open is found out from the file itself.
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
"""Units of times that are numbers: since 1970; days since 1899-12-30, as spreadsheets count; since the local midnight of the file's date."""

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
    """Return a validator that lets only *allowed* words and None through."""

    def check(_instance: Any, attribute: Any, value: str | None) -> None:
        if value is not None and value not in allowed:
            raise DataError(
                f"{attribute.name}: {value!r} is unknown", hint=f"one of: {', '.join(map(repr, allowed))}", value=value
            )

    return check


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called *name*.

    :raises DataError: when there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError) as error:  # unknown, no name at all, a folder of the database
        raise DataError(
            f"tz: {name!r} is not a known time zone", hint="write it like America/New_York or UTC", value=name
        ) from error


def _zone(_instance: Any, _attribute: Any, value: str | None) -> None:
    if value is not None:
        zone_of(value)


@frozen(kw_only=True)
class Match:
    """What a file of a format looks like. All that is given must hold; a format without any is used only by name.

    :ivar columns: names that the header has; ``without`` names that it has not. Case, blanks and punctuation do not matter.
    :ivar row: for files without a header: one regular expression for each cell of a row.
    :ivar file: regular expression searched in the name of the file; its groups ``symbol``, ``interval`` and ``date`` give what the rows leave out.
    :ivar file_required: whether *file* has to be found. If not, it only gives what its groups hold.
    :ivar exact: whether names are compared letter by letter, as where ``T`` and ``t`` are two columns.
    """

    columns: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    row: tuple[str, ...] = ()
    file: str | None = field(default=None, validator=_pattern)
    file_required: bool = False
    exact: bool = False


@frozen(kw_only=True)
class Format:
    """How files are read. Every part is optional.

    :ivar kind: what the rows are: ``quotes``, ``trades``, ...
    :ivar columns: the file's name of each field, as ``{"timestamp": "ts_event"}``; two names in a tuple are joined, as a date and a time of day.
        A name that ends in ``*`` stands for the first column that begins so.
    :ivar complete: whether *columns* lists all that is read; if not, other columns are matched by their names.
    :ivar symbol: the symbol of files that name none; ``{name}`` in it is the name of the file up to the first dot. Likewise *interval*, *account*.
    :ivar as_of: the time of orders, positions and snapshots that name none.
    :ivar tz: the zone of times that name none, as ``America/New_York``; and the one whose midnights begin the days of daily bars.
    :ivar time_unit: the unit of times that are numbers, one of :data:`TIME_UNITS`.
    :ivar time_format: how times are written, in the directives of ``strftime``; ``%f`` takes up to nine digits.
    :ivar day_first: whether 01/02/2024 is in February, where a whole column can be read either way; None asks.
    :ivar ambiguous: which instant a local time is that occurs twice, when clocks are set back.
    :ivar scale: what prices are multiplied by, as ``1e-9`` for fixed-point prices.
    :ivar decimal: the decimal mark, ``.`` or ``,``; *thousands* the mark between groups of digits.
    :ivar magnitudes: whether numbers may end in K, M or B for thousands, millions and thousand millions.
    :ivar delimiter: what stands between cells; *encoding* of the text, as ``latin-1``.
    :ivar names: the names of the columns of files without a header.
    :ivar skip: lines in front of the header, or of the first row where there is none; *footer* lines at the end.
    :ivar comment: what a line begins with that is no row.
    :ivar nulls: further spellings of a missing value.
    :ivar values: what words of a field mean, as ``{"side": {"Bought": "buy"}}``.
    :ivar ignore: columns that are not read, whatever they are called.
    :ivar only: the values that a column must have, by its name; other rows are left out, and counted in a note.
    :ivar carry: fields of which a missing value means the one before.
    :ivar divide_by: a column that tells which format a row has; *parts* are the names of these by its values.
    :ivar refuse: why files of this format are not taken.
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
    """The parts of a :class:`Format` that can be said with each file."""

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
"""What other libraries call the same options."""


def check_options(options: Iterable[str]) -> None:
    """Check the names of the options that are said with a file.

    :raises DataError: for one that is unknown, with the one that may be meant.
    """
    known = tuple(FormatOptions.__annotations__)
    for name in options:
        if name not in known:
            near = _ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
            listed = f"known: {', '.join(known)}"
            raise DataError(
                f"{name}: there is no such option of how files are read",
                hint=f"did you mean {near}? {listed}" if near else listed,
                field=name,
            )


Prepare: TypeAlias = Callable[[Any, Format], Any]
"""Changes a block of rows before its columns are read, given what the user says of the file."""


@frozen
class FormatOffer:
    """A format as it is offered by a plugin or the configuration.

    :ivar prepare: changes a block of rows before its columns are read, for the few formats that no table describes.
    """

    name: str
    format: Format
    description: str = ""
    prepare: Prepare | None = None


def merged(below: Format, above: Format) -> Format:
    """Return *below* with every part that *above* says; columns and values are joined, so that one of them can be changed alone."""
    changes: dict[str, Any] = {}
    for attribute in fields(Format):
        value, default = getattr(above, attribute.name), getattr(_DEFAULT, attribute.name)
        if value != default:
            joined = isinstance(value, Mapping) and attribute.name != "only"
            changes[attribute.name] = {**getattr(below, attribute.name), **value} if joined else value
    return evolve(below, **changes)


_DEFAULT = Format()
