"""The content of the report on one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from fpa_core.kinds import Kind
from fpa_core.protocols import Finding, Severity
from fpa_core.report.gaps import Gaps
from fpa_core.report.prices import PriceLines
from fpa_core.report.profiles import Profile
from fpa_core.report.provenance import Provenance
from fpa_core.report.rows import Ends, FailedRows
from fpa_core.report.series import Coverage, SymbolTable
from fpa_core.report.timing import TimeCounts
from fpa_core.validator import ValidationResult

__all__ = ["Example", "FileReport"]


@define
class Example:
    """A row that broke a rule: the finding, its position in the file from 1, and its columns as text."""

    finding: Finding
    row: int
    values: Mapping[str, str]


@define
class FileReport:
    """The content of the report on one file. Every row is counted once in ``refused``, ``warned``, ``noted`` or not at all.

    :ivar rows: the number of rows, including those that could not be parsed.
    :ivar refused: the number of rows an ingest would reject.
    :ivar warned: the number of other rows that broke a rule of severity warning.
    :ivar noted: the number of other rows that broke a rule of severity info.
    :ivar shapeless: the number of rows that could not be parsed.
    :ivar result: the result of the validation; its findings have the positions of rows in the file, from 0.
    :ivar rules: the enabled rules, by id, as :meth:`fpa_core.validator.DataValidator.rules` describes them.
    :ivar provenance: the file, the version of fpa and the configuration.
    :ivar over_time: the times of the failures of each rule; ``all_rows`` has the times of all rows.
    :ivar failed_rows: the first failing rows of each rule, as CSV.
    """

    name: str
    result: ValidationResult
    rules: Mapping[str, Mapping[str, Any]]
    level: str
    provenance: Provenance
    gaps: Gaps
    rows: int = 0
    refused: int = 0
    warned: int = 0
    noted: int = 0
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
    prices: PriceLines = field(factory=PriceLines)
    ends: Ends = field(factory=Ends)
    examples: dict[str, list[Example]] = field(factory=dict)
    failed_rows: dict[str, FailedRows] = field(factory=dict)

    @property
    def flagged(self) -> int:
        """The number of rows that broke rules, but none of severity error."""
        return self.warned + self.noted

    def as_dict(self) -> dict[str, Any]:
        """Return the values of :meth:`fpa_core.validator.ValidationResult.as_dict`, and the name of the file, as JSON-compatible data."""
        return {"file": self.name} | self.result.as_dict()
