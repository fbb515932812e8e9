"""The short way for live quotes and trades: a record that comes after all that is stored of its subject needs no comparison."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from attrs import define, field

from fpa_core.engine.rows import Range, shape_of
from fpa_core.engine.tables import Database, Writer
from fpa_core.kinds import Column, Kind
from fpa_core.numbers import MAX_NS, MIN_NS, decimal_text

__all__ = ["Appender"]


@define
class _Tail:
    """The last time stored of a subject.

    :ivar own: whether all rows of that time were appended here; another row of it is then just one more.
    :ivar seq: the place of the last of them.
    :ivar ids: the venue's ids among them.
    """

    last_ns: int
    own: bool = False
    seq: int = 0
    ids: set[Any] = field(factory=set)


class Appender:
    """Appends records of one batch, or of the groups of one stream, and remembers where each subject ends while nobody else writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tails: dict[Kind, dict[str, _Tail]] = {}
        self._seen: object | None = None

    def begin(self) -> bool:
        """Forget what someone else may have changed since :meth:`end`, and return whether nobody can have."""
        alone = self._seen is not None and self._seen == self._database.version()
        if not alone:
            self.forget()
        return alone

    def end(self) -> None:
        """Note the state in which this batch leaves the database, once it has written all it will in this transaction."""
        self._seen = self._database.version()

    def forget(self) -> None:
        """Forget where subjects end; it is looked up again."""
        self._tails.clear()
        self._seen = None

    def append(self, tables: Writer, kind: Kind, records: Sequence[Any], batch: int) -> list[Any]:
        """Insert the records that come after all that is stored, and return the others, in their order."""
        tails = self._tails.setdefault(kind, {})
        place_of = attrgetter(kind.subject, "ts_ns")
        id_of = attrgetter(*kind.venue_id) if kind.venue_id else None
        later: list[Any] = []
        places: list[int] = []
        others: list[Any] = []
        self._find_tails(tables, kind, tails, records)
        for record in records:
            subject, ts_ns = place_of(record)
            tail = tails[subject]
            venue_id = None if id_of is None else id_of(record)
            if ts_ns > tail.last_ns:
                tails[subject] = tail = _Tail(ts_ns, own=True)
            elif ts_ns < tail.last_ns or not tail.own or venue_id in tail.ids:
                others.append(record)
                continue
            else:
                tail.seq += 1
            if venue_id is not None and venue_id[-1] is not None:
                tail.ids.add(venue_id)
            later.append(record)
            places.append(tail.seq)
        if later:
            values = [_values(kind.by_field[name], later) for name in shape_of(kind).fields]
            count = len(later)
            added = (places, itertools.repeat(batch, count), itertools.repeat(None, count))
            tables.rows.insert(kind, zip(*values, *added, strict=True))
        return others

    @staticmethod
    def _find_tails(tables: Writer, kind: Kind, tails: dict[str, _Tail], records: Sequence[Any]) -> None:
        unknown = list(set(map(attrgetter(kind.subject), records)) - tails.keys())
        if not unknown:
            return
        ranges = [Range((subject,), MIN_NS, MAX_NS) for subject in unknown]
        lasts = zip(tables.rows.spans(kind, ranges), tables.segments.last_times(kind, unknown), strict=True)
        for subject, (hot, sealed) in zip(unknown, lasts, strict=True):
            tails[subject] = _Tail(max(hot[1] if hot else MIN_NS, MIN_NS if sealed is None else sealed))


def _values(column: Column, records: Sequence[Any]) -> Iterable[Any]:
    """Return a column of records as rows hold it."""
    values = map(attrgetter(column.field), records)
    if column.type != "decimal":
        return values
    return [None if value is None else decimal_text(value) for value in values]
