"""Rules: small attrs classes whose fields are their parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import attrs

from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.protocols import Failure, Reach, Severity
from fpa_core.validator.conditions import Override, Problem, Where, where_problems

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns

__all__ = [
    "ERROR",
    "FLAG",
    "INFO",
    "OPT_IN",
    "STATISTICAL",
    "WARN",
    "Rule",
    "Scope",
    "every",
    "rule_problems",
]

Scope: TypeAlias = Literal["row", "series", "dataset"]
"""What a rule reads: a single row, a row and those before it, or several tables."""

OPT_IN: Mapping[str, Severity | None] = MappingProxyType({"lenient": None, "standard": None, "strict": None})
"""Severities of a rule for some markets only, which is disabled unless its severity is set."""

INFO: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": None, "standard": Severity.INFO, "strict": Severity.INFO}
)
"""Severities of a rule that describes data and does not question them."""

FLAG: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.INFO, "standard": Severity.WARNING, "strict": Severity.WARNING}
)
"""Severities of a rule that correct data often break, so it rejects no record."""

STATISTICAL: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": None, "standard": None, "strict": Severity.WARNING}
)
"""Severities of a slow statistical rule, which runs only at level strict and rejects no record."""

WARN: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.INFO, "standard": Severity.WARNING, "strict": Severity.ERROR}
)
"""Severities of a rule that correct data sometimes break."""

ERROR: Mapping[str, Severity | None] = MappingProxyType(
    {"lenient": Severity.WARNING, "standard": Severity.ERROR, "strict": Severity.ERROR}
)
"""Severities of a rule that only wrong data break."""

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
COMMON = ("enabled", "severity", "stop", "tolerate", "where", "overrides")
"""The parameters common to all rules."""

_NEEDS = ("memory", "now_ns", "stored", "stored_bars")


def _overrides(several: Iterable[Override]) -> tuple[Override, ...]:
    return tuple(several)


@attrs.frozen(kw_only=True)
class Rule:
    """A condition on records, stated in the first line of the docstring and tested by ``check``.

    The base class of all rules. An example::

        @attrs.frozen(kw_only=True)
        class RoundLot(Rule):
            "The quantity of an order is a multiple of the lot."

            id = "acme.round_lot"
            kind = "orders"
            fields = ("quantity",)

            lot: int = 100

            def check(self, order):
                return None if order.quantity is None else order.quantity % self.lot == 0

    Annotated names are parameters. They can be set in TOML (``[validator.rules."acme.round_lot"] lot = 50``) and must have defaults. A rule
    without parameters needs no decorator. Names without annotation are class variables:

    - ``id``: its identifier, as ``vendor.name``; ``kind``: the plural name of the record kind it applies to, or several names;
    - ``fields``: the attributes it reads, which findings show;
    - ``levels``: its severity at each level, None if disabled there; :data:`WARN` by default;
    - ``scope``: :data:`Scope`; ``priority``: smaller ones run first;
    - ``needs``: further arguments, passed by keyword: ``now_ns``, the current time; ``memory``, a dict of its own that lasts as long as the
      validation run; ``stored``, which returns the stored order of an id, or None; ``stored_bars``, which yields stored bars (see
      :class:`fpa_core.protocols.StoredBars`), or is None without a store;
    - ``against``: for scope ``dataset``, the other kinds it needs; its ``mask(columns, others)`` gets their tables by kind name. They have all rows,
      or at least those that ``reach(columns)`` returns.

    ``check(record)`` returns True, False, or None if a value it needs is missing. Instead of False it may return a
    :class:`fpa_core.protocols.Failure` with a message. ``mask(columns)``, if defined, returns the same for a
    whole table (see :class:`fpa_core.validator.vectors.Columns`), as a `KleeneMask` or an Arrow boolean array whose nulls mean None.

    :ivar enabled: whether the rule is enabled.
    :ivar severity: replaces the severity of the level.
    :ivar stop: whether no further rules are applied to a live record that breaks this rule as an error.
    :ivar tolerate: how many records may break the rule while the result is still valid: a number, or a fraction of those evaluated.
    :ivar where: the records it applies to, by field: patterns for a text; ``min`` and ``max`` for a number or a time.
    :ivar overrides: other parameters by symbol, pattern, or ``class:NAME``; for snapshots, by account.
    """

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]
    fields: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[Mapping[str, Severity | None]] = WARN
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
        raise DataError(f"tolerate: expected a number of records, or a fraction below 1, not {value!r}", value=value)

    @where.validator
    def _check_where(self, _: Any, value: Mapping[str, Any]) -> None:
        if value:
            Where(value, self.kinds)

    def at(self, level: str, chosen: Severity | Literal["off"] | None = None) -> Self | None:
        """Return this rule with its severity at *level*; None if it is disabled there.

        :param chosen: the severity that a user level sets.
        """
        given = None if chosen == "off" else chosen or self.levels.get(level)
        severity = self.severity or given
        overrides = [attrs.evolve(each, rule=each.rule and each.rule.at(level, chosen)) for each in self.overrides]
        if level == "off":
            return None
        if not self.enabled or severity is None:
            if not any(each.rule for each in overrides):
                return None
            severity = None  # enabled for some symbols only
        return attrs.evolve(self, severity=severity, enabled=severity is not None, overrides=overrides)

    @classmethod
    def where_problems(cls, conditions: Any) -> list[Problem]:
        """Return every problem of a filter ``where``: its path of keys, the value, and what was expected."""
        return where_problems(conditions, (cls.kind,) if isinstance(cls.kind, str) else cls.kind)

    def adapted(self, where: Mapping[str, Any], overrides: Mapping[str, tuple[Sequence[str], Rule]]) -> Self:
        """Return this rule with a filter and with overrides: by name, the patterns and the rule with other parameters."""
        several = [Override(name, tuple(patterns), rule) for name, (patterns, rule) in overrides.items()]
        return attrs.evolve(self, where=where, overrides=sorted(several, key=lambda each: each.rank))

    def reach(self, columns: Columns) -> Reach | None:  # noqa: ARG002
        """Return which rows of ``against`` a rule of scope ``dataset`` looks at to judge the rows of a table; None for all of them."""
        return None

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return the limit that the value exceeds, as text; None if the rule has no limit."""
        return None

    def sessions(self, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:  # noqa: ARG002
        """Return the sessions that overlap a range of time, as opens and closes in nanoseconds, in order.

        None if the rule has no calendar, or its calendar does not cover the range. Reports use it to tell gaps from holidays.
        """
        return None

    def describe(self, record: Any) -> str:  # noqa: ARG002
        """Return a message about *record*, which broke the rule; by default the summary of the rule."""
        return self.summary

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds it applies to."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self._documentation().partition("\n")[0]

    def _documentation(self) -> str:
        return inspect.cleandoc(type(self).__doc__ or self.id)

    @classmethod
    def parameters(cls) -> tuple[attrs.Attribute[Any], ...]:
        """Return the rule's own parameters, without the common ones."""
        return tuple(attribute for attribute in attrs.fields(cls) if attribute.name not in COMMON)

    def as_dict(self) -> dict[str, Any]:
        """Return a description of the rule with the values and defaults of its parameters."""
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
    """Combine verdicts, ignoring None: False if one is False, else True if one is True, else None."""
    return False if False in verdicts else True if True in verdicts else None


def rule_problems(rule: Any) -> list[str]:
    """Return the problems that make *rule* unusable as a rule class; an empty list if there are none."""
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        return [f"{rule!r} is not a subclass of fpa_core.validator.Rule"]
    problems = []
    if not _ID.fullmatch(str(getattr(rule, "id", ""))):
        problems.append(f"id: {getattr(rule, 'id', None)!r} is not of the form vendor.name")
    method = "mask" if rule.scope == "dataset" else "check"
    if not callable(getattr(rule, method, None)):
        problems.append(f"{method}: this method is missing")
    problems += [f"against: {kind!r} is not one of {', '.join(KINDS)}" for kind in rule.against if kind not in KINDS]
    kinds = getattr(rule, "kind", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if not kinds or (unknown := [kind for kind in kinds if kind not in KINDS]):
        problems.append(f"kind: {unknown if kinds else 'nothing'} is not one of {', '.join(KINDS)}")
    else:
        known = [[attribute.name for attribute in attrs.fields(KINDS[kind].record)] for kind in kinds]
        problems += [
            f"fields: {name!r} is not a field of {kind}; expected some of: {', '.join(names)}"
            for kind, names in zip(kinds, known, strict=True)
            for name in rule.fields
            if name not in names
        ]
    problems += [f"needs: {need!r} is not one of {', '.join(_NEEDS)}" for need in rule.needs if need not in _NEEDS]
    if "__attrs_attrs__" not in vars(rule) and any("ClassVar" not in str(hint) for hint in _own_annotations(rule)):
        problems.append("its parameters are not attrs fields: decorate the class with @attrs.frozen(kw_only=True)")
    problems += [
        f"{parameter.name}: a parameter needs a default"
        for parameter in rule.parameters()
        if parameter.default is attrs.NOTHING
    ]
    return problems


def _own_annotations(rule: type[Rule]) -> Iterable[Any]:
    return inspect.get_annotations(rule).values()
