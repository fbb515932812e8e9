"""Retention: market data that are older than they are to be kept are archived, and then deleted for good.

Rows are deleted in steps, each of one kind and one month, for some symbols, or of one day, for a symbol with very many rows. A step first makes bars, if that is asked for; then it writes the rows and
their history to Parquet files and reads these again; and only in the transaction that deletes them, in which nobody else writes, it compares what is there
with what was archived. So a program that is killed at any point has deleted nothing that is not in the archive, and the next run goes on.

Rows go with their history, since all versions of a row have its time: neither an undo nor a read as known earlier finds a part of them. What is gone is
noted as a batch, with the number of rows that it takes from each other batch, so that the check of the store still adds up.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from attrs import field, frozen
from pyarrow import parquet

from fpa_core import export, patterns
from fpa_core.config import RetentionSection
from fpa_core.engine import scan
from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.filters import BatchFilter
from fpa_core.engine.history import read_history
from fpa_core.engine.removal import RETENTION, remove
from fpa_core.engine.rows import shape_of
from fpa_core.engine.tables import Database, Reader, announce
from fpa_core.engine.transaction import begin
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.intervals import interval_text
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.operations.checksums import (
    HISTORY,
    ROWS,
    Sums,
    add_up,
    batch_of,
    known_columns,
    month_of,
    month_start,
    month_text,
    sums_of_batch,
    sums_of_rows,
)
from fpa_core.operations.comparison import Progress
from fpa_core.outputs import private_folder, sync_folder, writable
from fpa_core.protocols import Batch, Query, Tick, WriteCounts

__all__ = ["Expired", "RetentionPlan", "RetentionReport", "RetentionStep", "plan_retention", "retain"]

DAY_NS = 86_400 * 10**9

ROWS_AT_ONCE = 500_000
"""Rows of one step, about: a symbol with more in a month is divided by days."""

SUBJECTS_AT_ONCE = 256
TRIES = 3
"""How often a step is archived anew because somebody changed its rows meanwhile."""

_BATCH_ROWS = 65_536


@frozen
class Expired:
    """The rows of one symbol that are older than they are to be kept.

    :ivar interval: of bars, if only those of some intervals are deleted.
    :ivar rows: how many reads return; ``history`` how many earlier versions there are.
    :ivar first_ns: no row is older than that; ``before_ns`` is the first time that is kept.
    :ivar held: whether they are kept all the same, by ``hold`` in ``[retention]``.
    """

    kind: str
    interval: str | None
    subject: str
    rows: int
    history: int
    first_ns: int
    before_ns: int
    held: bool


@frozen
class RetentionPlan:
    """What a retention would delete now.

    :ivar expired: by kind, interval and symbol.
    :ivar now_ns: the time that ages are counted from.
    """

    expired: tuple[Expired, ...]
    now_ns: int

    @property
    def rows(self) -> int:
        """The number of rows that would be deleted, their history aside."""
        return sum(one.rows for one in self.expired if not one.held)


@frozen
class RetentionStep:
    """What one step deleted.

    :ivar month: of the rows, as ``2024-05``.
    :ivar symbols: how many symbols they are of.
    :ivar bars: how many bars were made of them first.
    :ivar files: the Parquet files that hold them now.
    :ivar batch: the batch that notes it.
    """

    kind: str
    interval: str | None
    month: str
    symbols: int
    rows: int
    history: int
    bars: int
    files: tuple[Path, ...]
    batch: int


@frozen
class RetentionReport:
    """What a retention did: the plan, and the steps."""

    plan: RetentionPlan
    steps: tuple[RetentionStep, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows that were deleted, their history aside."""
        return sum(step.rows for step in self.steps)


@frozen
class _Policy:
    """What is deleted of a kind: rows before a time, of one interval or of all."""

    kind: Kind
    interval: str | None
    before_ns: int
    parquet: bool
    bars: str | None = None

    def query(self, subjects: tuple[str, ...] | None, start_ns: int | None = None, end_ns: int | None = None) -> Query:
        equal = {} if self.interval is None else {"interval": self.interval}
        return Query(self.kind, subjects, start_ns, self.before_ns if end_ns is None else end_ns, equal)


@frozen
class _Archived:
    """What was archived of a step: the sums of its rows and of their history, and the files."""

    rows: Sums
    history: Sums
    files: tuple[Path, ...] = ()
    digests: tuple[str, ...] = field(default=())


MakeBars = Callable[[Query, str], int]
"""Makes bars of an interval of the rows of a query, stores those of which there are none, and returns how many these are."""


def plan_retention(database: Database, section: RetentionSection, now_ns: int) -> RetentionPlan:
    """Return what is older than it is to be kept; nothing is changed."""
    with database.reader("plan the retention") as tables:
        found = [one for policy in _policies(section, now_ns) for one in _expired(tables, policy, section.hold)]
    return RetentionPlan(tuple(found), now_ns)


def retain(
    database: Database,
    section: RetentionSection,
    now_ns: int,
    *,
    make_bars: MakeBars,
    audit: AuditTrail,
    tick: Tick,
) -> RetentionReport:
    """Archive what is older than it is to be kept, verify the archive, and delete it.

    :param make_bars: makes bars of rows before they are deleted.
    :param audit: is told of the entries in the audit log.
    :raises DataError: if the archive cannot be written; nothing of that step is deleted then.
    :raises CorruptionError: if what was written is not what is read back; likewise.
    :raises DatabaseError: if others change the rows of a step again and again.
    """
    plan = plan_retention(database, section, now_ns)
    progress = Progress(tick, plan.rows)
    steps: list[RetentionStep] = []
    for policy in _policies(section, now_ns):
        due = [
            one
            for one in plan.expired
            if (one.kind, one.interval) == (policy.kind.name, policy.interval) and not one.held
        ]
        for query in _steps(policy, due):
            if (step := _Step(database, policy, query, section.archive, audit).run(make_bars)) is not None:
                steps.append(step)
                progress(step.rows)
    return RetentionReport(plan, tuple(steps))


def _policies(section: RetentionSection, now_ns: int) -> Iterator[_Policy]:
    def before(keep: float) -> int:
        return (now_ns - round(keep * 10**9)) // DAY_NS * DAY_NS

    for kind, own in ((QUOTES, section.quotes), (TRADES, section.trades)):
        if own.keep is not None:
            bars = None if own.bars is None else interval_text(own.bars)
            yield _Policy(kind, None, before(own.keep), own.parquet, bars)
    if section.bars.keep is not None:
        for interval in dict.fromkeys(map(interval_text, section.bars.intervals)) or (None,):
            yield _Policy(BARS, interval, before(section.bars.keep), section.bars.parquet)


def _expired(tables: Reader, policy: _Policy, hold: Sequence[str]) -> Iterator[Expired]:
    kind = policy.kind
    firsts: dict[str, int] = {}
    for entry in (*tables.rows.inventory(kind), *(tables.segments.inventory(kind) if kind.multiset else ())):
        if entry.first_ns < policy.before_ns:
            firsts[entry.subject] = min(entry.first_ns, firsts.get(entry.subject, entry.first_ns))
    history: Counter[str] = Counter()
    subject, ts_ns = (shape_of(kind).place(name) for name in (kind.subject, "ts_ns"))
    query = policy.query(None)
    for page in tables.rows.history(query):
        for row in page:
            history[row[subject]] += 1
            firsts[row[subject]] = min(row[ts_ns], firsts.get(row[subject], row[ts_ns]))
    for info in tables.retired.find(query) if kind.multiset else ():
        if rows := scan.count_sealed(tables, query, info, BatchFilter()):
            history[info.subject] += rows
            firsts[info.subject] = min(info.first_ns, firsts.get(info.subject, info.first_ns))
    held = [patterns.compiled(pattern) for pattern in hold]
    for name in sorted(firsts):
        rows = scan.count(tables, policy.query((name,)))
        if rows or history[name]:
            is_held = any(pattern.fullmatch(name) for pattern in held)
            yield Expired(
                kind.name, policy.interval, name, rows, history[name], firsts[name], policy.before_ns, is_held
            )


def _steps(policy: _Policy, due: Iterable[Expired]) -> Iterator[Query]:
    """Divide what is due by months, and the symbols of a month into those of one step each."""
    last = month_of(policy.before_ns - 1)
    by_month: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for one in due:
        first = month_of(one.first_ns)
        share = -(-(one.rows + one.history) // (last - first + 1))
        for month in range(first, last + 1):
            by_month[month].append((one.subject, share))
    for month, subjects in sorted(by_month.items()):
        start_ns, end_ns = month_start(month), month_start(month + 1)
        end_ns = policy.before_ns if end_ns is None else min(end_ns, policy.before_ns)
        for names, rows in _groups(subjects):
            if start_ns is None or rows <= ROWS_AT_ONCE:
                yield policy.query(names, start_ns, end_ns)
            else:  # it is one symbol with very many rows
                for first_ns in range(start_ns, end_ns, DAY_NS):
                    yield policy.query(names, first_ns, min(first_ns + DAY_NS, end_ns))


def _groups(subjects: Sequence[tuple[str, int]]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Put symbols together, and return how many rows they have."""
    some: list[str] = []
    total = 0
    for name, rows in subjects:
        if some and (total + rows > ROWS_AT_ONCE or len(some) == SUBJECTS_AT_ONCE):
            yield tuple(some), total
            some, total = [], 0
        some.append(name)
        total += rows
    if some:
        yield tuple(some), total


@frozen
class _Step:
    """One step.

    :ivar query: its rows.
    :ivar archive: the folder of the archive.
    """

    database: Database
    policy: _Policy
    query: Query
    archive: Path
    audit: AuditTrail

    def run(self, make_bars: MakeBars) -> RetentionStep | None:
        """Archive, verify, delete; return what was done, None if there is nothing."""
        bars = 0
        for _ in range(TRIES):
            if self.policy.bars is not None:
                bars += make_bars(self.query, self.policy.bars)
            with self.database.reader("archive rows") as tables:
                found = _contents(tables, self.query)
                if self.policy.parquet and (found.rows or found.history):
                    found = self._archive(tables, found)
            if not (found.rows or found.history):
                return None
            if (done := self._delete(found, bars)) is not None:
                return done
        raise DatabaseError(
            f"{self.policy.kind.name} of {self._month}: others change them again and again while they are archived",
            hint="nothing of them was deleted; run it again when nobody writes rows that are so old",
            operation="retain",
        )

    @property
    def _month(self) -> str:
        assert self.query.end_ns is not None, "a step ends somewhere"
        return month_text(month_of(self.query.end_ns - 1))

    def _archive(self, tables: Reader, found: _Archived) -> _Archived:
        """Write the rows to the archive, and read them back."""
        folder = self.archive / self.policy.kind.name / self._month
        is_new = not self.archive.exists()
        with writable(folder):
            private_folder(folder)
        # The name tells the contents: what a killed run has written is found again, and nothing else is overwritten.
        digest = hashlib.blake2b(repr(sorted((found.rows | found.history).items())).encode(), digest_size=8).hexdigest()
        interval = "" if self.policy.interval is None else f"-{self.policy.interval}"
        stem = f"{self.policy.kind.name}{interval}-{self._month}-{digest}"
        files = []
        for table, sums in ((ROWS, found.rows), (HISTORY, found.history)):
            if sums:
                files.append(folder / f"{stem}{'.history' if table == HISTORY else ''}.parquet")
                self._write(tables, files[-1], table, sums)
        with writable(folder):
            for each in (folder, folder.parent, self.archive, *((self.archive.parent,) if is_new else ())):
                sync_folder(each)
        return _Archived(found.rows, found.history, tuple(files), tuple(map(_sha256, files)))

    def _write(self, tables: Reader, path: Path, table: str, sums: Sums) -> None:
        """Write a file, unless it is there already, and compare what is read of it."""
        kind = self.policy.kind
        if path.exists() and _read_back(path, kind, table) == sums:
            return
        if table == ROWS:
            export.write(kind, scan.scan(tables, self.query, _BATCH_ROWS), path, "parquet")
        else:
            batches = (batch_of(kind, page, history=True) for page in read_history(tables, self.query))
            export.write(kind, batches, path, "parquet", further=known_columns(kind, history=True))
        if _read_back(path, kind, table) != sums:
            raise CorruptionError(
                f"{path} does not hold what was written to it",
                hint="nothing was deleted; check the disk of the archive",
                path=str(path),
                operation="retain",
            )

    def _delete(self, archived: _Archived, bars: int) -> RetentionStep | None:
        """Delete the rows, if they are still those that were archived; return None if they are not."""
        with self.database.writer("delete what was archived") as tables:
            present = _contents(tables, self.query)
            if (present.rows, present.history) != (archived.rows, archived.history):
                return None
            announce(self.database, {self.policy.kind: None})
            removed = remove(tables, self.query)
            rows, history = (sum(one.rows for one in sums.values()) for sums in (archived.rows, archived.history))
            if (removed.rows, removed.history) != (rows, history):
                problem = f"{rows} rows and {history} of the history were archived, but {removed.rows} and {removed.history} deleted"
                raise CorruptionError(
                    problem, hint="nothing was changed; `fpa store check` finds what is wrong", operation="retain"
                )
            file = archived.files[0].name if archived.files else None
            batch = begin(tables, Batch(0, RETENTION, 0, file=file)).id
            note = {
                "kind": self.policy.kind.name,
                "interval": self.policy.interval,
                "start_ns": self.query.start_ns,
                "end_ns": self.query.end_ns,
                "brought": sorted(removed.brought.items()),
            }
            digest = archived.digests[0] if archived.digests else None
            tables.batches.amend(batch, digest=digest, reading=json.dumps(note))
            counts = WriteCounts()
            tables.batches.record(batch, recorded_ns=None, read=0, counts=counts, quarantined=0, deleted=rows)
            details = {
                "kind": self.policy.kind.name,
                "interval": self.policy.interval,
                "month": self._month,
                "symbols": len(self.query.subjects or ()),
                "rows": rows,
                "history": history or None,
                "bars": bars or None,
                "files": {path.name: sha for path, sha in zip(archived.files, archived.digests, strict=True)} or None,
            }
            entry = append(tables.audit_log, "retain", details, batch=batch)
        self.audit.committed(entry)
        symbols = {part.subject for part in (*archived.rows, *archived.history)}
        own = (self.policy.kind.name, self.policy.interval, self._month, len(symbols))
        return RetentionStep(*own, rows, history, bars, archived.files, batch)


def _contents(tables: Reader, query: Query) -> _Archived:
    """Return the sums of the rows of a query, and of their history."""
    kind = query.kind
    batches = scan.scan(tables, query, _BATCH_ROWS, scaled=True)
    rows = add_up(found for batch in batches for found in sums_of_batch(kind, batch, ROWS))
    pages = read_history(tables, query)
    history = add_up(found for page in pages for found in sums_of_rows(kind, page, history=True))
    return _Archived(rows, history)


def _read_back(path: Path, kind: Kind, table: str) -> Sums | None:
    """Return the sums of a file; None if it is damaged."""
    names = [column.name for column in kind.columns]
    known = known_columns(kind, history=True) if table == HISTORY else {}
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            batches = file.iter_batches(_BATCH_ROWS, columns=[*names, *known])
            return add_up(
                found for batch in batches for found in sums_of_batch(kind, batch.select([*names, *known]), table)
            )
    except (pa.ArrowException, OSError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
