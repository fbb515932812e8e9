"""The conformance kit of caches."""

from fpa_core.testing.cache.base import CacheFactory, CacheOpener, CacheTests, Clock
from fpa_core.testing.cache.contract import CacheContract
from fpa_core.testing.cache.machine import CacheMachine, run_cache_machine

__all__ = [
    "CacheContract",
    "CacheFactory",
    "CacheMachine",
    "CacheOpener",
    "CacheTests",
    "Clock",
    "run_cache_machine",
]
