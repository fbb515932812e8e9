"""Validate a table with one rule: by its mask if it has one, else row by row; in parts if the rule differs by symbol."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fpa_core.protocols import Failure, Severity, Verdict
from fpa_core.validator import Rule
from fpa_plugins.rules.findings import CRASHED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from fpa_core.validator.vectors import Columns
    from fpa_plugins.rules.bound_rules import BoundRule

__all__ = ["judge", "kept"]


def judge(
    plan: BoundRule, columns: Columns, given: Mapping[str, Any], within: npt.NDArray[np.bool_] | None = None
) -> list[Verdict]:
    """Return the verdicts of a rule: one for each severity it has in the table, and one more for each in which it crashed.

    :param within: the rows to validate; None for all.
    """
    if plan.plain:
        if within is None:
            return _judge(plan.rule, columns, given)
        rows, part = columns.within(within)
        severity = plan.rule.severity or Severity.ERROR
        return _joined(plan.rule.id, severity, len(columns), [(rows, _judge(plan.rule, part, given))])
    return [
        verdict
        for severity, parts in _parts(plan, columns, within).items()
        for verdict in _joined(
            plan.rule.id,
            severity,
            len(columns),
            [(rows, _judge(rule, columns.take(rows), given)) for rule, rows in parts],
        )
    ] or [Verdict(plan.rule.id, plan.rule.severity or Severity.ERROR, _nothing(len(columns)))]


def kept(verdicts: Sequence[Verdict]) -> npt.NDArray[np.bool_] | None:
    """Return which rows break no rule of severity error; None for all rows."""
    import numpy as np

    good = None
    for verdict in verdicts:
        if verdict.severity is Severity.ERROR:
            passed = verdict.passed.fill_null(True).to_numpy(zero_copy_only=False)
            if not passed.all():
                good = passed if good is None else np.logical_and(good, passed)
    return good


def _parts(
    plan: BoundRule, columns: Columns, within: npt.NDArray[np.bool_] | None
) -> dict[Severity, list[tuple[Rule, npt.NDArray[np.int64]]]]:
    """Return the rows to which each variant of the rule applies; the variants by severity."""
    import numpy as np

    codes, names = columns.codes(plan.kind.subject)
    forms = [plan.of(name) for name in names]
    applies = np.array([form is not None for form in forms], np.bool_)[codes] if names else np.zeros(0, np.bool_)
    if within is not None:
        applies &= within
    if plan.where is not None:
        applies &= plan.where.rows(columns)
    found: dict[Severity, list[tuple[Rule, npt.NDArray[np.int64]]]] = {}
    for form in {id(form): form for form in forms if form is not None}.values():
        mine = np.array([each is form for each in forms], np.bool_)[codes] & applies
        if mine.any():
            found.setdefault(form.severity or Severity.ERROR, []).append((form, np.flatnonzero(mine)))
    return found


def _joined(
    rule: str, severity: Severity, rows: int, parts: Sequence[tuple[npt.NDArray[np.int64], list[Verdict]]]
) -> list[Verdict]:
    """Combine verdicts on parts of a table. Rows without a verdict in any part stay null."""
    import numpy as np
    import pyarrow as pa

    joined = []
    for name in dict.fromkeys(verdict.rule for _, verdicts in parts for verdict in verdicts):
        holds, known = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        crash = None
        reasons: list[tuple[npt.NDArray[np.int64], Callable[[int], Failure]]] = []
        for places, verdicts in parts:
            for verdict in verdicts:
                if verdict.rule != name:
                    continue
                holds[places] = verdict.passed.fill_null(False).to_numpy(zero_copy_only=False)
                known[places] = verdict.passed.is_valid().to_numpy(zero_copy_only=False)
                crash = crash or verdict.crash
                if verdict.why is not None:
                    reasons.append((places, verdict.why))
        why = _relay(reasons) if reasons else None
        level = severity if name == rule else Severity.ERROR
        joined.append(Verdict(name, level, pa.array(holds, mask=~known), crash, why))
    return joined


def _relay(reasons: Sequence[tuple[npt.NDArray[np.int64], Callable[[int], Failure]]]) -> Callable[[int], Failure]:
    """Return a function that gets the reasons of a row from the part that contains it. The positions of each part are sorted."""

    def why(row: int) -> Failure:
        for places, tell in reasons:
            place = int(places.searchsorted(row))
            if place < len(places) and places[place] == row:
                return tell(place)
        raise KeyError(row)

    return why


def _judge(rule: Rule, columns: Columns, given: Mapping[str, Any]) -> list[Verdict]:
    import pyarrow as pa

    severity = rule.severity or Severity.ERROR
    if rule.mask is not None:
        try:
            found = rule.mask(columns, **given)
            return [Verdict(rule.id, severity, _as_verdicts(found, len(columns)), why=getattr(found, "why", None))]
        except (
            pa.ArrowInvalid,
            pa.ArrowNotImplementedError,
        ):  # no Arrow function for such columns: fall back to row by row, which gives equal verdicts
            if rule.scope == "row":
                return _by_rows(rule, severity, columns.records, given)
            return _crashed(rule, severity, len(columns))
        except Exception:  # noqa: BLE001  # a rule may raise anything, and must not stop the others
            return _crashed(rule, severity, len(columns))
    return _by_rows(rule, severity, columns.records, given)


def _crashed(rule: Rule, severity: Severity, rows: int) -> list[Verdict]:
    import pyarrow as pa

    crash = traceback.format_exc()
    false = pa.repeat(pa.scalar(False), rows)
    return [Verdict(rule.id, severity, _nothing(rows)), Verdict(CRASHED + rule.id, Severity.ERROR, false, crash)]


def _nothing(rows: int) -> pa.BooleanArray:
    import pyarrow as pa

    return pa.nulls(rows, pa.bool_())


def _as_verdicts(result: Any, rows: int) -> pa.BooleanArray:
    import pyarrow as pa

    array = result if isinstance(result, pa.Array | pa.ChunkedArray) else result.to_arrow()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_boolean(array.type) or len(array) != rows:
        raise TypeError(f"the mask gave {len(array)} values of type {array.type}, not {rows} booleans")
    return array


def _by_rows(rule: Rule, severity: Severity, records: Sequence[Any], given: Mapping[str, Any]) -> list[Verdict]:
    import pyarrow as pa

    passed: list[bool | None] = []
    failures: dict[int, Failure] = {}
    crashed: set[int] = set()
    crash = ""
    for row, record in enumerate(records):
        try:
            verdict = rule.check(record, **given)
        except Exception:  # noqa: BLE001  # as above
            crash = crash or traceback.format_exc()
            crashed.add(row)
            verdict = None
        if isinstance(verdict, Failure):
            failures[row] = verdict
        passed.append(None if verdict is None else bool(verdict))
    why = failures.__getitem__ if failures else None
    verdicts = [Verdict(rule.id, severity, pa.array(passed, pa.bool_()), why=why)]
    if crashed:
        failed = pa.array([False if row in crashed else None for row in range(len(passed))], pa.bool_())
        verdicts.append(Verdict(CRASHED + rule.id, Severity.ERROR, failed, crash))
    return verdicts
