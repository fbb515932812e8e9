"""Queries that only select columns by symbol and time: the store answers them itself, several times as fast as DuckDB, and the same.

What is recognised is written ``SELECT columns FROM kind WHERE ... AND ...``, where each condition compares the symbol with a text, or ``timestamp`` or ``ts_ns``
with a value. Everything else is left to DuckDB: any other word, sign or form of a literal.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import field, frozen

from fpa_core.kinds import KINDS
from fpa_core.numbers import MAX_NS, MIN_NS
from fpa_core.protocols import Query

__all__ = ["Parameters", "PlainSelect"]

Parameters: TypeAlias = Sequence[Any] | dict[str, Any]
"""The values of each ``?``, or by name of each ``$name``."""

_NAME = r"[a-z_][a-z0-9_]*"
_VALUE = r"'[ !#-&(-~]*'|-?\d{1,19}(?![\w.])|\?|\$\w+"
_CONDITION = rf"({_NAME})\s*(=|>=|<=|>|<)\s*({_VALUE})"
_SELECT = re.compile(
    rf"\s*(?i:select)\s+(?P<columns>\*|{_NAME}(?:\s*,\s*{_NAME})*)\s+(?i:from)\s+(?P<kind>{_NAME})"
    rf"(?:\s+(?i:where)\s+(?P<conditions>{_CONDITION}(?:\s+(?i:and)\s+{_CONDITION})*))?\s*;?\s*"
)
_CONDITIONS = re.compile(_CONDITION)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|\+00(?::00)?)?)?")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@frozen
class PlainSelect:
    """A query that is understood, but for the values of its parameters.

    :ivar kind: the name of the kind.
    :ivar columns: those asked for; None for all.
    :ivar conditions: column, comparison and value of each, as written.
    """

    kind: str
    columns: tuple[str, ...] | None
    conditions: tuple[tuple[str, str, str], ...] = field(repr=False)

    @classmethod
    @functools.lru_cache(maxsize=256)
    def of(cls, query: str) -> PlainSelect | None:
        """Return a query that only selects; None for any other."""
        found = _SELECT.fullmatch(query)
        if found is None or found["kind"] not in KINDS:
            return None
        columns = None if found["columns"] == "*" else tuple(re.findall(_NAME, found["columns"]))
        if columns is not None and len(set(columns)) < len(columns):
            return None
        return cls(found["kind"], columns, tuple(_CONDITIONS.findall(found["conditions"] or "")))

    def query(self, parameters: Parameters | None) -> Query | None:
        """Return what the store is asked for; None if a condition, or its value, is not of the recognised kind."""
        kind = KINDS[self.kind]
        values = _Values(parameters)
        subjects: set[str] | None = None
        starts: list[int] = []
        ends: list[int] = []
        for column, comparison, written in self.conditions:
            value = values.of(written)
            if column == kind.by_field[kind.subject].name:
                if comparison != "=" or not _is_plain_text(value):
                    return None
                subjects = {value} if subjects is None else subjects & {value}
                continue
            if (instants := _instants(column, value)) is None:
                return None
            first_ns, next_ns = instants
            if comparison not in {"<", "<="}:
                starts.append(next_ns if comparison == ">" else first_ns)
            if comparison not in {">", ">="}:
                ends.append(first_ns if comparison == "<" else next_ns)
        if not values.all_used:
            return None
        return Query(
            kind,
            None if subjects is None else tuple(subjects),
            start_ns=max(starts, default=None),
            end_ns=min(ends, default=None),
        )


class _Values:
    """The values that literals and parameters stand for."""

    def __init__(self, parameters: Parameters | None) -> None:
        self._named: Mapping[str, Any] = parameters if isinstance(parameters, dict) else {}
        self._rest = [] if parameters is None or isinstance(parameters, dict) else list(parameters)
        self._unused = set(self._named)

    def of(self, written: str) -> Any:
        """Return the value of a literal or parameter; None, which is never plain, for one that is not there."""
        if written == "?":
            return self._rest.pop(0) if self._rest else None
        if written.startswith("$"):
            self._unused.discard(written[1:])
            return self._named.get(written[1:])
        return written[1:-1] if written.startswith("'") else int(written)

    @property
    def all_used(self) -> bool:
        """Whether no parameter is left over, which is an error that DuckDB words."""
        return not self._rest and not self._unused


def _is_plain_text(value: Any) -> bool:
    return type(value) is str and value.isascii() and value.isprintable()


def _instants(column: str, value: Any) -> tuple[int, int] | None:
    """Return the first nanosecond whose column equals the value, and the first after them; None if it is no plain time."""
    if column == "ts_ns" and type(value) is int:
        first, length = value, 1
    elif column == "timestamp" and (at := _microseconds(value)) is not None:
        first, length = at * 1_000, 1_000  # the column is rounded down
    else:
        return None
    return (first, first + length) if MIN_NS <= first <= MAX_NS - length else None


def _microseconds(value: Any) -> int | None:
    """Return a time as microseconds since 1970; a text without a zone is UTC, as in SQL."""
    if type(value) is str and _TIME.fullmatch(value):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
        value = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if type(value) is dt.datetime and value.utcoffset() is not None:
        return (value - _EPOCH) // _MICROSECOND
    return None
