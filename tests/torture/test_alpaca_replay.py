"""An hour of real trades and quotes of SPY and IBM, with twenty dropped connections and a minute of silence."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("alpaca")

from alpaca_replay import check_replay_of
from alpaca_server import alpaca_server


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_replay_of_an_hour(tmp_path: Path, shared_data: Path, seed: int) -> None:
    """After the refill the store equals the source, row by row."""
    with alpaca_server() as server:
        check_replay_of(server, tmp_path, shared_data, "14:00:00", "15:00:00", drops=20, seed=seed)
