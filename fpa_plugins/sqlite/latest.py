"""The latest row of a subject, the one read that is asked thousands of times a second: a statement or two, and nothing is decoded."""

from __future__ import annotations

import functools
import json
from typing import Any

import apsw

from fpa_core.kinds import Kind

__all__ = ["latest"]


@functools.cache
def _statements(kind: Kind) -> tuple[str, str]:
    """Return the statements for the last hot and the last sealed row, each with the last time of the other sort.

    A single statement sees a single state of the database, so that each answer stands on its own, without a transaction.
    """
    fields = ", ".join(column.field for column in kind.columns)
    last_hot = f"SELECT ts_ns FROM {kind.name} WHERE {kind.subject} = ?1 ORDER BY ts_ns DESC LIMIT 1"
    by_time = f"FROM segments WHERE kind = '{kind.name}' AND subject = ?1 ORDER BY last_ns DESC LIMIT 1"
    hot = (
        f"SELECT ts_ns, (SELECT last_ns {by_time}), {fields} FROM {kind.name} WHERE {kind.subject} = ?1 "
        "ORDER BY ts_ns DESC, seq DESC LIMIT 1"
    )
    return hot, f"SELECT last_ns, ({last_hot}), last_row {by_time}"


def latest(connection: apsw.Connection, kind: Kind, subject: str) -> list[Any] | None:
    """Return the values of the last row of a multiset's subject, column by column; None where it is not found in this way."""
    hot, sealed = _statements(kind)
    row: Any
    for row in connection.execute(hot, (subject,)).fetchall():
        # Of one time the hot row is the later one: it arrived when the other was sealed already.
        if row[1] is None or row[0] >= row[1]:
            return list(row[2:])
    for row in connection.execute(sealed, (subject,)).fetchall():
        if row[1] is None or row[1] < row[0]:
            by_name = json.loads(row[2])
            return [by_name.get(column.name) for column in kind.columns]
    return None
