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
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from attrs import frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.flight import AbandonedError, Flight, Flights
from fpa_core.cache.lifetimes import Ttl, Unset
from fpa_core.cache.shelf import Found, Shelf
from fpa_core.cache.stats import Count
from fpa_core.cache.values import give, hold

__all__ = ["Loading", "Request"]


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
        self._shelf = shelf
        self._executor = executor
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks weakly

    def get(self, request: Request) -> Any:
        """Return the value, loading it if need be."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.give()
        while True:
            flight, leads = self._join(request)
            if self._may_serve(found) and (not leads or self._executor is not None):
                if leads:
                    self._later(flight, request, found)
                return self._serve(found)
            if leads:
                self._shelf.count(_missed(found))
                return give(self._lead(flight, request, found))
            try:
                return self._shared(self.flights.wait(flight), found)
            except AbandonedError:
                continue

    async def aget(self, request: Request) -> Any:
        """Return the value, loading it if need be; the loader may be a coroutine function."""
        found = self._look(request)
        if isinstance(found, Found) and not found.stale:
            return found.give()
        while True:
            flight, leads = self._join(request)
            if self._may_serve(found):
                if leads:
                    task = asyncio.get_running_loop().create_task(self._quietly(flight, request, found))
                    self._tasks.add(task)
                    task.add_done_callback(partial(self._ended, flight))
                return self._serve(found)
            if leads:
                self._shelf.count(_missed(found))
                return give(await self._alead(flight, request, found))
            try:
                return self._shared(await self.flights.wait_async(flight), found)
            except AbandonedError:
                continue

    # Steps the two have in common

    def _look(self, request: Request) -> Found | MissReason:
        found = self._shelf.find(request.key, stale=True)
        if isinstance(found, Found) and not found.stale:
            self._shelf.count(found)
        return found

    def _join(self, request: Request) -> tuple[Flight, bool]:
        names = [*request.tags, *self._shelf.fences(request.key)]
        return self.flights.join(request.key, dict(self._shelf.backend.generations(names)))

    def _may_serve(self, found: Found | MissReason) -> bool:
        return isinstance(found, Found) and found.within(self._shelf.lifetimes.while_revalidate)

    def _serve(self, found: Found | MissReason) -> Any:
        assert isinstance(found, Found)
        self._shelf.count(found)
        return found.give()

    def _shared(self, held: Any, found: Found | MissReason) -> Any:
        self._shelf.count(_missed(found))
        self._shelf.counters.add(Count.SHARED_LOADS)
        return give(held)

    def _landed_meanwhile(self, flight: Flight) -> Found | None:
        """Look again: another flight may have ended between this caller's look and its joining."""
        found = self._shelf.find(flight.key)
        if isinstance(found, MissReason):
            return None
        self.flights.land(flight, hold(found.give())[0])
        return found

    def _store(self, flight: Flight, request: Request, value: Any, started: float) -> Any:
        self._shelf.counters.add_load(time.perf_counter() - started)
        try:
            held = hold(value)[0]
            ttl = self._shelf.lifetimes.choose(request.ttl, request.kind, negative=value is None)
            tags = {tag: flight.generations[tag] for tag in request.tags}
            self._shelf.keep(request.key, value, ttl, tags=tags, fence=flight.generations, jitter=request.jitter)
        except Exception as error:
            self.flights.fail(flight, error)
            raise
        self.flights.land(flight, held)
        return held

    def _failed(self, flight: Flight, error: Exception, found: Found | MissReason) -> Any:
        """Fall back on the stale value if there is one that may be used; else raise *error* in all who wait."""
        self._shelf.counters.add(Count.LOAD_ERRORS)
        if isinstance(found, Found) and found.within(self._shelf.lifetimes.if_error):
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
                return self._failed(flight, error, found)
            return self._store(flight, request, value, started)

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
                return self._failed(flight, error, found)
            return self._store(flight, request, value, started)

    # Refreshing behind a caller who was given the stale value

    def _later(self, flight: Flight, request: Request, found: Found | MissReason) -> None:
        assert self._executor is not None

        def refresh() -> None:
            # An error was counted, and nobody is there to hear of it: the next caller tries anew.
            with contextlib.suppress(Exception):
                self._lead(flight, request, found)

        try:
            self._executor.submit(refresh).add_done_callback(partial(self._ended, flight))
        except RuntimeError:  # the executor was shut down
            refresh()

    async def _quietly(self, flight: Flight, request: Request, found: Found | MissReason) -> None:
        with contextlib.suppress(Exception):
            await self._alead(flight, request, found)

    def _ended(self, flight: Flight, job: asyncio.Task[None] | Future[None]) -> None:
        """Free a flight whose refresh was cancelled before it could begin."""
        if isinstance(job, asyncio.Task):
            self._tasks.discard(job)
        self.flights.abandon(flight)


def _missed(found: Found | MissReason) -> MissReason:
    return found if isinstance(found, MissReason) else MissReason.EXPIRED
