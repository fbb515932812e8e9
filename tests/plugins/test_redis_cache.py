"""The Redis cache against the contract of every cache, on one server and on a cluster, and against what only a server can do to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

from redis_server import RedisServer, cluster, or_skip, running

from fpa_core.testing import CacheContract
from fpa_core.testing.cache import CacheFactory
from fpa_plugins.redis.plugin import RedisOptions, create


@pytest.fixture(scope="session")
def single() -> Iterator[RedisServer]:
    """Start one server."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(running())


@pytest.fixture(scope="session")
def three() -> Iterator[list[RedisServer]]:
    """Start a cluster of three masters."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(cluster())


def emptied(server: RedisServer) -> RedisServer:
    assert server.said("FLUSHALL").startswith(b"+OK")
    return server


class TestRedisCache(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, single: RedisServer) -> CacheFactory:
        url = emptied(single).url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5))


class TestRedisCluster(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, three: list[RedisServer]) -> CacheFactory:
        url = [emptied(node) for node in three][0].url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5, mode="cluster"))
