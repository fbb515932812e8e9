"""The Redis cache: its options, its errors, what others wrote, and what a server does that loses, evicts or hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

import redis
from redis_server import RedisServer, emptied, or_skip, patiently, running

import fpa_core
from fpa_core.cache import DataCache, Miss, MissReason
from fpa_core.exceptions import CacheError, ConfigError
from fpa_core.plugins import PluginManager
from fpa_core.protocols import CacheBackend, Capability, Entry, RemovalCause
from fpa_plugins.redis import plugin
from fpa_plugins.redis.breaker import CircuitBreaker
from fpa_plugins.redis.plugin import RedisOptions, create

T = TypeVar("T")


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


def test_credentials_are_never_shown(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A password that the server refuses is in no message, representation, log or traceback."""
    options = RedisOptions(url=f"redis://user:secretword@{redis_server.address}/0", signing_key="anothersecretword")
    cache = create(options)
    with caplog.at_level(logging.DEBUG), pytest.raises(CacheError, match="refused the login") as raised:
        cache.get("n:k")
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(options) + repr(cache)
    assert "secretword" not in shown
    cache.close()


def test_problems_of_the_configuration_show_no_secret() -> None:
    """A section that cannot be used is told without its password and its key."""
    environ = {
        "FPA_CACHE__BACKEND": "redis", "FPA_CACHE__MODE": "sentinel", "FPA_CACHE__SIGNING_KEY": "secretword",
        "FPA_CACHE__URL": "redis://:secretword@market/0",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="needs hosts") as raised:
        fpa_core.open(environ=environ, plugins=PluginManager(extra=[plugin], block=["redis"]))
    assert "secretword" not in str(raised.value)


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


def test_a_server_that_does_not_answer_is_left_alone(redis_server: RedisServer) -> None:
    """Callers of a server that hangs wait for the timeout a few times, and no longer; when it answers again, it is used again."""
    cache = create(RedisOptions(url=emptied(redis_server).url, timeout=0.2, retry_after=0.3))
    assert cache.put("n:k", Entry(b"1", 4e9))
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for _ in range(50):
            with pytest.raises(CacheError) as raised:
                cache.get("n:k")
        assert "left alone" in str(raised.value)
        assert "TimeoutError" in str(raised.value)
        assert time.monotonic() - begun < 50 * 0.2
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    found = patiently(lambda: cache.get("n:k"))
    assert found is not None
    assert bytes(found.value) == b"1"
    assert cache.usage().evicted["unreachable"] >= 3
    cache.close()


@pytest.fixture
def cache(redis_server: RedisServer) -> Iterator[CacheBackend]:
    """Open an empty cache."""
    with contextlib.closing(create(RedisOptions(url=emptied(redis_server).url, timeout=5))) as made:
        yield made


# What the server loses


def test_an_evicted_generation_ends_what_was_made_under_it(redis_server: RedisServer, cache: CacheBackend) -> None:
    """When the server drops the generation of a tag, entries and loads made under it are void, and a new one is made at random."""
    data = DataCache(cache)
    data.set("k", 1, tags=["t"])
    fence = dict(cache.generations(["fpa:t", "fpa:u"]))
    assert redis_server.said("DEL", "{fpa}t:fpa:t").startswith(b":1")
    assert not cache.put("fpa:late", Entry(b"", 4e9), fence=fence)
    assert data.lookup("k") == Miss(MissReason.INVALIDATED)
    again = dict(cache.generations(["fpa:t", "fpa:u"]))
    assert fence["fpa:t"] != again["fpa:t"]
    assert fence["fpa:u"] == again["fpa:u"]


@pytest.mark.parametrize("loss", [("FLUSHALL",), ("DEL", "{fpa}epoch")], ids=["all", "epoch"])
def test_a_lost_epoch_ends_everything(redis_server: RedisServer, cache: CacheBackend, loss: tuple[str, ...]) -> None:
    """When the epoch is gone nothing made before counts, tagged or not, and the cache goes on."""
    data = DataCache(cache)
    data.set("tagged", 1, tags=["t"])
    data.set("plain", 1)
    fence = dict(cache.generations(["fpa:t"]))
    redis_server.said(*loss)
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


def test_a_connection_that_was_closed_is_made_again(redis_server: RedisServer, cache: CacheBackend) -> None:
    """Connections that the server closes while they are idle cost nobody an error."""
    assert cache.put("n:k", Entry(b"1", 4e9))
    for _ in range(3):
        redis_server.said("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert cache.get("n:k") is not None
        redis_server.said("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
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


def test_an_oversize_value_is_not_stored(redis_server: RedisServer) -> None:
    """A value larger than allowed is not stored, and the older one is gone; listeners hear of it."""
    cache = create(RedisOptions(url=emptied(redis_server).url, timeout=5, max_value_bytes=100))
    heard: list[Any] = []
    cache.add_removal_listener(lambda *removal: heard.append(removal))
    assert cache.put("n:k", Entry(b"1", 4e9))
    assert not cache.put("n:k", Entry(b"x" * 101, 4e9))
    assert cache.get("n:k") is None
    assert heard == [("n:k", RemovalCause.EVICTED)]
    assert cache.usage().evicted == {"oversize": 1}
    cache.close()


def test_the_server_frees_what_has_expired(redis_server: RedisServer, cache: CacheBackend) -> None:
    """Each entry is given to the server with the rest of its life, stale time included; one without an end has none."""
    cache.put("n:a", Entry(b"", 4e9, 4e9 + 100))
    cache.put("n:b", Entry(b"", 4e9, 4e9 + 100, 4e9 + 200))
    cache.put("n:c", Entry(b"", 4e9))
    left = [int(redis_server.said("PTTL", f"{{fpa}}e:n:{key}")[1:]) for key in "abc"]
    assert 90_000 < left[0] <= 100_000
    assert 190_000 < left[1] <= 200_000
    assert left[2] == -1
    now = time.time()
    cache.touch("n:c", now + 300, None)
    assert 290_000 < int(redis_server.said("PTTL", "{fpa}e:n:c")[1:]) <= 300_000


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
def test_what_others_wrote_is_a_counted_miss(redis_server: RedisServer, tmp_path: Path, key: str | None) -> None:
    """Values that are damaged, pickled, or not ours are misses with a reason; loading mends them, and purging survives them."""
    cache = DataCache(create(RedisOptions(url=emptied(redis_server).url, timeout=5, signing_key=key)))
    cache.set("k", "value" * 20)
    good = client_of(redis_server).get("{fpa}e:fpa:k")
    target = tmp_path / "executed"
    for name, content in {**spoiled(good), "bomb": pickle.dumps(Bomb(target))}.items():
        client_of(redis_server).set("{fpa}e:fpa:k", content)
        assert cache.lookup("k") == Miss(MissReason.UNDECODABLE), name
        cache.purge()
        assert cache.get_or_load("k", lambda: "again") == "again"
        assert cache.get("k") == "again"
    assert not target.exists()
    cache.close()


def test_spoiled_generations_and_names_do_no_harm(redis_server: RedisServer, cache: CacheBackend) -> None:
    """A generation that is no number is replaced, and a key that is no text is not listed."""
    data = DataCache(cache)
    data.set("k", 1, tags=["t"])
    client_of(redis_server).set("{fpa}t:fpa:t", b"spoiled")
    client_of(redis_server).set(b"{fpa}e:fpa:\xff", b"x")
    assert data.lookup("k") == Miss(MissReason.INVALIDATED)
    assert data.get_or_load("k", lambda: 2, tags=["t"]) == 2
    assert data.get("k") == 2
    assert data.keys() == ["k"]
    assert data.purge() == 0


def test_a_signature_holds_for_one_key_and_one_secret(redis_server: RedisServer) -> None:
    """A signed entry is read under its own name alone, with the same secret alone, and unsigned ones are not read at all."""
    one, two = "0123456789abcdef", "fedcba9876543210"
    signed, other, plain = (
        DataCache(create(RedisOptions(url=emptied(redis_server).url, timeout=5, signing_key=key)))
        for key in (one, two, None)
    )
    signed.set("k", 1)
    plain.set("plain", 1)
    client = client_of(redis_server)
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
