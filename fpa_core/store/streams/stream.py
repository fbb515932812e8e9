"""Write records one at a time, from any thread or an event loop; a thread commits them in groups, and each write returns a future."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.kinds import KINDS, kind_of
from fpa_core.protocols import CoverageEntry
from fpa_core.store.streams.acks import CommitGroup, WriteFuture
from fpa_core.store.streams.group_commit import GroupCommitter

if TYPE_CHECKING:
    from fpa_core.models import Record
    from fpa_core.protocols import Receipt
    from fpa_core.store.streams.record_filter import RecordFilter
    from fpa_core.store.writer import BatchWriter

__all__ = ["AsyncStream", "Stream"]

_CLASSES = frozenset(kind.record for kind in KINDS.values())


class Stream:
    """One connection to a live source, made by :meth:`fpa_core.store.DataStore.stream`; a context manager.

    :ivar batch: the id of its batch, the parent of the batches of its groups.
    """

    def __init__(
        self,
        writer: BatchWriter,
        *,
        origin: str,
        max_rows: int,
        max_delay: float,
        max_waiting: int,
        record_filter: RecordFilter | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._committer = GroupCommitter(writer, origin, record_filter)
        self.batch = self._committer.id
        self._origin = origin
        self._max_rows = max_rows
        self._max_delay = max_delay
        self._max_waiting = max(max_waiting, max_rows)
        self._monotonic = monotonic
        self._pid = os.getpid()
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # the writer waits for records
        self._room = threading.Condition(lock)  # callers wait for room
        self._filling = CommitGroup()
        self._committing: CommitGroup | None = None
        self._closing = False
        self._error: BaseException | None = None
        # A daemon, so that a stream left open does not keep a finished program alive; atexit closes it before the thread is stopped.
        self._writer = threading.Thread(target=self._run, name=f"fpa-stream-{self.batch}", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def write(self, record: Record, *, timeout: float | None = None) -> WriteFuture:
        """Queue a record and return a future for it. If ``max_waiting`` records are queued, wait for room first, at most *timeout* seconds.

        :raises DatabaseBusyError: if there is no room in time; the record was not queued.
        :raises DatabaseError: if the stream is closed or has failed.
        """
        if type(record) not in _CLASSES:
            kind_of(record)  # raises, with the reason
        with self._work if self._pid == os.getpid() else self._foreign():
            if self._is_full() and not self._room.wait_for(lambda: not self._is_full(), timeout):
                raise DatabaseBusyError(
                    f"the stream of {self._origin} had no room for a record within {timeout:g} s: {self._waiting()} are waiting",
                    hint="the database is slower than the source: raise max_waiting, or write less",
                    operation="write to a stream",
                )
            return self._take(record)

    def try_write(self, record: Record) -> WriteFuture | CommitGroup:
        """Queue a record if there is room; otherwise return the group to wait for."""
        if type(record) not in _CLASSES:
            kind_of(record)
        with self._work if self._pid == os.getpid() else self._foreign():
            return (self._committing or self._filling) if self._is_full() else self._take(record)

    def _take(self, record: Record) -> WriteFuture:
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
        return WriteFuture(group, place)

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
        """Return the number of records that are queued and not durable yet."""
        return len(self._filling.records) + (0 if self._committing is None else len(self._committing.records))

    def _is_full(self) -> bool:
        return self._waiting() >= self._max_waiting and self._error is None and not self._closing

    def flush(self, timeout: float | None = None) -> bool:
        """Commit the queued records now and wait until they are durable, at most *timeout* seconds; return whether they are.

        :raises DatabaseError: if they cannot be stored.
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
                self._committer.commit(group)
            except BaseException as error:  # noqa: BLE001  # whatever it is, those who wait must get it
                self._fail(error)
                return
            with self._work:
                self._committing = None
                self._room.notify_all()
            group.end()

    def _next(self) -> CommitGroup | None:
        """Return the next group once it is due; None at the end."""
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
                    # All that is queued goes at once: the slower the disk, the larger the groups.
                    self._filling, self._committing = CommitGroup(), group
                    return group
                self._work.wait(min(left, threading.TIMEOUT_MAX))

    def _fail(self, error: BaseException) -> None:
        with self._work:
            self._error = error
            groups = [group for group in (self._committing, self._filling) if group is not None]
            self._filling, self._committing = CommitGroup(), None
            self._room.notify_all()
        for group in groups:
            group.end(error)

    def _stopped(self) -> DatabaseError:
        if self._error is None:
            return DatabaseError(f"the stream of {self._origin} is closed", operation="write to a stream")
        ours = self._error if isinstance(self._error, DatabaseError) else None
        stopped = (DatabaseError if ours is None else type(ours))(
            f"the stream of {self._origin} has stopped: {self._error if ours is None else ours.message}",
            hint=(ours and ours.hint) or "begin a new one, and write again what was not acknowledged",
            operation="write to a stream",
        )
        stopped.__cause__ = self._error
        return stopped

    def _foreign(self) -> threading.Condition:
        raise DatabaseError(
            f"the stream of {self._origin} belongs to another process",
            hint="begin a stream after the fork, not before it",
            operation="write to a stream",
        )

    # The end

    @property
    def receipt(self) -> Receipt:
        """The outcome so far; once the stream is closed, the final one."""
        return self._committer.receipt

    def close(self) -> None:
        """Make the queued records durable and end; calling it twice does nothing.

        :raises DatabaseError: if a record could not be stored.
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
                self._committer.close()
            finally:
                if self._error is not None:
                    raise self._stopped()

    def __repr__(self) -> str:
        state = "failed" if self._error is not None else "closed" if self._closing else f"{self._waiting()} waiting"
        return f"<Stream {self._origin!r}, batch {self.batch}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DatabaseError:
            if error is None:  # otherwise that one is more useful
                raise


class AsyncStream:
    """A stream for an event loop, which it never blocks; made by :meth:`fpa_core.store.DataStore.astream`; an async context manager."""

    def __init__(self, begin: Callable[[], Stream]) -> None:
        self._begin = begin
        self._stream: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The underlying stream, which other threads may write to as well."""
        if self._stream is None:
            raise DatabaseError("the stream has not begun", hint="use `async with`", operation="write to a stream")
        return self._stream

    async def write(self, record: Record) -> WriteFuture:
        """Queue a record once there is room, and return its future; await that as well to wait until the record is durable."""
        while isinstance(taken := self.stream.try_write(record), CommitGroup):
            await taken.wait_async()
        return taken

    async def flush(self) -> None:
        """Commit the queued records now and wait until they are durable."""
        await asyncio.to_thread(self.stream.flush)

    @property
    def receipt(self) -> Receipt:
        """The outcome so far; once the stream is closed, the final one."""
        return self.stream.receipt

    async def __aenter__(self) -> Self:
        self._stream = await asyncio.to_thread(self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stream.__exit__, kind, error, trace)
