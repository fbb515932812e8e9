"""Validate records one at a time, as a live stream brings them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fpa_core.ingest.entries import rejected_record
from fpa_core.protocols import Finding, Quarantined, Severity

if TYPE_CHECKING:
    from fpa_core.validator import DataValidator

__all__ = ["LiveValidator"]


class LiveValidator:
    """Checks the records of a live stream against the rules; see :class:`fpa_core.store.streams.record_filter.RecordFilter`.

    :param notify: notifies plugins.
    """

    def __init__(self, validator: DataValidator, notify: Callable[..., None]) -> None:
        self._validator = validator
        self._notify = notify
        self._memory: dict[str, Any] = {}

    def check(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return the findings on a record, and its quarantine entry if it breaks a rule of severity error, else None."""
        findings = self._validator.check(record, self._memory)
        if not any(finding.severity is Severity.ERROR for finding in findings):
            return findings, None
        return findings, rejected_record(record, row, findings)

    def rejected(self, batch: int, records: Sequence[Quarantined]) -> None:
        """Notify plugins of quarantined records."""
        self._notify("fpa_quarantined", batch=batch, records=records)
