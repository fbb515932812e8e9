"""Writing one batch into SQLite, all inside one transaction, and taking batches back."""

from __future__ import annotations

import bisect
import functools
import itertools
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import apsw
import pyarrow as pa

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import Quarantined, QuarantineQuery, Query, State, WriteCounts
from fpa_plugins.sqlite import sealed
from fpa_plugins.sqlite.appending import Appender
from fpa_plugins.sqlite.arranging import check_complete
from fpa_plugins.sqlite.claims import Claims
from fpa_plugins.sqlite.multisets import MultisetWriter
from fpa_plugins.sqlite.quarantine import QuarantineWriter
from fpa_plugins.sqlite.schema import Tables, tables
from fpa_plugins.sqlite.versions import VersionWriter

__all__ = ["SqliteTransaction", "begin_batch"]


def begin_batch(
    connection: apsw.Connection,
    source: str,
    file: str | None = None,
    digest: str | None = None,
    replays: int | None = None,
) -> int:
    """Enter a batch, and return its id."""
    # Never earlier than the batch before, whatever the clock does: "as known at" counts on it.
    last = connection.execute("SELECT max(recorded_ns) FROM batches").get
    recorded_ns = max(time.time_ns(), (last or 0) + 1)
    connection.execute(
        "INSERT INTO batches (source, recorded_ns, file, digest, replays) VALUES (?, ?, ?, ?, ?)",
        (source, recorded_ns, file, digest, replays),
    )
    return connection.last_insert_rowid()


class SqliteTransaction:
    """A batch in the making, or a group of one; see :class:`fpa_core.protocols.StoreTransaction`.

    :param claims: what earlier groups of the same batch have claimed, and *appender* where they ended; a batch that is written at once has neither.
    :param replays: the batch whose refused rows it puts in.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        batch_id: int,
        claims: Claims | None = None,
        appender: Appender | None = None,
        replays: int | None = None,
    ) -> None:
        self.batch_id = batch_id
        self._connection = connection
        self._claims = claims or Claims(connection, batch_id, replays)
        self._goes_on = claims is not None
        self._appender = appender or Appender(batch_id)
        self._multisets = MultisetWriter(connection, batch_id, self._claims)
        self._versions = VersionWriter(connection, batch_id)
        self._counts = WriteCounts()
        self._read: int | None = None
        self._quarantined = 0
        self._deleted = 0

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contract of their kind."""
        self._appender.forget()
        return self._write(kind, table)

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        """Add records; those of quotes and trades that come after all that is stored are appended as they are."""
        if not kind.multiset:
            return self._write(kind, to_table(kind, records))
        self._multisets.flush()
        others = self._appender.append(self._connection, kind, records)
        appended = WriteCounts(inserted=len(records) - len(others))
        self._counts += appended
        return appended + self._write(kind, to_table(kind, others)) if others else appended

    def _write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        if not table.num_rows:
            return WriteCounts()
        check_complete(kind, table)
        counts = (self._multisets if kind.multiset else self._versions).write(kind, table)
        self._counts += counts
        return counts

    # The quarantine

    @functools.cached_property
    def _refused(self) -> QuarantineWriter:
        return QuarantineWriter(self._connection, self.batch_id, in_groups=self._goes_on)

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        """Keep records that were refused, those that are not there already; the others count as duplicates."""
        kept = self._refused.add(records)
        self._quarantined += len(kept)
        self._counts += WriteCounts(duplicate=len(records) - len(kept))
        return kept

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        """Put refused rows into the tables."""
        again = [] if fixed or not kind.multiset else self._again(ids)
        self._appender.forget()
        if kind.multiset:
            check_complete(kind, table)
            # Equal rows that were replayed before count with these, as they would have in their source.
            rows = table.take(pa.array([*again, *range(table.num_rows)], pa.int64()))
            counts = self._multisets.write(kind, rows) + WriteCounts(duplicate=-len(again))
        else:
            stands = self._claims.stands
            writer = self._versions if fixed else VersionWriter(self._connection, self.batch_id, stands)
            check_complete(kind, table)
            counts = writer.write(kind, table)
        self._counts += counts
        self._refused.settle(ids, State.FIXED if fixed else State.REPLAYED)
        return counts

    def _again(self, ids: Sequence[int]) -> list[int]:
        """Return the rows of *ids* that were replayed before, each as often as that."""
        before = self._refused.replayed_before(ids)
        return [row for row, record in enumerate(ids) for _ in range(before.get(record, 0))]

    def discard(self, query: QuarantineQuery) -> int:
        """Mark open records as discarded."""
        return self._refused.discard(query)

    def refuse_again(self, records: Sequence[Quarantined]) -> None:
        """Note what is wrong with open records now."""
        self._refused.refuse_again(records)
        self._quarantined += len(records)

    # Taking back

    def delete(self, query: Query) -> int:
        """Move the rows of *query* to the history."""
        self._appender.forget()
        t = tables(query.kind)
        if query.kind.multiset:
            self._multisets.unseal(query)
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
        self._appender.forget()
        # Later batches that put in what this one refused go with it, and first.
        sql = "SELECT id FROM batches WHERE replays = ? AND undone_by IS NULL ORDER BY id DESC"
        batches = [*(replay for (replay,) in self._connection.execute(sql, (batch_id,))), batch_id]
        changed = sum(self._take_back(each) for each in batches)
        self._refused.undo(batches[::-1])
        self._deleted += changed
        return changed

    def _take_back(self, batch_id: int) -> int:
        changed = 0
        for kind in KINDS.values():
            t = tables(kind)
            if kind.multiset:
                self._multisets.unseal(Query(kind, batch=batch_id))
            self._retire_where(t, "batch = ?", [batch_id], "undone")
            changed += self._connection.changes()
            changed += self._restore(t, batch_id)
        self._connection.execute("UPDATE batches SET undone_by = ? WHERE id = ?", (self.batch_id, batch_id))
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
        seq, order = (", seq", f" ORDER BY {', '.join(t.order)}") if t.kind.multiset else ("", "")
        gone: list[Any] = self._connection.execute(
            f"SELECT {names}{seq} FROM {t.history} WHERE retired_by = ? AND batch <> ? AND reason <> 'outdated'{order}",
            (batch_id, batch_id),
        ).fetchall()
        if t.kind.multiset:
            self._unseal_at(t.kind, [(row[0], row[1]) for row in gone])
        restored = 0
        for row in gone:
            key = row[: len(t.kind.key)]
            if t.kind.multiset:
                restored += self._put_back(t, key, row)
            else:
                before = self._connection.total_changes()
                self._connection.execute(t.insert.replace("INSERT", "INSERT OR IGNORE", 1), (*row, self.batch_id))
                restored += self._connection.total_changes() - before
        return restored

    def _unseal_at(self, kind: Kind, keys: Sequence[tuple[str, int]]) -> None:
        """Make hot what shares a segment with *keys*, which are in order: places and ids are looked up among hot rows."""
        for subject, same in itertools.groupby(keys, key=itemgetter(0)):
            times = [ts_ns for _, ts_ns in same]
            for entry in list(sealed.find(self._connection, Query(kind, (subject,), times[0], times[-1] + 1))):
                first = bisect.bisect_left(times, entry.first_ns)
                if first < len(times) and times[first] <= entry.last_ns:
                    self._multisets.unseal(Query(kind, (subject,), times[first], times[first] + 1))

    def _put_back(self, t: Tables, key: Sequence[Any], row: Sequence[Any]) -> bool:
        """Put a quote or trade back in its place, or after all of its time where that is taken; tell whether it is there now."""
        at = f"FROM {t.live} WHERE {t.kind.subject} = ? AND ts_ns = ?"
        ids = [row[t.fields.index(name)] for name in t.kind.venue_id]
        if ids and ids[-1] is not None:
            same = " AND ".join(f"{name} IS ?" for name in t.kind.venue_id)
            if self._connection.execute(f"SELECT EXISTS (SELECT 1 {at} AND {same})", (*key, *ids)).get:
                return False  # a later version stands
        taken = {place for (place,) in self._connection.execute(f"SELECT seq {at}", key)}
        place = row[-1] if row[-1] not in taken else max(taken) + 1
        self._connection.execute(t.insert, (*row[:-1], place, self.batch_id))
        return True

    # The batch itself

    def finish(self, *, read: int, reading: str | None = None) -> None:
        """Note how many rows the source held, and how they were read."""
        self._read = read
        if reading is not None:
            self._connection.execute("UPDATE batches SET reading = ? WHERE id = ?", (reading, self.batch_id))

    def record(self) -> None:
        """Write down what the batch came to; the last thing before the commit."""
        self._multisets.flush()
        if self._goes_on:
            self._multisets.keep_claims()
        else:
            self._claims.forget()
            if "_refused" in vars(self):
                self._refused.forget()
        counts = self._counts
        total = counts.inserted + counts.duplicate + counts.revised + self._quarantined
        self._connection.execute(
            "UPDATE batches SET read = read + ?, inserted = inserted + ?, duplicate = duplicate + ?, revised = revised + ?, "
            "quarantined = quarantined + ?, deleted = deleted + ? WHERE id = ? AND undone_by IS NULL",
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
        if not self._connection.changes():
            raise DatabaseError(
                f"batch {self.batch_id} was undone while it was being written",
                hint="what comes next belongs to another batch: begin a new stream",
                operation="write a group of a stream",
            )
