"""The mistakes of a simple cache, and bugs found in others: the simple class makes each of them, and ours none, in memory and on disk."""

from __future__ import annotations

import fnmatch
import os
import signal
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from fpa_core.cache import DataCache, escape, make_key
from fpa_core.exceptions import CacheError
from fpa_core.protocols import Entry
from fpa_plugins.disk import rows
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import MemoryCache

WAIT = 10


class SimpleEntry:
    def __init__(self, value, expires_at):
        self.value = value
        self.expires_at = expires_at

    def is_expired(self):
        return time.time() > self.expires_at


class SimpleCache:
    """The class this project was first given, with its gaps filled in the plain way."""

    def __init__(self, default_ttl=300, cleanup_interval=60):
        self.default_ttl = default_ttl
        self.cleanup_interval = cleanup_interval
        self._cache = {}
        self._lock = threading.RLock()
        self._cleanup_timer = None
        self._start_cleanup_timer()

    def _start_cleanup_timer(self):
        self._cleanup_timer = threading.Timer(self.cleanup_interval, self._cleanup)
        self._cleanup_timer.start()

    def _cleanup(self):
        self.purge()
        self._start_cleanup_timer()

    def purge(self):
        with self._lock:
            for key in [key for key, entry in self._cache.items() if entry.is_expired()]:
                del self._cache[key]

    def get(self, key):
        with self._lock:
            entry = self._cache.get(key)
            if entry is None:
                return None
            if entry.is_expired():
                del self._cache[key]
                return None
            return entry.value

    def set(self, key, value, ttl=None):
        ttl = ttl or self.default_ttl
        with self._lock:
            self._cache[key] = SimpleEntry(value, time.time() + ttl)

    def delete(self, key):
        with self._lock:
            return self._cache.pop(key, None) is not None

    def clear(self):
        with self._lock:
            self._cache.clear()

    def get_stats(self):
        with self._lock:
            total = len(self._cache)
            expired = sum(1 for entry in self._cache.values() if entry.is_expired())
            return {"total_entries": total, "hit_rate": (total - expired) / total}

    def warm_cache(self, data_loader, keys):
        for key in keys:
            self.set(key, data_loader(key))

    def invalidate_pattern(self, pattern):
        with self._lock:
            matching = [key for key in self._cache if fnmatch.fnmatch(key, pattern)]
            for key in matching:
                del self._cache[key]
            return len(matching)

    def get_or_load(self, key, loader):
        """Load as programs do over such a class."""
        value = self.get(key)
        if value is None:
            value = loader()
            self.set(key, value)
        return value


class Maker:
    """Makes caches of one kind and ends them afterwards."""

    def __init__(self, kind, folder):
        self.kind = kind
        self._folder = folder
        self.made = []

    def __call__(self, **options):
        if self.kind == "simple":
            cache = SimpleCache(**options)
        else:
            bound = options.pop("bound", None)
            if self.kind == "memory":
                backend = MemoryCache(max_entries=bound or 100_000)
            else:
                backend = DiskCache(self._folder / str(len(self.made)), max_bytes=2**20 if bound else 2**30)
            cache = DataCache(backend, **options)
        self.made.append(cache)
        return cache

    def lock_of(self, cache):
        if self.kind == "simple":
            return cache._lock
        return cache._backend._lock if self.kind == "memory" else cache._backend._database._lock

    def close(self):
        for cache in self.made:
            if self.kind == "simple":
                cache._cleanup_timer.cancel()
            else:
                cache.close()


class Wall:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall(monkeypatch):
    made = Wall()
    monkeypatch.setattr(time, "time", made)
    return made


def zero_lifetime_means_the_default(make, _):
    cache = make()
    cache.set("k", 1, 0)
    assert cache.get("k") is None


def the_wall_clock_kills_or_revives(make, wall):
    cache = make()
    cache.set("a", 1, 10)
    cache.set("b", 1, 10)
    wall.now += 86_400
    alive = cache.get("a") is not None
    wall.now -= 2 * 86_400
    revived = cache.get("b") is not None
    # A cache of one process knows better, and one that is shared does not trust what seems to come from the future.
    assert (alive, revived) == ((True, True) if make.kind == "memory" else (False, False))


def none_is_a_miss(make, _):
    cache = make()
    cache.set("k", None)
    calls = []
    cache.get_or_load("k", lambda: calls.append(1))
    assert not calls


def a_timer_holds_the_process(make, _):
    before = {thread for thread in threading.enumerate() if not thread.daemon}
    make()
    assert {thread for thread in threading.enumerate() if not thread.daemon} <= before


def a_lock_held_at_a_fork_is_held_for_ever(make, _):
    cache = make()
    cache.set("k", 1)
    held, release = threading.Event(), threading.Event()

    def hold():
        with make.lock_of(cache):
            held.set()
            release.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(WAIT)
    pid = os.fork()
    if pid == 0:
        signal.alarm(2)
        cache.set("k", 2)
        os._exit(0 if cache.get("k") == 2 else 1)
    release.set()
    thread.join(WAIT)
    assert os.waitpid(pid, 0)[1] == 0


def a_sweep_holds_the_lock_for_all(make, wall, monkeypatch=None):
    cache = make()
    for number in range(1500 if make.kind != "disk" else 600):
        cache.set(str(number), 1, 10)
    wall.now += 100
    at_once = []
    if make.kind == "disk":
        expire = rows.expire
        monkeypatch.setattr(rows, "expire", lambda *args, **more: at_once.append(expire(*args, **more)) or at_once[-1])
        cache.purge()
        at_once = [len(keys) for keys in at_once]
    else:
        holder, name = (cache, "_cache") if make.kind == "simple" else (cache._backend, "_entries")
        if make.kind == "memory":
            cache._clock = cache._reader.clock  # its own clock did not move: sweep as of later
        inner = holder._lock

        class Watching:
            def acquire(self):
                inner.acquire()
                self.before = len(getattr(holder, name))

            def release(self):
                at_once.append(self.before - len(getattr(holder, name)))
                inner.release()

            def __enter__(self):
                self.acquire()

            def __exit__(self, *_):
                self.release()

        holder._lock = Watching()
        cache.purge() if make.kind == "simple" else holder.purge(time.monotonic() + 100)
        holder._lock = inner
    assert sum(at_once) >= 600
    assert max(at_once) <= 1000


def statistics_divide_by_zero(make, _):
    assert make().get_stats()


def it_grows_without_bound(make, _):
    cache = make(bound=100) if make.kind != "simple" else make()
    size = 1 if make.kind != "disk" else 100_000
    for number in range(150):
        cache.set(str(number), b"x" * size)
    assert len([number for number in range(150) if cache.get(str(number)) is not None]) <= 100


def callers_of_one_key_all_load(make, _):
    cache, calls, begun, release = make(), [], threading.Event(), threading.Event()

    def load():
        calls.append(1)
        begun.set()
        assert release.wait(WAIT)
        return 1

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_load, "k", load)
        assert begun.wait(WAIT)
        begun.clear()
        second = pool.submit(cache.get_or_load, "k", load)
        begun.wait(0.1)
        release.set()
        assert (first.result(WAIT), second.result(WAIT)) == (1, 1)
    assert len(calls) == 1


def an_error_is_remembered_or_blocks(make, _):
    cache = make()
    with pytest.raises(ValueError, match="broken"):
        cache.get_or_load("k", lambda: int("broken"))
    assert cache.get_or_load("k", lambda: 2) == 2
    refused = ""
    try:
        cache.get_or_load("r", lambda: cache.get_or_load("r", lambda: 1))
    except CacheError as error:  # a loader that waits for itself is refused, and does not hang
        refused = str(error)
    assert "wait" in refused


def an_invalidated_value_is_written_back(make, _):
    cache = make()
    cache.get_or_load("k", lambda: cache.invalidate_pattern("k*") or "old")
    assert cache.get("k") is None


def one_failure_ends_the_warming(make, _):
    cache = make()
    cache.warm_cache(lambda key: 1 // (key != "bad"), ["a", "bad", "b"])
    assert cache.get("b") == 1


def warming_overwrites_what_is_fresher(make, _):
    cache = make()
    cache.set("k", "fresh")
    cache.warm_cache(lambda _: "older", ["k"])
    assert cache.get("k") == "fresh"


def brackets_break_patterns(make, _):
    cache = make()
    cache.set("BRK[B]", 1)
    assert cache.invalidate_pattern("BRK[B]") == 1


def keys_of_parts_collide(make, _):
    cache = make()
    join = (lambda *parts: ":".join(parts)) if make.kind == "simple" else make_key
    cache.set(join("a:b", "c"), 1)
    assert cache.get(join("a", "b:c")) is None


def finalizers_run_under_the_lock(make, _):
    if make.kind not in {"simple", "memory"}:
        pytest.skip("a disk keeps bytes, and no objects that could end")

    class Value:
        """Something whose end can be seen."""

    cache = make()
    value, seen = Value(), []
    lock = make.lock_of(cache)

    def free():
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: lock.acquire(timeout=0.1) and (lock.release() or True)).result(WAIT))

    weakref.finalize(value, free)
    if make.kind == "simple":
        cache.set("k", value)
    else:
        cache._backend.put("fpa:k", Entry(value, 0.0))
    del value
    cache.clear()
    assert seen == [True]


def no_clock_can_be_given(make, wall):
    cache = make(clock=wall)
    cache.set("k", 1, 10)
    wall.now += 10
    assert cache.get("k") is None


MISTAKES = [
    zero_lifetime_means_the_default,
    the_wall_clock_kills_or_revives,
    none_is_a_miss,
    a_timer_holds_the_process,
    a_lock_held_at_a_fork_is_held_for_ever,
    a_sweep_holds_the_lock_for_all,
    statistics_divide_by_zero,
    it_grows_without_bound,
    callers_of_one_key_all_load,
    an_error_is_remembered_or_blocks,
    an_invalidated_value_is_written_back,
    one_failure_ends_the_warming,
    warming_overwrites_what_is_fresher,
    brackets_break_patterns,
    keys_of_parts_collide,
    finalizers_run_under_the_lock,
    no_clock_can_be_given,
]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["simple", "memory", "disk"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_made_by_the_simple_class_alone(mistake, kind, tmp_path, wall, monkeypatch):
    """Each check finds the mistake in the simple class, so it would find it in ours."""
    if "fork" in mistake.__name__ and not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    make = Maker(kind, tmp_path)
    more = {"monkeypatch": monkeypatch} if mistake is a_sweep_holds_the_lock_for_all else {}
    try:
        if kind == "simple":
            with pytest.raises((AssertionError, ArithmeticError, TypeError, RecursionError)):
                mistake(make, wall, **more)
        else:
            mistake(make, wall, **more)
    finally:
        make.close()


# Bugs found in other caches


def test_a_tag_does_not_end_with_one_of_its_keys(cache, clock):
    """A tag ends all its values, though the one stored last under it lived for a shorter time."""
    cache.set("long", 1, 1000, tags=["t"])
    cache.set("short", 1, 1, tags=["t"])
    clock.now += 5
    cache.invalidate_tags("t")
    assert cache.get("long") is None


def test_tags_leave_nothing_behind(clock):
    """Keys that come and go under one tag do not pile up in it."""
    backend = MemoryCache(max_entries=10)
    cache = DataCache(backend, clock=clock)
    for number in range(500):
        cache.set(str(number), 1, tags=["t"])
    assert (len(backend._generations), backend.usage().entries) == (0, 10)


@pytest.mark.parametrize("key", ["a.c", "a+c", "a(c", "a|c", "a\nc", "a[c", "^a$"])
def test_patterns_are_no_regular_expressions(cache, key):
    """Characters that mean something elsewhere mean themselves."""
    cache.set(key, 1)
    cache.set("abc", 1)
    assert cache.keys(escape(key)) == [key]
    assert cache.invalidate_pattern(escape(key)[:-1] + "?") == 1
    assert cache.contains("abc")


def test_a_long_load_does_not_let_others_load(cache, clock):
    """However long a load takes, measured by lifetimes, who comes meanwhile waits for it."""
    calls, begun, release = [], threading.Event(), threading.Event()

    def load():
        calls.append(1)
        begun.set()
        assert release.wait(WAIT)
        return 1

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_load, "k", load, 1)
        assert begun.wait(WAIT)
        clock.now += 1e6
        second = pool.submit(cache.get_or_load, "k", load, 1)
        release.set()
        assert (first.result(WAIT), second.result(WAIT)) == (1, 1)
    assert len(calls) == 1


def test_a_memoized_function_does_not_stampede(cache):
    """Eight callers of a function whose result is not there run it once."""
    calls, barrier, release = [], threading.Barrier(9), threading.Event()

    @cache.cached()
    def slow(number):
        calls.append(number)
        assert release.wait(WAIT)
        return number

    def ask():
        barrier.wait(WAIT)
        return slow(1)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        barrier.wait(WAIT)
        release.set()
        assert [one.result(WAIT) for one in asked] == [1] * 8
    assert len(calls) == 1


def test_deletions_are_never_lost(cache):
    """Whatever other threads write meanwhile, what was deleted is gone when the call returns, and was there once."""

    def churn(name):
        for number in range(20):
            key = f"{name}{number}"
            cache.set(key, 1)
            assert cache.delete(key)
            assert not cache.contains(key)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(churn, name) for name in "abcd"]:
            done.result(30)
    assert cache.get_stats().deletes == 80


def test_statistics_do_not_drift(cache, clock):
    """After any mixture of writes, expiry and sweeping, entries and bytes are those that are there."""
    for number in range(60):
        cache.set(str(number % 25), "x" * number, 1 + number % 7)
        clock.now += 0.5
        if number % 9 == 0:
            cache.purge()
    clock.now += 100
    cache.purge()
    assert cache.get_stats().entries == 0
