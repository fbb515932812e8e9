"""The smallest examples of what the store machine found, so that they are tried each time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.engine import catalog, multisets
from fpa_core.kinds import QUOTES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.store import DataStore


@pytest.fixture(params=["hot", "sealed"])
def settle(request: pytest.FixtureRequest, store: DataStore) -> Callable[[], object]:
    """Seal the store where a test says that its rows have settled, or leave it as it is."""
    return store.seal if request.param == "sealed" else lambda: None


def test_a_symbol_that_is_in_the_first_part_of_a_table_only(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is too long to be sorted at once may have a symbol that is not in all of its parts."""
    monkeypatch.setattr(multisets, "ROWS_AT_ONCE", 1)
    with store.batch() as batch:
        batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2), Quote("B", Instant(1), 1, 2)]))
    assert (2, 2) == (batch.receipt.inserted, store.select(Quote).count())


@pytest.mark.parametrize("least", [1, 10**9])
def test_a_last_time_with_more_rows_than_several_segments_hold(
    store: DataStore, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """Rows of one time stay in one segment, however many they are, and whether or not other times come after it."""
    monkeypatch.setattr(catalog, "SEGMENT_ROWS", 4)
    monkeypatch.setattr(catalog, "LEAST_ROWS", least)
    rows = [Quote("A", Instant(1), 0, 99), *(Quote("A", Instant(5), bid, 99) for bid in range(15))]
    store.save(rows)
    store.seal()
    assert rows == store.get_quotes("A")


def test_undo_leaves_the_version_of_a_later_batch(store: DataStore, settle: Callable[[], object]) -> None:
    """Undoing a correction that was itself corrected changes nothing: a trade is there once, as it was corrected last."""
    versions = [Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11, 12)]
    batches = [store.save(version).batch for version in versions]
    settle()
    receipt = store.undo(batches[1])
    assert (f"batch {batches[1]} undone: 0 rows changed",) == receipt.notes
    assert versions[2:] == store.get_trades("A")


def test_undo_of_a_deletion_leaves_a_trade_that_came_since(store: DataStore, settle: Callable[[], object]) -> None:
    """A deleted trade does not return beside one of the same id that came after it was deleted; others do."""
    trades = [Trade("A", Instant(1), 10, 5, trade_id=number) for number in ("7", "8")]
    store.save(trades)
    deleted = store.delete(store.select(Trade)).batch
    later = evolve(trades[0], price=11)
    store.save(later)
    settle()
    store.undo(deleted)
    assert [later, trades[1]] == store.get_trades("A")


def test_undo_puts_a_row_beside_sealed_ones_of_its_time(store: DataStore) -> None:
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


def test_a_stream_does_not_know_what_took_the_place_of_a_row(store: DataStore, settle: Callable[[], object]) -> None:
    """When a row goes that a stream had recognised, the row that gets its place is not taken for recognised as well."""
    gone, stays = Quote("A", Instant(1), 1, 9), Quote("A", Instant(1), 2, 9)
    batch = store.save(gone).batch
    with store.stream(max_delay="1h") as stream:
        stream.write(gone)
        stream.flush()
        store.undo(batch)
        store.save(stays)
        settle()
        stream.write(stays)
    assert (0, 2) == (stream.receipt.inserted, stream.receipt.duplicate)
    assert [stays] == store.get_quotes("A")


def test_undo_of_a_deletion_keeps_the_order_of_arrival(store: DataStore, settle: Callable[[], object]) -> None:
    """Rows whose places are taken return after all others of their time, in their own order, whichever was deleted first."""
    rows = [Quote("A", Instant(1), bid, 9) for bid in (2, 1)]
    store.save(rows)
    deleted = store.delete(store.select(Quote, limit=2, latest_first=True)).batch
    later = [Quote("A", Instant(1), bid, 9) for bid in (4, 3)]
    store.save(later)
    settle()
    store.undo(deleted)
    assert [*later, *rows] == store.get_quotes("A")
