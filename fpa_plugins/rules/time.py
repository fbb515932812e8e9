"""Rules about when a record was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from fpa_core.config import Duration
from fpa_core.numbers import ns_text, to_seconds
from fpa_core.records import KINDS
from fpa_core.validator import WARNS, Rule

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, Truth

__all__ = ["RULES", "Future"]


@frozen(kw_only=True)
class Future(Rule):
    """The time does not lie in the future.

    A little is allowed for clocks that differ. FINRA rule 4590 holds the clocks of brokers to within 50 ms of the atomic clock of NIST.

    Good, at 12:00:00: 11:59:59. Bad: 12:00:05.

    :ivar tolerance: how far ahead of this machine's clock a time may be: seconds, or text such as "50ms".
    """

    id = "time.future"
    kind = tuple(KINDS)
    fields = ("ts_ns",)
    levels = WARNS
    needs = ("now_ns",)

    tolerance: Duration = field(default=1.0, converter=to_seconds)

    def check(self, record: Any, now_ns: int) -> bool | None:
        """Judge one record of any kind."""
        return None if record.ts_ns is None else record.ts_ns <= self._latest(now_ns)

    def mask(self, columns: Columns, now_ns: int) -> Truth:
        """Judge a table."""
        return columns.numbers("ts_ns") <= self._latest(now_ns)

    def describe(self, record: Any) -> str:
        """Tell the time and the tolerance."""
        return f"{ns_text(record.ts_ns)} lies more than {self.tolerance:g} s in the future"

    def _latest(self, now_ns: int) -> int:
        return now_ns + round(self.tolerance * 10**9)


RULES: tuple[type[Rule], ...] = (Future,)
