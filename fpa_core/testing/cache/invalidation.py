"""K2, K3, K4: what was invalidated is never returned again, nor stored by a load that began before."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fpa_core.cache import DataCache, Miss, MissReason
from fpa_core.protocols import CacheBackend
from fpa_core.testing.cache.base import LIFETIME, CacheTests, Clock, MakeCache, entry
from fpa_core.testing.contracts import CachePromise, holds
from fpa_core.testing.store.threads import run_together

__all__ = ["FenceTests", "GenerationTests", "InvalidationTests"]

WAIT = 30.0
TAGS = ["n:a", "n:b", "n:é*[x]", "m:a"]

INVALIDATIONS: dict[str, Callable[[DataCache], Any]] = {
    "tag": lambda cache: cache.invalidate_tags("t"),
    "delete": lambda cache: cache.delete("k"),
    "pattern": lambda cache: cache.invalidate_pattern("k*"),
    "clear": lambda cache: cache.clear(),
    "unset": lambda cache: cache.set("k", 0, 0),
}


class GenerationTests(CacheTests):
    """Every tag has a generation."""

    @holds(CachePromise.K4)
    def test_a_bump_moves_its_tags_alone(self, backend: CacheBackend) -> None:
        """A bumped tag has a generation it never had before, and every other tag keeps its own."""
        seen = {tag: {generation} for tag, generation in backend.generations(TAGS).items()}
        assert set(TAGS) == seen.keys()
        for number in range(40):
            before = dict(backend.generations(TAGS))
            bumped = TAGS[: 1 + number % 2]
            backend.bump(bumped)
            after = dict(backend.generations(TAGS))
            for tag in TAGS:
                assert type(after[tag]) is int
                assert abs(after[tag]) < 2**62
                if tag in bumped:
                    assert after[tag] not in seen[tag], f"{tag} has a generation that it had before"
                    seen[tag].add(after[tag])
                else:
                    assert before[tag] == after[tag], f"{tag} moved though another tag was bumped"
        assert dict(backend.generations([])) == {}
        backend.bump([])

    @holds(CachePromise.K4)
    def test_clearing_keeps_generations(self, backend: CacheBackend) -> None:
        """After clearing, entries made before an invalidation stay invalid."""
        fence = dict(backend.generations(["n:t", "n:u"]))
        backend.bump(["n:t"])
        moved = dict(backend.generations(["n:t", "n:u"]))
        backend.put("n:k", entry())
        assert backend.clear() == 1
        assert moved == dict(backend.generations(["n:t", "n:u"]))
        assert not backend.put("n:k", entry(), fence=fence)

    @holds(CachePromise.K4)
    def test_many_tags(self, backend: CacheBackend) -> None:
        """Many tags are read, and bumped, together."""
        names = [f"n:t{number}" for number in range(500)]
        before = dict(backend.generations(names))
        backend.bump(names[::2])
        after = dict(backend.generations(names))
        assert names[1::2] == [name for name in names if before[name] == after[name]]


class FenceTests(CacheTests):
    """A put with a fence."""

    @holds(CachePromise.K3)
    def test_a_fence_that_stands(self, backend: CacheBackend) -> None:
        """With every generation current the entry is stored."""
        fence = dict(backend.generations(TAGS[:3]))
        assert backend.put("n:k", entry(b"1"), fence=fence)
        assert backend.put("n:k", entry(b"2"), fence=fence)
        assert backend.put("n:k", entry(b"3"), fence={})
        found = backend.get("n:k")
        assert found is not None
        assert bytes(found.value) == b"3"

    @holds(CachePromise.K3)
    @pytest.mark.parametrize("moved", TAGS[:3])
    def test_a_fence_that_moved(self, backend: CacheBackend, moved: str) -> None:
        """With one generation that has changed nothing is stored, and what was there before stays."""
        fence = dict(backend.generations(TAGS[:3]))
        backend.put("n:old", entry(b"old"))
        backend.bump([moved])
        assert not backend.put("n:old", entry(b"new"), fence=fence)
        assert not backend.put("n:none", entry(b"new"), fence=fence)
        old = backend.get("n:old")
        assert old is not None
        assert bytes(old.value) == b"old"
        assert backend.get("n:none") is None

    @holds(CachePromise.K3)
    def test_the_fence_and_the_storing_are_one_step(self, backend: CacheBackend) -> None:
        """Whatever other threads store, after a bump and a deletion nothing made under the earlier generation appears."""
        begun, ended, stop = itertools.count(1), itertools.count(1), threading.Event()
        counts = {"begun": 0, "ended": 0}

        def put_again() -> None:
            while not stop.is_set():
                fence = dict(backend.generations(["n:t"]))
                counts["begun"] = next(begun)
                backend.put("n:k", entry(str(fence["n:t"]).encode()), fence=fence)
                counts["ended"] = next(ended)

        def wait_for(count: str, least: int) -> Iterator[None]:
            deadline = time.monotonic() + WAIT
            while counts[count] < least and time.monotonic() < deadline:
                yield

        def end() -> None:
            try:
                for _ in range(25):
                    for _ in wait_for("begun", counts["begun"] + 1):
                        pass
                    backend.bump(["n:t"])
                    current = backend.generations(["n:t"])["n:t"]
                    backend.delete("n:k")
                    for _ in wait_for("ended", counts["ended"] + 2):
                        found = backend.get("n:k")
                        assert found is None or int(bytes(found.value)) == current, "a stale value was stored"
            finally:
                stop.set()

        run_together(put_again, end)


class Gate:
    """A loader that says when it has begun and returns when it may."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> Any:
        self.begun.set()
        assert self.open.wait(WAIT)
        return self.value


class InvalidationTests(CacheTests):
    """What was invalidated is gone for everybody."""

    @holds(CachePromise.K2)
    @pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
    def test_a_value_is_gone_at_once(self, cache: DataCache, make: MakeCache, invalidate: Any) -> None:
        """However a value is ended, neither this cache nor another one on the backend returns it again; others stay."""
        other = make()
        cache.set("k", "old", tags=["t"])
        cache.set("z", "kept", tags=["u"])
        assert (cache.get("k"), other.get("k"), other.get("z")) == ("old", "old", "kept")
        invalidate(other)
        assert (cache.get("k"), other.get("k"), cache.get_many(["k"])) == (None, None, {})
        kept = None if invalidate is INVALIDATIONS["clear"] else "kept"
        assert (kept, kept) == (cache.get("z"), other.get("z"))
        cache.set("k", "new", tags=["t"])
        assert (cache.get("k"), cache.get_many(["k"])) == ("new", {"k": "new"})

    @holds(CachePromise.K2)
    def test_tags_end_every_value_under_them(self, cache: DataCache, clock: Clock) -> None:
        """A tag ends all it was given to, whatever their lifetimes, and nothing else; values stored later live."""
        cache.set("long", 1, None, tags=["AAPL", "quotes"])
        cache.set("short", 1, 60, tags=["AAPL"])
        cache.set("other", 1, tags=["MSFT", "quotes"])
        clock.now += 120
        cache.invalidate_tags("AAPL")
        assert [key for key in ("long", "short", "other") if key in cache] == ["other"]
        assert cache.lookup("long") == Miss(MissReason.INVALIDATED)
        cache.set("long", 2, tags=["AAPL"])
        assert cache.get("long") == 2

    @holds(CachePromise.K2)
    def test_touching_does_not_revive(self, cache: DataCache, clock: Clock) -> None:
        """An entry whose times were changed still ends with its tags."""
        cache.set("k", 1, 60, tags=["t"])
        assert cache.touch("k", 10 * LIFETIME)
        clock.now += LIFETIME
        assert cache.get("k") == 1
        cache.invalidate_tags("t")
        assert not cache.touch("k")
        assert cache.get("k") is None

    @holds(CachePromise.K2)
    def test_namespaces_are_apart(self, make: MakeCache) -> None:
        """Keys, tags and clearing of one namespace do not touch another on the same backend."""
        one, other = make(namespace="one"), make(namespace="other")
        for cache in (one, other):
            cache.set("k", cache is one, tags=["t"])
        one.invalidate_tags("t")
        assert (one.get("k"), other.get("k")) == (None, False)
        one.set("k", 1)
        assert one.clear() == 1
        assert other.get("k") is False

    @holds(CachePromise.K2)
    @pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
    def test_a_load_that_was_overtaken_is_not_kept(self, make: MakeCache, invalidate: Any) -> None:
        """A value invalidated by another cache on the backend while it was loaded is returned, but not stored."""
        here, there = make(), make()
        gate = Gate("old")
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(here.get_or_load, "k", gate, tags=["t"])
            try:
                assert gate.begun.wait(WAIT)
                invalidate(there)
            finally:
                gate.open.set()
            assert job.result(WAIT) == "old"
        assert not here.contains("k")
        assert not there.contains("k")
        assert here.get_stats().refused == 1
        assert there.get_or_load("k", lambda: "new", tags=["t"]) == "new"
        assert here.get("k") == "new"
