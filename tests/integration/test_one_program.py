"""The program of the how-to "Use Redis", untouched, on memory and SQLite, on a folder and SQLite, and on Redis and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import postgres_server
import pytest
import redis_server
from docpages import ROOT, blocks

if os.environ.get("CI") != "true":
    pytest.importorskip("redis")
    pytest.importorskip("psycopg")

PAGE = ROOT / "docs" / "how-to" / "use-redis.md"


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Start PostgreSQL and Redis, and return the variables that name them."""
    with redis_server.or_skip(), contextlib.ExitStack() as stack:
        try:
            postgres = stack.enter_context(postgres_server.running())
        except postgres_server.UnavailableError as problem:
            raise redis_server.UnavailableError(str(problem)) from problem
        redis = stack.enter_context(redis_server.running())
        yield {"MARKET_DSN": postgres.dsn(), "MARKET_REDIS": redis.url}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save the files of the page, and the entry points of this project as an installation would."""
    for block in blocks(PAGE):
        if block.note.startswith("file: "):
            (tmp_path / block.note.removeprefix("file: ")).write_text(block.body, encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    record = tmp_path / "installed" / f"financial_portfolio_automation-{project['version']}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["fpa"].items())
    (record / "entry_points.txt").write_text(f"[fpa]\n{points}")
    return tmp_path


def test_one_program_runs_in_every_environment(folder: Path, servers: dict[str, str]) -> None:
    """One program with one file prints the same with FPA_ENV=dev, test and prod; only in prod do the servers have anything."""
    path = os.pathsep.join([str(folder / "installed"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    printed = {}
    for env in ("dev", "test", "prod"):
        environ = os.environ | servers | {"FPA_ENV": env, "PYTHONPATH": path}
        command = [sys.executable, "-W", "error", "program.py"]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        printed[env] = done.stdout
    assert printed["dev"] == printed["test"] == printed["prod"]
    assert "3 trades worth 27132.00\n2 of 4" in printed["prod"]
    assert {"dev.db", "test.db", "answers"} <= {path.name for path in folder.iterdir()}
    with contextlib.suppress(ModuleNotFoundError):
        import redis

        client = redis.Redis.from_url(servers["MARKET_REDIS"], protocol=2)
        assert client.keys("{fpa}e:fpa:trades:*")
