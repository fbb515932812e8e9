"""Read a file once and collect the content of its report in bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from fpa_core import ingest
from fpa_core.kinds import Kind
from fpa_core.protocols import Chunk, Finding, Severity, ValidatorBackend
from fpa_core.report.profiles import Profile
from fpa_core.report.series import Coverage, SymbolTable, times_of
from fpa_core.report.timing import TimeCounts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from fpa_core.ingest import Progress
    from fpa_core.protocols import Verdict
    from fpa_core.validator import DataValidator, ValidationResult

__all__ = ["Example", "FileReport", "examine"]

SHOWN = 5
"""The number of examples shown for each rule."""


@define
class Example:
    """A row that broke a rule: the finding, its position in the file from 1, and its columns as text."""

    finding: Finding
    row: int
    values: Mapping[str, str]


@define
class FileReport:
    """The content of the report on one file.

    :ivar rows: the number of rows, including those that could not be parsed; ``refused`` counts those an ingest would reject, ``flagged`` those
        that broke rules, but none of severity error.
    :ivar result: the result of the validation; its findings have the positions of rows in the file, from 0.
    :ivar rules: the enabled rules, by id, as :meth:`fpa_core.validator.DataValidator.rules` describes them.
    :ivar over_time: the times of the failures of each rule; ``all_rows`` has the times of all rows.
    """

    name: str
    result: ValidationResult
    rules: Mapping[str, Mapping[str, Any]]
    level: str
    rows: int = 0
    refused: int = 0
    flagged: int = 0
    shapeless: int = 0
    kinds: dict[Kind, None] = field(factory=dict)
    notes: list[str] = field(factory=list)
    all_rows: TimeCounts = field(factory=TimeCounts)
    first_ns: int | None = None
    last_ns: int | None = None
    over_time: dict[str, TimeCounts] = field(factory=dict)
    severities: dict[str, Severity] = field(factory=dict)
    profiles: dict[str, Profile] = field(factory=dict)
    symbols: SymbolTable = field(factory=SymbolTable)
    coverage: Coverage = field(factory=Coverage)
    examples: dict[str, list[Example]] = field(factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the values of :meth:`fpa_core.validator.ValidationResult.as_dict`, and the name of the file, as JSON-compatible data."""
        return {"file": self.name} | self.result.as_dict()


def examine(
    name: str, validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None
) -> FileReport:
    """Validate the rows of *chunks* and return the content of their report.

    :param name: the title of the report.
    """
    gathered = _Gathering(name, validator)
    gathered.report.result = ingest.examine(gathered.validator, gathered.seen(chunks), progress=progress)
    return gathered.finished()


class _Gathering:
    """Observes each chunk before it is validated, and its verdicts afterwards."""

    def __init__(self, name: str, validator: DataValidator) -> None:
        # The same validator, with a backend that passes its verdicts on to this object.
        self.validator = copy.copy(validator)
        self.validator.backend = _Watched(validator.backend, self._heard)
        rules = {rule["id"]: rule for rule in validator.rules()}
        nothing: Any = None
        self.report = FileReport(name, nothing, rules, validator.level)
        self._chunk: Chunk | None = None

    def seen(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._chunk = chunk
            self._look(chunk)
            yield chunk

    def _look(self, chunk: Chunk) -> None:
        report = self.report
        report.kinds[chunk.kind] = None
        report.notes += chunk.notes
        report.rows += chunk.table.num_rows + len(chunk.rejects)
        report.shapeless += len(chunk.rejects)
        report.refused += len(chunk.rejects)
        if not chunk.table.num_rows:
            return
        times = times_of(chunk.table)
        first, last = int(times.min()), int(times.max())
        report.first_ns = first if report.first_ns is None else min(first, report.first_ns)
        report.last_ns = last if report.last_ns is None else max(last, report.last_ns)
        report.all_rows.add(times)
        report.coverage.add(chunk.kind, chunk.table, times)
        for column in chunk.kind.columns:
            profile = report.profiles.setdefault(column.name, Profile(column))
            profile.add(chunk.table.column(column.name))

    def _heard(self, kind: Kind, table: pa.Table, verdicts: Sequence[Verdict]) -> None:
        import numpy as np

        report = self.report
        times = times_of(table)
        broken = {str(severity): np.zeros(table.num_rows, bool) for severity in Severity}
        for verdict in verdicts:
            failed = _failed(verdict)
            if not failed.any():
                continue
            broken[str(verdict.severity)] |= failed
            report.severities[verdict.rule] = min(
                verdict.severity, report.severities.get(verdict.rule, verdict.severity), key=list(Severity).index
            )
            report.over_time.setdefault(verdict.rule, TimeCounts()).add(times[failed])
            self._keep_examples(kind, table, verdict, np.flatnonzero(failed)[:SHOWN].tolist())
        report.refused += int(broken["error"].sum())
        report.flagged += int(((broken["warning"] | broken["info"]) & ~broken["error"]).sum())
        subject = table.column(kind.by_field[kind.subject].name).combine_chunks()
        report.symbols.add(subject.dictionary_encode(), broken)

    def _keep_examples(self, kind: Kind, table: pa.Table, verdict: Verdict, rows: list[int]) -> None:
        kept = self.report.examples.setdefault(verdict.rule, [])
        wanted = rows[: SHOWN - len(kept)]
        if not wanted:
            return
        assert self._chunk is not None
        backend = self.validator.backend
        records = self._chunk.records
        part = list(backend.explain(kind, verdict, table, len(wanted), records=records))
        texts = _texts(kind, table.take(wanted))
        for finding, row, values in zip(part, wanted, texts, strict=False):
            kept.append(Example(finding, self._chunk.rows[row], values))

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


def _texts(kind: Kind, table: pa.Table) -> Iterator[dict[str, str]]:
    """Yield the columns of each row as text, without missing values."""
    from fpa_core.arrow import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    cells = [
        read.get(column.type, lambda array: array)(table.column(column.name).combine_chunks()).to_pylist()
        for column in kind.columns
    ]
    names = [column.name for column in kind.columns]
    for row in zip(*cells, strict=True):
        yield {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}
