"""The engine's port on one schema of a PostgreSQL server: its dialect, its snapshots and its lock.

Decimals are canonical texts here too, not ``numeric``: the rows of the port hold them so, equality is that of the text, and a numeric would have to
be read and written through one anyway. Sealed rows, which are nearly all, are integers with a scale in either case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fpa_core.engine.audit_log import record_migration
from fpa_core.engine.sql.inspection import dangling, figures_of_kinds
from fpa_core.engine.sql.latest import latest_statement, latest_values
from fpa_core.engine.sql.tables import CAPABILITIES, SqlTables
from fpa_core.engine.tables import Database, Reader, Writer
from fpa_core.kinds import Kind
from fpa_core.protocols import Capability, Changed, ChangeFeed, Problem, Severity, StoreDescription
from fpa_plugins.postgres.connection import Pool
from fpa_plugins.postgres.migrations import migrate
from fpa_plugins.postgres.options import PostgresOptions
from fpa_plugins.postgres.servers.grants import grant, granting
from fpa_plugins.postgres.servers.notices import Notices
from fpa_plugins.postgres.servers.server import Connection
from fpa_plugins.postgres.session import TYPES, PostgresSession, Types, numbered, rows_of
from fpa_plugins.postgres.texts import encode

__all__ = ["PostgresDatabase"]


class PostgresDatabase(Database):
    """See :class:`fpa_core.engine.tables.Database`.

    :raises SchemaError: if the schema is of another program, or of a newer version.
    :raises DatabaseError: if the server cannot be used.
    """

    capabilities = CAPABILITIES | {Capability.NOTIFIES, Capability.ROLES}

    def __init__(self, options: PostgresOptions) -> None:
        self._pool = Pool(options)
        self._server = self._pool.server
        self._notices = Notices(self._server, listens=options.listen)
        self._writing: PostgresSession | None = None
        self._types: Types = {}
        try:
            with self._server.translated("open"):
                migrate(self._pool, note=_note_migration)
                with self._pool.lend(TYPES, [options.schema]) as (_, cursor):
                    self._types = {(table, column): kind for table, column, kind in cursor}
        except BaseException:
            self._pool.close()
            raise

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:
        """Open one state of the store: the first statement fixes it."""
        with self._server.translated(operation), self._pool.lend() as (connection, _):
            session = PostgresSession(connection, self._types)
            try:
                yield SqlTables(session)
            finally:
                session.ended = True

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        """Open the latest state, with the write lock from the start: READ COMMITTED shows all that was committed before."""
        with self._server.translated(operation), self._pool.writer() as (connection, number):
            self._writing = session = PostgresSession(connection, self._types, number)
            try:
                yield SqlTables(session)
            finally:
                session.ended = True

    def version(self) -> object | None:
        """Return the number of the open writer, or, once it has changed something, that of the next one, if that is the next to write."""
        session = self._writing
        if session is None or session.ended:
            return None
        # After a reconnection it may be another server, which gives the same numbers once more if it was behind.
        return self._pool.reconnections, session.number + session.changed

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row, by one statement."""
        statement, bound = numbered(latest_statement(kind)), [encode(subject)] * 2
        with self._server.translated(f"read {kind.name}"), self._pool.lend(statement, bound) as (_, cursor):
            return latest_values(kind, subject, rows_of(cursor))

    def describe(self) -> StoreDescription:
        """Return what schema of what server this is, and its size."""
        with self._server.translated("describe"), self._pool.lend() as (connection, _):
            session = PostgresSession(connection, self._types)
            ((engine, schema, size),) = session.query(
                "SELECT current_setting('server_version'), (SELECT max(version) FROM schema_versions), (SELECT "
                "sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"
            )
            kinds = figures_of_kinds(session)
        return StoreDescription("postgres", f"PostgreSQL {engine}", str(self._server), schema, size, kinds)

    def announce(self, changed: Changed) -> None:
        """Send a notice in the transaction of the open writer: listeners get it when it is committed."""
        assert self._writing is not None, "a batch is being written"
        self._notices.announce(self._writing, changed)

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Listen, from the feed's first call on, to the notices of all others."""
        return self._notices.follow(on_change)

    def inspect(self) -> Iterator[Problem]:
        """Yield rows without a counterpart, and say so if the server keeps no checksums of its pages, which it verifies itself as it reads them."""
        with self._server.translated("check"), self._pool.lend() as (connection, _):
            session = PostgresSession(connection, self._types)
            where = str(self._server)
            yield from dangling(session, where)
            if session.query("SELECT current_setting('data_checksums')") == [("off",)]:
                problem = "the server keeps no checksums of its pages, so damage may pass unnoticed"
                yield Problem("page", where, problem, "stop it and run pg_checksums --enable", Severity.WARNING)

    def grants(self, role: str, *, write: bool) -> Sequence[str]:
        """Return the statements for a role of the server."""
        with self._server.translated("grant"), self._pool.lend() as (connection, _):
            return granting(connection, self._server, role, write=write)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:
        """Run them in one transaction, and see what the role can do then."""
        with self._server.translated("grant"), self._pool.writer() as (connection, _):
            return grant(connection, self._server, role, write=write)

    def is_open(self) -> bool:
        """Return whether this process may still use it."""
        return self._pool.is_open

    def close(self) -> None:
        """Close the connections, that of each feed as well."""
        self._notices.close()
        with self._server.translated("close"):
            self._pool.close()


def _note_migration(connection: Connection, version: int, latest: int) -> None:
    record_migration(SqlTables(PostgresSession(connection, {})), version, latest, None)
