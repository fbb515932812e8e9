"""Ingest: validate chunks of rows, store the valid ones as a batch, and quarantine the others."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.identity import IdMaker
from fpa_core.kinds import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.models import PortfolioSnapshot
from fpa_core.numbers import to_decimal
from fpa_core.protocols import (
    SHAPE,
    Chunk,
    Finding,
    Quarantined,
    Reject,
    Rejection,
    Severity,
    Tally,
    is_shortened,
    shortened,
)
from fpa_core.serialization import to_dict

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Receipt
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator, ValidationResult
    from fpa_core.validator.engine import ValidationRun

__all__ = [
    "LiveValidator",
    "Progress",
    "as_chunks",
    "chunks_of",
    "examine",
    "ingest",
    "notify_quarantined",
    "rejected_record",
    "rejected_row",
    "with_times",
]

Progress: TypeAlias = Callable[[int, float | None], None]
"""A callback for progress: the number of rows read, and the share of the source, from 0 to 1, or None if it is unknown."""

EXAMPLES = 20
"""The number of unparsable rows that :func:`examine` returns as findings. The rest are only counted."""


AHEAD = 100_000
"""Rows that are read before the database is locked for writing: a file without many more keeps other writers waiting for a moment only."""

LOOKED_AT = 1_000
"""If this many rows from the first on all fail for the same reason, the whole file is rejected."""


def ingest(
    store: DataStore,
    validator: DataValidator,
    chunks: Iterator[Chunk],
    *,
    origin: str,
    path: Path | None = None,
    progress: Progress | None = None,
    max_rejected: int | str | None = None,
    said: Mapping[str, Any] | None = None,
    before_commit: Callable[[StoreBatch], None] | None = None,
    check_first: bool = True,
) -> Receipt:
    """Store the valid rows of *chunks* as one batch and quarantine the others.

    :param said: the options the user gave for reading; stored with rejected rows so that they can be parsed again.
    :param before_commit: called with the batch when all rows are written.
    :param check_first: refuse everything if the first rows all fail for the same reason, as those of a misread file do.
    :param max_rejected: the number of rows that may be rejected, or their share as ``"1%"``. If more are rejected, nothing is stored. None for no
        limit.
    :raises DataError: if the first rows all fail for the same reason, or more rows are rejected than allowed.
    """
    limit = _Limit(max_rejected)
    chunks = _with_ids(chunks)
    file = None if path is None else _File(path)
    # Read the first rows before the database is touched: an unreadable file fails here.
    ahead = deque(_first_rows(chunks) if check_first else [])
    # Others may write while it is read, and wait only while rows are validated, which may need what is stored, and written.
    ahead.extend(_rows_ahead(chunks))
    examination = validator.start_run(examples=0)  # what is wrong with a rejected row is told by the split
    tally = _Rejections()
    room = _Room()
    kinds: dict[Kind, None] = {}
    notes: list[str] = []
    warnings: dict[str, int] = {}
    read = empty = left_out = 0
    reading: Mapping[str, Any] = {}
    with store.batch(origin=origin, file=None if path is None else _name(path)) as batch:
        for chunk in itertools.chain(_emptied(ahead), chunks):
            kinds[chunk.kind] = None
            notes += chunk.notes
            empty += chunk.empty
            left_out += chunk.left_out
            reading = chunk.reading or reading
            read += chunk.table.num_rows + len(chunk.rejects)
            _take(store, batch, examination, chunk, warnings, tally, room)
            limit.check(tally, read)
            if progress is not None:
                progress(read, chunk.progress)
        limit.check(tally, read, whole=True)
        if before_commit is not None:
            before_commit(batch)
        how = json.dumps({**reading, "said": said or {}}) if reading and tally.rows else None
        digest = None if file is None else file.digest()
        batch.finish(read=read, reading=how, digest=digest)
        notes += _not_kept(grown=file is not None and digest is None, in_part=room.in_part)
        batch.complete_receipt(
            lambda receipt: evolve(
                receipt,
                rejected=tally.rows,
                kind=next(iter(kinds)).name if len(kinds) == 1 else None,
                warnings=warnings,
                rejections=tuple(tally.most_frequent()),
                notes=(*notes, *_skipped(empty, left_out), *_explain(batch, kinds)),
            )
        )
    return batch.receipt


def _not_kept(*, grown: bool, in_part: int) -> Iterator[str]:
    if grown:
        yield "the file grew while it was being read, so its digest is not kept: ingest it again for the rest"
    if in_part:
        kept = f"{in_part:,} rejected rows are kept in part: their beginning, their length and their SHA-256"
        yield f"{kept}; to read them again, ingest the file again"


def _skipped(empty: int, left_out: int) -> Iterator[str]:
    if empty:
        yield f"{empty:,} empty rows were skipped"
    if left_out:
        yield f"{left_out:,} rows of other types, which the format does not read, were skipped"


NOTIFIED_AT_ONCE = 1_000
"""Maximum number of rejected records in one notification."""


def notify_quarantined(store: DataStore, plugins: PluginManager, receipt: Receipt) -> None:
    """Notify plugins of the records that a batch quarantined."""
    if receipt.quarantined and plugins.has_listeners("fpa_quarantined"):
        rejected = store.iter_quarantined(in_order=True, batch=receipt.batch)
        while records := list(itertools.islice(rejected, NOTIFIED_AT_ONCE)):
            plugins.notify("fpa_quarantined", batch=receipt.batch, records=records)


def _with_ids(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield chunks whose fills and cash flows have ids: before they are judged, so that a rejected one keeps its place among equal ones."""
    from fpa_core.arrow.conversion import to_table

    ids = IdMaker()
    for chunk in chunks:
        if chunk.kind.made_id is None:
            yield chunk
        elif chunk.records is None:
            yield evolve(chunk, table=ids.complete(chunk.kind, chunk.table))
        else:
            records = ids.complete_records(chunk.records)
            yield evolve(chunk, table=to_table(chunk.kind, records), records=records)


def _first_rows(chunks: Iterator[Chunk]) -> list[Chunk]:
    """Read the first chunks, check their rows, and return them.

    :raises DataError: if all their rows fail for the same reason, because the file was then probably misread.
    """
    taken: list[Chunk] = []
    rejects: list[Reject] = []
    for chunk in chunks:
        taken.append(chunk)
        rejects += chunk.rejects[: LOOKED_AT - len(rejects)]
        if not rejects or len({_reason(reject) for reject in rejects}) > 1:
            return taken
        if chunk.table.num_rows and chunk.rows[0] < rejects[-1].row:
            return taken
        if len(rejects) >= LOOKED_AT or chunk.table.num_rows:
            break
    if rejects and not any(chunk.table.num_rows and chunk.rows[0] < rejects[-1].row for chunk in taken):
        good = any(chunk.table.num_rows for chunk in taken)
        if not good or len(rejects) >= LOOKED_AT:
            raise _refusal(rejects, whole=not good)
    return taken


def _rows_ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield the next chunks, until there are enough rows."""
    rows = 0
    while rows < AHEAD and (chunk := next(chunks, None)) is not None:
        rows += chunk.table.num_rows + len(chunk.rejects)
        yield chunk


def _emptied(waiting: deque[Chunk]) -> Iterator[Chunk]:
    """Yield chunks, and keep none that was yielded."""
    while waiting:
        yield waiting.popleft()


def _refusal(rejects: Sequence[Reject], *, whole: bool) -> DataError:
    one = rejects[0]
    rows = "all rows" if whole else f"the first {len(rejects):,} rows"
    return DataError(
        f"{rows} fail for the same reason, so nothing was stored; row {one.row}: {one.problem}",
        hint=one.hint
        or "`fpa sniff FILE` shows how the file is read; change that with --column, --tz or --time-format",
        row=one.row,
    )


def _reason(reject: Reject) -> str:
    return reject.reason or reject.problem


class _Rejections:
    """Counts rejected rows by reason, and keeps the first row of each reason."""

    MOST = 1_000

    def __init__(self) -> None:
        self._found: dict[str, Rejection] = {}
        self.rows = 0

    def add(self, reason: str, row: int | None, example: str, hint: str | None = None) -> None:
        """Count a row."""
        self.rows += 1
        known = self._found.get(reason)
        if known is not None:
            self._found[reason] = evolve(known, rows=known.rows + 1)
        elif len(self._found) < self.MOST:
            self._found[reason] = Rejection(reason, 1, row, example, hint)

    def most_frequent(self, count: int = 10) -> list[Rejection]:
        """Return the most frequent reasons, the most frequent first."""
        return sorted(self._found.values(), key=lambda each: -each.rows)[:count]


class _Room:
    """The room for the texts of a batch's rejected rows: most are short, but a file of long ones must not become a database of its size.

    :ivar in_part: how many rows were not kept whole.
    """

    CHARACTERS = 64 * 2**20
    """Texts of rows that are kept whole."""

    LEAST = 512
    """Characters of a row that are always kept; rows without more take no room."""

    def __init__(self) -> None:
        self._left = self.CHARACTERS
        self.in_part = 0

    def fitted(self, reject: Reject) -> Reject:
        """Return a rejected row as it is kept. What is kept in part has no cells: they might be taken for the row's own."""
        size = len(reject.raw) + sum(map(len, (reject.cells or {}).values()))
        if size > 2 * self.LEAST:
            if size > self._left:
                reject = evolve(reject, raw=shortened(reject.raw, self.LEAST), cells=None)
            else:
                self._left -= size
        self.in_part += is_shortened(reject.raw)
        return reject


class _Limit:
    """The limit of rejected rows.

    :raises DataError: if *said* is neither a number nor a percentage.
    """

    def __init__(self, said: int | str | None) -> None:
        self._rows: int | None = None
        self._share: Decimal | None = None
        if said is None:
            return
        text = str(said).strip()
        try:
            if text.endswith("%"):
                self._share = to_decimal(text[:-1]) / 100
            else:
                self._rows = int(text)
        except (DataError, ValueError):
            self._rows = -1
        if (self._rows is not None and self._rows < 0) or (self._share is not None and not 0 <= self._share <= 1):
            raise DataError(
                f"max_rejected: {said!r} is not a number of rows or a percentage",
                hint="write it like 0, 100 or 1%",
                value=said,
            )

    def check(self, tally: _Rejections, read: int, *, whole: bool = False) -> None:
        """Raise DataError if more rows are rejected than allowed. A percentage is checked only at the end."""
        over = (self._rows is not None and tally.rows > self._rows) or (
            whole and self._share is not None and tally.rows > self._share * read
        )
        if over:
            most = tally.most_frequent(1)[0]
            allowed = f"{self._rows:,}" if self._share is None else f"{self._share * 100:f} %"
            raise DataError(
                f"{tally.rows:,} of {read:,} rows were rejected, but only {allowed} are allowed, so nothing was stored; "
                f"row {most.row}: {most.example}",
                hint=most.hint,
                row=most.row,
            )


def examine(validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None) -> ValidationResult:
    """Validate the rows of *chunks* without storing them. Unparsable rows are counted under the rule ``record.shape``."""
    examination = validator.start_run()
    shapeless: list[Finding] = []
    rows = bad = 0
    found: list[Finding] = []
    judged = 0
    for chunk in chunks:
        examination.validate(chunk.kind, chunk.table)
        for finding in examination.result().findings[len(found) :]:
            place = -1 if finding.row is None else finding.row - judged
            here = 0 <= place < len(chunk.rows)
            found.append(evolve(finding, row=chunk.rows[place] - 1) if here else finding)
        judged += chunk.table.num_rows
        rows += chunk.table.num_rows + len(chunk.rejects)
        bad += len(chunk.rejects)
        shapeless += [
            Finding(SHAPE, Severity.ERROR, reject.problem, chunk.kind.name, row=reject.row - 1)
            for reject in chunk.rejects[: EXAMPLES - len(shapeless)]
        ]
        if progress is not None:
            progress(rows, chunk.progress)
    result = evolve(examination.result(), findings=tuple(found))
    if not bad:
        return result
    counts = {SHAPE: Tally(evaluated=rows, failed=bad), **result.counts}
    return evolve(result, rows=rows, findings=(*shapeless, *found), counts=counts)


def chunks_of(store: DataStore, records: Any) -> Iterator[Chunk]:
    """Return one or more records, of any kinds, as chunks, with defaults filled in as the store does."""
    from fpa_core.arrow.conversion import to_table

    whole = list(records) if isinstance(records, Iterable) else [records]
    rows: dict[Kind, list[int]] = {}
    held: list[int] = []
    for row, record in enumerate(whole, 1):
        kind = kind_of(record)
        rows.setdefault(kind, []).append(row)
        if kind is SNAPSHOTS:
            held += [row] * len(record.positions)
    rows.setdefault(POSITIONS, []).extend(held)  # after the standalone positions, in the order of grouped()
    for kind, group in store.writer.grouped(whole).items():
        yield Chunk(kind, to_table(kind, group), rows[kind], records=group)


AT_ONCE = 65_536
"""The number of records of a source in one chunk."""


def as_chunks(store: Callable[[], DataStore], found: Iterable[Any]) -> Iterator[Chunk]:
    """Yield the items of a source as chunks. An item is a chunk, or a plain record, whose defaults *store* fills in."""
    items = iter(found)
    count = 0
    for first in items:
        if isinstance(first, Chunk):
            yield first
            continue
        records = [first, *itertools.islice(items, AT_ONCE - 1)]
        for chunk in chunks_of(store(), records):
            yield evolve(chunk, rows=[count + row for row in chunk.rows])
        count += len(records)


class LiveValidator:
    """Checks the records of a live stream against the rules; see :class:`fpa_core.store.streams.record_filter.RecordFilter`.

    :param notify: notifies plugins.
    """

    def __init__(self, validator: DataValidator, notify: Callable[..., None]) -> None:
        self._validator = validator
        self._notify = notify
        self._memory: dict[str, Any] = {}

    def check(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return the findings on a record, and its quarantine entry if it breaks a rule of severity error, else None."""
        findings = self._validator.check(record, self._memory)
        if not any(finding.severity is Severity.ERROR for finding in findings):
            return findings, None
        return findings, rejected_record(record, row, findings)

    def rejected(self, batch: int, records: Sequence[Quarantined]) -> None:
        """Notify plugins of quarantined records."""
        self._notify("fpa_quarantined", batch=batch, records=records)


def _take(
    store: DataStore,
    batch: StoreBatch,
    examination: ValidationRun,
    chunk: Chunk,
    warnings: dict[str, int],
    tally: _Rejections,
    room: _Room,
) -> None:
    """Write the valid rows of a chunk and quarantine the others."""
    split = examination.split(chunk.kind, chunk.table, chunk.records)
    batch.write(chunk.kind, split.accepted)
    if chunk.kind is SNAPSHOTS and chunk.records is not None:
        store.writer.drop_sold(batch, [chunk.records[row] for row in split.accepted_rows])
    for rule, count in split.flagged.items():
        warnings[rule] = warnings.get(rule, 0) + count
    kept_out = [rejected_row(chunk.kind, room.fitted(reject)) for reject in chunk.rejects]
    for reject in chunk.rejects:
        tally.add(_reason(reject), reject.row, reject.problem, reject.hint)
    for position, findings in split.refused:
        worst = findings[0]
        tally.add(worst.rule, chunk.rows[position], f"{worst.rule}: {worst.message}")
    if split.refused:
        positions = [position for position, _ in split.refused]
        kept_out += _refused(
            chunk.kind,
            chunk.table.take(positions),
            [chunk.rows[position] for position in positions],
            [findings for _, findings in split.refused],
            None if chunk.records is None else [chunk.records[position] for position in positions],
        )
    if kept_out:
        batch.quarantine(kept_out)


def rejected_record(record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
    """Return the quarantine entry of a record."""
    from fpa_core.arrow.conversion import to_table

    kind = kind_of(record)
    (refused,) = _refused(kind, to_table(kind, [record]), [row], [findings], [record])
    return refused


def _name(path: Path) -> str:
    """Return the name of a file as text; bytes in it that are none are escaped."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _File:
    """A file that is being read from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = self._state()

    def _state(self) -> tuple[int, int, int, int] | None:
        try:
            found = self._path.stat()
        except (OSError, ValueError):  # a name with a NUL, or one that is not Unicode
            return None  # whoever reads it says so
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def digest(self) -> str | None:
        """Return the digest of what was read; None if the file has grown meanwhile, so that it is unknown how much of it was read.

        :raises DataError: if the file was changed or replaced: what was read may be of both versions.
        """
        try:
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            digest = ""
        before, after = self._before, self._state()
        if digest and before == after:
            return digest
        if before is not None and after is not None and before[:2] == after[:2] and before[2] < after[2]:
            return None
        raise DataError(
            f"{self._path}: the file was changed, replaced or removed while it was being read, so nothing was stored",
            hint="ingest it again once whoever writes it is done",
            source=str(self._path),
        )


def with_times(chunk: Chunk) -> Chunk:
    """Reject rows of a file without a time: with the current time, the same file would give new rows at each ingest."""
    if chunk.kind not in {ORDERS, POSITIONS}:
        return chunk
    import pyarrow.compute as pc

    times = chunk.table.column("timestamp")
    if not times.null_count:
        return chunk
    timeless = pc.indices_nonzero(times.is_null()).to_pylist()
    rejects = _timeless(chunk, timeless)
    kept = times.is_valid()
    rows = list(itertools.compress(chunk.rows, kept.to_pylist()))
    return evolve(chunk, table=chunk.table.filter(kept), rows=rows, rejects=(*chunk.rejects, *rejects))


def _timeless(chunk: Chunk, positions: Sequence[int]) -> Iterator[Reject]:
    for position, values in zip(positions, values_of_rows(chunk.kind, chunk.table.take(positions)), strict=True):
        cells = {name: str(value) for name, value in values.items()}
        raw = json.dumps(values, ensure_ascii=False)
        yield Reject(chunk.rows[position], raw, "timestamp is missing", cells)


def values_of_rows(kind: Kind, table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the values of each row as exact JSON-compatible data, without missing values."""
    from fpa_core.arrow import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    names = [column.name for column in kind.columns]
    cells = [
        read.get(column.type, lambda array: array)(table.column(column.name).combine_chunks()).to_pylist()
        for column in kind.columns
    ]
    for row in zip(*cells, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _refused(
    kind: Kind,
    table: pa.Table,
    rows: Sequence[int | None],
    findings: Sequence[Sequence[Finding]],
    records: Sequence[Any] | None,
) -> Iterator[Quarantined]:
    """Yield the quarantine entries of the rows of *table*."""
    from fpa_core.arrow import columns

    times = columns.times_as_ns(table.column("timestamp").combine_chunks()).to_pylist()
    subjects = table.column(kind.by_field[kind.subject].name).to_pylist()
    for place, values in enumerate(values_of_rows(kind, table)):
        if records is not None and isinstance(records[place], PortfolioSnapshot) and records[place].positions:
            # The table has no positions, but a snapshot is checked with them.
            values["positions"] = to_dict(records[place])["positions"]
        raw = json.dumps(values, ensure_ascii=False)
        told = tuple(finding.as_dict() for finding in findings[place])
        yield Quarantined(kind.name, subjects[place], times[place], rows[place], raw, told)


def rejected_row(kind: Kind, reject: Reject) -> Quarantined:
    """Return the quarantine entry of a row that could not be parsed."""
    finding = Finding(SHAPE, Severity.ERROR, reject.problem, kind.name)
    return Quarantined(kind.name, None, None, reject.row, reject.raw, (finding.as_dict(),), cells=reject.cells)


def _explain(batch: StoreBatch, kinds: Iterable[Kind]) -> Iterator[str]:
    if batch.counts.repeated:
        unique = [kind for kind in kinds if kind.venue_id or not kind.multiset]
        keys = " and ".join(f"{kind.name} are stored once per {_words(kind)}" for kind in unique)
        yield f"{batch.counts.repeated:,} rows repeat a row of the same batch and were stored only once: {keys}"
    if batch.known:
        yield f"{batch.known:,} rejected rows were already in quarantine and are counted as duplicates"
    if batch.counts.revised:
        yield f"{batch.counts.revised:,} rows are new versions of stored rows; earlier versions stay in the history"


def _words(kind: Kind) -> str:
    names = kind.venue_id if kind.multiset else kind.key
    *most, last = [kind.by_field[name].name.replace("_", " ") for name in names]
    return f"{', '.join(most)} and {last}" if most else last
