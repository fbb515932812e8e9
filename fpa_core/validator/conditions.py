"""Filters and overrides of rules: the parameter ``where``, and overrides by symbol, pattern or class of symbols."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from fpa_core.exceptions import DataError, FpaError
from fpa_core.kinds import KINDS, Kind
from fpa_core.numbers import to_decimal, to_ns
from fpa_core.patterns import compiled, is_pattern, matches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fpa_core.validator.vectors import Columns

__all__ = ["CLASS", "Override", "Problem", "Where", "pattern_problem", "where_problems"]

CLASS = "class:"
"""The prefix of an override for a class of symbols."""

Problem = tuple[tuple[str, ...], Any, str]
"""A path of keys, the value there, and what was expected."""

_BOUNDS = ("min", "max")


def pattern_problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern; None if it can be used."""
    try:
        compiled(pattern)
    except DataError as error:
        return f"not allowed: {error}"
    return None


@attrs.frozen
class _Patterns:
    """Accepts a text that matches one of several patterns."""

    patterns: tuple[str, ...]

    @functools.cached_property
    def _match(self) -> Callable[[str], object]:
        return re.compile("|".join(f"(?:{compiled(each).pattern})" for each in self.patterns), re.DOTALL).fullmatch

    def accepts(self, value: Any) -> bool:
        return value is not None and self._match(value) is not None


@attrs.frozen
class _Bounds:
    """Accepts a number or time between two inclusive bounds, each of which may be None."""

    low: Any = None
    high: Any = None

    def accepts(self, value: Any) -> bool:
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Where:
    """The condition under which a rule applies to a record: every given field matches. A missing value never matches.

    :param conditions: by public name of the field: one pattern or several for a text; a table with ``min`` and ``max`` for a number or a time.
    :raises DataError: with all problems.
    """

    def __init__(self, conditions: Mapping[str, Any], kinds: Iterable[str]) -> None:
        if problems := where_problems(conditions, kinds):
            message = "; ".join(f"{'.'.join(path)}: {expected}" for path, _, expected in problems)
            raise DataError(f"where: {message}", hint='write it like where = { symbol = "BTC*", size = { min = 1 } }')
        kind = KINDS[next(iter(kinds))]
        self._tests = {
            kind.by_name[name].field: _Patterns(_texts(wanted))
            if kind.by_name[name].type == "text"
            else _Bounds(*[_read(kind, name, wanted.get(bound)) for bound in _BOUNDS])
            for name, wanted in conditions.items()
        }

    def accepts(self, record: Any) -> bool:
        """Return whether the rule applies to *record*."""
        return all(test.accepts(getattr(record, field)) for field, test in self._tests.items())

    def rows(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Return to which rows of a table the rule applies."""
        import numpy as np

        applies = np.ones(len(columns), np.bool_)
        for field, test in self._tests.items():
            if isinstance(test, _Patterns):
                codes, names = columns.codes(field)
                accepted = np.array([test.accepts(name) for name in names], np.bool_)
                applies &= accepted[codes] if len(names) else False
            else:
                numbers = columns.numbers(field)
                applies &= numbers.present().holds
                if test.low is not None:
                    applies &= (numbers >= test.low).holds
                if test.high is not None:
                    applies &= (numbers <= test.high).holds
        return applies


@attrs.frozen
class Override:
    """Other parameters for some symbols.

    :ivar name: the key in the configuration: a symbol, a pattern, or ``class:NAME``.
    :ivar patterns: the symbols it applies to.
    :ivar rule: the rule with those parameters; None if it is disabled.
    """

    name: str
    patterns: tuple[str, ...]
    rule: Any

    @property
    def rank(self) -> int:
        """0 for a symbol, 1 for a pattern, 2 for a class: the first that matches applies."""
        return 2 if self.name.startswith(CLASS) else 1 if is_pattern(self.name) else 0

    def fits(self, subject: str | None) -> bool:
        """Return whether it applies to a symbol (for snapshots, an account)."""
        return subject is not None and any(matches(each, subject) for each in self.patterns)


def where_problems(conditions: Any, kinds: Iterable[str]) -> list[Problem]:
    """Return all problems of a filter for rules about *kinds*."""
    if not isinstance(conditions, Mapping):
        return [((), conditions, "expected a table of fields")]
    wanted_kinds = [KINDS[name] for name in kinds]
    problems: list[Problem] = []
    for name, wanted in conditions.items():
        types = {kind.by_name[name].type if name in kind.by_name else None for kind in wanted_kinds}
        if None in types:
            common = [
                column.name for column in wanted_kinds[0].columns if all(column.name in k.by_name for k in wanted_kinds)
            ]
            problems.append(((name,), wanted, f"unknown field; expected one of: {', '.join(common)}"))
        elif "text" in types:
            if not (patterns := _texts(wanted)):
                problems.append(((name,), wanted, 'expected a text such as "BTC*", or a list of texts'))
            problems += [((name,), each, problem) for each in patterns if (problem := pattern_problem(each))]
        elif not isinstance(wanted, Mapping) or not wanted:
            problems.append(((name,), wanted, "expected a table with min, max or both"))
        else:
            problems += _bound_problems(wanted_kinds[0], name, wanted)
    return problems


def _bound_problems(kind: Kind, name: str, wanted: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    for bound, value in wanted.items():
        if bound not in _BOUNDS:
            problems.append(((name, bound), value, "unknown key; expected one of: min, max"))
            continue
        try:
            _read(kind, name, value)
        except FpaError as error:
            problems.append(((name, bound), value, f"not allowed: {error.message}"))
    return problems


def _texts(wanted: Any) -> tuple[str, ...]:
    """Return one pattern or several as a tuple; empty if they are invalid."""
    several: Sequence[Any] = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list | tuple) else ()
    return tuple(several) if all(isinstance(each, str) and each for each in several) else ()


def _read(kind: Kind, name: str, value: Any) -> Any:
    if value is None:
        return None
    return to_ns(value, name, dates=True) if kind.by_name[name].type == "time" else to_decimal(value, name)
