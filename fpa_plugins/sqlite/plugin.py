"""Offers the store ``sqlite``; the driver is imported when a database is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fpa_core.hookspecs import RegisterStore, hookimpl
from fpa_core.packages import needs
from fpa_plugins.sqlite.options import SqliteOptions

if TYPE_CHECKING:
    from fpa_core.protocols import StoreBackend, StoreFile

__all__ = ["SqliteOptions"]


def open_store(options: SqliteOptions) -> StoreBackend:
    """Open, and if need be create or migrate, the database of *options*."""
    user = "the store 'sqlite'"
    with (
        needs("apsw-sqlite3mc", user, modules={"apsw"}, plugin="sqlite"),
        needs("pyarrow", user, plugin="sqlite"),
        needs("numpy", user, plugin="sqlite"),
    ):
        from fpa_core.engine.store import EngineStore
        from fpa_plugins.sqlite.database import SqliteDatabase
        from fpa_plugins.sqlite.files.encryption import key_of
    database = SqliteDatabase(
        options.path,
        synchronous=options.synchronous,
        busy_timeout=options.busy_timeout,
        read_only=options.read_only,
        key=key_of(options),
    )
    return EngineStore(database, seal_rows=options.seal_rows, read_cache=options.read_cache)


def store_file(options: SqliteOptions) -> StoreFile:
    """Return the file of *options*, which need not be there."""
    from fpa_plugins.sqlite.files.store_file import SqliteFile

    return SqliteFile(options, open_store)


def missing(options: SqliteOptions) -> str | None:
    """Return where the database would be if there is none."""
    # Also of a name that is too long to exist, which pathlib would not take.
    return None if os.path.exists(options.path.expanduser()) else str(options.path)  # noqa: PTH110


@hookimpl
def fpa_register_stores(register: RegisterStore) -> None:
    """Offer SQLite."""
    register("sqlite", open_store, SqliteOptions, store_file, missing)
