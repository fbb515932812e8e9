"""Sealing changes where rows lie and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_values, to_table
from fpa_core.engine import catalog, compaction, multisets, scan, segment_rows, subject_rows
from fpa_core.engine.segment_cache import CachedSegment, SegmentCache
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import QUOTES, TRADES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import KindFigures, Query, Sealed, StoreBackend
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


@pytest.fixture(scope="module", autouse=True)
def _small_segments() -> Iterator[None]:
    """Make segments of few rows, and none of them by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", 10**9)
        patch.setattr(catalog, "SEGMENT_ROWS", 4)
        patch.setattr(compaction, "ROWS_AT_ONCE", 8)
        yield


@contextlib.contextmanager
def fresh(read_cache: int = 10**6) -> Iterator[DataStore]:
    """Lend a store of its own to one example of a property."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        options = SqliteOptions(path=folder / "test.db", synchronous="normal", seal_rows=None, read_cache=read_cache)
        yield stack.enter_context(DataStore(open_store(options)))


few_quotes = st.builds(
    Quote, st.sampled_from("AB"), st.integers(0, 12).map(Instant), own.few_prices(), own.few_prices()
)


def figures(store: DataStore) -> KindFigures:
    return store.backend.describe().kinds["quotes"]


def test_sealing_lets_other_writers_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many symbols are sealed in steps, and whoever waits for the write lock gets it between two of them."""
    monkeypatch.setattr(compaction, "SUBJECTS_AT_ONCE", 2)
    options = SqliteOptions(path=tmp_path / "test.db", seal_rows=None, busy_timeout=0.05)
    with DataStore(open_store(options)) as store, DataStore(open_store(options)) as other:
        store.save([Quote(f"S{number}", Instant(ts), 1, 2) for number in range(10) for ts in range(5)])
        database = store.backend.database  # type: ignore[attr-defined]
        writer, written = database.writer, 0

        def writer_after_another(operation: str) -> object:
            nonlocal written
            written += other.save(Quote("OTHER", Instant(written), 1, 2)).inserted
            return writer(operation)

        monkeypatch.setattr(database, "writer", writer_after_another)
        assert 50 == store.seal().rows
        assert written >= 5
        assert written == store.select(Quote, "OTHER").count()
        assert 50 == figures(store).sealed


def test_seal_tells_what_it_did(store: DataStore) -> None:
    """Sealing reports rows, segments and symbols, leaves nothing hot, and does nothing a second time."""
    store.save([Quote(symbol, Instant(ts), 1, 2) for symbol in "AB" for ts in range(10)])
    assert Sealed(rows=20, segments=6, subjects=2) == store.seal()
    assert (20, 0, 20) == (figures(store).rows, figures(store).hot, figures(store).sealed)
    assert Sealed() == store.seal()


def test_late_rows_are_folded_in(store: DataStore) -> None:
    """Rows that arrive late are read in their place at once, and are part of the segments after the next sealing."""
    rows = [Quote("A", Instant(ts), 1, 2) for ts in range(0, 40, 2)]
    late = [Quote("A", Instant(ts), 1, 3) for ts in range(1, 40, 6)]
    store.save(rows)
    store.seal()
    store.save(late)
    expected = sorted([*rows, *late], key=lambda quote: quote.ts_ns)
    assert expected == store.get_quotes("A")
    assert len(late) == store.seal(Quote, symbol="A").rows
    assert expected == store.get_quotes("A")
    assert 0 == figures(store).hot


def test_few_rows_may_stay(store: DataStore) -> None:
    """Symbols with fewer rows than asked for are left alone."""
    store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10)] + [Quote("B", Instant(0), 1, 2)])
    assert Sealed(rows=10, segments=3, subjects=1) == store.seal(least=5)
    assert 1 == figures(store).hot


def test_closing_seals(tmp_path: Path) -> None:
    """A store that was written to seals what is worth it when it is closed, and only then."""
    options = SqliteOptions(path=tmp_path / "test.db", seal_rows=5)
    with DataStore(open_store(options)) as store:
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10)] + [Quote("B", Instant(0), 1, 2)])
    with DataStore(open_store(options)) as store:
        assert (1, 10) == (figures(store).hot, figures(store).sealed)
        assert 11 == store.select(Quote).count()


def test_other_kinds_have_nothing_to_seal(store: DataStore) -> None:
    """Sealing bars, orders, positions and snapshots does nothing."""
    assert Sealed() == store.seal("bars")


def test_failed_verification_changes_nothing(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When what was written does not read back equal, the rows stay where they were."""
    rows = [Quote("A", Instant(ts), 1, 2) for ts in range(10)]
    store.save(rows)
    with monkeypatch.context() as patch:
        patch.setattr(subject_rows, "equal_rows", lambda *_: False)
        with pytest.raises(CorruptionError, match="does not hold what was written"):
            store.seal()
    assert (10, rows) == (figures(store).hot, store.get_quotes())


def test_damaged_segment_is_named(store: DataStore, backend: StoreBackend) -> None:
    """A changed byte in a segment is reported with kind, symbol and range, and never read as data."""
    store.save([Quote("IBM", Instant(ts), ts, 2) for ts in range(10)])
    store.seal()
    with backend.database._pool.writer() as connection:  # type: ignore[attr-defined]
        (identity, content) = next(connection.execute("SELECT id, content FROM segment_contents ORDER BY id LIMIT 1"))
        damaged = bytearray(content)
        damaged[-1] ^= 1
        connection.execute("UPDATE segment_contents SET content = ? WHERE id = ?", (bytes(damaged), identity))
    with pytest.raises(CorruptionError, match=r"quotes of IBM from 1970-01-01T00:00:00Z to .* is damaged") as error:
        store.get_quotes("IBM")
    assert "backup" in str(error.value.hint)


@own.costly(2)
@given(st.lists(st.lists(few_quotes, max_size=10), min_size=1, max_size=5), st.data())
def test_kept_blocks_are_never_old(batches: list[list[Quote]], data: st.DataObject) -> None:
    """Ranges read twice and between changes are what a store says that keeps nothing in memory."""
    with fresh() as plain, fresh(read_cache=0) as bare:
        for rows in batches:
            undoable = [batch.id for batch in plain.batches() if batch.undone_by is None]
            chosen = data.draw(st.sampled_from([None, *undoable]))
            start, end = sorted(data.draw(st.tuples(st.integers(0, 13), st.integers(0, 13))))
            for store in (plain, bare):
                if chosen is None:
                    store.save(rows)
                else:
                    store.undo(chosen)
                store.seal()
            for prices in ("scaled", "decimal", "scaled"):
                found, meant = (
                    store.select(Quote, "A", start=start, end=end).to_arrow(prices=prices) for store in (plain, bare)
                )
                assert found.equals(meant)


def test_read_cache_is_bounded(store: DataStore) -> None:
    """Of the segments read, the last ones are kept, as far as they fit; those that are only passed by drive none out."""
    store.save([Quote("A", Instant(ts), ts, 2) for ts in range(40)])
    store.seal()
    blocks = SegmentCache(2_000)
    with store.backend.database.reader("read") as tables:  # type: ignore[attr-defined]
        entries = list(tables.segments.find(Query(QUOTES, ("A",))))

        def get(entry: catalog.SegmentInfo, *, scanning: bool = False) -> CachedSegment:
            return blocks.get(
                entry,
                lambda: segment_rows.opened(entry, tables.segments.contents([entry.id])[entry.id]),
                scanning=scanning,
            )

        found = [get(entry) for entry in entries]
        weights = [sum(one.segment.weight for one in some) for some in (found, blocks.kept())]
        assert weights[0] > 2_000 >= weights[1] > 0
        assert found[-1] is get(entries[-1])
        assert found[0] is not get(entries[0])
        kept = blocks.kept()
        assert kept == [one for one in blocks.kept() if get(entries[1], scanning=True)]
        assert get(entries[1], scanning=True) is not get(entries[1], scanning=True)
    blocks.clear()
    assert not blocks.kept()


def test_columns_make_room_for_others(store: DataStore) -> None:
    """What a reading of some columns has kept makes room for that of other columns, and for these alone: not for more of its own."""
    store.save([Quote("A", Instant(ts), ts, 2 * ts) for ts in range(40)])
    store.seal()
    with store.backend.database.reader("read") as tables:  # type: ignore[attr-defined]
        entries = list(tables.segments.find(Query(QUOTES, ("A",))))
        blocks = SegmentCache(entries[0].bytes + 10)  # of each segment only one column is kept, a few bytes

        def read(*names: str) -> list[CachedSegment]:
            for entry in entries:
                content = tables.segments.contents([entry.id])[entry.id]
                blocks.columns(entry, names, lambda: segment_rows.opened(entry, content))  # noqa: B023  # called at once
            return blocks.kept()

        bids = read("bid")
        assert 0 < len(bids) < len(entries)
        assert bids == read("bid")
        asks = read("ask")
        assert 0 < len(asks) < len(entries)
        assert not set(map(id, asks)) & set(map(id, bids))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the ids of the segments that are read from the database from now on."""
    ids: list[int] = []
    read = scan._read
    monkeypatch.setattr(scan, "_read", lambda tables, info: ids.append(info.id) or read(tables, info))
    return ids


BIG_READS: dict[str, Callable[[DataStore], object]] = {
    "everything": lambda store: store.select(Quote).to_list(),
    "a range of everything": lambda store: store.select(Quote, start=0, end=Instant(10**6)).to_list(),
    "ranges of everything": lambda store: [
        store.select(Quote, start=first, end=first + 40).to_list() for first in range(0, 400, 40)
    ],
    "in order of time": lambda store: list(store.select(Quote, order="time")),
    "some columns": lambda store: list(store.select(Quote, columns=["bid"]).batches(50_000)),
    "bars": lambda store: store.bars("A", "1s", from_="mid", start=0, end=Instant(10**6)).to_list(),
}


@pytest.mark.parametrize("big", BIG_READS.values(), ids=BIG_READS)
def test_a_big_read_does_not_push_out_what_small_ones_use(
    big: Callable[[DataStore], object], decoded: list[int]
) -> None:
    """What was read twice stays in memory, and so does what is read for the second time after a big read filled the rest; small reads always find room."""
    with fresh(read_cache=4_000) as store:
        store.save([Quote("A", Instant(ts), ts, 2) for ts in range(400)])
        store.seal()

        def small(first: int) -> int:
            before = len(decoded)
            assert 2 == len(store.select(Quote, "A", start=first, end=first + 2).to_list())
            return len(decoded) - before

        assert [1, 0, 1, 0] == [small(100), small(100), small(200), small(200)]
        for _ in range(3):
            big(store)
            assert [0, 0] == [small(100), small(200)]
        assert set(decoded) == set(range(1, 101))
        assert [1, 0] == [small(300), small(300)]
        big(store)
        assert [0, 0, 0] == [small(300), small(100), small(200)]


def test_everything_read_is_kept_where_there_is_room(store: DataStore) -> None:
    """A small database is decoded once, whether all of it is read or an hour."""
    store.save([Quote("A", Instant(ts), ts, 2) for ts in range(9)])
    store.seal()
    assert 9 == store.select(Quote).count() == len(store.select(Quote).to_list())
    blocks = store.backend._segments  # type: ignore[attr-defined]
    kept = blocks.kept()
    store.select(Quote, "A", start=2, end=5).to_list()
    assert set(kept) == set(blocks.kept()) != set()


def test_what_is_kept_cannot_be_written_to(store: DataStore) -> None:
    """Whoever gets a view of what is kept in memory cannot change it for others."""
    store.save([Quote("A", Instant(ts), ts, 2) for ts in range(9)])
    store.seal()
    for chunk in store.select(Quote, "A", start=0, end=9).to_arrow("scaled").column("bid").chunks:
        assert not chunk.to_numpy().flags.writeable
        assert not chunk.buffers()[1].is_mutable


def test_swapped_segments_are_found(store: DataStore) -> None:
    """Contents that stand under another segment's number are refused, though each is whole."""
    store.save(
        [*(Quote("A", Instant(ts), 1, 2) for ts in range(4)), *(Quote("B", Instant(ts), 3, 4) for ts in range(4))]
    )
    store.seal()
    with store.backend.database._pool.writer() as connection:  # type: ignore[attr-defined]
        first, second = connection.execute("SELECT content FROM segment_contents ORDER BY id").fetchall()
        for number, (content,) in ((1, second), (2, first)):
            connection.execute("UPDATE segment_contents SET content = ? WHERE id = ?", (content, number))
    with pytest.raises(CorruptionError, match=r"the segment of quotes of A .* is not the one stored"):
        store.select(Quote, "A").to_list()


def test_a_symbol_that_is_in_the_first_part_of_a_table_only(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is too long to be sorted at once may have a symbol that is not in all of its parts."""
    monkeypatch.setattr(multisets, "ROWS_AT_ONCE", 1)
    with store.batch() as batch:
        batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2), Quote("B", Instant(1), 1, 2)]))
    assert (2, 2) == (batch.receipt.inserted, store.select(Quote).count())


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "sealed"])
def test_the_short_way_agrees_with_a_scan(store: DataStore, settled: bool) -> None:
    """What the backend finds without a scan is the last row of one, with all of its columns."""
    full = Quote("A", Instant(7), "1.50", "2.25", "0.001", 3, "N", "Q", "R,O")
    print_ = Trade("A", Instant(7), "1e-20", "12345678901234567890.5", "@, I", None, "x'7")
    store.save([Quote("A", Instant(1), 1, 2), Trade("A", Instant(1), 1, 1), full, print_])
    if settled:
        store.seal()
    for kind, last in ((QUOTES, full), (TRADES, print_)):
        values = store.backend.latest(kind, "A")  # type: ignore[attr-defined]
        assert values is not None
        assert last == from_values(kind, values) == store.select(kind, "A").to_list()[-1]


def test_undo_leaves_segments_of_other_batches_sealed(tmp_path: Path) -> None:
    """Undoing a batch makes only those segments hot again that hold a row of it."""
    with DataStore(open_store(SqliteOptions(path=tmp_path / "test.db"))) as store:
        store.save([Quote("A", Instant(i), 1, 2) for i in range(8)])
        store.save([Trade("B", Instant(i), 1, 2) for i in range(8)])
        store.seal()
        later = store.save([Quote("A", Instant(100 + i), 1, 2) for i in range(8)])
        store.seal()
        store.undo(later.batch)
        kinds = store.backend.describe().kinds
        assert (8, 8) == (kinds["quotes"].sealed, kinds["trades"].sealed)
