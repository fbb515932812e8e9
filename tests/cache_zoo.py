"""Caches that break one promise each, by a wrapper around a correct one: the conformance kit must find every one of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

from attrs import evolve

from fpa_core.protocols import Capability, Entry, RemovalCause, RemovalListener, Usage
from fpa_plugins.memory.cache import MemoryCache

__all__ = ["ZOO", "DeclaresShared", "Innocent", "open_animal"]

ZOO: dict[str, type[Innocent]] = {}
"""The broken caches by name."""


def open_animal(name: str) -> Innocent:
    """Open a cache of the zoo."""
    return (ZOO | {"Innocent": Innocent})[name]()


class Innocent:
    """A correct cache, wrapped: what it passes shows that the wrapper is not what the kit finds in the others.

    :cvar promise: the promise that a subclass breaks, and ``test`` the test that finds it.
    """

    promise: ClassVar[str] = ""
    test: ClassVar[str] = ""
    capabilities: frozenset[Capability] = frozenset()

    def __init_subclass__(cls, promise: str = "", test: str = "") -> None:
        cls.promise, cls.test = promise, test
        if promise:
            ZOO[cls.__name__] = cls

    def __init__(self) -> None:
        self.inner = MemoryCache()

    def get(self, key: str) -> Entry | None:
        return self.inner.get(key)

    def get_many(self, keys: Iterable[str]) -> Mapping[str, Entry]:
        return {key: entry for key in keys if (entry := self.get(key)) is not None}

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        return self.inner.put(key, entry, fence=fence)

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        return self.inner.touch(key, expires_at, keep_until)

    def delete(self, key: str) -> bool:
        return self.inner.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Sequence[str]:
        return [key for key in keys if self.delete(key)]

    def keys(self, prefix: str = "") -> Iterator[str]:
        return self.inner.keys(prefix)

    def generations(self, tags: Sequence[str]) -> Mapping[str, int]:
        return self.inner.generations(tags)

    def bump(self, tags: Sequence[str]) -> None:
        self.inner.bump(tags)

    def purge(self, now: float, limit: int | None = None) -> int:
        return self.inner.purge(now, limit)

    def clear(self) -> int:
        return self.inner.clear()

    def usage(self) -> Usage:
        return self.inner.usage()

    def add_removal_listener(self, listener: RemovalListener) -> None:
        self.inner.add_removal_listener(listener)

    def close(self) -> None:
        self.inner.close()


# K1


class RoundsTimes(Innocent, promise="K1", test="test_an_entry_comes_back_equal"):
    """Keeps whole seconds."""

    def put(self, key, entry, *, fence=None):
        return super().put(key, evolve(entry, stored_at=float(int(entry.stored_at))), fence=fence)


class RoundsGenerations(Innocent, promise="K1", test="test_an_entry_comes_back_equal"):
    """Passes generations through floats, as JSON and Lua do."""

    def __init__(self):
        super().__init__()
        self.inner._serial = itertools.count(2**61 + 1)
        self.inner._base = 2**61 - 1

    def put(self, key, entry, *, fence=None):
        tags = {tag: int(float(generation)) for tag, generation in entry.tags.items()}
        return super().put(key, evolve(entry, tags=tags), fence=fence)


class DropsStaleEntries(Innocent, promise="K1", test="test_a_stale_entry_is_kept"):
    """Takes the end of freshness for the end of use."""

    def get(self, key):
        found = super().get(key)
        return None if found is None or (found.expires_at or 9e9) <= 4e9 + 5 else found


class MakesWhatItTouches(Innocent, promise="K1", test="test_touching_changes_times_alone"):
    """Touching makes an entry that does not exist."""

    def touch(self, key, expires_at, keep_until):
        return super().touch(key, expires_at, keep_until) or self.put(key, Entry(b"", 4e9, expires_at, keep_until))


# K2


class LosesTags(Innocent, promise="K2", test="test_a_value_is_gone_at_once"):
    """Stores entries without their tags."""

    def put(self, key, entry, *, fence=None):
        return super().put(key, evolve(entry, tags={}), fence=fence)


class LosesTagsOnTouch(Innocent, promise="K2", test="test_touching_does_not_revive"):
    """Touching frees an entry of its tags."""

    def touch(self, key, expires_at, keep_until):
        entry = self.get(key)
        return entry is not None and self.put(key, evolve(entry, expires_at=expires_at, keep_until=keep_until, tags={}))


class KeepsTheFirst(Innocent, promise="K2", test="test_the_last_value_counts"):
    """Does not replace a value."""

    def put(self, key, entry, *, fence=None):
        return self.get(key) is not None or super().put(key, entry, fence=fence)


class DeletesTheFirstOfMany(Innocent, promise="K2", test="test_deleting_many"):
    """Deletes one of several keys, and tells that all existed."""

    def delete_many(self, keys):
        self.delete(keys[0])
        return keys


class ClearsOneNamespace(Innocent, promise="K2", test="test_clearing_drops_everything"):
    """Clears what the first key has before its colon."""

    def clear(self):
        keys = list(self.keys())
        return sum(self.delete(key) for key in keys if key.split(":")[0] == keys[0].split(":")[0])


class ReadsManyFromAnOldCopy(Innocent, promise="K2", test="test_the_cache_agrees_with_a_plain_dict"):
    """Reads many keys from copies that a deletion leaves behind."""

    def __init__(self):
        super().__init__()
        self.copies = {}

    def put(self, key, entry, *, fence=None):
        kept = super().put(key, entry, fence=fence)
        if kept:
            self.copies[key] = entry
        return kept

    def get_many(self, keys):
        return {key: self.copies[key] for key in keys if key in self.copies}


# K3


class IgnoresFences(Innocent, promise="K3", test="test_a_fence_that_moved"):
    """Stores in spite of a fence that has moved."""

    def put(self, key, entry, *, fence=None):
        return super().put(key, entry, fence=fence and None)


class LooksAtTheFirstTag(Innocent, promise="K3", test="test_a_fence_that_moved"):
    """Checks one tag of a fence."""

    def put(self, key, entry, *, fence=None):
        return super().put(key, entry, fence=None if fence is None else dict(list(fence.items())[:1]))


class DeletesBehindAFence(Innocent, promise="K3", test="test_a_fence_that_moved"):
    """Drops the older entry when a fence has moved."""

    def put(self, key, entry, *, fence=None):
        return super().put(key, entry, fence=fence) or (self.delete(key) and False)


class ChecksFencesFirst(Innocent, promise="K3", test="test_the_fence_and_the_storing_are_one_step"):
    """Checks a fence, and stores in a second step."""

    def put(self, key, entry, *, fence=None):
        if fence is not None and self.generations(list(fence)) != dict(fence):
            return False
        time.sleep(0.0005)
        return super().put(key, entry)


# K4


class ComesBackToOldGenerations(Innocent, promise="K4", test="test_a_bump_moves_its_tags_alone"):
    """Counts generations in one byte of few bits."""

    def generations(self, tags):
        return {tag: generation % 8 for tag, generation in super().generations(tags).items()}


class BumpsEverything(Innocent, promise="K4", test="test_a_bump_moves_its_tags_alone"):
    """Has one generation for all tags."""

    def bump(self, tags):
        super().bump(tags)
        self.inner._base, self.inner._generations = next(self.inner._serial), {}


class ClearsGenerations(Innocent, promise="K4", test="test_clearing_keeps_generations"):
    """Forgets invalidations when it is cleared."""

    def clear(self):
        self.inner._generations = {}
        return super().clear()


# K5


class TakesPrefixesForPatterns(Innocent, promise="K5", test="test_a_prefix_is_literal"):
    """Lists keys by a pattern."""

    def keys(self, prefix=""):
        return (key for key in self.inner.keys("") if fnmatchcase(key, f"{prefix}*"))


class ListsTwice(Innocent, promise="K5", test="test_many_keys_are_listed_once"):
    """Lists keys again when it has many of them, as a scan of a hash table may."""

    def keys(self, prefix=""):
        keys = list(self.inner.keys(prefix))
        return iter(keys + keys[:100] if len(keys) > 1_000 else keys)


class CutsKeys(Innocent, promise="K5", test="test_the_longest_key"):
    """Keeps 250 characters of a key."""

    def get(self, key):
        return super().get(key[:250])

    def put(self, key, entry, *, fence=None):
        return super().put(key[:250], entry, fence=fence)


class IgnoresCase(Innocent, promise="K5", test="test_any_key"):
    """Keeps keys in small letters."""

    def get(self, key):
        return super().get(key.lower())

    def put(self, key, entry, *, fence=None):
        return super().put(key.lower(), entry, fence=fence)


# K6


class NotifiesTwice(Innocent, promise="K6", test="test_a_removal_is_notified_once"):
    """Notifies of every removal again."""

    def add_removal_listener(self, listener):
        super().add_removal_listener(listener)
        super().add_removal_listener(listener)


class NotifiesUnderTheLock(Innocent, promise="K6", test="test_a_listener_may_use_the_cache"):
    """Holds its lock while it notifies."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def put(self, key, entry, *, fence=None):
        if not self.lock.acquire(timeout=0.2):
            raise AssertionError("put waits for a lock that is held")
        try:
            return super().put(key, entry, fence=fence)
        finally:
            self.lock.release()


class CallsAllRemovalsExplicit(Innocent, promise="K6", test="test_a_removal_is_notified_once"):
    """Has one cause for everything."""

    def add_removal_listener(self, listener):
        super().add_removal_listener(lambda key, _: listener(key, RemovalCause.EXPLICIT))


# K7


class DeclaresShared(Innocent, promise="K7", test="test_two_handles_see_the_same_entries"):
    """Says that it is shared, and gives each handle entries of its own."""

    capabilities = frozenset({Capability.SHARED})


class LosesDeletions(Innocent, promise="K7", test="test_deletions_are_never_lost"):
    """Says that it deleted an entry when it gave up waiting for a lock."""

    def __init__(self):
        super().__init__()
        self.deletions = itertools.count(1)

    def delete(self, key):
        return True if next(self.deletions) % 7 == 0 else super().delete(key)


class LosesConcurrentPuts(Innocent, promise="K7", test="test_threads_lose_nothing"):
    """Reads all entries, adds one, and writes all back."""

    def put(self, key, entry, *, fence=None):
        entries = dict(self.inner._entries)
        time.sleep(0.0001)
        stored = super().put(key, entry, fence=fence)
        for lost in set(self.inner._entries) - set(entries) - {key}:
            self.inner.delete(lost)
        return stored


# K8


class PurgesStaleEntries(Innocent, promise="K8", test="test_purging_frees_what_is_past_use"):
    """Purges entries that may still serve as stale ones."""

    def purge(self, now, limit=None):
        stale = [key for key in self.keys() if (self.get(key).expires_at or 9e9) <= now][:limit]
        return sum(self.delete(key) for key in stale)


class IgnoresLimits(Innocent, promise="K8", test="test_purging_frees_what_is_past_use"):
    """Purges everything that has expired, however many were asked for."""

    def purge(self, now, limit=None):
        return super().purge(now, limit and None)


class CountsWrites(Innocent, promise="K8", test="test_usage_counts_what_is_there"):
    """Counts entries as they are put."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def put(self, key, entry, *, fence=None):
        self.count += 1
        return super().put(key, entry, fence=fence)

    def usage(self):
        return evolve(super().usage(), entries=self.count)


# K9


class RaisesAsItsDriverDoes(Innocent, promise="K9", test="test_a_key_that_is_no_text"):
    """Lets an error of its driver through."""

    def put(self, key, entry, *, fence=None):
        key.encode()
        return super().put(key, entry, fence=fence)


class ClosesTwice(Innocent, promise="K9", test="test_a_cache_is_closed_once"):
    """Cannot be closed again."""

    def close(self):
        inner, self.inner = self.inner, None
        inner.close()
