"""The quarantine in SQLite: refused records come in under the multiset rule, are found again, and change their state with a history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.protocols import QuarantineCount, Quarantined, QuarantineQuery, State
from fpa_plugins.sqlite.schema import batches_of, glob

__all__ = ["QuarantineWriter", "count", "select"]

_NAMES = "kind, subject, ts_ns, row, raw, findings, state, id, batch, changed_by, cells"
_BROKEN = "EXISTS (SELECT 1 FROM json_each(findings) WHERE {})"


def select(connection: apsw.Connection, query: QuarantineQuery) -> Iterator[Quarantined]:
    """Yield the records of *query*."""
    where, parameters = _where(query)
    order = "batch, kind, row, id" if query.in_order else "id DESC"
    sql = f"SELECT {_NAMES} FROM quarantine WHERE {where} ORDER BY {order} LIMIT ?"
    for row in connection.execute(sql, (*parameters, -1 if query.limit is None else query.limit)):
        yield _record(row)


def count(connection: apsw.Connection, query: QuarantineQuery) -> list[QuarantineCount]:
    """Count the records of *query* by batch, kind and state."""
    where, parameters = _where(query)
    sql = f"SELECT batch, kind, state, count(*) FROM quarantine WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    return [QuarantineCount(*row) for row in connection.execute(sql, parameters)]


def _where(query: QuarantineQuery) -> tuple[str, list[Any]]:
    """Return the condition of *query* and its parameters; every value is bound."""
    ways: list[tuple[str, list[Any]]] = []
    for column, value in (("batch", query.batch), ("kind", query.kind), ("changed_by", query.changed_by)):
        if value is not None:
            ways.append((f"{column} = ?", [value]))
    if query.ids is not None:
        ways.append(("id IN (SELECT value FROM json_each(?))", [json.dumps(query.ids)]))
    if query.states is not None:
        ways.append((_any("state = ?", query.states), [str(state) for state in query.states]))
    if query.symbols is not None:
        ways.append((_any("subject GLOB ?", query.symbols), [*map(glob, query.symbols)]))
    if query.rules is not None:
        broken = _BROKEN.format(_any("value ->> 'rule' GLOB ?", query.rules))
        ways.append((broken, [*map(glob, query.rules)]))
    if query.sources is not None:
        sql, patterns = batches_of(query.sources)
        ways.append((f"batch IN ({sql})", patterns))
    conditions = " AND ".join(condition for condition, _ in ways) or "TRUE"
    return conditions, [value for _, values in ways for value in values]


def _any(condition: str, values: Sequence[object]) -> str:
    return f"({' OR '.join([condition] * len(values)) or 'FALSE'})"


def _record(row: tuple[Any, ...]) -> Quarantined:
    kind, subject, ts_ns, position, raw, findings, state, record, batch, changed_by, cells = row
    return Quarantined(
        kind,
        subject,
        ts_ns,
        position,
        raw,
        tuple(json.loads(findings)),
        state,
        record,
        batch,
        changed_by,
        None if cells is None else json.loads(cells),
    )


class QuarantineWriter:
    """Changes the quarantine in the name of one batch.

    Records of earlier batches that rows of this one were recognised as are claimed, equal ones in the order of their ids: each stands for one row
    only. The last one claimed of each text is in a temporary table, which a rollback takes back with all else.
    """

    def __init__(self, connection: apsw.Connection, batch_id: int) -> None:
        self._connection = connection
        self._batch_id = batch_id
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS quarantine_claims (batch INTEGER, digest BLOB, last INTEGER, PRIMARY KEY (batch, digest)) WITHOUT ROWID"
        )

    def add(self, records: Sequence[Quarantined]) -> list[Quarantined]:
        """Keep those of *records* that earlier batches have not brought already, and return them with their ids."""
        kept = []
        # Rows of this batch come after: only what was there before can be what a row repeats.
        last = self._connection.execute("SELECT ifnull(max(id), 0) FROM quarantine").get
        for record in records:
            cells = None if record.cells is None else json.dumps(dict(record.cells), ensure_ascii=False)
            if not self._recognise(record, cells, last):
                kept.append(self._insert(record, cells))
        return kept

    def _recognise(self, record: Quarantined, cells: str | None, last: int) -> bool:
        """Claim an equal record of an earlier batch, if there is one left."""
        digest = hashlib.sha256(repr((record.kind, record.raw, cells)).encode()).digest()
        claimed = self._connection.execute(
            "SELECT last FROM quarantine_claims WHERE batch = ? AND digest = ?", (self._batch_id, digest)
        ).get
        found = self._connection.execute(
            "SELECT id FROM quarantine WHERE raw = ? AND id > ? AND id <= ? AND kind = ? AND cells IS ? AND batch <> ? AND state <> 'undone' "
            "ORDER BY id LIMIT 1",
            (record.raw, claimed or 0, last, record.kind, cells, self._batch_id),
        ).get
        if found is not None:
            self._connection.execute(
                "INSERT OR REPLACE INTO quarantine_claims VALUES (?, ?, ?)", (self._batch_id, digest, found)
            )
        return found is not None

    def _insert(self, record: Quarantined, cells: str | None) -> Quarantined:
        findings = json.dumps(list(record.findings))
        self._connection.execute(
            "INSERT INTO quarantine (batch, kind, subject, ts_ns, row, raw, findings, state, cells) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._batch_id,
                record.kind,
                record.subject,
                record.ts_ns,
                record.row,
                record.raw,
                findings,
                str(record.state),
                cells,
            ),
        )
        return evolve(record, id=self._connection.last_insert_rowid(), batch=self._batch_id)

    def forget(self) -> None:
        """Drop the claims: the batch is at its end."""
        self._connection.execute("DELETE FROM quarantine_claims WHERE batch = ?", (self._batch_id,))

    # States

    def settle(self, ids: Sequence[int], state: State) -> None:
        """Give open records their final state.

        :raises DataError: when one of them is not open.
        """
        if not ids:
            return
        query = QuarantineQuery(ids=tuple(ids), states=(State.OPEN,))
        if (changed := self._change(query, state)) != len(set(ids)):
            raise DataError(
                f"{len(set(ids)) - changed} of the records are not open any more",
                hint="`fpa quarantine list` shows which are",
                field="id",
            )

    def discard(self, query: QuarantineQuery) -> int:
        """Discard the open records of *query*."""
        return self._change(evolve(query, states=(State.OPEN,)), State.DISCARDED)

    def refuse_again(self, records: Sequence[Quarantined]) -> None:
        """Note new findings."""
        for record in records:
            self._log("id = ? AND state = 'open'", [record.id])
            self._connection.execute(
                "UPDATE quarantine SET findings = ?, changed_by = ? WHERE id = ? AND state = 'open'",
                (json.dumps(list(record.findings)), self._batch_id, record.id),
            )

    def undo(self, batches: Sequence[int]) -> None:
        """Mark what *batches* brought as undone, and give what they changed the state it had before."""
        for batch in batches:
            self._change(QuarantineQuery(batch=batch), State.UNDONE)
            # Only where nothing came later: a record that was reopened and settled again keeps that.
            rows = self._connection.execute(
                "SELECT h.state, h.findings, q.id FROM quarantine_history h JOIN quarantine q ON q.id = h.record "
                "WHERE h.retired_by = ? AND q.changed_by = ?",
                (batch, batch),
            ).fetchall()
            self._log("changed_by = ?", [batch])
            self._connection.executemany(
                "UPDATE quarantine SET state = ?, findings = ?, changed_by = ? WHERE id = ?",
                ((state, findings, self._batch_id, record) for state, findings, record in rows),
            )

    def replayed_before(self, ids: Sequence[int]) -> dict[int, int]:
        """Tell, by one record of each text among *ids*, how many equal records earlier batches have replayed."""
        sql = (
            "SELECT min(q.id), (SELECT count(*) FROM quarantine p WHERE p.raw = q.raw AND p.kind = q.kind AND p.cells IS q.cells "
            "AND p.state = 'replayed' AND p.changed_by <> ?) AS before FROM quarantine q "
            "WHERE q.id IN (SELECT value FROM json_each(?)) GROUP BY q.raw, q.kind, q.cells HAVING before > 0"
        )
        found: Iterator[Any] = self._connection.execute(sql, (self._batch_id, json.dumps(list(ids))))
        return {record: before for record, before in found}  # noqa: C416  # dict() would not know the types

    def _change(self, query: QuarantineQuery, state: State) -> int:
        where, parameters = _where(query)
        self._log(where, parameters)
        self._connection.execute(
            f"UPDATE quarantine SET state = ?, changed_by = ? WHERE {where}",
            (str(state), self._batch_id, *parameters),
        )
        return int(self._connection.changes())

    def _log(self, where: str, parameters: Sequence[Any]) -> None:
        """Write down what records are before they are changed."""
        self._connection.execute(
            f"INSERT INTO quarantine_history (record, state, findings, changed_by, retired_by) "
            f"SELECT id, state, findings, changed_by, ? FROM quarantine WHERE {where}",
            (self._batch_id, *parameters),
        )
