"""C3 and C6: batches are listed with what they brought, and are all or nothing."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import BARS, QUOTES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined, Query, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, contents, law
from fpa_core.testing.store.multisets import few_quotes, few_trades
from fpa_core.testing.store.versions import few_bars

__all__ = ["BatchTests"]


class BatchTests(StoreTests):
    """A batch is whole, or it is not there; and it is known what it brought."""

    @holds(Contract.C3)
    def test_batches_list_what_they_brought(self, store: DataStore) -> None:
        """Every batch is listed with its source, file, digest and counts, and its rows can be selected by it."""
        store.save(Quote("A", Instant(1), 1, 2))
        with store.batch(origin="files:fxcm", file="x.csv", digest="abc") as batch:
            batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2), Quote("A", Instant(2), 1, 2)]))
            assert (batch.counts.inserted, batch.counts.duplicate, batch.counts.revised) == (1, 1, 0)
            batch.finish(read=3, reading='{"delimiter": ","}')
        latest, first = store.batches()
        assert (latest.origin, latest.file, latest.digest) == ("files:fxcm", "x.csv", "abc")
        assert (latest.read, latest.inserted, latest.duplicate, latest.revised) == (3, 1, 1, 0)
        assert latest.reading == '{"delimiter": ","}'
        assert (first.origin, first.file, first.digest, first.reading) == ("api", None, None, None)
        assert latest.recorded_ns > first.recorded_ns
        with store.batch(file="x.csv") as told_late:
            told_late.finish(read=0, digest="def")
        assert [("def", None)] == [(batch.digest, batch.reading) for batch in store.backend.batches(batch=told_late.id)]
        assert [latest, first] == store.batches()[1:]
        assert [quote.ts_ns for quote in store.select(Quote, batch=latest.id)] == [2]
        assert [quote.ts_ns for quote in store.select(Quote, batch=first.id)] == [1]
        assert [told_late.id] == [batch.id for batch in store.batches(limit=1)]
        assert [first] == list(store.backend.batches(batch=first.id))
        assert list(store.backend.batches(batch=told_late.id + 1)) == []

    @holds(Contract.C3)
    def test_ids_and_times_of_batches_increase(self, store: DataStore) -> None:
        """Ids and times of batches increase in the order of their commits, over every kind of batch."""
        ids = [store.save(Quote("A", Instant(ts), 1, 2)).batch for ts in range(4)]
        ids.append(store.delete(store.select(Quote, limit=1)).batch)
        with store.stream(max_delay=0) as stream:
            stream.write(Quote("A", Instant(9), 1, 2))
        ids.append(store.save(Quote("B", Instant(1), 1, 2)).batch)
        listed = store.batches()
        assert sorted(set(ids)) == ids
        assert sorted({batch.id for batch in listed}, reverse=True) == [batch.id for batch in listed]
        assert sorted({batch.recorded_ns for batch in listed}, reverse=True) == [b.recorded_ns for b in listed]

    @holds(Contract.C3)
    @law(st.lists(st.lists(few_quotes | few_bars, max_size=8), max_size=4))
    def test_receipts_are_what_is_stored(self, fresh: Fresh, batches: list[list[Quote | Bar]]) -> None:
        """Counts of a receipt add up to its rows, agree with the batch as listed, and with what the store then holds."""
        with fresh() as store:
            rows = 0
            for number, records in enumerate(batches, 1):
                receipt = store.save(records)
                assert len(records) == receipt.read == receipt.inserted + receipt.duplicate + receipt.revised
                rows += receipt.inserted
                assert rows == store.select(Quote).count() + store.select(Bar).count()
                listed = store.batches()
                assert number == len(listed)
                assert receipt.batch == listed[0].id
                assert (receipt.inserted, receipt.duplicate, receipt.revised) == (
                    listed[0].inserted,
                    listed[0].duplicate,
                    listed[0].revised,
                )

    @holds(Contract.C3)
    @law(st.lists(few_trades | few_bars, max_size=4), st.lists(few_trades | few_bars, max_size=10), st.integers(1, 4))
    def test_a_batch_is_counted_alike_however_it_is_cut(
        self, fresh: Fresh, before: list[Bar | Trade], rows: list[Bar | Trade], size: int
    ) -> None:
        """What a batch brought, repeated and replaced is the same whether its rows come in one call or in many."""
        with fresh() as one, fresh() as other:
            for store in (one, other):
                store.save(before)
            for kind, group in one.writer.grouped(rows).items():
                with one.batch() as whole, other.batch() as cut:
                    whole.write_records(kind, group)
                    for start in range(0, len(group), size):
                        cut.write_records(kind, group[start : start + size])
                assert whole.counts == cut.counts
            assert one.select(Trade).to_list() == other.select(Trade).to_list()
            assert one.select(Bar).to_list() == other.select(Bar).to_list()

    @holds(Contract.C3)
    def test_deletions_are_counted(self, store: DataStore) -> None:
        """A deletion returns how many rows it took, and its batch says so; other rows stay."""
        store.save([Quote(symbol, Instant(ts), 1, 2) for symbol in "AB" for ts in range(4)])
        with store.batch() as batch:
            assert batch.delete(Query(QUOTES, ("A",), start_ns=1, end_ns=3)) == 2
            assert batch.delete(Query(QUOTES, ("C",))) == 0
        assert store.batches()[0].deleted == 2
        assert [quote.ts_ns for quote in store.get_quotes("A")] == [0, 3]
        assert store.select(Quote, "B").count() == 4

    @holds(Contract.C6)
    def test_an_error_in_a_batch_leaves_nothing(self, store: DataStore) -> None:
        """A batch whose context ends with an error leaves neither rows, nor quarantined records, nor a trace of itself."""
        kept = [Quote("A", Instant(0), 1, 2), Bar("A", Instant(0), 1, 1, 1, 1, 1, "1d")]
        store.save(kept)
        before = contents(store), store.batches()

        def fail() -> None:
            with store.batch() as batch:
                batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(ts), 1, 2) for ts in range(1, 40)]))
                batch.write(BARS, to_table(BARS, [Bar("A", Instant(0), 1, 1, 1, 1, 2, "1d")]))
                batch.quarantine([Quarantined("bars", "A", 5, 3, "{}", ())])
                batch.delete(Query(QUOTES, ("A",), end_ns=1))
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            fail()
        assert before == (contents(store), store.batches())
        assert store.quarantined() == []
        assert store.save(Quote("A", Instant(1), 1, 2)).inserted == 1

    @holds(Contract.C6)
    def test_a_batch_is_invisible_until_it_ends(self, store: DataStore) -> None:
        """Nobody reads rows of a batch that is still being written."""
        with store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(ts), 1, 2) for ts in range(40)]))
            assert (store.select(Quote).count(), store.batches()) == (0, [])
        assert (store.select(Quote).count(), len(store.batches())) == (40, 1)

    @holds(Contract.C6)
    def test_an_error_in_a_group_leaves_nothing_of_the_group(self, backend: StoreBackend, store: DataStore) -> None:
        """A group of a stream that ends with an error leaves nothing, and the stream goes on."""
        stream = backend.stream(origin="live")
        rows = [Quote("A", Instant(ts), 1, 2) for ts in range(3)]

        def fail() -> None:
            with stream.group() as group:
                group.write_records(QUOTES, rows[1:2])
                raise RuntimeError("no")

        with stream.group() as group:
            assert group.write_records(QUOTES, rows[:1]).inserted == 1
        with pytest.raises(RuntimeError, match="no"):
            fail()
        assert rows[:1] == store.get_quotes()
        with stream.group() as group:
            assert group.write_records(QUOTES, rows[1:]).inserted == 2
        stream.close()
        assert rows == store.get_quotes()

    @holds(Contract.C6)
    def test_a_missing_value_is_refused(self, backend: StoreBackend) -> None:
        """A null in a required column is an error that names it, and nothing is stored."""
        table = to_table(BARS, [Bar("A", Instant(0), 1, 1, 1, 1, 1, "1d")])
        place = table.schema.get_field_index("close")
        holed = table.set_column(place, "close", [[None]])
        with pytest.raises(DataError, match=r"bar\.close"), backend.transaction(origin="api") as transaction:
            transaction.write(BARS, holed)
        assert backend.count(Query(BARS)) == 0

    @holds(Contract.C6)
    def test_a_closed_store_refuses_work(self, store: DataStore) -> None:
        """A closed store refuses work with a typed error, and closing it again does nothing."""
        store.save([Quote("A", Instant(1), 1, 2)])
        scan = store.backend.scan(Query(QUOTES))
        next(scan)
        store.close()
        store.close()
        with pytest.raises(DatabaseError, match="closed"):
            store.get_quotes()
        with pytest.raises(DatabaseError, match="closed"):
            store.save(Quote("A", Instant(2), 1, 2))
        del scan
