"""The memory cache: bounds, who goes, what is freed when, and no lock on a hit."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.cache import DataCache
from fpa_core.protocols import Entry
from fpa_plugins.memory import cache as module
from fpa_plugins.memory import plugin
from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache
from fpa_plugins.memory.policies import Line

KINDS = [MemoryCache, LruMemoryCache]


class Value:
    """Something whose end can be seen."""


def entry(value=1, at=0.0, until=None, size=1, **more):
    return Entry(value, at, until, size=size, **more)


def hit_rate(cache, trace):
    hits = 0
    for key in trace:
        if (found := cache.get(key)) is None:
            cache.put(key, entry())
        else:
            found.uses += 1  # as whoever gives a value out does
            hits += 1
    return hits / len(trace)


def zipf(count, length, seed=1):
    names = [f"k{number}" for number in range(count)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(count)))
    return random.Random(seed).choices(names, cum_weights=weights, k=length)


def test_the_plugin_makes_either_policy():
    """The options choose the policy and the bounds."""
    offered = []
    plugin.fpa_register_caches(lambda *offer: offered.append(offer))
    assert [("memory", plugin.create, plugin.MemoryOptions)] == offered
    assert type(plugin.create(plugin.MemoryOptions())) is MemoryCache
    assert type(plugin.create(plugin.MemoryOptions(policy="lru", max_entries=5))) is LruMemoryCache


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_bytes": 0}, {"policy": "fifo"}], ids=repr)
def test_impossible_options_are_refused(options):
    """A cache without room, or with an unknown policy, is not made."""
    with pytest.raises(ValueError, match=r"policy|max_"):
        plugin.MemoryOptions(**options)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_are_bounded(kind):
    """There are never more entries than allowed, and evictions are counted."""
    cache = kind(max_entries=10)
    for number in range(100):
        assert cache.put(str(number), entry())
        assert cache.usage().entries <= 10
    assert cache.usage().evicted == {"size": 90}
    assert len(list(cache.keys())) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_bounded(kind):
    """The sizes of the entries never add up to more than allowed; replacing and deleting give room back."""
    cache = kind(max_bytes=100)
    for number in range(50):
        cache.put(str(number % 7), entry(size=number))
        assert cache.usage().bytes <= 100
    for key in list(cache.keys()):
        cache.delete(key)
    assert (cache.usage().entries, cache.usage().bytes) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_oversize_value_is_refused(kind):
    """A value larger than the whole cache throws nothing else out; the older one under its key is gone."""
    cache = kind(max_bytes=100)
    cache.put("small", entry(size=10))
    cache.put("k", entry(size=10))
    assert not cache.put("k", entry(size=101))
    assert cache.get("k") is None
    assert cache.get("small") is not None
    assert cache.usage().evicted == {"oversize": 1}


def test_lru_drops_what_was_unused_longest():
    """The least recently used key goes first."""
    cache = LruMemoryCache(max_entries=2)
    cache.put("a", entry())
    cache.put("b", entry())
    cache.get("a")
    cache.put("c", entry())
    assert {"a", "c"} == set(cache.keys())


def test_s3fifo_keeps_what_is_asked_for_through_a_scan():
    """Keys in use survive any number of keys that are used once."""
    cache = MemoryCache(max_entries=100)
    hot = [f"hot{number}" for number in range(50)]
    for _ in range(3):
        hit_rate(cache, hot)
    hit_rate(cache, [f"scan{number}" for number in range(10_000)])
    assert all(cache.get(key) is not None for key in hot)


def test_s3fifo_beats_lru():
    """On skewed traffic, with a scan mixed in, and after the favourites change, it hits more often than LRU."""
    steady = zipf(10_000, 60_000)
    scan = [key for index, name in enumerate(steady) for key in ([name, f"s{index}"] if index % 10 == 0 else [name])]
    shift = steady[:30_000] + [f"n{name}" for name in steady[30_000:]]
    for trace, margin in ((steady, 0.02), (scan, 0.03), (shift, 0.0)):
        rates = [hit_rate(kind(max_entries=1000), trace) for kind in KINDS]
        assert rates[0] > rates[1] + margin


@pytest.mark.parametrize("kind", KINDS)
def test_expired_values_are_freed_by_writing(kind):
    """A cache that is written to frees what expired, in steps that do not grow with it."""
    cache = kind()
    for number in range(100):
        cache.put(f"old{number}", entry(until=10.0))
    for number in range(49):
        cache.put(f"new{number}", entry(at=20.0, until=30.0))
        assert cache.usage().evicted["expired"] == 2 * (number + 1)
    assert cache.usage().entries == 51
    assert cache.purge(20.0) == 2
    assert cache.purge(31.0) == 49


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_keys_leave_nothing_behind(kind):
    """Keys that come and go, with lifetimes, leave no traces that pile up."""
    cache = kind()
    for number in range(1000):
        cache.put(str(number), entry(until=10.0))
        cache.delete(str(number))
    assert (sum(map(len, cache._expiry._keys.values())), len(cache._expiry._seconds), len(cache._entries)) == (0, 1, 0)


@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "evict"]), st.sampled_from("abcdef"))))
def test_a_line_is_a_queue_whose_middle_can_leave(steps):
    """Keys leave a line in the order they came, whichever are taken out between, and come back, meanwhile."""
    line, model = Line(), []
    for step, key in steps:
        if step == "put" and key not in model:
            line.keys.append(key)
            model.append(key)
        elif step == "delete" and key in model:
            line.discard(key)
            model.remove(key)
        elif step == "evict" and model:
            assert line.pop() == model.pop(0)
        assert len(line) == len(model)
        assert len(line.keys) <= 2 * len(model) + 1
    assert [line.pop() for _ in model] == model


@pytest.mark.parametrize("end", ["replace", "delete", "evict", "expire", "clear", "purge", "oversize"])
def test_values_end_outside_the_lock(end):
    """However an entry leaves, its value's finalizer finds the lock free, and may use the cache."""
    cache = MemoryCache(max_entries=1, max_bytes=100)
    value = Value()
    seen = []
    weakref.finalize(value, lambda: seen.append((cache._lock.locked(), cache.put("from finalizer", entry()))))
    cache.put("k", entry(value, until=10.0))
    del value
    {
        "replace": lambda: cache.put("k", entry()),
        "delete": lambda: cache.delete("k"),
        "evict": lambda: cache.put("other", entry()),
        "expire": lambda: cache.put("other", entry(at=20.0)),
        "clear": cache.clear,
        "purge": lambda: cache.purge(20.0),
        "oversize": lambda: cache.put("k", entry(size=101)),
    }[end]()
    assert seen == [(False, True)]


def test_a_hit_takes_no_lock():
    """Reading goes on while the lock is held."""
    cache = MemoryCache()
    cache.put("k", entry(5))
    done = []
    with cache._lock:
        thread = threading.Thread(target=lambda: done.append(DataCache(cache, namespace="x") and cache.get("k").value))
        thread.start()
        thread.join(10)
    assert done == [5]


def test_a_fence_is_checked_with_the_storing():
    """With a fence that has moved on, nothing changes; with one that stands, the entry is kept."""
    cache = MemoryCache()
    fence = cache.generations(["t"])
    assert cache.put("k", entry(1), fence=fence)
    cache.bump(["t"])
    assert not cache.put("k", entry(2), fence=fence)
    assert cache.get("k").value == 1


def test_generations_are_bounded_and_never_come_back(monkeypatch):
    """However many tags are bumped, memory is bounded, and no entry of an earlier generation revives."""
    monkeypatch.setattr(module, "MAX_GENERATIONS", 3)
    cache = MemoryCache()
    untouched = cache.generations(["never"])
    seen = set()
    for number in range(20):
        tag = f"t{number % 5}"
        before = cache.generations([tag])[tag]
        cache.bump([tag])
        after = cache.generations([tag])[tag]
        assert after not in seen | {before}
        seen.add(after)
        assert len(cache._generations) <= 3
    assert cache.generations(["never"]) != untouched


def test_generations_forgotten_during_a_read_are_read_again():
    """A reader never mixes generations from before and after they were all forgotten."""
    cache = MemoryCache()

    class Known(dict):
        def get(self, tag, default):
            if cache._generations is self:
                cache._base, cache._generations = 7, {}
            return super().get(tag, default)

    cache._generations = Known()
    assert cache.generations(["t"]) == {"t": 7}


def test_counters_are_exact_on_many_threads():
    """No operation of eight threads is lost from the counts."""
    cache = DataCache(MemoryCache(max_entries=100))
    barrier = threading.Barrier(8)
    interval = sys.getswitchinterval()

    def work(seed):
        numbers = random.Random(seed)
        barrier.wait(10)
        for _ in range(2000):
            key = str(numbers.randrange(200))
            if cache.get(key) is None:
                cache.set(key, 1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    stats = cache.get_stats()
    assert stats.hits + stats.misses == 16_000
    assert stats.sets == stats.misses
    assert stats.entries == len(cache.keys()) == 100
    assert stats.bytes == sum(cache._backend.get(key).size for key in list(cache._backend.keys()))
