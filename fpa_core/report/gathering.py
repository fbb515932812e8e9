"""Reading a file once and gathering all that its report shows, in bounded memory."""

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
"""Examples of each rule that a report shows."""


@define
class Example:
    """A row that broke a rule: its position in the file from 1, its columns as texts, and which of them the rule looked at."""

    finding: Finding
    row: int
    values: Mapping[str, str]


@define
class FileReport:
    """What was gathered of one file.

    :ivar rows: how many there are, rows that are no records included; ``refused`` how many an ingest would keep out, ``flagged`` how many broke any
        rule but are no errors.
    :ivar result: what the rules say; its findings have the positions of rows in the file, from 0.
    :ivar rules: the rules in force, by id, as :meth:`fpa_core.validator.DataValidator.rules` describes them.
    :ivar over_time: when each rule was broken; ``all_rows`` when there are rows.
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
        """As plain JSON-able values: what :meth:`fpa_core.validator.ValidationResult.as_dict` returns, and the name of the file."""
        return {"file": self.name} | self.result.as_dict()


def examine(
    name: str, validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None
) -> FileReport:
    """Judge the rows of *chunks*, and gather what there is to tell of them.

    :param name: what the report calls them.
    """
    gathered = _Gathering(name, validator)
    gathered.report.result = ingest.examine(gathered.validator, gathered.seen(chunks), progress=progress)
    return gathered.finished()


class _Gathering:
    """Looks at each chunk on its way to the rules, and at their verdicts on the way back."""

    def __init__(self, name: str, validator: DataValidator) -> None:
        # The same validator, but for a backend that lets us see what it says.
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
        """Return the report, once all chunks have gone by."""
        TimeCounts.aligned([self.report.all_rows, *self.report.over_time.values()])
        TimeCounts.aligned(self.report.coverage.series.values())
        return self.report


class _Watched:
    """A validator backend, and someone who hears its verdicts."""

    def __init__(self, backend: ValidatorBackend, heard: Any) -> None:
        self._backend = backend
        self._heard = heard

    def validate(self, kind: Kind, table: pa.Table, *arguments: Any, **options: Any) -> Sequence[Verdict]:
        """Judge a table."""
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
    """Yield each row as the texts of its columns; without those that are missing."""
    from fpa_core.arrow import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    cells = [
        read.get(column.type, lambda array: array)(table.column(column.name).combine_chunks()).to_pylist()
        for column in kind.columns
    ]
    names = [column.name for column in kind.columns]
    for row in zip(*cells, strict=True):
        yield {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}
