"""Orders over time: every change of status there is, against an earlier record and against the store; and updates that come late."""

import itertools

import pytest

from fpa_core import open as open_layer
from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import ORDERS
from fpa_core.models import Order, OrderStatus
from fpa_core.numbers import Instant
from fpa_core.validator import DataValidator, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

EXPECTED = {
    "new": {"partially_filled": "good", "filled": "good", "cancelled": "good", "rejected": "good", "expired": "good"},
    "partially_filled": {"filled": "good", "cancelled": "good", "expired": "good", "new": "warning"},
    "filled": {"partially_filled": "warning"},
    "cancelled": {"filled": "warning"},
    "rejected": {},
    "expired": {},
}
"""The table of the catalogue: what is not in it is an error, and the same status again is good."""

PAIRS = list(itertools.product(OrderStatus, OrderStatus))


def order(status, seconds=None):
    filled = {"filled": 100, "partially_filled": 40}.get(status, 0)
    price = 10 if filled else None
    updated = None if seconds is None else seconds * 10**9
    return Order(
        "1", "IBM", 100, "buy", "market", status,
        filled_quantity=filled, average_fill_price=price, timestamp=Instant(0), updated_at=updated and Instant(updated),
    )  # fmt: skip


def judge(stored=None):
    rules = [rule for rule in RULES if rule.id in {"order.transition", "order.unusual"}]
    return DataValidator(RuleSet(configure(rules, "standard")), stored=stored, now_ns=lambda: 10**18)


def worst(findings):
    return next((str(finding.severity) for finding in findings), "good")


@pytest.mark.parametrize(("before", "now"), PAIRS, ids=str)
def test_every_transition(before, now):
    """Each of the 36 changes gets the verdict of the table: after a record, in a table, and against the stored order."""
    expected = "good" if before is now else EXPECTED[before].get(now, "error")
    one, two = order(before, 1), order(now, 2)
    assert expected == worst(judge().validate([one, two]).findings)
    assert expected == worst(judge().validate((ORDERS, to_table(ORDERS, [one, two]))).findings)
    against_store = judge(lambda number, account: one if (number, account) == ("1", "default") else None)
    assert expected == worst(against_store.check(two))
    assert expected == worst(against_store.validate((ORDERS, to_table(ORDERS, [two]))).findings)


def test_findings_name_the_state_before():
    """A finding tells what the order was, when, and what it could have become."""
    (finding,) = judge({"1": order("rejected", 1)}.get).check(order("filled", 2))
    assert ("order.transition", "error", "nothing else", "rejected at 1970-01-01T00:00:01Z") == (
        finding.rule, finding.severity, finding.limit, finding.related,
    )  # fmt: skip
    (finding,) = judge({"1": order("partially_filled", 1)}.get).check(order("rejected", 2))
    assert "cancelled, expired, filled" == finding.limit


def test_the_impossible_changes_nothing():
    """After a change that cannot be, the order is still what it was before it."""
    found = judge().validate([order("rejected"), order("filled"), order("cancelled")])
    assert [(1, "rejected"), (2, "rejected")] == [(finding.row, finding.related) for finding in found.findings]


@pytest.fixture
def layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_layer(environ={"FPA_STORE__PATH": str(tmp_path / "fpa.db")}) as data:
        yield data


def test_a_late_update_never_regresses_the_store(layer):
    """An update older than the stored order is kept in the history, with a warning; the stored order stays."""
    layer.ingest(order("filled", 5))
    receipt = layer.ingest(order("partially_filled", 3))
    assert ({"order.late": 1}, 0) == (dict(receipt.warnings), receipt.quarantined)
    assert OrderStatus.FILLED is layer.store.get_order("1").status
    with layer.stream() as stream:
        ticket = stream.write(order("new", 1))
    assert "order.late" in {finding.rule for finding in ticket.findings()}
    assert OrderStatus.FILLED is layer.store.get_order("1").status


def test_an_impossible_change_of_a_stored_order_is_quarantined(layer):
    """What the store has is what an update is judged by, in an ingest and in a stream."""
    layer.ingest(order("rejected", 1))
    assert 1 == layer.ingest(order("filled", 2)).quarantined
    with layer.stream() as stream:
        stream.write(order("cancelled", 3))
    assert OrderStatus.REJECTED is layer.store.get_order("1").status
    assert {"order.transition"} == {f["rule"] for record in layer.store.quarantined() for f in record.findings}
