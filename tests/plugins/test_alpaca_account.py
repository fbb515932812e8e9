"""The account of Alpaca: totals, positions and orders, synced as one batch that changes nothing when nothing has changed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fpa_core.exceptions import SourceError
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import CashFlow, Fill, OrderStatus, OrderType, PositionSide, TimeInForce
from fpa_core.numbers import ns_text

pytest.importorskip("alpaca")

from alpaca_server import AlpacaServer, Fault, alpaca_server, configuration

from fpa_plugins.alpaca.credentials import find_credentials
from fpa_plugins.alpaca.plugin import AlpacaOptions

NOW = 1_714_593_600_000_000_000  # 2024-05-01T20:00:00Z
ACCOUNT = {
    "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
    "account_number": "PA3X",
    "status": "ACTIVE",
    "currency": "USD",
    "cash": "-23140.2",
    "equity": "103820.56",
    "last_equity": "103529.24",
    "buying_power": "262113.632",
}
LONG = {
    "asset_id": "904837e3", "symbol": "AAPL", "asset_class": "us_equity", "avg_entry_price": "100.0", "qty": "5", "side": "long",
    "market_value": "600.0", "cost_basis": "500.0", "unrealized_pl": "100.0", "unrealized_intraday_pl": "10.0", "current_price": "120.0",
}  # fmt: skip
SHORT = LONG | {
    "symbol": "TSLA",
    "qty": "-2",
    "side": "short",
    "market_value": None,
    "current_price": None,
    "unrealized_pl": None,
}
ORDER = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "eb9e2aaa", "created_at": "2024-05-01T14:00:00.123456789Z",
    "submitted_at": "2024-05-01T14:00:00.123456789Z", "updated_at": "2024-05-01T14:00:01Z", "filled_at": None, "symbol": "AAPL",
    "notional": None, "qty": "15", "filled_qty": "0", "filled_avg_price": None, "order_class": "simple", "order_type": "limit",
    "type": "limit", "side": "buy", "time_in_force": "day", "limit_price": "107.00", "stop_price": None, "status": "accepted",
}  # fmt: skip

STATUSES = (
    "pending_new", "accepted", "pending_review", "held", "new", "accepted_for_bidding", "stopped", "suspended", "calculated",
    "partially_filled", "pending_replace", "pending_cancel", "done_for_day", "replaced", "expired", "rejected", "canceled", "filled",
)  # fmt: skip
"""All statuses of an order."""


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    """Run the server, with an account."""
    with alpaca_server(account=dict(ACCOUNT), positions=[LONG, SHORT], orders=[dict(ORDER)]) as running:
        yield running


@pytest.fixture
def data(server: AlpacaServer, tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer whose clock goes on by a second each time it is asked."""
    ticks = itertools.count(NOW, 10**9)
    with open_layer(configuration(server, tmp_path), environ={}, clock=lambda: next(ticks)) as layer:
        yield layer


def test_sync(data: DataLayer) -> None:
    """Totals, positions and orders are one batch, exact, with the broker's words beside ours."""
    receipt = data.sources.sync("alpaca")
    assert ("alpaca:account", 4, 0) == (receipt.origin, receipt.inserted, receipt.quarantined)
    snapshot = data.store.get_latest_snapshot()
    assert snapshot is not None
    assert ("PA3X", "USD", "103820.56", "-23140.2", "262113.632", "291.32") == (
        snapshot.account,
        snapshot.currency,
        *map(str, (snapshot.total_value, snapshot.cash, snapshot.buying_power, snapshot.day_pnl)),
    )
    long, short = snapshot.positions
    assert ("AAPL", 5, PositionSide.LONG, Decimal(600)) == (long.symbol, long.quantity, long.side, long.market_value)
    assert ("TSLA", -2, PositionSide.SHORT, None) == (short.symbol, short.quantity, short.side, short.market_value)
    (order,) = data.store.get_orders()
    assert (OrderStatus.NEW, "accepted", OrderType.LIMIT, "107") == (
        order.status,
        order.status_raw,
        order.order_type,
        str(order.limit_price.normalize()) if order.limit_price else None,
    )
    assert "2024-05-01T14:00:00.123456789Z" == ns_text(order.ts_ns or 0)


def test_twice(data: DataLayer) -> None:
    """A second sync of the same account changes nothing."""
    data.sources.sync("alpaca")
    before = [data.select(kind).to_list() for kind in ("snapshots", "positions", "orders")]
    again = data.sources.sync("alpaca")
    assert (0, 0, 4, 0) == (again.inserted, again.revised, again.duplicate, again.quarantined)
    assert before == [data.select(kind).to_list() for kind in ("snapshots", "positions", "orders")]


def test_what_changes(server: AlpacaServer, data: DataLayer) -> None:
    """A changed total is a new snapshot; a position that was sold is not in it, and stays in the earlier one."""
    data.sources.sync("alpaca")
    server.account["equity"] = "103000"
    server.positions = [LONG]
    data.sources.sync("alpaca")
    assert [["AAPL", "TSLA"], ["AAPL"]] == [
        [position.symbol for position in one.positions] for one in data.store.get_portfolio_snapshots()
    ]


def test_all_or_nothing(server: AlpacaServer, data: DataLayer) -> None:
    """If a part of the account cannot be read, nothing is stored."""
    server.faults += [Fault(200), Fault(200), Fault(403)]
    with pytest.raises(SourceError):
        data.sources.sync("alpaca")
    assert [] == data.store.batches()


@pytest.mark.parametrize("seed", range(2))
def test_every_status(server: AlpacaServer, data: DataLayer, seed: int) -> None:
    """An order seen through all 18 statuses ends as the last update says, whatever an older update says afterwards."""
    updates = [
        ORDER
        | {
            "status": status,
            "updated_at": f"2024-05-01T14:00:{second:02}Z",
            "filled_qty": "15" if status == "filled" else "3",
        }
        for second, status in enumerate(STATUSES, 2)
    ]
    assert 18 == len(set(STATUSES))
    in_order = list(updates)
    shuffled = random.Random(seed).sample(updates, len(updates))
    for update in in_order if seed == 0 else shuffled:
        server.orders = [update]
        data.sources.sync("alpaca", everything=True)
    (order,) = data.store.get_orders()
    assert (OrderStatus.FILLED, "filled", 15) == (order.status, order.status_raw, order.filled_quantity)
    server.orders = [updates[4]]
    assert 0 == data.sources.sync("alpaca", everything=True).revised
    assert [order] == data.store.get_orders()


def test_each_status_is_kept(server: AlpacaServer, data: DataLayer) -> None:
    """Each of the 18 statuses is stored, with its own word."""
    server.orders = [ORDER | {"id": status, "status": status} for status in STATUSES]
    data.sources.sync("alpaca")
    assert set(STATUSES) == {order.status_raw or str(order.status) for order in data.store.get_orders()}
    assert 18 == data.select("orders").count()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, OrderStatus.NEW),
        ({"filled_qty": "3"}, OrderStatus.PARTIALLY_FILLED),
        ({"filled_at": "2024-05-01T14:00:02Z", "filled_qty": "15"}, OrderStatus.FILLED),
        ({"canceled_at": "2024-05-01T14:00:02Z"}, OrderStatus.CANCELLED),
        ({"replaced_at": "2024-05-01T14:00:02Z"}, OrderStatus.CANCELLED),
        ({"expired_at": "2024-05-01T14:00:02Z"}, OrderStatus.EXPIRED),
        ({"failed_at": "2024-05-01T14:00:02Z"}, OrderStatus.REJECTED),
    ],
)
def test_unknown_words(server: AlpacaServer, data: DataLayer, given: dict[str, Any], status: OrderStatus) -> None:
    """A status and a type that are not known are told by the order's times and prices, and kept as they are; no other order is touched."""
    strange = ORDER | {"id": "strange", "status": "quantum", "type": "peg_to_moon", "stop_price": "99"} | given
    server.orders = [strange, ORDER]
    server.positions = [LONG | {"asset_class": "us_moonrock", "side": "diagonal"}]
    assert 0 == data.sources.sync("alpaca").quarantined
    order = data.store.get_order("strange")
    assert order is not None
    assert (status, "quantum", OrderType.STOP_LIMIT, "peg_to_moon") == (
        order.status,
        order.status_raw,
        order.order_type,
        order.type_raw,
    )
    (position,) = data.store.get_positions()
    assert (None, "us_moonrock") == (position.side, position.asset_class)
    assert 2 == data.select("orders").count()


def test_orders_by_value(server: AlpacaServer, data: DataLayer) -> None:
    """An order of an amount of money has no quantity; that is not zero."""
    server.orders = [ORDER | {"qty": None, "notional": "500", "type": "market", "limit_price": None}]
    data.sources.sync("alpaca")
    (order,) = data.store.get_orders()
    assert (None, 500, TimeInForce.DAY) == (order.quantity, order.notional, order.time_in_force)


def test_orders_that_are_no_records(server: AlpacaServer, data: DataLayer) -> None:
    """The parent of an order of several legs, and one of an unknown time in force, are quarantined with the reason; others are stored."""
    parent = ORDER | {"id": "parent", "symbol": None, "side": None, "order_class": "mleg"}
    timed = ORDER | {"id": "timed", "time_in_force": "until_dawn"}
    server.orders = [parent, timed, ORDER]
    receipt = data.sources.sync("alpaca")
    assert 2 == receipt.quarantined
    assert 1 == data.select("orders").count()
    assert {"several legs", "until_dawn"} == {
        word for word in ("several legs", "until_dawn") for one in data.store.quarantined() if word in str(one.findings)
    }


def test_more_orders_than_an_answer_holds(server: AlpacaServer, data: DataLayer) -> None:
    """Orders are walked by the time of their submission, since an answer has 500 at most; those of one instant are not lost."""
    server.orders = [
        ORDER | {"id": str(number), "submitted_at": f"2024-05-01T14:{number // 300:02}:{number // 5 % 60:02}Z"}
        for number in range(1_203)
    ]
    assert 1_203 + 3 == data.sources.sync("alpaca").inserted
    asked = [query for path, query in server.requests if path.endswith("/orders")]
    assert 3 == len(asked)
    assert {"all"} == {query["status"] for query in asked}


def last_asked(server: AlpacaServer, what: str) -> dict[str, str]:
    """Return the parameters of the last request for something."""
    return [query for path, query in server.requests if path.endswith(f"/{what}")][-1]


def test_only_what_may_have_changed(server: AlpacaServer, data: DataLayer) -> None:
    """The next sync asks for orders from the oldest open one on, or from the latest if none is open."""
    closed = [ORDER | {"id": f"c{n}", "status": "filled", "submitted_at": f"2024-05-01T13:0{n}:00Z"} for n in range(3)]
    server.orders = [
        *closed,
        ORDER | {"status": "new"},
        ORDER | {"id": "later", "status": "filled", "submitted_at": "2024-05-01T15:00:00Z"},
    ]
    data.sources.sync("alpaca")
    data.sources.sync("alpaca")
    assert "2024-05-01T14:00:00.123456788Z" == last_asked(server, "orders")["after"]
    server.orders[3] = ORDER | {"status": "filled", "updated_at": "2024-05-01T15:00:00Z"}
    data.sources.sync("alpaca")
    data.sources.sync("alpaca")
    assert "2024-05-01T14:59:59.999999999Z" == last_asked(server, "orders")["after"]
    assert {OrderStatus.FILLED} == {order.status for order in data.store.get_orders()}


def test_too_many_orders_of_one_instant(server: AlpacaServer, data: DataLayer) -> None:
    """More than 500 orders of one instant cannot be walked, and that is an error, not a loss."""
    server.orders = [ORDER | {"id": str(number)} for number in range(600)]
    with pytest.raises(SourceError, match="same instant"):
        data.sources.sync("alpaca")


def test_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come from the options, then from the keyring, then from the environment; no repr shows them."""
    environ = {"APCA_API_KEY_ID": "env-id", "APCA_API_SECRET_KEY": "env-secret"}
    found = find_credentials(AlpacaOptions(), environ)
    assert ("env-id", "env-secret") == (found.api_key, found.secret_key)
    options = AlpacaOptions(api_key="own-id", secret_key="own-secret", keyring="alpaca")
    assert "own-secret" == find_credentials(options, environ).secret_key
    for shown in (repr(found), repr(options)):
        assert not any(text in shown for text in ("env-", "own-"))
    import sys
    import types

    ring = types.ModuleType("keyring")
    ring.get_password = lambda service, name: f"{service}-{name}"
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = RuntimeError
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    found = find_credentials(AlpacaOptions(keyring="alpaca"), environ)
    assert ("alpaca-api_key", "alpaca-secret_key") == (found.api_key, found.secret_key)


FILL = {
    "activity_type": "FILL", "id": "20240501140001::8efc7b9a", "cum_qty": "1", "leaves_qty": "0", "price": "107.005", "qty": "1.5",
    "side": "sell_short", "symbol": "AAPL", "transaction_time": "2024-05-01T14:00:01.123456Z", "order_id": ORDER["id"], "type": "fill",
}  # fmt: skip
DIVIDEND = {
    "activity_type": "DIV", "id": "20240502000000::5f596936", "date": "2024-05-02", "net_amount": "1.02", "symbol": "T", "qty": "2",
    "per_share_amount": "0.51",
}  # fmt: skip


def test_activities(server: AlpacaServer, data: DataLayer) -> None:
    """Fills and cash flows are part of the sync, with Alpaca's ids and words; the second time nothing changes."""
    deposit = {"activity_type": "CSD", "id": "20240430000000::1", "date": "2024-04-30", "net_amount": "1000"}
    server.activities = [FILL, DIVIDEND, deposit]
    assert 0 == data.sources.sync("alpaca").quarantined
    (fill,) = data.select(Fill)
    assert ("AAPL", "107.005", "1.5", "sell", "sell_short", "PA3X", FILL["id"], ORDER["id"]) == (
        fill.symbol, str(fill.price), str(fill.quantity), str(fill.side), fill.side_raw, fill.account, fill.fill_id, fill.order_id,
    )  # fmt: skip
    assert [
        ("deposit", "CSD", 1000, None, "2024-04-30T00:00:00Z"),
        ("dividend", "DIV", Decimal("1.02"), "T", "2024-05-02T00:00:00Z"),
    ] == [
        (str(one.flow_type), one.type_raw, one.amount, one.symbol, ns_text(one.ts_ns)) for one in data.select(CashFlow)
    ]
    again = data.sources.sync("alpaca")
    assert (0, 0, 7) == (again.inserted, again.revised, again.duplicate)


def test_only_late_activities(server: AlpacaServer, data: DataLayer) -> None:
    """The next sync asks for activities of the week before the latest, since some are entered late."""
    server.activities = [DIVIDEND, FILL]
    data.sources.sync("alpaca")
    late = DIVIDEND | {"id": "late", "activity_type": "DIVNRA", "date": "2024-04-27", "net_amount": "-0.15"}
    server.activities.append(late)
    assert 1 == data.sources.sync("alpaca").inserted
    asked = [query for path, query in server.requests if path.endswith("activities")]
    assert [None, "2024-04-25T00:00:00Z"] == [query.get("after") for query in asked]
    assert 2 == data.select(CashFlow).count()


def test_pages_of_activities(server: AlpacaServer, data: DataLayer) -> None:
    """Activities are read page by page, equal ones with ids of their own included."""
    server.activities = [FILL | {"id": f"{number:04}"} for number in range(250)]
    data.sources.sync("alpaca")
    assert 250 == data.select(Fill).count()
    assert 3 == len([path for path, _ in server.requests if path.endswith("activities")])


def test_other_activities(server: AlpacaServer, data: DataLayer) -> None:
    """A type that is not known, and one that moves no cash, are quarantined once, with the reason."""
    server.activities = [
        DIVIDEND | {"activity_type": "QUANTUM", "id": "q"},
        DIVIDEND | {"activity_type": "SPLIT", "id": "s", "net_amount": "0"},
    ]
    assert 2 == data.sources.sync("alpaca").quarantined
    assert 0 == data.sources.sync("alpaca").quarantined
    text = " ".join(str(one.findings) for one in data.store.quarantined())
    assert "QUANTUM" in text
    assert "moves no cash" in text


SPLIT = {
    "id": "a1",
    "symbol": "AAPL",
    "cusip": "1",
    "new_rate": 4,
    "old_rate": 1,
    "process_date": "2024-03-05",
    "ex_date": "2024-03-05",
}
PAID = {
    "id": "a2", "symbol": "AAPL", "cusip": "1", "rate": 0.25, "special": False, "foreign": False, "process_date": "2024-05-16",
    "ex_date": "2024-04-26", "record_date": "2024-04-29", "payable_date": "2024-05-16",
}  # fmt: skip
UPCOMING = PAID | {"id": "a3", "ex_date": "2024-05-03", "process_date": "2024-05-20"}


def actions_asked(server: AlpacaServer) -> list[dict[str, str]]:
    """Return the parameters of the requests for corporate actions."""
    return [query for path, query in server.requests if path.endswith("corporate-actions")]


def test_corporate_actions(server: AlpacaServer, data: DataLayer) -> None:
    """A sync brings the corporate actions of what is held or was traded, from its first fill on; those to come are left for later."""
    server.activities = [FILL | {"id": "first", "transaction_time": "2024-03-01T14:00:00Z", "symbol": "AAPL"}]
    server.corporate_actions = {
        "forward_splits": [SPLIT],
        "cash_dividends": [PAID, UPCOMING, PAID | {"symbol": "MSFT"}],
        "worthless_removals": [{"id": "a9", "symbol": "TSLA", "cusip": "8", "process_date": "2024-04-30"}],
    }
    data.sources.sync("alpaca")
    assert {"symbols": "AAPL,TSLA", "start": "2024-03-01"}.items() <= actions_asked(server)[0].items()
    assert 1 == data.store.count_quarantined()
    found = data.store.get_corporate_actions()
    assert [
        ("2024-03-05T00:00:00Z", "split", 4, None, "forward_splits"),
        ("2024-04-26T00:00:00Z", "dividend", None, Decimal("0.25"), "cash_dividends"),
    ] == [(ns_text(one.ts_ns), str(one.action_type), one.ratio, one.amount, one.type_raw) for one in found]
    again = data.sources.sync("alpaca")
    assert (0, 0, 0) == (again.inserted, again.revised, again.quarantined)
    assert "2024-04-24" == actions_asked(server)[1]["start"]
    covered = {
        (one.subject, ns_text(one.start_ns), ns_text(one.end_ns)) for one in data.store.coverage("corporate_actions")
    }
    assert {("AAPL", "2024-03-01T00:00:00Z", "2024-04-24T00:00:00Z")} == covered
    data.sources.sync("alpaca", everything=True)
    assert "2024-03-01" == actions_asked(server)[2]["start"]
    assert found == data.store.get_corporate_actions()


def test_corporate_actions_page_by_page(server: AlpacaServer, data: DataLayer) -> None:
    """All pages are read; what is no symbol of a share is not asked for."""
    server.page_rows = 2
    server.positions = [LONG, LONG | {"symbol": "BTCUSD"}, LONG | {"symbol": "BRK.B"}]
    dividends = [
        PAID | {"id": str(day), "ex_date": f"2024-04-{day}", "process_date": f"2024-04-{day}"} for day in range(24, 29)
    ]
    server.corporate_actions = {"cash_dividends": dividends}
    data.sources.sync("alpaca")
    assert 5 == len(data.store.get_corporate_actions())
    assert {"AAPL,BRK.B"} == {query["symbols"] for query in actions_asked(server)}
    assert 3 == len(actions_asked(server))


def test_history_of_corporate_actions(server: AlpacaServer, tmp_path: Path) -> None:
    """They can be fetched for any symbol by ex-date, and each range once; records are those that a file of Alpaca makes."""
    sample = next((Path(__file__).parents[1] / "formats" / "alpaca.corporate_actions").iterdir())
    server.corporate_actions = json.loads(sample.read_text())["corporate_actions"]
    symbols = ("NVDA", "XYZ", "S", "AAPL", "COST", "GE", "VMW", "FB")
    with open_layer(configuration(server, tmp_path), environ={}) as data:
        for _ in range(2):
            data.sources.history("alpaca", "corporate_actions", symbols, start="2020-01-01", end="2024-12-01")
        assert 8 == len(actions_asked(server))
        fetched = data.store.get_corporate_actions()
        assert [("COST", "2023-12-27T00:00:00Z")] == [
            (one.symbol, ns_text(one.ts_ns)) for one in fetched if one.action_type == "special_dividend"
        ]
        receipt = data.ingest(sample)
        assert (8, 0, 0) == (receipt.duplicate, receipt.inserted, receipt.revised)
        assert fetched == data.store.get_corporate_actions()


def test_without_corporate_actions(server: AlpacaServer, tmp_path: Path) -> None:
    """They can be left out, for an account whose plan does not have them."""
    with open_layer(configuration(server, tmp_path, corporate_actions=False), environ={}) as layer:
        layer.sources.sync("alpaca")
    assert [] == actions_asked(server)


def test_answers_that_are_no_corporate_actions(server: AlpacaServer, data: DataLayer) -> None:
    """An answer of another shape is an error, and nothing is stored."""
    server.faults += [Fault(200), Fault(200), Fault(200), Fault(200), Fault(403, '{"message": "forbidden"}')]
    with pytest.raises(SourceError):
        data.sources.sync("alpaca")
    assert [] == data.store.batches()


def bought(order_id: str, number: int, quantity: str, price: str, time: str, side: str = "buy") -> dict[str, Any]:
    """Return a fill of an order."""
    own = {"id": f"2024{number:013}::{order_id}", "order_id": order_id, "qty": quantity, "price": price, "side": side}
    return FILL | own | {"transaction_time": time}


def test_a_synced_account_reconciles_to_the_cent(server: AlpacaServer, tmp_path: Path) -> None:
    """Orders, fills, a split, a dividend, a fee and a deposit add up to the totals and positions of the account; two cents too much are found."""
    cash = Decimal(10000) - 4 * Decimal("199.50") - 6 * Decimal("200.25") - Decimal("0.03") + 5 + 5 * Decimal("101.5")
    server.account |= {"cash": str(cash), "equity": str(cash + 15 * 110), "last_equity": str(cash + 15 * 108)}
    server.positions = [LONG | {"qty": "15", "avg_entry_price": "99.975", "cost_basis": "1499.625", "market_value": "1650", "current_price": "110", "unrealized_pl": "150.375"}]  # fmt: skip
    done = ORDER | {"status": "filled", "updated_at": "2024-04-02T14:00:05Z", "submitted_at": "2024-04-02T14:00:00Z"}
    server.orders = [
        done | {"id": "b1", "qty": "10", "filled_qty": "10", "filled_avg_price": "199.95"},
        done | {"id": "s1", "qty": "5", "filled_qty": "5", "filled_avg_price": "101.5", "side": "sell",
                "submitted_at": "2024-04-22T14:00:00Z", "updated_at": "2024-04-22T14:00:05Z"},
    ]  # fmt: skip
    server.activities = [
        {"activity_type": "CSD", "id": "20240401000000::1", "date": "2024-04-01", "net_amount": "10000"},
        bought("b1", 1, "4", "199.50", "2024-04-02T14:00:01Z"),
        bought("b1", 2, "6", "200.25", "2024-04-02T14:00:02Z"),
        {"activity_type": "FEE", "id": "20240403000000::1", "date": "2024-04-03", "net_amount": "-0.03"},
        DIVIDEND | {"id": "20240418000000::1", "date": "2024-04-18", "symbol": "AAPL", "net_amount": "5", "per_share_amount": "0.25", "qty": "20"},
        bought("s1", 3, "5", "101.5", "2024-04-22T14:00:01Z", "sell"),
    ]  # fmt: skip
    server.corporate_actions = {
        "forward_splits": [SPLIT | {"new_rate": 2, "ex_date": "2024-04-08", "process_date": "2024-04-08"}],
        "cash_dividends": [PAID | {"ex_date": "2024-04-12", "process_date": "2024-04-18", "payable_date": "2024-04-18", "record_date": None}],
    }  # fmt: skip
    with open_layer(configuration(server, tmp_path), environ={}) as data:
        assert 0 == data.sources.sync("alpaca").quarantined
        assert [] == data.portfolio.reconcile("PA3X")
        again = data.sources.sync("alpaca")
        assert (0, 0) == (again.inserted, again.revised)
        server.account |= {"cash": str(cash + Decimal("0.02")), "equity": str(cash + Decimal("1650.02"))}
        data.sources.sync("alpaca")
        found = [(one.check, one.difference) for one in data.portfolio.reconcile("PA3X")]
        assert [("cash", Decimal("0.02"))] == found
