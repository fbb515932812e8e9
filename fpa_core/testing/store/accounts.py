"""C1 of fills and cash flows: those without an id are counted, those of two accounts never touch."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_values, to_table
from fpa_core.kinds import ORDERS, kind_of
from fpa_core.models import CashFlow, Fill, Order
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability
from fpa_core.store import DataStore
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law

__all__ = ["AccountTests"]

few_fills = st.builds(
    lambda account, ts, price: Fill("A", Instant(ts), "buy", price, 1, account),
    st.sampled_from("XY"),
    st.integers(0, 1),
    own.few_prices(),
)
few_flows = st.builds(
    lambda account, ts, amount: CashFlow(Instant(ts), "dividend", amount, "USD", account),
    st.sampled_from("XY"),
    st.integers(0, 1),
    own.few_prices(),
)


def _plain(record: Any) -> Any:
    """Return a record without its id."""
    return evolve(record, **{kind_of(record).made_id or "": None})


class AccountTests(StoreTests):
    """What an account did is kept as often as the fullest batch has it, and every account by itself."""

    @holds(Contract.C1)
    @law(st.lists(st.tuples(st.lists(few_fills | few_flows, max_size=8), st.integers(0, 8)), max_size=4))
    def test_records_without_ids_are_counted(self, fresh: Fresh, batches: list[tuple[list[Any], int]]) -> None:
        """The store holds each fill and cash flow as often as the fullest batch that held it, however batches are cut into calls."""
        expected: Counter[Any] = Counter()
        with fresh() as store:
            for rows, cut in batches:
                with store.batch() as batch:
                    for part, kind in itertools.product((rows[:cut], rows[cut:]), (Fill, CashFlow)):
                        if chosen := [row for row in part if isinstance(row, kind)]:
                            batch.write(kind_of(kind), to_table(kind_of(kind), chosen))
                added = (expected | Counter(rows)) - expected
                expected |= Counter(rows)
                assert (added.total(), len(rows) - added.total()) == (batch.receipt.inserted, batch.receipt.duplicate)
            stored = [*store.get_fills(), *store.get_cash_flows()]
        assert expected == Counter(map(_plain, stored))

    @holds(Contract.C1)
    def test_a_stream_counts_as_one_batch(self, store: DataStore) -> None:
        """Equal fills of one connection are as many as they were; a second connection that delivers them again adds nothing."""
        fill = Fill("A", Instant(1), "buy", 9, 1)
        for rows in (2, 2, 3):
            with store.stream(max_delay=0) as stream:
                for _ in range(rows):
                    stream.write(fill).result()
        assert [fill] * 3 == list(map(_plain, store.get_fills()))

    @holds(Contract.C1)
    def test_what_was_stored_is_recognised(self, store: DataStore) -> None:
        """A fill as it is read, with the id it got, is the one that is stored; so is the one that was saved without."""
        fill = Fill("A", Instant(1), "buy", "9.50", 1)
        store.save([fill, fill])
        stored = store.get_fills()
        assert (0, 2) == ((receipt := store.save(stored)).inserted, receipt.duplicate)
        assert store.save(fill).duplicate == 1

    @holds(Contract.C2)
    def test_a_fill_is_changed_and_deleted_by_its_id(self, store: DataStore) -> None:
        """Of two equal fills one can be changed, and the other deleted."""
        fill = Fill("A", Instant(1), "buy", 9, 1)
        store.save([fill, fill])
        one, other = store.get_fills()
        assert store.update_fill(evolve(one, price=8)).revised == 1
        store.delete_fill(other)
        assert [evolve(one, price=8)] == store.get_fills()

    @holds(Contract.C3, Capability.UNDO)
    def test_accounts_are_apart(self, store: DataStore) -> None:
        """Fills, cash flows and orders of two accounts with equal ids and values are different records; undoing one leaves the other."""
        for account in "XY":
            store.save(
                [Fill("A", Instant(1), "buy", 9, 1, account, "1"), CashFlow(Instant(1), "fee", -1, "USD", account)]
            )
        batch = store.batches()[0].id
        store.undo(batch)
        assert ["X"] == [fill.account for fill in store.get_fills()]
        assert ["X"] == [flow.account for flow in store.get_cash_flows()]

    @holds(Contract.C3, Capability.VERSIONS, Capability.UNDO)
    def test_every_version_is_listed(self, store: DataStore) -> None:
        """The history of a key has each version with the batch that brought it and the one that ended it, in the order in which they were known."""
        new = Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1))
        filled = evolve(new, status="filled", filled_quantity=5, updated_at=Instant(3))
        late = evolve(new, filled_quantity=2, updated_at=Instant(2))
        first, second, third = (store.save(version).batch for version in (new, filled, late))
        store.save(evolve(new, account="other"))
        key = {"order_id": "1", "account": "default"}
        versions = store.backend.history(ORDERS, key)
        assert [new, filled, late] == [from_values(ORDERS, version.values) for version in versions]
        assert [first, second, third] == [version.batch for version in versions]
        assert [(second, "revised"), (None, None), (third, "outdated")] == [
            (version.retired_by, version.reason) for version in versions
        ]
        times = {batch.id: batch.recorded_ns for batch in store.batches()}
        assert [times[first], times[second], times[third]] == [version.known_ns for version in versions]
        undo = store.undo(second).batch
        current = [version for version in store.backend.history(ORDERS, key) if version.retired_by is None]
        assert [late] == [from_values(ORDERS, version.values) for version in current]
        assert undo in {version.retired_by for version in store.backend.history(ORDERS, key)}
        assert [] == list(store.backend.history(ORDERS, key | {"account": "nobody"}))
