"""Which filters of Spark the store answers itself: those of symbol and time, and equal texts."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from attrs import define, field
from pyspark.sql.datasource import (
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    LessThan,
    LessThanOrEqual,
    StringStartsWith,
)

from fpa_core.exceptions import DataError
from fpa_core.kinds import Column, Kind
from fpa_core.numbers import MAX_NS, MIN_NS, to_ns
from fpa_core.patterns import escape

__all__ = ["Conditions"]

_MICROSECOND = 1_000


@define
class Conditions:
    """What the filters that were taken over ask for; all of it holds.

    :ivar subjects: names that a row's symbol must be among; None for any.
    :ivar prefix: what a symbol must begin with.
    :ivar start_ns: the first instant included; ``end_ns`` the first excluded.
    :ivar equal: texts by the names of their columns.
    :ivar nothing: whether no row can fit.
    :ivar any_subject: whether filters of the symbol are taken over; not if the reading names symbols already.
    """

    kind: Kind
    any_subject: bool = True
    subjects: frozenset[str] | None = None
    prefix: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    equal: dict[str, str] = field(factory=dict)
    nothing: bool = False

    def take(self, condition: Filter) -> bool:
        """Take over a filter completely, or return False and change nothing."""
        path: tuple[str, ...] = getattr(condition, "attribute", ())
        name = path[0] if len(path) == 1 else ""
        column = self.kind.by_name.get(name)
        if isinstance(condition, IsNotNull):  # Spark adds it to every comparison
            found = column or self.kind.by_field.get(name)
            return found is not None and found.required
        if column is None:
            timed = self.kind.by_field.get("ts_ns")
            return timed is not None and name == "ts_ns" and self._take_time(condition, 1)
        if column.field == "ts_ns":
            return self._take_time(condition, _MICROSECOND)
        if column.field == self.kind.subject:
            return self.any_subject and self._take_subject(condition)
        return column.type == "text" and self._take_text(column, condition)

    @property
    def symbols(self) -> list[str] | None:
        """The symbols, or the pattern, to select; None for all."""
        if self.subjects is not None:
            return [escape(name) for name in sorted(self.subjects) if name.startswith(self.prefix or "")]
        return None if self.prefix is None else [f"{escape(self.prefix)}*"]

    def _take_subject(self, condition: Filter) -> bool:
        if isinstance(condition, (EqualTo, In)):
            values = condition.value if isinstance(condition, In) else (condition.value,)
            names = frozenset(value for value in values if value is not None)  # which nothing is equal to
            if not all(isinstance(name, str) for name in names):
                return False
            self.subjects = names if self.subjects is None else self.subjects & names
            return True
        if isinstance(condition, StringStartsWith) and isinstance(condition.value, str) and self.prefix is None:
            self.prefix = condition.value
            return True
        return False

    def _take_text(self, column: Column, condition: Filter) -> bool:
        if not isinstance(condition, EqualTo) or not isinstance(condition.value, str):
            return False
        if column.convert(condition.value) != condition.value:  # another spelling of it would be found, too
            return False
        self.nothing |= self.equal.setdefault(column.name, condition.value) != condition.value
        return True

    def _take_time(self, condition: Filter, unit: int) -> bool:
        """Take over a comparison of a time that counts units of so many nanoseconds, each rounded down."""
        if not isinstance(condition, (EqualTo, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual)):
            return False
        ns = _nanoseconds(condition.value, unit)
        if ns is None:
            return False
        after = ns + unit  # the first instant that counts as later
        if isinstance(condition, (EqualTo, GreaterThanOrEqual)):
            self._not_before(ns)
        if isinstance(condition, GreaterThan):
            self._not_before(after)
        if isinstance(condition, LessThan):
            self._before(ns)
        if isinstance(condition, (EqualTo, LessThanOrEqual)):
            self._before(after)
        return True

    def _not_before(self, ns: int) -> None:
        self.start_ns = ns if self.start_ns is None else max(self.start_ns, ns)
        self.nothing |= ns > MAX_NS

    def _before(self, ns: int) -> None:
        if ns <= MAX_NS:
            self.end_ns = ns if self.end_ns is None else min(self.end_ns, ns)


def _nanoseconds(value: Any, unit: int) -> int | None:
    """Return the time that a filter compares with; None if it is not certain which one that is.

    Spark gives an instant as a datetime, Sail as the number of units.
    """
    if type(value) is int:
        ns = value * unit
        return ns if MIN_NS < ns <= MAX_NS else None
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        with contextlib.suppress(DataError):  # outside the range of times, which is smaller than Spark's
            return to_ns(value)
    return None
