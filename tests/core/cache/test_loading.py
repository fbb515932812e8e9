"""Loading through the cache: one load for all, nothing stale written back, errors and stale values handled; schedules, not luck."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fpa_core.cache import DataCache, MissReason
from fpa_core.exceptions import CacheError
from fpa_plugins.memory.cache import MemoryCache

WAIT = 10


class Gate:
    """A loader that says when it has begun and returns when it may."""

    def __init__(self, value):
        self.value = value
        self.begun = threading.Event()
        self.open = threading.Event()
        self.calls = 0

    def __call__(self):
        self.calls += 1
        self.begun.set()
        assert self.open.wait(WAIT)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


def test_many_threads_load_once():
    """Two hundred threads that ask for one missing key run the loader once, and all get its value."""
    cache, gate, barrier = DataCache(MemoryCache()), Gate([1]), threading.Barrier(201)
    results = []

    def ask():
        barrier.wait(WAIT)
        results.append(cache.get_or_load("k", gate))

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    barrier.wait(WAIT)
    assert gate.begun.wait(WAIT)
    gate.open.set()
    for thread in threads:
        thread.join(WAIT)
    assert gate.calls == 1
    assert results == [[1]] * 200
    assert len({id(result) for result in results}) == 200
    stats = cache.get_stats()
    assert (stats.loads, stats.hits + stats.absent) == (1, 200)


def test_many_tasks_load_once(cache):
    """Two hundred tasks do as threads do."""
    calls = []

    async def load():
        calls.append(1)
        await asyncio.sleep(0)
        return 5

    async def main():
        return await asyncio.gather(*(cache.aget_or_load("k", load) for _ in range(200)))

    assert asyncio.run(main()) == [5] * 200
    assert len(calls) == 1


def test_a_thread_waits_for_a_tasks_load(cache, pool):
    """A thread that misses a key which a task is loading waits for that."""
    begun, release = threading.Event(), threading.Event()

    async def load():
        begun.set()
        await asyncio.to_thread(release.wait, WAIT)
        return 1

    leader = pool.submit(lambda: asyncio.run(cache.aget_or_load("k", load)))
    assert begun.wait(WAIT)
    follower = pool.submit(cache.get_or_load, "k", lambda: 2)
    release.set()
    assert (leader.result(WAIT), follower.result(WAIT)) == (1, 1)


INVALIDATIONS = {
    "tag": lambda cache: cache.invalidate_tags("t"),
    "delete": lambda cache: cache.delete("k"),
    "pattern": lambda cache: cache.invalidate_pattern("k*"),
    "clear": lambda cache: cache.clear(),
    "unset": lambda cache: cache.set("k", 0, 0),
}


@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_what_was_invalidated_while_it_loaded_is_not_kept(cache, pool, invalidate):
    """A load that an invalidation overtakes is not written back, and who asks after the invalidation does not join it."""
    old = Gate("old")
    first = pool.submit(cache.get_or_load, "k", old, tags=["t"])
    assert old.begun.wait(WAIT)
    invalidate(cache)
    new = Gate("new")
    second = pool.submit(cache.get_or_load, "k", new, tags=["t"])
    assert new.begun.wait(WAIT), "the second caller joined the load that began before the invalidation"
    old.open.set()
    assert first.result(WAIT) == "old"
    assert not cache.contains("k")
    third = pool.submit(cache.get_or_load, "k", lambda: "wrong", tags=["t"])
    new.open.set()
    assert (second.result(WAIT), third.result(WAIT)) == ("new", "new")
    assert cache.get("k") == "new"


@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_another_cache_on_the_same_backend_invalidates_too(make, pool, invalidate):
    """An invalidation by another process, which knows nothing of this load, is not overwritten either."""
    here, there = make(), make()
    gate = Gate("old")
    job = pool.submit(here.get_or_load, "k", gate, tags=["t"])
    assert gate.begun.wait(WAIT)
    invalidate(there)
    gate.open.set()
    assert job.result(WAIT) == "old"
    assert not here.contains("k")
    assert here.get_stats().refused == 1


def test_a_value_set_during_a_load_is_newer(cache, pool):
    """What was set while a load ran is not overwritten by it."""
    gate = Gate("loaded")
    job = pool.submit(cache.get_or_load, "k", gate)
    assert gate.begun.wait(WAIT)
    cache.set("k", "set")
    gate.open.set()
    assert job.result(WAIT) == "loaded"
    assert cache.get("k") == "set"


def test_a_value_that_landed_between_look_and_join_is_taken(cache, backend, monkeypatch):
    """A caller whose look missed, but who becomes leader after another load ended, takes that one's value."""
    generations = backend.generations

    def land_first(tags):
        monkeypatch.undo()
        found = generations(tags)
        cache.set("k", "landed")
        return found

    monkeypatch.setattr(backend, "generations", land_first)
    assert cache.get_or_load("k", lambda: "loaded") == "landed"


def test_an_error_reaches_all_who_wait_and_is_not_kept(cache, pool):
    """All who wait hear of the loader's error; the next caller tries anew."""
    gate = Gate(OSError("feed down"))
    leader = pool.submit(cache.get_or_load, "k", gate)
    assert gate.begun.wait(WAIT)
    followers = [pool.submit(cache.get_or_load, "k", lambda: "other") for _ in range(3)]
    while not all(job.running() for job in followers):
        pass
    gate.open.set()
    with pytest.raises(OSError, match="feed down"):
        leader.result(WAIT)
    for job in followers:  # a follower that came too late to wait has loaded for itself
        assert job.exception(WAIT) is not None or job.result() == "other"
    assert cache.get_or_load("k", lambda: "other") == "other"
    assert cache.get_stats().load_errors == 1


def test_tasks_hear_of_the_error_too(cache):
    """An error in a coroutine reaches every task that waits."""

    async def load():
        await asyncio.sleep(0)
        raise OSError("feed down")

    async def main():
        return await asyncio.gather(*(cache.aget_or_load("k", load) for _ in range(5)), return_exceptions=True)

    assert [OSError] * 5 == [type(result) for result in asyncio.run(main())]


def test_an_interrupted_leader_hands_over(cache, pool):
    """When the leading thread is interrupted, one of those who wait loads in its place."""
    gate = Gate(KeyboardInterrupt())
    leader = pool.submit(cache.get_or_load, "k", gate)
    assert gate.begun.wait(WAIT)
    follower = pool.submit(cache.get_or_load, "k", lambda: "mine")
    gate.open.set()
    assert isinstance(leader.exception(WAIT), KeyboardInterrupt)
    assert follower.result(WAIT) == "mine"


def test_a_cancelled_leader_hands_over(cache):
    """When the leading task is cancelled, one of those who wait loads in its place; a cancelled waiter disturbs nobody."""

    async def main():
        begun = asyncio.Event()

        async def never():
            begun.set()
            await asyncio.Event().wait()

        async def mine():
            return "mine"

        leader = asyncio.create_task(cache.aget_or_load("k", never))
        await begun.wait()
        waiters = [asyncio.create_task(cache.aget_or_load("k", mine)) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await asyncio.sleep(0)
        leader.cancel()
        return await asyncio.gather(leader, *waiters, return_exceptions=True)

    leader, cancelled, *rest = asyncio.run(main())
    assert isinstance(leader, asyncio.CancelledError)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert rest == ["mine", "mine"]


def test_recursion_is_an_error_not_a_deadlock(cache):
    """A loader that asks for its own key, directly or through another, gets an error; one that asks for another key does not."""
    assert cache.get_or_load("outer", lambda: cache.get_or_load("inner", lambda: 1) + 1) == 2
    with pytest.raises(CacheError, match="cannot end"):
        cache.get_or_load("a", lambda: cache.get_or_load("a", lambda: 1))
    with pytest.raises(CacheError, match="cannot end"):
        cache.get_or_load("a", lambda: cache.get_or_load("b", lambda: cache.get_or_load("a", lambda: 1)))
    assert cache.get_or_load("a", lambda: 1) == 1


def test_async_recursion_is_an_error(cache):
    """Coroutines that wait for their own key, or block their loop on one it is loading, get an error."""

    async def itself():
        return await cache.aget_or_load("a", itself)

    async def blocks():
        return cache.get_or_load("a", lambda: 1)

    for loader in (itself, blocks):
        with pytest.raises(CacheError, match="cannot end"):
            asyncio.run(cache.aget_or_load("a", loader))


def test_two_loaders_that_wait_for_each_other_are_found(cache, pool):
    """Threads whose loaders ask for each other's key: one of them gets an error, neither hangs."""
    barrier = threading.Barrier(2)

    def cross(mine, other):
        def load():
            barrier.wait(WAIT)
            return cache.get_or_load(other, lambda: 0)

        return cache.get_or_load(mine, load)

    jobs = [pool.submit(cross, "a", "b"), pool.submit(cross, "b", "a")]
    errors = [job.exception(WAIT) for job in jobs]
    assert any(isinstance(error, CacheError) for error in errors)


def test_stale_if_error(make, clock):
    """A value past its time stands in while its loader fails, within the window; then the error shows."""
    cache = make(stale_if_error=30)

    def fail():
        raise OSError("feed down")

    cache.set("k", [1], 10)
    clock.now += 20
    assert cache.get_or_load("k", fail) == [1]
    assert cache.get("k") is None
    assert cache.lookup("k", stale=True).stale
    clock.now += 20
    with pytest.raises(OSError, match="feed down"):
        cache.get_or_load("k", fail)


def test_stale_while_another_caller_revalidates(make, clock, pool):
    """Past its time a value is served to all but the one who loads the new one."""
    cache = make(stale_while_revalidate="30s")
    cache.set("k", "old", 10)
    clock.now += 15
    gate = Gate("new")
    leader = pool.submit(cache.get_or_load, "k", gate)
    assert gate.begun.wait(WAIT)
    assert cache.get_or_load("k", lambda: "wrong") == "old"
    gate.open.set()
    assert leader.result(WAIT) == "new"
    assert cache.get("k") == "new"
    assert cache.get_stats().stale_hits == 1


def test_an_executor_revalidates_behind_the_caller(make, clock):
    """With an executor nobody waits for the new value; errors and a closed executor do no harm."""
    executor = ThreadPoolExecutor(1)
    cache = make(stale_while_revalidate=30, executor=executor)
    cache.set("k", "old", 10)
    clock.now += 15
    assert cache.get_or_load("k", lambda: 1 / 0) == "old"
    executor.submit(int).result(WAIT)
    assert cache.get_stats().load_errors == 1
    assert cache.get_or_load("k", lambda: "new") == "old"
    executor.shutdown()
    assert cache.get("k") == "new"
    clock.now += 65
    assert cache.get_or_load("k", lambda: "newest") == "new"
    assert cache.get("k") == "newest"


def test_a_refresh_that_never_began_is_left_to_others(make, clock):
    """A refresh cancelled in the executor's queue does not leave the key blocked."""
    executor = ThreadPoolExecutor(1)
    gate = Gate(None)
    executor.submit(gate)
    cache = make(stale_while_revalidate=30, executor=executor)
    cache.set("k", "old", 10)
    clock.now += 15
    assert cache.get_or_load("k", lambda: "new") == "old"
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open.set()
    clock.now += 100
    assert cache.get_or_load("k", lambda: "newer") == "newer"


def test_a_task_revalidates_behind_the_caller(make, clock):
    """On an event loop the stale value is served at once and a task loads the new one."""
    cache = make(stale_while_revalidate=30)
    cache.set("k", "old", 10)
    clock.now += 15

    async def load():
        return "new"

    async def main():
        first = await cache.aget_or_load("k", load)
        second = await cache.aget_or_load("k", load)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return first, second, await cache.aget_or_load("k", load)

    assert asyncio.run(main()) == ("old", "old", "new")


def test_warming_reports_and_goes_on(cache):
    """Warming loads what is missing, leaves what is fresh, survives failures, and reports each key."""
    cache.set("fresh", "mine")

    def load(key):
        if key == "bad":
            raise OSError("feed down")
        return key.upper()

    report = cache.warm_cache(load, ["a", "bad", "fresh", "b", "a"], tags=["t"])
    assert (report.loaded, report.present, list(report.failed), report.ok) == (("a", "b"), ("fresh",), ["bad"], False)
    assert cache.get_many(["a", "b", "fresh"]) == {"a": "A", "b": "B", "fresh": "mine"}
    cache.invalidate_tags("t")
    assert not cache.contains("a")
    assert cache.warm_cache(load, ["x"], ttl=0, workers=1).unstored == ("x",)
    with pytest.raises(CacheError, match="worker"):
        cache.warm_cache(load, ["a"], workers=0)


def test_warmed_values_do_not_expire_together(cache):
    """Values made together get different lifetimes."""
    cache.warm_cache(str.upper, [f"k{number}" for number in range(20)], ttl=100)
    assert len({cache.lookup(f"k{number}").remaining for number in range(20)}) > 10


def test_warming_on_an_event_loop(cache):
    """Tasks warm with no more loads at once than asked."""
    running, most = 0, 0

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if key == "k3":
            raise OSError("feed down")
        return key

    cache.set("k1", 1)
    report = asyncio.run(cache.awarm_cache(load, [f"k{number}" for number in range(10)], workers=2))
    assert (len(report.loaded), report.present, list(report.failed), most) == (8, ("k1",), ["k3"], 2)


def test_functions_are_cached_by_their_arguments(cache):
    """Equal arguments are answered from the cache however they are passed; different types differ; tags and invalidation work."""
    calls = []

    @cache.cached(ttl=10, tags=lambda symbol, **_: [symbol])
    def history(symbol, days=1):
        calls.append((symbol, days))
        return [symbol, days]

    assert history("A") == history(symbol="A") == history("A", days=1) == ["A", 1]
    assert history("A", days="1") == ["A", "1"]
    assert len(calls) == 2
    cache.invalidate_tags("A")
    history("A")
    assert len(calls) == 3
    assert history.invalidate("A")
    assert not cache.contains(history.key("A"))
    assert history.__name__ == "history"


def test_coroutine_functions_are_cached(cache):
    """A coroutine function stays one, and runs once."""
    calls = []

    @cache.cached(tags=["t"])
    async def fetch(symbol):
        calls.append(symbol)
        return symbol

    async def main():
        return [await fetch("A"), await fetch("A")]

    assert asyncio.run(main()) == ["A", "A"]
    assert calls == ["A"]


def test_reasons_of_loads_are_counted(cache, clock):
    """A load says why there was nothing to return."""
    cache.get_or_load("k", lambda: 1, 1)
    clock.now += 1
    cache.get_or_load("k", lambda: 1, 1)
    stats = cache.get_stats()
    assert (stats.absent, stats.expired, stats.loads) == (1, 1, 2)
    assert str(MissReason.EXPIRED) == "expired"
