"""The source ``files``: detects the type of a file, and yields its records in chunks."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, merged
from fpa_core.numbers import to_ns
from fpa_core.protocols import Capability, Chunk, Sniffed, SourceRequest
from fpa_plugins.files import columnar, delimited, jsontext, objects, workbook
from fpa_plugins.files.containers import HEAD, Content, contents_of
from fpa_plugins.files.convert import Converter
from fpa_plugins.files.dialect import HEAD_LINES, Dialect, dialect_of, looks_like_data
from fpa_plugins.files.layout import Layout, layout_of
from fpa_plugins.files.recognise import Recognised, recognise
from fpa_plugins.files.rowformats import ROWS_TRIED, RowFormats
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.sniffing import described
from fpa_plugins.files.stream import Stream, decoded_head, encoding_of
from fpa_plugins.files.styles import Reading
from fpa_plugins.files.tables import Table
from fpa_plugins.files.unpivot import stacked_header

__all__ = ["FilesSource"]

BYTES_PER_ROW = 48
"""About what a quote takes in a CSV file, for files that do not show it."""

LARGEST_ROW = 128
"""Bytes of a row beyond which blocks do not grow: what has few line ends may have none further on."""

LEAST_BLOCK, LARGEST_BLOCK = 1 << 16, 1 << 23
"""Bytes of a text that are read at once."""

SNIFFED_ROWS = 5_000
"""Rows that are looked at to say how a file is read."""

_SUGGESTED = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


class FilesSource:
    """Reads delimited texts, JSON, Parquet, Arrow and workbooks, plain or packed, and the tables of Python's data libraries.

    :param clock: returns the current time, for requests without one.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the records of ``request.target``, in the order of its rows: a path, ``-``, an open file, or a table.

        The symbol, interval and account of the request are used for rows without them.

        :raises DataError: if it cannot be read, its kind cannot be detected, or it has no rows.
        """
        said = _said(request)
        read = False
        for table in self._tables(request, said):
            for chunk in self._chunks(table, request, said):
                read = True
                yield chunk
        if not read:
            name = _name_of(request.target)
            raise DataError(f"{name}: the file has no rows", source=name)

    def sniff(self, request: SourceRequest) -> Sequence[Sniffed]:
        """Return how each table of the target would be read. Only its first rows are used.

        :raises DataError: if it cannot be opened, or is not a table.
        """
        said = _said(request)
        return [found for table in self._tables(request, said) for found in self._sniffed(table, request, said)]

    def _sniffed(self, table: Table, request: SourceRequest, said: Format) -> Iterator[Sniffed]:
        """Yield how the first rows of a table would be read, those of several formats or symbols apart."""
        first = next(table.rows(), None)
        if first is None:
            yield described(table, None, None, None, problem=f"{table.name}: the file has no rows")
            return
        small = next(first.pieces(SNIFFED_ROWS))
        head = evolve(table, rows=lambda: iter((small,)))
        try:
            for layout, rows in self._laid_out(head, request, said, table):
                yield described(table, first, layout, Converter().chunk(layout, rows, 0.0))
        except DataError as error:
            yield described(table, first, None, None, problem=error.message, hint=error.hint)

    def _chunks(self, table: Table, request: SourceRequest, said: Format) -> Iterator[Chunk]:
        converters: dict[str, Converter] = {}
        told: set[str] = set()
        for layout, rows in self._laid_out(table, request, said):
            converter = converters.setdefault(layout.format_name or "", Converter())
            notes = [note for note in _notes(layout) if note not in told]
            told.update(notes)
            delimiter = None if table.dialect is None else table.dialect.delimiter
            reading = {"names": list(layout.names), "delimiter": delimiter}
            for piece in rows.pieces(request.chunk_rows):
                yield evolve(converter.chunk(layout, piece, table.position(), tuple(notes)), reading=reading)
                notes = []

    def _laid_out(
        self, table: Table, request: SourceRequest, said: Format, whole: Table | None = None
    ) -> Iterator[tuple[Layout, Rows]]:
        """Yield the rows of a table with the layout that they have; rows of several formats apart from each other.

        :param whole: the table of which *table* is the beginning, for what the beginning leaves open.
        """
        layouts: dict[str, Layout] = {}
        formats = RowFormats(table, request, said)
        for block in table.rows():
            for recognised, rows in formats.of(block):
                key = recognised.name or ""
                layout = layouts.get(key)
                if layout is None or layout.names != rows.names:
                    # Every object of JSON Lines may add a new name; the kind is that of the first ones.
                    reading = self._reading(whole or table, request, recognised, formats)
                    layout = layouts[key] = layout_of(rows, reading, layout)
                yield layout, rows

    def _reading(self, table: Table, request: SourceRequest, recognised: Recognised, formats: RowFormats) -> Reading:
        return Reading(
            form=recognised.form,
            format_name=recognised.name,
            kind=request.kind,
            source=table.name,
            file=table.file,
            now_ns=self._clock() if request.now_ns is None else request.now_ns,
            unit_said=request.format.time_unit is not None or request.format_name is not None,
            date=_day(recognised.date),
            more=None if table.once else lambda: (rows for block in table.rows() for _, rows in formats.of(block)),
        )

    # The type of the target

    def _tables(self, request: SourceRequest, said: Format) -> Iterator[Table]:
        """Yield the tables within the target."""
        target = request.target
        if _is_file(target):
            for content in contents_of(target):
                yield self._table(content, request, said)
            return
        name = request.file or _name_of(target)
        once = not hasattr(target, "__len__")  # generators and streams of batches have no length
        if hasattr(target, "__arrow_c_stream__"):
            yield Table(
                name,
                name,
                type(target).__name__,
                "",
                lambda: columnar.read_table(target, name, request.chunk_rows),
                lambda: 1.0,
                once=once,
            )
            return
        yield Table(
            name,
            name,
            "records",
            "",
            lambda: objects.read_objects(target, name, request.chunk_rows),
            lambda: 1.0,
            once=once,
        )

    def _table(self, content: Content, request: SourceRequest, said: Format) -> Table:
        def made(kind: str, rows: Callable[[], Iterator[Rows]], **more: Any) -> Table:
            return Table(content.name, content.file, kind, content.container, rows, content.position, **more)

        size = request.chunk_rows
        if content.kind == "parquet":
            return made("Parquet", lambda: columnar.read_parquet(content, size))
        if content.kind == "arrow":
            return made("Arrow", lambda: columnar.read_arrow(content, size))
        if content.kind == "feather":
            return made("Feather", lambda: columnar.read_feather(content, size))
        if content.kind == "excel":
            return made("workbook", lambda: workbook.read(content, said, size))
        return self._text(content, request, said, made)

    def _text(self, content: Content, request: SourceRequest, said: Format, made: Callable[..., Table]) -> Table:
        """Return the table of a text: JSON by its first character, else delimited."""
        head = content.head
        named = request.formats.get(request.format_name or "")
        form = said if named is None else merged(named.format, said)
        encoding = encoding_of(head, form.encoding, content.name)
        text = decoded_head(head, encoding)
        size = _block_size(head, request.chunk_rows)
        start = text.lstrip("\ufeff \t\r\n")[:1]
        if start and start in "[{":
            if jsontext.is_lines(text):
                return made("JSON Lines", lambda: _lines(content, encoding, 2 * size), encoding=encoding)
            opened = lambda: Stream(content, encoding)  # noqa: E731
            return made("JSON", lambda: jsontext.read_document(opened, request.chunk_rows), encoding=encoding)
        lines = _lines_of(text, cut=len(head) == HEAD)
        suggested = next((mark for suffix, mark in _SUGGESTED.items() if content.file.lower().endswith(suffix)), None)
        dialect = dialect_of(lines, form, content.name, suggested=suggested)
        wide = stacked_header([dialect.names, *dialect.rows[:2]]) if dialect.has_header else None
        if wide is not None:
            dialect = evolve(dialect, names=wide[0], skip=dialect.skip + wide[1] - 1, rows=dialect.rows[wide[1] - 1 :])
        recognised = recognise(
            request.formats,
            said,
            request.format_name,
            names=() if wide else dialect.names,
            rows=() if dialect.has_header else dialect.rows[:ROWS_TRIED],
            file=content.file,
            source=content.name,
        )
        if recognised.offer is not None and (
            recognised.form.skip,
            recognised.form.delimiter,
            recognised.form.comment,
            recognised.form.footer,
            recognised.form.names,
        ) != (form.skip, form.delimiter, form.comment, form.footer, form.names):
            dialect = dialect_of(lines, recognised.form, content.name, suggested=suggested)
        dialect = _with_names(dialect, content.name)
        final = recognised if wide is None else None
        return made(
            "delimited text",
            lambda: _delimited(content, encoding, size, dialect),
            encoding=encoding,
            dialect=dialect,
            recognised=final,
            path=None
            if content.container
            or not isinstance(request.target, (str, os.PathLike))
            or str(request.target) in {"-", "/dev/stdin"}
            else Path(request.target),
        )


def _block_size(head: bytes, rows: int) -> int:
    """Return how many bytes have about so many rows, rather less: a block is one chunk then, without a short one after it."""
    lines = head.count(b"\n")
    mean = min(0.97 * len(head) / lines, LARGEST_ROW) if lines else BYTES_PER_ROW
    return min(max(int(rows * mean), LEAST_BLOCK), LARGEST_BLOCK)


def _said(request: SourceRequest) -> Format:
    """Return the user's options for a file as one format."""
    own = Format(
        kind=None if request.kind is None else request.kind.name,
        symbol=request.symbol,
        interval=request.interval,
        account=request.account,
    )
    return merged(request.format, own)


def _is_file(target: Any) -> bool:
    return isinstance(target, (str, os.PathLike)) or callable(getattr(target, "read", None))


def _name_of(target: Any) -> str:
    if isinstance(target, (str, os.PathLike)):
        return str(target)
    name = getattr(target, "name", None) if _is_file(target) else None
    return str(name) if name else f"the {type(target).__name__}"


def _lines(content: Content, encoding: str, size: int) -> Iterator[Rows]:
    with Stream(content, encoding) as stream:
        yield from jsontext.read_lines(stream, size)


def _delimited(content: Content, encoding: str, size: int, dialect: Dialect) -> Iterator[Rows]:
    with Stream(content, encoding) as stream:
        yield from delimited.read(stream, size, dialect)


def _lines_of(text: str, *, cut: bool) -> list[str]:
    lines = io.StringIO(
        text, newline=""
    ).readlines()  # by line ends alone, not by every character that Unicode calls one
    if cut and len(lines) > 1:
        lines.pop()
    return lines[:HEAD_LINES]


def _with_names(dialect: Dialect, source: str) -> Dialect:
    """Return a dialect with one name for each cell of the rows.

    :raises DataError: if there is no header, and no names are given.
    """
    width = len(dialect.rows[0]) if dialect.rows else len(dialect.names)
    if not dialect.names:
        raise DataError(
            f"{source}: the file has no header: the first line is data ({_shown(dialect.rows[0])})",
            hint="name the columns with --names timestamp,open,..., or the format with --as (`fpa formats` lists them)",
            source=source,
        )
    if all(len(row) == len(dialect.names) + 1 and not row[-1] for row in dialect.rows) and dialect.rows:
        return evolve(dialect, names=(*dialect.names, ""))  # a delimiter too many at the end of each line
    if (
        dialect.rows
        and looks_like_data(dialect.rows[0])
        and width != len(dialect.names)
        and all(len(row) == width for row in dialect.rows[:ROWS_TRIED])
    ):
        raise DataError(
            f"{source}: the rows have {width} cells, but there are {len(dialect.names)} names; the first row is {_shown(dialect.rows[0])}",
            hint="give as many names as cells with --names, and --skip 1 to skip the header",
            source=source,
        )
    return dialect


def _shown(row: Sequence[str]) -> str:
    return csv_text(row)[:120]


def csv_text(row: Sequence[str]) -> str:
    """Return cells as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _day(text: str | None) -> int | None:
    return (
        None
        if text is None
        else to_ns(f"{text[:4]}-{text[-4:-2]}-{text[-2:]}" if "-" not in text else text, dates=True) // (86_400 * 10**9)
    )


def _notes(layout: Layout) -> Iterator[str]:
    if layout.words:
        yield layout.words
    if layout.ignored:
        yield f"columns not read: {', '.join(layout.ignored)}"
