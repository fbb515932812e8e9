"""What is PostgreSQL's own in running statements: its numbered parameters, cursors, COPY, and arrays for many rows."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg.pq import TransactionStatus

from fpa_core.engine.rows import Row
from fpa_core.engine.sql.session import Parameters, Wanted, pattern_condition
from fpa_core.exceptions import DatabaseError
from fpa_plugins.postgres.servers.server import Connection, Cursor
from fpa_plugins.postgres.texts import array, decode_rows, encode, encode_rows, like, regex

__all__ = ["TYPES", "PostgresSession", "Types", "numbered", "rows_of"]

_TEXT = 25
"""The type of texts, by its number."""

_ROWS_AT_ONCE = 4_096
_WANTED = {"a": "text", "b": "text", "x": "bigint", "y": "bigint", "z": "bigint"}
TYPES = b"""
SELECT c.relname, a.attname, t.typname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

"""Asks for the type of each column of each table of a schema."""

Types = Mapping[tuple[str, str], str]
"""The type of each column, by table and column."""


class PostgresSession:
    """See :class:`fpa_core.engine.sql.session.Session`."""

    same = "IS NOT DISTINCT FROM"
    page = 16_384  # each takes a round trip

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
        return rows_of(self._execute(numbered(sql), parameters))

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
        self._execute(f"DECLARE {name} NO SCROLL CURSOR FOR ".encode() + numbered(sql), parameters, prepare=False)
        try:
            while not self.ended and (page := rows_of(self._execute(fetch, (), prepare=False))):
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
        return self._execute(numbered(sql), parameters).rowcount

    def bulk(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows by COPY in its binary form."""
        self.changed = True
        types = [self._types[table, name] for name in columns]
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
        """Return the condition that a column matches a pattern: LIKE, whose ``_`` would not take a code for one character, or a regular expression."""
        operator, bound = ("~", regex(pattern)) if "?" in pattern else ("LIKE", like(pattern))
        return pattern_condition(column, operator, bound, pattern)


def rows_of(cursor: Cursor) -> list[Row]:
    """Return the rows of a statement that was run, asked for in binary form."""
    result = cursor.pgresult
    assert result is not None
    rows = cursor.fetchall()
    return decode_rows(rows, [place for place in range(result.nfields) if result.ftype(place) == _TEXT])


@functools.lru_cache(maxsize=512)
def numbered(sql: str) -> bytes:
    """Return a statement with ``$1``, ``$2`` for each ``?``."""
    first, *rest = sql.split("?")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))).encode()


@functools.cache
def _wanted(used: tuple[str, ...]) -> str:
    """Return the relation ``wanted`` in which these columns are given; the others are null."""
    names = ", ".join(f"u.{name}" if name in used else f"NULL::{kind} AS {name}" for name, kind in _WANTED.items())
    arrays = ", ".join(f"?::{_WANTED[name]}[]" for name in used)
    return f"WITH wanted AS (SELECT u.n - 1 AS n, {names} FROM unnest({arrays}) WITH ORDINALITY AS u ({', '.join(used)}, n)) "
