"""The Redis cache against the contract of every cache, on one server and on a cluster, and against what only a server can do to it."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import evolve

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

import redis
from redis_server import RedisServer, certificates, cluster, free_port, master_of, or_skip, running, watched

import fpa_core
from fpa_core import DataLayer
from fpa_core.cache import DataCache, Miss, MissReason
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError, ConfigError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.plugins import PluginManager
from fpa_core.protocols import CacheBackend, Capability, Entry, RemovalCause
from fpa_core.testing import CacheContract
from fpa_core.testing.cache import CacheFactory, Clock
from fpa_core.testing.store.threads import run_together
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis import plugin
from fpa_plugins.redis.breaker import CircuitBreaker
from fpa_plugins.redis.plugin import RedisOptions, create

T = TypeVar("T")


@pytest.fixture(scope="session")
def single() -> Iterator[RedisServer]:
    """Start one server."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(running())


@pytest.fixture(scope="session")
def three() -> Iterator[list[RedisServer]]:
    """Start a cluster of three masters."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(cluster())


def emptied(server: RedisServer) -> RedisServer:
    assert server.said("FLUSHALL").startswith(b"+OK")
    return server


class TestRedisCache(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, single: RedisServer) -> CacheFactory:
        url = emptied(single).url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5))


class TestRedisCluster(CacheContract):
    machine_examples = 20

    @pytest.fixture
    def cache_factory(self, three: list[RedisServer]) -> CacheFactory:
        first, *_ = [emptied(node) for node in three]
        url = first.url
        return lambda name: partial(create, RedisOptions(url=url, prefix=name, timeout=5, mode="cluster"))


# What the plugin offers


def test_the_plugin_offers_it() -> None:
    """The plugin registers the cache, which opens without a server and says what it can do."""
    offered: list[Any] = []
    plugin.fpa_register_caches(lambda *offer: offered.append(offer))  # type: ignore[call-arg]
    assert [("redis", create, RedisOptions)] == offered
    cache = create(RedisOptions(url="redis://127.0.0.1:1"))
    assert {Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES} == cache.capabilities
    cache.close()


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "ring"}, {"mode": "sentinel"}, {"hosts": ["a:1"]}, {"hosts": ["a"], "mode": "cluster"}, {"prefix": "a{b}"},
        {"timeout": 0.0}, {"max_value_bytes": 2**30}, {"signing_key": "short"},
    ],
    ids=repr,
)  # fmt: skip
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    """Options that cannot work are errors."""
    with pytest.raises(ValueError, match=r"."):
        RedisOptions(**options)


@pytest.mark.parametrize("url", ["http://:secretword@host", "redis://:secretword@host:port", "secretword"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    """A URL that cannot be read is an error of this project, which does not repeat it."""
    with pytest.raises(CacheError, match="cannot be read") as raised:
        create(RedisOptions(url=url))
    assert "secretword" not in "".join(traceback.format_exception(raised.value))


def test_files_of_certificates_must_be_there(tmp_path: Path) -> None:
    """A certificate that is not there is told before a connection is made."""
    with pytest.raises(CacheError, match="no file"):
        create(RedisOptions(ca_file=tmp_path / "ca.pem"))


def test_a_missing_driver_is_told_with_the_command() -> None:
    """Without the driver the error names the command that installs it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from fpa_core.exceptions import MissingDependencyError\n"
        "from fpa_plugins.redis.plugin import RedisOptions, create\n"
        "try: create(RedisOptions())\n"
        "except MissingDependencyError as error: print(error.command)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'financial-portfolio-automation[redis]'"


def test_credentials_are_never_shown(single: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A password that the server refuses is in no message, representation, log or traceback."""
    options = RedisOptions(url=f"redis://user:secretword@{single.address}/0", signing_key="anothersecretword")
    cache = create(options)
    with caplog.at_level(logging.DEBUG), pytest.raises(CacheError, match="refused the login") as raised:
        cache.get("n:k")
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(options) + repr(cache)
    assert "secretword" not in shown
    cache.close()


# The breaker


def test_the_breaker_opens_waits_and_closes() -> None:
    """Three failures in a row open the circuit; after a while one caller tries, and a success closes it."""
    now = [0.0]
    breaker = CircuitBreaker(5.0, lambda: now[0])
    for _ in range(2):
        assert breaker.may_ask()
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.may_ask()
        breaker.failed()
    assert not breaker.may_ask()
    now[0] = 5.0
    assert [breaker.may_ask(), breaker.may_ask()] == [True, False]
    breaker.failed()
    now[0] = 9.9
    assert not breaker.may_ask()
    now[0] = 10.0
    assert breaker.may_ask()
    breaker.succeeded()
    assert [breaker.may_ask(), breaker.may_ask()] == [True, True]
    assert (breaker.failures, breaker.refused) == (6, 3)


def test_a_server_that_does_not_answer_is_left_alone(single: RedisServer) -> None:
    """Callers of a server that hangs wait for the timeout a few times, and no longer; when it answers again, it is used again."""
    cache = create(RedisOptions(url=emptied(single).url, timeout=0.2, retry_after=0.3))
    assert cache.put("n:k", Entry(b"1", 4e9))
    assert single.process is not None
    single.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for _ in range(50):
            with pytest.raises(CacheError):
                cache.get("n:k")
        assert time.monotonic() - begun < 50 * 0.2
    finally:
        single.process.send_signal(signal.SIGCONT)
    found = patiently(lambda: cache.get("n:k"))
    assert found is not None
    assert bytes(found.value) == b"1"
    assert cache.usage().evicted["unreachable"] >= 3
    cache.close()


def patiently(act: Callable[[], T]) -> T:
    """Return what *act* returns once it raises no CacheError."""
    end = time.monotonic() + 30
    while True:
        try:
            return act()
        except CacheError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


# What the server loses


@pytest.fixture
def cache(single: RedisServer) -> Iterator[CacheBackend]:
    """Open an empty cache."""
    with contextlib.closing(create(RedisOptions(url=emptied(single).url, timeout=5))) as made:
        yield made


def test_an_evicted_generation_ends_what_was_made_under_it(single: RedisServer, cache: CacheBackend) -> None:
    """When the server drops the generation of a tag, entries and loads made under it are void, and a new one is made at random."""
    data = DataCache(cache)
    data.set("k", 1, tags=["t"])
    fence = dict(cache.generations(["fpa:t", "fpa:u"]))
    assert single.said("DEL", "{fpa}t:fpa:t").startswith(b":1")
    assert not cache.put("fpa:late", Entry(b"", 4e9), fence=fence)
    assert data.lookup("k") == Miss(MissReason.INVALIDATED)
    again = dict(cache.generations(["fpa:t", "fpa:u"]))
    assert fence["fpa:t"] != again["fpa:t"]
    assert fence["fpa:u"] == again["fpa:u"]


@pytest.mark.parametrize("loss", [("FLUSHALL",), ("DEL", "{fpa}epoch")], ids=["all", "epoch"])
def test_a_lost_epoch_ends_everything(single: RedisServer, cache: CacheBackend, loss: tuple[str, ...]) -> None:
    """When the epoch is gone nothing made before counts, tagged or not, and the cache goes on."""
    data = DataCache(cache)
    data.set("tagged", 1, tags=["t"])
    data.set("plain", 1)
    fence = dict(cache.generations(["fpa:t"]))
    single.said(*loss)
    assert data.get_many(["tagged", "plain"]) == {}
    assert fence != dict(cache.generations(["fpa:t"]))
    assert not cache.put("fpa:late", Entry(b"", 4e9), fence=fence)
    assert data.set("plain", 2)
    assert data.get("plain") == 2


def test_an_invalidation_outlives_a_server_that_forgot_it() -> None:
    """A server that is killed and restarts from an older snapshot returns nothing that was ended after the snapshot."""
    with or_skip(), contextlib.ExitStack() as stack:
        server = stack.enter_context(running(dbfilename="dump.rdb"))
        options = RedisOptions(url=server.url, timeout=5)
        here, there = (DataCache(stack.enter_context(contextlib.closing(create(options)))) for _ in range(2))
        here.set_many({"tagged": "old", "other": "kept"}, tags=["t"])
        here.set("plain", "old")
        assert there.get("tagged") == "old"
        assert server.said("SAVE").startswith(b"+OK")
        here.invalidate_tags("t")
        here.delete("plain")
        assert there.get_many(["tagged", "plain"]) == {}
        server.kill()
        with pytest.raises(CacheError, match="cannot be reached"):
            here.get("tagged")
        server.start()
        assert b"tagged" in server.said("KEYS", "*")  # the snapshot is back, and so is the old value
        for cache in (there, here):
            assert patiently(lambda cache=cache: cache.get_many(["tagged", "plain"])) == {}  # type: ignore[misc]
        here.set("tagged", "new", tags=["t"])
        assert there.get("tagged") == "new"


def test_a_connection_that_was_closed_is_made_again(single: RedisServer, cache: CacheBackend) -> None:
    """Connections that the server closes while they are idle cost nobody an error."""
    assert cache.put("n:k", Entry(b"1", 4e9))
    for _ in range(3):
        single.said("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert cache.get("n:k") is not None
        single.said("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        cache.bump(["n:t"])
    assert cache.usage().evicted == {}


def test_a_full_server_says_so() -> None:
    """A server that may not evict refuses to store, with an error that says what to do; reading goes on."""
    with or_skip(), running(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        cache = create(RedisOptions(url=server.url, timeout=5))
        with pytest.raises(CacheError, match="maxmemory-policy"):
            fill(cache)
        assert cache.get("n:0") is not None
        cache.close()


def fill(cache: CacheBackend) -> None:
    for number in range(1_000):
        cache.put(f"n:{number}", Entry(b"x" * 20_000, 4e9))


def test_a_server_that_evicts_returns_nothing_wrong() -> None:
    """Whatever a server evicts, entries and generations too, every value that is read is the last one, and its tags are valid."""
    with or_skip(), running(maxmemory="3mb", maxmemory_policy="allkeys-random") as server:
        cache = DataCache(create(RedisOptions(url=server.url, timeout=5)))
        numbers = random.Random(1)
        truth = dict.fromkeys(range(8), 0)
        hits = 0
        for _ in range(3_000):
            tag = numbers.randrange(8)
            if numbers.random() < 0.1:
                truth[tag] += 1
                cache.invalidate_tags(f"t{tag}")
            else:
                key = f"{tag}/{numbers.randrange(20)}"
                got = cache.get_or_load(key, lambda tag=tag: [truth[tag], "x" * 20_000], tags=[f"t{tag}"])  # type: ignore[misc]
                assert got[0] == truth[tag]
        stats = cache.get_stats()
        hits = stats.hits
        assert hits > 100
        assert stats.entries < 160, "nothing was evicted"
        cache.close()


def test_an_oversize_value_is_not_stored(single: RedisServer) -> None:
    """A value larger than allowed is not stored, and the older one is gone; listeners hear of it."""
    cache = create(RedisOptions(url=emptied(single).url, timeout=5, max_value_bytes=100))
    heard: list[Any] = []
    cache.add_removal_listener(lambda *removal: heard.append(removal))
    assert cache.put("n:k", Entry(b"1", 4e9))
    assert not cache.put("n:k", Entry(b"x" * 101, 4e9))
    assert cache.get("n:k") is None
    assert heard == [("n:k", RemovalCause.EVICTED)]
    assert cache.usage().evicted == {"oversize": 1}
    cache.close()


def test_the_server_frees_what_has_expired(single: RedisServer, cache: CacheBackend) -> None:
    """Each entry is given to the server with the rest of its life, stale time included; one without an end has none."""
    cache.put("n:a", Entry(b"", 4e9, 4e9 + 100))
    cache.put("n:b", Entry(b"", 4e9, 4e9 + 100, 4e9 + 200))
    cache.put("n:c", Entry(b"", 4e9))
    left = [int(single.said("PTTL", f"{{fpa}}e:n:{key}")[1:]) for key in "abc"]
    assert 90_000 < left[0] <= 100_000
    assert 190_000 < left[1] <= 200_000
    assert left[2] == -1
    now = time.time()
    cache.touch("n:c", now + 300, None)
    assert 290_000 < int(single.said("PTTL", "{fpa}e:n:c")[1:]) <= 300_000


# How it is reached


def test_a_replica_that_takes_over_returns_nothing_that_was_ended() -> None:
    """When the leader is killed the Sentinel's new one is used, and all that the old one had is void: the last invalidations may be lost."""
    with or_skip(), contextlib.ExitStack() as stack:
        leader, replica, sentinel = stack.enter_context(watched())
        options = RedisOptions(
            url="redis://market/0", mode="sentinel", hosts=(sentinel.address,), timeout=2, retry_after=0.05
        )
        cache = DataCache(stack.enter_context(contextlib.closing(create(options))))
        cache.set("k", "old", tags=["t"])
        assert leader.said("WAIT", "0", "0").startswith(b":")
        end = time.monotonic() + 20
        while b"fpa:k" not in replica.said("KEYS", "*") and time.monotonic() < end:
            time.sleep(0.01)
        leader.kill()
        assert patiently(lambda: cache.get("k")) is None
        assert b"fpa:k" in replica.said("KEYS", "*")  # the value is there, and is not trusted
        assert patiently(lambda: cache.get_or_load("k", lambda: "new", tags=["t"])) == "new"
        assert cache.get("k") == "new"


def test_a_replica_of_a_cluster_that_takes_over_returns_nothing_that_was_ended() -> None:
    """When a replica becomes a master what it has is void, though there was a connection to it before: it may have missed invalidations."""
    with or_skip(), contextlib.ExitStack() as stack:
        nodes = stack.enter_context(cluster(replica_of="{fpa}"))
        replica, leader = nodes[-1], master_of(nodes[:-1], "{fpa}")
        hosts = tuple(node.address for node in nodes if node is not leader)
        options = RedisOptions(url=leader.url, mode="cluster", hosts=hosts, timeout=1, retry_after=0.05)
        backend = stack.enter_context(contextlib.closing(create(options)))
        cache = DataCache(backend)
        cache.set("k", "old", tags=["t"])
        client = backend._server._client  # type: ignore[attr-defined]
        assert client.get_redis_connection(client.get_node(host="127.0.0.1", port=replica.port)).ping()
        eventually(lambda: b"fpa:k" in replica.said("KEYS", "*"))
        leader.kill()
        eventually(lambda: b"role:master" in replica.said("INFO", "replication"))
        assert patiently(lambda: cache.get("k")) is None
        assert b"fpa:k" in replica.said("KEYS", "*")
        assert patiently(lambda: cache.get_or_load("k", lambda: "new", tags=["t"])) == "new"
        assert cache.get("k") == "new"


def test_tls_and_a_password(tmp_path: Path) -> None:
    """A server is reached over TLS with its authority's certificate, and not without; the password of the URL is used."""
    with or_skip(), contextlib.ExitStack() as stack:
        folder = certificates(tmp_path)
        files = {"tls_cert_file": "server.pem", "tls_key_file": "server.key", "tls_ca_cert_file": "ca.pem"}
        secure = free_port()
        settings = {name: str(folder / file) for name, file in files.items()}
        server = stack.enter_context(
            running(tls_port=str(secure), tls_auth_clients="yes", requirepass="secretword", **settings)
        )
        url = f"rediss://:secretword@127.0.0.1:{secure}/0"
        own = {"cert_file": folder / "server.pem", "key_file": folder / "server.key"}
        good = DataCache(create(RedisOptions(url=url, timeout=5, ca_file=folder / "ca.pem", **own)))
        assert good.set("k", 1)
        assert good.get("k") == 1
        good.close()
        for options in (
            RedisOptions(url=url, timeout=5, **own),
            RedisOptions(url=url, timeout=5, ca_file=folder / "ca.pem"),
            RedisOptions(url=server.url, timeout=5),
        ):
            with contextlib.closing(create(options)) as bad, pytest.raises(CacheError) as raised:
                bad.get("n:k")
            assert "secretword" not in str(raised.value)


RIGHTS = "+mget +set +get +getrange +strlen +unlink +scan +evalsha +eval +info"
MESSAGES = "+client|tracking +client|id +subscribe +ping"


def test_the_rights_that_are_documented_are_enough() -> None:
    """A user of the server with the rights that the how-to names can do everything; one that lacks a right is told which there are."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "use-redis.md").read_text(encoding="utf-8")
    assert f"`{RIGHTS}` on `~{{fpa}}*`" in page
    assert f"`{MESSAGES}`" in page
    with or_skip(), running() as server:
        common = [
            "ACL",
            "SETUSER",
            "desk",
            "reset",
            "resetchannels",
            "on",
            ">secretword",
            "~{fpa}*",
            "&__redis__:invalidate",
        ]
        assert server.said(*common, *RIGHTS.split(), *MESSAGES.split()).startswith(b"+OK")
        url = f"redis://desk:secretword@{server.address}/0"
        with contextlib.closing(create(RedisOptions(url=url, timeout=5, tag_copies=30.0))) as far:
            cache = DataCache(TieredCache(MemoryCache(), far))
            warmed(server, cache)
            assert cache.touch("k", 100)
            cache.on_removal(lambda _: None)
            cache.set("k", "new", tags=["t"])
            assert (cache.keys(), cache.purge(), cache.get_stats().entries, cache.clear()) == (["k"], 0, 1, 1)
        assert server.said(*common, *RIGHTS.replace("+info", "").split()).startswith(b"+OK")
        with contextlib.closing(create(RedisOptions(url=url, timeout=5))) as less:
            with pytest.raises(CacheError, match="does not let this user") as raised:
                less.get("n:k")
            assert "+info" in str(raised.value)
            assert "secretword" not in str(raised.value)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no sockets in the file system")
def test_a_socket() -> None:
    """A server on this machine is reached by a socket in the file system."""
    with tempfile.TemporaryDirectory(prefix="fpa") as folder, or_skip(), running(unixsocket=f"{folder}/s"):
        cache = DataCache(create(RedisOptions(url=f"unix://{folder}/s?db=1", timeout=5)))
        assert cache.set("k", 1)
        assert cache.get("k") == 1
        cache.close()


def test_a_node_of_the_cluster_that_is_gone_is_not_needed(three: list[RedisServer]) -> None:
    """A cluster is found by any of the nodes that are named."""
    options = RedisOptions(url="redis://127.0.0.1:1", mode="cluster", hosts=(three[1].address,), timeout=5)
    cache = DataCache(create(options))
    assert cache.set("k", 1)
    assert cache.get("k") == 1
    cache.close()


# Two tiers, and copies of generations


def mget_calls(server: RedisServer) -> int:
    found = re.search(rb"cmdstat_mget:calls=(\d+)", server.said("INFO", "commandstats"))
    return int(found[1]) if found else 0


def eventually(act: Callable[[], bool]) -> None:
    """Wait until *act* returns true."""
    end = time.monotonic() + 30
    while not act():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


@pytest.fixture(params=["single", "cluster"])
def tracked(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, DataCache, DataCache]]:
    """Open a cache with two tiers and copies of generations, and one without, as another process would; with the server of both."""
    if request.param == "single":
        server = emptied(request.getfixturevalue("single"))
        options = RedisOptions(url=server.url, timeout=5, tag_copies=30.0)
    else:
        nodes: list[RedisServer] = [emptied(node) for node in request.getfixturevalue("three")]
        options = RedisOptions(url=nodes[0].url, timeout=5, tag_copies=30.0, mode="cluster")
        slot = int(nodes[0].said("CLUSTER", "KEYSLOT", "{fpa}")[1:])
        server = nodes[slot * 3 // 16_384]
    with (
        contextlib.closing(create(options)) as far,
        contextlib.closing(create(evolve(options, tag_copies=None))) as theirs,
    ):
        yield server, DataCache(TieredCache(MemoryCache(), far)), DataCache(theirs)


def warmed(server: RedisServer, cache: DataCache) -> None:
    """Store a value and read it until reading needs no message."""
    cache.set("k", "old", tags=["t"])

    def quiet() -> bool:
        before = mget_calls(server)
        assert cache.get("k") == "old"
        return mget_calls(server) == before

    eventually(quiet)


def test_reads_from_memory_need_no_message(tracked: tuple[RedisServer, DataCache, DataCache]) -> None:
    """With copies of generations a value in memory is read without the server; what others end is noticed, what is ended here at once."""
    server, here, there = tracked
    warmed(server, here)
    before = mget_calls(server)
    assert [here.get("k") for _ in range(50)] == ["old"] * 50
    assert mget_calls(server) == before
    there.invalidate_tags("t")
    eventually(lambda: here.get("k") is None)
    warmed(server, here)
    here.invalidate_tags("t")
    assert here.get("k") is None
    for number in range(30):
        here.set("k", number, tags=["t"])
        assert here.get("k") == number
        assert here.delete("k")
        assert here.get("k") is None


@pytest.mark.parametrize("loss", [("DEL", "{fpa}t:fpa:t"), ("DEL", "{fpa}epoch"), ("FLUSHALL",)], ids=" ".join)
def test_what_the_server_loses_is_noticed(
    tracked: tuple[RedisServer, DataCache, DataCache], loss: tuple[str, ...]
) -> None:
    """A generation that the server drops ends the copies in memory as well."""
    server, here, _ = tracked
    warmed(server, here)
    server.said(*loss)
    eventually(lambda: here.get("k") is None)


def test_copies_of_a_silent_server_are_not_trusted(single: RedisServer) -> None:
    """When the server stops answering, copies are used for as long as was said, and no longer."""
    with contextlib.closing(create(RedisOptions(url=emptied(single).url, timeout=0.1, tag_copies=0.3))) as far:
        cache = DataCache(TieredCache(MemoryCache(), far))
        warmed(single, cache)
        assert single.process is not None
        single.process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: fails(lambda: cache.get("k")))
        finally:
            single.process.send_signal(signal.SIGCONT)
        assert patiently(lambda: cache.get("k")) == "old"


def fails(act: Callable[[], Any]) -> bool:
    try:
        act()
    except CacheError:
        return True
    return False


def open_tiers(options: RedisOptions, clock: Clock) -> TieredCache:
    return TieredCache(MemoryCache(), create(options), clock=clock)


class TestTiers(CacheContract):
    machine_examples = 20
    machine_users = 1
    tag_copies: float | None = None

    @pytest.fixture
    def cache_factory(self, single: RedisServer, clock: Clock) -> CacheFactory:
        options = RedisOptions(url=emptied(single).url, timeout=5, tag_copies=self.tag_copies)
        return lambda name: partial(open_tiers, evolve(options, prefix=name), clock)


class TestTiersWithCopies(TestTiers):
    tag_copies = 30.0

    # What other processes invalidate is noticed with the message of the server, and not at once: see the tests above.
    test_two_handles_see_the_same_entries = None
    test_processes_see_invalidations_at_once = None


@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://:secretword@127.0.0.1:1"},
        {"url": "redis://:secretword@127.0.0.1:1", "mode": "cluster", "hosts": ("127.0.0.1:2",)},
        {"url": "redis://:secretword@market", "mode": "sentinel", "hosts": ("127.0.0.1:1",)},
        {"url": "unix://:secretword@/nowhere/socket"},
    ],
    ids=["single", "cluster", "sentinel", "socket"],
)
def test_errors_of_the_driver_have_a_type(options: dict[str, Any]) -> None:
    """Whichever way there is no server, every method raises an error of this project that names the server and no password."""
    with contextlib.closing(create(RedisOptions(timeout=2, retry_after=0.001, **options))) as cache:
        for verb in (
            lambda: cache.get("n:k"), lambda: cache.get_many(["n:k"]), lambda: cache.put("n:k", Entry(b"", 4e9)),
            lambda: cache.touch("n:k", None, None), lambda: cache.delete("n:k"), lambda: cache.delete_many(["n:k"]),
            lambda: list(cache.keys()), lambda: cache.generations(["n:t"]), lambda: cache.bump(["n:t"]),
            lambda: cache.purge(0), cache.clear, cache.usage,
        ):  # fmt: skip
            with pytest.raises(CacheError, match=r"redis|unix") as raised:
                verb()
            assert "secretword" not in "".join(traceback.format_exception(raised.value))


# What somebody else may have put there


class Bomb:
    """What an attacker would leave: unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> Any:
        return open, (self.target, "w")


def spoiled(value: bytes) -> dict[str, bytes]:
    middle = bytearray(value)
    middle[-40] ^= 1
    return {"empty": b"", "cut": value[:-1], "flipped": bytes(middle), "head": value[:30], "text": b"hello" * 30}


@pytest.mark.parametrize("key", [None, "0123456789abcdef"], ids=["plain", "signed"])
def test_what_others_wrote_is_a_counted_miss(single: RedisServer, tmp_path: Path, key: str | None) -> None:
    """Values that are damaged, pickled, or not ours are misses with a reason; loading mends them, and purging survives them."""
    cache = DataCache(create(RedisOptions(url=emptied(single).url, timeout=5, signing_key=key)))
    cache.set("k", "value" * 20)
    good = client_of(single).get("{fpa}e:fpa:k")
    target = tmp_path / "executed"
    for name, content in {**spoiled(good), "bomb": pickle.dumps(Bomb(target))}.items():
        client_of(single).set("{fpa}e:fpa:k", content)
        assert cache.lookup("k") == Miss(MissReason.UNDECODABLE), name
        cache.purge()
        assert cache.get_or_load("k", lambda: "again") == "again"
        assert cache.get("k") == "again"
    assert not target.exists()
    cache.close()


def test_spoiled_generations_and_names_do_no_harm(single: RedisServer, cache: CacheBackend) -> None:
    """A generation that is no number is replaced, and a key that is no text is not listed."""
    data = DataCache(cache)
    data.set("k", 1, tags=["t"])
    client_of(single).set("{fpa}t:fpa:t", b"spoiled")
    client_of(single).set(b"{fpa}e:fpa:\xff", b"x")
    assert data.lookup("k") == Miss(MissReason.INVALIDATED)
    assert data.get_or_load("k", lambda: 2, tags=["t"]) == 2
    assert data.get("k") == 2
    assert data.keys() == ["k"]
    assert data.purge() == 0


def test_a_signature_holds_for_one_key_and_one_secret(single: RedisServer) -> None:
    """A signed entry is read under its own name alone, with the same secret alone, and unsigned ones are not read at all."""
    one, two = "0123456789abcdef", "fedcba9876543210"
    signed, other, plain = (
        DataCache(create(RedisOptions(url=emptied(single).url, timeout=5, signing_key=key))) for key in (one, two, None)
    )
    signed.set("k", 1)
    plain.set("plain", 1)
    client = client_of(single)
    client.set("{fpa}e:fpa:moved", client.get("{fpa}e:fpa:k"))
    assert signed.get("k") == 1
    for cache, key in ((signed, "moved"), (signed, "plain"), (other, "k"), (plain, "k")):
        assert cache.lookup(key) == Miss(MissReason.UNDECODABLE)
    assert signed.touch("k", 100)
    assert signed.get("k") == 1
    for cache in (signed, other, plain):
        cache.close()


def client_of(server: RedisServer) -> Any:
    return redis.Redis(port=server.port, protocol=2)


# Through the data layer


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


def test_problems_of_the_configuration_show_no_secret() -> None:
    """A section that cannot be used is told without its password and its key."""
    environ = {
        "FPA_CACHE__BACKEND": "redis", "FPA_CACHE__MODE": "sentinel", "FPA_CACHE__SIGNING_KEY": "secretword",
        "FPA_CACHE__URL": "redis://:secretword@market/0",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="needs hosts") as raised:
        fpa_core.open(environ=environ, plugins=PluginManager(extra=[plugin], block=["redis"]))
    assert "secretword" not in str(raised.value)
