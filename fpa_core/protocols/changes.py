"""What a batch changed, and how a process hears what others changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from fpa_core.kinds import Kind

__all__ = ["ChangeFeed", "Changed"]

Changed: TypeAlias = Mapping[Kind, frozenset[str] | None]
"""What a batch changed: the subjects of each kind, or None if they are unknown and it may be all."""


class ChangeFeed(Protocol):
    """What other processes change in a store with the capability ``NOTIFIES``, as :meth:`StoreBackend.follow` returns it."""

    def is_current(self) -> bool:
        """Return whether all that others had committed a moment ago was passed on; how long that moment is at most, the store states.

        Called often, and from any thread. The first call in a process, or in a child that was forked, begins to listen.
        """
        ...
