"""Writing one batch into SQLite: which rows are new, which are known, which revise, all inside one transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.exceptions import DataError
from fpa_core.protocols import Quarantined, Query, WriteCounts
from fpa_core.records import KINDS, Kind
from fpa_core.store.merge import Action, Outcome, Stored, merge_multiset, merge_versions
from fpa_plugins.sqlite.arranging import Arranged, Group, Row, arrange
from fpa_plugins.sqlite.schema import Tables, tables

__all__ = ["SqliteTransaction"]

NEARBY = 8
"""Stored rows read per arriving key before looking each key up on its own is the better way."""


class SqliteTransaction:
    """A batch in the making; see :class:`fpa_core.protocols.StoreTransaction`."""

    def __init__(self, connection: apsw.Connection, batch_id: int) -> None:
        self.batch_id = batch_id
        self._connection = connection
        self._counts = WriteCounts()
        self._read: int | None = None
        self._quarantined = 0
        self._deleted = 0
        # Rows of earlier batches that rows of this one were recognised as. Where a batch is in order nobody asks for them again, so
        # the last time claimed of each subject is kept here, and the claims themselves in a table that may spill to disk.
        self._last_claim: dict[tuple[str, str], int] = {}
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS claims (kind TEXT, subject TEXT, ts_ns INTEGER, seq INTEGER, "
            "PRIMARY KEY (kind, subject, ts_ns, seq)) WITHOUT ROWID; DELETE FROM claims"
        )

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contract of their kind."""
        if not table.num_rows:
            return WriteCounts()
        arranged = arrange(kind, table)
        contested = self._contested(kind, arranged)
        counts = WriteCounts(inserted=self._insert_fresh(kind, arranged, ~contested))
        if contested.any():
            settle = self._settle_multiset if kind.multiset else self._settle_versions
            counts += settle(kind, list(arranged.only(contested)))
        self._counts += counts
        return counts

    def _contested(self, kind: Kind, arranged: Arranged) -> npt.NDArray[np.bool_]:
        """Tell which rows may meet stored ones, or each other: only these are looked at one key at a time."""
        t = tables(kind)
        contested = np.repeat(arranged.sizes > 1, arranged.sizes)
        if kind.multiset:  # equal keys are nothing to settle, unless a venue's id makes them one row
            ids = (
                arranged.values[t.fields.index(kind.venue_id[-1])]
                if kind.venue_id
                else itertools.repeat(None, len(arranged))
            )
            contested &= np.fromiter((one is not None for one in ids), bool, len(arranged))
        if "ts_ns" not in kind.key:
            return contested | bool(self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {t.live})").get)
        place = kind.key.index("ts_ns")
        times = np.array(arranged.values[place], np.int64)
        prefix = [i for i in range(len(kind.key)) if i != place]
        where = " AND ".join(f"{kind.key[i]} = ?" for i in prefix)
        edges = [
            f"SELECT {edge}(ts_ns) FROM {t.live} WHERE {where} AND ts_ns >= ? AND ts_ns <= ?" for edge in ("min", "max")
        ]
        for start, end in itertools.pairwise([*arranged.runs.tolist(), len(arranged)]):
            bound = [arranged.values[i][start] for i in prefix] + [int(times[start]), int(times[end - 1])]
            first, last = (self._connection.execute(edge, bound).get for edge in edges)
            if first is not None:
                contested[start:end] |= (times[start:end] >= first) & (times[start:end] <= last)
        return contested

    def _insert_fresh(self, kind: Kind, arranged: Arranged, fresh: npt.NDArray[np.bool_]) -> int:
        values: list[Iterable[Any]] = list(arranged.values)
        if kind.multiset:
            values.append(arranged.ranks().tolist())
        if not fresh.all():
            values = [itertools.compress(column, fresh.tolist()) for column in values]
        self._connection.executemany(tables(kind).insert, zip(*values, itertools.repeat(self.batch_id), strict=False))
        return int(fresh.sum())

    # Rows of one subject and time, of which some may be stored

    def _settle_multiset(self, kind: Kind, groups: Sequence[Group]) -> WriteCounts:
        t = tables(kind)
        venue_id = _venue_id(kind)
        inserts: list[Row] = []
        claims: list[Row] = []
        tally = dict.fromkeys(Action, 0)
        repeated = 0
        for group, stored in self._with_stored(kind, groups):
            next_seq = max((row.place for row in stored), default=-1) + 1
            seq_of: dict[Hashable, int] = {}
            for outcome in merge_multiset(group.contents, stored, venue_id):
                tally[outcome.action] += 1
                repeated += outcome.repeated
                if outcome.action is Action.INSERT:
                    inserts.append((*group.key, *outcome.content, next_seq, self.batch_id))
                    if venue_id:
                        seq_of[venue_id(outcome.content)] = next_seq
                    next_seq += 1
                elif outcome.action is Action.REVISE:
                    assert venue_id is not None
                    assert outcome.stored is not None
                    seq = outcome.stored.place
                    if seq is None:
                        seq = seq_of[venue_id(outcome.content)]
                    self._connection.executemany(t.insert, inserts)  # the row revised may be among them
                    inserts.clear()
                    self._connection.execute(t.retire, (self.batch_id, "revised", *group.key, seq))
                    self._connection.execute(t.replace, (*group.key, *outcome.content, seq, self.batch_id))
                elif outcome.stored is not None and not outcome.stored.claimed:
                    claims.append((kind.name, *group.key, outcome.stored.place))
        self._connection.executemany(t.insert, inserts)
        self._claim(claims)
        return WriteCounts(tally[Action.INSERT], tally[Action.DUPLICATE], tally[Action.REVISE], repeated)

    def _claim(self, claims: Sequence[Row]) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?)", claims)
        for kind, subject, ts_ns, _ in claims:
            self._last_claim[kind, subject] = max(ts_ns, self._last_claim.get((kind, subject), ts_ns))

    def _with_stored(self, kind: Kind, groups: Sequence[Group]) -> Iterator[tuple[Group, list[Stored[Row]]]]:
        """Join each group with the rows stored under its key; read in one go where they lie close together."""
        t = tables(kind)
        sql = f"SELECT ts_ns, seq, batch, {', '.join(t.content)} FROM {t.live} WHERE {kind.subject} = ?"
        for subject, run in itertools.groupby(groups, key=lambda group: group.key[0]):
            wanted = list(run)
            budget = NEARBY * len(wanted)
            cursor = self._connection.execute(
                f"{sql} AND ts_ns >= ? AND ts_ns <= ? ORDER BY ts_ns, seq LIMIT ?",
                (subject, wanted[0].key[1], wanted[-1].key[1], budget),
            )
            found: dict[int, list[Row]] = {}
            read = 0
            for row in cursor:
                found.setdefault(row[0], []).append(row)
                read += 1
            # Where the budget ran out, the last time may be there in part only.
            known_to = wanted[-1].key[1] if read < budget else max(found) - 1
            for group in wanted:
                rows = found.get(group.key[1], [])
                if group.key[1] > known_to:
                    rows = self._connection.execute(f"{sql} AND ts_ns = ? ORDER BY seq", group.key).fetchall()
                yield group, self._as_stored(kind, group.key, rows)

    def _as_stored(self, kind: Kind, key: Row, rows: Sequence[Row]) -> list[Stored[Row]]:
        claimed: set[int] = set()
        if rows and key[1] <= self._last_claim.get((kind.name, key[0]), key[1] - 1):
            found = self._connection.execute(
                "SELECT seq FROM claims WHERE kind = ? AND subject = ? AND ts_ns = ?", (kind.name, *key)
            )
            claimed = {seq for (seq,) in found}
        return [Stored(row[1], row[3:], row[2] == self.batch_id or row[1] in claimed) for row in rows]

    # Versions of one key

    def _settle_versions(self, kind: Kind, groups: Sequence[Group]) -> WriteCounts:
        t = tables(kind)
        version = None if kind.version is None else _at(t.content.index(kind.version))
        present = f"SELECT batch, {', '.join(t.content)} FROM {t.live} WHERE {t.match_key}"
        # What was taken back on purpose may come again; what was replaced may not.
        same = " AND ".join(f"{name} IS ?" for name in t.content)
        past = f"SELECT EXISTS (SELECT 1 FROM {t.history} WHERE {t.match_key} AND {same} AND reason IN ('revised', 'outdated'))"
        tally = dict.fromkeys(Action, 0)
        repeated = 0
        for key, contents in groups:
            found = self._connection.execute(present, key).fetchone()
            stored = Stored(None, found[1:], found[0] == self.batch_id) if found else None

            def is_known(content: Row, key: Row = key) -> bool:
                return bool(self._connection.execute(past, (*key, *content)).get)

            for outcome in merge_versions(contents, stored, is_known, version):
                self._apply_version(t, key, outcome)
                tally[outcome.action] += 1
                repeated += outcome.repeated
        return WriteCounts(
            tally[Action.INSERT], tally[Action.DUPLICATE], tally[Action.REVISE] + tally[Action.OUTDATED], repeated
        )

    def _apply_version(self, t: Tables, key: Row, outcome: Outcome[Row]) -> None:
        row = (*key, *outcome.content, self.batch_id)
        if outcome.action is Action.REVISE:
            self._connection.execute(t.retire, (self.batch_id, "revised", *key))
        if outcome.action is Action.OUTDATED:
            self._connection.execute(t.record_history, (*row, self.batch_id, "outdated"))
        elif outcome.action is not Action.DUPLICATE:
            self._connection.execute(t.replace, row)

    # Taking back

    def delete(self, query: Query) -> int:
        """Move the rows of *query* to the history."""
        t = tables(query.kind)
        if query.limit is None:
            where, parameters = t.where(query)
            self._retire_where(t, where, parameters, "deleted")
            deleted = int(self._connection.changes())
        else:
            sql, parameters = t.select(query, t.key)
            keys = self._connection.execute(sql, parameters).fetchall()
            self._connection.executemany(t.retire, ((self.batch_id, "deleted", *key) for key in keys))
            self._connection.executemany(t.delete, keys)
            deleted = len(keys)
        self._deleted += deleted
        return deleted

    def undo(self, batch_id: int) -> int:
        """Take back what *batch_id* brought, replaced and removed."""
        row = self._connection.execute("SELECT undone_by FROM batches WHERE id = ?", (batch_id,)).fetchone()
        if row is None or batch_id == self.batch_id:
            raise DataError(
                f"there is no batch {batch_id}", hint="`fpa batches` lists them", field="batch", value=batch_id
            )
        if row[0] is not None:
            raise DataError(f"batch {batch_id} was already undone, by batch {row[0]}", field="batch", value=batch_id)
        changed = 0
        for kind in KINDS.values():
            t = tables(kind)
            self._retire_where(t, "batch = ?", [batch_id], "undone")
            changed += self._connection.changes()
            changed += self._restore(t, batch_id)
        self._connection.execute("UPDATE batches SET undone_by = ? WHERE id = ?", (self.batch_id, batch_id))
        self._connection.execute(
            "UPDATE quarantine SET state = 'undone' WHERE batch = ? AND state = 'open'", (batch_id,)
        )
        self._deleted += changed
        return changed

    def _retire_where(self, t: Tables, where: str, parameters: Sequence[Any], reason: str) -> None:
        names = ", ".join(t.columns)
        self._connection.execute(
            f"INSERT INTO {t.history} ({names}, retired_by, reason) SELECT {names}, ?, ? FROM {t.live} WHERE {where}",
            (self.batch_id, reason, *parameters),
        )
        self._connection.execute(f"DELETE FROM {t.live} WHERE {where}", parameters)

    def _restore(self, t: Tables, batch_id: int) -> int:
        """Bring back what *batch_id* replaced or removed, unless something later stands in its place."""
        names = ", ".join(t.fields)
        seq = ", seq" if t.kind.multiset else ""
        gone = self._connection.execute(
            f"SELECT {names}{seq} FROM {t.history} WHERE retired_by = ? AND batch <> ? AND reason <> 'outdated'",
            (batch_id, batch_id),
        ).fetchall()
        restored = 0
        for row in gone:
            key = row[: len(t.kind.key)]
            if t.kind.multiset:
                taken = {
                    place
                    for (place,) in self._connection.execute(
                        f"SELECT seq FROM {t.live} WHERE {t.kind.subject} = ? AND ts_ns = ?", key
                    )
                }
                place = row[-1] if row[-1] not in taken else max(taken) + 1
                self._connection.execute(t.insert, (*row[:-1], place, self.batch_id))
                restored += 1
            else:
                before = self._connection.total_changes()
                self._connection.execute(t.insert.replace("INSERT", "INSERT OR IGNORE", 1), (*row, self.batch_id))
                restored += self._connection.total_changes() - before
        return restored

    # The batch itself

    def quarantine(self, records: Sequence[Quarantined]) -> None:
        """Keep records that were refused."""
        self._connection.executemany(
            "INSERT INTO quarantine (batch, kind, subject, ts_ns, row, raw, findings, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (self.batch_id, r.kind, r.subject, r.ts_ns, r.row, r.raw, json.dumps(list(r.findings)), r.state)
                for r in records
            ),
        )
        self._quarantined += len(records)

    def finish(self, *, read: int) -> None:
        """Note how many rows the source held."""
        self._read = read

    def record(self) -> None:
        """Write down what the batch came to; the last thing before the commit."""
        counts = self._counts
        total = counts.inserted + counts.duplicate + counts.revised + self._quarantined
        self._connection.execute(
            "UPDATE batches SET read = ?, inserted = ?, duplicate = ?, revised = ?, quarantined = ?, deleted = ? WHERE id = ?",
            (
                total if self._read is None else self._read,
                counts.inserted,
                counts.duplicate,
                counts.revised,
                self._quarantined,
                self._deleted,
                self.batch_id,
            ),
        )


def _at(index: int) -> Callable[[Row], Any]:
    return lambda content: content[index]


def _venue_id(kind: Kind) -> Callable[[Row], Hashable | None] | None:
    if not kind.venue_id:
        return None
    names = tables(kind).content
    *rest, last = [names.index(name) for name in kind.venue_id]
    return lambda content: None if content[last] is None else (content[last], *(content[i] for i in rest))
