"""The port: what a database must offer for the engine to keep the store's contracts over it.

The methods are set-oriented and without policy: which rows are equal, what a later version replaces and what an undo brings back is decided by
the engine. A backend keeps seven things: the *hot* rows of each kind with their history, sealed segments with their catalog, retired segments with
theirs, batches, the quarantine, the ledger of fetched ranges, and the audit log. Rows are plain tuples (see :mod:`fpa_core.engine.rows`); no method is called once per row.

The engine relies on this:

- Writers are serialised: from the beginning of a :class:`Writer`'s context to its end nobody else writes, in this process or in another.
- So batch ids, which a backend gives in rising order, follow the order of the commits.
- A context is all or nothing: leaving it commits, durably; an exception takes back everything, and the next writer sees nothing of it.
- A :class:`Reader` sees one state of the store from its first answer to its last, however long it is open, and blocks no writer. A Writer sees
  its own changes.
- An iterator that is closed early, or dropped, holds nothing open.
- Errors of the driver are raised as :class:`~fpa_core.exceptions.DatabaseError`: a writer that waited in vain as ``DatabaseBusyError``, damage as
  ``CorruptionError``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from fpa_core.engine.catalog import RetiredSegment, SegmentInfo
from fpa_core.engine.rows import Key, Range, Retirement, Row
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import Kind
from fpa_core.protocols import (
    AuditEntry,
    Batch,
    Capability,
    Changed,
    ChangeFeed,
    CoverageEntry,
    InventoryEntry,
    Problem,
    QuarantineCount,
    Quarantined,
    QuarantineQuery,
    Query,
    Space,
    StoreDescription,
    Tick,
    WriteCounts,
)

__all__ = [
    "AuditReader",
    "AuditWriter",
    "BatchReader",
    "BatchWriter",
    "CoverageReader",
    "CoverageWriter",
    "Database",
    "QuarantineReader",
    "QuarantineStore",
    "Reader",
    "RetiredReader",
    "RetiredWriter",
    "RowReader",
    "RowWriter",
    "SegmentReader",
    "SegmentWriter",
    "Sought",
    "Writer",
    "announce",
    "unsupported",
]


@frozen
class Sought:
    """Rejected records to look for.

    :ivar digest: of the kind, text and cells (see :func:`fpa_core.engine.condensed.digest`).
    :ivar after: only records with a larger id.
    :ivar count: at most so many, the smallest ids first.
    """

    digest: int
    after: int
    count: int


class RowReader(Protocol):
    """The hot rows of each kind, and the history that lies in single rows; see :class:`RetiredReader` for the rest of it."""

    def select(
        self, query: Query, names: Sequence[str], *, known: int | None = None, size: int = 16_384
    ) -> Generator[list[Row], None, None]:
        """Yield the columns *names* of the hot rows that *query* selects, in its order, in lists of at most *size*.

        The order is by :attr:`Shape.order <fpa_core.engine.rows.Shape.order>`, reversed as a whole for ``query.reverse``; ``query.limit`` counts.
        ``query.batch`` selects the rows of that batch and of its children.

        :param known: the rows as they were when this batch was the last: those that it or an earlier one brought (or, for a restored
            row, restored) and that no batch up to it retired. ``query.known_at_ns`` is not looked at.
        """
        ...

    def count(self, query: Query, *, known: int | None = None) -> int:
        """Count the rows that :meth:`select` would yield, its limit aside."""
        ...

    def subjects(self, query: Query, *, known: int | None = None) -> set[str]:
        """Return the subjects of the rows that *query* selects, its limit aside."""
        ...

    def inventory(self, kind: Kind, subject: str | None = None) -> Sequence[InventoryEntry]:
        """Return the number of rows, first and last time of each subject, or of one, by subject."""
        ...

    def spans(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[tuple[int, int] | None]:
        """Return the first and last time of the rows in each range; None if there are none."""
        ...

    def at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the rows under each of *keys*, which are distinct, as whole rows; those of one key by ``seq``."""
        ...

    def history_at(self, kind: Kind, keys: Sequence[Key]) -> Iterable[Row]:
        """Return the history under each of *keys*: whole rows, then the batch that retired each and the reason; by ``seq``, then as they became known."""
        ...

    def history(self, query: Query) -> Generator[list[Row], None, None]:
        """Yield the history of the rows that *query* selects by subject and time, in any order, in lists that are not empty: rows as in :meth:`history_at`."""
        ...

    def retired_by(self, kind: Kind, batch: int) -> Generator[list[Row], None, None]:
        """Yield the history that a batch or its children retired: rows as in :meth:`history_at`, by key, ``seq``, and when they became known."""
        ...

    def retirements(self, kind: Kind, least: int) -> Sequence[Retirement]:
        """Return the retirements of a multiset with at least *least* single rows, by subject, batch and reason. It may read all of the history."""
        ...

    def of_retirement(self, kind: Kind, one: Retirement, limit: int) -> Sequence[Row]:
        """Return the first *limit* rows of a retirement by key, ``seq``, and when they became known: whole rows, without batch and reason."""
        ...


class RowWriter(RowReader, Protocol):
    """The hot rows and their history, within a write transaction."""

    def insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add whole rows whose keys (with ``seq`` for a multiset) are free."""
        ...

    def insert_history(self, kind: Kind, rows: Iterable[Row]) -> None:
        """Add rows to the history: whole rows, then the batch that retires each and the reason."""
        ...

    def retire(self, query: Query, *, by: int, reason: str) -> int:
        """Move the rows that *query* selects, its limit aside, to the history; return how many they are."""
        ...

    def retire_batch(self, kind: Kind, batch: int, *, by: int, reason: str) -> int:
        """Move the rows that a batch or its children brought or restored to the history; return how many they are."""
        ...

    def retire_keys(self, kind: Kind, keys: Sequence[Key], *, by: int, reason: str) -> None:
        """Move the rows with these keys (with ``seq`` for a multiset) to the history."""
        ...

    def delete_ranges(self, kind: Kind, ranges: Sequence[Range]) -> int:
        """Remove the rows in ranges for good, since they are sealed now; return how many they were."""
        ...

    def delete(self, query: Query) -> int:
        """Remove the rows that *query* selects by subject, time and value for good; return how many they were."""
        ...

    def delete_retirement(self, kind: Kind, one: Retirement, last_ns: int) -> int:
        """Remove the rows of a retirement up to a time, since they are sealed now; return how many they were."""
        ...

    def delete_history(self, query: Query) -> int:
        """Remove the history of the rows that *query* selects by subject, time and value for good; return how many rows it had."""
        ...


class SegmentReader(Protocol):
    """Sealed segments and their catalog. Segments of one kind and subject never overlap in time."""

    def find(self, query: Query) -> Generator[SegmentInfo, None, None]:
        """Yield the segments that may hold rows of *query*, by subject and time, both backwards for ``query.reverse``.

        None if its time is empty. Conditions on batches and further columns may be ignored.
        """
        ...

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[SegmentInfo]]:
        """Return the segments that share time with each range, by time."""
        ...

    def last_times(self, kind: Kind, subjects: Sequence[str]) -> Sequence[int | None]:
        """Return the last sealed time of each subject; None if it has no segment."""
        ...

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        """Return the number of sealed rows, first and last time of each subject, by subject."""
        ...

    def contents(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Return the bytes of segments, retired or not: no two share an id; one that is missing is left out."""
        ...

    def heads(self, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first *size* bytes of segments, which must exist, in any order, without reading the rest if the database can."""
        ...


class SegmentWriter(SegmentReader, Protocol):
    """Segments, within a write transaction."""

    def add(self, segments: Sequence[tuple[SegmentInfo, bytes]]) -> None:
        """Add segments; the store gives the ids."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Remove segments."""
        ...


class RetiredReader(Protocol):
    """Retired segments: sealed rows of the history. They overlap in time as they like, but no reader who asks for no history meets them.

    Their bytes are read by :meth:`SegmentReader.contents`.
    """

    def find(self, query: Query, *, known: int | None = None) -> Generator[RetiredSegment, None, None]:
        """Yield the retired segments that may hold rows of *query*, by subject and last time, both backwards for ``query.reverse``.

        None if its time is empty. Conditions on batches and further columns may be ignored.

        :param known: only segments that may hold rows which were known when this batch was the last: with rows of that or an earlier batch,
            and retired by a later one.
        """
        ...

    def meeting(self, kind: Kind, ranges: Sequence[Range]) -> Sequence[Sequence[RetiredSegment]]:
        """Return the retired segments that share time with each range, by last time."""
        ...

    def retired_by(self, kind: Kind, batch: int) -> Sequence[RetiredSegment]:
        """Return the segments that a batch or its children retired, by subject and last time."""
        ...


class RetiredWriter(RetiredReader, Protocol):
    """Retired segments, within a write transaction."""

    def retire(self, ids: Sequence[int], *, by: int, reason: str) -> None:
        """Move segments to the retired ones, with their ids, and without touching their bytes."""
        ...

    def add(self, segments: Sequence[tuple[RetiredSegment, bytes]]) -> Sequence[int]:
        """Add retired segments; return the ids that the store gives them."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Remove retired segments for good."""
        ...


class BatchReader(Protocol):
    """Batches: what each brought, and what became of it."""

    def find(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first: one by its id, or all; children only with *children*."""
        ...

    def scan(self, size: int = 4_096) -> Generator[Sequence[Batch], None, None]:
        """Yield all batches, children too, by id, in lists of at most *size*."""
        ...

    def family(self, query: Query) -> Sequence[int]:
        """Return the ids, in order, that ``query.batch`` (with its children) and ``query.origins`` allow; one of them is given."""
        ...

    def last_known(self, known_at_ns: int) -> int:
        """Return the last batch recorded at a time or before; 0 if there is none."""
        ...

    def undone(self, ids: Sequence[int]) -> Mapping[int, int]:
        """Return which of these batches are undone, each with the batch that undid it."""
        ...

    def children_among(self, parent: int, ids: Sequence[int]) -> set[int]:
        """Return which of these batches are children of *parent*."""
        ...

    def replays_of(self, batch: int, *, undone_by: int | None = None) -> Sequence[int]:
        """Return the batches that replay rejected rows of *batch* and are not undone, or are undone by a certain batch; latest first."""
        ...


class BatchWriter(BatchReader, Protocol):
    """Batches, within a write transaction."""

    def add(self, batch: Batch) -> int:
        """Add a batch and return its id, which is larger than every earlier one; ``batch.id`` is not looked at."""
        ...

    def record(
        self, batch: int, *, recorded_ns: int | None, read: int, counts: WriteCounts, quarantined: int, deleted: int
    ) -> bool:
        """Set when a batch was recorded, unless it is None, and add to its counts; return whether it exists and is not undone."""
        ...

    def set_recorded(self, batch: int, recorded_ns: int) -> None:
        """Correct when a batch was recorded."""
        ...

    def set_file(self, batch: int, *, digest: str | None, reading: str | None) -> None:
        """Keep the digest of a batch's file and how it was read; what is None stays as it is."""
        ...

    def set_undoes(self, batch: int, undoes: int) -> None:
        """Keep which batch a batch undoes."""
        ...

    def set_undone(self, batch: int, by: int | None) -> None:
        """Mark a batch and its children as undone by another batch; None takes the mark away."""
        ...

    def replace_all(self, batches: Iterable[Batch]) -> None:
        """Put *batches*, which come by id, with all that is known of them in the place of those that are there."""
        ...


class QuarantineReader(Protocol):
    """Rejected records."""

    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        """Yield records, in the order that *query* asks for."""
        ...

    def count(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count records by batch, kind and state, in this order; the limit of *query* does not count."""
        ...

    def like(self, sought: Sequence[Sought], *, upto: int, root: int) -> Iterable[tuple[int, Quarantined]]:
        """Return, with their digests, records that are sought: those with an id up to *upto* that are not undone.

        *sought* names each digest once. Records of the batch *root* do not count. Findings and times may be left out.
        """
        ...

    def last_id(self) -> int:
        """Return the largest id of a record; 0 if there is none."""
        ...

    def replayed_before(self, ids: Sequence[int], *, batch: int) -> Mapping[int, int]:
        """Return how often records equal to some of *ids* were replayed by other batches than *batch*.

        Of several equal records among *ids* only the first is named, and only with a count above 0.
        """
        ...

    def matches_of(self, batch: int) -> Iterable[tuple[str, str, int, int, int]]:
        """Return what :meth:`QuarantineStore.keep_matches` kept for a batch: kind, subject, time, ``seq`` and batch of each row."""
        ...

    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        """Yield what was kept for all batches, in any order: the batch, then what :meth:`matches_of` returns."""
        ...

    def earlier(self) -> Generator[Sequence[tuple[Quarantined, int]], None, None]:
        """Yield what records were before batches changed them, in any order, each with the batch that did."""
        ...


class QuarantineStore(QuarantineReader, Protocol):
    """Rejected records, within a write transaction."""

    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        """Add records, each with its digest; ids and batches are set."""
        ...

    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        """Give the records of *query* a state, keep what they were in their history, and return how many they are."""
        ...

    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        """Give open records other findings, and keep what they were in their history; those that have these findings are left as they are."""
        ...

    def restore_states(self, batches: Sequence[int], *, by: int) -> None:
        """Give the records that *batches* brought or changed what they are by the batches that count: those neither undone nor themselves an undo.

        A record is undone if the batch that brought it is. Else it has the state and the findings that the last batch that counts gave it, or those
        that it came with. What it was stays in its history; one that is so already is left as it is.
        """
        ...

    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        """Keep which stored rows a batch was recognised as, at times at which it also has rejected rows."""
        ...

    def replace_all(
        self,
        records: Iterable[Sequence[tuple[int, Quarantined]]],
        earlier: Iterable[Sequence[tuple[Quarantined, int]]],
        matches: Iterable[Sequence[tuple[int, str, str, int, int, int]]],
    ) -> None:
        """Put records, as :meth:`add` takes them, what they were, and what was kept for batches in the place of all that is there."""
        ...


class CoverageReader(Protocol):
    """The ledger of ranges of time that sources have delivered. An undo is seen by the state of the batch."""

    def find(self, kind: str | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        """Return entries whose batch is not undone, by kind, subject, interval (None first), origin, start and batch."""
        ...

    def of_batch(self, batch: int) -> Sequence[CoverageEntry]:
        """Return the entries of a batch, in any order."""
        ...

    def scan(self) -> Generator[Sequence[CoverageEntry], None, None]:
        """Yield all entries, those of undone batches too, in any order."""
        ...


class CoverageWriter(CoverageReader, Protocol):
    """The ledger, for whoever may change it."""

    def replace(self, batch: int, entries: Sequence[CoverageEntry]) -> None:
        """Put *entries*, whose batch is set, in the place of those of a batch."""
        ...

    def replace_all(self, entries: Iterable[CoverageEntry]) -> None:
        """Put *entries* in the place of those of all batches."""
        ...


class AuditReader(Protocol):
    """The audit log."""

    def last(self) -> AuditEntry | None:
        """Return the last entry; None if there is none."""
        ...

    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        """Yield the entries from the number *first* on, by number, in lists of at most *size*."""
        ...


class AuditWriter(AuditReader, Protocol):
    """The audit log, within a write transaction. Entries are added at the end; nothing changes or removes one."""

    def add(self, entry: AuditEntry) -> None:
        """Add an entry, whose number is free."""
        ...


class Reader(Protocol):
    """One state of the store."""

    @property
    def rows(self) -> RowReader:
        """Hot rows and their history."""
        ...

    @property
    def segments(self) -> SegmentReader:
        """Sealed segments."""
        ...

    @property
    def retired(self) -> RetiredReader:
        """Retired segments."""
        ...

    @property
    def batches(self) -> BatchReader:
        """Batches."""
        ...

    @property
    def quarantine(self) -> QuarantineReader:
        """Rejected records."""
        ...

    @property
    def coverage(self) -> CoverageReader:
        """The ledger of fetched ranges."""
        ...

    @property
    def audit_log(self) -> AuditReader:
        """The audit log."""
        ...


class Writer(Protocol):
    """One state of the store, and the only one who may change it. Whatever takes a :class:`Reader` takes a Writer."""

    @property
    def rows(self) -> RowWriter:
        """Hot rows and their history."""
        ...

    @property
    def segments(self) -> SegmentWriter:
        """Sealed segments."""
        ...

    @property
    def retired(self) -> RetiredWriter:
        """Retired segments."""
        ...

    @property
    def batches(self) -> BatchWriter:
        """Batches."""
        ...

    @property
    def quarantine(self) -> QuarantineStore:
        """Rejected records."""
        ...

    @property
    def coverage(self) -> CoverageWriter:
        """The ledger of fetched ranges."""
        ...

    @property
    def audit_log(self) -> AuditWriter:
        """The audit log."""
        ...


class Database(Protocol):
    """A store's tables."""

    capabilities: frozenset[Capability]

    def reader(self, operation: str) -> AbstractContextManager[Reader]:
        """Open one state of the store; *operation* says in errors what was being done."""
        ...

    def writer(self, operation: str) -> AbstractContextManager[Writer]:
        """Wait for the right to write, and open the latest state.

        :raises DatabaseBusyError: if another writer does not finish in time, or this thread is already writing.
        """
        ...

    def version(self) -> object | None:
        """Return, while a writer is open, what differs after anyone else has committed; None if that is not known."""
        ...

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of a multiset's last row, by the kind's columns, in one step; None if it is not found so."""
        ...

    def describe(self) -> StoreDescription:
        """Return what and where the database is, without a secret."""
        ...

    def announce(self, changed: Changed) -> None:
        """Pass on to other processes what the open writer changed, if it is committed; with the capability NOTIFIES."""
        ...

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Return a feed of what others change; see :meth:`fpa_core.protocols.StoreBackend.follow`; with the capability NOTIFIES."""
        ...

    # Maintenance

    def inspect(self) -> Iterator[Problem]:
        """Yield what is wrong with the database below its tables: pages, indexes, the schema, references."""
        ...

    def salvager(self, operation: str) -> AbstractContextManager[Writer]:
        """Open the latest state as :meth:`writer` does, to take out what is damaged: damaged pages are read as they are."""
        ...

    def copy_to(self, path: Path, tick: Tick) -> None:
        """Write one state of the store to a new or an empty file, while others write; with the capability BACKUP."""
        ...

    def space(self) -> Space:
        """Return the size of the store; with the capability COMPACT."""
        ...

    def compact(self) -> None:
        """Give back the space that nothing uses; with the capability COMPACT. Killed at any point, nothing is lost."""
        ...

    def grants(self, role: str, *, write: bool) -> Sequence[str]:
        """Return the statements that :meth:`grant` would run; with the capability ROLES."""
        ...

    def grant(self, role: str, *, write: bool) -> Sequence[str]:
        """Grant a role of the server the right to read the store, and to write to it if *write*, and no more; return the statements; with the capability ROLES.

        The role is made if there is none. All of it is done, or nothing.

        :raises DatabaseError: if the role could do more or less in the end.
        """
        ...

    def is_open(self) -> bool:
        """Return whether this process may still use it."""
        ...

    def close(self) -> None:
        """Release files and connections; calling it twice does nothing."""
        ...


def announce(database: Database, changed: Changed) -> None:
    """Pass on to other processes what the open writer changed, if the database can: for what is changed outside a batch."""
    if Capability.NOTIFIES in database.capabilities:
        database.announce(changed)


def unsupported(store: str, capability: Capability) -> DatabaseError:
    """Return the error of an operation whose capability a store does not declare."""
    return DatabaseError(
        f"the store {store!r} does not offer {capability.value!r}",
        hint="use the tools of its own server, or copy the records to a store that does",
        operation=str(capability.value),
    )
