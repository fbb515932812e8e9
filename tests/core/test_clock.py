"""A clock that is set a day or a year forward or back: what was written in which order stays known, and no lifetime changes."""

from __future__ import annotations

import time
from pathlib import Path
from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

import fpa_core
from fpa_core.cache import DataCache
from fpa_core.models import Bar
from fpa_core.numbers import Instant
from fpa_plugins.memory.cache import MemoryCache

DAY = 86_400 * 10**9
NOW = 1_790_000_000 * 10**9
JUMPS = (0, 1, 10**9, DAY, -DAY, 365 * DAY, -365 * DAY)


@given(st.lists(st.sampled_from(JUMPS), min_size=1, max_size=6))
@example([365 * DAY, -365 * DAY, -DAY, DAY])
def test_reads_of_the_past_and_the_audit_log_keep_the_order_of_writes(jumps: list[int]) -> None:
    """Whatever the clock says, batches are recorded one after the other, reads as known at each return its state, and the log is sound."""
    now = NOW
    with fpa_core.open(config={"store": {"backend": "memory"}, "validator": {"level": "off"}}) as data:
        states = []
        for number, jump in enumerate(jumps):
            now += jump
            with mock.patch.object(time, "time_ns", lambda now=now: now):
                receipt = data.store.save(Bar("A", Instant(0), 1, 2, 1, 2, number, "1m"))
            (batch,) = (one for one in data.store.batches() if one.id == receipt.batch)
            states.append((batch.recorded_ns, number))
        times = [recorded for recorded, _ in states]
        assert sorted(set(times)) == times
        for recorded, number in states:
            (bar,) = data.select(Bar, "A", as_known_at=Instant(recorded))
            assert number == bar.volume
        assert () == data.check().errors


def test_lifetimes_do_not_follow_the_clock_of_the_wall() -> None:
    """A value in memory lives as long as it is to live, however far the clock is set forward or back."""
    passed = 0.0
    with DataCache(MemoryCache(), clock=lambda: passed) as cache:
        for wall in (NOW, NOW + 365 * DAY, NOW - 365 * DAY):
            with mock.patch.object(time, "time", lambda wall=wall: wall / 1e9):
                cache.set("key", "value", ttl=60)
                passed += 59
                assert "value" == cache.get("key")
                passed += 2
                assert cache.get("key") is None


def test_a_clock_set_back_expires_nothing_early(tmp_path: Path) -> None:
    """A retention deletes by age at the time it is given; with a clock that is a year behind nothing is too old."""
    for now, left in ((NOW - 365 * DAY, 1), (NOW, 0)):
        with fpa_core.open(
            config={
                "store": {"path": str(tmp_path / "test.db")},
                "validator": {"level": "off"},
                "retention": {"bars": {"keep": "30d"}, "archive": str(tmp_path / "archive")},
            },
            clock=lambda now=now: now,
        ) as data:
            data.store.save(Bar("A", Instant(NOW - 60 * DAY), 1, 2, 1, 2, 5, "1d"))
            data.operations.retain()
            assert left == data.select(Bar).count()
