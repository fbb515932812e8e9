"""Read CSV and TSV: with a fast parser if the text is plain, else with a careful one; both give exact row positions.

Arrow's parser is several times faster than the standard library's, but rejects a whole block for one bad row, and handles line breaks in quotes
only if told to. So it gets the blocks without quotes or irregular rows, and :mod:`csv` gets the others.
"""

from __future__ import annotations

import collections
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyarrow import csv as arrow_csv

from fpa_core.protocols import Reject
from fpa_plugins.files.dialect import Dialect
from fpa_plugins.files.rows import Rows, clipped
from fpa_plugins.files.stream import Stream

__all__ = ["read"]

MAX_RECORD = 1024 * 1024
"""The largest number of characters to search for the end of a quoted record. Beyond it, the quote counts as not closed."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_UNDECODABLE = re.compile("[\ud800-\udfff]")


def read(stream: Stream, size: int, dialect: Dialect) -> Iterator[Rows]:
    """Yield the rows of *stream* in blocks of about *size* bytes."""
    names, delimiter = dialect.names, dialect.delimiter
    blocks = _rows_only(stream.lines(size), dialect)
    row = 1
    for block in blocks:
        cells = _plain(block, len(names), delimiter)
        if cells is None:
            rows = _Careful(blocks, names, delimiter).read(block, row)
            row += len(rows.positions) + len(rows.rejects)
        else:
            count = len(cells[0])
            rows = Rows(names, cells, range(row, row + count), _PlainText(block))
            row += count
        yield rows.without_empty()


def _rows_only(blocks: Iterator[bytes], dialect: Dialect) -> Iterator[bytes]:
    """Yield the blocks without the lines before the first row, comment lines, and footer lines."""
    left = dialect.skip
    held = b""
    for number, block in enumerate(blocks):
        content = block.removeprefix(_BOM) if number == 0 else block
        while left and content:
            end = _LINE_END.search(content)
            content = content[end.end() :] if end else b""
            left -= 1
        if dialect.comment:
            mark = dialect.comment.encode()
            content = b"".join(line for line in content.splitlines(keepends=True) if not line.startswith(mark))
        if dialect.footer:
            lines = [line for line in (held + content).splitlines(keepends=True) if line.strip()]
            content, held = b"".join(lines[: -dialect.footer]), b"".join(lines[-dialect.footer :])
        if content:
            yield content


def _plain(block: bytes, width: int, delimiter: str) -> list[pa.Array] | None:
    """Parse a block whose rows are all well-formed and have no quotes; return None for other blocks."""
    if b'"' in block or block.startswith(_BOM) or not _is_text(block):
        return None
    names = [str(index) for index in range(width)]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None
    # A table of one block is one chunk, which combine_chunks would copy.
    return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]


def _is_text(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


class _PlainText:
    """The lines of a plain block, which are its rows. They are split on first use."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._lines: list[bytes] | None = None

    def __call__(self, index: int) -> str:
        if self._lines is None:
            self._lines = [line for line in self._block.splitlines() if line]
        return self._lines[index].decode()


class _Careful:
    """Parses a block row by row. A record may extend into the following blocks."""

    def __init__(self, following: Iterator[bytes], names: tuple[str, ...], delimiter: str) -> None:
        self._following = following
        self._names = names
        self._delimiter = delimiter
        self._lines: collections.deque[str] = collections.deque()
        self._taken: list[str] = []
        self._size = 0

    def read(self, block: bytes, first: int) -> Rows:
        """Return the rows of *block*, the first of which has position *first*."""
        self._add(block)
        positions: list[int] = []
        raws: list[str] = []
        rejects: list[Reject] = []
        parsed: list[list[str]] = []
        records = self._records()
        while self._lines:
            row = first + len(positions) + len(rejects)
            self._taken.clear()
            self._size = 0
            try:
                cells = next(records, [])
                problem = None
            except csv.Error as error:
                problem = str(error)
                # Only the line with the stray quote is rejected; the lines after it are parsed again.
                self._lines.extendleft(reversed(self._taken[1:]))
                del self._taken[1:]
                records = self._records()
            else:
                if not cells:  # a blank line
                    continue
                while len(cells) > len(self._names) and not cells[-1]:  # an extra delimiter at the end
                    cells.pop()
                if len(cells) != len(self._names):
                    problem = f"{len(cells)} cells, but the header has {len(self._names)}"
            raw = "".join(self._taken)
            reason, hint = "", None
            if not raw.isascii() and _UNDECODABLE.search(raw):
                problem, reason = "bytes that are not UTF-8", "encoding"
                hint = "give the encoding, such as --encoding cp1252 or latin-1"
            elif problem is not None:
                reason = problem
            if problem is None:
                positions.append(row)
                raws.append(raw)
                parsed.append(cells)
            else:
                rejects.append(Reject(row, clipped(raw), problem, reason=reason, hint=hint))
        columns: Iterable[Sequence[str]] = zip(*parsed, strict=True) if parsed else ((),) * len(self._names)
        arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
        return Rows(self._names, arrays, positions, raws.__getitem__, rejects)

    def _add(self, block: bytes) -> None:
        self._lines.extend(io.StringIO(block.decode(errors="surrogateescape"), newline=""))

    def _records(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        while True:
            if not self._lines:
                block = next(self._following, None)
                if block is None:
                    return
                self._add(block)
            line = self._lines.popleft()
            self._taken.append(line)
            self._size += len(line)
            if self._size > MAX_RECORD and len(self._taken) > 1:
                raise csv.Error("a quote is not closed")
            yield line
