"""A table: its Parquet files, and the commits that make files a part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import parquet_file_to_data_file, schema_to_pyarrow
from pyiceberg.types import LongType

from fpa_core.arrow.digest import RowDigest
from fpa_core.protocols import LakeFile, LakeState

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction

__all__ = ["IcebergTable"]

GROUP_ROWS = 131_072
"""Rows of a row group: readers skip those whose symbols or times are not asked for."""

DIGEST = b"fpa.digest"
STATE = ("batch", "recorded_ns", "plan", "version")


class _Translator(Protocol):
    def translated(self, operation: str) -> AbstractContextManager[None]: ...


class IcebergTable:
    """See :class:`fpa_core.protocols.LakeTable`. The state is in properties of the table, which change in the commit that changes the files."""

    def __init__(self, lake: _Translator, table: Table, name: str) -> None:
        self.name = name
        self._translated = lake.translated
        self._table = table
        self._parquet_schema = schema_to_pyarrow(table.schema())

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types, without Iceberg's ids."""
        types = {pa.large_string(): pa.string()}
        return pa.schema(
            [pa.field(own.name, types.get(own.type, own.type), own.nullable) for own in self._parquet_schema]
        )

    def state(self) -> LakeState | None:
        """Return what was noted with the last commit."""
        values = [self._table.metadata.properties.get(f"fpa.{name}") for name in STATE]
        batch, recorded_ns, plan, version = values
        if batch is None or recorded_ns is None or plan is None:
            return None
        return LakeState(int(batch), int(recorded_ns), plan, version or None)

    def version(self) -> str | None:
        """Return the id of the present snapshot."""
        snapshot = self._table.current_snapshot()
        return None if snapshot is None else str(snapshot.snapshot_id)

    # The files

    def files(self) -> list[LakeFile]:
        """Return the files of the present snapshot, from the manifests."""
        return sorted((self._file(one) for one in self._data_files()), key=lambda file: file.first_ns)

    def _data_files(self) -> list[DataFile]:
        with self._translated("list files"):
            return [task.file for task in self._table.scan().plan_files()]

    def _file(self, file: DataFile) -> LakeFile:
        place = self._table.schema().find_field("ts_ns").field_id
        first_ns, last_ns = (
            int(from_bytes(LongType(), bounds[place])) for bounds in (file.lower_bounds, file.upper_bounds)
        )
        return LakeFile(file.file_path, file.record_count, first_ns, last_ns)

    def _path(self, name: str) -> str:
        return f"{self._table.location().rstrip('/')}/data/{name}"

    def staged(self, name: str) -> LakeFile | None:
        """Return a file that has a footer with our digest, which is what is written last."""
        path = self._path(name)
        with self._translated("look for a file"):
            if not self._table.io.new_input(path).exists():
                return None
            with self._table.io.new_input(path).open() as stream:
                try:
                    footer = parquet.read_metadata(stream)
                except pa.ArrowInvalid:
                    return None
            digest = (footer.metadata or {}).get(DIGEST)
            if digest is None:
                return None
            return self._staged(path, digest.decode())

    def _staged(self, path: str, digest: str) -> LakeFile:
        found = self._file(parquet_file_to_data_file(self._table.io, self._table.metadata, path))
        return LakeFile(found.path, found.rows, found.first_ns, found.last_ns, digest)

    def write(self, name: str, batches: Iterable[pa.RecordBatch]) -> LakeFile | None:
        """Write a file with Iceberg's ids of the columns, and its digest in the footer."""
        path, digest = self._path(name), RowDigest(self.schema)
        batches = iter(batches)
        first = next((batch for batch in batches if batch.num_rows), None)
        if first is None:
            return None
        with self._translated("write a file"), self._table.io.new_output(path).create(overwrite=True) as stream:
            writer = parquet.ParquetWriter(
                stream, self._parquet_schema, compression="zstd", write_page_checksum=True, write_page_index=True
            )
            with writer:
                for group in _groups(first, batches):
                    for batch in group.to_batches():
                        digest.add(batch)
                    writer.write_table(group.cast(self._parquet_schema), GROUP_ROWS)
                writer.add_key_value_metadata({DIGEST: digest.hexdigest().encode()})
        with self._translated("read a file"):
            return self._staged(path, digest.hexdigest())

    def discard(self, name: str) -> None:
        """Remove a file."""
        self._remove(self._path(name))

    def _remove(self, path: str) -> None:
        with self._translated("remove a file"), contextlib.suppress(FileNotFoundError):
            self._table.io.delete(path)

    def read(self, file: LakeFile) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file."""
        schema = self.schema
        with (
            self._translated("read a file"),
            self._table.io.new_input(file.path).open() as stream,
            parquet.ParquetFile(stream, page_checksum_verification=True) as opened,
        ):
            for batch in opened.iter_batches(GROUP_ROWS):
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    # The plan

    @property
    def _plan(self) -> str:
        return f"{self._table.location().rstrip('/')}/metadata/fpa-plan.json"

    def load_plan(self) -> str | None:
        """Return the plan that was kept."""
        with self._translated("read the plan"):
            if not self._table.io.new_input(self._plan).exists():
                return None
            with self._table.io.new_input(self._plan).open() as stream:
                return bytes(stream.read()).decode(errors="replace")

    def save_plan(self, text: str) -> None:
        """Keep a plan."""
        with (
            self._translated("write the plan"),
            self._table.io.new_output(self._plan).create(overwrite=True) as stream,
        ):
            stream.write(text.encode())

    def drop_plan(self) -> None:
        """Forget the plan."""
        self._remove(self._plan)

    # Commits

    def commit(self, add: Sequence[LakeFile], remove: Sequence[LakeFile], state: LakeState) -> None:
        """Make one snapshot, if files change, and note the state, in one change of the catalog."""
        gone = {file.path for file in remove}
        old = [file for file in self._data_files() if file.file_path in gone] if gone else []
        noted: dict[str, Any] = {"batch": state.batch, "recorded_ns": state.recorded_ns, "plan": state.plan}
        summary = {f"fpa.{name}": str(value) for name, value in noted.items()}
        with self._translated("commit"):
            new = [parquet_file_to_data_file(self._table.io, self._table.metadata, file.path) for file in add]
            with self._table.transaction() as transaction:
                version = _overwrite(transaction, old, new, summary) if new or old else self.version()
                transaction.set_properties({**summary, "fpa.version": version or ""})
            self._table.refresh()


def _overwrite(
    transaction: Transaction, old: Sequence[DataFile], new: Sequence[DataFile], summary: dict[str, str]
) -> str:
    """Make a snapshot without *old* data files and with *new* ones, and return its id."""
    with transaction.update_snapshot(snapshot_properties=summary).overwrite() as snapshot:
        for file in old:
            snapshot.delete_data_file(file)
        for file in new:
            snapshot.append_data_file(file)
    return str(snapshot.snapshot_id)


def _groups(first: pa.RecordBatch, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield batches as tables of about the size of a row group."""
    waiting, rows = [first], first.num_rows
    for batch in batches:
        if rows >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
        waiting.append(batch)
        rows += batch.num_rows
    yield pa.Table.from_batches(waiting)
