"""From chunks of rows to a stored batch: validated, split, written, and set aside what was refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.kinds import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.models import PortfolioSnapshot
from fpa_core.numbers import to_decimal
from fpa_core.protocols import Chunk, Finding, Quarantined, Reject, Rejection, Severity, Tally
from fpa_core.serialization import to_dict
from fpa_core.store.quarantine import SHAPE

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.protocols import Receipt
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator, ValidationResult
    from fpa_core.validator.engine import ValidationRun

__all__ = [
    "SHAPE",
    "LiveGate",
    "Progress",
    "as_chunks",
    "chunks_of",
    "examine",
    "ingest",
    "refused_record",
    "with_times",
]

Progress: TypeAlias = Callable[[int, float | None], None]
"""Told, as a source is read, how many rows have been read and what share of it that is, where it is known."""

EXAMPLES = 20
"""Rows that are no records shown by :func:`examine`; the rest are counted."""


LOOKED_AT = 1_000
"""Rows that have to fail for one reason, from the first on, for a file to be refused as a whole."""


def ingest(
    store: DataStore,
    validator: DataValidator,
    chunks: Iterator[Chunk],
    *,
    source: str,
    path: Path | None = None,
    progress: Progress | None = None,
    max_rejected: int | str | None = None,
    said: Mapping[str, Any] | None = None,
) -> Receipt:
    """Store the good rows of *chunks* as one batch and set the others aside.

    :param said: what the user said of how to read it, kept with refused rows so that they can be read again.
    :param max_rejected: how many rows may be rejected, or the share of them as ``"1%"``; with more, nothing is stored. None for any number.
    :raises DataError: when the first rows all fail for one reason, or more are rejected than may be.
    """
    limit = _Limit(max_rejected)
    # A file that cannot be read shows it at once, before the database is touched.
    first = _first_rows(chunks)
    examination = validator.start_run()
    tally = _Rejections()
    kinds: dict[Kind, None] = {}
    notes: list[str] = []
    warnings: dict[str, int] = {}
    read = empty = left_out = 0
    reading: Mapping[str, Any] = {}
    name, digest = (None, None) if path is None else (path.name, _digest(path))
    with store.batch(source=source, file=name, digest=digest) as batch:
        for chunk in itertools.chain(first, chunks):
            kinds[chunk.kind] = None
            notes += chunk.notes
            empty += chunk.empty
            left_out += chunk.left_out
            reading = chunk.reading or reading
            read += chunk.table.num_rows + len(chunk.rejects)
            _take(store, batch, examination, chunk, warnings, tally)
            limit.check(tally, read)
            if progress is not None:
                progress(read, chunk.progress)
        limit.check(tally, read, whole=True)
        batch.finish(read=read, reading=json.dumps({**reading, "said": said or {}}) if reading and tally.rows else None)
    if empty:
        notes.append(f"{empty:,} rows without a value in any cell were left out")
    if left_out:
        notes.append(f"{left_out:,} rows of other sorts, which the format does not take, were left out")
    return evolve(
        batch.receipt,
        rejected=tally.rows,
        kind=next(iter(kinds)).name if len(kinds) == 1 else None,
        warnings=warnings,
        rejections=tuple(tally.most_frequent()),
        notes=(*notes, *_explain(batch, kinds)),
    )


def _first_rows(chunks: Iterator[Chunk]) -> list[Chunk]:
    """Return the first chunks, which hold the first rows.

    :raises DataError: when all of these fail for one reason: the file is then not what it was taken for.
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


def _refusal(rejects: Sequence[Reject], *, whole: bool) -> DataError:
    one = rejects[0]
    rows = "all rows" if whole else f"the first {len(rejects):,} rows"
    return DataError(
        f"{rows} fail for one reason, so nothing is stored; row {one.row}: {one.problem}",
        hint=one.hint or "`fpa sniff FILE` shows how it is read; --column, --tz and --time-format change it",
        row=one.row,
    )


def _reason(reject: Reject) -> str:
    return reject.reason or reject.problem


class _Rejections:
    """Counts why rows are rejected, and keeps the first of each reason."""

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
        """Return the reasons that the most rows have."""
        return sorted(self._found.values(), key=lambda each: -each.rows)[:count]


class _Limit:
    """How many rows may be rejected.

    :raises DataError: when *said* is neither a number nor a share.
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
            raise DataError(f"max_rejected: {said!r} is no number of rows", hint="write 0, 100 or 1%", value=said)

    def check(self, tally: _Rejections, read: int, *, whole: bool = False) -> None:
        """Refuse the batch when more rows are rejected than may be; a share counts at the end."""
        over = (self._rows is not None and tally.rows > self._rows) or (
            whole and self._share is not None and tally.rows > self._share * read
        )
        if over:
            most = tally.most_frequent(1)[0]
            allowed = f"{self._rows:,}" if self._share is None else f"{self._share * 100:f} %"
            raise DataError(
                f"{tally.rows:,} of {read:,} rows are rejected and {allowed} may be, so nothing is stored; "
                f"row {most.row}: {most.example}",
                hint=most.hint,
                row=most.row,
            )


def examine(validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None) -> ValidationResult:
    """Judge the rows of *chunks* without storing them; rows that are no records count under the rule ``record.shape``."""
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
    """Return one record or many, of any kinds, as chunks, completed as the store would."""
    from fpa_core.arrow.conversion import to_table

    whole = list(records) if isinstance(records, Iterable) else [records]
    rows: dict[Kind, list[int]] = {}
    held: list[int] = []
    for row, record in enumerate(whole, 1):
        kind = kind_of(record)
        rows.setdefault(kind, []).append(row)
        if kind is SNAPSHOTS:
            held += [row] * len(record.positions)
    rows.setdefault(POSITIONS, []).extend(held)  # after those that stand alone, as they are grouped
    for kind, group in store.grouped(whole).items():
        yield Chunk(kind, to_table(kind, group), rows[kind], records=group)


AT_ONCE = 65_536
"""Records of a source that are made into one chunk."""


def as_chunks(store: Callable[[], DataStore], found: Iterable[Any]) -> Iterator[Chunk]:
    """Yield what a source gives as chunks: a source may give chunks, or plain records, which *store* completes."""
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


class LiveGate:
    """Judges the records of a live stream by the rules, and tells plugins; see :class:`fpa_core.store.stream.Gate`."""

    def __init__(self, validator: DataValidator, notify: Callable[..., None]) -> None:
        self._validator = validator
        self._notify = notify
        self._memory: dict[str, Any] = {}

    def judge(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return what the rules say of a record, and how it is kept aside if it breaks one of severity error."""
        findings = self._validator.check(record, self._memory)
        if not any(finding.severity is Severity.ERROR for finding in findings):
            return findings, None
        return findings, refused_record(record, row, findings)

    def refused(self, batch: int, records: Sequence[Quarantined]) -> None:
        """Tell plugins of records that have been kept aside."""
        self._notify("fpa_quarantined", batch=batch, records=records)

    def ended(self, receipt: Receipt) -> None:
        """Tell plugins what the stream has brought."""
        self._notify("fpa_ingested", receipt=receipt)


def _take(
    store: DataStore,
    batch: StoreBatch,
    examination: ValidationRun,
    chunk: Chunk,
    warnings: dict[str, int],
    tally: _Rejections,
) -> None:
    """Write the good rows of a chunk and set the others aside."""
    split = examination.split(chunk.kind, chunk.table, chunk.records)
    batch.write(chunk.kind, split.accepted)
    if chunk.kind is SNAPSHOTS and chunk.records is not None:
        store.drop_sold(batch, [chunk.records[row] for row in split.accepted_rows])
    for rule, count in split.flagged.items():
        warnings[rule] = warnings.get(rule, 0) + count
    kept_out = [_unshaped(chunk.kind, reject) for reject in chunk.rejects]
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


def refused_record(record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
    """Return a record as it is kept in quarantine."""
    from fpa_core.arrow.conversion import to_table

    kind = kind_of(record)
    (refused,) = _refused(kind, to_table(kind, [record]), [row], [findings], [record])
    return refused


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_times(chunk: Chunk) -> Chunk:
    """Reject rows of a file that name no time: the present one would make the same file new each time it is read."""
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
    """Yield the values of each row as JSON can hold them, as exact as the record; without those that are missing."""
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
    """Yield the rows of *table* as they are kept in quarantine."""
    from fpa_core.arrow import columns

    times = columns.times_as_ns(table.column("timestamp").combine_chunks()).to_pylist()
    subjects = table.column(kind.by_field[kind.subject].name).to_pylist()
    for place, values in enumerate(values_of_rows(kind, table)):
        if records is not None and isinstance(records[place], PortfolioSnapshot) and records[place].positions:
            # They are in no table, and a snapshot is judged with them.
            values["positions"] = to_dict(records[place])["positions"]
        raw = json.dumps(values, ensure_ascii=False)
        told = tuple(finding.as_dict() for finding in findings[place])
        yield Quarantined(kind.name, subjects[place], times[place], rows[place], raw, told)


def _unshaped(kind: Kind, reject: Reject) -> Quarantined:
    finding = Finding(SHAPE, Severity.ERROR, reject.problem, kind.name)
    return Quarantined(kind.name, None, None, reject.row, reject.raw, (finding.as_dict(),), cells=reject.cells)


def _explain(batch: StoreBatch, kinds: Iterable[Kind]) -> Iterator[str]:
    if batch.counts.repeated:
        unique = [kind for kind in kinds if kind.venue_id or not kind.multiset]
        keys = " and ".join(f"{kind.name} are kept once for each {_words(kind)}" for kind in unique)
        yield f"{batch.counts.repeated:,} rows repeat a row of the same batch and were not stored twice: {keys}"
    if batch.known:
        yield f"{batch.known:,} refused rows were in quarantine already and count as duplicates"
    if batch.counts.revised:
        yield f"{batch.counts.revised:,} rows are other versions of stored ones; earlier versions stay in the history"


def _words(kind: Kind) -> str:
    names = kind.venue_id if kind.multiset else kind.key
    *most, last = [kind.by_field[name].name.replace("_", " ") for name in names]
    return f"{', '.join(most)} and {last}" if most else last
