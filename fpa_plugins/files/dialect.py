"""The dialect of delimited text: the delimiter, the header, and the lines outside the table."""

from __future__ import annotations

import collections
import csv
import re
from collections.abc import Sequence
from itertools import takewhile

from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_core.formats import Format

__all__ = ["MAX_COLUMNS", "Dialect", "dialect_of", "looks_like_data"]

MAX_COLUMNS = 4_096
"""The largest number of columns; it bounds the memory that a header can use."""

DELIMITERS = ",;\t|"
HEAD_LINES = 60
PREAMBLE = 20
"""The number of lines to search for the header."""

_NUMERIC = re.compile(r"[+-]?[$€£]?\(?(?:\d[\d,.' ]*|\.\d+)(?:[eE][+-]?\d+)?\)?%?", re.ASCII)
_TIME_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\d{1,2}:\d{2}.*|\d{8}[ ;T].*", re.ASCII)
_WORDS = frozenset({"true", "false", "nan", "null", "none", "n/a"})


@frozen
class Dialect:
    """How a delimited text is laid out.

    :ivar delimiter: the delimiter between cells.
    :ivar names: the column names, from the header or as given; empty if there are none.
    :ivar skip: the number of lines before the first row, including the header.
    :ivar preamble: these lines without the header.
    :ivar width: the number of cells of a row; the header may have one less if the last name is missing.
    :ivar comment: the prefix of comment lines.
    :ivar footer: the number of lines to skip at the end.
    :ivar has_header: whether the file has a header.
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int
    preamble: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    comment: str | None = None
    footer: int = 0
    has_header: bool = True


def looks_like_data(cells: Sequence[str]) -> bool:
    """Return whether a line is a row rather than a header: it has numbers or times in it, and a header has none."""
    return any(_is_value(cell.strip()) for cell in cells)


def _is_value(cell: str) -> bool:
    return bool(_NUMERIC.fullmatch(cell) or _TIME_LIKE.fullmatch(cell)) or cell.lower() in _WORDS


def dialect_of(lines: Sequence[str], form: Format, source: str, *, suggested: str | None = None) -> Dialect:
    """Return the dialect of a text that begins with *lines*.

    :param form: the options of the user or a format; parts left open are detected.
    :param suggested: the delimiter that the file name suggests.
    :raises DataError: if the file is empty, or no header can be read.
    """
    kept = [(number, line) for number, line in enumerate(lines) if number >= form.skip and line.strip("\r\n \t\ufeff")]
    if form.comment:
        kept = [(number, line) for number, line in kept if not line.startswith(form.comment)]
    if not kept:
        raise DataError(f"{source}: the file is empty", hint="it must have a header and rows", source=source)
    preamble: list[str] = []
    delimiter = form.delimiter
    first = kept[0][1].strip()
    if not form.skip and (match := re.fullmatch(r"sep=(.)", first)):  # the separator line of spreadsheets
        delimiter = delimiter or match[1]
        preamble.append(first)
        kept = kept[1:]
    if not kept:
        raise DataError(f"{source}: the file is empty", hint="it must have a header and rows", source=source)
    delimiter = delimiter or _delimiter([line for _, line in kept], suggested)
    cells = [(number, _cells(line, delimiter)) for number, line in kept]
    start = 0 if form.skip or form.names else _first_of_table([each for _, each in cells])
    preamble += [line.strip() for _, line in kept[:start]]
    number, header = cells[start]
    try:
        next(csv.reader([kept[start][1]], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{source}: the first line is not a header: {error}", source=source) from error
    if len(header) > MAX_COLUMNS:
        raise DataError(
            f"{source}: {len(header):,} columns; a table of records has at most {MAX_COLUMNS:,}", source=source
        )
    rows = tuple(tuple(each) for _, each in cells[start:])
    if form.names or looks_like_data(header):
        # Without a header, the names come from the user or from the format that matches the rows.
        return Dialect(
            delimiter, form.names, number, tuple(preamble), rows, form.comment, form.footer, has_header=False
        )
    return Dialect(
        delimiter,
        tuple(name.strip().removeprefix("\ufeff") for name in header),
        number + 1,
        tuple(preamble),
        rows[1:],
        form.comment,
        form.footer,
    )


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.removeprefix("\ufeff")], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return line.rstrip("\r\n").split(delimiter)


def _delimiter(lines: Sequence[str], suggested: str | None) -> str:
    """Return the character that splits most lines into the same number of cells, at least two."""
    best, found = (0.0, 0), suggested or ","
    for candidate in DELIMITERS:
        if not any(candidate in line for line in lines):
            continue
        widths = collections.Counter(len(_cells(line, candidate)) for line in lines)
        width, count = max(widths.items(), key=lambda each: (each[1] if each[0] > 1 else 0, each[0]))
        if width < 2:
            continue
        score = (count / len(lines), width)
        if score > best or (candidate == suggested and score[0] == best[0]):
            best, found = score, candidate
    return found


def _first_of_table(rows: Sequence[Sequence[str]]) -> int:
    """Return the first line of the table: the first with the usual width, or the one before if it is a header with a cell or two less."""
    widths = collections.Counter(len(row) for row in rows)
    width = max(widths, key=lambda each: (widths[each], each))
    if width < 2 or len(rows[0]) >= width:
        return 0
    narrower = sum(1 for _ in takewhile(lambda row: len(row) < width, rows[:PREAMBLE]))
    if narrower >= len(rows):
        return 0
    before, at = rows[narrower - 1], rows[narrower]
    # A header may lack the name of the last column; it still counts as the header.
    if looks_like_data(at) and len(before) > 1 and not looks_like_data(before):
        return narrower - 1
    return narrower
