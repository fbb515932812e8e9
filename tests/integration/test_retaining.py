"""Retention from the command line and the configuration: shown first, and done only when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fpa_core
from fpa_core.cli.main import main
from fpa_core.exceptions import ConfigError, DatabaseError
from fpa_core.models import Quote
from fpa_core.numbers import Instant

DAY = 86_400 * 10**9
MAY = 19_844 * DAY  # 1 May 2024

CONFIG = """
[store]
path = "test.db"
[retention]
hold = ["HELD"]
[retention.quotes]
keep = "90d"
bars = "1h"
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a configuration, and a store with quotes of May 2024 and of today."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fpa.toml").write_text(CONFIG)
    with fpa_core.open() as data:
        data.store.save([Quote(symbol, Instant(MAY + i), 1, 2) for symbol in ("OLD", "HELD") for i in range(10)])
        data.store.save([Quote("OLD", Instant(MAY + 40_000 * DAY), 1, 2)])
    return tmp_path


@pytest.fixture
def fpa(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and returns its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_shown_then_done(folder: Path, fpa: Run) -> None:
    """Without --apply nothing is deleted; with it, what was shown is archived, deleted and noted, and what is on hold stays."""
    code, out, err = fpa("store", "retain")
    assert (0, "") == (code, err)
    assert "10 rows would be deleted; --apply archives and deletes them" in out
    assert ["held", "due"] == [line.split()[-1] for line in out.splitlines() if line.startswith("quotes")]
    plan = json.loads(fpa("store", "retain", "--json")[1])
    assert (10, [True, False]) == (plan["summary"]["rows"], [one["held"] for one in plan["results"]])
    assert not (folder / "archive").exists()
    code, out, _ = fpa("store", "retain", "--apply")
    assert 0 == code
    assert "10 rows deleted" in out
    (file,) = (folder / "archive" / "quotes" / "2024-05").iterdir()
    assert file.name in out
    with fpa_core.open() as data:
        assert {"HELD": 10, "OLD": 1} == {one.subject: one.rows for one in data.store.inventory("quotes")}
        assert ["1h"] == [bar.interval for bar in data.store.get_bars()]
        assert () == data.check().problems
        *_, entry = data.operations.audit_log()
    assert ("retain", 10) == (entry.action, json.loads(entry.details)["rows"])
    assert [file.name] == list(json.loads(entry.details)["files"])
    done = json.loads(fpa("store", "retain", "--apply", "--json")[1])
    assert {"results": [], "summary": {"rows": 0}, "error": None} == done
    assert "10 read, 10 " in fpa("ingest", str(file))[1]


def test_nothing_is_configured(folder: Path, fpa: Run) -> None:
    """Without a time to keep, everything is kept, and a remark says so."""
    (folder / "fpa.toml").write_text('[store]\npath = "test.db"\n')
    for options in ([], ["--apply"]):
        code, _, err = fpa("store", "retain", *options)
        assert 0 == code
        assert "keeps everything forever" in err


def test_reading_only(folder: Path, fpa: Run) -> None:
    """A store that is only read is planned for, and nothing is deleted from it."""
    assert 0 == fpa("--read-only", "store", "retain")[0]
    assert 2 == fpa("--read-only", "store", "retain", "--apply")[0]
    with fpa_core.open(read_only=True) as data, pytest.raises(DatabaseError, match="reading only"):
        data.operations.retain()
    assert not (folder / "archive").exists()


@pytest.mark.usefixtures("folder")
def test_the_clock_is_given() -> None:
    """Ages are counted from the clock of the layer."""
    with fpa_core.open(clock=lambda: MAY + 91 * DAY) as data:
        assert 10 == data.operations.retention_plan().rows
    with fpa_core.open(clock=lambda: MAY + 91 * DAY - 1) as data:
        assert () == data.operations.retention_plan().expired


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[retention.quotes]\nkeep = "90"', 'expected a duration such as "90d", a number of seconds, or "forever"'),
        ('[retention.quotes]\nkeep = "1h"', "not allowed: 'keep' must be >= 86400.0"),
        ('[retention.trades]\nkeep = "9d"\nbars = "1w"', "'1w' does not divide a day"),
        ('[retention.trades]\nkeep = "9d"\nbars = "7m"', "'7m' does not divide a day"),
        ('[retention.bars]\nkeep = "9d"\nintervals = ["often"]', "is not an interval"),
        ('[retention.fills]\nkeep = "9d"', "unknown key; expected one of: archive, bars, hold, quotes, trades"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path: Path, text: str, problem: str) -> None:
    """A mistake is told with its key and what is expected, before anything is opened."""
    (tmp_path / "fpa.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        fpa_core.open(tmp_path / "fpa.toml", lazy=True)
    assert problem in str(error.value)
    assert "retention." in str(error.value)
