"""The database itself: what opens and closes its tables, and what it can do as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from fpa_core.engine.tables.audit_log import AuditReader, AuditWriter
from fpa_core.engine.tables.batches import BatchReader, BatchWriter
from fpa_core.engine.tables.coverage import CoverageReader, CoverageWriter
from fpa_core.engine.tables.quarantine import QuarantineReader, QuarantineStore
from fpa_core.engine.tables.rows import RowReader, RowWriter
from fpa_core.engine.tables.segments import RetiredReader, RetiredWriter, SegmentReader, SegmentWriter
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import Kind
from fpa_core.protocols import (
    Capability,
    Changed,
    ChangeFeed,
    KindFigures,
    Problem,
    Query,
    Space,
    StoreDescription,
    Tick,
)

__all__ = ["Database", "Reader", "Writer", "announce", "figures", "unsupported"]


class Reader(Protocol):
    """One state of the store."""

    @property
    def rows(self) -> RowReader:
        """Hot rows and their history."""
        ...

    @property
    def segments(self) -> SegmentReader:
        """Sealed segments."""
        ...

    @property
    def retired(self) -> RetiredReader:
        """Retired segments."""
        ...

    @property
    def batches(self) -> BatchReader:
        """Batches."""
        ...

    @property
    def quarantine(self) -> QuarantineReader:
        """Rejected records."""
        ...

    @property
    def coverage(self) -> CoverageReader:
        """The ledger of fetched ranges."""
        ...

    @property
    def audit_log(self) -> AuditReader:
        """The audit log."""
        ...


class Writer(Protocol):
    """One state of the store, and the only one who may change it. Whatever takes a :class:`Reader` takes a Writer."""

    @property
    def rows(self) -> RowWriter:
        """Hot rows and their history."""
        ...

    @property
    def segments(self) -> SegmentWriter:
        """Sealed segments."""
        ...

    @property
    def retired(self) -> RetiredWriter:
        """Retired segments."""
        ...

    @property
    def batches(self) -> BatchWriter:
        """Batches."""
        ...

    @property
    def quarantine(self) -> QuarantineStore:
        """Rejected records."""
        ...

    @property
    def coverage(self) -> CoverageWriter:
        """The ledger of fetched ranges."""
        ...

    @property
    def audit_log(self) -> AuditWriter:
        """The audit log."""
        ...


class Database(Protocol):
    """A store's tables."""

    capabilities: frozenset[Capability]

    @abstractmethod
    def reader(self, operation: str) -> AbstractContextManager[Reader]:
        """Open one state of the store; *operation* says in errors what was being done."""
        ...

    @abstractmethod
    def writer(self, operation: str) -> AbstractContextManager[Writer]:
        """Wait for the right to write, and open the latest state.

        :raises DatabaseBusyError: if another writer does not finish in time, or this thread is already writing.
        """
        ...

    def version(self) -> object | None:
        """Return, while a writer is open, what differs after anyone else has committed; None if that is not known."""
        return None

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of a multiset's last row, by the kind's columns, in one step; None if it is not found so."""
        return None

    @abstractmethod
    def describe(self) -> StoreDescription:
        """Return what and where the database is, without a secret."""
        ...

    def announce(self, changed: Changed) -> None:
        """Pass on to other processes what the open writer changed, if it is committed; with the capability NOTIFIES."""
        raise unsupported(self.describe().backend, Capability.NOTIFIES)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Return a feed of what others change; see :meth:`fpa_core.protocols.StoreBackend.follow`; with the capability NOTIFIES."""
        raise unsupported(self.describe().backend, Capability.NOTIFIES)

    # Maintenance

    def inspect(self) -> Iterator[Problem]:
        """Yield what is wrong with the database below its tables: pages, indexes, the schema, references."""
        return iter(())

    def salvager(self, operation: str) -> AbstractContextManager[Writer]:
        """Open the latest state as :meth:`writer` does, to take out what is damaged: damaged pages are read as they are."""
        return self.writer(operation)

    def copy_to(self, path: Path, tick: Tick) -> None:
        """Write one state of the store to a new or an empty file, while others write; with the capability BACKUP."""
        raise unsupported(self.describe().backend, Capability.BACKUP)

    def space(self) -> Space:
        """Return the size of the store; with the capability COMPACT."""
        raise unsupported(self.describe().backend, Capability.COMPACT)

    def compact(self) -> None:
        """Give back the space that nothing uses; with the capability COMPACT. Killed at any point, nothing is lost."""
        raise unsupported(self.describe().backend, Capability.COMPACT)

    def grants(self, role: str, *, write: bool) -> Sequence[str]:
        """Return the statements that :meth:`grant` would run; with the capability ROLES."""
        raise unsupported(self.describe().backend, Capability.ROLES)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:
        """Grant a role of the server the right to read the store, and to write to it if *write*, and no more; return the statements; with the capability ROLES.

        The role is made if there is none. All of it is done, or nothing.

        :raises DatabaseError: if the role could do more or less in the end.
        """
        raise unsupported(self.describe().backend, Capability.ROLES)

    @abstractmethod
    def is_open(self) -> bool:
        """Return whether this process may still use it."""
        ...

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; calling it twice does nothing."""
        ...


def figures(tables: Reader, kind: Kind) -> KindFigures:
    """Return how many rows and segments of a kind there are, by counting them."""
    hot, infos = tables.rows.count(Query(kind)), list(tables.segments.find(Query(kind)))
    sealed = sum(info.rows for info in infos)
    return KindFigures(hot + sealed, hot, sealed, len(infos), sum(info.bytes for info in infos))


def announce(database: Database, changed: Changed) -> None:
    """Pass on to other processes what the open writer changed, if the database can: for what is changed outside a batch."""
    if Capability.NOTIFIES in database.capabilities:
        database.announce(changed)


def unsupported(store: str, capability: Capability) -> DatabaseError:
    """Return the error of an operation whose capability a store does not declare."""
    return DatabaseError(
        f"the store {store!r} does not offer {capability.value!r}",
        hint="use the tools of its own server, or copy the records to a store that does",
        operation=str(capability.value),
    )
