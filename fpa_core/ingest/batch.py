"""Store the rows of a source as one batch: the valid ones as records, the others in the quarantine."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.ingest import notes
from fpa_core.ingest.chunks import Progress, with_ids
from fpa_core.ingest.entries import EntryRoom, rejected_row, rejected_rows
from fpa_core.ingest.readfile import ReadFile
from fpa_core.ingest.rejections import RejectionCounts, RejectionLimit, first_rows
from fpa_core.kinds import SNAPSHOTS, Kind
from fpa_core.protocols import Chunk

if TYPE_CHECKING:
    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Receipt
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator

__all__ = ["ingest", "notify_quarantined"]

AHEAD = 100_000
BYTES_AHEAD = 32 << 20
"""Rows that are read before the database is locked for writing, and what they may take: a file without many more keeps other writers waiting for a moment only."""

NOTIFIED_AT_ONCE = 1_000
"""Maximum number of rejected records in one notification."""


def ingest(
    store: DataStore,
    validator: DataValidator,
    chunks: Iterator[Chunk],
    *,
    origin: str,
    path: Path | None = None,
    progress: Progress | None = None,
    max_rejected: int | str | None = None,
    said: Mapping[str, Any] | None = None,
    before_commit: Callable[[StoreBatch], None] | None = None,
    check_first: bool = True,
) -> Receipt:
    """Store the valid rows of *chunks* as one batch and quarantine the others.

    :param said: the options the user gave for reading; stored with rejected rows so that they can be parsed again.
    :param before_commit: called with the batch when all rows are written.
    :param check_first: refuse everything if the first rows all fail for the same reason, as those of a misread file do.
    :param max_rejected: the number of rows that may be rejected, or their share as ``"1%"``. If more are rejected, nothing is stored. None for no
        limit.
    :raises DataError: if the first rows all fail for the same reason, or more rows are rejected than allowed.
    """
    limit = RejectionLimit(max_rejected)
    chunks = with_ids(chunks)
    file = None if path is None else ReadFile(path)
    # Read the first rows before the database is touched: an unreadable file fails here.
    ahead = deque(first_rows(chunks) if check_first else [])
    # Others may write while it is read, and wait only while rows are validated, which may need what is stored, and written.
    ahead.extend(_rows_ahead(chunks))
    with store.batch(origin=origin, file=None if file is None else file.name) as batch:
        writing = _Writing(store, batch, validator)
        for chunk in itertools.chain(_emptied(ahead), chunks):
            writing.write(chunk)
            limit.check(writing.rejections, writing.read)
            if progress is not None:
                progress(writing.read, chunk.progress)
        limit.check(writing.rejections, writing.read, whole=True)
        if before_commit is not None:
            before_commit(batch)
        digest = None if file is None else file.digest()
        batch.finish(read=writing.read, reading=writing.reading(said or {}), digest=digest)
        grown = file is not None and digest is None
        batch.complete_receipt(lambda receipt: writing.complete(receipt, grown=grown))
    return batch.receipt


def _rows_ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield the next chunks, until there are enough rows."""
    rows = size = 0
    while rows < AHEAD and size < BYTES_AHEAD and (chunk := next(chunks, None)) is not None:
        rows += chunk.table.num_rows + len(chunk.rejects)
        size += chunk.table.nbytes + sum(len(reject.raw) for reject in chunk.rejects)
        yield chunk


def _emptied(waiting: deque[Chunk]) -> Iterator[Chunk]:
    """Yield chunks, and keep none that was yielded."""
    while waiting:
        yield waiting.popleft()


class _Writing:
    """Writes chunks into a batch, and collects what its receipt says of them.

    :ivar read: rows so far, rejected ones included.
    :ivar rejections: the rejected ones among them.
    """

    def __init__(self, store: DataStore, batch: StoreBatch, validator: DataValidator) -> None:
        self._store = store
        self._batch = batch
        self._run = validator.start_run(examples=0)  # the findings of a rejected row come with the split
        self.read = 0
        self.rejections = RejectionCounts()
        self._room = EntryRoom()
        self._kinds: dict[Kind, None] = {}
        self._warnings: dict[str, int] = {}
        self._notes: list[str] = []
        self._empty = self._left_out = 0
        self._reading: Mapping[str, Any] = {}

    def write(self, chunk: Chunk) -> None:
        """Write the valid rows of a chunk and quarantine the others."""
        self._kinds[chunk.kind] = None
        self._notes += chunk.notes
        self._empty += chunk.empty
        self._left_out += chunk.left_out
        self._reading = chunk.reading or self._reading
        self.read += chunk.table.num_rows + len(chunk.rejects)
        split = self._run.split(chunk.kind, chunk.table, chunk.records)
        self._batch.write(chunk.kind, split.accepted)
        if chunk.kind is SNAPSHOTS and chunk.records is not None:
            self._store.writer.drop_sold(self._batch, [chunk.records[row] for row in split.accepted_rows])
        for rule, count in split.flagged.items():
            self._warnings[rule] = self._warnings.get(rule, 0) + count
        entries = [rejected_row(chunk.kind, self._room.fitted(reject)) for reject in chunk.rejects]
        for reject in chunk.rejects:
            self.rejections.add_unparsable(reject)
        for position, findings in split.refused:
            self.rejections.add_invalid(findings[0], chunk.rows[position])
        if split.refused:
            positions = [position for position, _ in split.refused]
            entries += rejected_rows(
                chunk.kind,
                chunk.table.take(positions),
                [chunk.rows[position] for position in positions],
                [findings for _, findings in split.refused],
                None if chunk.records is None else [chunk.records[position] for position in positions],
            )
        if entries:
            self._batch.quarantine(entries)

    def reading(self, said: Mapping[str, Any]) -> str | None:
        """Return how to parse rejected rows again, as JSON; None if none was rejected, or the source cannot do it."""
        return json.dumps({**self._reading, "said": said}) if self._reading and self.rejections.rows else None

    def complete(self, receipt: Receipt, *, grown: bool) -> Receipt:
        """Return the receipt with what the store does not know of the source; *grown* as for :func:`fpa_core.ingest.notes.kept_in_part`."""
        return evolve(
            receipt,
            rejected=self.rejections.rows,
            kind=next(iter(self._kinds)).name if len(self._kinds) == 1 else None,
            warnings=self._warnings,
            rejections=tuple(self.rejections.most_frequent()),
            notes=(
                *self._notes,
                *notes.kept_in_part(grown=grown, rows=self._room.in_part),
                *notes.skipped_rows(self._empty, self._left_out),
                *notes.known_rows(self._batch, self._kinds),
            ),
        )


def notify_quarantined(store: DataStore, plugins: PluginManager, receipt: Receipt) -> None:
    """Notify plugins of the records that a batch quarantined."""
    if receipt.quarantined and plugins.has_listeners("fpa_quarantined"):
        rejected = store.iter_quarantined(in_order=True, batch=receipt.batch)
        while records := list(itertools.islice(rejected, NOTIFIED_AT_ONCE)):
            plugins.notify("fpa_quarantined", batch=receipt.batch, records=records)
