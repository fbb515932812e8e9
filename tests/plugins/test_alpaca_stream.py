"""Live data of Alpaca: the real client against a server that speaks its protocol, and that fails as the real one does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import ORDERS, QUOTES, TRADES
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant, to_ns

pytest.importorskip("alpaca")

from alpaca_replay import OPTIONS, check_replay_of
from alpaca_server import KEY, SECRET, AlpacaServer, alpaca_server, configuration
from live_collector import Running, multiset, wait_until

from fpa_plugins.alpaca.websocket import Silence

QUOTE = {"ap": 169.59, "as": 3, "ax": "Q", "bp": 169.57, "bs": 1, "bx": "P", "c": ["R"], "z": "C"}
TRADE = {"i": 52983525029461, "x": "D", "p": 126.55, "s": 1, "c": ["@", "I"], "z": "C"}
BAR = {"o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378, "n": 461, "vw": 389.062639}


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    """Run the server."""
    with alpaca_server() as running:
        yield running


class Shifted:
    """The clock of the system, put forward."""

    ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


@pytest.fixture
def shifted() -> Shifted:
    """Return the clock of the layer."""
    return Shifted()


@pytest.fixture
def data(server: AlpacaServer, tmp_path: Path, shifted: Shifted) -> Iterator[DataLayer]:
    """Open a layer with the source."""
    with open_layer(configuration(server, tmp_path, calendar="none"), environ={}, clock=shifted) as layer:
        yield layer


Collect = Callable[..., Running]


@pytest.fixture
def collect(data: DataLayer) -> Collect:
    """Return a function that makes a collector."""

    def make(kinds: Any = ("quotes", "trades"), symbols: Any = ("AAPL",), options: Any = OPTIONS) -> Running:
        stop = threading.Event()
        return Running(data.sources.collect("alpaca", kinds, symbols, options=options, stop=stop), stop)

    return make


def test_stored_exactly(server: AlpacaServer, data: DataLayer, collect: Collect) -> None:
    """Quotes, trades and bars are stored to the last digit and nanosecond, as one batch of their source."""
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000 - 120_000_000_000
    with collect(("quotes", "trades", "bars")) as running:
        server.wait_for_subscription()
        assert 1 == server.publish("quotes", [("AAPL", now + 1, QUOTE), ("MSFT", now + 1, QUOTE)])
        server.publish("trades", [("AAPL", now + 2, TRADE)])
        server.publish("bars", [("AAPL", now, BAR)])
        running.rows(3)
    assert running.error is None
    assert [Quote("AAPL", Instant(now + 1), "169.57", "169.59", 1, 3, "P", "Q", '["R"]')] == data.store.get_quotes()
    assert [
        Trade("AAPL", Instant(now + 2), "126.55", 1, '["@", "I"]', "D", "52983525029461")
    ] == data.store.get_trades()
    bar = Bar("AAPL", Instant(now), "388.985", "389.13", "388.975", "389.12", 49378, "1m", "389.062639", 461)
    assert [bar] == data.store.get_bars()
    connection, begun = data.store.batches()  # where the run began is a batch of its own
    assert ("alpaca:iex", 3) == (connection.origin, connection.inserted)
    assert ("alpaca:iex", 0) == (begun.origin, begun.inserted)


def test_updated_bars_are_revisions(server: AlpacaServer, data: DataLayer, collect: Collect) -> None:
    """A minute that is updated replaces the one before it."""
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000 - 120_000_000_000
    with collect(("bars",)) as running:
        server.wait_for_subscription()
        server.send("bars", [{"T": "b", "S": "AAPL", "t": now, **BAR}])
        server.send("bars", [{"T": "u", "S": "AAPL", "t": now, **BAR, "v": 50_000}])
        running.rows(2)
    assert [50_000] == [bar.volume for bar in data.store.get_bars()]


@pytest.mark.parametrize("mid_frame", [False, True])
def test_what_a_broken_connection_misses_is_fetched(
    server: AlpacaServer, data: DataLayer, collect: Collect, mid_frame: bool
) -> None:
    """After a connection breaks, even within a frame, what was missed is fetched; what both deliver is stored once."""
    now = time.time_ns()
    sent = [(f"{part}", now + part * 1_000_000) for part in range(30)]
    with collect() as running:
        server.wait_for_subscription()
        for number, (_, at) in enumerate(sent):
            if number == 10:
                running.rows(10)
                assert 1 == server.drop(mid_frame=mid_frame)
            if number == 20:
                server.wait_for_subscription(2)
            server.publish("quotes", [("AAPL", at, QUOTE | {"as": number // 2})] * 2)
        running.rows(40)
        running.refilled()
    running.finished()
    assert 60 == data.select(Quote).count()
    assert multiset(number // 2 for number in range(30) for _ in range(2)) == multiset(
        int(quote.ask_size) for quote in data.select(Quote)
    )
    assert 2 == len(running.finished().receipts)
    assert 20 == sum(one.inserted for one in running.finished().refills)


def test_what_is_covered(server: AlpacaServer, data: DataLayer, collect: Collect) -> None:
    """The ledger has what was delivered without a break, from shortly after the first record to shortly before the last, also for a symbol without rows."""
    with collect(("quotes",), ("AAPL", "MSFT")) as running:
        server.wait_for_subscription()
        connected = time.time_ns()
        server.publish("quotes", [("AAPL", connected + seconds * 10**9, QUOTE) for seconds in range(1, 6)])
        running.rows(5)
        wait_until(lambda: any(one.rows for one in data.store.coverage()), "the entry")
    found = {one.subject: one for one in data.store.coverage("quotes")}
    assert {"AAPL", "MSFT"} == set(found)
    assert connected + 4 * 10**9 == found["AAPL"].end_ns == found["MSFT"].end_ns
    assert connected + 2 * 10**9 == found["AAPL"].start_ns == found["MSFT"].start_ns
    assert (5, 0) == (found["AAPL"].rows, found["MSFT"].rows)


def test_the_next_run_continues(server: AlpacaServer, data: DataLayer, collect: Collect, shifted: Shifted) -> None:
    """A run begins with what was missed since the last one ended."""
    begun = shifted()
    with collect(("quotes",)) as running:
        server.wait_for_subscription()
        server.publish("quotes", [("AAPL", begun + number * 10**9, QUOTE) for number in (1, 4, 5)])
        running.rows(3)
        wait_until(lambda: any(one.rows for one in data.store.coverage()), "the entry")
    server.add("quotes", "AAPL", begun + 6 * 10**9, QUOTE)
    shifted.ahead_ns = 20 * 10**9
    with collect(("quotes",)) as running:
        # since the end of the first run, and from its beginning to that of its connection
        wait_until(lambda: running.collector.status().refilled == 2, "the refills")
    assert 4 == data.select(Quote).count()
    assert begun + 4 * 10**9 in [to_ns(parameters["start"]) for _, parameters in server.requests]


def test_too_long_ago(server: AlpacaServer, data: DataLayer, collect: Collect, shifted: Shifted, caplog: Any) -> None:
    """A run that ended longer ago than is caught up leaves the gap to `fpa backfill`, and says so."""
    begun = shifted()
    with collect(("quotes",)) as running:
        server.wait_for_subscription()
        server.publish("quotes", [("AAPL", begun + number * 10**9, QUOTE) for number in (1, 4, 5)])
        running.rows(3)
        wait_until(lambda: any(one.rows for one in data.store.coverage()), "the entry")
    shifted.ahead_ns = 2 * 86_400 * 10**9
    with collect(("quotes",)) as running:
        server.wait_for_subscription(2)
    assert [] == list(running.finished().open_gaps)
    assert "`fpa backfill` closes the gap" in caplog.text


def test_corrections(server: AlpacaServer, data: DataLayer, collect: Collect) -> None:
    """A corrected trade is replaced, a cancelled one goes; both stay in the history. A notice about an unknown trade is counted."""
    now = time.time_ns()
    with collect(("trades",)) as running:
        server.wait_for_subscription()
        server.publish("trades", [("AAPL", now + number, TRADE | {"i": number}) for number in (1, 2, 3, 4)])
        old = {"x": "D", "oi": 1, "op": 126.55, "os": 1, "oc": ["@"]}
        new = {"cp": 126.5, "cs": 2, "cc": ["@"], "z": "C"}
        server.send("corrections", [{"T": "c", "S": "AAPL", "t": now + 9, **old, **new, "ci": 1}])
        server.send("corrections", [{"T": "c", "S": "AAPL", "t": now + 9, **old, **new, "oi": 2, "ci": 22}])
        server.send("cancelErrors", [{"T": "x", "S": "AAPL", "t": now + 9, "x": "D", "i": 3, "p": 1, "s": 1, "a": "C"}])
        server.send(
            "cancelErrors", [{"T": "x", "S": "AAPL", "t": now + 9, "x": "D", "i": 99, "p": 1, "s": 1, "a": "E"}]
        )
        wait_until(lambda: running.collector.status().corrections == 3, "the corrections")
    running.finished()
    assert [("1", "126.5", 2), ("22", "126.5", 2), ("4", "126.55", 1)] == [
        (one.trade_id, str(one.price), one.size) for one in data.store.get_trades()
    ]
    assert (3, 1) == (running.finished().corrections, running.finished().unmatched)
    (first, *_) = (batch for batch in reversed(data.store.batches(children=True)) if batch.parent is not None)
    before = data.select(Trade, as_known_at=Instant(first.recorded_ns)).to_list()
    assert ["126.55"] * 4 == [str(one.price) for one in before]


def test_unreadable_messages(server: AlpacaServer, data: DataLayer, collect: Collect) -> None:
    """A message that cannot be parsed is quarantined; those in the same frame are stored, and unknown types are passed over."""
    now = time.time_ns()
    with collect() as running:
        server.wait_for_subscription()
        quote = {"T": "q", "S": "AAPL", "t": now, **QUOTE}
        server.send("quotes", [quote, quote | {"ap": "much"}, quote | {"T": "mystery"}, quote | {"t": now + 1}])
        running.rows(2)
        wait_until(lambda: running.collector.status().quarantined == 1, "the quarantine")
    (rejected,) = data.store.quarantined()
    assert '"much"' in rejected.raw
    assert 2 == data.select(Quote).count()


def test_rules_apply(server: AlpacaServer, collect: Collect) -> None:
    """A record that breaks a rule is quarantined."""
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000 - 120_000_000_000
    with collect(("bars",)) as running:
        server.wait_for_subscription()
        server.publish("bars", [("AAPL", now - 60 * 10**9, BAR | {"h": 1}), ("AAPL", now, BAR)])
        running.rows(2)
    running.finished()
    assert (1, 1) == (running.finished().receipts[0].inserted, running.finished().receipts[0].quarantined)


def test_a_silent_connection_is_left(server: AlpacaServer, tmp_path: Path) -> None:
    """A connection that is open and silent for longer than the time-out is replaced, and what it hid is fetched."""
    path = configuration(server, tmp_path, calendar="none", data_timeout=0.3)
    stop = threading.Event()
    with open_layer(path, environ={}) as data:
        collector = data.sources.collect("alpaca", ["quotes"], ["AAPL"], options=OPTIONS, stop=stop)
        with Running(collector, stop) as running:
            server.wait_for_subscription()
            server.publish("quotes", [("AAPL", time.time_ns(), QUOTE)])
            running.rows(1)
            server.muted = True
            server.publish("quotes", [("AAPL", time.time_ns(), QUOTE)])
            server.wait_for_subscription(2)
            server.muted = False
            wait_until(lambda: collector.status().refilled >= 1, "the refill")
        assert 2 == data.select(Quote).count()


def test_silence() -> None:
    """Silence counts by kind, only while the exchange is open, and from the last data on."""
    now, is_open = [0.0], [True]
    silence = Silence({QUOTES: 30.0, TRADES: 90.0}, lambda: is_open[0], lambda: now[0])
    assert silence.broken() is None
    silence.begin()
    for at, kind, expected in (
        (29, QUOTES, None),
        (58, QUOTES, None),
        (88, None, QUOTES),
        (88, QUOTES, None),
        (90, None, TRADES),
    ):
        now[0] = at
        if kind is not None:
            silence.heard(kind)
        assert expected is silence.broken()
    is_open[0] = False
    now[0] = 10_000.0
    assert silence.broken() is None
    is_open[0] = True
    assert silence.broken() is None  # it begins to count when the exchange opens
    now[0] += 30
    assert QUOTES is silence.broken()


def test_seldom_traded() -> None:
    """Each time that a silence counted, twice as long a one is allowed, up to an hour; the next session begins anew."""
    now, is_open = [0.0], [True]
    silence = Silence({QUOTES: 30.0}, lambda: is_open[0], lambda: now[0])
    found = []
    silence.begin()
    for second in range(20_000):
        now[0] = second
        if silence.broken() is not None:
            found.append(second)
            silence.begin()
    assert [30, 90, 210, 450, 930, 1_890, 3_810, 7_410, 11_010, 14_610, 18_210] == found
    is_open[0] = False
    assert silence.broken() is None
    is_open[0] = True
    now[0] += 30
    assert QUOTES is silence.broken()


def test_a_second_connection(server: AlpacaServer, collect: Collect) -> None:
    """A second connection with the same key ends with an error that says so; the first one goes on."""
    with collect() as first:
        server.wait_for_subscription()
        with collect() as second:
            second.ended()
        assert isinstance(second.error, SourceError)
        assert "connection limit exceeded" in str(second.error)
        assert "end the other process" in str(second.error.hint)
        server.publish("quotes", [("AAPL", time.time_ns(), QUOTE)])
        first.rows(1)
    assert first.error is None


def test_occupied_for_a_moment(server: AlpacaServer, collect: Collect) -> None:
    """A connection that the server has not let go yet is waited for."""
    server.refuse += [(406, "connection limit exceeded")] * 2
    with collect() as running:
        server.wait_for_subscription()
    assert running.error is None


@pytest.mark.parametrize("said", ["auth failed", "insufficient subscription"])
def test_hopeless(server: AlpacaServer, collect: Collect, said: str) -> None:
    """A refusal that another try would not change ends the run with an error."""
    server.refuse.append((402, said))
    with collect() as running:
        running.ended()
    assert isinstance(running.error, SourceError)
    assert said in str(running.error)


def test_slow_client(server: AlpacaServer, collect: Collect, caplog: pytest.LogCaptureFixture) -> None:
    """What the server says of a client that is too slow is logged, and data go on."""
    with collect() as running:
        server.wait_for_subscription()
        server.send("quotes", [{"T": "error", "S": "AAPL", "code": 407, "msg": "slow client"}])
        server.publish("quotes", [("AAPL", time.time_ns(), QUOTE)])
        running.rows(1)
    assert "slow client (407)" in caplog.text


def test_what_cannot_be_streamed(collect: Collect) -> None:
    """Kinds that are not streamed are refused."""
    with collect((ORDERS,)) as running:
        running.ended()
    assert isinstance(running.error, DataError)
    assert "orders" in str(running.error)


def test_stops_at_once(server: AlpacaServer, collect: Collect) -> None:
    """It stops without waiting for data, and closes its connection."""
    with collect() as running:
        server.wait_for_subscription()
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert running.error is None
    wait_until(lambda: server.connected == 0, "the end of the connection")


def test_no_secret_is_shown(
    server: AlpacaServer, data: DataLayer, collect: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor secret is in any log at DEBUG, a repr or an error, through connecting, breaking, refusing and fetching."""
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "urllib3", "alpaca", "fpa", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with collect() as running:
        server.wait_for_subscription()
        server.publish("quotes", [("AAPL", time.time_ns(), QUOTE)])
        running.rows(1)
        server.drop(mid_frame=True)
        server.wait_for_subscription(2)
        running.refilled()
    server.refuse.append((402, "auth failed"))
    with collect() as refused:
        refused.ended()
    source = data.sources.history_source("alpaca")
    shown = [caplog.text, repr(source), repr(vars(source)), str(refused.error), repr(data.config), repr(running)]
    shown += [repr(vars(part)) for part in (source.market_data, source.client)]
    assert caplog.records
    for text in shown:
        assert KEY not in text
        assert SECRET not in text


@pytest.mark.parametrize("seed", range(2))
def test_replay_of_real_data(server: AlpacaServer, tmp_path: Path, shared_data: Path, seed: int) -> None:
    """Real trades and quotes over connections that drop, with a silent minute: after the refill the store equals the source, row by row."""
    check_replay_of(server, tmp_path, shared_data, "14:00:00", "14:05:00", drops=6, seed=seed)
