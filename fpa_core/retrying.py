"""Try again what failed and left nothing behind: a write of which nothing was kept, a read that has given nothing to its caller."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

from fpa_core.exceptions import ConnectionLostError, DatabaseBusyError, DatabaseError, InterruptedReadError

__all__ = ["Retry", "read_whole", "retried", "retried_until_given"]

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TRIES = 3
"""How often a write is tried while other writers hold the database; each try waits for the store's busy timeout."""

LOST_FOR = 30.0
"""Seconds for which a write or a read is tried while the server cannot be reached: a replica needs a while to take over."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two tries while the server cannot be reached; each pause is twice as long as the one before."""

_log = logging.getLogger("fpa.store")


class Retry:
    """The tries of one write or read, which must be the same each time: rows that an earlier try stored would be recognised.

    :param monotonic: seconds; ``sleep`` waits for so many.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._busy = 0
        self._lost_at: float | None = None
        self._pause = SHORTEST_PAUSE

    def after(self, error: DatabaseError) -> None:
        """Return when the next try is due, or raise *error* if there is none."""
        if isinstance(error, DatabaseBusyError):
            self._busy += 1
            if self._busy < BUSY_TRIES:
                return
        elif isinstance(error, ConnectionLostError):
            now = self._monotonic()
            if self._lost_at is None:
                self._lost_at = now
                _log.warning("%s; trying again for %g s", error.message.partition("\n")[0], LOST_FOR)
            if now - self._lost_at < LOST_FOR:
                self._sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                return
        raise error


def retried(read: Callable[P, T]) -> Callable[P, T]:
    """Make a function that only reads, and returns all at once, try again when the connection to the server is lost."""

    @functools.wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        retry: Retry | None = None
        while True:
            try:
                return read(*args, **kwargs)
            except ConnectionLostError as error:
                retry = retry or Retry()
                retry.after(error)

    return reading


def retried_until_given(read: Callable[P, Generator[T, None, None]]) -> Callable[P, Generator[T, None, None]]:
    """Make a generator that only reads try again when the connection to the server is lost, until it has yielded something.

    After that it raises :class:`InterruptedReadError`: another connection sees another state of the store, and so rows that do not belong to
    those that were given.
    """

    @functools.wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        retry: Retry | None = None
        given = False
        while True:
            parts = read(*args, **kwargs)
            try:
                for part in parts:
                    given = True
                    yield part
            except ConnectionLostError as error:
                if given:
                    raise _interrupted(error) from error
                retry = retry or Retry()
                retry.after(error)
            else:
                return
            finally:
                parts.close()

    return reading


def read_whole(load: Callable[[], T]) -> T:
    """Return what *load* returns, which reads rows and gives none of them away before it has all: it is called again when it was interrupted."""
    retry: Retry | None = None
    while True:
        try:
            return load()
        except InterruptedReadError as error:
            retry = retry or Retry()
            retry.after(error)


def _interrupted(error: ConnectionLostError) -> InterruptedReadError:
    return InterruptedReadError(
        f"the read ended early, after some rows had been given: {error.message}",
        hint="read again from the start: rows read from now on would be of another moment than those that were given",
        path=error.path,
        operation=error.operation,
    )
