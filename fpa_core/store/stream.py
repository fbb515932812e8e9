"""The live stream: records written one at a time, from any thread, made durable in groups, each answered by a ticket."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.kinds import KINDS, kind_of
from fpa_core.protocols import CoverageEntry, Finding, Quarantined
from fpa_core.store.journal import Journal
from fpa_core.store.tickets import Group, Ticket

if TYPE_CHECKING:
    from fpa_core.models import Record
    from fpa_core.protocols import Receipt
    from fpa_core.store.datastore import DataStore

__all__ = ["AsyncStream", "Gate", "Stream"]

_CLASSES = frozenset(kind.record for kind in KINDS.values())


class Gate(Protocol):
    """What judges the records of a stream before they are stored, all in one thread, in the order of their writing."""

    def judge(self, record: Any, row: int) -> tuple[Sequence[Finding], Quarantined | None]:
        """Return what is wrong with a record, and how it is to be kept aside if it must not be stored."""
        ...

    def refused(self, batch: int, records: Sequence[Quarantined]) -> None:
        """Take note of records that have been kept aside."""
        ...

    def ended(self, receipt: Receipt) -> None:
        """Take note of the end of the stream."""
        ...


class Stream:
    """One connection to a live source: a batch that grows by groups. Made by :meth:`fpa_core.store.DataStore.stream`; a context manager.

    :ivar batch: its id.
    """

    def __init__(
        self,
        store: DataStore,
        *,
        source: str,
        max_rows: int,
        max_delay: float,
        max_waiting: int,
        gate: Gate | None,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = Journal(store, source, gate, clock)
        self.batch = self._journal.id
        self._source = source
        self._max_rows = max_rows
        self._max_delay = max_delay
        self._max_waiting = max(max_waiting, max_rows)
        self._monotonic = monotonic
        self._pid = os.getpid()
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # what the writer waits for
        self._room = threading.Condition(lock)  # what those wait for who write faster than the disk
        self._filling = Group()
        self._committing: Group | None = None
        self._closing = False
        self._error: BaseException | None = None
        # A daemon, so that a stream left open does not keep a finished program alive; it is closed before the thread would be stopped.
        self._writer = threading.Thread(target=self._run, name=f"fpa-stream-{self.batch}", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def write(self, record: Record, *, timeout: float | None = None) -> Ticket:
        """Take a record to be stored, and return a ticket for it at once; while too many are waiting for the disk, this waits, too.

        :raises DatabaseBusyError: when there is no room for *timeout* seconds; the record was not taken.
        :raises DatabaseError: when the stream is closed, or has failed.
        """
        if type(record) not in _CLASSES:
            kind_of(record)  # says what is wrong with it
        with self._work if self._pid == os.getpid() else self._foreign():
            if self._is_full() and not self._room.wait_for(lambda: not self._is_full(), timeout):
                raise DatabaseBusyError(
                    f"the stream of {self._source} had no room for a record within {timeout:g} s: {self._waiting()} are waiting",
                    hint="the database is slower than the source: raise max_waiting, or write less",
                    operation="write to a stream",
                )
            return self._take(record)

    def try_write(self, record: Record) -> Ticket | Group:
        """Take a record if there is room; else return the group that must end before there may be some."""
        if type(record) not in _CLASSES:
            kind_of(record)
        with self._work if self._pid == os.getpid() else self._foreign():
            return (self._committing or self._filling) if self._is_full() else self._take(record)

    def _take(self, record: Record) -> Ticket:
        if self._error is not None or self._closing:
            raise self._stopped()
        group = self._filling
        place = len(group.records)
        group.records.append(record)
        if place == 0 and not group.covers:
            group.due = self._monotonic() + self._max_delay
            self._work.notify()
        elif place + 1 == self._max_rows:
            self._work.notify()
        return Ticket(group, place)

    def cover(self, entries: Sequence[CoverageEntry]) -> None:
        """Enter ranges of time into the ledger, durably together with the records written before.

        :raises DatabaseError: when the stream is closed, or has failed.
        """
        if not entries:
            return
        with self._work if self._pid == os.getpid() else self._foreign():
            if self._error is not None or self._closing:
                raise self._stopped()
            if self._filling.empty:
                self._filling.due = self._monotonic() + self._max_delay
                self._work.notify()
            self._filling.covers += entries

    def _waiting(self) -> int:
        """Count the records that are taken and not durable yet."""
        return len(self._filling.records) + (0 if self._committing is None else len(self._committing.records))

    def _is_full(self) -> bool:
        return self._waiting() >= self._max_waiting and self._error is None and not self._closing

    def flush(self, timeout: float | None = None) -> bool:
        """Commit what is waiting without delay, and wait until it is durable; false when *timeout* seconds pass first.

        :raises DatabaseError: when it cannot be stored.
        """
        with self._work if self._pid == os.getpid() else self._foreign():
            if self._error is not None:
                raise self._stopped()
            group = self._committing if self._filling.empty else self._filling
            if group is None:
                return True
            group.due = float("-inf")
            self._work.notify()
        ended = group.wait(timeout)
        if group.error is not None:
            raise group.error
        return ended

    # The writer

    def _run(self) -> None:
        while (group := self._next()) is not None:
            try:
                self._journal.write(group)
            except BaseException as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
                self._fail(error)
                return
            with self._work:
                self._committing = None
                self._room.notify_all()
            group.end()

    def _next(self) -> Group | None:
        """Return the next group to commit, once it is due; None at the end."""
        with self._work:
            while True:
                group = self._filling
                if group.empty:
                    if self._closing:
                        return None
                    self._work.wait()
                    continue
                left = group.due - self._monotonic()
                if len(group.records) >= self._max_rows or left <= 0 or self._closing:
                    # All that waits goes at once: the slower the disk, the larger the groups.
                    self._filling, self._committing = Group(), group
                    return group
                self._work.wait(min(left, threading.TIMEOUT_MAX))

    def _fail(self, error: BaseException) -> None:
        with self._work:
            self._error = error
            groups = [group for group in (self._committing, self._filling) if group is not None]
            self._filling, self._committing = Group(), None
            self._room.notify_all()
        for group in groups:
            group.end(error)

    def _stopped(self) -> DatabaseError:
        if self._error is None:
            return DatabaseError(f"the stream of {self._source} is closed", operation="write to a stream")
        stopped = DatabaseError(
            f"the stream of {self._source} has stopped: {self._error}",
            hint="begin a new one, and write again what was not acknowledged",
            operation="write to a stream",
        )
        stopped.__cause__ = self._error
        return stopped

    def _foreign(self) -> threading.Condition:
        raise DatabaseError(
            f"the stream of {self._source} belongs to another process",
            hint="begin a stream after the fork, not before it",
            operation="write to a stream",
        )

    # The end

    @property
    def receipt(self) -> Receipt:
        """What the stream has come to so far; once it is closed, what it came to."""
        return self._journal.receipt

    def close(self) -> None:
        """Make durable what was written, and end; calling it twice does nothing.

        :raises DatabaseError: when something that was written could not be stored.
        """
        if self._pid != os.getpid():
            return
        with self._work:
            first, self._closing = not self._closing, True
            self._work.notify()
            self._room.notify_all()
        self._writer.join()
        if first:
            atexit.unregister(self.close)
            try:
                self._journal.close()
            finally:
                if self._error is not None:
                    raise self._stopped()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DatabaseError:
            if error is None:  # else that one tells more
                raise


class AsyncStream:
    """A stream for an event loop, which it never blocks. Made by :meth:`fpa_core.store.DataStore.astream`; an async context manager."""

    def __init__(self, begin: Callable[[], Stream]) -> None:
        self._begin = begin
        self._stream: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The stream behind it, which other threads may write to as well."""
        if self._stream is None:
            raise DatabaseError("the stream has not begun", hint="use `async with`", operation="write to a stream")
        return self._stream

    async def write(self, record: Record) -> Ticket:
        """Take a record, once there is room, and return its ticket; ``await`` that, too, where it matters when the record is durable."""
        while isinstance(taken := self.stream.try_write(record), Group):
            await taken.ending()
        return taken

    async def flush(self) -> None:
        """Commit what is waiting without delay, and wait until it is durable."""
        await asyncio.to_thread(self.stream.flush)

    @property
    def receipt(self) -> Receipt:
        """What the stream has come to so far; at its end, what it came to."""
        return self.stream.receipt

    async def __aenter__(self) -> Self:
        self._stream = await asyncio.to_thread(self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stream.__exit__, kind, error, trace)
