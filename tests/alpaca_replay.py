"""Replaying real trades and quotes to a collector through the server, with connections that drop and a minute of silence."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from alpaca_server import AlpacaServer
from live_collector import Message, Running, frames, multiset, records_of, replayed, wait_until

from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Quote, Trade
from fpa_core.numbers import to_ns
from fpa_core.sources.live import CollectorOptions
from fpa_core.sources.service import Sources
from fpa_plugins.alpaca.plugin import AlpacaOptions
from fpa_plugins.alpaca.source import AlpacaSource

__all__ = ["OPTIONS", "check_replay_of"]

OPTIONS = CollectorOptions(refill_after=0.05, checkpoint=0.05, max_delay=0.005)


class Simulated:
    """A clock that stands at the time of the last message."""

    def __init__(self, start: str) -> None:
        self.ns = to_ns(start)

    def __call__(self) -> int:
        return self.ns

    def seconds(self) -> float:
        return self.ns / 1e9


def replay(
    server: AlpacaServer, data: DataLayer, messages: list[Message], clock: Simulated, *, drops: int, seed: int
) -> Running:
    """Replay messages with dropped connections and a minute in which nothing is sent."""
    source = AlpacaSource(AlpacaOptions(**server.options), clock, clock.seconds)
    sources = Sources(
        store=lambda: data.store,
        validator=lambda: data.validator,
        source=lambda _: source,
        stream=data.stream,
        plugins=data.plugins,
        memory=data._components._cached_reads,
        clock=clock,
    )
    stop = threading.Event()
    collector = sources.collect("alpaca", ["quotes", "trades"], ["SPY", "IBM"], options=OPTIONS, stop=stop)
    parts = list(frames(messages, 64))
    chance = random.Random(seed)
    cut = set(chance.sample(range(len(parts)), drops))
    middle = messages[len(messages) // 2].ts_ns
    mute = (middle, middle + 60 * 10**9)
    before_mute = None
    pending = 0
    with Running(collector, stop) as running:
        server.wait_for_subscription()
        for number, part in enumerate(parts):
            clock.ns = part[-1].ts_ns
            if mute[0] <= clock.ns < mute[1]:
                before_mute = server.subscriptions if before_mute is None else before_mute
                server.muted = True
            elif server.muted:
                assert before_mute is not None
                server.wait_for_subscription(before_mute + 1)
                server.muted = False
            server.publish(part[0].kind, [(one.symbol, one.ts_ns, one.values) for one in part])
            pending += number in cut
            if pending and server.connected and not server.muted:
                pending -= 1
                wanted = server.subscriptions + 1
                server.drop(mid_frame=chance.random() < 0.5)
                if chance.random() < 0.7:  # else it misses more
                    server.wait_for_subscription(wanted)
        wait_until(lambda: server.connected == 1 and collector.status().connected, "the last connection")
        clock.ns += 10**9
        running.refilled()
        wait_until(lambda: collector.status().waiting == 0, "the queue")
    assert before_mute is not None
    assert len(running.finished().receipts) >= drops - pending  # each connection is a batch
    return running


def _check(data: DataLayer, messages: list[Message]) -> None:
    """Check that the store holds the source's multiset."""
    stored = [*data.select(Quote), *data.select(Trade)]
    assert multiset(records_of(messages)) == multiset(stored)


def check_replay_of(
    server: AlpacaServer, folder: Path, shared_data: Path, start: str, end: str, *, drops: int, seed: int
) -> None:
    """Replay real data of 2013-10-07 with the validator off, and check that the store holds the source's multiset."""
    messages = replayed(shared_data, f"2013-10-07T{start}Z", f"2013-10-07T{end}Z")
    clock = Simulated("2013-10-07T13:59:59Z")
    (folder / "fpa.toml").write_text('[validator]\nlevel = "off"\n[store]\npath = "replay.db"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpa_plugins.alpaca.websocket.POLL", 0.01)
        # The clock of the data runs so fast that a busy machine makes silence of its own: that must not lengthen the one to be found.
        patch.setattr("fpa_plugins.alpaca.websocket.LONGEST_SILENCE", 0.0)
        patch.chdir(folder)
        with open_layer(folder / "fpa.toml", environ={}, clock=clock) as data:
            replay(server, data, messages, clock, drops=drops, seed=seed)
            _check(data, messages)
