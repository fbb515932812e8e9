"""The quarantine in SQLite: refused records come in under the multiset rule, are found again, and change their state with a history."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.protocols import QuarantineCount, Quarantined, QuarantineQuery, State
from fpa_plugins.sqlite.condensed import Condenser, cells_of, cells_text, digest, findings_of
from fpa_plugins.sqlite.schema import batches_of, glob

__all__ = ["QuarantineWriter", "count", "select"]

_LAYOUT = "(SELECT l.layout FROM quarantine_layouts l WHERE l.id = quarantine.layout)"
_FINDINGS = "(SELECT f.text FROM quarantine_findings f WHERE f.id = quarantine.findings)"
_NAMES = (
    f"kind, subject, ts_ns, row, raw, {_FINDINGS}, arguments, state, id, quarantine.batch, changed_by, {_LAYOUT}, cells"
)
_BROKEN = "findings IN (SELECT f.id FROM quarantine_findings f, json_each(f.rules) WHERE {})"

_EARLIER = (
    "SELECT e.id FROM quarantine e WHERE e.digest = {} AND e.id > {} AND e.id <= ? AND e.batch <> ? AND e.state <> 'undone' "
    "ORDER BY e.id LIMIT {}"
)
"""The records that rows of a digest may repeat: after the last one claimed, up to the last there was, not of the batch itself."""


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
        broken = _BROKEN.format(_any("value GLOB ?", query.rules))
        ways.append((broken, [*map(glob, query.rules)]))
    if query.sources is not None:
        sql, patterns = batches_of(query.sources)
        ways.append((f"batch IN ({sql})", patterns))
    conditions = " AND ".join(condition for condition, _ in ways) or "TRUE"
    return conditions, [value for _, values in ways for value in values]


def _any(condition: str, values: Sequence[object]) -> str:
    return f"({' OR '.join([condition] * len(values)) or 'FALSE'})"


def _record(row: tuple[Any, ...]) -> Quarantined:
    kind, subject, ts_ns, position, raw, findings, arguments, state, record, batch, changed_by, layout, cells = row
    return Quarantined(
        kind,
        subject,
        ts_ns,
        position,
        raw,
        findings_of(findings, arguments),
        state,
        record,
        batch,
        changed_by,
        cells_of(layout, raw, cells),
    )


def _comparable(records: Sequence[Quarantined]) -> tuple[list[str | None], list[int]]:
    """Return the cells of records as texts, and their digests."""
    texts: list[str | None] = []
    digests: list[int] = []
    before: Quarantined | None = None
    for record in records:
        if before is None or (record.raw, record.kind, record.cells) != (before.raw, before.kind, before.cells):
            text = cells_text(record.cells)
            number = digest(record.kind, record.raw, text)
        texts.append(text)
        digests.append(number)
        before = record
    return texts, digests


class QuarantineWriter:
    """Changes the quarantine in the name of one batch.

    Records of earlier batches that rows of this one were recognised as are claimed, equal ones in the order of their ids: each stands for one row
    only. The last one claimed of each text is in a temporary table, which a rollback takes back with all else.

    :param in_groups: the batch is written in groups, between which others write.
    """

    def __init__(self, connection: apsw.Connection, batch_id: int, *, in_groups: bool = False) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._in_groups = in_groups
        self._condenser = Condenser(connection)
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS quarantine_claims (batch INTEGER, digest INTEGER, last INTEGER, PRIMARY KEY (batch, digest)) WITHOUT ROWID;"
            "CREATE TEMP TABLE IF NOT EXISTS quarantine_wanted (sought INTEGER PRIMARY KEY, after INTEGER)"
        )

    @functools.cached_property
    def _last(self) -> int:
        """The last record there was before the first row: what comes after it is of this batch, and nothing that a row could repeat."""
        return int(self._connection.execute("SELECT ifnull(max(id), 0) FROM quarantine").get)

    def add(self, records: Sequence[Quarantined]) -> list[Quarantined]:
        """Keep those of *records* that earlier batches have not brought already, and return them with their ids."""
        cells, digests = _comparable(records)
        earlier = self._earlier(records, cells, digests) if self._last else {}
        first = 1 + int(self._connection.execute("SELECT ifnull(max(id), 0) FROM quarantine").get)
        kept: list[Quarantined] = []
        rows: list[tuple[Any, ...]] = []
        before: Quarantined | None = None
        findings, arguments = 0, None
        for record, text, number in zip(records, cells, digests, strict=True):
            if (left := earlier.get((number, record.kind, record.raw, text))) is not None and left:
                left.pop()
                continue
            record_id = first + len(kept)
            if (
                before is None or record.findings != before.findings
            ):  # equal rows come in long rows, as the empty ones of a spreadsheet
                findings, arguments = self._condenser.findings(record.findings)
            before = record
            layout, own = self._condenser.cells(record.raw, record.cells)
            # fmt: off
            rows.append((
                record_id, self._batch_id, record.kind, record.subject, record.ts_ns, record.row, record.raw, number, findings, arguments,
                str(record.state), layout, own,
            ))
            # fmt: on
            # What evolve() would make, at a quarter of the time.
            # fmt: off
            kept.append(Quarantined(
                record.kind, record.subject, record.ts_ns, record.row, record.raw, record.findings, record.state, record_id, self._batch_id,
                record.changed_by, record.cells,
            ))
            # fmt: on
        self._connection.executemany(
            "INSERT INTO quarantine (id, batch, kind, subject, ts_ns, row, raw, digest, findings, arguments, state, layout, cells) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        return kept

    def _earlier(
        self, records: Sequence[Quarantined], cells: Sequence[str | None], digests: Sequence[int]
    ) -> dict[tuple[Any, ...], list[int]]:
        """Claim equal records of earlier batches, and return them by digest, kind, text and cells: no more than there are rows."""
        wanted: dict[int, tuple[Any, ...]] = {}
        counts: dict[int, int] = {}
        for record, text, number in zip(records, cells, digests, strict=True):
            key = (number, record.kind, record.raw, text)
            if (
                wanted.setdefault(number, key) == key
            ):  # another text with the same digest is new: better twice than lost
                counts[number] = counts.get(number, 0) + 1
        self._connection.execute("DELETE FROM quarantine_wanted")
        self._connection.executemany("INSERT INTO quarantine_wanted VALUES (?, 0)", ((number,) for number in wanted))
        self._connection.execute(
            "UPDATE quarantine_wanted SET after = c.last FROM quarantine_claims c WHERE c.batch = ? AND c.digest = sought",
            (self._batch_id,),
        )
        found: dict[int, list[int]] = {}
        row: Any
        for row in self._connection.execute(
            f"SELECT sought, id, kind, raw, {_LAYOUT}, cells FROM quarantine_wanted "
            f"JOIN quarantine ON id = ({_EARLIER.format('sought', 'after', '1')})",
            (self._last, self._batch_id),
        ):
            number, record_id, kind, raw, layout, own = row
            if (number, kind, raw, cells_text(cells_of(layout, raw, own))) == wanted[number]:
                found[number] = [record_id]
        for number, ids in found.items():
            if counts[number] > 1:
                ids += [
                    record
                    for (record,) in self._connection.execute(
                        _EARLIER.format("?", "?", "?"), (number, ids[0], self._last, self._batch_id, counts[number] - 1)
                    )
                ]
        claims = {number: ids[-1] for number, ids in found.items()}
        if self._in_groups:
            # What was looked for in vain is not looked for again among the same records, which are those of earlier groups.
            claims |= {number: self._last for number in wanted if len(found.get(number, ())) < counts[number]}
        self._connection.executemany(
            "INSERT OR REPLACE INTO quarantine_claims VALUES (?, ?, ?)",
            ((self._batch_id, number, last) for number, last in claims.items()),
        )
        return {wanted[number]: ids for number, ids in found.items()}

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
                "UPDATE quarantine SET findings = ?, arguments = ?, changed_by = ? WHERE id = ? AND state = 'open'",
                (*self._condenser.findings(record.findings), self._batch_id, record.id),
            )

    def undo(self, batches: Sequence[int]) -> None:
        """Mark what *batches* brought as undone, and give what they changed the state it had before."""
        for batch in batches:
            self._change(QuarantineQuery(batch=batch), State.UNDONE)
            # Only where nothing came later: a record that was reopened and settled again keeps that.
            rows = self._connection.execute(
                "SELECT h.state, h.findings, h.arguments, q.id FROM quarantine_history h JOIN quarantine q ON q.id = h.record "
                "WHERE h.retired_by = ? AND q.changed_by = ?",
                (batch, batch),
            ).fetchall()
            self._log("changed_by = ?", [batch])
            self._connection.executemany(
                "UPDATE quarantine SET state = ?, findings = ?, arguments = ?, changed_by = ? WHERE id = ?",
                ((state, findings, arguments, self._batch_id, record) for state, findings, arguments, record in rows),
            )

    def replayed_before(self, ids: Sequence[int]) -> dict[int, int]:
        """Tell, by one record of each text among *ids*, how many equal records earlier batches have replayed."""
        sql = (
            "SELECT min(q.id), (SELECT count(*) FROM quarantine p WHERE p.digest = q.digest AND p.raw = q.raw AND p.kind = q.kind "
            "AND p.state <> 'undone' AND p.state = 'replayed' AND p.changed_by <> ?) AS before FROM quarantine q "
            "WHERE q.id IN (SELECT value FROM json_each(?)) GROUP BY q.digest, q.raw, q.kind HAVING before > 0"
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
            f"INSERT INTO quarantine_history (record, state, findings, arguments, changed_by, retired_by) "
            f"SELECT id, state, findings, arguments, changed_by, ? FROM quarantine WHERE {where}",
            (self._batch_id, *parameters),
        )
