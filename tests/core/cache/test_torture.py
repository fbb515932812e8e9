"""What the contracts promise under hard use: processes killed in the middle of writing, threads that all count. Short here, long when asked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fpa_core.cache import DataCache
from fpa_plugins.memory.cache import MemoryCache

WORKER = """
import fcntl, os, random, sys, traceback
from pathlib import Path
from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.memory.cache import MemoryCache

folder, number, tiered = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "tiers"
TAGS, KEYS = 4, 12

def number_in(file):
    return int(os.pread(file, 20, 0) or 0)

def write(file, value):
    os.pwrite(file, b"%020d" % value, 0)

def opened(name):
    return os.open(folder / name, os.O_RDWR | os.O_CREAT)

try:
    truth = [opened(f"truth{tag}") for tag in range(TAGS)]
    acknowledged = [opened(f"acknowledged{tag}") for tag in range(TAGS)]
    backend = DiskCache(folder / "cache", max_bytes=2**22, timeout=30)
    if tiered:
        backend = TieredCache(MemoryCache(max_entries=8), backend)
    cache = DataCache(backend, ttl=60)
    print("ready", flush=True)
    while not (folder / "stop").exists():
        tag = random.randrange(TAGS)
        if random.random() < 0.2:
            fcntl.lockf(truth[tag], fcntl.LOCK_EX)
            value = number_in(truth[tag]) + 1
            write(truth[tag], value)
            how = random.random()
            if how < 0.6:
                cache.invalidate_tags(f"t{tag}")
            elif how < 0.8:
                cache.invalidate_pattern(f"{tag}/*")
            else:
                for key in range(KEYS):
                    cache.delete(f"{tag}/{key}")
            write(acknowledged[tag], value)
            fcntl.lockf(truth[tag], fcntl.LOCK_UN)
        else:
            least = number_in(acknowledged[tag])
            pad = "x" * random.choice([1, 100, 60_000])
            load = lambda: [number_in(truth[tag]), pad]
            got = cache.get_or_load(f"{tag}/{random.randrange(KEYS)}", load, tags=[f"t{tag}"])
            assert got[0] >= least, f"stale: {got[0]} after {least} was acknowledged"
    with open(folder / "rebuilt", "a") as file:
        file.write(f"{backend.usage().evicted.get('rebuilt', 0)}\\n")
    cache.close()
except BaseException:
    (folder / f"error{number}").write_text(traceback.format_exc())
    raise
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed, and files locked, as POSIX has it")
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.torture)])
def test_killed_processes_harm_nobody_else(tmp_path, seconds):
    """Eight processes share a cache on disk and are killed at random: no error escapes, and nothing acknowledged as ended is read again."""
    numbers = iter(range(10**6))

    def start(place):
        number = next(numbers)
        kind = "tiers" if place % 2 else "disk"
        command = [sys.executable, "-c", WORKER, str(tmp_path), str(number), kind]
        return subprocess.Popen(
            command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    chance = random.Random(1)
    running = [start(place) for place in range(8)]
    killed = 0
    try:
        for worker in running:
            assert worker.stdout.readline() == b"ready\n"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            place = chance.randrange(8)
            worker = running[place]
            try:
                worker.wait(timeout=chance.random() * 0.3)  # the moment of the next killing; nobody is to end before it
            except subprocess.TimeoutExpired:
                worker.send_signal(signal.SIGKILL)
            assert worker.wait() == -signal.SIGKILL, errors(tmp_path)
            worker.stdout.close()
            killed += 1
            running[place] = start(place)
        (tmp_path / "stop").touch()
        for worker in running:
            assert worker.wait(timeout=60) == 0, errors(tmp_path)
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
            worker.stdout.close()
    assert errors(tmp_path) == ""
    assert killed > seconds
    assert set((tmp_path / "rebuilt").read_text().split()) == {"0"}  # no folder was damaged by it either
    assert sum(int((tmp_path / f"acknowledged{tag}").read_text()) for tag in range(4)) > 0


def errors(folder):
    return "\n".join(path.read_text() for path in folder.glob("error*"))


@pytest.mark.parametrize("operations", [200_000, pytest.param(10_000_000, marks=pytest.mark.torture)])
def test_no_count_is_lost(operations):
    """Of however many operations on eight threads each is counted once, and entries and bytes are those that are there."""
    backend = MemoryCache(max_entries=1000)
    cache = DataCache(backend)
    barrier, tallies = threading.Barrier(8), []
    interval = sys.getswitchinterval()

    def work(seed):
        chance = random.Random(seed)
        done = dict.fromkeys(("gets", "sets", "deletes"), 0)
        keys = [f"k{number}" for number in range(2000)]
        barrier.wait(30)
        for _ in range(operations // 8):
            key, which = chance.choice(keys), chance.random()
            if which < 0.7:
                cache.get(key)
                done["gets"] += 1
            elif which < 0.95:
                assert cache.set(key, 1)
                done["sets"] += 1
            else:
                done["deletes"] += cache.delete(key)
        tallies.append(done)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    stats = cache.get_stats()
    done = {name: sum(tally[name] for tally in tallies) for name in ("gets", "sets", "deletes")}
    assert len(tallies) == 8
    assert done == {"gets": stats.hits + stats.misses, "sets": stats.sets, "deletes": stats.deletes}
    assert stats.entries == len(cache.keys()) <= 1000
    assert stats.bytes == sum(backend.get(key).size for key in list(backend.keys()))
    in_queues = sum(len(queue) for queue in (backend._policy._small, backend._policy._main))
    assert in_queues == stats.entries == sum(map(len, backend._expiry._keys.values()))
