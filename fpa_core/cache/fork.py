"""Locks that are free in a forked child, with the data they guard in a consistent state."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref

__all__ = ["fork_safe_lock"]

_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_taken: list[threading.Lock] = []

PATIENCE = 1.0
"""Seconds to wait for a lock before forking. Locks are held briefly, so only a thread that forks while holding one times out."""


def fork_safe_lock() -> threading.Lock:
    """Return a lock that is taken before any fork of this process and free afterwards in parent and child."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _take_all() -> None:
    _taken.extend(lock for lock in list(_locks) if lock.acquire(timeout=PATIENCE))


def _free_all() -> None:
    while _taken:
        with contextlib.suppress(RuntimeError):
            _taken.pop().release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_take_all, after_in_parent=_free_all, after_in_child=_free_all)
