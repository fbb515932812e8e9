"""The tables of each kind in SQL, derived from its one definition, and the conditions of queries."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from fpa_core.engine.rows import Key, Range, plain_value, shape_of
from fpa_core.engine.sql.session import Session, Wanted, wanted_row
from fpa_core.kinds import Kind
from fpa_core.protocols import Query

__all__ = ["FAMILY", "KindTables", "key_rows", "matching_origins", "range_rows", "subject_condition", "tables_of"]

FAMILY = "(SELECT id FROM batches WHERE id = ? OR parent = ?)"
"""A batch and its children; the batch is bound twice."""

_WANTED_TEXTS = ("a", "b")


class KindTables:
    """The names of a kind's tables, and parts of statements about them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.shape = shape = shape_of(kind)
        self.live = kind.name
        self.history = f"{kind.name}_history"
        self.columns = ", ".join(shape.columns)
        self.of_table = ", ".join(f"t.{name}" for name in shape.columns)
        self.row_key = ", ".join(shape.row_key)
        self.order = shape.order
        self.key_order = ", ".join(f"t.{name}" for name in shape.row_key)
        # How the relation `wanted` holds a key: texts in a and b, the time in x, the place in y.
        texts = dict(zip(shape.prefix, _WANTED_TEXTS, strict=False))
        self.wanted_as = texts | {"ts_ns": "x", "seq": "y"}
        self.in_prefix = " AND ".join(f"t.{name} = w.{place}" for name, place in texts.items())
        self.in_range = f"{self.in_prefix} AND t.ts_ns >= w.x AND t.ts_ns <= w.y"
        self.at_key = " AND ".join(f"t.{name} = w.{self.wanted_as[name]}" for name in shape.key)
        self.at_row_key = " AND ".join(f"t.{name} = w.{self.wanted_as[name]}" for name in shape.row_key)
        self.wanted_row_key = ", ".join(self.wanted_as[name] for name in shape.row_key)

    def where(self, session: Session, query: Query) -> tuple[str, list[Any]]:
        """Return the condition of *query* and its parameters; every value is bound."""
        conditions, parameters = subject_condition(session, self.kind.subject, query)
        for condition, bound in (
            ("ts_ns >= ?", [query.start_ns]),
            ("ts_ns < ?", [query.end_ns]),
            (f"batch IN {FAMILY}", [query.batch, query.batch]),
        ):
            if bound[0] is not None:
                conditions.append(condition)
                parameters += bound
        if query.origins is not None:
            condition, bound = matching_origins(session, query.origins)
            conditions.append(f"batch IN (SELECT id FROM batches WHERE {condition})")
            parameters += bound
        for name, value in query.equal.items():
            conditions.append(f"{name} {session.same} ?")
            parameters.append(plain_value(self.kind, name, value))
        return " AND ".join(conditions) or "TRUE", parameters

    def source(self, session: Session, query: Query, names: str, known: int | None) -> tuple[str, list[Any]]:
        """Return a SELECT of columns of the rows of *query*, now or as known when a batch was the last, and its parameters."""
        where, parameters = self.where(session, query)
        if known is None:
            return f"SELECT {names} FROM {self.live} WHERE {where}", parameters
        since = "coalesce(since, batch) <= ?"
        live = f"SELECT {names} FROM {self.live} WHERE {where} AND {since}"
        past = f"SELECT {names} FROM {self.history} WHERE {where} AND {since} AND retired_by > ?"
        return f"{live} UNION ALL {past}", [*parameters, known, *parameters, known, known]


@functools.cache
def tables_of(kind: Kind) -> KindTables:
    """Return the tables of *kind*."""
    return KindTables(kind)


def subject_condition(session: Session, column: str, query: Query) -> tuple[list[str], list[Any]]:
    """Return the condition of *query* on a column of subjects, if it has one, and its parameters."""
    if query.subjects is None and not query.patterns:
        return [], []
    subjects = list(query.subjects or ())
    parameters: list[Any] = list(subjects)
    ways = [_among(column, len(subjects))] if subjects or not query.patterns else []
    for pattern in query.patterns:
        condition, bound = session.matches(column, pattern)
        ways.append(condition)
        parameters += bound
    return [f"({' OR '.join(ways)})"], parameters


def _among(column: str, count: int) -> str:
    if count == 0:
        return "FALSE"
    return f"{column} = ?" if count == 1 else f"{column} IN ({', '.join('?' * count)})"


def matching_origins(session: Session, origins: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the condition on batches that their origin matches one of the patterns, and its parameters."""
    ways = [session.matches("origin", pattern) for pattern in origins]
    return " OR ".join(condition for condition, _ in ways) or "FALSE", [one for _, bound in ways for one in bound]


def range_rows(ranges: Iterable[Range]) -> list[Wanted]:
    """Return ranges as rows of ``wanted``: the prefix in a and b, the first time in x, the last in y."""
    return [
        wanted_row(prefix[0], prefix[1] if len(prefix) > 1 else None, first, last) for prefix, first, last in ranges
    ]


def key_rows(kind: Kind, keys: Iterable[Key]) -> list[Wanted]:
    """Return keys, with a ``seq`` or not, as rows of ``wanted``."""
    shape = shape_of(kind)
    texts = len(shape.prefix)
    if not shape.timed:
        return [wanted_row(*key) for key in keys]
    if texts == 1:
        return [(key[0], None, key[1], key[2] if len(key) > 2 else None, None) for key in keys]
    return [(key[0], key[1], key[2], None, None) for key in keys]
