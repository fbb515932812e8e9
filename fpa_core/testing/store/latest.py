"""C1: the last record of a symbol, and the one that was current at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from fpa_core.kinds import BARS
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant, ns_text
from fpa_core.protocols import Capability
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import StoreTests

__all__ = ["LatestTests"]

Make: TypeAlias = Callable[..., Any]
Save: TypeAlias = Callable[[Sequence[Any]], None]


def _quote(ts: int, price: int = 1, symbol: str = "A") -> Quote:
    return Quote(symbol, Instant(ts), price, 100)


def _trade(ts: int, price: int = 1, symbol: str = "A") -> Trade:
    return Trade(symbol, Instant(ts), price, 1)


def _bar(ts: int, price: int = 1, symbol: str = "A") -> Bar:
    return Bar(symbol, Instant(ts), None, None, None, price, None, "1m")


class LatestTests(StoreTests):
    """The latest record of a symbol, and the one current at a time, in every layout of its rows."""

    @pytest.fixture(params=["hot", "sealed", "both"])
    def save(self, request: pytest.FixtureRequest, store: DataStore) -> Save:
        """Save rows and seal none, all, or the first half of them."""

        def keep(rows: Sequence[Any]) -> None:
            half = len(rows) // 2 if request.param == "both" else len(rows)
            store.save(rows[:half])
            if request.param != "hot":
                store.seal()
            if rows[half:]:
                store.save(rows[half:])

        return keep

    @pytest.fixture(params=[_quote, _trade, _bar], ids=["quotes", "trades", "bars"])
    def make(self, request: pytest.FixtureRequest) -> Make:
        """Make records of a kind."""
        made: Make = request.param
        return made

    @holds(Contract.C1)
    def test_latest_of_each(self, store: DataStore, save: Save, make: Make) -> None:
        """The latest row is the last in time of its symbol, not the last that was saved."""
        rows = [make(ts, symbol=symbol) for ts in (3, 7, 5, 1) for symbol in "BA"]
        save([*rows, make(9, symbol="C")])
        for symbol in "AB":
            assert make(7, symbol=symbol) == store.latest(symbol, type(rows[0]))

    @holds(Contract.C1)
    def test_as_of_every_time(self, store: DataStore, save: Save, make: Make) -> None:
        """The row as of a time is the last one at or before it; before the first there is none."""
        rows = [make(ts, price=ts) for ts in (2, 8, 4, 6)]
        save([*rows, make(1, symbol="B"), make(9, symbol="B")])
        current = [found and found.ts_ns for found in (store.as_of("A", at, type(rows[0])) for at in range(10))]
        assert current == [None, None, 2, 2, 4, 4, 6, 6, 8, 8]
        assert make(8, price=8) == store.as_of("A", "2024-05-01T00:00:00Z", type(rows[0]))

    @holds(Contract.C1)
    @pytest.mark.parametrize("make", [_quote, _trade], ids=["quotes", "trades"])
    def test_of_equal_times_the_last_to_arrive(self, store: DataStore, save: Save, make: Make) -> None:
        """Of rows that share a time the one that arrived last is the latest; a duplicate changes nothing."""
        save([make(5, price) for price in (3, 1, 4, 2)])
        what = type(make(5))
        assert make(5, 2) == store.latest("A", what) == store.as_of("A", 5, what)
        store.save([make(5, 1)])
        assert make(5, 2) == store.latest("A", what) == store.as_of("A", 5, what)
        store.save([make(5, 9)])
        assert make(5, 9) == store.latest("A", what) == store.as_of("A", 5, what)

    @holds(Contract.C1)
    def test_corrected_trade(self, store: DataStore, save: Save) -> None:
        """The latest trade is read as corrected, and a correction of an earlier one does not make that the latest."""
        save([Trade("A", Instant(1), 10, 5, trade_id="1"), Trade("A", Instant(2), 20, 5, trade_id="2")])
        store.save([Trade("A", Instant(2), 21, 5, trade_id="2"), Trade("A", Instant(1), 11, 5, trade_id="1")])
        first, second = (Trade("A", Instant(ts), price, 5, trade_id=str(ts)) for ts, price in ((1, 11), (2, 21)))
        assert second == store.latest("A", Trade) == store.as_of("A", 2, Trade)
        assert first == store.as_of("A", 1, Trade)

    @holds(Contract.C1)
    def test_unknown_symbol(self, store: DataStore, save: Save, make: Make) -> None:
        """A symbol without rows of the kind has no latest one, even if other symbols or kinds have."""
        save([make(1), make(2, symbol="B")])
        what = type(make(1))
        for symbol in ("C", "", "a", "AA"):
            assert store.latest(symbol, what) is None
            assert store.as_of(symbol, 5, what) is None
        other = Trade if what is not Trade else Quote
        assert store.latest("A", other) is None

    @holds(Contract.C1)
    def test_empty_store(self, store: DataStore, make: Make) -> None:
        """An empty store has no latest row."""
        assert store.latest("A", type(make(1))) is None
        assert store.as_of("A", MAX_NS, type(make(1))) is None

    @holds(Contract.C3, Capability.UNDO)
    def test_after_an_undo(self, store: DataStore, save: Save, make: Make) -> None:
        """When the last rows are undone those before them are the latest again, and undoing the undo brings them back."""
        save([make(1), make(2)])
        what = type(make(1))
        number = store.save([make(3), make(4)]).batch
        store.seal()
        undone = store.undo(number).batch
        assert make(2) == store.latest("A", what) == store.as_of("A", 4, what)
        store.undo(undone)
        assert make(4) == store.latest("A", what) == store.as_of("A", MAX_NS, what)

    @holds(Contract.C1)
    def test_after_a_deletion(self, store: DataStore, save: Save, make: Make) -> None:
        """When the last rows are deleted those before them are the latest; when all are, there is none."""
        rows = [make(ts) for ts in (1, 2, 3, 4)]
        what = type(rows[0])
        save(rows)
        store.delete(store.select(what, "A", start=3))
        assert make(2) == store.latest("A", what) == store.as_of("A", 4, what)
        store.seal()
        store.delete(store.select(what, "A", limit=1))
        assert (None, make(2)) == (store.as_of("A", 1, what), store.latest("A", what))
        store.delete(store.select(what, "A"))
        assert store.latest("A", what) is None
        store.save(make(1))
        assert make(1) == store.latest("A", what)

    @holds(Contract.C1)
    def test_symbols_with_the_characters_of_patterns(self, store: DataStore, save: Save, make: Make) -> None:
        """A symbol is a name, not a pattern: stars, question marks, brackets and backslashes mean themselves."""
        names = ["BRK", "BRK*", "BRK?", "BRK[B]", "BRKB", "*", "?", "[", "\\", "BRK\\*", "%", "_"]
        save([make(ts, symbol=name) for ts, name in enumerate(names)])
        what = type(make(1))
        for ts, name in enumerate(names):
            assert make(ts, symbol=name) == store.latest(name, what) == store.as_of(name, MAX_NS, what)
        assert store.latest("BR*", what) is None
        assert store.as_of("BRK[*]", 99, what) is None

    @holds(Contract.C1)
    def test_first_and_last_nanosecond(self, store: DataStore, save: Save, make: Make) -> None:
        """Rows and queries may have the first and the last time that can be represented."""
        rows = [make(ts) for ts in (MIN_NS + 1, 0, MAX_NS - 1, MAX_NS)]
        what = type(rows[0])
        save(rows)
        assert rows[3] == store.latest("A", what)
        assert [rows[3], rows[2], rows[1], rows[0], rows[0]] == [
            store.as_of("A", at, what) for at in (MAX_NS, MAX_NS - 1, MAX_NS - 2, -1, MIN_NS + 1)
        ]
        assert rows[3] == store.as_of("A", ns_text(MAX_NS), what)

    @holds(Contract.C1)
    def test_of_several_intervals_the_last_bar(self, store: DataStore) -> None:
        """The latest bar is the last in time of any interval."""
        bars = [
            Bar("A", Instant(ts), None, None, None, 1, None, interval)
            for ts, interval in ((0, "1d"), (60, "1m"), (30, "5m"))
        ]
        store.save(bars)
        assert bars[1] == store.latest("A", BARS.name) == store.as_of("A", 99, BARS.name)
        assert bars[2] == store.as_of("A", 59, Bar)
