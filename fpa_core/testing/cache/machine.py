"""The state machine of a cache: any operations in any order leave what a dict with times and tags would hold."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fpa_core.cache import DataCache, make_key
from fpa_core.cache.keys import Pattern
from fpa_core.protocols import CacheBackend, Capability
from fpa_core.testing.cache.base import LIFETIME, CacheFactory, CacheTests, Clock
from fpa_core.testing.contracts import CachePromise, holds

__all__ = ["CacheMachine", "MachineTests", "run_cache_machine"]

KEYS = [make_key(*parts) for parts in (("a",), ("a", "b"), ("a:b",), ("BRK[B]",), ("",))]
TAGS = ["AAPL", "MSFT", "quotes"]

keys = st.sampled_from(KEYS)
tags = st.lists(st.sampled_from(TAGS), max_size=2)
ttls = st.sampled_from([None, -1, 0, LIFETIME, 5 * LIFETIME])
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
handles = st.integers(0, 1)


class CacheMachine(RuleBasedStateMachine):
    """What may happen to a cache with one user or more, a clock, and a dict as the model.

    :param open_backends: opens an empty cache, once for each user.
    """

    def __init__(self, open_backends: Callable[[], list[CacheBackend]], clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        clock.now = Clock().now
        self.caches = [DataCache(backend, ttl=LIFETIME, clock=clock) for backend in open_backends()]
        self.model: dict[str, tuple[Any, float, set[str]]] = {}

    def teardown(self) -> None:
        """Close the caches."""
        for cache in self.caches:
            cache.close()

    def cache(self, handle: int) -> DataCache:
        """Return one of the caches; there is only one if the backend is not shared."""
        return self.caches[handle % len(self.caches)]

    def alive(self) -> dict[str, Any]:
        """Return the values that a read must find."""
        return {key: value for key, (value, until, _) in self.model.items() if self.clock.now < until}

    def remember(self, key: str, value: Any, ttl: float | None, names: list[str] | set[str]) -> None:
        """Store a value in the model."""
        if ttl is None or ttl > 0:
            self.model[key] = (value, math.inf if ttl is None else self.clock.now + ttl, set(names))

    def drop_tag(self, tag: str) -> None:
        """Drop the values of a tag from the model."""
        self.model = {key: kept for key, kept in self.model.items() if tag not in kept[2]}

    @rule(handle=handles, key=keys, value=values, ttl=ttls, names=tags)
    def set(self, handle: int, key: str, value: Any, ttl: float | None, names: list[str]) -> None:
        """Store a value."""
        self.model.pop(key, None)
        self.remember(key, value, ttl, names)
        assert self.cache(handle).set(key, value, ttl, tags=names) is (ttl is None or ttl > 0)

    @rule(handle=handles, key=keys, value=values, ttl=ttls, names=tags, during=st.sampled_from([None, "AAPL", "key"]))
    def load(self, handle: int, key: str, value: Any, ttl: float | None, names: list[str], during: str | None) -> None:
        """Load a value, which is perhaps invalidated through the other cache meanwhile."""

        def loader() -> Any:
            if during == "key":
                self.cache(handle + 1).delete(key)
            elif during:
                self.cache(handle + 1).invalidate_tags(during)
            return value

        known = self.alive()
        loaded = self.cache(handle).get_or_load(key, loader, ttl, tags=names)
        if key in known:
            assert known[key] == loaded
            return
        assert value == loaded
        if during == "key":
            self.model.pop(key, None)
        elif during:
            self.drop_tag(during)
        if during != "key" and during not in names:
            self.remember(key, value, ttl, names)

    @rule(handle=handles, tag=st.sampled_from(TAGS))
    def invalidate_tag(self, handle: int, tag: str) -> None:
        """Invalidate the values of a tag."""
        self.cache(handle).invalidate_tags(tag)
        self.drop_tag(tag)

    @rule(handle=handles, pattern=st.sampled_from(["*", "a*", "BRK[B]", "?"]))
    def invalidate_pattern(self, handle: int, pattern: str) -> None:
        """Delete the keys that match a pattern."""
        matches = Pattern(pattern).matches
        self.cache(handle).invalidate_pattern(pattern)
        self.model = {key: kept for key, kept in self.model.items() if not matches(key)}

    @rule(handle=handles, key=keys)
    def delete(self, handle: int, key: str) -> None:
        """Delete a key."""
        existed = key in self.alive()
        assert self.cache(handle).delete(key) or not existed
        self.model.pop(key, None)

    @rule(handle=handles, key=keys, ttl=st.sampled_from([None, LIFETIME, 5 * LIFETIME]))
    def touch(self, handle: int, key: str, ttl: float | None) -> None:
        """Reset a lifetime."""
        known = self.alive()
        assert self.cache(handle).touch(key, ttl) is (key in known)
        if key in known:
            self.remember(key, known[key], ttl, self.model[key][2])

    @rule(seconds=st.sampled_from([0.5, LIFETIME - 1, LIFETIME, 1e6]))
    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.now += seconds

    @rule(handle=handles, limit=st.none() | st.integers(1, 3))
    def purge(self, handle: int, limit: int | None) -> None:
        """Free what has expired."""
        purged = self.cache(handle).purge(limit)
        assert limit is None or purged <= limit

    @invariant()
    def agrees(self) -> None:
        """Each of the caches has what the model has."""
        for cache in self.caches:
            assert self.alive() == cache.get_many(KEYS)
            assert self.alive() == {key: cache.get(key) for key in KEYS if cache.contains(key)}
        assert self.caches[0].get_stats().entries >= len(self.alive())
        assert set(self.alive()) <= set(self.caches[-1].keys())


def run_cache_machine(
    machine: type[CacheMachine],
    open_backends: Callable[[], list[CacheBackend]],
    clock: Clock,
    *,
    examples: int,
    steps: int,
) -> None:
    """Run the machine on *examples* caches, with at most *steps* operations on each."""
    effort = settings(
        max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck), deadline=None
    )
    make = functools.partial(machine, open_backends, clock)
    run_state_machine_as_test(make, settings=effort)  # type: ignore[arg-type]


class MachineTests(CacheTests):
    """Any operations in any order.

    :cvar machine: what may happen to the cache.
    :cvar machine_examples: how many caches are tried; ``machine_steps`` how much happens to each of them at most.
    :cvar machine_users: how many handles a shared cache is used through in turn; 1 for one that may return what another handle has replaced.
    """

    machine: ClassVar[type[CacheMachine]] = CacheMachine
    machine_examples: ClassVar[int] = 40
    machine_steps: ClassVar[int] = 25
    machine_users: ClassVar[int] = 2

    @holds(CachePromise.K2)
    def test_the_cache_agrees_with_a_plain_dict(self, cache_factory: CacheFactory, clock: Clock) -> None:
        """After any operations, by one user or by several in turn, a cache holds what a dict with times and tags would hold."""
        numbers = itertools.count()

        def open_backends() -> list[CacheBackend]:
            opener = cache_factory(f"fresh_{next(numbers)}")
            first = opener()
            users = self.machine_users if Capability.SHARED in first.capabilities else 1
            return [first, *(opener() for _ in range(users - 1))]

        run_cache_machine(self.machine, open_backends, clock, examples=self.machine_examples, steps=self.machine_steps)
