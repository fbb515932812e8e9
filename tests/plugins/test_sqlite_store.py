"""The SQLite store against its contracts: nothing lost, nothing doubled, revisions, provenance, exactness."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import apsw
import pytest
import strategies as own
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.engine import catalog
from fpa_core.exceptions import CorruptionError, DatabaseBusyError, DatabaseError, DataError, SchemaError
from fpa_core.kinds import BARS, KINDS, QUOTES, TRADES, kind_of
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Quarantined, QuarantineQuery, Query, StoreBackend
from fpa_core.protocols.patterns import escape
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@pytest.fixture(params=["hot", "mixed", "sealed"], scope="module", autouse=True)
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold every contract with rows kept hot, with small segments among hot rows, and with everything sealed at once."""
    least, most = {"hot": (10**9, 16_384), "mixed": (2, 3), "sealed": (1, 4)}[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", least)
        patch.setattr(catalog, "SEGMENT_ROWS", most)
        yield


@contextlib.contextmanager
def fresh() -> Iterator[DataStore]:
    """Lend a store of its own to one example of a property."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        yield stack.enter_context(DataStore(open_store(at(folder, synchronous="normal"))))


def at(folder: Path, **options: Any) -> SqliteOptions:
    return SqliteOptions(path=folder / "test.db", **options)


def everything(store: DataStore) -> dict[str, list[Any]]:
    return {name: store.select(name).to_list() for name in KINDS}


# C1: nothing is lost, nothing doubled

few_quotes = st.builds(Quote, st.sampled_from("AB"), own.FEW_NS, own.few_prices(), own.few_prices())


def in_calls(rows: Sequence[Any], places: set[int]) -> list[Sequence[Any]]:
    edges = [0, *sorted(place for place in places if place < len(rows)), len(rows)]
    return [rows[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(st.lists(st.tuples(st.lists(few_quotes, max_size=12), st.sets(st.integers(1, 11), max_size=3)), max_size=4))
def test_multiset_maximum(batches: list[tuple[list[Quote], set[int]]]) -> None:
    """The store holds each quote as often as the fullest batch that contained it, however batches were cut into calls."""
    expected: Counter[Quote] = Counter()
    with fresh() as store:
        for rows, places in batches:
            with store.batch() as batch:
                for call in in_calls(rows, places):
                    batch.write(QUOTES, to_table(QUOTES, call))
            added = (expected | Counter(rows)) - expected
            expected |= Counter(rows)
            assert (added.total(), len(rows) - added.total()) == (batch.receipt.inserted, batch.receipt.duplicate)
        stored = store.get_quotes()
    assert expected == Counter(stored)
    assert sorted(stored, key=lambda quote: (quote.symbol, quote.ts_ns)) == stored


def test_equal_times_keep_their_order(store: DataStore) -> None:
    """Rows that share a time come back in the order in which they arrived, over several batches."""
    first = [Quote("A", Instant(1), bid, 9) for bid in (3, 1, 2)]
    store.save(first)
    store.save([*first, Quote("A", Instant(1), 0, 9)])
    assert [3, 1, 2, 0] == [quote.bid for quote in store.get_quotes("A")]


def test_unsorted_rows_come_back_in_time_order(store: DataStore) -> None:
    """The order of a file does not matter to the order of a read."""
    rows = [Quote(symbol, Instant(ts), 1, 2) for ts in (5, 3, 4, 1) for symbol in "BA"]
    store.save(rows)
    assert sorted(rows, key=lambda quote: (quote.symbol, quote.ts_ns)) == store.get_quotes()


def test_sparse_rows_over_dense_ones(store: DataStore) -> None:
    """A few rows spread over many stored ones are merged right, though the rows between them are not all read."""
    dense = [Quote("A", Instant(ts), 1, 2) for ts in range(2_000)]
    store.save(dense)
    receipt = store.save(
        [Quote("A", Instant(ts), 1, 2) for ts in (0, 700, 1_999)]
        + [Quote("A", Instant(700), 1, 3), Quote("A", Instant(1_999), 1, 2)]
    )
    assert (2, 3) == (receipt.inserted, receipt.duplicate)
    assert 2_002 == store.select(Quote, "A").count()


def test_trade_ids_make_trades_unique(store: DataStore) -> None:
    """A trade with a venue's id is stored once; a correction replaces it and the first version stays in the history."""
    first = Trade("A", Instant(1), 10, 5, exchange="N", trade_id="7")
    assert 1 == store.save([first, first]).inserted
    other_venue = evolve(first, exchange="Q")
    corrected = evolve(first, price=11)
    receipt = store.save([first, other_venue, corrected])
    assert (1, 1, 1) == (receipt.inserted, receipt.duplicate, receipt.revised)
    assert [corrected, other_venue] == store.get_trades("A")
    before = store.batches()[0].recorded_ns - 1
    assert [first] == store.select(Trade, "A", as_known_at=before).to_list()


def test_a_corrected_trade_stays_corrected(store: DataStore) -> None:
    """A trade that is delivered again as it was before its correction changes nothing."""
    first = Trade("A", Instant(1), 10, 5, trade_id="7")
    corrected = evolve(first, price=11)
    store.save(first)
    store.save(corrected)
    assert 1 == store.save(first).duplicate
    receipt = store.save([first, corrected])
    assert (0, 0, 2) == (receipt.inserted, receipt.revised, receipt.duplicate)
    assert [corrected] == store.get_trades("A")


def test_trade_ids_within_one_call(store: DataStore) -> None:
    """A correction that arrives in the same call as what it corrects replaces it."""
    store.save(Trade("A", Instant(1), 9, 9))
    trades = [Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11, 12)]
    receipt = store.save([*trades, Trade("A", Instant(1), 9, 9)])
    assert (1, 1, 2) == (receipt.inserted, receipt.duplicate, receipt.revised)
    assert [9, 12] == [trade.price for trade in store.get_trades("A")]


# C2: natural keys and revisions


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Bar("A", Instant(0), 1, 2, 1, 2, 5, "1m"), Bar("A", Instant(0), 1, 2, 1, 2, 6, "1m")),
        (Position("A", 1, 2, 3, timestamp=Instant(0)), Position("A", 2, 4, 3, timestamp=Instant(0))),
        (PortfolioSnapshot(Instant(0), 100), PortfolioSnapshot(Instant(0), 101)),
        (
            Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1)),
            Order("1", "A", 5, "buy", "market", "filled", 5, 9, timestamp=Instant(0), updated_at=Instant(2)),
        ),
    ],
    ids=lambda record: type(record).__name__,
)
def test_later_version_revises(store: DataStore, first: Any, second: Any) -> None:
    """A different version of a key replaces the stored one, is told as revised, and the first stays known for its time."""
    assert 1 == store.save(first).inserted
    known_then = store.batches()[0].recorded_ns
    assert (0, 1) == (store.save(first).inserted, store.save(first).duplicate)
    assert 1 == store.save(second).revised
    kind = kind_of(first).name
    assert [second] == store.select(kind).to_list()
    assert [first] == store.select(kind, as_known_at=known_then).to_list()
    again = store.save(first)
    if kind in {"positions", "snapshots"}:  # an account may return to what it was
        assert (1, [first]) == (again.revised, store.select(kind).to_list())
    else:  # an old version that is delivered again must not come back
        assert (1, [second]) == (again.duplicate, store.select(kind).to_list())


def test_a_snapshot_that_returns_is_whole(store: DataStore) -> None:
    """A snapshot saved as it was before another one comes back with all its positions, and with none of the other's."""
    first = PortfolioSnapshot(Instant(0), 10, positions=[Position("A", 1, 1, 1), Position("B", 1, 9, 9)])
    second = PortfolioSnapshot(Instant(0), 20, positions=[Position("A", 2, 2, 2), Position("D", 1, 18, 18)])
    for snapshot in (first, second, first):
        store.save(snapshot)
        assert snapshot == store.get_latest_snapshot()


def test_order_never_regresses(store: DataStore) -> None:
    """An order update older than what is stored goes to the history and is not read."""
    new = Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1))
    filled = evolve(new, status="filled", filled_quantity=5, average_fill_price=9, updated_at=Instant(3))
    late = evolve(new, status="partially_filled", filled_quantity=2, average_fill_price=9, updated_at=Instant(2))
    store.save(new)
    store.save(filled)
    receipt = store.save(late)
    assert (0, 0, 1) == (receipt.inserted, receipt.duplicate, receipt.revised)
    assert filled == store.get_order("1")
    assert 1 == store.save(late).duplicate


def test_conflicting_bars_in_one_batch(store: DataStore) -> None:
    """Of conflicting bars in one batch the last one is read; repeats are told apart from known rows."""
    bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2, 2)]
    with store.batch() as batch:
        batch.write(BARS, to_table(BARS, bars))
    assert (1, 1, 1, 1) == (batch.counts.inserted, batch.counts.revised, batch.counts.duplicate, batch.counts.repeated)
    assert [2] == [bar.close for bar in store.get_bars("A")]


few_bars = st.builds(
    lambda symbol, ts, close, interval: Bar(symbol, Instant(ts), 1, 2, 1, close, 0, interval),
    st.sampled_from("AB"),
    own.FEW_NS,
    own.few_prices(),
    st.sampled_from(["1m", "1d"]),
)


@given(st.lists(st.lists(few_bars, max_size=10), max_size=4))
def test_bars_against_a_dictionary(batches: list[list[Bar]]) -> None:
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
            assert 0 == store.save(rows).inserted
        stored = store.get_bars()
    assert sorted(model.items()) == [((bar.symbol, bar.ts_ns, bar.interval), bar) for bar in stored]


# C3: provenance, knowledge at a time, undo


def test_batches_tell_what_they_brought(store: DataStore) -> None:
    """Every batch is listed with its source, file, digest and counts, and its rows can be selected by it."""
    store.save(Quote("A", Instant(1), 1, 2))
    with store.batch(source="files:fxcm", file="x.csv", digest="abc") as batch:
        batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2), Quote("A", Instant(2), 1, 2)]))
        batch.finish(read=2)
    latest, first = store.batches()
    assert ("files:fxcm", "x.csv", "abc", 2, 1, 1) == (
        latest.origin, latest.file, latest.digest, latest.read, latest.inserted, latest.duplicate,
    )  # fmt: skip
    assert latest.recorded_ns > first.recorded_ns
    assert [2] == [quote.ts_ns for quote in store.select(Quote, batch=latest.id)]
    assert [latest] == store.batches(limit=1)


few_records = st.one_of(few_quotes, few_bars)


@given(st.lists(st.lists(few_records, max_size=6), min_size=1, max_size=4), st.data())
def test_known_at_is_what_was_read_then(batches: list[list[Any]], data: st.DataObject) -> None:
    """What is known as of a batch is what a read gave after that batch, whatever was stored, deleted or undone since."""
    with fresh() as store:
        past: list[tuple[int, dict[str, list[Any]]]] = []
        for rows in batches:
            action = data.draw(st.sampled_from(["save", "save", "delete", "undo"]))
            done = [batch.id for batch in store.batches() if batch.undone_by is None]
            if action == "undo" and done:
                store.undo(data.draw(st.sampled_from(done)))
            elif action == "delete":
                store.delete(store.select(data.draw(st.sampled_from(["quotes", "bars"])), "A"))
            else:
                store.save(rows)
            past.append((store.batches()[0].recorded_ns, everything(store)))
        for moment, then in past:
            known = {name: store.select(name, as_known_at=moment).to_list() for name in KINDS}
            assert then == known


@given(st.lists(few_records, max_size=8), st.lists(few_records, max_size=8))
def test_undo_of_the_last_batch_restores(before: list[Any], batch: list[Any]) -> None:
    """Undoing the last batch leaves what was there before it, and undoing the undo brings it back."""
    with fresh() as store:
        store.save(before)
        first = everything(store)
        number = store.save(batch).batch
        second = everything(store)
        undone = store.undo(number).batch
        assert first == everything(store)
        store.undo(undone)
        assert second == {name: store.select(name).to_list() for name in KINDS}


def test_undo_leaves_later_versions(store: DataStore) -> None:
    """Undoing a batch does not touch a row that a later batch replaced."""
    numbers = [store.save(Bar("A", Instant(0), 1, 2, 1, close, 5, "1m")).batch for close in (1, 2, 3)]
    store.undo(numbers[1])
    assert [3] == [bar.close for bar in store.get_bars("A")]


def test_undone_rows_can_be_ingested_again(store: DataStore) -> None:
    """What was taken back on purpose may come again."""
    bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2)]
    store.save(bars[0])
    store.undo(store.save(bars[1]).batch)
    assert 1 == store.save(bars[1]).revised
    assert [bars[1]] == store.get_bars("A")


def test_undo_brings_back_a_deleted_row_whose_place_is_taken(store: DataStore) -> None:
    """A deleted quote returns even when another has taken its place at that time."""
    store.save([Quote("A", Instant(1), 1, 2), Quote("A", Instant(1), 1, 3)])
    deleted = store.delete(store.select(Quote, "A")).batch
    store.save(Quote("A", Instant(1), 1, 4))
    store.undo(deleted)
    assert Counter([2, 3, 4]) == Counter(int(quote.ask or 0) for quote in store.get_quotes("A"))


@pytest.mark.parametrize("number", [99, 0])
def test_undo_needs_a_batch(store: DataStore, number: int) -> None:
    """Undoing a batch that is not there says so and leaves no trace."""
    with pytest.raises(DataError, match=f"there is no batch {number}"):
        store.undo(number)
    assert [] == store.batches()


def test_undo_only_once(store: DataStore) -> None:
    """A batch that was undone cannot be undone again."""
    number = store.save(Quote("A", Instant(1), 1, 2)).batch
    undone = store.undo(number).batch
    with pytest.raises(DataError, match=f"already undone, by batch {undone}"):
        store.undo(number)


# Contract C5: exactness


@given(st.lists(own.records(), max_size=10))
def test_what_goes_in_comes_out(records: list[Any]) -> None:
    """Every record comes back equal, to the last decimal and nanosecond."""
    with fresh() as store:
        for number, record in enumerate(records):
            store.save(record)
            kind = kind_of(record)
            key = {name: getattr(record, name) for name in kind.key if name not in {"ts_ns", kind.subject}}
            symbol = getattr(record, kind.subject)
            found = store.select(kind.name, escape(symbol), start=record.ts_ns, end=record.ts_ns + 1, **key).to_list()
            if kind.name == "orders":
                found = [order] if (order := store.get_order(record.order_id)) else []
                if found[0].updated_ns != record.updated_ns:
                    continue  # an older version of an order that is stored
            if kind.name in {"bars", "orders"} and record not in found and record in records[:number]:
                continue  # a version that was replaced before, delivered again
            if kind.name == "snapshots" and not record.positions:
                record = evolve(record, positions=found[0].positions)  # noqa: PLW2901 - positions may be saved on their own
            assert record in found


@given(st.lists(own.quotes(symbol=st.just("A")), min_size=1, max_size=8))
def test_arrow_is_as_exact(quotes: list[Quote]) -> None:
    """The Arrow table of a selection holds the same values as its records."""
    with fresh() as store:
        store.save(quotes)
        table = store.select(Quote, "A").to_arrow()
        decimal = [None if bid is None else Decimal(bid) for bid in table["bid"].to_pylist()]
        assert [quote.bid for quote in store.get_quotes("A")] == decimal


# Selections


def test_half_open_ranges(store: DataStore) -> None:
    """The start of a range is included and its end is not; limits count from either end."""
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(6)])
    assert [2, 3] == [quote.ts_ns for quote in store.get_quotes("A", 2, 4)]
    assert [0, 1] == [quote.ts_ns for quote in store.get_quotes("A", limit=2)]
    assert [5, 4] == [quote.ts_ns for quote in store.select(Quote, "A", limit=2, latest_first=True)]
    assert (2, 3) == (store.select(Quote, "A", limit=2).count(), store.select(Quote, "A", start=3).count())


def test_conditions_on_columns(store: DataStore) -> None:
    """Rows can be chosen by the value of any column, a missing one too."""
    rows = [
        Quote("A", Instant(ts), bid, 9, conditions=word)
        for ts, bid, word in ((1, "1.5", "x"), (2, "1.50", None), (3, 2, "x"), (4, None, None))
    ]
    store.save(rows)
    assert rows[:2] == store.select(Quote, "A", bid="1.500").to_list()
    assert [rows[0], rows[2]] == store.select(Quote, conditions="x").to_list()
    assert [rows[3]] == store.select(Quote, bid=None).to_list()
    assert [rows[2]] == store.select(Quote, timestamp=3, symbol="A").to_list()
    assert 2 == store.select(Quote, bid="1.5").count()
    assert [] == store.select(Quote, bid="1.5", conditions="y").to_list()


def test_a_part_of_a_table_has_few_of_its_symbols(store: DataStore) -> None:
    """A table whose dictionary of symbols names more than its rows have is taken."""
    quotes = [Quote(symbol, Instant(1), 1, 2) for symbol in "ABC"]
    table = to_table(QUOTES, quotes)
    table = table.set_column(0, "symbol", table.column("symbol").dictionary_encode())
    for number in (0, 2, 1):
        with store.batch() as batch:
            assert 1 == batch.write(QUOTES, table.slice(number, 1)).inserted
    assert quotes == store.get_quotes()


def test_undo_gives_back_what_a_rejected_record_was_before_the_batch(store: DataStore) -> None:
    """A record that one batch changed twice gets back the findings it had before the first time."""
    refused = Quarantined("bars", "A", 5, 3, "{}", ({"rule": "first"},))
    with store.batch() as batch:
        batch.quarantine([refused])
    (kept,) = store.quarantined()
    with store.backend.transaction(origin="judge") as transaction:
        transaction.refuse_again([evolve(kept, findings=({"rule": "second"},))])
        assert 1 == transaction.discard(QuarantineQuery(ids=(kept.id,)))
    store.undo(transaction.batch_id)
    assert [("open", ({"rule": "first"},))] == [(one.state, one.findings) for one in store.quarantined()]


def test_a_selection_of_nothing_is_no_error(store: DataStore) -> None:
    """Deleting the first of no rows deletes none, and of no ids no record is found."""
    assert ("0 quotes deleted",) == store.delete(store.select(Quote, "A", limit=1)).notes
    assert [] == list(store.backend.quarantined(QuarantineQuery(ids=())))


def test_hostile_names_are_only_names(store: DataStore) -> None:
    """SQL in a symbol is a symbol."""
    symbol = "x'; DROP TABLE quotes; --"
    store.save(Quote(symbol, Instant(1), 1, 2))
    assert [symbol] == [quote.symbol for quote in store.get_quotes(symbol)]
    assert [] == store.get_quotes("' OR 1=1 --")


def test_scan_in_small_batches(backend: StoreBackend, store: DataStore) -> None:
    """A scan yields no more rows at once than asked, and all of them."""
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10)])
    sizes = [batch.num_rows for batch in backend.scan(Query(QUOTES), rows=4)]
    assert (True, 10) == (max(sizes) <= 4, sum(sizes))


def test_inventory(store: DataStore) -> None:
    """The inventory tells rows, first and last time for each symbol."""
    store.save(
        [
            Quote("B", Instant(1), 1, 2),
            Quote("A", Instant(3), 1, 2),
            Quote("A", Instant(2), 1, 2),
            Bar("A", Instant(0), 1, 1, 1, 1, 1, "1d"),
        ]
    )
    found = [(e.kind, e.subject, e.rows, e.first_ns, e.last_ns) for e in store.inventory()]
    assert [("quotes", "A", 2, 2, 3), ("quotes", "B", 1, 1, 1), ("bars", "A", 1, 0, 0)] == found
    assert ["B"] == [e.subject for e in store.inventory(Quote) if e.subject != "A"]


def test_quarantine_keeps_what_was_refused(store: DataStore) -> None:
    """A refused record is kept as it came, with its findings and its batch."""
    finding = {"rule": "bar.range", "severity": "error", "message": "high below low"}
    refused = Quarantined("bars", "A", 5, 3, '{"symbol": "A"}', (finding,))
    with store.batch() as batch:
        batch.quarantine([refused])
    assert [evolve(refused, id=1, batch=batch.id)] == store.quarantined()
    assert 1 == batch.receipt.quarantined
    assert [] == store.quarantined(batch=batch.id + 1)
    store.undo(batch.id)
    assert ["undone"] == [record.state for record in store.quarantined()]


def test_describe(store: DataStore, backend: StoreBackend) -> None:
    """The store tells what it is."""
    store.save(Quote("A", Instant(1), 1, 2))
    told = backend.describe()
    assert ("sqlite", 5, 1) == (told.backend, told.schema, told.kinds["quotes"].rows)
    assert {
        Capability.PERSISTENT,
        Capability.SHARED,
        Capability.KNOWN_AT,
        Capability.UNDO,
        Capability.SEAL,
    } == backend.capabilities


# Contract C6: all of a batch, or none of it


def test_error_in_a_batch_leaves_nothing(store: DataStore) -> None:
    """A batch whose context ends with an error leaves neither rows nor a trace of itself."""

    def fail() -> None:
        with store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2)]))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert ([], []) == (store.get_quotes(), store.batches())
    store.save(Quote("A", Instant(1), 1, 2))


def test_missing_value_is_refused(backend: StoreBackend) -> None:
    """A null in a required column is an error that names it, and nothing is stored."""
    table = to_table(BARS, [Bar("A", Instant(0), 1, 1, 1, 1, 1, "1d")])
    holed = table.set_column(5, "close", [[None]])
    with pytest.raises(DataError, match=r"bar\.close"), backend.transaction(origin="api") as transaction:
        transaction.write(BARS, holed)
    assert 0 == backend.count(Query(BARS))


def test_no_room_is_a_typed_error(tmp_path: Path) -> None:
    """A database that cannot grow says so, keeps what it had, and goes on."""
    store = DataStore(open_store(at(tmp_path)))
    store.save(Quote("A", Instant(1), 1, 2))
    with store.backend.database._pool.writer() as connection:  # type: ignore[attr-defined]
        connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(DatabaseError, match="no space left"):
        store.save([Quote("A", Instant(7 * ts), ts * ts % 9_973, 2) for ts in range(200_000)])
    assert [Quote("A", Instant(1), 1, 2)] == store.get_quotes()
    store.close()


# Contract C7: many threads, many processes


def test_readers_are_not_blocked_and_see_whole_batches(store: DataStore, backend: StoreBackend) -> None:
    """A scan that is under way sees nothing of a batch written meanwhile; a new one sees all of it."""
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10)])
    scan = backend.scan(Query(QUOTES), rows=5)
    first = next(scan).num_rows
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10, 20)])
    assert 10 == first + sum(batch.num_rows for batch in scan)
    assert 20 == store.select(Quote).count()


@pytest.mark.parametrize(("option", "level"), [("full", 2), ("normal", 1)])
def test_every_connection_has_its_settings(tmp_path: Path, option: str, level: int) -> None:
    """Readers and the writer are as durable and as careful as was asked for."""
    with DataStore(open_store(at(tmp_path, synchronous=option))) as store:
        pool = store.backend.database._pool  # type: ignore[attr-defined]
        for lend in (pool.writer, pool.reader):
            with lend() as connection:
                names = ("journal_mode", "synchronous", "trusted_schema", "cell_size_check", "page_size")
                assert ("wal", level, 0, 1, 16_384) == tuple(connection.pragma(name) for name in names)


def test_many_threads_write_and_read(store: DataStore) -> None:
    """Threads that write and read at once lose nothing."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(10):
                store.save(Quote(f"S{number}", Instant(i), 1, 2))
                assert i + 1 == store.select(Quote, f"S{number}").count()
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    assert 60 == store.select(Quote).count()


def error_of(work: Callable[[], Any]) -> BaseException | None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - it is what was asked for
        return error
    return None


def test_busy_writer_is_told(tmp_path: Path) -> None:
    """A writer that waits too long for another one gets a typed error, in the same process and from another connection."""
    options = at(tmp_path, busy_timeout=0.05)
    one, other = DataStore(open_store(options)), DataStore(open_store(options))
    with one.batch():
        with pytest.raises(DatabaseBusyError, match="another writer"):
            other.save(Quote("A", Instant(1), 1, 2))
        seen: list[BaseException | None] = []
        waiting = threading.Thread(target=lambda: seen.append(error_of(lambda: one.save(Quote("A", Instant(1), 1, 2)))))
        waiting.start()
        waiting.join()
        assert isinstance(seen[0], DatabaseBusyError)
        with pytest.raises(DatabaseError, match="already writing a batch"):
            one.save(Quote("A", Instant(1), 1, 2))
    other.save(Quote("A", Instant(1), 1, 2))
    one.close()
    other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_gets_connections_of_its_own(store: DataStore) -> None:
    """A forked child can go on with the store without disturbing its parent."""
    store.save(Quote("A", Instant(1), 1, 2))
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(
            0 if store.save(Quote("A", Instant(2), 1, 2)).inserted == 1 and store.select(Quote).count() == 2 else 1
        )
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    store.save(Quote("A", Instant(3), 1, 2))
    assert 3 == store.select(Quote).count()


def test_closed_store_says_so(store: DataStore) -> None:
    """A closed store refuses work with a typed error, and closing it again does nothing."""
    scan = store.backend.scan(Query(QUOTES))
    store.save([Quote("A", Instant(1), 1, 2)])
    next(scan)
    store.close()
    store.close()
    with pytest.raises(DatabaseError, match="closed"):
        store.get_quotes()
    del scan


# Files


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_files_are_private(tmp_path: Path) -> None:
    """The database, its log and a folder made for it are readable by their owner alone."""
    store = DataStore(open_store(SqliteOptions(path=tmp_path / "new" / "test.db")))
    store.save(Quote("A", Instant(1), 1, 2))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert {"test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600} == modes
    assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_refused(tmp_path: Path) -> None:
    """A path that is a symbolic link is not followed."""
    (tmp_path / "test.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseError, match="symbolic link"):
        open_store(at(tmp_path))


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder in the place of the file is a clear error."""
    (tmp_path / "test.db").mkdir()
    with pytest.raises(DatabaseError, match="folder"):
        open_store(at(tmp_path))


def test_unreachable_path(tmp_path: Path) -> None:
    """A file in the place of the folder is a clear error."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseError, match="cannot be opened"):
        open_store(SqliteOptions(path=tmp_path / "file" / "test.db"))


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is refused and not changed."""
    path = tmp_path / "test.db"
    path.write_bytes(b"symbol,timestamp,bid,ask\n" * 1_000)
    with pytest.raises(SchemaError, match="not an SQLite database"):
        open_store(at(tmp_path))
    assert path.read_bytes().startswith(b"symbol,")


def test_damage_is_reported(tmp_path: Path) -> None:
    """A damaged database is reported as such, not read as empty."""
    store = DataStore(open_store(at(tmp_path)))
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(5_000)])
    store.close()
    path = tmp_path / "test.db"
    content = bytearray(path.read_bytes())
    content[-60_000:] = b"\xff" * 60_000  # where the rows are: the pages of empty tables lie before them
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="damaged"):
        DataStore(open_store(at(tmp_path))).get_quotes()


def test_other_engine_errors_are_ours_too(backend: StoreBackend) -> None:
    """No error of the engine escapes as its own class."""
    with pytest.raises(DatabaseError, match="could not write a batch"), backend.transaction(origin="api"):
        raise apsw.ConstraintError("made up")
    with pytest.raises(DatabaseError, match="cannot be written"), backend.transaction(origin="api"):
        raise apsw.ReadOnlyError("made up")


def test_clock_may_step_back(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are recorded in order even when the clock steps back."""
    times: Iterator[int] = iter([2_000, 2_000, 1_000, 1_000])
    step: Callable[[], int] = lambda: next(times)  # noqa: E731
    monkeypatch.setattr("fpa_core.engine.transaction.time.time_ns", step)
    store.save(Quote("A", Instant(1), 1, 2))
    store.save(Quote("A", Instant(2), 1, 2))
    assert [2_001, 2_000] == [batch.recorded_ns for batch in store.batches()]


@given(st.lists(own.quotes() | own.trades(), min_size=1, max_size=12))
def test_scaled_tables_are_taken(records: list[Any]) -> None:
    """A table whose numbers are integers with a scale is stored as the decimals they stand for, and is what comes out in that form."""
    for kind in (QUOTES, TRADES):
        rows = [record for record in records if kind_of(record) is kind]
        if not rows:
            continue
        with fresh() as plain, fresh() as given_scaled:
            plain.save(rows)
            table = plain.select(kind).to_arrow("scaled")
            with given_scaled.batch(source="scaled") as batch:
                assert batch.write(kind, table).inserted == len(plain.select(kind).to_list())
            assert plain.select(kind).to_list() == given_scaled.select(kind).to_list()
            assert table.equals(given_scaled.select(kind).to_arrow("scaled"))


@pytest.mark.parametrize("what", [Quote, Bar])
def test_a_reading_broken_off_holds_nothing(what: type[Any], store: DataStore) -> None:
    """Who stops reading in the middle gets the newest rows the next time, from the same connection."""
    rows: list[Any] = [Quote("A", Instant(ts), 1, 2) for ts in range(9)] + [
        Bar("A", Instant(ts), 1, 1, 1, 1, 1, "1m") for ts in range(9)
    ]
    store.save(rows)
    for part in (store.select(what, limit=2), store.select(what), store.select(what, latest_first=True)):
        reading = iter(part.batches(1))
        next(reading)
        del reading
    store.save([Quote("A", Instant(100), 1, 2), Bar("A", Instant(100), 1, 1, 1, 1, 1, "1m")])
    assert store.select(what).count() == len(store.select(what).to_list()) == 10


class QuarantineModel(NamedTuple):
    """What the quarantine holds, as a plain list: text, batch and whether the batch was undone."""

    rows: list[list[Any]]

    def add(self, batch: int, texts: list[str]) -> list[str]:
        earlier = Counter(text for text, _, undone in self.rows if not undone)
        kept = list((Counter(texts) - earlier).elements())
        self.rows.extend([text, batch, False] for text in kept)
        return kept


refused_texts = st.lists(st.sampled_from(["", ",,", "A,x", "A;1'2", "é|\\'"]), max_size=12)


@given(st.lists(st.tuples(refused_texts, st.integers(1, 4), st.booleans(), st.booleans()), max_size=5))
def test_quarantine_against_a_plain_list(batches: list[tuple[list[str], int, bool, bool]]) -> None:
    """However refused rows are cut into calls and groups, come again and are undone, as many are kept as the fullest batch had."""
    model = QuarantineModel([])
    with TemporaryDirectory() as folder, DataStore(open_store(SqliteOptions(path=Path(folder) / "test.db"))) as store:
        for texts, size, in_groups, undone in batches:
            records = [refused_row(text, number) for number, text in enumerate(texts, 1)]
            parts = [records[start : start + size] for start in range(0, len(records), size)]
            if in_groups:
                stream = store.backend.stream(origin="x")
                kept = []
                for part in parts:
                    with stream.group() as group:
                        kept += group.quarantine(part)
                stream.close()
                batch = stream.batch_id
            else:
                with store.backend.transaction(origin="x") as transaction:
                    kept = [one for part in parts for one in transaction.quarantine(part)]
                batch = transaction.batch_id
            assert Counter(model.add(batch, texts)) == Counter(one.raw for one in kept)
            if undone:
                store.undo(batch)
                for row in model.rows:
                    row[2] = row[2] or row[1] == batch
            found = list(store.backend.quarantined(QuarantineQuery()))
            assert Counter((text, of, "undone" if gone else "open") for text, of, gone in model.rows) == Counter(
                (one.raw, one.batch, one.state) for one in found
            )
            for one in found:
                expected = refused_row(one.raw, one.row)
                assert (expected.cells, expected.findings) == (one.cells, one.findings)


def refused_row(text: str, number: int | None) -> Quarantined:
    findings = ({"rule": "format", "message": f"price: {text!r} in row {number} at 1.5", "observed": [1.5, None]},)
    cells = None if not text else dict(zip("xyz", text.split(","), strict=False)) | {"note": text[:1]}
    return Quarantined("trades", None, None, number, text, findings, cells=cells)
