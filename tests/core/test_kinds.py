"""The table definitions of all kinds, and records that become tables and come back equal."""

from __future__ import annotations

import gc
from decimal import Decimal
from enum import StrEnum

import pyarrow as pa
import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    bars,
    cash_flows,
    corporate_actions,
    fills,
    orders,
    positions,
    quotes,
    records,
    snapshots,
    trades,
)

from fpa_core import kinds
from fpa_core.arrow import conversion
from fpa_core.arrow.conversion import concat, from_table, to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import (
    BARS,
    CASH,
    CORPORATE_ACTIONS,
    FILLS,
    KINDS,
    ORDERS,
    POSITIONS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    kind_of,
)
from fpa_core.models import (
    Bar,
    CashFlow,
    CorporateAction,
    Fill,
    Order,
    PortfolioSnapshot,
    Position,
    PositionSide,
    Quote,
    Side,
    Trade,
)

T = 1_714_573_800_123_456_789
STRATEGIES = {
    QUOTES: quotes(),
    TRADES: trades(),
    BARS: bars(),
    ORDERS: orders(),
    POSITIONS: positions(),
    FILLS: fills(),
    CORPORATE_ACTIONS: corporate_actions(),
    CASH: cash_flows(),
    SNAPSHOTS: snapshots().map(lambda snapshot: PortfolioSnapshot(**without_positions(snapshot))),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


def without_positions(snapshot):
    return {column.name: getattr(snapshot, column.field) for column in SNAPSHOTS.columns}


# Kinds


def test_kinds():
    """There are nine kinds, under the plural of their name; cash has none."""
    expected = {
        "quotes": Quote,
        "trades": Trade,
        "bars": Bar,
        "orders": Order,
        "positions": Position,
        "snapshots": PortfolioSnapshot,
        "fills": Fill,
        "corporate_actions": CorporateAction,
        "cash": CashFlow,
    }
    assert expected == {name: kind.record for name, kind in KINDS.items()}
    assert [f"<Kind {name}>" for name in KINDS] == [repr(kind) for kind in KINDS.values()]
    assert ["snapshot", "corporate_action", "cash"] == [one.singular for one in (SNAPSHOTS, CORPORATE_ACTIONS, CASH)]
    assert [CASH] * 3 == [kind_of(name) for name in ("cash", "cash_flow", "cash_flows")]


def test_identities():
    """What identifies a row, and whether rows are counted or replaced, is as the contracts have it."""
    assert [QUOTES, TRADES] == [kind for kind in KINDS.values() if kind.multiset]
    assert [FILLS, CASH] == [kind for kind in KINDS.values() if kind.made_id]
    assert [
        ("symbol", "ts_ns"),
        ("symbol", "ts_ns"),
        ("symbol", "interval", "ts_ns"),
        ("order_id", "account"),
        ("symbol", "account", "ts_ns"),
        ("account", "ts_ns"),
        ("fill_id", "account"),
        ("symbol", "action_type", "ts_ns"),
        ("transaction_id", "account"),
    ] == [kind.key for kind in KINDS.values()]
    assert ("exchange", "trade_id") == TRADES.venue_id
    assert ["orders"] == [kind.name for kind in KINDS.values() if kind.version]
    assert [SNAPSHOTS, CASH] == [kind for kind in KINDS.values() if kind.subject != "symbol"]


@each_kind
def test_columns_are_the_fields(kind):
    """A kind's columns are the fields of its class in their order, but for the positions of a snapshot."""
    expected = [(field.alias, field.name) for field in fields(kind.record) if field.name != "positions"]
    assert expected == [(column.name, column.field) for column in kind.columns]
    assert dict(expected) == {name: column.field for name, column in kind.by_name.items()}
    assert {field: name for name, field in expected} == {field: column.name for field, column in kind.by_field.items()}


@each_kind
def test_keys_are_required_columns(kind):
    """The fields of a key, the subject and the version are columns that have no null in a store."""
    for field in {*kind.key, kind.subject, *([kind.version] if kind.version else [])}:
        assert kind.by_field[field].required
    assert set(kind.venue_id) <= set(kind.by_field)


def test_column_types():
    """The type of a column comes from the type of its field."""
    types = {column.name: column.type for column in BARS.columns}
    assert {"text": 2, "time": 1, "decimal": 6, "integer": 1} == {
        name: list(types.values()).count(name) for name in ("text", "time", "decimal", "integer")
    }
    assert ("text", "time", "decimal", "integer") == tuple(
        types[name] for name in ("interval", "timestamp", "vwap", "trade_count")
    )
    assert "text" == ORDERS.by_name["side"].type
    assert [pa.string(), pa.timestamp("ns", "UTC"), pa.decimal128(38, 18), pa.int64()] == [
        BARS.by_name[name].arrow for name in ("symbol", "timestamp", "close", "trade_count")
    ]


def test_required_columns():
    """Required is what a class demands, and what the store stamps."""
    assert {"symbol", "timestamp"} == {column.name for column in QUOTES.columns if column.required}
    optional = {column.name for column in ORDERS.columns if not column.required}
    assert not {"order_id", "symbol", "side", "status", "filled_quantity", "timestamp", "updated_at"} & optional
    assert {"quantity", "limit_price", "client_order_id", "notional"} <= optional


@each_kind
def test_kind_of(kind):
    """A kind is found by itself, its names, its class and its records."""
    record = object.__new__(kind.record)
    for what in (kind, kind.name, kind.singular, kind.record, record, StrEnum("Name", {"KIND": kind.name}).KIND):
        assert kind is kind_of(what)


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("candles", "'candles'"),
        ("Quote", "'Quote'"),
        ("", "''"),
        (int, "int"),
        (5, "int"),
        (None, "NoneType"),
        ([], "list"),
    ],
)
def test_what_is_no_kind_is_refused(what, shown):
    """What is no kind is an error that shows it and lists the kinds."""
    with pytest.raises(DataError) as caught:
        kind_of(what)
    assert f"unknown kind of record: {shown}" == caught.value.message
    assert (
        "kinds: quotes, trades, bars, orders, positions, snapshots, fills, corporate_actions, cash" == caught.value.hint
    )
    assert what is caught.value.value


def test_a_derived_class_is_no_kind():
    """A class derived from a record has fields no table knows of; it is refused rather than cut."""

    class Mine(Quote):
        pass

    with pytest.raises(DataError, match="unknown kind of record: Mine"):
        kind_of(Mine)


# Tables


@each_kind
@given(data=st.data())
def test_records_round_trip(kind, data):
    """Records of any kind become a table with the kind's columns and come back equal, types and all."""
    made = data.draw(st.lists(STRATEGIES[kind], max_size=8))
    table = to_table(kind, made)
    assert [column.name for column in kind.columns] == table.schema.names
    again = from_table(kind, table)
    assert made == again
    for one, other in zip(made, again, strict=True):
        assert hash(one) == hash(other)
        assert [type(getattr(one, field.name)) for field in fields(kind.record)] == [
            type(getattr(other, field.name)) for field in fields(kind.record)
        ]


@given(st.lists(quotes(), max_size=8), st.integers(0, 4))
def test_batches_slices_and_chunks(made, start):
    """Record batches, slices and tables of several chunks are read as one whole table is."""
    table = to_table(QUOTES, made)
    assert made[start:] == from_table(QUOTES, table.slice(start))
    assert made == [quote for batch in table.to_batches(max_chunksize=2) for quote in from_table(QUOTES, batch)]
    parts = [to_table(QUOTES, made[start:]), to_table(QUOTES, made[start:])]
    assert made[start:] * 2 == from_table(QUOTES, pa.concat_tables([part.cast(parts[0].schema) for part in parts]))


@each_kind
@given(data=st.data())
def test_tables_join(kind, data):
    """Tables of one kind, whatever the types of their decimals, join into one table in one piece with all records."""
    parts = data.draw(st.lists(st.lists(STRATEGIES[kind], max_size=3), min_size=1, max_size=3))
    table = concat(kind, [to_table(kind, part) for part in parts])
    assert [record for part in parts for record in part] == from_table(kind, table)
    assert {1} == {column.num_chunks for column in table.columns}


@given(records())
def test_one_record_of_any_kind(record):
    """The kind of a record tells how to make a table of it; positions go their own way."""
    kind = kind_of(record)
    (again,) = from_table(kind, to_table(kind, [record]))
    if kind is SNAPSHOTS:
        assert () == again.positions
        assert record == PortfolioSnapshot(**without_positions(again), positions=record.positions)
    else:
        assert record == again


@each_kind
def test_no_records(kind):
    """No records make a table without rows, with all its columns, and back."""
    table = to_table(kind, [])
    assert (0, len(kind.columns)) == table.shape
    assert [] == from_table(kind, table)


def test_decimals_of_any_width():
    """Decimals that share no Arrow type are kept as texts, and come back equal."""
    made = [Trade("A", T, Decimal("1E+75"), "1E-75"), Trade("A", T, Decimal("1E-75"), 1)]
    table = to_table(TRADES, made)
    assert pa.string() == table.schema.field("price").type
    assert made == from_table(TRADES, table)


def test_words_come_back_as_words():
    """Enumerations are text in a table and enumerations again in a record."""
    order = Order("1", "A", 1, "sell", "limit", timestamp=T, updated_at=T)
    short = Position("A", -1, 1, 1, side="short")
    table = to_table(ORDERS, [order])
    assert "sell" == table.column("side")[0].as_py()
    assert Side.SELL is from_table(ORDERS, table)[0].side
    assert [PositionSide.SHORT, None] == [
        position.side for position in from_table(POSITIONS, to_table(POSITIONS, [short, Position("B", 1, 1, 1)]))
    ]


@each_kind
def test_columns_left_out_keep_their_defaults(kind):
    """A column that is left out takes the default of its field; without one it is missing, where it can be."""
    made = {
        QUOTES: Quote("A", T, None, None),
        TRADES: Trade("A", T, 1, 2),
        BARS: Bar("A", T, None, None, None, 1, None, "1m"),
        ORDERS: Order("1", "A", None, "buy", "market"),
        POSITIONS: Position("A", 1, None, None),
        SNAPSHOTS: PortfolioSnapshot(T, 1),
        FILLS: Fill("A", T, "buy", 1, 2),
        CORPORATE_ACTIONS: CorporateAction("A", T, "split"),
        CASH: CashFlow(T, "deposit", 1),
    }[kind]
    attributes = fields(kind.record)
    needed = [column.name for column in kind.columns if column.required and not can_be_left_out(attributes, column)]
    assert [made] == from_table(kind, to_table(kind, [made]).select(needed))
    for name in needed:
        with pytest.raises(DataError, match=f"{kind.name}: the column {name} is not there") as caught:
            from_table(kind, to_table(kind, [made]).drop_columns(name))
        assert f"{kind.record.__name__}.{name}" == caught.value.field
        assert name in caught.value.hint


def can_be_left_out(attributes, column):
    default = getattr(attributes, column.field).default
    return default is None or type(default) in (str, Decimal) or isinstance(default, StrEnum)


def test_other_columns_are_ignored():
    """Columns that are none of the kind's do not get in the way, and order does not matter."""
    quote = Quote("A", T, 1, 2, conditions="R")
    table = to_table(QUOTES, [quote]).append_column("batch", pa.array([1]))
    assert [quote] == from_table(QUOTES, table.select(sorted(table.schema.names)))


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(enabled, monkeypatch):
    """Whether making records succeeds or fails, the garbage collector is on afterwards if it was on before."""
    table = to_table(QUOTES, [Quote("A", T, 1, 2)])
    was = gc.isenabled()
    seen = []
    try:
        (gc.enable if enabled else gc.disable)()
        from_table(QUOTES, table)
        assert enabled == gc.isenabled()
        monkeypatch.setattr(conversion, "_draft", lambda _: lambda *_: seen.append(gc.isenabled()) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            conversion._restore(QUOTES, [["A"]] * len(QUOTES.columns))
        assert ([False], enabled) == (seen, gc.isenabled())
    finally:
        (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("module", [kinds, conversion], ids=lambda module: module.__name__)
def test_public_names(module):
    """All that the modules offer is there."""
    assert [] == [name for name in module.__all__ if not hasattr(module, name)]
