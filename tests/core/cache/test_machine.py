"""Any sequence of operations, on either backend, does what a plain dict with times and tags would do."""

from __future__ import annotations

import math
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fpa_core.cache import DataCache, make_key
from fpa_core.cache.keys import Pattern
from fpa_core.cache.tiers import TieredCache
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

KEYS = [make_key(*parts) for parts in (("a",), ("a", "b"), ("a:b",), ("BRK[B]",), ("",))]
keys = st.sampled_from(KEYS)
tags = st.lists(st.sampled_from(["AAPL", "MSFT", "quotes"]), max_size=2)
ttls = st.sampled_from([None, -1, 0, 1, 5, 60])
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)


class CacheMachine(RuleBasedStateMachine):
    def __init__(self, make_backend):
        super().__init__()
        self.now = 4_000_000_000.0
        self.backend = make_backend(lambda: self.now)
        self.cache = DataCache(self.backend, ttl=60, clock=lambda: self.now)
        self.model = {}

    def teardown(self):
        self.cache.close()

    def alive(self):
        return {key: value for key, (value, until, _) in self.model.items() if self.now < until}

    def remember(self, key, value, ttl, names):
        if ttl is not None and ttl <= 0:
            return
        self.model[key] = (value, math.inf if ttl is None else self.now + ttl, set(names))

    @rule(key=keys, value=values, ttl=ttls, names=tags)
    def set(self, key, value, ttl, names):
        self.model.pop(key, None)
        self.remember(key, value, ttl, names)
        assert self.cache.set(key, value, ttl, tags=names) is (ttl is None or ttl > 0)

    @rule(key=keys, value=values, ttl=ttls, names=tags, during=st.sampled_from([None, "AAPL", "key"]))
    def load(self, key, value, ttl, names, during):
        def loader():
            if during == "key":
                self.cache.delete(key)
            elif during:
                self.cache.invalidate_tags(during)
            return value

        known = self.alive()
        if key in known:
            assert known[key] == self.cache.get_or_load(key, loader, ttl, tags=names)
            return
        assert value == self.cache.get_or_load(key, loader, ttl, tags=names)
        if during == "key":
            self.model.pop(key, None)
        elif during:
            self.drop_tag(during)
        if during != "key" and during not in names and not (ttl is not None and ttl <= 0):
            self.remember(key, value, ttl, names)

    def drop_tag(self, tag):
        self.model = {key: kept for key, kept in self.model.items() if tag not in kept[2]}

    @rule(tag=st.sampled_from(["AAPL", "MSFT", "quotes"]))
    def invalidate_tag(self, tag):
        self.cache.invalidate_tags(tag)
        self.drop_tag(tag)

    @rule(pattern=st.sampled_from(["*", "a*", "BRK[B]", "?"]))
    def invalidate_pattern(self, pattern):
        matches = Pattern(pattern).matches
        self.cache.invalidate_pattern(pattern)
        self.model = {key: kept for key, kept in self.model.items() if not matches(key)}

    @rule(key=keys)
    def delete(self, key):
        existed = key in self.alive()
        assert self.cache.delete(key) or not existed
        self.model.pop(key, None)

    @rule(key=keys, ttl=st.sampled_from([None, 1, 60]))
    def touch(self, key, ttl):
        known = self.alive()
        assert self.cache.touch(key, ttl) is (key in known)
        if key in known:
            self.remember(key, known[key], ttl, self.model[key][2])

    @rule(seconds=st.sampled_from([0.5, 1, 4, 60, 1e6]))
    def wait(self, seconds):
        self.now += seconds

    @rule(limit=st.none() | st.integers(1, 3))
    def purge(self, limit):
        purged = self.cache.purge(limit)
        assert limit is None or purged <= limit

    @invariant()
    def agrees(self):
        assert self.alive() == self.cache.get_many(KEYS)
        assert self.cache.get_stats().entries >= len(self.alive())
        assert set(self.alive()) <= set(self.cache.keys())


@pytest.mark.parametrize("kind", ["memory", "lru", "disk", "tiers"])
def test_the_cache_behaves_as_the_model(kind):
    """Whatever is done in whatever order, the cache holds what the model holds."""
    with tempfile.TemporaryDirectory() as folder:
        count = iter(range(10**6))
        makers = {
            "memory": lambda _: MemoryCache(),
            "lru": lambda _: LruMemoryCache(),
            "disk": lambda _: DiskCache(f"{folder}/{next(count)}"),
            # So small that copies come and go.
            "tiers": lambda clock: TieredCache(
                MemoryCache(max_entries=2), DiskCache(f"{folder}/{next(count)}"), clock=clock
            ),
        }
        run_state_machine_as_test(
            lambda: CacheMachine(makers[kind]),
            settings=settings(
                max_examples=20 if kind in ("disk", "tiers") else 100,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
