"""What a lake must do: keep tables of files of rows, and replace some of a table's files by others at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Lake", "LakeFile", "LakeState", "LakeTable"]


@frozen
class LakeFile:
    """A file of rows.

    :ivar path: where it is.
    :ivar first_ns: the first time of its rows, and ``last_ns`` the last.
    :ivar digest: of its rows (:class:`fpa_core.arrow.digest.RowDigest`); None if it was not looked up.
    """

    path: str
    rows: int
    first_ns: int
    last_ns: int
    digest: str | None = None


@frozen
class LakeState:
    """What a table holds, as its last publisher noted it.

    :ivar batch: the last batch of the store that it knows, and ``recorded_ns`` when that was recorded.
    :ivar plan: the name of the publication.
    :ivar version: the version of the table that this made; None if the table has never held a file.
    """

    batch: int
    recorded_ns: int
    plan: str
    version: str | None


class LakeTable(Protocol):
    """A table. A file that was written is no part of it before it is committed."""

    name: str

    @property
    def schema(self) -> pa.Schema:
        """The columns, and their types."""
        ...

    def state(self) -> LakeState | None:
        """Return what was noted with the last commit; None if there was none."""
        ...

    def version(self) -> str | None:
        """Return the present version, whoever made it; None if the table has never held a file."""
        ...

    def files(self) -> Sequence[LakeFile]:
        """Return the files of the present version, by their first time."""
        ...

    def load_plan(self) -> str | None:
        """Return the text that was kept for a publication that has not ended."""
        ...

    def save_plan(self, text: str) -> None:
        """Keep a text, in the place of an earlier one."""
        ...

    def drop_plan(self) -> None:
        """Forget the text, if there is one."""
        ...

    def staged(self, name: str) -> LakeFile | None:
        """Return a file that was written completely, with its digest; None if it is not there, or incomplete."""
        ...

    def write(self, name: str, batches: Iterable[pa.RecordBatch]) -> LakeFile | None:
        """Write rows to a file, in the place of an earlier one of this name; None if there are no rows."""
        ...

    def discard(self, name: str) -> None:
        """Remove a file that was not committed, if it is there."""
        ...

    def read(self, file: LakeFile) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file, in order."""
        ...

    def commit(self, add: Sequence[LakeFile], remove: Sequence[LakeFile], state: LakeState) -> None:
        """Replace files by others, and note the state, with the new version, at once or not at all.

        :raises DatabaseBusyError: if the table has another version than it had when this object read it.
        """
        ...


class Lake(Protocol):
    """A place for tables."""

    def table(self, name: str, schema: pa.Schema) -> LakeTable:
        """Return a table, which is made if it does not exist."""
        ...

    def has(self, name: str) -> bool:
        """Return whether there is a table of that name."""
        ...

    def close(self) -> None:
        """Release connections; calling it twice does nothing."""
        ...
