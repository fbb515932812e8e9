"""Write quotes and trades: each distinct row is stored as often as the fullest batch holds it, in bulk where nothing is stored yet.

A chunk of rows takes one way: it is divided by subject, the store is asked once where its rows lie, and rows that lie among stored ones are
compared with those, while all others wait to fill segments.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from attrs import define, field

from fpa_core.arrow.batches import combine_chunks, to_decimal
from fpa_core.engine.buffer import MetSegments, OpenSegment, SealedPlace, SegmentBuffer, insert_runs, write_runs
from fpa_core.engine.catalog import SegmentInfo
from fpa_core.engine.history import history_at
from fpa_core.engine.matched import MatchedRows, Owners
from fpa_core.engine.merge import Action, MultisetMerge, Stored
from fpa_core.engine.plain_columns import plain_columns
from fpa_core.engine.rows import Key, Range, Row, Shape, shape_of
from fpa_core.engine.sorting import Mask, Numbers, SubjectRuns, partition
from fpa_core.engine.tables import Writer
from fpa_core.kinds import Kind
from fpa_core.protocols import Query, WriteCounts

__all__ = ["MultisetWriter"]

ROWS_AT_ONCE = 1_048_576
"""Rows divided and located at once: enough to fill the segments of many symbols."""

MERGED_AT_ONCE = 65_536
"""Rows compared with stored ones at once, as Python values: few enough for the memory of a small machine."""

CROWD = 4_096
"""Rows of one subject and time that are looked at once in a batch, not at each chunk of it."""

MOST_IN_CROWDS = 1_048_576
"""Rows of crowds that are remembered: once there are more, they are looked at again."""

Span = tuple[int, int]


class _Located(NamedTuple):
    """Where the stored rows lie among those of one subject that arrive."""

    hot: Span | None
    sealed: Sequence[SegmentInfo]

    def __bool__(self) -> bool:
        return self.hot is not None or bool(self.sealed)


@define
class _Instant:
    """A subject and time at which rows arrive.

    :ivar merge: what was stored there, apart from the rows that the batch was recognised as.
    :ivar next_seq: the place of the next row.
    :ivar rows: how many rows were looked at.
    :ivar past: the versions that later ones replaced before these rows, each with whether a row of this batch was it; None until they are needed.
    """

    merge: MultisetMerge[Row]
    next_seq: int
    rows: int
    past: dict[Row, bool] | None = None


Crowds = dict[Key, _Instant]


class MultisetWriter:
    """Writes rows of one batch under the multiset rule.

    :param stands: whether a stored version of a trade, given the batch that brought it, is later than everything that is written; it is asked
        with what identifies the trade: its key and the venue's id.
    """

    def __init__(
        self,
        tables: Writer,
        owners: Owners,
        matched: MatchedRows,
        stands: Callable[[int, Key], bool] = lambda _batch, _identity: False,
    ) -> None:
        self._tables = tables
        self._owners = owners
        self._batch = owners.batch
        self._matched = matched
        self._stands = stands
        self._buffer = SegmentBuffer(tables, owners.batch)
        self._met = MetSegments(tables, owners, matched)
        self._crowds: dict[Kind, Crowds] = defaultdict(dict)

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows; their subjects may be a dictionary."""
        counts = WriteCounts()
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            counts += self._write_chunk(partition(kind, combine_chunks(table.slice(start, ROWS_AT_ONCE))))
            self._buffer.relieve()
        return counts

    def flush(self, kind: Kind | None = None) -> None:
        """Write what waits to fill segments."""
        self._buffer.flush(kind)

    def forget_crowds(self, kind: Kind, records: Sequence[Any]) -> None:
        """Look again at the times of *records*, of which some were inserted past this writer."""
        if crowds := self._crowds.get(kind):
            for record in records:
                crowds.pop((getattr(record, kind.subject), record.ts_ns), None)

    def settle(self, kind: Kind | None = None) -> None:
        """Write what waits to fill segments, and forget what is known of stored rows, since they are about to change."""
        self.flush(kind)
        for each in list(self._crowds) if kind is None else [kind]:
            self._crowds.pop(each, None)

    def release(self, infos: Sequence[SegmentInfo]) -> None:
        """Forget segments that are about to change, after :meth:`settle`."""
        self._met.release(infos)

    def unseal(self, query: Query) -> None:
        """Make every row that *query* may select a hot one, so that it can be changed."""
        self.flush(query.kind)
        self._unseal(query)

    def _unseal(self, query: Query) -> None:
        self._crowds.pop(query.kind, None)  # their rows get other places
        self._met.unseal(query)

    def keep_claims(self) -> None:
        """Leave what sealed rows were recognised as to the next transaction of the same batch."""
        self._met.keep_claims()

    def _write_chunk(self, runs: SubjectRuns) -> WriteCounts:
        located = self._locate(runs)
        repeats = _repeated_ids(runs)
        busy = np.array([bool(one) for one in located], bool)
        if repeats is not None:
            busy[np.unique(runs.codes[repeats])] = True
        if not busy.any():
            self._buffer.append(runs)
            return WriteCounts(inserted=len(runs))
        free = np.repeat(~busy, runs.sizes)
        self._buffer.append(runs.only(free))
        counts = WriteCounts(inserted=int(free.sum()))
        return counts + self._write_among(runs, located, busy, repeats)

    def _locate(self, runs: SubjectRuns) -> list[_Located]:
        """Return where stored rows lie, for each subject, from the last row held back of it to its last row that arrives."""
        kind = runs.kind
        held = self._buffer.last_of(kind)
        firsts, lasts = runs.firsts.tolist(), runs.lasts.tolist()
        before = (
            [held.get(subject, first) for subject, first in zip(runs.subjects, firsts, strict=True)] if held else firsts
        )
        late = (
            any(
                one > first or (one == first and subject in held and _has_ids(kind, runs.rows))
                for one, first, subject in zip(before, firsts, runs.subjects, strict=True)
            )
            if held
            else False
        )
        located = [] if late else self._look(kind, runs.subjects, before, lasts)
        if held and (late or any(one and subject in held for one, subject in zip(located, runs.subjects, strict=True))):
            # What is held back lies among other rows now, and becomes stored rows like those.
            self._buffer.flush(kind)
            located = self._look(kind, runs.subjects, firsts, lasts)
        return located

    def _look(self, kind: Kind, subjects: Sequence[str], firsts: Sequence[int], lasts: Sequence[int]) -> list[_Located]:
        ranges = [Range((subject,), first, last) for subject, first, last in zip(subjects, firsts, lasts, strict=True)]
        spans, sealed = self._tables.rows.spans(kind, ranges), self._tables.segments.meeting(kind, ranges)
        return [_Located(span, infos) for span, infos in zip(spans, sealed, strict=True)]

    # Rows that lie among stored ones

    def _write_among(
        self, runs: SubjectRuns, located: Sequence[_Located], busy: Mask, repeats: Mask | None
    ) -> WriteCounts:
        """Write the runs of busy subjects: those before and after all stored rows on their own, those between after a comparison."""
        before, after = np.zeros(len(runs), bool), np.zeros(len(runs), bool)
        contested = np.zeros(len(runs), bool) if repeats is None else repeats.copy()
        alone = np.zeros(len(runs), bool)
        counts = WriteCounts()
        met: dict[str, list[SegmentInfo]] = {}
        self._met.expect(info for one in located for info in one.sealed)
        for number, (subject, start, end) in enumerate(runs):
            if not busy[number]:
                continue
            hot, sealed = located[number]
            times = runs.times[start:end]
            edges = [*([hot] if hot else ()), *((info.first_ns, info.last_ns) for info in sealed)]
            if edges:
                first = start + int(np.searchsorted(times, min(edge[0] for edge in edges), "left"))
                last = start + int(np.searchsorted(times, max(edge[1] for edge in edges), "right"))
            else:
                first = last = start
            before[start:first] = after[last:end] = True
            if sealed and first < last:
                undecided = self._claim(runs, first, last, hot, sealed)
                found = int(undecided.sum())
                counts += WriteCounts(duplicate=last - first - found)
                if found and _has_ids(runs.kind, runs.rows):  # one of them may revise a sealed row
                    self._unseal(Query(runs.kind, (subject,), int(times[0]), int(times[-1]) + 1))
                    contested[first:last] = undecided
                elif found:
                    meets = self._meets(runs.times[first:last], hot, sealed)
                    contested[first:last] = undecided & meets
                    alone[first:last] = undecided & ~meets
                    met[subject] = list(sealed)
            elif hot is not None:
                within = runs.times[first:last]
                contested[first:last] |= (within >= hot[0]) & (within <= hot[1])
                alone[first:last] = ~contested[first:last]
        for chosen, write in (
            (before & ~contested, write_runs),
            (after & ~contested, write_runs),
            (alone, insert_runs),
        ):
            if number := int(chosen.sum()):
                write(self._tables, runs.only(chosen), self._batch)
                counts += WriteCounts(inserted=number)
        crowded = self._insert_into_crowds(runs, contested)
        counts += WriteCounts(inserted=int(crowded.sum()))
        contested &= ~crowded
        return counts + self._merge(runs.only(contested), met) if contested.any() else counts

    def _claim(self, runs: SubjectRuns, first: int, last: int, hot: Span | None, sealed: Sequence[SegmentInfo]) -> Mask:
        """Recognise whole runs of sealed rows; return which rows from *first* to *last* are still undecided."""
        undecided = np.ones(last - first, bool)
        for known in self._met.open(sealed):
            info = known.info
            start, end = (first + place for place in _within(runs.times[first:last], info))
            if start == end or (hot is not None and hot[0] <= info.last_ns and info.first_ns <= hot[1]):
                continue
            if known.claim_run(runs.rows.slice(start, end - start), runs.times[start:end]):
                undecided[start - first : end - first] = False
        return undecided

    def _meets(self, times: Numbers, hot: Span | None, sealed: Sequence[SegmentInfo]) -> Mask:
        """Return which times may be those of stored rows."""
        meets = np.zeros(len(times), bool)
        if hot is not None:
            meets |= (times >= hot[0]) & (times <= hot[1])
        for known in self._met.open(sealed):
            start, end = _within(times, known.info)
            nearest = np.searchsorted(known.times, times[start:end])  # within the segment's time, so below its length
            meets[start:end] |= known.times[nearest] == times[start:end]
        return meets

    def _insert_into_crowds(self, runs: SubjectRuns, contested: Mask) -> Mask:
        """Insert rows at times at which the batch was recognised as all rows that others brought; return which they are."""
        inserted = np.zeros(len(runs), bool)
        crowds = self._crowds[runs.kind]
        if not crowds or _has_ids(runs.kind, runs.rows):
            return inserted
        places = {subject: (start, end) for subject, start, end in runs}
        for (subject, ts_ns), crowd in crowds.items():
            start, end = places.get(subject, (0, 0))
            first, last = (start + int(np.searchsorted(runs.times[start:end], ts_ns, side)) for side in _SIDES)
            if crowd.merge.is_exhausted and first < last and contested[first:last].all():
                chosen = np.zeros(len(runs), bool)
                chosen[first:last] = True
                insert_runs(self._tables, runs.only(chosen), self._batch, crowd.next_seq)
                crowd.next_seq += last - first
                inserted |= chosen
        return inserted

    def _merge(self, runs: SubjectRuns, met: Mapping[str, Sequence[SegmentInfo]]) -> WriteCounts:
        """Compare rows with those stored at their times, some thousands at once; a time is taken as a whole."""
        counts = WriteCounts()
        starts = np.flatnonzero(~runs.same_time())
        start = 0
        while start < len(runs):
            place = int(np.searchsorted(starts, start + MERGED_AT_ONCE))
            end = int(starts[place]) if place < len(starts) else len(runs)
            chosen = np.zeros(len(runs), bool)
            chosen[start:end] = True
            part = runs.only(chosen)
            open_segments = {
                subject: list(
                    self._met.open([info for info in met[subject] if info.last_ns >= first and info.first_ns <= last])
                )
                for subject, first, last in zip(part.subjects, part.firsts.tolist(), part.lasts.tolist(), strict=True)
                if subject in met
            }
            crowds = self._crowds[runs.kind]
            counts += _Merge(self._tables, self._owners, self._matched, self._stands, crowds).run(part, open_segments)
            start = end
        return counts


@define
class _Merge:
    """One comparison of arriving rows with the stored rows of their subjects and times: one look, one insert, one retirement."""

    tables: Writer
    owners: Owners
    matched: MatchedRows
    stands: Callable[[int, Key], bool]
    crowds: Crowds
    inserts: list[Row] = field(factory=list)
    retired: list[Key] = field(factory=list)
    history: list[Row] = field(factory=list)
    claims: dict[str, list[tuple[int, int, int]]] = field(factory=lambda: defaultdict(list))
    claimed: dict[str, set[tuple[int, int, int]]] = field(factory=dict)
    repeated: int = 0

    def run(self, runs: SubjectRuns, met: Mapping[str, Sequence[OpenSegment]]) -> WriteCounts:
        kind = runs.kind
        shape = shape_of(kind)
        groups = _groups(runs)
        remembered = {key: self.crowds[key] for key in groups if key in self.crowds}
        unknown = [key for key in groups if key not in remembered]
        stored: dict[Key, list[Row]] = defaultdict(list)
        for row in self.tables.rows.at(kind, unknown):
            stored[row[:2]].append(row)
        own = self.owners.own(self.tables, {row[-2] for rows in stored.values() for row in rows})
        spans = zip(runs.subjects, runs.firsts.tolist(), runs.lasts.tolist(), strict=True)
        asked = {key[0] for key in unknown}
        self.claimed = {
            name: self.matched.between(kind, name, first, last) for name, first, last in spans if name in asked
        }
        tally = dict.fromkeys(Action, 0)
        contents_of = shape.contents
        instants: dict[Key, _Instant] = {}
        for key, contents in groups.items():
            hot = stored.get(key, ())
            if (
                len(hot) == len(contents) == 1
                and key[0] not in met
                and key not in remembered
                and self._is_again(key, hot[0], contents[0], contents_of, own)
            ):
                tally[Action.DUPLICATE] += 1
                continue
            instants[key] = remembered.get(key) or self._look(shape, key, hot, met.get(key[0], ()), own)
        self._look_back(shape, groups, instants)
        for key, instant in instants.items():
            for action in self._merge_key(shape, key, groups[key], instant):
                tally[action] += 1
            self._remember(key, instant, len(groups[key]))
        self._apply(kind)
        return WriteCounts(tally[Action.INSERT], tally[Action.DUPLICATE], tally[Action.REVISE], self.repeated)

    def _is_again(self, key: Key, stored: Row, content: Row, contents_of: slice, own: set[int]) -> bool:
        """Recognise the only row of a key as the only stored one, if it is: that is what most rows are."""
        place = (key[1], stored[-3], stored[-2])
        if stored[contents_of] != content or stored[-2] in own or place in self.claimed[key[0]]:
            return False
        self.claims[key[0]].append(place)
        return True

    def _look_back(self, shape: Shape, groups: Mapping[Key, Sequence[Row]], instants: Mapping[Key, _Instant]) -> None:
        """Look up the versions that later ones replaced, at each key at which an id arrives with other values than are stored."""
        unknown = {
            key: instant
            for key, instant in instants.items()
            if instant.past is None and instant.merge.has_other_versions(groups[key])
        }
        if not unknown:
            return
        history = history_at(self.tables, shape.kind, list(unknown), ("revised", "outdated"))
        own = self.owners.own(self.tables, {row[-4] for row in history})
        claimed = self._claimed_among(shape.kind, history)
        pasts: dict[Key, dict[Row, bool]] = {key: {} for key in unknown}
        for row in history:
            past, content = pasts[row[:2]], row[shape.contents]
            came = row[-4] in own or (row[1], row[-5], row[-4]) in claimed[row[0]]
            past[content] = came or past.get(content, False)
        for key, instant in unknown.items():
            instant.past = pasts[key]

    def _claimed_among(self, kind: Kind, rows: Sequence[Row]) -> Mapping[str, set[tuple[int, int, int]]]:
        """Return the rows that earlier rows of this batch were recognised as, in the time of *rows*, by subject."""
        times: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            times[row[0]].append(row[1])
        return {name: self.matched.between(kind, name, min(own), max(own)) for name, own in times.items()}

    def _look(self, shape: Shape, key: Key, hot: Sequence[Row], met: Sequence[OpenSegment], own: set[int]) -> _Instant:
        """Return what is stored at a subject and time."""
        claimed = self.claimed[key[0]]
        stored = [
            Stored(row[-3:], row[shape.contents], row[-2] in own or (key[1], row[-3], row[-2]) in claimed)
            for row in hot
        ]
        last, rows = max((row[-3] for row in hot), default=-1), len(hot)
        nearest = bisect.bisect_right(met, key[1], key=lambda one: one.info.first_ns) - 1
        if nearest >= 0:  # segments are apart: no other can have this time
            start, end = met[nearest].span(key[1])
            stored = [*met[nearest].unclaimed(start, end), *stored]
            last, rows = max(last, int(met[nearest].places[start:end].max(initial=-1))), rows + end - start
        return _Instant(MultisetMerge(stored, shape.id_of if shape.venue_id else None), last + 1, rows)

    def _remember(self, key: Key, instant: _Instant, arrived: int) -> None:
        """Keep what is known of a time at which there are many rows, since those of the next chunk may be of that time, too."""
        instant.rows += arrived
        if instant.rows >= CROWD:
            self.crowds[key] = instant
            if len(self.crowds) > 1 and sum(crowd.rows for crowd in self.crowds.values()) > MOST_IN_CROWDS:
                self.crowds.clear()

    def _merge_key(self, shape: Shape, key: Key, contents: Sequence[Row], instant: _Instant) -> list[Action]:
        new: dict[Hashable, int] = {}  # where rows with an id stand among the inserts
        past = instant.past or {}

        def recall(content: Row, stored: Stored[Row]) -> bool | None:
            # One without a place arrived with these rows.
            if content in past or stored.place is None:
                return past.get(content)
            return False if self.stands(stored.place[-2], (*key, shape.id_of(content))) else None

        actions = []
        id_of = shape.id_of if shape.venue_id else None
        for outcome in instant.merge.merge(contents, recall):
            actions.append(outcome.action)
            self.repeated += outcome.repeated
            if outcome.action is Action.INSERT:
                row = (*key, *outcome.content, instant.next_seq, self.owners.batch, None)
                if id_of is not None and (identity := id_of(outcome.content)) is not None:
                    new[identity] = len(self.inserts)
                    instant.merge.put(outcome.content, row[-3:])
                self.inserts.append(row)
                instant.next_seq += 1
            elif outcome.action is Action.REVISE:
                assert id_of is not None
                assert outcome.stored is not None
                row = self._revise(key, outcome.content, id_of(outcome.content), outcome.stored.place, new)
                instant.merge.put(outcome.content, row[-3:])
            elif outcome.stored is not None and not outcome.stored.claimed:
                self._claim(key, outcome.stored.place)
        return actions

    def _revise(self, key: Key, content: Row, identity: Hashable, stored: Row | None, new: dict[Hashable, int]) -> Row:
        """Replace a stored version, or one that arrived in this comparison and is not written yet; return the row that takes its place."""
        if identity in new:
            earlier = self.inserts[new[identity]]
            self.history.append((*earlier, self.owners.batch, "revised"))
            row = self.inserts[new[identity]] = (*key, *content, *earlier[-3:])
            return row
        assert stored is not None
        self.retired.append((*key, stored[-3]))
        new[identity] = len(self.inserts)
        row = (*key, *content, stored[-3], self.owners.batch, None)
        self.inserts.append(row)
        return row

    def _claim(self, key: Key, place: SealedPlace | Row) -> None:
        if isinstance(place, SealedPlace):
            place.segment.claimed[place.row] = True
        else:
            self.claims[key[0]].append((key[1], place[-3], place[-2]))

    def _apply(self, kind: Kind) -> None:
        batch = self.owners.batch
        if self.retired:
            self.tables.rows.retire_keys(kind, self.retired, by=batch, reason="revised")
        if self.history:
            self.tables.rows.insert_history(kind, self.history)
        if self.inserts:
            self.tables.rows.insert(kind, self.inserts)
        for subject, rows in self.claims.items():
            self.matched.add(kind, subject, np.array(rows, np.int64))


_SIDES: tuple[Literal["left", "right"], Literal["left", "right"]] = ("left", "right")


def _within(times: Numbers, info: SegmentInfo) -> tuple[int, int]:
    """Return the first of *times* in the time of a segment, and the one after the last."""
    return int(np.searchsorted(times, info.first_ns, "left")), int(np.searchsorted(times, info.last_ns, "right"))


def _groups(runs: SubjectRuns) -> dict[Key, list[Row]]:
    """Return the contents of rows by their key, in order of arrival."""
    kind = runs.kind
    values = plain_columns(kind, to_decimal(kind, runs.rows, ""), shape_of(kind).content)
    groups: dict[Key, list[Row]] = defaultdict(list)
    subjects = [runs.subjects[code] for code in runs.codes.tolist()]
    for subject, ts_ns, content in zip(subjects, runs.times.tolist(), zip(*values, strict=True), strict=True):
        groups[subject, ts_ns].append(content)
    return groups


def _has_ids(kind: Kind, rows: pa.RecordBatch) -> bool:
    return bool(kind.venue_id) and kind.by_field[kind.venue_id[-1]].name in rows.schema.names


def _repeated_ids(runs: SubjectRuns) -> Mask | None:
    """Return which rows are of a subject and time at which a venue's id occurs twice, so that not all are to be kept; None if none are."""
    kind = runs.kind
    if not _has_ids(kind, runs.rows):
        return None
    later = runs.same_time()
    shared = later.copy()
    shared[:-1] |= later[1:]
    if not shared.any():
        return None
    part = runs.only(shared)
    group = np.cumsum(~part.same_time())
    wide = to_decimal(kind, part.rows, "")
    names = [kind.by_field[name].name for name in kind.venue_id]
    ids = zip(group.tolist(), *(wide.column(name).to_pylist() for name in names), strict=True)
    counted = Counter(one for one in ids if one[-1] is not None)
    repeated = {one[0] for one, count in counted.items() if count > 1}
    if not repeated:
        return None
    found = np.zeros(len(runs), bool)
    found[np.flatnonzero(shared)] = np.isin(group, list(repeated))
    return found
