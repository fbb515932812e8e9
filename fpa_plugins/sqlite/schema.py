"""The SQL of every record kind, derived from its one definition in :mod:`fpa_core.kinds`."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Sequence
from typing import Any

from fpa_core.kinds import Column, Kind
from fpa_core.numbers import decimal_text
from fpa_core.protocols import Query
from fpa_core.protocols.patterns import start_of, translate

__all__ = ["Tables", "batches_of", "create_tables", "subject_condition", "tables"]

_LAST_BEFORE_SURROGATES, _LAST_SURROGATE = 0xD7FF, 0xDFFF

_TYPES = {"text": "TEXT", "decimal": "TEXT", "time": "INTEGER", "integer": "INTEGER"}


class Tables:
    """The statements for one kind: its table, its history, and how to get at their rows.

    A row is handled as its key, then its content, then ``seq`` (for a multiset: the order of arrival at one time), then its batch. Decimals are
    canonical text: exact at any scale, and legible to any SQL tool.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.live = kind.name
        self.history = f"{kind.name}_history"
        self.content = [column.field for column in kind.columns if column.field not in kind.key]
        self.fields = [*kind.key, *self.content]
        self.key = [*kind.key, "seq"] if kind.multiset else list(kind.key)
        self.columns = [*self.fields, "seq", "batch"] if kind.multiset else [*self.fields, "batch"]
        places = ", ".join("?" * len(self.columns))
        self.insert = f"INSERT INTO {self.live} ({', '.join(self.columns)}) VALUES ({places})"
        self.replace = f"INSERT OR REPLACE INTO {self.live} ({', '.join(self.columns)}) VALUES ({places})"
        self.record_history = (
            f"INSERT INTO {self.history} ({', '.join(self.columns)}, retired_by, reason) VALUES ({places}, ?, ?)"
        )
        self.match_key = " AND ".join(f"{name} = ?" for name in self.key)
        self.retire = (
            f"INSERT INTO {self.history} ({', '.join(self.columns)}, retired_by, reason) "
            f"SELECT {', '.join(self.columns)}, ?, ? FROM {self.live} WHERE {self.match_key}"
        )
        # What was taken back on purpose may come again; what was replaced by a later version may not.
        same = " AND ".join([*(f"{name} = ?" for name in kind.key), *(f"{name} IS ?" for name in self.content)])
        self.was_replaced = (
            f"SELECT EXISTS (SELECT 1 FROM {self.history} WHERE {same} AND reason IN ('revised', 'outdated'))"
        )
        self.delete = f"DELETE FROM {self.live} WHERE {self.match_key}"
        rest = [name for name in self.key if name not in {kind.subject, "ts_ns"}]
        self.order = [kind.subject, "ts_ns", *rest]

    def create(self) -> list[str]:
        """Return the statements that make the tables of this kind."""
        columns = [f"    {column.field} {_TYPES[column.type]}{_null(column)}" for column in self.kind.columns]
        if self.kind.multiset:
            columns.append("    seq INTEGER NOT NULL")
        columns.append("    batch INTEGER NOT NULL")
        key = [f"    PRIMARY KEY ({', '.join(_clustered(self.key, self.kind))})"]
        retired = ["    retired_by INTEGER NOT NULL", "    reason TEXT NOT NULL"]
        statements = [
            _table(self.live, columns + key, "STRICT, WITHOUT ROWID"),
            _table(self.history, columns + retired, "STRICT"),
            f"CREATE INDEX {self.history}_by_key ON {self.history} ({', '.join(_clustered(self.key, self.kind))})",
        ]
        if "ts_ns" not in self.kind.key or self.kind.name == "positions":
            by = ["account", "ts_ns"] if self.kind.name == "positions" else [self.kind.subject, "ts_ns"]
            statements.append(f"CREATE INDEX {self.live}_by_{by[0]} ON {self.live} ({', '.join(by)})")
        return statements

    def select(self, query: Query, what: Sequence[str], last_batch: int | None = None) -> tuple[str, list[Any]]:
        """Return the statement, and its parameters, that reads the columns *what* of the rows of *query* in order.

        :param last_batch: the last batch known at ``query.known_at_ns``, when that is asked for.
        """
        where, parameters = self.where(query)
        names = ", ".join(what)
        if last_batch is None:
            sql = f"SELECT {names} FROM {self.live} WHERE {where}"
        else:
            every = ", ".join(self.columns)
            sql = (
                f"SELECT {names} FROM (SELECT {every} FROM {self.live} WHERE {where} AND batch <= ? UNION ALL "
                f"SELECT {every} FROM {self.history} WHERE {where} AND batch <= ? AND retired_by > ?)"
            )
            parameters = [*parameters, last_batch, *parameters, last_batch, last_batch]
        direction = " DESC" if query.reverse else ""
        sql += " ORDER BY " + ", ".join(name + direction for name in self.order)
        if query.limit is not None:
            sql += " LIMIT ?"
            parameters.append(query.limit)
        return sql, parameters

    def where(self, query: Query) -> tuple[str, list[Any]]:
        """Return the condition of *query* and its parameters; every value is bound, none is pasted in."""
        conditions, parameters = subject_condition(self.kind.subject, query)
        for condition, bound in (
            ("ts_ns >= ?", query.start_ns),
            ("ts_ns < ?", query.end_ns),
            ("batch = ?", query.batch),
        ):
            if bound is not None:
                conditions.append(condition)
                parameters.append(bound)
        if query.sources is not None:
            ids, patterns = batches_of(query.sources)
            conditions.append(f"batch IN ({ids})")
            parameters += patterns
        for name, value in query.equal.items():
            column = self.kind.by_field[name]
            conditions.append(f"{name} IS ?")
            parameters.append(decimal_text(value) if column.type == "decimal" and value is not None else _plain(value))
        return " AND ".join(conditions) or "TRUE", parameters


def subject_condition(column: str, query: Query) -> tuple[list[str], list[Any]]:
    """Return the condition of *query* on a column of subjects, where it has one, and its parameters."""
    if query.subjects is None and not query.patterns:
        return [], []
    subjects: list[Any] = list(query.subjects or ())
    ways = [f"{column} IN ({', '.join('?' * len(subjects))})"] if subjects or not query.patterns else []
    for pattern in query.patterns:
        condition, bound = f"{column} GLOB ?", [glob(pattern)]
        start = start_of(pattern)
        if after := _after(
            start
        ):  # as a range too, for which an index serves: a bound pattern's beginning is not looked at
            condition, bound = f"({condition} AND {column} >= ? AND {column} < ?)", [*bound, start, after]
        ways.append(condition)
        subjects += bound
    return [f"({' OR '.join(ways)})"], subjects


def _after(start: str) -> str | None:
    """Return the first text after all those that begin with *start*; None where there is no such."""
    for place in reversed(range(len(start))):
        if (code := ord(start[place])) < sys.maxunicode:
            following = code + 1 if code != _LAST_BEFORE_SURROGATES else _LAST_SURROGATE + 1
            return start[:place] + chr(following)
    return None


def batches_of(sources: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the statement that finds the batches of sources, and its parameters."""
    ways = " OR ".join(["source GLOB ?"] * len(sources)) or "FALSE"
    return f"SELECT id FROM batches WHERE {ways}", [*map(glob, sources)]


def glob(pattern: str) -> str:
    """Return a pattern as SQLite's GLOB understands it: there, only brackets take the meaning from a character."""
    return translate(pattern, many="*", one="?", literal=lambda text: re.sub(r"([*?\[])", r"[\1]", text))


@functools.cache
def tables(kind: Kind) -> Tables:
    """Return the statements for *kind*."""
    return Tables(kind)


def create_tables(kinds: Sequence[Kind]) -> str:
    """Return a script that makes the tables of all *kinds*: what all migrations together lead to, but for the order of the columns."""
    return "\n".join(f"{statement};" for kind in kinds for statement in tables(kind).create()) + "\n"


def _null(column: Column) -> str:
    return " NOT NULL" if column.required else ""


def _clustered(key: Sequence[str], kind: Kind) -> Sequence[str]:
    """Put the subject first: rows that are read together lie together."""
    return [kind.subject, *(name for name in key if name != kind.subject)] if kind.subject in key else key


def _table(name: str, lines: Sequence[str], options: str) -> str:
    return f"CREATE TABLE {name} (\n" + ",\n".join(lines) + f"\n) {options}"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value
