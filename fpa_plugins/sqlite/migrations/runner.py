"""Brings a database to the present schema: all steps or none, under a backup, each step checksummed; a newer one is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from fpa_core.engine.condensed import digest
from fpa_core.engine.sql.migrations import Migration, migrations_in, pending
from fpa_core.exceptions import SchemaError
from fpa_plugins.sqlite.connection import immediate

__all__ = ["APPLICATION_ID", "Migration", "known_migrations", "migrate"]

APPLICATION_ID = 0x46504131
"""Marks our files in their header: the letters FPA1."""


def known_migrations() -> list[Migration]:
    """Return the steps this version knows, in order."""
    return migrations_in(__package__)


def migrate(connection: apsw.Connection, path: Path, migrations: Sequence[Migration] | None = None) -> Path | None:
    """Bring the database to the last of *migrations*; return the backup made on the way, if there was anything to back up.

    :raises SchemaError: when the file belongs to another program, comes from a newer version, or its past steps are not ours.
    """
    steps = known_migrations() if migrations is None else migrations
    if not _pending(connection, path, steps):
        return None
    with immediate(connection):
        # Another process may have been faster: look again now that nobody else can write.
        left = _pending(connection, path, steps)
        backup = _back_up(path, left[0].version - 1) if left and left[0].version > 1 else None
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.create_scalar_function("fpa_digest", digest, deterministic=True)  # step 4 asks for it
        for step in left:
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO schema_versions (version, name, checksum, applied_ns) VALUES (?, ?, ?, ?)",
                (step.version, step.name, step.checksum, time.time_ns()),
            )
            connection.execute(f"PRAGMA user_version = {step.version}")
    return backup


def _pending(connection: apsw.Connection, path: Path, steps: Sequence[Migration]) -> list[Migration]:
    ours = connection.pragma("application_id") == APPLICATION_ID
    if not ours and connection.execute("SELECT count(*) FROM sqlite_master").get:
        raise SchemaError(
            f"{path} is an SQLite database of another program",
            hint="give another path in [store]",
            path=str(path),
            operation="open",
        )
    exists = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'schema_versions'").get
    applied: list[Any] = []
    if exists:
        applied = connection.execute("SELECT version, name, checksum FROM schema_versions ORDER BY version").fetchall()
    return pending(steps, applied, str(path))


def _back_up(path: Path, version: int) -> Path:
    """Copy the database, by a connection of its own, as it is before the migration."""
    target = path.with_name(f"{path.name}.v{version}-{time.strftime('%Y%m%dT%H%M%S')}.bak")
    target.touch(mode=0o600, exist_ok=False)
    source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    copy = apsw.Connection(str(target))
    try:
        with copy.backup("main", source, "main") as backup:
            backup.step()
    finally:
        copy.close(True)
        source.close(True)
    return target
