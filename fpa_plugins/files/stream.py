"""The bytes of a file, decompressed, in blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from fpa_core.exceptions import DataError

__all__ = ["MAX_LINE", "Stream"]

MAX_LINE = 16 * 1024 * 1024
"""Longest line that is looked for the end of; it bounds the memory that a file without line ends can take."""


class Stream:
    """A file opened for reading.

    :param codec: ``gzip``, ``zstd`` or None.
    :raises DataError: here and on reading, whenever the bytes cannot be had.
    """

    def __init__(self, path: Path, codec: str | None) -> None:
        self.name = str(path)
        try:
            self._size = path.stat().st_size
            self._file = pa.OSFile(self.name)
        except OSError as error:
            raise DataError(f"{self.name}: cannot be opened: {error.strerror or error}", source=self.name) from error
        self._stream = pa.CompressedInputStream(self._file, codec) if codec else self._file

    @property
    def progress(self) -> float:
        """How much of the file, as it lies on the disk, has been read."""
        return min(self._file.tell() / self._size, 1.0) if self._size else 1.0

    @property
    def file(self) -> pa.NativeFile:
        """The file itself, for formats that must seek in it."""
        return self._file

    def lines(self, size: int) -> Iterator[bytes]:
        """Yield the content in blocks of about *size* bytes that end where a line ends."""
        rest = b""
        while data := self._read(size):
            block = rest + data
            # Only a file that has no line feeds can end its lines with carriage returns; one at the very end may be half of a pair.
            cut = block.rfind(b"\n") + 1 or block.rfind(b"\r", 0, -1) + 1
            if cut:
                yield block[:cut]
            elif len(block) > MAX_LINE:
                raise DataError(
                    f"{self.name}: a line is longer than {MAX_LINE:,} bytes, so this is no table of records",
                    source=self.name,
                )
            rest = block[cut:]
        if rest:
            yield rest

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except OSError as error:
            raise DataError(
                f"{self.name}: the file is cut off or damaged: {error}",
                hint="fetch or write the file again",
                source=self.name,
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._file.close()
