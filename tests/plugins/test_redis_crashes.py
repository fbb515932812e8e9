"""Redis servers that are killed under load: no reader gets an error, and nothing that was ended is read again."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

from redis_server import cluster, eventually, or_skip, patiently, running

import fpa_core
from fpa_core import DataLayer
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.plugins import PluginManager
from fpa_core.testing.store.threads import run_together
from fpa_plugins.redis import plugin

T = TypeVar("T")


def quote(number: int) -> Quote:
    return Quote("AAPL", Instant(1_700_000_000_000_000_000 + number), number, number + 1)


@pytest.mark.parametrize("persistent", [False, True], ids=["empty", "snapshot"])
def test_a_server_that_is_killed_under_load_harms_no_reader(tmp_path: Path, persistent: bool) -> None:
    """While a server is killed and restarted no reader gets an error, or an answer older than the last write; then the cache is used again."""
    with or_skip(), contextlib.ExitStack() as stack:
        server = stack.enter_context(running(dbfilename="dump.rdb"))
        environ = {
            "FPA_STORE__BACKEND": "sqlite", "FPA_STORE__PATH": str(tmp_path / "test.db"), "FPA_STORE__SYNCHRONOUS": "normal",
            "FPA_CACHE__BACKEND": "redis", "FPA_CACHE__URL": server.url, "FPA_CACHE__TIMEOUT": "2s", "FPA_CACHE__RETRY_AFTER": "50ms",
        }  # fmt: skip
        data = stack.enter_context(
            fpa_core.open(environ=environ, plugins=PluginManager(extra=[plugin], block=["redis"]))
        )
        stop, acknowledged, reads = threading.Event(), [0], Counter[str]()

        def write() -> None:
            for number in range(1, 100_000):
                if stop.is_set():
                    return
                data.ingest(quote(number))
                acknowledged[0] = number
                stop.wait(0.01)

        def read(name: str) -> None:
            while not stop.is_set():
                least = acknowledged[0]
                found = data.select(Quote, "AAPL", latest_first=True, limit=1).to_list()
                assert (int(found[0].bid) if found else 0) >= least, "an answer is older than an acknowledged write"
                reads[name] += 1

        def kill_and_restart() -> None:
            try:
                for _ in range(3):
                    after(reads, 200)
                    if persistent:
                        server.said("SAVE")
                    after(reads, 50)
                    server.kill()
                    after(reads, 200)
                    server.start()
                    patiently(data.cache.get_stats)
            finally:
                stop.set()

        run_together(write, kill_and_restart, *(partial(read, str(number)) for number in range(3)))
        hits_of(data, 20)  # until the cache is used again
        assert hits_of(data, 100) == 100


def test_a_node_of_a_cluster_that_is_killed_harms_no_reader() -> None:
    """While the node that has the keys is killed and restarted no reader gets an error or an old answer; then the cache is used again."""
    with or_skip(), contextlib.ExitStack() as stack:
        nodes = stack.enter_context(cluster())
        slot = int(nodes[0].said("CLUSTER", "KEYSLOT", "{fpa}")[1:])
        ours = nodes[slot * 3 // 16_384]
        others = [node.address for node in nodes if node is not ours]
        environ = {
            "FPA_STORE__BACKEND": "memory", "FPA_CACHE__BACKEND": "redis", "FPA_CACHE__MODE": "cluster",
            "FPA_CACHE__URL": ours.url, "FPA_CACHE__HOSTS": ",".join(others), "FPA_CACHE__RETRY_AFTER": "50ms",
        }  # fmt: skip
        data = stack.enter_context(
            fpa_core.open(environ=environ, plugins=PluginManager(extra=[plugin], block=["redis"]))
        )
        for number in range(1, 40):
            if number == 10:
                assert hits_of(data, 10) >= 9
                ours.kill()
            if number == 30:
                ours.start()
            data.ingest(quote(number))
            for _ in range(3):
                assert len(data.select(Quote, "AAPL").to_list()) == number
        hits_of(data, 20)  # until the cache is used again
        assert hits_of(data, 100) == 100


def after(reads: Counter[str], more: int) -> None:
    """Wait until *more* reads were done."""
    wanted = reads.total() + more
    end = time.monotonic() + 60
    while reads.total() < wanted:
        assert time.monotonic() < end, "the readers are stuck"
        time.sleep(0.001)


def hits_of(data: DataLayer, reads: int) -> int:
    """Return how many of some reads of the same rows were hits; wait until the cache is used at all."""
    end = time.monotonic() + 30
    while True:
        before = patiently(data.cache.get_stats)
        for _ in range(reads):
            data.select(Quote, "AAPL", limit=1).to_list()
        if (hits := (data.cache.get_stats() - before).hits) or time.monotonic() > end:
            return hits


def test_a_dead_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A layer opens, reads and writes without its server; that is one warning, however many reads there are."""
    environ = {
        "FPA_STORE__BACKEND": "memory", "FPA_CACHE__BACKEND": "redis", "FPA_CACHE__URL": "redis://:secretword@127.0.0.1:1/0",
    }  # fmt: skip
    with (
        caplog.at_level(logging.INFO, logger="fpa"),
        fpa_core.open(environ=environ, plugins=PluginManager(extra=[plugin], block=["redis"])) as data,
    ):
        for number in range(20):
            data.ingest(quote(number))
            assert len(data.select(Quote, "AAPL").to_list()) == number + 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be reached" in warnings[0]
    assert "secretword" not in caplog.text


WORKER = """
import fcntl, os, random, sys, time, traceback
from pathlib import Path
from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError, ConfigError
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis.plugin import RedisOptions, create

folder, number, url, tiered = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "tiers"
TAGS, KEYS = 4, 12

def number_in(file):
    return int(os.pread(file, 20, 0) or 0)

def write(file, value):
    os.pwrite(file, b"%020d" % value, 0)

def opened(name):
    return os.open(folder / name, os.O_RDWR | os.O_CREAT)

def until_it_works(act):
    while True:
        try:
            return act()
        except CacheError:
            time.sleep(0.01)

try:
    truth = [opened(f"truth{tag}") for tag in range(TAGS)]
    acknowledged = [opened(f"acknowledged{tag}") for tag in range(TAGS)]
    backend = create(RedisOptions(url=url, timeout=5, retry_after=0.02))
    if tiered:
        backend = TieredCache(MemoryCache(max_entries=8), backend)
    cache = DataCache(backend, ttl=60)
    hits = 0
    while not (folder / "stop").exists():
        tag = random.randrange(TAGS)
        if random.random() < 0.1:
            fcntl.lockf(truth[tag], fcntl.LOCK_EX)
            value = number_in(truth[tag]) + 1
            write(truth[tag], value)
            how = random.random()
            if how < 0.6:
                until_it_works(lambda: cache.invalidate_tags(f"t{tag}"))
            elif how < 0.8:
                until_it_works(lambda: cache.invalidate_pattern(f"{tag}/*"))
            else:
                for key in range(KEYS):
                    until_it_works(lambda: cache.delete(f"{tag}/{key}"))
            write(acknowledged[tag], value)
            fcntl.lockf(truth[tag], fcntl.LOCK_UN)
        else:
            least = number_in(acknowledged[tag])
            pad = "x" * random.choice([1, 100, 20_000])
            load = lambda: [number_in(truth[tag]), pad]
            try:
                got = cache.get_or_load(f"{tag}/{random.randrange(KEYS)}", load, tags=[f"t{tag}"])
            except CacheError:
                continue
            assert got[0] >= least, f"stale: {got[0]} after {least} was acknowledged"
    (folder / f"hits{number}").write_text(str(until_it_works(cache.get_stats).hits))
    cache.close()
except BaseException:
    (folder / f"error{number}").write_text(traceback.format_exc())
    raise
"""


@pytest.mark.skipif(os.name != "posix", reason="files are locked as POSIX has it")
@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.torture)])
def test_nothing_acknowledged_as_ended_is_read_again(tmp_path: Path, rounds: int) -> None:
    """Processes share a server that is killed and restarts from old snapshots; nobody reads what any of them was told had been ended."""
    with or_skip(), running(dbfilename="dump.rdb") as server:
        workers = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    WORKER,
                    str(tmp_path),
                    str(number),
                    server.url,
                    "tiers" if number % 2 else "one",
                ],
                cwd=Path(__file__).parents[2],
                stderr=subprocess.DEVNULL,
            )
            for number in range(6)
        ]
        chance = random.Random(1)
        try:
            for _ in range(rounds):
                before = sum(progress(tmp_path))
                eventually(lambda before=before: sum(progress(tmp_path)) > before + 10)  # type: ignore[misc]
                server.said("SAVE")
                before = sum(progress(tmp_path))
                more = chance.randrange(1, 10)
                eventually(lambda before=before, more=more: sum(progress(tmp_path)) > before + more)  # type: ignore[misc]
                server.kill()
                server.start()
            (tmp_path / "stop").touch()
            assert [0] * len(workers) == [worker.wait(60) for worker in workers], told(tmp_path)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert told(tmp_path) == ""
        assert sum(int(file.read_text()) for file in tmp_path.glob("hits*")) > 5 * rounds


def progress(folder: Path) -> list[int]:
    """Return how many invalidations of each tag were acknowledged."""
    assert told(folder) == ""
    return [int(file.read_text() or 0) for file in folder.glob("acknowledged*")]


def told(folder: Path) -> str:
    return "\n".join(file.read_text() for file in folder.glob("error*"))
