"""C1 and C5 of a store that seals: sealing changes where rows lie and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st

from fpa_core.models import Quote, Trade
from fpa_core.numbers import MAX_NS, Instant
from fpa_core.protocols import Capability, Sealed
from fpa_core.store import DataStore
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law
from fpa_core.testing.store.multisets import few_trades

__all__ = ["SealingTests"]

some_quotes = st.builds(
    Quote, st.sampled_from("AB"), st.integers(0, 12).map(Instant), own.few_prices(), own.few_prices()
)


class SealingTests(StoreTests):
    """A sealed store is the same store."""

    @holds(Contract.C1, Capability.SEAL, Capability.UNDO, Capability.KNOWN_AT)
    @law(st.lists(st.lists(some_quotes | few_trades, max_size=14), min_size=1, max_size=5), st.data(), cost=2)
    def test_a_sealed_store_is_the_same_store(
        self, fresh: Fresh, batches: list[list[Any]], data: st.DataObject
    ) -> None:
        """Saves, deletions and undos give the same receipts and rows whether or not rows are sealed in between."""
        with fresh() as plain, fresh() as compact:
            for rows in batches:
                action = data.draw(st.sampled_from(["save", "save", "save", "delete", "undo"]))
                undoable = [batch.id for batch in plain.batches() if batch.undone_by is None]
                chosen = data.draw(st.sampled_from(undoable)) if undoable else None
                receipts = []
                for store in (plain, compact):
                    if action == "undo" and chosen is not None:
                        receipt = store.undo(chosen)
                    elif action == "delete":
                        receipt = store.delete(store.select(Quote, "A", start=3, end=9))
                    else:
                        receipt = store.save(rows)
                    receipts.append((receipt.inserted, receipt.duplicate, receipt.revised, receipt.notes))
                assert receipts[0] == receipts[1]
                if data.draw(st.booleans()):
                    compact.seal()
                for what in (Quote, Trade):
                    assert plain.select(what).to_list() == compact.select(what).to_list()
                    start, end = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 12))
                    part: dict[str, Any] = {
                        "start": start,
                        "end": end,
                        "latest_first": data.draw(st.booleans()),
                        "limit": data.draw(st.none() | st.integers(0, 5)),
                    }
                    assert plain.select(what, "A", **part).to_list() == compact.select(what, "A", **part).to_list()
                    assert plain.select(what, **part).count() == compact.select(what, **part).count()
                    assert plain.latest("A", what) == compact.latest("A", what)
                assert plain.inventory() == compact.inventory()
            for batch, other in zip(plain.batches(), compact.batches(), strict=True):
                for what in (Quote, Trade):
                    assert Counter(plain.select(what, as_known_at=batch.recorded_ns)) == Counter(
                        compact.select(what, as_known_at=other.recorded_ns)
                    )
                assert Counter(plain.select(Quote, batch=batch.id)) == Counter(compact.select(Quote, batch=other.id))

    @holds(Contract.C1, Capability.SEAL)
    def test_seal_reports_what_it_did(self, store: DataStore) -> None:
        """Sealing reports rows and symbols, and does nothing a second time."""
        rows = [Quote(symbol, Instant(ts), 1, 2) for symbol in "AB" for ts in range(10)]
        store.save(rows)
        done = store.seal()
        assert (done.rows, done.subjects) in {(20, 2), (0, 0)}, "all rows, or none if writing sealed them already"
        assert Sealed() == store.seal()
        assert rows == store.get_quotes()

    @holds(Contract.C1, Capability.SEAL)
    def test_late_rows_are_read_in_their_place(self, store: DataStore) -> None:
        """Rows that arrive late are read in their place at once, and after the next sealing."""
        rows = [Quote("A", Instant(ts), 1, 2) for ts in range(0, 40, 2)]
        late = [Quote("A", Instant(ts), 1, 3) for ts in range(1, 40, 6)]
        store.save(rows)
        store.seal()
        store.save(late)
        expected = sorted([*rows, *late], key=lambda quote: quote.ts_ns)
        assert expected == store.get_quotes("A")
        store.seal(Quote, symbol="A")
        assert expected == store.get_quotes("A")

    @holds(Contract.C1, Capability.SEAL)
    def test_one_time_is_never_divided(self, store: DataStore) -> None:
        """Many rows of one time stay together in their order when they are sealed."""
        rows = [Quote("A", Instant(5), bid, 99) for bid in range(11)]
        store.save([Quote("A", Instant(1), 1, 2), *rows, Quote("A", Instant(9), 1, 2)])
        store.seal()
        assert rows == store.get_quotes("A", 5, 6)
        assert Sealed() == store.seal()

    @holds(Contract.C1, Capability.SEAL, Capability.KNOWN_AT)
    def test_the_order_of_arrival_survives_a_gap(self, store: DataStore) -> None:
        """What shared a time with a deleted row keeps its place when sealed: the past shows all three in their order."""
        rows = [Quote("A", Instant(5), 1, ask) for ask in (7, 8, 9)]
        store.save(rows)
        before = store.batches()[0].recorded_ns
        store.delete_quote(rows[1])
        store.seal()
        assert [rows[0], rows[2]] == store.get_quotes("A")
        assert rows == store.select(Quote, "A", as_known_at=before).to_list()
        store.save([*rows, rows[0]])
        assert [quote.ask for quote in store.get_quotes("A")] == [7, 9, 8, 7]

    @holds(Contract.C5, Capability.SEAL)
    def test_the_last_nanosecond_is_sealed(self, store: DataStore) -> None:
        """Rows at the last time there is are sealed like any other, and sealing comes to an end."""
        rows = [Quote("A", Instant(MAX_NS), 1, 9), Quote("A", Instant(MAX_NS), 2, 9)]
        for row in rows:
            store.save(row)
            store.seal()
        assert Sealed() == store.seal()
        assert rows == store.get_quotes("A")
        assert rows[1] == store.latest("A")
