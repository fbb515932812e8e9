"""The engine's port on one schema of a PostgreSQL server: its dialect, its snapshots and its lock.

Decimals are canonical texts here too, not ``numeric``: the rows of the port hold them so, equality is that of the text, and a numeric would have to
be read and written through one anyway. Sealed rows, which are nearly all, are integers with a scale in either case.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from psycopg.pq import TransactionStatus

from fpa_core.engine.audit_log import record_migration
from fpa_core.engine.catalog import last_values
from fpa_core.engine.rows import Row
from fpa_core.engine.sql.inspection import dangling
from fpa_core.engine.sql.session import Parameters, Wanted
from fpa_core.engine.sql.tables import SqlTables
from fpa_core.engine.tables import Reader, Writer, unsupported
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS, Kind
from fpa_core.patterns import start_of, text_after
from fpa_core.protocols import (
    Capability,
    Changed,
    ChangeFeed,
    KindFigures,
    Problem,
    Severity,
    Space,
    StoreDescription,
    Tick,
)
from fpa_plugins.postgres.connection import Connection, Cursor, Pool
from fpa_plugins.postgres.errors import translated
from fpa_plugins.postgres.grants import check_granted, granting
from fpa_plugins.postgres.migrations import has_tables, migrate
from fpa_plugins.postgres.notices import NoticeFeed, Unheard, channel_of, packed
from fpa_plugins.postgres.options import PostgresOptions
from fpa_plugins.postgres.texts import array, decode_rows, encode, encode_rows, like, regex

__all__ = ["PostgresDatabase", "PostgresSession", "missing_schema"]

_TEXT = 25
"""The type of texts, by its number."""

_ROWS_AT_ONCE = 4_096
_WANTED = {"a": "text", "b": "text", "x": "bigint", "y": "bigint", "z": "bigint"}
_TYPES = b"""
SELECT c.relname, a.attname, t.typname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

Types = Mapping[str, Mapping[str, str]]
"""The type of each column of each table."""


class PostgresSession:
    """See :class:`fpa_core.engine.sql.session.Session`."""

    same = "IS NOT DISTINCT FROM"

    def __init__(self, connection: Connection, types: Types, number: int = 0) -> None:
        self.connection = connection
        self.number = number
        self.changed = False
        self.ended = False
        self._types = types
        self._free: list[str] = []
        self._cursors = 0

    def _execute(self, sql: bytes, parameters: Parameters, *, prepare: bool | None = None) -> Cursor:
        bound = [encode(value) if isinstance(value, str) else value for value in parameters]
        # Without parameters the binary form has to be asked for, so that bytes arrive as bytes.
        return self.connection.cursor(binary=True).execute(sql, bound, prepare=prepare)

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        return _rows(self._execute(_numbered(sql), parameters))

    def stream(self, sql: str, parameters: Parameters = (), *, size: int = 16_384) -> Generator[list[Row], None, None]:
        """Yield the rows of a statement by a cursor of the server, which sees nothing of what is changed while it is open."""
        if sql.endswith(" LIMIT ?") and parameters[-1] <= size:
            if page := self.query(sql, parameters):
                yield page
            return
        if not self._free:
            self._cursors += 1
            self._free.append(f"fpa_{self._cursors}")
        name = self._free.pop()
        fetch = f"FETCH FORWARD {size} FROM {name}".encode()
        self._execute(f"DECLARE {name} NO SCROLL CURSOR FOR ".encode() + _numbered(sql), parameters, prepare=False)
        try:
            while not self.ended and (page := _rows(self._execute(fetch, (), prepare=False))):
                yield page
                if len(page) < size:
                    break
            if self.ended:
                raise DatabaseError("the transaction that was being read has ended", operation="read")
        finally:
            if not self.ended and self.connection.info.transaction_status == TransactionStatus.INTRANS:
                self._execute(f"CLOSE {name}".encode(), (), prepare=False)
                self._free.append(name)

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        self.changed = True
        return self._execute(_numbered(sql), parameters).rowcount

    def bulk(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows by COPY in its binary form."""
        self.changed = True
        types = [self._types[table][name] for name in columns]
        texts = [place for place, name in enumerate(types) if name == "text"]
        pages = iter(rows)
        page = list(itertools.islice(pages, _ROWS_AT_ONCE))
        if not page:
            return
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with self.connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            copy.set_types(types)
            while page:
                for row in encode_rows(page, texts):
                    copy.write_row(row)
                page = list(itertools.islice(pages, _ROWS_AT_ONCE))

    def heads(self, table: str, column: str, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first bytes of a column that is kept outside its row, uncompressed: the server reads no more."""
        sql = f"SELECT substr({column}, 1, {size}) FROM {table} WHERE id = ANY(?)"
        return (row[0] for row in self.query(sql, [list(ids)]))

    def wanted(self, rows: Sequence[Wanted]) -> tuple[str, list[Any]]:
        """Make *rows* a common table expression over one array for each column that is used."""
        columns = dict(zip(_WANTED, zip(*rows, strict=True), strict=False)) if rows else {}
        used = [name for name, values in columns.items() if any(value is not None for value in values)] or ["x"]
        return _wanted(tuple(used)), [array(columns.get(name, ())) for name in used]

    def matches(self, column: str, pattern: str) -> tuple[str, list[Any]]:
        """Return the condition that a column matches a pattern, and a range, which an index serves however the pattern is bound."""
        operator, bound = ("~", regex(pattern)) if "?" in pattern else ("LIKE", like(pattern))
        start = start_of(pattern)
        if after := text_after(start):
            return f"({column} {operator} ? AND {column} >= ? AND {column} < ?)", [bound, start, after]
        return f"{column} {operator} ?", [bound]


def _rows(cursor: Cursor) -> list[Row]:
    result = cursor.pgresult
    assert result is not None
    rows = cursor.fetchall()
    return decode_rows(rows, [place for place in range(result.nfields) if result.ftype(place) == _TEXT])


@functools.lru_cache(maxsize=512)
def _numbered(sql: str) -> bytes:
    """Return a statement with ``$1``, ``$2`` for each ``?``."""
    first, *rest = sql.split("?")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))).encode()


@functools.cache
def _wanted(used: tuple[str, ...]) -> str:
    """Return the relation ``wanted`` in which these columns are given; the others are null."""
    names = ", ".join(f"u.{name}" if name in used else f"NULL::{kind} AS {name}" for name, kind in _WANTED.items())
    arrays = ", ".join(f"?::{_WANTED[name]}[]" for name in used)
    return f"WITH wanted AS (SELECT u.n - 1 AS n, {names} FROM unnest({arrays}) WITH ORDINALITY AS u ({', '.join(used)}, n)) "


class PostgresDatabase:
    """See :class:`fpa_core.engine.tables.Database`.

    :raises SchemaError: if the schema is of another program, or of a newer version.
    :raises DatabaseError: if the server cannot be used.
    """

    capabilities = frozenset(
        {
            Capability.PERSISTENT,
            Capability.SHARED,
            Capability.KNOWN_AT,
            Capability.VERSIONS,
            Capability.UNDO,
            Capability.SEAL,
            Capability.NOTIFIES,
            Capability.ROLES,
        }
    )

    def __init__(self, options: PostgresOptions) -> None:
        self._pool = Pool(options)
        self._writing: PostgresSession | None = None
        self._listens = options.listen
        self._name = secrets.token_hex(8)
        self._feeds: list[NoticeFeed] = []
        self._types: dict[str, dict[str, str]] = {}
        try:
            with self._translated("open"):
                migrate(self._pool, note=_note_migration)
                with self._pool.lend(_TYPES, [options.schema]) as (_, cursor):
                    for table, column, kind in cursor:
                        self._types.setdefault(table, {})[column] = kind
        except BaseException:
            self._pool.close()
            raise

    def _translated(self, operation: str) -> translated:
        return translated(self._pool.server, self._pool.secret, operation)

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:
        """Open one state of the store: the first statement fixes it."""
        with self._translated(operation), self._pool.lend() as (connection, _):
            session = PostgresSession(connection, self._types)
            try:
                yield SqlTables(session)
            finally:
                session.ended = True

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        """Open the latest state, with the write lock from the start: READ COMMITTED shows all that was committed before."""
        with self._translated(operation), self._pool.writer() as (connection, number):
            self._writing = session = PostgresSession(connection, self._types, number)
            try:
                yield SqlTables(session)
            finally:
                session.ended = True

    def version(self) -> object | None:
        """Return the number of the open writer, or, once it has changed something, that of the next one, if that is the next to write."""
        session = self._writing
        if session is None or session.ended:
            return None
        # After a reconnection it may be another server, which gives the same numbers once more if it was behind.
        return self._pool.reconnections, session.number + session.changed

    def latest(self, kind: Kind, subject: str) -> Sequence[Any] | None:
        """Return the values of the last row, by one statement."""
        with (
            self._translated(f"read {kind.name}"),
            self._pool.lend(_latest(kind), [encode(subject)]) as (_, cursor),
        ):
            ((hot_ns, sealed_ns, last_row, *values),) = _rows(cursor)
        # Of one time the hot row is the later one: it arrived when the other was sealed already.
        if hot_ns is not None and (sealed_ns is None or hot_ns >= sealed_ns):
            return values
        if last_row is None:
            return None
        by_name = last_values(last_row, f"{kind.name} of {subject}")
        return [by_name.get(column.name) for column in kind.columns]

    def describe(self) -> StoreDescription:
        """Return what schema of what server this is, and its size."""
        with self._translated("describe"), self._pool.lend() as (connection, _):
            ask = PostgresSession(connection, self._types).query
            ((engine, schema, size),) = ask(
                "SELECT current_setting('server_version'), (SELECT max(version) FROM schema_versions), (SELECT "
                "sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"
            )
            sums = ask("SELECT kind, count(*), sum(rows)::bigint, sum(bytes)::bigint FROM segments GROUP BY 1")
            sealed = {name: figures for name, *figures in sums}
            hot = ask(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in KINDS))
        kinds = {}
        for name, count in hot:
            segments, rows, bytes_ = sealed.get(name, (0, 0, 0))
            kinds[name] = KindFigures(count + rows, count, rows, segments, bytes_)
        path = f"{self._pool.server} (schema {self._pool.schema})"
        return StoreDescription("postgres", f"PostgreSQL {engine}", path, schema, size, kinds)

    def announce(self, changed: Changed) -> None:
        """Send a notice in the transaction of the open writer: listeners get it when it is committed."""
        session = self._writing
        assert session is not None, "a batch is being written"
        text = packed(self._sender(), changed)
        session.query("SELECT pg_notify(?, ?)", [channel_of(self._pool.schema), text])

    def _sender(self) -> str:
        return f"{os.getpid()}.{self._name}"

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Listen, from the feed's first call on, to the notices of all others."""
        if not self._listens:
            return Unheard()
        feed = NoticeFeed(self._pool, lambda sender: sender == self._sender(), on_change)
        self._feeds.append(feed)
        return feed

    def inspect(self) -> Iterator[Problem]:
        """Yield rows without a counterpart, and say so if the server keeps no checksums of its pages, which it verifies itself as it reads them."""
        with self._translated("check"), self._pool.lend() as (connection, _):
            session = PostgresSession(connection, self._types)
            where = f"{self._pool.server} (schema {self._pool.schema})"
            yield from dangling(session, where)
            if session.query("SELECT current_setting('data_checksums')") == [("off",)]:
                problem = "the server keeps no checksums of its pages, so damage may pass unnoticed"
                yield Problem("page", where, problem, "stop it and run pg_checksums --enable", Severity.WARNING)

    def salvager(self, operation: str) -> AbstractContextManager[Writer]:
        """Open the latest state for writing."""
        return self.writer(operation)

    def copy_to(self, path: Path, tick: Tick) -> None:  # noqa: ARG002
        """Refuse: the capability BACKUP is not declared."""
        raise unsupported("postgres", Capability.BACKUP)

    def space(self) -> Space:
        """Refuse: the capability COMPACT is not declared."""
        raise unsupported("postgres", Capability.COMPACT)

    def compact(self) -> None:
        """Refuse: the capability COMPACT is not declared; the server's own VACUUM does it."""
        raise unsupported("postgres", Capability.COMPACT)

    def grants(self, role: str, *, write: bool) -> Sequence[str]:
        """Return the statements for a role of the server."""
        with self._translated("grant"), self._pool.lend() as (connection, _):
            return granting(connection, self._pool.server, self._pool.schema, role, write=write)

    def grant(self, role: str, *, write: bool) -> Sequence[str]:
        """Run them in one transaction, and see what the role can do then."""
        with self._translated("grant"), self._pool.writer() as (connection, _):
            statements = granting(connection, self._pool.server, self._pool.schema, role, write=write)
            for statement in statements:
                connection.execute(statement.encode(), prepare=False)
            check_granted(connection, self._pool.server, self._pool.schema, role, write=write)
        return statements

    def is_open(self) -> bool:
        """Return whether this process may still use it."""
        return self._pool.is_open

    def close(self) -> None:
        """Close the connections, that of each feed as well."""
        for feed in self._feeds:
            feed.close()
        with self._translated("close"):
            self._pool.close()


def missing_schema(options: PostgresOptions) -> str | None:
    """Return where the tables would be if opening the store would make them; None if they are there."""
    with contextlib.closing(Pool(options)) as pool, translated(pool.server, pool.secret, "open"):
        return None if has_tables(pool) else f"{pool.server} (schema {pool.schema})"


def _note_migration(connection: Connection, version: int, latest: int) -> None:
    record_migration(SqlTables(PostgresSession(connection, {})), version, latest, None)


@functools.cache
def _latest(kind: Kind) -> bytes:
    """Return the statement for the last hot and the last sealed row of a subject: a row, in which what is missing is null."""
    fields = ", ".join(column.field for column in kind.columns)
    return (
        f"WITH hot AS (SELECT {fields} FROM {kind.name} WHERE {kind.subject} = $1 ORDER BY ts_ns DESC, seq DESC LIMIT 1), sealed AS "
        f"(SELECT last_ns, last_row FROM segments WHERE subject = $1 AND kind = '{kind.name}' ORDER BY last_ns DESC LIMIT 1) "
        "SELECT h.ts_ns, s.last_ns, s.last_row, h.* FROM (SELECT 1) o LEFT JOIN hot h ON TRUE LEFT JOIN sealed s ON TRUE"
    ).encode()
