"""The quarantine of a store: refused records are looked up, put into the tables after all, mended, or discarded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError, ValidationError
from fpa_core.kinds import KINDS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.models import PortfolioSnapshot
from fpa_core.patterns import name_of
from fpa_core.protocols import Batch, Finding, Quarantined, QuarantineQuery, Receipt, Severity, State, StoreBackend
from fpa_core.serialization import from_dict

if TYPE_CHECKING:
    from fpa_core.store.batch import StoreBatch

__all__ = ["SHAPE", "Judge", "QuarantineVerbs", "quarantine_query", "values_of"]

SHAPE = "record.shape"
"""The name under which rows that are no records are refused."""

AT_ONCE = 4_096
"""Refused records held in memory while they are judged again."""


class Judge(Protocol):
    """What judges refused records again."""

    def judge(self, record: Any, earlier: Sequence[Mapping[str, Any]]) -> Sequence[Finding]:
        """Return what is wrong with a record now, given what was found when it was refused."""
        ...

    def keep(self, record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
        """Return a record as it is kept in quarantine."""
        ...


def quarantine_query(
    *,
    id: int | Iterable[int] | None = None,  # noqa: A002  # it is called so in the table, too
    batch: int | None = None,
    kind: Kind | str | None = None,
    symbol: str | Sequence[str] | None = None,
    rule: str | Sequence[str] | None = None,
    source: str | Sequence[str] | None = None,
    state: str | Sequence[str] | None = None,
    changed_by: int | None = None,
    limit: int | None = None,
) -> QuarantineQuery:
    """Return a query of those conditions; what is one or several may be given as either.

    :raises DataError: for a kind or state that there is not, or a pattern that is none.
    """
    states = _several(state)
    if unknown := [each for each in states or () if each not in set(State)]:
        raise DataError(f"state: {unknown[0]!r} is none of: {', '.join(State)}", field="state", value=unknown[0])
    patterns = [_several(each) for each in (symbol, rule, source)]
    for pattern in itertools.chain.from_iterable(each or () for each in patterns):
        name_of(pattern)  # refuses what is no pattern
    return QuarantineQuery(
        batch=batch,
        ids=(id,) if isinstance(id, int) else None if id is None else tuple(id),
        kind=None if kind is None else kind_of(kind).name,
        symbols=patterns[0],
        rules=patterns[1],
        origins=patterns[2],
        states=states,
        changed_by=changed_by,
        limit=limit,
    )


def _several(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)


def values_of(refused: Quarantined) -> dict[str, Any]:
    """Return the values of a refused record by the names of its kind's columns, as far as they can be told."""
    if refused.cells is not None:
        return dict(refused.cells)
    if any(finding["rule"] == SHAPE for finding in refused.findings):
        return {}
    values: dict[str, Any] = json.loads(refused.raw)
    return values


def _record(kind: Kind, values: Mapping[str, Any]) -> Any:
    """Return the record of those values; what is left out is missing."""
    optional = {column.name: None for column in kind.columns if not column.required}
    return from_dict(kind, optional | dict(values))


class QuarantineVerbs:
    """The verbs for what was refused. Without a judge, any record will do that has the right shape."""

    backend: StoreBackend
    batch: Callable[..., AbstractContextManager[StoreBatch]]

    if TYPE_CHECKING:

        def drop_sold(self, batch: StoreBatch, snapshots: Iterable[PortfolioSnapshot]) -> None:
            """Remove positions that a later version of a snapshot has not."""
            ...

    def quarantined(self, **conditions: Any) -> list[Quarantined]:
        """List refused records, latest first; the conditions are those of :func:`quarantine_query`."""
        return list(self.backend.quarantined(quarantine_query(**conditions)))

    def iter_quarantined(self, *, in_order: bool = False, **conditions: Any) -> Iterator[Quarantined]:
        """Yield refused records one at a time, latest first, or *in_order* of batch and position in the source."""
        return self.backend.quarantined(evolve(quarantine_query(**conditions), in_order=in_order))

    def count_quarantined(self, **conditions: Any) -> int:
        """Count refused records; a limit does not count."""
        return sum(each.records for each in self.backend.count_quarantined(quarantine_query(**conditions)))

    def discard_quarantined(self, **conditions: Any) -> Receipt:
        """Discard the open records that the conditions select: they stay in the database, marked, and undoing the batch reopens them.

        :raises DataError: when there is no condition at all.
        """
        if not conditions:
            raise DataError("which records to discard must be said", hint="give at least one condition, as batch=3")
        query = quarantine_query(**conditions)
        if query.limit is not None:
            raise DataError("a limit cannot say which records to discard", hint="give ids", field="limit")
        with self.batch(source="discard") as batch:
            count = batch.discard(query)
        return evolve(batch.receipt, notes=(f"{count:,} refused records discarded",))

    def replay_quarantined(self, judge: Judge | None = None, **conditions: Any) -> list[Receipt]:
        """Judge the open records that the conditions select again, and put the good ones into the tables; the others stay where they are.

        There is a batch, and a receipt, for each batch that had refused them: it has the same source and file, and goes with it when that is undone.
        In a receipt ``read`` counts the records judged, and the positions of snapshots among them; ``quarantined`` those that stay refused.
        """
        query = evolve(quarantine_query(**conditions), states=(State.OPEN,), in_order=True)
        if query.limit is not None:
            raise DataError("a limit cannot say which records to replay", hint="give ids", field="limit")
        origins = sorted({each.batch for each in self.backend.count_quarantined(query)})
        return [self._replay(origin, judge, evolve(query, batch=origin)) for origin in origins]

    def _replay(self, origin: int, judge: Judge | None, query: QuarantineQuery) -> Receipt:
        (replayed,) = self.backend.batches(batch=origin)
        with self._replaying(replayed) as batch:
            replay = _Replay(self, batch, replayed, judge)
            refused = self.backend.quarantined(query)
            while page := list(itertools.islice(refused, AT_ONCE)):
                for name, group in itertools.groupby(page, lambda each: each.kind):
                    replay.put(KINDS[name], list(group))
        return replay.receipt()

    def retry_quarantined(
        self, origin: int, read: Mapping[int, Mapping[str, str] | str], judge: Judge | None = None
    ) -> Receipt:
        """Put open records of one batch into the tables that could not be read before.

        :param read: by the id of each record its values now, by the names of its kind's columns, or what is still wrong with it.
        """
        (replayed,) = self.backend.batches(batch=origin)
        with self._replaying(replayed) as batch:
            replay = _Replay(self, batch, replayed, judge)
            ids = list(read)
            for start in range(0, len(ids), AT_ONCE):
                query = QuarantineQuery(ids=tuple(ids[start : start + AT_ONCE]), states=(State.OPEN,), in_order=True)
                page = [_as_read(each, read[each.id]) for each in self.backend.quarantined(query)]
                for name, group in itertools.groupby(page, lambda each: each.kind):
                    replay.put(KINDS[name], list(group))
        return replay.receipt()

    def _replaying(self, origin: Batch) -> AbstractContextManager[StoreBatch]:
        return self.batch(source=origin.origin, file=origin.file, digest=origin.digest, replays=origin.id)

    def fix_quarantined(self, record: int, changes: Mapping[str, Any], judge: Judge | None = None) -> Receipt:
        """Put a refused record into the tables with changes: values by the names of its kind's columns; None or an empty text takes one away.

        It is written as a row of the batch that had refused it, and replaces an earlier version. What was refused stays in quarantine, marked.

        :raises DataError: when there is no such open record, or the values are still none of a record.
        :raises ValidationError: when it still breaks a rule of severity error; nothing is changed.
        """
        refused = next(iter(self.backend.quarantined(QuarantineQuery(ids=(record,)))), None)
        if refused is None:
            raise DataError(f"there is no record {record} in quarantine", field="id", value=record)
        if refused.state != State.OPEN:
            raise DataError(f"record {record} is {refused.state}, not open", field="id", value=record)
        kind = KINDS[refused.kind]
        values = values_of(refused) | {name: value for name, value in changes.items() if value not in (None, "")}
        values = {
            name: value for name, value in values.items() if name not in changes or changes[name] not in (None, "")
        }
        made = _record(kind, values)
        (origin,) = self.backend.batches(batch=refused.batch)
        if made.ts_ns is None:
            raise DataError(f"{kind.singular}.timestamp: a value is needed", field="timestamp")
        findings = () if judge is None else tuple(judge.judge(made, ()))
        if any(finding.severity is Severity.ERROR for finding in findings):
            broken = "; ".join(f"{each.rule}: {each.message}" for each in findings if each.severity is Severity.ERROR)
            raise ValidationError(f"record {record} still breaks a rule: {broken}", findings=findings)
        with self._replaying(origin) as batch:
            batch.replay(kind, to_table(kind, [made]), [record], fixed=True)
            if kind is SNAPSHOTS:
                self.drop_sold(batch, [made])
        warnings: dict[str, int] = {}
        _count(findings, warnings)
        return evolve(batch.receipt, kind=kind.name, warnings=warnings)


def _as_read(refused: Quarantined, now: Mapping[str, str] | str) -> Quarantined:
    """Return a refused record with the values that were read of it, or with what is still wrong."""
    if isinstance(now, str):
        finding = Finding(SHAPE, Severity.ERROR, now, refused.kind)
        return evolve(refused, findings=(finding.as_dict(),))
    return evolve(refused, cells=now)


class _Replay:
    """Puts refused records of one batch into the tables, some at a time."""

    def __init__(self, store: QuarantineVerbs, batch: StoreBatch, origin: Batch, judge: Judge | None) -> None:
        self._store = store
        self._batch = batch
        self._origin = origin
        self._judge = judge
        self._kinds: dict[Kind, None] = {}
        self._warnings: dict[str, int] = {}

    def put(self, kind: Kind, group: Sequence[Quarantined]) -> None:
        """Judge records of one kind, and write the good ones."""
        self._kinds[kind] = None
        good: list[tuple[Quarantined, Any]] = []
        bad: list[Quarantined] = []
        for refused in group:
            verdict = self._judged(kind, refused)
            if isinstance(verdict, Quarantined):
                bad.append(verdict)
            else:
                good.append((refused, verdict))
        if kind is SNAPSHOTS:
            for refused, snapshot in good:
                self._put_snapshot(refused, snapshot)
        elif good:
            self._batch.replay(kind, to_table(kind, [record for _, record in good]), [each.id for each, _ in good])
        self._batch.refuse_again(bad)

    def _judged(self, kind: Kind, refused: Quarantined) -> Any:
        """Return the record, or what is wrong with it now."""
        if not (values := values_of(refused)):
            return refused
        try:
            record = _record(kind, values)
        except DataError as error:
            return evolve(refused, findings=(Finding(SHAPE, Severity.ERROR, error.message, kind.name).as_dict(),))
        if record.ts_ns is None:
            if refused.cells is not None:
                return refused
            record = evolve(record, timestamp=self._origin.recorded_ns)  # as it would have been stored then
        findings = () if self._judge is None else self._judge.judge(record, refused.findings)
        if any(finding.severity is Severity.ERROR for finding in findings):
            return evolve(refused, findings=tuple(finding.as_dict() for finding in findings))
        _count(findings, self._warnings)
        return record

    def _put_snapshot(self, refused: Quarantined, snapshot: PortfolioSnapshot) -> None:
        counts = self._batch.replay(SNAPSHOTS, to_table(SNAPSHOTS, [snapshot]), [refused.id])
        held = []
        for position in snapshot.positions:
            findings = () if self._judge is None else self._judge.judge(position, ())
            if self._judge is not None and any(each.severity is Severity.ERROR for each in findings):
                self._batch.quarantine([self._judge.keep(position, refused.row, findings)])
            else:
                held.append(position)
        if held:
            self._batch.replay(POSITIONS, to_table(POSITIONS, held), [])
        if counts.inserted or counts.revised:
            self._store.drop_sold(self._batch, [snapshot])

    def receipt(self) -> Receipt:
        """Return what the batch came to."""
        receipt = self._batch.receipt
        notes = [f"replay of batch {self._origin.id}"]
        if receipt.duplicate:
            notes.append(f"{receipt.duplicate:,} rows were stored already, or a later version of them")
        kind = next(iter(self._kinds)).name if len(self._kinds) == 1 else None
        return evolve(receipt, kind=kind, warnings=self._warnings, notes=tuple(notes))


def _count(findings: Sequence[Finding], warnings: dict[str, int]) -> None:
    for finding in findings:
        warnings[finding.rule] = warnings.get(finding.rule, 0) + 1
