"""Load missing values: one loader runs for all concurrent callers, and a value invalidated during its load is not stored.

The generations of the tags, of the key and of the namespace are read *before* the loader runs. The value is stored only if they are still
current, as one step in the backend. A caller that arrives after an invalidation reads other generations, so it does not join a load that
began before it. Both hold across processes if the backend is shared.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.entry_reader import EntryReader, Found
from fpa_core.cache.flight import Flight, FlightCancelledError, Flights
from fpa_core.cache.keys import fences_of
from fpa_core.cache.stats import Count
from fpa_core.cache.ttl import Ttl, Unset
from fpa_core.cache.values import copy_out, freeze

if TYPE_CHECKING:
    import asyncio

__all__ = ["Loading", "Request", "miss_reason_of"]


@frozen
class Request:
    """A value to load: its key and tags with their prefix, its loader, and its lifetime."""

    key: str
    loader: Callable[[], Any]
    ttl: Ttl | Unset
    tags: Sequence[str]
    kind: str | None
    jitter: float | None = None


class Loading:
    """The loads of one cache."""

    def __init__(self, reader: EntryReader, executor: Executor | None) -> None:
        self.flights = Flights()
        self.reader = reader
        self.executor = executor
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop references tasks weakly

    def get(self, request: Request) -> Any:
        """Return the value, loading it if it is missing."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.copy_out()
        while True:
            flight, leads = self._join(request)
            if self.may_serve(found) and (not leads or self.executor is not None):
                if leads:
                    self._later(flight, request, found)
                return self.serve(found)
            if leads:
                self.reader.count(miss_reason_of(found))
                return copy_out(self._lead(flight, request, found))
            try:
                return self.shared(self.flights.wait(flight), found)
            except FlightCancelledError:
                continue

    async def aget(self, request: Request) -> Any:
        """Return the value, loading it if it is missing; the loader may be a coroutine function."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.copy_out()
        while True:
            flight, leads = self._join(request)
            if self.may_serve(found):
                if leads:
                    self.abehind(self._alead(flight, request, found), (flight,))
                return self.serve(found)
            if leads:
                self.reader.count(miss_reason_of(found))
                return copy_out(await self._alead(flight, request, found))
            try:
                return self.shared(await self.flights.wait_async(flight), found)
            except FlightCancelledError:
                continue

    # Steps shared by both

    def _look(self, request: Request) -> Found | MissReason:
        found = self.reader.find(request.key, stale=True)
        if isinstance(found, Found) and not found.stale:
            self.reader.count(found)
        return found

    def _join(self, request: Request) -> tuple[Flight, bool]:
        names = [*request.tags, *fences_of(request.key)]
        return self.flights.join(request.key, dict(self.reader.backend.generations(names)))

    def may_serve(self, found: Found | MissReason) -> bool:
        """Return whether a stale value may be returned while a new one is loaded."""
        return isinstance(found, Found) and found.within(self.reader.lifetimes.while_revalidate)

    def serve(self, found: Found | MissReason) -> Any:
        """Count and return a value that was found."""
        assert isinstance(found, Found)
        self.reader.count(found)
        return found.copy_out()

    def shared(self, frozen_value: Any, found: Found | MissReason) -> Any:
        """Count and return a value that another caller loaded."""
        self.reader.count(miss_reason_of(found))
        self.reader.counters.add(Count.SHARED_LOADS)
        return copy_out(frozen_value)

    def _loaded_meanwhile(self, flight: Flight) -> Found | None:
        """Look again: another flight may have ended between this caller's read and its joining."""
        found = self.reader.find(flight.key)
        if isinstance(found, MissReason):
            return None
        self.flights.set_result(flight, freeze(found.copy_out())[0])
        return found

    def store(self, flight: Flight, request: Request, value: Any) -> Any:
        """Store *value* unless it was invalidated during the load, and return it, frozen, to all waiting callers."""
        try:
            frozen_value = freeze(value)[0]
            ttl = self.reader.lifetimes.choose(request.ttl, request.kind, negative=value is None)
            tags = {tag: flight.generations[tag] for tag in request.tags}
            self.reader.store(request.key, value, ttl, tags, flight.generations, request.jitter)
        except Exception as error:
            self.flights.set_exception(flight, error)
            raise
        self.flights.set_result(flight, frozen_value)
        return frozen_value

    def fall_back(self, flight: Flight, error: Exception, found: Found | MissReason) -> Any:
        """Return the stale value to all waiting callers if it may be used; otherwise raise *error* in all of them."""
        if isinstance(found, Found) and found.within(self.reader.lifetimes.if_error):
            frozen_value = freeze(found.copy_out())[0]
            self.flights.set_result(flight, frozen_value)
            return frozen_value
        self.flights.set_exception(flight, error)
        raise error

    def _lead(self, flight: Flight, request: Request, found: Found | MissReason) -> Any:
        with self.flights.leading(flight):
            if (loaded := self._loaded_meanwhile(flight)) is not None:
                return loaded.frozen_value
            started = time.perf_counter()
            try:
                value = request.loader()
            except Exception as error:  # noqa: BLE001 - passed on to all waiting callers
                self.reader.counters.add(Count.LOAD_ERRORS)
                return self.fall_back(flight, error, found)
            self.reader.counters.add_load(time.perf_counter() - started)
            return self.store(flight, request, value)

    async def _alead(self, flight: Flight, request: Request, found: Found | MissReason) -> Any:
        with self.flights.leading(flight):
            if (loaded := self._loaded_meanwhile(flight)) is not None:
                return loaded.frozen_value
            started = time.perf_counter()
            try:
                value = request.loader()
                if inspect.isawaitable(value):
                    value = await value
            except Exception as error:  # noqa: BLE001 - as above; a cancellation is not an Exception, and cancels the flight
                self.reader.counters.add(Count.LOAD_ERRORS)
                return self.fall_back(flight, error, found)
            self.reader.counters.add_load(time.perf_counter() - started)
            return self.store(flight, request, value)

    # Refreshing after a stale value was returned

    def _later(self, flight: Flight, request: Request, found: Found | MissReason) -> None:
        self.behind(partial(self._lead, flight, request, found), (flight,))

    def behind(self, refresh: Callable[[], Any], flights: Sequence[Flight]) -> None:
        """Run *refresh*, which ends *flights*, in the executor."""
        assert self.executor is not None

        def quietly() -> None:
            # The error was counted, and no caller waits for it; the next one tries again.
            with contextlib.suppress(Exception):
                refresh()

        try:
            self.executor.submit(quietly).add_done_callback(partial(self._ended, flights))
        except RuntimeError:  # the executor was shut down
            quietly()

    def abehind(self, refresh: Coroutine[Any, Any, Any], flights: Sequence[Flight]) -> None:
        """Run *refresh*, which ends *flights*, in its own task."""

        async def quietly() -> None:
            with contextlib.suppress(Exception):
                await refresh

        import asyncio

        task = asyncio.get_running_loop().create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(self._ended, flights))
        task.add_done_callback(lambda _: refresh.close())  # or one that never began would cause a warning

    def _ended(self, flights: Sequence[Flight], _: object) -> None:
        """Cancel flights whose refresh was cancelled before it began."""
        for flight in flights:
            self.flights.cancel(flight)


def miss_reason_of(found: Found | MissReason) -> MissReason:
    """Return the miss reason to count for a caller that must load."""
    return found if isinstance(found, MissReason) else MissReason.EXPIRED
