"""DataStore: the verbs for every kind of record, selections and what they turn into, listeners, and what is refused."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DatabaseError, DataError, MissingDependencyError
from fpa_core.kinds import BARS, KINDS, ORDERS, POSITIONS, QUOTES, TRADES, Kind, kind_of
from fpa_core.models import (
    Bar,
    CashFlow,
    CorporateAction,
    Fill,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    Position,
    Quote,
    Trade,
)
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Query, StoreBackend
from fpa_core.store import DataStore

QUOTE = Quote("A", Instant(1), "1.10", "1.20", 100, 200)
TRADE = Trade("A", Instant(1), "1.15", 50, "@", "N")
BAR = Bar("A", Instant(1), 1, 2, "0.5", "1.5", 1000, "1m")
ORDER = Order("o-1", "A", 100, "buy", "limit", limit_price="1.20", timestamp=Instant(1), updated_at=Instant(1))
POSITION = Position("A", 100, 120, 110, 10, timestamp=Instant(1))
SNAPSHOT = PortfolioSnapshot(Instant(1), 1120, cash=1000, positions=[Position("A", 100, 120, 110)])

RECORDS = (QUOTE, TRADE, BAR, ORDER, POSITION, SNAPSHOT)


def ids(record: Any) -> str:
    return type(record).__name__


# Every kind: create, read, update, delete

SAVERS: dict[str, Callable[[DataStore, Any], Any]] = {
    "Quote": DataStore.save_quote,
    "Trade": DataStore.save_trade,
    "Bar": DataStore.save_bar,
    "Order": DataStore.save_order,
    "Position": DataStore.save_position,
    "PortfolioSnapshot": DataStore.save_portfolio_snapshot,
}


@pytest.mark.parametrize("record", RECORDS, ids=ids)
def test_saved_record_is_read_back(store: DataStore, record: Any) -> None:
    """A record that was saved by its verb, or by the one for all kinds, is read back equal."""
    rows = 1 + len(getattr(record, "positions", ()))
    assert rows == SAVERS[ids(record)](store, record).inserted
    assert rows == store.save(record).duplicate
    assert [record] == store.select(type(record)).to_list()
    assert record == store.latest(getattr(record, kind_of(record).subject), type(record))


@pytest.mark.parametrize("record", RECORDS[:3], ids=ids)
def test_many_are_saved_as_one_batch(store: DataStore, record: Any) -> None:
    """The plural verbs take any iterable and make one batch of it."""
    save = {"Quote": store.save_quotes, "Trade": store.save_trades, "Bar": store.save_bars}[ids(record)]
    receipt = save(evolve(record, timestamp=Instant(ts)) for ts in range(3))
    assert (3, 3, kind_of(record).name) == (receipt.read, receipt.inserted, receipt.kind)
    assert [receipt.batch] == [batch.id for batch in store.batches()]


@pytest.mark.parametrize(
    ("kind", "get"),
    [
        (QUOTES, DataStore.get_quotes),
        (TRADES, DataStore.get_trades),
        (BARS, DataStore.get_bars),
        (ORDERS, DataStore.get_orders),
        (POSITIONS, DataStore.get_positions),
    ],
    ids=["quotes", "trades", "bars", "orders", "positions"],
)
def test_get_by_symbol_and_time(store: DataStore, kind: Kind, get: Callable[..., list[Any]]) -> None:
    """Each get verb takes one symbol, several or none, a half-open range of times and a limit from its start."""
    record = next(one for one in RECORDS if kind_of(one) is kind)
    unique = {"order_id": "{}-{}"} if kind is ORDERS else {}
    made = {
        (symbol, ts): evolve(
            record,
            symbol=symbol,
            timestamp=Instant(ts),
            **{name: text.format(symbol, ts) for name, text in unique.items()},
        )
        for symbol in "ABC"
        for ts in range(4)
    }
    store.save(made.values())
    assert [made["B", ts] for ts in range(4)] == get(store, "B")
    assert [made[symbol, ts] for symbol in "AC" for ts in range(4)] == get(store, ["C", "A", "C"])
    assert 12 == len(get(store))
    assert [made["B", 1], made["B", 2]] == get(store, "B", start_time=1, end_time=3)
    assert [made["B", 1]] == get(store, "B", start_time=1, end_time=3, limit=1)
    assert [] == get(store, "nobody")


def test_get_bars_of_an_interval(store: DataStore) -> None:
    """Bars are read for one interval, in any of its spellings, or for all."""
    daily = evolve(BAR, interval="1d")
    store.save_bars([BAR, daily])
    assert [daily] == store.get_bars("A", "1 day")
    assert 2 == len(store.get_bars("A"))


def test_get_orders_of_a_status(store: DataStore) -> None:
    """Orders are read by id, or by status in the broker's spelling or ours."""
    cancelled = evolve(ORDER, order_id="o-2", status="cancelled")
    store.save([ORDER, cancelled])
    assert ORDER == store.get_order("o-1")
    assert store.get_order("o-3") is None
    assert [cancelled] == store.get_orders(status="canceled")
    assert [ORDER] == store.get_orders(status=OrderStatus.NEW)


def test_get_positions_of_an_account(store: DataStore) -> None:
    """Positions are read for one account or for all."""
    other = evolve(POSITION, account="margin")
    store.save([POSITION, other])
    assert [other] == store.get_positions("A", "margin")
    assert [POSITION, other] == sorted(store.get_positions("A"), key=lambda position: position.account)


def test_get_snapshots(store: DataStore) -> None:
    """Snapshots come with their positions, by account and time."""
    later = evolve(SNAPSHOT, timestamp=Instant(5), positions=[Position("B", 1, 2, 3), Position("A", 1, 2, 3)])
    margin = PortfolioSnapshot(Instant(3), 7, account="margin")
    store.save([later, margin, SNAPSHOT])
    assert [SNAPSHOT, later] == store.get_portfolio_snapshots("default")
    assert [SNAPSHOT] == store.get_portfolio_snapshots("default", start_time=1, end_time=5)
    assert [SNAPSHOT, later, margin] == store.get_portfolio_snapshots()
    assert [SNAPSHOT] == store.get_portfolio_snapshots(limit=1)


def test_latest_snapshot(store: DataStore) -> None:
    """The latest snapshot is that of the account named, or the latest of all accounts."""
    assert store.get_latest_snapshot() is None
    assert store.get_latest_snapshot("default") is None
    later, margin = evolve(SNAPSHOT, timestamp=Instant(5)), PortfolioSnapshot(Instant(3), 7, account="margin")
    store.save([SNAPSHOT, later, margin])
    assert later == store.get_latest_snapshot()
    assert margin == store.get_latest_snapshot("margin")


UPDATES: list[tuple[Callable[[DataStore, Any], Any], Any, Any]] = [
    (DataStore.update_bar, BAR, evolve(BAR, close="1.6")),
    (DataStore.update_order, ORDER, evolve(ORDER, status="filled", filled_quantity=100, updated_at=Instant(2))),
    (DataStore.update_position, POSITION, evolve(POSITION, quantity=90)),
    (DataStore.update_portfolio_snapshot, SNAPSHOT, evolve(SNAPSHOT, total_value=1130)),
]


@pytest.mark.parametrize(("update", "old", "new"), UPDATES, ids=[ids(old) for _, old, _ in UPDATES])
def test_update_replaces(store: DataStore, update: Callable[..., Any], old: Any, new: Any) -> None:
    """Updating replaces the stored version and keeps it in the history; updating to the same changes nothing."""
    store.save(old)
    then = store.batches()[0].recorded_ns
    receipt = update(store, new)
    assert (1, 0, 1) == (receipt.read - receipt.duplicate, receipt.inserted, receipt.revised)
    assert [new] == store.select(type(new)).to_list()
    assert (0, 0) == ((again := update(store, new)).inserted, again.revised)
    assert [old] == store.select(type(old), as_known_at=then).to_list()


@pytest.mark.parametrize(("update", "old", "new"), UPDATES, ids=[ids(old) for _, old, _ in UPDATES])
def test_update_of_what_is_not_there(store: DataStore, update: Callable[..., Any], old: Any, new: Any) -> None:
    """What is not stored cannot be updated, and nothing is written."""
    with pytest.raises(DataError, match=r"there is no (such )?(bar|order|position|snapshot)"):
        update(store, new)
    assert ([], []) == (store.batches(), store.select(type(old)).to_list())


@pytest.mark.parametrize(
    ("update", "old", "new"), [UPDATES[0], *UPDATES[2:]], ids=["Bar", "Position", "PortfolioSnapshot"]
)
def test_update_back_to_an_earlier_version(store: DataStore, update: Callable[..., Any], old: Any, new: Any) -> None:
    """An update back to an earlier version is meant, unlike its redelivery; it is one batch that can be undone."""
    store.save(old)
    store.save(new)
    if isinstance(old, Bar):  # of an account, an earlier state may simply be saved again
        assert 0 == store.save(old).revised, "a redelivery"
    receipt = update(store, old)
    assert (0, 1) == (receipt.inserted, receipt.revised)
    assert [old] == store.select(type(old)).to_list()
    store.undo(receipt.batch)
    assert [new] == store.select(type(old)).to_list()


def test_update_of_a_snapshot_replaces_its_positions(store: DataStore) -> None:
    """After an update a snapshot has the positions it was given: changed, kept, sold, and back to an earlier state, in one batch."""
    first = evolve(SNAPSHOT, positions=[Position(symbol, 1, 1, 1) for symbol in "ABC"])
    second = evolve(
        first, total_value=5, positions=[Position("A", 2, 2, 2), Position("B", 1, 1, 1), Position("D", 1, 1, 1)]
    )
    store.save(first)
    for wanted in (second, first, evolve(second, positions=())):
        before = len(store.batches())
        store.update_portfolio_snapshot(wanted)
        assert [wanted] == store.get_portfolio_snapshots()
        assert list(wanted.positions) == store.get_positions()
        assert before + 1 == len(store.batches())


def test_update_order_takes_the_present_time(store: DataStore) -> None:
    """A later version of an order that says no times keeps when it was submitted and is stamped with the present one."""
    store.save(Order("1", "A", 5, "buy", "market"))
    new = store.get_order("1")
    assert new is not None
    assert new.ts_ns is not None
    assert new.ts_ns == new.updated_ns
    store.update_order(Order("1", "A", 5, "buy", "market", "filled", 5, 9))
    filled = store.get_order("1")
    assert filled is not None
    assert (OrderStatus.FILLED, new.ts_ns) == (filled.status, filled.ts_ns)
    assert filled.updated_ns is not None
    assert filled.updated_ns > new.updated_ns


def test_orders_without_times_saved_twice(store: DataStore) -> None:
    """An order that says no times is the same order when it is saved again, in the same batch or a later one."""
    order = Order("1", "A", 5, "buy", "market")
    assert 1 == store.save(order).inserted
    assert (0, 1) == ((again := store.save(order)).revised, again.duplicate)
    assert 0 == store.save(evolve(order, updated_at=Instant(1))).inserted
    assert 1 == len(store.get_orders())


def test_order_with_an_update_time_alone(store: DataStore) -> None:
    """An order that names only when it changed keeps when it was submitted."""
    store.save(Order("1", "A", 5, "buy", "market", timestamp=Instant(3), updated_at=Instant(3)))
    store.save(Order("1", "A", 5, "buy", "market", "filled", 5, 9, updated_at=Instant(8)))
    assert [(3, 8)] == [(order.ts_ns, order.updated_ns) for order in store.get_orders()]


def test_order_with_a_submission_time_alone(store: DataStore) -> None:
    """A new order that names only when it was submitted changed then."""
    store.save(Order("1", "A", 5, "buy", "market", timestamp=Instant(3)))
    assert [(3, 3)] == [(order.ts_ns, order.updated_ns) for order in store.get_orders()]


@pytest.mark.parametrize("record", RECORDS, ids=ids)
def test_delete_one(store: DataStore, record: Any) -> None:
    """Deleting takes one record out of what reads return, tells how many rows went, and can be undone."""
    delete = {
        "Quote": store.delete_quote,
        "Trade": store.delete_trade,
        "Bar": store.delete_bar,
        "Order": lambda order: store.delete_order(order.order_id),
        "Position": store.delete_position,
        "PortfolioSnapshot": store.delete_portfolio_snapshot,
    }[ids(record)]
    store.save(record)
    receipt = delete(record)
    assert (f"1 {kind_of(record).name} deleted",) == receipt.notes
    assert [] == store.select(type(record)).to_list()
    assert [] == store.get_positions()
    with pytest.raises(DataError, match=r"there is no (such )?"):
        delete(record)
    store.undo(receipt.batch)
    assert [record] == store.select(type(record)).to_list()


@pytest.mark.parametrize(
    ("record", "other"), [(QUOTE, evolve(QUOTE, bid=2)), (TRADE, evolve(TRADE, price=2))], ids=["Quote", "Trade"]
)
def test_one_of_equal_rows(store: DataStore, record: Any, other: Any) -> None:
    """Of equal quotes or trades, delete takes one and update exchanges one."""
    name = ids(record).lower()
    store.save([record, record, record, other])
    getattr(store, f"delete_{name}")(record)
    assert [2, 1] == [store.select(type(record)).to_list().count(one) for one in (record, other)]
    receipt = getattr(store, f"update_{name}")(record, other)
    assert (0, 1) == (receipt.inserted, receipt.revised)
    assert [1, 2] == [store.select(type(record)).to_list().count(one) for one in (record, other)]
    store.undo(receipt.batch)
    assert [2, 1] == [store.select(type(record)).to_list().count(one) for one in (record, other)]


@pytest.mark.parametrize("record", [QUOTE, TRADE], ids=ids)
def test_exchange_with_an_equal_one(store: DataStore, record: Any) -> None:
    """A quote or trade put in the place of an equal one changes nothing."""
    store.save([record, record])
    receipt = getattr(store, f"update_{ids(record).lower()}")(record, record)
    assert (0, 1, 0) == (receipt.inserted, receipt.duplicate, receipt.revised)
    assert [record, record] == store.select(type(record)).to_list()


def test_exchange_can_move_a_quote(store: DataStore) -> None:
    """The new quote may have another symbol and time; missing values are told apart from others."""
    one_sided = evolve(QUOTE, bid=None)
    store.save([QUOTE, one_sided])
    store.update_quote(one_sided, evolve(QUOTE, symbol="B", timestamp=Instant(7)))
    assert [QUOTE, evolve(QUOTE, symbol="B", timestamp=Instant(7))] == store.get_quotes()


def test_exchange_of_different_kinds(store: DataStore) -> None:
    """A quote cannot become a trade."""
    store.save(QUOTE)
    with pytest.raises(DataError, match="a quote cannot become a trade"):
        store.update_quote(QUOTE, TRADE)  # type: ignore[arg-type]


def test_a_position_without_a_time_names_none(store: DataStore) -> None:
    """Which position is to be updated or deleted must be said: without a time it is refused, and nothing goes."""
    store.save([POSITION, evolve(POSITION, timestamp=Instant(2))])
    timeless = evolve(POSITION, timestamp=None, quantity=5)
    for verb in (store.update_position, store.delete_position):
        with pytest.raises(DataError, match="a position without a time does not identify a stored one"):
            verb(timeless)
    assert [POSITION, evolve(POSITION, timestamp=Instant(2))] == store.get_positions()


def test_a_position_without_a_time_is_of_now(store: DataStore) -> None:
    """A position that is saved without a time gets the present one."""
    store.save_position(evolve(POSITION, timestamp=None))
    assert [1_700_000_000] == [(position.ts_ns or 0) // 10**9 // 100 * 100 for position in store.get_positions()]


def test_save_position_into_a_snapshot(store: DataStore) -> None:
    """A position saved as part of a snapshot takes its account and time, and is read with it."""
    snapshot = PortfolioSnapshot(Instant(9), 100, account="margin")
    store.save(snapshot)
    store.save_position(POSITION, snapshot=snapshot)
    assert [evolve(POSITION, timestamp=Instant(9), account="margin")] == store.get_positions()
    assert [evolve(snapshot, positions=[POSITION])] == store.get_portfolio_snapshots()


def test_positions_of_a_replaced_snapshot_retire(store: DataStore) -> None:
    """A later version of a snapshot takes with it the positions it no longer has, of its account and time alone."""
    first = evolve(SNAPSHOT, positions=[Position(symbol, 1, 1, 1) for symbol in "AB"])
    elsewhere = [evolve(first, account="margin"), evolve(first, timestamp=Instant(2))]
    store.save([first, *elsewhere])
    then = store.batches()[0].recorded_ns
    second = evolve(first, total_value=1, positions=[Position("A", 1, 1, 1)])
    receipt = store.save(second)
    assert [second] == store.select(PortfolioSnapshot, "default", end=2).to_list()
    assert [first] == store.select(PortfolioSnapshot, "default", end=2, as_known_at=then).to_list()
    assert 5 == store.select(Position).count()
    store.undo(receipt.batch)
    assert [first, elsewhere[1], elsewhere[0]] == store.get_portfolio_snapshots()


def test_deleted_snapshot_takes_its_positions(store: DataStore) -> None:
    """Snapshots deleted by a selection take their own positions with them and no others."""
    lone = Position("Z", 1, 1, 1, timestamp=Instant(7))
    store.save([SNAPSHOT, evolve(SNAPSHOT, timestamp=Instant(2)), lone])
    receipt = store.delete(store.select("snapshots", "default", end=2))
    assert ("1 snapshots deleted",) == receipt.notes
    assert [2, 7] == [position.ts_ns for position in store.get_positions()]


# Latest, as of


def test_latest_and_as_of(store: DataStore) -> None:
    """The latest record is the last one; the one as of an instant is the last at or before it."""
    quotes = [evolve(QUOTE, timestamp=Instant(ts)) for ts in (10, 20, 20)]
    quotes[2] = evolve(quotes[2], bid="1.11")
    store.save([*quotes, TRADE])
    assert quotes[2] == store.latest("A")
    assert TRADE == store.latest("A", "trades")
    assert TRADE == store.latest("A", "trade")
    assert store.latest("B") is None
    assert [None, quotes[0], quotes[0], quotes[2], quotes[2]] == [store.as_of("A", at) for at in (9, 10, 19, 20, 99)]
    assert TRADE == store.as_of("A", datetime(2024, 5, 1, tzinfo=UTC), Trade)
    assert store.as_of("A", date(1969, 1, 1), "bars") is None


def test_latest_and_as_of_many_symbols(store: DataStore) -> None:
    """Of several symbols, or all, the last record of each that has one is returned, and conditions choose among them."""
    held = [
        Position(symbol, number, None, None, timestamp=Instant(number), account=account)
        for symbol in "AB"
        for number in (1, 2, 3)
        for account in ("x", "y")
    ]
    store.save([*held, Quote("A", Instant(1), 1, 2), Quote("C", Instant(2), 1, 2)])
    assert [("A", 1), ("C", 2)] == [(one.symbol, one.ts_ns) for one in store.latest(None, Quote)]
    assert ["A"] == [one.symbol for one in store.latest(["A", "B"], Quote)]
    assert [("A", 3, "x"), ("B", 3, "x")] == [
        (one.symbol, one.ts_ns, one.account) for one in store.latest(None, Position, account="x")
    ]
    assert [("A", 2, "y"), ("B", 2, "y")] == [
        (one.symbol, one.ts_ns, one.account) for one in store.as_of(("A", "B"), Instant(2), Position, account="y")
    ]
    assert [] == store.as_of(None, Instant(0), Position)
    with pytest.raises(DataError, match="conditions go with several symbols"):
        store.latest("A", Position, account="x")  # type: ignore[call-overload]
    with pytest.raises(DataError, match="no column 'bid'"):
        store.latest(None, Position, bid=1)


@pytest.mark.parametrize("intervals", [("1m", "1d"), ("1d", "1m")])
def test_latest_bar_over_intervals(store: DataStore, intervals: tuple[str, str]) -> None:
    """The latest bar is the last in time, whatever its interval."""
    early, late = (
        evolve(BAR, timestamp=Instant(ts), interval=interval) for ts, interval in zip((1, 2), intervals, strict=True)
    )
    store.save([late, early])
    assert late == store.latest("A", Bar)


def test_times_may_be_said_in_any_way(store: DataStore) -> None:
    """A range takes dates, aware datetimes, texts and nanoseconds alike."""
    day = 86_400 * 10**9
    store.save([evolve(QUOTE, timestamp=Instant(ts * day)) for ts in range(4)])
    for start in (date(1970, 1, 2), datetime(1970, 1, 2, tzinfo=UTC), "1970-01-02", "1970-01-02T01:00:00+01:00", day):
        assert [1, 2] == [quote.ts_ns // day for quote in store.get_quotes("A", start, "1970-01-04")]


# Selections


def test_selection_reads_when_asked(store: DataStore) -> None:
    """A selection is a description: it reads what is there when it is used, any number of times."""
    selection = store.select(Quote, "A")
    assert ([], 0, None) == (selection.to_list(), selection.count(), selection.first())
    store.save(QUOTE)
    assert ([QUOTE], 1, QUOTE) == (selection.to_list(), selection.count(), selection.first())
    assert [QUOTE] == list(selection) == list(selection)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_empty_selection_has_the_columns(store: DataStore, kind: Kind) -> None:
    """A selection of nothing is an empty table with the kind's columns and types, in Arrow, pandas and polars."""
    selection = store.select(kind, "nobody")
    table = selection.to_arrow()
    assert (0, [column.name for column in kind.columns]) == (table.num_rows, table.column_names)
    assert [column.arrow for column in kind.columns] == table.schema.types
    assert table.column_names == list(selection.to_pandas().columns) == selection.to_polars().columns
    assert ([], []) == (list(selection.batches()), selection.to_list())


def test_batches_are_bounded(store: DataStore) -> None:
    """Arrow batches have at most the rows asked for, with decimals as numbers or as texts."""
    store.save([evolve(QUOTE, timestamp=Instant(ts), bid=f"1.{ts}") for ts in range(5)])
    selection = store.select(Quote, "A")
    assert [2, 2, 1] == [batch.num_rows for batch in selection.batches(2)]
    assert all(pa.types.is_decimal(batch.schema.field("bid").type) for batch in selection.batches(2))
    texts = [text for batch in selection.batches(2, prices="text") for text in batch.column("bid").to_pylist()]
    assert ["1", "1.1", "1.2", "1.3", "1.4"] == texts


def test_frames_are_exact(store: DataStore) -> None:
    """Arrow, pandas and polars hold the exact decimals at one scale and times in nanoseconds; what is missing is missing."""
    store.save([evolve(QUOTE, timestamp=Instant(ts), bid=bid) for ts, bid in ((1, "1.5"), (2, "0.000001"), (3, None))])
    selection = store.select(Quote, "A")
    bids = [Decimal("1.5"), Decimal("0.000001"), None]
    assert bids == selection.to_arrow()["bid"].to_pylist()
    assert pa.timestamp("ns", "UTC") == selection.to_arrow().schema.field("timestamp").type
    frame = selection.to_pandas(numeric="decimal")
    assert (bids, [1, 2, 3]) == (list(frame["bid"]), [stamp.value for stamp in frame["timestamp"]])
    polars = selection.to_polars(numeric="decimal")
    assert (bids, [1, 2, 3]) == (polars["bid"].to_list(), polars["timestamp"].dt.timestamp("ns").to_list())


def test_arrow_over_many_scan_batches(store: DataStore) -> None:
    """Rows that are read in several pieces of different scales fit in one table."""
    quotes = [Quote("A", Instant(ts), "1", "1.5") for ts in range(17_000)] + [
        Quote("A", Instant(17_000), "0.25", "10" * 20)
    ]
    store.save(quotes)
    table = store.select(Quote, "A").to_arrow()
    assert (17_001, Decimal("0.25"), Decimal("10" * 20)) == (
        table.num_rows,
        table["bid"][-1].as_py(),
        table["ask"][-1].as_py(),
    )


def test_polars_is_optional(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without polars the error names it and the command that installs it."""
    real = builtins.__import__

    def without_polars(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "polars":
            raise ModuleNotFoundError("No module named 'polars'", name="polars")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_polars)
    with pytest.raises(MissingDependencyError, match="to_polars\\(\\) needs the package polars") as caught:
        store.select(Quote).to_polars()
    assert "polars" == caught.value.package
    assert "pip install 'financial-portfolio-automation[polars]'" in str(caught.value)


def test_conditions_on_columns(store: DataStore) -> None:
    """Any column can be asked for a value, or for being missing, and a batch for its rows."""
    bare = Trade("A", Instant(2), "1.150", 50)
    first, second = store.save(TRADE).batch, store.save(bare).batch
    assert [TRADE, bare] == store.select(Trade, price="1.15").to_list()
    assert [bare] == store.select(Trade, "A", exchange=None).to_list()
    assert [TRADE] == store.select(Trade, "A", exchange="N", timestamp="1970-01-01T00:00:00.000000001Z").to_list()
    assert ([TRADE], [bare]) == (
        store.select(Trade, batch=first).to_list(),
        store.select(Trade, batch=second).to_list(),
    )


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"limit": -1}, "limit: a whole number from 0 is needed, not -1"),
        ({"limit": "5"}, "limit: a whole number from 0 is needed, not '5'"),
        ({"start": "yesterday"}, "start: 'yesterday' is not an ISO-8601 time"),
        ({"end": "2024-05-01T14:30:00"}, "end: '2024-05-01T14:30:00' has no time zone"),
        ({"colour": "red"}, "quotes have no column 'colour'"),
        ({"bid": "cheap"}, "bid: 'cheap' is not a decimal number"),
    ],
    ids=["negative", "text", "no time", "naive", "column", "value"],
)
def test_a_wrong_selection_says_what_is_wrong(store: DataStore, conditions: dict[str, Any], message: str) -> None:
    """A selection that makes no sense is refused when it is made, with the name of what is wrong."""
    with pytest.raises(DataError) as caught:
        store.select(Quote, "A", **conditions)
    assert caught.value.message.startswith(message)


def test_limits(store: DataStore) -> None:
    """A limit of zero gives nothing, and first() is the first of what the selection has."""
    store.save([evolve(QUOTE, timestamp=Instant(ts)) for ts in range(3)])
    assert [] == store.select(Quote, "A", limit=0).to_list()
    assert evolve(QUOTE, timestamp=Instant(2)) == store.select(Quote, "A", latest_first=True).first()


# Whatever is saved


@pytest.mark.parametrize("what", [3, "AAPL", [QUOTE, 3], object()], ids=["number", "text", "mixed", "object"])
def test_only_records_are_saved(store: DataStore, what: Any) -> None:
    """What is no record is refused by its type, and nothing of the rest is kept."""
    with pytest.raises(DataError, match=r"unknown kind of record: (int|str|object)"):
        store.save(what)
    assert [] == store.batches()


def test_unknown_kind(store: DataStore) -> None:
    """A kind that does not exist is refused with the list of those that do."""
    with pytest.raises(DataError, match="kinds: quotes, trades, bars, orders, positions, snapshots"):
        store.select("candles")


def test_save_all_kinds_at_once(store: DataStore) -> None:
    """Records of all kinds make one batch; the position of the snapshot counts, and the kind is left open."""
    account = [Fill("A", 1_714_573_800_000_000_000, "buy", 1, 2), CashFlow(1_714_573_800_000_000_000, "fee", -1)]
    action = CorporateAction("A", 1_714_573_800_000_000_000, "split", 2)
    receipt = store.save([*RECORDS[:4], SNAPSHOT, *account, action], origin="broker")
    assert (9, 9, None, "broker") == (receipt.read, receipt.inserted, receipt.kind, receipt.origin)
    assert dict.fromkeys(KINDS, 1) == {name: store.select(name).count() for name in KINDS}
    store.undo(receipt.batch)
    assert dict.fromkeys(KINDS, 0) == {name: store.select(name).count() for name in KINDS}


def test_save_nothing(store: DataStore) -> None:
    """Nothing to save is a batch of nothing."""
    receipt = store.save([])
    assert (0, 0, None) == (receipt.read, receipt.inserted, receipt.kind)
    assert {} == receipt.warnings


def test_undo_receipt(store: DataStore) -> None:
    """The receipt of an undo tells what it took back, and the batch that did."""
    first = store.save([QUOTE, BAR])
    receipt = store.undo(first.batch)
    assert (f"batch {first.batch} undone: 2 rows changed",) == receipt.notes
    assert (first.batch + 1, f"undo:{first.batch}") == (receipt.batch, receipt.origin)
    assert [None, receipt.batch] == [batch.undone_by for batch in store.batches()]


def test_receipt_of_a_batch_in_calls(store: DataStore) -> None:
    """A batch written in several calls has one receipt, which is there when the context has ended."""
    with store.batch(origin="files:x", file="x.csv", digest="00") as batch:
        assert 1 == batch.write(QUOTES, to_table(QUOTES, [QUOTE])).inserted
        assert 1 == batch.write(TRADES, to_table(TRADES, [TRADE])).inserted
        assert 0 < batch.receipt.seconds
        batch.finish(read=9)
    receipt = batch.receipt
    assert (9, 2, "files:x", "x.csv") == (receipt.read, receipt.inserted, receipt.origin, receipt.file)
    assert receipt.seconds == batch.receipt.seconds > 0
    assert {"read": 9, "notes": [], "batch": batch.id} == {
        key: receipt.as_dict()[key] for key in ("read", "notes", "batch")
    }


# Listeners


def test_listeners_hear_what_changed(store: DataStore) -> None:
    """After each batch that changed something, listeners hear the subjects of each kind, before the call returns."""
    heard: list[Any] = []
    store.on_change(heard.append)
    store.on_change(lambda changed: heard.append(sorted(kind.name for kind in changed)))
    store.save([QUOTE, evolve(QUOTE, symbol="B"), BAR])
    assert [{QUOTES: {"A", "B"}, BARS: {"A"}}, ["bars", "quotes"]] == heard
    heard.clear()
    store.save([QUOTE, BAR])
    assert [] == heard, "nothing changed"
    with store.batch() as batch:
        batch.quarantine([])
    assert [] == heard


def test_listeners_hear_of_deletions_and_undos(store: DataStore) -> None:
    """A deletion tells its symbols, or that it may be all; an undo may touch every kind."""
    store.save([QUOTE, evolve(QUOTE, symbol="B"), BAR])
    heard: list[Any] = []
    store.on_change(heard.append)
    store.delete(store.select(Quote, "A"))
    store.delete(store.select(Bar))
    store.delete(store.select(Bar))
    store.undo(1)
    assert [{QUOTES: {"A"}}, {BARS: None}, dict.fromkeys(KINDS.values())] == heard


def test_listeners_hear_nothing_of_a_failed_batch(store: DataStore) -> None:
    """A batch that ends with an error is not announced."""
    heard: list[Any] = []
    store.on_change(heard.append)

    def fail() -> None:
        with store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, [QUOTE]))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert [] == heard


def test_once_it_may_be_all_it_stays_so(store: DataStore) -> None:
    """A batch that touched a whole kind and then some of its symbols may have touched the whole kind."""
    store.save([QUOTE, evolve(QUOTE, symbol="B")])
    heard: list[Any] = []
    store.on_change(heard.append)
    with store.batch() as batch:
        batch.delete(Query(QUOTES))
        batch.write(QUOTES, to_table(QUOTES, [QUOTE]))
    assert [{QUOTES: None}] == heard


# What a backend cannot do


class Limited:
    """A backend without optional powers; everything else is that of another."""

    def __init__(self, backend: StoreBackend) -> None:
        self._backend = backend
        self.capabilities = frozenset({Capability.PERSISTENT})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


@pytest.mark.parametrize(
    ("act", "capability"),
    [
        (lambda store: store.select(Quote, as_known_at=5), "known_at"),
        (lambda store: store.undo(1), "undo"),
    ],
    ids=["known at", "undo"],
)
def test_missing_capability(backend: StoreBackend, act: Callable[[DataStore], Any], capability: str) -> None:
    """What the backend does not declare is refused by name before it is asked; the rest works."""
    store = DataStore(Limited(backend))
    store.save(QUOTE)
    with pytest.raises(DatabaseError, match=f"lacks the capability .*{capability}"):
        act(store)
    assert [QUOTE] == store.get_quotes()
    assert 1 == len(store.batches())


def test_the_past_cannot_be_deleted(store: DataStore) -> None:
    """A selection of what was known at an earlier time is for reading."""
    store.save(QUOTE)
    with pytest.raises(DataError, match="rows as they were known in the past cannot be deleted"):
        store.delete(store.select(Quote, as_known_at=store.batches()[0].recorded_ns))
    assert [QUOTE] == store.get_quotes()


def test_deletion_of_a_limited_selection(store: DataStore) -> None:
    """A limit, from either end, bounds what is deleted."""
    store.save([evolve(QUOTE, timestamp=Instant(ts)) for ts in range(5)])
    store.delete(store.select(Quote, "A", limit=1))
    store.delete(store.select(Quote, "A", limit=2, latest_first=True))
    assert [1, 2] == [quote.ts_ns for quote in store.get_quotes()]


def test_a_store_is_a_context(backend: StoreBackend) -> None:
    """Leaving the context closes the backend, and closing twice does nothing."""
    with DataStore(backend) as store:
        store.save(QUOTE)
    store.close()
    with pytest.raises(DatabaseError, match="closed"):
        store.get_quotes()


def test_a_batch_that_changes_nothing_waits_for_the_one_that_did(store: DataStore):
    """Who writes a row again that another thread has just stored is not answered before the listeners know of it."""
    telling, told, go = threading.Event(), [], threading.Event()

    def listen(changed):
        telling.set()
        assert go.wait(10)
        told.append(changed)

    store.on_change(listen)
    quote = Quote("A", Instant(1), 1, 2)
    first = threading.Thread(target=store.save, args=(quote,))
    first.start()
    assert telling.wait(10)
    seen = []
    second = threading.Thread(target=lambda: seen.append((store.save(quote).duplicate, len(told))))
    second.start()
    second.join(0.05)
    assert seen == []
    go.set()
    first.join(10)
    second.join(10)
    assert seen == [(1, 1)]


def test_a_listener_may_write(store: DataStore):
    """A listener that writes does not wait for the batch it is being told of."""
    store.on_change(lambda changed: changed.keys() == {QUOTES} and store.save(Trade("A", Instant(1), 1, 1)))
    store.save(Quote("A", Instant(1), 1, 2))
    assert store.select(Trade).count() == 1
