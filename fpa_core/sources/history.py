"""Fetching history: the pages of a source become batches, each with what it covers, so that what was cut short goes on where it ended."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from fpa_core.arrow.conversion import concat
from fpa_core.exceptions import DataError, SourceError
from fpa_core.ingest import ingest
from fpa_core.kinds import BARS
from fpa_core.protocols import (
    Chunk,
    Correction,
    CoverageEntry,
    HistoryRequest,
    HistorySource,
    Page,
    Query,
    Receipt,
    SourceRequest,
)
from fpa_core.sources.gaps import Subject, settled_until

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.store.batch import StoreBatch
    from fpa_core.validator import DataValidator

__all__ = ["Advance", "Part", "fetch", "parts", "read_history"]

BATCH_ROWS = 200_000
"""Rows of one batch, about: so many are in memory, and so many are fetched again after a crash."""

Advance = Callable[[int, float], None]
"""A callback for progress: rows fetched so far, and the share of the range, from 0 to 1."""


@define
class Part:
    """Consecutive pages of a history that become a batch.

    :ivar start: the first instant; all rows from it up to ``until`` are in ``chunks``.
    :ivar error: why the source ended early; the part is complete nevertheless.
    """

    start: int
    until: int
    chunks: list[Chunk] = field(factory=list)
    cancelled: list[Correction] = field(factory=list)
    error: SourceError | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(chunk.table.num_rows for chunk in self.chunks)


def read_history(source: HistorySource, request: SourceRequest, clock: Callable[[], int]) -> Iterator[Chunk]:
    """Return the rows of a symbol, ``request.target``, for ``fpa ingest --via``: bars of a day unless a kind is given, up to now unless an end is.

    :raises DataError: if there is no start.
    """
    if request.start is None:
        raise DataError(f"{source.origin}: a start is needed", hint="give --start", field="start")
    kind = BARS if request.kind is None else request.kind
    end = clock() if request.end is None else request.end
    wanted = HistoryRequest(
        kind=kind,
        symbol=str(request.target),
        start=request.start,
        end=max(request.start, end),
        interval=(request.interval or "1d") if kind is BARS else None,
    )
    return (page.chunk for page in source.history(wanted) if page.chunk is not None)


def fetch(
    store: DataStore,
    validator: DataValidator,
    source: HistorySource,
    request: HistoryRequest,
    *,
    clock: Callable[[], int],
    batch_rows: int = BATCH_ROWS,
    advance: Advance | None = None,
) -> Iterator[Receipt]:
    """Store the history that *request* describes, and yield the receipt of each batch.

    A batch ends between two instants, so that equal rows of one instant are counted together. It enters what it covers into the ledger, as far as it
    is old enough to be final. When the source fails, what it delivered completely is stored first.

    :raises SourceError: if the source fails.
    """
    rows = 0
    subject = Subject(request.kind.name, request.symbol, request.interval, source.origin)
    for part in parts(source.history(request), request.start, batch_rows):
        final = min(part.until, settled_until(subject, clock(), source.settles))
        receipt = _store(store, validator, source, request, part, final)
        rows += part.rows
        if advance is not None:
            advance(rows, (part.until - request.start) / max(1, request.end - request.start))
        yield receipt
        if part.error is not None:
            raise part.error


def _store(
    store: DataStore, validator: DataValidator, source: HistorySource, request: HistoryRequest, part: Part, final: int
) -> Receipt:
    covered = CoverageEntry(
        request.kind.name, request.symbol, request.interval, source.origin, part.start, final, part.rows
    )

    def finish(batch: StoreBatch) -> None:
        for one in part.cancelled:
            batch.delete(trade_query(request, one))
        if covered.start_ns < covered.end_ns:
            batch.cover([covered])

    receipt = ingest(store, validator, iter(part.chunks), origin=source.origin, before_commit=finish, check_first=False)
    return evolve(receipt, kind=request.kind.name)


def trade_query(request: HistoryRequest, correction: Correction) -> Query:
    """Return the query for the trade that a historical notice is about, whose time is that of the trade."""
    return Query(
        request.kind,
        (correction.symbol,),
        correction.at_ns,
        correction.at_ns + 1,
        {"exchange": correction.exchange, "trade_id": correction.trade_id},
    )


def parts(pages: Iterable[Page], start: int, batch_rows: int) -> Iterator[Part]:
    """Group pages: each part has about *batch_rows* rows and ends between two instants.

    Rows of an instant of which more may follow are held back for the next part. So a history that ends early loses at most those of its last
    instant, which no part claims to cover.
    """
    part = Part(start, start)
    held: list[Chunk] = []
    source = iter(pages)
    while True:
        try:
            page = next(source, None)
        except SourceError as error:
            part.error = error
            page = None
        if page is None:
            break
        until = max(part.until, page.until)
        chunks = [*held, *([] if page.chunk is None else [page.chunk])]
        held = []
        for chunk in chunks:
            ready, later = _split(chunk, until)
            part.chunks += ready
            held += later
        part.cancelled += page.cancelled
        part.until = until
        if part.rows >= batch_rows:
            yield part
            part = Part(until, until)
    if part.until > part.start or part.cancelled or any(chunk.rejects for chunk in part.chunks):
        yield part
    elif part.error is not None:
        raise part.error


def _split(chunk: Chunk, until: int) -> tuple[list[Chunk], list[Chunk]]:
    """Divide a chunk into the rows before an instant and the others. What could not be read stays with the first."""
    import numpy as np
    import pyarrow as pa

    from fpa_core.arrow import columns

    if not chunk.table.num_rows:
        return [chunk], []
    times = columns.times_as_ns(chunk.table.column("timestamp").combine_chunks()).to_numpy(zero_copy_only=False)
    before = times < until
    if before.all():
        return [chunk], []
    early, late = (_rows(chunk, pa.array(mask), mask.tolist()) for mask in (before, ~before))
    ready = evolve(early, rejects=chunk.rejects)
    assert int(np.count_nonzero(before)) == early.table.num_rows
    return ([ready] if early.table.num_rows or chunk.rejects else []), [evolve(late, rejects=(), notes=())]


def _rows(chunk: Chunk, mask: object, chosen: Sequence[bool]) -> Chunk:
    records = None if chunk.records is None else list(itertools.compress(chunk.records, chosen))
    return evolve(
        chunk,
        table=concat(chunk.kind, [chunk.table.filter(mask)]),
        rows=list(itertools.compress(chunk.rows, chosen)),
        records=records,
    )
