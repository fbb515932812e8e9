"""Tickets for live writes: what a writer holds of a record until it is durable."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import Any

from fpa_core.protocols import CoverageEntry, Finding

__all__ = ["Fate", "Group", "Ticket"]


class Fate(StrEnum):
    """What became of a record that was written."""

    STORED = "stored"
    """The store holds it, durably: it was added, revised what was there, or was there already."""
    QUARANTINED = "quarantined"
    """Validation kept it, or a position of it, out of the tables; it is in the quarantine, durably."""


class Group:
    """Records that are committed together, and what came of them.

    :ivar covers: ranges to enter into the ledger with them.
    :ivar due: when it is to be committed, on the clock of its stream.
    :ivar findings: what the rules found, by the place of the record; ``refused`` the places of those that were quarantined.
    """

    __slots__ = ("_ended", "_futures", "_lock", "covers", "due", "error", "findings", "records", "refused")

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.covers: list[CoverageEntry] = []
        self.due = 0.0
        self.findings: dict[int, Sequence[Finding]] = {}
        self.refused: set[int] = set()
        self.error: BaseException | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._futures: dict[asyncio.AbstractEventLoop, asyncio.Future[None]] = {}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.records and not self.covers

    @property
    def ended(self) -> bool:
        """Whether it is durable, or has failed."""
        return self._ended.is_set()

    def end(self, error: BaseException | None = None) -> None:
        """Wake whoever waits for it."""
        with self._lock:
            self.error = error
            self._ended.set()
        for loop, future in self._futures.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
                loop.call_soon_threadsafe(_settle, future)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; false when the time is up first."""
        return self._ended.wait(timeout)

    async def ending(self) -> None:
        """Wait on the running event loop until it has ended."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.ended:
                return
            future = self._futures.setdefault(loop, loop.create_future())
        await asyncio.shield(future)  # many wait for one future: whoever stops waiting must not stop the others


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Ticket:
    """The promise that a record will be durable. To be waited for, or awaited, or left alone."""

    __slots__ = ("_group", "_place")

    def __init__(self, group: Group, place: int) -> None:
        self._group = group
        self._place = place

    def done(self) -> bool:
        """Return whether the record is durable, or has failed to become so."""
        return self._group.ended

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is done; false when *timeout* seconds pass first."""
        return self._group.wait(timeout)

    def result(self, timeout: float | None = None) -> Fate:
        """Wait, and tell what became of the record.

        :raises TimeoutError: when *timeout* seconds pass first.
        :raises DatabaseError: when it could not be stored.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return Fate.QUARANTINED if self._place in self._group.refused else Fate.STORED

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return why the record could not be stored; None when it was.

        :raises TimeoutError: when *timeout* seconds pass first.
        """
        if not self._group.wait(timeout):
            raise TimeoutError(f"the record was not durable within {timeout:g} s")
        return self._group.error

    def findings(self, timeout: float | None = None) -> tuple[Finding, ...]:
        """Wait, and return what the rules found, warnings included."""
        self.result(timeout)
        return tuple(self._group.findings.get(self._place, ()))

    def __await__(self) -> Generator[Any, None, Fate]:
        yield from self._group.ending().__await__()
        return self.result()

    def __repr__(self) -> str:
        state = "waiting" if not self.done() else "failed" if self._group.error else str(self.result())
        return f"<Ticket {state}>"
