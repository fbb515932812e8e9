"""Takes the figures of ``cache.py``: run in the environment of the peers, with this project on the path, it prints them as JSON."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import itertools
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import diskcache

from fpa_core.cache import DataCache
from fpa_core.protocols import Entry
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import LruMemoryCache, MemoryCache

KEYS = [f"quotes/{number}" for number in range(10_000)]
LARGE, CAPACITY = 100_000, 10_000
TTL = 300
VALUES: dict[str, Any] = {
    "bytes, 100": b"x" * 100,
    "bytes, 100,000": b"x" * 100_000,
    "text, 1,000": "x" * 1_000,
    "JSON, 20 fields": {f"field{number}": number for number in range(20)},
}

Get, Set = Callable[[str], Any], Callable[[str], Any]


def version(name: str) -> str:
    return importlib.metadata.version(name)


# The hit path and the store: functions of one key


def plain_dict() -> tuple[Get, Set]:
    kept: dict[str, int] = {}

    def put(key: str) -> None:
        kept[key] = 1

    return kept.__getitem__, put


def ours() -> tuple[Get, Set]:
    cache = DataCache(MemoryCache(max_entries=LARGE), ttl=TTL)
    return cache.get, lambda key: cache.set(key, 1)


def ours_backend() -> tuple[Get, Set]:
    cache, entry = MemoryCache(max_entries=LARGE), Entry(1, time.monotonic(), time.monotonic() + TTL, None, 28)
    return cache.get, lambda key: cache.put(key, entry)


def cachetools() -> tuple[Get, Set]:
    """With the lock its documentation asks for when threads share it."""
    from threading import RLock

    from cachetools import TTLCache

    cache, lock = TTLCache(LARGE, TTL), RLock()

    def get(key: str) -> Any:
        with lock:
            return cache.get(key)

    def put(key: str) -> None:
        with lock:
            cache[key] = 1

    return get, put


def theine() -> tuple[Get, Set]:
    from theine import Cache

    cache: Any = Cache(LARGE)
    ttl = timedelta(seconds=TTL)
    return cache.get, lambda key: cache.set(key, 1, ttl)


def dogpile() -> tuple[Get, Set]:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    return region.get, lambda key: region.set(key, 1)


SPEEDS: dict[str, tuple[str, Callable[[], tuple[Get, Set]]]] = {
    "dict": ("a plain dict", plain_dict),
    "backend": ("fpa, the backend memory", ours_backend),
    "fpa": ("fpa, DataCache on memory", ours),
    "cachetools": ("cachetools", cachetools),
    "theine": ("theine", theine),
    "dogpile": ("dogpile.cache", dogpile),
}


def timed(act: Callable[[str], Any], keys: Sequence[str]) -> float:
    """Return the nanoseconds that one call takes, without the garbage collector's."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter_ns()
        for key in keys:
            act(key)
        return (time.perf_counter_ns() - started) / len(keys)
    finally:
        gc.enable()


async def cashews_round(cache: Any, keys: Sequence[str]) -> dict[str, float]:
    """Return what a call takes with everything awaited, as it must be."""
    gc.collect()
    gc.disable()
    try:
        times = {}
        for what in ("set", "get"):
            started = time.perf_counter_ns()
            if what == "set":
                for key in keys:
                    await cache.set(key, 1, expire=TTL)
            else:
                for key in keys:
                    await cache.get(key)
            times[what] = (time.perf_counter_ns() - started) / len(keys)
        return times
    finally:
        gc.enable()


def speeds(rounds: int) -> dict[str, Any]:
    """Return the nanoseconds of a hit and of storing a new key."""
    found: dict[str, dict[str, list[float]]] = {name: {"get": [], "set": []} for name in (*SPEEDS, "cashews")}
    for _ in range(rounds):
        for name, (_, make) in SPEEDS.items():
            get, put = make()
            found[name]["set"].append(timed(put, KEYS))
            found[name]["get"].append(timed(get, KEYS))
        try:
            from cashews import Cache
        except ImportError:
            continue

        async def one_round() -> dict[str, float]:
            cache = Cache()
            cache.setup(f"mem://?size={LARGE}")
            times = await cashews_round(cache, KEYS)
            await cache.close()
            return times

        for what, taken in asyncio.run(one_round()).items():
            found["cashews"][what].append(taken)
    titles = {name: title for name, (title, _) in SPEEDS.items()} | {"cashews": "cashews"}
    return {
        name: {"title": titles[name]} | {what: ratio(taken, found["dict"][what]) for what, taken in figures.items()}
        for name, figures in found.items()
    }


def ratio(taken: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    return {
        "ns": statistics.median(taken),
        "ratio": statistics.median(one / other for one, other in zip(taken, base, strict=True)),
    }


# Hit ratios


def zipf(rng: random.Random, count: int, names: Sequence[str]) -> Iterable[str]:
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(names))))
    return rng.choices(names, cum_weights=weights, k=count)


def traces(requests: int) -> dict[str, list[str]]:
    """Return skewed requests; the same with a tenth of keys asked for once; and with other favourites from the middle on."""
    rng = random.Random(7)
    names = [f"k{number}" for number in range(LARGE)]
    skewed = list(zipf(rng, requests, names))
    once = (f"once{number}" for number in itertools.count())
    scanned = [next(once) if rng.random() < 0.1 else key for key in skewed]
    others = names[:]
    rng.shuffle(others)
    shifted = skewed[: requests // 2] + list(zipf(rng, requests - requests // 2, others))
    return {"zipf": skewed, "scan": scanned, "shift": shifted}


def through(get: Callable[[str], bool], put: Callable[[str], Any], trace: Sequence[str]) -> float:
    hits = 0
    for key in trace:
        if get(key):
            hits += 1
        else:
            put(key)
    return hits / len(trace)


def policies() -> dict[str, tuple[str, Callable[[], tuple[Callable[[str], bool], Callable[[str], Any]]]]]:
    def backend(kind: type[MemoryCache]) -> Callable[[], Any]:
        def make() -> Any:
            cache = DataCache(kind(max_entries=CAPACITY), ttl=None)
            return cache.get, lambda key: cache.set(key, 1)

        return make

    def mapping(name: str) -> Callable[[], Any]:
        def make() -> Any:
            import cachetools

            cache = getattr(cachetools, name)(CAPACITY)
            return (lambda key: cache.get(key) is not None), lambda key: cache.__setitem__(key, 1)

        return make

    def theine_policy() -> Any:
        from theine import Cache

        cache: Any = Cache(CAPACITY)
        return (lambda key: cache.get(key)[1]), lambda key: cache.set(key, 1)

    return {
        "fpa": ("fpa, S3-FIFO", backend(MemoryCache)),
        "fpa-lru": ("fpa, LRU", backend(LruMemoryCache)),
        "theine": ("theine, W-TinyLFU", theine_policy),
        "cachetools-lru": ("cachetools, LRU", mapping("LRUCache")),
        "cachetools-lfu": ("cachetools, LFU", mapping("LFUCache")),
    }


def hit_ratios(requests: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = traces(requests)
    for name, (title, make) in policies().items():
        try:
            found[name] = {"title": title} | {trace: through(*make(), keys) for trace, keys in known.items()}
        except ImportError as error:
            print(f"{name} skipped: {error}", file=sys.stderr)
    return found


# On disk


def on_disk(rounds: int) -> dict[str, Any]:
    """Return the times of our disk cache as multiples of diskcache's by itself, for equal values."""
    keys = KEYS[:300]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cache-") as folder:
        for number, (title, value) in enumerate(VALUES.items()):
            plain = diskcache.Cache(f"{folder}/plain{number}")
            cache = DataCache(DiskCache(f"{folder}/ours{number}"), ttl=TTL)
            acts: dict[str, Callable[[str], Any]] = {
                "plain set": lambda key, value=value, plain=plain: plain.set(key, value, expire=TTL),
                "set": lambda key, value=value, cache=cache: cache.set(key, value),
                "tagged set": lambda key, value=value, cache=cache: cache.set(f"t{key}", value, tags=["t"]),
                "plain get": plain.get,
                "get": cache.get,
                "tagged get": lambda key, cache=cache: cache.get(f"t{key}"),
            }
            taken: dict[str, list[float]] = {name: [] for name in acts}
            for _ in range(rounds):
                for name, act in acts.items():
                    taken[name].append(timed(act, keys))
            found[title] = {
                name: ratio(times, taken["plain set" if name.endswith("set") else "plain get"])
                for name, times in taken.items()
            }
            plain.close()
            cache.close()
    return found


def main() -> None:
    rounds, requests = int(sys.argv[1]), int(sys.argv[2])
    run = {
        "python": platform.python_version(),
        "rounds": rounds,
        "requests": requests,
        "versions": {name: version(name) for name in ("cachetools", "theine", "cashews", "dogpile.cache", "diskcache")},
        "speeds": speeds(rounds),
        "ratios": hit_ratios(requests),
        "disk": on_disk(rounds),
    }
    json.dump(run, sys.stdout)


if __name__ == "__main__":
    main()
