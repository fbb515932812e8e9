"""Which rows of earlier batches the rows of one batch were recognised as: each of them may stand for one row only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import apsw

from fpa_core.kinds import Kind

__all__ = ["Claim", "Claims"]

Claim: TypeAlias = tuple[int, int, int]
"""The time of a row, its place, and the batch that brought it."""


class Claims:
    """The claims of one batch on stored rows.

    A row is named by its time, its place among those of that time, and the batch that brought it: when it goes, another may get its place. They are kept in a temporary table, which may spill to disk, and which a rollback takes back with all else. Where a batch is in order nobody
    asks for them again, so the last time claimed of each subject is kept here.

    :param replays: the batch whose refused rows this one puts in.
    :ivar owners: the batches whose rows count as rows of this one: itself, and the one it replays.
    """

    def __init__(self, connection: apsw.Connection, batch_id: int, replays: int | None = None) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._replays = replays
        self.owners = frozenset({batch_id} if replays is None else {batch_id, replays})
        self._last: dict[tuple[str, str], int] = {}
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS claims (batch INTEGER, kind TEXT, subject TEXT, ts_ns INTEGER, seq INTEGER, owner INTEGER, "
            "PRIMARY KEY (batch, kind, subject, ts_ns, seq, owner)) WITHOUT ROWID"
        )

    def add(self, kind: Kind, subject: str, rows: Iterable[Claim]) -> None:
        """Claim rows; to claim one again changes nothing."""
        claimed = [(self._batch_id, kind.name, subject, *row) for row in rows]
        if claimed:
            self._connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?, ?, ?)", claimed)
            last = max(ts_ns for *_, ts_ns, _, _ in claimed)
            self._last[kind.name, subject] = max(last, self._last.get((kind.name, subject), last))

    def between(self, kind: Kind, subject: str, first_ns: int, last_ns: int) -> set[Claim]:
        """Return the rows claimed in a range of time, both ends included."""
        last = self._last.get((kind.name, subject))
        if last is None or last < first_ns:
            return set()
        sql = "SELECT ts_ns, seq, owner FROM claims WHERE batch = ? AND kind = ? AND subject = ? AND ts_ns BETWEEN ? AND ?"
        found = self._connection.execute(sql, (self._batch_id, kind.name, subject, first_ns, last_ns))
        return {(ts_ns, seq, owner) for ts_ns, seq, owner in found}

    def stands(self, batch: int | None) -> bool:
        """Return whether a version that *batch* brought is later than what is replayed, and so is not replaced by it."""
        if self._replays is None or batch is None or batch == self._batch_id:
            return False
        # What an earlier replay brought is as old as the batch that had refused it.
        origin = self._connection.execute("SELECT ifnull(replays, id) FROM batches WHERE id = ?", (batch,)).get
        return bool(self._replays <= (batch if origin is None else origin))

    def forget(self) -> None:
        """Drop them all: the batch is at its end."""
        if self._last:
            self._last.clear()
            self._connection.execute("DELETE FROM claims WHERE batch = ?", (self._batch_id,))
