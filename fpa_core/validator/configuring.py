"""Configure a set of rules: built-in and user levels, parameters, and overrides by symbol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpa_core.config import LevelProfile, ValidatorSection, structure_rules
from fpa_core.exceptions import ConfigError
from fpa_core.patterns import matches
from fpa_core.validator.rule import Rule, rule_problems

__all__ = ["base_level", "configure"]


def configure(
    rules: Iterable[type[Rule]],
    level: str,
    overrides: Mapping[str, Rule | Mapping[str, Any]] | None = None,
    *,
    levels: Mapping[str, LevelProfile] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> list[Rule]:
    """Return the rules enabled at *level* with their severities, in the order of their priority.

    :param overrides: by rule id: its parameters as in ``[validator.rules]``, or the rule already made with them.
    :param levels: the user's levels by name.
    :param classes: patterns of symbols by class name, for overrides of ``class:NAME``.
    :raises ConfigError: with all problems: an unknown level or rule id, an unknown parameter or an invalid value.
    """
    known = {rule.id: rule for rule in rules}
    unusable = [f"{name!r}: {problem}" for name, rule in known.items() for problem in rule_problems(rule)]
    if unusable:
        raise ConfigError("the rules cannot be used:\n  " + "\n  ".join(unusable), problems=unusable)
    by_class = {name: tuple(patterns) for name, patterns in (classes or {}).items()}
    section = structure_rules(
        ValidatorSection(level=level, rules=overrides or {}, levels=levels or {}, classes=by_class), known
    )
    base, chosen = _resolve(level, section.levels)
    effective = []
    for name, rule in known.items():
        severities = [severity for pattern, severity in chosen if matches(pattern, name)]
        made: Rule = section.rules.get(name) or rule()
        if (ready := made.at(base, severities[-1] if severities else None)) is not None:
            effective.append(ready)
    return sorted(effective, key=lambda rule: (rule.priority, rule.id))


def base_level(level: str, levels: Mapping[str, LevelProfile] | None = None) -> str:
    """Return the built-in level that a user level is based on."""
    return _resolve(level, levels or {})[0]


def _resolve(level: str, levels: Mapping[str, LevelProfile]) -> tuple[str, list[tuple[str, Any]]]:
    """Return the built-in level that *level* is based on, and the severities by pattern of all levels above it, the basic ones first."""
    chosen: list[tuple[str, Any]] = []
    for _ in levels:  # no chain is longer than there are levels
        if level in levels:
            chosen = [*levels[level].rules.items(), *chosen]
            level = levels[level].extends
    return level, chosen
