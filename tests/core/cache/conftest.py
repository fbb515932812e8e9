"""What the cache's tests share: a clock that is set by hand, each backend in the box, and a cache on it."""

from __future__ import annotations

import pytest

from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache


class Clock:
    """Seconds that pass when told to. They lie in the future, so that the disk cache's own look at the wall clock hides nothing."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "lru", "disk", "tiers"])
def backend(request, tmp_path, clock):
    if request.param == "disk":
        made = DiskCache(tmp_path / "cache")
    elif request.param == "tiers":
        made = TieredCache(MemoryCache(max_entries=1000), DiskCache(tmp_path / "cache"), clock=clock)
    else:
        made = {"memory": MemoryCache, "lru": LruMemoryCache}[request.param](max_entries=1000, max_bytes=2**24)
    yield made
    made.close()


@pytest.fixture
def make(backend, clock):
    """Make caches on the same backend and clock, with other parameters."""
    return lambda **parameters: DataCache(backend, **{"clock": clock, "ttl": 60, **parameters})


@pytest.fixture
def cache(make):
    return make()
