"""Updates of Alpaca's orders as they happen: the real client against a server that speaks the protocol of trade updates."""

from __future__ import annotations

import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fpa_core.exceptions import DataError, SourceError
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Fill, Order, OrderStatus
from fpa_core.numbers import ns_text
from fpa_core.protocols import Correction
from fpa_core.sources.orders import FollowOptions

pytest.importorskip("alpaca")

from alpaca_server import KEY, SECRET, AlpacaServer, Fault, alpaca_server, configuration
from killed_follower import ACCOUNT, check_killed_follower
from live_collector import Running, wait_until

from fpa_plugins.alpaca.credentials import Credentials

NOW = 1_714_593_600_000_000_000  # 2024-05-01T20:00:00Z
ORDER = {
    "id": "61e69015", "client_order_id": "eb9e2aaa", "created_at": "2024-05-01T14:00:00.123456789Z",
    "submitted_at": "2024-05-01T14:00:00.123456789Z", "updated_at": "2024-05-01T14:00:01Z", "filled_at": None, "symbol": "AAPL",
    "notional": None, "qty": "15", "filled_qty": "0", "filled_avg_price": None, "order_class": "simple", "order_type": "limit",
    "type": "limit", "side": "buy", "time_in_force": "day", "limit_price": "107.00", "stop_price": None, "status": "new",
}  # fmt: skip
STATUSES = (
    "pending_new", "accepted", "pending_review", "held", "new", "accepted_for_bidding", "stopped", "suspended", "calculated",
    "partially_filled", "pending_replace", "pending_cancel", "done_for_day", "replaced", "expired", "rejected", "canceled", "filled",
)  # fmt: skip
FAST = FollowOptions(after_fill=0.05, every=3_600.0, max_delay=0.0)


def at(second: float) -> str:
    """Return a time within the minute after the order."""
    return ns_text(1_714_572_000 * 10**9 + int(second * 10**9))


def filled(quantity: str, second: float, price: str = "106.5") -> dict[str, Any]:
    """Return the order after so many shares were filled."""
    status = "filled" if quantity == ORDER["qty"] else "partially_filled"
    return ORDER | {"status": status, "filled_qty": quantity, "filled_avg_price": price, "updated_at": at(second)}


def activity(number: int, quantity: str, second: float) -> dict[str, Any]:
    """Return a fill as the account lists it."""
    return {
        "activity_type": "FILL", "id": f"20240501140000{number:03}::8efc7b9a", "price": "106.5", "qty": quantity, "side": "buy",
        "symbol": "AAPL", "transaction_time": at(second), "order_id": ORDER["id"], "type": "fill", "cum_qty": quantity, "leaves_qty": "0",
    }  # fmt: skip


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    """Run the server, with an account."""
    with alpaca_server(account=dict(ACCOUNT)) as running:
        yield running


@pytest.fixture
def data(server: AlpacaServer, tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer whose clock goes on by a second each time it is asked."""
    ticks = itertools.count(NOW, 10**9)
    with open_layer(configuration(server, tmp_path), environ={}, clock=lambda: next(ticks)) as layer:
        yield layer


Follow = Callable[..., Running]


@pytest.fixture
def follow(data: DataLayer) -> Follow:
    """Return a function that makes a follower."""

    def make(options: FollowOptions = FAST) -> Running:
        stop = threading.Event()
        return Running(data.sources.follow("alpaca", options=options, stop=stop), stop)  # type: ignore[arg-type]  # it runs as a collector does

    return make


def updates(running: Running, count: int) -> None:
    """Wait until so many updates were taken."""
    wait_until(lambda: running.collector.status().updates >= count, f"update {count}")


def syncs(running: Running, count: int) -> None:
    """Wait until the account was synced so often."""
    wait_until(lambda: running.collector.status().syncs >= count, f"sync {count}")


@pytest.mark.parametrize(("seed", "binary"), [(0, True), (1, False), (2, True)])
def test_every_status(server: AlpacaServer, data: DataLayer, follow: Follow, seed: int, binary: bool) -> None:
    """An order seen through all 18 statuses, in order or not, in either kind of frame, ends as the latest says, and has what came before in its history."""
    server.binary = binary
    states = [ORDER | {"status": status, "updated_at": at(second)} for second, status in enumerate(STATUSES, 2)]
    states[-1] |= {"filled_qty": "15", "filled_avg_price": "106.5"}
    assert 18 == len(set(STATUSES))
    with follow() as running:
        server.wait_for_subscription()
        for state in states if seed == 0 else random.Random(seed).sample(states, 18):
            assert 1 == server.update_order("update", state)
        updates(running, 18)
    running.finished()
    (order,) = data.store.get_orders()
    assert (OrderStatus.FILLED, "filled", 15, "PA3X") == (
        order.status,
        order.status_raw,
        order.filled_quantity,
        order.account,
    )
    if seed == 0:
        # The rules put aside what ends an order that was ended by its replacement.
        kept = [version.order.status_raw for version in data.portfolio.history(order.order_id, "PA3X")]
        assert [status for status in STATUSES if status not in {"expired", "rejected"}] == kept
        assert 2 == data.store.count_quarantined()
    with follow() as running:
        server.wait_for_subscription(2)
        server.update_order("pending_cancel", states[4])
        updates(running, 1)
    assert [order] == data.store.get_orders()


def test_fills_are_those_of_the_account(server: AlpacaServer, data: DataLayer, follow: Follow) -> None:
    """An update that fills an order has the fills of the account stored, under the account's ids: a later sync of the account adds none."""
    with follow() as running:
        server.wait_for_subscription()
        syncs(running, 1)
        server.activities.append(activity(1, "5", 3))
        server.update_order("partial_fill", filled("5", 3), execution_id="x1", price="106.5", qty="5")
        wait_until(lambda: data.select(Fill).count() == 1, "the first fill")
        server.activities.append(activity(2, "10", 4))
        server.orders = [filled("15", 4)]
        server.update_order("fill", filled("15", 4), execution_id="x2", price="106.5", qty="10")
        wait_until(lambda: data.select(Fill).count() == 2, "the second fill")
        wait_until(lambda: running.collector.status().unlisted == 0, "the fills")
    live = data.select(Fill).to_list()
    assert [Decimal(5), Decimal(10)] == [fill.quantity for fill in live]
    assert 0 == data.sources.sync("alpaca", everything=True).revised
    assert live == data.select(Fill).to_list()
    (order,) = data.store.get_orders()
    assert 15 == order.filled_quantity == sum(fill.quantity for fill in live)


def test_fills_that_are_listed_late(server: AlpacaServer, data: DataLayer, follow: Follow, caplog: Any) -> None:
    """The account is asked again until it lists a fill that an update told of; one that it never lists is said, and reported."""
    with follow(FollowOptions(after_fill=0.01, every=3_600.0, max_delay=0.0, tries=3)) as running:
        server.wait_for_subscription()
        syncs(running, 1)
        server.update_order("fill", filled("15", 3))
        syncs(running, 3)
        server.activities.append(activity(1, "15", 3))
        wait_until(lambda: running.collector.status().unlisted == 0, "the fill")
        assert 1 == data.select(Fill).count()
        server.update_order("fill", filled("15", 3) | {"id": "never"})
        wait_until(lambda: "does not list the fills of order never" in caplog.text, "the warning")
    assert ("never",) == running.finished().unlisted


def test_what_a_broken_connection_misses(server: AlpacaServer, data: DataLayer, follow: Follow) -> None:
    """After each beginning of a connection the account is synced: orders that came, and changed, while nobody listened are there."""
    server.orders = [ORDER, ORDER | {"id": "earlier", "submitted_at": at(-60), "status": "filled"}]
    with follow() as running:
        server.wait_for_subscription()
        syncs(running, 1)
        assert 2 == data.select(Order).count()
        server.drop()
        server.orders = [*server.orders[1:], filled("15", 5), ORDER | {"id": "missed", "submitted_at": at(4)}]
        server.activities.append(activity(1, "15", 5))
        server.wait_for_subscription(2)
        syncs(running, 2)
        wait_until(lambda: data.select(Order).count() == 3, "the missed order")
        assert OrderStatus.FILLED is data.store.get_order(ORDER["id"]).status  # type: ignore[union-attr]
        assert 1 == data.select(Fill).count()
    report = running.finished()
    assert {"alpaca:orders"} >= {receipt.origin for receipt in report.receipts}


def test_the_next_sync_knows_what_is_open(server: AlpacaServer, data: DataLayer, follow: Follow) -> None:
    """A sync asks from the oldest open order on, one that an update opened included; orders that only updates told of do not hide earlier ones."""
    server.orders = [ORDER | {"id": "synced", "status": "filled", "submitted_at": at(10)}]
    with follow() as running:
        server.wait_for_subscription()
        syncs(running, 1)
        server.update_order("new", ORDER | {"id": "live", "submitted_at": at(30)})
        updates(running, 1)
    data.sources.sync("alpaca")
    asked = [query["after"] for path, query in server.requests if path.endswith("/orders") and "after" in query]
    assert at(9.999999999) == asked[-1]
    with follow() as running:
        server.wait_for_subscription(2)
        server.update_order("new", ORDER | {"id": "open", "submitted_at": at(5)})
        updates(running, 1)
    data.sources.sync("alpaca")
    asked = [query["after"] for path, query in server.requests if path.endswith("/orders") and "after" in query]
    assert at(4.999999999) == asked[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows to terminate is to kill")
def test_a_follower_that_is_killed(server: AlpacaServer, tmp_path: Path) -> None:
    """A process that is killed, and cut off, while orders are filled: when it is back, orders and fills are those of the account."""
    check_killed_follower(server, tmp_path, orders=10, kills=2, drops=1, seed=1)


def test_an_account_that_fails(server: AlpacaServer, data: DataLayer, follow: Follow, caplog: Any) -> None:
    """Updates are stored while the account cannot be synced, and it is synced when it can be again."""
    with follow() as running:
        server.wait_for_subscription()
        syncs(running, 1)
        server.faults += [Fault(403)]
        server.activities.append(activity(1, "5", 3))
        server.update_order("partial_fill", filled("5", 3))
        wait_until(lambda: data.select(Fill).count() == 1, "the fill")
    assert "could not be synced yet" in caplog.text
    assert 1 == data.select(Order).count()


def test_syncs_as_time_passes(server: AlpacaServer, follow: Follow) -> None:
    """The account is synced now and then, since an open connection may lose updates."""
    with follow(FollowOptions(every=0.05)) as running:
        server.wait_for_subscription()
        syncs(running, 3)
    assert running.error is None


def test_what_is_no_order(server: AlpacaServer, data: DataLayer, follow: Follow) -> None:
    """An update that cannot be read is quarantined with the reason; other messages are passed over."""
    with follow() as running:
        server.wait_for_subscription()
        server.update_order("new", ORDER | {"id": "parent", "symbol": None, "side": None})
        server.send_trading({"stream": "trade_updates", "data": None})
        server.send_trading({"stream": "mystery", "data": {}})
        server.update_order("new", ORDER)
        updates(running, 1)
        wait_until(lambda: running.collector.status().quarantined == 2, "the quarantine")
    assert 1 == data.select(Order).count()
    assert any("several legs" in str(one.findings) for one in data.store.quarantined())


@pytest.mark.parametrize("what", ["the keys are not authorized", "trade_updates is not among its channels"])
def test_refused(server: AlpacaServer, data: DataLayer, follow: Follow, what: str) -> None:
    """Keys that the stream does not take, and an account without that channel, end the run with an error that says so."""
    if "keys" in what:
        source: Any = data.sources.history_source("alpaca")
        source._credentials = Credentials(KEY, "wrong-secret")  # of the stream alone
    else:
        server.trading_channels = ()
    with follow() as running:
        running.ended()
    assert isinstance(running.error, SourceError)
    assert what in str(running.error)
    assert "wrong-secret" not in str(running.error)


def test_an_answer_that_is_no_json(server: AlpacaServer, follow: Follow) -> None:
    """An answer to the keys that cannot be read is no refusal: another connection is made."""
    server.garbled = 2
    with follow() as running:
        server.wait_for_subscription()
    assert running.error is None


def test_stops_at_once(server: AlpacaServer, follow: Follow) -> None:
    """It stops without waiting for an update."""
    with follow() as running:
        server.wait_for_subscription()
        begun = time.monotonic()
    assert time.monotonic() - begun < 4
    assert running.error is None


def test_a_source_without_orders(data: DataLayer, follow: Follow) -> None:
    """A source that has no updates of orders is refused; a correction of a trade among them is an error."""
    with pytest.raises(DataError, match="no updates of orders"):
        data.sources.follow("files")
    with pytest.raises(SourceError, match="among updates of orders"):
        follow().collector._sink.correct(Correction("AAPL", "D", "1", NOW))


def test_no_secret_is_shown(server: AlpacaServer, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor secret is in any log at DEBUG, though both are in the first frame."""
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "urllib3", "alpaca", "fpa", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with follow() as running:
        server.wait_for_subscription()
        server.update_order("new", ORDER)
        updates(running, 1)
        server.drop()
        server.wait_for_subscription(2)
    assert caplog.records
    for text in (caplog.text, repr(running), repr(vars(running.collector))):
        assert KEY not in text
        assert SECRET not in text
