"""Brings a schema to the present: all steps or none, each checksummed; a newer one is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from fpa_core.engine.sql.migrations import Migration, migrations_in, pending, version_before
from fpa_core.exceptions import SchemaError
from fpa_plugins.postgres.connection import Pool
from fpa_plugins.postgres.servers.server import Connection, Server

__all__ = ["known_migrations", "migrate", "missing_schema"]

Note: TypeAlias = Callable[[Connection, int, int], object]

_STATE = b"""
SELECT current_setting('server_encoding'), to_regnamespace(quote_ident($1)) IS NOT NULL, to_regclass('schema_versions') IS NOT NULL,
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1)))
"""
_APPLIED = b"SELECT version, name, checksum FROM schema_versions ORDER BY version"


def known_migrations() -> list[Migration]:
    """Return the steps this version knows, in order."""
    return migrations_in(__package__)


def missing_schema(pool: Pool) -> str | None:
    """Return where the schema would be if there is none, or it is empty; None if it has been made, of whatever version it is."""
    with pool.lend(_STATE, [pool.server.schema]) as (_, cursor):
        _, _, _, used = cursor.fetchone() or (None, None, None, False)
        return None if used else str(pool.server)


def migrate(
    pool: Pool,
    migrations: Sequence[Migration] | None = None,
    *,
    note: Note = lambda _connection, _version, _latest: None,
) -> None:
    """Bring the schema of *pool* to the last of *migrations*.

    :param note: called in the transaction, with the version before and after, to record what was done.

    :raises SchemaError: if the schema belongs to another program, comes from a newer version, or its past steps are not ours.
    """
    steps = known_migrations() if migrations is None else migrations
    server = pool.server
    with pool.lend(_STATE, [server.schema]) as (connection, cursor):
        exists, left = _pending(server, connection, cursor.fetchone(), steps)
    if not left:
        return
    if pool.read_only:
        problem = f"the schema {server.schema} has version {version_before(steps, left)}, and reading it needs {steps[-1].version}"
        raise server.error(problem, "open", "open it once without read_only, which brings it up to date", SchemaError)
    with pool.writer(numbered=False) as (connection, _):
        # Another process may have been faster: look again now that nobody else can write.
        exists, left = _pending(server, connection, connection.execute(_STATE, [server.schema]).fetchone(), steps)
        if not exists:
            connection.execute(f'CREATE SCHEMA "{server.schema}"'.encode())
        for step in left:
            connection.execute(step.sql.encode(), prepare=False)
            connection.execute(
                b"INSERT INTO schema_versions (version, name, checksum, applied_ns) VALUES ($1, $2, $3, $4)",
                [step.version, step.name, step.checksum, time.time_ns()],
            )
        if left:
            note(connection, version_before(steps, left), left[-1].version)


def _pending(server: Server, connection: Any, state: Any, steps: Sequence[Migration]) -> tuple[bool, list[Migration]]:
    """Return whether the schema exists, and the steps that were not taken yet."""
    encoding, exists, versioned, used = state
    if encoding != "UTF8":
        problem = f"the database has the encoding {encoding}, which cannot hold every text"
        raise server.error(problem, "open", "make one with ENCODING 'UTF8'")
    if used and not versioned:
        problem = f"the schema {server.schema} has tables of another program"
        raise server.error(problem, "open", "give another schema in [store]", SchemaError)
    applied = connection.execute(_APPLIED).fetchall() if versioned else []
    return exists, pending(steps, applied, f"{server.name}, schema {server.schema},")
