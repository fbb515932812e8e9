"""Read spreadsheets: the first sheet of a workbook that contains a table."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from fpa_core.exceptions import DataError, MissingDependencyError
from fpa_core.formats import Format
from fpa_plugins.files.containers import Content
from fpa_plugins.files.dialect import MAX_COLUMNS, looks_like_data
from fpa_plugins.files.rows import Rows

__all__ = ["read"]

MAX_UNPACKED = 512 * 1024 * 1024
"""Bytes a workbook may unpack to: it is read as a whole."""

PREAMBLE = 20


def read(content: Content, form: Format, chunk_rows: int) -> Iterator[Rows]:
    """Yield the rows of the first sheet that has any.

    :raises MissingDependencyError: if the library for workbooks is not installed.
    :raises DataError: if it is not a workbook, or has no table.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise MissingDependencyError(
            f"{content.name}: this is a workbook, but the library to read it is not installed",
            package="python-calamine",
            command="pip install 'financial-portfolio-automation[excel]', or save the sheet as CSV",
        ) from None
    with content.seekable() as stream:
        _refuse_bombs(content, stream)
        stream.seek(0)
        try:
            book = CalamineWorkbook.from_filelike(stream)
            sheets = [book.get_sheet_by_name(name).to_python(skip_empty_area=True) for name in book.sheet_names]
        except (CalamineError, OSError, ValueError) as error:
            raise DataError(f"{content.name}: this is not a complete workbook: {error}", source=content.name) from error
    table = next((sheet for sheet in sheets if len(sheet) > 1), None)
    if table is None:
        raise DataError(f"{content.name}: no sheet of the workbook has rows", source=content.name)
    yield from _rows(table, form, content.name, chunk_rows)


def _refuse_bombs(content: Content, stream: Any) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
    ):  # the older form, which is no archive, or damage that its reader will name
        return
    if size > MAX_UNPACKED:
        raise DataError(
            f"{content.name}: the workbook unpacks to {size:,} bytes; at most {MAX_UNPACKED:,} are read",
            hint="save the sheet as CSV",
            source=content.name,
        )


def _rows(table: list[list[Any]], form: Format, name: str, chunk_rows: int) -> Iterator[Rows]:
    start = form.skip or next((at for at, row in enumerate(table[:PREAMBLE]) if sum(cell != "" for cell in row) > 1), 0)
    header = [str(cell).strip() for cell in table[start]] if start < len(table) else []
    if form.names or looks_like_data(header):
        names = form.names or tuple(str(at) for at in range(len(header)))
        first = start
    else:
        names, first = tuple(header), start + 1
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{name}: {len(names):,} columns; a table of records has at most {MAX_COLUMNS:,}", source=name)
    rows = table[first : len(table) - form.footer if form.footer else None]
    for at in range(0, len(rows), chunk_rows):
        part = rows[at : at + chunk_rows]
        cells = [_column([row[place] if place < len(row) else "" for row in part]) for place in range(len(names))]
        yield Rows(
            names,
            cells,
            range(at + 1, at + 1 + len(part)),
            lambda index, part=part: _raw(names, part[index]),  # type: ignore[misc]
        ).without_empty()


def _raw(names: Sequence[str], row: Sequence[Any]) -> str:
    present = {name: _text(cell) for name, cell in zip(names, row, strict=False) if cell != ""}
    return json.dumps(present, ensure_ascii=False)


def _column(values: Sequence[Any]) -> pa.Array:
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    """Return a cell as text: numbers as short as they are, whole ones without a point, and times as ISO 8601."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat(" ") if isinstance(value, dt.datetime) else value.isoformat()
    return str(value)
