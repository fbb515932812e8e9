"""No statement is run once per row on a write path: what a chunk of rows costs does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fpa_core.arrow.conversion import to_table
from fpa_core.engine import multisets
from fpa_core.engine.sql.rows import SqlRows
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store
from fpa_plugins.sqlite.session import SqliteSession

FEW, MANY = 500, 5_000
MOST = 90
"""Statements of the largest of these batches; what a chunk costs, whatever it holds."""


def bars(count: int, close: int) -> list[Any]:
    return [Bar("A", Instant(ts), 1, 9, 1, close, 5, "1m") for ts in range(count)]


def spread_bars(count: int, close: int) -> list[Any]:
    return [Bar(f"S{ts % 100}", Instant(ts), 1, 9, 1, close, 5, "1m") for ts in range(count)]


def quotes(count: int, ask: int) -> list[Any]:
    return [Quote(f"S{ts % 100}", Instant(ts), 1, ask) for ts in range(count)]


def trades(count: int, price: int) -> list[Any]:
    return [Trade(f"S{ts % 100}", Instant(ts), price, 1, trade_id=f"t{ts}") for ts in range(count)]


class Counter:
    """Counts what is handed to the driver: a statement, or one with all its rows."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.statements = 0
        for name in ("query", "run", "bulk", "stream", "wanted"):
            patch.setattr(SqliteSession, name, self.counted(getattr(SqliteSession, name)))

    def counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            self.statements += 1
            return method(*args, **given)

        return call

    def of(self, work: Callable[[], Any]) -> int:
        before = self.statements
        work()
        return self.statements - before


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


@pytest.fixture
def open_fresh(tmp_path: Path) -> Iterator[Callable[[], DataStore]]:
    stores: list[DataStore] = []

    def opened() -> DataStore:
        stores.append(DataStore(open_store(SqliteOptions(path=tmp_path / f"{len(stores)}.db", seal_rows=None))))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def save(store: DataStore, kind: Kind, rows: list[Any]) -> None:
    with store.batch() as batch:
        batch.write(kind, to_table(kind, rows))


@pytest.mark.parametrize(
    ("kind", "make"),
    [(BARS, bars), (BARS, spread_bars), (QUOTES, quotes), (TRADES, trades)],
    ids=["bars", "bars of many symbols", "quotes", "trades"],
)
def test_statements_do_not_grow_with_rows(
    open_fresh: Callable[[], DataStore], counter: Counter, kind: Kind, make: Callable[[int, int], list[Any]]
) -> None:
    """Rows that are new, unchanged, changed and undone take as many statements whether there are hundreds or thousands."""
    costs = []
    for count in (FEW, MANY):
        store = open_fresh()
        steps = [
            counter.of(lambda store=store, count=count: save(store, kind, make(count, 2))),
            counter.of(lambda store=store, count=count: save(store, kind, make(count, 2))),
            counter.of(lambda store=store, count=count: save(store, kind, make(count, 3))),
            counter.of(lambda store=store: store.undo(3)),
            counter.of(lambda store=store: store.undo(4)),
        ]
        costs.append(steps)
    assert costs[0] == costs[1]
    assert max(costs[1]) <= MOST


def test_rejected_rows_take_few_statements(open_fresh: Callable[[], DataStore], counter: Counter) -> None:
    """Rejected rows, different or equal, new or known, take as many statements whether there are hundreds or thousands."""
    finding = {"rule": "format", "message": "price: 'x' is not a decimal number"}
    costs = []
    for count in (FEW, MANY):
        store = open_fresh()
        rows = [
            Quarantined("quotes", None, None, row, f"A,{row if row % 2 else 0},x", (finding,), cells={"symbol": "A"})
            for row in range(count)
        ]

        def reject(store: DataStore = store, rows: list[Quarantined] = rows) -> None:
            with store.batch() as batch:
                batch.quarantine(rows)

        costs.append([counter.of(reject), counter.of(reject), counter.of(lambda store=store: store.undo(1))])
    assert costs[0] == costs[1]
    assert max(costs[1]) <= MOST


@pytest.mark.parametrize("sealed", [False, True])
def test_the_rows_of_one_instant_are_read_once(
    open_fresh: Callable[[], DataStore], monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """A batch of many rows at one time looks once at those stored there, not at each chunk, and counts them as ever."""
    monkeypatch.setattr(multisets, "CROWD", 50)
    read = 0
    at = SqlRows.at

    def counted(self: SqlRows, *args: Any) -> list[Any]:
        nonlocal read
        found = list(at(self, *args))
        read += len(found)
        return found

    monkeypatch.setattr(SqlRows, "at", counted)
    store = open_fresh()
    rows = [Quote("A", Instant(1), number % 7, number // 2) for number in range(1_000)]
    store.save(rows[:500])
    if sealed:
        store.seal()
    with store.batch() as batch:
        for start in range(0, len(rows), 50):
            batch.write(QUOTES, to_table(QUOTES, rows[start : start + 50]))
    assert (500, 500) == (batch.receipt.inserted, batch.receipt.duplicate)
    assert rows == store.get_quotes()
    assert read <= 600
    with store.batch() as again:
        for start in range(950, -1, -50):
            again.write(QUOTES, to_table(QUOTES, rows[start : start + 50]))
    assert (0, 1_000) == (again.receipt.inserted, again.receipt.duplicate)
    assert read <= 1_700
