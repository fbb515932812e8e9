"""Roles of a server: who may only read, and who may write but change no tables; and what `fpa store grant` refuses."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

import psycopg
from click.testing import CliRunner, Result
from docpages import ROOT, blocks
from full_store import fill
from postgres_server import Server

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.operations import Operations
from fpa_core.operations.check import check
from fpa_core.store import DataStore
from fpa_plugins.postgres.plugin import PostgresOptions, open_store

PAGE = ROOT / "docs" / "how-to" / "use-postgresql.md"
ROLES = ("fpa_read", "fpa_write")


@pytest.fixture
def admin(postgres_server: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Make a store in the schema `fpa`; return the superuser's connection, and leave neither schema nor roles behind."""
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute("DROP SCHEMA IF EXISTS fpa CASCADE")
        with DataStore(open_store(PostgresOptions(dsn=postgres_server.dsn()))) as store:
            fill(store)
        try:
            yield admin
        finally:
            admin.execute("DROP SCHEMA fpa CASCADE")
            made = admin.execute(
                "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'fpa'"
            ).fetchall()
            for (role,) in made:
                admin.execute(f"DROP OWNED BY {role}")
                admin.execute(f"DROP ROLE {role}")


@contextlib.contextmanager
def operations(dsn: str) -> Iterator[Operations]:
    """Open what operates the store."""
    with fpa_core.open(config={"store": {"backend": "postgres", "dsn": dsn, "listen": False}}) as data:
        yield data.operations


def dsn_of(server: Server, user: str) -> str:
    return f"host=127.0.0.1 port={server.port} dbname=postgres password=word user={user}"


@pytest.fixture
def logins(admin: psycopg.Connection[tuple[object, ...]], postgres_server: Server) -> dict[str, PostgresOptions]:
    """Make two roles, and a login of each; return how each opens the store."""
    with operations(postgres_server.dsn()) as of_owner:
        for role in ROLES:
            of_owner.grant(role, write=role == "fpa_write")
    for role in ROLES:
        admin.execute(f"CREATE ROLE {role}_login LOGIN PASSWORD 'word' IN ROLE {role}")
    options = {role: PostgresOptions(dsn=dsn_of(postgres_server, f"{role}_login")) for role in ROLES}
    return options | {"owner": PostgresOptions(dsn=postgres_server.dsn())}


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


def test_a_role_gets_what_is_asked_for_and_no_more(
    logins: dict[str, PostgresOptions], admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Granting again changes nothing, and the other way round replaces what was granted; tables that are made later count, too."""
    owner, saving = str(logins["owner"].dsn), Quote("NEW", Instant(1), 1, 2)

    def rights() -> list[tuple[object, ...]]:
        acl = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'fpa'::regnamespace AND relkind IN ('r', 'S')"
        default = "SELECT defaclobjtype::text, defaclacl::text FROM pg_default_acl"
        return sorted([*admin.execute(acl).fetchall(), *admin.execute(default).fetchall()])  # type: ignore[type-var]

    before = rights()
    with operations(owner) as of_owner:
        assert not any("CREATE ROLE" in one for one in of_owner.grant("fpa_write", write=True))
        assert before == rights()
        of_owner.grant("fpa_write", write=False)
        with (
            DataStore(open_store(logins["fpa_write"])) as store,
            pytest.raises(DatabaseError, match="permission denied"),
        ):
            store.save(saving)
        of_owner.grant("fpa_write", write=True)
        with DataStore(open_store(logins["fpa_write"])) as store:
            assert 1 == store.save(saving).inserted
        assert {"grant"} == {entry.action for entry in list(of_owner.audit_log())[-4:-1]}
    admin.execute("CREATE TABLE fpa.later (x int)")
    with psycopg.connect(str(logins["fpa_read"].dsn), autocommit=True) as login:
        assert [] == login.execute("SELECT * FROM fpa.later").fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute("DELETE FROM fpa.later")
    with psycopg.connect(str(logins["fpa_write"].dsn), autocommit=True) as login:
        login.execute("INSERT INTO fpa.later VALUES (1)")


def test_what_a_grant_refuses(postgres_server: Server, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """A role that could do more or less in the end is refused, and so is who may not grant; then nothing is changed."""
    with operations(postgres_server.dsn()) as of_owner:
        of_owner.grant("fpa_write", write=True)
        admin.execute("CREATE ROLE member LOGIN PASSWORD 'word' IN ROLE fpa_write")
        with pytest.raises(DatabaseError, match="member could still write: it is a member of fpa_write"):
            of_owner.grant("member", write=False)
        with pytest.raises(DatabaseError, match="fpa owns the schema fpa or is a superuser"):
            of_owner.grant("fpa", write=False)
        with pytest.raises(DatabaseError, match="reserved"):
            of_owner.grant("public", write=True)
        for name in ("", "x" * 64, "\N{EURO SIGN}" * 22, "a\0b"):
            with pytest.raises(DataError, match="a name of 1 to 63 bytes"):
                of_owner.grant(name, write=False)
        strange = "strange \"role'; DROP"
        of_owner.grant(strange, write=False)
        assert [(1,)] == admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [strange]).fetchall()
        admin.execute("GRANT INSERT ON fpa.quotes TO public")
        with pytest.raises(DatabaseError, match="somebody else granted it, or everybody, more"):
            of_owner.grant("fresh", write=False)
        assert [] == admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'fresh'").fetchall()
    with (
        operations(dsn_of(postgres_server, "member")) as of_member,
        pytest.raises(DatabaseError, match="the schema fpa belongs to fpa, and only it"),
    ):
        of_member.grant("fresh", write=False)
    admin.execute("CREATE ROLE creator LOGIN PASSWORD 'word' IN ROLE fpa_write")
    admin.execute("ALTER SCHEMA fpa OWNER TO creator")
    with (
        operations(dsn_of(postgres_server, "creator")) as of_creator,
        pytest.raises(DatabaseError, match="permission denied"),
    ):
        of_creator.grant("fresh", write=False)
    admin.execute("CREATE ROLE fresh")
    with (
        operations(dsn_of(postgres_server, "creator")) as of_creator,
        pytest.raises(
            DatabaseError, match="fresh did not get all rights: some tables of the schema fpa belong to others"
        ),
    ):
        of_creator.grant("fresh", write=False)


def test_the_command(postgres_server: Server, admin: psycopg.Connection[tuple[object, ...]], tmp_path: Path) -> None:
    """`--plan` prints what the page shows and changes nothing; without it the same is run; other stores have no roles."""
    config = tmp_path / "fpa.toml"
    config.write_text(f'[store]\nbackend = "postgres"\ndsn = {json.dumps(postgres_server.dsn())}\n')
    config.chmod(0o600)
    (page,) = (block.body for block in blocks(PAGE) if block.language == "sql")

    def grant(*options: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(config), "store", "grant", "fpa_read", *options])

    assert page.strip() == grant("--read-only", "--plan").stdout.strip()
    assert [] == admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'fpa_read'").fetchall()
    done = grant("--read-only")
    assert (page.strip(), "fpa_read may only read now") == (done.stdout.strip(), done.stderr.strip())
    told = json.loads(grant("--read-write", "--plan", "--json").stdout)
    assert {"role": "fpa_read", "write": True, "planned": True} == told["summary"]
    assert not any("CREATE ROLE" in one["statement"] for one in told["results"])
    assert 2 == grant().exit_code
    migrated = CliRunner().invoke(cli, ["--config", str(config), "store", "migrate", "--json"])
    (schema,) = json.loads(migrated.stdout)["results"]
    assert schema["version"] == schema["latest"] > 0
    assert [] == schema["steps"]
    with fpa_core.open(":memory:") as data, pytest.raises(DatabaseError, match="the store 'memory' has no roles"):
        data.operations.grant_plan("fpa_read", write=False)
