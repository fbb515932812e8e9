"""A memory cache in front of Redis, and generations of tags that the server's messages keep current."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from attrs import evolve

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

from redis_server import RedisServer, emptied, eventually, mget_calls, patiently, warmed

from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis.plugin import RedisOptions, create

T = TypeVar("T")


@pytest.fixture(params=["single", "cluster"])
def tracked(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, DataCache, DataCache]]:
    """Open a cache with two tiers and copies of generations, and one without, as another process would; with the server of both."""
    if request.param == "single":
        server = emptied(request.getfixturevalue("redis_server"))
        options = RedisOptions(url=server.url, timeout=5, tag_copies=30.0)
    else:
        nodes: list[RedisServer] = [emptied(node) for node in request.getfixturevalue("redis_cluster")]
        options = RedisOptions(url=nodes[0].url, timeout=5, tag_copies=30.0, mode="cluster")
        slot = int(nodes[0].said("CLUSTER", "KEYSLOT", "{fpa}")[1:])
        server = nodes[slot * 3 // 16_384]
    with (
        contextlib.closing(create(options)) as far,
        contextlib.closing(create(evolve(options, tag_copies=None))) as theirs,
    ):
        yield server, DataCache(TieredCache(MemoryCache(), far)), DataCache(theirs)


def test_reads_from_memory_need_no_message(tracked: tuple[RedisServer, DataCache, DataCache]) -> None:
    """With copies of generations a value in memory is read without the server; what others end is noticed, what is ended here at once."""
    server, here, there = tracked
    warmed(server, here)
    before = mget_calls(server)
    assert [here.get("k") for _ in range(50)] == ["old"] * 50
    assert mget_calls(server) == before
    there.invalidate_tags("t")
    eventually(lambda: here.get("k") is None)
    warmed(server, here)
    here.invalidate_tags("t")
    assert here.get("k") is None
    for number in range(30):
        here.set("k", number, tags=["t"])
        assert here.get("k") == number
        assert here.delete("k")
        assert here.get("k") is None


@pytest.mark.parametrize("loss", [("DEL", "{fpa}t:fpa:t"), ("DEL", "{fpa}epoch"), ("FLUSHALL",)], ids=" ".join)
def test_what_the_server_loses_is_noticed(
    tracked: tuple[RedisServer, DataCache, DataCache], loss: tuple[str, ...]
) -> None:
    """A generation that the server drops ends the copies in memory as well."""
    server, here, _ = tracked
    warmed(server, here)
    server.said(*loss)
    eventually(lambda: here.get("k") is None)


def test_copies_of_a_silent_server_are_not_trusted(redis_server: RedisServer) -> None:
    """When the server stops answering, copies are used for as long as was said, and no longer."""
    with contextlib.closing(create(RedisOptions(url=emptied(redis_server).url, timeout=0.1, tag_copies=0.3))) as far:
        cache = DataCache(TieredCache(MemoryCache(), far))
        warmed(redis_server, cache)
        assert redis_server.process is not None
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: fails(lambda: cache.get("k")))
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        assert patiently(lambda: cache.get("k")) == "old"


def fails(act: Callable[[], Any]) -> bool:
    try:
        act()
    except CacheError:
        return True
    return False


def test_a_closed_cache_listens_no_more(redis_server: RedisServer) -> None:
    """Closing ends the thread that listens, and a closed cache says that it is closed."""
    before = set(threading.enumerate())
    cache = create(RedisOptions(url=emptied(redis_server).url, timeout=5, tag_copies=0.5))
    cache.generations(["n:t"])
    (thread,) = set(threading.enumerate()) - before
    cache.close()
    cache.close()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(CacheError, match="closed"):
        cache.generations(["n:t"])


def test_a_cache_that_nobody_holds_listens_no_more(redis_server: RedisServer) -> None:
    """The thread that listens does not keep the cache alive, and ends with it."""
    before = set(threading.enumerate())
    cache = create(RedisOptions(url=emptied(redis_server).url, timeout=5, tag_copies=0.5))
    cache.generations(["n:t"])
    (thread,) = set(threading.enumerate()) - before
    del cache
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
