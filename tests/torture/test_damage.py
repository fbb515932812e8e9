"""Damage of the file, at length."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import anywhere, count_flips, in_ledger
from full_store import fill_file, read_all

from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@pytest.mark.torture
def test_many_flipped_bits_are_found(tmp_path: Path) -> None:
    """Of 600 bits flipped anywhere and 200 among batches and catalog, all are found, and none changes an answer."""
    whole = fill_file(tmp_path / "whole.db")
    with DataStore(open_store(SqliteOptions(path=whole, read_only=True))) as store:
        answers = read_all(store)
    assert ([], []) == count_flips(whole, tmp_path, answers, anywhere(whole, 11), 600, 11)
    assert ([], []) == count_flips(whole, tmp_path, answers, in_ledger(whole, 12), 200, 12)
