"""Live quotes from a server of Alpaca's protocol into a durable store: rows a second, delay until durable, processor time.

    python benchmarks/live.py --rate 5000 --seconds 60

The server runs in a process of its own and sends frames of quotes at an even rate. The collector validates them and stores them in SQLite with
``synchronous = "full"``. The delay of a record is measured from its arrival in the queue until its group is committed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

SYMBOLS = ["AAPL", "IBM", "MSFT", "SPY"]
FRAMES = 100
"""Frames a second."""


def serve(pipe: Any, rate: int, seconds: float) -> None:
    """Send quotes at a rate, once somebody has subscribed."""
    from alpaca_server import alpaca_server

    quote = {"bx": "P", "bp": 169.57, "bs": 1, "ax": "Q", "ap": 169.59, "as": 3, "c": ["R"], "z": "C"}
    with alpaca_server() as server:
        pipe.send(server.options)
        server.wait_for_subscription(timeout=60)
        begun, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - begun) < seconds:
            due = int(elapsed * rate)
            now = time.time_ns()
            rows = [
                {"T": "q", "S": SYMBOLS[number % 4], "t": now + number - sent, **quote, "as": number % 97}
                for number in range(sent, due)
            ]
            if rows:
                server.send("quotes", rows)
                sent = due
            time.sleep(1 / FRAMES)
        pipe.send(sent)
        pipe.recv()


def measure(rate: int, seconds: float, level: str) -> dict[str, float]:
    """Return what the collector did."""
    from alpaca_server import AlpacaServer, configuration

    import fpa_core
    from fpa_core.sources.live import CollectorOptions

    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, rate, seconds))
    server.start()
    options = ours.recv()
    longest = 0
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = configuration(AlpacaServer(), Path(folder), **options, calendar="none")
        path.write_text(path.read_text() + f'\n[validator]\nlevel = "{level}"\n')
        with fpa_core.open(path, environ={}) as data:
            collector = data.sources.collect("alpaca", ["quotes"], SYMBOLS, options=CollectorOptions(), stop=stop)
            waiting: list[int] = []
            sent: list[int] = []

            def watch() -> None:
                sent.append(ours.recv())
                while collector.status().rows < sent[0]:
                    time.sleep(0.05)
                stop.set()

            threading.Thread(target=watch, daemon=True).start()
            wall, cpu = time.monotonic(), time.process_time()
            report = collector.run(lambda status: waiting.append(status.waiting))
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            status = collector.status()
            longest = max(waiting, default=0)
            stored = data.select("quotes").count()
        ours.send(None)
    server.join()
    assert stored == sent[0], (stored, sent)
    assert not report.dropped
    return {
        "rows": stored,
        "rows per second": stored / seconds,
        "lag p50, ms": 1_000 * (status.lag_p50 or 0),
        "lag p99, ms": 1_000 * (status.lag_p99 or 0),
        "longest queue": longest,
        "queue at the end": waiting[-1],
        "processor share": cpu / wall,
    }


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="quotes a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--level", default="standard", help="the level of the validator")
    given = parser.parse_args()
    for name, value in measure(given.rate, given.seconds, given.level).items():
        print(f"{name:>20}: {value:,.2f}" if value % 1 else f"{name:>20}: {value:,.0f}")


if __name__ == "__main__":
    main()
