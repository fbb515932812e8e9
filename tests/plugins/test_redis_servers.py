"""How a Redis server is reached: Sentinels, clusters, TLS, sockets, and the rights of a user."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import TypeVar

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")

from redis_server import (
    RedisServer,
    certificates,
    cluster,
    eventually,
    free_port,
    master_of,
    or_skip,
    patiently,
    running,
    warmed,
    watched,
)

from fpa_core.cache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_core.exceptions import CacheError
from fpa_plugins.memory.cache import MemoryCache
from fpa_plugins.redis.plugin import RedisOptions, create

T = TypeVar("T")


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
        nodes = stack.enter_context(cluster(replica_of="{fpa}", node_timeout=0.5))
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


def test_a_node_of_the_cluster_that_is_gone_is_not_needed(redis_cluster: list[RedisServer]) -> None:
    """A cluster is found by any of the nodes that are named."""
    options = RedisOptions(url="redis://127.0.0.1:1", mode="cluster", hosts=(redis_cluster[1].address,), timeout=5)
    cache = DataCache(create(options))
    assert cache.set("k", 1)
    assert cache.get("k") == 1
    cache.close()
