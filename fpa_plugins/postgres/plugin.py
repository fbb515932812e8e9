"""Offers the store ``postgres``; the driver is imported when a database is opened."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from fpa_core.exceptions import ConfigError
from fpa_core.hookspecs import RegisterStore, hookimpl
from fpa_core.packages import needs
from fpa_plugins.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from fpa_core.protocols import StoreBackend

__all__ = ["PostgresOptions"]


def open_store(options: PostgresOptions) -> StoreBackend:
    """Open, and if need be create or migrate, the schema of *options*.

    :raises ConfigError: if it would read from a replica what it writes.
    """
    if options.read_from == "replica" and not options.read_only:
        raise ConfigError(
            'read_from = "replica" in [store] needs read_only = true: a replica may not have yet what a write has to know',
            hint="give the programs that only read an environment of their own, [env.NAME.store], with both keys",
        )
    with _driver():
        from fpa_core.engine.store import EngineStore
        from fpa_plugins.postgres.database import PostgresDatabase
    return EngineStore(PostgresDatabase(options), seal_rows=options.seal_rows, read_cache=options.read_cache)


def missing(options: PostgresOptions) -> str | None:
    """Return where the schema would be if there is none, or it is empty."""
    with _driver():
        from fpa_plugins.postgres.connection import Pool
        from fpa_plugins.postgres.migrations import missing_schema
    with contextlib.closing(Pool(options)) as pool, pool.server.translated("open"):
        return missing_schema(pool)


def _driver() -> AbstractContextManager[None]:
    """Import what needs the driver."""
    return needs("psycopg", "the store 'postgres'", extra="postgres", library="libpq", plugin="postgres")


@hookimpl
def fpa_register_stores(register: RegisterStore) -> None:
    """Offer PostgreSQL."""
    register("postgres", open_store, PostgresOptions, missing=missing)
