"""From chunks of rows to a stored batch: validated, split, written, and set aside what was refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from fpa_core.models import PortfolioSnapshot
from fpa_core.protocols import Chunk, Finding, Quarantined, Reject, Severity, Tally
from fpa_core.records import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.serialization import to_dict
from fpa_core.store.quarantine import SHAPE

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.receipt import Receipt
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator, ValidationResult
    from fpa_core.validator.engine import Examination

__all__ = ["SHAPE", "LiveGate", "Progress", "chunks_of", "examine", "ingest", "refused_record", "with_times"]

Progress: TypeAlias = Callable[[int, float | None], None]
"""Told, as a source is read, how many rows have been read and what share of it that is, where it is known."""

EXAMPLES = 20
"""Rows that are no records shown by :func:`examine`; the rest are counted."""


def ingest(
    store: DataStore,
    validator: DataValidator,
    chunks: Iterator[Chunk],
    *,
    source: str,
    path: Path | None = None,
    progress: Progress | None = None,
) -> Receipt:
    """Store the good rows of *chunks* as one batch and set the others aside."""
    # A file that cannot be read shows it at once, before the database is touched.
    first = list(itertools.islice(chunks, 1))
    examination = validator.begin()
    kinds: dict[Kind, None] = {}
    notes: list[str] = []
    warnings: dict[str, int] = {}
    read = 0
    name, digest = (None, None) if path is None else (path.name, _digest(path))
    with store.batch(source=source, file=name, digest=digest) as batch:
        for chunk in itertools.chain(first, chunks):
            kinds[chunk.kind] = None
            notes += chunk.notes
            read += chunk.table.num_rows + len(chunk.rejects)
            _take(store, batch, examination, chunk, warnings)
            if progress is not None:
                progress(read, chunk.progress)
        batch.finish(read=read)
    return evolve(
        batch.receipt,
        kind=next(iter(kinds)).name if len(kinds) == 1 else None,
        warnings=warnings,
        notes=(*notes, *_explain(batch, kinds)),
    )


def examine(validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None) -> ValidationResult:
    """Judge the rows of *chunks* without storing them; rows that are no records count under the rule ``record.shape``."""
    examination = validator.begin()
    shapeless: list[Finding] = []
    rows = bad = 0
    found: list[Finding] = []
    judged = 0
    for chunk in chunks:
        examination.count(chunk.kind, chunk.table)
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
    from fpa_core.conversion import to_table

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
    store: DataStore, batch: StoreBatch, examination: Examination, chunk: Chunk, warnings: dict[str, int]
) -> None:
    """Write the good rows of a chunk and set the others aside."""
    split = examination.split(chunk.kind, chunk.table, chunk.records)
    batch.write(chunk.kind, split.accepted)
    if chunk.kind is SNAPSHOTS and chunk.records is not None:
        store.drop_sold(batch, [chunk.records[row] for row in split.accepted_rows])
    for rule, count in split.flagged.items():
        warnings[rule] = warnings.get(rule, 0) + count
    kept_out = [_unshaped(chunk.kind, reject) for reject in chunk.rejects]
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
    from fpa_core.conversion import to_table

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
    for position, values in zip(positions, _values(chunk.kind, chunk.table.take(positions)), strict=True):
        cells = {name: str(value) for name, value in values.items()}
        raw = json.dumps(values, ensure_ascii=False)
        yield Reject(chunk.rows[position], raw, "timestamp is missing", cells)


def _values(kind: Kind, table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the values of each row as JSON can hold them, as exact as the record; without those that are missing."""
    from fpa_core import columns

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
    from fpa_core import columns

    times = columns.times_as_ns(table.column("timestamp").combine_chunks()).to_pylist()
    subjects = table.column(kind.by_field[kind.subject].name).to_pylist()
    for place, values in enumerate(_values(kind, table)):
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
