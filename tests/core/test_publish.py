"""Publishing, over a lake in memory: after any history the table is the store, and no more is written than has to be."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st
from memory_lake import MemoryLake

from fpa_core.arrow import decimals
from fpa_core.arrow.interchange import conform, interchange_schema
from fpa_core.engine import catalog
from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS, ORDERS, QUOTES, Kind
from fpa_core.models import Order, Quote
from fpa_core.numbers import Instant
from fpa_core.publish import publish, published_kinds
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@contextlib.contextmanager
def both() -> Iterator[tuple[DataStore, MemoryLake]]:
    """Lend an empty store and an empty lake."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = SqliteOptions(path=Path(folder) / "s.db", synchronous="normal", seal_rows=None)
        with DataStore(open_store(options)) as store:
            yield store, MemoryLake()


def rows(lake: MemoryLake, kind: Kind = QUOTES) -> list[str]:
    table = lake.tables[kind.name]
    return sorted(str(row) for file in table.files() for batch in table.read(file) for row in batch.to_pylist())


def stored(store: DataStore, kind: Kind = QUOTES) -> list[str]:
    schema = interchange_schema(kind)
    batches = (conform(kind, decimals.narrowed(kind, batch), schema) for batch in store.select(kind).scan())
    return sorted(str(row) for batch in batches for row in batch.to_pylist())


few_quotes = st.builds(
    Quote, st.sampled_from("AB"), st.integers(0, 40).map(Instant), st.integers(1, 3), st.integers(4, 5)
)
times = st.tuples(st.integers(0, 40), st.integers(1, 20))
steps: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("save"), st.lists(few_quotes, min_size=1, max_size=12)),
    st.tuples(st.just("stream"), st.lists(few_quotes, min_size=1, max_size=4)),
    st.tuples(st.just("delete"), times),
    st.tuples(st.just("undo"), st.integers(0, 3)),
    st.tuples(st.just("seal"), st.none()),
    st.tuples(st.just("replace"), st.none()),
)


def take(store: DataStore, verb: str, what: Any) -> None:
    """Do one step of a history."""
    if verb == "save":
        store.save(what)
    elif verb == "stream":
        with store.stream(max_delay=0) as stream:
            for quote in what:
                stream.write(quote).result()
    elif verb == "delete":
        start, length = what
        store.delete(store.select(Quote, start=Instant(start), end=Instant(start + length)))
    elif verb == "undo":
        open_ones = [batch.id for batch in store.batches() if batch.undone_by is None and batch.undoes is None]
        if len(open_ones) > what:
            store.undo(open_ones[what])
    elif verb == "seal":
        store.seal()


@pytest.mark.parametrize("layout", [(2, 3), (10**9, 16_384)], ids=["sealed", "hot"])
@own.costly(3)
@given(st.lists(few_quotes, min_size=6, max_size=20), st.lists(st.lists(steps, min_size=1, max_size=3), max_size=4))
def test_the_table_is_the_store(
    layout: tuple[int, int], first: list[Quote], history: list[list[tuple[str, Any]]]
) -> None:
    """After any saves, streams, deletions, undoings and sealings, a publication leaves in the table what the store holds."""
    with pytest.MonkeyPatch.context() as patch, both() as (store, lake):
        patch.setattr(catalog, "LEAST_ROWS", layout[0])
        patch.setattr(catalog, "SEGMENT_ROWS", layout[1])
        for some in [[("save", first)], *history]:
            for verb, what in some:
                take(store, verb, what)
            replace = any(verb == "replace" for verb, _ in some)
            publish(store, lake, QUOTES, file_rows=5, replace=replace, verify=True)
            assert stored(store) == rows(lake)


orders = st.lists(
    st.builds(
        lambda number, ts, later, status: Order(
            order_id=f"o{number}", symbol="A", quantity=1, side="buy", order_type="market", status=status,
            timestamp=Instant(ts), updated_at=Instant(ts + later),
        ),
        st.integers(0, 6), st.integers(0, 30), st.integers(0, 3), st.sampled_from(["new", "filled"]),
    ),
    max_size=8,
)  # fmt: skip


@own.costly(2)
@given(st.lists(orders, min_size=1, max_size=5))
def test_rows_whose_time_changes(batches: list[list[Order]]) -> None:
    """A later version of an order, whose time may be another, is in the table in the place of the earlier one."""
    with both() as (store, lake):
        for some in batches:
            store.save(some)
            publish(store, lake, ORDERS, file_rows=3, verify=True)
            assert stored(store, ORDERS) == rows(lake, ORDERS)


@own.costly(3)
@given(st.lists(own.records(), min_size=1, max_size=8), st.lists(own.records(), max_size=4))
def test_every_kind(first: list[Any], second: list[Any]) -> None:
    """Rows of every kind are published, exactly; a value that does not fit refuses its kind, and no other."""
    with both() as (store, lake):
        for records in (first, second):
            if not records:
                continue
            store.save(records)
            for kind in published_kinds(store, lake, list(KINDS.values())):
                try:
                    expected = stored(store, kind)
                except DataError:
                    with pytest.raises(DataError, match="does not fit a decimal"):
                        publish(store, lake, kind, file_rows=2)
                    continue
                assert publish(store, lake, kind, file_rows=2, verify=True).rows == len(expected)
                assert expected == rows(lake, kind)


def test_little_is_read_for_a_small_change() -> None:
    """The files of a table lie apart in time, hold about as many rows as asked for, and a batch of one time replaces one of them at most."""
    with both() as (store, lake):
        store.save([Quote(symbol, Instant(n), n, n + 1) for n in range(1_000) for symbol in "AB"])
        first = publish(store, lake, QUOTES, file_rows=100)
        assert 18 <= first.files <= 22
        files = lake.tables["quotes"].files()
        assert all(one.last_ns < other.first_ns for one, other in itertools.pairwise(files))
        assert max(file.rows for file in files) <= 150
        for ns in (0, 512, 999, 2_000):
            store.save(Quote("C", Instant(ns), 1, 2))
            done = publish(store, lake, QUOTES, file_rows=100, verify=True)
            assert done.removed <= 1
            assert done.written <= 151


def test_what_is_not_published_yet() -> None:
    """A store without a batch leaves an empty table, and every kind can be published."""
    with both() as (store, lake):
        assert (0, 0) == ((done := publish(store, lake, QUOTES)).batch, done.rows)
        store.save(Quote("A", Instant(1), 1, 2))
        for kind in KINDS.values():
            assert publish(store, lake, kind, verify=True).rows == (kind is QUOTES)
