"""The file that an ingest reads: its name, and the digest of what was read of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fpa_core.exceptions import DataError

__all__ = ["ReadFile"]


class ReadFile:
    """A file that is being read from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = self._state()

    @property
    def name(self) -> str:
        """The name of the file as text, with bytes that are no text escaped."""
        return self._path.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def _state(self) -> tuple[int, int, int, int] | None:
        try:
            found = self._path.stat()
        except (OSError, ValueError):  # a name with a NUL, or one that is not Unicode
            return None  # whoever reads it says so
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def digest(self) -> str | None:
        """Return the digest of what was read; None if the file has grown meanwhile, so that it is unknown how much of it was read.

        :raises DataError: if the file was changed or replaced: what was read may be of both versions.
        """
        try:
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            digest = ""
        before, after = self._before, self._state()
        if digest and before == after:
            return digest
        if before is not None and after is not None and before[:2] == after[:2] and before[2] < after[2]:
            return None
        raise DataError(
            f"{self._path}: the file was changed, replaced or removed while it was being read, so nothing was stored",
            hint="ingest it again once whoever writes it is done",
            source=str(self._path),
        )
