"""What a validator must do: judge records and tables alike, and explain itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from attrs import define, field, frozen

from fpa_core.kinds import Kind
from fpa_core.protocols.capabilities import Capability

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "RANKS",
    "Failure",
    "Finding",
    "RuleClass",
    "Severity",
    "StoredBars",
    "StoredOrder",
    "Tally",
    "ValidatorBackend",
    "Verdict",
]

StoredOrder: TypeAlias = Callable[[str], Any]
"""Returns the order that is stored under an id, or None."""


class StoredBars(Protocol):
    """Looks up bars that are stored, for rules that judge arriving ones by them."""

    def __call__(
        self, symbols: Sequence[str], interval: str, start_ns: int, end_ns: int, *, last: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the bars of *symbols* and *interval* by symbol and time, as they were before the batch being written.

        The columns are ``symbol``, ``timestamp``, ``open``, ``high``, ``low``, ``close`` and ``volume``, decimals in any form (see
        :mod:`fpa_core.arrow.columns`).

        :param start_ns: the first time included; ``end_ns`` is the first one left out.
        :param last: at most so many, counted from the last, which comes first.
        """
        ...


class Severity(StrEnum):
    """How bad a broken rule is: an error quarantines the record, a warning and an information only tell."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


RANKS = {severity: rank for rank, severity in enumerate(Severity)}
"""Severities in order, the worst first."""


@frozen
class Failure:
    """What a rule that looks beyond the record found wrong: false, like the verdict that it is, but with its reasons.

    :ivar message: what is wrong, in a sentence.
    :ivar limit: what would just have been allowed, as text.
    :ivar related: the other record that this one was judged by, as text.
    """

    message: str
    limit: str | None = None
    related: str | None = None

    def __bool__(self) -> bool:
        return False


@frozen
class Finding:
    """One record that broke one rule.

    :ivar rule: the rule's id, or ``RULE_CRASHED: id`` when the rule itself failed.
    :ivar message: what is wrong, in a sentence.
    :ivar observed: the values of the fields the rule looked at.
    :ivar row: position of the record among those examined, from 0.
    :ivar limit: what would just have been allowed, as text, where the rule has a limit.
    :ivar related: the other record that this one was judged by, as text, where there is one.
    """

    rule: str
    severity: Severity
    message: str
    kind: str
    subject: str | None = None
    ts_ns: int | None = None
    observed: Mapping[str, Any] = field(factory=dict)
    row: int | None = None
    limit: str | None = None
    related: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON-able values; limit and related record are left out where there is none."""
        observed = {name: None if value is None else str(value) for name, value in self.observed.items()}
        beyond = {"limit": self.limit, "related": self.related}
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "message": self.message,
            "observed": observed,
            **{name: value for name, value in beyond.items() if value is not None},
        }


@define
class Tally:
    """What one rule made of the rows so far: how many it judged, how many it could not for want of a value, how many broke it."""

    evaluated: int = 0
    not_evaluated: int = 0
    failed: int = 0


@frozen
class Verdict:
    """What one rule says of a table.

    :ivar rule: its id.
    :ivar passed: one boolean a row: true passed, false failed, null not evaluated.
    :ivar crash: the traceback, in the verdict ``RULE_CRASHED: id`` that stands beside the rule's own when the rule could not judge some
        rows: these are false here, and null in the rule's own verdict.
    :ivar why: tells the reasons for a row that failed, where they do not lie in the row alone.
    :ivar elsewhere: how many of the nulls are rows of which another verdict of the same rule speaks, with another severity.
    """

    rule: str
    severity: Severity
    passed: pa.BooleanArray
    crash: str | None = None
    why: Callable[[int], Failure] | None = None
    elsewhere: int = 0


@runtime_checkable
class RuleClass(Protocol):
    """A rule as it is registered: an attrs class whose fields are its TOML parameters (see :class:`fpa_core.validator.Rule`)."""

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]

    def __call__(self, **parameters: Any) -> Any:
        """Make the rule with its parameters."""
        ...


class ValidatorBackend(Protocol):
    """Judges records, one at a time or a table at once, with equal verdicts."""

    capabilities: frozenset[Capability]

    def inspect(
        self,
        kind: Kind,
        table: pa.Table,
        memory: MutableMapping[str, Any] | None = None,
        *,
        records: Sequence[Any] | None = None,
        now_ns: int | None = None,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
        others: Mapping[str, pa.Table] | None = None,
    ) -> Sequence[Verdict]:
        """Judge every row of a table with the kind's columns; one verdict a rule that applies. The table is not changed.

        :param memory: what series rules remember from one chunk to the next of the same examination; None for a table on its own.
        :param records: the same rows as records, from a caller that has them; they may know more, such as the positions of a snapshot.
        :param now_ns: the present moment, for rules that ask for it; None for the system's clock.
        :param stored: looks up the order that is stored under an id, for rules that ask for it.
        :param stored_bars: looks up stored bars, for rules that ask for them; None without a store.
        :param others: other tables by the name of their kind; rules about data sets apply only with those they need.
        """
        ...

    def check(
        self,
        record: Any,
        memory: MutableMapping[str, Any] | None = None,
        *,
        now_ns: int | None = None,
        tallies: MutableMapping[str, Tally] | None = None,
        stored: StoredOrder | None = None,
        stored_bars: StoredBars | None = None,
    ) -> Sequence[Finding]:
        """Judge one record; nothing found means nothing wrong.

        :param tallies: counts by rule, which are raised by this record's.
        """
        ...

    def explain(
        self,
        kind: Kind,
        verdict: Verdict,
        table: pa.Table,
        limit: int | None = None,
        *,
        records: Sequence[Any] | None = None,
    ) -> Sequence[Finding]:
        """Turn the failures of a verdict into findings, at most *limit*, in the order of the rows."""
        ...

    def add(self, rule: Any) -> None:
        """Put one more rule in force.

        :raises PluginError: when its id is taken.
        """
        ...

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Describe the rules in force: id, kind, severity, parameters with their values and origin, what they say."""
        ...
