"""Power cuts, at length."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest
from power_cuts import cut_at, record

SEEDS = {1: 1_000, 2: 40, 3: 10, 4: 40, 5: 1_000}
"""Pages between two checkpoints, by seed."""


@pytest.mark.torture
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_power_cuts_at_length(tmp_path: Path, seed: int, synchronous: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a hundred cuts of each record none leaves a part of a batch, and under "full" none loses what was acknowledged."""
    made = record(tmp_path / "made", seed, synchronous=synchronous, checkpoint=SEEDS[seed])
    chance = random.Random(seed)  # to be repeated
    lost = []
    for _ in range(100):
        cut = cut_at(made, chance.randrange(len(made.events) + 1), chance, folder := tmp_path / "cut")
        shutil.rmtree(folder)
        lost.append(max(cut.acknowledged - cut.kept, 0))
    told = f"{sum(map(bool, lost))} of 100 cuts lost, {max(lost)} writes at most"
    with capsys.disabled():
        sys.stdout.write(f"\n{synchronous}, {SEEDS[seed]} pages, {len(made.events)} events: {told}\n")
    assert synchronous == "normal" or not any(lost)
