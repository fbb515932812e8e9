"""A store of one's own in a page: one file that each commit writes anew, over the plain form of the port."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path

from fpa_core.engine.plain.state import StoreState, View
from fpa_core.engine.plain.tables import PlainTables
from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import Database, Reader, Writer, figures
from fpa_core.engine.turns import Turns
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS
from fpa_core.outputs import whole_file
from fpa_core.protocols import Capability, StoreDescription

__all__ = ["open_file_store"]


class FileDatabase(Database):
    """Tables that lie in one file, and in memory while they are used."""

    capabilities = frozenset(
        {Capability.PERSISTENT, Capability.KNOWN_AT, Capability.VERSIONS, Capability.UNDO, Capability.SEAL}
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turns = Turns(str(path), busy_timeout=30)
        self._state: StoreState | None = pickle.loads(path.read_bytes()) if path.exists() else StoreState()

    def _latest(self) -> StoreState:
        if self._state is None:
            raise DatabaseError(f"{self._path}: the store is closed", operation="use")
        return self._state

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:  # noqa: ARG002
        yield PlainTables(View(self._latest()))

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:  # noqa: ARG002
        with self._turns:
            view = View(self._latest())
            yield PlainTables(view)
            with whole_file(self._path) as file:
                pickle.dump(view.state, file)
            self._state = view.state

    def describe(self) -> StoreDescription:
        with self.reader("describe") as tables:
            kinds = {name: figures(tables, kind) for name, kind in KINDS.items()}
        return StoreDescription("file", "pickle", str(self._path), 1, None, kinds)

    def is_open(self) -> bool:
        return self._state is not None

    def close(self) -> None:
        self._state = None


def open_file_store(path: Path) -> EngineStore:
    """Open the store in a file, which need not exist."""
    return EngineStore(FileDatabase(path), seal_rows=None, read_cache=0)
