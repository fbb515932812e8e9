"""User-defined levels, filters of rules, and overrides of their parameters by symbol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from fpa_core.config.problems import KeyPath, did_you_mean
from fpa_core.config.sections import LEVELS, ValidatorSection
from fpa_core.exceptions import DataError
from fpa_core.patterns import compiled, matches

if TYPE_CHECKING:
    from fpa_core.config.converter import ConfigConverter
    from fpa_core.config.problems import Problem

__all__ = ["check_classes", "check_levels", "rule_of"]

Classes = Mapping[str, type[Any]]

_APART = ("where", "overrides")
_AN_ID = '"quote.*"'


class TableBuilder(Protocol):
    """Converts tables and collects problems."""

    converter: ConfigConverter
    problems: list[Problem]

    def table(self, path: KeyPath, cls: type[Any], *, also: tuple[str, ...] = ()) -> Any:
        """Return the table at a path as an instance of a class."""
        ...

    def value(self, path: KeyPath) -> Any:
        """Return the value at a path."""
        ...

    def report(self, path: KeyPath, value: Any, expected: str, hint: str | None = None) -> None:
        """Record a problem."""
        ...


def check_levels(builder: TableBuilder, section: ValidatorSection, rules: Classes) -> None:
    """Report levels that extend an unknown level or themselves, and unknown rule ids."""
    path = ("validator", "levels")
    known = [*LEVELS, *section.levels]
    named: list[tuple[KeyPath, str]] = [(("validator", "level"), section.level)]
    for name, level in section.levels.items():
        named.append(((*path, name, "extends"), level.extends))
        if name in LEVELS:
            builder.report((*path, name), attrs.NOTHING, "expected a name that is not a built-in level")
        for pattern in level.rules:
            if _is_usable(builder, (*path, name, "rules", pattern), pattern) and not any(
                matches(pattern, rule) for rule in rules
            ):
                expected = f"no rule matches; expected the id of a rule, or a pattern such as {_AN_ID}"
                builder.report((*path, name, "rules", pattern), attrs.NOTHING, expected, did_you_mean(pattern, rules))
    for key, level_name in named:
        if level_name not in known:
            expected = f"expected one of {', '.join(known)}"
            builder.report(key, level_name, expected, did_you_mean(level_name, known))
    _check_circles(builder, section)


def _check_circles(builder: TableBuilder, section: ValidatorSection) -> None:
    path = ("validator", "levels")
    for name in section.levels:
        seen, above = [name], section.levels[name].extends
        while above in section.levels and above not in seen:
            seen.append(above)
            above = section.levels[above].extends
        if above == name:
            circle = " extends ".join([*seen, name])
            builder.report((*path, name, "extends"), section.levels[name].extends, f"circular definition: {circle}")


def check_classes(builder: TableBuilder, section: ValidatorSection) -> None:
    """Report classes of symbols whose patterns cannot be used."""
    for name, patterns in section.classes.items():
        for number, pattern in enumerate(patterns):
            _is_usable(builder, ("validator", "classes", name, number), pattern)


def _is_usable(builder: TableBuilder, path: KeyPath, pattern: str) -> bool:
    """Return whether *pattern* can be used; if not, report it."""
    try:
        compiled(pattern)
    except DataError as error:
        builder.report(path, attrs.NOTHING, error.message, error.hint)
        return False
    return True


def rule_of(builder: TableBuilder, path: KeyPath, cls: type[Any], classes: Mapping[str, tuple[str, ...]]) -> Any:
    """Return the rule of *cls* with the parameters, the filter and the overrides at *path*, which may also hold the rule itself."""
    table = builder.value(path)
    if isinstance(table, cls):
        return table
    adapts = isinstance(table, dict) and hasattr(cls, "adapted")
    made: Any = builder.table(path, cls, also=_APART if adapts else ())
    if not adapts:
        return made
    where, others = (table.get(key, {}) for key in _APART)
    for inside, value, expected in cls.where_problems(where):
        builder.report((*path, "where", *inside), value, expected)
    if not isinstance(others, dict):
        builder.report((*path, "overrides"), others, "expected a table by symbol, pattern or class:NAME")
        return made
    plain = {key: value for key, value in table.items() if key not in _APART}
    adapted: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name, other in others.items():
        patterns: tuple[str, ...] = (name,)
        if name.startswith("class:"):
            patterns = classes.get(name.removeprefix("class:"), ())
            if not patterns:
                expected = (
                    f"unknown class; expected one of: {', '.join(classes) or 'none, as [validator.classes] is empty'}"
                )
                hint = did_you_mean(name.removeprefix("class:"), classes)
                builder.report((*path, "overrides", name), attrs.NOTHING, expected, hint)
        elif not _is_usable(builder, (*path, "overrides", name), name):
            continue
        if (rule := _override(builder, (*path, "overrides", name), cls, plain, other)) is not None:
            adapted[name] = (patterns, rule)
    return None if made is None or builder.problems else made.adapted(where, adapted)


def _override(builder: TableBuilder, path: KeyPath, cls: type[Any], plain: Mapping[str, Any], other: Any) -> Any:
    """Return the rule with *other* on top of its parameters *plain*; only problems of *other* are reported."""
    from fpa_core.config.scalars import ConversionErrors

    if not isinstance(other, dict):
        builder.report(path, other, "expected a table of parameters")
        return None
    for key in set(other) & set(_APART):
        builder.report((*path, key), attrs.NOTHING, "unknown key; an override may only have parameters")
    table = {key: value for key, value in {**plain, **other}.items() if key not in _APART}
    try:
        return builder.converter.structure_class(table, cls)
    except ConversionErrors as found:
        for error in found.errors:
            if not error.path or error.path[0] in other:
                builder.report((*path, *error.path), error.value, error.expected, error.hint)
        return None
