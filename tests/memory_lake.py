"""A lake in memory: the plainest one there can be, for tests of what is decided above a lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from fpa_core.arrow.digest import RowDigest
from fpa_core.protocols import LakeFile, LakeState

__all__ = ["MemoryLake", "MemoryTable"]


class MemoryTable:
    """See :class:`fpa_core.protocols.LakeTable`."""

    def __init__(self, name: str, schema: pa.Schema) -> None:
        self.name, self.schema = name, schema
        self.written: dict[str, tuple[LakeFile, list[pa.RecordBatch]]] = {}
        self.current: list[LakeFile] = []
        self.noted: LakeState | None = None
        self.versions = 0
        self.plan: str | None = None

    def state(self) -> LakeState | None:
        return self.noted

    def version(self) -> str | None:
        return str(self.versions) if self.versions else None

    def files(self) -> Sequence[LakeFile]:
        return sorted((evolve(file, digest=None) for file in self.current), key=lambda file: file.first_ns)

    def load_plan(self) -> str | None:
        return self.plan

    def save_plan(self, text: str) -> None:
        self.plan = text

    def drop_plan(self) -> None:
        self.plan = None

    def staged(self, name: str) -> LakeFile | None:
        return self.written[name][0] if name in self.written else None

    def write(self, name: str, batches: Iterable[pa.RecordBatch]) -> LakeFile | None:
        kept = [batch for batch in batches if batch.num_rows]
        if not kept:
            return None
        digest = RowDigest(self.schema)
        for batch in kept:
            digest.add(batch)
        times = pc.min_max(pa.Table.from_batches(kept).column("ts_ns"))
        file = LakeFile(name, digest.rows, times["min"].as_py(), times["max"].as_py(), digest.hexdigest())
        self.written[name] = file, kept
        return file

    def discard(self, name: str) -> None:
        self.written.pop(name, None)

    def read(self, file: LakeFile) -> Iterator[pa.RecordBatch]:
        yield from self.written[file.path][1]

    def commit(self, add: Sequence[LakeFile], remove: Sequence[LakeFile], state: LakeState) -> None:
        gone = {file.path for file in remove}
        self.current = [file for file in self.current if file.path not in gone] + list(add)
        self.versions += bool(add or remove)
        self.noted = evolve(state, version=self.version())


class MemoryLake:
    """See :class:`fpa_core.protocols.Lake`."""

    def __init__(self) -> None:
        self.tables: dict[str, MemoryTable] = {}

    def table(self, name: str, schema: pa.Schema) -> MemoryTable:
        return self.tables.setdefault(name, MemoryTable(name, schema))

    def has(self, name: str) -> bool:
        return name in self.tables

    def close(self) -> None:
        """Do nothing."""
