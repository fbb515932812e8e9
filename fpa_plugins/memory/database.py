"""The store in memory: its latest state, lent to readers, and to one writer at a time."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fpa_core.engine.tables import Reader, Writer, unsupported
from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import (
    Capability,
    Changed,
    ChangeFeed,
    KindFigures,
    Problem,
    Query,
    Space,
    StoreDescription,
    Tick,
)
from fpa_plugins.memory.tables import State, Tables

__all__ = ["MemoryDatabase"]


class MemoryDatabase:
    """See :class:`fpa_core.engine.tables.Database`.

    :param busy_timeout: how long a writer waits for another one, in seconds.
    """

    capabilities = frozenset({Capability.KNOWN_AT, Capability.VERSIONS, Capability.UNDO, Capability.SEAL})

    def __init__(self, *, busy_timeout: float) -> None:
        self._busy_timeout = busy_timeout
        self._state = State()
        self._closed = False
        self._lend_lock()

    def _lend_lock(self) -> None:
        """Make the lock of this process: a thread that held it when the process was forked is not there to release it."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writing: tuple[int, Tables] | None = None

    def _check(self) -> None:
        if self._pid != os.getpid():
            self._lend_lock()
        if self._closed:
            raise DatabaseError("memory: the store is closed", operation="use")

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:  # noqa: ARG002  # no error of a driver has to name it
        """Open the latest state; nothing changes it."""
        self._check()
        yield Tables(self._state)

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:  # noqa: ARG002
        """Open the latest state, and make what becomes of it the latest."""
        self._check()
        lock, thread = self._lock, threading.get_ident()
        if self._writing is not None and self._writing[0] == thread:
            problem, hint = "this thread is already writing a batch", "finish the batch first, or write through it"
            raise DatabaseBusyError(f"memory: {problem}", hint=hint, operation="begin a batch")
        if not lock.acquire(timeout=self._busy_timeout):
            problem = f"another thread held the database for longer than {self._busy_timeout:g} s"
            hint = "let it finish, or raise busy_timeout in [store]"
            raise DatabaseBusyError(f"memory: {problem}", hint=hint, operation="begin a batch")
        try:
            tables = Tables(self._state)
            self._writing = (thread, tables)
            yield tables
            self._check()
            self._state = tables.state
        finally:
            self._writing = None
            lock.release()

    def version(self) -> object | None:
        """Return the writer's state: it begins with the one that the last writer ended with."""
        return None if self._writing is None else self._writing[1].state

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:  # noqa: ARG002
        """Return None: a scan finds it."""
        return None

    def describe(self) -> StoreDescription:
        """Return how much there is."""
        with self.reader("describe") as tables:
            kinds = {name: _figures(tables, kind) for name, kind in KINDS.items()}
        engine = f"{platform.python_implementation()} {platform.python_version()}"
        return StoreDescription("memory", engine, None, 0, None, kinds)

    def grants(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("memory", Capability.ROLES)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:  # noqa: ARG002
        """Refuse: the capability ROLES is not declared."""
        raise unsupported("memory", Capability.ROLES)

    def announce(self, changed: Changed) -> None:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("memory", Capability.NOTIFIES)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:  # noqa: ARG002
        """Refuse: the capability NOTIFIES is not declared."""
        raise unsupported("memory", Capability.NOTIFIES)

    def inspect(self) -> Iterator[Problem]:
        """Yield nothing: there is nothing below the tables."""
        return iter(())

    def salvager(self, operation: str) -> AbstractContextManager[Writer]:
        """Open the latest state."""
        return self.writer(operation)

    def copy_to(self, path: Path, tick: Tick) -> None:  # noqa: ARG002
        """Refuse: the capability BACKUP is not declared."""
        raise unsupported("memory", Capability.BACKUP)

    def space(self) -> Space:
        """Refuse: the capability COMPACT is not declared."""
        raise unsupported("memory", Capability.COMPACT)

    def compact(self) -> None:
        """Refuse: the capability COMPACT is not declared."""
        raise unsupported("memory", Capability.COMPACT)

    def is_open(self) -> bool:
        """Return whether it was not closed; a process that was forked goes on with a copy."""
        return not self._closed

    def close(self) -> None:
        """Forget everything."""
        self._closed, self._state = True, State()


def _figures(tables: Reader, kind: Kind) -> KindFigures:
    hot, infos = tables.rows.count(Query(kind)), list(tables.segments.find(Query(kind)))
    sealed = sum(info.rows for info in infos)
    return KindFigures(hot + sealed, hot, sealed, len(infos), sum(info.bytes for info in infos))
