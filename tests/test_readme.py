"""The README tells the truth: its commands are those that are run, and its examples work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

from fpa_core import config
from fpa_core.cli.main import cli
from fpa_core.plugins import PluginManager

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.+?)\n```", README, re.DOTALL)
ON_CI = os.environ.get("CI") == "true"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.+?)```", README, re.DOTALL)


def test_there_are_two_commands() -> None:
    """The README needs two commands: one installs and shows, one tests."""
    assert 2 == len(COMMANDS)
    assert "demo" in COMMANDS[0]
    assert "pytest" in COMMANDS[1]


def test_ci_runs_the_second_command() -> None:
    """Continuous integration runs the very command that the README gives."""
    assert COMMANDS[1] in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="the command is written for a POSIX shell")
def test_first_command_works_on_a_fresh_machine(tmp_path: Path) -> None:
    """With nothing but Python and pip, the first command installs the project and shows what it does."""
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "build"))
    environment = {**os.environ, "PATH": f"{tmp_path / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV"):
        environment.pop(name, None)
    done = subprocess.run(
        ["sh", "-c", COMMANDS[0]],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode and "No matching distribution" in done.stderr + done.stdout and not ON_CI:
        pytest.skip("the packages it installs cannot be reached from here")
    assert 0 == done.returncode, done.stderr
    assert " duplicates." in done.stdout
    assert (checkout / "fpa-demo" / "portfolio.db").exists()


def test_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python examples run, and the rule among them is accepted and judges."""
    monkeypatch.chdir(tmp_path)
    first, second = blocks("python")
    exec(compile(first, "README.md", "exec"), {"__name__": "readme"})
    assert "2 stored as batch 1" in capsys.readouterr().out
    plugin = types.ModuleType("acme")
    sys.modules["acme"] = plugin
    try:
        exec(compile(second, "README.md", "exec"), vars(plugin))
        manager = PluginManager(extra=[("acme", plugin)])
    finally:
        del sys.modules["acme"]
    assert "acme.round_lot" in manager.rules


def test_configuration_example_is_valid(tmp_path: Path) -> None:
    """The TOML example is a configuration without problems."""
    (example,) = blocks("toml")
    tomllib.loads(example)
    path = tmp_path / "fpa.toml"
    path.write_text(example, encoding="utf-8")
    plugins = PluginManager()
    for env in (None, "prod"):
        made = config.structure(
            config.load(path, env=env, environ={}),
            stores=plugins.stores.options,
            caches=plugins.caches.options,
            validators=plugins.validators.options,
            sources=plugins.sources.options,
            rules=plugins.rules.options,
        )
        assert ("memory" if env is None else "disk") == made.cache.backend


def test_commands_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command line that the README shows is one that there is, with options that there are."""
    monkeypatch.chdir(tmp_path)
    (console,) = blocks("console")
    for line in console.splitlines():
        words = line.partition("#")[0].split()
        if words[2] in {
            "sniff",
            "ingest",
            "query",
            "inventory",
            "portfolio",
            "quarantine",
        }:  # which need a file or a database
            words = [*words[:3], "--help"]
        result = CliRunner().invoke(cli, words[2:])
        assert 0 == result.exit_code, (line, result.output)
