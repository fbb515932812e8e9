"""What a rule is: a small attrs class whose fields are its parameters, and how a set of them is configured."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeAlias

import attrs

from fpa_core.exceptions import ConfigError, FpaError
from fpa_core.protocols import Severity
from fpa_core.records import KINDS

__all__ = [
    "INFORMS",
    "LEVELS",
    "REFUSES",
    "WARNS",
    "Rule",
    "Scope",
    "configure",
    "every",
    "rule_problems",
]

Scope: TypeAlias = Literal["row", "series", "dataset"]
"""What a rule looks at: a row alone, a row and those before it, or several tables."""

LEVELS = ("off", "lenient", "standard", "strict")
"""How much is asked of data; each rule says how severe it is at each level."""

INFORMS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": None, "standard": Severity.INFO, "strict": Severity.INFO}
)
"""Levels of a rule that describes data rather than doubting them."""

WARNS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.INFO, "standard": Severity.WARNING, "strict": Severity.ERROR}
)
"""Levels of a rule that real and correct data sometimes break."""

REFUSES: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.WARNING, "standard": Severity.ERROR, "strict": Severity.ERROR}
)
"""Levels of a rule that only wrong data break."""

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_COMMON = ("enabled", "severity")
_NEEDS = ("memory", "now_ns")


@attrs.frozen(kw_only=True)
class Rule:
    """What must hold of a record: said in the first docstring line, judged in ``check``.

    The base of every rule, as in::

        @attrs.frozen(kw_only=True)
        class RoundLot(Rule):
            "The quantity of an order is a multiple of the lot."

            id = "acme.round_lot"
            kind = "orders"
            fields = ("quantity",)

            lot: int = 100

            def check(self, order):
                return None if order.quantity is None else order.quantity % self.lot == 0

    Annotated names are parameters, which TOML may set (``[validator.rules."acme.round_lot"] lot = 50``) and which all have defaults; a rule
    without any needs no decorator. Names without annotation are class variables:

    - ``id``: who the rule is, as ``vendor.name``; ``kind``: the record kind it judges, by its plural name, or several;
    - ``fields``: the attributes it looks at, shown in findings;
    - ``levels``: its severity at each level, None where it is off; :data:`WARNS` unless it says otherwise;
    - ``scope``: :data:`Scope`; ``priority``: smaller ones are judged first;
    - ``needs``: what it wants beside the record, passed by keyword: ``now_ns``, the present moment, and ``memory``, a dict of its own that
      lasts as long as the examination.

    ``check(record)`` returns True, False, or None where a value it needs is missing. ``mask(columns)``, if there is one, returns the same for a
    whole table (see :class:`fpa_core.validator.vectors.Columns`), as a `Truth` or an Arrow boolean array whose nulls mean None.

    :ivar enabled: false switches the rule off.
    :ivar severity: takes the place of the severity its level gives.
    """

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]
    fields: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[Mapping[str, Severity | None]] = WARNS
    scope: ClassVar[Scope] = "row"
    priority: ClassVar[int] = 50
    needs: ClassVar[tuple[str, ...]] = ()
    check: ClassVar[Callable[..., bool | None]]
    mask: ClassVar[Callable[..., Any] | None] = None

    enabled: bool = True
    severity: Severity | None = attrs.field(default=None, converter=attrs.converters.optional(Severity))

    def at(self, level: str) -> Self | None:
        """Return this rule with the severity it has at *level*; None when it is off there."""
        severity = self.severity or self.levels.get(level)
        if not self.enabled or level == "off" or severity is None:
            return None
        return attrs.evolve(self, severity=severity)

    def describe(self, record: Any) -> str:  # noqa: ARG002
        """Say in a sentence what is wrong with *record*, which broke the rule. Unless overridden, that is what should have held."""
        return self.summary

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds it judges."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    @property
    def summary(self) -> str:
        """What must hold: the first line of the docstring."""
        return self._documentation().partition("\n")[0]

    def _documentation(self) -> str:
        return inspect.cleandoc(type(self).__doc__ or self.id)

    @classmethod
    def parameters(cls) -> tuple[attrs.Attribute[Any], ...]:
        """Return the fields that are the rule's own, without those every rule has."""
        return tuple(attribute for attribute in attrs.fields(cls) if attribute.name not in _COMMON)

    def as_dict(self) -> dict[str, Any]:
        """Describe the rule as it stands, with its parameters' values and defaults."""
        defaults = type(self)()
        names = [attribute.name for attribute in self.parameters()]
        return {
            "id": self.id,
            "kind": list(self.kinds),
            "scope": self.scope,
            "severity": self.severity,
            "levels": dict(self.levels),
            "priority": self.priority,
            "fields": list(self.fields),
            "parameters": {name: getattr(self, name) for name in names},
            "defaults": {name: getattr(defaults, name) for name in names},
            "summary": self.summary,
            "doc": self._documentation(),
        }


def every(*verdicts: bool | None) -> bool | None:
    """Join verdicts, leaving out those not evaluated: False if one is, else True if one is, else None."""
    return False if False in verdicts else True if True in verdicts else None


def rule_problems(rule: Any) -> list[str]:
    """Say what keeps *rule* from being a usable rule class; an empty list means nothing does."""
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        return [f"{rule!r} is no class derived from fpa_core.validator.Rule"]
    problems = []
    if not _ID.fullmatch(str(getattr(rule, "id", ""))):
        problems.append(f"id: {getattr(rule, 'id', None)!r} does not look like vendor.name")
    if not callable(getattr(rule, "check", None)):
        problems.append("check: there is no such method")
    kinds = getattr(rule, "kind", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if not kinds or (unknown := [kind for kind in kinds if kind not in KINDS]):
        problems.append(f"kind: {unknown if kinds else 'nothing'} is none of {', '.join(KINDS)}")
    else:
        known = [{attribute.name for attribute in attrs.fields(KINDS[kind].record)} for kind in kinds]
        problems += [
            f"fields: {name!r} is no field of {kind}"
            for kind, names in zip(kinds, known, strict=True)
            for name in rule.fields
            if name not in names
        ]
    problems += [f"needs: {need!r} is none of {', '.join(_NEEDS)}" for need in rule.needs if need not in _NEEDS]
    if "__attrs_attrs__" not in vars(rule) and any("ClassVar" not in str(hint) for hint in _own_annotations(rule)):
        problems.append("its parameters are no attrs fields: decorate the class with @attrs.frozen(kw_only=True)")
    problems += [
        f"{parameter.name}: a parameter needs a default"
        for parameter in rule.parameters()
        if parameter.default is attrs.NOTHING
    ]
    return problems


def _own_annotations(rule: type[Rule]) -> Iterable[Any]:
    return inspect.get_annotations(rule).values()


def configure(
    rules: Iterable[type[Rule]], level: str, overrides: Mapping[str, Rule | Mapping[str, Any]] | None = None
) -> list[Rule]:
    """Make the rules in force at *level*, each knowing its severity, in the order of their priority.

    :param overrides: by rule id: its parameters, or the rule already made with them.
    :raises ConfigError: with every problem found: an unknown level, an id no rule has, a parameter that is unknown or refuses its value.
    """
    classes = {rule.id: rule for rule in rules}
    overrides = overrides or {}
    problems = [] if level in LEVELS else [f"level: {level!r} is none of {', '.join(LEVELS)}"]
    problems += [f"{name!r}: no such rule{_near(name, classes)}" for name in overrides if name not in classes]
    ready: list[Rule] = []
    for name, rule in classes.items():
        if unusable := rule_problems(rule):
            problems += [f"{name!r}: {problem}" for problem in unusable]
            continue
        try:
            made = _made(rule, overrides.get(name, {}))
        except ConfigError as error:
            problems += [f'"{name}".{problem}' for problem in error.problems]
        else:
            if (effective := made.at(level)) is not None:
                ready.append(effective)
    if problems:
        raise ConfigError("the rules cannot be configured:\n  " + "\n  ".join(problems), problems=problems)
    return sorted(ready, key=lambda rule: (rule.priority, rule.id))


def _made(rule: type[Rule], values: Rule | Mapping[str, Any]) -> Rule:
    if isinstance(values, Rule):
        return values
    known = {attribute.name: attribute for attribute in attrs.fields(rule)}
    problems = [f"{name}: no such parameter{_near(name, known)}" for name in values if name not in known]
    for name in values.keys() & known.keys():
        try:
            rule(**{name: values[name]})  # one at a time, so that each mistake is told
        except (FpaError, TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ConfigError("; ".join(problems), problems=problems)
    return rule(**values)


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
