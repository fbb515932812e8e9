"""Undo a batch: remove the rows it brought, and restore those it replaced or removed, as if it had never been written.

Batches are taken back in any order, and an undo can itself be undone. A batch *counts* unless it is undone. A row returns if the batch that brought
it counts and the one that removed it does not; of rows of which one version stands (natural keys, trades with an id), the last such version
returns, unless another stands. A row whose own batch does not count is left in the history as retired by the undo of that batch, so that it returns
with it.

Sealed rows stay sealed, as far as they go and return together: a segment that a batch brought as a whole becomes a retired one (see
:mod:`fpa_core.engine.retirement`), and a retired one that returns to a time at which no rows are is written as a segment. All others take the way of
single rows.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.history import history_at, history_rows
from fpa_core.engine.multisets import MultisetWriter
from fpa_core.engine.restoration import SealedRestoration
from fpa_core.engine.retirement import retire_sealed_batch
from fpa_core.engine.rows import Key, Range, Row, shape_of
from fpa_core.engine.scan import layers
from fpa_core.engine.subject_rows import read_segments
from fpa_core.engine.tables import Writer
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import Query

__all__ = ["TakenBack", "take_back"]

_ROWS_AT_ONCE = 16_384


class TakenBack(NamedTuple):
    """What taking a batch back came to.

    :ivar changed: the number of rows that went or returned.
    :ivar batches: those that count no longer, or again.
    """

    changed: int
    batches: list[int]


def take_back(tables: Writer, batch: int, *, by: int, multisets: MultisetWriter) -> TakenBack:
    """Take back what *batch* and its children brought, replaced and removed.

    :param multisets: the writer of the batch *by*, which knows what it has recognised among sealed rows, and makes these hot ones.
    """
    batches = list(_stop_counting(tables, batch, by))
    # A stream that counts no longer since its undo counts again may have gone on in between.
    undone = tables.batches.undone(batches)
    stopped = [one for one in batches if one in undone]
    changed = 0
    for kind in KINDS.values():
        for one in stopped:
            if kind.multiset:
                changed += retire_sealed_batch(tables, kind, one, by=by, reason="undone", release=multisets.release)
            changed += tables.rows.retire_batch(kind, one, by=by, reason="undone")
        changed += _Restoration(tables, kind, by, multisets).run(batch)
    return TakenBack(changed, batches)


def _stop_counting(tables: Writer, batch: int, by: int) -> Iterator[int]:
    """Mark a batch as undone, and yield it and those that count, or do not count, because of that."""
    yield batch
    tables.batches.set_undone(batch, by)
    undone = tables.batches.find(batch=batch)[0]
    if undone.undoes is not None:
        for each in (undone.undoes, *tables.batches.replays_of(undone.undoes, undone_by=batch)):
            yield from _count_again(tables, each)


def _count_again(tables: Writer, batch: int) -> Iterator[int]:
    yield batch
    tables.batches.set_undone(batch, None)
    again = tables.batches.find(batch=batch)[0]
    if again.undoes is not None:
        for each in (*tables.batches.replays_of(again.undoes), again.undoes):
            yield from _stop_counting(tables, each, batch)


class _Restoration:
    """Brings rows of one kind back from the history, in the name of the batch *by*."""

    def __init__(self, tables: Writer, kind: Kind, by: int, multisets: MultisetWriter) -> None:
        self._tables = tables
        self._kind = kind
        self._shape = shape_of(kind)
        self._by = by
        self._unseal = multisets.unseal

    def run(self, batch: int) -> int:
        """Restore what *batch* and its children retired, and what stood before the rows that were taken back."""
        restored = 0
        sealed: Sequence[RetiredSegment] = ()
        if self._kind.multiset:
            whole = SealedRestoration(self._tables, self._kind, self._by)
            sealed = whole.restore(self._tables.retired.retired_by(self._kind, batch))
            restored += whole.restored
        for page in self._retired_by(batch, sealed):
            rows = self._defer([row for row in page if row[-1] != "outdated"])
            restored += self._restore([row for row in rows if self._identity(row) is None])
            # What it revised is looked at with the revisions, which have just been taken back.
            removed = (row for row in rows if row[-1] != "revised" and self._identity(row) is not None)
            restored += self._restore_versions(map(self._key, removed))
        if not self._kind.multiset or self._kind.venue_id:
            for page in self._tables.rows.retired_by(self._kind, self._by):
                restored += self._restore_versions(self._key(row) for row in page if self._identity(row) is not None)
        if self._kind.venue_id:
            for keys in SealedRestoration(self._tables, self._kind, self._by).keys_with_past():
                restored += self._restore_versions(keys)
        return restored

    def _retired_by(self, batch: int, sealed: Sequence[RetiredSegment]) -> Iterator[list[Row]]:
        """Yield the history that a batch retired: single rows, and those of some of the segments, in one order, as the port has the former."""
        pages = self._tables.rows.retired_by(self._kind, batch)
        if not sealed:
            yield from pages
            return
        rows = heapq.merge(
            *map(itertools.chain.from_iterable, (pages, self._rows_of(sealed))),
            key=self._in_history,
        )
        while page := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            yield page

    def _rows_of(self, infos: Sequence[RetiredSegment]) -> Iterator[list[Row]]:
        """Yield the rows of segments in their order, those of a few that overlap at once; the segments come by subject and last time."""
        for subject, own in itertools.groupby(infos, key=attrgetter("subject")):
            for start_ns, end_ns, inside in layers(Query(self._kind, (subject,)), list(own)):
                if start_ns is None or end_ns is None:
                    continue  # before and after all of them
                found: list[Row] = []
                for info in inside:
                    rows = read_segments(self._tables, [info])[info.id]
                    part = (rows.times >= start_ns) & (rows.times <= end_ns - 1)
                    found += history_rows(info, rows.only(part))
                yield sorted(found, key=self._in_history)

    def _in_history(self, row: Row) -> tuple[Any, ...]:
        """Return what rows of the history are ordered by."""
        at = len(self._shape.columns)
        return *self._key(row), row[at - 3], row[at - 1] or row[at - 2], row[at]

    def _key(self, row: Row) -> Key:
        return row[: len(self._shape.key)]

    def _identity(self, row: Row) -> Hashable | None:
        """Return the key of which only one version is live; None for a row of a multiset."""
        return self._shape.id_of(row[self._shape.contents]) if self._kind.multiset else self._key(row)

    def _undone(self, rows: Iterable[Row]) -> dict[int, int]:
        """Return the batches that brought, restored or retired *rows* and do not count, each with its undo."""
        at = len(self._shape.columns)
        asked = {each for row in rows for each in (row[at - 2], row[at - 1], row[at]) if each is not None}
        return dict(self._tables.batches.undone(sorted(asked)))

    def _defer(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows whose own batches count; leave the others to the undo of the batch that does not."""
        undone = self._undone(rows)
        at = len(self._shape.columns)
        counting: list[Row] = []
        deferred: list[Row] = []
        for row in rows:
            undo = undone.get(row[at - 2]) or undone.get(row[at - 1] or 0)
            if undo is None:
                counting.append(row)
            elif undo != self._by:
                deferred.append((*row[: at - 1], self._by, undo, "undone"))
        if deferred:
            self._tables.rows.insert_history(self._kind, deferred)
        return counting

    def _restore(self, rows: Sequence[Row]) -> int:
        """Put rows back in their places, or after all of their time if the place is taken."""
        if not rows:
            return 0
        at = len(self._shape.columns)
        if not self._kind.multiset:
            self._tables.rows.insert(self._kind, [(*row[: at - 1], self._by) for row in rows])
            return len(rows)
        keys = list(dict.fromkeys(map(self._key, rows)))
        self._unseal_at(keys)
        taken: dict[Key, set[int]] = defaultdict(set)
        for row in self._tables.rows.at(self._kind, keys):
            taken[self._key(row)].add(row[-3])
        inserts = []
        for row in rows:
            places = taken[self._key(row)]
            place = row[at - 3] if row[at - 3] not in places else max(places) + 1
            places.add(place)
            inserts.append((*row[: at - 3], place, row[at - 2], self._by))
        self._tables.rows.insert(self._kind, inserts)
        return len(rows)

    def _unseal_at(self, keys: Sequence[Key]) -> None:
        """Make hot what shares a segment with *keys*: places and ids are looked up among hot rows."""
        met = self._tables.segments.meeting(self._kind, [Range(key[:1], key[1], key[1]) for key in keys])
        for info in {one.id: one for infos in met for one in infos}.values():
            self._unseal(Query(self._kind, (info.subject,), info.first_ns, info.last_ns + 1))

    def _restore_versions(self, keys: Iterable[Key]) -> int:
        """Restore the last version that counts of each of *keys* that has no live version."""
        distinct = list(dict.fromkeys(keys))
        if not distinct:
            return 0
        if self._kind.multiset:
            self._unseal_at(distinct)
        standing = {(self._key(row), self._identity(row)) for row in self._tables.rows.at(self._kind, distinct)}
        past: dict[tuple[Key, Hashable], list[Row]] = defaultdict(list)
        for row in history_at(self._tables, self._kind, distinct):
            if (identity := self._identity(row)) is not None and (place := (self._key(row), identity)) not in standing:
                past[place].append(row)
        undone = self._undone(row for rows in past.values() for row in rows)
        found = (self._last_counting(rows, undone) for rows in past.values())
        return self._restore([row for row in found if row is not None])

    def _last_counting(self, rows: Sequence[Row], undone: dict[int, int]) -> Row | None:
        at = len(self._shape.columns)
        deletions = [row[at] for row in rows if row[-1] == "deleted" and row[at] not in undone]
        deleted = max(deletions, default=0)
        candidates = [
            row
            for row in rows
            if row[at - 2] not in undone
            and row[at - 1] not in undone
            and (row[at] in undone or row[-1] == "outdated")
            and max(row[at - 2], row[at - 1] or 0) > deleted
        ]
        return max(candidates, key=self._order, default=None)

    def _order(self, row: Row) -> tuple[Any, ...]:
        at = len(self._shape.columns)
        version = row[self._shape.place(self._kind.version)] if self._kind.version else 0
        return version, row[at - 2], row[at - 1] or 0
