"""A process that is killed in the middle of an ingest loses nothing that was acknowledged, and leaves nothing half done."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

import fpa_core
from fpa_core.models import Trade
from fpa_core.numbers import ns_text, to_ns

SPY = "trades_us_equity_SPY_2013-10-07.csv.gz"
DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).parents[2] / "../shared/data")
DEADLINE = 60.0
ACKNOWLEDGED = Trade("FIRST", "2013-10-07T08:00:00Z", 1, 1)

SHARES = (0.0, 0.3, 0.6, 0.9, 1.0)
"""How much of the file has been read when the process is killed; at the end all is written and nothing is committed."""

INGEST = """
import sys
import fpa_core

def progress(rows, share):
    print(share, flush=True)
    sys.stdin.readline()  # until the other side says go on, or kills

with fpa_core.open("fpa.toml") as data:
    data.ingest(sys.argv[1], progress=progress)
"""


@pytest.fixture(scope="module")
def trades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name a file of many trades: real ones, or where these are not, made ones."""
    if (DATA / SPY).is_file():
        return (DATA / SPY).resolve()
    path = tmp_path_factory.mktemp("made") / SPY
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.write("symbol,timestamp,price,size,conditions,exchange\n")
        for i in range(250_000):
            file.write(
                f"SPY,{ns_text(10**18 + i // 3 * 1_000_000)},{167 + i % 7}.{i % 100:02d},{100 + i % 5},20002000,P\n"
            )
    return path


@pytest.fixture(scope="module")
def rows(trades: Path) -> Counter[Trade]:
    """Read the trades of the file."""
    with gzip.open(trades, "rt", encoding="utf-8", newline="") as file:
        return Counter(
            Trade(
                row["symbol"],
                to_ns(row["timestamp"]),
                Decimal(row["price"]),
                row["size"],
                row["conditions"],
                row["exchange"],
            )
            for row in csv.DictReader(file)
        )


def whole_batches(folder: Path) -> int:
    """Open what the killed process left: the rows there are must be those of its batches."""
    with fpa_core.open(folder / "fpa.toml") as data:
        batches = [batch for batch in data.store.batches() if batch.undone_by is None]
        stored = data.select(Trade).count()
        assert sum(batch.inserted for batch in batches) == stored == len(data.store.get_trades())
        assert all(batch.read == batch.inserted + batch.duplicate for batch in batches)
        assert [] == data.store.quarantined()
    return stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a database of one acknowledged trade."""
    (tmp_path / "fpa.toml").write_text("[store]\n")
    with fpa_core.open(tmp_path / "fpa.toml") as data:
        data.ingest(ACKNOWLEDGED)
    return tmp_path


def finish(folder: Path, trades: Path, rows: Counter[Trade]) -> None:
    """Ingest the file to its end: then the store has exactly its rows, and what was there before."""
    command = [sys.executable, "-m", "fpa_core", "ingest", str(trades), "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=True)
    (receipt,) = json.loads(done.stdout)["results"]
    assert receipt["read"] == receipt["inserted"] + receipt["duplicate"] == rows.total()
    with fpa_core.open(folder / "fpa.toml") as data:
        assert rows == Counter(data.store.get_trades("SPY"))
        assert [ACKNOWLEDGED] == data.store.get_trades("FIRST")


def test_killed_while_it_reads(folder: Path, trades: Path, rows: Counter[Trade]) -> None:
    """Killed five times at different moments, the database opens each time without a row of it; finishing gives exactly the file."""
    for share in SHARES:
        with subprocess.Popen(
            [sys.executable, "-c", INGEST, str(trades)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while float(process.stdout.readline()) < share:
                process.stdin.write("on\n")
                process.stdin.flush()
            process.kill()
            assert 0 != process.wait(DEADLINE)
        assert 1 == whole_batches(folder), "the trade that was acknowledged, and nothing else"
    finish(folder, trades, rows)


def test_killed_while_it_commits(folder: Path, trades: Path, rows: Counter[Trade]) -> None:
    """Killed when the log begins to grow, the database has all of the batch or nothing, and all if it was acknowledged."""
    log = folder / "portfolio.db-wal"
    command = [sys.executable, "-m", "fpa_core", "ingest", str(trades), "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and not (log.exists() and log.stat().st_size):
            assert time.monotonic() < deadline, "nothing was written in time"
        process.kill()
        acknowledged, _ = process.communicate(timeout=DEADLINE)
    assert whole_batches(folder) in ({1 + rows.total()} if acknowledged else {1, 1 + rows.total()})
    finish(folder, trades, rows)
