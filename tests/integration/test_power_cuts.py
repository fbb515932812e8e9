"""A power cut loses nothing that was acknowledged under ``synchronous = "full"``, and never leaves a part of anything."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from power_cuts import cut_at, record


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_power_cuts(tmp_path: Path, synchronous: str) -> None:
    """Cut at some moments, with few pages between two checkpoints, the store is sound and whole; under "full" it has all that was acknowledged."""
    made = record(tmp_path / "made", 7, synchronous=synchronous, checkpoint=20, writes=12)
    chance = random.Random(7)  # to be repeated
    for number in range(8):
        cut = cut_at(made, chance.randrange(len(made.events) + 1), chance, tmp_path / f"cut{number}")
        assert synchronous == "normal" or cut.kept >= cut.acknowledged
