"""What a rule is: a small attrs class whose fields are its parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeAlias

import attrs

from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.protocols import Failure, Severity
from fpa_core.validator.conditions import Override, Problem, Where, where_problems

__all__ = [
    "ASKED",
    "FLAGS",
    "INFORMS",
    "LEVELS",
    "REFUSES",
    "SUSPECTS",
    "WARNS",
    "Rule",
    "Scope",
    "every",
    "rule_problems",
]

Scope: TypeAlias = Literal["row", "series", "dataset"]
"""What a rule looks at: a row alone, a row and those before it, or several tables."""

LEVELS = ("off", "lenient", "standard", "strict")
"""How much is asked of data; each rule says how severe it is at each level."""

ASKED: Mapping[str, Severity | None] = MappingProxyType({"lenient": None, "standard": None, "strict": None})
"""Levels of a rule that makes sense for some markets only, and is in force where its severity is set."""

INFORMS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": None, "standard": Severity.INFO, "strict": Severity.INFO}
)
"""Levels of a rule that describes data rather than doubting them."""

FLAGS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.INFO, "standard": Severity.WARNING, "strict": Severity.WARNING}
)
"""Levels of a rule that correct data break so often that it refuses nothing."""

SUSPECTS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": None, "standard": None, "strict": Severity.WARNING}
)
"""Levels of a rule that guesses by statistics, and takes its time: it is asked only where much is demanded, and refuses nothing."""

WARNS: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.INFO, "standard": Severity.WARNING, "strict": Severity.ERROR}
)
"""Levels of a rule that real and correct data sometimes break."""

REFUSES: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.WARNING, "standard": Severity.ERROR, "strict": Severity.ERROR}
)
"""Levels of a rule that only wrong data break."""

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
COMMON = ("enabled", "severity", "stop", "tolerate", "where", "overrides")
"""The parameters that every rule has."""

_NEEDS = ("memory", "now_ns", "stored", "stored_bars")


def _overrides(several: Iterable[Override]) -> tuple[Override, ...]:
    return tuple(several)


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
    - ``needs``: what it wants beside the record, passed by keyword: ``now_ns``, the present moment; ``memory``, a dict of its own that lasts as
      long as the examination; ``stored``, which returns the stored order of an id, or None; ``stored_bars``, which yields stored bars (see
      :class:`fpa_core.protocols.StoredBars`), or is None without a store;
    - ``against``: of a rule of scope ``dataset``, the kinds it needs beside its own; its ``mask(columns, others)`` gets them by name.

    ``check(record)`` returns True, False, or None where a value it needs is missing; instead of False it may return a
    :class:`fpa_core.protocols.Failure`, which has the sentence with it. ``mask(columns)``, if there is one, returns the same for a
    whole table (see :class:`fpa_core.validator.vectors.Columns`), as a `Truth` or an Arrow boolean array whose nulls mean None.

    :ivar enabled: false switches the rule off.
    :ivar severity: takes the place of the severity its level gives.
    :ivar stop: whether a live record that breaks the rule as an error is not judged any further.
    :ivar tolerate: how much may break the rule while the whole still counts as valid: a number of records, or a fraction of those judged.
    :ivar where: to which records it applies, by field: globs for a text; ``min`` and ``max`` for a number or a time.
    :ivar overrides: other parameters by symbol, glob, or ``class:NAME``; for snapshots, by account.
    """

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]
    fields: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[Mapping[str, Severity | None]] = WARNS
    scope: ClassVar[Scope] = "row"
    priority: ClassVar[int] = 50
    needs: ClassVar[tuple[str, ...]] = ()
    against: ClassVar[tuple[str, ...]] = ()
    check: ClassVar[Callable[..., bool | Failure | None]]
    mask: ClassVar[Callable[..., Any] | None] = None

    enabled: bool = True
    severity: Severity | None = attrs.field(default=None, converter=attrs.converters.optional(Severity))
    stop: bool = False
    tolerate: int | float | None = attrs.field(default=None)
    where: Mapping[str, Any] = attrs.field(factory=dict)
    overrides: tuple[Override, ...] = attrs.field(default=(), converter=_overrides)

    @tolerate.validator
    def _check_tolerate(self, _: Any, value: float | None) -> None:
        if value is None or (type(value) is int and value >= 0) or (type(value) is float and 0 <= value < 1):
            return
        raise DataError(f"tolerate: a number of records, or a fraction below 1, is needed, not {value!r}", value=value)

    @where.validator
    def _check_where(self, _: Any, value: Mapping[str, Any]) -> None:
        if value:
            Where(value, self.kinds)

    def at(self, level: str, chosen: Severity | Literal["off"] | None = None) -> Self | None:
        """Return this rule with the severity it has at *level*; None when it is off there.

        :param chosen: what a level of the user's says of the rule.
        """
        given = None if chosen == "off" else chosen or self.levels.get(level)
        severity = self.severity or given
        overrides = [attrs.evolve(each, rule=each.rule and each.rule.at(level, chosen)) for each in self.overrides]
        if level == "off":
            return None
        if not self.enabled or severity is None:
            if not any(each.rule for each in overrides):
                return None
            severity = None  # off but for some symbols
        return attrs.evolve(self, severity=severity, enabled=severity is not None, overrides=overrides)

    @classmethod
    def where_problems(cls, conditions: Any) -> list[Problem]:
        """Return every problem of a filter ``where``: its path of keys, the value, and what was expected."""
        return where_problems(conditions, (cls.kind,) if isinstance(cls.kind, str) else cls.kind)

    def adapted(self, where: Mapping[str, Any], overrides: Mapping[str, tuple[Sequence[str], Rule]]) -> Self:
        """Return this rule with a filter, and with other parameters for some symbols: by name, the globs it stands for and the rule."""
        several = [Override(name, tuple(patterns), rule) for name, (patterns, rule) in overrides.items()]
        return attrs.evolve(self, where=where, overrides=sorted(several, key=lambda each: each.rank))

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return what would just have been allowed, as text; None where the rule has no such thing."""
        return None

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
        return tuple(attribute for attribute in attrs.fields(cls) if attribute.name not in COMMON)

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
            "units": {each.name: each.metadata["unit"] for each in self.parameters() if "unit" in each.metadata},
            "stop": self.stop,
            "tolerate": self.tolerate,
            "where": dict(self.where),
            "overrides": {each.name: _differences(self, each.rule) for each in self.overrides},
            "summary": self.summary,
            "doc": self._documentation(),
        }


def _differences(rule: Rule, other: Rule | None) -> dict[str, Any]:
    if other is None:
        return {"enabled": False}
    names = [attribute.name for attribute in rule.parameters()] + ["severity", "tolerate", "stop"]
    return {name: getattr(other, name) for name in names if getattr(other, name) != getattr(rule, name)}


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
    method = "mask" if rule.scope == "dataset" else "check"
    if not callable(getattr(rule, method, None)):
        problems.append(f"{method}: there is no such method")
    problems += [f"against: {kind!r} is none of {', '.join(KINDS)}" for kind in rule.against if kind not in KINDS]
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
