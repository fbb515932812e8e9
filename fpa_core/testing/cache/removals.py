"""K6: listeners are notified of each removal once, with the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fpa_core.cache import DataCache, Removal
from fpa_core.protocols import CacheBackend, RemovalCause
from fpa_core.testing.cache.base import LIFETIME, CacheTests, Clock, entry
from fpa_core.testing.contracts import CachePromise, holds
from fpa_core.testing.store.threads import run_together

__all__ = ["RemovalTests"]


def _later(clock: Clock, act: Callable[[], Any]) -> None:
    clock.now += 2 * LIFETIME
    act()


def _invalidate_and_load(cache: DataCache, _: Clock) -> None:
    cache.invalidate_tags("t")
    assert cache.get_or_load("k", lambda: 2) == 2


ENDS: dict[str, tuple[Callable[[DataCache, Clock], Any], RemovalCause]] = {
    "delete": (lambda cache, _: cache.delete("k"), RemovalCause.EXPLICIT),
    "clear": (lambda cache, _: cache.clear(), RemovalCause.EXPLICIT),
    "unset": (lambda cache, _: cache.set("k", 2, 0), RemovalCause.EXPLICIT),
    "pattern": (lambda cache, _: cache.invalidate_pattern("k*"), RemovalCause.INVALIDATED),
    "replace": (lambda cache, _: cache.set("k", 2), RemovalCause.REPLACED),
    "purge": (lambda cache, clock: _later(clock, cache.purge), RemovalCause.EXPIRED),
    "late": (lambda cache, clock: _later(clock, lambda: cache.set("k", 2)), RemovalCause.EXPIRED),
    "tag": (_invalidate_and_load, RemovalCause.INVALIDATED),
}


class RemovalTests(CacheTests):
    """Who listens hears of what left."""

    @holds(CachePromise.K6)
    @pytest.mark.parametrize(("end", "cause"), ENDS.values(), ids=ENDS)
    def test_a_removal_is_notified_once(self, cache: DataCache, clock: Clock, end: Any, cause: RemovalCause) -> None:
        """However an entry leaves, the listener is notified once with the cause, and of nothing else."""
        heard: list[Removal] = []
        cache.on_removal(heard.append)
        cache.set("k", 1, tags=["t"])
        assert [] == heard
        end(cache, clock)
        assert [Removal("k", cause)] == heard

    @holds(CachePromise.K6)
    def test_a_backend_does_not_notify_of_deletions(self, backend: CacheBackend) -> None:
        """Deleting and clearing are known to the caller, who notifies; touching removes nothing."""
        heard: list[Any] = []
        backend.add_removal_listener(lambda *removal: heard.append(removal))
        for key in ("n:a", "n:b"):
            backend.put(key, entry())
        backend.touch("n:a", None, None)
        backend.delete("n:a")
        backend.clear()
        assert [] == heard

    @holds(CachePromise.K6)
    def test_a_listener_may_use_the_cache(self, backend: CacheBackend) -> None:
        """A listener reads and writes, in other threads too, while it is notified: no lock is held."""
        heard: list[str] = []

        def use(key: str, _: RemovalCause) -> None:
            heard.append(key)
            if key == "n:k":
                run_together(lambda: backend.put("n:seen", entry()), lambda: backend.get("n:seen"))

        backend.add_removal_listener(use)
        backend.put("n:k", entry(b"1"))
        backend.put("n:k", entry(b"2"))
        assert "n:k" in heard
        assert backend.get("n:seen") is not None

    @holds(CachePromise.K6)
    def test_listening_changes_no_answer(self, cache: DataCache) -> None:
        """A cache with a listener keeps, refuses and replaces as one without."""
        cache.on_removal(lambda _: None)
        assert cache.get_or_load("k", lambda: str(cache.delete("k"))) == "False"
        assert not cache.contains("k")
        assert cache.set("k", [1])
        assert cache.set("k", [2])
        assert cache.get("k") == [2]
