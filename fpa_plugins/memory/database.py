"""The store in memory: its latest state, lent to readers, and to one writer at a time."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator

from fpa_core.engine.plain.state import StoreState, View
from fpa_core.engine.plain.tables import PlainTables
from fpa_core.engine.tables import Database, Reader, Writer, figures
from fpa_core.engine.turns import Turns
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS
from fpa_core.protocols import (
    Capability,
    StoreDescription,
)

__all__ = ["MemoryDatabase"]


class MemoryDatabase(Database):
    """See :class:`fpa_core.engine.tables.Database`.

    :param busy_timeout: how long a writer waits for another one, in seconds.
    """

    capabilities = frozenset({Capability.KNOWN_AT, Capability.VERSIONS, Capability.UNDO, Capability.SEAL})

    def __init__(self, *, busy_timeout: float) -> None:
        self._busy_timeout = busy_timeout
        self._state = StoreState()
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """Make the lock of this process, which has no writer yet."""
        self._pid = os.getpid()
        self._turns = Turns("memory", self._busy_timeout)
        self._writing: View | None = None

    def _check(self) -> None:
        if self._pid != os.getpid():
            self._begin()
        if self._closed:
            raise DatabaseError("memory: the store is closed", operation="use")

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:  # noqa: ARG002  # no error of a driver has to name it
        """Open the latest state; nothing changes it."""
        self._check()
        yield PlainTables(View(self._state))

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:  # noqa: ARG002
        """Open the latest state, and make what becomes of it the latest."""
        self._check()
        with self._turns:
            self._writing = view = View(self._state)
            try:
                yield PlainTables(view)
                self._check()
                self._state = view.state
            finally:
                self._writing = None

    def version(self) -> object | None:
        """Return the writer's state: it begins with the one that the last writer ended with."""
        return None if self._writing is None else self._writing.state

    def describe(self) -> StoreDescription:
        """Return how much there is."""
        with self.reader("describe") as tables:
            kinds = {name: figures(tables, kind) for name, kind in KINDS.items()}
        engine = f"{platform.python_implementation()} {platform.python_version()}"
        return StoreDescription("memory", engine, None, 0, None, kinds)

    def is_open(self) -> bool:
        """Return whether it was not closed; a process that was forked goes on with a copy."""
        return not self._closed

    def close(self) -> None:
        """Forget everything."""
        self._closed, self._state = True, StoreState()
