"""The source ``files``: finds out what a file is, and yields its records in chunks."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from attrs import evolve, frozen

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, Prepare, merged
from fpa_core.numbers import to_ns
from fpa_core.protocols import Capability, Chunk, Sniffed, SourceRequest
from fpa_plugins.files import columnar, delimited, jsontext, jsonvalues, workbook
from fpa_plugins.files.cells import texts_of
from fpa_plugins.files.containers import HEAD, Content, contents_of
from fpa_plugins.files.convert import Converter
from fpa_plugins.files.dialect import HEAD_LINES, Dialect, dialect_of, looks_like_data
from fpa_plugins.files.layout import Layout, Reading, layout_of
from fpa_plugins.files.recognise import Recognised, recognise, with_file_name
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.sniffing import described
from fpa_plugins.files.stream import Stream, decoded_head, encoding_of
from fpa_plugins.files.unpivot import Wide, stacked_header, tuple_names

__all__ = ["FilesSource"]

BYTES_PER_ROW = 48
"""About what a quote takes in a CSV file; it turns the rows wanted in a chunk into bytes to read at once."""

SHOWN_ROWS = 20
SNIFFED_ROWS = 5_000
"""Rows that are looked at to say how a file is read."""

_SUGGESTED = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


@frozen
class _Table:
    """One table of a file, ready to be read.

    :ivar kind: the form it is in, for people; ``encoding`` and ``dialect`` of a text.
    :ivar path: the file itself, where it is one that is not packed.
    :ivar rows: yields its rows, anew each time it is called.
    """

    name: str
    file: str
    kind: str
    container: str
    rows: Callable[[], Iterator[Rows]]
    position: Callable[[], float]
    encoding: str | None = None
    dialect: Dialect | None = None
    recognised: Recognised | None = None
    path: Path | None = None


class FilesSource:
    """Reads delimited texts, JSON, Parquet, Arrow and workbooks, plain or packed, and the tables of Python's data libraries.

    :param clock: the present moment, where a request does not say it.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the records of ``request.target``, in the order of its rows: a path, ``-``, an open file, or a table.

        The symbol, interval and account of the request stand in where the rows name none.

        :raises DataError: when it cannot be read, its kind cannot be told, or it has no rows.
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
        """Return how each table of the target would be read, from its first rows; nothing else of it is looked at.

        :raises DataError: when it cannot be opened, or is no table at all.
        """
        said = _said(request)
        return [found for table in self._tables(request, said) for found in self._sniffed(table, request, said)]

    def _sniffed(self, table: _Table, request: SourceRequest, said: Format) -> Iterator[Sniffed]:
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

    def _chunks(self, table: _Table, request: SourceRequest, said: Format) -> Iterator[Chunk]:
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
        self, table: _Table, request: SourceRequest, said: Format, whole: _Table | None = None
    ) -> Iterator[tuple[Layout, Rows]]:
        """Yield the rows of a table with the layout that they have; rows of several formats apart from each other.

        :param whole: the table of which *table* is the beginning, for what the beginning leaves open.
        """
        layouts: dict[str, Layout] = {}
        formats = _Formats(table, request, said)
        for block in table.rows():
            for recognised, rows in formats.of(block):
                key = recognised.name or ""
                layout = layouts.get(key)
                if layout is None or layout.names != rows.names:
                    # Every object of JSON Lines may bring a new name; the kind stays what the first ones made it.
                    reading = self._reading(whole or table, request, recognised, formats)
                    layout = layouts[key] = layout_of(rows, reading, layout)
                yield layout, rows

    def _reading(self, table: _Table, request: SourceRequest, recognised: Recognised, formats: _Formats) -> Reading:
        return Reading(
            form=recognised.form,
            format_name=recognised.name,
            kind=request.kind,
            source=table.name,
            file=table.file,
            now_ns=self._clock() if request.now_ns is None else request.now_ns,
            date=_day(recognised.date),
            more=lambda: (rows for block in table.rows() for _, rows in formats.of(block)),
        )

    # What the target is

    def _tables(self, request: SourceRequest, said: Format) -> Iterator[_Table]:
        """Yield the tables within the target."""
        target = request.target
        if _is_file(target):
            for content in contents_of(target):
                yield self._table(content, request, said)
            return
        name = request.file or _name_of(target)
        if hasattr(target, "__arrow_c_stream__"):
            yield _Table(
                name,
                name,
                type(target).__name__,
                "",
                lambda: columnar.read_table(target, name, request.chunk_rows),
                lambda: 1.0,
            )
            return
        yield _Table(name, name, "records", "", lambda: _of_python(target, name, request.chunk_rows), lambda: 1.0)

    def _table(self, content: Content, request: SourceRequest, said: Format) -> _Table:
        def made(kind: str, rows: Callable[[], Iterator[Rows]], **more: Any) -> _Table:
            return _Table(content.name, content.file, kind, content.container, rows, content.position, **more)

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

    def _text(self, content: Content, request: SourceRequest, said: Format, made: Callable[..., _Table]) -> _Table:
        """Return the table of a text: JSON by its first character, else delimited."""
        head = content.head
        named = request.formats.get(request.format_name or "")
        form = said if named is None else merged(named.format, said)
        encoding = encoding_of(head, form.encoding, content.name)
        text = decoded_head(head, encoding)
        size = min(max(request.chunk_rows * BYTES_PER_ROW, 1 << 16), 1 << 23)
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
            rows=() if dialect.has_header else dialect.rows[:SHOWN_ROWS],
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


class _Formats:
    """Finds the format of each block of a table, and parts its rows where they have several."""

    def __init__(self, table: _Table, request: SourceRequest, said: Format) -> None:
        self._table = table
        self._request = request
        self._said = said
        self._found: Recognised | None = table.recognised
        self._wide: Wide | None = None
        self._skipped = 0

    def of(self, block: Rows) -> Iterator[tuple[Recognised, Rows]]:
        """Yield the rows of *block* with their format."""
        wide = tuple_names(block.names)
        for plain in (block,) if wide is None else wide.rows(block):
            if self._found is None:
                self._found = self._recognised(plain)
            recognised = self._found
            prepare = None if recognised.offer is None else recognised.offer.prepare
            named = _named_columns(plain, recognised.form)
            rows = named if prepare is None else self._prepared(prepare, named)
            if recognised.form.divide_by:
                yield from self._parts(recognised, rows)
            else:
                yield recognised, self._wanted(recognised.form, rows)

    def _prepared(self, prepare: Prepare, rows: Rows) -> Rows:
        """Return rows as a format's own function changes them.

        :raises DataError: when they are not as it takes them to be.
        """
        try:
            prepared: Rows = prepare(rows, self._said)
        except DataError as error:
            if error.source is not None:
                raise
            raise DataError(f"{self._table.name}: {error.message}", hint=error.hint, source=self._table.name) from error
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{self._table.name}: the rows are not as the format has them: {error}",
                hint="say how the file is read with options, or with another format: --as NAME",
                source=self._table.name,
            ) from error
        return prepared

    def _recognised(self, rows: Rows) -> Recognised:
        bare = all(name == str(place) for place, name in enumerate(rows.names))
        return recognise(
            self._request.formats,
            self._said,
            self._request.format_name,
            names=() if bare else rows.names,
            rows=_texts_of_rows(rows) if bare else (),
            file=self._table.file,
            source=self._table.name,
        )

    def _parts(self, recognised: Recognised, rows: Rows) -> Iterator[tuple[Recognised, Rows]]:
        """Yield the rows of each format apart, by the column that tells it."""
        form = recognised.form
        if form.divide_by not in rows.names:
            raise DataError(
                f"{self._table.name}: there is no column {form.divide_by!r}, which tells what a row is",
                source=self._table.name,
            )
        words = texts_of(rows.cells[rows.names.index(form.divide_by)])[0].to_pylist()
        rejects: Sequence[Any] = rows.rejects
        known = {word for word in dict.fromkeys(words) if form.parts.get(word or "") in self._request.formats}
        left_out = sum(word not in known for word in words)
        for word in dict.fromkeys(word for word in words if word in known):
            offer = self._request.formats[form.parts[word]]
            chosen = [index for index, each in enumerate(words) if each == word]
            part = evolve(rows.take(chosen), rejects=rejects, empty=0, left_out=left_out)
            rejects, left_out = (), 0
            yield with_file_name(merged(offer.format, self._said), offer, self._table.file), part

    def _wanted(self, form: Format, rows: Rows) -> Rows:
        """Return the rows that a format takes; the others are of something else."""
        if not form.only:
            return rows
        kept = list(range(len(rows.positions)))
        for name, values in form.only.items():
            if name in rows.names:
                words = texts_of(rows.cells[rows.names.index(name)])[0].to_pylist()
                kept = [index for index in kept if words[index] in values]
        gone = len(rows.positions) - len(kept)
        return evolve(rows.take(kept), left_out=gone) if gone else rows


def _said(request: SourceRequest) -> Format:
    """Return what the user says of a file, in one place."""
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
    """Return a dialect whose names fit the rows.

    :raises DataError: when there is no header, and nobody says the names.
    """
    width = len(dialect.rows[0]) if dialect.rows else len(dialect.names)
    if not dialect.names:
        raise DataError(
            f"{source}: there is no header: the first line is data already ({_shown(dialect.rows[0])})",
            hint="name the columns with --names timestamp,open,..., or the format with --as (`fpa formats` lists them)",
            source=source,
        )
    if all(len(row) == len(dialect.names) + 1 and not row[-1] for row in dialect.rows) and dialect.rows:
        return evolve(dialect, names=(*dialect.names, ""))  # a delimiter too many at the end of each line
    if (
        dialect.rows
        and looks_like_data(dialect.rows[0])
        and width != len(dialect.names)
        and all(len(row) == width for row in dialect.rows[:SHOWN_ROWS])
    ):
        raise DataError(
            f"{source}: the rows have {width} cells and there are {len(dialect.names)} names; the first is {_shown(dialect.rows[0])}",
            hint="a name is missing or too many: say them with --names, and --skip 1 to pass over the header",
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


def _named_columns(rows: Rows, form: Format) -> Rows:
    """Return rows that came without names under those of the format."""
    bare = all(name == str(place) for place, name in enumerate(rows.names))
    return evolve(rows, names=form.names) if bare and form.names and len(form.names) == len(rows.names) else rows


def _texts_of_rows(rows: Rows) -> list[list[str]]:
    columns = [texts_of(cells.slice(0, SHOWN_ROWS))[0].to_pylist() for cells in rows.cells]
    return [[text or "" for text in row] for row in zip(*columns, strict=True)]


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


def _of_python(target: Any, name: str, chunk_rows: int) -> Iterator[Rows]:
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
            raise DataError(f"{name}: it cannot be read as a table: {error}", source=name) from error
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
