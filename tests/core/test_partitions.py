"""Partitions of a selection: what they hold, and that other processes read them by themselves."""

from __future__ import annotations

import contextlib
import functools
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.arrow.conversion import from_table
from fpa_core.engine import catalog
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import KINDS
from fpa_core.layer.components import StoreOpener
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import StoreBackend
from fpa_core.store import DataStore
from fpa_core.store.partitions import Partition
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

symbols = st.sampled_from(["A", "AB", "B", "C*"])
few_quotes = st.builds(Quote, symbols, own.FEW_NS, own.few_prices(), own.few_prices())
some_quotes = st.builds(Quote, symbols, st.integers(0, 500).map(Instant), own.few_prices(), own.few_prices())
any_quotes = own.quotes(symbol=st.sampled_from("AB"))
some_bars = st.builds(
    lambda symbol, interval, ts: Bar(symbol, Instant(ts * 60_000_000_000), 1, 2, 1, 2, 10, interval),
    symbols,
    st.sampled_from(["1m", "5m"]),
    st.integers(0, 50),
)


@pytest.fixture(params=["mixed", "sealed"], scope="module", autouse=True)
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold every law with small segments among hot rows, and with everything sealed at once."""
    least, most = {"mixed": (2, 3), "sealed": (1, 4)}[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", least)
        patch.setattr(catalog, "SEGMENT_ROWS", most)
        yield


def opened(path: Path) -> StoreBackend:
    return open_store(SqliteOptions(path=path, synchronous="normal", seal_rows=None))


@contextlib.contextmanager
def holding(*batches: Any) -> Iterator[DataStore]:
    """Lend a store of its own, which holds the records of each batch, to one example of a property."""
    with contextlib.ExitStack() as stack:
        reopen = functools.partial(
            opened, Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))) / "test.db"
        )
        store = stack.enter_context(DataStore(reopen(), reopen=reopen))
        for records in batches:
            store.save(records)
        yield store


def rows_of(parts: Sequence[Partition]) -> list[Any]:
    """Return the records of partitions, each pickled and read as another process would."""
    copies: list[Partition] = pickle.loads(pickle.dumps(parts))
    return [record for part in copies for batch in part.read() for record in from_table(part.queries[0].kind, batch)]


conditions = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["A", ["A", "C\\*"], "A*", "*", "none"]),
        "start": own.FEW_NS,
        "end": st.integers(0, 600).map(Instant),
        "latest_first": st.booleans(),
        "order": st.sampled_from(["symbol", "time"]),
        "bid": own.few_prices(),
    },
)


@given(st.lists(st.lists(st.one_of(few_quotes, some_quotes), max_size=40), max_size=3), conditions, st.integers(1, 9))
def test_partitions_are_the_selection(batches: list[list[Quote]], given_: dict[str, Any], parts: int) -> None:
    """The rows of the partitions, in order, are those of the selection, each once, whatever it selects."""
    with holding(*batches) as store:
        selection = store.select(Quote, **given_)
        divided = selection.partitions(parts)
        assert len(divided) <= parts
        assert list(selection) == rows_of(divided)


@given(st.lists(any_quotes, max_size=20), st.integers(1, 9), st.booleans())
def test_any_time_and_price(quotes: list[Quote], parts: int, by_time: bool) -> None:
    """Partitions hold rows of any time and of any decimals, exactly."""
    with holding(quotes) as store:
        selection = store.select(Quote, order="time" if by_time else "symbol")
        assert list(selection) == rows_of(selection.partitions(parts))


@given(st.lists(some_bars, max_size=60), st.integers(1, 6), st.sampled_from([None, "1m", "5m"]), st.booleans())
def test_bars(bars: list[Bar], parts: int, interval: str | None, reverse: bool) -> None:
    """Bars, which have versions and several intervals at one time, are divided alike."""
    with holding(bars) as store:
        equal: Any = {} if interval is None else {"interval": interval}
        selection = store.select(Bar, latest_first=reverse, **equal)
        assert list(selection) == rows_of(selection.partitions(parts))


@own.costly(2)
@given(st.lists(own.records(), min_size=1, max_size=12), st.integers(1, 4))
def test_every_kind(records: list[Any], parts: int) -> None:
    """Rows of every kind are divided; snapshots come without their positions, as in every Arrow form."""
    with holding(records) as store:
        for kind in KINDS.values():
            selection = store.select(kind)
            expected = [record for batch in selection.batches() for record in from_table(kind, batch)]
            assert expected == rows_of(selection.partitions(parts))


@own.costly(2)
@given(st.data())
def test_what_is_written_later_does_not_count(data: st.DataObject) -> None:
    """Partitions hold what was known when they were made, whatever is saved, deleted, undone or sealed before they are read."""
    with holding(data.draw(st.lists(some_quotes, min_size=1, max_size=30))) as store:
        if data.draw(st.booleans()):
            store.save(data.draw(st.lists(some_quotes, max_size=10)))
        selection = store.select(Quote)
        divided, expected = selection.partitions(data.draw(st.integers(1, 5))), list(selection)
        for step in data.draw(st.permutations(["save", "delete", "delete"])):
            if step == "save":
                store.save(data.draw(st.lists(some_quotes, max_size=20)))
            else:
                store.delete(store.select(Quote, data.draw(symbols).replace("*", "\\*")))
        if data.draw(st.booleans()):
            store.undo(1)
        store.seal()
        assert expected == rows_of(divided)
        past = store.select(Quote, as_known_at=divided[0].queries[0].known_at_ns)
        assert expected == rows_of(past.partitions(3))


def test_rows_that_are_history_by_now() -> None:
    """Rows known at an earlier time are divided, even if all of a symbol were deleted and many others have come since."""
    with holding([Quote(symbol, Instant(n), n, 2) for symbol in "AB" for n in range(20)]) as store:
        known = store.batches()[0].recorded_ns
        expected = list(store.select(Quote))
        store.delete(store.select(Quote))
        store.save([Quote("A", Instant(1_000 + n), n, 2) for n in range(200)])
        for order in ("symbol", "time"):
            past = store.select(Quote, as_known_at=Instant(known), order=order)
            assert sorted(expected, key=repr) == sorted(past, key=repr)
            assert list(past) == rows_of(past.partitions(3))


def test_an_empty_store_has_no_partitions() -> None:
    """A store without a batch has no partitions, and one whose rows do not match has none either."""
    with holding() as store:
        assert [] == store.select(Quote).partitions(4)
        store.save(Quote("A", Instant(1), 1, 2))
        assert [] == store.select(Trade).partitions(4)
        assert [] == store.select(Quote, "B").partitions(4)


@pytest.mark.parametrize("skew", [1, 40])
def test_partitions_are_even(skew: int) -> None:
    """One big symbol among small ones, with most rows in a small part of its time, is divided so that no part has much more than its share."""
    big = [
        Quote("BIG", Instant(n if n < 1_800 else 1_800 + skew * 1_000 * (n - 1_800)), n, n + 1) for n in range(2_000)
    ]
    small = [Quote(f"S{n:02}", Instant(n), 1, 2) for n in range(40)]
    with holding(small[:20], big, small[20:]) as store:
        for order in ("symbol", "time"):
            parts = store.select(Quote, order=order).partitions(4)
            sizes = [sum(batch.num_rows for batch in part.read()) for part in parts]
            assert 4 == len(sizes)
            assert 2_040 == sum(sizes)
            assert max(sizes) < 510 * 5 // 4


def test_columns_and_prices() -> None:
    """A partition has the columns that were selected, in the form of prices that is asked for, as batches and as one table."""
    with holding([Quote("A", Instant(n), f"{n}.25", n + 1) for n in range(50)]) as store:
        parts = store.select(Quote, columns=["bid", "timestamp"]).partitions(3)
        assert {("bid", "timestamp")} == {tuple(batch.schema.names) for part in parts for batch in part.read()}
        floats = [value for part in parts for value in part.to_arrow("float").column("bid").to_pylist()]
        assert [n + 0.25 for n in range(50)] == floats
        assert 10 >= max(batch.num_rows for part in parts for batch in part.read(10))
        assert 50 == sum(part.to_arrow().num_rows for part in parts)


def test_a_limit_cannot_be_divided() -> None:
    """A selection with a limit, and a number of parts that is none, are refused."""
    with holding([Quote("A", Instant(1), 1, 2)]) as store:
        with pytest.raises(DataError, match="a selection with a limit cannot be divided"):
            store.select(Quote, limit=3).partitions(2)
        for parts in (0, -1, 1.5, "2"):
            with pytest.raises(DataError, match="a whole number from 1 is needed"):
                store.select(Quote).partitions(parts)  # type: ignore[arg-type]


def test_a_store_in_memory_refuses() -> None:
    """A store in memory says that no other process can read it."""
    with fpa_core.open(":memory:") as data, pytest.raises(DatabaseError, match="'memory' exists in this process only"):
        data.select(Quote).partitions(2)


def test_a_store_without_its_configuration_refuses(tmp_path: Path) -> None:
    """A DataStore over a backend that was opened by hand says what it lacks."""
    with DataStore(opened(tmp_path / "x.db")) as store, pytest.raises(DatabaseError, match="pass reopen= to DataStore"):
        store.select(Quote).partitions(2)


def test_another_process_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition of a layer's store, configured with a relative path, is read by a process in another folder."""
    monkeypatch.chdir(tmp_path)
    quotes = [Quote(symbol, Instant(n), n, n + 1) for symbol in "AB" for n in range(30)]
    with fpa_core.open(config={"store": {"path": "data/quotes.db"}}) as data:
        data.store.save(quotes)
        parts = data.select(Quote).partitions(3)
    Path("parts").write_bytes(pickle.dumps(parts))
    script = (
        "import pickle, sys\n"
        "parts = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print([sum(batch.num_rows for batch in part.read()) for part in parts])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "parts")]
    done = subprocess.run(command, cwd=tmp_path.parent, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    assert 60 == sum(map(int, done.stdout.strip("[]\n").split(",")))
    assert quotes == rows_of(parts)


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """A worker that does not find the database says so, instead of making an empty one."""
    missing = tmp_path / "none.db"
    with pytest.raises(DatabaseError, match=r"there is no database at .*none\.db on this machine"):
        StoreOpener("sqlite", SqliteOptions(path=missing))()
    assert not missing.exists()


def test_no_secret_is_shown() -> None:
    """The repr of a partition shows no password, before and after it was pickled."""
    from fpa_plugins.postgres.options import PostgresOptions

    opener = StoreOpener("postgres", PostgresOptions(dsn="postgresql://me:hunter2@db/fpa"))
    part = Partition(opener, (), None, False, 7)
    for one in (part, pickle.loads(pickle.dumps(part))):
        assert "hunter2" not in repr(one) + repr(one.reopen) + repr(one.reopen.options)
        assert "hunter2" in one.reopen.options.dsn
        assert "estimated_rows=7" in repr(one)


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_kind_is_pickled_by_its_name(kind: Any) -> None:
    """A kind that was pickled is the same object again."""
    assert kind is pickle.loads(pickle.dumps(kind))
