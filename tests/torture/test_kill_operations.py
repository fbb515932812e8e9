"""Ingests, streams and operations, killed at every step."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from killing import OPERATIONS, kill


@pytest.mark.torture
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_step(operation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at each of its steps, or at 200 of them, the store is as it was or as it was to be."""
    killed = kill(operation, tmp_path, 200)
    with capsys.disabled():
        sys.stdout.write(f"\n{operation}: {killed.kills} kills of {killed.steps} steps\n")
    assert killed.kills >= min(killed.steps, 200) - 20
