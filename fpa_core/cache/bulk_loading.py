"""Load several values at once: each key has its single flight, and one loader is called for all missing keys."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from attrs import define, field, frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.entry_reader import Found
from fpa_core.cache.flight import Flight, FlightCancelledError
from fpa_core.cache.keys import fences_of
from fpa_core.cache.loading import Loading, Request, miss_reason_of
from fpa_core.cache.stats import Count
from fpa_core.cache.ttl import Ttl, Unset
from fpa_core.cache.values import copy_out, freeze
from fpa_core.exceptions import CacheError

__all__ = ["BulkLoading", "BulkRequest"]


@frozen
class BulkRequest:
    """Values to load: the keys as passed to the loader, by full key; their loader, and their lifetime."""

    keys: Mapping[str, str]
    loader: Callable[[Sequence[str]], Any]
    ttl: Ttl | Unset
    tags: Sequence[str]
    kind: str | None


Pending: TypeAlias = dict[str, tuple[Flight, Found | MissReason]]
"""By full key, a flight that has not ended, and what was found instead of a fresh value."""


@define
class _Round:
    """The keys by what is done: answered at once, loaded by this caller now or in the background (*behind*), or loaded by others."""

    answers: dict[str, Any] = field(factory=dict)
    led: Pending = field(factory=dict)
    behind: Pending = field(factory=dict)
    joined: Pending = field(factory=dict)


class BulkLoading:
    """Loads of several keys at once, which share the flights of *loading*."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._flights = loading.flights
        self._reader = loading.reader

    def get(self, request: BulkRequest) -> dict[str, Any]:
        """Return the values by full key, without those that the loader left out."""
        answers: dict[str, Any] = {}
        wanted: Sequence[str] = list(request.keys)
        while wanted:
            this = self._begin(request, wanted, can_refresh=self._loading.executor is not None)
            answers |= this.answers
            if this.behind:
                self._loading.behind(partial(self._lead, request, this.behind), _flights_of(this.behind))
            if this.led:  # before waiting for others, which may wait for these
                answers |= self._lead(request, this.led)
            wanted = []
            for full, (flight, found) in this.joined.items():
                try:
                    answers[full] = self._loading.shared(self._flights.wait(flight), found)
                except FlightCancelledError:
                    wanted.append(full)
        return answers

    async def aget(self, request: BulkRequest) -> dict[str, Any]:
        """Do the same as :meth:`get` without blocking the event loop; the loader may be a coroutine function."""
        answers: dict[str, Any] = {}
        wanted: Sequence[str] = list(request.keys)
        while wanted:
            this = self._begin(request, wanted, can_refresh=True)
            answers |= this.answers
            if this.behind:
                self._loading.abehind(self._alead(request, this.behind), _flights_of(this.behind))
            if this.led:
                answers |= await self._alead(request, this.led)
            wanted = []
            for full, (flight, found) in this.joined.items():
                try:
                    answers[full] = self._loading.shared(await self._flights.wait_async(flight), found)
                except FlightCancelledError:
                    wanted.append(full)
        return answers

    # Loading

    def _lead(self, request: BulkRequest, led: Pending) -> dict[str, Any]:
        with self._flights.leading(*_flights_of(led)):
            answers = self._loaded_meanwhile(led)
            if not led:
                return answers
            started = time.perf_counter()
            try:
                loaded = request.loader([request.keys[full] for full in led])
            except Exception as error:  # noqa: BLE001 - passed on to all waiting callers
                return answers | self._failed(led, error)
            return answers | self._store(request, led, loaded, started)

    async def _alead(self, request: BulkRequest, led: Pending) -> dict[str, Any]:
        with self._flights.leading(*_flights_of(led)):
            answers = self._loaded_meanwhile(led)
            if not led:
                return answers
            started = time.perf_counter()
            try:
                loaded = request.loader([request.keys[full] for full in led])
                if inspect.isawaitable(loaded):
                    loaded = await loaded
            except Exception as error:  # noqa: BLE001 - as above
                return answers | self._failed(led, error)
            return answers | self._store(request, led, loaded, started)

    # Steps shared by both

    def _begin(self, request: BulkRequest, wanted: Sequence[str], *, can_refresh: bool) -> _Round:
        """Answer the keys that are cached, and join or start a flight for each of the others."""
        this = _Round()
        missing: dict[str, Found | MissReason] = {}
        for full, found in self._reader.find_many(wanted, stale=True).items():
            if isinstance(found, Found) and not found.stale:
                this.answers[full] = self._loading.serve(found)
            else:
                missing[full] = found
        fences = {full: fences_of(full) for full in missing}
        names = dict.fromkeys((*request.tags, *(fence for each in fences.values() for fence in each)))
        present = self._reader.backend.generations(tuple(names)) if missing else {}
        for full, found in missing.items():
            flight, leads = self._flights.join(full, {name: present[name] for name in (*request.tags, *fences[full])})
            if self._loading.may_serve(found) and (can_refresh or not leads):
                this.answers[full] = self._loading.serve(found)
                if leads:
                    this.behind[full] = flight, found
            elif leads:
                self._reader.count(miss_reason_of(found))
                this.led[full] = flight, found
            else:
                this.joined[full] = flight, found
        return this

    def _loaded_meanwhile(self, led: Pending) -> dict[str, Any]:
        """Look again: other flights may have ended between this caller's read and its joining. Their keys are removed from *led*."""
        answers: dict[str, Any] = {}
        for full, found in self._reader.find_many(list(led)).items():
            if isinstance(found, Found):
                self._flights.set_result(led.pop(full)[0], freeze(found.copy_out())[0])
                answers[full] = found.copy_out()
        return answers

    def _store(self, request: BulkRequest, led: Pending, loaded: Any, started: float) -> dict[str, Any]:
        """Store the loaded values. The flight of a key that the loader left out is cancelled, and callers that wait for it load it themselves."""
        self._reader.counters.add_load(time.perf_counter() - started)
        if not isinstance(loaded, Mapping):
            raise CacheError(
                f"a loader of several keys returns a mapping of keys to values, not {type(loaded).__name__}"
            )
        answers: dict[str, Any] = {}
        for full, (flight, _) in led.items():
            if (key := request.keys[full]) in loaded:
                one = Request(full, partial(request.loader, (key,)), request.ttl, request.tags, request.kind)
                answers[full] = copy_out(self._loading.store(flight, one, loaded[key]))
        return answers

    def _failed(self, led: Pending, error: Exception) -> dict[str, Any]:
        """Return stale values that may be used; raise *error* if a key has none."""
        self._reader.counters.add(Count.LOAD_ERRORS)
        answers: dict[str, Any] = {}
        failed = False
        for full, (flight, found) in led.items():
            try:
                answers[full] = copy_out(self._loading.fall_back(flight, error, found))
            except Exception as raised:
                if raised is not error:
                    raise
                failed = True
        if failed:
            raise error
        return answers


def _flights_of(pending: Pending) -> tuple[Flight, ...]:
    return tuple(flight for flight, _ in pending.values())
