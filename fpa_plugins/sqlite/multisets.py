"""Writing quotes and trades: each distinct row as often as the fullest batch holds it, in bulk wherever nothing is stored yet."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fpa_core.arrow.batches import combine_chunks, to_decimal
from fpa_core.engine.merge import Action, Stored, merge_multiset
from fpa_core.kinds import Kind
from fpa_core.protocols import Query, WriteCounts
from fpa_plugins.sqlite import packing, sealed
from fpa_plugins.sqlite.arranging import Group, Row, Run, by_subject, sort
from fpa_plugins.sqlite.bulk import Known, Shelf
from fpa_plugins.sqlite.claims import Claim, Claims
from fpa_plugins.sqlite.schema import tables

__all__ = ["MultisetWriter"]

ROWS_AT_ONCE = 1_048_576
"""Rows sorted and gathered at once: enough to fill the segments of many symbols."""

MERGED_AT_ONCE = 65_536
"""Rows compared with stored ones at once, as Python values where they must be: few enough for the memory of a small machine."""

NEARBY = 8
"""Stored rows read per arriving time before looking each time up on its own is the better way."""

Times = npt.NDArray[np.int64]
Span = tuple[int, int]


class MultisetWriter:
    """Writes rows of one batch under the multiset rule."""

    def __init__(self, connection: apsw.Connection, batch_id: int, claims: Claims) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._claims = claims
        self._shelf = Shelf(connection, batch_id, claims)

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows, one subject after the other."""
        counts = WriteCounts()
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            for subject, run in by_subject(kind, combine_chunks(table.slice(start, ROWS_AT_ONCE))):
                counts += self._write_run(kind, subject, run)
            for key in self._shelf.overfull():
                self.flush(*key)
        return counts

    def flush(self, kind: Kind | None = None, subject: str | None = None) -> None:
        """Write what was held back to fill segments, of one subject or of all."""
        for held_kind, held_subject, rows in self._shelf.flush(kind, subject):
            self._insert_hot(held_kind, held_subject, rows)

    def unseal(self, query: Query) -> None:
        """Make every row that *query* may select a hot one, so that it can be changed."""
        self.flush()
        self._shelf.unseal(query)

    def keep_claims(self) -> None:
        """Leave the claims on sealed rows to the next transaction of the same batch."""
        self._shelf.keep_claims()

    def _write_run(self, kind: Kind, subject: str, run: Run) -> WriteCounts:
        """Write rows of one subject in order of time."""
        first, last = run.first_ns, run.last_ns
        held = self._shelf.last_gathered(kind, subject)
        if held is not None and (held > first or (held == first and _has_ids(kind, run.rows))):
            self.flush(kind, subject)
            held = None
        since = first if held is None else held
        hot = self._hot_span(kind, subject, since, last)
        met = self._shelf.meeting(kind, subject, since, last)
        if hot is None and not met:
            if not _repeats(kind, run):
                self._shelf.gather(kind, subject, run)
                return WriteCounts(inserted=len(run.times))
            return self._settle(kind, subject, run, [], None)
        if len(run.times) > MERGED_AT_ONCE:
            counts = WriteCounts()
            for start in range(0, len(run.times), MERGED_AT_ONCE):
                counts += self._write_run(kind, subject, run.part(start, start + MERGED_AT_ONCE))
            return counts
        if held is not None:
            self.flush(kind, subject)
            hot = self._hot_span(kind, subject, first, last)
            met = self._shelf.meeting(kind, subject, first, last)
        spans = [span for span in (hot, *((known.entry.first_ns, known.entry.last_ns) for known in met)) if span]
        times = run.times
        start = int(np.searchsorted(times, min((span[0] for span in spans), default=last + 1), "left"))
        end = int(np.searchsorted(times, max((span[1] for span in spans), default=last), "right"))
        counts = self._write_apart(kind, subject, run.part(0, start))
        counts += self._settle(kind, subject, run.part(start, end), met, hot)
        return counts + self._write_apart(kind, subject, run.part(end, len(run.times)))

    def _hot_span(self, kind: Kind, subject: str, first: int, last: int) -> Span | None:
        """Return the first and last time of hot rows of a subject in a range, both ends included."""
        found = [
            self._connection.execute(
                f"SELECT {edge}(ts_ns) FROM {kind.name} WHERE {kind.subject} = ? AND ts_ns >= ? AND ts_ns <= ?",
                (subject, first, last),
            ).get
            for edge in ("min", "max")
        ]
        return None if found[0] is None else (found[0], found[1])

    def _write_apart(self, kind: Kind, subject: str, run: Run) -> WriteCounts:
        """Write rows that no stored ones lie among."""
        if not len(run.times):
            return WriteCounts()
        if _repeats(kind, run):
            return self._settle(kind, subject, run, [], None)
        if len(run.times) >= sealed.LEAST_ROWS:
            owners = np.full(len(run.times), self._batch_id)
            packing.write(self._connection, [packing.Unsealed(kind, subject, run.rows, owners)])
        else:
            self._insert_hot(kind, subject, run.rows)
        return WriteCounts(inserted=len(run.times))

    def _insert_hot(self, kind: Kind, subject: str, rows: pa.RecordBatch) -> None:
        """Insert rows in order of time at which no other rows are."""
        arranged = sort(kind, to_decimal(kind, rows, subject)).arranged()
        places = arranged.ranks().tolist()
        self._connection.executemany(
            tables(kind).insert, zip(*arranged.values, places, itertools.repeat(self._batch_id), strict=False)
        )

    # Rows that may meet stored ones

    def _settle(self, kind: Kind, subject: str, run: Run, met: Sequence[Known], hot: Span | None) -> WriteCounts:
        if not len(run.times):
            return WriteCounts()
        rows, times = run.rows, run.times
        undecided = np.ones(len(times), bool)
        for known in met:
            first, last = known.entry.first_ns, known.entry.last_ns
            start, end = np.searchsorted(times, [first, last + 1]).tolist()
            alone_there = hot is None or self._hot_span(kind, subject, first, last) is None
            if start < end and alone_there and known.claim_run(rows.slice(start, end - start), times[start:end]):
                undecided[start:end] = False
        duplicate = len(times) - int(undecided.sum())
        if met and undecided.any() and _has_ids(kind, rows):  # one of them may revise a sealed row
            self.unseal(Query(kind, (subject,), int(times[0]), int(times[-1]) + 1))
            met, hot = [], self._hot_span(kind, subject, int(times[0]), int(times[-1]))
        meets = np.zeros(len(times), bool)
        if hot is not None:
            meets |= (times >= hot[0]) & (times <= hot[1])
        for known in met:
            meets |= _is_in(times, known.times)
        if _repeats(kind, run):
            meets[:] = True
        alone = undecided & ~meets
        if alone.any():
            self._insert_hot(kind, subject, rows.filter(pa.array(alone)))
        groups: list[Group] = []
        if (undecided & meets).any():
            groups = list(sort(kind, to_decimal(kind, rows, subject)).arranged().only(undecided & meets))
        return WriteCounts(inserted=int(alone.sum()), duplicate=duplicate) + self._merge(kind, groups, met)

    def _merge(self, kind: Kind, groups: Sequence[Group], met: Sequence[Known]) -> WriteCounts:
        """Merge groups of rows, each of one time, with what is stored at that time."""
        t = tables(kind)
        venue_id = _venue_id(kind)
        inserts: list[Row] = []
        claims: dict[str, list[Claim]] = {}
        tally = dict.fromkeys(Action, 0)
        repeated = 0
        starts = [known.entry.first_ns for known in met]
        for group, hot, owners in self._with_hot(kind, groups):
            nearest = bisect.bisect_right(starts, group.key[1]) - 1  # segments are apart: no other can have this time
            stored = list(met[nearest].at(group.key[1])) if nearest >= 0 else []
            places = [known.places[row] for known, row in (one.place for one in stored)]
            next_seq = int(max([*places, *(row.place for row in hot)], default=-1)) + 1
            seq_of: dict[Hashable, int] = {}

            def is_known(content: Row, key: Row = group.key) -> bool:
                known = self._connection.execute(t.was_replaced, (*key, *content)).get
                return bool(known) or self._stands(kind, key, content)

            for outcome in merge_multiset(group.contents, [*stored, *hot], venue_id, is_known):
                tally[outcome.action] += 1
                repeated += outcome.repeated
                if outcome.action is Action.INSERT:
                    inserts.append((*group.key, *outcome.content, next_seq, self._batch_id))
                    if venue_id:
                        seq_of[venue_id(outcome.content)] = next_seq
                    next_seq += 1
                elif outcome.action is Action.REVISE:
                    assert outcome.stored is not None
                    assert venue_id is not None
                    seq = (
                        outcome.stored.place if outcome.stored.place is not None else seq_of[venue_id(outcome.content)]
                    )
                    self._connection.executemany(t.insert, inserts)  # the row revised may be among them
                    inserts.clear()
                    self._connection.execute(t.retire, (self._batch_id, "revised", *group.key, seq))
                    self._connection.execute(t.replace, (*group.key, *outcome.content, seq, self._batch_id))
                elif outcome.stored is not None and not outcome.stored.claimed:
                    if isinstance(outcome.stored.place, tuple):
                        known, row = outcome.stored.place
                        known.claimed[row] = True
                    else:
                        seq = outcome.stored.place
                        claims.setdefault(group.key[0], []).append((group.key[1], seq, owners[seq]))
        self._connection.executemany(t.insert, inserts)
        for subject, rows in claims.items():
            self._claims.add(kind, subject, rows)
        return WriteCounts(tally[Action.INSERT], tally[Action.DUPLICATE], tally[Action.REVISE], repeated)

    def _with_hot(
        self, kind: Kind, groups: Sequence[Group]
    ) -> Iterator[tuple[Group, list[Stored[Row]], dict[int, int]]]:
        """Join each group with the hot rows under its key, and the batch of each by its place; read in one go where they lie close together."""
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
                yield group, self._as_stored(kind, group.key, rows), {row[1]: row[2] for row in rows}

    def _as_stored(self, kind: Kind, key: Row, rows: Sequence[Row]) -> list[Stored[Row]]:
        subject, ts_ns = key
        claimed = self._claims.between(kind, subject, ts_ns, ts_ns) if rows else set()
        owners = self._claims.owners
        return [Stored(row[1], row[3:], row[2] in owners or (ts_ns, row[1], row[2]) in claimed) for row in rows]

    def _stands(self, kind: Kind, key: Row, content: Row) -> bool:
        """Tell whether the stored row with the id of *content* is later than what is being replayed."""
        names = tables(kind).content
        same = " AND ".join(f"{name} IS ?" for name in kind.venue_id)
        sql = f"SELECT max(batch) FROM {kind.name} WHERE {kind.subject} = ? AND ts_ns = ? AND {same}"
        ids = [content[names.index(name)] for name in kind.venue_id]
        return len(self._claims.owners) > 1 and self._claims.stands(self._connection.execute(sql, (*key, *ids)).get)


def _is_in(times: Times, others: Times) -> npt.NDArray[np.bool_]:
    """Tell which of *times* are among *others*; both are in order."""
    places = np.minimum(np.searchsorted(others, times), len(others) - 1)
    return others[places] == times  # type: ignore[no-any-return]


def _has_ids(kind: Kind, rows: pa.RecordBatch) -> bool:
    return bool(kind.venue_id) and kind.by_field[kind.venue_id[-1]].name in rows.schema.names


def _repeats(kind: Kind, run: Run) -> bool:
    """Tell whether an id occurs twice at one time, so that the rows are not all to be kept."""
    if not _has_ids(kind, run.rows):
        return False
    times = run.times
    shared = np.zeros(len(times), bool)
    shared[1:] = times[1:] == times[:-1]
    shared[:-1] |= shared[1:]
    if not shared.any():
        return False
    names = [kind.by_field[name].name for name in kind.venue_id]
    part = to_decimal(kind, run.rows.filter(pa.array(shared)), "")
    ids = zip(*(part.column(name).to_pylist() for name in names), strict=True)
    seen = [(ns, *one) for ns, one in zip(times[shared].tolist(), ids, strict=True) if one[-1] is not None]
    return len(set(seen)) < len(seen)


def _venue_id(kind: Kind) -> Callable[[Row], Hashable | None] | None:
    if not kind.venue_id:
        return None
    names = tables(kind).content
    *rest, last = [names.index(name) for name in kind.venue_id]
    return lambda content: None if content[last] is None else (content[last], *(content[i] for i in rest))
