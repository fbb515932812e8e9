"""Entries of the ledger of fetched ranges: those of one batch that touch are one."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from fpa_core.protocols import CoverageEntry

__all__ = ["coverage_order", "joined"]


def coverage_order(entry: CoverageEntry) -> tuple[str, str, str, str, int, int]:
    """Return the order of the ledger: by kind, subject, interval (None first), origin, start and batch."""
    return entry.kind, entry.subject, entry.interval or "", entry.origin, entry.start_ns, entry.batch


def joined(entries: Iterable[CoverageEntry]) -> list[CoverageEntry]:
    """Return the entries of one batch in the order of the ledger, with ranges of a subject that touch or overlap as one, their rows added up."""
    found: list[CoverageEntry] = []
    for entry in sorted(entries, key=coverage_order):
        last = found[-1] if found else None
        if last is not None and _subject(last) == _subject(entry) and entry.start_ns <= last.end_ns:
            found[-1] = evolve(last, end_ns=max(last.end_ns, entry.end_ns), rows=last.rows + entry.rows)
        else:
            found.append(entry)
    return found


def _subject(entry: CoverageEntry) -> tuple[str, str, str | None, str]:
    return entry.kind, entry.subject, entry.interval, entry.origin
