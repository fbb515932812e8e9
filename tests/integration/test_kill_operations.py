"""Ingests, streams and operations, killed with kill -9: nothing acknowledged is lost, and the next try works at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from killing import OPERATIONS, kill

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_some_steps(operation: str, tmp_path: Path) -> None:
    """Killed at its first step, in the middle, and near its end, the store is as it was or as it was to be."""
    assert 2 <= kill(operation, tmp_path, 3).kills
