"""Batches of rows on disk, while few of them are in memory."""

from __future__ import annotations

import tempfile
from typing import NamedTuple

import pyarrow as pa

__all__ = ["Place", "Spill"]


class Place(NamedTuple):
    """Where a batch is in the file."""

    start: int
    length: int


class Spill:
    """A file without a name for batches of any schema: it is gone when it is closed, and when the process ends, however it does."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="fpa-")  # noqa: SIM115  # close() closes it
        self._options = pa.ipc.IpcWriteOptions(compression="lz4" if pa.Codec.is_available("lz4") else None)

    def append(self, batch: pa.RecordBatch) -> Place:
        """Write a batch, and return where it is."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=self._options) as writer:
            writer.write_batch(batch)
        written = sink.getvalue()
        start = self._file.seek(0, 2)
        self._file.write(written)
        return Place(start, written.size)

    def read(self, place: Place) -> pa.RecordBatch:
        """Return a batch."""
        self._file.seek(place.start)
        with pa.ipc.open_stream(self._file.read(place.length)) as reader:
            batch: pa.RecordBatch = reader.read_next_batch()
        return batch

    def close(self) -> None:
        """Give the space on disk back."""
        self._file.close()
