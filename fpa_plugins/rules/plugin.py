"""Registers the rule engine and the standard rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.hookspecs import hookimpl
from fpa_plugins.rules import (
    account_history,
    bands,
    bar_history,
    bar_times,
    bars,
    consistency,
    executions,
    identities,
    jumps,
    order_history,
    orders,
    portfolio,
    quotes,
    sequence,
    sessions,
    standstill,
    ticks,
    time,
    trades,
    windows,
)
from fpa_plugins.rules.ruleset import RuleSet, RulesOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fpa_core.hookspecs import RegisterRule, RegisterValidator
    from fpa_core.validator import Rule

__all__ = ["RULES", "fpa_register_rules", "fpa_register_validators"]

RULES: tuple[type[Rule], ...] = (
    *quotes.RULES,
    *trades.RULES,
    *bars.RULES,
    *time.RULES,
    *orders.RULES,
    *portfolio.RULES,
    *sequence.RULES,
    *sessions.RULES,
    *jumps.RULES,
    *bar_history.RULES,
    *bar_times.RULES,
    *identities.RULES,
    *standstill.RULES,
    *windows.RULES,
    *order_history.RULES,
    *account_history.RULES,
    *consistency.RULES,
    *ticks.RULES,
    *bands.RULES,
    *executions.RULES,
)
"""The standard rules."""


def _rule_set(options: RulesOptions, rules: Sequence[Rule]) -> RuleSet:  # noqa: ARG001
    return RuleSet(rules)


@hookimpl
def fpa_register_validators(register: RegisterValidator) -> None:
    """Register the rule engine as validator ``rules``."""
    register("rules", _rule_set, RulesOptions)


@hookimpl
def fpa_register_rules(register: RegisterRule) -> None:
    """Register the standard rules."""
    for rule in RULES:
        register(rule)
