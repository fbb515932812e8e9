"""The state machine of stores, at length."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from sqlite_layouts import SqliteMachine, laid_out

from fpa_core.testing.store import run_machine
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@pytest.mark.torture
@pytest.mark.parametrize("layout", ["hot", "mixed"])
def test_sqlite_agrees_with_a_plain_list_at_length(layout: str, tmp_path: Path) -> None:
    """Of two thousand stores, half of them of each layout, none ever holds anything else, however long it lives."""
    with laid_out(layout):
        run_machine(
            SqliteMachine,
            lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db")),
            examples=1_000,
            steps=30,
        )
