"""Translate the driver's errors into ours, with the server, the operation and how to fix it; never with a password."""

from __future__ import annotations

from types import TracebackType

import psycopg
from psycopg import errors

from fpa_core.config import redact
from fpa_core.exceptions import ConnectionLostError, CorruptionError, DatabaseBusyError, DatabaseError

__all__ = ["translated"]

_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted)
_LOGIN = (errors.InvalidAuthorizationSpecification, errors.InvalidPassword)
_LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)
_READ_ONLY = (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)


class translated:  # noqa: N801  # it reads as what it does: with translated(server, secret, "open")
    """A context that turns the driver's errors into ours.

    :param secret: the password, which no message shows.
    """

    __slots__ = ("_operation", "_secret", "_server")

    def __init__(self, server: str, secret: str, operation: str) -> None:
        self._server = server
        self._secret = secret
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, psycopg.Error):
            ours = _ours(error, self._server, self._secret, self._operation)
            if self._secret and self._secret in str(error):
                raise ours from None
            raise ours from error


def _ours(error: psycopg.Error, server: str, secret: str, operation: str) -> DatabaseError:
    text = redact(str(error).strip(), [secret])
    kind, problem, hint = DatabaseError, f": could not {operation}: {text}", None
    if isinstance(error, _BUSY):
        kind = DatabaseBusyError
        problem = f": another writer held the database for too long while trying to {operation}"
        hint = "let it finish, or raise busy_timeout in [store]"
    elif isinstance(error, errors.QueryCanceled):
        problem = f": a statement took too long, or was cancelled, while trying to {operation}: {text}"
        hint = "raise statement_timeout in [store]"
    elif isinstance(error, _DAMAGED):
        kind, problem, hint = CorruptionError, f" is damaged: {text}", "restore it from a backup"
    elif isinstance(error, errors.DiskFull):
        problem, hint = ": no space left; nothing of the batch was kept", "free some space"
    elif isinstance(error, _READ_ONLY):
        problem = f" cannot be written: {text}"
    elif isinstance(error, _LOGIN) or "authentication failed" in text:
        problem, hint = f" refused the login: {text}", "check user and password of dsn in [store]"
    elif isinstance(error, errors.TooManyConnections):
        hint = "lower pool_size in [store], or raise max_connections of the server"
    elif isinstance(error, _LOST) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
        kind = ConnectionLostError
        problem = f": the server cannot be reached, or closed the connection, while trying to {operation}: {text}"
        hint = "try again once it runs; nothing of an unfinished batch was kept"
    return kind(f"{server}{problem}", hint=hint, path=server, operation=operation)
