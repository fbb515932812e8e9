"""C5: every value comes back equal, on every path in and out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.columns import as_texts
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.converters import MAX_NAME
from fpa_core.exceptions import DataError
from fpa_core.kinds import QUOTES, TRADES, Kind, kind_of
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import MAX_NS, MIN_NS, Instant
from fpa_core.patterns import escape
from fpa_core.protocols import Capability, Query, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing import strategies as own
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law

__all__ = ["ExactnessTests"]

NUMBERS = [
    *("0", "-0", "0.00", "1", "1.0", "-1", "0.1", "-36.98", "1E-30", "-1E-30", "1E+30", "1E-18", "1E-19", "1E-75"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "0.9223372036854775807"),
    *("9" * 38, "9" * 39, "9" * 76, "0." + "1" * 38, "0." + "1" * 76, "12345678901234567890.12345678901234567890"),
    *("1.1", "1.10", "1.100000000000000000000000000001", "0.30000000000000004"),
]
"""Decimals at the edges of what 64 bits, 18 places, 38 and 76 digits hold."""

TIMES = [MIN_NS + 1, -(10**9) - 1, -1, 0, 1, 999, 1_000, 10**9 - 1, 1_714_573_800_123_456_789, MAX_NS - 1, MAX_NS]
"""Nanoseconds that no coarser unit holds, before 1970 too, and the first and last there are."""

NAMES = [
    *("A", "a", "BRK[B]", "BRK\\B", "\\", "BTC/USDT", "SPXW  210106P03700000", "Ünï", "é", "e\u0301", "日本", "🚀"),
    *(
        "'",
        '"',
        "a'b;--",
        'x"y',
        "x,y",
        "x;y",
        "%",
        "_",
        "*",
        "?",
        "$1",
        "{}",
        "NULL",
        "None",
        "nan",
        "1e5",
        "007",
        "=",
        "".join(chr(0x1F300 + number % 200) for number in range(MAX_NAME)),
    ),
]
"""Symbols that a query language, a file format or a locale could read as something else."""

TEXTS = [*NAMES, "@, I", "a\nb", "a\tb", " a ", "\\n", "\\N", "x" * 4_000]
"""Texts that a field may hold."""

RECORDS: list[Any] = [
    Quote("A", Instant(7), "1.50", "2.25", "0.001", 3, "N", "Q", "R,O"),
    Quote("A", Instant(7), None, None, None, None),
    Trade("A", Instant(7), "1e-20", "12345678901234567890.5", "@, I", None, "x'7", "buy"),
    Bar("A", Instant(7), "1.1", 2, None, "-36.98", "0.5", "1m", "1.05", 2**62),
    Position("A", "-1.5", "1E-9", None, timestamp=Instant(7), account="X"),
    Order("1", "A", "5.5", "sell", "limit", limit_price="1E-12", timestamp=Instant(7), updated_at=Instant(8)),
    PortfolioSnapshot(Instant(7), "10.01", positions=[Position("A", 1, 1, 1), Position("B", "0.1", 9, 9)]),
    Fill(
        "A",
        Instant(7),
        "sell",
        "1E-12",
        "0.001",
        "X",
        "x'7",
        "1",
        "-0.25",
        "EUR",
        "BNB",
        100,
        "-7.1",
        "maker",
        "N",
        "SLD",
    ),
    CorporateAction("A", Instant(7), "spinoff", 1, 3, None, "EUR", "B", "0.25", Instant(8), Instant(9), "Spin-off"),
    CashFlow(Instant(7), "tax", "-0.015", "EUR", "X", "A", "7", "order 1", "Withholding"),
]


def _key(record: Any) -> dict[str, Any]:
    kind = kind_of(record)
    return {name: getattr(record, name) for name in kind.key if name not in {"ts_ns", kind.subject}}


def _in_texts(kind: Kind, records: list[Any]) -> Any:
    """Return a table with its decimals as canonical texts."""
    table = to_table(kind, records)
    for number, column in enumerate(kind.columns):
        if column.type == "decimal":
            array = table.column(number).combine_chunks()
            table = table.set_column(number, column.name, as_texts(array))
    return table


def _readings(store: DataStore, kind: Kind) -> Iterator[tuple[str, list[Any]]]:
    """Yield the records of a kind in every way in which they can be read."""
    yield "scan", [row for batch in store.backend.scan(Query(kind)) for row in from_table(kind, batch)]
    scaled = store.backend.scan(Query(kind), scaled=True)
    yield "scaled scan", [row for batch in scaled for row in from_table(kind, batch)]
    yield "records", store.select(kind).to_list()
    yield "latest first", store.select(kind, latest_first=True).to_list()[::-1]
    for prices in ("decimal", "scaled", "text"):
        yield f"Arrow, {prices}", from_table(kind, store.select(kind).to_arrow(prices))


class ExactnessTests(StoreTests):
    """What goes in comes out equal."""

    @holds(Contract.C5)
    @pytest.mark.parametrize("number", NUMBERS)
    def test_a_decimal_comes_back(self, store: DataStore, number: str) -> None:
        """A decimal of any scale comes back as the same number, of quotes and of bars, alone and beside others."""
        value = Decimal(number)
        quotes = [
            Quote("A", Instant(1), value, None),
            Quote("A", Instant(2), "1.25", value),
            Quote("B", Instant(1), 1, 2),
        ]
        bars = [Bar("A", Instant(ts), value, value, value, value, None, "1m") for ts in (1, 2)]
        store.save([*quotes, *bars])
        for name, found in _readings(store, QUOTES):
            assert quotes == found, name
        assert bars == store.get_bars()
        assert store.save([quotes[0], bars[0]]).duplicate == 2, "the same number is not recognised"

    @holds(Contract.C5)
    def test_the_digits_of_decimals(self, store: DataStore) -> None:
        """The digits after the point that the store names hold every number; those before it, every number that lies in single rows."""
        numbers = ["12.5", "1234567", "0.0001", "-7.25"]
        store.save(
            [Bar("A", Instant(ts), number, number, number, number, None, "1m") for ts, number in enumerate(numbers)]
        )
        store.save([Quote("A", Instant(ts), f"1.{ts:05}", None) for ts in range(5_000)])
        bars, quotes = store.backend.digits(kind_of("bars")), store.backend.digits(QUOTES)
        assert bars["close"][0] >= 7
        assert bars["close"][1] >= 4
        assert quotes["bid"][1] >= 5
        assert (0, 0) == bars["volume"] == quotes["ask"]

    @holds(Contract.C5)
    def test_all_decimals_beside_each_other(self, store: DataStore) -> None:
        """Decimals of all scales in one column, in one batch, do not change each other."""
        quotes = [Quote("A", Instant(ts), Decimal(number), 1) for ts, number in enumerate(NUMBERS)]
        store.save(quotes)
        assert quotes == store.get_quotes()
        assert quotes == from_table(QUOTES, store.select(Quote).to_arrow("text"))

    @holds(Contract.C5)
    @pytest.mark.parametrize("settled", [False, True], ids=["as_written", "sealed"])
    def test_every_nanosecond_counts(self, store: DataStore, settled: bool) -> None:
        """Times come back to the nanosecond, the first and last there are too, and divide rows where they should."""
        quotes = [Quote("A", Instant(ts), 1, 2) for ts in TIMES]
        bars = [Bar("A", Instant(ts), 1, 1, 1, 1, 1, "1m") for ts in TIMES]
        store.save([*quotes[::-1], *bars])
        if settled:
            store.seal()
        assert (quotes, bars) == (store.get_quotes(), store.get_bars())
        for name, found in _readings(store, QUOTES):
            assert quotes == found, name
        for place, ts in enumerate(TIMES):
            assert quotes[place:] == store.get_quotes("A", ts)
            assert quotes[:place] == store.get_quotes("A", None, ts)

    @holds(Contract.C5)
    def test_a_name_too_long_for_a_key_is_refused(self, backend: StoreBackend) -> None:
        """A name that is longer than an index may hold is refused before anything is written, however it comes."""
        for record, field in (
            (Quote("A", Instant(1), 1, 2), "symbol"),
            (Position("A", 1, 1, 1, timestamp=Instant(1)), "account"),
            (Order("1", "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1)), "order_id"),
        ):
            table = to_table(kind_of(record), [record, record])
            name = pa.array(["A", "é" * (MAX_NAME + 1)])
            table = table.set_column(table.schema.get_field_index(field), field, name)
            with (
                pytest.raises(DataError, match="a name of 257 characters is too long") as raised,
                backend.transaction(origin="test") as batch,
            ):
                batch.write(kind_of(record), table)
            assert (field, 2) == (raised.value.field, raised.value.row)
        assert [] == list(backend.batches())

    @holds(Contract.C5)
    def test_names_are_kept(self, store: DataStore) -> None:
        """A symbol, an id or an account comes back as it is written, and names alone what has that name."""
        records: list[Any] = []
        for name in NAMES:
            records += [
                Quote(name, Instant(1), 1, 2),
                Trade("A", Instant(1), 1, 1, trade_id=name),
                Position("A", 1, 1, 1, timestamp=Instant(1), account=name),
                Position(name, 1, 1, 1, timestamp=Instant(2), account=name),
                Order(name, "A", 5, "buy", "market", timestamp=Instant(0), updated_at=Instant(1)),
                Fill("A", Instant(1), "buy", 1, 1, name, "1"),
                CashFlow(Instant(1), "fee", 1, "USD", name, transaction_id="1"),
            ]
        assert len(records) == store.save(records).inserted
        assert len(records) == store.save(records).duplicate
        for what in (Quote, Trade, Position, Order, Fill, CashFlow):
            expected = [record for record in records if isinstance(record, what)]
            found: list[Any] = store.select(what).to_list()
            assert {str(record): record for record in expected} == {str(record): record for record in found}
        for name in NAMES:
            assert [name] == [quote.symbol for quote in store.select(Quote, escape(name))]
            order = store.get_order(name)
            assert order is not None
            assert name == order.order_id

    @holds(Contract.C5)
    def test_texts_are_kept(self, store: DataStore) -> None:
        """Any text of a record comes back character for character."""
        quotes = [Quote("A", Instant(ts), 1, 2, conditions=text) for ts, text in enumerate(TEXTS)]
        trades = [Trade("A", Instant(ts), 1, 2, text, text[:4].strip() or None) for ts, text in enumerate(TEXTS)]
        store.save([*quotes, *trades])
        assert (quotes, trades) == (store.get_quotes(), store.get_trades())

    @holds(Contract.C5)
    @pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
    def test_a_whole_record_comes_back(self, store: DataStore, record: Any) -> None:
        """Every field of a record of each kind comes back, missing ones as missing."""
        store.save(record)
        assert [record] == store.select(type(record)).to_list()

    @holds(Contract.C5)
    @law(st.lists(own.records(), max_size=10))
    def test_what_goes_in_comes_out(self, fresh: Fresh, records: list[Any]) -> None:
        """Every record comes back equal, to the last decimal and nanosecond."""
        with fresh() as store:
            for number, record in enumerate(records):
                store.save(record)
                kind, symbol = kind_of(record), getattr(record, kind_of(record).subject)
                if kind.name == "orders":
                    found: list[Any] = [order] if (order := store.get_order(record.order_id, record.account)) else []
                    assert found
                    if found[0].updated_ns != record.updated_ns:
                        continue  # an older version of an order that is stored
                else:
                    part = store.select(
                        kind.name, escape(symbol), start=record.ts_ns, end=record.ts_ns + 1, **_key(record)
                    )
                    found = part.to_list()
                if (
                    kind.name not in {"quotes", "positions", "snapshots"}
                    and record not in found
                    and record in records[:number]
                ):
                    continue  # a version that was replaced before, delivered again
                if kind.name == "snapshots" and not record.positions:
                    record = evolve(record, positions=found[0].positions)  # noqa: PLW2901 - positions may be saved on their own
                assert record in found

    @holds(Contract.C5)
    @law(st.lists(own.quotes(symbol=st.just("A")), min_size=1, max_size=8))
    def test_arrow_is_as_exact(self, fresh: Fresh, quotes: list[Quote]) -> None:
        """Every form in which rows can be read holds the same values."""
        with fresh() as store:
            store.save(quotes)
            expected = store.get_quotes("A")
            for name, found in _readings(store, QUOTES):
                assert expected == found, name

    @holds(Contract.C5)
    @law(st.lists(own.quotes() | own.trades(), min_size=1, max_size=12), cost=4)
    def test_every_form_of_a_table_is_taken(self, fresh: Fresh, records: list[Any]) -> None:
        """Decimals given as Arrow decimals, as texts or as integers with a scale, and records, are stored as the same rows."""
        for kind in (QUOTES, TRADES):
            rows = [record for record in records if kind_of(record) is kind]
            if not rows:
                continue
            with fresh() as plain, fresh() as scaled, fresh() as texts, fresh() as few:
                plain.save(rows)
                expected = plain.select(kind).to_list()
                table = plain.select(kind).to_arrow("scaled")
                for store, form in ((scaled, table), (texts, _in_texts(kind, rows))):
                    with store.batch(origin="form") as batch:
                        batch.write(kind, form)
                with few.batch() as batch:
                    batch.write_records(kind, rows)
                for store in (scaled, texts, few):
                    assert expected == store.select(kind).to_list()
                assert table.equals(scaled.select(kind).to_arrow("scaled"))

    @holds(Contract.C5, Capability.UNDO, Capability.KNOWN_AT)
    @law(st.lists(own.records(), max_size=6))
    def test_the_history_is_as_exact(self, fresh: Fresh, records: list[Any]) -> None:
        """Values that went to the history and came back are equal to what they were."""
        kinds = (Quote, Trade, Bar, Position, Order, Fill, CorporateAction, CashFlow)
        with fresh() as store:
            number = store.save(records).batch
            at, before = store.batches()[0].recorded_ns, [store.select(what).to_list() for what in kinds]
            undone = store.undo(number).batch
            assert before == [store.select(what, as_known_at=at).to_list() for what in kinds]
            store.undo(undone)
            assert before == [store.select(what).to_list() for what in kinds]
