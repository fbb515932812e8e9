"""Backup, restore, migration, compaction, encryption, copying and retention, killed at every step."""

from __future__ import annotations

from pathlib import Path

import pytest
from killing import OPERATIONS, Killing


@pytest.mark.torture
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_step(operation: str, tmp_path: Path) -> None:
    """Killed at each of its steps in turn, at most 200, the store is as it was or as it was to be."""
    killing = Killing(operation, tmp_path)
    for step in range(1, 201):
        if killing.run(step):
            break
