"""Convert the lifetimes that callers give to expiry times on the cache's clock."""

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

__all__ = ["UNSET", "Expiry", "Lifetimes", "Ttl", "Unset", "duration"]


class _Unset(Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset.UNSET
"""Not given, so the default applies; None means that the value never expires."""

Unset: TypeAlias = Literal[_Unset.UNSET]

Ttl: TypeAlias = float | str | timedelta | datetime | Callable[[datetime], datetime] | None
"""How long a value stays fresh: seconds, text such as ``5m``, a timedelta; an aware datetime until which it does, or a function from the
current UTC time to one (until the next close, for example). None never expires. With zero or less nothing is stored."""

Expiry: TypeAlias = tuple[float | None, float | None]
"""When a value expires, and until when it is kept as a stale one (None: not beyond that), both on the cache's clock."""


_FOR_EVER: Final[Expiry] = (None, None)


def duration(value: float | str | timedelta, what: str) -> float:
    """Return *value* in seconds.

    :raises CacheError: if it is not a duration.
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
    """Convert a constant lifetime to seconds, and raise CacheError for one that is invalid."""
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
        raise CacheError(f"ttl: {moment!r} is not an aware datetime", hint="datetime(..., tzinfo=timezone.utc)")
    return moment


def _no_lifetime(value: object) -> CacheError:
    return CacheError(f"ttl: {value!r} is not a duration", hint='give seconds, text such as "5m", or None for never')


def _window(value: float | str | timedelta) -> float:
    seconds = duration(value, "stale window")
    if seconds < 0:
        raise CacheError(f"a window for stale values cannot be negative: {value!r}")
    return seconds


def _fraction(value: float) -> float:
    if not 0 <= value < 1:
        raise CacheError(f"jitter must be at least 0 and below 1, not {value!r}")
    return value


@frozen
class Lifetimes:
    """The lifetimes of one cache.

    :ivar default: for values without a lifetime of their own; ``kinds`` by kind; ``negative`` for a loaded None.
    :ivar jitter: the largest share by which a lifetime is shortened at random, so that values made together do not expire together.
    :ivar while_revalidate: seconds for which a stale value is served while a new one is loaded; ``if_error`` if loading fails.
    """

    default: Ttl = field(default=None, converter=_parsed)
    kinds: Mapping[str, Ttl] = field(factory=dict, converter=_parsed_all)
    negative: Ttl | Unset = field(default=UNSET, converter=_parsed)
    jitter: float = field(default=0.0, converter=_fraction)
    while_revalidate: float = field(default=0.0, converter=_window)
    if_error: float = field(default=0.0, converter=_window)
    random: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time
    grace: float = field(init=False)
    """Seconds for which a stale value is kept: the longer of the two."""

    fixed_ttl: float | None = field(init=False)
    """The default in seconds if it is a number and there is neither jitter nor a grace time; else None."""

    @grace.default
    def _grace(self) -> float:
        return max(self.while_revalidate, self.if_error)

    @fixed_ttl.default
    def _fixed_ttl(self) -> float | None:
        single = isinstance(self.default, float) and not self.jitter and not self.grace
        return self.default if single and self.default > 0 else None  # type: ignore[operator, return-value]

    def choose(self, ttl: Ttl | Unset, kind: str | None, *, negative: bool = False) -> Ttl:
        """Return the lifetime to use: the caller's, else that for a loaded None, else the kind's, else the default."""
        if ttl is not UNSET:
            return ttl
        if negative and self.negative is not UNSET:
            return self.negative
        if kind is None:
            return self.default
        if not isinstance(kind, str):
            raise CacheError(f"kind: a text is needed, not {kind!r}")
        return self.kinds.get(kind, self.default)

    def expiry(self, now: float, ttl: Ttl, jitter: float | None = None) -> Expiry | None:
        """Return the expiry times of a value stored at *now*; None if it is not to be stored.

        :raises CacheError: if *ttl* is not a lifetime.
        """
        if ttl is None:
            return _FOR_EVER
        seconds = ttl if type(ttl) is float and ttl - ttl == 0 else self.seconds(ttl)
        if seconds <= 0:
            return None
        if share := self.jitter if jitter is None else max(jitter, self.jitter):
            seconds *= 1 - share * self.random()
        expires = now + seconds
        return expires, expires + self.grace if self.grace else None

    def seconds(self, ttl: float | str | timedelta | datetime | Callable[[datetime], datetime]) -> float:
        """Return *ttl* as seconds from now."""
        if isinstance(ttl, float | int | str | timedelta):
            return duration(ttl, "ttl")
        if not isinstance(ttl, datetime):
            if not callable(ttl) or isinstance(ttl, type):
                raise _no_lifetime(ttl)
            ttl = ttl(datetime.fromtimestamp(self.wall(), UTC))
        return _aware(ttl).timestamp() - self.wall()
