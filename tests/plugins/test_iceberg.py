"""Publishing to Iceberg: the table is what the store holds, whatever happened before and in between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import strategies as own
from attrs import astuple
from hypothesis import given
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("pyiceberg.catalog.sql", reason="pyiceberg with its SQL catalog is not installed")

import polars as pl
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

import fpa_core
from fpa_core.arrow.columns import from_scaled
from fpa_core.arrow.digest import RowDigest
from fpa_core.arrow.interchange import interchange_schema
from fpa_core.cli.main import main
from fpa_core.exceptions import (
    CorruptionError,
    DatabaseBusyError,
    DatabaseError,
    DataError,
    MissingDependencyError,
    SchemaError,
)
from fpa_core.kinds import BARS, KINDS, QUOTES, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import MAX_NS, Instant
from fpa_core.publish import Publication, publish, published_kinds
from fpa_core.store import DataStore
from fpa_plugins.iceberg import plugin
from fpa_plugins.iceberg.lake import IcebergLake
from fpa_plugins.iceberg.plugin import IcebergOptions
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

BASE = 1_700_000_000_000_000_000


def opened(path: Path, **options: Any) -> DataStore:
    return DataStore(open_store(SqliteOptions(path=path, synchronous="normal", **options)))


def lake_at(folder: Path, **options: Any) -> IcebergLake:
    return IcebergLake(IcebergOptions(folder=folder, **options))


@contextlib.contextmanager
def both(folder: Path | None = None) -> Iterator[tuple[DataStore, IcebergLake]]:
    """Lend an empty store and an empty lake."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        store = stack.enter_context(opened(folder / "store.db", seal_rows=None))
        yield store, stack.enter_context(contextlib.closing(lake_at(folder / "lake")))


def content(lake: IcebergLake, kind: str = "quotes") -> pa.Table:
    """Return the rows of a table as pyiceberg reads them, by symbol and time."""
    table = lake._catalog.load_table(("fpa", kind))
    return table.scan().to_arrow()


def rows(lake: IcebergLake) -> list[tuple[Any, ...]]:
    names = ["symbol", "ts_ns", "bid", "ask"]
    return sorted(zip(*(content(lake).column(name).to_pylist() for name in names), strict=True), key=repr)


def stored(store: DataStore) -> list[tuple[Any, ...]]:
    quotes = store.get_quotes()
    scale = Decimal(1).scaleb(-18)
    found = [(quote.symbol, quote.ts_ns, quote.bid, quote.ask) for quote in quotes]
    return sorted(
        (tuple(one.quantize(scale) if isinstance(one, Decimal) else one for one in row) for row in found), key=repr
    )


# What is in the table


def fits(value: Decimal | None) -> bool:
    """Return whether a decimal of 38 digits with 18 after the point holds a value."""
    scaled = Decimal(0) if value is None else value.scaleb(18)
    return scaled == scaled.to_integral_value() and abs(scaled) < Decimal(10) ** 38


@own.costly(3)
@given(st.lists(own.quotes(), max_size=12), st.lists(own.quotes(), max_size=6))
def test_any_rows(first: list[Quote], second: list[Quote]) -> None:
    """Rows of any symbol, time and price are in the table to the last digit and nanosecond, or it says that a price does not fit and stays as it was."""
    with both() as (store, lake):
        before: list[Any] = []
        for quotes in (first, second):
            store.save(quotes)
            try:
                publish(store, lake, QUOTES, file_rows=3)
            except DataError:
                assert not all(fits(price) for quote in store.get_quotes() for price in astuple(quote)[2:6])
                assert before == rows(lake)
                return
            found, before = content(lake), rows(lake)
            expected = {(q.symbol, q.ts_ns, q.bid, q.ask, q.bid_size, q.conditions) for q in store.get_quotes()}
            names = ["symbol", "ts_ns", "bid", "ask", "bid_size", "conditions"]
            assert expected == set(zip(*(found.column(name).to_pylist() for name in names), strict=True))
            times = found.column("timestamp").cast(pa.int64()).to_pylist()
            assert [ns // 1_000 for ns in found.column("ts_ns").to_pylist()] == times


@own.costly(3)
@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=4))
def test_versions(batches: list[list[int]]) -> None:
    """Bars that are revised, and move into the table in several publications, are there in their last version."""
    with both() as (store, lake):
        for number, minutes in enumerate(batches):
            store.save([Bar("A", Instant(60 * 10**9 * m), 1, 9, 1, 2, number, "1m") for m in minutes])
            publish(store, lake, BARS, file_rows=4, verify=True)
        if batches:
            found = content(lake, "bars")
            expected = {bar.ts_ns: bar.volume for bar in store.get_bars()}
            assert expected == dict(
                zip(found.column("ts_ns").to_pylist(), found.column("volume").to_pylist(), strict=True)
            )
            assert len(expected) == found.num_rows


@given(st.lists(own.quotes(), max_size=20), st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 19))
def test_digests(quotes: list[Quote], sizes: list[int], changed: int) -> None:
    """A digest is the same however rows are cut into batches, and another one as soon as a value, or what is missing, differs."""
    from fpa_core.arrow import decimals
    from fpa_core.arrow.conversion import to_table
    from fpa_core.arrow.interchange import conform

    schema = interchange_schema(QUOTES, 18)
    try:
        batches = [
            conform(QUOTES, decimals.narrowed(QUOTES, batch), schema) for batch in to_table(QUOTES, quotes).to_batches()
        ]
    except DataError:
        return
    whole = pa.Table.from_batches(batches, schema)
    once, cut = RowDigest(schema), RowDigest(schema)
    for batch in whole.combine_chunks().to_batches():
        once.add(batch)
    place = 0
    while place < whole.num_rows:
        size = sizes[place % len(sizes)]
        for batch in whole.slice(place, size).to_batches():
            cut.add(batch)
        place += size
    assert (once.hexdigest(), once.rows) == (cut.hexdigest(), cut.rows)
    if quotes:
        row = changed % len(quotes)
        for name in schema.names:
            values = whole.column(name).to_pylist()
            field = schema.field(name)
            if pa.types.is_timestamp(field.type):
                continue  # as ts_ns
            others = {pa.string(): ("?", "!"), pa.int64(): (7, 8)}.get(field.type, (None, Decimal(0)))
            other = [*values[:row], next(one for one in others if one != values[row]), *values[row + 1 :]]
            table = whole.set_column(
                schema.get_field_index(name), field.with_nullable(True), pa.array(other, field.type)
            )
            different = RowDigest(table.schema)
            for batch in table.combine_chunks().to_batches():
                different.add(batch)
            assert once.hexdigest() != different.hexdigest(), name


# Many rows, in eight files

ROWS, SYMBOLS = 400_000, ("AAPL", "BRK.B", "MSFT", "SPY")


def many() -> pa.Table:
    number = np.arange(ROWS)
    return pa.table(
        {
            "symbol": pa.array(np.array(SYMBOLS)[number % len(SYMBOLS)]),
            "timestamp": pa.array(BASE + number * 1_000_001, pa.timestamp("ns", "UTC")),
            "price": from_scaled(pa.array(number % 99_991 + 1), 4),
            "size": from_scaled(pa.array(number % 7 + 1), 8),
            "trade_id": pa.array(number).cast(pa.string()),
            "exchange": pa.array(np.array(["N", "Q"])[number % 2]),
        }
    )


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of many trades, and a configuration for it."""
    folder = tmp_path_factory.mktemp("big")
    (folder / "fpa.toml").write_text(
        '[store]\npath = "store.db"\n[validator]\nlevel = "off"\n[lakes.iceberg]\nfolder = "lake"\n'
    )
    with fpa_core.open(folder) as data:
        assert ROWS == data.ingest(many(), kind="trades").inserted
    return folder


def command(folder: Path, *arguments: str) -> list[str]:
    arguments = ("--file-rows", str(ROWS // 8), *arguments)
    return [sys.executable, "-m", "fpa_core", "--config", str(folder / "fpa.toml"), "publish", "--to", "iceberg", "trades", *arguments]  # fmt: skip


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(command(folder, "--json", *arguments), capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    (table,) = json.loads(done.stdout)["results"]
    return table


def check_equal(folder: Path) -> None:
    """Compare the table, as Polars reads it, with the store."""
    with contextlib.closing(lake_at(folder / "lake")) as lake:
        location = lake._catalog.load_table(("fpa", "trades")).metadata_location
    columns = [
        pl.col("symbol"),
        pl.col("ts_ns"),
        pl.col("price"),
        pl.col("size"),
        pl.col("trade_id"),
        pl.col("exchange"),
    ]
    found = pl.scan_iceberg(location).select(columns).collect().sort("symbol", "ts_ns").to_arrow()
    with opened(folder / "store.db") as store:
        expected = store.select(Trade).to_arrow()
    assert expected.num_rows == found.num_rows == ROWS
    times = expected.column("timestamp").cast(pa.int64())
    assert pc.all(pc.equal(times, found.column("ts_ns").combine_chunks())).as_py()
    for name in ("symbol", "trade_id", "exchange"):
        assert pc.all(pc.equal(expected.column(name), found.column(name).cast(pa.string()))).as_py()
    for name in ("price", "size"):
        assert expected.column(name).cast(pa.decimal128(38, 18)).combine_chunks() == found.column(name).combine_chunks()


def test_killed_half_way(big: Path) -> None:
    """A publication that is killed half way has published nothing; the next one goes on, and the table equals the store; once more changes nothing."""
    process = subprocess.Popen(command(big), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    data = big / "lake" / "fpa" / "trades" / "data"
    deadline = time.monotonic() + 120
    while len(list(data.glob("*.parquet"))) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode not in (0, 1), "it was not killed in time"
    with contextlib.closing(lake_at(big / "lake")) as lake:
        assert lake._catalog.load_table(("fpa", "trades")).current_snapshot() is None
    done = run(big)
    assert 2 <= done["resumed"] < done["added"] == done["files"] == 8
    assert ROWS == done["rows"] == done["written"] == done["verified"]
    check_equal(big)
    again = run(big, "--verify")
    assert (0, 0, 8, ROWS, ROWS) == (
        again["written"], again["added"], again["files"], again["rows"], again["verified"],
    )  # fmt: skip
    check_equal(big)


DIES = """
import os, signal, sys
from pyiceberg.catalog.sql import SqlCatalog
from fpa_core.cli.main import main
commit = SqlCatalog.commit_table
def die(*arguments):
    if sys.argv[1] == "after":
        commit(*arguments)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
SqlCatalog.commit_table = die
main(sys.argv[2:])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_commit(moment: str, tmp_path: Path) -> None:
    """A publication killed just before the catalog changes publishes nothing and writes nothing twice; one killed just after has published all, and the next finds that."""
    (tmp_path / "fpa.toml").write_text('[store]\npath = "store.db"\n[lakes.iceberg]\nfolder = "lake"\n')
    with opened(tmp_path / "store.db") as store:
        store.save([Quote("A", Instant(BASE + n), n, n + 1) for n in range(100)])
        arguments = [
            "--config",
            str(tmp_path / "fpa.toml"),
            "publish",
            "--to",
            "iceberg",
            "--file-rows",
            "30",
            "quotes",
        ]
        done = subprocess.run(
            [sys.executable, "-c", DIES, moment, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode in (-signal.SIGTERM, -9, 1), done.stderr
        store.save(Quote("B", Instant(BASE + 200), 1, 2))  # which the interrupted one does not know
        with contextlib.closing(lake_at(tmp_path / "lake")) as lake:
            table = lake._catalog.load_table(("fpa", "quotes"))
            assert (0 if moment == "before" else 100) == table.scan().to_arrow().num_rows
            result = publish(store, lake, QUOTES, file_rows=30, verify=True)
            assert 101 == result.rows == result.verified
            assert (4 if moment == "before" else 0) == result.resumed
            assert stored(store) == rows(lake)
            assert not list((tmp_path / "lake").rglob("fpa-plan.json"))


# What is written, and what not


def quotes_of(days: range, symbol: str = "A") -> list[Quote]:
    """Return ten quotes a day."""
    return [Quote(symbol, Instant(BASE + day * 86_400 * 10**9 + n), n, n + 1) for day in days for n in range(10)]


def test_only_what_changed_is_written() -> None:
    """Later rows go into a file of their own; a correction writes the file of its time again, and no other."""
    with both() as (store, lake):
        store.save(quotes_of(range(10)))
        first = publish(store, lake, QUOTES, file_rows=20)
        assert (100, 5, 0) == (first.written, first.added, first.removed)
        store.save(quotes_of(range(10, 12)))
        second = publish(store, lake, QUOTES, file_rows=20)
        assert (20, 1, 0, 120) == (second.written, second.added, second.removed, second.rows)
        store.save(Quote("B", Instant(BASE + 86_400 * 10**9 + 5), 1, 2))
        third = publish(store, lake, QUOTES, file_rows=20)
        assert (21, 1, 121) == (third.written, third.removed, third.rows)
        store.save(Quote("B", Instant(BASE + 15 * 86_400 * 10**9), 1, 2))
        store.save(Quote("B", Instant(BASE + 16 * 86_400 * 10**9), 1, 2))
        small = publish(store, lake, QUOTES, file_rows=20)
        assert (2, 1, 0) == (small.written, small.added, small.removed)
        store.save(Quote("B", Instant(BASE + 17 * 86_400 * 10**9), 1, 2))
        grown = publish(store, lake, QUOTES, file_rows=20, verify=True)
        assert (3, 1, 1) == (grown.written, grown.added, grown.removed)  # no file for each row
        assert 124 == grown.verified == len(rows(lake))


def test_batches_of_other_kinds_change_no_file() -> None:
    """A batch without rows of a kind only moves the mark of its table."""
    with both() as (store, lake):
        store.save(quotes_of(range(1)))
        publish(store, lake, QUOTES)
        receipt = store.save(Trade("A", Instant(BASE), 1, 1))
        done = publish(store, lake, QUOTES)
        assert (0, 0, 1, receipt.batch) == (done.written, done.added, done.files, done.batch)
        assert [QUOTES, TRADES] == published_kinds(store, lake, list(KINDS.values()))


def test_all_rows_may_go() -> None:
    """A table whose rows were all deleted is empty, and one that was never filled has no file."""
    with both() as (store, lake):
        store.save(quotes_of(range(2)))
        publish(store, lake, QUOTES)
        store.delete(store.select(Quote))
        assert (0, 0, 1) == ((done := publish(store, lake, QUOTES, verify=True)).rows, done.files, done.removed)
        assert [] == rows(lake)
        assert 0 == publish(store, lake, BARS).files
        store.save(quotes_of(range(1)))
        assert 10 == publish(store, lake, QUOTES, verify=True).rows


def test_the_last_instant() -> None:
    """A row at the last instant that there is is published, and may be followed by another one before it."""
    with both() as (store, lake):
        for ns in (MAX_NS, MAX_NS - 1, 0):
            store.save(Quote("A", Instant(ns), 1, 2))
            publish(store, lake, QUOTES, file_rows=1, verify=True)
        assert stored(store) == rows(lake)


def test_history_stays_readable() -> None:
    """Each publication is a snapshot that bears its batch, and the one before can still be read."""
    with both() as (store, lake):
        first = store.save(quotes_of(range(1))).batch
        publish(store, lake, QUOTES)
        second = store.save(quotes_of(range(1, 2))).batch
        publish(store, lake, QUOTES)
        table = lake._catalog.load_table(("fpa", "quotes"))
        earlier, later = table.snapshots()
        assert [str(first), str(second)] == [one.summary.additional_properties["fpa.batch"] for one in (earlier, later)]
        assert 10 == table.scan(snapshot_id=earlier.snapshot_id).to_arrow().num_rows
        assert 20 == table.scan().to_arrow().num_rows


# What is refused


def test_a_price_that_does_not_fit() -> None:
    """A price with more digits than the table's columns have is an error; the table keeps what it had, and can be made with another scale."""
    with both() as (store, lake):
        store.save(Quote("A", Instant(1), "1.25", 2))
        publish(store, lake, QUOTES, scale=2)
        store.save(Quote("A", Instant(2), "1.255", 2))
        with pytest.raises(DataError, match="does not fit a decimal of 38 digits with 2 after the point"):
            publish(store, lake, QUOTES)
        assert [("A", 1, Decimal("1.25"), Decimal("2.00"))] == rows(lake)
        with pytest.raises(SchemaError, match="has other columns than quotes have now, or another scale"):
            publish(store, lake, QUOTES, scale=9)


def test_another_store(tmp_path: Path) -> None:
    """A table of another store, or of one that was restored to an earlier state, is not written to, unless it is to be replaced."""
    with both(tmp_path) as (store, lake), opened(tmp_path / "other.db") as other:
        store.save(quotes_of(range(2)))
        store.save(quotes_of(range(3)))
        publish(store, lake, QUOTES)
        other.save(quotes_of(range(1)))
        with pytest.raises(DatabaseError, match="its batch 2 is not here"):
            publish(other, lake, QUOTES)
        other.save(quotes_of(range(1, 2)))
        with pytest.raises(DatabaseError, match="was published from another store"):
            publish(other, lake, QUOTES)
        publish(other, lake, QUOTES, replace=True)
        assert stored(other) == rows(lake)


def test_another_program_changed_the_table() -> None:
    """A table that another program has changed since, or has filled, is not written to, unless it is to be replaced."""
    with both() as (store, lake):
        store.save(quotes_of(range(2)))
        publish(store, lake, QUOTES)
        table = lake._catalog.load_table(("fpa", "quotes"))
        table.append(table.scan().to_arrow())
        with pytest.raises(DatabaseError, match=r"another program has changed the table fpa\.quotes"):
            publish(store, lake, QUOTES)
        publish(store, lake, QUOTES, replace=True)
        assert stored(store) == rows(lake)
        foreign = lake.table("trades", interchange_schema(TRADES))._table
        foreign.append(foreign.schema().as_arrow().empty_table())
        with pytest.raises(DatabaseError, match="has rows that were not published by this program"):
            publish(store, lake, TRADES)


def test_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication that another one has overtaken is refused, and can be run again."""
    with both() as (store, lake):
        store.save(quotes_of(range(2)))
        commit = SqlCatalog.commit_table

        def overtaken(*arguments: Any) -> Any:
            monkeypatch.setattr(SqlCatalog, "commit_table", commit)
            with contextlib.closing(lake_at(Path(lake._where.removeprefix("file://")))) as second:
                publish(store, second, QUOTES)
            return commit(*arguments)

        monkeypatch.setattr(SqlCatalog, "commit_table", overtaken)
        with pytest.raises(DatabaseBusyError, match="another program published to the table at the same time"):
            publish(store, lake, QUOTES)
        assert issubclass(CommitFailedException, Exception)
        publish(store, lake, QUOTES, verify=True)
        assert stored(store) == rows(lake)


def test_a_file_that_is_damaged() -> None:
    """A flipped bit of a file is found when the table is verified, and when a staged file is used."""
    with both() as (store, lake):
        store.save(quotes_of(range(20)))
        publish(store, lake, QUOTES)
        (path,) = [
            Path(file.path.removeprefix("file://")) for file in lake.table("quotes", interchange_schema(QUOTES)).files()
        ]
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 4] ^= 1
        path.write_bytes(damaged)
        with pytest.raises((CorruptionError, DatabaseError), match=r"quotes|read a file"):
            publish(store, lake, QUOTES, verify=True)


def test_half_a_file_and_half_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without an end is written again; a plan without an end, and one that was overtaken, are dropped with their files."""
    with both() as (store, lake):
        store.save(quotes_of(range(4)))
        with monkeypatch.context() as patch:
            patch.setattr(SqlCatalog, "commit_table", lambda *_: (_ for _ in ()).throw(CommitFailedException("no")))
            with pytest.raises(DatabaseBusyError):
                publish(store, lake, QUOTES, file_rows=20)
        folder = Path(lake._where.removeprefix("file://")) / "fpa" / "quotes"
        first, _ = sorted((folder / "data").glob("*.parquet"))
        first.write_bytes(first.read_bytes()[:-20])
        done = publish(store, lake, QUOTES, file_rows=20, verify=True)
        assert (1, 2, 40) == (done.resumed, done.added, done.verified)
        (folder / "metadata" / "fpa-plan.json").write_text('{"plan": 1, "na')
        assert 0 == publish(store, lake, QUOTES).written
        stale = {
            "plan": 1,
            "name": "stale",
            "batch": 1,
            "recorded_ns": 5,
            "base": None,
            "remove": [],
            "ranges": [[None, None]],
        }
        (folder / "metadata" / "fpa-plan.json").write_text(json.dumps(stale))
        (folder / "data" / "stale-00000.parquet").write_bytes(b"half")
        assert 0 == publish(store, lake, QUOTES).written
        assert not (folder / "data" / "stale-00000.parquet").exists()
        (folder / "metadata" / "fpa-plan.json").write_text(json.dumps(stale | {"plan": 99}))
        with pytest.raises(DataError, match="another version of this program"):
            publish(store, lake, QUOTES)


def test_a_catalog_is_needed_for_places_on_a_network() -> None:
    """A warehouse on an object store needs a catalog, and no password of one is shown."""
    with pytest.raises(DatabaseError, match="needs a catalog"):
        IcebergLake(IcebergOptions(warehouse="s3://bucket/x"))
    options = IcebergOptions(
        catalog="postgresql+psycopg://me:hunter2@127.0.0.1:1/x", properties={"s3.secret": "hunter2"}
    )
    assert "hunter2" not in repr(options)


def test_a_catalog_that_is_not_there(tmp_path: Path) -> None:
    """A catalog that does not answer is a typed error without its password."""
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/x"
    with pytest.raises(DatabaseError, match="could not open the catalog") as caught:
        lake_at(tmp_path / "lake", catalog=url)
    assert "hunter2" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be made"):
        lake_at(tmp_path / "file" / "lake")


def test_pyiceberg_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyiceberg, the lake says how to install it."""
    monkeypatch.delitem(sys.modules, "fpa_plugins.iceberg.lake", raising=False)
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog.sql", None)
    with pytest.raises(MissingDependencyError, match="needs the package pyiceberg"):
        plugin.open_lake(IcebergOptions())


# Over the layer


def layered(folder: Path) -> fpa_core.DataLayer:
    return fpa_core.open(
        config={
            "store": {"path": str(folder / "s.db")},
            "lakes": {"here": {"backend": "iceberg", "folder": str(folder / "lake")}},
        }
    )


def test_the_layer_publishes(tmp_path: Path) -> None:
    """A layer publishes to a lake of its configuration what it has rows of, and tells its progress."""
    with layered(tmp_path) as data:
        assert [] == data.publish("here")
        data.store.save([*quotes_of(range(2)), Trade("A", Instant(BASE), "1.5", 2)])
        seen: list[tuple[str, int, float | None]] = []

        def progress(kind: Any) -> Any:
            return lambda rows, share: seen.append((kind.name, rows, share))

        done = data.publish("here", progress=progress)
        assert [("quotes", 20), ("trades", 1)] == [(one.kind, one.rows) for one in done]
        assert {("quotes", 20, 1.0), ("trades", 1, 1.0)} <= set(seen)
        (only,) = data.publish("here", "quote", verify=True)
        assert isinstance(only, Publication)
        assert 20 == only.as_dict()["verified"]


def test_a_store_in_memory_is_published(tmp_path: Path) -> None:
    """A store in memory can be published, too, and its repeated names of kinds count once."""
    with fpa_core.open(":memory:", lakes__here__backend="iceberg", lakes__here__folder=str(tmp_path)) as data:
        data.store.save(quotes_of(range(2)))
        (done,) = data.publish("here", Quote, "quotes")
        assert 20 == done.rows


def test_symbols_can_be_read_alone() -> None:
    """Rows of one symbol and time are found by readers that push filters down, as pyiceberg does."""
    with both() as (store, lake):
        store.save([*quotes_of(range(5)), *quotes_of(range(5), "B")])
        publish(store, lake, QUOTES, file_rows=20)
        table = lake._catalog.load_table(("fpa", "quotes"))
        start = BASE + 2 * 86_400 * 10**9
        scan = table.scan(row_filter=f"symbol = 'B' and ts_ns >= {start}")
        assert 30 == scan.to_arrow().num_rows
        assert len(list(scan.plan_files())) < len(list(table.scan().plan_files()))
        names: Sequence[str] = [one.name for one in table.schema().fields if one.required]
        assert ["symbol", "timestamp", "ts_ns"] == names


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_command_on_a_terminal(tmp_path: Path) -> None:
    """The command publishes all kinds, shows the progress of one after the other on a terminal, and prints a table."""
    import pty

    (tmp_path / "fpa.toml").write_text('[store]\npath = "s.db"\n[lakes.desk]\nbackend = "iceberg"\nfolder = "lake"\n')
    start = [sys.executable, "-m", "fpa_core", "--config", str(tmp_path / "fpa.toml"), "publish", "--to", "desk"]
    master, slave = pty.openpty()
    try:

        def published(*arguments: str) -> tuple[int, str]:
            done = subprocess.run([*start, *arguments], stdout=subprocess.PIPE, stderr=slave, text=True, check=False)
            return done.returncode, done.stdout

        with opened(tmp_path / "s.db") as store:
            store.save([*quotes_of(range(2)), Trade("A", Instant(BASE), "1.125", 2)])
        code, printed = published()
        assert 0 == code
        assert ["table", "fpa.quotes", "fpa.trades"] == [line.split()[0] for line in printed.splitlines()]
    finally:
        os.close(slave)
        os.close(master)


def test_the_command_says_what_is_wrong(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says that there is nothing to publish, and ends with the code of an error."""

    def publish_all(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["publish", "--to", "desk", *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    (tmp_path / "fpa.toml").write_text('[store]\npath = "s.db"\n[lakes.desk]\nbackend = "iceberg"\nfolder = "lake"\n')
    with opened(tmp_path / "s.db") as store:
        assert (0, "nothing is stored, so nothing was published\n") == publish_all()
        store.save(Trade("A", Instant(BASE), "1.125", 2))
    publish_all()
    assert (5, "") == publish_all("trades", "--scale", "2")
