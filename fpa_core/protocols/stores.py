"""The protocol of stores: batches in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from fpa_core.kinds import Kind
from fpa_core.numbers import MAX_NS
from fpa_core.patterns import matches_any
from fpa_core.protocols.capabilities import Capability
from fpa_core.protocols.changes import Changed, ChangeFeed
from fpa_core.protocols.quarantine import QuarantineCount, Quarantined, QuarantineQuery

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Batch",
    "CoverageEntry",
    "InventoryEntry",
    "KindFigures",
    "Query",
    "Sealed",
    "StoreBackend",
    "StoreDescription",
    "StoreStream",
    "StoreTransaction",
    "StoredVersion",
    "WriteCounts",
]


def _end(ns: int | None) -> int | None:
    """Return the end of a range, or None if it is after all times: backends need not count further than 64 bits."""
    return None if ns is None or ns > MAX_NS else ns


@frozen
class Query:
    """Which rows of a kind to read: every condition given must hold.

    :ivar subjects: symbols (or accounts, for snapshots); None for all, or if there are patterns, for those of *patterns* only.
    :ivar patterns: patterns of subjects (see :mod:`fpa_core.patterns`), selected besides those of *subjects*.
    :ivar start_ns: first instant included; ``end_ns``: first instant excluded.
    :ivar equal: further columns, by field name, and the value each must have.
    :ivar batch: only rows that this batch, or a group of this stream, brought.
    :ivar origins: only rows brought by batches whose origin matches one of these patterns; None for any.
    :ivar known_at_ns: rows as they were known at this moment; None for now.
    :ivar limit: at most so many rows, counted from the end when *reverse*.
    :ivar reverse: latest first.
    """

    kind: Kind
    subjects: tuple[str, ...] | None = None
    start_ns: int | None = None
    end_ns: int | None = field(default=None, converter=_end)
    equal: Mapping[str, Any] = field(factory=dict)
    batch: int | None = None
    known_at_ns: int | None = None
    limit: int | None = None
    reverse: bool = False
    patterns: tuple[str, ...] = ()
    origins: tuple[str, ...] | None = None

    @property
    def only(self) -> tuple[str, ...] | None:
        """The subjects that rows can have; None if only the store knows."""
        return None if self.patterns else self.subjects

    def subject_matcher(self) -> Callable[[str], bool]:
        """Return a function that says whether rows of a subject are among those asked for, as far as subjects and patterns say."""
        if self.subjects is None and not self.patterns:
            return lambda _: True
        subjects = frozenset(self.subjects or ())
        return lambda subject: subject in subjects or matches_any(self.patterns, subject)


@frozen
class Batch:
    """One delivery of data: every stored row knows the batch that brought it.

    :ivar id: given by the store; 0 while the batch is being written.
    :ivar origin: where the data came from, as ``files:fxcm``, ``alpaca:sip`` or ``api``.
    :ivar recorded_ns: when the store recorded it: from then on a reader could see its rows. A stream's is when it began.
    :ivar file: name of the file, and ``digest`` its SHA-256, where there is one.
    :ivar undone_by: the batch that undid this one.
    :ivar replays: the earlier batch whose rejected rows this one stores.
    :ivar reading: how its file was read, as JSON text, which a store keeps as it is; None if it was no file.
    :ivar parent: of a group of a stream, the batch of the stream, whose counts are the sums of its groups'; None for any other batch.
    :ivar undoes: the batch that this one undid.
    """

    id: int
    origin: str
    recorded_ns: int
    file: str | None = None
    digest: str | None = None
    read: int = 0
    inserted: int = 0
    duplicate: int = 0
    revised: int = 0
    quarantined: int = 0
    deleted: int = 0
    undone_by: int | None = None
    replays: int | None = None
    reading: str | None = None
    parent: int | None = None
    undoes: int | None = None


@frozen
class WriteCounts:
    """What became of the rows of one write; the three add up to the rows written.

    :ivar repeated: how many of the duplicates repeat a row of the same batch, not an older one.
    """

    inserted: int = 0
    duplicate: int = 0
    revised: int = 0
    repeated: int = 0

    def __add__(self, other: WriteCounts) -> WriteCounts:
        return WriteCounts(
            self.inserted + other.inserted,
            self.duplicate + other.duplicate,
            self.revised + other.revised,
            self.repeated + other.repeated,
        )


@frozen
class CoverageEntry:
    """A range of time of which a source has delivered all it has: without rows, there are none. A range without length marks where collecting began.

    :ivar subject: the symbol; ``interval`` that of bars, None for other kinds.
    :ivar origin: the source, as ``alpaca:iex``.
    :ivar start_ns: the first instant covered; ``end_ns`` the first that is not.
    :ivar rows: how many rows the source delivered for the range.
    :ivar batch: the batch that brought them, of a group of a stream that of the stream; given by the store. If it is undone, the entry does not count.
    """

    kind: str
    subject: str
    interval: str | None
    origin: str
    start_ns: int
    end_ns: int
    rows: int
    batch: int = 0


@frozen
class InventoryEntry:
    """How much of a kind and subject a store holds: rows, and the first and last time."""

    kind: str
    subject: str
    rows: int
    first_ns: int
    last_ns: int

    def __add__(self, other: InventoryEntry) -> InventoryEntry:
        return InventoryEntry(
            self.kind,
            self.subject,
            self.rows + other.rows,
            min(self.first_ns, other.first_ns),
            max(self.last_ns, other.last_ns),
        )


@frozen
class KindFigures:
    """How many rows of a kind a store holds: hot ones, and sealed ones in segments of so many bytes."""

    rows: int
    hot: int
    sealed: int
    segments: int
    segment_bytes: int


@frozen
class StoreDescription:
    """What and where a database is, without a secret.

    :ivar backend: the name of the plugin; ``engine`` the database and its version.
    :ivar path: the file or server; None for a store in memory.
    :ivar schema: the version of its schema.
    :ivar bytes: its size; None if that is not known.
    """

    backend: str
    engine: str
    path: str | None
    schema: int
    bytes: int | None
    kinds: Mapping[str, KindFigures]


@frozen
class Sealed:
    """What sealing did: rows moved from hot tables into segments, segments written, subjects they belong to, and rows of the history that were sealed."""

    rows: int = 0
    segments: int = 0
    subjects: int = 0
    history: int = 0

    def __add__(self, other: Sealed) -> Sealed:
        return Sealed(
            self.rows + other.rows,
            self.segments + other.segments,
            self.subjects + other.subjects,
            self.history + other.history,
        )


@frozen
class StoredVersion:
    """One version of a record with a key: what it was, and from when to when it was read.

    :ivar values: by the kind's columns: decimals as canonical texts, times as nanoseconds.
    :ivar batch: the batch that brought it; ``known_ns`` when it could be read from: the time of that batch, or of the undo that restored it.
    :ivar retired_by: the batch that ended it, ``retired_ns`` when; None while it is current. ``reason`` is ``revised``, ``deleted``, ``undone``,
        or ``outdated`` for a version that came too late to be read at all.
    """

    values: Sequence[Any]
    batch: int
    known_ns: int
    retired_by: int | None = None
    retired_ns: int | None = None
    reason: str | None = None


class StoreTransaction(Protocol):
    """A batch being written: all of it becomes visible and durable when the context ends, or none of it."""

    batch_id: int

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contracts of the kind: multiset maximum for quotes and trades, revisions for the rest.

        The table has the kind's columns; required ones have no null. Decimals come in any form (see :mod:`fpa_core.arrow.columns`), the subject perhaps
        as a dictionary. A batch may be written in any number of calls: counting spans them.
        """
        ...

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        """Add records: the same as :meth:`write`, for the few that make a group of a stream and are not worth a table."""
        ...

    def delete(self, query: Query) -> int:
        """Delete the rows that *query* selects, keep them in the history, and return how many they were."""
        ...

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        """Put rejected records into the quarantine, and return those that were not there already, with their ids.

        The multiset rule applies: of equal records (kind, text and cells) the quarantine keeps as many as the fullest batch had, whatever their
        state now, unless their batch was undone.
        """
        ...

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        """Store rejected rows of the batch that this one replays; *ids* are their open records, in the order of the rows.

        They are written as rows of that batch: its own rows do not count as one of them, and a version of a later batch is kept. So the replayed
        rows and the accepted rows are together what the batch would have stored without rules. A record of which the batch itself stored another
        version stays open, with a finding of :data:`~fpa_core.protocols.VERSION`: which of the two came first is not known.

        :param fixed: whether the rows were changed; they then replace an earlier version.
        """
        ...

    def discard(self, query: QuarantineQuery) -> int:
        """Mark the open records that *query* selects as discarded, and return how many they were."""
        ...

    def reject_again(self, records: Sequence[Quarantined]) -> None:
        """Update the findings of open records that were checked again and rejected."""
        ...

    def undo(self, batch_id: int) -> int:
        """Undo an earlier batch: delete the rows it inserted, restore those it revised or deleted. Return the number of rows changed.

        The records it rejected are marked as undone, and their replays are undone, too. Records whose state it set get back their former state.
        """
        ...

    def cover(self, entries: Sequence[CoverageEntry]) -> None:
        """Enter ranges of time that this batch, with earlier ones, covers into the ledger; their ``batch`` is set."""
        ...

    def finish(self, *, read: int, reading: str | None = None, digest: str | None = None) -> None:
        """Record how many rows were read from the source for this batch, including the rejected ones.

        :param reading: how they were read, as JSON text; the store keeps it as :attr:`Batch.reading`.
        :param digest: the digest of the file, if it was not known when the batch was begun.
        """
        ...

    def announce(self, changed: Changed) -> None:
        """Pass on to other processes, with the commit, what this batch changed; the last call of a batch, in a store with ``NOTIFIES`` only."""
        ...


class StoreStream(Protocol):
    """A batch written in groups, each durable on its own: the records of one connection to a live source."""

    batch_id: int

    def group(self) -> AbstractContextManager[StoreTransaction]:
        """Begin a group; on leaving the context it is committed and durable, on an error nothing of it is left, and the stream can go on.

        Counting spans the groups, as it spans the calls of a transaction. Groups are written one after the other, from any thread.

        :raises DatabaseBusyError: when another writer does not finish in time.
        """
        ...

    def close(self) -> None:
        """Release what the stream holds; what was committed stays."""
        ...


class StoreBackend(Protocol):
    """A database for all kinds. Every method may be called from any thread."""

    capabilities: frozenset[Capability]

    def transaction(
        self, *, origin: str, file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> AbstractContextManager[StoreTransaction]:
        """Begin a batch; on leaving the context it is committed and durable, on an error nothing of it is left.

        :param replays: the batch whose rejected rows it will store.
        :raises DatabaseBusyError: when another writer does not finish in time.
        """
        ...

    def stream(self, *, origin: str) -> StoreStream:
        """Begin a batch that is written in groups.

        :raises DatabaseBusyError: when another writer does not finish in time.
        """
        ...

    def scan(
        self, query: Query, rows: int = 16_384, *, columns: Sequence[str] | None = None, scaled: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows selected, by subject, then time, then arrival, in Arrow batches of at most *rows*.

        The rows are those committed when the first batch is fetched; writers never disturb a scan.

        :param columns: the columns to return, by name and in this order; None for all of the kind.
        :param scaled: decimal columns may also come as integers with their scale (see :mod:`fpa_core.arrow.columns`), where that is less work.
        """
        ...

    def count(self, query: Query) -> int:
        """Count the rows that :meth:`scan` would yield."""
        ...

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row of a subject by the kind's columns, if that is quicker than a scan; else None.

        Called for kinds that are multisets only.
        """
        ...

    def history(self, kind: Kind, key: Mapping[str, Any]) -> Sequence[StoredVersion]:
        """Return every version of the record with a key, by the fields of :attr:`Kind.key`, in the order in which they became known.

        Asked of a store with the capability ``history`` only, and not for multisets.
        """
        ...

    def inventory(self, kind: Kind) -> Sequence[InventoryEntry]:
        """Return one entry for each subject, in their order."""
        ...

    def digits(self, kind: Kind) -> Mapping[str, tuple[int, int]]:
        """Return the most digits before and after the point of each decimal column, by its name, without reading more than that takes.

        There are never more after the point; the digits before it may be an estimate, where only a reading of all rows could tell.
        """
        ...

    def row_ranges(self, query: Query, parts: int) -> Sequence[InventoryEntry]:
        """Return ranges of time of subjects, by subject and first time, that hold all rows of *query*, with about how many each has, without reading them.

        Each subject with rows has a range; ranges of one subject may overlap.

        :param parts: ranges are small enough that the rows can be divided into so many about equal parts between them.
        """
        ...

    def changed_parts(self, kind: Kind, spans: Sequence[tuple[int, int]], after: int, upto: int) -> set[int] | None:
        """Return in which parts of time, at least, rows known at the batch *upto* differ from those known at the batch *after*; None for in all.

        :param spans: ranges of time, both ends included, in order and apart. Part ``2 n + 1`` is span *n*; part 0 is the time before the first span, and
            part ``2 n + 2`` the time after span *n*, to the next one if there is one.
        """
        ...

    def batches(self, *, batch: int | None = None, limit: int | None = None, children: bool = False) -> Sequence[Batch]:
        """Return batches, latest first; the groups of streams only with *children*, or by their ids."""
        ...

    def coverage(self, kind: Kind | None = None, subject: str | None = None) -> Sequence[CoverageEntry]:
        """Return the ledger of fetched ranges, of one kind or symbol or of all, without those of undone batches.

        By kind, symbol, interval (None first), origin, start, and batch.
        """
        ...

    def quarantined(self, query: QuarantineQuery) -> Iterator[Quarantined]:
        """Yield the rejected records that *query* selects, as they are when the first is fetched."""
        ...

    def count_quarantined(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count the rejected records that *query* selects, by batch, kind and state, in this order; its limit is ignored."""
        ...

    def seal(self, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
        """Move single rows into the compact form the store keeps history in, for each subject that has *least* of them or more, and seal the history.

        What reads return does not change. A store without the capability ``seal`` has nothing to do.
        """
        ...

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Return a feed of what others change, which ends when the store is closed; asked of a store with the capability ``NOTIFIES`` only.

        :param on_change: called from a thread of the store, one call at a time, with what a batch of another process, or of another handle, has
            changed; with None if that is unknown and may be all, as after a connection was lost.
        """
        ...

    def describe(self) -> StoreDescription:
        """Return what and where the database is."""
        ...

    def close(self) -> None:
        """Release files and connections; calling it twice does nothing."""
        ...
