"""The notation of the numbers and times of a file, from its rows and the user's options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core.arrow import columns
from fpa_core.exceptions import DataError
from fpa_core.formats import Format, zone_of
from fpa_core.kinds import BARS, CASH, CORPORATE_ACTIONS, FILLS, ORDERS, POSITIONS, SNAPSHOTS, Kind
from fpa_plugins.files.cells import is_instant, texts_of
from fpa_plugins.files.numbers import NumberStyle, decided_mark
from fpa_plugins.files.patterns import directive_pattern
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.timestyles import SAMPLE, TimeStyle, UnreadableTimes, infer_times

__all__ = ["Reading", "is_of_days", "joined", "number_style", "sample_of", "time_style"]


@frozen(kw_only=True)
class Reading:
    """The context in which a file is read, apart from its columns.

    :ivar form: the options of the user and the format.
    :ivar format_name: the name of the recognised or given format; None if there is none.
    :ivar kind: the kind given by the user.
    :ivar source: the file, for messages.
    :ivar file: the file name, from which a symbol may be taken.
    :ivar unit_said: whether the user said the unit of times, or the format that has it.
    :ivar now_ns: the current time; times more than a day later are implausible.
    :ivar more: yields further rows of the same columns, if the first rows do not decide.
    """

    form: Format
    format_name: str | None
    kind: Kind | None
    source: str
    file: str
    now_ns: int
    unit_said: bool = True
    date: int | None = None
    more: Callable[[], Iterator[Rows]] | None = None


def is_of_days(interval: object) -> bool:
    """Return whether an interval, in its one spelling, is a day or more: such a bar belongs to a calendar day."""
    return isinstance(interval, str) and interval.endswith(("d", "w", "mo"))


def number_style(kind: Kind, rows: Rows, places: Mapping[str, tuple[int, ...]], reading: Reading) -> NumberStyle:
    """Return the notation of numbers: as given, or detected from the numbers of the file."""
    form = reading.form
    nulls = frozenset(text.lower() for text in form.nulls)
    mark: str | None = form.decimal
    thousands = form.thousands
    shown, either = decided_mark(
        texts_of(rows.cells[found[0]].slice(0, SAMPLE))[0].unique().to_pylist()
        for name, found in places.items()
        if kind.by_name[name].type == "decimal" and _is_text(rows.cells[found[0]].type)
    )
    if mark is None and shown is None and either is not None and reading.more is not None:
        shown = _shown_later(kind, places, reading)
    if mark is None:
        mark = shown
        if mark is None and either is not None and form.delimiter != "," and _is_semicolon(reading):
            raise DataError(
                f"{reading.source}: {either!r} can be a whole number or a fraction, and nothing else in the file decides it",
                hint="use --decimal . or --decimal ,",
                source=reading.source,
            )
    if thousands is None and mark is not None:
        thousands = "," if mark == "." else "."
    return NumberStyle(mark or ".", thousands, form.magnitudes, nulls)


def _shown_later(kind: Kind, places: Mapping[str, tuple[int, ...]], reading: Reading) -> str | None:
    """Return the decimal mark shown by later rows; None if they do not show one either."""
    assert reading.more is not None
    names: tuple[str, ...] | None = None
    columns_ = [found[0] for name, found in places.items() if kind.by_name[name].type == "decimal"]
    for rows in reading.more():
        names = names or rows.names
        if rows.names != names:
            break
        mark, _ = decided_mark(
            texts_of(rows.cells[place])[0].unique().to_pylist()
            for place in columns_
            if _is_text(rows.cells[place].type)
        )
        if mark is not None:
            return mark
    return None


def _is_semicolon(reading: Reading) -> bool:
    return reading.form.delimiter == ";"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def time_style(
    kind: Kind,
    name: str,
    rows: Rows,
    places: Mapping[str, tuple[int, ...]],
    fills: Mapping[str, object],
    reading: Reading,
) -> TimeStyle:
    """Return the notation of the times of a field."""
    form = reading.form
    zone = None if form.tz is None else zone_of(form.tz)
    days = kind in {CASH, CORPORATE_ACTIONS} or (kind is BARS and _may_be_of_days(rows, places, fills, form))
    wanted = TimeStyle(
        "iso" if form.time_unit is None else "epoch",
        unit=form.time_unit,
        unit_said=reading.unit_said,
        pattern=None if form.time_format is None else directive_pattern(form.time_format),
        zone=zone,
        ambiguous=form.ambiguous,
        dates=days or (kind in {POSITIONS, SNAPSHOTS, ORDERS, FILLS} and zone is not None),
        date=reading.date,
        day_first=form.day_first,
        latest=reading.now_ns + 86_400 * 10**9,
    )
    if form.time_format is not None:
        wanted = evolve(wanted, form="pattern", unit=None)
    if wanted.unit == "ms-of-day" and wanted.date is None:
        raise DataError(
            f"{reading.source}: times of day need a date, but the file name does not contain one",
            hint="name the file like 20131007_spy_minute_trade.csv",
            source=reading.source,
        )
    cells = joined(rows, places[name])
    try:
        return infer_times(cells, wanted)
    except UnreadableTimes as error:
        if error.undecided and reading.more is not None and (found := _decided_later(name, places, reading, wanted)):
            return found
        hint = error.hint
        if hint and "--interval 1d" in hint and kind in {POSITIONS, SNAPSHOTS, ORDERS, FILLS}:
            hint = "give the time zone with --tz; the midnight that begins the day is then used"
        elif hint and "--interval 1d" in hint and kind is not BARS:
            hint = None
        shown = " and ".join(repr(rows.names[place]) for place in places[name])
        raise DataError(
            f"{reading.source}: the times in {shown}: {error.problem}",
            hint=hint,
            field=f"{kind.singular}.{name}",
            source=reading.source,
        ) from None


def _decided_later(
    name: str, places: Mapping[str, tuple[int, ...]], reading: Reading, wanted: TimeStyle
) -> TimeStyle | None:
    """Return the style shown by the rest of the column; None if it does not show one either."""
    assert reading.more is not None
    names: tuple[str, ...] | None = None
    for rows in reading.more():
        names = names or rows.names
        if rows.names != names:
            break
        cells = joined(rows, places[name])
        for start in range(0, len(cells), SAMPLE):
            try:
                found = infer_times(cells.slice(start, SAMPLE), wanted)
            except UnreadableTimes:
                continue
            if found.pattern is not None:
                return found
    return None


def _may_be_of_days(
    rows: Rows, places: Mapping[str, tuple[int, ...]], fills: Mapping[str, object], form: Format
) -> bool:
    """Return whether some of the bars may be of a day or more."""
    if "interval" not in places:
        return is_of_days(fills.get("interval"))
    words = {key.lower(): word for key, word in form.values.get("interval", {}).items()}
    for text in sample_of(rows.cells[places["interval"][0]], SAMPLE):
        try:
            if is_of_days(BARS.by_name["interval"].convert(words.get(text.lower(), text))):
                return True
        except DataError:
            continue
    return False


def joined(rows: Rows, places: tuple[int, ...]) -> pa.Array:
    """Return one column, or several joined by a blank; where one of them is missing the others stand alone."""
    if len(places) == 1:
        return rows.cells[places[0]]
    parts = [_plain_texts(rows.cells[place]) for place in places]
    return pc.binary_join_element_wise(*parts, " ", null_handling="skip")


def _plain_texts(cells: pa.Array) -> pa.Array:
    if is_instant(cells.type):
        return columns.times_as_texts(cells.cast(columns.TIME))
    if pa.types.is_timestamp(cells.type):
        return pc.strftime(cells.cast(pa.timestamp("s")), "%Y-%m-%d")
    return pc.utf8_trim_whitespace(texts_of(cells)[0])


def sample_of(cells: pa.Array, count: int = SAMPLE) -> list[str]:
    """Return the distinct texts of a column's first cells."""
    texts, _ = texts_of(cells.slice(0, count))
    return [text.strip() for text in texts.unique().to_pylist() if text and text.strip()]
