"""The quarantine entries of rejected rows and records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.arrow.conversion import to_table, values_of_rows
from fpa_core.kinds import Kind, kind_of
from fpa_core.models import PortfolioSnapshot
from fpa_core.protocols import SHAPE, Finding, Quarantined, Reject, Severity, is_shortened, shortened
from fpa_core.serialization import to_dict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EntryRoom", "rejected_record", "rejected_row", "rejected_rows"]


def rejected_row(kind: Kind, reject: Reject) -> Quarantined:
    """Return the quarantine entry of a row that could not be parsed."""
    finding = Finding(SHAPE, Severity.ERROR, reject.problem, kind.name)
    return Quarantined(kind.name, None, None, reject.row, reject.raw, (finding.as_dict(),), cells=reject.cells)


def rejected_record(record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
    """Return the quarantine entry of a record."""
    kind = kind_of(record)
    (entry,) = rejected_rows(kind, to_table(kind, [record]), [row], [findings], [record])
    return entry


def rejected_rows(
    kind: Kind,
    table: pa.Table,
    rows: Sequence[int | None],
    findings: Sequence[Sequence[Finding]],
    records: Sequence[Any] | None,
) -> Iterator[Quarantined]:
    """Yield the quarantine entries of the rows of *table*, which broke rules.

    :param rows: the numbers of the rows in their source.
    :param records: the same rows as records; None if they did not come as such.
    """
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


class EntryRoom:
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
