"""Many keys at once: one call of the loader for those that miss, a single flight for each, and what the loader leaves out left out."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fpa_core.cache import DataCache
from fpa_core.exceptions import CacheError
from fpa_plugins.memory.cache import MemoryCache

WAIT = 10


class Asked:
    """A loader that notes what it was asked for, says when it has begun, and returns when it may."""

    def __init__(self, value=str.upper, *, waits=False):
        self.value = value
        self.calls = []
        self.begun = threading.Event()
        self.open = threading.Event()
        if not waits:
            self.open.set()

    def __call__(self, keys):
        self.calls.append(list(keys))
        self.begun.set()
        assert self.open.wait(WAIT)
        if isinstance(self.value, Exception):
            raise self.value
        return {key: self.value(key) for key in keys}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture(params=["threads", "asyncio"])
def many(request):
    """Either way of loading many keys, called the same."""
    if request.param == "threads":
        return lambda cache, *args, **more: cache.get_or_load_many(*args, **more)

    def run(cache, keys, loader, *args, **more):
        async def load(wanted):
            await asyncio.sleep(0)
            return loader(wanted)

        return asyncio.run(cache.aget_or_load_many(keys, load, *args, **more))

    return run


def test_what_misses_is_loaded_together(cache, many):
    """What is there is not asked for, the rest in one call, each key once; the answer is in the order asked."""
    cache.set("b", "there")
    load = Asked()
    assert list(many(cache, ["c", "b", "a", "c"], load).items()) == [("c", "C"), ("b", "there"), ("a", "A")]
    assert load.calls == [["c", "a"]]
    assert many(cache, ["a", "b", "c"], load) == {"a": "A", "b": "there", "c": "C"}
    assert many(cache, [], load) == {}
    assert len(load.calls) == 1
    stats = cache.get_stats()
    assert (stats.hits, stats.absent, stats.loads, stats.sets) == (4, 2, 1, 3)


def test_what_the_loader_leaves_out_is_left_out(cache, many):
    """A partial answer is an answer; nothing is stored for the rest, and what was not asked for is not kept."""
    assert many(cache, ["a", "b"], lambda _: {"a": 1, "z": 2}) == {"a": 1}
    assert sorted(cache.keys()) == ["a"]


def test_tags_lifetimes_and_none_hold_for_each(make, many, clock):
    """Values loaded together have the tags and lifetimes given, and None its own."""
    cache = make(negative_ttl=1, ttls={"quotes": 10})
    many(cache, ["a", "b"], lambda _: {"a": 1, "b": None}, tags=["t"], kind="quotes")
    assert (cache.lookup("a").remaining, cache.lookup("b").remaining) == (10, 1)
    clock.now += 5
    assert many(cache, ["a", "b"], lambda keys: dict.fromkeys(keys, 2)) == {"a": 1, "b": 2}
    cache.invalidate_tags("t")
    assert cache.get_many(["a", "b"]) == {"b": 2}


def test_an_error_reaches_the_caller_and_leaves_nothing(cache, many):
    """The loader's error is raised, nothing is stored, and the next caller tries anew."""
    with pytest.raises(ValueError, match="broken"):
        many(cache, ["a", "b"], Asked(ValueError("broken")))
    assert cache.keys() == []
    assert many(cache, ["a"], Asked()) == {"a": "A"}
    assert cache.get_stats().load_errors == 1


def test_a_loader_that_returns_no_mapping_is_told_so(cache, many):
    """A list of values does not say whose they are."""
    with pytest.raises(CacheError, match="mapping"):
        many(cache, ["a"], list)
    assert many(cache, ["a"], Asked()) == {"a": "A"}


def test_a_value_that_cannot_be_kept_is_an_error(cache, many):
    """Of several values one has a type that no cache keeps: its type is named, and no key stays blocked."""
    with pytest.raises(CacheError, match="object"):
        many(cache, ["a", "b"], lambda _: {"a": object(), "b": 1})
    assert many(cache, ["a", "b"], Asked()) == {"a": "A", "b": "B"}


def test_stale_values_stand_in_for_an_error(make, many, clock):
    """Where every key has a value within the window, an error is not raised; where one has none, it is."""
    cache = make(stale_if_error=100)
    cache.set_many({"a": 1, "b": 2})
    clock.now += 70
    broken = Asked(ValueError("broken"))
    assert many(cache, ["a", "b"], broken) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="broken"):
        many(cache, ["a", "missing"], broken)


def test_each_key_has_its_single_flight(cache, pool):
    """Callers whose keys overlap ask the loader for each key once, and get each other's values."""
    first, second, one = Asked(waits=True), Asked(waits=True), Asked()
    ab = pool.submit(cache.get_or_load_many, ["a", "b"], first)
    assert first.begun.wait(WAIT)
    bc = pool.submit(cache.get_or_load_many, ["b", "c"], second)
    assert second.begun.wait(WAIT)
    b = pool.submit(cache.get_or_load, "b", lambda: one(["b"]))
    second.open.set()
    first.open.set()
    assert ab.result(WAIT) == {"a": "A", "b": "B"}
    assert bc.result(WAIT) == {"b": "B", "c": "C"}
    assert b.result(WAIT) == "B"
    assert (first.calls, second.calls, one.calls) == ([["a", "b"]], [["c"]], [])


def test_callers_that_wait_for_each_other_do_not_hang(cache, pool):
    """Each of two loads its own key before it waits for the other's."""
    first, second = Asked(waits=True), Asked(waits=True)
    ab = pool.submit(cache.get_or_load_many, ["a"], first)
    assert first.begun.wait(WAIT)
    ba = pool.submit(cache.get_or_load_many, ["b", "a"], second)
    assert second.begun.wait(WAIT)
    again = pool.submit(cache.get_or_load_many, ["a", "b"], Asked())
    second.open.set()
    first.open.set()
    assert ab.result(WAIT) == {"a": "A"}
    assert ba.result(WAIT) == {"b": "B", "a": "A"}
    assert again.result(WAIT) == {"a": "A", "b": "B"}


def test_who_waits_for_a_key_that_was_left_out_loads_it(cache, pool):
    """A flight without a value is handed to those who wait: they ask their own loader."""
    first = Asked(waits=True)
    first.value = None
    leader = pool.submit(cache.get_or_load_many, ["a", "b"], lambda keys: first.calls.append(keys) or partial(first))
    assert first.begun.wait(WAIT)
    single = pool.submit(cache.get_or_load, "a", lambda: "single")
    several = pool.submit(cache.get_or_load_many, ["b"], lambda _: {"b": "several"})
    first.open.set()
    assert leader.result(WAIT) == {}
    assert (single.result(WAIT), several.result(WAIT)) == ("single", {"b": "several"})


def partial(gate):
    """Wait as the gate says, and know nothing."""
    gate.begun.set()
    assert gate.open.wait(WAIT)
    return {}


def test_two_hundred_threads_load_each_key_once():
    """However many ask for the same keys in whatever order, each key is loaded once."""
    cache, load, barrier, results = DataCache(MemoryCache()), Asked(), threading.Barrier(200), []
    keys = [f"k{number}" for number in range(20)]

    def ask(turn):
        mine = keys[turn % 20 :] + keys[: turn % 20]
        barrier.wait(WAIT)
        results.append(cache.get_or_load_many(mine, load))

    threads = [threading.Thread(target=ask, args=(turn,)) for turn in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert [{key: key.upper() for key in keys}] * 200 == results
    assert sorted(key for call in load.calls for key in call) == sorted(keys)


def test_two_hundred_tasks_load_each_key_once(cache):
    """Tasks do as threads do."""
    calls = []

    async def load(keys):
        calls.extend(keys)
        await asyncio.sleep(0)
        return {key: key.upper() for key in keys}

    async def main():
        return await asyncio.gather(
            *(cache.aget_or_load_many(["a", "b"] if turn % 2 else ["b", "c"], load) for turn in range(200))
        )

    answers = asyncio.run(main())
    assert answers == [{"b": "B", "c": "C"}, {"a": "A", "b": "B"}] * 100
    assert sorted(calls) == ["a", "b", "c"]


def test_an_invalidation_during_the_load_is_not_overwritten(cache, pool):
    """Of several values loaded together those that were invalidated meanwhile are not kept."""
    load = Asked(waits=True)
    answer = pool.submit(cache.get_or_load_many, ["a", "b"], load)
    assert load.begun.wait(WAIT)
    cache.delete("a")
    load.open.set()
    assert answer.result(WAIT) == {"a": "A", "b": "B"}
    assert cache.get_many(["a", "b"]) == {"b": "B"}


def test_a_loader_that_asks_for_its_own_keys_is_refused(cache):
    """Waiting for oneself, through any of the keys, is an error and not a hang; asking for other keys is not."""

    def load(keys):
        with pytest.raises(CacheError, match=r"itself|same key"):
            cache.get_or_load_many(["x", "b"], lambda wanted: dict.fromkeys(wanted, 0))
        return {key: cache.get_or_load("other", lambda: 7) for key in keys}

    assert cache.get_or_load_many(["a", "b"], load) == {"a": 7, "b": 7}


def test_stale_values_are_served_while_new_ones_load(make, pool, clock):
    """Within the window stale values are given out at once, and the executor asks the loader for all of them together."""
    cache = make(stale_while_revalidate=100, executor=pool)
    cache.set_many({"a": 1, "b": 2})
    clock.now += 70
    load = Asked(waits=True)
    assert cache.get_or_load_many(["a", "b"], load) == {"a": 1, "b": 2}
    assert load.begun.wait(WAIT)
    assert cache.get_or_load_many(["a", "b"], Asked()) == {"a": 1, "b": 2}
    load.open.set()
    pool.shutdown()
    assert cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}
    assert [["a", "b"]] == [sorted(call) for call in load.calls]


def test_without_an_executor_the_first_caller_refreshes(make, clock):
    """Somebody has to load: the one who comes first past the time."""
    cache = make(stale_while_revalidate=100)
    cache.set("a", 1)
    clock.now += 70
    assert cache.get_or_load_many(["a"], Asked()) == {"a": "A"}


def test_on_an_event_loop_a_task_refreshes(make, clock):
    """Stale values are given out at once, and a task brings the new ones."""
    cache = make(stale_while_revalidate=100)
    cache.set("a", 1)
    clock.now += 70

    async def main():
        done = asyncio.Event()

        async def load(keys):
            done.set()
            return dict.fromkeys(keys, 2)

        first = await cache.aget_or_load_many(["a"], load)
        await asyncio.wait_for(done.wait(), WAIT)
        await asyncio.sleep(0)
        return first, cache.get("a")

    assert asyncio.run(main()) == ({"a": 1}, 2)


def test_a_cancelled_leader_hands_over(cache):
    """When the task that loads is cancelled, one of those who wait loads in its place."""

    async def main():
        begun = asyncio.Event()

        async def never(_):
            begun.set()
            await asyncio.Event().wait()

        leader = asyncio.create_task(cache.aget_or_load_many(["a"], never))
        await begun.wait()
        waiter = asyncio.create_task(cache.aget_or_load_many(["a", "b"], Asked()))
        await asyncio.sleep(0)
        leader.cancel()
        return await asyncio.wait_for(waiter, WAIT)

    assert asyncio.run(main()) == {"a": "A", "b": "B"}


def test_a_flight_that_ended_between_look_and_joining_is_not_repeated(cache):
    """A caller who misses a key that another one has just stored takes that value."""
    find = cache._reader.find_many
    looks = []

    def first_misses(keys, **more):
        answer = find(keys, **more)
        if not looks:
            cache.set("a", "theirs")
        looks.append(keys)
        return answer

    object.__setattr__(cache._bulk, "_reader", Looking(cache._reader, first_misses))
    assert cache.get_or_load_many(["a", "b"], Asked()) == {"a": "theirs", "b": "B"}


class Looking:
    """A reader on which looking is another function."""

    def __init__(self, reader, find_many):
        self._reader = reader
        self.find_many = find_many

    def __getattr__(self, name):
        return getattr(self._reader, name)
