"""The protocol of sources: yield rows in chunks, and report rows that cannot be parsed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict, field, frozen

from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import Kind
from fpa_core.protocols.capabilities import Capability

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "Reject", "Sniffed", "Source", "SourceRequest", "is_shortened", "shortened"]

_END = re.compile(r"… \[[\d,]+ characters, SHA-256 [0-9a-f]{64}\]\Z")


@frozen
class SourceRequest:
    """What to read: a file, table or name, and what it does not specify itself.

    :ivar target: a path, an open file or a table for the source ``files``; other sources define their own targets.
    :ivar start: the start, inclusive, in nanoseconds since 1970; *end* the end, exclusive. None for no bound.
    :ivar format: options of the user for reading files; *format_name* the format they are based on, None to detect it.
    :ivar formats: all formats by name.
    :ivar file: the name of the file, if *target* is rows of a file; else None.
    :ivar now_ns: the current time; later numbers are not taken for times. None for the system clock.
    """

    target: Any
    kind: Kind | None = None
    symbol: str | None = None
    interval: str | None = None
    account: str | None = None
    chunk_rows: int = 65_536
    start: int | None = None
    end: int | None = None
    format: Format = field(factory=Format)
    format_name: str | None = None
    formats: Mapping[str, FormatOffer] = field(factory=dict)
    now_ns: int | None = None
    file: str | None = None


def shortened(text: str, most: int) -> str:
    """Return the text of a row; if it has more than *most* characters, only those, with its length and the SHA-256 of the whole in UTF-8."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:most]}… [{len(text):,} characters, SHA-256 {digest}]"


def is_shortened(text: str) -> bool:
    """Return whether :func:`shortened` left something of a text out."""
    return _END.search(text[-128:]) is not None


@frozen
class Reject:
    """A row that could not be parsed into a record: its position from 1, its text, and the problem.

    :ivar cells: the texts of its cells by column of the kind, which allow it to be fixed; None if the row cannot be split into cells.
    :ivar reason: the problem without the values of the row, to group rows; *hint* the option that fixes it.
    """

    row: int
    raw: str
    problem: str
    cells: Mapping[str, str] | None = None
    reason: str = ""
    hint: str | None = None


@frozen
class Chunk:
    """Consecutive rows of a source.

    :ivar rows: the positions in the source, from 1, of the rows of *table*.
    :ivar progress: the fraction of the source read so far, from 0 to 1; None if unknown.
    :ivar notes: remarks on the source for the user, such as columns that are not read; each is given once.
    :ivar records: the rows as records, if the source has them, since the positions of a snapshot are not in the table; else None.
    :ivar empty: number of empty rows between these, which are not counted as rows.
    :ivar left_out: number of rows of other types between these, which the format ignores.
    :ivar reading: how to read rejected rows again: the columns of the source and the delimiter; JSON-compatible.
    """

    kind: Kind
    table: pa.Table
    rows: Sequence[int]
    rejects: Sequence[Reject] = ()
    progress: float | None = None
    notes: tuple[str, ...] = ()
    records: Sequence[Any] | None = None
    empty: int = 0
    left_out: int = 0
    reading: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Sniffed:
    """How a source would read a table, detected from its first rows.

    :ivar name: the table, as in messages.
    :ivar container: the container of the table, such as a compressed file; ``form`` its form, such as ``delimited text``.
    :ivar encoding: the encoding of a text; ``delimiter`` that of its cells, ``header`` whether it has one, ``preamble`` the lines above it.
    :ivar format: the format detected or given.
    :ivar kind: the kind of its rows; *why* how it was detected.
    :ivar fields: for each field that is read, its columns and the notation of its values.
    :ivar fills: values of fields without a column.
    :ivar ignored: columns that are not read.
    :ivar records: the first rows as they would be stored, as texts by field.
    :ivar rejects: those of the first rows that would be rejected: their number from 1, and the problem.
    :ivar last_line: the last line of a text if it is not a row; else None.
    :ivar problem: why the table cannot be read, and *hint* the option that fixes it; None if it can be read.
    :ivar toml: the same as a table for ``fpa.toml``.
    """

    name: str
    container: str
    form: str
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    preamble: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    format: str | None = None
    kind: str | None = None
    why: str | None = None
    fields: Mapping[str, tuple[str, str]] = field(factory=dict)
    fills: Mapping[str, str] = field(factory=dict)
    ignored: tuple[str, ...] = ()
    records: tuple[Mapping[str, str], ...] = ()
    rejects: tuple[tuple[int, str], ...] = ()
    last_line: str | None = None
    problem: str | None = None
    hint: str | None = None
    toml: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values."""
        return asdict(self)


class Source(Protocol):
    """A source of records."""

    capabilities: frozenset[Capability]

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of the target in chunks, in bounded memory.

        :raises DataError: if the target cannot be read, or its kind is unknown.
        """
        ...
