"""A live stream whose process is killed, or ends without closing it: what was acknowledged is there, and nothing half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fpa_core
from fpa_core.models import PortfolioSnapshot, Quote
from fpa_core.numbers import Instant

DEADLINE = 60.0

STREAM = """
import sys
import fpa_core
from fpa_core.models import PortfolioSnapshot, Position, Quote
from fpa_core.numbers import Instant

with fpa_core.open("fpa.toml") as data, data.stream(max_rows=16, max_delay="2ms", max_waiting=256) as stream:
    tickets = []
    for i in range(1_000_000):
        held = [Position("A", i, i, i, 0), Position("B", i, i, i, 0)]
        tickets.append((stream.write(Quote("A", Instant(i // 3), i, i + 1)), stream.write(PortfolioSnapshot(Instant(i), 3 * i, cash=i, positions=held))))
        while tickets and (len(tickets) > 100 or tickets[0][1].done()):
            for ticket in tickets.pop(0):
                ticket.result()
            print(i - len(tickets), flush=True)
"""

LEFT_OPEN = """
import signal
import sys
import fpa_core
from fpa_core.models import Quote
from fpa_core.numbers import Instant

signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
data = fpa_core.open("fpa.toml")
stream = data.stream(max_delay="1h")
stream.write(Quote("A", Instant(1), 1, 2))
print("written", flush=True)
"""

ENDS = {
    "falls off the end": ("", 0),
    "exits": ("sys.exit(3)", 3),
    "raises": ("raise KeyError", 1),
    "is interrupted": ("raise KeyboardInterrupt", None),
    "is terminated": ("import time; time.sleep(60)", 3),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a configuration."""
    (tmp_path / "fpa.toml").write_text("[store]\n")
    return tmp_path


@pytest.mark.parametrize("lines", [1, 40, 150])
def test_killed_while_it_streams(folder: Path, lines: int) -> None:
    """After kill -9 all that was acknowledged is there, in order, no snapshot lacks a position, and the batch knows its rows."""
    with subprocess.Popen([sys.executable, "-c", STREAM], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(lines)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
        assert 0 != process.wait(DEADLINE)
    with fpa_core.open(folder / "fpa.toml") as data:
        quotes = data.select(Quote, "A").to_list()
        snapshots = data.select(PortfolioSnapshot).to_list()
        (batch,) = data.store.batches()
        assert list(range(acknowledged[-1] + 1)) == acknowledged
        assert [(i // 3, i) for i in range(len(quotes))] == [(quote.ts_ns, quote.bid) for quote in quotes]
        assert list(range(len(snapshots))) == [snapshot.ts_ns for snapshot in snapshots]
        assert {2} == {len(snapshot.positions) for snapshot in snapshots}
        assert min(len(quotes), len(snapshots)) > acknowledged[-1]
        assert len(quotes) + 3 * len(snapshots) == batch.inserted == batch.read
        assert [] == data.store.quarantined()
        data.ingest(Quote("B", Instant(1), 1, 2))
        assert 1 == data.select(Quote, "B").count()


@pytest.mark.parametrize("end", ENDS)
def test_process_ends_with_a_stream_open(folder: Path, end: str) -> None:
    """However a program ends, short of being killed, what it wrote to a stream that it left open is stored."""
    how, status = ENDS[end]
    if end == "is terminated" and sys.platform == "win32":
        pytest.skip("on Windows to terminate is to kill")
    with subprocess.Popen(
        [sys.executable, "-c", LEFT_OPEN + how], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "written\n" == process.stdout.readline()
        if end == "is terminated":
            os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
    assert status in {None, process.returncode}
    with fpa_core.open(folder / "fpa.toml") as data:
        assert [Quote("A", Instant(1), 1, 2)] == data.select(Quote).to_list()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_leaves_the_stream_alone(folder: Path) -> None:
    """A child that comes into being while a stream is open ends without writing to it, and without waiting for it."""
    script = LEFT_OPEN + (
        "import os, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "child = os.fork()\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    stream.close()\n"
        "    print(stream.receipt.inserted)\n"
        "else:\n"
        "    try:\n"
        "        stream.write(Quote('A', Instant(2), 1, 2))\n"
        "    except fpa_core.DatabaseError:\n"
        "        sys.exit(0)\n"
        "    sys.exit(1)\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (0, "written\n1\n") == (done.returncode, done.stdout), done.stderr
    assert time.monotonic() - started < DEADLINE
