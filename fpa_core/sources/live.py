"""Collecting live data: what a connection delivers is stored durably, what it misses is fetched, and the ledger knows which is which."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from fpa_core.exceptions import DatabaseError
from fpa_core.ingest.entries import rejected_row
from fpa_core.intervals import longest_ns
from fpa_core.kinds import KINDS, Kind, kind_of
from fpa_core.models import Record, Trade
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.protocols import (
    Correction,
    CoverageEntry,
    HistoryRequest,
    LiveRequest,
    LiveSource,
    Receipt,
    Reject,
)
from fpa_core.sources.completeness import Completeness, Key, live_interval
from fpa_core.sources.delays import Delays
from fpa_core.sources.queue import Connected, Disconnected, Dropped, EventQueue, Policy, Rejected
from fpa_core.sources.refills import Refill, Refills
from fpa_core.sources.sink import QueueSink

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.store.streams.stream import Stream

__all__ = ["Collector", "CollectorOptions", "CollectorReport", "CollectorStatus"]

_log = logging.getLogger("fpa.sources")

DAY_NS = 86_400 * 10**9
SECOND_NS = 10**9


@frozen
class CollectorOptions:
    """How live data are collected.

    :ivar queue: records that may wait for the store.
    :ivar policy: what happens if more do.
    :ivar overlap: seconds by which a gap is made longer at both ends, since clocks differ and rows come late.
    :ivar refill_after: seconds after which what was missed can be fetched from the history.
    :ivar catch_up: how far back, in seconds, what earlier runs did not collect is fetched at the beginning.
    :ivar checkpoint: seconds between two entries into the ledger.
    :ivar max_rows: rows of a group of the stream; ``max_delay`` the longest wait for them, in seconds.
    """

    queue: int = 65_536
    policy: Policy = Policy.BLOCK
    overlap: float = 1.0
    refill_after: float = 2.0
    catch_up: float = 86_400.0
    checkpoint: float = 5.0
    max_rows: int = 1_024
    max_delay: float = 0.05


@frozen
class CollectorStatus:
    """How the collector does.

    :ivar rows: records stored so far; ``rate`` those of the last seconds, per second.
    :ivar lag_p50: the median of the seconds from the arrival of a record until it was durable; ``lag_p99`` the 99th percentile.
    :ivar waiting: records in the queue.
    :ivar gaps: gaps that were not fetched yet; ``refilled`` gaps that were.
    """

    connected: bool
    rows: int
    rate: float
    lag_p50: float | None
    lag_p99: float | None
    waiting: int
    quarantined: int
    dropped: int
    corrections: int
    gaps: int
    refilled: int
    connections: int


@frozen
class CollectorReport:
    """What a run of the collector came to.

    :ivar receipts: those of its connections.
    :ivar refills: those of the fetches that closed gaps.
    :ivar open_gaps: gaps that are left, or were fetched when they were too young to be final; the next run or ``fpa backfill`` closes them.
    :ivar unmatched: corrections of trades that are not in the store.
    """

    receipts: tuple[Receipt, ...]
    refills: tuple[Receipt, ...]
    open_gaps: tuple[HistoryRequest, ...]
    dropped: int
    corrections: int
    unmatched: int


class Collector:
    """Stores what a source delivers live, until it is told to stop. Made by :meth:`fpa_core.sources.service.Sources.collect`.

    Each connection is a stream, and so a batch. A connection that breaks leaves a gap from its last record to the beginning of the next one, which is
    fetched from the history of the source, if it has one; rows that both deliver are stored once. What was delivered without a break is entered into
    the ledger, so that a run that was killed is continued where the ledger ends.

    :param open_stream: begins a stream.
    :param refill: fetches and stores a history; None if the source has none.
    :param settles: the age in seconds from which on that history is final.
    """

    def __init__(
        self,
        source: LiveSource,
        request: LiveRequest,
        store: DataStore,
        open_stream: Callable[..., Stream],
        refill: Refill | None,
        *,
        options: CollectorOptions,
        settles: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._request = request
        self._store = store
        self._open_stream = open_stream
        self._options = options
        self._clock = clock
        self._monotonic = monotonic
        self._queue = EventQueue(options.queue, options.policy, monotonic)
        self._sink = QueueSink(self._queue, clock, self._queue.put_event)
        self._completeness = Completeness(
            [(kind, symbol) for kind in request.kinds for symbol in request.symbols if symbol != "*"],
            source.origin,
            overlap_ns=int(options.overlap * SECOND_NS),
            every=options.checkpoint,
            wait=options.refill_after,
            miss=self._miss,
            monotonic=monotonic,
        )
        self._settles = int(settles * SECOND_NS)
        self._gaps = Refills(refill, options.refill_after, self._settled_in, monotonic, self._request.stop)
        self._lags = Delays()
        self._stream: Stream | None = None
        self._connected = False
        self._receipts: list[Receipt] = []
        self._rows = self._dropped = self._corrections = self._unmatched = self._connections = 0
        self._rejected = 0
        self._failed: BaseException | None = None
        self._measured: deque[tuple[float, int]] = deque([(monotonic(), 0)], maxlen=32)

    # The run

    def run(self, on_status: Callable[[CollectorStatus], None] | None = None) -> CollectorReport:
        """Collect until ``request.stop`` is set, and return what it came to. Everything taken from the source is durable then.

        :param on_status: called about four times a second.
        :raises SourceError: if the source refuses.
        :raises DatabaseError: if the store fails.
        """
        self._resume()
        feed = threading.Thread(target=self._feed, name="fpa-collector-feed", daemon=True)
        self._lags.start(self._monotonic)
        self._gaps.start()
        feed.start()
        try:
            while feed.is_alive():
                self._handle(*self._queue.take(0.25))
                self._cover(self._completeness.due())
                if on_status is not None:
                    on_status(self.status())
        except BaseException:
            self._end(feed, contextlib.suppress(DatabaseError))  # the first error says more
            raise
        self._end(feed, contextlib.nullcontext())
        if self._failed is not None:
            raise self._failed
        return self.report()

    def _end(self, feed: threading.Thread, guard: AbstractContextManager[None]) -> None:
        """End the connection, and make durable what it delivered."""
        self._request.stop.set()
        self._queue.close()
        feed.join()
        with guard:
            self._handle(*self._queue.take(0))
            self._end_connection()
        self._gaps.stop()
        self._lags.stop()

    def _feed(self) -> None:
        try:
            self._source.live(self._request, self._sink)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that called run()
            self._failed = error

    def _resume(self) -> None:
        """Go on where the ledger ends, unless that is too long ago, and fill the holes it has."""
        if "*" in self._request.symbols:
            _log.warning("all symbols are collected: what connections miss is neither known nor fetched")
        now = self._clock()
        begins = self._completeness.resume(self._store, now - int(self._options.catch_up * SECOND_NS), now)
        if begins:
            with self._store.batch(origin=self._source.origin) as batch:
                batch.cover(begins)

    def _handle(self, items: Sequence[tuple[float | None, Any]], dropped: dict[tuple[str, str], Dropped]) -> None:
        for (kind_name, symbol), what in dropped.items():
            self._note_dropped(KINDS[kind_name], symbol, what)  # before anything later is taken for complete
        rejected = []
        for begun, item in items:
            if begun is not None:
                self._write(item, begun)
            elif isinstance(item, Connected):
                self._begin_connection(item.at_ns)
            elif isinstance(item, Disconnected):
                if not self._request.stop.is_set():
                    _log.warning("%s: disconnected: %s", self._source.origin, item.reason)
                self._end_connection()
            elif isinstance(item, Correction):
                self._apply(item)
            else:
                rejected.append(item)
        if rejected:
            self._quarantine(rejected)

    def _write(self, record: Record, begun: float) -> None:
        stream = self._stream
        if stream is None:
            stream = self._stream = self._begin_stream()
        future = stream.write(record)
        self._rows += 1
        if self._rows % 16 == 0:
            self._lags.add(future, begun)
        kind = kind_of(record)
        self._completeness.count((kind, getattr(record, kind.subject)), record.ts_ns, self._clock())

    def _begin_stream(self) -> Stream:
        options = self._options
        return self._open_stream(origin=self._source.origin, max_rows=options.max_rows, max_delay=options.max_delay)

    def _begin_connection(self, at_ns: int) -> None:
        if self._connected:
            return
        self._connected = True
        self._connections += 1
        self._completeness.connect(at_ns)
        if self._stream is None:
            self._stream = self._begin_stream()

    def _end_connection(self) -> None:
        self._connected = False
        self._cover(self._completeness.disconnect())
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            self._receipts.append(stream.receipt)

    def _cover(self, entries: Sequence[CoverageEntry]) -> None:
        """Enter what was delivered without a break into the ledger, durably with the records themselves."""
        if self._stream is not None:
            self._stream.cover(entries)

    # Gaps

    def _miss(self, key: Key, start: int, end: int) -> None:
        kind, symbol = key
        self._gaps.add(
            HistoryRequest(
                kind=kind, symbol=symbol, start=start, end=end, interval=live_interval(kind), stop=self._request.stop
            )
        )

    def _settled_in(self, request: HistoryRequest) -> float:
        """Return in how many seconds a history is final."""
        length = 0 if request.interval is None else longest_ns(request.interval)
        return (request.end + length + self._settles - self._clock()) / SECOND_NS

    def _note_dropped(self, kind: Kind, symbol: str, what: Dropped) -> None:
        self._dropped += what.count
        _log.warning(
            "%s: %d %s of %s were dropped, because the store is slower",
            self._source.origin,
            what.count,
            kind.name,
            symbol,
        )
        self._cover(self._completeness.drop((kind, symbol), what.first_ns, what.last_ns))

    # What is not a record to store

    def _apply(self, correction: Correction) -> None:
        """Apply a correction to the stored trade: as a revision if its id stays, else by putting another trade in its place."""
        if self._stream is not None:
            self._stream.flush()
        stored = self._store.select(
            Trade,
            escape(correction.symbol),
            start=Instant(correction.at_ns - DAY_NS),
            end=Instant(correction.at_ns + SECOND_NS),
            limit=1,
            latest_first=True,
            exchange=correction.exchange,
            trade_id=correction.trade_id,
        ).first()
        if stored is None:
            self._unmatched += 1
            _log.warning(
                "%s: a correction of trade %s of %s, which is not stored",
                self._source.origin,
                correction.trade_id,
                correction.symbol,
            )
            return
        self._corrections += 1
        if correction.changes is None:
            self._store.delete_trade(stored)
            return
        corrected = evolve(stored, **correction.changes)
        if corrected.trade_id == stored.trade_id:
            self._store.save(corrected, origin=self._source.origin)
        else:
            self._store.update_trade(stored, corrected)

    def _quarantine(self, rejected: Sequence[Rejected]) -> None:
        with self._store.batch(origin=self._source.origin) as batch:
            batch.quarantine(
                [rejected_row(one.kind, Reject(row, one.raw, one.problem)) for row, one in enumerate(rejected, 1)]
            )
        self._rejected += len(rejected)

    # What it came to

    def status(self) -> CollectorStatus:
        """Return how it does now."""
        now = self._monotonic()
        if now - self._measured[-1][0] >= 0.5:
            self._measured.append((now, self._rows))
        begun, rows = next(((at, count) for at, count in self._measured if now - at <= 10), self._measured[-1])
        rate = (self._rows - rows) / (now - begun) if now - begun > 0.1 else 0.0
        receipts = [*self._receipts, *([] if self._stream is None else [self._stream.receipt])]
        return CollectorStatus(
            connected=self._connected,
            rows=self._rows,
            rate=rate,
            lag_p50=self._lags.percentile(0.5),
            lag_p99=self._lags.percentile(0.99),
            waiting=len(self._queue),
            quarantined=sum(receipt.quarantined for receipt in receipts) + self._rejected,
            dropped=self._dropped,
            corrections=self._corrections,
            gaps=sum(not gap.fetched for gap in list(self._gaps.open)) + self._completeness.missing,
            refilled=self._gaps.closed,
            connections=self._connections,
        )

    def report(self) -> CollectorReport:
        """Return what it came to."""
        return CollectorReport(
            tuple(self._receipts),
            tuple(self._gaps.receipts),
            tuple(gap.request for gap in self._gaps.open),
            self._dropped,
            self._corrections,
            self._unmatched,
        )
