"""Brings a database to the present schema: all steps or none, under a backup, each step checksummed; a newer one is refused."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
from attrs import frozen

from fpa_core.engine.condensed import digest
from fpa_core.exceptions import SchemaError
from fpa_plugins.sqlite.connection import immediate

__all__ = ["APPLICATION_ID", "Migration", "known_migrations", "migrate"]

APPLICATION_ID = 0x46504131
"""Marks our files in their header: the letters FPA1."""


@frozen
class Migration:
    """One step: its number, its name, and its script."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, the same on systems that end lines differently."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()


def known_migrations() -> list[Migration]:
    """Return the steps this version knows, in order: the files ``NNNN_name.sql`` beside this module."""
    files = sorted(file.name for file in resources.files(__package__).iterdir() if file.name.endswith(".sql"))
    return [
        Migration(int(name[:4]), name[5:-4], resources.files(__package__).joinpath(name).read_text("utf-8"))
        for name in files
    ]


def migrate(connection: apsw.Connection, path: Path, migrations: Sequence[Migration] | None = None) -> Path | None:
    """Bring the database to the last of *migrations*; return the backup made on the way, if there was anything to back up.

    :raises SchemaError: when the file belongs to another program, comes from a newer version, or its past steps are not ours.
    """
    steps = known_migrations() if migrations is None else migrations
    if not _pending(connection, path, steps):
        return None
    with immediate(connection):
        # Another process may have been faster: look again now that nobody else can write.
        pending = _pending(connection, path, steps)
        backup = _back_up(path, pending[0].version - 1) if pending and pending[0].version > 1 else None
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.create_scalar_function("fpa_digest", digest, deterministic=True)  # step 4 asks for it
        for step in pending:
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
    latest = steps[-1].version
    if applied and applied[-1][0] > latest:
        raise SchemaError(
            f"{path} was written by a newer version of this program: its schema is {applied[-1][0]}, the newest known here is {latest}",
            hint="upgrade financial-portfolio-automation",
            path=str(path),
            operation="open",
        )
    for step, (version, name, checksum) in zip(steps, applied, strict=False):
        if (step.version, step.checksum) != (version, checksum):
            raise SchemaError(
                f"{path}: step {version} ({name}) of its schema is not the one this version knows",
                hint="the file was made by a changed version of this program; open it with that one",
                path=str(path),
                operation="open",
            )
    return list(steps[len(applied) :])


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
