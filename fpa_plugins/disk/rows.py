"""Statements that diskcache has no method for: generations of tags, keys by prefix, and bounded sweeping.

Generations live in a table of their own: neither clearing nor culling the cache may touch them. The row of the empty name holds the one of
all tags never bumped. It is drawn at random, so that generations of a folder that was lost never stand in a new one.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any

__all__ = ["bump", "expire", "forget_generations", "generations", "keys_from", "make_generations"]


def make_generations(cache: Any) -> None:
    """Make the table unless it is there."""
    _do(cache, "CREATE TABLE IF NOT EXISTS Generations (tag TEXT PRIMARY KEY, generation INTEGER) WITHOUT ROWID")
    _do(cache, "INSERT OR IGNORE INTO Generations VALUES ('', ?)", secrets.randbits(62))


def generations(cache: Any, tags: Sequence[str]) -> dict[str, int]:
    """Return the present generation of each tag."""
    marks = ",?" * len(tags)
    query = f"SELECT tag, generation FROM Generations WHERE tag IN (''{marks})"  # noqa: S608 - nothing but marks
    found: dict[str, int] = dict(_do(cache, query, *tags))
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


def expire(cache: Any, now: float, limit: int) -> int:
    """Drop at most *limit* rows whose time is over at *now*, soonest first; return how many."""
    with cache._transact() as (sql, cleanup):  # noqa: SLF001
        query = "SELECT rowid, filename FROM Cache WHERE expire_time < ? ORDER BY expire_time LIMIT ?"
        rows = sql(query, (now, limit)).fetchall()
        for rowid, filename in rows:
            sql("DELETE FROM Cache WHERE rowid = ?", (rowid,))
            cleanup(filename)
    return len(rows)


def _do(cache: Any, statement: str, *values: Any) -> list[Any]:
    rows: list[Any] = cache._sql(statement, values).fetchall()  # noqa: SLF001
    return rows
