"""Configure a set of rules: built-in and user levels, parameters, and overrides by symbol."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from fpa_core.config import LEVELS, LevelProfile
from fpa_core.exceptions import ConfigError, FpaError
from fpa_core.validator.conditions import CLASS, Override, where_problems
from fpa_core.validator.rule import Rule, rule_problems

__all__ = ["base_level", "configure"]

Classes = Mapping[str, Sequence[str]]


def configure(
    rules: Iterable[type[Rule]],
    level: str,
    overrides: Mapping[str, Rule | Mapping[str, Any]] | None = None,
    *,
    levels: Mapping[str, LevelProfile] | None = None,
    classes: Classes | None = None,
) -> list[Rule]:
    """Return the rules enabled at *level* with their severities, in the order of their priority.

    :param overrides: by rule id: its parameters, or the rule already made with them.
    :param levels: the user's levels by name.
    :param classes: globs of symbols by class name, for overrides of ``class:NAME``.
    :raises ConfigError: with all problems: an unknown level or rule id, an unknown parameter or an invalid value.
    """
    known = {rule.id: rule for rule in rules}
    overrides = overrides or {}
    base, chosen, problems = _level(level, levels or {})
    problems += [f"{name!r}: unknown rule{_near(name, known)}" for name in overrides if name not in known]
    problems += [
        f"level: {pattern!r} matches no rule{_near(pattern, known)}"
        for pattern, _ in chosen
        if not fnmatch.filter(known, pattern)
    ]
    ready: list[Rule] = []
    for name, rule in known.items():
        if unusable := rule_problems(rule):
            problems += [f"{name!r}: {problem}" for problem in unusable]
            continue
        try:
            made = _made(rule, overrides.get(name, {}), classes or {})
            severities = [severity for pattern, severity in chosen if fnmatch.fnmatchcase(name, pattern)]
            effective = made.at(base, severities[-1] if severities else None)
        except ConfigError as error:
            problems += [f'"{name}".{problem}' for problem in error.problems or (error.message,)]
        else:
            ready += [] if effective is None else [effective]
    if problems:
        raise ConfigError("the rules cannot be configured:\n  " + "\n  ".join(problems), problems=problems)
    return sorted(ready, key=lambda rule: (rule.priority, rule.id))


def base_level(level: str, levels: Mapping[str, LevelProfile] | None = None) -> str:
    """Return the built-in level that a user level is based on."""
    return _level(level, levels or {})[0]


def _level(level: str, levels: Mapping[str, LevelProfile]) -> tuple[str, list[tuple[str, Any]], list[str]]:
    """Return the built-in level that *level* is based on, the severities by pattern of all levels above it, and the problems."""
    above: list[str] = []
    chosen: list[tuple[str, Any]] = []
    while level in levels:
        if level in above:
            return "standard", [], [f"level: {' extends '.join([*above, level])}: a circular definition"]
        above.append(level)
        chosen = [*levels[level].rules.items(), *chosen]
        level = levels[level].extends
    known = (*LEVELS, *levels)
    problems = [] if level in LEVELS else [f"level: {level!r} is not one of {', '.join(known)}{_near(level, known)}"]
    return level, chosen, problems


def _made(rule: type[Rule], values: Rule | Mapping[str, Any], classes: Classes) -> Rule:
    if isinstance(values, Rule):
        return values
    several = values.get("overrides", {})
    plain = {name: value for name, value in values.items() if name != "overrides"}
    problems = _value_problems(rule, plain)
    made: list[Override] = []
    if isinstance(several, Mapping):
        for name, other in several.items():
            wrong = [f'overrides."{name}".{problem}' for problem in _value_problems(rule, other, inner=True)]
            patterns = classes.get(name.removeprefix(CLASS), ()) if name.startswith(CLASS) else (name,)
            if not patterns:
                wrong.append(f'overrides."{name}": unknown class{_near(name.removeprefix(CLASS), classes)}')
            problems += wrong
            if not wrong and not problems:
                made.append(Override(name, tuple(patterns), rule(**{**plain, **other})))
    else:
        problems.append("overrides: expected a table by symbol, glob or class:NAME")
    if problems:
        raise ConfigError("; ".join(problems), problems=problems)
    return rule(**plain, overrides=sorted(made, key=lambda each: each.rank))


def _value_problems(rule: type[Rule], values: Any, *, inner: bool = False) -> list[str]:
    if not isinstance(values, Mapping):
        return ["expected a table of parameters"]
    outside = ("overrides", "where") if inner else ("overrides",)
    known = [attribute.name for attribute in attrs.fields(rule) if attribute.name not in outside]
    problems = [f"{name}: unknown parameter{_near(name, known)}" for name in values if name not in known]
    for name in values.keys() & set(known):
        if name == "where":
            wrong = where_problems(values[name], rule.kind if isinstance(rule.kind, tuple) else (rule.kind,))
            problems += [f"{'.'.join(('where', *path))}: {expected}" for path, _, expected in wrong]
            continue
        try:
            rule(**{name: values[name]})  # one at a time, so that every error is reported
        except (FpaError, TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return problems


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
