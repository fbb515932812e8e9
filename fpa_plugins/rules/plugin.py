"""Registers the rule engine and the standard rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from fpa_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fpa_core.hookspecs import RegisterRule, RegisterValidator
    from fpa_core.validator import Rule
    from fpa_plugins.rules.ruleset import RuleSet

__all__ = ["RulesOptions", "fpa_register_rules", "fpa_register_validators"]


@frozen
class RulesOptions:
    """Settings of the rule engine: it has none except those of the rules."""


def _rule_set(options: RulesOptions, rules: Sequence[Rule]) -> RuleSet:  # noqa: ARG001
    from fpa_plugins.rules.ruleset import RuleSet

    return RuleSet(rules)


@hookimpl
def fpa_register_validators(register: RegisterValidator) -> None:
    """Register the rule engine as validator ``rules``."""
    register("rules", _rule_set, RulesOptions)


@hookimpl
def fpa_register_rules(register: RegisterRule) -> None:
    """Register the standard rules."""
    from fpa_plugins.rules.catalog import RULES

    for rule in RULES:
        register(rule)
