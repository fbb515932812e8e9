"""What a source must do: yield rows in chunks, and say which rows are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from fpa_core.protocols.capabilities import Capability
from fpa_core.records import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "Reject", "Source", "SourceRequest"]


@frozen
class SourceRequest:
    """What to read: a file or address, and what its own words leave open."""

    target: str
    kind: Kind | None = None
    symbol: str | None = None
    interval: str | None = None
    account: str | None = None
    chunk_rows: int = 65_536


@frozen
class Reject:
    """A row that is no record: its position from 1, its text, and why.

    :ivar cells: the texts of its cells by the names of the kind's columns, with which it can be mended; None where they cannot be told apart.
    """

    row: int
    raw: str
    problem: str
    cells: Mapping[str, str] | None = None


@frozen
class Chunk:
    """Some rows of a source, in its order.

    :ivar rows: the positions in the source, from 1, of the rows of *table*.
    :ivar progress: how much of the source has been read, from 0 to 1; None where that is not known.
    :ivar notes: what the user should know of the source, such as columns that are not read; each is said once.
    :ivar records: the rows as records, where the source has them: a snapshot's positions are in no table.
    """

    kind: Kind
    table: pa.Table
    rows: Sequence[int]
    rejects: Sequence[Reject] = ()
    progress: float | None = None
    notes: tuple[str, ...] = ()
    records: Sequence[Any] | None = None


class Source(Protocol):
    """Somewhere records come from."""

    capabilities: frozenset[Capability]

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of the target in chunks, in bounded memory.

        :raises DataError: when the target cannot be read at all, or its kind cannot be told.
        """
        ...
