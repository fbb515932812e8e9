"""Several values made at once: each key has its single flight, and those that miss are asked of one loader together."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from attrs import define, field, frozen

from fpa_core.cache.answers import MissReason
from fpa_core.cache.flight import AbandonedError, Flight
from fpa_core.cache.keys import fences_of
from fpa_core.cache.lifetimes import Ttl, Unset
from fpa_core.cache.loading import Loading, Request, missed
from fpa_core.cache.shelf import Found
from fpa_core.cache.stats import Count
from fpa_core.cache.values import give, hold
from fpa_core.exceptions import CacheError

__all__ = ["SeveralLoading", "SeveralRequest"]


@frozen
class SeveralRequest:
    """Values wanted: their keys as the loader knows them, by the full key; how to make them, and how long they live."""

    keys: Mapping[str, str]
    loader: Callable[[Sequence[str]], Any]
    ttl: Ttl | Unset
    tags: Sequence[str]
    kind: str | None


Pending: TypeAlias = dict[str, tuple[Flight, Found | MissReason]]
"""By full key, a flight without outcome yet, and what there was instead of a fresh value."""


@define
class _Round:
    """What became of the keys: answered at once, to be loaded by this caller now or *behind* its back, or loaded by others already."""

    answers: dict[str, Any] = field(factory=dict)
    led: Pending = field(factory=dict)
    behind: Pending = field(factory=dict)
    joined: Pending = field(factory=dict)


class SeveralLoading:
    """The loads of several keys at once, in the flights of *loading*."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._flights = loading.flights
        self._shelf = loading.shelf

    def get(self, request: SeveralRequest) -> dict[str, Any]:
        """Return the values by full key, without those that the loader does not know."""
        answers: dict[str, Any] = {}
        wanted: Sequence[str] = list(request.keys)
        while wanted:
            this = self._begin(request, wanted, can_refresh=self._loading.executor is not None)
            answers |= this.answers
            if this.behind:
                self._loading.behind(partial(self._lead, request, this.behind), _flights_of(this.behind))
            if this.led:  # before waiting for others, who may be waiting for these
                answers |= self._lead(request, this.led)
            wanted = []
            for full, (flight, found) in this.joined.items():
                try:
                    answers[full] = self._loading.shared(self._flights.wait(flight), found)
                except AbandonedError:
                    wanted.append(full)
        return answers

    async def aget(self, request: SeveralRequest) -> dict[str, Any]:
        """Do as :meth:`get` without blocking the event loop; the loader may be a coroutine function."""
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
                except AbandonedError:
                    wanted.append(full)
        return answers

    # Loading what this caller leads

    def _lead(self, request: SeveralRequest, led: Pending) -> dict[str, Any]:
        with self._flights.leading(*_flights_of(led)):
            answers = self._landed_meanwhile(led)
            if not led:
                return answers
            started = time.perf_counter()
            try:
                loaded = request.loader([request.keys[full] for full in led])
            except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
                return answers | self._failed(led, error)
            return answers | self._store(request, led, loaded, started)

    async def _alead(self, request: SeveralRequest, led: Pending) -> dict[str, Any]:
        with self._flights.leading(*_flights_of(led)):
            answers = self._landed_meanwhile(led)
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

    # Steps the two have in common

    def _begin(self, request: SeveralRequest, wanted: Sequence[str], *, can_refresh: bool) -> _Round:
        """Answer what is there, and join or begin a flight for each of the rest."""
        this = _Round()
        missing: dict[str, Found | MissReason] = {}
        for full, found in self._shelf.find_many(wanted, stale=True).items():
            if isinstance(found, Found) and not found.stale:
                this.answers[full] = self._loading.serve(found)
            else:
                missing[full] = found
        fences = {full: fences_of(full) for full in missing}
        names = dict.fromkeys((*request.tags, *(fence for each in fences.values() for fence in each)))
        present = self._shelf.backend.generations(tuple(names)) if missing else {}
        for full, found in missing.items():
            flight, leads = self._flights.join(full, {name: present[name] for name in (*request.tags, *fences[full])})
            if self._loading.may_serve(found) and (can_refresh or not leads):
                this.answers[full] = self._loading.serve(found)
                if leads:
                    this.behind[full] = flight, found
            elif leads:
                self._shelf.count(missed(found))
                this.led[full] = flight, found
            else:
                this.joined[full] = flight, found
        return this

    def _landed_meanwhile(self, led: Pending) -> dict[str, Any]:
        """Look again: other flights may have ended between this caller's look and its joining. Takes what they left out of *led*."""
        answers: dict[str, Any] = {}
        for full, found in self._shelf.find_many(list(led)).items():
            if isinstance(found, Found):
                self._flights.land(led.pop(full)[0], hold(found.give())[0])
                answers[full] = found.give()
        return answers

    def _store(self, request: SeveralRequest, led: Pending, loaded: Any, started: float) -> dict[str, Any]:
        """Keep what was loaded. A flight whose key the loader left out is abandoned: whoever waits for it asks a loader of their own."""
        self._shelf.counters.add_load(time.perf_counter() - started)
        if not isinstance(loaded, Mapping):
            raise CacheError(
                f"a loader of several keys returns a mapping of keys to values, not {type(loaded).__name__}"
            )
        answers: dict[str, Any] = {}
        for full, (flight, _) in led.items():
            if (key := request.keys[full]) in loaded:
                one = Request(full, partial(request.loader, (key,)), request.ttl, request.tags, request.kind)
                answers[full] = give(self._loading.store(flight, one, loaded[key]))
        return answers

    def _failed(self, led: Pending, error: Exception) -> dict[str, Any]:
        """Give out stale values where they may be used; raise *error* when that leaves a key without one."""
        self._shelf.counters.add(Count.LOAD_ERRORS)
        answers: dict[str, Any] = {}
        failed = False
        for full, (flight, found) in led.items():
            try:
                answers[full] = give(self._loading.fall_back(flight, error, found))
            except Exception as raised:
                if raised is not error:
                    raise
                failed = True
        if failed:
            raise error
        return answers


def _flights_of(pending: Pending) -> tuple[Flight, ...]:
    return tuple(flight for flight, _ in pending.values())
