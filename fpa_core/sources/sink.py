"""What a live source delivers to: the entrance of the queue before the store."""

from __future__ import annotations

from collections.abc import Callable

from fpa_core.kinds import Kind
from fpa_core.models import Record
from fpa_core.protocols import Correction
from fpa_core.sources.queue import Connected, Disconnected, EventQueue, Rejected

__all__ = ["QueueSink"]


class QueueSink:
    """Puts what a source delivers into a queue; a :class:`fpa_core.protocols.LiveSink`.

    :param clock: returns nanoseconds since 1970, with which the beginning of a connection is stamped.
    :param correct: called with each notice about an earlier trade.
    """

    def __init__(self, queue: EventQueue, clock: Callable[[], int], correct: Callable[[Correction], None]) -> None:
        self._queue = queue
        self._clock = clock
        self._correct = correct

    def connected(self) -> None:
        """Note that from now on everything is delivered."""
        self._queue.put_event(Connected(self._clock()))

    def disconnected(self, reason: str) -> None:
        """Note that the connection ended."""
        self._queue.put_event(Disconnected(reason))

    def put(self, record: Record) -> None:
        """Take a record; wait for room, or drop the oldest one, if the queue is full."""
        self._queue.put(record)

    def correct(self, correction: Correction) -> None:
        """Pass on a notice about an earlier trade."""
        self._correct(correction)

    def reject(self, raw: str, problem: str, kind: Kind) -> None:
        """Take a message that is not a record, with the reason."""
        self._queue.put_event(Rejected(kind, raw, problem))
