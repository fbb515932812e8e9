"""Every error this project raises on purpose.

One root, :class:`FpaError`; one class per thing that can go wrong. The message says what happened, where, and how to mend it; the same
facts are attributes, so that a program need not read prose. All keyword arguments are optional, so every error survives pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "CacheError",
    "ConfigError",
    "CorruptionError",
    "DataError",
    "DatabaseBusyError",
    "DatabaseError",
    "FpaError",
    "MissingDependencyError",
    "PluginError",
    "SchemaError",
    "ValidationError",
]


class FpaError(Exception):
    """The root of all errors of this project.

    :param message: what went wrong, where, and what to do about it.
    :param hint: the mend alone, where there is one; it is shown below the message.
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
    """The configuration cannot be used.

    :param problems: one entry per mistake found (see :class:`fpa_core.config.Problem`); all of them, not the first.
    """

    def __init__(self, message: str, *, hint: str | None = None, problems: Sequence[Any] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class PluginError(FpaError):
    """A plugin does not load, breaks the rules for hooks, or takes a name another plugin has.

    :param plugin: the name of its entry point.
    :param distribution: the installed distribution it came with, if it came with one.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, plugin: str | None = None, distribution: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin
        self.distribution = distribution


class MissingDependencyError(PluginError):
    """A configured backend needs a package that is not installed.

    :param package: what is missing, as pip knows it.
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
    """A store could not do what it was asked; nothing of the failed batch was kept.

    :param path: the database file or server, without credentials.
    :param operation: what was being done.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | None = None, operation: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.operation = operation


class DatabaseBusyError(DatabaseError):
    """Another writer held the database for longer than the busy timeout."""


class SchemaError(DatabaseError):
    """The database was written by a newer or a changed schema, or is no database of this project."""


class CorruptionError(DatabaseError):
    """Stored bytes do not match their checksum; they were not returned as data."""


class CacheError(FpaError):
    """A cache was used wrongly or its backend failed for good.

    :param key: the cache key, where one is involved.
    """

    def __init__(self, message: str, *, hint: str | None = None, key: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


class DataError(FpaError):
    """A value cannot be what it claims to be: no number, no time, no known kind.

    :param field: the field, as ``Quote.bid``.
    :param value: the offending value.
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


class ValidationError(FpaError):
    """A record broke a rule and the caller asked for an error instead of a result.

    :param findings: what the rules found (see :class:`fpa_core.validator.Finding`).
    """

    def __init__(self, message: str, *, hint: str | None = None, findings: Sequence[Any] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)
