"""Fetching what live connections missed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import define

from fpa_core.exceptions import DatabaseError, FpaError, SourceError
from fpa_core.protocols import HistoryRequest, Receipt

__all__ = ["Missed", "Refill", "Refills"]

_log = logging.getLogger("fpa.sources")

Refill: TypeAlias = Callable[[HistoryRequest], Iterable[Receipt]]
"""Fetches and stores a history; see :func:`fpa_core.sources.history.fetch`."""


@define(order=False)
class Missed:
    """A gap of a live connection.

    :ivar due: when to fetch it; ``tries`` how often that failed, ``fetched`` whether it was fetched, if not finally.
    """

    request: HistoryRequest
    due: float
    tries: int = 0
    fetched: bool = False


class Refills:
    """Fetches what connections missed, one gap after the other, in a thread of its own, when it is due.

    A gap that was fetched when it was too young to be final is fetched once more when it is; until then it is not in the ledger.

    :ivar open: gaps that were not fetched, or not finally; ``closed`` how many were fetched.
    :param refill: fetches and stores a history; None if the source has none.
    :param delay: seconds before the first try.
    :param settled_in: returns in how many seconds a history is final.
    :param stop: ends the thread, and what it fetches.
    """

    LONGEST = 300.0

    def __init__(
        self,
        refill: Refill | None,
        delay: float,
        settled_in: Callable[[HistoryRequest], float],
        monotonic: Callable[[], float],
        stop: threading.Event,
    ) -> None:
        self._refill = refill
        self._settled_in = settled_in
        self._delay = delay
        self._monotonic = monotonic
        self._stop = stop
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.open: list[Missed] = []
        self.closed = 0
        self.receipts: list[Receipt] = []

    def add(self, request: HistoryRequest) -> None:
        """Add a gap; without a history it stays one."""
        if self._refill is None:
            _log.warning(
                "%s of %s were missed, and the source has no history to fetch them from",
                request.kind.name,
                request.symbol,
            )
            return
        with self._lock:
            self.open.append(Missed(request, self._monotonic() + self._delay))

    def start(self) -> None:
        """Begin to fetch, if the source has a history."""
        if self._refill is not None:
            self._thread = threading.Thread(target=self._run, name="fpa-collector-refill", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Wait for the thread, which ends when it is told to stop."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(min(0.1, self._delay or 0.1)):
            self.refill_due()

    def refill_due(self) -> None:
        """Refill the gaps that are due now."""
        assert self._refill is not None
        now = self._monotonic()
        with self._lock:
            due = [gap for gap in self.open if gap.due <= now]
        for gap in due:
            if self._stop.is_set():
                return
            try:
                self.receipts += self._refill(gap.request)
            except (SourceError, DatabaseError) as error:
                gap.tries += 1
                gap.due = self._monotonic() + min(self.LONGEST, max(self._delay, 1.0) * 2**gap.tries)
                _log.warning("a gap could not be refilled yet: %s", error.message)
                continue
            except FpaError as error:
                _log.error("a gap cannot be refilled: %s", error.message)  # the message says all
                gap.due = float("inf")
                continue
            if self._stop.is_set():
                return  # perhaps not all of it
            self.closed += not gap.fetched
            gap.fetched = True
            if (seconds := self._settled_in(gap.request)) > 0:
                gap.due = self._monotonic() + seconds  # once more when it is final
                continue
            with self._lock:
                self.open.remove(gap)
