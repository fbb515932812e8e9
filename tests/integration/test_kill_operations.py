"""Backup, restore, migration, compaction, encryption, copying and retention, killed with kill -9: nothing acknowledged is lost, and the next try works at once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from killing import OPERATIONS, Killing

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_some_steps(operation: str, tmp_path: Path) -> None:
    """Killed at one of its first steps, in the middle, or near its end, the store is as it was or as it was to be."""
    killing = Killing(operation, tmp_path)
    assert not killing.run(1)
    step = 3
    while not killing.run(step):
        step *= 4
