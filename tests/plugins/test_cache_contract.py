"""The caches in the box against the contract of every cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fpa_core.cache import CompletedCache
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError
from fpa_core.protocols import Entry, RemovalCause
from fpa_core.testing import CacheContract
from fpa_core.testing.cache import CacheFactory, Clock
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.disk.plugin import DiskOptions
from fpa_plugins.disk.plugin import create as create_disk
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.memory.plugin import MemoryOptions
from fpa_plugins.memory.plugin import create as create_memory


@pytest.mark.parametrize("policy", ["s3fifo", "lru"])
class TestMemoryCache(CacheContract):
    @pytest.fixture
    def cache_factory(self, policy: Any) -> CacheFactory:
        return lambda _: partial(create_memory, MemoryOptions(policy=policy))


class TestDiskCache(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, tmp_path: Path) -> CacheFactory:
        return lambda name: partial(create_disk, DiskOptions(path=tmp_path / name))


def open_tiers(path: Path, clock: Clock) -> TieredCache:
    return TieredCache(MemoryCache(max_entries=100), DiskCache(path), clock=clock)


class TestTieredCache(CacheContract):
    machine_examples = 20
    machine_users = 1

    @pytest.fixture
    def cache_factory(self, tmp_path: Path, clock: Clock) -> CacheFactory:
        return lambda name: partial(open_tiers, tmp_path / name, clock)


class Plain:
    """The least cache there is."""

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.entries: dict[str, Entry] = {}
        self.closed = 0

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def put(self, key: str, entry: Entry) -> list[str]:
        if entry.size > 1_000_000:
            self.entries.pop(key, None)
            return [key]
        self.entries[key] = entry
        evicted = list(self.entries)[: max(len(self.entries) - self.room, 0)]
        for each in evicted:
            del self.entries[each]
        return evicted

    def delete(self, key: str) -> bool:
        return self.entries.pop(key, None) is not None

    def keys(self) -> list[str]:
        return list(self.entries)


class TestCompletedCache(CacheContract):
    @pytest.fixture
    def cache_factory(self) -> CacheFactory:
        return lambda _: lambda: CompletedCache(Plain())


def test_evictions_of_a_minimal_cache_are_counted_and_told() -> None:
    """What a minimal cache evicts, or has no room for, is told to listeners and counted."""
    cache = CompletedCache(Plain(room=2))
    heard: list[Any] = []
    cache.add_removal_listener(lambda *removal: heard.append(removal))
    for key in "abc":
        assert cache.put(key, Entry(1, 0.0, size=1))
    assert heard == [("a", RemovalCause.EVICTED)]
    assert not cache.put("b", Entry(1, 0.0, size=2_000_000))
    assert not cache.put("new", Entry(1, 0.0, size=2_000_000))
    assert heard[1:] == [("b", RemovalCause.EVICTED)]
    assert (cache.usage().entries, dict(cache.usage().evicted)) == (1, {"size": 1, "oversize": 2})


def test_errors_of_a_minimal_cache_have_a_type() -> None:
    """Whatever a minimal cache raises is an error of this project, with its cause; closing calls it once."""
    plain = Plain()

    def fail(*_: Any) -> Any:
        raise KeyError("driver")

    plain.get = fail  # type: ignore[method-assign]
    calls: list[int] = []
    cache = CompletedCache(plain, close=lambda: calls.append(1))
    with pytest.raises(CacheError, match="Plain failed: KeyError") as raised:
        cache.put("k", Entry(1, 0.0))
    assert isinstance(raised.value.__cause__, KeyError)
    cache.close()
    cache.close()
    assert calls == [1]


def test_generations_of_a_completed_cache_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many, all are forgotten, and nothing that was invalid revives."""
    monkeypatch.setattr("fpa_core.cache.completed.MAX_GENERATIONS", 3)
    cache = CompletedCache(Plain())
    fence = cache.generations(["never"])
    seen = set()
    for number in range(20):
        cache.bump([tag := f"t{number % 5}"])
        assert cache.generations([tag])[tag] not in seen
        seen.add(cache.generations([tag])[tag])
    assert not cache.put("k", Entry(1, 0.0), fence=fence)
