"""Damage of the file: every changed byte is found by a check, and no read returns another value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from damage import anywhere, count_flips, in_ledger, outcome_of_check
from full_store import fill_file, read_all

from fpa_core import open as open_layer
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with something of everything."""
    return fill_file(tmp_path_factory.mktemp("whole") / "whole.db")


@pytest.fixture(scope="module")
def answers(whole: Path) -> dict[str, Any]:
    """Return all that it answers."""
    with DataStore(open_store(SqliteOptions(path=whole, read_only=True))) as store:
        return read_all(store)


def test_whole_store_is_sound(whole: Path, tmp_path: Path) -> None:
    """A store that nothing happened to is sound, whatever was done with it."""
    copy = tmp_path / "copy.db"
    copy.write_bytes(whole.read_bytes())
    with open_layer(environ={"FPA_STORE__PATH": str(copy)}, lazy=True) as data:
        report = data.check()
    assert ["the anchor of the audit log is missing"] == [each.problem.partition(":")[0] for each in report.problems]
    assert not report.errors
    assert 5_000 == report.checked["trades rows"]
    assert 40 == report.checked["rejected rows"]
    assert [copy] == list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [1])
def test_flipped_bits_are_found(whole: Path, answers: dict[str, Any], tmp_path: Path, seed: int) -> None:
    """A bit that is flipped anywhere in the file is found, and changes no answer."""
    assert ([], []) == count_flips(whole, tmp_path, answers, anywhere(whole, seed), 40, seed)


@pytest.mark.parametrize("seed", [2])
def test_flipped_bits_of_the_ledger_are_found(whole: Path, answers: dict[str, Any], tmp_path: Path, seed: int) -> None:
    """A bit that is flipped among the batches or in the catalog is found, and changes no answer."""
    assert ([], []) == count_flips(whole, tmp_path, answers, in_ledger(whole, seed), 20, seed)


def test_flipped_bits_of_the_header_are_found(whole: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    """Each byte of the header of the file is watched over, the one that says whether there are checksums included."""
    assert ([], []) == count_flips(whole, tmp_path, answers, iter(range(100)), 100, 3)


def test_cut_file_is_found(whole: Path, tmp_path: Path) -> None:
    """A file that lost its end, or all of it, is found."""
    content = whole.read_bytes()
    for share in (0.1, 0.5, 0.99):
        cut = tmp_path / "cut.db"
        cut.write_bytes(content[: int(len(content) * share)])
        assert "sound" != outcome_of_check(cut)
