"""SQL over the store: what a query sees, reads and refuses."""

import datetime as dt
import json
import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fpa_core
from fpa_core import Bar, DataError, PortfolioSnapshot, Quote, Trade
from fpa_core.arrow import decimals
from fpa_core.engine.catalog import SEGMENT_ROWS
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import KINDS, QUOTES
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import InventoryEntry, Query
from fpa_core.sql.layout import Layout
from fpa_core.sql.pruning import admitted, fields_of

pytest.importorskip("duckdb")

DAY = "2024-05-01T"


def quotes(symbol, count, *, start=f"{DAY}14:00:00Z", bid="100.25", step_ns=1_000_000_000):
    begin = to_ns(start)
    return [
        Quote(symbol, begin + i * step_ns, Decimal(bid) + Decimal(i % 7) / 100, Decimal(bid) + 1, 100, 200)
        for i in range(count)
    ]


@pytest.fixture(params=["sqlite", "memory"])
def data(request, tmp_path):
    """Open a layer over each store; the rows of a batch of 3,000 and more lie in segments."""
    config = (
        {"store": {"backend": request.param}}
        if request.param == "memory"
        else {"store": {"path": str(tmp_path / "p.db")}}
    )
    with fpa_core.open(config=config) as layer:
        yield layer


@pytest.fixture
def filled(data):
    data.store.save([*quotes("AAPL", 5_000), *quotes("MSFT", 4_000, bid="400.5")])
    data.store.save(quotes("AAPL", 3, start=f"{DAY}14:00:00.5Z", bid="7.125"))  # hot rows among the sealed
    data.store.save(quotes("ZZZ", 2, bid="0.0001"))
    return data


def asked(data, query, parameters=None):
    return [tuple(row.values()) for row in data.sql(query, parameters).to_list()]


class Spy:
    """A store that notes what is read from it."""

    def __init__(self, inner):
        self.inner = inner
        self.scans = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def scan(self, query, rows=16_384, *, columns=None, scaled=False):
        self.scans.append((query, columns))
        return self.inner.scan(query, rows, columns=columns, scaled=scaled)


@pytest.fixture
def spy(filled):
    relations = filled._components.sql.relations
    relations.backend = Spy(relations.backend)
    return relations.backend


class TestAnswers:
    def test_sealed_and_hot_rows_are_counted_alike(self, filled):
        """A query sees every row, wherever it lies."""
        assert [("AAPL", 5_003), ("MSFT", 4_000), ("ZZZ", 2)] == asked(
            filled, "select symbol, count(*) from quotes group by 1 order by 1"
        )

    def test_sums_are_exact(self, filled):
        """The sum of a column is that of its decimals, to the last digit of the finest row."""
        expected = sum(quote.bid for quote in filled.select(Quote))
        assert [(expected,)] == asked(filled, "select sum(bid) from quotes")

    def test_times_are_exact_in_nanoseconds_and_rounded_down_in_microseconds(self, data):
        """ts_ns is what was stored; timestamp lies at or before it, before 1970 too."""
        times = [-1, 0, 1_714_570_200_642_028_173]
        data.store.save([Quote("A", ns_text(ns), 1, 2) for ns in times])
        found = asked(data, "select ts_ns, epoch_us(timestamp) from quotes order by 1")
        assert found == [(ns, ns // 1_000) for ns in times]

    @pytest.mark.parametrize("kind", KINDS.values(), ids=str)
    def test_every_kind_is_a_table_even_if_empty(self, data, kind):
        """All kinds can be asked."""
        assert [(0,)] == asked(data, f"select count(*) from {kind.name}")

    def test_joins_and_parameters(self, filled):
        """Tables are joined in one query, and values bound to it."""
        filled.store.save([Trade("AAPL", f"{DAY}14:00:10.2Z", "100.3", 10)])
        query = """
            select t.price, q.bid from trades t asof join quotes q on t.symbol = q.symbol and t.ts_ns >= q.ts_ns where t.symbol = ?
        """
        assert [(Decimal("100.300"), Decimal("100.2800"))] == [
            (price.quantize(Decimal("0.001")), bid) for price, bid in asked(filled, query, ["AAPL"])
        ]
        assert [(2,)] == asked(filled, "select count(*) from quotes where symbol = $name", {"name": "ZZZ"})

    def test_new_rows_are_seen_by_the_next_reading(self, filled):
        """An answer is computed when it is read, from the store as it is then, with decimals that hold what came."""
        answer = filled.sql("select count(*) n, max(bid) high from quotes where symbol = 'NEW'")
        assert [{"n": 0, "high": None}] == answer.to_list()
        filled.store.save([Quote("NEW", f"{DAY}15:00:00Z", "1.123456789", "2")])
        assert [{"n": 1, "high": Decimal("1.123456789")}] == answer.to_list()

    def test_text_and_missing_values(self, data):
        """Null is null, and texts are texts."""
        data.store.save(
            [Trade("A", f"{DAY}14:00:00Z", "1", "2", exchange="N"), Trade("A", f"{DAY}14:00:01Z", "1", "2")]
        )
        assert [(1, 2)] == asked(data, "select count(exchange), count(*) from trades")

    def test_days_of_a_time_zone(self, data):
        """Times are in UTC until a query asks for another zone."""
        data.store.save([Quote("A", "2024-05-01T02:00:00Z", 1, 2)])
        assert [(dt.datetime.fromisoformat("2024-04-30T22:00:00"), "2024-05-01 02:00:00+00")] == asked(
            data, "select timestamp at time zone 'America/New_York', timestamp::varchar from quotes"
        )


class TestDecimals:
    def test_a_number_wider_than_estimated_is_read_with_wide_decimals(self, data):
        """Of segments whose numbers are differences only an estimate is known; a number beyond it begins the query anew."""
        rows = quotes("A", 4_000, bid="1")
        tail = [
            evolve(row, bid=Decimal(10) ** 13 + i, ask=Decimal(10) ** 13 + i)
            for i, row in enumerate(quotes("A", 4_000, start=f"{DAY}16:00:00Z"))
        ]
        data.store.save([*rows, *tail])
        assert [(tail[-1].ask,)] == asked(data, "select max(ask) from quotes")

    def test_many_digits(self, data):
        """38 digits are exact."""
        bid = Decimal("12345678901234567890.123456789012345678")
        data.store.save([Quote("A", f"{DAY}14:00:00Z", bid, bid + 1)])
        assert [(bid,)] == asked(data, "select max(bid) from quotes")

    def test_numbers_that_sql_cannot_hold_are_refused(self, data):
        """A number of more digits is an error that names the column, never rounded; other columns can be asked."""
        data.store.save(
            [
                Quote("A", f"{DAY}14:00:00Z", "1" + "0" * 30, "2" + "0" * 30),
                Quote("A", f"{DAY}14:00:01Z", "0." + "0" * 20 + "1", 1),
            ]
        )
        with pytest.raises(DataError, match=r"quotes\.bid has numbers with 31 digits before"):
            data.sql("select max(bid) from quotes").to_list()
        assert [(2,)] == asked(data, "select count(*) from quotes")

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        values=st.lists(
            st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12),
            min_size=1,
        )
    )
    def test_any_decimals_come_out_equal(self, values):
        """What a query returns is what was stored."""
        with fpa_core.open(":memory:") as layer:
            layer.store.save([Trade("A", to_ns(f"{DAY}14:00:00Z") + i, value, 1) for i, value in enumerate(values)])
            assert values == [row[0] for row in asked(layer, "select price from trades order by ts_ns")]


class TestPushdown:
    def test_only_the_columns_of_the_query_are_read(self, filled, spy):
        """Other columns are not decoded."""
        asked(filled, "select avg(bid) from quotes where symbol = 'AAPL'")
        assert [columns for _, columns in spy.scans] == [["bid"]]

    def test_only_its_symbols_and_its_time_are_read(self, filled, spy):
        """Conditions on symbol and time bound what is read of the store."""
        query = f"select count(*) from quotes where symbol in ('AAPL', 'ZZZ') and timestamp >= '{DAY}14:10:00Z' and timestamp < '{DAY}14:20:00Z'"
        assert [(600,)] == asked(filled, query)
        ((query, _),) = spy.scans
        assert query.subjects == ("AAPL", "ZZZ")
        assert (query.start_ns, query.end_ns) == (to_ns(f"{DAY}14:10:00Z"), to_ns(f"{DAY}14:20:00Z"))

    def test_exact_nanoseconds_bound_it_too(self, filled, spy):
        """A condition on ts_ns is used, and holds to the nanosecond."""
        start = to_ns(f"{DAY}14:10:00Z")
        assert [(4,)] == asked(
            filled,
            f"select count(*) from quotes where symbol = 'MSFT' and ts_ns > {start} and ts_ns <= {start + 4 * 10**9}",
        )
        ((query, _),) = spy.scans
        assert query.start_ns >= start
        assert query.end_ns <= start + 4 * 10**9 + 1_000

    def test_nothing_is_read_for_an_unknown_symbol(self, filled, spy):
        """If no symbol can satisfy it, the store is not read."""
        assert [(0,)] == asked(filled, "select count(*) from quotes where symbol = 'NONE'")
        assert spy.scans == []

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_pruning_loses_no_row(self, drawn):
        """Whatever the condition: a row that satisfies it is among those admitted; of those admitted as a whole, all satisfy it."""
        base = to_ns(f"{DAY}14:00:00Z")
        layout = Layout.of(QUOTES, dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), (5, 2)))
        rows = drawn.draw(
            st.lists(
                st.tuples(st.sampled_from("ABCDE"), st.integers(-5_000, 5_000), st.none() | st.integers(0, 9)),
                min_size=1,
                max_size=20,
            )
        )
        symbol, time, ns, bid = (pa.dataset.field(name) for name in ("symbol", "timestamp", "ts_ns", "bid"))
        micro = st.integers(-6, 6).map(lambda us: pa.scalar(base // 1_000 + us, pa.timestamp("us", "UTC")))
        nano = st.integers(-6_000, 6_000).map(lambda more: base + more)
        leaf = st.one_of(
            st.sampled_from("ABCDEF").map(lambda one: symbol == one),
            st.sampled_from("ABCDEF").map(lambda one: symbol >= one),
            st.lists(st.sampled_from("ABCDEF"), min_size=1).map(symbol.isin),
            micro.map(lambda one: time >= one),
            micro.map(lambda one: time < one),
            nano.map(lambda one: ns <= one),
            nano.map(lambda one: ns > one),
            st.integers(0, 9).map(lambda one: bid > pa.scalar(Decimal(one), pa.decimal64(17, 2))),
            st.just(bid.is_valid()),
        )
        condition = drawn.draw(
            st.recursive(
                leaf,
                lambda inner: st.one_of(
                    st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
                    st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
                    inner.map(lambda one: ~one),
                ),
                max_leaves=6,
            )
        )
        by_symbol = {}
        for name, offset, _ in rows:
            by_symbol.setdefault(name, []).append(base + offset)
        entries = [
            InventoryEntry("quotes", name, len(found), min(found), max(found))
            for name, found in sorted(by_symbol.items())
        ]
        table = pa.table(
            {
                "symbol": [name for name, _, _ in rows],
                "timestamp": pa.array([(base + offset) // 1_000 for _, offset, _ in rows], pa.timestamp("us", "UTC")),
                "ts_ns": pa.array([base + offset for _, offset, _ in rows], pa.int64()),
                "bid": pa.array([value for _, _, value in rows], pa.decimal64(17, 2)),
            }
        )
        satisfying = table.filter(condition).num_rows
        found = admitted(condition, layout.schema, QUOTES, entries)
        if found is None:
            assert satisfying == 0
            return
        query = found.query
        inside = [
            index
            for index, (name, offset, _) in enumerate(rows)
            if (query.subjects is None or name in query.subjects) and query.start_ns <= base + offset < query.end_ns
        ]
        kept = table.take(pa.array(inside, pa.int64()))
        assert kept.filter(condition).num_rows == satisfying
        assert not found.whole or kept.num_rows == satisfying
        assert fields_of(condition, layout.schema) <= {"symbol", "timestamp", "ts_ns", "bid"}


class TestRefusals:
    @pytest.mark.parametrize(
        "query",
        [
            "create table a as select 1",
            "insert into quotes values ('A')",
            "delete from quotes",
            "attach 'other.db'",
            "copy quotes to 'out.csv'",
            "set enable_external_access = true",
            "install httpfs",
            "pragma version",
            "select 1; select 2",
            "",
            "selct 1",
        ],
    )
    def test_only_one_statement_that_reads(self, data, query):
        """What writes, attaches or sets is refused before anything runs."""
        with pytest.raises(DataError):
            data.sql(query)

    @pytest.mark.parametrize(
        "query",
        [
            "select * from read_csv('/etc/hosts')",
            "select * from 'some.parquet'",
            "select * from glob('/*')",
            "select * from read_text('/etc/hosts')",
            "select * from secret",
            "explain analyze copy (select 1) to 'out.csv'",
            "with w as (insert into quotes values ('A') returning 1) select * from w",
        ],
    )
    def test_no_file_and_no_variable_of_the_program(self, data, query, tmp_path, monkeypatch):
        """A query reads the kinds and nothing else, and makes no file."""
        monkeypatch.chdir(tmp_path)
        secret = pa.table({"x": [1]})
        with pytest.raises(DataError):
            data.sql(query).to_list()
        assert secret.num_rows
        assert not (tmp_path / "out.csv").exists()

    def test_an_unknown_table_is_answered_with_the_tables(self, data):
        """The hint lists them."""
        with pytest.raises(DataError, match="quote does not exist") as caught:
            data.sql("select * from quote").to_list()
        assert "quotes" in caught.value.hint

    def test_errors_of_the_store_are_raised_as_they_are(self, filled):
        """What ends a reading of the store is not hidden in an error of DuckDB."""
        failing = filled._components.sql.relations
        broken = CorruptionError("the disk is broken", operation="read")

        class Broken(Spy):
            def scan(self, *_, **__):
                raise broken

        failing.backend = Broken(failing.backend)
        with pytest.raises(CorruptionError) as caught:
            filled.sql("select max(bid) from quotes").to_list()
        assert caught.value is broken


class TestConnections:
    def test_a_connection_is_used_again(self, filled):
        """Queries one after the other share a connection; readings at the same time do not."""
        connections = filled._components.sql
        first, second = (iter(filled.sql("select symbol from quotes").batches(100)) for _ in range(2))
        assert next(first).num_rows == next(second).num_rows == 100
        assert connections._idle == []
        assert sum(batch.num_rows for batch in first) == sum(batch.num_rows for batch in second) == 8_905
        kept = list(connections._idle)
        assert len(kept) == 2
        assert [(9_005,)] == asked(filled, "select count(*) from quotes")
        assert kept == connections._idle

    def test_a_connection_whose_query_failed_or_was_left_is_not(self, filled):
        """What a failed or abandoned query leaves behind reaches no other query."""
        connections = filled._components.sql
        batches = iter(filled.sql("select symbol from quotes").batches(100))
        next(batches)
        batches.close()
        with pytest.raises(DataError):
            filled.sql("select bid / symbol from quotes").to_arrow()
        assert len(connections._idle) <= 1
        assert [(9_005,)] == asked(filled, "select count(*) from quotes")

    def test_threads_ask_at_once(self, filled):
        """Each thread gets the answer to its own question."""
        names = ["AAPL", "MSFT", "ZZZ"] * 6
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda name: asked(filled, "select count(*) from quotes where symbol = ?", [name]), names)
        assert list(found) == [[(5_003,)], [(4_000,)], [(2,)]] * 6

    def test_a_closed_layer_keeps_none(self, filled):
        """Closing the layer closes the connections."""
        asked(filled, "select 1")
        connections = filled._components.sql
        filled.close()
        assert connections._idle == []


class TestLargeBatches:
    @pytest.mark.parametrize("read_cache", [0, 10**7])
    def test_joined_segments_are_the_same_rows(self, tmp_path, read_cache):
        """Segments read together give what they give one by one: with gaps, texts, several scales and a symbol that has hot rows."""
        config = {"store": {"path": str(tmp_path / "p.db"), "read_cache": read_cache}}
        with fpa_core.open(config=config) as data:
            data.store.save(quotes("A", 17_000))
            data.store.save(quotes("A", 2_100, start="2024-05-03T00:00:00Z", bid="0.0001"))
            data.store.save([*quotes("B", 2_100), *quotes("C", 2_100)])
            lacking = [evolve(quote, bid=None) for quote in quotes("C", 2_100, start="2024-05-03T00:00:00Z")]
            long = [evolve(quote, bid=Decimal("1e-30")) for quote in quotes("C", 2_100, start="2024-05-05T00:00:00Z")]
            data.store.save(lacking)
            data.store.save(long)
            data.store.save(quotes("B", 3, start=f"{DAY}14:00:00.5Z"))
            backend, names = data.store.backend, ["symbol", "timestamp", "bid", "bid_size"]

            def rows(at_once):
                batches = list(backend.scan(Query(QUOTES), at_once, columns=names, scaled=True))
                table = decimals.table_of(QUOTES, names, batches, "text")
                return [batch.num_rows for batch in batches], table.combine_chunks()

            sizes, one_by_one = rows(SEGMENT_ROWS)
            assert max(sizes) <= SEGMENT_ROWS
            for _ in range(2):  # from the store, then from memory
                sizes, joined = rows(65_536)
                assert SEGMENT_ROWS < max(sizes) <= 65_536
                assert joined.equals(one_by_one)

    def test_columns_in_memory_are_narrow_and_bounded(self, tmp_path):
        """Columns of many segments stay in memory as narrow as they are stored, within what is allowed, and are not read twice."""
        for allowed in (10**6, 6_000, 0):
            config = {"store": {"path": str(tmp_path / f"{allowed}.db"), "read_cache": allowed}}
            with fpa_core.open(config=config) as data:
                data.store.save([*quotes("A", 4_000), *quotes("B", 4_000)])
                data.store.seal()
                kept = data.store.backend._segments.kept
                asked(data, "select symbol, sum(bid) from quotes group by 1")
                first = kept()
                weight = sum(one.weight for one in first)
                assert min(allowed, 1) <= weight <= min(allowed, 8_100)  # a byte for each number
                asked(data, "select symbol, sum(bid) from quotes group by 1")
                assert first == kept()


class TestForms:
    def test_frames_have_floats_unless_asked(self, filled):
        """Frames are for calculating; exact forms are by name."""
        answer = filled.sql("select bid from quotes where symbol = 'ZZZ' order by ts_ns")
        assert answer.to_pandas()["bid"].tolist() == [0.0001, 0.0101]
        assert answer.to_pandas(numeric="decimal")["bid"].tolist() == [Decimal("0.0001"), Decimal("0.0101")]
        assert str(answer.to_pandas(numeric="arrow")["bid"].dtype).startswith("decimal128")
        assert answer.to_polars()["bid"].to_list() == [0.0001, 0.0101]
        assert answer.to_polars(numeric="decimal")["bid"].to_list() == [Decimal("0.0001"), Decimal("0.0101")]
        with pytest.raises(DataError, match="numeric"):
            answer.to_pandas(numeric="floats")

    def test_files(self, filled, tmp_path):
        """An answer is written exactly; the name says the format."""
        answer = filled.sql(
            "select symbol, sum(bid) total, max(timestamp) last, true ok from quotes where symbol = 'ZZZ' group by 1"
        )
        assert answer.write(tmp_path / "x.csv") == 1
        assert (tmp_path / "x.csv").read_text() == f"symbol,total,last,ok\nZZZ,0.0102,{DAY}14:00:01Z,true\n"
        assert answer.write(tmp_path / "x.jsonl") == 1
        assert json.loads((tmp_path / "x.jsonl").read_text()) == {
            "symbol": "ZZZ",
            "total": "0.0102",
            "last": f"{DAY}14:00:01Z",
            "ok": True,
        }
        assert answer.write(tmp_path / "x.parquet") == 1
        assert pa.parquet.read_table(tmp_path / "x.parquet").column("total").to_pylist() == [Decimal("0.0102")]
        with pytest.raises(DataError, match="the format of"):
            answer.write(tmp_path / "x.xml")

    def test_streams(self, filled):
        """What reads Arrow reads an answer; batches come as they are computed."""
        answer = filled.sql("select symbol, bid from quotes")
        assert pa.table(answer).num_rows == 9_005
        assert sum(batch.num_rows for batch in answer.batches()) == 9_005

    def test_a_reading_that_is_left_leaves_nothing_open(self, filled):
        """The store can be written and closed after a few rows were taken."""
        reader = filled.sql("select * from quotes").reader(100)
        assert reader.read_next_batch().num_rows
        del reader
        filled.store.save(quotes("LATE", 1))
        assert [(1,)] == asked(filled, "select count(*) from quotes where symbol = 'LATE'")


def _count(path):
    with fpa_core.open(path) as layer:
        return asked(layer, "select count(*) from quotes")


def test_several_processes_at_once(tmp_path):
    """Other processes ask while one has the database open for writing."""
    path = tmp_path / "p.db"
    with fpa_core.open(path) as data:
        data.store.save(quotes("A", 3_000))
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            assert [[(3_000,)]] * 4 == pool.map(_count, [path] * 4)
        data.store.save(
            [Bar("A", f"{DAY}14:00:00Z", 1, 2, 1, 2, 10, interval="1m"), PortfolioSnapshot(f"{DAY}20:00:00Z", 1, 1, 1)]
        )
        assert [(1,)] == asked(data, "select count(*) from bars")


def test_a_tool_of_sqlite_is_told_where_rows_are(tmp_path):
    """Who opens the file elsewhere finds views that say how many rows lie in segments, and how to read them."""
    path = tmp_path / "p.db"
    with fpa_core.open(path) as data:
        data.store.save(quotes("A", 5_000))
        data.store.save(quotes("A", 1, start=f"{DAY}10:00:00Z"))
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    found = connection.execute(
        "select * from read_me_most_quotes_and_trades_are_in_segments where kind = 'quotes'"
    ).fetchall()
    by_symbol = connection.execute("select kind, symbol, rows, first_ns, in_segments from rows_by_symbol").fetchall()
    connection.close()
    assert [("quotes", 1, 5_000)] == [row[:3] for row in found]
    assert "fpa sql" in found[0][3]
    assert [("quotes", "A", 5_001, to_ns(f"{DAY}10:00:00Z"), 5_000)] == by_symbol
