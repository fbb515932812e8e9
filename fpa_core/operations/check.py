"""The check of a whole store: everything that is kept twice, or in relation to something else, is compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from attrs import field, frozen

from fpa_core.engine.audit_log import unfinished_copy
from fpa_core.engine.tables import Database
from fpa_core.kinds import KINDS
from fpa_core.operations import contents, ledger
from fpa_core.operations.audit_log import AnchorSources, verify_audit_log
from fpa_core.operations.guard import guarded
from fpa_core.protocols import Problem, Severity, Tick

__all__ = ["CheckReport", "check"]


@frozen
class CheckReport:
    """What a check found.

    :ivar problems: in the order of the checks.
    :ivar checked: how much was looked at: batches, rejected rows, and of each kind the rows, segments and rows of the history.
    :ivar seconds: how long it took.
    """

    problems: tuple[Problem, ...]
    checked: Mapping[str, int] = field(factory=dict)
    seconds: float = 0.0

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors and were not mended."""
        return tuple(one for one in self.problems if one.severity is Severity.ERROR and not one.repaired)


def check(
    database: Database,
    *,
    now_ns: int | None = None,
    anchors: AnchorSources | None = None,
    tick: Tick = lambda _done, _all: None,
) -> CheckReport:
    """Check a store, and return what is wrong with it; nothing is changed, and writers are not held up.

    :param now_ns: the present time in nanoseconds, for batches whose clock was ahead.
    :param anchors: what the audit log is compared with; None to look at it alone.
    :param tick: is told how many of the steps are done.
    """
    started = time.perf_counter()
    checked: dict[str, int] = {}
    problems = list(_problems(database, time.time_ns() if now_ns is None else now_ns, checked, anchors, tick))
    return CheckReport(tuple(problems), checked, time.perf_counter() - started)


def _problems(
    database: Database, now_ns: int, checked: dict[str, int], anchors: AnchorSources | None, tick: Tick
) -> Iterator[Problem]:
    steps = len(KINDS) + 4
    yield from guarded("the database", database.inspect())
    tick(1, steps)
    batches = ledger.Ledger(database, now_ns)
    yield from guarded("the batches", batches.problems())
    checked["batches"] = batches.count
    tick(2, steps)
    complete = True
    for done, kind in enumerate(KINDS.values(), 3):
        records = contents.KindCheck(database, kind, batches)
        yield from guarded(f"the {kind.name}", records.problems())
        checked |= {f"{kind.name} {name}": number for name, number in records.looked_at.items()}
        complete &= records.complete
        tick(done, steps)
    if complete:  # what could not be read was not counted either
        yield from guarded("the batches", batches.compare())
    rejected = ledger.QuarantineCheck(database, batches)
    yield from guarded("the quarantine", rejected.problems())
    checked["rejected rows"] = rejected.records
    tick(steps - 1, steps)
    yield from guarded("the audit log", _audit_log(database, anchors))
    tick(steps, steps)


def _audit_log(database: Database, anchors: AnchorSources | None) -> Iterator[Problem]:
    yield from verify_audit_log(database, anchors).problems
    with database.reader("look for an unfinished copy") as tables:
        if (origin := unfinished_copy(tables.audit_log)) is not None:
            remedy = "copy it again, which goes on where it ended: `fpa store copy`"
            yield Problem("batch", "the store", f"it is an unfinished copy of {origin}", remedy)
