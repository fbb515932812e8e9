"""How long values live: from what a caller may say of it to times on the cache's clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from fpa_core.exceptions import CacheError, DataError
from fpa_core.numbers import to_seconds

__all__ = ["UNSET", "Lifetimes", "Span", "Ttl", "Unset", "duration"]


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


_FOR_EVER: Final[Span] = (None, None)


def duration(value: float | str | timedelta, what: str) -> float:
    """Return *value* in seconds.

    :raises CacheError: when it is no duration.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        try:
            return to_seconds(value, what)
        except DataError as error:
            raise CacheError(error.message, hint=error.hint) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:  # NaN and infinities
        raise _no_lifetime(value)
    return float(value)


def _parsed(ttl: Ttl | Unset) -> Ttl | Unset:
    """Turn what says the same at every call into seconds, once, and refuse what is no lifetime."""
    if isinstance(ttl, float | int | str | timedelta):
        return duration(ttl, "ttl")
    if ttl is not None and not isinstance(ttl, _Unset | datetime) and not callable(ttl):
        raise _no_lifetime(ttl)
    if isinstance(ttl, datetime):
        _aware(ttl)
    return ttl


def _parsed_all(kinds: Mapping[str, Ttl]) -> dict[str, Any]:
    return {kind: _parsed(ttl) for kind, ttl in kinds.items()}


def _aware(moment: object) -> datetime:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise CacheError(f"ttl: {moment!r} is no aware datetime", hint="datetime(..., tzinfo=timezone.utc)")
    return moment


def _no_lifetime(value: object) -> CacheError:
    return CacheError(f"ttl: {value!r} is not a duration", hint='give seconds, text such as "5m", or None for never')


def _window(value: float | str | timedelta) -> float:
    seconds = duration(value, "stale window")
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

    default: Ttl = field(default=None, converter=_parsed)
    kinds: Mapping[str, Ttl] = field(factory=dict, converter=_parsed_all)
    negative: Ttl | Unset = field(default=UNSET, converter=_parsed)
    jitter: float = field(default=0.0, converter=_fraction)
    while_revalidate: float = field(default=0.0, converter=_window)
    if_error: float = field(default=0.0, converter=_window)
    random: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time
    spare: float = field(init=False)
    """Seconds a value is kept past its time, for either."""

    usual: float | None = field(init=False)
    """Seconds of the default where nothing else is to be reckoned: it is a number, neither shortened nor followed by a stale time."""

    @spare.default
    def _spare(self) -> float:
        return max(self.while_revalidate, self.if_error)

    @usual.default
    def _usual(self) -> float | None:
        single = isinstance(self.default, float) and not self.jitter and not self.spare
        return self.default if single and self.default > 0 else None  # type: ignore[operator, return-value]

    def choose(self, ttl: Ttl | Unset, kind: str | None, *, negative: bool = False) -> Ttl:
        """Return the rule that holds: the caller's, else that for a loaded None, else the kind's, else the default."""
        if ttl is not UNSET:
            return ttl
        if negative and self.negative is not UNSET:
            return self.negative
        return self.default if kind is None else self.kinds.get(kind, self.default)

    def span(self, now: float, ttl: Ttl, jitter: float | None = None) -> Span | None:
        """Return the times of a value stored at *now*; None when it is not to be stored.

        :raises CacheError: when *ttl* is no lifetime.
        """
        if ttl is None:
            return _FOR_EVER
        seconds = ttl if type(ttl) is float and ttl - ttl == 0 else self.seconds(ttl)
        if seconds <= 0:
            return None
        if share := self.jitter if jitter is None else max(jitter, self.jitter):
            seconds *= 1 - share * self.random()
        expires = now + seconds
        return expires, expires + self.spare if self.spare else None

    def seconds(self, ttl: float | str | timedelta | datetime | Callable[[datetime], datetime]) -> float:
        """Return *ttl* as seconds from now."""
        if isinstance(ttl, float | int | str | timedelta):
            return duration(ttl, "ttl")
        if not isinstance(ttl, datetime):
            if not callable(ttl):
                raise _no_lifetime(ttl)
            ttl = ttl(datetime.fromtimestamp(self.wall(), UTC))
        return _aware(ttl).timestamp() - self.wall()
