"""The protocol of validator backends: validate records and tables with equal results, and explain them."""

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
    "Reach",
    "RuleClass",
    "Severity",
    "StoredBars",
    "StoredOrder",
    "Tally",
    "ValidatorBackend",
    "Verdict",
]

StoredOrder: TypeAlias = Callable[[str, str], Any]
"""Returns the stored order of an id and an account, or None."""


class StoredBars(Protocol):
    """Looks up stored bars, for rules that compare new bars with them."""

    def __call__(
        self, symbols: Sequence[str], interval: str, start_ns: int, end_ns: int, *, last: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the bars of *symbols* and *interval* by symbol and time, as they were before the current batch.

        The columns are ``symbol``, ``timestamp``, ``open``, ``high``, ``low``, ``close`` and ``volume``, decimals in any form (see
        :mod:`fpa_core.arrow.columns`).

        :param start_ns: the start, inclusive; ``end_ns`` is the end, exclusive.
        :param last: return at most this many of the latest bars, the last one first.
        """
        ...


class Severity(StrEnum):
    """The severity of a broken rule: an error quarantines the record; warnings and infos are only reported."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


RANKS = {severity: rank for rank, severity in enumerate(Severity)}
"""The rank of each severity, the worst first."""


@frozen
class Failure:
    """A failed verdict with a message; false in a condition.

    :ivar message: what is wrong, in a sentence.
    :ivar limit: the limit that was exceeded, as text.
    :ivar related: the other record that this one was compared with, as text.
    """

    message: str
    limit: str | None = None
    related: str | None = None

    def __bool__(self) -> bool:
        return False


@frozen
class Finding:
    """One record that broke one rule.

    :ivar rule: the rule's id, or ``RULE_CRASHED: id`` if the rule raised an exception.
    :ivar message: what is wrong, in a sentence.
    :ivar observed: the values of the fields of the rule.
    :ivar row: position of the record among those validated, from 0.
    :ivar limit: the limit that was exceeded, as text; None if the rule has none.
    :ivar related: the other record that this one was compared with, as text; None if there is none.
    :ivar file: the file of the record, if several were validated together, and *row* its position there; else None.
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
    file: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values; limit, related record and file are left out if None."""
        observed = {name: None if value is None else str(value) for name, value in self.observed.items()}
        beyond = {"limit": self.limit, "related": self.related, "file": self.file}
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "message": self.message,
            "observed": observed,
            **{name: value for name, value in beyond.items() if value is not None},
        }


@define
class Tally:
    """Counts of one rule: rows evaluated, not evaluated because a value was missing, and failed."""

    evaluated: int = 0
    not_evaluated: int = 0
    failed: int = 0


@frozen
class Verdict:
    """The result of one rule on a table.

    :ivar rule: its id.
    :ivar passed: one boolean per row: true passed, false failed, null not evaluated.
    :ivar crash: the traceback, in the additional verdict ``RULE_CRASHED: id`` of a rule that raised an exception for some rows; they are
        false here, and null in the rule's own verdict.
    :ivar why: returns the reason for a failed row; None if the row alone explains it.
    :ivar covered_elsewhere: the number of nulls in rows that another verdict of the same rule, with another severity, covers.
    """

    rule: str
    severity: Severity
    passed: pa.BooleanArray
    crash: str | None = None
    why: Callable[[int], Failure] | None = None
    covered_elsewhere: int = 0


@runtime_checkable
class RuleClass(Protocol):
    """A rule as it is registered: an attrs class whose fields are its TOML parameters (see :class:`fpa_core.validator.Rule`)."""

    id: ClassVar[str]
    kind: ClassVar[str | tuple[str, ...]]

    def __call__(self, **parameters: Any) -> Any:
        """Return the rule with the given parameters."""
        ...


@frozen
class Reach:
    """The rows of another kind that a rule looks at to judge some rows: those of the same symbols from one time to another, both included.

    :ivar complete: if not None, one more row of each symbol is looked at: the last earlier one in which none of these fields is missing, or if there is
        none, a later one.
    """

    first_ns: int
    last_ns: int
    complete: tuple[str, ...] | None = None


class ValidatorBackend(Protocol):
    """Validates single records and whole tables, with equal results."""

    capabilities: frozenset[Capability]

    def validate(
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
        """Return a verdict on the rows of a table for each rule that applies. The table is not changed.

        :param memory: state of series rules between the chunks of one run; None for a single table.
        :param records: the same rows as records, if the caller has them; they may have more data, such as the positions of a snapshot.
        :param now_ns: the current time, for rules that need it; None for the system clock.
        :param stored: looks up the stored order of an id, for rules that need it.
        :param stored_bars: looks up stored bars, for rules that need them; None without a store.
        :param others: other tables by the name of their kind; rules of scope ``dataset`` apply only if the tables they need are given.
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
        """Return the findings of one record.

        :param tallies: counts by rule, which are updated.
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
        """Return the findings of a verdict, at most *limit*, in the order of the rows."""
        ...

    def sessions(self, subject: str, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:
        """Return the opens and closes of the sessions of a symbol's market that overlap the time from *start_ns* to *end_ns*, in order.

        None if no calendar is configured for the symbol, or it does not cover the whole time. It is called only with
        `Capability.SESSIONS`.
        """
        ...

    def reach(self, kind: Kind, table: pa.Table) -> Mapping[str, Sequence[Reach] | None]:
        """Return, by the name of each other kind that rules compare the rows of *table* with, which rows of it they look at; None for all.

        It is called only with `Capability.REACH`.
        """
        ...

    def add(self, rule: Any) -> None:
        """Add a rule.

        :raises PluginError: if its id is taken.
        """
        ...

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Return descriptions of the enabled rules: id, kind, severity, parameters with values, summary."""
        ...
