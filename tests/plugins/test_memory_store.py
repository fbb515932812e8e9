"""The memory store against the contracts of every store, and against SQLite: what one answers, the other does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plugins import test_sqlite_store as contracts

from fpa_core.protocols import StoreBackend
from fpa_plugins.memory.plugin import MemoryStoreOptions, open_store

ONLY_SQLITE = {
    "test_busy_writer_is_told",
    "test_damage_is_reported",
    "test_describe",
    "test_every_connection_has_its_settings",
    "test_files_are_private",
    "test_fork_gets_connections_of_its_own",
    "test_folder_is_refused",
    "test_links_are_refused",
    "test_no_room_is_a_typed_error",
    "test_not_a_database",
    "test_other_engine_errors_are_ours_too",
    "test_unreachable_path",
}
globals().update(
    {
        name: value
        for name, value in vars(contracts).items()
        if name == "_layout" or (name.startswith("test_") and name not in ONLY_SQLITE)
    }
)


@pytest.fixture(scope="module", autouse=True)
def _in_memory() -> Iterator[None]:
    """Let the contracts open stores in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contracts, "at", lambda _, **__: MemoryStoreOptions())
        patch.setattr(contracts, "open_store", open_store)
        yield


@pytest.fixture
def backend() -> Iterator[StoreBackend]:
    """Open an empty store."""
    opened = open_store(MemoryStoreOptions())
    yield opened
    opened.close()
