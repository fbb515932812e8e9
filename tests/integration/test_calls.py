"""Calls of the Python API with arguments of every sort end in an answer, or in an error of this project."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import calls, make

import fpa_core
from fpa_core.exceptions import FpaError


def refused_calls(folder: Path, count: int, seed: int) -> int:
    """Make calls, and return how many ended in an error of this project; any other error is one of the test."""
    refused = 0
    with fpa_core.open(environ={"FPA_STORE__PATH": str(folder / "test.db")}) as data:
        for call in calls(count, seed):
            try:
                make(data, call)
            except FpaError:
                refused += 1
            except Exception as error:
                raise AssertionError(f"{call}: {type(error).__name__}: {error}") from error
        assert () == data.check().errors
    return refused


def test_odd_calls_are_answered_or_refused(tmp_path: Path) -> None:
    """Of some hundred calls each is answered, or refused by an error of this project; the store stays sound."""
    assert 200 < refused_calls(tmp_path, 1_000, seed=1) < 900


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10, 15))
def test_many_odd_calls_are_answered_or_refused(tmp_path: Path, seed: int) -> None:
    """So are 50,000 calls."""
    assert 2_000 < refused_calls(tmp_path, 10_000, seed) < 9_000
