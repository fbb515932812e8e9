"""Map the columns of a file to the fields of a kind, and detect how their cells are written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from attrs import NOTHING, evolve, fields, frozen

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, zone_of
from fpa_core.kinds import BARS, FILLS, ORDERS, POSITIONS, QUOTES, SNAPSHOTS, TRADES, Column, Kind
from fpa_core.numbers import to_decimal, to_ns
from fpa_plugins.files.evidence import kind_by_columns, listed
from fpa_plugins.files.numbers import NumberStyle
from fpa_plugins.files.patterns import PATTERNS
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.styles import Reading, number_style, sample_of, time_style
from fpa_plugins.files.times import read_times
from fpa_plugins.files.timestyles import TimeStyle
from fpa_plugins.files.vocabulary import INDEX_NAMES, fields_of, squeezed

__all__ = ["PRICES", "Layout", "layout_of"]

PRICES: dict[Kind, frozenset[str]] = {
    QUOTES: frozenset({"bid", "ask"}),
    TRADES: frozenset({"price"}),
    BARS: frozenset({"open", "high", "low", "close", "vwap"}),
    FILLS: frozenset({"price"}),
}
"""What the scale of a format is about."""

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d{1,9})?)?( ?[AaPp][Mm])?|\d{6}(\d{3})?|\d{4}", re.ASCII)
_HINTS = {
    "symbol": "if they are all of one symbol, name it with --symbol; --symbol '{name}' takes the name of the file",
    "interval": "if they are all of one interval, name it with --interval",
    "timestamp": "if they all have the same time, give it with --as-of",
}


@frozen
class Layout:
    """The columns of the fields of a kind, and how they are read.

    :ivar places: the columns of each field, by its public name; several are joined.
    :ivar needed: required fields, by public name.
    :ivar fills: the replacements of missing values, by public name.
    :ivar ignored: the file's columns that are not read.
    :ivar literal: whether text is never the spelling of a missing value, as in typed sources and files of this project.
    :ivar times: how times are written, by public name; ``numbers`` how numbers are.
    """

    kind: Kind
    form: Format
    format_name: str | None
    names: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]]
    needed: frozenset[str]
    fills: Mapping[str, object]
    ignored: tuple[str, ...]
    times: Mapping[str, TimeStyle]
    numbers: NumberStyle
    scale: Decimal | None
    literal: bool = False

    @property
    def words(self) -> str:
        """How the file is read, as text for the receipt; empty if nothing was detected."""
        told = [
            style.words
            for name, style in self.times.items()
            if name == "timestamp" and (style.form != "iso" or style.zone)
        ]
        if self.numbers.decimal == ",":
            told.append("numbers have a decimal comma")
        if self.scale is not None:
            told.append(f"prices are multiplied by {self.form.scale}")
        told += [
            f"{field} is {' and '.join(self.names[place] for place in places)!r}"
            for field, places in self.places.items()
            if len(places) > 1
        ]
        if self.format_name:
            return f"read as {self.format_name}" + (f": {'; '.join(told)}" if told else "")
        return "; ".join(told)


def layout_of(rows: Rows, reading: Reading, before: Layout | None = None) -> Layout:
    """Return the layout of a file that begins with *rows*.

    :param before: the layout of earlier rows of the same file, which may have had fewer columns; its decisions are kept.
    :raises DataError: if the kind cannot be detected, two columns match one field, a required column is missing, or times cannot be read.
    """
    form, names, source = reading.form, rows.names, reading.source
    if form.refuse:
        raise DataError(f"{source}: {form.refuse}", source=source)
    left_out = _left_out(form, names)
    mapped = _mapped(form, names, source)
    said = {place for found in mapped.values() for place in found}
    kind = before.kind if before else _kind(reading, _without(names, left_out | said), mapped)
    _check_fields(form, kind, source)
    places = {field: found for field, found in mapped.items() if field in kind.by_name}
    if not form.complete:
        places |= _by_name(kind, evolve(rows, names=_without(names, left_out)), places, source)
    else:
        # A user may have renamed a vendor's column to our name, or added a missing one.
        used = {place for found in places.values() for place in found}
        own = {name: place for name in kind.by_name if (place := _place(name, names)) is not None and place not in used}
        places |= {name: (place,) for name, place in own.items() if name not in places and kind.by_name[name].required}
    fills = _fills(kind, reading)
    needed = frozenset(
        column.name for column in kind.columns if column.required and _default(kind, column) is NOTHING
    ) | ({"timestamp"} if kind in {ORDERS, POSITIONS} else set())
    _check_needed(kind, needed - places.keys() - fills.keys(), names, source)
    used = {place for found in places.values() for place in found}
    style = before.numbers if before else number_style(kind, rows, places, reading)
    times = dict(before.times) if before else {}
    for column in kind.columns:
        if column.type == "time" and column.name in places and column.name not in times:
            times[column.name] = time_style(kind, column.name, rows, places, fills, reading)
    others = [name or "(no name)" for place, name in enumerate(names) if place not in used and place not in left_out]
    return Layout(
        kind,
        form,
        reading.format_name,
        names,
        places,
        needed,
        fills,
        tuple(name for name in others if not name.startswith(("../", "(key)", "(path)", "(made)"))),
        times,
        style,
        None if form.scale is None else to_decimal(form.scale),
        rows.typed or tuple(names) == tuple(column.name for column in kind.columns),
    )


def _check_fields(form: Format, kind: Kind, source: str) -> None:
    """Raise DataError if a column is given for a field that the kind does not have."""
    for field in form.columns:
        if field not in kind.by_name:
            raise DataError(
                f"{source}: {kind.singular} has no field {field!r}",
                hint=f"fields: {', '.join(kind.by_name)}",
                field=f"{kind.singular}.{field}",
                source=source,
            )


def _check_needed(kind: Kind, missing: Collection[str], names: Sequence[str], source: str) -> None:
    """Raise DataError for the first of the *missing* columns, in the order of the kind."""
    name = next((column.name for column in kind.columns if column.name in missing), None)
    if name is not None:
        raise DataError(
            f"{source}: {kind.name} need a column {name!r}; the file has {listed(names)}",
            hint=_HINTS.get(name)
            if name != "timestamp" or kind in {POSITIONS, SNAPSHOTS, ORDERS}
            else _nearest(name, names) or "give the column: --column timestamp=NAME",
            field=f"{kind.singular}.{name}",
            source=source,
        )


def _left_out(form: Format, names: Sequence[str]) -> set[int]:
    """Return the places of the columns that the user leaves out: of that very name, or else of one like it."""
    found: set[int] = set()
    for wanted in form.ignore:
        exact = {place for place, name in enumerate(names) if name == wanted}
        found |= exact or {place for place, name in enumerate(names) if squeezed(name) == squeezed(wanted)}
    return found


def _without(names: Sequence[str], places: Collection[int]) -> tuple[str, ...]:
    """Return names with none in the place of those that are not to be looked at."""
    return tuple("" if place in places else name for place, name in enumerate(names))


def _kind(reading: Reading, names: Sequence[str], mapped: Mapping[str, Any]) -> Kind:
    from fpa_core.kinds import kind_of

    form = reading.form
    if (
        form.kind is not None
        and reading.format_name is not None
        and (reading.kind is None or reading.kind.name == form.kind)
    ):
        return kind_of(form.kind)
    said = reading.kind or (None if form.kind is None else kind_of(form.kind))
    return kind_by_columns(
        names,
        reading.source,
        said=said,
        has_interval=form.interval is not None,
        mapped=frozenset(mapped),
    )


def _mapped(form: Format, names: Sequence[str], source: str) -> dict[str, tuple[int, ...]]:
    """Return the places of the columns that a format names, those of several columns in its order."""
    found: dict[str, tuple[int, ...]] = {}
    for field, said in form.columns.items():
        wanted = (said,) if isinstance(said, str) else said
        places = [place for name in wanted if (place := _place(name, names)) is not None]
        if len(places) == len(wanted):
            found[field] = tuple(places)
        elif not form.complete and form.match is None:
            missing = next(name for name in wanted if _place(name, names) is None)
            raise DataError(
                f"{source}: no column {missing!r} for {field}; the file has {listed(names)}",
                hint=_nearest(missing, names),
                source=source,
            )
    return found


def _place(wanted: str, names: Sequence[str]) -> int | None:
    """Return the index of a column: one with exactly this name, else one that differs only in case and punctuation. A ``*`` at the end matches any rest."""
    if wanted in names:
        return names.index(wanted)
    if wanted.endswith("*"):
        start = squeezed(wanted)
        return next((place for place, name in enumerate(names) if squeezed(name).startswith(start)), None)
    key = squeezed(wanted)
    # If two columns differ only in case, only an exact match counts.
    fitting = [place for place, name in enumerate(names) if squeezed(name) == key and key]
    return fitting[0] if len(fitting) == 1 else None


def _by_name(kind: Kind, rows: Rows, taken: Mapping[str, tuple[int, ...]], source: str) -> dict[str, tuple[int, ...]]:
    """Return the index of the column of each field, by the names of the columns; the most specific name wins."""
    names = rows.names
    used = {place for found in taken.values() for place in found}
    chosen: dict[str, tuple[int, ...]] = {}
    for field, found in fields_of(kind, names).items():
        if field in taken:
            continue
        free = [(rank, place) for rank, place in found if place not in used]
        if not free:
            continue
        if field == "timestamp" and (pair := _date_and_clock(rows, [place for _, place in free])):
            chosen[field] = pair
            continue
        if field == "timestamp" and len(free) > 1:
            free = [each for each in free if _may_be_times(rows.cells[each[1]])] or free
        best = [place for rank, place in free if rank == free[0][0]]
        if len(best) > 1:
            one, other = names[best[0]], names[best[1]]
            raise DataError(
                f"{source}: the columns {one!r} and {other!r} are both {kind.singular}.{field}",
                hint=f"choose one with --column {field}=NAME, or ignore one with --ignore NAME"
                if one != other
                else "give them names of their own: --names ... with --skip 1",
                source=source,
            )
        chosen[field] = (best[0],)
    if "timestamp" not in taken and "timestamp" not in chosen:
        index = _index_of_times(rows)
        if index is not None:
            chosen["timestamp"] = (index,)
    return chosen


def _may_be_times(cells: pa.Array) -> bool:
    """Return whether some of a column may be times: a name alone does not make it one of times."""
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return True
    return any(text[0].isdigit() or any(pattern.fits(text) for pattern in PATTERNS) for text in sample_of(cells, 20))


def _date_and_clock(rows: Rows, places: Sequence[int]) -> tuple[int, int] | None:
    """Return the places of a date and of a time of day, where two columns are these."""
    if len(places) < 2:
        return None
    clocks, days = [], []
    for place in places:
        cells = rows.cells[place]
        if pa.types.is_timestamp(cells.type) or pa.types.is_integer(cells.type):
            continue
        sample = sample_of(cells)
        if not sample:
            continue
        if all(_CLOCK.fullmatch(text) for text in sample):
            clocks.append(place)
        elif all(len(text) <= 12 and not re.fullmatch(r"\d{9,}", text) for text in sample):
            days.append(place)
    return (days[0], clocks[0]) if days and clocks else None


def _index_of_times(rows: Rows) -> int | None:
    """Return the index of an unnamed column that holds times, as pandas writes its index; row numbers are ignored."""
    for place, name in enumerate(rows.names[:2]):
        if squeezed(name) in INDEX_NAMES:
            cells = rows.cells[place]
            if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
                return place
            sample = sample_of(cells)
            if sample and not all(re.fullmatch(r"\d{1,8}", text) for text in sample):
                return place
    return None


def _default(kind: Kind, column: Column) -> object:
    return getattr(fields(kind.record), column.field).default


def _fills(kind: Kind, reading: Reading) -> dict[str, object]:
    """Return the values to use for missing cells: those the user gave, and the defaults of the model."""
    form = reading.form
    stem = reading.file.split(".")[0]
    given: dict[str, object] = {
        name: None if value is None else value.replace("{name}", stem)
        for name, value in (("symbol", form.symbol), ("interval", form.interval), ("account", form.account))
    }
    fills: dict[str, object] = {}
    if form.as_of is not None and kind in {ORDERS, POSITIONS, SNAPSHOTS}:
        fills["timestamp"] = _as_of(form, reading.source)
    for column in kind.columns:
        value = given.get(column.name)
        if value is not None:
            words = {key.lower(): word for key, word in form.values.get(column.name, {}).items()}
            try:
                fills[column.name] = column.convert(words.get(str(value).lower(), value))
            except DataError as error:
                problem = error.message.split(": ", 1)[-1]
                raise DataError(
                    f"{reading.source}: the given {column.name}: {problem}", hint=error.hint, source=reading.source
                ) from None
        elif column.name not in fills and (default := _default(kind, column)) not in (NOTHING, None):
            fills[column.name] = default
    return fills


def _as_of(form: Format, source: str) -> int:
    text = str(form.as_of)
    zone = None if form.tz is None else zone_of(form.tz)
    wanted = TimeStyle("iso", zone=zone, dates=zone is not None)
    try:
        return to_ns(text)
    except DataError as error:
        times = read_times(wanted, pa.array([text]))
        if not times.valid[0]:
            raise DataError(
                f"{source}: --as-of: {error.message.split(': ', 1)[-1]}",
                hint="write it like 2024-05-01T16:00:00-04:00, or give its time zone with --tz",
                source=source,
            ) from None
        return int(times.utc[0])


def _nearest(name: str, names: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, [each.lower() for each in names], n=1, cutoff=0.75)
    return f"did you mean the column {near[0]!r}?" if near else None
