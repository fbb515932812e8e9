"""The roles of the how-to "Use PostgreSQL": who may only read, and who may write but change no tables."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

import psycopg
from docpages import ROOT, blocks
from full_store import fill
from postgres_server import Server

from fpa_core.exceptions import DatabaseError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.store import DataStore
from fpa_plugins.postgres.plugin import PostgresOptions, open_store

PAGE = ROOT / "docs" / "how-to" / "use-postgresql.md"
ROLES = ("fpa_read", "fpa_write")


@pytest.fixture
def logins(postgres_server: Server) -> Iterator[dict[str, PostgresOptions]]:
    """Make a store in the schema `fpa`, the roles of the page, and a login of each; return how each opens it."""
    owner = PostgresOptions(dsn=postgres_server.dsn())
    (ddl,) = (block.body for block in blocks(PAGE) if block.language == "sql")
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute("DROP SCHEMA IF EXISTS fpa CASCADE")
        with DataStore(open_store(owner)) as store:
            fill(store)
        admin.execute(ddl)
        try:
            for role in ROLES:
                admin.execute(f"CREATE ROLE {role}_login LOGIN PASSWORD 'word' IN ROLE {role}")
            plain = f"host=127.0.0.1 port={postgres_server.port} dbname=postgres password=word"
            yield {role: PostgresOptions(dsn=f"{plain} user={role}_login") for role in ROLES} | {"owner": owner}
        finally:
            for role in ROLES:
                admin.execute(f"DROP ROLE IF EXISTS {role}_login")
                admin.execute(f"DROP OWNED BY {role}")
                admin.execute(f"DROP ROLE {role}")
            admin.execute("DROP SCHEMA fpa CASCADE")


def test_a_role_that_reads_cannot_write(logins: dict[str, PostgresOptions]) -> None:
    """The role for reading answers every question, and the server refuses whatever it would change."""
    with DataStore(open_store(logins["owner"])) as owned, DataStore(open_store(logins["fpa_read"])) as store:
        for kind in ("quotes", "trades", "bars", "orders"):
            assert owned.select(kind).to_list() == store.select(kind).to_list() != []
        assert len(owned.batches()) == len(store.batches())
        assert [] == [one for one in check(store.backend.database).problems if one.check != "page"]  # type: ignore[attr-defined]
        for write in (
            lambda: store.save(Quote("A", Instant(1), 1, 2)),
            lambda: store.delete(store.select("quotes")),
            lambda: store.undo(1),
            store.stream,
        ):
            with pytest.raises(DatabaseError, match="permission denied"):
                write()


def test_a_role_that_writes_needs_no_ownership(logins: dict[str, PostgresOptions]) -> None:
    """The role for writing saves, streams, seals, deletes and undoes, and cannot drop a table."""
    with DataStore(open_store(logins["fpa_write"])) as store:
        saved = store.save([Quote("NEW", Instant(number), 1, 2) for number in range(10)])
        with store.stream() as stream:
            assert "stored" == stream.write(Quote("NEW", Instant(20), 1, 2)).result(20)
        assert store.seal().rows >= 11
        store.delete(store.select("quotes", "NEW", limit=1))
        store.undo(saved.batch)
        assert [20] == [quote.ts_ns for quote in store.get_quotes("NEW")]
    with psycopg.connect(str(logins["fpa_write"].dsn)) as login, pytest.raises(psycopg.Error, match="must be owner"):
        login.execute("DROP TABLE fpa.quotes")
