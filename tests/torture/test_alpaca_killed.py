"""Real trades and quotes to a process that is killed again and again, over connections that drop: after the refills the store equals the source."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fpa_core
from fpa_core.models import Quote, Trade
from fpa_core.sources.gaps import merge_coverage

pytest.importorskip("alpaca")

from alpaca_server import AlpacaServer, alpaca_server
from live_collector import Message, frames, multiset, records_of, replayed, wait_until

COLLECT = """
import json, signal, sys, threading
from pathlib import Path
from fpa_core.layer import open_layer
from fpa_core.sources.live import CollectorOptions
from fpa_core.sources.service import Sources
from fpa_plugins.alpaca.plugin import AlpacaOptions
from fpa_plugins.alpaca.source import AlpacaSource

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
clock = lambda: int(Path("now").read_text())
with open_layer("fpa.toml", environ={}, clock=clock) as data:
    source = AlpacaSource(AlpacaOptions(**json.loads(Path("options.json").read_text())), clock, lambda: clock() / 1e9)
    sources = Sources(
        store=lambda: data.store, validator=lambda: data.validator, source=lambda _: source,
        stream=data.stream, plugins=data.plugins, memory=data._components._cached_reads, clock=clock,
    )
    options = CollectorOptions(refill_after=0.05, checkpoint=0.05, max_delay=0.005)
    sources.collect("alpaca", ["quotes", "trades"], ["SPY", "IBM"], options=options, stop=stop).run()
"""


class Child:
    """The process that collects."""

    def __init__(self, folder: Path, server: AlpacaServer) -> None:
        self._folder = folder
        self._server = server
        (folder / "fpa.toml").write_text('[store]\npath = "test.db"\n[validator]\nlevel = "off"\n')
        (folder / "options.json").write_text(json.dumps(server.options))

    def set_clock(self, ns: int) -> None:
        """Set the clock of the process, in one step."""
        (self._folder / "next").write_text(str(ns))
        (self._folder / "next").replace(self._folder / "now")

    def start(self) -> None:
        """Start it, and wait until it has subscribed."""
        before = self._server.subscriptions
        self._process = subprocess.Popen([sys.executable, "-c", COLLECT], cwd=self._folder)
        self._server.wait_for_subscription(before + 1, timeout=60)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(60)
        wait_until(lambda: self._server.connected == 0, "the end of the connection")

    def terminate(self) -> int:
        """End it in good order, and return its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


def stored(folder: Path) -> list[object]:
    """Return what is stored."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        return [*data.select(Quote), *data.select(Trade)]


def count(folder: Path) -> int:
    """Return how many rows are stored."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        return data.select(Quote).count() + data.select(Trade).count()


def check_ledger(folder: Path, messages: list[Message]) -> None:
    """Check that what the ledger claims is stored."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        covered = merge_coverage(data.store.coverage())
    found = multiset(stored(folder))
    for subject, ranges in covered.items():
        own = [one for one in messages if (one.kind, one.symbol) == (subject.kind, subject.symbol)]
        claimed = [one for one in own if any(start <= one.ts_ns < end for start, end in ranges)]
        assert not multiset(records_of(claimed)) - found


@pytest.mark.torture
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows to terminate is to kill")
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Four kills and ten dropped connections in twenty minutes of data: the ledger never claims what is not stored, and in the end nothing lacks."""
    monkeypatch.chdir(tmp_path)
    messages = replayed(shared_data, "2013-10-07T14:00:00Z", "2013-10-07T14:20:00Z")
    parts = list(frames(messages, 64))
    chance = random.Random(seed)
    events = dict.fromkeys(chance.sample(range(len(parts)), 10), "drop")
    events |= dict.fromkeys(chance.sample(range(len(parts)), 4), "kill")
    with alpaca_server() as server:
        child = Child(tmp_path, server)
        child.set_clock(messages[0].ts_ns - 10**9)
        child.start()
        for number, part in enumerate(parts):
            child.set_clock(part[-1].ts_ns)
            server.publish(part[0].kind, [(one.symbol, one.ts_ns, one.values) for one in part])
            if events.get(number) == "drop":
                server.drop(mid_frame=chance.random() < 0.5)
            elif events.get(number) == "kill":
                child.kill()
                check_ledger(tmp_path, messages[: sum(map(len, parts[: number + 1]))])
                for late in parts[number + 1 : number + 1 + chance.randrange(5)]:
                    child.set_clock(late[-1].ts_ns)
                child.start()
        wait_until(lambda: server.connected == 1, "the last connection")
        child.set_clock(messages[-1].ts_ns + 10 * 10**9)
        wait_until(lambda: count(tmp_path) == len(messages), "the last row", 90)
        assert 0 == child.terminate()
    assert multiset(records_of(messages)) == multiset(stored(tmp_path))
