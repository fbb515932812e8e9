"""Listeners: told of each entry that leaves, once, with the cause, outside every lock; and the sweeper, which needs nobody to write."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

from fpa_core.cache import DataCache, Removal, RemovalCause
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

WAIT = 10

ENDS = {
    "delete": (lambda cache, _: cache.delete("k"), RemovalCause.EXPLICIT),
    "clear": (lambda cache, _: cache.clear(), RemovalCause.EXPLICIT),
    "unset": (lambda cache, _: cache.set("k", 2, 0), RemovalCause.EXPLICIT),
    "pattern": (lambda cache, _: cache.invalidate_pattern("k*"), RemovalCause.INVALIDATED),
    "replace": (lambda cache, _: cache.set("k", 2), RemovalCause.REPLACED),
}


def expire_and_purge(cache, clock):
    clock.now += 100
    cache.purge()


def expire_and_write(cache, clock):
    clock.now += 100
    cache.set("other", 1)


def expire_and_replace(cache, clock):
    clock.now += 100
    cache.set("k", 2)


def invalidate_and_load(cache, _):
    cache.invalidate_tags("t")
    assert cache.get_or_load("k", lambda: 2) == 2


ENDS |= {
    "purge": (expire_and_purge, RemovalCause.EXPIRED),
    "sweep": (expire_and_write, RemovalCause.EXPIRED),
    "late": (expire_and_replace, RemovalCause.EXPIRED),
    "tag": (invalidate_and_load, RemovalCause.INVALIDATED),
}


@pytest.mark.parametrize(("end", "cause"), ENDS.values(), ids=ENDS)
def test_a_listener_is_told_once_with_the_cause(cache, clock, end, cause):
    """However an entry leaves, the listener hears of it once, and of nothing else."""
    heard = []
    cache.on_removal(heard.append)
    cache.set("k", 1, tags=["t"])
    assert heard == []
    end(cache, clock)
    assert heard == [Removal("k", cause)]


@pytest.mark.parametrize("kind", [MemoryCache, LruMemoryCache])
def test_evictions_are_told(kind, clock):
    """What goes for want of room is evicted, and so is what a value too large leaves behind."""
    cache = DataCache(kind(max_entries=2, max_bytes=10_000), clock=clock)
    heard = []
    cache.on_removal(heard.append)
    for key in "abc":
        cache.set(key, 1)
    assert [each.cause for each in heard] == ["evicted"]
    del heard[:]
    left = next(iter(cache.keys()))
    cache.set(left, b"x" * 20_000)
    assert heard == [Removal(left, RemovalCause.EVICTED)]


def test_the_disk_tells_what_it_evicts(tmp_path, clock):
    """The oldest entries of a full folder are told as evicted; likewise what a value too large leaves behind."""
    cache = DataCache(DiskCache(tmp_path / "cache", max_bytes=2**20), clock=clock)
    heard = []
    cache.on_removal(heard.append)
    for number in range(60):
        clock.now += 1
        cache.set(str(number), b"x" * 40_000)
    assert heard[0] == Removal("0", RemovalCause.EVICTED)
    assert {each.cause for each in heard} == {"evicted"}
    gone = len(heard)
    assert 60 - gone == len(cache.keys())
    cache.set("59", b"x" * 2**20)
    assert heard[gone:] == [Removal("59", RemovalCause.EVICTED)]
    cache.close()


def test_listeners_may_use_the_cache_and_fail(cache, caplog):
    """A listener runs outside the locks; one that raises is logged, and others hear all the same; one that ended hears no more."""
    heard = []

    def fail(_):
        raise ValueError("no use")

    def use(removal):
        heard.append((removal.key, cache.set("seen", removal.key), cache.get("seen")))

    cache.on_removal(fail)
    end = cache.on_removal(use)
    cache.set("k", 1)
    with caplog.at_level(logging.ERROR, logger="fpa.cache"):
        cache.set("k", 2)
    assert heard == [("k", True, "k")]
    assert "no use" in caplog.text
    end()
    cache.delete("k")
    assert len(heard) == 1


def test_listeners_hear_of_their_namespace_alone(make):
    """Another namespace on the same backend is none of a listener's business."""
    one, other = make(namespace="one"), make(namespace="other")
    heard = []
    one.on_removal(heard.append)
    for cache in (one, other):
        cache.set("k", 1)
        cache.set("k", 2)
    assert heard == [Removal("k", RemovalCause.REPLACED)]


def test_listening_changes_no_answer(make):
    """A backend that is watched keeps, refuses and replaces as one that is not."""
    cache = make()
    cache.on_removal(lambda _: None)

    def invalidated():
        cache.delete("k")
        return 1

    assert cache.get_or_load("k", invalidated) == 1
    assert not cache.contains("k")
    assert cache.set("k", [1])
    assert cache.get("k") == [1]


# The sweeper


def sweepers():
    return [thread for thread in threading.enumerate() if thread.name == "fpa-cache-sweeper"]


def test_nothing_runs_unless_asked_for():
    """A cache starts no thread of its own accord."""
    before = threading.active_count()
    with DataCache(MemoryCache()) as cache:
        cache.set("k", 1)
        assert threading.active_count() == before


def test_the_sweeper_frees_what_nobody_touches(make, clock):
    """An expired entry goes, and its listener hears, though nobody uses the cache; closing ends the thread."""
    cache = make(sweep_every=0.001)
    gone = threading.Event()
    cache.on_removal(lambda _: gone.set())
    (thread,) = sweepers()
    assert thread.daemon
    cache.set("k", 1)
    clock.now += 100
    assert gone.wait(WAIT)
    assert cache.get_stats().entries == 0
    cache.close()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_the_sweeper_goes_on_after_a_failure(clock, caplog):
    """A purge that fails is logged, and the next one done."""
    backend = MemoryCache()
    purge, calls, again = backend.purge, [], threading.Event()

    def fail_once(now, limit=None):
        calls.append(now)
        if len(calls) == 1:
            raise OSError("a bad day")
        again.set()
        return purge(now, limit)

    backend.purge = fail_once
    with caplog.at_level(logging.ERROR, logger="fpa.cache"), DataCache(backend, clock=clock, sweep_every="1ms"):
        assert again.wait(WAIT)
    assert "a bad day" in caplog.text


def test_the_sweeper_does_not_keep_the_cache():
    """A cache nobody holds is freed, and its thread ends at once, long before it would sweep."""
    cache = DataCache(MemoryCache(), sweep_every="1h")
    (thread,) = sweepers()
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.mark.parametrize("every", [0, -1, float("nan"), "soon"], ids=repr)
def test_impossible_intervals_are_refused(every):
    """A sweeper that would never rest, or never run, is not started."""
    with pytest.raises(CacheError):
        DataCache(MemoryCache(), sweep_every=every)
    assert sweepers() == []


def test_tiers_tell_what_left_the_far_one(tmp_path, clock):
    """An entry that only leaves the near tier is still in the cache, so nothing is told."""
    tiers = TieredCache(MemoryCache(max_entries=1), DiskCache(tmp_path / "cache"), clock=clock)
    with DataCache(tiers, clock=clock) as cache:
        heard = []
        cache.on_removal(heard.append)
        cache.set("a", 1)
        cache.set("b", 1)
        assert heard == []
        cache.set("a", 2)
        assert heard == [Removal("a", RemovalCause.REPLACED)]
