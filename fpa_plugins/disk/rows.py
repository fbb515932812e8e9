"""The statements of the disk cache: one transaction per operation, generations of tags, keys by prefix, and bounded sweeping.

They replace diskcache's own methods, which do not support generations, do not return the removed keys, and need more statements. Its tables,
connections and transactions are used unchanged.

Generations have their own table, because clearing or culling the cache must not remove them. The row with the empty name has the generation of
all tags that were never bumped. It is random, so that a new folder never has the generations of a lost one.
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
"""Rows removed at once to make room."""

SWEEP_PER_WRITE: Final = 2
"""Expired rows removed with each write: more than are added, so that none accumulate in a busy cache."""


class Row(NamedTuple):
    """A row of the table: the key, the bytes, the time it was stored, and the time from which it is useless."""

    key: str
    content: bytes
    stored_at: float
    until: float | None


def roll_back(cache: Any) -> None:
    """Roll back a transaction left open by a lock timeout. *cache* is None if opening failed."""
    if cache is None:
        return
    with contextlib.suppress(sqlite3.Error, apsw.Error):
        if cache._con.in_transaction:  # noqa: SLF001
            cache._con.execute("ROLLBACK")  # noqa: SLF001


def read(cache: Any, key: str) -> Entry | None:
    """Return the entry of *key*, which knows whether its tags are valid; None if there is none, or if another program wrote it."""
    disk = cache.disk
    disk.put(key)
    connection = cache._con  # noqa: SLF001 - as below: see above
    # Until the statement is closed it holds its snapshot of the database, so the generations are read from the same snapshot.
    rows = connection.execute("SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,))
    try:
        if (row := rows.fetchone()) is None:
            return None
        entry = unpack(disk.fetch(*row, False))
        if entry is not None and (tags := entry.tags):
            entry.tags_verified = _generations(connection, tuple(tags)) == tags
    except OSError:
        return None  # a foreign row, or a file that was removed
    else:
        return entry
    finally:
        rows.close()


def write(cache: Any, row: Row, fence: Mapping[str, int] | None = None) -> list[str] | None:
    """Insert or replace a row, and remove a few expired ones. Return the removed keys, or None if a generation in *fence* has changed."""
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
    """Return the number and the file of the row of *key*. The statement is read to its end; otherwise it would stay open."""
    found: list[tuple[int, str | None]] = sql(
        "SELECT rowid, filename FROM Cache WHERE key = ? AND raw = 1", (key,)
    ).fetchall()
    return found[0] if found else None


def delete(cache: Any, key: str) -> bool:
    """Delete the row of *key*, and return whether there was one."""
    key, _ = cache.disk.put(key)
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        there = _place(sql, key)
        if there is None:
            return False
        sql("DELETE FROM Cache WHERE rowid = ?", there[:1])
        cleanup(there[1])
        return True


def make_generations(cache: Any) -> None:
    """Create the table if it does not exist."""
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
        raise sqlite3.DatabaseError("the generations are missing")
    return {tag: found.get(tag, found[""]) for tag in tags}


def bump(cache: Any, tags: Sequence[str]) -> None:
    """Give each tag a new generation, which it had before only with a probability of 1 in 2**62."""
    with cache.transact():
        for tag in tags:
            _do(cache, "INSERT OR REPLACE INTO Generations VALUES (?, ?)", tag, secrets.randbits(62))


def forget_generations(cache: Any, above: int) -> None:
    """Delete all generations if there are more than *above*. This invalidates every tagged entry."""
    ((count,),) = _do(cache, "SELECT count(*) FROM Generations")
    if count > above:
        with cache.transact():
            _do(cache, "DELETE FROM Generations")
            _do(cache, "INSERT INTO Generations VALUES ('', ?)", secrets.randbits(62))


def keys_from(cache: Any, start: str, limit: int, *, after: bool) -> list[str]:
    """Return up to *limit* keys from *start* on, or after it, sorted."""
    comparison = ">" if after else ">="
    query = f"SELECT key FROM Cache WHERE raw = 1 AND typeof(key) = 'text' AND key {comparison} ? ORDER BY key LIMIT ?"  # noqa: S608
    return [key for (key,) in _do(cache, query, start, limit)]


def expire(cache: Any, now: float, limit: int) -> list[str]:
    """Delete at most *limit* rows that are useless at *now*, those that expired first first, and return their keys."""
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        return _expire(sql, cleanup, now, limit)


def cull(cache: Any, limit: int) -> list[str]:
    """Delete the oldest rows until at most *limit* bytes are used, and return their keys."""
    dropped: list[str] = []
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        while _used(sql) > limit:
            query = "SELECT rowid, filename, key FROM Cache ORDER BY store_time LIMIT ?"
            if not (found := sql(query, (BATCH,)).fetchall()):
                break
            dropped += _drop(sql, cleanup, found)
    return dropped


def _used(sql: Any) -> int:
    """Return the bytes of pages in use, and of files. Freed pages are not counted, although the file shrinks only at the commit."""
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
    return [str(key) for *_, key in rows]  # text, except in rows written by others


def _do(cache: Any, statement: str, *values: Any) -> list[Any]:
    rows: list[Any] = cache._sql(statement, values).fetchall()  # noqa: SLF001
    return rows
