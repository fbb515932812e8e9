"""Cells of any Arrow type as the texts they would be in a CSV file, so that one conversion serves every format."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fpa_core import columns

__all__ = ["Problems", "is_instant", "texts_of", "widened"]

Problems = dict[int, str]
"""Why cells were refused, by their index."""


def is_instant(kind: pa.DataType) -> bool:
    """Tell whether values of this type are times with a zone."""
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def widened(cells: pa.Array) -> pa.Array:
    """Return Arrow decimals of any width in one of the two that this project uses."""
    scale = cells.type.scale
    return cells.cast(pa.decimal128(38, scale) if cells.type.precision <= 38 else pa.decimal256(76, scale))


def texts_of(cells: pa.Array) -> tuple[pa.Array, Problems]:
    """Return *cells* as texts, null where a value is missing, and what is wrong with those that cannot be written."""
    kind = cells.type
    problems: Problems = {}
    if pa.types.is_decimal(kind):
        cells = columns.as_texts(widened(cells))
    elif pa.types.is_nested(kind):
        cells = pa.array([_json(value) for value in cells], pa.string())
    elif is_instant(kind):
        # The zone of the type says only how to show its values, and may be one this machine does not know.
        cells = cells.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.string())
    elif isinstance(kind, pa.BaseExtensionType):
        cells, problems = _one_by_one(cells)
    elif not pa.types.is_string(kind):
        try:
            cells = cells.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are no text; types without a cast
            cells, problems = _one_by_one(cells)
    if pc.any(pc.equal(cells, "")).as_py():
        cells = pc.if_else(pc.equal(cells, ""), None, cells)
    return cells, problems


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
    try:
        return json.dumps(value.as_py(), default=str, ensure_ascii=False)
    except ValueError:  # nanoseconds do not fit a datetime, and bytes may be no text
        return str(value.type)
