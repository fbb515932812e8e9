"""Test a source of one's own: a history keeps the promises that core builds batches and the ledger on."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen

from fpa_core.arrow.conversion import from_table
from fpa_core.kinds import BARS
from fpa_core.models import Record
from fpa_core.numbers import ns_text
from fpa_core.protocols import Capability, HistoryRequest, HistorySource, Page

__all__ = ["check_history"]


@frozen
class _Fetched:
    """What a source delivered: records, and up to where it says that these are all."""

    records: Sequence[Any]
    until: int


def check_history(source: HistorySource, request: HistoryRequest) -> list[Record]:
    """Fetch a history in the ways that core does, and return its records.

    It is fetched whole, again, in two halves, as an empty range, and cancelled; pages, rows and what they cover must agree.

    :param request: a range that is final, with some rows and some time without.
    :raises AssertionError: if the source breaks a promise of :class:`fpa_core.protocols.HistorySource`; the message names it.
    """
    _check_declared(source)
    estimate = source.estimate(request)
    assert estimate.requests >= 1, "estimate: a history with rows takes at least one request"
    assert estimate.rows >= 0, "estimate: there are no less than no rows"
    whole = _fetch(source, request)
    assert whole.until == request.end, "history: the last page of a complete history has the request's end"
    again = _fetch(source, request)
    assert Counter(whole.records) == Counter(again.records), "history: the same range has the same rows each time"
    for middle in _middles(request, whole.records):
        halves = [_fetch(source, evolve(request, end=middle)), _fetch(source, evolve(request, start=middle))]
        parts = Counter(halves[0].records) + Counter(halves[1].records)
        place = f"history: [start, {ns_text(middle)}) and what follows"
        assert parts == Counter(whole.records), f"{place} have together the rows of the whole, each once"
    empty = _fetch(source, evolve(request, end=request.start))
    assert not empty.records, "history: a range without an instant has no rows"
    _check_cancelling(source, request, whole)
    return list(whole.records)


def _check_declared(source: HistorySource) -> None:
    assert Capability.HISTORY in source.capabilities, "capabilities: HISTORY is not declared"
    assert source.origin == source.origin.strip() != "", "origin: provenance and the ledger need a name"
    assert source.settles >= 0, "settles: an age cannot be negative"
    assert source.calendar is None or source.calendar, "calendar: it is the code of an exchange, or None"
    limit = source.limit
    assert limit is None or (limit.requests >= 1 and limit.seconds > 0), (
        "limit: requests in a window of seconds, or None"
    )


def _fetch(source: HistorySource, request: HistoryRequest) -> _Fetched:
    """Fetch a history, and check each page."""
    records: list[Any] = []
    until = latest = request.start
    for page in source.history(request):
        assert page.until >= until, "page: until goes back"
        assert page.until <= request.end or request.start == request.end, "page: until is after the request's end"
        for record in _records(page, request):
            at = record.ts_ns
            assert request.start <= at < request.end, (
                f"page: a row of {ns_text(at)} is outside of the range [start, end)"
            )
            assert at >= latest, f"page: a row of {ns_text(at)} comes after one of {ns_text(latest)}"
            assert at >= until, (
                f"page: a row of {ns_text(at)} comes although all rows before {ns_text(until)} were delivered"
            )
            latest = at
            records.append(record)
        until = page.until
    return _Fetched(records, until)


def _records(page: Page, request: HistoryRequest) -> list[Any]:
    chunk = page.chunk
    if chunk is None:
        return []
    assert chunk.kind is request.kind, f"chunk: {chunk.kind.name} were not asked for"
    assert len(chunk.rows) == chunk.table.num_rows, "chunk: each row of the table has its number in rows"
    records = from_table(chunk.kind, chunk.table)
    for record in records:
        symbol = getattr(record, chunk.kind.subject)
        assert symbol == request.symbol, f"chunk: a row is of {symbol!r}, and {request.symbol!r} was asked for"
        if chunk.kind is BARS:
            length = record.interval
            assert length == request.interval, (
                f"chunk: a bar has the interval {length!r}, {request.interval!r} was asked for"
            )
    return records


def _middles(request: HistoryRequest, records: Sequence[Any]) -> list[int]:
    """Return instants at which to divide a range: its middle, and that of a row, which belongs to the second half."""
    found = {(request.start + request.end) // 2, *(records[place].ts_ns for place in (len(records) // 2,) if records)}
    return sorted(at for at in found if request.start < at < request.end)


def _check_cancelling(source: HistorySource, request: HistoryRequest, whole: _Fetched) -> None:
    """Check that a history that is told to stop ends, and claims no more than it delivered; so does one that is closed."""
    stop = threading.Event()
    stop.set()
    early = _fetch(source, evolve(request, stop=stop))
    claimed = Counter(record for record in whole.records if record.ts_ns < early.until)
    assert not claimed - Counter(early.records), "history: a cancelled one claims to cover rows that it did not deliver"
    pages = source.history(request)
    with contextlib.suppress(StopIteration):
        next(pages)
    if hasattr(pages, "close"):
        pages.close()
