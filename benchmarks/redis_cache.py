"""Measures the Redis cache beside redis-py by itself and dogpile.cache's Redis backend, on a server of its own, turn by turn.

``python benchmarks/redis_cache.py`` prints the microseconds of a call, as the median of the rounds, and the multiple of what redis-py takes in the same
round. dogpile.cache is left out if it is not installed. It needs a redis-server and the extra ``redis``.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from redis_server import running

from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis.plugin import RedisOptions, create

Act = Callable[[str], Any]
VALUES = {"100 bytes": b"x" * 100, "100,000 bytes": b"x" * 100_000}
TTL = 300


def dogpile(url: str) -> Any:
    """Return a region, or None if there is no dogpile.cache. It pickles values, which bytes are not worth."""
    try:
        from dogpile.cache import make_region
    except ImportError:
        return None
    return make_region().configure("dogpile.cache.redis", expiration_time=TTL, arguments={"url": url})


def acts(url: str, value: bytes) -> dict[str, tuple[Act, Act]]:
    """Return how each of the caches gets and sets a key."""
    plain = redis.Redis.from_url(url, protocol=2)
    ours = DataCache(create(RedisOptions(url=url)), ttl=TTL)
    signed = DataCache(create(RedisOptions(url=url, prefix="signed", signing_key="0123456789abcdef")), ttl=TTL)
    tiers = DataCache(TieredCache(MemoryCache(), create(RedisOptions(url=url, prefix="tiers"))), ttl=TTL)
    copies = create(RedisOptions(url=url, prefix="copies", tag_copies=30.0))
    tracked = DataCache(TieredCache(MemoryCache(), copies), ttl=TTL)
    region = dogpile(url)
    found: dict[str, tuple[Act, Act]] = {
        "redis-py": (plain.get, lambda key: plain.set(key, value, ex=TTL)),
        "fpa": (ours.get, lambda key: ours.set(key, value)),
        "fpa, tagged": (lambda key: ours.get(f"t{key}"), lambda key: ours.set(f"t{key}", value, tags=["t"])),
        "fpa, signed": (signed.get, lambda key: signed.set(key, value)),
        "fpa, memory in front": (tiers.get, lambda key: tiers.set(key, value)),
        "fpa, memory and copies of tags": (tracked.get, lambda key: tracked.set(key, value)),
    }
    if region is not None:
        found["dogpile.cache"] = (region.get, lambda key: region.set(key, value))
    return found


def timed(act: Act, keys: list[str]) -> float:
    """Return the microseconds of a call."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for key in keys:
            act(key)
        return (time.perf_counter() - started) / len(keys) * 1e6
    finally:
        gc.enable()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keys", type=int, default=500)
    options = parser.parse_args()
    keys = [f"quotes/{number}" for number in range(options.keys)]
    with running() as server:
        for title, value in VALUES.items():
            taken: dict[str, dict[str, list[float]]] = {}
            caches = acts(server.url, value)
            for _ in range(options.rounds):
                for name, (get, put) in caches.items():
                    figures = taken.setdefault(name, {"get": [], "set": []})
                    figures["set"].append(timed(put, keys))
                    get(keys[0])
                    figures["get"].append(timed(get, keys))
            print(f"\n{title:32}{'get, us':>10}{'times':>8}{'set, us':>10}{'times':>8}")
            for name, figures in taken.items():
                cells = ""
                for what in ("get", "set"):
                    times = [one / other for one, other in zip(figures[what], taken["redis-py"][what], strict=True)]
                    cells += f"{statistics.median(figures[what]):10.0f}{statistics.median(times):8.2f}"
                print(f"{name:32}{cells}")


if __name__ == "__main__":
    main()
