"""What a backend must be able to do: the protocols behind DataStore, DataCache, DataValidator, and the sources of data.

Policy lives in core, mechanism in backends: a backend is small, and says by its :class:`Capability` set what it can do beyond the least.
Implementing a protocol needs no import from here save the value types; the classes are matched by shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, TypeAlias, runtime_checkable

from attrs import define, field, frozen

from fpa_core.records import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MISS",
    "Batch",
    "CacheBackend",
    "Capability",
    "Chunk",
    "Entry",
    "Extent",
    "Finding",
    "Miss",
    "Query",
    "Quarantined",
    "Reject",
    "RuleClass",
    "Severity",
    "Source",
    "SourceRequest",
    "StoreBackend",
    "StoreTransaction",
    "Tally",
    "Usage",
    "ValidatorBackend",
    "Verdict",
    "WriteCounts",
]


class Capability(StrEnum):
    """What a backend can do beyond its protocol's least. A kit tests what is declared, and skips what is not."""

    PERSISTENT = "persistent"
    """Data outlive the process."""
    SHARED = "shared"
    """Several processes may use the same data at once."""
    STORES_BYTES = "stores_bytes"
    """A cache that keeps bytes: DataCache encodes values before they reach it."""
    KNOWN_AT = "known_at"
    """A store that answers as of an earlier moment of knowledge (`Query.known_at_ns`)."""
    UNDO = "undo"
    """A store that can take a whole batch back."""


# Stores


class _Miss(Enum):
    MISS = "MISS"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = _Miss.MISS
"""Not in the cache; a stored None is a value. It is falsy, and the only member of its type."""

Miss: TypeAlias = Literal[_Miss.MISS]
"""The type of :data:`MISS`, for annotations such as ``Entry | Miss``."""


@frozen
class Query:
    """Which rows of a kind to read: every condition given must hold.

    :ivar subjects: symbols (or accounts, for snapshots); None for all.
    :ivar start_ns: first instant included; ``end_ns``: first instant excluded.
    :ivar equal: further columns, by field name, and the value each must have.
    :ivar batch: only rows that this batch brought.
    :ivar known_at_ns: rows as they were known at this moment; None for now.
    :ivar limit: at most so many rows, counted from the end when *reverse*.
    :ivar reverse: latest first.
    """

    kind: Kind
    subjects: tuple[str, ...] | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    equal: Mapping[str, Any] = field(factory=dict)
    batch: int | None = None
    known_at_ns: int | None = None
    limit: int | None = None
    reverse: bool = False


@frozen
class Batch:
    """One delivery of data: every stored row knows the batch that brought it.

    :ivar id: given by the store; 0 while the batch is being written.
    :ivar source: where the data came from, as ``files:fxcm``, ``alpaca:sip`` or ``api``.
    :ivar recorded_ns: when the store recorded it.
    :ivar file: name of the file, and ``digest`` its SHA-256, where there is one.
    :ivar undone_by: the batch that took this one back.
    """

    id: int
    source: str
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
class Extent:
    """How much of a kind and subject a store holds: rows, and the first and last time."""

    kind: str
    subject: str
    rows: int
    first_ns: int
    last_ns: int


@frozen
class Quarantined:
    """A record that validation, or its own shape, kept out of the tables.

    :ivar raw: the record as JSON, or the line of the file as it stood.
    :ivar findings: why, as plain mappings (see :meth:`fpa_core.protocols.Finding.as_dict`).
    :ivar row: its position in the source, from 1.
    :ivar state: ``open`` until it is dealt with.
    """

    kind: str
    subject: str | None
    ts_ns: int | None
    row: int | None
    raw: str
    findings: tuple[Mapping[str, Any], ...]
    state: str = "open"
    id: int = 0
    batch: int = 0


class StoreTransaction(Protocol):
    """A batch being written: all of it becomes visible and durable when the context ends, or none of it."""

    batch_id: int

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contracts of the kind: multiset maximum for quotes and trades, revisions for the rest.

        The table has the kind's columns; required ones have no null. A batch may be written in any number of calls: counting spans them.
        """
        ...

    def delete(self, query: Query) -> int:
        """Take the rows that *query* selects out of what reads return, keep them in the history, and return how many they were."""
        ...

    def quarantine(self, records: Sequence[Quarantined]) -> None:
        """Keep records that were refused."""
        ...

    def undo(self, batch_id: int) -> int:
        """Take back what an earlier batch brought: rows it inserted go, rows it revised return to what they were. Return the rows changed."""
        ...

    def finish(self, *, read: int) -> None:
        """Record how many rows were read from the source for this batch, the refused ones included."""
        ...


class StoreBackend(Protocol):
    """A database for all six kinds. Every method may be called from any thread."""

    capabilities: frozenset[Capability]

    def transaction(
        self, *, source: str, file: str | None = None, digest: str | None = None
    ) -> AbstractContextManager[StoreTransaction]:
        """Begin a batch; on leaving the context it is committed and durable, on an error nothing of it is left.

        :raises DatabaseBusyError: when another writer does not finish in time.
        """
        ...

    def scan(self, query: Query, rows: int = 16_384) -> Iterator[pa.RecordBatch]:
        """Yield the rows selected, by subject, then time, then arrival, in Arrow batches of at most *rows*, each with the kind's columns.

        The rows are those committed when the first batch is fetched; writers never disturb a scan.
        """
        ...

    def count(self, query: Query) -> int:
        """Count the rows that :meth:`scan` would yield."""
        ...

    def inventory(self, kind: Kind) -> Sequence[Extent]:
        """Tell what is there, one entry a subject, in their order."""
        ...

    def batches(self, *, batch: int | None = None, limit: int | None = None) -> Sequence[Batch]:
        """List the batches, latest first."""
        ...

    def quarantined(
        self, *, batch: int | None = None, record: int | None = None, limit: int | None = None
    ) -> Sequence[Quarantined]:
        """List refused records, latest first."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Tell what and where the database is, for people: path or server, schema version, sizes. Never a secret."""
        ...

    def close(self) -> None:
        """Release files and connections; calling it twice does nothing."""
        ...


# Caches


@frozen
class Entry:
    """A cached value and what is known of it.

    :ivar value: the value, or its encoded bytes where the backend stores bytes.
    :ivar stored_at: when it was put, in seconds of the cache's clock; ``expires_at``: when it ceases to be fresh, None for never.
    :ivar keep_until: until when a stale value may still be of use; None means until ``expires_at``.
    :ivar size: bytes it counts for.
    :ivar tags: the generation of each tag when the value was made; the entry is dead once one of them has moved on.
    """

    value: Any
    stored_at: float
    expires_at: float | None = None
    keep_until: float | None = None
    size: int = 0
    tags: Mapping[str, int] = field(factory=dict)


@frozen
class Usage:
    """How full a cache is: entries, their bytes, and how many were evicted since it was opened, by cause."""

    entries: int
    bytes: int
    evicted: Mapping[str, int] = field(factory=dict)


class CacheBackend(Protocol):
    """A place for entries under text keys. It keeps and bounds them; freshness, tags and encoding are DataCache's business."""

    capabilities: frozenset[Capability]

    def get(self, key: str) -> Entry | Miss:
        """Return the entry, expired or not, or MISS."""
        ...

    def get_many(self, keys: Iterable[str]) -> Mapping[str, Entry]:
        """Return those of the entries that are there."""
        ...

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Keep the entry, making room as the backend's policy says; tell whether it was kept.

        One that is too large is not kept, and the key is gone. With a *fence* the entry is kept only if every tag in it still has the
        generation given, as one step with the storing; otherwise nothing changes.
        """
        ...

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Give the entry other times, as one step; tell whether there was one."""
        ...

    def delete(self, key: str) -> bool:
        """Forget the entry; tell whether there was one."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, in no order; changes meanwhile may or may not show."""
        ...

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        """Return the present generation of each tag. Tags never bumped share one, which no other storage, nor a later one, should share."""
        ...

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a generation it never had, which ends every entry made under an earlier one."""
        ...

    def purge(self, now: float, limit: int | None = None) -> int:
        """Drop entries that are past use at *now*, at most *limit*; return how many."""
        ...

    def clear(self) -> int:
        """Drop every entry and return how many there were. Generations stay."""
        ...

    def usage(self) -> Usage:
        """Tell how full it is."""
        ...

    def close(self) -> None:
        """Release what is held; calling it twice does nothing."""
        ...


# Validators


class Severity(StrEnum):
    """How bad a broken rule is: an error quarantines the record, a warning and an information only tell."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@frozen
class Finding:
    """One record that broke one rule.

    :ivar rule: the rule's id, or ``RULE_CRASHED: id`` when the rule itself failed.
    :ivar message: what is wrong, in a sentence.
    :ivar observed: the values of the fields the rule looked at.
    :ivar row: position of the record among those examined, from 0.
    """

    rule: str
    severity: Severity
    message: str
    kind: str
    subject: str | None = None
    ts_ns: int | None = None
    observed: Mapping[str, Any] = field(factory=dict)
    row: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON-able values."""
        observed = {name: None if value is None else str(value) for name, value in self.observed.items()}
        return {"rule": self.rule, "severity": str(self.severity), "message": self.message, "observed": observed}


@frozen
class Verdict:
    """What one rule says of a table.

    :ivar rule: its id.
    :ivar passed: one boolean a row: true passed, false failed, null not evaluated.
    :ivar crash: the traceback, in the verdict ``RULE_CRASHED: id`` that stands beside the rule's own when the rule could not judge some
        rows: these are false here, and null in the rule's own verdict.
    """

    rule: str
    severity: Severity
    passed: pa.BooleanArray
    crash: str | None = None


@define
class Tally:
    """What one rule made of the rows so far: how many it judged, how many it could not for want of a value, how many broke it."""

    evaluated: int = 0
    not_evaluated: int = 0
    failed: int = 0


@runtime_checkable
class RuleClass(Protocol):
    """A rule as it is registered: an attrs class whose fields are its TOML parameters (see :class:`fpa_core.validator.Rule`)."""

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]

    def __call__(self, **parameters: Any) -> Any:
        """Make the rule with its parameters."""
        ...


class ValidatorBackend(Protocol):
    """Judges records, one at a time or a table at once, with equal verdicts."""

    capabilities: frozenset[Capability]

    def inspect(
        self,
        kind: Kind,
        table: pa.Table,
        memory: MutableMapping[str, Any] | None = None,
        *,
        records: Sequence[Any] | None = None,
        now_ns: int | None = None,
    ) -> Sequence[Verdict]:
        """Judge every row of a table with the kind's columns; one verdict a rule that applies. The table is not changed.

        :param memory: what series rules remember from one chunk to the next of the same examination; None for a table on its own.
        :param records: the same rows as records, from a caller that has them; they may know more, such as the positions of a snapshot.
        :param now_ns: the present moment, for rules that ask for it; None for the system's clock.
        """
        ...

    def check(
        self,
        record: Any,
        memory: MutableMapping[str, Any] | None = None,
        *,
        now_ns: int | None = None,
        tallies: MutableMapping[str, Tally] | None = None,
    ) -> Sequence[Finding]:
        """Judge one record; nothing found means nothing wrong.

        :param tallies: counts by rule, which are raised by this record's.
        """
        ...

    def explain(
        self,
        kind: Kind,
        verdict: Verdict,
        table: pa.Table,
        limit: int | None = None,
        *,
        records: Sequence[Any] | None = None,
    ) -> Sequence[Finding]:
        """Turn the failures of a verdict into findings, at most *limit*, in the order of the rows."""
        ...

    def add(self, rule: Any) -> None:
        """Put one more rule in force.

        :raises PluginError: when its id is taken.
        """
        ...

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Describe the rules in force: id, kind, severity, parameters with their values and origin, what they say."""
        ...


# Sources


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
    """A row that is no record: its position from 1, its text, and why."""

    row: int
    raw: str
    problem: str


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
