"""K1, K5, K8: entries come back as they were put; keys are any text; what is past use is freed."""

from __future__ import annotations

import contextlib
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from fpa_core.cache import DataCache
from fpa_core.exceptions import CacheError
from fpa_core.models import PortfolioSnapshot, Position, Quote
from fpa_core.protocols import MAX_KEY_LENGTH, CacheBackend, Capability, Entry
from fpa_core.testing.cache.base import LIFETIME, CacheTests, Clock, entry
from fpa_core.testing.contracts import CachePromise, holds
from fpa_core.testing.store.base import law

__all__ = ["EntryTests", "KeyTests", "PurgeTests"]

NOW = Clock().now
SNAPSHOT = PortfolioSnapshot(10**18, "100", positions=[Position("AAPL", 1, 2, None)])
VALUES = {
    "none": None,
    "text": "é\0\U0001f600",
    "bytes": bytes(range(256)),
    "large": b"x" * 300_000,
    "json": {"a": [1, -1.5, True, None, {"b": (2,)}]},
    "quotes": [Quote("AAPL", 1_700_000_000_000_000_001, "1.50", None)],
    "snapshot": SNAPSHOT,
}
HOSTILE = (
    "",
    " ",
    "a b",
    "a*b",
    "a?b",
    "a[b]",
    "a\\b",
    "{a}",
    "a}b{c",
    "a:b",
    "a\nb",
    "a\0b",
    "%s",
    "é",
    "\U0001f600",
    "A",
)
lifetimes = st.none() | st.floats(LIFETIME, 1e9)


def same(expected: Entry, found: Entry | None) -> bool:
    """Return whether an entry that was found has the value, the times and the tags of the expected one."""
    return found is not None and (
        (bytes(expected.value), expected.stored_at, expected.expires_at, expected.keep_until, dict(expected.tags))
        == (bytes(found.value), found.stored_at, found.expires_at, found.keep_until, dict(found.tags))
    )


class EntryTests(CacheTests):
    """What was put is returned."""

    @holds(CachePromise.K1)
    @law(
        st.binary(max_size=200),
        st.floats(NOW, NOW + 1e6),
        lifetimes,
        lifetimes,
        st.lists(st.text("aé:", max_size=3), max_size=3),
    )
    def test_an_entry_comes_back_equal(
        self, backend: CacheBackend, value: bytes, at: float, ttl: float | None, grace: float | None, names: list[str]
    ) -> None:
        """Value, times and tags with their generations come back as they were put, to the last digit."""
        tags = dict(backend.generations([f"n:{name}" for name in names]))
        until = None if ttl is None else at + ttl
        keep = None if until is None or grace is None else until + grace
        given = entry(value, at, expires_at=until, keep_until=keep, tags=tags)
        assert backend.put("n:k", given)
        assert same(given, backend.get("n:k"))
        assert same(given, backend.get_many(["n:k"]).get("n:k"))

    @holds(CachePromise.K1)
    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_a_value_comes_back_equal(self, cache: DataCache, value: Any) -> None:
        """Every kind of value comes back equal and of the same type, to callers who cannot change each other's."""
        assert cache.set("k", value)
        for _ in range(2):
            got = cache.get("k", "nothing")
            assert (value, type(value)) == (got, type(got))
            if isinstance(got, dict):
                got.clear()

    @holds(CachePromise.K1)
    def test_a_table_comes_back_equal(self, cache: DataCache) -> None:
        """An Arrow table comes back equal."""
        table = pa.table({"a": [1, None], "b": ["x", "y"]})
        cache.set("k", table)
        assert table.equals(cache.get("k"))

    @holds(CachePromise.K1)
    def test_absent_keys(self, backend: CacheBackend) -> None:
        """A key that was never put has no entry, and of several keys those that exist are returned."""
        backend.put("n:a", entry(b"a"))
        backend.put("n:b", entry(b"b"))
        assert backend.get("n:c") is None
        found = backend.get_many(["n:c", "n:b", "n:a", "n:a"])
        assert {"n:a": b"a", "n:b": b"b"} == {key: bytes(one.value) for key, one in found.items()}
        assert dict(backend.get_many([])) == {}

    @holds(CachePromise.K1)
    def test_a_stale_entry_is_kept(self, backend: CacheBackend, clock: Clock) -> None:
        """An entry is returned after it expired, as long as it may serve as a stale one: judging is not the backend's."""
        given = entry(expires_at=NOW - 10, keep_until=NOW + LIFETIME)
        backend.put("n:k", given)
        backend.put("n:other", entry())
        clock.now += 5
        backend.purge(clock.now)
        assert same(given, backend.get("n:k"))

    @holds(CachePromise.K2)
    def test_the_last_value_counts(self, backend: CacheBackend) -> None:
        """A value that was replaced is not returned again."""
        for value in (b"first", b"", b"x" * 100_000, b"last"):
            backend.put("n:k", entry(value))
            assert same(entry(value), backend.get("n:k"))
            assert same(entry(value), backend.get_many(["n:k"])["n:k"])

    @holds(CachePromise.K1)
    def test_touching_changes_times_alone(self, backend: CacheBackend) -> None:
        """An entry that is touched has new times, and its value and tags as before; one that does not exist is not made."""
        tags = dict(backend.generations(["n:t"]))
        backend.put("n:k", entry(b"value", tags=tags))
        for until, keep in ((NOW + 2 * LIFETIME, NOW + 3 * LIFETIME), (None, None), (NOW + LIFETIME, None)):
            assert backend.touch("n:k", until, keep)
            assert same(entry(b"value", expires_at=until, keep_until=keep, tags=tags), backend.get("n:k"))
        assert not backend.touch("n:other", None, None)
        assert backend.get("n:other") is None

    @holds(CachePromise.K2)
    def test_deleting_tells_what_was_there(self, backend: CacheBackend) -> None:
        """A deleted entry is gone, and deleting it again finds none."""
        backend.put("n:k", entry())
        backend.put("n:other", entry())
        assert backend.delete("n:k")
        assert backend.get("n:k") is None
        assert not backend.delete("n:k")
        assert backend.get("n:other") is not None

    @holds(CachePromise.K2)
    def test_deleting_many(self, backend: CacheBackend) -> None:
        """Entries deleted together are gone, and those that existed are told; others stay."""
        keys = [f"n:{number}" for number in range(600)]
        for key in keys[::2]:
            backend.put(key, entry())
        backend.put("n:other", entry())
        assert keys[:300:2] == sorted(backend.delete_many(keys[:300]), key=keys.index)
        assert keys[300::2] == sorted(backend.delete_many(keys), key=keys.index)
        assert list(backend.delete_many(keys)) == list(backend.delete_many([])) == []
        assert list(backend.keys()) == ["n:other"]

    @holds(CachePromise.K2)
    def test_clearing_drops_everything(self, backend: CacheBackend) -> None:
        """Clearing tells how many entries there were and leaves none, in any namespace."""
        keys = [f"{name}:{number}" for name in "nm" for number in range(30)]
        for key in keys:
            backend.put(key, entry())
        assert len(keys) == backend.clear()
        assert dict(backend.get_many(keys)) == {}
        assert backend.clear() == 0

    @holds(CachePromise.K1, Capability.PERSISTENT)
    def test_entries_outlive_the_handle(self, opener: Any) -> None:
        """What one handle stored, the next one reads; generations are kept too."""
        first = opener()
        tags = dict(first.generations(["n:t"]))
        first.put("n:k", entry(tags=tags))
        first.bump(["n:u"])
        moved = dict(first.generations(["n:u"]))
        first.close()
        second = opener()
        try:
            assert same(entry(tags=tags), second.get("n:k"))
            assert {**tags, **moved} == dict(second.generations(["n:t", "n:u"]))
        finally:
            second.close()


class KeyTests(CacheTests):
    """Keys are any text."""

    @holds(CachePromise.K5)
    def test_any_key(self, backend: CacheBackend) -> None:
        """Keys with characters that mean something elsewhere are kept apart, listed as they are, and deleted one by one."""
        keys = [f"n:{name}" for name in HOSTILE]
        for key in keys:
            assert backend.put(key, entry(key.encode()))
        assert sorted(keys) == sorted(backend.keys())
        for key in keys:
            assert same(entry(key.encode()), backend.get(key))
        for number, key in enumerate(keys, 1):
            assert backend.delete(key)
            assert len(keys) - number == len(list(backend.keys()))

    @holds(CachePromise.K5)
    @pytest.mark.parametrize("letter", ["a", "é", "\U0001f600"])
    def test_the_longest_key(self, backend: CacheBackend, letter: str) -> None:
        """Keys of ``MAX_KEY_LENGTH`` characters are stored, and two that differ in the last one are two."""
        common = "n:" + letter * (MAX_KEY_LENGTH - 3)
        for last in "xy":
            assert backend.put(common + last, entry(last.encode()))
        for last in "xy":
            assert same(entry(last.encode()), backend.get(common + last))
        assert {common + "x", common + "y"} == set(backend.keys("n:"))

    @holds(CachePromise.K5)
    @pytest.mark.parametrize("prefix", ["n:a*", "n:a?", "n:a[", "n:a\\", "n:", "n:A"])
    def test_a_prefix_is_literal(self, backend: CacheBackend, prefix: str) -> None:
        """Only keys that begin with the prefix are listed, whatever its characters mean in a pattern."""
        keys = {f"n:a{mark}b" for mark in "*?[]\\:"} | {"n:ab", "n:Ab", "m:a*b", "nn:a*b"}
        for key in keys:
            backend.put(key, entry())
        assert sorted(key for key in keys if key.startswith(prefix)) == sorted(backend.keys(prefix))

    @holds(CachePromise.K5)
    def test_many_keys_are_listed_once(self, backend: CacheBackend) -> None:
        """However many keys there are, each is listed once, and all are removed by a pattern."""
        cache = DataCache(backend, namespace="n")
        for number in range(1_200):
            backend.put(f"n:{number}", entry())
            if number % 10 == 0:
                backend.put(f"m:{number}", entry())
        listed = list(backend.keys("n:"))
        assert len(listed) == len(set(listed)) == 1_200
        assert len(list(backend.keys())) == 1_320
        assert cache.invalidate_pattern("1*") == 311
        assert len(list(backend.keys())) == 1_320 - 311

    @holds(CachePromise.K9)
    def test_a_key_that_is_no_text(self, cache: DataCache) -> None:
        """A key that is not valid Unicode is stored, or refused by an error of this project; it does no harm."""
        cache.set("good", 1)
        for verb in (lambda: cache.set("\ud800", 1), lambda: cache.get("\ud800"), lambda: cache.delete("\ud800")):
            with contextlib.suppress(CacheError):
                verb()
        assert cache.get("good") == 1

    @holds(CachePromise.K9)
    def test_a_key_that_is_too_long(self, cache: DataCache) -> None:
        """A key beyond the longest is refused."""
        with pytest.raises(CacheError, match="at most"):
            cache.set("x" * MAX_KEY_LENGTH, 1)


class PurgeTests(CacheTests):
    """What is past use is freed."""

    @holds(CachePromise.K8)
    def test_purging_frees_what_is_past_use(self, backend: CacheBackend) -> None:
        """A purge drops what has expired, at most as many as asked, never what is fresh or still serves as a stale one."""
        for number in range(5):
            backend.put(f"n:{number}", entry(expires_at=NOW + LIFETIME))
        backend.put("n:stale", entry(expires_at=NOW + LIFETIME, keep_until=NOW + 3 * LIFETIME))
        backend.put("n:fresh", entry(expires_at=NOW + 3 * LIFETIME))
        backend.put("n:ever", entry(expires_at=None))
        assert backend.purge(NOW) == 0
        assert backend.purge(NOW + 2 * LIFETIME, 2) == 2
        assert backend.purge(NOW + 2 * LIFETIME) == 3
        assert backend.purge(NOW + 2 * LIFETIME) == 0
        assert {"n:stale", "n:fresh", "n:ever"} == set(backend.keys())

    @holds(CachePromise.K8)
    def test_an_entry_that_was_touched_is_purged_by_its_new_times(self, backend: CacheBackend) -> None:
        """A purge goes by the times of the last touch."""
        backend.put("n:longer", entry(expires_at=NOW + LIFETIME))
        backend.put("n:shorter", entry(expires_at=NOW + 5 * LIFETIME))
        backend.touch("n:longer", NOW + 5 * LIFETIME, None)
        backend.touch("n:shorter", NOW + LIFETIME, None)
        assert backend.purge(NOW + 2 * LIFETIME) == 1
        assert list(backend.keys()) == ["n:longer"]

    @holds(CachePromise.K8)
    def test_usage_counts_what_is_there(self, backend: CacheBackend) -> None:
        """Entries and bytes follow what is put, replaced, deleted, purged and cleared."""
        assert backend.usage().entries == 0
        empty = backend.usage().bytes
        for number in range(10):
            backend.put(f"n:{number % 8}", entry(b"x" * 5_000, expires_at=NOW + LIFETIME * (1 + number % 2)))
        usage = backend.usage()
        assert usage.entries == 8
        assert usage.bytes >= empty + 8 * 5_000
        assert backend.delete("n:0")
        assert backend.usage().entries == 7
        purged = backend.purge(NOW + LIFETIME)
        assert 7 - purged == backend.usage().entries == len(list(backend.keys()))
        backend.clear()
        assert backend.usage().entries == 0
