"""Values made on demand: one loader for all who miss at once, and nothing written back that was invalidated meanwhile.

How staleness is kept out: the generations of the tags, of the key and of the namespace are read *before* the loader runs. The value is
written only if they still stand, as one step in the backend; and who arrives after an invalidation reads other generations, so does not
join a load that began before it. Both hold across processes where the backend is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from attrs import frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.flight import AbandonedError, Flight, Flights
from fpa_core.cache.keys import fences_of
from fpa_core.cache.lifetimes import Ttl, Unset
from fpa_core.cache.shelf import Found, Shelf
from fpa_core.cache.stats import Count
from fpa_core.cache.values import give, hold

__all__ = ["Loading", "Request", "missed"]


@frozen
class Request:
    """One value wanted: its key and tags with their prefix, how to make it, and how long it lives."""

    key: str
    loader: Callable[[], Any]
    ttl: Ttl | Unset
    tags: Sequence[str]
    kind: str | None
    jitter: float | None = None


class Loading:
    """The loads of one cache."""

    def __init__(self, shelf: Shelf, executor: Executor | None) -> None:
        self.flights = Flights()
        self.shelf = shelf
        self.executor = executor
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks weakly

    def get(self, request: Request) -> Any:
        """Return the value, loading it if need be."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.give()
        while True:
            flight, leads = self._join(request)
            if self.may_serve(found) and (not leads or self.executor is not None):
                if leads:
                    self._later(flight, request, found)
                return self.serve(found)
            if leads:
                self.shelf.count(missed(found))
                return give(self._lead(flight, request, found))
            try:
                return self.shared(self.flights.wait(flight), found)
            except AbandonedError:
                continue

    async def aget(self, request: Request) -> Any:
        """Return the value, loading it if need be; the loader may be a coroutine function."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.give()
        while True:
            flight, leads = self._join(request)
            if self.may_serve(found):
                if leads:
                    self.abehind(self._alead(flight, request, found), (flight,))
                return self.serve(found)
            if leads:
                self.shelf.count(missed(found))
                return give(await self._alead(flight, request, found))
            try:
                return self.shared(await self.flights.wait_async(flight), found)
            except AbandonedError:
                continue

    # Steps the two have in common

    def _look(self, request: Request) -> Found | MissReason:
        found = self.shelf.find(request.key, stale=True)
        if isinstance(found, Found) and not found.stale:
            self.shelf.count(found)
        return found

    def _join(self, request: Request) -> tuple[Flight, bool]:
        names = [*request.tags, *fences_of(request.key)]
        return self.flights.join(request.key, dict(self.shelf.backend.generations(names)))

    def may_serve(self, found: Found | MissReason) -> bool:
        """Tell whether a value past its time may be given out while a new one is loaded."""
        return isinstance(found, Found) and found.within(self.shelf.lifetimes.while_revalidate)

    def serve(self, found: Found | MissReason) -> Any:
        """Give out a value past its time."""
        assert isinstance(found, Found)
        self.shelf.count(found)
        return found.give()

    def shared(self, held: Any, found: Found | MissReason) -> Any:
        """Give out what another caller's flight brought."""
        self.shelf.count(missed(found))
        self.shelf.counters.add(Count.SHARED_LOADS)
        return give(held)

    def _landed_meanwhile(self, flight: Flight) -> Found | None:
        """Look again: another flight may have ended between this caller's look and its joining."""
        found = self.shelf.find(flight.key)
        if isinstance(found, MissReason):
            return None
        self.flights.land(flight, hold(found.give())[0])
        return found

    def store(self, flight: Flight, request: Request, value: Any) -> Any:
        """Keep *value* unless it was invalidated while it was loaded, and give it to all who wait; return it as it is held."""
        try:
            held = hold(value)[0]
            ttl = self.shelf.lifetimes.choose(request.ttl, request.kind, negative=value is None)
            tags = {tag: flight.generations[tag] for tag in request.tags}
            self.shelf.keep(request.key, value, ttl, tags, flight.generations, request.jitter)
        except Exception as error:
            self.flights.fail(flight, error)
            raise
        self.flights.land(flight, held)
        return held

    def fall_back(self, flight: Flight, error: Exception, found: Found | MissReason) -> Any:
        """Give the stale value to all who wait, if there is one that may be used; else raise *error* in all of them."""
        if isinstance(found, Found) and found.within(self.shelf.lifetimes.if_error):
            held = hold(found.give())[0]
            self.flights.land(flight, held)
            return held
        self.flights.fail(flight, error)
        raise error

    def _lead(self, flight: Flight, request: Request, found: Found | MissReason) -> Any:
        with self.flights.leading(flight):
            if (landed := self._landed_meanwhile(flight)) is not None:
                return landed.held
            started = time.perf_counter()
            try:
                value = request.loader()
            except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
                self.shelf.counters.add(Count.LOAD_ERRORS)
                return self.fall_back(flight, error, found)
            self.shelf.counters.add_load(time.perf_counter() - started)
            return self.store(flight, request, value)

    async def _alead(self, flight: Flight, request: Request, found: Found | MissReason) -> Any:
        with self.flights.leading(flight):
            if (landed := self._landed_meanwhile(flight)) is not None:
                return landed.held
            started = time.perf_counter()
            try:
                value = request.loader()
                if inspect.isawaitable(value):
                    value = await value
            except Exception as error:  # noqa: BLE001 - as above; a cancellation is no Exception, and abandons the flight
                self.shelf.counters.add(Count.LOAD_ERRORS)
                return self.fall_back(flight, error, found)
            self.shelf.counters.add_load(time.perf_counter() - started)
            return self.store(flight, request, value)

    # Refreshing behind a caller who was given the stale value

    def _later(self, flight: Flight, request: Request, found: Found | MissReason) -> None:
        self.behind(partial(self._lead, flight, request, found), (flight,))

    def behind(self, refresh: Callable[[], Any], flights: Sequence[Flight]) -> None:
        """Let the executor do *refresh*, which is to land *flights*."""
        assert self.executor is not None

        def quietly() -> None:
            # An error was counted, and nobody is there to hear of it: the next caller tries anew.
            with contextlib.suppress(Exception):
                refresh()

        try:
            self.executor.submit(quietly).add_done_callback(partial(self._ended, flights))
        except RuntimeError:  # the executor was shut down
            quietly()

    def abehind(self, refresh: Coroutine[Any, Any, Any], flights: Sequence[Flight]) -> None:
        """Do *refresh*, which is to land *flights*, in a task of its own."""

        async def quietly() -> None:
            with contextlib.suppress(Exception):
                await refresh

        task = asyncio.get_running_loop().create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(self._ended, flights))
        task.add_done_callback(lambda _: refresh.close())  # one that never began would be warned of

    def _ended(self, flights: Sequence[Flight], _: object) -> None:
        """Free flights whose refresh was cancelled before it could begin."""
        for flight in flights:
            self.flights.abandon(flight)


def missed(found: Found | MissReason) -> MissReason:
    """Say as what a caller who found this, and has to load, is counted."""
    return found if isinstance(found, MissReason) else MissReason.EXPIRED
