"""The PostgreSQL store against the contracts of every store, and against what only a server can do to it."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("psycopg")

import psycopg
from postgres_server import PASSWORD, Server, UnavailableError, running

import fpa_core
from fpa_core.engine.sql.migrations import Migration
from fpa_core.exceptions import DatabaseBusyError, DatabaseError, SchemaError
from fpa_core.kinds import KINDS
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined, QuarantineQuery, StoreBackend
from fpa_core.protocols.patterns import compiled
from fpa_core.store import DataStore
from fpa_plugins.postgres.database import PostgresSession
from fpa_plugins.postgres.migrations.runner import known_migrations, migrate
from fpa_plugins.postgres.plugin import PostgresOptions, open_store
from fpa_plugins.postgres.texts import encode

EMPTY = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '{0}' AND tablename <> 'schema_versions' LOOP EXECUTE format('DELETE FROM {0}.%I', t); END LOOP; END $$"


class Opener:
    """Opens stores as SQLite's tests ask for them: a schema for each path, emptied and used again once the path is gone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.schemas: dict[Path, str] = {}

    def schema(self, path: Path) -> str:
        for old in [old for old in self.schemas if path not in self.schemas and not old.parent.exists()]:
            with self.connection() as admin:
                admin.execute(EMPTY.format(self.schemas[old]))
            self.schemas[path] = self.schemas.pop(old)
        return self.schemas.setdefault(path, f"s{len(self.schemas)}")

    def connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.dsn(), autocommit=True)

    def options(self, path: Path, **options: Any) -> PostgresOptions:
        return PostgresOptions(dsn=self.server.dsn(), schema=self.schema(path), **options)

    def __call__(self, asked: Any) -> StoreBackend:
        names = ("synchronous", "busy_timeout", "seal_rows", "read_cache")
        return open_store(self.options(asked.path, **{name: getattr(asked, name) for name in names}))


@pytest.fixture(scope="session")
def opener() -> Iterator[Opener]:
    """Start a server; a laptop without the wheel goes without it, CI does not."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running())
        except UnavailableError as problem:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(problem))
        yield Opener(server)


@pytest.fixture
def options(opener: Opener) -> Iterator[PostgresOptions]:
    """Return the options of an empty schema."""
    with TemporaryDirectory() as folder:
        yield opener.options(Path(folder) / "test.db")


@pytest.fixture
def backend(options: PostgresOptions) -> Iterator[StoreBackend]:
    """Open an empty schema."""
    opened = open_store(options)
    yield opened
    opened.close()


@pytest.fixture(scope="module", autouse=True)
def _borrowed(opener: Opener) -> None:
    """Let the suites of SQLite open schemas of the server."""
    for suite in SUITES:
        suite.open_store = opener  # type: ignore[attr-defined]


def suite_of(name: str) -> ModuleType:
    """Load a copy of a module of tests."""
    spec = importlib.util.spec_from_file_location(f"{name}_on_postgres", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


OF_SQLITE = {
    "test_describe", "test_no_room_is_a_typed_error", "test_every_connection_has_its_settings", "test_files_are_private", "test_links_are_refused",
    "test_folder_is_refused", "test_unreachable_path", "test_not_a_database", "test_damage_is_reported", "test_other_engine_errors_are_ours_too",
    "test_damaged_segment_is_named", "test_swapped_segments_are_found",
}  # fmt: skip
SUITES = [suite_of(name) for name in ("test_sqlite_store", "test_sqlite_latest")]
FIXTURES = {"_layout", "save", "make"}
for name, member in itertools.chain(*(vars(suite).items() for suite in SUITES)):
    if name in FIXTURES or (name.startswith("test_") and name not in OF_SQLITE):
        globals()[name] = member
