"""The data source of Spark: on Sail, which serves the Spark Connect protocol without a JVM."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("pyspark.sql.datasource", reason="pyspark-client is not installed")
    pytest.importorskip("pysail", reason="pysail is not installed")

from pyspark.sql import SparkSession
from pyspark.sql.datasource import (
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    InputPartition,
    IsNotNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringStartsWith,
)

import fpa_core
from fpa_core.arrow.columns import from_scaled
from fpa_core.arrow.interchange import interchange_schema
from fpa_core.exceptions import DataError, MissingDependencyError
from fpa_core.kinds import KINDS, QUOTES, TRADES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.store.partitions import Partition
from fpa_plugins import spark as plugin
from fpa_plugins.spark.filters import Conditions
from fpa_plugins.spark.source import FpaDataSource, FpaReader

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

ROWS = 1_000_000
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
BASE = 1_700_000_000_000_000_000
STEP = 1_000_001


def million() -> pa.Table:
    """Return trades of five symbols, each at a nanosecond of its own, with prices of two and sizes of eight digits after the point."""
    number = np.arange(ROWS)
    return pa.table(
        {
            "symbol": np.repeat(SYMBOLS, ROWS // len(SYMBOLS)),
            "timestamp": pa.array(BASE + number * STEP, pa.timestamp("ns", "UTC")),
            "price": from_scaled(pa.array(number % 9_973 + 1), 2),
            "size": from_scaled(pa.array(number % 7 + 1), 8),
        }
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of a million trades."""
    path = tmp_path_factory.mktemp("spark") / "trades.db"
    with fpa_core.open(path, environ={"FPA_VALIDATOR__LEVEL": "off"}) as data:
        assert ROWS == data.ingest(million(), kind="trades").inserted
    return path


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """Start Sail on a free port of this machine, and connect to it."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    try:
        host, port = server.listening_address
        spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
        plugin.register(spark)
        yield spark
        spark.stop()
    finally:
        server.stop()


def trades(session: SparkSession, path: Path, **options: Any) -> Any:
    reader = session.read.format("fpa").option("kind", "trades")
    for name, value in options.items():
        reader = reader.option(name, str(value))
    return reader.load(str(path))


def test_a_million_rows(session: SparkSession, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and counts of a million rows, read in four partitions, are those that one process computes."""
    read: list[int] = []
    original = Partition.read

    def counted(part: Partition, *args: Any, **kwargs: Any) -> Iterator[pa.RecordBatch]:
        read.append(0)
        place = len(read) - 1
        for batch in original(part, *args, **kwargs):
            read[place] += batch.num_rows
            yield batch

    monkeypatch.setattr(Partition, "read", counted)  # Sail runs in this process
    trades(session, database, partitions=4).createOrReplaceTempView("trades")
    sql = "SELECT symbol, count(*), sum(price), sum(size), min(ts_ns), max(ts_ns), min(timestamp) FROM trades GROUP BY 1 ORDER BY 1"
    found = session.sql(sql).collect()
    with fpa_core.open(database) as data:
        table = data.select(Trade).to_arrow()
    times = table.column("timestamp").cast(pa.int64())
    for symbol, row in zip(SYMBOLS, found, strict=True):
        mask = pc.equal(table.column("symbol"), symbol)
        own, own_times = table.filter(mask), times.filter(mask)
        assert (symbol, own.num_rows) == (row[0], row[1])
        assert pc.sum(own.column("price").cast(pa.decimal128(38, 18))).as_py() == row[2]
        assert pc.sum(own.column("size").cast(pa.decimal128(38, 18))).as_py() == row[3]
        assert (pc.min(own_times).as_py(), pc.max(own_times).as_py()) == (row[4], row[5])
        assert row[6].astimezone(dt.UTC) == dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(
            microseconds=row[4] // 1_000
        )
    assert 4 == len(read)
    assert ROWS == sum(read)
    assert max(read) < ROWS / 4 * 1.25


def test_filters_are_pushed_down(session: SparkSession, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan shows symbol and time in the scan, and no row is read that they exclude."""
    read: list[int] = []
    original = Partition.read

    def counted(part: Partition, *args: Any, **kwargs: Any) -> Iterator[pa.RecordBatch]:
        for batch in original(part, *args, **kwargs):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(Partition, "read", counted)
    first = 250_000
    start = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=(BASE + first * STEP) // 1_000)
    wanted = f"symbol = 'BBB' AND timestamp >= timestamp'{start.isoformat()}' AND ts_ns < {BASE + 300_000 * STEP}"
    frame = trades(session, database, partitions=4).where(wanted)
    assert 50_000 == frame.count()
    assert 50_000 == sum(read)
    plan = frame._explain_string(extended=True)
    scan = next(line for line in plan.splitlines() if "filters=[" in line)
    pushed = scan.partition("filters=[")[2]
    for column in ("symbol", "timestamp", "ts_ns"):
        assert column in pushed
    read.clear()
    assert ROWS // 5 == trades(session, database).where("symbol LIKE 'C%' AND symbol IN ('CCC', 'DDD')").count()
    assert ROWS // 5 == sum(read)


def test_every_column_is_exact(session: SparkSession, tmp_path: Path) -> None:
    """Rows come back equal: prices of any scale that fits, nanoseconds, missing values, and odd symbols."""
    quotes = [
        Quote("BRK.B", Instant(BASE + 1), "0.000000000000000001", None, "12345678901234567890", 1),
        Quote("É*'\"", Instant(-1), "-37.63", "1e-5", None, "0.1", bid_exchange="V", conditions="R,\nX"),
    ]
    with fpa_core.open(tmp_path / "q.db", environ={"FPA_VALIDATOR__LEVEL": "off"}) as data:
        data.store.save(quotes)
    frame = session.read.format("fpa").option("kind", "quotes").load(str(tmp_path / "q.db"))
    rows = [row.asDict() for row in frame.orderBy("ts_ns", ascending=False).collect()]
    for quote, row in zip(quotes, rows, strict=True):
        assert quote.ts_ns == row["ts_ns"]
        for name in ("symbol", "bid", "ask", "bid_size", "ask_size", "bid_exchange", "ask_exchange", "conditions"):
            assert getattr(quote, name) == row[name]


def test_problems_are_said(session: SparkSession, database: Path) -> None:
    """A missing or unknown option, and a scale that is too small are errors that say so."""

    def message(frame: Any) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # what Sail makes of ours
            frame().collect()
        return str(caught.value)

    assert "needs the option 'kind'" in message(lambda: session.read.format("fpa").load(str(database)))
    assert "has no option 'simbol'" in message(lambda: trades(session, database, simbol="A"))
    assert "does not fit a decimal" in message(lambda: trades(session, database, scale=4))


# Without a server


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "needs the option 'kind'"),
        ({"kind": "trade", "simbol": "A"}, "has no option 'simbol'"),
        ({"kind": "cats"}, "unknown kind of record"),
        ({"kind": "trades", "partitions": "many"}, "partitions: a whole number is needed"),
        ({"kind": "trades", "scale": "77"}, "a whole number from 0 to 38 is needed"),
    ],
)
def test_options_are_checked(options: dict[str, str], problem: str) -> None:
    """Options that are missing, unknown or invalid are refused before anything is read."""
    with pytest.raises(DataError, match=problem):
        FpaDataSource(options).schema()


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_in_the_words_of_spark(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For Spark the schema is a list of names and types, the same as in Arrow's words."""
    import sys

    monkeypatch.delitem(sys.modules, "pysail", raising=False)
    words = str(FpaDataSource({"kind": kind, "scale": "9"}).schema()).replace("DECIMAL(38, 9)", "decimal")
    types = dict(one.split(" ") for one in words.split(", "))
    for field in interchange_schema(KINDS[kind], 9):
        expected = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.decimal128(38, 9): "decimal"}
        assert expected.get(field.type, "TIMESTAMP") == types.pop(field.name)
    assert {} == types


def test_spark_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyspark, registering says how to install it."""
    import sys

    monkeypatch.setitem(sys.modules, "pyspark.sql.datasource", None)
    monkeypatch.delitem(sys.modules, "fpa_plugins.spark.source", raising=False)
    monkeypatch.delitem(sys.modules, "fpa_plugins.spark.filters", raising=False)
    with pytest.raises(MissingDependencyError, match=r"needs pyspark 4\.1 or newer"):
        plugin.register(object())


few_ns = st.integers(-3_000, 3_000)
times: st.SearchStrategy[Any] = st.one_of(
    st.integers(-3, 3).map(lambda n: dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=n)),
    st.integers(-3, 3),
)
comparisons = st.sampled_from([EqualTo, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual])
names = st.sampled_from(["A", "AB", "B*", "B", ""])
filters: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda make, value: make(("timestamp",), value), comparisons, times),
    st.builds(lambda make, value: make(("ts_ns",), value), comparisons, few_ns),
    st.builds(lambda value: EqualTo(("symbol",), value), names),
    st.builds(lambda values: In(("symbol",), tuple(values)), st.lists(names, max_size=3)),
    st.builds(lambda value: StringStartsWith(("symbol",), value), names),
    st.builds(lambda value: EqualTo(("bid_exchange",), value), st.sampled_from(["V", "W"])),
    st.sampled_from(
        [
            IsNotNull(("symbol",)),
            IsNotNull(("ts_ns",)),
            IsNotNull(("bid",)),
            Not(EqualTo(("symbol",), "A")),
            StringContains(("symbol",), "A"),
            EqualTo(("bid",), Decimal(1)),
            EqualTo(("symbol",), 3),
            EqualTo(("timestamp",), dt.datetime(1970, 1, 1)),  # noqa: DTZ001  # of no known zone
            GreaterThan(("timestamp",), dt.datetime(9999, 1, 1, tzinfo=dt.UTC)),
            EqualTo(("nested", "symbol"), "A"),
            EqualTo(("unknown",), "A"),
        ]
    ),
)
quotes = st.lists(
    st.builds(
        lambda symbol, ts, exchange: Quote(symbol, Instant(ts), 1, 2, bid_exchange=exchange),
        st.sampled_from(["A", "AB", "B*", "B"]),
        few_ns,
        st.sampled_from(["V", "W", None]),
    ),
    max_size=30,
)


def holds(condition: Filter, quote: Quote) -> bool:
    """Return whether a row fits a filter that was taken over, by Spark's own meaning."""
    (name,) = condition.attribute
    own: Any = getattr(quote, name, None)
    if name == "timestamp":
        own = quote.ts_ns // 1_000
    if isinstance(condition, IsNotNull):
        return own is not None
    value: Any = condition.value
    if isinstance(value, dt.datetime):
        value = (value - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
    tests = {
        EqualTo: lambda: own == value,
        In: lambda: own in value,
        GreaterThan: lambda: own > value,
        GreaterThanOrEqual: lambda: own >= value,
        LessThan: lambda: own < value,
        LessThanOrEqual: lambda: own <= value,
        StringStartsWith: lambda: own.startswith(value),
    }
    return bool(tests[type(condition)]())


@given(quotes, st.lists(filters, max_size=4))
def test_filters_that_are_taken_over_hold(
    tmp_path_factory: pytest.TempPathFactory, records: list[Quote], asked: list[Filter]
) -> None:
    """What is read are exactly the rows that fit the filters that were taken over; the others are given back."""
    path = tmp_path_factory.mktemp("filters") / "q.db"
    with fpa_core.open(path, environ={"FPA_VALIDATOR__LEVEL": "off"}, store__synchronous="normal") as data:
        data.store.save(records)
        stored = data.store.get_quotes()
    source = FpaDataSource({"kind": "quotes", "path": str(path), "partitions": "3"})
    reader: FpaReader = source.reader(None)
    left = list(reader.pushFilters(asked))
    taken = [one for one in asked if not any(one is other for other in left)]
    table = pa.Table.from_batches([batch for part in reader.partitions() for batch in reader.read(part)])
    expected = [quote for quote in stored if all(holds(one, quote) for one in taken)]
    assert [(quote.symbol, quote.ts_ns) for quote in expected] == list(
        zip(table.column("symbol").to_pylist(), table.column("ts_ns").to_pylist(), strict=True)
    )


def test_what_the_reading_names_is_not_widened(tmp_path: Path) -> None:
    """A symbol or a time that the options name stays in force beside pushed filters."""
    with fpa_core.open(tmp_path / "q.db") as data:
        data.store.save([Quote(symbol, Instant(n), 1, 2) for symbol in "AB" for n in range(10)])
    options = {
        "kind": "quotes",
        "path": str(tmp_path / "q.db"),
        "symbol": "A*",
        "start": "1970-01-01T00:00:00.000000004Z",
    }
    reader = FpaDataSource(options).reader(None)
    asked = [EqualTo(("symbol",), "B"), GreaterThan(("ts_ns",), 1), LessThan(("ts_ns",), 7)]
    assert [asked[0]] == list(reader.pushFilters(asked))
    found = [row for part in reader.partitions() for batch in reader.read(part) for row in batch.to_pylist()]
    assert [("A", 4), ("A", 5), ("A", 6)] == [(row["symbol"], row["ts_ns"]) for row in found]


def test_no_rows(tmp_path: Path) -> None:
    """A reading without rows is one empty partition, which some engines need."""
    with fpa_core.open(tmp_path / "q.db"):
        pass
    reader = FpaDataSource({"kind": "trades", "path": str(tmp_path / "q.db")}).reader(None)
    (part,) = reader.partitions()
    assert isinstance(part, InputPartition)
    assert [0] == [batch.num_rows for batch in reader.read(part)]
    conditions = Conditions(TRADES)
    assert conditions.take(EqualTo(("side",), "buy"))
    assert conditions.take(EqualTo(("side",), "sell"))
    assert conditions.nothing
    assert not Conditions(QUOTES).nothing
