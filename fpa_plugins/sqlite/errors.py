"""Translate the engine's errors into ours, with the path, the operation and how to fix it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

import apsw

from fpa_core.exceptions import CorruptionError, DatabaseBusyError, DatabaseError, SchemaError

__all__ = ["translated"]


_LEAST_SPACE = 64 * 1024
"""Bytes that a reader needs for the index of the write-ahead log."""


class translated:  # noqa: N801  # it reads as what it does: with translated(path, "open")
    """A context that turns the engine's errors into ours."""

    __slots__ = ("_operation", "_path")

    def __init__(self, path: Path, operation: str) -> None:
        self._path = path
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, apsw.Error):
            raise _ours(error, self._path, self._operation) from error


def _ours(error: apsw.Error, path: Path, operation: str) -> DatabaseError:
    kind, problem, hint = DatabaseError, f": could not {operation}: {error}", None
    if isinstance(error, apsw.BusyError):
        kind = DatabaseBusyError
        problem = f": another writer held the database for too long while trying to {operation}"
        hint = "let it finish, or raise busy_timeout in [store]"
    elif isinstance(error, apsw.NotADBError):
        kind, problem = SchemaError, " is not an SQLite database, or is encrypted with another key"
        hint = "give another path, or its key: key or key_file in [store]"
    elif isinstance(error, apsw.CorruptError):
        kind, problem, hint = CorruptionError, f" is damaged: {error}", "restore it from a backup"
    elif isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
        kind, problem = (
            CorruptionError,
            f" is damaged: a page that was needed to {operation} does not match its checksum",
        )
        hint = (
            "`fpa store check` says what is damaged; `fpa store restore BACKUP --replace` puts a backup in its place. If another program has written "
            "to the file, such as the sqlite3 shell after a crash, `fpa store compact --accept-pages` takes its pages as they are"
        )
    elif isinstance(error, apsw.ReadOnlyError):
        problem = f" cannot be written: {error}"
    elif isinstance(error, apsw.FullError):
        problem, hint = ": no space left; nothing of the batch was kept", "free some space"
    elif isinstance(error, (apsw.IOError, apsw.CantOpenError)) and _is_full(path):
        problem = (
            f": no space left on its disk, of which reading needs a little, too, while trying to {operation}: {error}"
        )
        hint = "free some space"
    return kind(f"{path}{problem}", hint=hint, path=str(path), operation=operation)


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _LEAST_SPACE
    except OSError:
        return False
