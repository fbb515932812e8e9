"""Freshness: refuse to read what ended too long ago, so that nobody computes on a feed that stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from fpa_core.exceptions import StaleDataError
from fpa_core.intervals import longest_ns
from fpa_core.kinds import BARS, Kind
from fpa_core.numbers import ns_text, to_seconds

if TYPE_CHECKING:
    from fpa_core.protocols import Query

__all__ = ["Freshness", "freshness_of"]

SECOND_NS = 10**9
_UNITS = ((31_557_600, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes"))


@frozen
class Freshness:
    """What a caller demands of the newest record.

    :ivar max_age: how old it may be, in seconds: from its time, or the end of a bar, to now; or to an earlier instant that the question is about.
    :ivar said: the limit as the caller wrote it, for messages.
    """

    max_age: float
    said: str
    clock: Callable[[], int] = field(eq=False, repr=False)

    def check(self, query: Query, newest: Callable[[Query], Any]) -> None:
        """Check each symbol of a query, or the newest row if it names none; its end, and the moment of knowledge, count as now.

        :param newest: returns the newest record that a query selects, or None.
        :raises StaleDataError: if there is no row, or the newest is too old.
        """
        bounds = (one for one in (query.end_ns, query.known_at_ns) if one is not None)
        now = min([self.clock(), *bounds])
        latest = evolve(query, start_ns=None, limit=1, reverse=True)
        for symbol in query.subjects or (None,):
            chosen = latest if symbol is None else evolve(latest, subjects=(symbol,), patterns=())
            self.check_record(query.kind, symbol or "any symbol", newest(chosen), now)

    def check_record(self, kind: Kind, symbol: str, record: Any, now_ns: int | None = None) -> None:
        """Check the newest record of a symbol; None if there is none.

        :param now_ns: the instant to count from; None for now.
        :raises StaleDataError: if there is none, or it is too old.
        """
        now = self.clock() if now_ns is None else now_ns
        at = ended = None if record is None else record.ts_ns
        if kind is BARS and at is not None:
            ended = min(max(at, now), at + longest_ns(record.interval))
        self._check(kind.name, symbol, at, ended, now)

    def check_price(self, symbol: str, price_ns: int | None, at_ns: int) -> None:
        """Check the price, of whatever kind of record, that something is valued at.

        :param price_ns: when it was known; None if there is none.
        :param at_ns: the instant to count from, if it is not later than now.
        :raises StaleDataError: if there is none, or it is too old.
        """
        self._check("prices", symbol, price_ns, price_ns, min(at_ns, self.clock()))

    def _check(self, what: str, symbol: str, at_ns: int | None, ended_ns: int | None, now_ns: int) -> None:
        if at_ns is None or ended_ns is None:
            raise StaleDataError(
                f"there are no {what} of {symbol}, and one of the last {self.said} was asked for",
                hint=_HINT,
                kind=what,
                symbol=symbol,
                max_age=self.max_age,
            )
        age = (now_ns - ended_ns) / SECOND_NS
        if age > self.max_age:
            raise StaleDataError(
                f"the newest of the {what} of {symbol} is {_age_text(age)} old, of {ns_text(at_ns)}, "
                f"and one of the last {self.said} was asked for",
                hint=_HINT,
                kind=what,
                symbol=symbol,
                newest_ns=at_ns,
                age=age,
                max_age=self.max_age,
            )


_HINT = "fetch newer ones with `fpa history` or `fpa stream`, or raise max_age"


def freshness_of(max_age: Any, clock: Callable[[], int]) -> Freshness | None:
    """Return what *max_age* demands: seconds, a timedelta, or text such as ``15m``; None demands nothing.

    :raises DataError: if it is not a duration.
    """
    if max_age is None:
        return None
    seconds = to_seconds(max_age, "max_age")
    return Freshness(seconds, max_age if isinstance(max_age, str) else f"{seconds:g} s", clock)


def _age_text(seconds: float) -> str:
    for size, name in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.3g} seconds"
