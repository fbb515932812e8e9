"""Mending what a check has found, where nothing is lost by it that was not lost already."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve

from fpa_core.engine.audit_log import AuditTrail, append
from fpa_core.engine.coverage import uncover
from fpa_core.engine.tables import Database, Writer, announce
from fpa_core.engine.transaction import begin
from fpa_core.kinds import KINDS
from fpa_core.numbers import ns_text
from fpa_core.operations.audit_log import AnchorSources
from fpa_core.operations.check import CheckReport, check
from fpa_core.operations.ledger import SET_ASIDE, ahead_of
from fpa_core.outputs import private_folder, whole_file
from fpa_core.protocols import Batch, Problem, Query

__all__ = ["repair"]

_MOST_FILES = 10


def repair(
    database: Database,
    report: CheckReport,
    *,
    now_ns: int | None = None,
    audit: AuditTrail | None = None,
    anchors: AnchorSources | None = None,
    aside: Path | None = None,
) -> CheckReport:
    """Mend what can be mended of the problems of *report*, and return what was mended and what is still wrong.

    A damaged segment is set aside: its bytes go to a file, as far as they can be read, and reads work again without its rows.
    Batches that were recorded in the future are recorded now. All else is left as it is.

    :param audit: is told of the entries in the audit log; ``anchors`` is what that log is compared with in the end.
    :param aside: the folder for the bytes of damaged segments; None to keep none.
    """
    audit = AuditTrail() if audit is None else audit
    now_ns = time.time_ns() if now_ns is None else now_ns
    mended = [*_set_aside(database, report.problems, audit, aside), *_correct_clock(database, now_ns, audit)]
    again = check(database, now_ns=now_ns, anchors=anchors)
    return evolve(again, problems=(*mended, *again.problems))


def _set_aside(
    database: Database, problems: Iterable[Problem], audit: AuditTrail, aside: Path | None
) -> Iterator[Problem]:
    for problem in problems:
        if problem.segment is None or problem.batches is None:
            continue
        first, last = problem.batches
        with database.salvager("set a damaged segment aside") as tables:
            kept = _save(tables, problem.segment, aside)
            _uncover(tables, problem.segment)
            # No two share a number: it is in one of the two catalogs.
            tables.segments.remove([problem.segment])
            tables.retired.remove([problem.segment])
            batches = [one for page in tables.batches.scan() for one in page if first <= one.id <= last]
            # A batch of its own says what is missing from now on, and since when.
            note = {"segment": problem.where, "first": first, "last": last, "rows": problem.rows}
            number = begin(tables, Batch(0, SET_ASIDE, 0)).id
            tables.batches.amend(number, reading=json.dumps(note))
            entry = append(tables.audit_log, "repair", {"set_aside": note}, batch=number)
            announce(database, dict.fromkeys(KINDS.values()))
        audit.committed(entry)
        yield evolve(
            problem,
            problem=f"{problem.problem}; it was set aside, with {problem.rows:,} rows: {kept}",
            remedy=f"its rows come back from {_sources(batches)}",
            repaired=True,
        )


def _uncover(tables: Writer, segment: int) -> None:
    """Take the time of a segment out of the ledger of fetched ranges, so that its rows are fetched again."""
    for kind in KINDS.values():
        for info in tables.segments.find(Query(kind)) if kind.multiset else ():
            if info.id == segment:
                uncover(tables, Query(kind, (info.subject,), info.first_ns, info.last_ns + 1))
                return


def _save(tables: Writer, segment: int, folder: Path | None) -> str:
    """Write the bytes of a segment to a file in *folder*, if they can be read, and return what became of them."""
    content = tables.segments.contents([segment]).get(segment)
    if content is None:
        return "nothing of it could be read"
    if folder is None:
        return "its bytes were not kept"
    private_folder(folder)
    target = folder / f"segment-{segment}-{time.time_ns()}.bin"
    with whole_file(target) as stream:
        stream.write(content)
    return f"its bytes are in {target}"


def _sources(batches: Sequence[Batch]) -> str:
    """Return the batches that brought rows by their files."""
    named = [f"{batch.file or batch.origin} (batch {batch.id})" for batch in batches]
    more = f", and {len(named) - _MOST_FILES} more" if len(named) > _MOST_FILES else ""
    return ", ".join(named[:_MOST_FILES]) + more


def _correct_clock(database: Database, now_ns: int, audit: AuditTrail) -> Iterator[Problem]:
    with database.reader("look at the clock of batches") as tables:
        ahead, latest_ns = ahead_of(tables, now_ns)
    if not ahead:
        return
    # The order of the batches stays, and none becomes earlier than one that came before it.
    first_ns = max(now_ns - len(ahead), latest_ns + 1)
    with database.writer("correct the clock of batches") as tables:
        for place, batch in enumerate(ahead):
            tables.batches.amend(batch.id, recorded_ns=first_ns + place)
        details = {
            "clock": {"batches": [ahead[0].id, ahead[-1].id], "before_ns": ahead[0].recorded_ns, "after_ns": first_ns}
        }
        entry = append(tables.audit_log, "repair", details)
    audit.committed(entry)
    for place, batch in enumerate(ahead):
        problem = f"it was recorded at {ns_text(batch.recorded_ns)}; that is {ns_text(first_ns + place)} now"
        yield Problem("clock", f"batch {batch.id}", problem, "set the clock of the computer right", repaired=True)
