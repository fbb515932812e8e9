"""What decides which records of a stream are stored and which are quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fpa_core.protocols import Finding, Quarantined

__all__ = ["RecordFilter"]


class RecordFilter(Protocol):
    """Checks the records of one stream before they are stored, in one thread, in the order of their writing."""

    def check(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return the findings on a record, and its quarantine entry if it must not be stored.

        :param row: its number in the stream, from 1.
        """
        ...

    def rejected(self, batch: int, records: Sequence[Quarantined]) -> None:
        """React to the records that a commit quarantined.

        :param batch: the batch of the stream.
        """
        ...
