"""Store rejected records after all: unchanged, read again with other options, or with changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Unpack

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError, ValidationError
from fpa_core.kinds import KINDS, POSITIONS, SNAPSHOTS, Kind
from fpa_core.models import PortfolioSnapshot
from fpa_core.protocols import SHAPE, Batch, Finding, Quarantined, QuarantineQuery, Receipt, Severity, State
from fpa_core.serialization import from_dict
from fpa_core.store.queries import QuarantineConditions, quarantine_query

if TYPE_CHECKING:
    from fpa_core.quarantine.rules import ReplayRules
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch

__all__ = ["fix", "replay", "retry", "values_of"]

AT_ONCE = 4_096
"""Rejected records held in memory while they are checked again."""


def values_of(rejected: Quarantined) -> dict[str, Any]:
    """Return the values of a rejected record that are known, by the names of its kind's columns."""
    if rejected.cells is not None:
        return dict(rejected.cells)
    if any(finding["rule"] == SHAPE for finding in rejected.findings):
        return {}
    values: dict[str, Any] = json.loads(rejected.raw)
    return values


def replay(
    store: DataStore, rules: ReplayRules | None = None, **conditions: Unpack[QuarantineConditions]
) -> list[Receipt]:
    """Check the open records that the conditions select again, and store the valid ones; the others stay, with their new findings.

    There is a batch, and a receipt, for each batch that rejected them: it has the same origin and file, and is undone with it. In a receipt
    ``read`` counts the records checked, and the positions of snapshots among them; ``quarantined`` those still rejected.

    :param rules: None to store any record that is well-formed.
    """
    query = evolve(quarantine_query(**conditions), states=(State.OPEN,), in_order=True)
    if query.limit is not None:
        raise DataError("a limit cannot select records to replay", hint="give ids", field="limit")
    origins = sorted({each.batch for each in store.backend.count_quarantined(query)})
    return [_replay(store, origin, rules, evolve(query, batch=origin)) for origin in origins]


def _replay(store: DataStore, origin: int, rules: ReplayRules | None, query: QuarantineQuery) -> Receipt:
    (replayed,) = store.backend.batches(batch=origin)
    with _replaying(store, replayed) as batch:
        run = _Replay(store, batch, replayed, rules)
        rejected = store.backend.quarantined(query)
        while page := list(itertools.islice(rejected, AT_ONCE)):
            run.put(page)
        batch.complete_receipt(run.complete)
    return batch.receipt


def retry(
    store: DataStore, origin: int, read: Mapping[int, Mapping[str, str] | str], rules: ReplayRules | None = None
) -> Receipt:
    """Store open records of the batch *origin* that could not be parsed before.

    :param read: by the id of each record its new values, by the names of its kind's columns, or why it still cannot be parsed.
    """
    (replayed,) = store.backend.batches(batch=origin)
    with _replaying(store, replayed) as batch:
        run = _Replay(store, batch, replayed, rules)
        ids = list(read)
        for start in range(0, len(ids), AT_ONCE):
            query = QuarantineQuery(ids=tuple(ids[start : start + AT_ONCE]), states=(State.OPEN,), in_order=True)
            run.put([_as_read(each, read[each.id]) for each in store.backend.quarantined(query)])
        batch.complete_receipt(run.complete)
    return batch.receipt


def fix(store: DataStore, record: int, changes: Mapping[str, Any], rules: ReplayRules | None = None) -> Receipt:
    """Store a rejected record with changed values, as a row of the batch that rejected it; it replaces an earlier version.

    :param record: its id.
    :param changes: values by the names of its kind's columns; None or an empty text removes one.
    :raises DataError: if there is no such open record, or the values do not make a record.
    :raises ValidationError: if it still breaks a rule of severity error; nothing is changed.
    """
    rejected = next(iter(store.backend.quarantined(QuarantineQuery(ids=(record,)))), None)
    if rejected is None:
        raise DataError(f"there is no record {record} in quarantine", field="id", value=record)
    if rejected.state != State.OPEN:
        raise DataError(f"record {record} is {rejected.state}, not open", field="id", value=record)
    if not isinstance(changes, Mapping):
        raise DataError(f"changes: values by the names of columns are needed, not {changes!r}", field="changes")
    kind = KINDS[rejected.kind]
    values = values_of(rejected) | dict(changes)
    made = _record(
        kind, {name: value for name, value in values.items() if name not in changes or value not in (None, "")}
    )
    if made.ts_ns is None:
        raise DataError(f"{kind.singular}.timestamp: a value is needed", field="timestamp")
    findings = () if rules is None else tuple(rules.check(made, ()))
    if any(finding.severity is Severity.ERROR for finding in findings):
        broken = "; ".join(f"{each.rule}: {each.message}" for each in findings if each.severity is Severity.ERROR)
        raise ValidationError(f"record {record} still breaks a rule: {broken}", findings=findings)
    warnings: dict[str, int] = {}
    _count(findings, warnings)
    (origin,) = store.backend.batches(batch=rejected.batch)
    with _replaying(store, origin) as batch:
        batch.replay(kind, to_table(kind, [made]), [record], fixed=True)
        if kind is SNAPSHOTS:
            store.writer.drop_sold(batch, [made])
        batch.complete_receipt(lambda receipt: evolve(receipt, kind=kind.name, warnings=warnings))
    return batch.receipt


def _replaying(store: DataStore, origin: Batch) -> AbstractContextManager[StoreBatch]:
    return store.batch(origin=origin.origin, file=origin.file, digest=origin.digest, replays=origin.id)


def _record(kind: Kind, values: Mapping[str, Any]) -> Any:
    """Return the record of *values*; columns that are left out are missing."""
    optional = {column.name: None for column in kind.columns if not column.required}
    return from_dict(kind, optional | dict(values))


def _as_read(rejected: Quarantined, now: Mapping[str, str] | str) -> Quarantined:
    """Return a rejected record with the values parsed from it, or with the reason why it cannot be parsed."""
    if isinstance(now, str):
        finding = Finding(SHAPE, Severity.ERROR, now, rejected.kind)
        return evolve(rejected, findings=(finding.as_dict(),))
    return evolve(rejected, cells=now)


class _Replay:
    """Stores rejected records of one batch, in any number of calls."""

    def __init__(self, store: DataStore, batch: StoreBatch, origin: Batch, rules: ReplayRules | None) -> None:
        self._store = store
        self._batch = batch
        self._origin = origin
        self._rules = rules
        self._kinds: dict[Kind, None] = {}
        self._warnings: dict[str, int] = {}

    def put(self, entries: Sequence[Quarantined]) -> None:
        """Check records, and write the valid ones."""
        for name, group in itertools.groupby(entries, lambda each: each.kind):
            self._put(KINDS[name], list(group))

    def _put(self, kind: Kind, group: Sequence[Quarantined]) -> None:
        self._kinds[kind] = None
        good: list[tuple[Quarantined, Any]] = []
        bad: list[Quarantined] = []
        for rejected in group:
            checked = self._checked(kind, rejected)
            if isinstance(checked, Quarantined):
                bad.append(checked)
            else:
                good.append((rejected, checked))
        if kind is SNAPSHOTS:
            for rejected, snapshot in good:
                self._put_snapshot(rejected, snapshot)
        elif good:
            self._batch.replay(kind, to_table(kind, [record for _, record in good]), [each.id for each, _ in good])
        self._batch.reject_again(bad)

    def _checked(self, kind: Kind, rejected: Quarantined) -> Any:
        """Return the record, or its quarantine entry with the new findings."""
        if not (values := values_of(rejected)):
            return rejected
        try:
            record = _record(kind, values)
        except DataError as error:
            return evolve(rejected, findings=(Finding(SHAPE, Severity.ERROR, error.message, kind.name).as_dict(),))
        if record.ts_ns is None:
            if rejected.cells is not None:
                return rejected
            record = evolve(record, timestamp=self._origin.recorded_ns)  # as it would have been stored then
        findings = () if self._rules is None else self._rules.check(record, rejected.findings)
        if any(finding.severity is Severity.ERROR for finding in findings):
            return evolve(rejected, findings=tuple(finding.as_dict() for finding in findings))
        _count(findings, self._warnings)
        return record

    def _put_snapshot(self, rejected: Quarantined, snapshot: PortfolioSnapshot) -> None:
        counts = self._batch.replay(SNAPSHOTS, to_table(SNAPSHOTS, [snapshot]), [rejected.id])
        held = []
        for position in snapshot.positions:
            findings = () if self._rules is None else self._rules.check(position, ())
            if self._rules is not None and any(each.severity is Severity.ERROR for each in findings):
                self._batch.quarantine([self._rules.rejected(position, rejected.row, findings)])
            else:
                held.append(position)
        if held:
            self._batch.replay(POSITIONS, to_table(POSITIONS, held), [])
        if counts.inserted or counts.revised:
            self._store.writer.drop_sold(self._batch, [snapshot])

    def complete(self, receipt: Receipt) -> Receipt:
        """Return the receipt of the batch with its kind, warnings and notes."""
        notes = [f"replay of batch {self._origin.id}"]
        if receipt.duplicate:
            notes.append(f"{receipt.duplicate:,} rows were stored already, or a later version of them")
        kind = next(iter(self._kinds)).name if len(self._kinds) == 1 else None
        return evolve(receipt, kind=kind, warnings=self._warnings, notes=tuple(notes))


def _count(findings: Sequence[Finding], warnings: dict[str, int]) -> None:
    for finding in findings:
        warnings[finding.rule] = warnings.get(finding.rule, 0) + 1
