"""Rules about market sessions: records outside of them, and missing bars within them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from fpa_core.calendars import sessions
from fpa_core.config import Duration
from fpa_core.numbers import ns_text, to_seconds
from fpa_core.protocols import Failure
from fpa_core.validator import FLAG, INFO, PairRule, Rule
from fpa_plugins.rules.intervals import DAY, interval_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fpa_core.validator.lagged import Lagged
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "Gap", "Session"]


@frozen(kw_only=True)
class Session(Rule):
    """The exchange is open at the time of the record.

    Sessions and holidays come from the package exchange_calendars (``pip install 'financial-portfolio-automation[calendars]'``). Without a
    calendar, or outside its range, nothing is checked. Set it for the symbols of an exchange by an override.

    Good, at XNYS: 2024-07-03 15:00 UTC. Bad: 2024-07-04 15:00 UTC, a holiday.

    :ivar calendar: the code of the exchange, such as XNYS.
    """

    id = "time.session"
    kind = ("quotes", "trades", "bars")
    fields = ("ts_ns",)
    levels = FLAG
    priority = 20

    calendar: str | None = None

    def at(self, level: str, chosen: Any = None) -> Self | None:
        """Return the rule at a level; off if it has no calendar."""
        made = super().at(level, chosen)
        if made is None or not (self.calendar or any(each.rule and each.rule.calendar for each in self.overrides)):
            return None
        if self.calendar is not None:
            sessions(self.calendar)  # a missing package is reported when rules are configured, not on each record
        return made

    def check(self, record: Any) -> bool | None:
        """Check one record."""
        if self.calendar is None:
            return None
        number = sessions(self.calendar).number(record.ts_ns)
        return None if number is None else number >= 0

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        from fpa_core.validator.vectors import KleeneMask

        if self.calendar is None:
            return columns.unknown()
        numbers, known = sessions(self.calendar).numbers(columns.numbers("ts_ns").units)
        return KleeneMask(numbers >= 0, known)

    def sessions(self, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:
        """Return the sessions of the exchange in a range of time."""
        return None if self.calendar is None else sessions(self.calendar).between(start_ns, end_ns)

    def describe(self, record: Any) -> str:
        """Return a message with the time and the exchange."""
        return f"{self.calendar} is closed at {ns_text(record.ts_ns)}"


@frozen(kw_only=True)
class Gap(PairRule):
    """The bar follows the one before it without a gap: after at most a given number of intervals.

    With a calendar, bars shorter than a day are checked within a session, and daily bars by the sessions between them. Without one, only bars
    at most ``max_gap`` apart are checked; beyond that, the market is assumed to be closed.

    Good: 12:00, 12:01. Bad: 12:00, 12:05 of an interval of 1m.

    :ivar max_intervals: the largest number of intervals between the starts of two bars.
    :ivar max_gap: without a calendar, the longest distance that is checked: seconds, or text such as "4h".
    :ivar calendar: the code of the exchange, such as XNYS.
    """

    id = "time.gap"
    kind = "bars"
    fields = ("ts_ns", "interval")
    keeps = ("ts_ns", "interval")
    key = ("symbol", "interval")
    levels = INFO

    max_intervals: float = field(default=1.5, metadata={"unit": "intervals"})
    max_gap: Duration = field(default=14_400.0, converter=to_seconds, metadata={"unit": "s"})
    calendar: str | None = None

    def at(self, level: str, chosen: Any = None) -> Self | None:
        """Return the rule at a level."""
        made = super().at(level, chosen)
        if made is not None and self.calendar is not None:
            sessions(self.calendar)
        return made

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool | None:
        """Compare the times."""
        (ts_ns, interval), earlier = now, before[0]
        passed, step = ts_ns - earlier, interval_ns(interval)
        if passed <= 0:
            return None
        if self.calendar is None:
            return None if passed > self._longest else passed <= self._most(step)
        hours = sessions(self.calendar)
        if step > DAY:
            return None
        if step == DAY:
            return hours.opened(ts_ns - 1) - hours.opened(earlier - 1) <= 1
        one, two = hours.number(earlier), hours.number(ts_ns)
        return passed <= self._most(step) if one is not None and one >= 0 and one == two else None

    def sessions(self, start_ns: int, end_ns: int) -> Sequence[tuple[int, int]] | None:
        """Return the sessions of the exchange in a range of time."""
        return None if self.calendar is None else sessions(self.calendar).between(start_ns, end_ns)

    @property
    def _longest(self) -> int:
        return round(self.max_gap * 10**9)

    def _most(self, step: int) -> int:
        return int(self.max_intervals * step)

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Compare the times of a table."""
        import numpy as np

        from fpa_core.validator.vectors import KleeneMask

        codes, names = columns.codes("interval")
        steps = np.array([interval_ns(name) for name in names], np.int64)[codes] if names else np.zeros(0, np.int64)
        most = np.array([self._most(interval_ns(name)) for name in names], np.int64)[codes] if names else steps
        times, earlier = columns.numbers("ts_ns").units, before.numbers("ts_ns").units
        passed = times - earlier
        passed = np.where((times > earlier) & (passed < 0), 2**63 - 1, passed)  # would overflow 64 bits
        known = before.exists & (times > earlier)
        if self.calendar is None:
            return KleeneMask(passed <= most, known & (passed <= self._longest))
        hours = sessions(self.calendar)
        (one, known_one), (two, known_two) = hours.numbers(earlier), hours.numbers(times)
        inside = (steps < DAY) & known_one & known_two & (one >= 0) & (one == two)
        opened = [np.searchsorted(np.asarray(hours.opens), each - 1, side="right") for each in (earlier, times)]
        daily = steps == DAY
        return KleeneMask(np.where(daily, opened[1] - opened[0] <= 1, passed <= most), known & (inside | daily))

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Return a message with both times."""
        return Failure(
            f"bars are missing: {ns_text(now[0])} follows {ns_text(before[0])}, at an interval of {now[1]}",
            f"{self.max_intervals:g} intervals",
            ns_text(before[0]),
        )


RULES: tuple[type[Rule], ...] = (Session, Gap)
