"""From chunks of rows to a stored batch: validated, split, written, and set aside what was refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from fpa_core.protocols import Chunk, Finding, Quarantined, Reject, Severity, Tally
from fpa_core.records import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.receipt import Receipt
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator, ValidationResult
    from fpa_core.validator.engine import Examination

__all__ = ["SHAPE", "LiveGate", "Progress", "chunks_of", "examine", "ingest", "with_times"]

Progress: TypeAlias = Callable[[int, float | None], None]
"""Told, as a source is read, how many rows have been read and what share of it that is, where it is known."""

SHAPE = "record.shape"
"""The name under which rows that are no records are quarantined."""

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
) -> tuple[Receipt, list[Quarantined]]:
    """Store the good rows of *chunks* as one batch and set the others aside; return the receipt and what was refused."""
    # A file that cannot be read shows it at once, before the database is touched.
    first = list(itertools.islice(chunks, 1))
    examination = validator.begin()
    kinds: dict[Kind, None] = {}
    notes: list[str] = []
    refused: list[Quarantined] = []
    warnings: dict[str, int] = {}
    read = 0
    name, digest = (None, None) if path is None else (path.name, _digest(path))
    with store.batch(source=source, file=name, digest=digest) as batch:
        for chunk in itertools.chain(first, chunks):
            kinds[chunk.kind] = None
            notes += chunk.notes
            read += chunk.table.num_rows + len(chunk.rejects)
            refused += _take(store, batch, examination, chunk, warnings)
            if progress is not None:
                progress(read, chunk.progress)
        batch.finish(read=read)
    receipt = evolve(
        batch.receipt,
        kind=next(iter(kinds)).name if len(kinds) == 1 else None,
        warnings=warnings,
        notes=(*notes, *_explain(batch, kinds)),
    )
    return receipt, refused


def examine(validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None) -> ValidationResult:
    """Judge the rows of *chunks* without storing them; rows that are no records count under the rule ``record.shape``."""
    examination = validator.begin()
    shapeless: list[Finding] = []
    rows = bad = 0
    for chunk in chunks:
        examination.count(chunk.kind, chunk.table)
        rows += chunk.table.num_rows + len(chunk.rejects)
        bad += len(chunk.rejects)
        shapeless += [
            Finding(SHAPE, Severity.ERROR, reject.problem, chunk.kind.name, row=reject.row - 1)
            for reject in chunk.rejects[: EXAMPLES - len(shapeless)]
        ]
        if progress is not None:
            progress(rows, chunk.progress)
    result = examination.result()
    if not bad:
        return result
    counts = {SHAPE: Tally(evaluated=rows, failed=bad), **result.counts}
    return evolve(result, rows=rows, findings=(*shapeless, *result.findings), counts=counts)


def chunks_of(store: DataStore, records: Any) -> Iterator[Chunk]:
    """Return one record or many, of any kinds, as chunks, completed as the store would."""
    from fpa_core.records import to_table

    for kind, group in store.grouped(records).items():
        yield Chunk(kind, to_table(kind, group), range(1, len(group) + 1), records=group)


class LiveGate:
    """Judges the records of a live stream by the rules, and tells plugins; see :class:`fpa_core.store.stream.Gate`."""

    def __init__(self, validator: DataValidator, notify: Callable[..., None]) -> None:
        self._validator = validator
        self._notify = notify
        self._memory: dict[str, Any] = {}

    def judge(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return what the rules say of a record, and how it is kept aside if it breaks one of severity error."""
        from fpa_core.records import to_table

        findings = self._validator.check(record, self._memory)
        if not any(finding.severity is Severity.ERROR for finding in findings):
            return findings, None
        kind = kind_of(record)
        return findings, _refused(kind, to_table(kind, [record]), 0, row, findings)

    def refused(self, batch: int, records: Sequence[Quarantined]) -> None:
        """Tell plugins of records that have been kept aside."""
        self._notify("fpa_quarantined", batch=batch, records=records)

    def ended(self, receipt: Receipt) -> None:
        """Tell plugins what the stream has brought."""
        self._notify("fpa_ingested", receipt=receipt)


def _take(
    store: DataStore, batch: StoreBatch, examination: Examination, chunk: Chunk, warnings: dict[str, int]
) -> list[Quarantined]:
    """Write the good rows of a chunk and set the others aside."""
    split = examination.split(chunk.kind, chunk.table, chunk.records)
    batch.write(chunk.kind, split.accepted)
    if chunk.kind is SNAPSHOTS and chunk.records is not None:
        store.drop_sold(batch, [chunk.records[row] for row in split.accepted_rows])
    for rule, count in split.flagged.items():
        warnings[rule] = warnings.get(rule, 0) + count
    kept_out = [_unshaped(chunk.kind, reject) for reject in chunk.rejects]
    kept_out += [
        _refused(chunk.kind, chunk.table, position, chunk.rows[position], findings)
        for position, findings in split.refused
    ]
    if kept_out:
        batch.quarantine(kept_out)
    return kept_out


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
    rejects = [_timeless(chunk, position) for position in timeless]
    kept = times.is_valid()
    rows = list(itertools.compress(chunk.rows, kept.to_pylist()))
    return evolve(chunk, table=chunk.table.filter(kept), rows=rows, rejects=(*chunk.rejects, *rejects))


def _timeless(chunk: Chunk, position: int) -> Reject:
    return Reject(chunk.rows[position], _raw(chunk.kind, chunk.table, position), "timestamp is missing")


def _raw(kind: Kind, table: pa.Table, position: int) -> str:
    """Return a row as JSON, as exact as the record."""
    from fpa_core.numbers import decimal_text, ns_text

    values = {}
    for column in kind.columns:
        value = table.column(column.name)[position]
        if not value.is_valid:
            continue
        if column.type == "time":
            values[column.name] = ns_text(value.value)
        elif column.type == "decimal" and not isinstance(value.as_py(), str):
            values[column.name] = decimal_text(value.as_py())
        else:
            values[column.name] = value.as_py()
    return json.dumps(values, ensure_ascii=False)


def _refused(kind: Kind, table: pa.Table, position: int, row: int, findings: Sequence[Finding]) -> Quarantined:
    time_ = table.column("timestamp")[position]
    subject = table.column(kind.by_field[kind.subject].name)[position].as_py()
    return Quarantined(
        kind.name,
        subject,
        time_.value if time_.is_valid else None,
        row,
        _raw(kind, table, position),
        tuple(finding.as_dict() for finding in findings),
    )


def _unshaped(kind: Kind, reject: Reject) -> Quarantined:
    finding = Finding(SHAPE, Severity.ERROR, reject.problem, kind.name)
    return Quarantined(kind.name, None, None, reject.row, reject.raw, (finding.as_dict(),))


def _explain(batch: StoreBatch, kinds: Iterable[Kind]) -> Iterator[str]:
    if batch.counts.repeated:
        unique = [kind for kind in kinds if kind.venue_id or not kind.multiset]
        keys = " and ".join(f"{kind.name} are kept once for each {_words(kind)}" for kind in unique)
        yield f"{batch.counts.repeated:,} rows repeat a row of the same batch and were not stored twice: {keys}"
    if batch.counts.revised:
        yield f"{batch.counts.revised:,} rows are other versions of stored ones; earlier versions stay in the history"


def _words(kind: Kind) -> str:
    names = kind.venue_id if kind.multiset else kind.key
    *most, last = [kind.by_field[name].name.replace("_", " ") for name in names]
    return f"{', '.join(most)} and {last}" if most else last
