"""Validate chunks of rows without storing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from fpa_core.protocols import SHAPE, Chunk, Finding, Severity, Tally

if TYPE_CHECKING:
    from fpa_core.ingest.chunks import Progress
    from fpa_core.validator import DataValidator, ValidationResult

__all__ = ["EXAMPLES", "RowCounts", "examine"]

EXAMPLES = 20
"""The number of unparsable rows that become findings. The rest are only counted."""


class RowCounts:
    """Counts the rows of chunks, and the unparsable ones among them under the rule ``record.shape``.

    :ivar rows: all rows so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._unparsable = 0
        self._findings: list[Finding] = []

    def add(self, chunk: Chunk, file: str | None = None) -> None:
        """Count the rows of a chunk, which is of *file* if there are several."""
        self.rows += chunk.table.num_rows + len(chunk.rejects)
        self._unparsable += len(chunk.rejects)
        self._findings += [
            Finding(SHAPE, Severity.ERROR, reject.problem, chunk.kind.name, row=reject.row - 1, file=file)
            for reject in chunk.rejects[: EXAMPLES - len(self._findings)]
        ]

    def complete(self, result: ValidationResult, findings: Sequence[Finding]) -> ValidationResult:
        """Return the result of the rows that could be parsed, with the others; *findings* take the place of its own."""
        counts = result.counts
        if self._unparsable:
            counts = {SHAPE: Tally(evaluated=self.rows, failed=self._unparsable), **counts}
        return evolve(result, rows=self.rows, findings=(*self._findings, *findings), counts=counts)


def examine(validator: DataValidator, chunks: Iterator[Chunk], *, progress: Progress | None = None) -> ValidationResult:
    """Validate the rows of *chunks* without storing them. Unparsable rows are counted under the rule ``record.shape``."""
    run = validator.start_run()
    counts = RowCounts()
    found: list[Finding] = []
    judged = 0
    for chunk in chunks:
        run.validate(chunk.kind, chunk.table)
        for finding in run.result().findings[len(found) :]:
            place = -1 if finding.row is None else finding.row - judged
            here = 0 <= place < len(chunk.rows)
            found.append(evolve(finding, row=chunk.rows[place] - 1) if here else finding)
        judged += chunk.table.num_rows
        counts.add(chunk)
        if progress is not None:
            progress(counts.rows, chunk.progress)
    return counts.complete(run.result(), found)
