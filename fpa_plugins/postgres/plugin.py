"""Offers the store ``postgres``; the driver is imported when a database is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fpa_core.exceptions import ConfigError, MissingDependencyError
from fpa_core.hookspecs import RegisterStore, hookimpl
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
        from fpa_plugins.postgres.database import missing_schema
    return missing_schema(options)


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    """Import what needs the driver.

    :raises MissingDependencyError: if it is not installed.
    """
    try:
        yield
    except ImportError as error:
        # psycopg raises ImportError itself if it finds no libpq.
        if error.name not in {"psycopg", "psycopg.pq", "pyarrow", "numpy"} and "libpq" not in str(error):
            raise
        raise MissingDependencyError(
            "the store 'postgres' needs the package psycopg, which is not installed or finds no libpq",
            plugin="postgres",
            package="psycopg",
            command="pip install 'financial-portfolio-automation[postgres]'",
        ) from error


@hookimpl
def fpa_register_stores(register: RegisterStore) -> None:
    """Offer PostgreSQL."""
    register("postgres", open_store, PostgresOptions, missing=missing)
