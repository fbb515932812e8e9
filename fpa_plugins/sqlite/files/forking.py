"""Forks: no connection is open while a process forks, or the child may not use SQLite.

SQLite keeps in the memory of a process which locks of a file it holds, and guards that with mutexes. A child inherits both: it would believe that it
holds the locks of its parent, and wait for a mutex whose owner it does not have. So connections are closed before a fork, and opened again when they
are needed. If one is in use, by another thread or by whoever forks, the child is refused at its first use of a database.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from fpa_core.exceptions import DatabaseError

__all__ = ["PATIENCE", "check_forked", "close_before_forks"]

PATIENCE = 1.0
"""Seconds that a fork waits for whoever is using a connection."""


class Forkable(Protocol):
    """What has connections."""

    def before_fork(self, patience: float) -> bool:
        """Close the connections and lend none until the fork is done; return whether that is so."""
        ...

    def after_fork(self) -> None:
        """Lend connections again, in the parent."""
        ...


_all: weakref.WeakSet[Forkable] = weakref.WeakSet()
_prepared: list[Forkable] = []
_in_use = False
_refused: int | None = None


def close_before_forks(pool: Forkable) -> None:
    """Close the connections of *pool* before each fork of this process."""
    _all.add(pool)


def check_forked(path: str) -> None:
    """Refuse a process that was forked while a connection was in use.

    :raises DatabaseError: if it was.
    """
    if _refused is not None and _refused == os.getpid():
        raise DatabaseError(
            f"{path}: this process was forked while its parent was using an SQLite database, so it cannot use one itself",
            hint='start worker processes by the method "spawn" or "forkserver", or before the database is used',
            path=path,
            operation="use",
        )


def _before() -> None:
    global _in_use  # noqa: PLW0603  # a process forks once at a time
    for pool in list(_all):
        _prepared.append(pool)
        _in_use = not pool.before_fork(PATIENCE) or _in_use


def _after_in_parent() -> None:
    global _in_use  # noqa: PLW0603
    _in_use = False
    while _prepared:
        _prepared.pop().after_fork()


def _after_in_child() -> None:
    global _in_use, _refused  # noqa: PLW0603
    if _in_use or _refused is not None:
        _refused = os.getpid()
    _in_use = False
    _prepared.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
