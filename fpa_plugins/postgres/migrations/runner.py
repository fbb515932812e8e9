"""Brings a schema to the present: all steps or none, each checksummed; a newer one is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from fpa_core.engine.sql.migrations import Migration, migrations_in, pending, version_before
from fpa_core.exceptions import DatabaseError, SchemaError
from fpa_plugins.postgres.connection import Connection, Pool

__all__ = ["has_tables", "known_migrations", "migrate"]

Note: TypeAlias = Callable[[Connection, int, int], object]

_STATE = b"""
SELECT current_setting('server_encoding'), to_regnamespace(quote_ident($1)) IS NOT NULL, to_regclass('schema_versions') IS NOT NULL,
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1)))
"""
_APPLIED = b"SELECT version, name, checksum FROM schema_versions ORDER BY version"


def known_migrations() -> list[Migration]:
    """Return the steps this version knows, in order."""
    return migrations_in(__package__)


def has_tables(pool: Pool) -> bool:
    """Return whether the schema has been made, of whatever version it is."""
    with pool.lend(_STATE, [pool.schema]) as (_, cursor):
        _, _, _, used = cursor.fetchone() or (None, None, None, False)
        return bool(used)


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
    with pool.lend(_STATE, [pool.schema]) as (connection, cursor):
        exists, left = _pending(pool, connection, cursor.fetchone(), steps)
    if not left:
        return
    if pool.read_only:
        raise SchemaError(
            f"{pool.server}: the schema {pool.schema} has version {version_before(steps, left)}, and reading it needs {steps[-1].version}",
            hint="open it once without read_only, which brings it up to date",
            path=pool.server,
            operation="open",
        )
    with pool.writer(numbered=False) as (connection, _):
        # Another process may have been faster: look again now that nobody else can write.
        exists, left = _pending(pool, connection, connection.execute(_STATE, [pool.schema]).fetchone(), steps)
        if not exists:
            connection.execute(f'CREATE SCHEMA "{pool.schema}"'.encode())
        for step in left:
            connection.execute(step.sql.encode(), prepare=False)
            connection.execute(
                b"INSERT INTO schema_versions (version, name, checksum, applied_ns) VALUES ($1, $2, $3, $4)",
                [step.version, step.name, step.checksum, time.time_ns()],
            )
        if left:
            note(connection, version_before(steps, left), left[-1].version)


def _pending(pool: Pool, connection: Any, state: Any, steps: Sequence[Migration]) -> tuple[bool, list[Migration]]:
    """Return whether the schema exists, and the steps that were not taken yet."""
    encoding, exists, versioned, used = state
    if encoding != "UTF8":
        raise DatabaseError(
            f"{pool.server}: the database has the encoding {encoding}, which cannot hold every text",
            hint="make one with ENCODING 'UTF8'",
            path=pool.server,
            operation="open",
        )
    if used and not versioned:
        raise SchemaError(
            f"{pool.server}: the schema {pool.schema} has tables of another program",
            hint="give another schema in [store]",
            path=pool.server,
            operation="open",
        )
    applied = connection.execute(_APPLIED).fetchall() if versioned else []
    return exists, pending(steps, applied, f"{pool.server}, schema {pool.schema},")
