"""An L1 cache in front of an L2 cache: fast, and never older than one cache alone would be."""

from __future__ import annotations

import pytest

from fpa_core.cache import DataCache, Miss, MissReason
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import ConfigError
from fpa_core.protocols import Capability, Entry
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import MemoryCache


@pytest.fixture
def far(tmp_path):
    made = DiskCache(tmp_path / "far")
    yield made
    made.close()


@pytest.fixture
def tiers(far, clock):
    return TieredCache(MemoryCache(max_entries=100), far, clock=clock)


@pytest.fixture
def cache(tiers, clock):
    return DataCache(tiers, ttl=60, clock=clock)


@pytest.fixture
def other(far, clock):
    """Stand for another process: it has the far cache, and knows nothing of the near one."""
    return DataCache(far, ttl=60, clock=clock)


@pytest.fixture
def asked(far, monkeypatch):
    """Note the keys that the far cache is asked for."""
    keys = []
    get = far.get
    monkeypatch.setattr(far, "get", lambda key: keys.append(key) or get(key))
    return keys


def test_a_value_is_read_from_the_far_cache_once(cache, other, asked):
    """What another process stored is copied; what this one stored need not be read at all."""
    other.set("theirs", [1, 2], tags=["t"])
    assert [cache.get("theirs") for _ in range(3)] == [[1, 2]] * 3
    cache.set("ours", "x", tags=["t"])
    assert cache.get("ours") == "x"
    assert asked == ["fpa:theirs"]
    cache.get("theirs").append(3)
    assert cache.get("theirs") == [1, 2]
    assert other.get("ours") == "x"


def test_many_are_read_at_once(cache, other, tiers):
    """Near copies and far entries come together."""
    other.set_many({"a": 1, "b": 2}, tags=["t"])
    cache.set("c", 3)
    assert cache.get("a") == 1
    assert cache.get_many(["a", "b", "c", "missing"]) == {"a": 1, "b": 2, "c": 3}
    assert tiers._l1.usage().entries == 3
    other.invalidate_tags("t")
    assert cache.get_many(["a", "b", "c"]) == {"c": 3}


def test_a_copy_lives_for_what_remains(cache, other, clock):
    """A value copied late in its life does not begin a new one."""
    other.set("k", 1, 60)
    clock.now += 50
    assert cache.lookup("k").remaining == 10
    assert cache.lookup("k").age == 50
    clock.now += 10
    assert cache.lookup("k") == Miss(MissReason.EXPIRED)


ENDINGS = {
    "tag": lambda other: other.invalidate_tags("t"),
    "delete": lambda other: other.delete("k"),
    "pattern": lambda other: other.invalidate_pattern("k*"),
    "clear": lambda other: other.clear(),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_what_ends_elsewhere_ends_here(cache, other, end):
    """However another process ends a value, its near copy is not given out after that."""
    cache.set("k", 1, tags=["t"])
    cache.set("other", 2)
    assert cache.get("k") == 1
    end(other)
    assert cache.get("k") is None
    if end is not ENDINGS["clear"]:
        assert cache.get("other") == 2


@pytest.mark.parametrize("end", ["delete", "pattern"])
def test_a_copy_made_while_it_ends_elsewhere_is_void(cache, other, far, monkeypatch, end):
    """What is copied between the first step of a deletion elsewhere and its last is not given out once that is acknowledged."""
    other.set("a/1", "old")
    name = "delete" if end == "delete" else "delete_many"
    delete = getattr(far, name)
    seen = []

    def copied_first(key):
        seen.append(cache.get("a/1"))
        return delete(key)

    monkeypatch.setattr(far, name, copied_first)
    if end == "delete":
        other.delete("a/1")
    else:
        other.invalidate_pattern("a/*")
    assert seen == ["old"]
    assert cache.get("a/1") is None


def test_what_is_replaced_elsewhere_shows_when_the_copy_is_over(cache, other, clock):
    """A value that another process replaced without ending the old one is seen at the latest when the old one expires."""
    cache.set("k", "old", 10)
    other.set("k", "new", 100)
    clock.now += 10
    assert cache.get("k") == "new"


def test_a_copy_made_beside_a_write_is_not_given_out(cache, tiers, far, monkeypatch):
    """A reader that read the far cache before a write, and copies after it, does no harm."""
    cache.set("k", "old")
    tiers._l1.clear()
    get = far.get

    def overtaken(key):
        entry = get(key)
        monkeypatch.undo()
        cache.set("k", "new")
        return entry

    monkeypatch.setattr(far, "get", overtaken)
    assert cache.get("k") == "old"  # it asked before the write
    assert cache.get("k") == "new"


@pytest.mark.parametrize("order", ["inner last", "inner first"])
def test_writers_beside_each_other_leave_what_the_far_cache_has(cache, far, monkeypatch, order):
    """Of two writes at once the near cache never keeps the one that the far cache has not."""
    put = far.put

    def overlapping(key, entry, *, fence=None):
        monkeypatch.setattr(far, "put", put)
        if order == "inner first":
            cache.set("k", "inner")
            return put(key, entry, fence=fence)
        kept = put(key, entry, fence=fence)
        cache.set("k", "inner")
        return kept

    monkeypatch.setattr(far, "put", overlapping)
    cache.set("k", "outer")
    expected = "inner" if order == "inner last" else "outer"
    assert [cache.get("k"), cache.get("k")] == [expected] * 2


def test_a_touch_and_a_deletion_void_the_copy(cache, other, clock):
    """New times hold at once, and what is deleted is gone from both."""
    cache.set("k", 1, 10)
    assert cache.get("k") == 1
    assert cache.touch("k", 100)
    assert cache.lookup("k").remaining == 100
    clock.now += 50
    assert cache.get("k") == 1
    assert cache.delete("k")
    assert (cache.get("k"), other.get("k")) == (None, None)


def test_what_the_far_cache_refuses_is_not_kept_near(tmp_path, clock):
    """A value too large for the far cache is not kept, and an older one is gone."""
    tiers = TieredCache(MemoryCache(), DiskCache(tmp_path / "small", max_bytes=2**20), clock=clock)
    with DataCache(tiers, clock=clock) as cache:
        assert cache.set("k", 1)
        assert not cache.set("k", b"x" * 2**20)
        assert cache.get("k") is None


def test_bytes_that_cannot_be_read_are_a_counted_miss(cache, far):
    """Damage in the far cache is told as such, and loading mends it."""
    far.put("fpa:k", Entry(b"no envelope", 4e9))
    assert cache.lookup("k") == Miss(MissReason.UNDECODABLE)
    assert cache.get_or_load("k", lambda: 1) == 1
    assert cache.get("k") == 1


def test_two_memory_caches_work_too(clock):
    """The far cache may keep objects; nothing is encoded then."""
    near, far = MemoryCache(max_entries=1), MemoryCache()
    cache = DataCache(TieredCache(near, far, clock=clock), clock=clock, ttl=60)
    for key in "ab":
        cache.set(key, [key])
    assert (cache.get("a"), cache.get("b"), near.usage().entries) == (["a"], ["b"], 1)
    stats = cache.get_stats()
    assert (stats.entries, stats.evicted["l1 size"] > 0) == (2, True)


def test_it_says_what_it_can_do(tiers, far):
    """It is persistent and shared as the far cache is, and takes objects."""
    assert far.capabilities - {Capability.STORES_BYTES} == tiers.capabilities
    assert tiers.get("fpa:k") is None
    assert list(tiers.keys()) == []


def test_the_order_matters(far):
    """A cache that keeps bytes cannot be the near one."""
    with pytest.raises(ConfigError, match="must keep objects"):
        TieredCache(far, MemoryCache())


def test_clearing_and_sweeping_reach_both(cache, tiers, far, clock):
    """Nothing is left in either."""
    cache.set_many({"a": 1, "b": 2}, 10)
    clock.now += 20
    assert cache.purge() == 2
    cache.set("c", 1)
    assert tiers.clear() == 1
    assert cache.get("c") is None
    assert (tiers._l1.usage().entries, far.usage().entries) == (0, 0)
