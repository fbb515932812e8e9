"""How a set of rules is configured: levels, also those of the user, parameters, and overrides by symbol."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from fpa_core.exceptions import ConfigError, FpaError
from fpa_core.protocols import Severity
from fpa_core.validator.conditions import CLASS, Override, where_problems
from fpa_core.validator.rule import LEVELS, Rule, rule_problems

__all__ = ["Preset", "base_level", "configure"]

Classes = Mapping[str, Sequence[str]]


@attrs.frozen
class Preset:
    """A level of the user's own.

    :ivar extends: the level it begins with: a built-in one, or another of the user's.
    :ivar rules: severities by rule id or glob, ``off`` among them; of several that fit, the last counts.
    """

    extends: str = "standard"
    rules: Mapping[str, Severity | Literal["off"]] = attrs.field(factory=dict)


def configure(
    rules: Iterable[type[Rule]],
    level: str,
    overrides: Mapping[str, Rule | Mapping[str, Any]] | None = None,
    *,
    levels: Mapping[str, Any] | None = None,
    classes: Classes | None = None,
) -> list[Rule]:
    """Make the rules in force at *level*, each knowing its severity, in the order of their priority.

    :param overrides: by rule id: its parameters, or the rule already made with them.
    :param levels: the user's own levels by name, as :class:`Preset` or anything with its fields.
    :param classes: globs of symbols by the name of their class, for overrides of ``class:NAME``.
    :raises ConfigError: with every problem found: an unknown level, an id no rule has, a parameter that is unknown or refuses its value.
    """
    known = {rule.id: rule for rule in rules}
    overrides = overrides or {}
    base, chosen, problems = _level(level, levels or {})
    problems += [f"{name!r}: no such rule{_near(name, known)}" for name in overrides if name not in known]
    problems += [
        f"level: {pattern!r} fits no rule{_near(pattern, known)}"
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
            said = [severity for pattern, severity in chosen if fnmatch.fnmatchcase(name, pattern)]
            effective = made.at(base, said[-1] if said else None)
        except ConfigError as error:
            problems += [f'"{name}".{problem}' for problem in error.problems or (error.message,)]
        else:
            ready += [] if effective is None else [effective]
    if problems:
        raise ConfigError("the rules cannot be configured:\n  " + "\n  ".join(problems), problems=problems)
    return sorted(ready, key=lambda rule: (rule.priority, rule.id))


def base_level(level: str, levels: Mapping[str, Any] | None = None) -> str:
    """Return the built-in level that a level of the user's own is built upon."""
    return _level(level, levels or {})[0]


def _level(level: str, levels: Mapping[str, Any]) -> tuple[str, list[tuple[str, Any]], list[str]]:
    """Return the built-in level under *level*, what is said of rules on the way up from it, and the problems."""
    above: list[str] = []
    chosen: list[tuple[str, Any]] = []
    while level in levels:
        if level in above:
            return "standard", [], [f"level: {' extends '.join([*above, level])}: that is a circle"]
        above.append(level)
        chosen = [*levels[level].rules.items(), *chosen]
        level = levels[level].extends
    known = (*LEVELS, *levels)
    problems = [] if level in LEVELS else [f"level: {level!r} is none of {', '.join(known)}{_near(level, known)}"]
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
                wrong.append(f'overrides."{name}": no such class{_near(name.removeprefix(CLASS), classes)}')
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
    problems = [f"{name}: no such parameter{_near(name, known)}" for name in values if name not in known]
    for name in values.keys() & set(known):
        if name == "where":
            wrong = where_problems(values[name], rule.kind if isinstance(rule.kind, tuple) else (rule.kind,))
            problems += [f"{'.'.join(('where', *path))}: {expected}" for path, _, expected in wrong]
            continue
        try:
            rule(**{name: values[name]})  # one at a time, so that each mistake is told
        except (FpaError, TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return problems


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
