"""Eight processes ingest overlapping halves of a file at once: the store has each row as often as the file."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

from postgres_server import or_skip, running

import fpa_core
from fpa_core.models import Trade

INGEST = "import fpa_core, sys\nwith fpa_core.open(sys.argv[1]) as data: data.ingest(sys.argv[2], kind='trades', symbol='SPY')"


@pytest.mark.torture
@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_overlapping_halves_give_the_whole(backend: str, shared_data: Path, tmp_path: Path) -> None:
    """However the processes interleave, nothing is lost and nothing doubled: equal trades of one instant are as many as in the file."""
    path = shared_data / "trades_us_equity_SPY_2013-10-07.csv.gz"
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    for number in range(8):
        first = number * len(lines) // 14
        (tmp_path / f"half{number}.csv").write_text(header + "".join(lines[first : first + len(lines) // 2 + 1]))
    with or_skip(), running() as server:
        where = f'dsn = "{server.dsn()}"' if backend == "postgres" else f"path = '{tmp_path / 'test.db'}'"
        config = tmp_path / "fpa.toml"
        config.write_text(f'[store]\nbackend = "{backend}"\nbusy_timeout = "10m"\n{where}\n')
        config.chmod(0o600)
        command = [sys.executable, "-c", INGEST, str(config)]
        writers = [subprocess.Popen([*command, str(tmp_path / f"half{number}.csv")]) for number in range(8)]
        assert [0] * 8 == [writer.wait(600) for writer in writers]
        with fpa_core.open(":memory:") as whole, fpa_core.open(config) as data:
            whole.ingest(path, kind="trades", symbol="SPY")
            expected, found = (Counter(each.select(Trade, "SPY").to_list()) for each in (whole, data))
            assert expected.total() > 200_000
            assert expected == found
            assert 8 == len(data.store.batches())
