"""Orders that are filled while the process that follows them is killed again and again: in the end the store has what the account has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("alpaca")

from alpaca_server import alpaca_server
from killed_follower import ACCOUNT, check_killed_follower


@pytest.mark.torture
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows to terminate is to kill")
@pytest.mark.parametrize("seed", range(5))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    """Eight kills and eight dropped connections while sixty orders live: at no time is there anything that never was, and in the end nothing lacks."""
    with alpaca_server(account=dict(ACCOUNT)) as server:
        check_killed_follower(server, tmp_path, orders=60, kills=8, drops=8, seed=seed)
