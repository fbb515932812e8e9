"""The file of a store that is written to: made where it belongs, opened with its settings, and held to its place."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Literal

import apsw

from fpa_core.exceptions import DatabaseError
from fpa_plugins.sqlite.files.encryption import Key
from fpa_plugins.sqlite.files.pages import open_file, set_up
from fpa_plugins.sqlite.files.waiting import waiting

__all__ = ["WritableFile"]

PAGE_BYTES = 16_384
"""Large enough for columnar segments to read well, small enough for single rows to write well."""


class WritableFile:
    """A database file that is read and written; it and its folder are made when missing.

    :param synchronous: ``full`` or ``normal``.
    :param busy_timeout: how long a connection waits for a lock of another one, in seconds.
    :raises DatabaseError: when the path is a link, a folder, or cannot be made, or only its write-ahead log is there.
    """

    read_only: Literal[False] = False

    def __init__(self, path: Path, key: Key | None = None, *, synchronous: str, busy_timeout: float) -> None:
        self.path = path
        self.key = key
        self.busy_timeout = busy_timeout
        self._settings = (
            f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}"
        )
        self._log = f"{path}-wal"
        self._places: dict[str, tuple[int, int] | None] = {}
        _make(path)

    def connect(self) -> apsw.Connection:
        """Open a connection."""
        self._check_place(str(self.path))
        connection = open_file(str(self.path), apsw.SQLITE_OPEN_READWRITE, self.key)
        connection.set_busy_handler(waiting(self.busy_timeout, self.path))
        set_up(connection, self._settings)
        return connection

    def check_place(self) -> None:
        """Refuse files that are not those that were opened under the database's name: nobody would find what is written to them.

        A transaction has to be open for writing, so that there is a write-ahead log.

        :raises DatabaseError: if the database or its write-ahead log was moved, replaced or deleted.
        """
        self._check_place(str(self.path))
        self._check_place(self._log)

    def _check_place(self, name: str) -> None:
        place = _identity(name)
        if self._places.setdefault(name, place) != place:
            raise DatabaseError(
                f"{name} was moved, replaced or deleted while it was open; nothing of the batch was kept",
                hint="put the files back, and open the store again",
                path=name,
                operation="use",
            )

    def forget_log(self) -> None:
        """Expect a new write-ahead log: without connections there is none, and the next to open the database may make it."""
        self._places.pop(self._log, None)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # twice for each batch
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make(path: Path) -> None:
    """Make the file and its folder when missing, readable by their owner alone, before SQLite would make them readable by all."""
    log = path.with_name(f"{path.name}-wal")
    try:
        str(path).encode()
        if _size(log) and not _size(path):
            raise DatabaseError(
                f"{path} is missing or empty, but {log.name} beside it holds batches of it, which a new database would destroy",
                hint="put the database file back, or a backup of it; or, to begin anew, move the log elsewhere",
                path=str(path),
                operation="open",
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_symlink():
            raise DatabaseError(
                f"{path} is a symbolic link",
                hint="name the file it points to: a link can be turned to another database behind your back",
                path=str(path),
                operation="open",
            )
        # An existing file keeps the permissions its owner gave it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
        if path.is_dir():
            raise DatabaseError(f"{path} is a folder, not a database file", path=str(path), operation="open")
    except UnicodeEncodeError:
        raise DatabaseError(f"{str(path)!r} is not valid Unicode", path=str(path), operation="open") from None
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror or error}", path=str(path), operation="open"
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
