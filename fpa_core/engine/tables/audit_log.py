"""The port's audit log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from typing import Protocol

from fpa_core.protocols import AuditEntry

__all__ = ["AuditReader", "AuditWriter"]


class AuditReader(Protocol):
    """The audit log."""

    @abstractmethod
    def last(self) -> AuditEntry | None:
        """Return the last entry; None if there is none."""
        ...

    @abstractmethod
    def scan(self, first: int = 1, size: int = 4_096) -> Generator[Sequence[AuditEntry], None, None]:
        """Yield the entries from the number *first* on, by number, in lists of at most *size*."""
        ...


class AuditWriter(AuditReader, Protocol):
    """The audit log, within a write transaction. Entries are added at the end; nothing changes or removes one."""

    @abstractmethod
    def add(self, entry: AuditEntry) -> None:
        """Add an entry, whose number is free."""
        ...
