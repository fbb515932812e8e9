"""The latest row of a subject, the one read that is asked thousands of times a second: one statement, and nothing is decoded."""

from __future__ import annotations

import functools
import json
from typing import Any

import apsw

from fpa_core.records import Kind

__all__ = ["latest"]


@functools.cache
def _statement(kind: Kind) -> str:
    """Return the statement that finds the last hot row and the last sealed one; being one, it sees one state of the database."""
    fields = [column.field for column in kind.columns]
    hot = (
        f"SELECT ts_ns, NULL, {', '.join(fields)} FROM {kind.name} WHERE {kind.subject} = ?1 "
        "ORDER BY ts_ns DESC, seq DESC LIMIT 1"
    )
    sealed = (
        f"SELECT last_ns, last_row{', NULL' * len(fields)} FROM segments WHERE kind = '{kind.name}' AND subject = ?1 "
        "ORDER BY last_ns DESC LIMIT 1"
    )
    return f"SELECT * FROM ({hot}) UNION ALL SELECT * FROM ({sealed})"


def latest(connection: apsw.Connection, kind: Kind, subject: str) -> list[Any] | None:
    """Return the values of the last row of a multiset's subject, column by column; None where there is none."""
    found: list[tuple[Any, ...]] = connection.execute(_statement(kind), (subject,)).fetchall()
    if not found:
        return None
    # Of one time the hot row is the later one: it arrived when the other was sealed already.
    _, last_row, *values = found[0] if len(found) == 1 or found[0][0] >= found[1][0] else found[1]
    if last_row is None:
        return values
    by_name = json.loads(last_row)
    return [by_name.get(column.name) for column in kind.columns]
