"""C2: bars, orders, positions, snapshots, fills, cash flows and corporate actions have keys and revisions."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, kind_of
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability
from fpa_core.store import DataStore
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law

__all__ = ["VersionTests", "few_bars"]

VERSIONS = [
    (Bar("A", Instant(0), 1, 2, 1, 2, 5, "1m"), Bar("A", Instant(0), 1, 2, 1, 2, 6, "1m")),
    (Position("A", 1, 2, 3, timestamp=Instant(0)), Position("A", 2, 4, 3, timestamp=Instant(0))),
    (PortfolioSnapshot(Instant(0), 100), PortfolioSnapshot(Instant(0), 101)),
    (
        Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1)),
        Order("1", "A", 5, "buy", "market", "filled", 5, 9, timestamp=Instant(0), updated_at=Instant(2)),
    ),
    # The venue corrects the price and the time of an execution, or even the symbol: it is the same one.
    (Fill("A", Instant(0), "buy", 9, 5, fill_id="1"), Fill("B", Instant(3), "buy", 8, 5, fill_id="1")),
    (
        CashFlow(Instant(0), "dividend", 9, transaction_id="1"),
        CashFlow(Instant(3), "dividend", 8, transaction_id="1"),
    ),
    (CorporateAction("A", Instant(0), "split", 4), CorporateAction("A", Instant(0), "split", 5)),
]

VERSION_IDS = ["bar", "position", "snapshot", "order", "fill", "cash flow", "corporate action"]

few_bars = st.builds(
    lambda symbol, ts, close, interval: Bar(symbol, Instant(ts), 1, 2, 1, close, 0, interval),
    st.sampled_from("AB"),
    own.FEW_NS,
    own.few_prices(),
    st.sampled_from(["1m", "1d"]),
)


class VersionTests(StoreTests):
    """A different later version of a key replaces the stored one."""

    @holds(Contract.C2)
    @pytest.mark.parametrize(("first", "second"), VERSIONS, ids=VERSION_IDS)
    def test_a_later_version_revises(self, store: DataStore, first: Any, second: Any) -> None:
        """A different version of a key replaces the stored one and is counted as revised; the same one is a duplicate."""
        assert store.save(first).inserted == 1
        assert (store.save(first).inserted, store.save(first).duplicate) == (0, 1)
        assert store.save(second).revised == 1
        kind = kind_of(first).name
        assert [second] == store.select(kind).to_list()
        again = store.save(first)
        if kind in {"positions", "snapshots"}:  # an account may return to what it was
            assert (1, [first]) == (again.revised, store.select(kind).to_list())
        else:  # an old version that is delivered again must not come back
            assert (1, [second]) == (again.duplicate, store.select(kind).to_list())

    @holds(Contract.C2, Capability.KNOWN_AT)
    @pytest.mark.parametrize(("first", "second"), VERSIONS, ids=VERSION_IDS)
    def test_an_earlier_version_stays_in_the_history(self, store: DataStore, first: Any, second: Any) -> None:
        """A version that was replaced is what a read as known before gives."""
        store.save(first)
        known_then = store.batches()[0].recorded_ns
        store.save(second)
        kind = kind_of(first).name
        assert [first] == store.select(kind, as_known_at=known_then).to_list()
        assert [second] == store.select(kind, as_known_at=store.batches()[0].recorded_ns).to_list()
        assert store.select(kind, as_known_at=known_then - 1).to_list() == []

    @holds(Contract.C2)
    def test_a_snapshot_that_returns_is_whole(self, store: DataStore) -> None:
        """A snapshot saved as it was before another one comes back with all its positions, and with none of the other's."""
        first = PortfolioSnapshot(Instant(0), 10, positions=[Position("A", 1, 1, 1), Position("B", 1, 9, 9)])
        second = PortfolioSnapshot(Instant(0), 20, positions=[Position("A", 2, 2, 2), Position("D", 1, 18, 18)])
        for snapshot in (first, second, first):
            store.save(snapshot)
            assert snapshot == store.get_latest_snapshot()

    @holds(Contract.C2)
    def test_an_order_never_regresses(self, store: DataStore) -> None:
        """An order update older than what is stored is counted as revised, goes to the history, and is not read."""
        new = Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1))
        filled = evolve(new, status="filled", filled_quantity=5, average_fill_price=9, updated_at=Instant(3))
        late = evolve(new, status="partially_filled", filled_quantity=2, average_fill_price=9, updated_at=Instant(2))
        store.save(new)
        store.save(filled)
        receipt = store.save(late)
        assert filled == store.get_order("1")
        assert (receipt.inserted, receipt.duplicate, receipt.revised) == (0, 0, 1)
        assert store.save(late).duplicate == 1

    @holds(Contract.C2)
    def test_order_updates_in_one_batch(self, store: DataStore) -> None:
        """Of several updates of an order in one batch the latest by its time is read, in whatever order they come."""
        new = Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1))
        updates = [evolve(new, filled_quantity=size, updated_at=Instant(size)) for size in (2, 4, 3)]
        store.save([new, *updates])
        assert updates[1] == store.get_order("1")
        assert store.select(Order).count() == 1

    @holds(Contract.C2)
    def test_conflicting_bars_in_one_batch(self, store: DataStore) -> None:
        """Of conflicting bars in one batch the last one is read; repeats are told apart from known rows."""
        bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2, 2)]
        with store.batch() as batch:
            batch.write(BARS, to_table(BARS, bars))
        counts = batch.counts
        assert (counts.inserted, counts.revised, counts.duplicate, counts.repeated) == (1, 1, 1, 1)
        assert [bar.close for bar in store.get_bars("A")] == [2]

    @holds(Contract.C2)
    def test_keys_are_whole(self, store: DataStore) -> None:
        """Records that differ in any part of their key are different records."""
        records = [
            *(Bar(s, Instant(t), 1, 1, 1, 1, 1, i) for s in "AB" for t in (0, 1) for i in ("1m", "1d")),
            *(Position(s, 1, 1, 1, timestamp=Instant(t), account=a) for s in "AB" for t in (0, 1) for a in "XY"),
            *(PortfolioSnapshot(Instant(t), 1, account=a) for t in (0, 1) for a in ("P", "Q")),
            *(
                Order(o, "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1), account=a)
                for o in ("1", "2")
                for a in "XY"
            ),
            *(Fill("A", Instant(0), "buy", 1, 1, a, f) for a in "XY" for f in ("1", "2")),
            *(CashFlow(Instant(0), "fee", -1, "USD", a, transaction_id=f) for a in "XY" for f in ("1", "2")),
            *(
                CorporateAction(s, Instant(t), a)
                for s in "AB"
                for t in (0, 1)
                for a in ("dividend", "special_dividend")
            ),
        ]
        assert len(records) == store.save(records).inserted
        kinds = [
            (Bar, 8),
            (Position, 8),
            (PortfolioSnapshot, 4),
            (Order, 4),
            (Fill, 4),
            (CashFlow, 4),
            (CorporateAction, 8),
        ]
        for what, count in kinds:
            assert count == store.select(what).count()

    @holds(Contract.C2)
    @law(st.lists(st.lists(few_bars, max_size=10), max_size=4))
    def test_bars_against_a_dictionary(self, fresh: Fresh, batches: list[list[Bar]]) -> None:
        """Bars behave as a dictionary by key that takes each version once."""
        model: dict[tuple[str, int, str], Bar] = {}
        seen: set[Bar] = set()
        with fresh() as store:
            for rows in batches:
                store.save(rows)
                for bar in rows:
                    if bar not in seen:
                        model[bar.symbol, bar.ts_ns, bar.interval] = bar
                        seen.add(bar)
                assert store.save(rows).inserted == 0
            stored = store.get_bars()
        assert sorted(model.items()) == [((bar.symbol, bar.ts_ns, bar.interval), bar) for bar in stored]
