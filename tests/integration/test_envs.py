"""Environments: the same commands under overlays that differ in the cache differ in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.exceptions import ConfigError
from fpa_core.models import Quote
from fpa_core.numbers import Instant

TOML = """\
[cache]
ttl = "1h"

[env.test.cache]
backend = "disk"
path = "cache"

[env.dev.cache]
backend = "memory"

[env.test.store]
path = "test.db"

[env.dev.store]
path = "dev.db"
"""

QUOTES = """symbol,timestamp,bid,ask
A,2024-05-01T13:30:00Z,1.10,1.20
A,2024-05-01T13:30:00Z,1.10,1.20
A,2024-05-01T13:30:01Z,1.30,1.20
B,2024-05-01T13:30:02Z,n/a,1.20
"""

COMMANDS = [
    ["ingest", "quotes.csv", "--json"],
    ["ingest", "quotes.csv", "--json"],
    ["validate", "quotes.csv", "--json"],
    ["query", "quotes"],
    ["query", "quotes", "A", "--format", "csv"],
    ["query", "quotes", "A", "--format", "jsonl", "--latest-first"],
    ["latest", "A"],
    ["inventory"],
    ["quarantine", "list"],
    ["undo", "1"],
    ["query", "quotes"],
    ["inventory", "--json"],
    ["plugins"],
    ["rules"],
    ["config", "check"],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with two environments, each with a database of its own."""
    (tmp_path / "fpa.toml").write_text(TOML)
    (tmp_path / "quotes.csv").write_text(QUOTES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(env: str, arguments: list[str]) -> tuple[int, str, Any]:
    """Run a command under an environment; what differs from run to run, the time taken, is left out."""
    result = CliRunner().invoke(cli, ["--env", env, *arguments])
    text = result.stdout
    if arguments[0] == "ingest":
        text = json.dumps([receipt | {"seconds": 0} for receipt in json.loads(text)["results"]])
    return result.exit_code, text, result.stderr


@pytest.mark.usefixtures("folder")
def test_overlays_differ_in_the_cache_alone() -> None:
    """Every command prints the same under both, and exits with the same code."""
    for arguments in COMMANDS:
        test, dev = run("test", arguments), run("dev", arguments)
        assert test == dev, arguments
        assert test[0] in {0, 1}, test


def test_the_caches_are_the_ones_configured(folder: Path) -> None:
    """One keeps its answers on disk, over the end of the process, and the other in memory; both give the same answers."""
    quotes = [Quote("A", Instant(ts), 1, 2) for ts in range(3)]
    for env, backend in (("test", "disk"), ("dev", "memory")):
        with fpa_core.open(env=env) as data:
            assert backend == data.config.cache.backend
            data.ingest(quotes)
            assert quotes == data.select(Quote, "A").to_list() == data.select(Quote, "A").to_list()
            assert (1, 1) == (data.cache.get_stats().hits, data.cache.get_stats().entries)
        with fpa_core.open(env=env) as data:
            assert quotes == data.select(Quote, "A").to_list()
            assert (1 if backend == "disk" else 0) == data.cache.get_stats().hits
            later = Quote("A", Instant(9), 1, 2)
            data.ingest(later)
            assert [*quotes, later] == data.select(Quote, "A").to_list()
    assert (folder / "cache").is_dir()


def test_environments_share_a_cache_and_not_its_answers(folder: Path) -> None:
    """What is remembered of one database is never an answer for another, though both use one cache on disk."""
    text = (folder / "fpa.toml").read_text()
    (folder / "fpa.toml").write_text(
        text.replace(
            '[env.dev.cache]\nbackend = "memory"',
            '[env.dev.cache]\nbackend = "disk"\npath = "cache"\nnamespace = "dev"',
        )
    )
    for env, symbol in (("test", "A"), ("dev", "B")):
        with fpa_core.open(env=env) as data:
            data.ingest(Quote(symbol, Instant(1), 1, 2))
            assert [symbol] == [quote.symbol for quote in data.select(Quote).to_list()]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value", "expected", "near"),
    [
        (
            'backend = "disk"',
            'backend = "disc"',
            5,
            "env.test.cache.backend",
            '"disc"',
            "disk, memory",
            "did you mean disk?",
        ),
        ('path = "cache"', 'pth = "cache"', 6, "env.test.cache.pth", '"cache"', "path", "did you mean path?"),
        ('path = "cache"', "path = 5", 6, "env.test.cache.path", "5", "expected", None),
    ],
    ids=["backend", "key", "type"],
)
def test_an_error_in_one_overlay(
    folder: Path, old: str, new: str, line: int, key: str, value: str | None, expected: str, near: str | None
) -> None:
    """A mistake in an overlay is told with file, line, key, value, what was expected and the near miss; the other is not touched."""
    path = folder / "fpa.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        fpa_core.open(env="test", lazy=True)
    (problem,) = caught.value.problems
    assert (path, line, key, value) == (problem.file, problem.line, problem.key, problem.value)
    assert expected in problem.expected
    assert near is None or near in problem.hint
    assert f"{path}:{line}: {key}" in str(caught.value)
    assert run("dev", ["rules"])[0] == 0


@pytest.mark.usefixtures("folder")
def test_an_unknown_environment() -> None:
    """An environment that does not exist is an error with those that do and the near miss."""
    with pytest.raises(
        ConfigError, match=r'env = "tst": unknown environment; known: test, dev \(did you mean test\?\)'
    ):
        fpa_core.open(env="tst")
