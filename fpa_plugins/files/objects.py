"""Rows that a program hands over: dicts, lists of values, and dicts of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from fpa_core.exceptions import DataError
from fpa_plugins.files import columnar, jsontext, jsonvalues
from fpa_plugins.files.rows import Rows

__all__ = ["read_objects"]


def read_objects(target: Any, name: str, chunk_rows: int) -> Iterator[Rows]:
    """Yield dicts, or lists of values, as rows: floats by their shortest text, NaN as missing."""
    if isinstance(target, Mapping):
        yield from _of_mapping(target, name, chunk_rows)
        return
    try:
        source = iter(target)
    except TypeError:
        raise DataError(
            f"{name} cannot be read as a table",
            hint="give a path, an open file, a frame, an Arrow table, dicts, or records",
        ) from None
    yield from jsontext.read_objects((_plain(item, name) for item in source), chunk_rows)


def _of_mapping(target: Mapping[Any, Any], name: str, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of a dict: of columns, of a document as a REST interface answers it, or the dict itself."""
    arrays = [_is_array(value) for value in target.values()]
    if target and all(arrays):
        try:
            table = pa.table({str(key): value for key, value in target.items()})
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(f"{name}: cannot be read as a table: {error}", source=name) from error
        yield from columnar.read_table(table, name, chunk_rows)
    elif (
        target
        and all(
            is_array or isinstance(value, (list, tuple))
            for is_array, value in zip(arrays, target.values(), strict=True)
        )
        and not any(_holds_rows(value) for value in target.values())
    ):
        lengths = {str(key): len(value) for key, value in target.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length:,}" for key, length in lengths.items())
            raise DataError(f"{name}: the columns have different lengths: {told}", source=name)
        rows = zip(*target.values(), strict=True)
        yield from jsontext.read_objects(
            (_plain(dict(zip(target, row, strict=True)), name) for row in rows), chunk_rows
        )
    elif jsontext.is_row(dict(target)):
        yield from jsontext.read_objects([_plain(target, name)], chunk_rows)
    else:
        yield from jsontext.read_mapping(target, name, chunk_rows)


def _is_array(value: Any) -> bool:
    """Return whether a value is an array of Arrow or numpy, or a series of pandas or polars."""
    return hasattr(value, "__arrow_c_array__") or (hasattr(value, "__array__") and getattr(value, "ndim", 1) == 1)


def _holds_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(each, (Mapping, list, tuple)) for each in value)


def _plain(item: Any, name: str) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return {str(key): jsonvalues.plain(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return {str(place): jsonvalues.plain(value) for place, value in enumerate(item)}
    raise DataError(
        f"{name} holds {type(item).__name__}", hint="rows are dicts, lists of values, or records of one class"
    )
