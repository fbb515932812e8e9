"""Single flight: of all who miss a key at once, one loads and the rest wait for what it brings, threads and asyncio tasks alike."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from threading import get_ident
from typing import Any

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError

__all__ = ["AbandonedError", "Flight", "Flights"]


class AbandonedError(Exception):
    """The leader was cancelled or its process is ending; whoever waited takes over."""


class Flight:
    """One load under way.

    :ivar generations: those of the key's tags and fences, read before the load began. A caller who reads others came after an
        invalidation, and must not be given this load's value.
    """

    __slots__ = ("awaits", "future", "generations", "key", "pid", "thread")

    def __init__(self, key: str, generations: Mapping[str, int]) -> None:
        self.key = key
        self.generations = generations
        self.future: Future[Any] = Future()
        self.awaits: set[Flight] = set()  # the flights its loader waits for at this moment
        self.thread = 0  # where its loader runs, once it does
        self.pid = os.getpid()


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("fpa_flights_led", default=())
"""The flights whose loaders this code runs in, outermost first; tasks and threads that copy the context know it too."""


class Flights:
    """The loads of one cache that are under way.

    :ivar under_way: them, by key.
    """

    def __init__(self) -> None:
        self.under_way: dict[str, Flight] = {}
        self._lock = fork_safe_lock()

    def join(self, key: str, generations: Mapping[str, int]) -> tuple[Flight, bool]:
        """Return the flight for *key* and whether the caller leads it, and so owes it one of land, fail and abandon."""
        with self._lock:
            flight = self.under_way.get(key)
            # A forked child has its parent's flights, but not the threads that would land them.
            if flight is not None and flight.generations == generations and flight.pid == os.getpid():
                return flight, False
            flight = self.under_way[key] = Flight(key, generations)
            return flight, True

    @contextlib.contextmanager
    def leading(self, *flights: Flight) -> Iterator[None]:
        """Mark that what runs inside loads for *flights*, all in one; those it leaves without an outcome are abandoned."""
        led = _leading.get()
        together = {awaited for flight in flights for awaited in flight.awaits}
        for flight in flights:
            flight.thread = get_ident()
            flight.awaits = together  # what the loader waits for, all of them wait for
        token = _leading.set((*led, *flights))
        try:
            with self._awaiting(led, flights):
                yield
        finally:
            _leading.reset(token)
            for flight in flights:
                self.abandon(flight)

    def land(self, flight: Flight, value: Any) -> None:
        """Give *value* to all who wait."""
        self._end(flight)
        flight.future.set_result(value)

    def fail(self, flight: Flight, error: Exception) -> None:
        """Raise *error* in all who wait; who comes later tries anew."""
        self._end(flight)
        flight.future.set_exception(error)

    def abandon(self, flight: Flight) -> None:
        """Leave the load to one of those who wait, unless it has its outcome."""
        if not flight.future.done():
            self._end(flight)
            flight.future.set_exception(AbandonedError())

    def wait(self, flight: Flight) -> Any:
        """Return what the flight brings, blocking this thread.

        :raises AbandonedError: when there is nobody left to bring it.
        :raises CacheError: when waiting would never end.
        """
        if flight.thread == get_ident() and not flight.future.done():
            raise _deadlock(flight, "the loader, or the event loop it runs in, would wait for itself")
        with self._awaiting(_leading.get(), (flight,)):
            return flight.future.result()

    async def wait_async(self, flight: Flight) -> Any:
        """Return what the flight brings, leaving the event loop free; raises as :meth:`wait` does."""
        with self._awaiting(_leading.get(), (flight,)):
            # Shielded: a waiter that is cancelled must not cancel the others' future.
            return await asyncio.shield(asyncio.wrap_future(flight.future))

    def _end(self, flight: Flight) -> None:
        with self._lock:
            if self.under_way.get(flight.key) is flight:  # after an invalidation a newer one may have its place
                del self.under_way[flight.key]

    @contextlib.contextmanager
    def _awaiting(self, led: tuple[Flight, ...], flights: tuple[Flight, ...]) -> Iterator[None]:
        """Note that the innermost of *led* waits for *flights*, unless that closes a circle."""
        if not led:
            yield
            return
        with self._lock:
            for flight in flights:
                if _reaches(flight, led):
                    raise _deadlock(flight, "its loader waits, directly or through others, for the same key")
            led[-1].awaits.update(flights)
        try:
            yield
        finally:
            with self._lock:
                led[-1].awaits.difference_update(flights)


def _reaches(start: Flight, goals: tuple[Flight, ...]) -> bool:
    reached: set[Flight] = set()
    ahead = [start]
    while ahead:
        flight = ahead.pop()
        if flight in goals:
            return True
        if flight not in reached:
            reached.add(flight)
            ahead.extend(flight.awaits)
    return False


def _deadlock(flight: Flight, why: str) -> CacheError:
    return CacheError(f"loading {flight.key!r} cannot end: {why}", key=flight.key)
