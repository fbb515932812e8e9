"""A forked child finds the cache usable, whatever the parent's threads were doing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fpa_core.cache import DataCache, fork
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import MemoryCache

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def child(work):
    """Run *work* in a forked child and tell whether it returned True; a child that hangs is ended by its alarm."""
    import signal

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_child_does_not_wait_for_the_parents_loads(kind, tmp_path):
    """A load that a parent's thread leads does not block the child, which loads for itself."""
    cache = DataCache(MemoryCache() if kind == "memory" else DiskCache(tmp_path / "cache"))
    begun, release = threading.Event(), threading.Event()

    def load():
        begun.set()
        release.wait(20)
        return "parent"

    thread = threading.Thread(target=cache.get_or_load, args=("k", load))
    thread.start()
    assert begun.wait(10)
    try:
        assert child(lambda: cache.get_or_load("k", lambda: "child") == "child")
    finally:
        release.set()
        thread.join(10)


def test_a_child_sweeps_too():
    """A cache that is swept by a thread is swept by one in a forked child as well."""
    now = [0.0]
    with DataCache(MemoryCache(), clock=lambda: now[0], ttl=60, sweep_every="1ms") as cache:
        cache.set("k", 1)

        def swept():
            gone = threading.Event()
            cache.on_removal(lambda _: gone.set())
            now[0] += 100
            return gone.wait(10)

        assert child(swept)


STORM = """
import os, signal, threading
from fpa_core.cache import DataCache
from fpa_plugins.memory.cache import MemoryCache

cache = DataCache(MemoryCache(max_entries=50))
stop = threading.Event()

def write():
    number = 0
    while not stop.is_set():
        cache.set(str(number % 100), number)
        number += 1

threads = [threading.Thread(target=write) for _ in range(2)]
for thread in threads:
    thread.start()
codes = []
for _ in range(15):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        for number in range(100):
            cache.set(f"c{number}", number)
        os._exit(0 if cache.get("c99") == 99 and cache.get_stats().entries == 50 else 2)
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
assert not any(codes), codes
"""


def test_no_lock_is_held_across_a_fork():
    """Forks while threads write leave the child with free locks and a consistent cache."""
    # In a process of its own: the lock with which a coverage tracer guards its data is not safe to fork with.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", STORM]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).parents[3])


def test_a_lock_that_cannot_be_had_does_not_stop_a_fork(monkeypatch):
    """A thread that forks while it holds a lock itself goes on after a moment."""
    monkeypatch.setattr(fork, "PATIENCE", 0.01)
    lock = fork.fork_safe_lock()
    with lock:
        assert child(lambda: True)
    assert not lock.locked()
