"""The commands about the quarantine, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from fpa_core.cli import main

BARS = """symbol,timestamp,open,high,low,close,volume,interval
A,2024-05-01T13:30:00Z,1,2,0.5,1.5,5,1m
A,2024-05-01T13:31:00Z,1,2,0.5,3,5,1m
A,yesterday,1,2,0.5,1,5,1m
B,2024-05-01T13:31:00Z,1,2,0.5,4,5,1m
"""

Run = Callable[..., Result]


class _Main(click.Command):
    def __init__(self) -> None:
        super().__init__("fpa")

    def main(self, args: Any = None, *_: Any, **__: Any) -> Any:
        return main.main(list(args))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``fpa`` in a folder with a database into which a file was ingested that has three bad rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars.csv").write_text(BARS, encoding="utf-8")

    def invoke(*arguments: object, expect: int = 0, says: str | None = None, **environment: str) -> Result:
        result = CliRunner().invoke(_Main(), [str(one) for one in arguments], input=says, env=environment)
        assert expect == result.exit_code, result.output
        return result

    invoke("ingest", "bars.csv", "--origin", "fxcm")
    return invoke


def answer(result: Result) -> Any:
    return json.loads(result.stdout)["results"]


def ids(run: Run, *options: str) -> list[int]:
    return [record["id"] for record in answer(run("quarantine", "list", "--json", *options))]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), 3),
        (("--symbol", "A"), 1),
        (("--symbol", "*"), 2),
        (("--rule", "record.*"), 1),
        (("--kind", "quotes"), 0),
        (("--origin", "files:*"), 3),
        (("--batch", "1", "--rule", "bar.range"), 2),
        (("--state", "discarded"), 0),
        (("--state", "any", "--limit", "2"), 2),
    ],
)
def test_list(run: Run, options: tuple[str, ...], found: int) -> None:
    """Each option narrows the list."""
    assert found == len(ids(run, *options))


def test_list_says_what_it_leaves_out(run: Run) -> None:
    """A list that is cut says how many there are beyond it."""
    result = run("quarantine", "list", "--limit", "1")
    assert (2, "2 more; use --limit to show them\n") == (len(result.stdout.splitlines()), result.stderr)


def test_fix(run: Run) -> None:
    """A record is mended by its columns; one that still breaks a rule is an error with exit code 1, a wrong change one of usage."""
    (record,) = ids(run, "--symbol", "A")
    assert "still breaks a rule: bar.range" in run("quarantine", "fix", record, "close=9", expect=1).stderr
    for change in ("close", "=3"):
        assert "COLUMN=VALUE" in run("quarantine", "fix", record, change, expect=2).stderr
    assert "colour" in run("quarantine", "fix", record, "colour=red", expect=7).stderr
    text = run("quarantine", "fix", record, "close=2", "volume=").stdout
    assert "bars.csv: bars, batch 2\n  1 validated: 1 inserted, 0 duplicate, 0 revised\n" == text
    assert "A,2024-05-01T13:31:00Z,1,2,0.5,2,,1m,," in run("query", "bars", "A", "--format", "csv").stdout
    (shapeless,) = ids(run, "--rule", "record.shape")
    (fixed,) = answer(run("quarantine", "fix", shapeless, "timestamp=2024-05-01T13:32:00Z", "--json"))
    assert (1, "files:fxcm", 3) == (fixed["inserted"], fixed["origin"], fixed["batch"])
    assert "fixed by batch 3" in run("quarantine", "show", shapeless).stdout


def test_replay(run: Run) -> None:
    """A replay says how many were stored and how many stay; in JSON with a receipt for each batch."""
    text = run("quarantine", "replay").stdout
    assert "bars.csv: bars, batch 2\n  3 validated: 0 inserted, 0 duplicate, 0 revised, 3 still quarantined\n" == text
    replayed = run("quarantine", "replay", "--json", *ids(run, "--symbol", "B"), FPA_VALIDATOR__LEVEL="lenient")
    totals = json.loads(replayed.stdout)["summary"]
    assert (1, 1, 0) == (totals["read"], totals["inserted"], totals["quarantined"])
    assert [3] == [receipt["batch"] for receipt in answer(replayed)]
    text = run("quarantine", "replay", "--ignore-rule", "bar.range", "--batch", "1").stdout
    assert "1 inserted" in text
    assert "1 still quarantined" in text
    assert "flagged 1 x bar.range" in text
    run("quarantine", "discard", "--batch", "1", "--yes")
    assert "nothing to replay\n" == run("quarantine", "replay").stdout
    assert "is unknown or disabled" in run("quarantine", "replay", "--ignore-rule", "bar.rang", expect=7).stderr


def test_replay_of_several_batches(run: Run) -> None:
    """Several batches are replayed one by one, and counted together at the end."""
    Path("more.csv").write_text(BARS.replace("B,", "C,"), encoding="utf-8")
    run("ingest", "more.csv")
    lines = run("quarantine", "replay", FPA_VALIDATOR__LEVEL="lenient").stdout.splitlines()
    assert "2 batches: 4 read, 3 inserted, 0 duplicate, 0 revised, 1 quarantined" == lines[-1]


def test_discard(run: Run) -> None:
    """Discarding says how many, wants a condition, and a confirmation where nobody can be asked."""
    assert "give record ids" in run("quarantine", "discard", "--yes", expect=2).stderr
    refusal = run("quarantine", "discard", "--rule", "bar.*", expect=2).stderr
    assert "this would discard 2 records; confirm with --yes" in refusal
    assert (
        "2 rejected records discarded (as batch 2)\n" == run("quarantine", "discard", "--rule", "bar.*", "--yes").stdout
    )
    none = run("quarantine", "discard", "--rule", "bar.*", "--yes", "--json")
    assert {"results": [], "summary": {"discarded": 0}, "error": None} == json.loads(none.stdout)
    assert "nothing to discard\n" == run("quarantine", "discard", 99, "--yes").stdout
    assert (1, 2) == (len(ids(run)), len(ids(run, "--state", "discarded")))
    run("undo", 2)
    assert 3 == len(ids(run))


def test_discard_asks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the question is asked, and anything but yes changes nothing."""
    monkeypatch.setattr("fpa_core.cli.quarantine._is_interactive", lambda: True)
    assert "Discard 3 records?" in run("quarantine", "discard", "--batch", "1", says="n\n", expect=1).stderr
    assert 3 == len(ids(run))
    run("quarantine", "discard", "--batch", "1", says="y\n")
    assert [] == ids(run)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_export(run: Run, form: str) -> None:
    """Records are written to a file, or to standard output."""
    out = Path(f"refused.{form}")
    told = run("quarantine", "export", "--format", form, "-o", out, "--symbol", "*").stderr
    assert f"2 records written to {out}\n" == told
    printed = run("quarantine", "export", "--format", form, "--symbol", "*")
    assert form == "parquet" or out.read_text() == printed.stdout
