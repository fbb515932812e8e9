"""From rows as a file has them to exact columns, with the verdict that the record class would give each row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.arrow.parsing import decimal_column, parse_decimals
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, FILLS, ORDERS, TRADES, Column, Kind
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.protocols import Chunk, Reject
from fpa_core.words import NULLS
from fpa_plugins.files.cells import Problems, is_null, texts_of, widened
from fpa_plugins.files.layout import PRICES, Layout
from fpa_plugins.files.numbers import canonical, read_numbers
from fpa_plugins.files.rows import Rows, clipped
from fpa_plugins.files.styles import is_of_days, joined
from fpa_plugins.files.times import DAY, read_times

__all__ = ["Converter"]

_NAMES = {"symbol", "account", "order_id", "interval"}
"""Fields that only a word or a whole number can be, never a truth value, a fraction or a list."""

_SAID = {"symbol", "interval", "account"}
"""Fields that the user may say for a whole file."""

_IDS = {"trade_id", "client_order_id", "fill_id", "transaction_id"}
_NO_ID = {"0", *NULLS}
_WHOLE = re.compile(r"(\d+)\.0*", re.ASCII)
_ROUNDED = re.compile(r"\d(?:\.\d+)?[eE]\+?\d+", re.ASCII)
_EXACT_FLOAT = 2**53
_RAW = {
    "status": "status_raw",
    "order_type": "type_raw",
    "side": "side_raw",
    "flow_type": "type_raw",
    "action_type": "type_raw",
}
_HINTS = {
    "is not an ISO-8601 time": "give the format of times, such as --time-format '%d.%m.%Y %H:%M'",
    "is not a time written": "give the format of times, such as --time-format '%d.%m.%Y %H:%M'",
    "has no time zone": "give the time zone with --tz, such as --tz America/New_York",
    "occurs twice": "use --ambiguous earlier or later",
    "is a date without a time": "a date is enough for bars of a day and more (--interval 1d)",
    "can be a whole number or a fraction": "use --decimal . or --decimal ,",
    "is not an interval": "write intervals like 1m, 5m, 1h, 1d; `values` of a format maps other words",
}
"""Hints for rejected rows, by a part of the message."""

_VALUES_WITHIN_QUOTES = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\d[\d.,:TZ+-]*")


class Converter:
    """Makes chunks of the rows of one file; it remembers what carries over from one block to the next."""

    def __init__(self) -> None:
        self._carried: dict[str, object] = {}
        self._midnights = 0
        self._rounded = 0
        self._told: set[str] = set()
        self._pending: list[str] = []

    def chunk(self, layout: Layout, rows: Rows, progress: float, notes: tuple[str, ...] = ()) -> Chunk:
        """Return the rows as a chunk of the layout's kind: what can be a record in its table, the others among its rejects."""
        arrays, bad = self._columns(layout, rows)
        table = pa.table({column.name: arrays[column.name] for column in layout.kind.columns})
        notes = (*notes, *self._notes())
        if not bad:
            return Chunk(
                layout.kind,
                table,
                rows.positions,
                rows.rejects,
                progress,
                notes,
                empty=rows.empty,
                left_out=rows.left_out,
            )
        refused = [
            _reject(rows, index, bad[index], cells)
            for index, cells in zip(bad, _cells(layout, rows, list(bad), arrays), strict=True)
        ]
        good = [index for index in range(len(rows.positions)) if index not in bad]
        return Chunk(
            layout.kind,
            table.take(pa.array(good, pa.int64())),
            [rows.positions[index] for index in good],
            sorted([*rows.rejects, *refused], key=lambda reject: reject.row),
            progress,
            notes,
            empty=rows.empty,
            left_out=rows.left_out,
        )

    def _columns(self, layout: Layout, rows: Rows) -> tuple[dict[str, pa.Array], dict[int, list[str]]]:
        """Return the columns of the kind, and what is wrong with the rows that cannot be records."""
        count = len(rows.positions)
        arrays: dict[str, pa.Array] = {}
        raws: dict[str, pa.Array] = {}
        bad: dict[int, list[str]] = {}
        # The interval first: what a time means depends on it.
        for column in sorted(layout.kind.columns, key=lambda column: column.name != "interval"):
            problems: Problems = {}
            array = _absent(column, count)
            if column.name in layout.places:
                array, problems = self._read(layout, column, rows, arrays, raws)
            if column.name in layout.form.carry:
                array = self._carry(column.name, array, problems)
            if column.name in layout.places and column.name in _SAID and array.null_count > len(problems):
                self._filled_in(layout, column.name)
            array = _filled(array, layout.fills.get(column.name))
            if column.name in layout.needed and array.null_count:
                problems = problems | {index: "it is missing" for index in _nulls(array) if index not in problems}
            for index, problem in problems.items():
                bad.setdefault(index, []).append(f"{column.name}: {problem}")
            arrays[column.name] = array
        kind = layout.kind
        if kind is FILLS:
            arrays["quantity"], problems = _unsigned(arrays["quantity"], arrays["side"])
            for index, problem in problems.items():
                bad.setdefault(index, []).append(problem)
        arrays |= {name: raw for name, raw in raws.items() if name in kind.by_name and name not in layout.places}
        return arrays, bad

    def _read(
        self, layout: Layout, column: Column, rows: Rows, arrays: Mapping[str, pa.Array], raws: dict[str, pa.Array]
    ) -> tuple[pa.Array, Problems]:
        """Return the exact values of a column, and which of its cells could not be read."""
        places = layout.places[column.name]
        cells = joined(rows, places)
        values = layout.form.values.get(column.name)
        if values or (layout.numbers.nulls and column.type != "decimal"):
            cells = _mapped(cells, dict.fromkeys(layout.numbers.nulls, "") | dict(values or {}))
        if column.type == "time":
            return self._times(layout, column, cells, arrays)
        if column.type == "decimal":
            scale = layout.scale if column.name in PRICES.get(layout.kind, ()) else None
            if pa.types.is_decimal(cells.type) and scale is None:
                return widened(cells), {}
            texts, problems = texts_of(cells)
            array, more = read_numbers(layout.numbers, texts, scale)
            return array, problems | more
        texts, problems = texts_of(cells)
        if column.name in _IDS or (column.name == "order_id" and layout.kind is not ORDERS):
            texts = self._ids(texts, is_float=bool(pa.types.is_floating(cells.type)))
        elif column.name in _NAMES:
            problems |= rows.strangers(places[0])
            if pa.types.is_floating(cells.type) and column.name != "interval":
                fractions = enumerate(texts.to_pylist())
                problems |= {
                    index: f"{text} is a number with a fraction, not a name" for index, text in fractions if text
                }
        array, more = _converted(layout, column, texts)
        if _RAW.get(column.name) in layout.kind.by_name:
            raws[_RAW[column.name]] = _foreign(array, texts)
        return array, problems | more

    def _times(
        self, layout: Layout, column: Column, cells: pa.Array, arrays: Mapping[str, pa.Array]
    ) -> tuple[pa.Array, Problems]:
        """Return instants; a bar of a day or more belongs to the calendar day that its midnight begins."""
        style = layout.times[column.name]
        times = read_times(style, cells)
        utc, problems = times.utc, times.problems
        if layout.kind is BARS and style.dates:
            days = _of_days(layout, arrays.get("interval"), len(utc))
            whole = times.valid & days & (times.local % DAY == 0)
            self._midnights += int((whole & (times.utc != times.local) & ~times.date_only).sum())
            utc = np.where(whole, times.local, utc)
            for index in np.flatnonzero(times.valid & ~days & times.date_only).tolist():
                problems = problems | {index: f"{ns_text(int(utc[index]))[:10]!r} is a date without a time"}
        if not times.valid.all():
            return pa.array(utc, pa.int64(), mask=~times.valid).cast(columns.TIME), problems
        return pa.array(utc, pa.int64()).cast(columns.TIME), problems

    def _ids(self, texts: pa.Array, *, is_float: bool) -> pa.Array:
        """Return ids as they were before a spreadsheet or a float changed them; placeholders and rounded ids become missing."""
        trimmed = pc.utf8_trim_whitespace(texts)
        folded = pc.utf8_lower(trimmed)
        trimmed = pc.if_else(pc.is_in(folded, pa.array(sorted(_NO_ID))), None, trimmed)
        odd = pc.fill_null(pc.match_substring_regex(trimmed, r"^\d+\.0*$|^\d(\.\d+)?[eE]\+?\d+$"), False)
        if not odd.true_count:
            return trimmed
        mended = [self._mended_id(text, is_float=is_float) for text in trimmed.filter(odd).to_pylist()]
        return pc.replace_with_mask(trimmed, odd, pa.array(mended, pa.string()))

    def _mended_id(self, text: str, *, is_float: bool) -> str | None:
        if match := _WHOLE.fullmatch(text):
            if is_float and int(match[1]) >= _EXACT_FLOAT:
                self._rounded += 1
                return None
            return match[1]
        number = Decimal(text)
        if is_float and number == number.to_integral_value() and number < _EXACT_FLOAT:
            return str(int(number))
        self._rounded += 1
        return None

    def _carry(self, name: str, array: pa.Array, problems: Problems) -> pa.Array:
        """Put the value before in the place of a missing one."""
        values = array.to_pylist()
        last = self._carried.get(name)
        for index, value in enumerate(values):
            if value is None and index not in problems:
                values[index] = last
            elif value is not None:
                last = value
        self._carried[name] = last
        return decimal_column(values)

    def _filled_in(self, layout: Layout, name: str) -> None:
        """Record a note that empty cells were filled with the value the user gave."""
        if getattr(layout.form, name) is not None and name not in self._told:
            self._told.add(name)
            self._pending.append(f"cells of {name} without a value were read as {layout.fills[name]}, as requested")

    def _notes(self) -> Iterator[str]:
        yield from self._pending
        self._pending.clear()
        if self._midnights and "midnights" not in self._told:
            self._told.add("midnights")
            yield "midnights of the zone were read as the calendar days they begin, as bars of a day belong to a day"
        if self._rounded and "rounded" not in self._told:
            self._told.add("rounded")
            yield "ids that a spreadsheet or a float has rounded were read as missing, as different trades would share one"


def _of_days(layout: Layout, intervals: pa.Array | None, count: int) -> Any:
    if "interval" not in layout.places or intervals is None:
        return np.full(count, is_of_days(layout.fills.get("interval")))
    encoded = intervals.dictionary_encode()
    days = np.array([*(is_of_days(text) for text in encoded.dictionary.to_pylist()), False])
    codes = pc.fill_null(encoded.indices, len(days) - 1).to_numpy(zero_copy_only=False)
    return days[codes]


def _mapped(cells: pa.Array, values: Mapping[str, str]) -> pa.Array:
    """Return texts with the vendor's words replaced by ours; an empty replacement means missing."""
    texts, _ = texts_of(cells)
    words = {key.strip().lower(): value or None for key, value in values.items()}
    encoded = texts.dictionary_encode()
    mapped = [words.get(text.strip().lower(), text) for text in encoded.dictionary.to_pylist()]
    return pa.array(mapped, pa.string()).take(encoded.indices)


def _reject(rows: Rows, index: int, problems: list[str], cells: Mapping[str, str]) -> Reject:
    problem = "; ".join(problems)
    reason = "; ".join(_VALUES_WITHIN_QUOTES.sub("...", each) for each in problems)
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    return Reject(rows.positions[index], clipped(rows.raw(index)), problem, cells, reason, hint)


def _cells(layout: Layout, rows: Rows, indexes: list[int], arrays: Mapping[str, pa.Array]) -> Iterator[dict[str, str]]:
    """Yield the cells of rows by the names of the kind's columns: converted if that succeeded, else as in the file."""
    filled = {name: _fill_text(layout.kind, name, value) for name, value in layout.fills.items()}
    taken, places = rows.take(indexes), pa.array(indexes, pa.int64())
    plain = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    texts = []
    for name, found in layout.places.items():
        read = plain.get(layout.kind.by_name[name].type, _as_text)(arrays[name].take(places)).to_pylist()
        stands = texts_of(joined(taken, found))[0].to_pylist()
        texts.append([value or text for value, text in zip(read, stands, strict=True)])
    for row in zip(*texts, strict=True) if texts else ((),) * len(indexes):
        yield filled | {name: text for name, text in zip(layout.places, row, strict=True) if text}


def _as_text(array: pa.Array) -> pa.Array:
    return array.cast(pa.string())


def _fill_text(kind: Kind, name: str, value: object) -> str:
    if kind.by_name[name].type == "time":
        return ns_text(int(str(value)))
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def _absent(column: Column, count: int) -> pa.Array:
    return pa.nulls(count, pa.decimal128(38, 0) if column.type == "decimal" else column.arrow)


def _filled(array: pa.Array, value: object) -> pa.Array:
    if value is None or not array.null_count:
        return array
    if isinstance(value, Decimal) and pa.types.is_string(array.type):
        value = decimal_text(value)
    if pa.types.is_timestamp(array.type):
        return pc.fill_null(array, pa.scalar(value, pa.int64()).cast(array.type))
    return pc.fill_null(array, pa.scalar(value, array.type))


def _unsigned(quantities: pa.Array, sides: pa.Array) -> tuple[pa.Array, Problems]:
    """Return quantities of fills without a sign, which brokers write before those of sales; one that contradicts its side is a problem."""
    texts = columns.as_texts(quantities)
    negative = pc.fill_null(pc.starts_with(texts, "-"), False)
    if not negative.true_count:
        return quantities, {}
    bought = pc.and_(negative, pc.fill_null(pc.equal(sides, "buy"), False))
    problems = dict.fromkeys(pc.indices_nonzero(bought).to_pylist(), "quantity: a purchase has a quantity below zero")
    plain = pc.if_else(negative, pc.utf8_slice_codeunits(texts, 1), texts)
    return parse_decimals(plain)[0], problems


def _nulls(array: pa.Array) -> list[int]:
    return list(pc.indices_nonzero(array.is_null()).to_pylist())


def _converted(layout: Layout, column: Column, texts: pa.Array) -> tuple[pa.Array, Problems]:
    """Put each distinct text through the converter of the record's field: there are few of them, and the verdict is the record's own."""
    encoded = texts.dictionary_encode()
    values: list[Any] = []
    refused: dict[int, str] = {}
    # A symbol may be any word; the aggressor of a trade is not always known.
    any_word, optional = layout.literal or column.name == "symbol", column.name == "side" and layout.kind is TRADES
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        plain = text.strip()
        if not plain or (not any_word and is_null(plain)):
            values.append(None)
            continue
        try:
            number = canonical(plain, layout.numbers) if column.type == "integer" else plain
            values.append(None if number is None else column.convert(number))
        except DataError as error:
            values.append(None)
            if not optional:
                refused[code] = error.message.split(": ", 1)[-1]
    array = pa.array(values, column.arrow).take(encoded.indices)
    if not refused:
        return array, {}
    codes = encoded.indices.to_pylist()
    return array, {index: refused[code] for index, code in enumerate(codes) if code in refused}


def _foreign(array: pa.Array, texts: pa.Array) -> pa.Array:
    """Return the broker's words where they differ from ours in more than case and punctuation."""
    if not len(texts):
        return texts
    words = pc.replace_substring_regex(pc.utf8_lower(texts), r"[\s_-]+", "")
    own = pc.replace_substring(pc.utf8_lower(array), "_", "")
    same = pc.or_(pc.equal(words, own), pc.equal(words, pc.replace_substring(own, "ll", "l")))
    return pc.if_else(pc.fill_null(same, True), None, texts)
