"""K7, K9: threads, handles and processes use one cache at once; a closed one says so."""

from __future__ import annotations

import contextlib
import os
import warnings

import pytest

from fpa_core.cache import DataCache
from fpa_core.exceptions import CacheError
from fpa_core.protocols import CacheBackend, Capability
from fpa_core.testing.cache.base import CacheOpener, CacheTests, Clock, MakeCache, entry
from fpa_core.testing.contracts import CachePromise, holds
from fpa_core.testing.store.processes import finish, start
from fpa_core.testing.store.threads import run_together

__all__ = ["SharingTests"]


def _invalidate(opener: CacheOpener) -> None:
    with contextlib.closing(DataCache(opener(), clock=Clock(), ttl=None)) as cache:
        assert cache.get("k") == 1, "another process does not see the entry"
        cache.invalidate_tags("t")
        cache.set("k", 2)
        cache.delete("gone")


class SharingTests(CacheTests):
    """Many users of one cache."""

    @holds(CachePromise.K7)
    def test_threads_lose_nothing(self, backend: CacheBackend) -> None:
        """What threads put at once is there, each entry as it was put."""

        def work(name: str) -> None:
            for number in range(30):
                key = f"n:{name}{number}"
                assert backend.put(key, entry(key.encode()))
                found = backend.get(key)
                assert found is not None
                assert bytes(found.value) == key.encode()

        run_together(*(lambda name=name: work(name) for name in "abcd"))
        assert backend.usage().entries == 120
        assert len(set(backend.keys())) == 120

    @holds(CachePromise.K7)
    def test_deletions_are_never_lost(self, cache: DataCache) -> None:
        """Whatever other threads write meanwhile, what was deleted is gone when the call returns, and was there once."""

        def churn(name: str) -> None:
            for number in range(20):
                key = f"{name}{number}"
                cache.set(key, 1)
                assert cache.delete(key)
                assert not cache.contains(key)

        run_together(*(lambda name=name: churn(name) for name in "abcd"))
        assert cache.get_stats().deletes == 80

    @holds(CachePromise.K7)
    def test_one_of_many_loads(self, cache: DataCache) -> None:
        """Threads that ask for one missing key get equal values, and find it stored."""
        answers: list[int] = []
        run_together(*[lambda: answers.append(cache.get_or_load("k", lambda: 5, tags=["t"]))] * 8)
        assert [5] * 8 == answers
        assert cache.get("k") == 5

    @holds(CachePromise.K7, Capability.SHARED)
    def test_two_handles_see_the_same_entries(self, opener: CacheOpener, make: MakeCache, clock: Clock) -> None:
        """A cache opened twice has the same entries and generations, whichever of the two changed them."""
        here = make()
        with contextlib.closing(DataCache(opener(), clock=clock, ttl=None)) as there:
            here.set("k", 1, tags=["t"])
            here.set("z", 2)
            assert there.get_many(["k", "z"]) == {"k": 1, "z": 2}
            there.invalidate_tags("t")
            assert here.get("k") is None
            there.delete("z")
            assert here.get("z") is None
            there.set("y", 3)
            assert (here.get("y"), here.keys("y")) == (3, ["y"])
            assert there.clear() >= 1
            assert here.get("y") is None

    @holds(CachePromise.K7, Capability.SHARED)
    def test_processes_see_invalidations_at_once(self, opener: CacheOpener, cache: DataCache) -> None:
        """What another process invalidates, deletes or replaces is so here when it has ended."""
        cache.set("tagged", 1, tags=["t"])
        cache.set("gone", 1)
        cache.set("k", 1)
        finish(start(_invalidate, opener))  # type: ignore[arg-type]
        assert (cache.get("tagged"), cache.get("gone")) == (None, None)
        assert cache.contains("k")

    @holds(CachePromise.K7)
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_forked_child_can_go_on(self, backend: CacheBackend) -> None:
        """A forked child can use the cache without disturbing its parent."""
        backend.put("n:k", entry(b"parent"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the test run are not in our way
            child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            status = 1
            try:
                found = backend.get("n:k")
                backend.put("n:c", entry(b"child"))
                mine = backend.get("n:c")
                values = [None if one is None else bytes(one.value) for one in (found, mine)]
                status = 0 if values == [b"parent", b"child"] else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        backend.put("n:k", entry(b"later"))
        found = backend.get("n:k")
        assert found is not None
        assert bytes(found.value) == b"later"

    @holds(CachePromise.K9)
    def test_a_cache_is_closed_once(self, opener: CacheOpener) -> None:
        """Closing again does nothing; a closed cache works, or raises an error of this project."""
        backend = opener()
        backend.put("n:k", entry())
        backend.close()
        backend.close()
        for verb in (lambda: backend.get("n:k"), lambda: backend.put("n:k", entry()), lambda: backend.bump(["n:t"])):
            with contextlib.suppress(CacheError):
                verb()
        backend.close()
