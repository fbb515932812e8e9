"""What a source must do: yield rows in chunks, and say which rows are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict, field, frozen

from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import Kind
from fpa_core.protocols.capabilities import Capability

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "Reject", "Sniffed", "Source", "SourceRequest"]


@frozen
class SourceRequest:
    """What to read: a file, table or name, and what its own words leave open.

    :ivar target: a path, an open file or a table for the source ``files``; what another source takes it for.
    :ivar start: the first instant wanted, in nanoseconds since 1970; *end* the first that is not. None for no bound.
    :ivar format: how files are read, as far as the user says; *format_name* the format to begin with, None to recognise it.
    :ivar formats: the formats there are, by name.
    :ivar file: the name of the file that rows came from, where *target* is rows of it.
    :ivar now_ns: the present moment, beyond which no number is taken for a time; None for the machine's.
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


@frozen
class Reject:
    """A row that is no record: its position from 1, its text, and why.

    :ivar cells: the texts of its cells by the names of the kind's columns, with which it can be mended; None where they cannot be told apart.
    :ivar reason: the same for every row that is refused for one reason, whatever its values; *hint* the option that mends it.
    """

    row: int
    raw: str
    problem: str
    cells: Mapping[str, str] | None = None
    reason: str = ""
    hint: str | None = None


@frozen
class Chunk:
    """Some rows of a source, in its order.

    :ivar rows: the positions in the source, from 1, of the rows of *table*.
    :ivar progress: how much of the source has been read, from 0 to 1; None where that is not known.
    :ivar notes: what the user should know of the source, such as columns that are not read; each is said once.
    :ivar records: the rows as records, where the source has them: a snapshot's positions are in no table.
    :ivar empty: how many rows between these were wholly empty, and are no rows.
    :ivar left_out: how many rows of other sorts, which the format does not take, stood between these.
    :ivar reading: how refused rows can be read again: the names of the source's columns, and what stands between cells; JSON-able.
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
    """How a source would read one table, found out from its first rows.

    :ivar name: the table, as messages call it.
    :ivar container: what it is packed in; ``form`` what it is, as ``delimited text``.
    :ivar encoding: of a text; ``delimiter`` between its cells, ``header`` whether it has one, ``preamble`` what stands above it.
    :ivar format: the format that was recognised or named.
    :ivar kind: what its rows are; *why* what tells it.
    :ivar fields: for each field that is read: the columns, and how its values are written.
    :ivar fills: what stands in for fields that no column has.
    :ivar ignored: columns that are not read.
    :ivar records: the first rows as they would be stored, as texts by field.
    :ivar rejects: of the first rows those that would be refused: their number from 1, and why.
    :ivar last_line: the last line of a text, where it is no row.
    :ivar problem: why the table cannot be read, and *hint* the option that mends it; None where it can.
    :ivar toml: the same as a table of ``fpa.toml``.
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
        """Return plain JSON-able values."""
        return asdict(self)


class Source(Protocol):
    """Somewhere records come from."""

    capabilities: frozenset[Capability]

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of the target in chunks, in bounded memory.

        :raises DataError: when the target cannot be read at all, or its kind cannot be told.
        """
        ...
