"""Files of fills, cash and corporate actions on their way in, out, and in again; and what the commands say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.demo.year import made_up_year
from fpa_core.layer import DataLayer
from fpa_core.numbers import to_ns

KINDS = ("fills", "cash", "corporate_actions", "orders")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a configuration."""
    (tmp_path / "fpa.toml").write_text('[store]\npath = "a.db"\nsynchronous = "normal"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder: Path) -> Iterator[DataLayer]:
    """Store a year, and leave it open."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as layer:
        layer.store.save(made_up_year(5).records)
        yield layer


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_out_comes_in_again(data, folder, kind, form):
    """An export of every kind is recognised, adds nothing to where it came from, and gives the same records elsewhere."""
    path = folder / f"{kind}.{form}"
    assert (0, "") == run("query", kind, "--format", form, "--output", str(path))
    assert data.ingest(path).inserted == 0
    with fpa_core.open(":memory:") as other:
        other.ingest(path)
        assert data.select(kind).to_list() == other.select(kind).to_list()


def test_commands_tell_what_the_portfolio_tells(data):
    """Every command gives the figures of the method of its name, exactly, as JSON; without --json a table."""
    ask = data.portfolio
    end = ("--end", "2025-01-01")
    whole = {
        ("positions", "main", "--as-of", "2025-01-01"): [
            str(one.unrealized) for one in ask.positions("main", as_of="2025-01-01")
        ],
        ("lots", "ira", "--method", "lifo"): [str(one.cost) for one in ask.lots("ira", method="lifo")],
        ("realized", "main", *end): [str(one.gain) for one in ask.realized("main", end="2025-01-01")],
        ("realized", "main", "--by", "month"): [str(one.realized) for one in ask.realized("main", "month")],
        ("pnl", "main", "--by", "symbol", *end): [
            str(one.total) for one in ask.pnl("main", "symbol", end="2025-01-01")
        ],
        ("equity", "main", "--every", "month", "--currency", "USD", *end): [
            str(one.equity) for one in ask.equity("main", every="month", currency="USD", end="2025-01-01")
        ],
        ("reconcile", "main"): [],
    }
    names = {"positions": "unrealized", "lots": "cost", "pnl": "total", "equity": "equity", "reconcile": "difference"}
    for command, expected in whole.items():
        code, text = run("portfolio", *command, "--json")
        name = names.get(command[0], "realized" if "--by" in command else "gain")
        found = [one[name] for one in json.loads(text)["results"]]
        assert code == 0
        assert [float(one) for one in expected] == [float(one) for one in found], command
        assert run("portfolio", *command)[0] == 0


@pytest.mark.usefixtures("data")
def test_returns_and_history():
    """A rate of return is one figure; the history of an order tells its versions with batch and time."""
    code, text = run("portfolio", "returns", "main", "--currency", "USD", "--end", "2025-01-01", "--json")
    assert (0, "time_weighted") == (code, json.loads(text)["results"][0]["method"])
    code, text = run("portfolio", "history", "o1", "--json")
    (version,) = json.loads(text)["results"]
    assert (0, 1, None, "o1") == (code, version["batch"], version["retired_by"], version["order"]["order_id"])
    assert run("portfolio", "history", "o1")[1].splitlines()[0].startswith("batch")


def test_a_discrepancy_is_an_exit_code(data):
    """What does not add up is shown, and the command ends with 1."""
    fill = data.store.get_fills(account="main")[0]
    data.store.delete_fill(fill)
    code, text = run("portfolio", "reconcile", "main", "--json")
    checks = {one["check"] for one in json.loads(text)["results"]}
    assert code == 1
    assert {"order", "position", "cash"} <= checks
    assert run("portfolio", "reconcile", "main")[0] == 1


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("text", ["AAPL", "=5", "AAPL="])
def test_a_price_that_is_no_pair_is_refused(text):
    """A price without a symbol or a number is wrong usage."""
    assert run("portfolio", "positions", "main", "--price", text)[0] == 2


def test_the_latest_rows_are_the_latest_by_time(data):
    """The latest fills of all symbols are those of the last times, not of the last symbol; an order can be asked for."""
    latest = sorted((fill.ts_ns for fill in data.store.get_fills()), reverse=True)[:5]

    def times(*options):
        _, text = run("query", "fills", "--latest-first", "--limit", "5", "--format", "jsonl", *options)
        return [to_ns(json.loads(line)["timestamp"]) for line in text.splitlines()]

    assert latest == times() == times("--order", "time")
    assert latest != times("--order", "symbol")
