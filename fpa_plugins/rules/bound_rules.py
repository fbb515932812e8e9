"""A rule bound to a kind: which variant applies to a record, and the context it gets."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

from attrs import define, evolve, field, frozen

from fpa_core.kinds import Kind
from fpa_core.protocols import StoredBars, StoredOrder
from fpa_core.validator import Rule
from fpa_core.validator.conditions import Where

__all__ = ["BoundRule", "RuleContext"]

_MOST_SUBJECTS = 65_536


@frozen
class RuleContext:
    """The context of validation, for the rules that need it.

    :ivar memory: the state of rules, by rule; None for none.
    :ivar now_ns: the current time; None to use the system's clock.
    """

    memory: MutableMapping[str, Any] | None = None
    now_ns: int | None = None
    stored: StoredOrder | None = None
    stored_bars: StoredBars | None = None


@define
class BoundRule:
    """A rule for records of one kind.

    :ivar plain: whether it applies to every record with the same parameters.
    """

    rule: Rule
    kind: Kind
    plain: bool = field(init=False)
    where: Where | None = field(init=False)
    slot: str = field(init=False)
    _by_subject: dict[str | None, Rule | None] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.where = Where(self.rule.where, self.rule.kinds) if self.rule.where else None
        self.plain = self.where is None and not self.rule.overrides
        # Series of quotes and of trades are independent.
        self.slot = self.rule.id if len(self.rule.kinds) == 1 else f"{self.rule.id} {self.kind.name}"

    def pick(self, record: Any) -> Rule | None:
        """Return the variant of the rule for a record; None if it does not apply."""
        if self.where is not None and not self.where.accepts(record):
            return None
        return self.of(getattr(record, self.kind.subject))

    def of(self, subject: str | None) -> Rule | None:
        """Return the variant of the rule for a symbol (for snapshots, an account); None if it is off there."""
        try:
            return self._by_subject[subject]
        except KeyError:
            pass
        rule: Rule | None = self.rule if self.rule.enabled else None
        for override in self.rule.overrides:
            if override.fits(subject):
                rule = override.rule
                break
        if len(self._by_subject) >= _MOST_SUBJECTS:
            self._by_subject = {}
        self._by_subject[subject] = rule
        return rule

    def variants(self) -> list[Rule]:
        """Return the rule with each set of parameters that it has for some records."""
        own = [self.rule] if self.rule.enabled else []
        return own + [override.rule for override in self.rule.overrides if override.rule is not None]

    def needs(self, given: RuleContext) -> dict[str, Any]:
        """Return what the rule needs, by name."""
        return {need: _NEEDS[need](given, self.slot) for need in self.rule.needs}


def _memory(given: RuleContext, slot: str) -> MutableMapping[Any, Any]:
    memory: MutableMapping[Any, Any] = {} if given.memory is None else given.memory.setdefault(slot, {})
    return memory


_NEEDS: dict[str, Callable[[RuleContext, str], Any]] = {
    "now_ns": lambda given, _: time.time_ns() if given.now_ns is None else given.now_ns,
    "memory": _memory,
    "stored": lambda given, _: given.stored or _nothing,
    "stored_bars": lambda given, _: given.stored_bars,
}


def _nothing(*_: str) -> None:
    """Return None: there is no store."""


def with_present(given: RuleContext) -> RuleContext:
    """Return *given* with the current time fixed, so that all rules use the same."""
    return given if given.now_ns is not None else evolve(given, now_ns=time.time_ns())
