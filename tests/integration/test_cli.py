"""The command line: every command and option, what it prints for people and for machines, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import fpa_core
from fpa_core import exceptions
from fpa_core.cli import data, main
from fpa_core.cli.app import EXIT_CODES, INTERRUPTED, NOTHING_STORED, exit_code
from fpa_core.cli.main import cli
from fpa_core.models import Order, PortfolioSnapshot, Position
from fpa_core.numbers import Instant, ns_text

QUOTES = """symbol,timestamp,bid,ask,bid_size,ask_size
A,2024-05-01T13:30:00.000000001Z,1.10,1.20,100,200
A,2024-05-01T13:30:00.000000001Z,1.10,1.20,100,200
B,2024-05-01T13:30:01Z,7,,300,
A,2024-05-01T13:30:02Z,1.30,1.20,100,200
"""
BARS = """symbol,timestamp,open,high,low,close,volume,interval
A,2024-05-01T13:30:00Z,1,2,0.5,1.5,5,1m
A,2024-05-01T13:31:00Z,1,2,0.5,3,5,1m
A,yesterday,1,2,0.5,1,5,1m
A,2024-05-01T00:00:00Z,1,2,0.5,1.25,5,1d
"""
TRADES = """symbol,timestamp,price,size
A,2024-05-01T13:30:00Z,1.15,10
"""

COUNTS = ("read", "inserted", "duplicate", "revised", "quarantined")

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with some files of data."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("quotes.csv", QUOTES), ("bars.csv", BARS), ("trades.csv", TRADES)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:  # noqa: ARG001 - it is the current one
    """Run ``fpa`` within the process, errors turned into messages and exit codes as in earnest."""

    def invoke(*arguments: object, expect: int = 0, **environment: str) -> Result:
        result = CliRunner().invoke(_Main(), [str(one) for one in arguments], env=environment)
        unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
        assert unexpected is None, result.output
        assert expect == result.exit_code, result.output
        return result

    return invoke


class _Main(click.Command):
    """Lets the runner go through :func:`fpa_core.cli.main.main`, where errors become exit codes."""

    def __init__(self) -> None:
        super().__init__("fpa")

    def main(self, args: Any = None, *_: Any, **__: Any) -> Any:
        return main.main(list(args))


@pytest.fixture
def filled(run: Run) -> Run:
    """Run ``fpa`` where the files are ingested, as batches 1 to 3."""
    run("ingest", "quotes.csv", "bars.csv", "trades.csv")
    return run


def envelope(result: Result) -> dict[str, Any]:
    """Return what was printed for a machine: one line of JSON in the form of all commands, and nothing else."""
    assert 1 == result.stdout.count("\n")
    found: dict[str, Any] = json.loads(result.stdout)
    assert ["results", "summary", "error"] == list(found)
    return found


def answer(result: Result) -> list[Any]:
    """Return the results that were printed for a machine."""
    results: list[Any] = envelope(result)["results"]
    return results


def only(result: Result) -> Any:
    """Return the one result that was printed for a machine."""
    (found,) = answer(result)
    return found


def fpa(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m fpa_core`` as a process of its own."""
    command = [sys.executable, "-m", "fpa_core", *arguments]
    options |= {"capture_output": True, "encoding": "utf-8", "timeout": 60}
    return subprocess.run(command, cwd=cwd, check=False, **options)


# Help, version, wrong usage


def commands(group: Any = cli, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found: list[tuple[str, ...]] = [path]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = (*path, name)
        found += commands(command, inner) if isinstance(command, click.Group) else [inner]
    return found


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(("fpa", *path)))
def test_help(run: Run, path: tuple[str, ...]) -> None:
    """Every command explains itself and each of its options and arguments."""
    text = run(*path, "--help").stdout
    assert text.startswith(f"Usage: fpa {' '.join(path)}".strip())
    context = click.Context(cli)
    command: Any = cli
    for name in path:
        command = command.get_command(context, name)
    assert command.help
    assert [] == [
        parameter.name for parameter in command.params if isinstance(parameter, click.Option) and not parameter.help
    ]  # fmt: skip


def test_help_lists_the_commands_and_exit_codes(run: Run) -> None:
    """The first help lists every command in a line, and what the exit codes mean."""
    text = run("-h").stdout
    listed = re.findall(r"^  ([a-z][a-z-]*)  ", text, re.MULTILINE)
    assert list(main._COMMANDS) == listed
    explained = {int(code) for code in re.findall(r"\d+", text.partition("Exit codes:")[2])}
    assert {0, 1, 2, *EXIT_CODES.values(), NOTHING_STORED, INTERRUPTED} == explained


def test_version(run: Run) -> None:
    """The version is that of the distribution."""
    from importlib.metadata import version

    assert f"fpa, version {version('financial-portfolio-automation')}\n" == run("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no such command 'nosuch'"),
        (["query"], "missing argument"),
        (["query", "candles"], "'candles' is not one of"),
        (["query", "quotes", "--limit", "-1"], "--limit"),
        (["query", "quotes", "--where", "bid"], "'bid' is not COLUMN=VALUE"),
        (["query", "quotes", "--where", "colour=red"], "unknown column 'colour'; one of: timestamp, bid"),
        (["query", "quotes", "--where", "limit=5"], "unknown column 'limit'"),
        (["query", "quotes", "--where", "symbol=A"], "unknown column 'symbol'"),
        (["ingest"], "missing argument"),
        (["ingest", "x.csv", "--kind", "candles"], "'candles' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["rules", "show", "quote.spred"], "unknown rule 'quote.spred'"),
        (["--log-level", "loud", "inventory"], "--log-level"),
        (["batches", "--limit", "0"], "--limit"),
        (["demo", "--quotes", "1"], "--quotes"),
    ],
    ids=" ".join,
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    """Wrong usage exits with 2 and says what is wrong, on standard error."""
    result = run(*arguments, expect=2)
    assert "" == result.stdout
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert "  hint: fpa" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["ingset", "x.csv"], "did you mean ingest? See fpa --help"),
        (["quarantine", "lst"], "fpa quarantine --help"),
        (["redis"], "fpa --help"),
    ],
)
def test_commands_that_are_nearly_right(run: Run, arguments: list[str], hint: str) -> None:
    """A command with a slip of the keyboard is answered with the one that was meant; one that is like no other is not."""
    result = run(*arguments, expect=2)
    assert result.stderr.rstrip().endswith(hint)
    assert "lst" not in arguments or "list" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["inventory", "candles", "--json"], 2, "UsageError"),
        (["ingest", "nowhere.csv", "--json"], 7, "DataError"),
        (["--env", "prod", "config", "check", "--json"], 3, "ConfigError"),
    ],
)
def test_errors_are_json_too(run: Run, arguments: list[str], code: int, kind: str) -> None:
    """With --json a failure is an object on standard output as well, with what the message says and the exit code."""
    result = run(*arguments, expect=code)
    found = envelope(result)
    error = found["error"]
    assert ([], {}) == (found["results"], found["summary"])
    assert (kind, code) == (error["type"], error["exit_code"])
    assert error["message"].splitlines()[0] in result.stderr


FOR_MACHINES: dict[str, tuple[int, list[str]]] = {
    "audit": (0, []),
    "audit-log show": (0, []),
    "audit-log verify": (0, []),
    "backfill": (2, ["alpaca", "A", "--start", "2024-05-01"]),
    "batches": (0, []),
    "cache clear": (0, []),
    "cache get": (1, ["none"]),
    "cache invalidate": (0, ["quotes:*"]),
    "cache keys": (0, []),
    "cache stats": (0, []),
    "cache warm": (0, ["quotes"]),
    "config check": (0, []),
    "config show": (0, []),
    "coverage": (0, []),
    "demo": (0, ["day", "--quotes", "1000"]),
    "formats": (0, []),
    "gaps": (4, ["nowhere", "A", "--start", "2024-05-01"]),
    "history": (4, ["nowhere", "A", "--start", "2024-05-01"]),
    "ingest": (0, ["trades.csv"]),
    "inventory": (0, []),
    "latest": (0, ["A"]),
    "plugins": (0, []),
    "portfolio equity": (0, []),
    "portfolio history": (7, ["none"]),
    "portfolio lots": (0, []),
    "portfolio pnl": (0, []),
    "portfolio positions": (0, []),
    "portfolio realized": (0, []),
    "portfolio reconcile": (0, []),
    "portfolio returns": (7, []),
    "publish": (4, ["--to", "nowhere"]),
    "quarantine discard": (0, ["99", "--yes"]),
    "quarantine fix": (7, ["99", "close=1"]),
    "quarantine list": (0, []),
    "quarantine replay": (0, []),
    "quarantine retry": (0, ["--batch", "2"]),
    "quarantine show": (0, ["1"]),
    "query": (0, ["quotes"]),
    "rules": (0, []),
    "rules show": (0, ["quote.spread"]),
    "sniff": (0, ["bars.csv"]),
    "sql": (0, ["select 1 as x"]),
    "store backup": (0, ["copies"]),
    "store backups": (0, ["copies"]),
    "store check": (0, []),
    "store compact": (0, []),
    "store copy": (3, ["--to-env", "nowhere"]),
    "store grant": (5, ["reports", "--read-only"]),
    "store diff": (3, ["--to-env", "nowhere"]),
    "store migrate": (0, ["--plan"]),
    "store retain": (0, []),
    "store restore": (5, ["nowhere.db"]),
    "store seal": (0, []),
    "store stats": (0, []),
    "store verify": (7, ["nowhere.db"]),
    "stream": (4, ["nowhere", "A"]),
    "sync": (4, ["nowhere"]),
    "undo": (0, ["1"]),
    "validate": (1, ["bars.csv"]),
}
"""A call of every command with ``--json``, and its exit code."""


def test_every_command_has_one_form_for_machines(filled: Run) -> None:
    """Whatever the command and however it ends: a list of objects, what is said of them all, and the error; one document, and nothing else."""
    with fpa_core.open() as layer:
        layer.store.save(PortfolioSnapshot("2024-05-01T20:00:00Z", 1, 1, 1))
    for command, (code, arguments) in FOR_MACHINES.items():
        found = envelope(filled(*command.split(), *arguments, "--json", expect=code))
        assert all(isinstance(one, dict) for one in found["results"]), command
        assert isinstance(found["summary"], dict), command
        if found["error"] is None:
            assert code in (0, 1), command
        else:
            assert found["error"]["exit_code"] == code, command
            assert {"type", "message", "hint", "problems", "exit_code"} == found["error"].keys(), command


def test_no_command_for_machines_is_forgotten() -> None:
    """Each command with --json is called above."""

    def with_json(group: click.Group, path: tuple[str, ...]) -> Iterator[str]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if any("--json" in option.opts for option in command.params):
                yield " ".join((*path, name))
            if isinstance(command, click.Group):
                yield from with_json(command, (*path, name))

    assert sorted(FOR_MACHINES) == sorted(with_json(cli, ()))


# Exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exceptions.FpaError("x"), 1),
        (exceptions.ValidationError("x"), 1),
        (exceptions.ConfigError("x"), 3),
        (exceptions.PluginError("x"), 4),
        (exceptions.MissingDependencyError("x"), 4),
        (exceptions.DatabaseError("x"), 5),
        (exceptions.DatabaseBusyError("x"), 5),
        (exceptions.SchemaError("x"), 5),
        (exceptions.CacheError("x"), 6),
        (exceptions.DataError("x"), 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_of_each_error(error: exceptions.FpaError, code: int) -> None:
    """Each error of ours has its exit code."""
    assert code == exit_code(error)


def test_configuration_error(run: Run) -> None:
    """A configuration that is wrong, or not there, exits with 3."""
    Path("fpa.toml").write_text('[store]\npth = "x.db"\n')
    assert "did you mean path?" in run("inventory", expect=3).stderr
    assert "cannot be read" in run("--config", "no.toml", "inventory", expect=3).stderr
    assert "unknown environment" in run("--env", "prod", "inventory", expect=3).stderr


def test_plugin_error(run: Run) -> None:
    """A plugin that is required and missing exits with 4."""
    Path("fpa.toml").write_text('[plugins]\nrequired = ["acme-rules"]\n')
    assert "acme-rules is required" in run("inventory", expect=4).stderr


def test_database_error(run: Run) -> None:
    """A file that is no database exits with 5 and is left as it is."""
    Path("portfolio.db").write_text("symbol,timestamp\n" * 500)
    assert "not an SQLite database" in run("inventory", expect=5).stderr
    assert Path("portfolio.db").read_text().startswith("symbol")


def test_cache_error(run: Run) -> None:
    """A cache that cannot be opened exits with 6."""
    Path("fpa.toml").write_text('[cache]\nbackend = "disk"\npath = "quotes.csv"\n')
    assert "error:" in run("cache", "stats", expect=6).stderr


def test_data_error(run: Run) -> None:
    """A file that is not there exits with 7."""
    result = run("ingest", "no.csv", expect=7)
    assert ("", "error: no.csv: file not found\n") == (result.stdout, result.stderr)


# init and config


def test_init(run: Run, folder: Path) -> None:
    """A new configuration is valid, holds the defaults, and is not replaced unless one insists."""
    result = run("init")
    assert "fpa.toml written" in result.stdout
    assert f"{folder / 'fpa.toml'}: valid\n" == run("config", "check").stdout
    Path("fpa.toml").write_text("# mine\n")
    assert "use --force to overwrite it" in run("init", expect=2).stderr
    assert "# mine\n" == Path("fpa.toml").read_text()
    run("init", "--force")
    assert "[store]" in Path("fpa.toml").read_text()


def test_init_makes_the_folder(run: Run, folder: Path) -> None:
    """The folder of a new configuration is made when it is missing."""
    run("init", "a/b")
    assert (folder / "a" / "b" / "fpa.toml").is_file()


def test_config_check(run: Run, folder: Path) -> None:
    """The check tells that all is good, for people and machines, and touches no database."""
    assert "defaults (no fpa.toml): valid\n" == run("config", "check").stdout
    Path("fpa.toml").write_text("[env.prod.cache]\nttl = 5\n")
    found = envelope(run("--env", "prod", "config", "check", "--json"))
    assert {"file": str(folder / "fpa.toml"), "env": "prod", "valid": True} == found["summary"]
    assert [{"env": "prod", "valid": True}] == found["results"]
    assert not Path("portfolio.db").exists()


def test_config_check_covers_every_overlay(run: Run) -> None:
    """Mistakes of overlays that are not chosen are reported with their lines, those of the base once; their variables need not be set."""
    overlays = ["[env.prod.store]", 'path = "${NOWHERE}/x.db"', "[env.prod.cach]", "[env.test.cache]", 'ttl = "soon"']
    Path("fpa.toml").write_text("\n".join(["[store]", "pathh = 1", *overlays]))
    shown = run("config", "check", expect=3).stderr
    for expected in (
        "3 problems",
        "fpa.toml:2: store.pathh",
        "fpa.toml:5: env.prod.cach: unknown section",
        "fpa.toml:7: env.test.cache.ttl",
    ):
        assert expected in shown
    shown = run("--env", "prod", "config", "check", expect=3).stderr
    assert "4 problems" in shown
    assert 1 == shown.count("NOWHERE is not set")


SECRET = "hunter2-and-more"


def test_config_show_tells_origins(run: Run) -> None:
    """Every setting is shown with where it came from."""
    Path("fpa.toml").write_text('[cache]\nttl = "5m"\n[env.prod.cache]\nttl = "7s"\n')
    result = run("--env", "prod", "config", "show", FPA_STORE__PATH="other.db")
    assert re.search(r"cache\.ttl\.default +7\.0 +fpa\.toml:4 \(env prod\)", result.stdout)
    assert re.search(r"store\.path +.*other\.db +environment variable FPA_STORE__PATH", result.stdout)
    assert re.search(r"validator\.level +standard +default", result.stdout)
    assert result.stdout.startswith("file: ")
    assert "env: prod" in result.stdout
    shown = envelope(run("config", "show", "--json"))
    assert {"file", "env"} == shown["summary"].keys()
    assert None is shown["summary"]["env"]
    assert {"cache.backend", "store.backend", "plugins.strict"} <= {setting["key"] for setting in shown["results"]}
    Path("fpa.toml").unlink()
    assert run("config", "show").stdout.startswith("file: none (defaults); env: none\n")


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["people", "machines"])
@pytest.mark.parametrize("where", ["secret", "override"])
def test_config_show_never_prints_secrets(run: Run, arguments: list[str], where: str) -> None:
    """What came from a secret is masked wherever it stands."""
    Path("fpa.toml").write_text('[store]\npath = "${NAME}.db"\n')
    overrides = {"FPA_LOGGING__FILE": "${NAME}.log"} if where == "override" else {}
    result = run("--log-level", "debug", "config", "show", *arguments, NAME=SECRET, **overrides)
    assert SECRET not in result.output
    assert "store.path" in result.stdout


def test_a_wrong_secret_is_not_printed(run: Run) -> None:
    """An error about a value that holds a secret does not show it."""
    Path("fpa.toml").write_text('[cache]\nttl = "${NAME}"\n')
    assert SECRET not in run("config", "check", expect=3, NAME=SECRET).output


# Which configuration


def test_the_file_is_found_above(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in a folder below use the configuration above."""
    run("init")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    run("ingest", "../quotes.csv")
    assert (folder / "portfolio.db").exists()
    assert [folder / "below"] == [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize("how", ["options", "variables"])
def test_config_and_env(run: Run, how: str) -> None:
    """The configuration and its overlay are chosen by options or by variables."""
    Path("other.toml").write_text('[env.test.store]\npath = "test.db"\n')
    if how == "options":
        run("--config", "other.toml", "--env", "test", "ingest", "quotes.csv")
    else:
        run("ingest", "quotes.csv", FPA_CONFIG="other.toml", FPA_ENV="test")
    assert Path("test.db").exists()
    assert not Path("portfolio.db").exists()


# ingest


def test_ingest_for_people(run: Run) -> None:
    """One file is told in a few lines: counts, what was flagged, notes, and where to look further."""
    lines = run("ingest", "quotes.csv", "--origin", "fxcm").stdout.splitlines()
    assert lines[0].startswith("quotes.csv: quotes, batch 1, ")
    assert "  4 read, 4 inserted, 0 duplicate, 0 revised, 0 quarantined" == lines[1]
    assert ["  flagged 1 x quote.crossed", "  flagged 1 x quote.one_sided", "  flagged 1 x time.shared"] == lines[2:]
    text = run("ingest", "bars.csv").stdout
    assert "  4 read, 2 inserted, 0 duplicate, 0 revised, 2 quarantined\n" in text
    assert "  see: fpa quarantine list --batch 2\n" in text
    Path("more.csv").write_text(BARS.replace("symbol", "colour,symbol").replace("\nA", "\nred,A"))
    assert "  note: columns not read: colour\n" in run("ingest", "more.csv").stdout


def test_ingest_for_machines(run: Run) -> None:
    """One file is one result."""
    found = only(run("ingest", "bars.csv", "--json"))
    assert dict(zip(COUNTS, (4, 2, 0, 0, 2), strict=True)) == {name: found[name] for name in COUNTS}
    assert (1, "bars", "bars.csv", "files", {}, []) == tuple(
        found[name] for name in ("batch", "kind", "file", "origin", "warnings", "notes")
    )
    assert 0 <= found["seconds"] < 60


def test_ingest_many_for_machines(run: Run) -> None:
    """Several files are totals and one entry a file; one that cannot be read is told among them, and the exit code is its."""
    result = run("ingest", "quotes.csv", "no.csv", "bars.csv", "quotes.csv", "--json", expect=7)
    found = envelope(result)
    assert dict(zip(COUNTS, (12, 6, 4, 0, 2), strict=True)) == found["summary"]
    files = found["results"]
    assert [1, None, 2, 3] == [entry.get("batch") for entry in files]
    assert ["quotes.csv", "no.csv", "bars.csv", "quotes.csv"] == [entry["file"] for entry in files]
    assert {"file": "no.csv", "error": found["error"]} == files[1]
    assert ("no.csv: file not found", 7) == (found["error"]["message"], found["error"]["exit_code"])
    assert [4, 4, 4] == [entry["read"] for entry in files if "read" in entry]
    assert "error: no.csv: file not found\n" == result.stderr


def test_ingest_many_for_people(run: Run) -> None:
    """Several files end with their totals."""
    lines = run("ingest", "quotes.csv", "quotes.csv").stdout.splitlines()
    assert "2 files: 8 read, 4 inserted, 4 duplicate, 0 revised, 0 quarantined" == lines[-1]
    assert run("ingest", "no.csv", "quotes.csv", expect=7).stdout.splitlines()[-1].startswith("2 files: 4 read")


def test_ingest_hints(run: Run) -> None:
    """What a file leaves open is said with options."""
    Path("prices.csv").write_text("timestamp,close\n1986-01-02T00:00:00Z,25.56\n")
    run("ingest", "prices.csv", "--kind", "bars", "--symbol", "WTI", "--interval", "1d", "--origin", "eia")
    assert [("WTI", "bars", 1)] == [(e["symbol"], e["kind"], e["rows"]) for e in answer(run("inventory", "--json"))]
    Path("positions.csv").write_text("symbol,quantity,market_value,timestamp\nA,1,2,1986-01-02T00:00:00Z\n")
    run("ingest", "positions.csv", "--account", "margin")
    assert "A,1,2,,,,1986-01-02T00:00:00Z,margin" in run("query", "positions", "--format", "csv").stdout
    assert ["files", "files:eia"] == [batch["origin"] for batch in answer(run("batches", "--json"))]


# validate


def test_validate(run: Run) -> None:
    """The verdict is told by rule with the first example; errors exit with 1, and nothing is stored."""
    text = run("validate", "bars.csv", expect=1).stdout
    assert text.startswith("bars.csv: 4 rows, invalid\n")
    assert re.search(r"^record\.shape +error +4 +1 +row 3: ", text, re.MULTILINE)
    assert re.search(r"^bar\.range +error +3 +1 +row 2: .*close 3", text, re.MULTILINE)
    assert "quotes.csv: 4 rows, valid\n" in run("validate", "quotes.csv").stdout
    assert "" == run("validate", "quotes.csv", "--strict", expect=1).stderr
    assert not Path("portfolio.db").exists()


def test_validate_for_machines(run: Run) -> None:
    """Each file is a result, and the verdict is one of all."""
    one = only(run("validate", "quotes.csv", "--json"))
    assert ("quotes.csv", True, 4, 1) == (
        one["file"],
        one["valid"],
        one["rows"],
        one["rules"]["quote.crossed"]["failed"],
    )
    assert {"rule", "severity", "message", "observed", "row"} == one["findings"][0].keys()
    many = envelope(run("validate", "quotes.csv", "bars.csv", "--json", expect=1))
    assert (False, [True, False]) == (many["summary"]["valid"], [entry["valid"] for entry in many["results"]])


def test_validate_writes_a_report(run: Run) -> None:
    """The report is a page of its own beside what is printed; of a file that cannot be read there is none, and an earlier one stays."""
    done = run("validate", "quotes.csv", "bars.csv", "--html", "report.html", "--json", expect=1)
    assert "report written to report.html\n" == done.stderr
    assert envelope(run("validate", "quotes.csv", "bars.csv", "--json", expect=1)) == json.loads(done.stdout)
    text = Path("report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert all(f"<bdi>{name}</bdi></h1>" in text for name in ("quotes.csv", "bars.csv"))
    run("validate", "no.csv", "--html", "report.html", expect=7)
    assert text == Path("report.html").read_text(encoding="utf-8")
    assert not Path("portfolio.db").exists()


def test_validate_what_cannot_be_read(run: Run) -> None:
    """A file that cannot be read is not valid and not invalid: it is an error of its own."""
    assert "file not found" in run("validate", "no.csv", expect=7).stderr


# query


def test_query_table(filled: Run) -> None:
    """A table has the columns that hold something, numbers flush right, exact."""
    lines = filled("query", "quotes", "A").stdout.splitlines()
    assert ["symbol", "timestamp", "bid", "ask", "bid_size", "ask_size"] == lines[0].split()
    assert 3 == len(lines) - 1
    assert "A       2024-05-01T13:30:00.000000001Z  1.1  1.2       100       200" == lines[1]
    assert "no trades\n" == filled("query", "trades", "nobody").stdout


def test_query_table_shows_forty(run: Run) -> None:
    """Without a limit a table shows the first rows and says of how many; with one it shows what was asked for."""
    rows = "".join(f"A,{ns_text(i)},1,2\n" for i in range(1_234))
    Path("many.csv").write_text("symbol,timestamp,bid,ask\n" + rows)
    run("ingest", "many.csv")
    result = run("query", "quotes")
    assert 41 == len(result.stdout.splitlines())
    assert "showing the first 40 of 1,234 rows; use --limit for more, or --format csv for all\n" == result.stderr
    limited = run("query", "quotes", "--limit", "50")
    assert (51, "") == (len(limited.stdout.splitlines()), limited.stderr)
    assert "no quotes\n" == run("query", "quotes", "--limit", "0").stdout
    Path("forty.csv").write_text("symbol,timestamp,bid,ask\n" + rows.replace("A,", "B,")[: rows.index(ns_text(40)) - 2])
    run("ingest", "forty.csv")
    exact = run("query", "quotes", "B")
    assert (41, "") == (len(exact.stdout.splitlines()), exact.stderr)


def test_query_csv(filled: Run) -> None:
    """CSV has the columns of the kind, exact, in order of symbol and time, with nothing where nothing is."""
    result = filled("query", "quotes", "--format", "csv")
    assert (
        "symbol,timestamp,bid,ask,bid_size,ask_size,bid_exchange,ask_exchange,conditions\n"
        "A,2024-05-01T13:30:00.000000001Z,1.1,1.2,100,200,,,\n"
        "A,2024-05-01T13:30:00.000000001Z,1.1,1.2,100,200,,,\n"
        "A,2024-05-01T13:30:02Z,1.3,1.2,100,200,,,\n"
        "B,2024-05-01T13:30:01Z,7,,300,,,,\n"
    ) == result.stdout
    assert "" == result.stderr


def test_query_jsonl(filled: Run) -> None:
    """JSON Lines has one object a row, decimals as strings."""
    rows = [json.loads(line) for line in filled("query", "bars", "A", "--format", "jsonl").stdout.splitlines()]
    assert [("2024-05-01T00:00:00Z", "1d", "1.25"), ("2024-05-01T13:30:00Z", "1m", "1.5")] == [
        (row["timestamp"], row["interval"], row["close"]) for row in rows
    ]


CONDITIONS = {
    "start": (["--start", "2024-05-01T13:30:01Z"], 2),
    "end": (["--end", "2024-05-01T13:30:01Z"], 2),
    "day": (["--start", "2024-05-01", "--end", "2024-05-02"], 4),
    "empty day": (["--start", "2024-05-02"], 0),
    "limit": (["--limit", "1"], 1),
    "where": (["--where", "bid=1.100"], 2),
    "two": (["--where", "bid=1.1", "--where", "timestamp=2024-05-01T13:30:02Z"], 0),
    "missing": (["--where", "ask="], 1),
    "batch": (["--batch", "1"], 4),
    "other batch": (["--batch", "2"], 0),
    "before": (["--as-known-at", "2000-01-01"], 0),
    "now": (["--as-known-at", "2100-01-01"], 4),
}


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
@pytest.mark.parametrize(("options", "rows"), CONDITIONS.values(), ids=CONDITIONS)
def test_query_conditions(filled: Run, options: list[str], rows: int, form: str) -> None:
    """Each condition selects the same rows in every format."""
    lines = filled("query", "quotes", *options, "--format", form).stdout.splitlines()
    assert rows == (len(lines) - (form != "jsonl") if lines != ["no quotes"] else 0)


def test_query_latest_first(filled: Run) -> None:
    """Rows can be counted and shown from the end."""
    found = filled("query", "quotes", "A", "--latest-first", "--limit", "1", "--format", "csv").stdout.splitlines()
    assert found[1].startswith("A,2024-05-01T13:30:02Z")


@pytest.mark.parametrize(
    "option", [["--start", "soon"], ["--end", "2024-05-01T13:30:00"], ["--where", "bid=much"]], ids=" ".join
)
def test_query_with_a_wrong_value(filled: Run, option: list[str]) -> None:
    """A value that is none exits with 7 and names what it was given for."""
    result = filled("query", "quotes", *option, expect=7)
    assert option[-1].split("=")[0].strip("-") in result.stderr or option[0].strip("-") in result.stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_round_trip(filled: Run, folder: Path, form: str) -> None:
    """What is written to a file and ingested elsewhere is the same, row for row."""
    target = folder / f"out.{form}"
    result = filled("query", "quotes", "--format", form, "-o", target)
    assert ("", f"4 quotes written to {target}\n") == (result.stdout, result.stderr)
    elsewhere = {"FPA_STORE__PATH": str(folder / "elsewhere.db")}
    assert 4 == only(filled("ingest", target, "--json", **elsewhere))["inserted"]
    before, after = (filled("query", "quotes", "--format", "csv", **where).stdout for where in ({}, elsewhere))
    assert before == after
    assert 0 == only(filled("ingest", target, "--json"))["inserted"]


def test_query_parquet(filled: Run, folder: Path) -> None:
    """Parquet goes to a file or a pipe, with exact decimals."""
    filled("query", "quotes", "A", "--format", "parquet", "-o", "a.parquet")
    rows = pq.read_table(folder / "a.parquet")
    assert [Decimal("1.1"), Decimal("1.1"), Decimal("1.3")] == rows["bid"].to_pylist()
    piped = filled("query", "quotes", "A", "--format", "parquet").stdout_bytes
    assert rows.equals(pq.read_table(io.BytesIO(piped)))


def test_parquet_is_not_for_a_terminal(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is not poured over a terminal."""
    from click.testing import _NamedTextIOWrapper

    monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    assert "give a file with --output" in filled("query", "quotes", "--format", "parquet", expect=2).stderr


def test_a_table_in_a_file_is_csv(filled: Run) -> None:
    """Without a format a file gets CSV."""
    filled("query", "trades", "--output", "t.csv")
    assert "A,2024-05-01T13:30:00Z,1.15,10,,,,\n" == Path("t.csv").read_text().splitlines(keepends=True)[1]


def test_query_of_every_kind(run: Run) -> None:
    """Portfolio records are queried like market data; the subject of a snapshot is its account."""
    with fpa_core.open() as layer:
        layer.ingest(Order("1", "A", 5, "buy", "limit", limit_price="1.5", timestamp=Instant(1), updated_at=Instant(1)))
        layer.ingest(PortfolioSnapshot(Instant(1), 10, cash=9, account="margin", positions=[Position("A", 1, 1, 1)]))
    assert "limit" in run("query", "orders", "A", "--where", "status=new").stdout
    assert "margin" in run("query", "positions", "A", "--where", "account=margin").stdout
    assert [
        "timestamp,total_value,buying_power,day_pnl,total_pnl,cash,currency,account",
        "1970-01-01T00:00:00.000000001Z,10,,,,9,USD,margin",
    ] == run("query", "snapshots", "margin", "--format", "csv").stdout.splitlines()


# latest, inventory, batches, undo


def test_latest(filled: Run) -> None:
    """The last quote and trade of a symbol, and its last bar of each interval."""
    lines = filled("latest", "A").stdout.splitlines()
    assert ["quote", "trade", "bar", "bar"] == [
        line.split()[0] for line in lines if line.split()[0] in {"quote", "trade", "bar"}
    ]
    assert "bid 1.3, ask 1.2" in "\n".join(lines)
    found = answer(filled("latest", "A", "--json"))
    assert ["quote", "trade", "bar", "bar"] == [one["kind"] for one in found]
    assert ["1d", "1m"] == [one["interval"] for one in found[2:]]
    assert "nobody: nothing stored\n" == filled("latest", "nobody").stdout
    assert [] == answer(filled("latest", "nobody", "--json"))


def test_max_age(filled: Run) -> None:
    """Old data are refused when fresh ones are demanded, with how old the newest is, and nothing is printed."""
    for command in (["latest", "A"], ["query", "quotes", "A"], ["query", "quotes", "A", "--format", "csv"]):
        assert filled(*command, "--max-age", "30000d").stdout
        refused = filled(*command, "--max-age", "1h", expect=7)
        assert "of A is " in refused.stderr
        assert "one of the last 1h was asked for" in refused.stderr
        assert "" == refused.stdout
    assert "there are no quotes of nobody" in filled("latest", "nobody", "--max-age", "1h", expect=7).stderr
    filled("latest", "A", "--max-age", "soon", expect=7)


def test_inventory(filled: Run) -> None:
    """What is stored: by kind and symbol, rows, first and last time."""
    rows = [line.split() for line in filled("inventory").stdout.splitlines()]
    assert ["quotes", "A", "3", "2024-05-01T13:30:00.000000001Z", "2024-05-01T13:30:02Z"] == rows[1]
    assert ["quotes", "quotes", "trades", "bars"] == [row[0] for row in rows[1:]]
    assert [
        {"kind": "trades", "symbol": "A", "rows": 1, "first": "2024-05-01T13:30:00Z", "last": "2024-05-01T13:30:00Z"}
    ] == answer(filled("inventory", "trades", "--json"))
    assert "nothing stored yet\n" == filled("inventory", "orders").stdout


def test_batches_and_undo(filled: Run) -> None:
    """Batches are listed, latest first, and can be taken back once; that is a batch too."""
    found = answer(filled("batches", "--json"))
    assert [(3, "trades.csv", 1), (2, "bars.csv", 4), (1, "quotes.csv", 4)] == [
        (b["id"], b["file"], b["read"]) for b in found
    ]
    assert all(batch["recorded"].startswith("20") and batch["recorded"].endswith("Z") for batch in found)
    assert "batch 1 undone: 4 rows changed (as batch 4)\n" == filled("undo", "1").stdout
    assert "no quotes\n" == filled("query", "quotes").stdout
    lines = filled("batches", "--limit", "4").stdout.splitlines()
    assert ["4", "3", "2", "1"] == [line.split()[0] for line in lines[1:]]
    assert "4" == lines[-1].split()[-1]
    assert "already undone, by batch 4" in filled("undo", "1", expect=7).stderr
    assert "there is no batch 99" in filled("undo", "99", expect=7).stderr
    again = only(filled("undo", "4", "--json"))
    assert ("undo:4", ["batch 4 undone: 4 rows changed"]) == (again["origin"], again["notes"])
    assert 4 == len(filled("query", "quotes", "--format", "jsonl").stdout.splitlines())
    assert 1 == len(answer(filled("batches", "--limit", "1", "--json")))


def test_no_batches(run: Run) -> None:
    """A new database has no batches and says so."""
    fpa_core.open("portfolio.db").close()
    assert "no batches yet\n" == run("batches").stdout
    assert [] == answer(run("batches", "--json"))


@pytest.mark.parametrize(
    "arguments",
    [
        "inventory",
        "batches",
        "query quotes",
        "latest AAPL",
        "quarantine list",
        "audit",
        "undo 1",
        "store stats",
        "store seal",
        "store check",
        "store backup",
        "store compact",
        "store retain",
        "store grant reports --read-only",
        "coverage",
        "gaps quotes",
        "sql select(1)",
        "audit-log show",
        "audit-log verify",
        "audit-log export log.jsonl",
        "publish --to iceberg",
        "portfolio positions",
        "portfolio lots",
        "portfolio pnl",
        "portfolio equity",
        "portfolio reconcile",
    ],
)
def test_reading_in_the_wrong_folder_makes_no_database(run: Run, folder: Path, arguments: str) -> None:
    """Commands that need a database say that there is none, and where it would be, instead of creating an empty one."""
    assert f"there is no database at {folder / 'portfolio.db'}" in run(*arguments.split(), expect=5).stderr
    assert not list(folder.glob("*.db*"))


# quarantine


def test_quarantine(filled: Run) -> None:
    """Refused records are listed with what they broke, and shown as they came with the reason."""
    lines = filled("quarantine", "list").stdout.splitlines()
    assert 3 == len(lines)
    assert any("bar.range" in line and "2024-05-01T13:31:00Z" in line for line in lines)
    assert "nothing in quarantine\n" == filled("quarantine", "list", "--batch", "1").stdout
    found = answer(filled("quarantine", "list", "--limit", "1", "--json"))
    assert 1 == len(found)
    records = answer(filled("quarantine", "list", "--json"))
    by_rule = {finding["rule"]: one for one in records for finding in one["findings"]}
    shapeless, refused = by_rule["record.shape"], by_rule["bar.range"]
    assert (3, None, 2, "2024-05-01T13:31:00Z") == (
        shapeless["row"],
        shapeless["timestamp"],
        refused["row"],
        refused["timestamp"],
    )
    text = filled("quarantine", "show", refused["id"]).stdout
    assert f"record {refused['id']} of batch 2, row 2 of its source, bars, open\n" in text
    assert "error bar.range: " in text
    assert "A,yesterday,1,2,0.5,1,5,1m" in filled("quarantine", "show", shapeless["id"]).stdout
    assert refused == only(filled("quarantine", "show", refused["id"], "--json"))


# plugins, rules, cache


def test_plugins(run: Run) -> None:
    """Plugins are listed with their distribution, version, status, and what they provide."""
    lines = run("plugins").stdout.splitlines()
    assert ["plugin", "distribution", "version", "status", "provides"] == lines[0].split()
    assert any(
        re.match(r"memory +financial-portfolio-automation +\S+ +loaded +.*caches: memory", line) for line in lines
    )
    Path("fpa.toml").write_text('[plugins]\nblock = ["disk"]\n')
    found = {one["name"]: one for one in answer(run("plugins", "--json"))}
    assert ("blocked", "loaded") == (found["disk"]["status"], found["sqlite"]["status"])
    assert {"fpa_register_stores": ["sqlite"]} == found["sqlite"]["provides"]


def test_rules(run: Run) -> None:
    """Rules are listed with severity, parameters and where they come from; one of them is explained in full."""
    Path("fpa.toml").write_text('[validator.rules."quote.spread"]\nmax_rel = "0.02"\n')
    text = run("rules").stdout
    assert re.search(
        r"^quote\.spread +quotes +row +warning +max_rel=0\.02\* +financial-portfolio-automation \S+$",
        text,
        re.MULTILINE,
    )
    found = {rule["id"]: rule for rule in answer(run("rules", "--json"))}
    spread = found["quote.spread"]
    assert ("0.02", "0.1", "rules") == (
        str(spread["parameters"]["max_rel"]), str(Decimal(spread["defaults"]["max_rel"]).normalize()), spread["plugin"],
    )  # fmt: skip
    shown = run("rules", "show", "quote.spread").stdout
    assert shown.startswith("quote.spread: ")
    assert "severity warning (by the level); applies to quotes; from financial-portfolio-automation" in shown
    assert "max_rel = 0.02 [of the mid price]  (default 0.10; fpa.toml:2)" in shown
    assert "disabled: " in run("rules", "show", "trade.luld").stdout
    assert spread == only(run("rules", "show", "quote.spread", "--json"))
    Path("fpa.toml").write_text('[validator]\nlevel = "off"\n')
    assert "no rules enabled: the level is off\n" == run("rules").stdout


def test_cache(run: Run) -> None:
    """The cache tells its figures and can be emptied; what a cache on disk holds is there for the next command."""
    figures = dict(line.split(maxsplit=1) for line in run("cache", "stats").stdout.splitlines()[1:])
    assert ("memory", "0") == (figures["backend"], figures["entries"])
    Path("fpa.toml").write_text('[cache]\nbackend = "disk"\npath = "cache"\n')
    run("ingest", "quotes.csv")
    with fpa_core.open() as layer:
        layer.select("quotes", "A").to_list()
    found = only(run("cache", "stats", "--json"))
    assert ("disk", 1) == (found["backend"], found["entries"])
    assert {"dropped": 1} == only(run("cache", "clear", "--json"))
    assert "0 entries removed\n" == run("cache", "clear").stdout


@pytest.fixture
def on_disk(run: Run) -> Run:
    """Store quotes, with a cache on disk."""
    Path("fpa.toml").write_text('[cache]\nbackend = ["memory", "disk"]\n[cache.disk]\npath = "cache"\n')
    run("ingest", "quotes.csv", "trades.csv")
    return run


def test_cache_warm(on_disk: Run) -> None:
    """Warming makes what a program then finds; what is there is left; one that fails is told, and its exit code kept."""
    told = only(on_disk("cache", "warm", "quotes", "--json"))
    assert (2, 0, {}) == (told["loaded"], told["present"], told["failed"])
    assert "1 results loaded, 1 already cached, 0 failed\n" == on_disk("cache", "warm", "quotes", "A", "NONE").stdout
    assert (
        1
        == only(on_disk("cache", "warm", "quotes", "A", "--form", "arrow", "--start", "2024-05-01", "--json"))["loaded"]
    )
    with fpa_core.open() as layer:
        layer.select("quotes", "A").to_list()
        layer.select("quotes", "A", start="2024-05-01").to_arrow()
        assert 2 == layer.cache.get_stats().hits
    failed = on_disk("cache", "warm", "quotes", "A", "--start", "soon", expect=7)
    assert "1 failed" in failed.stdout
    assert "A: " in failed.stderr


def test_warming_a_memory_cache_is_remarked(run: Run) -> None:
    """What ends with the command was of no use, and the command says so."""
    run("ingest", "quotes.csv")
    assert "is lost when this command ends" in run("cache", "warm", "quotes").stderr


def test_cache_keys_and_get(on_disk: Run) -> None:
    """Keys are listed by pattern, values shown with their age, and a miss has its reason and exit code 1."""
    on_disk("cache", "warm", "quotes", "A")
    on_disk("cache", "warm", "quotes", "A", "--form", "arrow")
    on_disk("cache", "warm", "trades", "A", "--form", "count")
    keys = [one["key"] for one in answer(on_disk("cache", "keys", "quotes:*", "--json"))]
    assert 2 == len([key for key in keys if key.startswith(("quotes:records", "quotes:table"))])
    (count,) = on_disk("cache", "keys", "trades:count:*").stdout.splitlines()
    shown = on_disk("cache", "get", count)
    assert "1\n" == shown.stdout
    assert re.fullmatch(r"\d\.\d s old, expires in 29\d\.\d s\n|0\.0 s old, expires in 300\.0 s\n", shown.stderr)
    found = [only(on_disk("cache", "get", key, "--json")) for key in keys if ":inventory" not in key]
    values = {type(one["value"]): one["value"] for one in found}
    assert "A" == values[list][0]["symbol"]
    assert 3 == values[dict]["rows"]
    assert all(one["found"] and one["age"] >= 0 and one["remaining"] > 0 for one in found)
    assert "no value: absent\n" == on_disk("cache", "get", "missing", expect=1).stderr
    missing = on_disk("cache", "get", "missing", "--json", expect=1)
    assert {"key": "missing", "found": False, "reason": "absent"} == only(missing)


def test_cache_get_shows_any_value(on_disk: Run) -> None:
    """Values of programs are shown as JSON may have them."""
    with fpa_core.open() as layer:
        layer.cache.set("k", {"record": Position("A", 1, 2, 3), "many": (1, b"12"), "price": Decimal("1.50")}, None)
    shown = on_disk("cache", "get", "k")
    value = json.loads(shown.stdout)
    assert ("A", [1, "2 bytes"], "1.50") == (value["record"]["symbol"], value["many"], value["price"])
    assert "never expires" in shown.stderr


def test_cache_invalidate(on_disk: Run) -> None:
    """A pattern drops keys and tells how many; a tag ends what bears it; with neither the usage is wrong."""
    on_disk("cache", "warm", "quotes", "A", "B")
    assert {"dropped": None, "tags": ["quotes/A"]} == only(
        on_disk("cache", "invalidate", "--tag", "quotes/A", "--json")
    )
    told = only(on_disk("cache", "warm", "quotes", "A", "B", "--json"))
    assert (1, 1) == (told["loaded"], told["present"])
    assert (
        "invalidated all entries with the tags: x, y\n"
        == on_disk("cache", "invalidate", "--tag", "x", "--tag", "y").stdout
    )
    assert "2 entries removed\n" == on_disk("cache", "invalidate", "quotes:records:*").stdout
    assert "give a PATTERN" in on_disk("cache", "invalidate", expect=2).stderr


def test_a_screenful_of_a_query_comes_through_the_cache(on_disk: Run) -> None:
    """What a table shows is remembered for the next command, and never older than an ingest; larger tables and files are not kept."""
    first = on_disk("query", "quotes", "A").stdout
    assert first == on_disk("query", "quotes", "A").stdout
    assert 1 == len(answer(on_disk("cache", "keys", "quotes:table:*", "--json")))
    Path("more.csv").write_text("symbol,timestamp,bid,ask\nA,2024-05-01T14:00:00Z,1,2\n")
    on_disk("ingest", "more.csv")
    assert 1 + len(first.splitlines()) == len(on_disk("query", "quotes", "A").stdout.splitlines())
    on_disk("query", "quotes", "A", "--limit", 100_000)
    on_disk("query", "quotes", "A", "--format", "csv")
    assert 1 == len(answer(on_disk("cache", "keys", "quotes:table:*", "--json")))


# store


def test_store_stats_and_seal(filled: Run) -> None:
    """The figures of the database show single rows becoming sealed ones, for people and machines alike."""
    before = envelope(filled("store", "stats", "--json"))
    quotes = next(one for one in before["results"] if one["kind"] == "quotes")
    assert ("sqlite", quotes["rows"], 0) == (before["summary"]["backend"], quotes["hot"], quotes["sealed"])
    done = only(filled("store", "seal", "quotes", "--json"))
    assert quotes["rows"] == done["rows"]
    after = next(one for one in answer(filled("store", "stats", "--json")) if one["kind"] == "quotes")
    assert (0, quotes["rows"]) == (after["hot"], after["sealed"])
    text = filled("store", "stats").stdout
    assert "engine: SQLite" in text
    assert "bytes per sealed row" in text
    assert "0 rows of 0 symbols sealed into 0 segments\n" == filled("store", "seal", "quotes").stdout
    assert "1 rows of 1 symbols sealed into 1 segments\n" == filled("store", "seal", "trades", "A").stdout


# demo


def test_demo_of_a_year(run: Run) -> None:
    """The year of two accounts is stored without a rejected record, adds up, and can be asked about; again, it adds nothing."""
    text = run("demo", "d", "--quotes", "1000", "--year").stdout
    assert 2 == text.count("; everything adds up\n")
    again = only(run("demo", "d", "--quotes", "1000", "--year", "--json"))["year"]
    assert (0, 0) == (again["receipt"]["inserted"], again["receipt"]["rejected"])
    assert ["main", "ira"] == [one["account"] for one in again["accounts"]]
    assert all(one["discrepancies"] == 0 and one["positions"] for one in again["accounts"])
    positions = answer(run("--config", "d/fpa.toml", "portfolio", "positions", "main", "--json"))
    assert any(float(one["quantity"]) < 0 for one in positions), "a short one is among them"


def test_demo(run: Run, folder: Path) -> None:
    """The demo leaves a database that one can go on using, says what it did, and can be run again."""
    text = run("demo", "d", "--quotes", "2000", "--seed", "3").stdout
    assert " duplicates." in text
    assert "flagged by quote.crossed" in text
    assert f"cd {Path('d')}" in text
    again = only(run("demo", "d", "--quotes", "2000", "--seed", "3", "--json"))
    assert [0, 0] == [entry["inserted"] for entry in again["files"]]
    assert all(entry["read"] == sum(entry[name] for name in COUNTS[1:]) for entry in again["files"])
    assert {"folder", "seed", "files", "portfolio", "again", "cache", "inventory"} == again.keys()
    found = answer(run("--config", "d/fpa.toml", "inventory", "--json"))
    assert again["inventory"] == len(found)
    assert {"quotes", "trades", "orders", "positions", "snapshots"} == {one["kind"] for one in found}
    assert not (folder / "portfolio.db").exists()


def test_demo_shows_what_it_set_aside(run: Run) -> None:
    """A longer day has rows that are no records; the demo shows some of them with the reason."""
    text = run("demo", "--quotes", "25000").stdout
    assert "Quarantined, each with its reason (fpa quarantine list):" in text
    assert "halted" in text


def test_demo_is_the_same_for_a_seed(run: Run, folder: Path) -> None:
    """The same seed makes the same bytes, another one others."""
    for target, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("demo", target, "--quotes", "1000", "--seed", seed)
    a, b, c = ((folder / name / "quotes.csv.gz").read_bytes() for name in "abc")
    assert a == b != c


def test_demo_keeps_to_its_folder(run: Run, folder: Path) -> None:
    """Variables that name a database in earnest, or an environment, do not turn the demo there."""
    run("demo", "d", "--quotes", "1000", FPA_STORE__PATH=str(folder / "earnest.db"), FPA_ENV="prod")
    assert (folder / "d" / "portfolio.db").exists()
    assert not (folder / "earnest.db").exists()


# Logging, progress, terminals


def test_log_level(run: Run) -> None:
    """Messages, those of loading plugins too, go where [logging] says; the level of the command line outranks its level."""
    Path("fpa.toml").write_text(
        '[plugins]\nblock = ["acme"]\n[logging]\nlevel = "ERROR"\nformat = "json"\nfile = "fpa.log"\n'
    )
    assert ("", "") == (run("plugins").stderr, Path("fpa.log").read_text())
    line = run("--log-level", "warning", "plugins").stderr
    assert "plugins.block names acme, which is not installed" == json.loads(line)["message"]
    assert line == Path("fpa.log").read_text()


def test_progress_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows how far a file has been read; in a pipe there is silence."""
    from click.testing import _NamedTextIOWrapper

    assert "" == run("ingest", "quotes.csv").stderr
    monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    result = run("ingest", "quotes.csv", "--json", TERM="xterm", COLUMNS="80")
    assert "quotes.csv" in result.stderr
    assert "100%" in result.stderr
    assert result.stdout.count("\n") > 1, "JSON is indented on a terminal"


# Processes


def test_module_is_the_command(folder: Path) -> None:
    """``python -m fpa_core`` is ``fpa``: data on standard output, messages on standard error, the exit code of the error."""
    assert (0, "") == ((done := fpa("ingest", "quotes.csv", "--json", cwd=folder)).returncode, done.stderr)
    assert 4 == json.loads(done.stdout)["results"][0]["inserted"]
    failed = fpa("ingest", "no.csv", cwd=folder)
    assert (7, "", "error: no.csv: file not found\n") == (failed.returncode, failed.stdout, failed.stderr)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_broken_pipe(folder: Path, run: Run, form: str) -> None:
    """A reader that has seen enough, such as ``head``, ends a query without a word."""
    rows = "".join(f"A,{ns_text(i)},1,2\n" for i in range(50_000))
    (folder / "many.csv").write_text("symbol,timestamp,bid,ask\n" + rows)
    assert 0 == run("ingest", "many.csv").exit_code
    command = [sys.executable, "-m", "fpa_core", "query", "quotes", "--format", form]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert b"" == process.stderr.read()
        process.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="no signal of that kind")
def test_interrupt(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """An interrupt ends a command with 130 and leaves nothing of its batch."""

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("fpa_core.layer.DataLayer.ingest", interrupted)
    result = run("ingest", "quotes.csv", expect=130)
    assert ("", "interrupted\n") == (result.stdout, result.stderr)
    assert [] == answer(run("batches", "--json"))


SHELLS = {"bash": "complete -o nosort -F", "zsh": "#compdef fpa", "fish": "complete --no-files --command fpa"}


@pytest.mark.filterwarnings(
    "ignore"
)  # click looks for the version of bash, and warns where it is an old one or missing
@pytest.mark.parametrize(("shell", "phrase"), SHELLS.items())
def test_completion_scripts(run: Run, shell: str, phrase: str) -> None:
    """The completion script of each shell is printed."""
    text = run("completion", shell).stdout
    assert phrase in text
    assert "_FPA_COMPLETE" in text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("fpa que", "query"),
        ("fpa query qu", "quotes"),
        ("fpa query quotes --fo", "--format"),
        ("fpa quarantine ", "show"),
    ],
)
def test_completion_answers(folder: Path, typed: str, expected: str) -> None:
    """What the script asks is answered: commands, kinds, options."""
    environment = os.environ | {
        "_FPA_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }  # fmt: skip
    done = fpa(cwd=folder, env=environment)
    assert expected in [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_kinds_and_formats_are_those_of_the_library() -> None:
    """The command line offers every kind and every format there is."""
    from fpa_core.export import FORMATS
    from fpa_core.kinds import KINDS

    assert list(KINDS) == data.KINDS
    assert ["table", *FORMATS] == data.FORMATS


def test_sql(filled: Run, folder: Path) -> None:
    """`fpa sql` prints a table, CSV, JSON Lines or one list, writes files, takes values, and refuses what is not a question."""
    run = filled
    pytest.importorskip("duckdb")
    query = "select symbol, bid, ts_ns from quotes where symbol = ? order by ts_ns limit 1"
    assert ["symbol  bid                ts_ns", "A       1.1  1714570200000000001"] == run(
        "sql", query, "-p", "A"
    ).stdout.splitlines()
    assert "symbol,bid,ts_ns\nA,1.1,1714570200000000001\n" == run("sql", query, "-p", "A", "--format", "csv").stdout
    assert [{"symbol": "A", "bid": "1.1", "ts_ns": 1714570200000000001}] == answer(
        run("sql", query, "-p", "A", "--json")
    )
    assert "1 rows written to one.parquet" in run("sql", query, "-p", "A", "-o", "one.parquet").stderr
    assert [Decimal("1.1")] == pq.read_table(folder / "one.parquet")["bid"].to_pylist()
    assert "no rows\n" == run("sql", query, "-p", "NONE").stdout
    assert "SQL only reads" in run("sql", "drop table quotes", expect=7).stderr
    assert "cannot" not in run("sql", "select 1 as x", "--json", "--format", "csv", expect=2).stdout
    assert "tables: quotes" in run("sql", "select * from nothing", expect=7).stderr


def test_query_as_json(filled: Run) -> None:
    """`fpa query --json` prints one list, of as many rows as asked for, exactly."""
    (first,) = answer(filled("query", "quotes", "A", "--limit", "1", "--json"))
    assert ("A", "1.1", "1.2", "2024-05-01T13:30:00.000000001Z") == (
        first["symbol"],
        first["bid"],
        first["ask"],
        first["timestamp"],
    )
    assert "ask_exchange" not in first
    assert [] == answer(filled("query", "quotes", "NONE", "--json"))
    assert "--format jsonl" in filled("query", "quotes", "--json", "--format", "csv", expect=2).stderr


@pytest.mark.parametrize("group", [(), ("portfolio",), ("store",), ("quarantine",), ("config",), ("cache",)])
def test_a_group_without_a_command_shows_its_help(run: Run, group: tuple[str, ...]) -> None:
    """Who names no command gets the list of them, as text and not as one line of an error, and the exit code of wrong usage."""
    result = run(*group, expect=2)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"Usage: {' '.join(('fpa', *group))} ")
    assert "Commands:" in lines
