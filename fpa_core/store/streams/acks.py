"""Acknowledgements of a stream: futures for written records, and the groups they are committed in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import Any

from fpa_core.protocols import CoverageEntry, Finding

__all__ = ["CommitGroup", "WriteFuture", "WriteOutcome"]


class WriteOutcome(StrEnum):
    """The outcome of writing a record."""

    STORED = "stored"
    """The store holds it durably: it was inserted, revised an earlier version, or is a duplicate."""
    QUARANTINED = "quarantined"
    """It, or one of its positions, broke a rule and is durably in the quarantine."""


class CommitGroup:
    """Records that are committed together, and the outcome.

    :ivar covers: ranges to enter into the ledger with them.
    :ivar due: when to commit it, in seconds on the monotonic clock of its stream.
    :ivar findings: the findings, by the place of the record in ``records``; ``rejected`` the places of those quarantined.
    :ivar error: why it could not be committed; None if it was, or has not ended.
    """

    __slots__ = ("_ended", "_futures", "_lock", "covers", "due", "error", "findings", "records", "rejected")

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.covers: list[CoverageEntry] = []
        self.due = 0.0
        self.findings: dict[int, Sequence[Finding]] = {}
        self.rejected: set[int] = set()
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
        """Whether it is durable or has failed."""
        return self._ended.is_set()

    def end(self, error: BaseException | None = None) -> None:
        """Mark it as durable, or as failed with *error*, and wake those who wait for it."""
        with self._lock:
            self.error = error
            self._ended.set()
        for loop, future in self._futures.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits there any more
                loop.call_soon_threadsafe(_settle, future)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, at most *timeout* seconds; return whether it has."""
        return self._ended.wait(timeout)

    async def wait_async(self) -> None:
        """Wait on the running event loop until it has ended."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.ended:
                return
            future = self._futures.setdefault(loop, loop.create_future())
        await asyncio.shield(future)  # several wait for one future: cancelling one must not cancel the others


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class WriteFuture:
    """The pending outcome of one write, similar to :class:`concurrent.futures.Future`; it can be awaited on any event loop."""

    __slots__ = ("_group", "_place")

    def __init__(self, group: CommitGroup, place: int) -> None:
        self._group = group
        self._place = place

    def done(self) -> bool:
        """Return whether the record is durable or has failed."""
        return self._group.ended

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is done, at most *timeout* seconds; return whether it is."""
        return self._group.wait(timeout)

    def result(self, timeout: float | None = None) -> WriteOutcome:
        """Wait for the outcome and return it.

        :raises TimeoutError: if it is not known within *timeout* seconds.
        :raises DatabaseError: if the record could not be stored.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return WriteOutcome.QUARANTINED if self._place in self._group.rejected else WriteOutcome.STORED

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return why the record could not be stored; None if it was.

        :raises TimeoutError: if the outcome is not known within *timeout* seconds.
        """
        if not self._group.wait(timeout):
            raise TimeoutError(f"the record was not durable within {timeout:g} s")
        return self._group.error

    def findings(self, timeout: float | None = None) -> tuple[Finding, ...]:
        """Wait, and return the findings of the rules, warnings included."""
        self.result(timeout)
        return tuple(self._group.findings.get(self._place, ()))

    def __await__(self) -> Generator[Any, None, WriteOutcome]:
        yield from self._group.wait_async().__await__()
        return self.result()

    def __repr__(self) -> str:
        state = "waiting" if not self.done() else "failed" if self._group.error else str(self.result())
        return f"<WriteFuture {state}>"
