"""The PostgreSQL store against the contracts of every store, and against what only a server can do to it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

import psycopg
from full_store import fill
from postgres_server import PASSWORD, Schemas, Server, connections_kept
from sqlite_layouts import laid_out

import fpa_core
from fpa_core import export
from fpa_core import open as open_layer
from fpa_core.arrow.batches import to_scaled
from fpa_core.arrow.conversion import to_table
from fpa_core.engine.segment_writer import PendingSegment
from fpa_core.engine.sql.migrations import Migration
from fpa_core.exceptions import DatabaseBusyError, DatabaseError, DataError, MissingDependencyError, SchemaError
from fpa_core.kinds import KINDS, QUOTES
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.patterns import compiled
from fpa_core.protocols import Quarantined, StoreBackend
from fpa_core.segments.writer import encode_segment
from fpa_core.store import DataStore
from fpa_core.testing import StoreContract
from fpa_core.testing.store.base import StoreFactory
from fpa_plugins.postgres.connection import Pool
from fpa_plugins.postgres.migrations.runner import known_migrations, migrate
from fpa_plugins.postgres.plugin import PostgresOptions, open_store
from fpa_plugins.postgres.session import PostgresSession
from fpa_plugins.postgres.texts import encode


@pytest.fixture(scope="session")
def schemas(postgres_server: Server) -> Iterator[Schemas]:
    """Return the schemas of the server."""
    with contextlib.closing(Schemas(postgres_server)) as schemas:
        yield schemas


@pytest.fixture(scope="class")
def connections() -> Iterator[None]:
    """Keep the connections of closed stores for the next ones."""
    with connections_kept():
        yield


@pytest.mark.usefixtures("connections")
class TestPostgresStore(StoreContract):
    @pytest.fixture(params=["mixed"])  # all sorts of rows, and so all statements
    def layout(self, request: pytest.FixtureRequest) -> Iterator[str]:
        with laid_out(request.param) as layout:
            yield layout

    @pytest.fixture
    def store_factory(self, schemas: Schemas) -> StoreFactory:
        return lambda name: partial(open_store, schemas.options(name))


@pytest.fixture
def options(schemas: Schemas) -> PostgresOptions:
    """Return the options of an empty schema."""
    return schemas.options("own")


@pytest.fixture
def backend(options: PostgresOptions) -> Iterator[StoreBackend]:
    """Open an empty schema."""
    opened = open_store(options)
    yield opened
    opened.close()


# What only a server does


def test_describe(store: DataStore, backend: StoreBackend) -> None:
    """The store tells what it is, and no password."""
    store.save([Quote("A", Instant(1), 1, 2), Bar("A", Instant(1), 1, 1, 1, 1, 1, "1m")])
    told = backend.describe()
    assert ("postgres", known_migrations()[-1].version, 1, 1) == (
        told.backend,
        told.schema,
        told.kinds["quotes"].rows,
        told.kinds["bars"].hot,
    )
    assert told.engine.startswith("PostgreSQL ")
    assert (told.bytes or 0) > 10_000
    assert "postgresql://127.0.0.1:" in str(told.path)
    assert PASSWORD not in repr(told)


def test_texts_are_kept_whole(store: DataStore) -> None:
    """NUL, which PostgreSQL cannot hold, and the characters that stand for it come back from the quarantine and from batches."""
    text = "a\0b\1c\2d\3e\4\\'\"%_{},é\U0001f600\n"
    record = Quarantined("quotes", f"S{text}", 5, 3, text, ({"rule": text, "message": text},), cells={text: text})
    with store.batch(origin=text, file=text) as batch:
        batch.quarantine([record])
    with store.batch(origin="again") as again:
        assert [] == again.quarantine([record])
    (found,) = store.quarantined()
    assert (record.subject, record.raw, record.findings, record.cells) == (
        found.subject, found.raw, found.findings, found.cells,
    )  # fmt: skip
    assert [(text, text)] == [(one.origin, one.file) for one in store.batches() if one.id == batch.id]
    assert [] == store.get_quotes("A\0")


@pytest.fixture(scope="module")
def session(schemas: Schemas) -> Iterator[PostgresSession]:
    """Connect to no schema at all."""
    with psycopg.connect(schemas.server.dsn(), autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        yield PostgresSession(connection, {})


@given(st.lists(st.text("\0\1\2\3\4aé", max_size=5), max_size=6), st.text("\0\1\2\3a*?\\", max_size=4))
def test_patterns_and_order_of_any_text(session: PostgresSession, texts: list[str], pattern: str) -> None:
    """Texts are found by a pattern and come in order as in Python, whatever characters they have."""
    try:
        expected = [text for text in texts if compiled(pattern).fullmatch(text)]
    except DataError:
        return  # it ends in a backslash
    assert sorted(texts) == sorted(texts, key=encode)
    head, parameters = session.wanted([(text, None, None, None, None) for text in texts])
    condition, bound = session.matches('a COLLATE "C"', pattern)
    found = session.query(f"{head}SELECT a FROM wanted WHERE {condition} ORDER BY n", [*parameters, *bound])
    assert expected == [text for (text,) in found]


def test_wanted_relations(backend: StoreBackend) -> None:
    """A relation has its rows in order, nulls included, and may be empty."""
    rows = [("a", None, 1, None, None), (None, '"\\,{}', None, -(2**63), None), ("NULL", "", 2**63 - 1, 0, None)]
    with backend.database.reader("ask") as tables:  # type: ignore[attr-defined]
        session = tables.rows._session
        for asked in (rows, [], [(None,) * 5] * 2):
            head, parameters = session.wanted(asked)
            found = session.query(f"{head}SELECT n, a, b, x, y, z FROM wanted ORDER BY n", parameters)
            assert [(n, *row) for n, row in enumerate(asked)] == found


def test_a_lost_connection_is_told_and_replaced(schemas: Schemas, options: PostgresOptions) -> None:
    """Sessions that the server ends give a typed error in the middle of a batch or a read, none when idle, and the next call works."""
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fpa' AND pid <> pg_backend_pid()"
    quotes = [Quote("A", Instant(ts), 1, 2) for ts in range(20)]
    with DataStore(open_store(options)) as store, schemas.connection() as admin:
        store.save(quotes)
        with pytest.raises(DatabaseError, match="closed the connection"), store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, quotes[: len(admin.execute(kill).fetchall())]))
        database = store.backend.database  # type: ignore[attr-defined]
        with pytest.raises(DatabaseError, match="lost during the commit"), database.writer("write"):
            admin.execute(kill)
        assert 0 == store.save(quotes).inserted
        reading = iter(store.select(Quote).batches(2))
        next(reading)
        admin.execute(kill)
        with pytest.raises(DatabaseError, match="closed the connection"):
            list(reading)
        assert 20 == store.select(Quote).count()
        admin.execute(kill)
        assert (20, quotes[-1]) == (store.select(Quote).count(), store.latest("A", Quote))
        assert 1 == store.save(Quote("A", Instant(100), 1, 2)).inserted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "hunter2-wrong"}, "refused the login"),
        ({"port": 1}, "cannot be reached"),
    ],
    ids=["password", "port"],
)
def test_a_server_that_cannot_be_used(schemas: Schemas, change: dict[str, Any], message: str) -> None:
    """A wrong password or port is a typed error within seconds, which shows no password."""
    began = time.monotonic()
    with pytest.raises(DatabaseError, match=message) as caught:
        open_store(PostgresOptions(dsn=schemas.server.dsn(**change)))
    assert time.monotonic() - began < 4
    assert all(word not in f"{caught.value!r}{caught.value}{caught.value.__cause__}" for word in (PASSWORD, "hunter2"))


def test_the_driver_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the plugin still loads, and opening the store says what to install."""
    for name in [
        name
        for name in sys.modules
        if name.startswith(("psycopg", "fpa_plugins.postgres.")) and name != PostgresOptions.__module__
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_store(PostgresOptions())
    assert ("psycopg", "pip install 'financial-portfolio-automation[postgres]'") == (
        caught.value.package,
        caught.value.command,
    )


def test_a_dsn_that_cannot_be_read() -> None:
    """A DSN with a mistake is a typed error that shows nothing of it; nor do the options."""
    options = PostgresOptions(dsn="postgres//me:hunter2@host/db")
    with pytest.raises(DatabaseError, match="dsn") as caught:
        open_store(options)
    assert "hunter2" not in f"{caught.value!r}{caught.value}{caught.value.__cause__}{options!r}"
    assert caught.value.__suppress_context__


def test_a_statement_may_take_so_long(options: PostgresOptions) -> None:
    """A statement that takes too long is stopped with a typed error; waiting for another writer is not counted."""
    impatient = evolve(options, statement_timeout=0.2, busy_timeout=0.6)
    with DataStore(open_store(options)) as other, DataStore(open_store(impatient)) as store:
        tables = store.backend.database  # type: ignore[attr-defined]
        with pytest.raises(DatabaseError, match="took too long"), tables.reader("sleep") as reader:
            reader.rows._session.query("SELECT pg_sleep(5)")
        began = time.monotonic()
        with other.batch(), pytest.raises(DatabaseBusyError):
            store.save(Quote("A", Instant(1), 1, 2))
        assert 0.5 < time.monotonic() - began < 4
        store.save(Quote("A", Instant(1), 1, 2))


@pytest.mark.parametrize(("option", "level"), [("full", "on"), ("normal", "off")])
def test_every_connection_has_its_settings(options: PostgresOptions, option: Any, level: str) -> None:
    """Readers and the writer are as durable and as patient as was asked for."""
    with DataStore(open_store(evolve(options, synchronous=option))) as store:
        names = ("synchronous_commit", "lock_timeout", "statement_timeout", "search_path", "client_encoding")
        for lend in (store.backend.database.reader, store.backend.database.writer):  # type: ignore[attr-defined]
            with lend("ask") as tables:
                found = tables.rows._session.query(
                    f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"
                )
            assert [(level, "30s", "10min", f"{options.schema}, pg_temp", "UTF8")] == found


WRITE = """
import sys
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.store import DataStore
from fpa_core.testing import StoreContract
from fpa_core.testing.store.base import StoreFactory
from fpa_plugins.postgres.plugin import PostgresOptions, open_store
with DataStore(open_store(PostgresOptions(dsn=sys.argv[1], schema=sys.argv[2]))) as store:
    for start in range(int(sys.argv[3]), 100, 10):
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(start, start + 20)])
"""


def test_processes_write_at_once(schemas: Schemas, options: PostgresOptions) -> None:
    """Processes that write overlapping rows at once, a new schema included, leave each row once."""
    arguments = [sys.executable, "-c", WRITE, schemas.server.dsn(), options.schema]
    processes = [subprocess.Popen([*arguments, str(start)]) for start in (0, 5)]
    assert [0, 0] == [process.wait(60) for process in processes]
    with DataStore(open_store(options)) as store:
        assert list(range(115)) == [quote.ts_ns for quote in store.get_quotes("A")]
        assert 20 == len(store.batches())


def test_reading_only(schemas: Schemas, options: PostgresOptions) -> None:
    """A store opened for reading answers, writes nothing, and makes no schema."""
    with DataStore(open_store(options)) as store:
        store.save(Quote("A", Instant(1), 1, 2))
    with DataStore(open_store(evolve(options, read_only=True))) as store:
        assert [Quote("A", Instant(1), 1, 2)] == store.get_quotes()
        assert [] == [one for one in check(store.backend.database).problems if one.check != "page"]
        for write in (lambda: store.save(Quote("B", Instant(1), 1, 2)), lambda: store.undo(1), store.stream):
            with pytest.raises(DatabaseError, match="opened for reading only"):
                write()
    with pytest.raises(SchemaError, match="the schema nowhere has version 0"):
        open_store(evolve(options, schema="nowhere", read_only=True))
    with schemas.connection() as admin:
        assert [] == admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'nowhere'").fetchall()


def test_what_only_reads_makes_no_schema(schemas: Schemas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that needs a store, a comparison and plans say that there is none, instead of making its tables; validation finds nothing stored."""
    monkeypatch.chdir(tmp_path)
    there = {"backend": "postgres", "dsn": schemas.server.dsn(), "schema": "nowhere"}
    message = r"there is no database at postgresql://127.0.0.1:\d+/postgres \(schema nowhere\)"
    with open_layer(config={"store": there}, lazy=True) as data, open_layer(":memory:") as other:
        for ask in (
            data.require_database,
            lambda: data.operations.diff(other.operations),
            lambda: other.operations.diff(data.operations),
            data.operations.retention_plan,
            lambda: data.operations.grant_plan("somebody", write=False),
        ):
            with pytest.raises(DatabaseError, match=message):
                ask()
        assert data.validate([Bar("A", Instant(1), 1, 1, 1, 1, 1, "1m")]).is_valid
    with schemas.connection() as admin:
        assert [] == admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'nowhere'").fetchall()
        with open_layer(config={"store": there}) as data:
            data.store.save(Quote("A", Instant(1), 1, 2))
            data.require_database()
        with open_layer(config={"store": there}, lazy=True) as data:
            data.require_database()
        admin.execute("DROP SCHEMA nowhere CASCADE")


def test_a_damaged_segment_goes_to_the_backups(
    schemas: Schemas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair keeps the bytes of a damaged segment in the folder of backups, and makes no folder that is called as the server is."""
    monkeypatch.chdir(tmp_path)
    own = schemas.options("mended")
    config = {"store": {"backend": "postgres", "dsn": str(own.dsn), "schema": own.schema}, "backup": {"folder": "safe"}}
    with open_layer(config=config) as data:
        fill(data.store)
        with data.store.backend.database.writer("damage") as tables:  # type: ignore[attr-defined]
            tables.rows._session.run("UPDATE segment_contents SET content = substr(content, 1, 99)")
        report = data.operations.check(repair=True)
    mended = [problem for problem in report.problems if problem.repaired]
    kept = list((tmp_path / "safe" / "set-aside").iterdir())
    assert len(kept) == len(mended) > 0
    assert all(99 == file.stat().st_size for file in kept)
    assert all(any(str(file) in problem.problem for file in kept) for problem in mended)
    assert [tmp_path / "safe"] == list(tmp_path.iterdir())


def test_a_full_store_is_sound(options: PostgresOptions) -> None:
    """The check of a whole store finds nothing in a store with something of everything, and a row that is gone."""
    with DataStore(open_store(options)) as store:
        fill(store)
        database = store.backend.database  # type: ignore[attr-defined]
        report = check(database)
        assert () == report.errors
        assert (5_000, 40) == (report.checked["trades rows"], report.checked["rejected rows"])
        with database.writer("damage") as tables:
            tables.segments._session.run("DELETE FROM segment_contents")
        assert {"reference", "segment"} <= {problem.check for problem in check(database).errors}
        for refused in (database.space, database.compact, lambda: database.copy_to(Path("x"), lambda *_: None)):
            with pytest.raises(DatabaseError, match="'postgres' does not offer"):
                refused()


def test_audit_log_and_its_anchor(schemas: Schemas, tmp_path: Path) -> None:
    """A new schema begins its audit log; the anchor goes where the configuration says, and shows what is changed past the program."""
    own = schemas.options("audited")
    values = {"backend": "postgres", "dsn": str(own.dsn), "schema": own.schema}
    with schemas.connection() as admin:
        admin.execute("DROP SCHEMA IF EXISTS audited CASCADE")
        anchored = {"store": values, "audit": {"anchor": str(tmp_path / "the.anchor"), "key": "k" * 16}}
        with open_layer(config=anchored, lazy=True) as data:
            fill(data.store)
            log = list(data.operations.audit_log())
            assert ["create", "write"] == [entry.action for entry in log[:2]]
            report = data.operations.verify_audit_log()
            assert (len(log), None, ()) == (report.entries, report.first_bad, report.problems)
            admin.execute("DELETE FROM audited.audit_log WHERE seq > 5")
            assert 6 == data.operations.verify_audit_log().first_bad
            admin.execute("UPDATE audited.audit_log SET user_name = 'nobody' WHERE seq = 3")
            assert 3 == data.operations.verify_audit_log().first_bad
        with open_layer(config={"store": values}, lazy=True) as data:
            problems = data.operations.verify_audit_log().problems
            assert "no anchor outside the database" in problems[0].problem


NEXT = Migration(
    known_migrations()[-1].version + 1, "notes", "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('here')"
)


def test_migrations_are_all_or_nothing(schemas: Schemas) -> None:
    """A step that fails takes all with it; a newer schema, one with a changed step, and another program's are refused."""
    options = schemas.options("migrated")
    broken = Migration(NEXT.version, "broken", "CREATE TABLE notes (text text); INSERT INTO nowhere VALUES (1)")
    with schemas.connection() as admin, contextlib.closing(open_store(options)) as store:
        pool = store.database._pool  # type: ignore[attr-defined]
        with pytest.raises(psycopg.Error, match="nowhere"):
            migrate(pool, [*known_migrations(), broken])
        assert (None,) == admin.execute("SELECT to_regclass('migrated.notes')").fetchone()
        DataStore(open_store(options)).close()
        migrate(pool, [*known_migrations(), NEXT])
        migrate(pool, [*known_migrations(), NEXT])
        with pytest.raises(
            SchemaError, match=f"its schema is {NEXT.version}, the newest known here is {NEXT.version - 1}"
        ):
            open_store(options)
        admin.execute(f"DELETE FROM migrated.schema_versions WHERE version = {NEXT.version}")
        admin.execute("UPDATE migrated.schema_versions SET checksum = 'x'")
        with pytest.raises(SchemaError, match=r"step 1 \(initial\)"):
            open_store(options)
        admin.execute("DROP TABLE migrated.schema_versions")
        with pytest.raises(SchemaError, match="another program"):
            open_store(options)
        admin.execute("DROP SCHEMA migrated CASCADE")


@pytest.mark.parametrize("version", range(1, known_migrations()[-1].version))
def test_old_schema_holds_what_it_held(schemas: Schemas, version: int) -> None:
    """A schema of each past version is brought to the present; its sealed rows are read, checked, undone and restored."""
    options = schemas.options(f"version{version}")
    pool = Pool(options)
    migrate(pool, known_migrations()[:version])
    pool.close()
    rows = [Quote("A", Instant(ts), 1 + ts % 3, 9) for ts in range(50)]
    scaled = to_scaled(QUOTES, to_table(QUOTES, rows).combine_chunks().to_batches()[0])
    pending = PendingSegment(QUOTES, "A", scaled, np.ones(len(rows), np.int64))
    content = encode_segment(QUOTES, scaled, {"batch": pending.batches})
    info = pending.info(content)
    with schemas.connection() as admin:
        admin.execute(f"SET search_path TO {options.schema}")
        admin.execute("INSERT INTO batches (id, origin, recorded_ns, read, inserted) VALUES (1, 'api', 1000, 50, 50)")
        admin.execute(
            "INSERT INTO segments (id, kind, subject, first_ns, last_ns, rows, first_batch, last_batch, bytes, last_row, checksum) "
            "VALUES (1, 'quotes', 'A', 0, 49, 50, 1, 1, %s, %s, %s)",
            [info.bytes, info.last_row, info.checksum],
        )
        admin.execute("INSERT INTO segment_contents VALUES (1, %s)", [content])
    with DataStore(open_store(options)) as store:
        assert rows == store.get_quotes("A")
        undone = store.undo(1).batch
        assert [] == store.get_quotes("A")
        store.undo(undone)
        assert rows == store.get_quotes("A")
        assert rows == store.select(Quote, as_known_at=1000).to_list()
        assert [] == [one for one in check(store.backend.database).errors if one.check != "audit"]  # type: ignore[attr-defined]


def test_tables_are_those_of_the_kinds(schemas: Schemas, backend: StoreBackend, options: PostgresOptions) -> None:
    """Each kind has the columns of its definition, its key begins with the subject, and every text is ordered by code point."""
    types: dict[str, dict[str, str]] = {}
    for (table, column), found in backend.database._types.items():  # type: ignore[attr-defined]
        types.setdefault(table, {})[column] = found
    for kind in KINDS.values():
        columns = {column.field: "int8" if column.type in {"time", "integer"} else "text" for column in kind.columns}
        added = {"batch": "int8", "since": "int8"} | ({"seq": "int8"} if kind.multiset else {})
        assert columns | added == types[kind.name]
        assert columns | added | {"retired_by": "int8", "reason": "text"} == types[f"{kind.name}_history"]
        sql = f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = '{options.schema}.{kind.name}'::regclass"
        with schemas.connection() as admin:
            assert str(admin.execute(sql).fetchone()).startswith(f"('PRIMARY KEY ({kind.subject}, ")
    with schemas.connection() as admin:
        others = "SELECT count(*) FROM information_schema.columns WHERE table_schema = %s AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
        assert (0,) == admin.execute(others, [options.schema]).fetchone()


def statements_of(work: Callable[[], Any]) -> int:
    """Count what is sent to the server."""
    count = 0
    execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            return original(*arguments, **keywords)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counted(execute))
        patch.setattr(psycopg.Cursor, "copy", counted(copy))
        work()
    return count


def test_statements_do_not_grow_with_rows(store: DataStore) -> None:
    """Bars that come again unchanged, or changed, cost as many statements for many rows as for few."""
    counts = []
    for rows, symbol in ((100, "A"), (5_000, "B")):
        bars = [Bar(symbol, Instant(ts), 1, 1, 1, 1, 1, "1m") for ts in range(rows)]
        changed = [Bar(symbol, Instant(ts), 1, 1, 1, 1, 2, "1m") for ts in range(rows)]
        store.save(bars)
        counts.append([statements_of(lambda one=one: store.save(one)) for one in (bars, changed)])  # type: ignore[misc]
    assert counts[0] == counts[1]
    assert max(counts[0]) < 25


@pytest.mark.parametrize("most", [6_000, pytest.param(None, marks=pytest.mark.torture)])
def test_real_files_give_the_same_exports(
    schemas: Schemas, options: PostgresOptions, shared_data: Path, tmp_path: Path, most: int | None
) -> None:
    """The first rows of all real files, or all, ingested into PostgreSQL and into SQLite are exported byte for byte the same, and the same rows are quarantined."""
    paths = [path for path in sorted(shared_data.rglob("*.csv.gz")) if re.match("quotes|trades|bars", path.name)]
    files = [tmp_path / path.name.removesuffix(".gz") for path in paths]
    for path, file in zip(paths, files, strict=True):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            file.write_text("".join(itertools.islice(lines, most)), encoding="utf-8", newline="")
    results = []
    for backend in ("postgres", "sqlite"):
        own = (
            f'dsn = "{schemas.server.dsn()}"\nschema = "{options.schema}"' if backend == "postgres" else 'path = "a.db"'
        )
        (tmp_path / "fpa.toml").write_text(f'[store]\nbackend = "{backend}"\n{own}\n')
        exports = {}
        with fpa_core.open(tmp_path / "fpa.toml") as data:
            counts = [evolve(data.ingest(file), seconds=0) for file in files]
            for kind in KINDS:
                target = tmp_path / f"{kind}.csv"
                export.write(KINDS[kind], data.store.select(kind).batches(), target)
                exports[kind] = target.read_bytes()
        results.append((counts, exports))
    (here, ours), (there, theirs) = results
    assert here == there
    assert sum(map(len, ours.values())) > (10_000_000 if most is None else 4_000_000)
    assert ours == theirs


def test_copied_from_a_file_and_back(schemas: Schemas, tmp_path: Path) -> None:
    """A store in a file is copied to the server and from there to another file: all three are equal, and so are their exports, byte for byte."""
    schemas.options("copied")
    with (
        open_layer(tmp_path / "one.db") as one,
        open_layer(
            config={"store": {"backend": "postgres", "dsn": schemas.server.dsn(), "schema": "copied"}}
        ) as server,
        open_layer(tmp_path / "two.db") as two,
    ):
        fill(one.store)
        with one.store.batch(origin="odd\0\1") as batch:  # the server has no NUL
            finding = {"rule": "format", "message": "'\0' is not \3"}
            odd = Quarantined("trades", "S", 1, 1, "a\0b\1c\2", (finding,), cells={"price": "\0", "size": "\1\2"})
            batch.quarantine([odd, evolve(odd, subject=None, ts_ns=None, row=None, cells=None)])
            batch.write_records(QUOTES, [Quote("\u00e9 \U0001f600", Instant(-1), Decimal("1e-70"), Decimal(10) ** 70)])
        one.store.discard_quarantined(batch=batch.id)
        there = one.operations.copy(server.operations)
        back = server.operations.copy(two.operations)
        assert there.parts == back.parts
        assert one.operations.diff(two.operations).equal
        assert not check(server.store.backend.database).errors  # type: ignore[attr-defined]
        assert () == two.check().problems
        for name, kind in KINDS.items():
            exports = []
            for number, layer in enumerate((one, server, two)):
                target = tmp_path / f"{name}{number}.csv"
                export.write(kind, layer.store.select(name).batches(), target)
                exports.append(target.read_bytes())
            assert exports[0] == exports[1] == exports[2]
