"""The provenance of a report: the file and its digest, the version of fpa, the configuration."""

from __future__ import annotations

import functools
import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from fpa_core.packages import DISTRIBUTION

if TYPE_CHECKING:
    from fpa_core.config import Config

__all__ = ["FileProof", "Provenance", "installed_version", "provenance_of"]


@functools.cache
def installed_version() -> str:
    """Return the version of fpa that is installed; "unknown" if it runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


@frozen
class FileProof:
    """The identity of a file at one moment.

    :ivar size: its size in bytes.
    :ivar digest: its SHA-256 digest in hexadecimal, as receipts of an ingest have it.
    :ivar modified_ns: when it was last modified.
    """

    size: int
    digest: str
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> FileProof | None:
        """Return the identity of a file; None if it cannot be read, or is a pipe or a folder. The reader of files says why."""
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found = os.fstat(file.fileno())
        except OSError:
            return None
        return cls(found.st_size, digest, found.st_mtime_ns)

    def still_holds(self, path: Path) -> bool:
        """Return whether the file has not been modified since."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns)


@frozen
class Provenance:
    """What a report was made from, and how.

    :ivar path: the file as it was given; None if the rows did not come from one.
    :ivar file: its size and digest before it was read; None without a regular file.
    :ivar changed: whether it was modified while it was read, so that the digest may not be that of the rows.
    :ivar config: the configuration file; None if the defaults apply.
    :ivar environment: the overlay of the configuration; None for none.
    :ivar seconds: how long reading and validating took.
    """

    path: str | None = None
    file: FileProof | None = None
    changed: bool = False
    config: str | None = None
    environment: str | None = None
    version: str = ""
    seconds: float = 0.0


def provenance_of(path: str | os.PathLike[str], config: Config) -> Provenance:
    """Return the provenance of a file that is about to be read with a configuration."""
    return Provenance(
        str(path),
        FileProof.of(Path(path)),
        config=None if config.path is None else str(config.path),
        environment=config.env,
    )
