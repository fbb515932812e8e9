"""The last row of a subject, from the hot rows and from the catalog of the sealed ones: one statement, which sees one state, and nothing is decoded."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from fpa_core.engine.catalog import last_values
from fpa_core.engine.rows import Row
from fpa_core.kinds import Kind

__all__ = ["latest_statement", "latest_values"]

_INTEGERS = {"time", "integer"}


@functools.cache
def latest_statement(kind: Kind) -> str:
    """Return the statement for the last hot row and what the catalog says of the last sealed one; the subject is bound twice.

    Each row tells whether it is sealed and its time; then follow the fields of a hot row, or the text of a sealed one in place of the first.
    """
    fields = [column.field for column in kind.columns]
    # Some databases take a null for a text unless they are told otherwise.
    nulls = "".join(", CAST(NULL AS BIGINT)" if column.type in _INTEGERS else ", NULL" for column in kind.columns[1:])
    hot = f"SELECT 0, ts_ns, {', '.join(fields)} FROM {kind.name} WHERE {kind.subject} = ? ORDER BY ts_ns DESC, seq DESC LIMIT 1"
    sealed = f"SELECT 1, last_ns, last_row{nulls} FROM segments WHERE kind = '{kind.name}' AND subject = ? ORDER BY last_ns DESC LIMIT 1"
    return f"SELECT * FROM ({hot}) AS hot UNION ALL SELECT * FROM ({sealed}) AS sealed"


def latest_values(kind: Kind, subject: str, found: Sequence[Row]) -> Sequence[Any] | None:
    """Return the values of the later one of the rows that the statement found, by the kind's columns; None if there is none."""
    if not found:
        return None
    row = found[0] if len(found) == 1 else _later(*found)
    if not row[0]:
        return row[2:]
    by_name = last_values(row[2], f"{kind.name} of {subject}")
    return [by_name.get(column.name) for column in kind.columns]


def _later(one: Row, other: Row) -> Row:
    hot, sealed = (other, one) if one[0] else (one, other)
    # Of one time the hot row is the later one: it arrived when the other was sealed already.
    return hot if hot[1] >= sealed[1] else sealed
