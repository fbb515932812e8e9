"""What is SQLite's own in running statements: its words, its ways to insert and to bind many rows, and its write lock."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import apsw

from fpa_core.engine.damage import damaged
from fpa_core.engine.rows import Row
from fpa_core.engine.sql.session import Parameters, Wanted, pattern_condition
from fpa_core.exceptions import CorruptionError
from fpa_core.patterns import translate

__all__ = ["SqliteSession", "glob", "immediate"]

FEW = 16
"""Rows of ``wanted`` that are bound to the statement itself; more go through a temporary table."""

_WANTED = (
    "CREATE TEMP TABLE IF NOT EXISTS wanted (n INTEGER PRIMARY KEY, a TEXT, b TEXT, x INTEGER, y INTEGER, z INTEGER)"
)


class SqliteSession:
    """See :class:`fpa_core.engine.sql.session.Session`."""

    __slots__ = ("connection",)

    same = "IS"
    page = 512  # so few are still in the processor's cache when they are used, and gone before Python looks for garbage

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except UnicodeDecodeError as error:
            raise _not_text(sql, error) from error

    def stream(self, sql: str, parameters: Parameters = (), *, size: int = 16_384) -> Generator[list[Row], None, None]:
        """Yield the rows of a statement. The connection stays at its moment for as long as the cursor is open."""
        cursor = self.connection.execute(sql, parameters)
        try:
            while page := list(itertools.islice(cursor, size)):
                yield page
        except UnicodeDecodeError as error:
            raise _not_text(sql, error) from error
        finally:
            cursor.close()

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        self.connection.execute(sql, parameters)
        return int(self.connection.changes())

    def bulk(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows."""
        self.connection.executemany(_insert(table, tuple(columns)), rows)

    def heads(self, table: str, column: str, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first bytes of blobs, of which only the first page is read."""
        for number in ids:
            with contextlib.closing(self.connection.blob_open("main", table, column, number, False)) as blob:
                yield blob.read(size)

    def wanted(self, rows: Sequence[Wanted]) -> tuple[str, list[Any]]:
        """Make *rows* a relation: a common table expression or, for many rows, a temporary table."""
        if not rows:
            return "WITH wanted (n, a, b, x, y, z) AS (SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE FALSE) ", []
        if len(rows) <= FEW:
            values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
            bound = [value for n, row in enumerate(rows) for value in (n, *row)]
            return f"WITH wanted (n, a, b, x, y, z) AS (VALUES {values}) ", bound
        self.connection.execute(_WANTED)
        self.connection.execute("DELETE FROM temp.wanted")
        self.connection.executemany(
            "INSERT INTO temp.wanted VALUES (?, ?, ?, ?, ?, ?)", ((n, *row) for n, row in enumerate(rows))
        )
        return "", []

    def matches(self, column: str, pattern: str) -> tuple[str, list[Any]]:
        """Return the condition that a column matches a pattern: a GLOB."""
        return pattern_condition(column, "GLOB", glob(pattern), pattern)


def _not_text(sql: str, error: UnicodeDecodeError) -> CorruptionError:
    """Return the error for bytes in the place of a text: the driver names neither row nor column."""
    tables = dict.fromkeys(re.findall(r"\bFROM ([a-z_]+)", sql))
    return damaged(" or ".join(tables), "some key", f"the bytes {bytes(error.object[:24])!r} are no text in UTF-8")


@functools.lru_cache(maxsize=256)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def glob(pattern: str) -> str:
    """Return a pattern as SQLite's GLOB understands it: there, only brackets take the meaning from a character."""
    return translate(pattern, many="*", one="?", literal=lambda text: re.sub(r"([*?\[])", r"[\1]", text))


@contextlib.contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """Write in one transaction, which holds the lock from the start: one that begins by reading could never be sure to get it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # The engine may have rolled back already (disk full); a second failure must not hide the first.
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
        raise
