"""Following the orders of an account: updates are stored as they come, and what no update tells is taken from the account."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from fpa_core.exceptions import DatabaseError, SourceError
from fpa_core.ingest.entries import rejected_row
from fpa_core.models import Fill, Order
from fpa_core.protocols import Correction, OrderSource, Quarantined, Receipt, Reject
from fpa_core.sources.accounts import orders_origin
from fpa_core.sources.queue import Connected, Disconnected, EventQueue, Policy
from fpa_core.sources.sink import QueueSink

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.store.streams.stream import Stream

__all__ = ["FollowOptions", "FollowReport", "FollowStatus", "OrderFollower"]

_log = logging.getLogger("fpa.sources")

LONGEST_WAIT = 300.0
"""The longest pause between two tries to sync, in seconds."""


@frozen
class FollowOptions:
    """How orders are followed.

    :ivar every: seconds between two syncs of the account, which find what no update told.
    :ivar after_fill: seconds after which a fill is expected among the activities of the account.
    :ivar tries: how often a fill is looked for there.
    :ivar queue: updates that may wait for the store; ``max_delay`` the longest wait of an update, in seconds.
    """

    every: float = 300.0
    after_fill: float = 1.0
    tries: int = 6
    queue: int = 65_536
    max_delay: float = 0.02


@frozen
class FollowStatus:
    """How the follower does.

    :ivar updates: updates of orders so far.
    :ivar syncs: syncs of the account; ``unlisted`` orders with fills that the account does not list yet.
    """

    connected: bool
    updates: int
    quarantined: int
    syncs: int
    unlisted: int
    connections: int


@frozen
class FollowReport:
    """What a run of the follower came to.

    :ivar receipts: those of its connections; ``syncs`` those of the syncs.
    :ivar unlisted: ids of orders with fills that the account did not list in time; the next sync stores them.
    """

    receipts: tuple[Receipt, ...]
    syncs: tuple[Receipt, ...]
    unlisted: tuple[str, ...]
    quarantined: int


@define
class _Filled:
    """How much of an order was filled by the last update, and how often its fills were looked for."""

    account: str
    quantity: Decimal
    tries: int = 0


class OrderFollower:
    """Stores the updates of an account's orders, until it is told to stop. Made by :meth:`fpa_core.sources.service.Sources.follow`.

    An update is a revision of its order; an older one never replaces a newer one, wherever they come from. Updates carry no id by which the fills
    of an account could be known again, so fills are not made of them: an update that fills an order has the account synced. So has each beginning
    of a connection, since nobody knows what was missed before, and the passing of time, since a connection may lose updates and stay open.

    :param open_stream: begins a stream.
    :param sync: stores the state of the account, and returns the receipt.
    """

    def __init__(
        self,
        source: OrderSource,
        store: DataStore,
        open_stream: Callable[..., Stream],
        sync: Callable[[threading.Event], Receipt],
        *,
        options: FollowOptions,
        stop: threading.Event,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._store = store
        self._open_stream = open_stream
        self._sync = sync
        self._options = options
        self._stop = stop
        self._monotonic = monotonic
        self._origin = orders_origin(source)
        self._queue = EventQueue(options.queue, Policy.BLOCK, monotonic)
        self._sink = QueueSink(self._queue, clock, self._refuse_correction)
        self._stream: Stream | None = None
        self._connected = False
        self._receipts: list[Receipt] = []
        self._syncs: list[Receipt] = []
        self._lock = threading.Lock()
        self._filled: dict[str, _Filled] = {}
        self._known: dict[str, Decimal] = {}
        self._late: list[str] = []
        self._due = float("inf")
        self._updates = self._rejected = self._connections = self._failures = 0
        self._failed: BaseException | None = None

    # The run

    def run(self, on_status: Callable[[FollowStatus], None] | None = None) -> FollowReport:
        """Follow until told to stop, and return what it came to. Every update taken from the source is durable then.

        :param on_status: called about four times a second.
        :raises SourceError: if the source refuses.
        :raises DatabaseError: if the store fails.
        """
        threads = [
            threading.Thread(target=self._feed, name="fpa-orders-feed", daemon=True),
            threading.Thread(target=self._sync_when_due, name="fpa-orders-sync", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while threads[0].is_alive():
                self._handle(self._queue.take(0.25)[0])
                if on_status is not None:
                    on_status(self.status())
        except BaseException:
            self._end(threads, contextlib.suppress(DatabaseError))  # the first error says more
            raise
        self._end(threads, contextlib.nullcontext())
        if self._failed is not None:
            raise self._failed
        return FollowReport(
            tuple(self._receipts), tuple(self._syncs), (*self._late, *self._filled), self.status().quarantined
        )

    def _end(self, threads: Sequence[threading.Thread], guard: AbstractContextManager[None]) -> None:
        self._stop.set()
        self._queue.close()
        for thread in threads:
            thread.join()
        with guard:
            self._handle(self._queue.take(0)[0])
            self._end_connection()

    def _feed(self) -> None:
        try:
            self._source.follow(self._stop, self._sink)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that called run()
            self._failed = error

    def _refuse_correction(self, correction: Correction) -> None:
        # The next state of an order corrects it.
        raise SourceError(
            f"{self._origin}: a correction of a trade of {correction.symbol} came among updates of orders",
            source=self._source.origin,
        )

    def _handle(self, items: Sequence[tuple[float | None, Any]]) -> None:
        rejected: list[Quarantined] = []
        for begun, item in items:
            if begun is not None:
                self._write(item)
            elif isinstance(item, Connected):
                self._connected = True
                self._connections += 1
                self._request_sync(0.0)
            elif isinstance(item, Disconnected):
                if not self._stop.is_set():
                    _log.warning("%s: disconnected: %s", self._origin, item.reason)
                self._end_connection()
            else:
                rejected.append(rejected_row(item.kind, Reject(len(rejected) + 1, item.raw, item.problem)))
        if rejected:
            with self._store.batch(origin=self._origin) as batch:
                batch.quarantine(rejected)
            self._rejected += len(rejected)

    def _write(self, order: Order) -> None:
        if self._stream is None:
            self._stream = self._open_stream(origin=self._origin, max_delay=self._options.max_delay)
        self._stream.write(order)
        self._updates += 1
        if order.filled_quantity != self._known.get(order.order_id, Decimal(0)):
            self._known[order.order_id] = order.filled_quantity
            with self._lock:
                self._filled[order.order_id] = _Filled(order.account, order.filled_quantity)
            self._request_sync(self._options.after_fill)

    def _end_connection(self) -> None:
        self._connected = False
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            self._receipts.append(stream.receipt)

    # The account

    def _request_sync(self, seconds: float) -> None:
        with self._lock:
            self._due = min(self._due, self._monotonic() + seconds)

    def _sync_when_due(self) -> None:
        while not self._stop.wait(0.05):
            with self._lock:
                if self._monotonic() < self._due:
                    continue
                self._due = self._monotonic() + self._options.every
            try:
                self._syncs.append(self._sync(self._stop))
                self._failures = 0
                self._look_for_fills()
            except (SourceError, DatabaseError) as error:
                if self._stop.is_set():
                    return
                self._failures += 1
                _log.warning("%s: the account could not be synced yet: %s", self._origin, error.message)
                self._request_sync(min(LONGEST_WAIT, self._options.after_fill * 2**self._failures))
            except BaseException as error:  # noqa: BLE001  # it is raised in the thread that called run()
                self._failed = error
                self._stop.set()

    def _look_for_fills(self) -> None:
        """Look whether the account listed the fills that updates told of; if not, have it synced again a little later."""
        with self._lock:
            waiting = dict(self._filled)
        for order_id, filled in waiting.items():
            fills = self._store.select(Fill, account=filled.account, order_id=order_id)
            listed = sum((fill.quantity for fill in fills), Decimal(0)) >= filled.quantity
            filled.tries += 1
            given_up = filled.tries >= self._options.tries
            if not listed and not given_up:
                self._request_sync(self._options.after_fill * 2**filled.tries)
                continue
            if not listed:
                self._late.append(order_id)
                _log.warning("%s: the account does not list the fills of order %s yet", self._origin, order_id)
            with self._lock:
                if self._filled.get(order_id) is filled:
                    del self._filled[order_id]

    def status(self) -> FollowStatus:
        """Return how it does now."""
        receipts = [*self._receipts, *([] if self._stream is None else [self._stream.receipt])]
        return FollowStatus(
            connected=self._connected,
            updates=self._updates,
            quarantined=sum(receipt.quarantined for receipt in receipts) + self._rejected,
            syncs=len(self._syncs),
            unlisted=len(self._filled),
            connections=self._connections,
        )
