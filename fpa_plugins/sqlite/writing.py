"""Writing one batch into SQLite: which rows are new, which are known, which revise, all inside one transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fpa_core import columns
from fpa_core.exceptions import DataError
from fpa_core.protocols import Quarantined, Query, WriteCounts
from fpa_core.records import KINDS, Kind
from fpa_core.store.merge import Action, Outcome, Stored, merge_multiset, merge_versions
from fpa_plugins.sqlite.schema import Tables, tables

__all__ = ["SqliteTransaction"]

Row = tuple[Any, ...]


class SqliteTransaction:
    """A batch in the making; see :class:`fpa_core.protocols.StoreTransaction`."""

    def __init__(self, connection: apsw.Connection, batch_id: int) -> None:
        self.batch_id = batch_id
        self._connection = connection
        self._counts = WriteCounts()
        self._read: int | None = None
        self._quarantined = 0
        self._deleted = 0
        # Rows of earlier batches that rows of this one were recognised as. Where the batch is in order nobody asks for them again, so
        # the last time claimed for each subject is kept here and the claims themselves in a table that may spill to disk.
        self._last_claim: dict[tuple[str, str], int] = {}
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS claims (kind TEXT, subject TEXT, ts_ns INTEGER, seq INTEGER, "
            "PRIMARY KEY (kind, subject, ts_ns, seq)) WITHOUT ROWID; DELETE FROM claims"
        )

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contract of their kind."""
        if not table.num_rows:
            return WriteCounts()
        order, runs, groups = _arrange(kind, table)
        if order is not None:
            table = table.take(pa.array(order))
        values = _storage_columns(kind, table)
        contested = self._contested(kind, values, runs, groups)
        fresh = ~contested
        counts = WriteCounts(inserted=self._insert_fresh(kind, values, fresh, groups))
        settle = self._settle_multiset if kind.multiset else self._settle_versions
        ends = np.append(groups[1:], table.num_rows)
        for start, end in zip(groups.tolist(), ends.tolist(), strict=True):
            if contested[start]:
                counts += settle(kind, [tuple(column[i] for column in values) for i in range(start, end)])
        self._counts += counts
        return counts

    def _contested(
        self, kind: Kind, values: Sequence[list[Any]], runs: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Tell which rows may meet stored ones, or each other: only these are looked at one key at a time."""
        count = len(values[0])
        sizes = np.diff(np.append(groups, count))
        t = tables(kind)
        contested = np.repeat(sizes > 1, sizes)
        if kind.multiset:  # equal keys are as good as any, unless a venue's id makes them one row
            ids = values[t.fields.index(kind.venue_id[-1])] if kind.venue_id else [None] * count
            contested &= np.array([one is not None for one in ids], bool)
        if "ts_ns" not in kind.key:
            return (
                np.full(count, bool(self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {t.live})").get))
                | contested
            )
        times = np.array(values[t.fields.index("ts_ns")], np.int64)
        prefix = [name for name in kind.key if name != "ts_ns"]
        where = " AND ".join(f"{name} = ?" for name in prefix)
        for start, end in zip(runs.tolist(), [*runs[1:].tolist(), count], strict=True):
            bound = [values[t.fields.index(name)][start] for name in prefix] + [int(times[start]), int(times[end - 1])]
            first, last = (
                self._connection.execute(
                    f"SELECT {edge}(ts_ns) FROM {t.live} WHERE {where} AND ts_ns >= ? AND ts_ns <= ?", bound
                ).get
                for edge in ("min", "max")
            )
            if first is not None:
                contested[start:end] |= (times[start:end] >= first) & (times[start:end] <= last)
        return contested

    def _insert_fresh(
        self, kind: Kind, values: Sequence[list[Any]], fresh: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]
    ) -> int:
        count = len(fresh)
        columns_: list[Iterable[Any]] = list(values)
        if kind.multiset:
            sizes = np.diff(np.append(groups, count))
            columns_.append((np.arange(count) - np.repeat(groups, sizes)).tolist())
        if not fresh.all():
            columns_ = [itertools.compress(column, fresh.tolist()) for column in columns_]
        self._connection.executemany(tables(kind).insert, zip(*columns_, itertools.repeat(self.batch_id), strict=False))
        return int(fresh.sum())

    # Rows of one subject and time, of which some may be stored

    def _settle_multiset(self, kind: Kind, rows: Sequence[Row]) -> WriteCounts:
        t = tables(kind)
        place = [t.fields.index(name) for name in kind.key]
        key = tuple(rows[0][i] for i in place)
        stored = self._stored(kind, key)
        outcomes = merge_multiset([_without(row, place) for row in rows], stored, _venue_id(kind))
        next_seq = max((row.place for row in stored), default=-1) + 1
        seq_of: dict[Hashable, int] = {}
        claims = []
        inserted = duplicate = revised = repeated = 0
        for row, outcome in zip(rows, outcomes, strict=True):
            identity = _venue_id(kind)(outcome.content)
            if outcome.action is Action.INSERT:
                self._connection.execute(t.insert, (*row, next_seq, self.batch_id))
                seq_of[identity] = next_seq
                next_seq += 1
                inserted += 1
            elif outcome.action is Action.DUPLICATE:
                duplicate += 1
                repeated += outcome.repeated
                if outcome.stored is not None and not outcome.stored.claimed:
                    claims.append((kind.name, *key, outcome.stored.place))
            else:
                seq = seq_of[identity] if outcome.stored is None else outcome.stored.place
                self._connection.execute(t.retire, (self.batch_id, "revised", *key, seq))
                self._connection.execute(t.replace, (*row, seq, self.batch_id))
                seq_of[identity] = seq
                revised += 1
        if claims:
            self._connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?)", claims)
            mark = (kind.name, key[0])
            self._last_claim[mark] = max(key[1], self._last_claim.get(mark, key[1]))
        return WriteCounts(inserted, duplicate, revised, repeated)

    def _stored(self, kind: Kind, key: Row) -> list[Stored[Row]]:
        t = tables(kind)
        content = ", ".join(name for name in t.fields if name not in kind.key)
        found = self._connection.execute(
            f"SELECT seq, batch, {content} FROM {t.live} WHERE {kind.subject} = ? AND ts_ns = ? ORDER BY seq", key
        ).fetchall()
        claimed: set[int] = set()
        if found and key[1] <= self._last_claim.get((kind.name, key[0]), key[1] - 1):
            claimed = {
                seq
                for (seq,) in self._connection.execute(
                    "SELECT seq FROM claims WHERE kind = ? AND subject = ? AND ts_ns = ?", (kind.name, *key)
                )
            }
        return [Stored(row[0], row[2:], row[1] == self.batch_id or row[0] in claimed) for row in found]

    # Versions of one key

    def _settle_versions(self, kind: Kind, rows: Sequence[Row]) -> WriteCounts:
        t = tables(kind)
        place = [t.fields.index(name) for name in kind.key]
        key = tuple(rows[0][i] for i in place)
        names = [name for name in t.fields if name not in kind.key]
        found = self._connection.execute(
            f"SELECT batch, {', '.join(names)} FROM {t.live} WHERE {t.match_key}", key
        ).fetchone()
        stored = Stored(None, found[1:], found[0] == self.batch_id) if found else None

        def is_known(content: Row) -> bool:
            # What was taken back on purpose may come again; what was replaced may not.
            same = " AND ".join(f"{name} IS ?" for name in names)
            sql = f"SELECT EXISTS (SELECT 1 FROM {t.history} WHERE {t.match_key} AND {same} AND reason IN ('revised', 'outdated'))"
            return bool(self._connection.execute(sql, (*key, *content)).get)

        version = None if kind.version is None else _at(names.index(kind.version))
        outcomes = merge_versions([_without(row, place) for row in rows], stored, is_known, version)
        for row, outcome in zip(rows, outcomes, strict=True):
            self._apply_version(t, key, row, outcome)
        tally = [outcome.action for outcome in outcomes]
        return WriteCounts(
            tally.count(Action.INSERT),
            tally.count(Action.DUPLICATE),
            tally.count(Action.REVISE) + tally.count(Action.OUTDATED),
            sum(outcome.repeated for outcome in outcomes),
        )

    def _apply_version(self, t: Tables, key: Row, row: Row, outcome: Outcome[Row]) -> None:
        if outcome.action is Action.REVISE:
            self._connection.execute(t.retire, (self.batch_id, "revised", *key))
        if outcome.action is Action.OUTDATED:
            self._connection.execute(t.record_history, (*row, self.batch_id, self.batch_id, "outdated"))
        elif outcome.action is not Action.DUPLICATE:
            self._connection.execute(t.replace, (*row, self.batch_id))

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
            key = tuple(row[t.fields.index(name)] for name in t.kind.key)
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


def _arrange(
    kind: Kind, table: pa.Table
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sort rows by key, equal keys in order of arrival.

    Return the order (None where the rows are in it already), where each run of one prefix begins (the key without the time), and where
    each group of one key begins.
    """
    names = [name for name in kind.key if name != "ts_ns"]
    codes = [_codes(table.column(kind.by_field[name].name)) for name in names]
    time = [_codes(table.column("timestamp"))] if "ts_ns" in kind.key else []
    order: npt.NDArray[np.int64] | None = np.lexsort([*time, *codes[::-1]])
    if (order == np.arange(table.num_rows)).all():  # type: ignore[union-attr]
        order = None
    else:
        codes, time = [column[order] for column in codes], [column[order] for column in time]
    return order, _starts(codes), _starts([*codes, *time])


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    array = column.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return columns.times_as_ns(array).to_numpy()  # type: ignore[no-any-return]
    return array.dictionary_encode().indices.cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _starts(sorted_columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    changes = np.zeros(len(sorted_columns[0]), bool)
    changes[0] = True
    for column in sorted_columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def _storage_columns(kind: Kind, table: pa.Table) -> list[list[Any]]:
    """Return the columns as SQLite keeps them; a missing required value is a bug of the caller and stopped here."""
    values = []
    for column in kind.columns:
        array = table.column(column.name).combine_chunks()
        if column.required and array.null_count:
            row = pc.index(array.is_null(), True).as_py() + 1  # noqa: FBT003
            raise DataError(
                f"{kind.singular}.{column.name}: a value is needed in every row", field=column.name, row=row
            )
        if column.type == "decimal":
            array = columns.as_texts(array)
        elif column.type == "time":
            array = columns.times_as_ns(array)
        values.append(array.to_pylist())
    return values


def _without(row: Row, places: Sequence[int]) -> Row:
    return tuple(value for i, value in enumerate(row) if i not in places)


def _at(index: int) -> Callable[[Row], Any]:
    return lambda content: content[index]


def _venue_id(kind: Kind) -> Callable[[Row], Hashable | None]:
    if not kind.venue_id:
        return lambda _: None
    names = [column.field for column in kind.columns if column.field not in kind.key]
    places = [names.index(name) for name in kind.venue_id]
    return lambda content: None if content[places[-1]] is None else tuple(content[i] for i in places)
