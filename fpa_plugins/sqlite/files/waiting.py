"""How a writer waits for the lock of the file, which another process holds."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

__all__ = ["waiting"]

_log = logging.getLogger("fpa.store.sqlite")

NOTICE_AFTER = 1.0
"""Seconds of waiting for a lock after which it is logged."""

PAUSE, LONG_PAUSE, LEAST_PAUSE = 0.004, 0.05, 0.0005
"""Seconds between two tries to get the write lock: at first, when others turn out to write much, and at least."""

LONG_AFTER = 0.25
"""Seconds of waiting after which others write much: until then the pauses stay short, since most batches are."""


def waiting(timeout: float, path: object) -> Callable[[int], bool]:
    """Return what SQLite calls while another connection holds a lock: it waits a moment and returns whether to try again.

    Who has waited for long tries more often than those who came later, and so is more likely to be next. SQLite's own rule is the reverse: a writer that
    has waited for long looks ten times a second only, and those who come later are served before it.

    A wait of more than a second is logged as a warning, once: a person at a terminal should know what is going on.

    :param timeout: seconds after which to give up.
    """
    since, told = 0.0, False

    def again(tries: int) -> bool:
        nonlocal since, told
        now = time.monotonic()
        since, told = (since, told) if tries else (now, False)
        waited = now - since
        if waited >= timeout:
            return False
        if waited >= NOTICE_AFTER and not told:
            told = True
            _log.warning("another process is writing to %s: waiting for it, at most %g s", path, timeout)
        pause = PAUSE if waited < LONG_AFTER else max(LONG_PAUSE / (1 + waited) ** 2, LEAST_PAUSE)
        time.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311  # so that two writers do not keep step
        return True

    return again
