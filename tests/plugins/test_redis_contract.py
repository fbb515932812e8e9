"""The Redis cache against the contract of every cache: one server, a cluster, and with a memory cache in front."""

from __future__ import annotations

import os
from functools import partial
from typing import TypeVar

import pytest
from attrs import evolve

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

from redis_server import RedisServer, emptied

from fpa_core.cache.tiers import TieredCache
from fpa_core.testing import CacheContract
from fpa_core.testing.cache import CacheFactory, Clock
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis.plugin import RedisOptions, create

T = TypeVar("T")


class TestRedisCache(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, redis_server: RedisServer) -> CacheFactory:
        url = emptied(redis_server).url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5))


class TestRedisCluster(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, redis_cluster: list[RedisServer]) -> CacheFactory:
        first, *_ = [emptied(node) for node in redis_cluster]
        url = first.url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5, mode="cluster"))


def open_tiers(options: RedisOptions, clock: Clock) -> TieredCache:
    return TieredCache(MemoryCache(), create(options), clock=clock)


class TestTiers(CacheContract):
    machine_examples = 20
    machine_users = 1
    tag_copies: float | None = None

    @pytest.fixture
    def cache_factory(self, redis_server: RedisServer, clock: Clock) -> CacheFactory:
        options = RedisOptions(url=emptied(redis_server).url, timeout=5, tag_copies=self.tag_copies)
        return lambda name: partial(open_tiers, evolve(options, prefix=name), clock)


class TestTiersWithCopies(TestTiers):
    tag_copies = 30.0

    # What other processes invalidate is noticed with the message of the server, and not at once: see the tests above.
    test_two_handles_see_the_same_entries = None
    test_processes_see_invalidations_at_once = None
