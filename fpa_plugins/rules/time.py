"""Rules about the times of records."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, field, frozen

from fpa_core.config import Duration
from fpa_core.kinds import KINDS
from fpa_core.numbers import ns_text, to_ns, to_seconds
from fpa_core.validator import OPT_IN, WARN, Rule
from fpa_plugins.rules.intervals import DAY, interval_ns

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Future", "Past", "Stale"]


@frozen(kw_only=True)
class Future(Rule):
    """The time is not in the future.

    A small tolerance allows for clocks that differ. FINRA rule 4590 holds the clocks of brokers to within 50 ms of the atomic clock of NIST.

    Good, at 12:00:00: 11:59:59. Bad: 12:00:05.

    :ivar tolerance: how far a time may be ahead of this machine's clock: seconds, or text such as "50ms".
    :ivar strict_tolerance: the tolerance at level strict, if it is smaller.
    """

    id = "time.future"
    kind = tuple(KINDS)
    fields = ("ts_ns",)
    levels = WARN
    needs = ("now_ns",)

    tolerance: Duration = field(default=1.0, converter=to_seconds, metadata={"unit": "s"})
    strict_tolerance: Duration = field(default=0.05, converter=to_seconds, metadata={"unit": "s"})

    def at(self, level: str, chosen: Any = None) -> Self | None:
        """Return the rule at a level; at strict with the smaller tolerance."""
        made = super().at(level, chosen)
        if made is None or level != "strict":
            return made
        return evolve(made, tolerance=min(self.tolerance, self.strict_tolerance))

    def check(self, record: Any, now_ns: int) -> bool | None:
        """Check one record of any kind."""
        return None if record.ts_ns is None else record.ts_ns <= self._latest(now_ns)

    def mask(self, columns: Columns, now_ns: int) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("ts_ns") <= self._latest(now_ns)

    def describe(self, record: Any) -> str:
        """Return a message with the time and the tolerance."""
        return f"{ns_text(record.ts_ns)} lies more than {self.tolerance:g} s in the future"

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return the tolerance."""
        return f"{self.tolerance:g} s"

    def _latest(self, now_ns: int) -> int:
        return now_ns + round(self.tolerance * 10**9)


@frozen(kw_only=True)
class Stale(Rule):
    """The record is not older than a given age when it arrives.

    For live feeds; in files of past data everything is old. Set the severity to enable it, and overrides for symbols that trade rarely.

    Good, at 12:00:00: 11:59:59. Bad: 10:30:00.

    :ivar max_age: how old a record may be by this machine's clock: seconds, or text such as "1h".
    """

    id = "time.stale"
    kind = ("quotes", "trades", "bars")
    fields = ("ts_ns",)
    levels = OPT_IN
    needs = ("now_ns",)

    max_age: Duration = field(default=3600.0, converter=to_seconds, metadata={"unit": "s"})

    def check(self, record: Any, now_ns: int) -> bool:
        """Check one record."""
        recent: bool = record.ts_ns >= self._earliest(now_ns)
        return recent

    def mask(self, columns: Columns, now_ns: int) -> KleeneMask:
        """Validate a table."""
        return columns.numbers("ts_ns") >= self._earliest(now_ns)

    def describe(self, record: Any) -> str:
        """Return a message with the time and the age."""
        return f"{ns_text(record.ts_ns)} lies more than {self.max_age:g} s back"

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return the age."""
        return f"{self.max_age:g} s"

    def _earliest(self, now_ns: int) -> int:
        return now_ns - round(self.max_age * 10**9)


def _day(value: Any) -> str:
    text = str(value)
    to_ns(text, "earliest", dates=True)  # raises if it is not a date
    return text


@functools.lru_cache(maxsize=64)
def _instant(text: str) -> int:
    return to_ns(text, "earliest", dates=True)


@frozen(kw_only=True)
class Past(Rule):
    """The time is not before electronic markets: 1980, unless set.

    A quote, a trade or a bar of less than a day from before nearly always has a time in another unit: milliseconds or microseconds read as
    nanoseconds are in January 1970. Bars of a day or more are not checked.

    Good: 2013-10-07T13:30:00Z. Bad: 1970-01-19T08:28:19Z.

    :ivar earliest: the first day that is accepted: a date such as "1980-01-01", or an instant with its zone.
    """

    id = "time.past"
    kind = ("quotes", "trades", "bars")
    fields = ("ts_ns",)
    levels = WARN

    earliest: str = field(default="1980-01-01", converter=_day)

    def check(self, record: Any) -> bool | None:
        """Check one record."""
        interval = getattr(record, "interval", None)
        if interval is not None and interval_ns(interval) >= DAY:
            return None
        recent: bool = record.ts_ns >= _instant(self.earliest)
        return recent

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        from fpa_core.validator.vectors import KleeneMask

        recent = columns.numbers("ts_ns") >= _instant(self.earliest)
        if columns.kind.name != "bars":
            return recent
        import numpy as np

        codes, names = columns.codes("interval")
        return recent.where(KleeneMask(np.array([interval_ns(name) < DAY for name in names], np.bool_)[codes]))

    def describe(self, record: Any) -> str:
        """Return a message with the time and the usual cause."""
        return f"{ns_text(record.ts_ns)} lies before {self.earliest}: a time in another unit, such as microseconds, looks like this"

    def limit(self, record: Any) -> str | None:  # noqa: ARG002
        """Return the first day."""
        return self.earliest


RULES: tuple[type[Rule], ...] = (Future, Past, Stale)
