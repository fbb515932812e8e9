"""A stranger's plugin: installed like any package, found, listed, configured, and contained when it fails."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpa_core.cli.main import cli, main

PLUGIN = '''\
from attrs import frozen
from fpa_core import Rule, hookimpl

@frozen(kw_only=True)
class RoundLot(Rule):
    """The size of a trade is a multiple of the lot."""
    id = "acme.round_lot"
    kind = "trades"
    fields = ("size",)
    lot: int = 100

    def check(self, trade):
        return trade.size % self.lot == 0

@hookimpl
def fpa_register_rules(register):
    register(RoundLot)
'''

COMMANDS = '''\
import click
from fpa_core import hookimpl

@hookimpl
def fpa_register_commands(cli):
    @cli.command()
    @click.pass_obj
    def greet(app):
        """Say hello from Acme."""
        with app.open() as data:
            click.echo(f"hello, {len(data.store.batches())} batches")
'''

TALKATIVE = (
    PLUGIN.replace("def check(self, trade):", "def check(self, trade):\n        print('a rule prints')")
    + """
print("an import prints")

@hookimpl
def fpa_ingested(receipt):
    print("a listener prints")
    raise KeyboardInterrupt
"""
)

METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.2.3\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[fpa]\nacme = acme_rules\n",
}
"""What a package index tells of the distribution ``acme-rules``."""

TRADES = """symbol,timestamp,price,size
A,2024-05-01T13:30:00Z,1.15,100
A,2024-05-01T13:30:01Z,1.15,150
A,2024-05-01T13:30:02Z,1.15,7
"""

Fpa = Callable[..., subprocess.CompletedProcess[str]]


def install(source: str, folder: Path) -> Path:
    """Install a wheel with one module, as an index would serve it, into a folder of its own; without pip it is unpacked as pip would."""
    wheel, site = folder / "acme_rules-1.2.3-py3-none-any.whl", folder / "site"
    files = {"acme_rules.py": source} | {f"acme_rules-1.2.3.dist-info/{name}": text for name, text in METADATA.items()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("acme_rules-1.2.3.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
        subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    else:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plugin with a rule is installed."""
    return install(PLUGIN, tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the same plugin is installed in a version that does not import."""
    return install("import acme_licence\n" + PLUGIN, tmp_path_factory.mktemp("broken"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with some trades."""
    (tmp_path / "trades.csv").write_text(TRADES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def process(folder: Path) -> Fpa:
    """Run ``fpa`` as a process that finds what is installed in *site*."""

    def run(site: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "fpa_core", *arguments],
            cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert expect == done.returncode, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def fpa(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fpa:
    """Run ``fpa`` in this process, which finds what is installed in *site*, and forgets it afterwards."""

    def run(site: Path, *arguments: str, expect: int = 0, toml: str | None = None) -> subprocess.CompletedProcess[str]:
        if toml is not None:
            (folder / "fpa.toml").write_text(toml)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(site))
            patch.setattr(cli, "commands", dict(cli.commands))
            patch.setitem(sys.modules, "acme_rules", None)
            patch.delitem(sys.modules, "acme_rules")
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        printed = capsys.readouterr()
        done = subprocess.CompletedProcess(arguments, int(ended.value.code or 0), printed.out, printed.err)
        assert expect == done.returncode, done.stdout + done.stderr
        return done

    return run


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """Return what a command printed for machines."""
    return json.loads(done.stdout)["results"]


def test_the_plugin_is_short() -> None:
    """A rule of one's own takes about 15 lines."""
    assert len([line for line in PLUGIN.splitlines() if line]) <= 16


def test_its_rule_is_listed(process: Fpa, fpa: Fpa, rules: Path) -> None:
    """The rule is in force as soon as it is installed, and is listed with its distribution and version, as is the plugin."""
    (line,) = [line for line in process(rules, "rules").stdout.splitlines() if line.startswith("acme.round_lot")]
    assert ["acme.round_lot", "trades", "row", "warning", "lot=100", "acme-rules", "1.2.3"] == line.split()
    found = {rule["id"]: rule for rule in answer(fpa(rules, "rules", "--json"))}["acme.round_lot"]
    assert ("acme", "acme-rules", "1.2.3", {"lot": 100}) == (
        found["plugin"], found["distribution"], found["version"], {"lot": found["parameters"]["lot"]},
    )  # fmt: skip
    plugin = {one["name"]: one for one in answer(fpa(rules, "plugins", "--json"))}["acme"]
    assert ("loaded", {"fpa_register_rules": ["acme.round_lot"]}) == (plugin["status"], plugin["provides"])


@pytest.mark.parametrize(
    ("toml", "failed", "quarantined"),
    [
        ("", 2, 0),
        ("lot = 50", 1, 0),
        ("lot = 1", 0, 0),
        ('severity = "error"', 2, 2),
        ('lot = 50\nseverity = "error"', 1, 1),
    ],
    ids=["default", "smaller", "one", "refused", "both"],
)
def test_a_parameter_changes_its_verdict(fpa: Fpa, rules: Path, toml: str, failed: int, quarantined: int) -> None:
    """What the configuration says of the rule decides what it flags or keeps out."""
    section = f'[validator.rules."acme.round_lot"]\n{toml}\n'
    (judged,) = answer(fpa(rules, "validate", "trades.csv", "--json", toml=section, expect=1 if quarantined else 0))
    assert failed == judged["rules"]["acme.round_lot"]["failed"]
    (receipt,) = answer(fpa(rules, "ingest", "trades.csv", "--json"))
    assert (quarantined, 3 - quarantined) == (receipt["quarantined"], receipt["inserted"])
    assert ({} if quarantined or not failed else {"acme.round_lot": failed}) == receipt["warnings"]


def test_a_wrong_parameter(fpa: Fpa, rules: Path) -> None:
    """A mistake in the parameters of the rule is a configuration error with file, line, key, and the near miss."""
    done = fpa(rules, "config", "check", toml='[validator.rules."acme.round_lot"]\nlit = 5\n', expect=3)
    assert 'fpa.toml:2: validator.rules."acme.round_lot".lit' in done.stderr
    assert "did you mean lot?" in done.stderr


def test_it_can_be_blocked_and_required(fpa: Fpa, rules: Path) -> None:
    """A plugin can be blocked by name; its distribution can be required, with a version."""
    assert "acme.round_lot" not in fpa(rules, "rules", toml='[plugins]\nblock = ["acme"]\n').stdout
    assert "acme.round_lot" in fpa(rules, "rules", toml='[plugins]\nrequired = ["acme-rules>=1.2"]\n').stdout
    done = fpa(rules, "rules", toml='[plugins]\nrequired = ["acme-rules>=2"]\n', expect=4)
    assert "acme-rules>=2 is required, but acme-rules 1.2.3 is installed" in done.stderr


def test_one_that_fails_stops_nothing(process: Fpa, fpa: Fpa, broken: Path) -> None:
    """A plugin that does not import is listed with its error and left out; everything else works."""
    assert 3 == answer(process(broken, "ingest", "trades.csv", "--json"))[0]["inserted"]
    assert 3 == len(fpa(broken, "query", "trades", "--format", "jsonl").stdout.splitlines())
    listed = fpa(broken, "plugins")
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("acme ")]
    assert ["acme", "acme-rules", "1.2.3", "failed"] == line.split()
    assert "acme: ModuleNotFoundError: No module named 'acme_licence'" in listed.stderr.splitlines()
    found = {one["name"]: one for one in answer(fpa(broken, "plugins", "--json"))}["acme"]
    assert ("failed", "ModuleNotFoundError: No module named 'acme_licence'") == (found["status"], found["error"])
    assert "acme_rules.py" in found["traceback"]
    assert "acme.round_lot" not in fpa(broken, "rules").stdout


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ('[validator.rules."acme.round_lot"]\nlot = 50\n', 3),
        ('[plugins]\nrequired = ["acme-rules"]\n', 4),
        ("[plugins]\nstrict = true\n", 4),
    ],
    ids=["rule", "required", "strict"],
)
def test_one_that_fails_is_fatal_where_it_is_asked_for(fpa: Fpa, broken: Path, toml: str, code: int) -> None:
    """What the configuration asks for and a failed plugin would have given is an error that tells why."""
    done = fpa(broken, "query", "trades", toml=toml, expect=code)
    assert "acme_licence" in done.stderr.partition("error:")[2]
    assert "" == done.stdout


def test_what_it_prints_is_no_result(process: Fpa, tmp_path: Path) -> None:
    """What a plugin prints goes to standard error, so that programs can read the results; interrupted after a commit, a command says so."""
    site = install(TALKATIVE, tmp_path)
    listed = process(site, "plugins", "--json")
    assert "acme" in {plugin["name"] for plugin in answer(listed)}
    assert "an import prints" in listed.stderr
    interrupted = process(site, "ingest", "trades.csv", "--json", expect=130)
    assert interrupted.stdout == ""
    assert "a rule prints" in interrupted.stderr
    assert "a listener prints" in interrupted.stderr
    assert "interrupted while listeners were notified of a batch; it is committed" in interrupted.stderr
    assert len(answer(process(site, "batches", "--json"))) == 1


def test_its_commands_are_commands(process: Fpa, fpa: Fpa, tmp_path: Path) -> None:
    """A plugin may add commands: they are listed in the help, explain themselves, and open the same data layer."""
    site = install(COMMANDS, tmp_path)
    assert "Say hello from Acme." in process(site, "--help").stdout
    assert fpa(site, "greet", "--help").stdout.startswith("Usage: fpa greet")
    fpa(site, "ingest", "trades.csv")
    assert "hello, 1 batches\n" == fpa(site, "greet").stdout
    assert "no such command" in fpa(site, "greet", toml='[plugins]\nblock = ["acme"]\n', expect=2).stderr


def test_commands_and_failures_within_the_process(
    tmp_path: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process finds when it starts, a program that calls the command line finds too."""
    site = install(COMMANDS, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "commands", dict(cli.commands))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "acme_rules", None)
    monkeypatch.delitem(sys.modules, "acme_rules")
    assert "hello, 0 batches\n" == CliRunner().invoke(cli, ["greet"]).stdout
    assert re.search("^  greet +Say hello from Acme.$", CliRunner().invoke(cli, ["--help"]).stdout, re.MULTILINE)
    cli.commands.clear()
    monkeypatch.delitem(sys.modules, "acme_rules")
    monkeypatch.syspath_prepend(str(broken))
    assert "acme: ModuleNotFoundError: No module named 'acme_licence'" in CliRunner().invoke(cli, ["plugins"]).stderr


def test_the_help_comes_whatever_is_wrong(fpa: Fpa, broken: Path) -> None:
    """Neither a broken plugin nor a wrong configuration keeps the help away."""
    text = fpa(broken, "--help", toml="[store\n").stdout
    assert "Store, validate, cache and query market data and portfolio records" in text
    assert "ingest" in text
