"""Detailed answers of a cache."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from attrs import field, frozen

__all__ = ["Hit", "Miss", "MissReason", "WarmReport"]


class MissReason(StrEnum):
    """Why a read found no value."""

    ABSENT = "absent"
    """There is no entry: never stored, deleted, evicted, or swept after it expired."""
    EXPIRED = "expired"
    """The entry has expired."""
    INVALIDATED = "invalidated"
    """A tag of the entry was invalidated after it was stored."""
    UNDECODABLE = "undecodable"
    """The bytes were written by another version, or are damaged."""


@frozen
class Hit:
    """A value that was found. Always true in a condition, whatever the value.

    :ivar age: seconds since it was stored; ``remaining`` seconds until it expires, None for never.
    :ivar stale: whether it has expired; only if stale values were requested.
    """

    value: Any
    age: float
    remaining: float | None
    stale: bool = False

    def __bool__(self) -> Literal[True]:
        return True


@frozen
class Miss:
    """No value was found, and why. Always false in a condition."""

    reason: MissReason

    def __bool__(self) -> Literal[False]:
        return False


@frozen
class WarmReport:
    """What warming did with each key.

    :ivar loaded: keys that were loaded and stored; ``present`` those that were already fresh.
    :ivar unstored: keys whose value was loaded but not kept: too large, no lifetime, or invalidated meanwhile.
    :ivar failed: errors by key, of the loader or of storing.
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
