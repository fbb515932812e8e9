"""The short way for live quotes and trades: a record that comes after all that is stored of its subject needs no comparison."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import apsw
from attrs import define, field

from fpa_core.kinds import Column, Kind
from fpa_core.numbers import MIN_NS, decimal_text
from fpa_plugins.sqlite.schema import tables

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
    """Appends records of one batch, and remembers where each subject ends for as long as nobody else writes."""

    def __init__(self, batch_id: int) -> None:
        self._batch_id = batch_id
        self._tails: dict[Kind, dict[str, _Tail]] = {}
        self._seen: object = None

    def begin(self, connection: apsw.Connection) -> None:
        """Forget what another connection, or someone else on this one, may have changed since :meth:`end`."""
        if self._seen != _state(connection):
            self.forget()

    def end(self, connection: apsw.Connection) -> None:
        """Note the state in which this batch leaves the database, once it has written all it will in this transaction."""
        self._seen = _state(connection)

    def forget(self) -> None:
        """Forget where subjects end; it is looked up again."""
        self._tails.clear()
        self._seen = None

    def append(self, connection: apsw.Connection, kind: Kind, records: Sequence[Any]) -> list[Any]:
        """Insert the records that come after all that is stored, and return the others, in their order."""
        tails = self._tails.setdefault(kind, {})
        place_of = attrgetter(kind.subject, "ts_ns")
        id_of = attrgetter(*kind.venue_id) if kind.venue_id else None
        later: list[Any] = []
        places: list[int] = []
        others: list[Any] = []
        for record in records:
            subject, ts_ns = place_of(record)
            tail = tails.get(subject)
            if tail is None:
                tail = tails[subject] = _Tail(_last_stored(connection, kind, subject))
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
        t = tables(kind)
        values = [_values(kind.by_field[name], later) for name in t.fields]
        connection.executemany(t.insert, zip(*values, places, itertools.repeat(self._batch_id), strict=False))
        return others


def _values(column: Column, records: Sequence[Any]) -> Iterable[Any]:
    """Return a column of records as SQLite keeps it."""
    values = map(attrgetter(column.field), records)
    if column.type != "decimal":
        return values
    return [None if value is None else decimal_text(value) for value in values]


def _last_stored(connection: apsw.Connection, kind: Kind, subject: str) -> int:
    hot = connection.execute(f"SELECT max(ts_ns) FROM {tables(kind).live} WHERE {kind.subject} = ?", (subject,)).get
    sealed = connection.execute(
        "SELECT max(last_ns) FROM segments WHERE kind = ? AND subject = ?", (kind.name, subject)
    ).get
    return max(MIN_NS if hot is None else hot, MIN_NS if sealed is None else sealed)


def _state(connection: apsw.Connection) -> object:
    """Return what differs after any change: the first by other connections, the second by this one."""
    return connection.pragma("data_version"), connection.total_changes()
