"""C3: what was known at a time, and the undo of batches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st

from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, contents, law
from fpa_core.testing.store.multisets import few_quotes, few_trades
from fpa_core.testing.store.versions import few_bars

__all__ = ["HistoryTests", "few_records"]

few_records = st.one_of(few_quotes, few_trades, few_bars)

SETTLED = pytest.mark.parametrize("settled", [False, True], ids=["as_written", "sealed"])


class HistoryTests(StoreTests):
    """Nothing that was stored is forgotten, and a batch can be taken back."""

    @holds(Contract.C3, Capability.KNOWN_AT)
    def test_nothing_is_known_before_it_was_stored(self, store: DataStore) -> None:
        """A read as known at a time gives no row, revision or deletion of a later batch."""
        first = [Quote("A", Instant(1), 1, 2), Trade("A", Instant(1), 10, 5, trade_id="7")]
        store.save(first)
        at = store.batches()[0].recorded_ns
        store.save([Quote("A", Instant(0), 1, 2), Trade("A", Instant(1), 11, 5, trade_id="7")])
        store.delete(store.select(Quote))
        assert first[:1] == store.select(Quote, as_known_at=at).to_list()
        assert first[1:] == store.select(Trade, as_known_at=at).to_list()
        assert store.select(Quote, as_known_at=at).count() == 1
        for what in (Quote, Trade):
            assert store.select(what, as_known_at=at - 1).to_list() == []

    @holds(Contract.C3, Capability.KNOWN_AT)
    def test_a_stream_is_known_group_by_group(self, store: DataStore) -> None:
        """A read as known between two groups of a stream gives nothing that the later group brought."""
        first, correction = (Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11))
        with store.stream(max_delay="1h") as stream:
            stream.write(first)
            stream.flush()
            between = max(batch.recorded_ns for batch in store.batches(children=True))
            for row in (correction, Trade("A", Instant(0), 9, 5)):
                stream.write(row)
            stream.flush()
        assert [first] == store.select(Trade, as_known_at=between).to_list()

    @holds(Contract.C3, Capability.KNOWN_AT)
    def test_a_deleted_row_stays_in_the_history(self, store: DataStore) -> None:
        """A row that was deleted is what a read as known before its deletion gives, in its place."""
        rows = [Quote("A", Instant(5), 1, ask) for ask in (7, 8, 9)]
        store.save(rows)
        before = store.batches()[0].recorded_ns
        store.delete_quote(rows[1])
        assert [rows[0], rows[2]] == store.get_quotes("A")
        assert rows == store.select(Quote, "A", as_known_at=before).to_list()

    @holds(Contract.C3, Capability.KNOWN_AT)
    @law(st.lists(st.lists(few_records, max_size=6), min_size=1, max_size=4), st.data())
    def test_known_at_is_what_was_read_then(self, fresh: Fresh, batches: list[list[Any]], data: st.DataObject) -> None:
        """What is known as of a batch is what a read gave after that batch, whatever was stored, deleted or undone since."""
        with fresh() as store:
            past: list[tuple[int, dict[str, list[Any]]]] = []
            can_undo = Capability.UNDO in store.backend.capabilities
            for rows in batches:
                action = data.draw(st.sampled_from(["save", "save", "delete", "undo"]))
                done = [batch.id for batch in store.batches() if batch.undone_by is None]
                if action == "undo" and done and can_undo:
                    store.undo(data.draw(st.sampled_from(done)))
                elif action == "delete":
                    store.delete(store.select(data.draw(st.sampled_from(["quotes", "trades", "bars"])), "A"))
                else:
                    store.save(rows)
                past.append((store.batches()[0].recorded_ns, contents(store)))
            for moment, then in past:
                assert then == {name: store.select(name, as_known_at=moment).to_list() for name in KINDS}

    @holds(Contract.C3, Capability.UNDO)
    @law(st.lists(few_records, max_size=8), st.lists(few_records, max_size=8))
    def test_undo_of_the_last_batch_restores(self, fresh: Fresh, before: list[Any], batch: list[Any]) -> None:
        """Undoing the last batch leaves what was there before it, and undoing the undo brings it back."""
        with fresh() as store:
            store.save(before)
            first = contents(store)
            number = store.save(batch).batch
            second = contents(store)
            undone = store.undo(number).batch
            assert first == contents(store)
            assert undone == next(one.undone_by for one in store.batches() if one.id == number)
            store.undo(undone)
            assert second == contents(store)

    @holds(Contract.C3, Capability.SEAL, Capability.UNDO, Capability.KNOWN_AT)
    def test_sealed_rows_that_are_taken_back_stay_known(self, store: DataStore) -> None:
        """Sealed rows that were undone, with the undo undone, and all that again, are known at each time as they were then, and in their order."""
        rows: list[Any] = [Quote("A", Instant(ts // 2), 1 + ts % 3, 9) for ts in range(40)]
        rows += [Trade("A", Instant(ts // 2), 1 + ts % 3, 9, trade_id=str(ts) if ts % 4 else None) for ts in range(40)]
        last = store.save(rows).batch
        store.seal()
        for _ in range(4):
            last = store.undo(last).batch
        for number, batch in enumerate(reversed(store.batches())):
            for what in (Quote, Trade):
                then = [row for row in rows if isinstance(row, what)] if number % 2 == 0 else []
                assert then == store.select(what, as_known_at=batch.recorded_ns).to_list()
                latest = store.select(what, "A", start=3, end=12, as_known_at=batch.recorded_ns, latest_first=True)
                assert [row for row in reversed(then) if 3 <= row.ts_ns < 12] == latest.to_list()
                assert latest.count() == (18 if then else 0)
        assert rows == [*store.get_quotes("A"), *store.get_trades("A")]

    @holds(Contract.C3, Capability.UNDO)
    def test_undo_takes_the_rows_of_its_batch_alone(self, store: DataStore) -> None:
        """Undoing a batch in the middle takes what it brought, and leaves what others brought before and after."""
        rows = [Quote("A", Instant(ts), 1, 2) for ts in range(6)]
        numbers = [store.save(rows[start : start + 2]).batch for start in (0, 2, 4)]
        receipt = store.undo(numbers[1])
        assert (f"batch {numbers[1]} undone: 2 rows changed",) == receipt.notes
        assert [*rows[:2], *rows[4:]] == store.get_quotes("A")

    @holds(Contract.C3, Capability.UNDO)
    @SETTLED
    def test_undo_leaves_later_versions(self, store: DataStore, settled: bool) -> None:
        """Undoing a revision that was itself revised changes nothing."""
        bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2, 3)]
        trades = [Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11, 12)]
        numbers = [store.save(pair).batch for pair in zip(bars, trades, strict=True)]
        if settled:
            store.seal()
        receipt = store.undo(numbers[1])
        assert (f"batch {numbers[1]} undone: 0 rows changed",) == receipt.notes
        assert (bars[2:], trades[2:]) == (store.get_bars("A"), store.get_trades("A"))

    @holds(Contract.C3, Capability.UNDO)
    def test_undone_rows_can_be_stored_again(self, store: DataStore) -> None:
        """What was taken back on purpose may come again."""
        bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2)]
        quote = Quote("A", Instant(0), 1, 2)
        store.save(bars[0])
        store.undo(store.save([bars[1], quote]).batch)
        assert ([bars[0]], []) == (store.get_bars("A"), store.get_quotes())
        receipt = store.save([bars[1], quote])
        assert (receipt.revised, receipt.inserted) == (1, 1)
        assert [bars[1]] == store.get_bars("A")

    @holds(Contract.C3, Capability.UNDO)
    def test_undo_brings_back_a_deleted_row_whose_place_is_taken(self, store: DataStore) -> None:
        """A deleted quote returns even when another has taken its place at that time."""
        store.save([Quote("A", Instant(1), 1, 2), Quote("A", Instant(1), 1, 3)])
        deleted = store.delete(store.select(Quote, "A")).batch
        store.save(Quote("A", Instant(1), 1, 4))
        store.undo(deleted)
        assert Counter([2, 3, 4]) == Counter(int(quote.ask or 0) for quote in store.get_quotes("A"))

    @holds(Contract.C3, Capability.UNDO)
    @SETTLED
    def test_undo_of_a_deletion_leaves_a_trade_that_came_since(self, store: DataStore, settled: bool) -> None:
        """A deleted trade does not return beside one of the same id that came after it was deleted; others do."""
        trades = [Trade("A", Instant(1), 10, 5, trade_id=number) for number in ("7", "8")]
        store.save(trades)
        deleted = store.delete(store.select(Trade)).batch
        later = evolve(trades[0], price=11)
        store.save(later)
        if settled:
            store.seal()
        store.undo(deleted)
        assert [later, trades[1]] == store.get_trades("A")

    @holds(Contract.C3, Capability.UNDO)
    def test_undo_puts_a_row_beside_sealed_ones_of_its_time(self, store: DataStore) -> None:
        """A row that returns to a time whose rows are sealed by now comes after them, and they can still be changed."""
        first, second = Quote("A", Instant(1), 1, 9), Quote("A", Instant(1), 2, 9)
        store.save(first)
        deleted = store.delete(store.select(Quote)).batch
        store.save(second)
        store.seal()
        store.undo(deleted)
        assert [second, first] == store.get_quotes("A")
        store.delete_quote(second)
        assert [first] == store.get_quotes("A")

    @holds(Contract.C3, Capability.UNDO)
    @SETTLED
    def test_undo_of_a_deletion_keeps_the_order_of_arrival(self, store: DataStore, settled: bool) -> None:
        """Rows whose places are taken return after all others of their time, in their own order."""
        rows = [Quote("A", Instant(1), bid, 9) for bid in (2, 1)]
        store.save(rows)
        deleted = store.delete(store.select(Quote, limit=2, latest_first=True)).batch
        later = [Quote("A", Instant(1), bid, 9) for bid in (4, 3)]
        store.save(later)
        if settled:
            store.seal()
        store.undo(deleted)
        assert [*later, *rows] == store.get_quotes("A")

    @holds(Contract.C3, Capability.UNDO)
    def test_undo_of_a_deletion_brings_back_nothing_that_was_undone(self, store: DataStore) -> None:
        """A row that was deleted, and whose batch was undone since, stays away when the deletion is undone."""
        rows = [Quote("A", Instant(ts), 1, 2) for ts in range(2)]
        first = store.save(rows[:1]).batch
        store.save(rows[1:])
        deleted = store.delete(store.select(Quote)).batch
        store.undo(first)
        store.undo(deleted)
        assert rows[1:] == store.get_quotes()

    @holds(Contract.C3, Capability.UNDO)
    def test_a_stream_that_went_on_is_undone_as_a_whole(self, store: DataStore) -> None:
        """What a stream brought while its undo was undone goes with the rest of it once that undo counts again, and returns with it."""
        with store.stream(max_rows=1, max_delay=0) as stream:
            stream.write(Trade("A", Instant(1), 1, 1, trade_id="7")).result(60)
            undo = store.undo(stream.batch)
            again = store.undo(undo.batch)
            stream.write(Trade("A", Instant(1), 2, 1, trade_id="7")).result(60)
            stream.write(Trade("A", Instant(2), 1, 1)).result(60)
        there = store.get_trades()
        undone = store.undo(again.batch)
        assert ([], 2) == (store.get_trades(), len(there))
        store.undo(undone.batch)
        assert there == store.get_trades()

    @holds(Contract.C3, Capability.UNDO)
    @pytest.mark.parametrize("number", [99, 0])
    def test_undo_needs_a_batch(self, store: DataStore, number: int) -> None:
        """Undoing an unknown batch is an error and leaves no trace."""
        with pytest.raises(DataError, match=f"there is no batch {number}"):
            store.undo(number)
        assert store.batches() == []

    @holds(Contract.C3, Capability.UNDO)
    def test_undo_only_once(self, store: DataStore) -> None:
        """A batch that was undone cannot be undone again."""
        number = store.save(Quote("A", Instant(1), 1, 2)).batch
        undone = store.undo(number).batch
        with pytest.raises(DataError, match=f"already undone, by batch {undone}"):
            store.undo(number)
