"""Odd arguments, paths and variables end in a message and an exit code, not in a traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fpa_core.cli.main import main

BIG = str(2**63)
FAR = str(-(2**63) - 1)
NOT_UTF8 = "\udcff"
CSV = "symbol,timestamp,price,size\nA,2024-05-01T14:30:00Z,1,1\nA,nonsense,1,1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FPA_")]:
        monkeypatch.delenv(name)
    Path("t.csv").write_text(CSV, "utf-8")
    return tmp_path


def code_of(*arguments: str) -> int:
    """Run the command line and return its exit code; any other end is an error of the test."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("undo", BIG, "--yes"),
        ("undo", "--yes", "--", FAR),
        ("query", "trades", "--batch", BIG),
        ("query", "trades", "--batch", FAR),
        ("query", "trades", "--limit", BIG),
        ("query", "trades", "--limit", "1" + "0" * 40),
        ("batches", "--limit", BIG),
        ("quarantine", "list", "--limit", BIG),
        ("quarantine", "list", "--batch", BIG),
        ("quarantine", "show", BIG),
        ("quarantine", "replay", BIG),
        ("quarantine", "discard", BIG, "--yes"),
        ("quarantine", "fix", BIG, "price=1"),
        ("quarantine", "retry", "--batch", BIG),
        ("query", "trades", NOT_UTF8),
        ("query", "trades", "--source", NOT_UTF8),
        ("query", "trades", "--where", f"exchange={NOT_UTF8}"),
        ("query", "trades", "x" * 10_000),
        ("latest", NOT_UTF8),
        ("quarantine", "list", "--symbol", NOT_UTF8),
        ("quarantine", "list", "--rule", NOT_UTF8),
        ("quarantine", "export", "-o", f"{NOT_UTF8}.csv"),
        ("store", "seal", "trades", NOT_UTF8),
        ("ingest", "t.csv", "--source", NOT_UTF8),
        ("ingest", "t.csv", "--symbol", NOT_UTF8),
        ("ingest", "t.csv", "--tz", NOT_UTF8),
        ("ingest", "t.csv", "--column", f"price={NOT_UTF8}"),
        ("ingest", f"{NOT_UTF8}.csv"),
        ("ingest", f"{'n' * 300}.csv"),
        ("sniff", f"{NOT_UTF8}.csv"),
        ("validate", f"{NOT_UTF8}.csv", "--json"),
        ("query", "trades", "-o", f"{'n' * 300}.csv"),
        ("query", "trades", "-o", f"{NOT_UTF8}.csv"),
        ("init", "/proc/x"),
        ("init", f"{'n' * 300}"),
        ("demo", "/proc/x"),
        ("--config", "/dev/zero", "inventory"),
        ("--config", NOT_UTF8, "inventory"),
        ("--config", "n" * 300, "inventory"),
        ("--env", NOT_UTF8, "inventory"),
    ],
)
def test_odd_arguments(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers beyond 64 bits, texts that are not UTF-8 and impossible paths are refused with a message, or find nothing."""
    if any(one.startswith(("/proc", "/dev")) for one in arguments) and sys.platform != "linux":
        pytest.skip("needs the files of Linux")
    assert code_of("ingest", "t.csv") == 0
    assert code_of(*arguments) in range(10)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not UTF-8")
@pytest.mark.parametrize("command", [("ingest",), ("validate", "--json"), ("sniff",), ("validate", "--html", "r.html")])
def test_a_file_whose_name_is_not_utf8(command: tuple[str, ...]) -> None:
    """A file whose name is no text is read, or refused by its name."""
    Path(f"{NOT_UTF8}.csv").write_text(CSV, "utf-8")
    name, *options = command
    assert code_of(name, f"{NOT_UTF8}.csv", *options) in {0, 1, 7}


@pytest.mark.parametrize("value", [f"{NOT_UTF8}.db", "n" * 300, "/proc/x/y.db", "."])
def test_odd_paths_of_databases(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be made is an error of the database, or of the configuration."""
    if sys.platform != "linux":
        pytest.skip("needs the files of Linux")
    monkeypatch.setenv("FPA_STORE__PATH", value)
    assert code_of("inventory") in {3, 5}


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_a_folder_that_is_gone(folder: Path) -> None:
    """Commands in a folder that was removed say so."""
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    for command in (("inventory",), ("init",), ("ingest", "t.csv")):
        assert code_of(*command) in {3, 5, 7, 8}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_configuration(folder: Path) -> None:
    """A named pipe as configuration is refused, not waited for."""
    os.mkfifo(folder / "pipe")
    assert code_of("--config", "pipe", "inventory") == 3
