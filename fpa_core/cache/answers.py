"""What a cache answers when it is asked in full."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from attrs import field, frozen

__all__ = ["Hit", "Miss", "MissReason", "WarmReport"]


class MissReason(StrEnum):
    """Why there was nothing to return."""

    ABSENT = "absent"
    """There is no entry: never stored, deleted, evicted, or swept after its time."""
    EXPIRED = "expired"
    """There is one, past its time."""
    INVALIDATED = "invalidated"
    """There is one, and one of its tags was invalidated since."""
    UNDECODABLE = "undecodable"
    """There are bytes that another version wrote, or that are damaged."""


@frozen
class Hit:
    """A value that was found. It is true in a condition, whatever the value.

    :ivar age: seconds since it was stored; ``remaining`` seconds until it ceases to be fresh, None for never.
    :ivar stale: that it is past its time; only answered when stale values were asked for.
    """

    value: Any
    age: float
    remaining: float | None
    stale: bool = False

    def __bool__(self) -> Literal[True]:
        return True


@frozen
class Miss:
    """That there was no value, and why. It is false in a condition."""

    reason: MissReason

    def __bool__(self) -> Literal[False]:
        return False


@frozen
class WarmReport:
    """What warming did with each key.

    :ivar loaded: keys that were loaded and stored; ``present`` those that were fresh already and left alone.
    :ivar unstored: keys whose value was loaded but not kept: too large, no lifetime, or invalidated meanwhile.
    :ivar failed: keys whose loader, or storing, raised, and what.
    :ivar seconds: time taken.
    """

    loaded: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    unstored: tuple[str, ...] = ()
    failed: Mapping[str, Exception] = field(factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed
