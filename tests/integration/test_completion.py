"""What a shell completes: what is stored, configured and installed, without a trace and without failing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import fpa_core
from fpa_core import CashFlow, Quote, Trade
from fpa_core.cli.main import cli

TIME = "2024-05-01T14:30:00Z"


def completed(words: str, incomplete: str = "") -> list[str]:
    """Return what is offered after some words of a command line."""
    found = ShellComplete(cli, {}, "fpa", "_FPA_COMPLETE").get_completions(words.split(), incomplete)
    return [item.value for item in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a configuration and a database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fpa.toml").write_text(
        '[formats."acme.quotes"]\nkind = "quotes"\n[env.prod.cache]\nttl = 5\n[env.dev.cache]\nttl = 6\n',
        encoding="utf-8",
    )
    with fpa_core.open() as data:
        data.store.save([Quote("AAPL", TIME, 1, 2), Quote("AMD", TIME, 1, 2), Trade("IBM", TIME, 1, 2)])
        data.store.save(CashFlow(TIME, "deposit", 5, "USD", "main"))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_symbols() -> None:
    """Symbols are those that are stored, of the kind that was typed before."""
    assert ["AAPL", "AMD"] == completed("query quotes", "A")
    assert ["IBM"] == completed("query trades")
    assert ["AAPL", "AMD", "IBM"] == completed("latest")
    assert ["IBM"] == completed("latest", "I")
    assert ["AMD"] == completed("gaps quotes AAPL", "AM")
    assert ["AAPL", "AMD"] == completed("--env prod cache warm quotes")


@pytest.mark.usefixtures("folder")
def test_names_of_what_is_configured_and_installed() -> None:
    """Rules, environments, formats, sources and accounts are completed, too."""
    assert {"quote.crossed", "quote.spread"} <= set(completed("rules show", "quote."))
    assert ["quote.crossed"] == completed("quarantine replay --ignore-rule", "quote.cr")
    assert ["dev", "prod"] == completed("--env")
    assert ["acme.quotes"] == completed("ingest --as", "acm")
    assert "binance.klines" in completed("formats", "binance.")
    assert "alpaca" in completed("history")
    assert {"quotes", "bars", "alpaca"} <= set(completed("gaps"))
    assert ["main"] == completed("portfolio positions")


def test_nothing_is_made_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a database, or with a configuration that is wrong, there is nothing to complete, and no word about it."""
    monkeypatch.chdir(tmp_path)
    assert [] == completed("query quotes")
    assert [] == list(tmp_path.iterdir())
    (tmp_path / "fpa.toml").write_text("[store]\nbackend = 5\n")
    for words in ("query quotes", "rules show", "--env", "ingest --as"):
        assert [] == completed(words)
    assert ("", "") == capfd.readouterr()


def test_completing_changes_nothing(folder: Path) -> None:
    """The database and what is beside it stay as they are."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".db"}
    names = {path.name for path in folder.iterdir()}
    completed("query quotes")
    assert names == {path.name for path in folder.iterdir()}
    assert before == {name: (folder / name).read_bytes() for name in before}
