"""The statements of the disk cache: one transaction for each operation, generations of tags, keys by prefix, and bounded sweeping.

They go round diskcache's own methods, which know nothing of generations, do not say which keys they drop, and take more statements. Its
tables, connections and transactions are used as they are.

Generations live in a table of their own: neither clearing nor culling the cache may touch them. The row of the empty name holds the one of
all tags never bumped. It is drawn at random, so that generations of a folder that was lost never stand in a new one.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from fpa_core.protocols import Entry
from fpa_plugins.disk.framing import unpack

if TYPE_CHECKING:
    from fpa_plugins.disk.connection import Connection

__all__ = [
    "Row",
    "bump",
    "cull",
    "delete",
    "expire",
    "forget_generations",
    "generations",
    "keys_from",
    "make_generations",
    "read",
    "roll_back",
    "write",
]

BATCH: Final = 16
"""Rows dropped at once to make room."""

SWEEP_PER_WRITE: Final = 2
"""Expired rows dropped with each write: more than come in, so that a busy cache keeps none."""


class Row(NamedTuple):
    """An entry as it goes into the table: its key, its bytes, when it was stored, and when it is past any use."""

    key: str
    content: bytes
    stored_at: float
    until: float | None


def roll_back(cache: Any) -> None:
    """End the transaction that a lock of somebody else's left open, if one is; *cache* is None where not even opening it came to an end."""
    if cache is None:
        return
    with contextlib.suppress(sqlite3.Error, apsw.Error):
        if cache._con.in_transaction:  # noqa: SLF001
            cache._con.execute("ROLLBACK")  # noqa: SLF001


def read(cache: Any, key: str) -> Entry | None:
    """Return the entry of *key*, knowing whether its tags stand; None when there is none, or none that this project wrote."""
    disk = cache.disk
    disk.put(key)
    connection = cache._con  # noqa: SLF001 - as below: see above
    # Until the statement is closed it holds the state of the database that it sees: the generations read meanwhile are of that moment.
    rows = connection.execute("SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,))
    try:
        if (row := rows.fetchone()) is None:
            return None
        entry = unpack(disk.fetch(*row, False))
        if entry is not None and (tags := entry.tags):
            entry.tags_verified = _generations(connection, tuple(tags)) == tags
    except OSError:
        return None  # a foreign row, or a file that somebody removed
    else:
        return entry
    finally:
        rows.close()


def write(cache: Any, row: Row, fence: Mapping[str, int] | None = None) -> list[str] | None:
    """Insert or replace a row and sweep a little; return the keys swept, or None when a generation in *fence* has moved on."""
    disk = cache.disk
    key, _ = disk.put(row.key)
    size, mode, filename, value = disk.store(row.content, False, key=key)
    with cache._transact(filename=filename) as (sql, cleanup):  # noqa: SLF001
        if fence is not None and generations(cache, tuple(fence)) != fence:
            cleanup(filename)
            return None
        columns = (row.stored_at, row.until, row.stored_at, size, mode, filename, value)
        there = _place(sql, key)
        if there is None:
            sql(
                "INSERT INTO Cache (store_time, expire_time, access_time, size, mode, filename, value, key, raw)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (*columns, key),
            )
        else:
            rowid, old = there
            cleanup(old)
            sql(
                "UPDATE Cache SET store_time = ?, expire_time = ?, access_time = ?, size = ?, mode = ?, filename = ?, value = ?"
                " WHERE rowid = ?",
                (*columns, rowid),
            )
        return _expire(sql, cleanup, row.stored_at, SWEEP_PER_WRITE)


def _place(sql: Any, key: str) -> tuple[int, str | None] | None:
    """Return the number and the file of the row of *key*. The statement is read to its end, or it would stay open."""
    found: list[tuple[int, str | None]] = sql(
        "SELECT rowid, filename FROM Cache WHERE key = ? AND raw = 1", (key,)
    ).fetchall()
    return found[0] if found else None


def delete(cache: Any, key: str) -> bool:
    """Drop the row of *key*; tell whether there was one."""
    key, _ = cache.disk.put(key)
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        there = _place(sql, key)
        if there is None:
            return False
        sql("DELETE FROM Cache WHERE rowid = ?", there[:1])
        cleanup(there[1])
        return True


def make_generations(cache: Any) -> None:
    """Make the table unless it is there."""
    _do(cache, "CREATE TABLE IF NOT EXISTS Generations (tag TEXT PRIMARY KEY, generation INTEGER) WITHOUT ROWID")
    _do(cache, "INSERT OR IGNORE INTO Generations VALUES ('', ?)", secrets.randbits(62))


def generations(cache: Any, tags: Sequence[str]) -> dict[str, int]:
    """Return the present generation of each tag."""
    return _generations(cache._con, tags)  # noqa: SLF001


def _generations(connection: Connection, tags: Sequence[str]) -> dict[str, int]:
    marks = ",?" * len(tags)
    query = f"SELECT tag, generation FROM Generations WHERE tag IN (''{marks})"  # noqa: S608 - nothing but marks
    found: dict[str, int] = dict(connection.execute(query, tags))
    if "" not in found:
        raise sqlite3.DatabaseError("the generations are gone")
    return {tag: found.get(tag, found[""]) for tag in tags}


def bump(cache: Any, tags: Sequence[str]) -> None:
    """Give each tag a generation it never had, but for a chance in 2**62."""
    with cache.transact():
        for tag in tags:
            _do(cache, "INSERT OR REPLACE INTO Generations VALUES (?, ?)", tag, secrets.randbits(62))


def forget_generations(cache: Any, above: int) -> None:
    """Forget all generations, and so end every tagged entry, when there are more than *above*."""
    ((count,),) = _do(cache, "SELECT count(*) FROM Generations")
    if count > above:
        with cache.transact():
            _do(cache, "DELETE FROM Generations")
            _do(cache, "INSERT INTO Generations VALUES ('', ?)", secrets.randbits(62))


def keys_from(cache: Any, start: str, limit: int, *, after: bool) -> list[str]:
    """Return up to *limit* keys from *start* on, or after it, in their order."""
    comparison = ">" if after else ">="
    query = f"SELECT key FROM Cache WHERE raw = 1 AND typeof(key) = 'text' AND key {comparison} ? ORDER BY key LIMIT ?"  # noqa: S608
    return [key for (key,) in _do(cache, query, start, limit)]


def expire(cache: Any, now: float, limit: int) -> list[str]:
    """Drop at most *limit* rows that are past use at *now*, soonest first; return their keys."""
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        return _expire(sql, cleanup, now, limit)


def cull(cache: Any, limit: int) -> list[str]:
    """Drop the rows stored longest ago until no more than *limit* bytes are used; return their keys."""
    dropped: list[str] = []
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        while _used(sql) > limit:
            query = "SELECT rowid, filename, key FROM Cache ORDER BY store_time LIMIT ?"
            if not (found := sql(query, (BATCH,)).fetchall()):
                break
            dropped += _drop(sql, cleanup, found)
    return dropped


def _used(sql: Any) -> int:
    """Return the bytes of pages in use, and of files; pages that were freed count no more, though the file shrinks only at the commit."""
    ((pages,),), ((free,),), ((page,),) = (
        sql(f"PRAGMA {name}").fetchall() for name in ("page_count", "freelist_count", "page_size")
    )
    ((files,),) = sql("SELECT value FROM Settings WHERE key = 'size'").fetchall()
    used: int = (pages - free) * page + files
    return used


def _expire(sql: Any, cleanup: Any, now: float, limit: int) -> list[str]:
    query = "SELECT rowid, filename, key FROM Cache WHERE expire_time <= ? ORDER BY expire_time LIMIT ?"
    return _drop(sql, cleanup, sql(query, (now, limit)).fetchall())


def _drop(sql: Any, cleanup: Any, rows: list[Any]) -> list[str]:
    for rowid, filename, _ in rows:
        sql("DELETE FROM Cache WHERE rowid = ?", (rowid,))
        cleanup(filename)
    return [str(key) for *_, key in rows]  # texts, but for those of planted rows


def _do(cache: Any, statement: str, *values: Any) -> list[Any]:
    rows: list[Any] = cache._sql(statement, values).fetchall()  # noqa: SLF001
    return rows
