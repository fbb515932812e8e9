"""Brings a database to the present schema: all steps or none, under a backup, each step checksummed; a newer one is refused."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from fpa_core.engine.condensed import digest
from fpa_core.engine.sql.migrations import Migration, migrations_in, pending, version_before
from fpa_core.exceptions import SchemaError
from fpa_plugins.sqlite.session import immediate

__all__ = [
    "APPLICATION_ID",
    "Migration",
    "check_current",
    "known_migrations",
    "migrate",
    "pending_steps",
    "take",
]

BackUp: TypeAlias = Callable[[int], Path]
Note: TypeAlias = Callable[[apsw.Connection, int, Path | None], object]

APPLICATION_ID = 0x46504131
"""Marks our files in their header: the letters FPA1."""


def known_migrations() -> list[Migration]:
    """Return the steps this version knows, in order."""
    return migrations_in(__package__)


def migrate(
    connection: apsw.Connection,
    path: Path,
    migrations: Sequence[Migration] | None = None,
    *,
    back_up: BackUp,
    note: Note = lambda _connection, _version, _backup: None,
) -> Path | None:
    """Bring the database to the last of *migrations*; return the backup made on the way, if there was anything to back up.

    :param back_up: called with the version before, unless the database is new; nobody else migrates meanwhile.
    :param note: called in the transaction, with the version before and the backup, to record what was done.
    :raises SchemaError: when the file belongs to another program, comes from a newer version, or its past steps are not ours.
    :raises CorruptionError: when it is damaged: a migration would spread the damage.
    """
    steps = known_migrations() if migrations is None else migrations
    if not pending_steps(connection, path, steps):
        return None
    with immediate(connection):
        # Another process may have been faster: look again now that nobody else can write.
        left = pending_steps(connection, path, steps)
        version = version_before(steps, left)
        backup = back_up(version) if left and version else None
        take(connection, left)
        if left:
            note(connection, version, backup)
    return backup


def take(connection: apsw.Connection, steps: Sequence[Migration]) -> None:
    """Take steps, and note each of them."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.create_scalar_function("fpa_digest", digest, deterministic=True)  # step 4 asks for it
    for step in steps:
        connection.execute(step.sql)
        connection.execute(
            "INSERT INTO schema_versions (version, name, checksum, applied_ns) VALUES (?, ?, ?, ?)",
            (step.version, step.name, step.checksum, time.time_ns()),
        )
        connection.execute(f"PRAGMA user_version = {step.version}")


def check_current(connection: apsw.Connection, path: Path) -> None:
    """Check that a database that may not be changed has the present schema.

    :raises SchemaError: if it has another one.
    """
    steps = known_migrations()
    if left := pending_steps(connection, path, steps):
        raise SchemaError(
            f"{path}: its schema is {version_before(steps, left)}, and reading it needs {steps[-1].version}",
            hint="`fpa store migrate` brings it up to date, under a backup",
            path=str(path),
            operation="open",
        )


def pending_steps(connection: apsw.Connection, path: Path, steps: Sequence[Migration]) -> list[Migration]:
    """Return the steps that a database has not taken yet.

    :raises SchemaError: when the file belongs to another program, comes from a newer version, or its past steps are not ours.
    """
    with _one_state(connection):
        ours = connection.pragma("application_id") == APPLICATION_ID
        if not ours and connection.execute("SELECT count(*) FROM sqlite_master").get:
            raise SchemaError(
                f"{path} is an SQLite database of another program",
                hint="give another path in [store]",
                path=str(path),
                operation="open",
            )
        exists = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'schema_versions'").get
        past = "SELECT version, name, checksum FROM schema_versions ORDER BY version"
        applied: list[Any] = connection.execute(past).fetchall() if exists else []
    return pending(steps, applied, str(path))


@contextlib.contextmanager
def _one_state(connection: apsw.Connection) -> Iterator[None]:
    """Read one state of the database, whoever migrates it meanwhile: the present transaction, or one for this."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
