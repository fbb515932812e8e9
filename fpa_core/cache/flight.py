"""Single flight: of all concurrent callers that miss a key, one loads it and the others wait for the result, in threads and in asyncio tasks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from threading import get_ident
from typing import Any

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError

__all__ = ["Flight", "FlightCancelledError", "Flights"]


class FlightCancelledError(Exception):
    """The leader was cancelled or its process is ending; a waiting caller takes over."""


class Flight:
    """A load in progress.

    :ivar generations: those of the key's tags and fences, read before the load began. A caller that reads others arrived after an
        invalidation, and must not get this load's value.
    """

    __slots__ = ("awaits", "future", "generations", "key", "pid", "thread")

    def __init__(self, key: str, generations: Mapping[str, int]) -> None:
        self.key = key
        self.generations = generations
        self.future: Future[Any] = Future()
        self.awaits: set[Flight] = set()  # the flights its loader waits for now
        self.thread = 0  # of its loader, once that runs
        self.pid = os.getpid()


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("fpa_flights_led", default=())
"""The flights whose loaders this code runs in, outermost first; copied to tasks and threads with the context."""


class Flights:
    """The loads of one cache in progress.

    :ivar under_way: flights by key.
    """

    def __init__(self) -> None:
        self.under_way: dict[str, Flight] = {}
        self._lock = fork_safe_lock()

    def join(self, key: str, generations: Mapping[str, int]) -> tuple[Flight, bool]:
        """Return the flight for *key* and whether the caller leads it, and so must call set_result, set_exception or cancel."""
        with self._lock:
            flight = self.under_way.get(key)
            # A forked child has its parent's flights, but not the threads that would end them.
            if flight is not None and flight.generations == generations and flight.pid == os.getpid():
                return flight, False
            flight = self.under_way[key] = Flight(key, generations)
            return flight, True

    @contextlib.contextmanager
    def leading(self, *flights: Flight) -> Iterator[None]:
        """Mark the code inside as the loader of all *flights*; those it leaves without a result are cancelled."""
        led = _leading.get()
        together = {awaited for flight in flights for awaited in flight.awaits}
        for flight in flights:
            flight.thread = get_ident()
            flight.awaits = together  # all flights of one loader wait for the same
        token = _leading.set((*led, *flights))
        try:
            with self._awaiting(led, flights):
                yield
        finally:
            _leading.reset(token)
            for flight in flights:
                self.cancel(flight)

    def set_result(self, flight: Flight, value: Any) -> None:
        """Return *value* to all waiting callers."""
        self._end(flight)
        flight.future.set_result(value)

    def set_exception(self, flight: Flight, error: Exception) -> None:
        """Raise *error* in all waiting callers; later callers try again."""
        self._end(flight)
        flight.future.set_exception(error)

    def cancel(self, flight: Flight) -> None:
        """Hand the load to a waiting caller, unless the flight has ended."""
        if not flight.future.done():
            self._end(flight)
            flight.future.set_exception(FlightCancelledError())

    def wait(self, flight: Flight) -> Any:
        """Return the result of the flight, blocking this thread.

        :raises FlightCancelledError: if the flight was cancelled.
        :raises CacheError: if waiting would be a deadlock.
        """
        if flight.thread == get_ident() and not flight.future.done():
            raise _deadlock(flight, "the loader, or the event loop it runs in, would wait for itself")
        with self._awaiting(_leading.get(), (flight,)):
            return flight.future.result()

    async def wait_async(self, flight: Flight) -> Any:
        """Return the result of the flight without blocking the event loop; raises as :meth:`wait` does."""
        import asyncio  # whoever waits so has it; the command line has not

        with self._awaiting(_leading.get(), (flight,)):
            # Shielded: a waiter that is cancelled must not cancel the others' future.
            return await asyncio.shield(asyncio.wrap_future(flight.future))

    def _end(self, flight: Flight) -> None:
        with self._lock:
            if self.under_way.get(flight.key) is flight:  # after an invalidation a newer flight may have replaced it
                del self.under_way[flight.key]

    @contextlib.contextmanager
    def _awaiting(self, led: tuple[Flight, ...], flights: tuple[Flight, ...]) -> Iterator[None]:
        """Note that the innermost of *led* waits for *flights*, unless that would be a deadlock."""
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
