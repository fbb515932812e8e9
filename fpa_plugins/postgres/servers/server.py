"""The server of a store: how connections to it are opened, and whether a replica has what a reader needs."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from fpa_core.exceptions import DatabaseError
from fpa_plugins.postgres.errors import translated
from fpa_plugins.postgres.options import PostgresOptions
from fpa_plugins.postgres.servers.addresses import addresses_of

__all__ = ["Connection", "Cursor", "Server", "milliseconds"]

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

# A setting of the server that waits for replicas stays. Plans are compiled for no statement: what is read is read by an index.
_SETTINGS = b"""
SELECT set_config('search_path', quote_ident($1) || ', pg_temp', false), set_config('lock_timeout', $2, false),
    set_config('statement_timeout', $3, false), set_config('jit', 'off', false), set_config('client_min_messages', 'warning', false), set_config('synchronous_commit', CASE
        WHEN $4 = 'normal' THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)
"""
_REPLAYED = b"SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, true)"


class Server:
    """The server, or several of which one is written to, and the schema that holds the store.

    :ivar name: servers and database, for messages.
    :raises DatabaseError: if the options do not tell where it is.
    """

    def __init__(self, options: PostgresOptions) -> None:
        self._addresses = addresses_of(options)
        self.name = self._addresses.name
        self.schema = options.schema
        busy, statement = milliseconds(options.busy_timeout), milliseconds(options.statement_timeout)
        self._settings = [options.schema, busy, statement, options.synchronous]
        self._needed: str | None = None

    def __str__(self) -> str:
        return f"{self.name} (schema {self.schema})"

    def connect(self, *, reading: bool = False) -> Connection:
        """Open a connection, with the settings of the options.

        :param reading: whether a replica will do, if the options prefer one.
        """
        connection: Connection = psycopg.connect(
            self._addresses.reading if reading else self._addresses.writing,
            autocommit=True,
            cursor_factory=psycopg.RawCursor[tuple[Any, ...]],
        )
        # One type for all integers, so that a statement is planned once and not for each size of its values.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        try:
            connection.execute(_SETTINGS, self._settings)
        except BaseException:
            connection.close()
            raise
        return connection

    def wait_for(self, position: str) -> None:
        """Take a replica for behind until it has all up to a position of the primary's log."""
        if self._addresses.reading != self._addresses.writing:
            self._needed = position

    def is_behind(self, connection: Connection) -> bool:
        """Return whether a connection is to a replica that has not yet what readers wait for; a primary has everything."""
        return self._needed is not None and connection.execute(_REPLAYED, [self._needed]).fetchone() != (True,)

    def translated(self, operation: str) -> translated:
        """Return a context that turns the driver's errors into ours."""
        return translated(self.name, self._addresses.secret, operation)

    def error(
        self, problem: str, operation: str, hint: str | None = None, kind: type[DatabaseError] = DatabaseError
    ) -> DatabaseError:
        """Return an error that names the server."""
        return kind(f"{self.name}: {problem}", hint=hint, path=self.name, operation=operation)


def milliseconds(seconds: float) -> str:
    """Return a time as the server takes it; to it, 0 would be no limit at all."""
    return str(max(1, int(seconds * 1000)))
