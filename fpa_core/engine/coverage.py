"""Entries of the ledger of fetched ranges: those of one batch that touch are one."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from fpa_core.engine.tables import Writer
from fpa_core.numbers import MAX_NS, MIN_NS
from fpa_core.protocols import CoverageEntry, Query

__all__ = ["coverage_order", "joined", "uncover"]


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


def uncover(tables: Writer, query: Query) -> None:
    """Take the time of *query* out of the ledger, for its subjects and interval, because its rows are gone. Entries of undone batches change, too: they may count again."""
    start_ns = MIN_NS if query.start_ns is None else query.start_ns
    end_ns = MAX_NS + 1 if query.end_ns is None else query.end_ns
    subjects = None if query.subjects is None else set(query.subjects)
    interval = query.equal.get("interval")

    def meets(entry: CoverageEntry) -> bool:
        return (
            entry.kind == query.kind.name
            and (subjects is None or entry.subject in subjects)
            and interval in (None, entry.interval)
            and entry.start_ns < end_ns
            and start_ns < entry.end_ns
        )

    for batch in {entry.batch for page in tables.coverage.scan() for entry in page if meets(entry)}:
        left = [
            part
            for entry in tables.coverage.of_batch(batch)
            for part in (_without(entry, start_ns, end_ns) if meets(entry) else [entry])
        ]
        tables.coverage.replace(batch, left)


def _without(entry: CoverageEntry, start_ns: int, end_ns: int) -> list[CoverageEntry]:
    """Return what is left of an entry; how its rows are divided is not known, so they stay with the first part."""
    edges = ((entry.start_ns, min(entry.end_ns, start_ns)), (max(entry.start_ns, end_ns), entry.end_ns))
    parts = [evolve(entry, start_ns=first, end_ns=last) for first, last in edges if first < last]
    return [evolve(part, rows=entry.rows if number == 0 else 0) for number, part in enumerate(parts)]
