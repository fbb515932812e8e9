"""Validation of several files as one data set."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core import DataError
from fpa_core.cli.app import cli

HEAD = "symbol,timestamp,bid,ask\n"


def quotes(first, last, symbol="A", bid="1.00"):
    return [f"{symbol},2024-05-01T14:30:{second:02}Z,{bid},1.10" for second in range(first, last)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(HEAD + "\n".join(quotes(0, 5)) + "\n")
    # The series goes on, and its third row is a repetition of the last row of the file before.
    (tmp_path / "b.csv").write_text(HEAD + "\n".join([*quotes(5, 7), *quotes(7, 8), *quotes(7, 9)]) + "\n")
    return tmp_path


@pytest.fixture
def data():
    with fpa_core.open(":memory:", validator__level="strict") as layer:
        yield layer


def broken(result):
    return {rule: tally.failed for rule, tally in result.counts.items() if tally.failed}


def test_a_series_goes_on_in_the_next_file(folder, data):
    """Rows are compared with those of the file before, in whatever order the files are named, and found where they are."""
    (folder / "c.csv").write_text(HEAD + "\n".join(quotes(4, 5)) + "\n")
    alone = data.validate(folder / "c.csv")
    for order in (("a.csv", "c.csv"), ("c.csv", "a.csv")):
        together = data.validate_together(*order)
        assert 6 == together.rows
        new = broken(together).keys() - broken(alone).keys() - broken(data.validate("a.csv")).keys()
        assert new, "the row of c.csv repeats the last one of a.csv"
        assert {("c.csv", 0)} == {(each.file, each.row) for each in together.findings if each.rule in new}


def test_trades_are_compared_with_quotes_of_another_file(folder, data):
    """Rules about several kinds see the other files: a trade far from the quotes is found only together."""
    (folder / "trades.csv").write_text(
        "symbol,timestamp,price,size\nA,2024-05-01T14:30:02.5Z,1.05,10\nA,2024-05-01T14:30:03.5Z,9.99,10\n"
    )
    assert "trade.quote" not in broken(data.validate("trades.csv"))
    result = data.validate_together("a.csv", "trades.csv")
    outside = [each for each in result.findings if each.kind == "trades"]
    assert [("trades.csv", 1)] == sorted({(each.file, each.row) for each in outside})
    assert 7 == result.rows


def test_rows_that_cannot_be_parsed(folder, data):
    """They count as in each file alone, with their file and row."""
    (folder / "b.csv").write_text(HEAD + quotes(5, 6)[0] + "\nA,soon,1,2\n")
    result = data.validate_together(folder)
    (finding,) = [each for each in result.findings if each.rule == "record.shape"]
    assert (1, "b.csv", 7) == (finding.row, finding.file.rsplit("/")[-1], result.rows)
    assert not result.is_valid
    with pytest.raises(DataError):
        data.validate_together("a.csv", "none.csv")


@pytest.mark.usefixtures("folder")
def test_on_the_command_line():
    """`fpa validate --together` gives one verdict; findings name file and row; a report is of files alone."""
    run = CliRunner().invoke
    found = run(cli, ["validate", "a.csv", "b.csv", "--together", "--json"])
    printed = json.loads(found.stdout)
    (one,) = printed["results"]
    assert (["a.csv", "b.csv"], 10) == (one["files"], one["rows"])
    assert {finding["file"] for finding in one["findings"]} <= {"a.csv", "b.csv"}
    text = run(cli, ["validate", "a.csv", "b.csv", "--together"]).stdout
    assert text.startswith("2 files together: 10 rows, ")
    assert "b.csv row " in text
    assert 2 == run(cli, ["validate", "a.csv", "--together", "--html", "r.html"]).exit_code
