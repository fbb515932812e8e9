"""A process that follows the orders of an account, and is killed and cut off while they live: in the end the store has what the account has."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpaca_server import AlpacaServer, configuration
from attrs import define, frozen
from live_collector import wait_until

import fpa_core
from fpa_core.layer import DataLayer
from fpa_core.models import Fill, Order
from fpa_core.numbers import ns_text, to_ns

__all__ = ["ACCOUNT", "check_killed_follower"]

ACCOUNT = {
    "account_number": "PA3X",
    "currency": "USD",
    "cash": "1000",
    "equity": "1000",
    "last_equity": "990",
    "buying_power": "2000",
}

BEGIN_NS = to_ns("2024-05-01T14:00:00Z")
STEP_NS = 137_000_001

FOLLOW = """
import signal, threading
import fpa_core
from fpa_core.sources.orders import FollowOptions

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
with fpa_core.open("fpa.toml", environ={"FPA_VALIDATOR__LEVEL": "off"}) as data:
    options = FollowOptions(after_fill=0.02, every=0.5, max_delay=0.0)
    data.sources.follow("alpaca", options=options, stop=stop).run()
"""


@frozen
class Step:
    """One thing that happens to an order: its state afterwards, and the fill that the account will list."""

    event: str
    order: dict[str, Any]
    fill: dict[str, Any] | None


@define
class _Life:
    """An order that is not ended yet."""

    number: int
    quantity: int
    submitted: str
    filled: int = 0

    def next(self, chance: random.Random, at: str) -> tuple[Step, bool]:
        """Advance it by one event, and return whether that is its end."""
        if chance.random() < 0.15:
            return self._step("canceled", "canceled", at), True
        part = chance.randint(1, self.quantity - self.filled)
        self.filled += part
        ended = self.filled == self.quantity
        step = self._step("fill" if ended else "partial_fill", "filled" if ended else "partially_filled", at, part)
        return step, ended

    def begin(self) -> Step:
        """Return its submission."""
        return self._step("new", "new", self.submitted)

    def _step(self, event: str, status: str, at: str, part: int = 0) -> Step:
        name = f"order-{self.number}"
        order = {
            "id": name, "client_order_id": f"client-{self.number}", "created_at": self.submitted, "submitted_at": self.submitted,
            "updated_at": at, "filled_at": None, "symbol": "AAPL", "notional": None, "qty": str(self.quantity), "filled_qty": str(self.filled),
            "filled_avg_price": "106.5" if self.filled else None, "order_class": "simple", "order_type": "limit", "type": "limit", "side": "buy",
            "time_in_force": "day", "limit_price": "107.00", "stop_price": None, "status": status,
        }  # fmt: skip
        fill = None
        if part:
            fill = {
                "activity_type": "FILL", "id": f"2024::{self.number}-{self.filled}", "price": "106.5", "qty": str(part), "side": "buy",
                "symbol": "AAPL", "transaction_time": at, "order_id": name, "type": event, "cum_qty": str(self.filled),
                "leaves_qty": str(self.quantity - self.filled),
            }  # fmt: skip
        return Step(event, order, fill)


def lives(count: int, chance: random.Random) -> Iterator[Step]:
    """Yield what happens to so many orders, some at a time, in order of time: each ends filled or cancelled."""
    living: list[_Life] = []
    begun = moment = 0
    while begun < count or living:
        moment += 1
        at = ns_text(BEGIN_NS + moment * STEP_NS)
        if begun < count and (not living or chance.random() < 0.3):
            living.append(_Life(begun, chance.randint(1, 20), at))
            begun += 1
            yield living[-1].begin()
        else:
            life = chance.choice(living)
            step, ended = life.next(chance, at)
            if ended:
                living.remove(life)
            yield step


class Account:
    """What the server has of the account, and every state that an order ever had."""

    def __init__(self, server: AlpacaServer) -> None:
        self.server = server
        self.states: set[tuple[Any, ...]] = set()
        self._unlisted: list[dict[str, Any]] = []

    def happen(self, step: Step, *, late: bool) -> None:
        """Advance the orders by one event, and notify whoever listens.

        :param late: whether the account lists its fill only some time later.
        """
        order = step.order
        self.states.add(_state(order["id"], order["status"], order["filled_qty"], to_ns(order["updated_at"])))
        self.server.orders = [*(one for one in self.server.orders if one["id"] != order["id"]), order]
        if step.fill is not None:
            self._unlisted.append(step.fill)
        if not late:
            self.list_fills()
        self.server.update_order(step.event, order)

    def list_fills(self) -> None:
        """List the fills that were late."""
        self.server.activities = [*self.server.activities, *self._unlisted]
        self._unlisted = []

    def orders(self) -> set[tuple[Any, ...]]:
        """Return the orders as they stand."""
        return {
            _state(one["id"], one["status"], one["filled_qty"], to_ns(one["updated_at"])) for one in self.server.orders
        }

    def fills(self) -> list[tuple[Any, ...]]:
        """Return the fills that are listed."""
        return sorted(
            (one["order_id"], to_ns(one["transaction_time"]), Decimal(one["qty"]), Decimal(one["price"]))
            for one in self.server.activities
        )


def _state(order_id: str, status: str | None, filled: str | Decimal, updated_ns: int | None) -> tuple[Any, ...]:
    return order_id, status, Decimal(filled), updated_ns


class Stored:
    """What the store has of it."""

    def __init__(self, data: DataLayer) -> None:
        self._orders: list[Order] = data.select(Order).to_list()
        self.orders = {
            _state(one.order_id, one.status_raw, one.filled_quantity, one.updated_ns) for one in self._orders
        }
        self.fills = sorted((one.order_id, one.ts_ns, one.quantity, one.price) for one in data.select(Fill).to_list())
        self.versions = {
            order.order_id: [
                _state(one.order.order_id, one.order.status_raw, one.order.filled_quantity, one.order.updated_ns)
                for one in data.portfolio.history(order.order_id, order.account)
                if one.reason != "outdated"
            ]
            for order in self._orders
        }

    def check(self, account: Account) -> None:
        """Check that nothing is there that never was, nothing twice, and that no order went back to an earlier state."""
        assert len(self.orders) == len({state[0] for state in self.orders})
        assert len(self.fills) == len(set(self.fills))
        assert set(self.fills) <= set(account.fills())
        for versions in self.versions.values():
            assert set(versions) <= account.states
            assert versions == sorted(versions, key=lambda state: state[3])


def stored(folder: Path) -> Stored:
    """Return what is stored."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        return Stored(data)


class Follower:
    """The process that follows."""

    def __init__(self, folder: Path, server: AlpacaServer) -> None:
        self._folder = folder
        self._server = server
        configuration(server, folder)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        before = self._server.subscriptions
        self._process = subprocess.Popen([sys.executable, "-c", FOLLOW], cwd=self._folder)
        self._server.wait_for_subscription(before + 1, timeout=60)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(60)

    def terminate(self) -> int:
        """End it in good order, and return its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


def check_killed_follower(
    server: AlpacaServer, folder: Path, *, orders: int, kills: int, drops: int, seed: int
) -> None:
    """Run orders to their end while the process that follows them is killed and cut off, and check that the store has what the account has."""
    chance = random.Random(seed)
    steps = list(lives(orders, chance))
    places = chance.sample(range(1, len(steps)), kills + drops)
    killed, dropped = set(places[:kills]), set(places[kills:])
    account, follower = Account(server), Follower(folder, server)
    follower.start()
    dead = 0
    try:
        for number, step in enumerate(steps):
            account.happen(step, late=chance.random() < 0.3)
            if dead:
                dead -= 1
                if not dead:
                    follower.start()
            elif number in killed:
                follower.kill()
                stored(folder).check(account)
                dead = chance.randint(0, 4)
                if not dead:
                    follower.start()
            elif number in dropped:
                server.drop(mid_frame=chance.random() < 0.5)
        if dead:
            follower.start()
        account.list_fills()
        expected = account.orders(), account.fills()
        wait_until(lambda: ((found := stored(folder)).orders, found.fills) == expected, "the last order and fill", 60)
    except BaseException:
        follower.kill()
        raise
    assert 0 == follower.terminate()
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        synced = data.sources.sync("alpaca", everything=True)
        assert 0 == synced.revised
        found = Stored(data)
    found.check(account)
    assert expected == (found.orders, found.fills)
