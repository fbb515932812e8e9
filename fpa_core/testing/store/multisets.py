"""C1: quotes and trades are counted, and keep their order of arrival."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import QUOTES, TRADES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law

__all__ = ["MultisetTests", "few_quotes", "few_trades"]

few_quotes = st.builds(Quote, st.sampled_from("AB"), own.FEW_NS, own.few_prices(), own.few_prices())
few_trades = st.builds(
    lambda symbol, ts, price, number: Trade(symbol, Instant(ts), price, 1, trade_id=number),
    st.sampled_from("AB"),
    own.FEW_NS,
    own.few_prices(),
    st.none() | st.sampled_from("12"),
)


def _calls(rows: Sequence[Any], places: set[int]) -> list[Sequence[Any]]:
    """Return *rows* cut at *places*."""
    edges = [0, *sorted(place for place in places if place < len(rows)), len(rows)]
    return [rows[a:b] for a, b in itertools.pairwise(edges) if a < b]


class MultisetTests(StoreTests):
    """Quotes and trades are counted: the store holds each row as often as the fullest batch that contained it."""

    @holds(Contract.C1)
    @law(st.lists(st.tuples(st.lists(few_quotes, max_size=12), st.sets(st.integers(1, 11), max_size=3)), max_size=4))
    def test_multiset_maximum(self, fresh: Fresh, batches: list[tuple[list[Quote], set[int]]]) -> None:
        """The store holds each quote as often as the fullest batch that contained it, however batches are cut into calls."""
        expected: Counter[Quote] = Counter()
        with fresh() as store:
            for rows, places in batches:
                with store.batch() as batch:
                    for call in _calls(rows, places):
                        batch.write(QUOTES, to_table(QUOTES, call))
                added = (expected | Counter(rows)) - expected
                expected |= Counter(rows)
                assert (added.total(), len(rows) - added.total()) == (batch.receipt.inserted, batch.receipt.duplicate)
            stored = store.get_quotes()
        assert expected == Counter(stored)
        assert sorted(stored, key=lambda quote: (quote.symbol, quote.ts_ns)) == stored

    @holds(Contract.C1)
    def test_equal_rows_are_kept(self, store: DataStore) -> None:
        """Rows that are equal in everything are kept as often as one batch holds them, and a redelivery adds none."""
        row = Quote("A", Instant(1), 1, 2)
        assert (store.save([row] * 3).inserted, store.save([row] * 3).inserted) == (3, 0)
        receipt = store.save([row] * 4)
        assert (receipt.inserted, receipt.duplicate) == (1, 3)
        assert [row] * 4 == store.get_quotes("A")

    @holds(Contract.C1)
    def test_parts_of_a_batch_add_nothing_again(self, store: DataStore) -> None:
        """Half of a batch that is stored, or the whole in another order, adds nothing."""
        rows = [Trade("A", Instant(ts), price, 5) for ts in (1, 1, 2) for price in (10, 10, 11)]
        store.save(rows)
        for again in (rows[::2], rows[3:], rows[::-1]):
            receipt = store.save(again)
            assert (0, len(again)) == (receipt.inserted, receipt.duplicate)
        assert rows == store.get_trades("A")

    @holds(Contract.C1)
    def test_equal_times_keep_their_order(self, store: DataStore) -> None:
        """Rows that share a time come back in the order in which they arrived, over several batches."""
        first = [Quote("A", Instant(1), bid, 9) for bid in (3, 1, 2)]
        store.save(first)
        store.save([*first, Quote("A", Instant(1), 0, 9)])
        assert [quote.bid for quote in store.get_quotes("A")] == [3, 1, 2, 0]

    @holds(Contract.C1)
    @pytest.mark.parametrize("settled", [False, True], ids=["as_written", "sealed"])
    def test_many_rows_of_one_time(self, store: DataStore, settled: bool) -> None:
        """Rows of one time stay together in their order, however many they are, and whether or not other times follow."""
        rows = [Quote("A", Instant(1), 0, 99), *(Quote("A", Instant(5), bid, 99) for bid in range(15))]
        store.save(rows)
        if settled:
            store.seal()
        assert rows == store.get_quotes("A")
        later = Quote("A", Instant(9), 1, 2)
        store.save([*rows[:7], later])
        assert [*rows, later] == store.get_quotes("A")

    @holds(Contract.C1)
    def test_unsorted_rows_come_back_in_time_order(self, store: DataStore) -> None:
        """The order of a file does not change the order of a read."""
        rows = [Quote(symbol, Instant(ts), 1, 2) for ts in (5, 3, 4, 1) for symbol in "BA"]
        store.save(rows)
        assert sorted(rows, key=lambda quote: (quote.symbol, quote.ts_ns)) == store.get_quotes()

    @holds(Contract.C1)
    def test_sparse_rows_over_dense_ones(self, store: DataStore) -> None:
        """A few rows spread over many stored ones are merged correctly."""
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(2_000)])
        receipt = store.save(
            [Quote("A", Instant(ts), 1, 2) for ts in (0, 700, 1_999)]
            + [Quote("A", Instant(700), 1, 3), Quote("A", Instant(1_999), 1, 2)]
        )
        assert (receipt.inserted, receipt.duplicate) == (2, 3)
        assert store.select(Quote, "A").count() == 2_002

    @holds(Contract.C1, Capability.KNOWN_AT)
    def test_trade_ids_make_trades_unique(self, store: DataStore) -> None:
        """A trade with a venue's id is stored once; a correction replaces it and the first version stays in the history."""
        first = Trade("A", Instant(1), 10, 5, exchange="N", trade_id="7")
        assert store.save([first, first]).inserted == 1
        other_venue = evolve(first, exchange="Q")
        corrected = evolve(first, price=11)
        receipt = store.save([first, other_venue, corrected])
        assert (receipt.inserted, receipt.duplicate, receipt.revised) == (1, 1, 1)
        assert [corrected, other_venue] == store.get_trades("A")
        before = store.batches()[0].recorded_ns - 1
        assert [first] == store.select(Trade, "A", as_known_at=before).to_list()

    @holds(Contract.C1)
    def test_a_corrected_trade_stays_corrected(self, store: DataStore) -> None:
        """A trade that is delivered again as it was before its correction changes nothing."""
        first = Trade("A", Instant(1), 10, 5, trade_id="7")
        corrected = evolve(first, price=11)
        store.save(first)
        assert store.save(corrected).revised == 1
        assert store.save(first).duplicate == 1
        receipt = store.save([first, corrected])
        assert (receipt.inserted, receipt.revised, receipt.duplicate) == (0, 0, 2)
        assert [corrected] == store.get_trades("A")

    @holds(Contract.C1)
    def test_trade_ids_within_one_call(self, store: DataStore) -> None:
        """A correction that arrives in the same call as what it corrects replaces it."""
        store.save(Trade("A", Instant(1), 9, 9))
        trades = [Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11, 12)]
        receipt = store.save([*trades, Trade("A", Instant(1), 9, 9)])
        assert (receipt.inserted, receipt.duplicate, receipt.revised) == (1, 1, 2)
        assert [trade.price for trade in store.get_trades("A")] == [9, 12]

    @holds(Contract.C1)
    @law(st.lists(few_quotes | few_trades, max_size=12), st.integers(1, 4))
    def test_records_and_tables_are_counted_alike(self, fresh: Fresh, rows: list[Any], size: int) -> None:
        """Rows written as records give the counts and the contents of the same rows written as tables."""
        with fresh() as one, fresh() as other:
            for kind, group in one.writer.grouped(rows).items():
                calls = [group[start : start + size] for start in range(0, len(group), size)]
                with one.batch() as tables, other.batch() as records:
                    for call in calls:
                        assert tables.write(kind, to_table(kind, call)) == records.write_records(kind, call)
            assert one.select(Quote).to_list() == other.select(Quote).to_list()
            assert one.select(Trade).to_list() == other.select(Trade).to_list()

    @holds(Contract.C1)
    def test_repeated_trades_of_one_time_are_told_apart(self, store: DataStore) -> None:
        """Of trades that arrive one by one at one time, each of them twice, one of each id is kept, in their order."""
        trades = [Trade("A", Instant(0), 1, 1, trade_id=number) for number in "2214413311"]
        with store.batch() as batch:
            for trade in trades:
                batch.write_records(TRADES, [trade])
        assert list(dict.fromkeys(trades)) == store.get_trades("A")
        assert (4, 6) == (batch.receipt.inserted, batch.receipt.duplicate)

    @holds(Contract.C1)
    def test_records_and_tables_in_one_batch(self, store: DataStore) -> None:
        """In one batch, records and tables may follow each other in any order, and all are counted."""
        rows = {ts: Quote("A", Instant(ts), 1, 2) for ts in (1, 2, 3)}
        with store.batch() as batch:
            for call in ([rows[1], rows[1]], [rows[3]], [rows[2], rows[3]]):
                batch.write(QUOTES, to_table(QUOTES, call))
                batch.write_records(QUOTES, [evolve(row, symbol="B") for row in call])
                batch.write_records(QUOTES, call)
        assert (10, 5) == (len(store.get_quotes("A")), len(store.get_quotes("B")))
        assert (15, 0) == (batch.receipt.inserted, batch.receipt.duplicate)

    @holds(Contract.C1)
    def test_arrival_keeps_its_order_over_groups(self, store: DataStore) -> None:
        """Rows of one time come back in the order of their writing, over groups, and beside rows of other batches."""
        with store.stream(max_delay="1h") as stream:
            for bid in (3, 1):
                stream.write(Quote("A", Instant(1), bid, 9))
                stream.flush()
            store.save(Quote("A", Instant(1), 9, 9))
            for bid in (2, 5):
                stream.write(Quote("A", Instant(1), bid, 9))
        assert [quote.bid for quote in store.get_quotes("A")] == [3, 1, 9, 2, 5]

    @holds(Contract.C1)
    def test_counting_spans_groups(self, backend: StoreBackend, store: DataStore) -> None:
        """A row that a stream brings twice is kept twice, in one group or in two, though another batch came between them."""
        row = Quote("A", Instant(1), 1, 2)
        for again in (False, True):
            stream = backend.stream(origin="live")
            for rows in ([row], [row, row]):
                with stream.group() as group:
                    counts = group.write_records(QUOTES, rows)
                assert (0 if again else len(rows)) == counts.inserted
                assert store.save(row).inserted == 0
            stream.close()
        assert [row] * 3 == store.get_quotes()

    @holds(Contract.C1)
    def test_a_reconnected_stream_adds_nothing(self, store: DataStore) -> None:
        """What a source delivers again after a reconnect adds nothing, and one more of a row adds one."""
        row, other = Quote("A", Instant(1), 1, 2), Quote("A", Instant(2), 1, 2)
        for again, added in ([], 3), ([], 0), ([row], 1):
            with store.stream(max_rows=1, max_delay=0) as stream:
                for one in [row, row, other, *again]:
                    stream.write(one)
            assert added == stream.receipt.inserted
        assert [row, row, row, other] == store.get_quotes()

    @holds(Contract.C1)
    @law(
        st.lists(
            st.tuples(st.integers(0, 2), st.lists(few_quotes | few_trades, max_size=8))
            | st.sampled_from(["seal", "other"]),
            max_size=12,
        )
    )
    def test_any_interleaving_of_streams(self, fresh: Fresh, steps: list[Any]) -> None:
        """Each row is held as often as the fullest stream holds it, a row with an id once in its latest version."""
        brought: dict[int, Counter[Any]] = {}
        versions: dict[Any, list[Trade]] = {}
        row_beside = Quote("A", Instant(5), 1, 2)
        with fresh() as store:
            streams = [store.stream(max_delay="1h") for _ in range(3)]
            for step in steps:
                if step == "seal":
                    store.seal()
                elif step == "other":
                    brought[store.save([row_beside] * 2).batch] = Counter([row_beside] * 2)
                else:
                    stream, rows = streams[step[0]], step[1]
                    for row in rows:
                        stream.write(row)
                        if isinstance(row, Trade) and row.trade_id:
                            known = versions.setdefault((row.symbol, row.ts_ns, row.trade_id), [])
                            known += [row] if row not in known else []  # an earlier version is a redelivery
                        else:
                            brought.setdefault(id(stream), Counter())[row] += 1
                    assert stream.flush(60)
            expected: Counter[Any] = Counter(known[-1] for known in versions.values())
            for counted in brought.values():
                expected |= counted
            assert expected == Counter([*store.get_quotes(), *store.get_trades()])
            assert expected.total() == sum(batch.inserted for batch in store.batches())

    @holds(Contract.C1, Capability.UNDO)
    @pytest.mark.parametrize("settled", [False, True], ids=["as_written", "sealed"])
    def test_a_stream_does_not_recognise_what_took_the_place_of_a_row(self, store: DataStore, settled: bool) -> None:
        """A row that takes the place of one that a stream recognised, and that was undone since, is not recognised as well."""
        gone, stays = Quote("A", Instant(1), 1, 9), Quote("A", Instant(1), 2, 9)
        batch = store.save(gone).batch
        with store.stream(max_delay="1h") as stream:
            stream.write(gone)
            stream.flush()
            store.undo(batch)
            store.save(stays)
            if settled:
                store.seal()
            stream.write(stays)
        assert (stream.receipt.inserted, stream.receipt.duplicate) == (0, 2)
        assert [stays] == store.get_quotes("A")

    @holds(Contract.C1)
    def test_what_a_stream_recognised_outlives_sealing(self, store: DataStore) -> None:
        """A stored row that a stream recognised stays recognised when rows are sealed, and changed, between the groups."""
        row = Quote("A", Instant(1), 1, 2)
        store.save([row, row])
        store.seal()
        with store.stream(max_delay="1h") as stream:
            for between in (lambda: (store.save(Quote("A", Instant(1), 3, 4)), store.seal()), lambda: None):
                stream.write(row)
                stream.flush()
                between()
            store.delete(store.select(Quote, "A", bid=3))
            stream.write(row)
        assert (1, 2) == (stream.receipt.inserted, stream.receipt.duplicate)
        assert [row] * 3 == store.get_quotes("A")

    @holds(Contract.C1)
    def test_a_deleted_row_may_come_again(self, store: DataStore) -> None:
        """A quote that was deleted is stored again when it is delivered again."""
        row = Quote("A", Instant(1), 1, 2)
        store.save([row, row])
        store.delete_quote(row)
        assert [row] == store.get_quotes()
        assert store.save([row, row]).inserted == 1
        assert [row, row] == store.get_quotes()
