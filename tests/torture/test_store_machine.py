"""The state machine of stores, at length."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import pytest
from postgres_server import Schemas, Server, connections_kept
from sqlite_layouts import SqliteMachine, laid_out

from fpa_core.testing.store import StoreMachine, run_machine
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

STEPS = 30


@pytest.mark.torture
@pytest.mark.parametrize("layout", ["hot", "mixed"])
def test_sqlite_agrees_with_a_plain_list_at_length(layout: str, tmp_path: Path) -> None:
    """Of two thousand stores, half of them of each layout, none ever holds anything else, however long it lives."""
    with laid_out(layout):
        run_machine(
            SqliteMachine,
            lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db")),
            examples=1_000,
            steps=STEPS,
        )


@pytest.mark.torture
def test_memory_agrees_with_a_plain_list_at_length() -> None:
    """Nor does one of two thousand in memory."""
    with laid_out("mixed"):
        run_machine(StoreMachine, lambda _name: partial(open_memory, MemoryStoreOptions()), examples=2_000, steps=STEPS)


@pytest.mark.torture
@pytest.mark.parametrize("layout", ["hot", "mixed"])
def test_postgres_agrees_with_a_plain_list_at_length(layout: str, postgres_server: Server) -> None:
    """Nor does one of two thousand on a server, half of them of each layout."""
    from fpa_plugins.postgres.plugin import open_store as open_postgres

    with laid_out(layout), connections_kept(), contextlib.closing(Schemas(postgres_server)) as schemas:
        run_machine(
            StoreMachine, lambda name: partial(open_postgres, schemas.options(name)), examples=1_000, steps=STEPS
        )
