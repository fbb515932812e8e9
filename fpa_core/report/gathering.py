"""Read a file once and collect the content of its report in bounded memory."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core import ingest
from fpa_core.arrow.conversion import texts_of_rows
from fpa_core.kinds import Kind
from fpa_core.protocols import SHAPE, Chunk, Severity, ValidatorBackend
from fpa_core.report.filereport import Example, FileReport
from fpa_core.report.gaps import Gaps
from fpa_core.report.prices import prices_of
from fpa_core.report.profiles import Profile
from fpa_core.report.provenance import Provenance, installed_version
from fpa_core.report.rows import FailedRows, Row
from fpa_core.report.series import Series, series_of, times_of
from fpa_core.report.timing import TimeCounts
from fpa_core.validator import ValidationResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from fpa_core.ingest import Progress
    from fpa_core.protocols import Verdict
    from fpa_core.validator import DataValidator

__all__ = ["examine"]

SHOWN = 5
"""The number of examples shown for each rule."""


def examine(
    name: str,
    validator: DataValidator,
    chunks: Iterator[Chunk],
    *,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> FileReport:
    """Validate the rows of *chunks* and return the content of their report.

    :param name: the title of the report.
    :param provenance: the origin of the rows; the version and the duration are filled in.
    :param timer: returns seconds.
    """
    started = timer()
    gathered = _Gathering(name, validator, provenance or Provenance())
    gathered.report.result = ingest.examine(gathered.validator, gathered.seen(chunks), progress=progress)
    report = gathered.finished()
    origin = report.provenance
    changed = origin.path is not None and origin.file is not None and not origin.file.still_holds(Path(origin.path))
    report.provenance = evolve(origin, changed=changed, version=installed_version(), seconds=timer() - started)
    return report


class _Gathering:
    """Observes each chunk before it is validated, and its verdicts afterwards."""

    def __init__(self, name: str, validator: DataValidator, provenance: Provenance) -> None:
        # The same validator, with a backend that passes its verdicts on to this object.
        self.validator = copy.copy(validator)
        self.validator.backend = _Watched(validator.backend, self._heard)
        rules = {rule["id"]: rule for rule in validator.rules()}
        self.report = FileReport(
            name, ValidationResult(0), rules, validator.level, provenance, Gaps(validator.sessions)
        )
        self._chunk: Chunk | None = None
        self._series: list[Series] = []

    def seen(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._chunk = chunk
            self._look(chunk)
            yield chunk

    def _look(self, chunk: Chunk) -> None:
        report = self.report
        self._series = []
        report.kinds[chunk.kind] = None
        report.notes += chunk.notes
        report.rows += chunk.table.num_rows + len(chunk.rejects)
        report.shapeless += len(chunk.rejects)
        report.refused += len(chunk.rejects)
        self._keep_rejects(chunk)
        if not chunk.table.num_rows:
            return
        times = times_of(chunk.table)
        first, last = int(times.min()), int(times.max())
        report.first_ns = first if report.first_ns is None else min(first, report.first_ns)
        report.last_ns = last if report.last_ns is None else max(last, report.last_ns)
        report.all_rows.add(times)
        report.ends.add(chunk.kind, chunk.table, chunk.rows)
        self._series = list(series_of(chunk.kind, chunk.table, times))
        for series in self._series:
            report.coverage.add(series)
            report.gaps.add(series)
        for column in chunk.kind.columns:
            profile = report.profiles.setdefault(column.name, Profile(column))
            profile.add(chunk.table.column(column.name))

    def _keep_rejects(self, chunk: Chunk) -> None:
        if not chunk.rejects:
            return
        kept = self.report.failed_rows.setdefault(SHAPE, FailedRows(["text"]))
        for reject in itertools.islice(chunk.rejects, kept.room):
            kept.add(Row(reject.row, {"text": reject.raw}), reject.problem)

    def _heard(self, kind: Kind, table: pa.Table, verdicts: Sequence[Verdict]) -> None:
        import numpy as np

        report = self.report
        times = times_of(table)
        broken = {str(severity): np.zeros(table.num_rows, bool) for severity in Severity}
        failures: list[tuple[str, str, npt.NDArray[np.bool_]]] = []
        for verdict in verdicts:
            failed = _failed(verdict)
            if not failed.any():
                continue
            broken[str(verdict.severity)] |= failed
            if verdict.severity is not Severity.INFO:
                failures.append((verdict.rule, str(verdict.severity), failed))
            report.severities[verdict.rule] = min(
                verdict.severity, report.severities.get(verdict.rule, verdict.severity), key=list(Severity).index
            )
            report.over_time.setdefault(verdict.rule, TimeCounts()).add(times[failed])
            self._keep_rows(kind, table, verdict, failed)
        accepted = ~broken["error"]
        report.refused += int(broken["error"].sum())
        report.warned += int((broken["warning"] & accepted).sum())
        report.noted += int((broken["info"] & ~broken["warning"] & accepted).sum())
        subject = table.column(kind.by_field[kind.subject].name).combine_chunks()
        report.symbols.add(subject.dictionary_encode(), broken)
        prices = prices_of(kind, table)
        if prices is not None:
            for series in self._series:
                report.prices.add(series, prices, accepted, failures)

    def _keep_rows(self, kind: Kind, table: pa.Table, verdict: Verdict, failed: npt.NDArray[np.bool_]) -> None:
        """Keep the first rows that broke a rule: some as examples, more as CSV."""
        import numpy as np

        columns = [column.name for column in kind.columns]
        kept = self.report.failed_rows.setdefault(verdict.rule, FailedRows(columns))
        examples = self.report.examples.setdefault(verdict.rule, [])
        wanted = np.flatnonzero(failed)[: kept.room].tolist()
        if not wanted:
            return
        assert self._chunk is not None
        found = self.validator.backend.explain(kind, verdict, table, len(wanted), records=self._chunk.records)
        texts = texts_of_rows(kind, table.take(wanted))
        for finding, place, values in zip(found, wanted, texts, strict=False):
            row = self._chunk.rows[place]
            kept.add(Row(row, values), finding.message)
            if len(examples) < SHOWN:
                examples.append(Example(finding, row, values))

    def finished(self) -> FileReport:
        """Return the report. Call it after all chunks have been validated."""
        TimeCounts.aligned([self.report.all_rows, *self.report.over_time.values()])
        TimeCounts.aligned(self.report.coverage.series.values())
        return self.report


class _Watched:
    """A validator backend that passes its verdicts to a callback."""

    def __init__(self, backend: ValidatorBackend, heard: Any) -> None:
        self._backend = backend
        self._heard = heard

    def validate(self, kind: Kind, table: pa.Table, *arguments: Any, **options: Any) -> Sequence[Verdict]:
        """Validate a table."""
        verdicts = self._backend.validate(kind, table, *arguments, **options)
        self._heard(kind, table, verdicts)
        return verdicts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _failed(verdict: Verdict) -> npt.NDArray[np.bool_]:
    import pyarrow.compute as pc

    passed = pc.fill_null(verdict.passed, True)
    failed: npt.NDArray[np.bool_] = pc.invert(passed).to_numpy(zero_copy_only=False)
    return failed
