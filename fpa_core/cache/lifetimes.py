"""How long values live: from what a caller may say of it to times on the cache's clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from fpa_core.exceptions import CacheError, DataError
from fpa_core.numbers import to_seconds

__all__ = ["UNSET", "Lifetimes", "Span", "Ttl", "Unset"]


class _Unset(Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset.UNSET
"""Nothing was said, which differs from None: the default holds."""

Unset: TypeAlias = Literal[_Unset.UNSET]

Ttl: TypeAlias = float | str | timedelta | datetime | Callable[[datetime], datetime] | None
"""How long a value stays fresh: seconds, text such as ``5m``, a timedelta; an aware datetime until which it does, or a function from the
present UTC time to one (until the next close, say). None never expires; zero and less are not stored at all."""

Span: TypeAlias = tuple[float | None, float | None]
"""When a value ceases to be fresh, and until when a stale one is kept, both on the cache's clock; None for never."""


def _seconds(value: float | str | timedelta, what: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        try:
            return to_seconds(value, what)
        except DataError as error:
            raise CacheError(error.message, hint=error.hint) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:  # NaN and infinities
        raise CacheError(
            f"{what}: {value!r} is not a duration", hint='give seconds, text such as "5m", or None for never'
        )
    return float(value)


def _window(value: float | str | timedelta) -> float:
    seconds = _seconds(value, "stale window")
    if seconds < 0:
        raise CacheError(f"a window for stale values is not negative, as {value!r} is")
    return seconds


def _fraction(value: float) -> float:
    if not 0 <= value < 1:
        raise CacheError(f"jitter is a fraction from 0 to below 1, not {value!r}")
    return value


@frozen
class Lifetimes:
    """The rules of one cache.

    :ivar default: for values of which nothing else is said; ``kinds`` by kind; ``negative`` for a loaded None.
    :ivar jitter: the largest share by which a lifetime is shortened at random, so that values made together do not expire together.
    :ivar while_revalidate: seconds a value past its time is still served while a new one is loaded; ``if_error`` when that fails.
    """

    default: Ttl = None
    kinds: Mapping[str, Ttl] = field(factory=dict)
    negative: Ttl | Unset = UNSET
    jitter: float = field(default=0.0, converter=_fraction)
    while_revalidate: float = field(default=0.0, converter=_window)
    if_error: float = field(default=0.0, converter=_window)
    random: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time

    def __attrs_post_init__(self) -> None:
        """Refuse at once what would otherwise fail at the first value."""
        for ttl in (self.default, self.negative, *self.kinds.values()):
            if not isinstance(ttl, _Unset):
                self.seconds(ttl)

    def choose(self, ttl: Ttl | Unset, kind: str | None, *, negative: bool = False) -> Ttl:
        """Return the rule that holds: the caller's, else that for a loaded None, else the kind's, else the default."""
        if not isinstance(ttl, _Unset):
            return ttl
        if negative and not isinstance(self.negative, _Unset):
            return self.negative
        return self.default if kind is None else self.kinds.get(kind, self.default)

    def span(self, now: float, ttl: Ttl, *, jitter: float | None = None) -> Span | None:
        """Return the times of a value stored at *now*; None when it is not to be stored.

        :raises CacheError: when *ttl* is no lifetime.
        """
        if ttl is None:
            return None, None
        seconds = self.seconds(ttl)
        if seconds is None or seconds <= 0:
            return None
        share = self.jitter if jitter is None else max(jitter, self.jitter)
        if share:
            seconds *= 1 - share * self.random()
        expires = now + seconds
        spare = max(self.while_revalidate, self.if_error)
        return expires, expires + spare if spare else None

    def seconds(self, ttl: Ttl) -> float | None:
        """Return *ttl* as seconds from now; None for never."""
        if ttl is None:
            return None
        if isinstance(ttl, float | int | str | timedelta):
            return _seconds(ttl, "ttl")
        moment = ttl if isinstance(ttl, datetime) else self._ask(ttl)
        if not isinstance(moment, datetime) or moment.utcoffset() is None:
            raise CacheError(f"ttl: {moment!r} is no aware datetime", hint="datetime(..., tzinfo=timezone.utc)")
        return moment.timestamp() - self.wall()

    def _ask(self, calendar: Callable[[datetime], datetime]) -> datetime:
        if not callable(calendar):
            raise CacheError(f"ttl: {calendar!r} is not a duration", hint='give seconds, text such as "5m", or None')
        return calendar(datetime.fromtimestamp(self.wall(), UTC))
