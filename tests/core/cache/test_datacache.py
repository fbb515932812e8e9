"""DataCache on every backend: what a caller may rely on, and the mistakes of simpler caches that it must not make."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from fpa_core.cache import CacheStats, DataCache, Hit, Miss, MissReason, escape, make_key
from fpa_core.exceptions import CacheError
from fpa_core.models import Bar, PortfolioSnapshot, Position, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Usage
from fpa_plugins.memory.cache import MemoryCache

QUOTE = Quote("AAPL", 1_700_000_000_000_000_001, "1.50", None)
SNAPSHOT = PortfolioSnapshot(10**18, "100", positions=[Position("AAPL", 1, 2, None)])


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1.5, "text", b"bytes", Decimal("1.10"), datetime(2024, 1, 2, tzinfo=UTC), QUOTE, SNAPSHOT,
        [], [QUOTE, QUOTE], (QUOTE,), [SNAPSHOT, SNAPSHOT], [1, [2, {"a": (3, None)}]], {"a": {"b": QUOTE}}, (1, [2]), {1: 2},
    ],
    ids=repr,
)  # fmt: skip
def test_values_come_back_equal(cache, value):
    """Every kind of value comes back equal and of the same type."""
    assert cache.set("k", value)
    got = cache.get("k", "nothing")
    assert (value, type(value)) == (got, type(got))


def test_tables_come_back_equal(cache):
    """An Arrow table comes back equal."""
    table = pa.table({"a": [1, 2]})
    cache.set("k", table)
    assert table.equals(cache.get("k"))


@pytest.mark.parametrize("value", [object(), {1, 2}, [object()], {"a": {1}}, timedelta(1)])
def test_unknown_types_are_refused_by_name(cache, value):
    """A value that one backend could not keep is refused by all, and its type named."""
    with pytest.raises(CacheError, match="cannot be cached"):
        cache.set("k", value)
    with pytest.raises(CacheError, match="cannot be cached"):
        cache.get_or_load("k", lambda: value)
    assert cache.lookup("k") == Miss(MissReason.ABSENT)


def test_a_value_that_contains_itself_is_refused(cache):
    """A circle is an error, not an endless loop."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(CacheError, match="contains itself"):
        cache.set("k", circle)


def test_callers_cannot_corrupt_the_cache(cache):
    """Changing what was put or what was got changes nothing for others."""
    value = {"list": [1]}
    cache.set("k", value)
    value["list"].append(2)
    cache.get("k")["list"].append(3)
    flat = [1]
    cache.set("flat", flat)
    flat.append(2)
    cache.get("flat").append(3)
    loaded = cache.get_or_load("loaded", lambda: flat)
    loaded.append(4)
    assert cache.get("k") == {"list": [1]}
    assert cache.get("flat") == [1]
    assert cache.get("loaded") == [1, 2]


def test_a_stored_none_is_a_value(cache):
    """None is told from a miss, and not loaded again."""
    cache.set("k", None)
    assert cache.get("k", "default") is None
    assert cache.lookup("k") == Hit(None, 0.0, 60.0)
    assert cache.get_or_load("k", lambda: 1) is None
    assert cache.get("other", "default") == "default"


def test_lookup_tells_age_remaining_and_reason(cache, clock):
    """A lookup says how old a value is and how long it lives, or why there is none."""
    assert cache.lookup("k") == Miss(MissReason.ABSENT)
    assert not cache.lookup("k")
    cache.set("k", 0, 10)
    clock.now += 4
    hit = cache.lookup("k")
    assert hit
    assert (hit.age, hit.remaining, hit.stale) == (4.0, 6.0, False)
    clock.now += 6
    assert cache.lookup("k") == Miss(MissReason.EXPIRED)
    cache.set("tagged", 1, None, tags=["t"])
    assert cache.lookup("tagged").remaining is None
    cache.invalidate_tags("t")
    assert cache.lookup("tagged") == Miss(MissReason.INVALIDATED)


@pytest.mark.parametrize("ttl", [0, -1, 0.0, "0s", timedelta(0), datetime(2000, 1, 1, tzinfo=UTC)], ids=repr)
def test_a_lifetime_of_zero_stores_nothing(cache, ttl):
    """Zero and less do not mean the default, nor for ever: nothing is stored, and what was there is gone."""
    cache.set("k", 1)
    assert not cache.set("k", 2, ttl)
    assert not cache.contains("k")
    assert cache.get_or_load("k", lambda: 3, ttl) == 3
    assert not cache.contains("k")


@pytest.mark.parametrize("ttl", [math.nan, math.inf, True, "soon", object(), datetime(2024, 1, 1)])  # noqa: DTZ001
def test_impossible_lifetimes_are_refused(cache, ttl):
    """What is no lifetime is an error, for a value and for the cache."""
    with pytest.raises(CacheError):
        cache.set("k", 1, ttl)
    with pytest.raises(CacheError):
        DataCache(MemoryCache(), ttl=ttl)


@pytest.mark.parametrize(
    "parameters",
    [{"jitter": 1}, {"jitter": -0.1}, {"stale_if_error": -1}, {"namespace": ""}, {"namespace": "a:b"}, {"ttls": {"a": math.nan}}],
    ids=repr,
)  # fmt: skip
def test_impossible_parameters_are_refused(parameters):
    """A cache that could not work is not made."""
    with pytest.raises(CacheError):
        DataCache(MemoryCache(), **parameters)


def test_none_never_expires(cache, clock):
    """A lifetime of None is for ever."""
    cache.set("k", 1, None)
    clock.now += 1e8
    assert cache.get("k") == 1


@pytest.mark.parametrize("ttl", [5, 5.0, "5s", timedelta(seconds=5)], ids=repr)
def test_lifetimes_end_exactly(cache, clock, ttl):
    """A value is fresh before its lifetime is over, and not at its end."""
    cache.set("k", 1, ttl)
    clock.now += 4.999
    assert cache.get("k") == 1
    clock.now += 0.001
    assert cache.get("k") is None


def test_kinds_have_their_own_lifetimes(make, clock):
    """The caller's lifetime wins over the kind's, that over the default; a loaded None has its own."""
    cache = make(ttls={"quotes": 5, "bars": None}, negative_ttl=1)
    cache.set("q", 1, kind="quotes")
    cache.set("b", 1, kind="bars")
    cache.set("o", 1, kind="other")
    cache.set("e", 1, 7, kind="quotes")
    cache.get_or_load("n", lambda: None, kind="bars")
    remaining = {key: cache.lookup(key).remaining for key in "qboen"}
    assert remaining == {"q": 5.0, "b": None, "o": 60.0, "e": 7.0, "n": 1.0}
    clock.now += 1
    assert cache.get_or_load("n", lambda: 2) == 2


def test_absolute_expiry(cache):
    """A value may live until a moment, or until the one a calendar names."""
    cache.set("moment", 1, datetime.now(UTC) + timedelta(hours=1))
    cache.set("close", 1, lambda now: now + timedelta(hours=2))
    assert cache.lookup("moment").remaining == pytest.approx(3600, abs=5)
    assert cache.lookup("close").remaining == pytest.approx(7200, abs=5)


def test_jitter_only_shortens(make):
    """With jitter lifetimes differ, and none is longer than was said."""
    cache = make(jitter=0.5)
    for number in range(50):
        cache.set(str(number), 1, 100)
    remaining = [cache.lookup(str(number)).remaining for number in range(50)]
    assert len(set(remaining)) > 10
    assert all(50 <= seconds <= 100 for seconds in remaining)


def test_touch_renews_what_is_fresh(cache, clock):
    """Touching lets a fresh value live on, and does not revive one that is dead."""
    cache.set("k", 1, 10, tags=["t"])
    clock.now += 9
    assert cache.touch("k", 10)
    clock.now += 9
    assert cache.get("k") == 1
    assert cache.touch("k", None)
    clock.now += 100
    assert cache.get("k") == 1
    cache.invalidate_tags("t")
    assert not cache.touch("k")
    assert not cache.touch("other")
    cache.set("k", 1, 10)
    clock.now += 10
    assert not cache.touch("k")
    cache.set("k", 1)
    assert not cache.touch("k", 0)
    assert not cache.contains("k")


def test_many_at_once(cache, clock):
    """Many keys are stored and read together, each judged by itself."""
    assert cache.set_many({"a": 1, "b": None}, tags=["t"]) == 2
    cache.set("c", 3, 1)
    cache.set("d", 4, None)
    clock.now += 1
    assert cache.get_many(["d", "c", "b", "x", "a"]) == {"d": 4, "b": None, "a": 1}
    cache.invalidate_tags("t")
    assert cache.get_many(["a", "b", "d"]) == {"d": 4}
    stats = cache.get_stats()
    assert (stats.hits, stats.absent, stats.expired, stats.invalidated) == (4, 1, 1, 2)


def test_delete_and_clear_tell_what_was_there(cache):
    """Deleting tells whether there was a value; clearing, how many, and stays within its namespace."""
    cache.set_many({"a": 1, "b": 2, "c": 3})
    assert cache.delete("a")
    assert not cache.delete("a")
    assert cache.clear() == 2
    assert cache.keys() == []


def test_namespaces_are_apart(make):
    """Keys, tags and clearing of one namespace do not touch another on the same backend."""
    one, other = make(namespace="one"), make(namespace="other")
    one.set("k", 1, tags=["t"])
    other.set("k", 2, tags=["t"])
    one.invalidate_tags("t")
    assert one.get("k") is None
    assert other.get("k") == 2
    one.set("k", 1)
    assert one.clear() == 1
    assert other.get("k") == 2


def test_tags_end_every_value_under_them(cache):
    """A tag ends all it was given to, whatever their lifetimes, and nothing else; values stored later live."""
    cache.set("long", 1, None, tags=["AAPL", "quotes"])
    cache.set("short", 1, 1, tags=["AAPL"])
    cache.set("other", 1, tags=["MSFT", "quotes"])
    cache.invalidate_tags("AAPL")
    assert [key for key in ("long", "short", "other") if key in cache] == ["other"]
    cache.set("long", 2, tags=["AAPL"])
    assert cache.get("long") == 2
    cache.invalidate_tags()
    assert cache.get("long") == 2


@pytest.mark.parametrize("tags", ["text", ["\0fence"], [5]], ids=repr)
def test_impossible_tags_are_refused(cache, tags):
    """A text is not taken for a collection of letters, and reserved names stay reserved."""
    with pytest.raises(CacheError):
        cache.set("k", 1, tags=tags)


@pytest.mark.parametrize("key", [None, 5, b"k"], ids=repr)
def test_keys_are_text(cache, key):
    """A key that is no text is refused."""
    for verb in (lambda: cache.set(key, 1), lambda: cache.lookup(key), lambda: cache.delete(key)):
        with pytest.raises(CacheError, match="text"):
            verb()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", {"BRK[B]", "BRKB", "a*b", "axb", "a:b"}),
        ("BRK[B]", {"BRK[B]"}),
        ("BRK*", {"BRK[B]", "BRKB"}),
        ("a?b", {"a*b", "axb", "a:b"}),
        (r"a\*b", {"a*b"}),
        (escape("a*b"), {"a*b"}),
        ("A*", set()),
        ("", set()),
    ],
)
def test_one_pattern_syntax(cache, pattern, expected):
    """Star and question mark are special, a backslash takes that away, brackets are literal; and upper case differs from lower."""
    cache.set_many(dict.fromkeys(["BRK[B]", "BRKB", "a*b", "axb", "a:b"], 1))
    assert expected == set(cache.keys(pattern))
    assert len(expected) == cache.invalidate_pattern(pattern)
    assert not expected & set(cache.keys())
    assert len(cache.keys()) == 5 - len(expected)


def test_a_pattern_cannot_end_in_a_backslash(cache):
    """A pattern with nothing to escape is an error."""
    with pytest.raises(CacheError, match="backslash"):
        cache.invalidate_pattern("a\\")


def test_different_parts_make_different_keys():
    """Parts that contain the separator do not collide with more parts."""
    keys = {make_key("a", "b"), make_key("a:b"), make_key("a%3Ab"), make_key("a%", "b"), make_key("a", "%b")}
    assert len(keys) == 5


def test_a_wall_clock_set_back_revives_nothing(make, clock, backend):
    """Where entries carry the wall clock, one from the future is not trusted; a monotonic clock has no such case."""
    cache = make()
    cache.set("k", 1, 10)
    clock.now -= 3600
    assert cache.contains("k") is not bool(backend.capabilities)


def test_purging_frees_what_is_past_use(cache, clock):
    """Expired entries are freed by purging, at most as many as asked, and never fresh ones."""
    cache.set_many({str(number): number for number in range(5)}, 1)
    cache.set("fresh", 1, 100)
    clock.now += 2
    assert cache.purge(limit=2) == 2
    assert cache.purge() == 3
    assert cache.purge() == 0
    assert cache.keys() == ["fresh"]


def test_statistics_add_up_and_subtract(cache, clock):
    """Each read is counted once, by its outcome; two statistics can be subtracted; nothing divides by zero."""
    assert cache.get_stats().hit_rate is None
    cache.set("k", 1, 1)
    before = cache.get_stats()
    cache.get("k")
    cache.get("absent")
    clock.now += 1
    cache.get("k")
    cache.get_or_load("k", lambda: 2)
    cache.get_or_load("k", lambda: 3)
    cache.delete("k")
    since = cache.get_stats() - before
    assert (since.hits, since.absent, since.expired, since.loads, since.sets, since.deletes) == (2, 1, 2, 1, 1, 1)
    assert since.misses == 3
    assert since.hit_rate == 0.4
    assert since.entries == 0
    assert since.load_seconds >= 0
    assert since.as_dict()["misses"] == 3


def test_evictions_are_subtracted_by_cause():
    """The difference of two statistics tells the evictions between them."""
    older, newer = CacheStats(evicted={"size": 1}), CacheStats(evicted={"size": 3, "expired": 1})
    assert (newer - older).evicted == {"size": 2, "expired": 1}


def test_a_cache_is_closed_once(backend, clock):
    """A cache closes with its context, and closing again does nothing."""
    with DataCache(backend, clock=clock) as cache:
        cache.set("k", 1)
    cache.close()


def test_the_verbs_return_bars(cache):
    """A list of bars, the commonest value of all, survives with every decimal."""
    bars = [Bar("AAPL", Instant(index), "1.1", "2", "0.5", "1.123456789", 100, "1m") for index in range(100)]
    cache.set("bars", bars, "5m", tags=["AAPL"])
    assert bars == cache.get("bars")


def test_usage_is_that_of_the_backend(cache, backend):
    """Entries and bytes are what the backend says."""
    cache.set("k", "x" * 1000)
    usage: Usage = backend.usage()
    stats = cache.get_stats()
    assert (usage.entries, usage.bytes) == (stats.entries, stats.bytes)
    assert stats.bytes > 1000
