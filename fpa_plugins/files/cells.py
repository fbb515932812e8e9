"""Convert cells of any Arrow type to the text they would have in a CSV file, so that all formats share one conversion."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core.arrow import columns
from fpa_core.words import NULLS

__all__ = ["MAX_TEXT", "Problems", "is_instant", "is_null", "texts_of", "widened", "without_nulls"]

MAX_TEXT = 4_200
"""Characters kept of a text from a dictionary: a little more than a field may have, so that what is longer is still refused."""

_LONGEST_NULL = max(map(len, NULLS))

Problems = dict[int, str]
"""Why cells were refused, by their index."""


def is_instant(kind: pa.DataType) -> bool:
    """Return whether values of this type are times with a zone."""
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def widened(cells: pa.Array) -> pa.Array:
    """Return Arrow decimals of any width in one of the two that this project uses."""
    scale = cells.type.scale
    return cells.cast(pa.decimal128(38, scale) if cells.type.precision <= 38 else pa.decimal256(76, scale))


def is_null(text: str) -> bool:
    """Return whether *text* is a spelling of a missing value."""
    return len(text) <= _LONGEST_NULL + 8 and text.strip().lower() in NULLS


def without_nulls(texts: pa.Array) -> pa.Array:
    """Return *texts* with a null for each spelling of a missing value."""
    shortest = pc.min(pc.binary_length(texts)).as_py()
    if shortest is None or shortest > _LONGEST_NULL:
        return texts
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.if_else(pc.is_in(folded, pa.array(sorted(NULLS))), None, texts)


def texts_of(cells: pa.Array) -> tuple[pa.Array, Problems]:
    """Return *cells* as texts, null if a value is missing, and the problems of cells that cannot be converted."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _texts_of_dictionary(cells)
    if pa.types.is_string(kind):
        problems: Problems = {}
    else:
        cells, problems = _written(cells, kind)
    if pc.any(pc.equal(cells, "")).as_py():
        cells = pc.if_else(pc.equal(cells, ""), None, cells)
    return cells, problems


def _written(cells: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Problems]:
    """Convert values that are not texts."""
    if pa.types.is_floating(kind):
        # NaN is what numpy and pandas write for a missing value.
        cells = pc.if_else(pc.is_nan(cells), None, cells)
    elif pa.types.is_decimal(kind):
        return columns.as_texts(widened(cells)), {}
    elif pa.types.is_nested(kind):
        return pa.array([_json(value) for value in cells], pa.string()), {}
    elif is_instant(kind):
        # The zone of the type only affects how values are displayed, and may be unknown on this machine.
        cells = cells.cast(pa.timestamp(kind.unit, "UTC"))
    elif isinstance(kind, pa.BaseExtensionType):
        return _one_by_one(cells)
    try:
        return cells.cast(pa.string()), {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are not text; types without a cast
        return _one_by_one(cells)


def _texts_of_dictionary(cells: pa.DictionaryArray) -> tuple[pa.Array, Problems]:
    texts, wrong = texts_of(_cut(cells.dictionary))
    problems: Problems = {}
    if wrong:
        problems = {index: wrong[code] for index, code in enumerate(cells.indices.to_pylist()) if code in wrong}
    return texts.take(cells.indices), problems


def _cut(words: pa.Array) -> pa.Array:
    """Return a dictionary with its longest texts truncated, because each may be used by millions of rows."""
    kind = words.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return words
    if (pc.max(pc.binary_length(words)).as_py() or 0) <= MAX_TEXT:
        return words
    return pc.utf8_slice_codeunits(words, 0, MAX_TEXT) if is_text else pc.binary_slice(words, 0, MAX_TEXT)


def _one_by_one(cells: pa.Array) -> tuple[pa.Array, Problems]:
    """Write values that Arrow cannot cast to text as Python does: UUIDs, and bytes some of which are text."""
    texts: list[str | None] = []
    problems: Problems = {}
    for index, value in enumerate(cells.to_pylist()):
        try:
            texts.append(value.decode() if isinstance(value, bytes) else None if value is None else str(value))
        except UnicodeDecodeError:
            texts.append(None)
            problems[index] = "bytes that are not UTF-8"
    return pa.array(texts, pa.string()), problems


def _json(value: Any) -> str | None:
    if not value.is_valid:
        return None
    if isinstance(value, pa.ListScalar) and len(value) > MAX_TEXT:  # the text is too long for any field
        value = value.values.slice(0, MAX_TEXT)
    try:
        found = value.to_pylist() if isinstance(value, pa.Array) else value.as_py()
        return json.dumps(found, default=str, ensure_ascii=False)
    except ValueError:  # nanoseconds do not fit a datetime, and bytes may not be text
        return str(value.type)
