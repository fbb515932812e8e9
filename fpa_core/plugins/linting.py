"""Find mistakes in hook implementations that would otherwise be silent, or appear far from their cause."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fpa_core import hookspecs
from fpa_core.config import closest_match, did_you_mean

__all__ = ["HOOKS", "lint"]

HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if hasattr(spec, f"{hookspecs.GROUP}_spec")
}
"""All hooks, with the names of their arguments."""

_PREFIX = f"{hookspecs.GROUP}_"


def lint(plugin: object) -> list[str]:
    """Return a message for each mistake in the hook implementations of *plugin*."""
    return [mistake for name in dir(plugin) for mistake in _lint(name, getattr(plugin, name, None))]


def _lint(name: str, member: Any) -> Iterator[str]:
    if not inspect.isroutine(member):
        return
    options = getattr(member, f"{hookspecs.GROUP}_impl", None)
    if not isinstance(options, dict):
        if name.startswith(_PREFIX) and closest_match(name, HOOKS):
            hint = "" if name in HOOKS else f"; {did_you_mean(name, HOOKS)}"
            yield f"{name} is not marked with @hookimpl, so it would never be called{hint}"
        return
    hook = options.get("specname") or name
    if hook not in HOOKS:
        if not options.get("optionalhook"):
            yield f"{hook} is not a hook; {did_you_mean(hook, HOOKS) or 'hooks: ' + ', '.join(HOOKS)}"
        return
    if options.get("wrapper") or options.get("hookwrapper"):
        yield f"{name} is a wrapper; plugins are called separately, so there is nothing to wrap"
    elif inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member):
        yield f"{name} is async; hooks are called, not awaited"
    elif inspect.isgeneratorfunction(member):
        yield f"{name} is a generator; it would never run"
    yield from _lint_arguments(name, member, HOOKS[hook])


def _lint_arguments(name: str, function: Callable[..., Any], allowed: tuple[str, ...]) -> Iterator[str]:
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            yield f"{name}: {argument} would always be empty; name the arguments: {', '.join(allowed)}"
        elif argument.name not in allowed:
            hint = did_you_mean(argument.name, allowed) or f"the hook has: {', '.join(allowed)}"
            yield f"{name} takes {argument.name}, which the hook does not have; {hint}"
        elif argument.kind is argument.KEYWORD_ONLY:
            yield f"{name}: {argument.name} is keyword-only, but hooks are called by position"
        elif argument.default is not argument.empty:
            yield f"{name}: {argument.name} has a default, so the hook's own value would never be passed"
