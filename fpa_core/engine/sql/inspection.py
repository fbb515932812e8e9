"""A look at the whole of an SQL database: how many rows it holds, and which of them refer to rows that are not there."""

from __future__ import annotations

from collections.abc import Iterator

from fpa_core.engine.sql.session import Session
from fpa_core.kinds import KINDS
from fpa_core.protocols import KindFigures, Problem

__all__ = ["dangling", "figures_of_kinds"]

# References that hold, though no constraint of the database says so.
_REFERENCES = (
    ("segments", "segment_contents", "SELECT id FROM segments WHERE id NOT IN (SELECT id FROM segment_contents)"),
    (
        "retired_segments",
        "segment_contents",
        "SELECT id FROM retired_segments WHERE id NOT IN (SELECT id FROM segment_contents)",
    ),
    (
        "segment_contents",
        "segments or retired_segments",
        "SELECT id FROM segment_contents WHERE id NOT IN (SELECT id FROM segments UNION ALL SELECT id FROM retired_segments)",
    ),
    ("coverage", "batches", "SELECT batch FROM coverage WHERE batch NOT IN (SELECT id FROM batches)"),
    (
        "quarantine",
        "quarantine_findings",
        "SELECT id FROM quarantine WHERE findings NOT IN (SELECT id FROM quarantine_findings)",
    ),
    (
        "quarantine",
        "quarantine_layouts",
        "SELECT id FROM quarantine WHERE layout IS NOT NULL AND layout NOT IN (SELECT id FROM quarantine_layouts)",
    ),
    (
        "quarantine_history",
        "quarantine",
        "SELECT record FROM quarantine_history WHERE record NOT IN (SELECT id FROM quarantine)",
    ),
    (
        "quarantine_history",
        "quarantine_findings",
        "SELECT record FROM quarantine_history WHERE findings NOT IN (SELECT id FROM quarantine_findings)",
    ),
)


def dangling(session: Session, where: str) -> Iterator[Problem]:
    """Yield the rows that refer to rows that are not there.

    :param where: the database, for the answer.
    """
    for table, other, sql in _REFERENCES:
        missing = [row[0] for row in session.query(f"{sql} ORDER BY 1")]
        if missing:
            some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            yield Problem(
                "reference",
                f"{where}, table {table}",
                f"{len(missing):,} rows have no counterpart in {other}: {some}",
                "restore the database from a backup: `fpa store restore BACKUP --replace`",
            )


def figures_of_kinds(session: Session) -> dict[str, KindFigures]:
    """Return how much there is of each kind, by its name."""
    # Some databases add integers up to another type.
    sums = session.query(
        "SELECT kind, count(*), CAST(sum(rows) AS BIGINT), CAST(sum(bytes) AS BIGINT) FROM segments GROUP BY kind"
    )
    sealed = {name: figures for name, *figures in sums}
    found = {}
    for name, hot in session.query(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in KINDS)):
        segments, rows, size = sealed.get(name, (0, 0, 0))
        found[name] = KindFigures(hot + rows, hot, rows, segments, size)
    return found
