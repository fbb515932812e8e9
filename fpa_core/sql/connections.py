"""Connections to DuckDB, to which the kinds of a store are tables."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from fpa_core.packages import needs

if TYPE_CHECKING:
    from fpa_core.sql.relations import Relation, Relations

__all__ = ["Connections"]

IDLE = 4
"""Connections that are kept for the next query."""

_SETTINGS: dict[str, Any] = {"enable_external_access": "false", "python_enable_replacements": "false"}
"""No files, no network, no extensions, no variables of the program as tables."""

_THEN = ("SET GLOBAL TimeZone = 'UTC'", "SET enable_progress_bar = false", "SET GLOBAL lock_configuration = true")


@define(eq=False)
class _Connection:
    """A connection, and the relations that are registered with it."""

    duckdb: Any
    tables: dict[str, Relation] = field(factory=dict)


class Connections:
    """Keeps connections whose query has ended: making one, and its tables, takes as long as a short query.

    :ivar relations: the kinds, which are tables to the connections.
    """

    def __init__(self, relations: Relations) -> None:
        self.relations = relations
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []

    def _owned(self) -> threading.Lock:
        """Return the lock. A forked child begins anew: the connections of its parent are not for it."""
        if self._process != os.getpid():
            self._begin()
        return self._lock

    @contextlib.contextmanager
    def use(self, names: Sequence[str]) -> Generator[tuple[Any, Mapping[str, Relation]], None, None]:
        """Yield a connection for one query, and the relations *names*, which are its tables.

        :raises MissingDependencyError: when DuckDB is not installed.
        """
        connection = self._take()
        ended = False
        try:
            found = self.relations.of(names)
            for name, relation in found.items():
                self._register(connection, name, relation)
            yield connection.duckdb, {name: connection.tables[name] for name in found}
            ended = True
        finally:
            # A connection whose query failed, or was left, may have a result that nobody will read.
            if not (ended and self._kept(connection)):
                connection.duckdb.close()

    @staticmethod
    def _register(connection: _Connection, name: str, relation: Relation) -> None:
        last = connection.tables.get(name)
        if last is not None and last.reads_as(relation):
            last.failure = None
            return
        connection.duckdb.register(name, relation)
        connection.tables[name] = relation

    def _take(self) -> _Connection:
        with self._owned():
            if self._idle:
                return self._idle.pop()
        return _Connection(_engine(os.getpid()).cursor())

    def _kept(self, connection: _Connection) -> bool:
        with self._owned():
            if len(self._idle) >= IDLE:
                return False
            self._idle.append(connection)
            return True

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._owned():
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.duckdb.close()


@functools.lru_cache(maxsize=1)
def _engine(_process: int) -> Any:
    """Return the DuckDB of this process, since starting one takes longer than most queries; a forked child needs its own.

    It is empty and in memory, and reads nothing but what is registered with a connection.
    """
    with needs("duckdb", "SQL", extra="sql"):
        import duckdb
    connection = duckdb.connect(":memory:", config=_SETTINGS)
    for setting in _THEN:
        connection.execute(setting)
    return connection
