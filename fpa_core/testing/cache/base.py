"""What all groups of tests of a cache share: how caches are opened, the clock, and which tests are skipped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import pytest
from attrs import define

from fpa_core.cache import DataCache
from fpa_core.protocols import CacheBackend, Entry
from fpa_core.testing.runs import skip_undeclared

__all__ = ["LIFETIME", "CacheFactory", "CacheOpener", "CacheTests", "Clock", "MakeCache", "entry"]

CacheOpener: TypeAlias = Callable[[], CacheBackend]
"""Opens a cache; called again, it opens the same entries once more if the cache is persistent or shared."""

CacheFactory: TypeAlias = Callable[[str], CacheOpener]
"""Returns what opens the cache of a name: a letter, then letters, digits and underscores."""

MakeCache: TypeAlias = Callable[..., DataCache]
"""Makes a DataCache on the backend of the test; keyword arguments as those of DataCache."""

LIFETIME = 3_600.0
"""Seconds that an entry lives, so many that a backend with a clock of its own does not end one in the middle of a test."""


@define
class Clock:
    """Seconds that pass when told to. They lie far in the future, so that a backend's own look at the wall clock ends nothing."""

    now: float = 4_000_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def entry(value: bytes = b"value", now: float = 4_000_000_000.0, **more: Any) -> Entry:
    """Return an entry of bytes, which every backend stores."""
    tags: Mapping[str, int] = more.pop("tags", {})
    times = {"expires_at": now + LIFETIME, "keep_until": None} | more
    return Entry(value, now, times["expires_at"], times["keep_until"], len(value), tags)


class CacheTests:
    """A group of tests of a cache."""

    @pytest.fixture
    def cache_factory(self) -> CacheFactory:
        """Return a function that returns, for a name, what opens the cache of that name: the one fixture to override.

        What it returns must be picklable if the cache is SHARED: it is called in other processes, too.
        """
        raise NotImplementedError("override the fixture cache_factory: lambda name: partial(create, options)")

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the clock of the caches of this test."""
        return Clock()

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        """Skip tests of capabilities that the cache does not declare; fail a run in which every test is skipped."""
        skip_undeclared(request, "cache_factory", "cache")

    @pytest.fixture
    def opener(self, cache_factory: CacheFactory) -> CacheOpener:
        """Return what opens the cache of this test."""
        return cache_factory("test")

    @pytest.fixture
    def backend(self, opener: CacheOpener) -> Iterator[CacheBackend]:
        """Open the cache of this test."""
        with contextlib.closing(opener()) as backend:
            yield backend

    @pytest.fixture
    def make(self, backend: CacheBackend, clock: Clock) -> MakeCache:
        """Make DataCaches on the backend and the clock of this test."""
        return lambda **parameters: DataCache(backend, **{"clock": clock, "ttl": LIFETIME, **parameters})

    @pytest.fixture
    def cache(self, make: MakeCache) -> DataCache:
        """Return the cache of this test as users see it."""
        return make()
