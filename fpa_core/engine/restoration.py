"""Retired segments that return as a whole: an undo writes them as segments again if no other row is in their way, and nothing has to be decided for single rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from fpa_core.engine.catalog import RetiredSegment
from fpa_core.engine.compaction import replace_segments
from fpa_core.engine.retirement import add_history
from fpa_core.engine.rows import Key, Range, shape_of
from fpa_core.engine.segment_rows import opened
from fpa_core.engine.subject_rows import SubjectRows, decoded, read_segments
from fpa_core.engine.tables import Writer
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["SealedRestoration"]

LOOKED_AT_ONCE = 64
"""Segments that are read together."""

WRITTEN_AT_ONCE = 8
"""Segments that are held decoded to be written together."""


class SealedRestoration:
    """Brings retired segments of one kind back, in the name of the batch *by*; which batches count is settled by then.

    :ivar restored: how many rows have returned.
    """

    def __init__(self, tables: Writer, kind: Kind, by: int) -> None:
        self._tables = tables
        self._kind = kind
        self._by = by
        self._undone: dict[int, int | None] = {}
        self._pending: list[tuple[RetiredSegment, SubjectRows]] = []
        self._returned: dict[str, int] = {}
        self.restored = 0

    def restore(self, infos: Sequence[RetiredSegment]) -> list[RetiredSegment]:
        """Restore segments that an undone batch retired, which come by subject and last time; return those whose rows are to be looked at one by one."""
        left: list[RetiredSegment] = []
        for start in range(0, len(infos), LOOKED_AT_ONCE):
            some = infos[start : start + LOOKED_AT_ONCE]
            contents = self._tables.segments.contents([info.id for info in some])
            free = self._free(some)
            for info in some:
                rows = decoded(info, opened(info, contents.get(info.id)))
                if not self._settle(info, rows, is_free=info.id in free):
                    left.append(info)
        self._write()
        return left

    def _settle(self, info: RetiredSegment, rows: SubjectRows, *, is_free: bool) -> bool:
        """Restore a segment, or leave it where it is; return False if its rows are to be looked at one by one."""
        undos = self._undos_of(rows)
        if info.reason not in _TAKEN_AWAY or len(undos) > 1:
            return False
        if (undo := undos.pop()) is not None:
            # As long as its own batch does not count it stays away, and is left to the undo of that.
            if undo != self._by:
                add_history(self._tables, self._kind, info.subject, rows.restored(self._by), undo, "undone")
            return True
        is_free = is_free and self._returned.get(info.subject, info.first_ns - 1) < info.first_ns
        if not is_free or (_has_ids(self._kind, rows) and self._past_of(info, rows)):
            return False
        self._returned[info.subject] = info.last_ns
        self._pending.append((info, rows.restored(self._by)))
        if len(self._pending) == WRITTEN_AT_ONCE:
            self._write()
        return True

    def keys_with_past(self) -> Iterator[list[Key]]:
        """Yield the keys of rows with an id that the batch *by* has taken away with a segment, and that may have had another version before."""
        for info in self._tables.retired.retired_by(self._kind, self._by):
            past = self._past_of(info)
            if past:
                rows = read_segments(self._tables, [info])[info.id]
                keys = [(info.subject, ts_ns) for ts_ns in np.unique(rows.times).tolist()]
                if _has_ids(self._kind, rows) and (found := [key for key in keys if key in past]):
                    yield found

    def _write(self) -> None:
        """Write what returns as segments."""
        whole = [(info.subject, rows) for info, rows in self._pending]
        if whole:
            replace_segments(self._tables, self._kind, [], whole)
        self.restored += sum(len(rows) for _, rows in whole)
        self._pending.clear()

    def _undos_of(self, rows: SubjectRows) -> set[int | None]:
        """Return the undos because of which rows stay away; None is among them if there are rows whose batches count."""
        changes = np.flatnonzero((np.diff(rows.batches) != 0) | (np.diff(rows.since) != 0)) + 1
        runs = [0, *changes.tolist()]
        pairs = set(zip(rows.batches[runs].tolist(), rows.since[runs].tolist(), strict=True))
        return {self._undo_of(batch) or (self._undo_of(since) if since >= 0 else None) for batch, since in pairs}

    def _undo_of(self, batch: int) -> int | None:
        if batch not in self._undone:
            self._undone[batch] = self._tables.batches.undone([batch]).get(batch)
        return self._undone[batch]

    def _free(self, infos: Sequence[RetiredSegment]) -> set[int]:
        """Return the segments in whose time no rows are, by their ids."""
        spans = [Range((info.subject,), info.first_ns, info.last_ns) for info in infos]
        hot, sealed = self._tables.rows.spans(self._kind, spans), self._tables.segments.meeting(self._kind, spans)
        return {info.id for info, rows, met in zip(infos, hot, sealed, strict=True) if rows is None and not met}

    def _past_of(self, info: RetiredSegment, rows: SubjectRows | None = None) -> set[Key]:
        """Return the keys in the time of a segment at which the rest of the history may have a say in what stands.

        :param rows: those of the segment, if they are to return: whoever has the same ones, from before they were last restored, has nothing to add.
        """
        width = len(shape_of(self._kind).key)
        within = Query(self._kind, (info.subject,), info.first_ns, info.last_ns + 1)
        with contextlib.closing(self._tables.rows.history(within)) as pages:
            keys = {row[:width] for page in pages for row in page}
        span = Range((info.subject,), info.first_ns, info.last_ns)
        for other in self._tables.retired.meeting(self._kind, [span])[0]:
            if other.id != info.id and self._has_a_say(other):
                others = read_segments(self._tables, [other])[other.id]
                if (
                    rows is not None
                    and other.reason == info.reason
                    and others.restored(self._by).equals(self._kind, rows.restored(self._by))
                ):
                    continue
                times = others.times
                inside = times[(times >= info.first_ns) & (times <= info.last_ns)]
                keys.update((info.subject, ts_ns) for ts_ns in np.unique(inside).tolist())
        return keys

    def _has_a_say(self, info: RetiredSegment) -> bool:
        """Return whether rows of a segment may return, or are deletions that count."""
        if self._undo_of(info.retired_by) is None:
            return info.reason in {"deleted", "outdated"}
        return info.first_batch != info.last_batch or self._undo_of(info.first_batch) is None


_TAKEN_AWAY = frozenset({"deleted", "undone"})


def _has_ids(kind: Kind, rows: SubjectRows) -> bool:
    names = [kind.by_field[name].name for name in kind.venue_id[-1:]]
    return any(rows.rows.column(name).null_count < len(rows) for name in names)
