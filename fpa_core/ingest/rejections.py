"""Rejected rows, counted by reason, and when they are so many that the whole source is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.numbers import to_decimal
from fpa_core.protocols import Chunk, Finding, Reject, Rejection

__all__ = ["RejectionCounts", "RejectionLimit", "first_rows"]

LOOKED_AT = 1_000
"""If this many rows from the first on all fail for the same reason, the whole file is rejected."""


def _reason(reject: Reject) -> str:
    return reject.reason or reject.problem


class RejectionCounts:
    """Counts rejected rows by reason, and keeps the first row of each reason.

    :ivar rows: rows so far.
    """

    MOST = 1_000
    """The number of reasons that are kept."""

    def __init__(self) -> None:
        self._found: dict[str, Rejection] = {}
        self.rows = 0

    def add_unparsable(self, reject: Reject) -> None:
        """Count a row that could not be parsed."""
        self._add(_reason(reject), reject.row, reject.problem, reject.hint)

    def add_invalid(self, finding: Finding, row: int) -> None:
        """Count a row by the worst finding on it."""
        self._add(finding.rule, row, f"{finding.rule}: {finding.message}", None)

    def _add(self, reason: str, row: int | None, example: str, hint: str | None) -> None:
        self.rows += 1
        known = self._found.get(reason)
        if known is not None:
            self._found[reason] = evolve(known, rows=known.rows + 1)
        elif len(self._found) < self.MOST:
            self._found[reason] = Rejection(reason, 1, row, example, hint)

    def most_frequent(self, count: int = 10) -> list[Rejection]:
        """Return the most frequent reasons, the most frequent first."""
        return sorted(self._found.values(), key=lambda each: -each.rows)[:count]


class RejectionLimit:
    """The number of rows that may be rejected.

    :param said: the number, or a share of all rows as ``"1%"``; None for no limit.
    :raises DataError: if *said* is neither.
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

    def check(self, rejected: RejectionCounts, read: int, *, whole: bool = False) -> None:
        """Check the rows rejected so far.

        :param read: rows read so far.
        :param whole: whether these are all; a share is checked only then.
        :raises DataError: if more rows are rejected than allowed.
        """
        over = (self._rows is not None and rejected.rows > self._rows) or (
            whole and self._share is not None and rejected.rows > self._share * read
        )
        if over:
            most = rejected.most_frequent(1)[0]
            allowed = f"{self._rows:,}" if self._share is None else f"{self._share * 100:f} %"
            raise DataError(
                f"{rejected.rows:,} of {read:,} rows were rejected, but only {allowed} are allowed, so nothing was stored; "
                f"row {most.row}: {most.example}",
                hint=most.hint,
                row=most.row,
            )


def first_rows(chunks: Iterator[Chunk]) -> list[Chunk]:
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


def _refusal(rejects: Sequence[Reject], *, whole: bool) -> DataError:
    one = rejects[0]
    rows = "all rows" if whole else f"the first {len(rejects):,} rows"
    return DataError(
        f"{rows} fail for the same reason, so nothing was stored; row {one.row}: {one.problem}",
        hint=one.hint
        or "`fpa sniff FILE` shows how the file is read; change that with --column, --tz or --time-format",
        row=one.row,
    )
