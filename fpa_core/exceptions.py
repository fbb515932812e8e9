"""Every error this project raises on purpose.

The root is :class:`FpaError`. The message says what happened, where, and how to fix it. The same facts are attributes, so that programs need
not parse messages. All keyword arguments are optional, so that every error can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "CacheError",
    "CommitInDoubtError",
    "ConfigError",
    "ConnectionLostError",
    "CorruptionError",
    "DataError",
    "DatabaseBusyError",
    "DatabaseError",
    "FpaError",
    "InterruptedReadError",
    "LostWritesError",
    "MissingDependencyError",
    "NotReplicatedError",
    "PluginError",
    "SchemaError",
    "SourceError",
    "StaleDataError",
    "ValidationError",
]


class FpaError(Exception):
    """The root of all errors of this project.

    :param message: what went wrong, and where.
    :param hint: how to fix it, if known; shown below the message.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """The text without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class ConfigError(FpaError):
    """The configuration is invalid.

    :param problems: all problems found, not only the first (see :class:`fpa_core.config.Problem`).
    """

    def __init__(self, message: str, *, hint: str | None = None, problems: Sequence[Any] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class PluginError(FpaError):
    """A plugin failed to load, implements a hook wrongly, or uses a name that is already taken.

    :param plugin: the name of its entry point.
    :param distribution: the installed distribution that contains it; None if there is none.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, plugin: str | None = None, distribution: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin
        self.distribution = distribution


class MissingDependencyError(PluginError):
    """A configured backend needs a package that is not installed.

    :param package: the name of the missing package, as for pip.
    :param command: the command that installs it.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        plugin: str | None = None,
        package: str | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint or (f"run: {command}" if command else None), plugin=plugin)
        self.package = package
        self.command = command


class DatabaseError(FpaError):
    """An operation of a store failed. Nothing of the failed batch was stored, unless it is a :class:`CommitInDoubtError`.

    :param path: the database file or server, without credentials.
    :param operation: the operation that failed.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | None = None, operation: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.operation = operation


class DatabaseBusyError(DatabaseError):
    """Another writer held the database for longer than the busy timeout."""


class ConnectionLostError(DatabaseError):
    """A server cannot be reached, or the connection to it was lost. Nothing of the failed batch was stored, so it can be written again."""


class InterruptedReadError(ConnectionLostError):
    """The connection to a server was lost during a read that had given some of its rows. It cannot go on: the store may have changed since."""


class CommitInDoubtError(DatabaseError):
    """The connection was lost during a commit, and whether the batch was stored could not be found out.

    Writing it again is safe: rows that are stored are recognised.
    """


class NotReplicatedError(CommitInDoubtError):
    """A server stored a batch, but did not wait for the replicas that it is set up to wait for: a failover may lose it."""


class LostWritesError(DatabaseError):
    """A server no longer has batches that it had acknowledged, as after a failover to a replica that was behind."""


class SchemaError(DatabaseError):
    """The database has a newer or a changed schema, or is not a database of this project."""


class CorruptionError(DatabaseError):
    """Stored bytes do not match their checksum. They are not returned as data."""


class CacheError(FpaError):
    """A cache was used wrongly, or its backend failed permanently.

    :param key: the cache key, if one is involved.
    """

    def __init__(self, message: str, *, hint: str | None = None, key: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


class DataError(FpaError):
    """A value is invalid: for example, not a number, not a time, or not a known kind.

    :param field: the field, such as ``Quote.bid``.
    :param value: the invalid value.
    :param source: the file or connection it came from.
    :param row: its position there, counted from 1.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        field: str | None = None,
        value: object = None,
        source: str | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.field = field
        self.value = value
        self.source = source
        self.row = row


class StaleDataError(DataError):
    """The newest stored record is older than the caller demanded, or there is none.

    :param kind: the kind of record, or ``prices`` if several kinds have them.
    :param symbol: whose it would be.
    :param newest_ns: the time of the newest record, in nanoseconds since 1970; None if there is none.
    :param age: how old it is, in seconds.
    :param max_age: how old it might have been, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        kind: str | None = None,
        symbol: str | None = None,
        newest_ns: int | None = None,
        age: float | None = None,
        max_age: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, field="max_age", value=max_age)
        self.kind = kind
        self.symbol = symbol
        self.newest_ns = newest_ns
        self.age = age
        self.max_age = max_age


class SourceError(FpaError):
    """A source could not be reached, refused, or sent something unexpected. What was stored before stays stored.

    :param source: the source, such as ``alpaca``.
    :param status: the HTTP status or the code of its protocol, if it answered.
    :param transient: whether another try later may succeed.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        source: str | None = None,
        status: int | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.status = status
        self.transient = transient


class ValidationError(FpaError):
    """A record broke a rule and the caller asked for an error instead of a result.

    :param findings: the findings of the rules (see :class:`fpa_core.validator.Finding`).
    """

    def __init__(self, message: str, *, hint: str | None = None, findings: Sequence[Any] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)
