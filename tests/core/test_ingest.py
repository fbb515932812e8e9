"""Ingest: every row that was read is inserted, known, revised or set aside, and the receipt says which."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import strategies as own
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core import hookimpl
from fpa_core.arrow.conversion import to_table
from fpa_core.config import LEVELS
from fpa_core.exceptions import DataError
from fpa_core.ingest import ingest
from fpa_core.ingest.validation import EXAMPLES
from fpa_core.kinds import KINDS, QUOTES
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant, ns_text
from fpa_core.plugins import PluginManager
from fpa_core.protocols import SHAPE, Chunk, Quarantined, Receipt

GOOD = Bar("A", Instant(0), 1, 2, "0.5", 1, 5, "1m")
BAD = Bar("A", Instant(60_000_000_000), 1, 2, "0.50", 3, 5, "1m")
QUOTE = Quote("A", Instant(1), "1.10", "1.20")


class Listener:
    """A plugin that hears of batches."""

    def __init__(self) -> None:
        self.ingested: list[Receipt] = []
        self.quarantined: list[tuple[int, list[Quarantined]]] = []

    @hookimpl
    def fpa_ingested(self, receipt: Receipt) -> None:
        """Note it."""
        self.ingested.append(receipt)

    @hookimpl
    def fpa_quarantined(self, batch: int, records: list[Quarantined]) -> None:
        """Note them."""
        self.quarantined.append((batch, records))


@pytest.fixture
def listener() -> Listener:
    """Make a plugin that hears of batches."""
    return Listener()


@pytest.fixture
def layer(tmp_path: Path, listener: Listener) -> Iterator[DataLayer]:
    """Open a data layer in an empty folder, with a plugin that listens."""
    with open_in(tmp_path, extra=[listener]) as data:
        yield data


def open_in(folder: Path, text: str = "", extra: Any = ()) -> DataLayer:
    (folder / "fpa.toml").write_text(text or "[store]\n", encoding="utf-8")
    return fpa_core.open(folder / "fpa.toml", plugins=PluginManager(extra=extra), environ={})


def file(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def counts(receipt: Receipt) -> tuple[int, int, int, int, int]:
    return receipt.read, receipt.inserted, receipt.duplicate, receipt.revised, receipt.quarantined


# Records


def test_records_of_all_kinds(layer: DataLayer, listener: Listener) -> None:
    """Records of all kinds become one batch, and plugins hear of it once."""
    snapshot = PortfolioSnapshot(Instant(1), 3, cash=2, positions=[Position("A", 1, 1, 1)])
    order = Order("1", "A", 5, "buy", "market", timestamp=Instant(1), updated_at=Instant(1))
    account = [
        Fill("A", Instant(1), "buy", 1, 2),
        CashFlow(Instant(1), "fee", -1),
        CorporateAction("A", Instant(1), "split", 2),
    ]
    receipt = layer.ingest([QUOTE, Trade("A", Instant(1), 1, 1), GOOD, order, snapshot, *account], origin="broker")
    assert (9, 9, 0, 0, 0) == counts(receipt)
    assert (None, "broker", None) == (receipt.kind, receipt.origin, receipt.file)
    assert dict.fromkeys(KINDS, 1) == {kind: layer.select(kind).count() for kind in KINDS}
    assert [snapshot] == layer.select(PortfolioSnapshot).to_list()
    assert ([receipt], []) == (listener.ingested, listener.quarantined)


def test_one_record(layer: DataLayer) -> None:
    """One record needs no list, and the receipt names its kind; without a source the batch is from the program."""
    receipt = layer.ingest(QUOTE)
    assert ((1, 1, 0, 0, 0), "quotes", "api") == (counts(receipt), receipt.kind, receipt.origin)


def test_records_may_come_from_a_generator(layer: DataLayer) -> None:
    """Any iterable will do, and an empty one is an empty batch."""
    assert (3, 3, 0, 0, 0) == counts(layer.ingest(evolve(QUOTE, timestamp=Instant(ts)) for ts in range(3)))
    assert (0, 0, 0, 0, 0) == counts(layer.ingest(iter(())))


def test_a_generator_that_fails_leaves_nothing(layer: DataLayer, listener: Listener) -> None:
    """An error while records are taken leaves no batch, and nobody hears of one."""

    def feed() -> Iterator[Quote]:
        yield QUOTE
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError):
        layer.ingest(feed())
    assert ([], [], []) == (layer.store.batches(), layer.store.get_quotes(), listener.ingested)


def test_what_is_no_record(layer: DataLayer) -> None:
    """What is no record is refused before anything is written."""
    with pytest.raises(DataError, match="unknown kind of record: int"):
        layer.ingest([QUOTE, 5])
    assert [] == layer.store.batches()


def test_refused_records_are_quarantined(layer: DataLayer, listener: Listener) -> None:
    """A record that breaks a rule of severity error is kept aside, exact and with its reason; the rest is stored."""
    receipt = layer.ingest([GOOD, BAD, evolve(GOOD, timestamp=Instant(5))])
    assert (3, 2, 0, 0, 1) == counts(receipt)
    assert {"time.past": 2} == receipt.warnings
    (record,) = layer.store.quarantined()
    assert ("bars", "A", BAD.ts_ns, 2, "open", receipt.batch) == (
        record.kind, record.subject, record.ts_ns, record.row, record.state, record.batch,
    )  # fmt: skip
    assert {
        "symbol": "A", "timestamp": "1970-01-01T00:01:00Z", "open": "1", "high": "2", "low": "0.5", "close": "3",
        "volume": "5", "interval": "1m",
    } == json.loads(record.raw)  # fmt: skip
    finding, past = record.findings
    assert ("time.past", "warning") == (past["rule"], past["severity"])
    assert ("bar.range", "error", "3") == (finding["rule"], finding["severity"], finding["observed"]["close"])
    assert [(receipt.batch, [record])] == listener.quarantined
    assert [receipt] == listener.ingested


def test_raw_keeps_what_was_whole(layer: DataLayer) -> None:
    """What is quarantined keeps nanoseconds, long decimals, counts and any text."""
    bar = Bar("Ünï", Instant(1), 9, "1.000000000000000000001", 1, "1e30", 1, "1h", trade_count=7)
    layer.ingest(bar)
    (record,) = layer.store.quarantined()
    values = json.loads(record.raw)
    assert ("Ünï", "1970-01-01T00:00:00.000000001Z", "1.000000000000000000001", "1" + 30 * "0", 7) == tuple(
        values[name] for name in ("symbol", "timestamp", "high", "close", "trade_count")
    )
    assert "Ünï" in record.raw


def test_warnings_are_counted_and_kept(layer: DataLayer) -> None:
    """Rows that break a lesser rule are stored and counted by rule; those that are refused anyway do not count."""
    crossed = evolve(QUOTE, bid=2)
    receipt = layer.ingest([QUOTE, crossed, evolve(crossed, ask=None), BAD, evolve(BAD, low=-1)])
    assert (5, 3, 0, 0, 2) == counts(receipt)
    assert {"quote.crossed": 1, "quote.one_sided": 1, "time.shared": 2, "time.past": 3} == receipt.warnings


def test_redelivered_records(layer: DataLayer) -> None:
    """Records that come again are known, those in quarantine too; another one like those is kept beside them."""
    layer.ingest([GOOD, BAD])
    again = layer.ingest([GOOD, BAD])
    assert (2, 0, 2, 0, 0) == counts(again)
    assert "1 rejected rows were already in quarantine and are counted as duplicates" in again.notes
    assert (2, 0, 1, 0, 1) == counts(layer.ingest([BAD, BAD]))
    assert [(3, 2), (1, 2)] == [(record.batch, record.row) for record in layer.store.quarantined()]


def test_orders_and_positions_without_times(layer: DataLayer) -> None:
    """Orders and positions of a program may come without times: they are of now, and an order stays the same order."""
    order, position = Order("1", "A", 5, "buy", "market"), Position("A", 1, 1, 1)
    assert (2, 2, 0, 0, 0) == counts(layer.ingest([order, position]))
    assert (1, 0, 1, 0, 0) == counts(layer.ingest(order))
    assert all(order.ts_ns and order.updated_ns for order in layer.store.get_orders())


def test_a_replaced_snapshot_loses_its_sold_positions(layer: DataLayer) -> None:
    """A later version of a snapshot takes with it the positions that it no longer has."""
    first = PortfolioSnapshot(Instant(1), 2, cash=0, positions=[Position(symbol, 1, 1, 1) for symbol in "AB"])
    second = evolve(first, total_value=1, positions=first.positions[:1])
    layer.ingest([first])
    receipt = layer.ingest([second])
    assert (2, 0, 1, 1, 0) == counts(receipt)
    assert [second] == layer.select(PortfolioSnapshot).to_list()


def test_a_snapshot_is_judged_with_its_positions(layer: DataLayer) -> None:
    """What a snapshot claims is held against the positions it brings."""
    snapshot = PortfolioSnapshot(Instant(1), 100, cash=0, positions=[Position("A", 1, 1, 1)])
    assert {"snapshot.total": 1} == layer.ingest(snapshot).warnings


# Files

MIXED = """symbol,timestamp,open,high,low,close,volume,interval,colour
A,1970-01-01T00:00:00Z,1,2,0.5,1,5,1m,red
A,1970-01-01T00:01:00Z,1,2,0.5,3,5,1m,red
A,1970-01-01T00:02:00Z,halted,2,0.5,1,5,1m,red
A,yesterday,1,2,0.5,1,5,1m,red
A,1970-01-01T00:04:00Z,1,2,0.5,1,5,1m,red
A,1970-01-01T00:04:00Z,1,2,0.5,1,5,1m,red
A,1970-01-01T00:04:00Z,1,2,0.5,2,5,1m,red
"""


def test_a_file_with_everything_in_it(layer: DataLayer, tmp_path: Path, listener: Listener) -> None:
    """Of a file, every row is accounted for: stored, repeated, revised, refused by a rule, or no record at all."""
    path = file(tmp_path, MIXED)
    receipt = layer.ingest(path, origin="fxcm")
    assert (7, 2, 1, 1, 3) == counts(receipt)
    assert ("bars", "files:fxcm", "data.csv") == (receipt.kind, receipt.origin, receipt.file)
    columns, repeats, revisions = receipt.notes
    assert "columns not read: colour" == columns
    assert (
        "1 rows repeat a row of the same batch and were stored only once: bars are stored once per symbol, interval and timestamp"
        == repeats
    )
    assert "1 rows are new versions of stored rows; earlier versions stay in the history" == revisions
    rows = sorted((record.row, record.findings[0]["rule"]) for record in layer.store.quarantined(batch=receipt.batch))
    assert [(2, "bar.range"), (3, SHAPE), (4, SHAPE)] == rows
    by_row = {record.row: record for record in layer.store.quarantined()}
    assert "A,yesterday,1,2,0.5,1,5,1m,red" == by_row[4].raw.rstrip("\n")
    assert "timestamp" in by_row[4].findings[0]["message"]
    assert "open" in by_row[3].findings[0]["message"]
    (batch,) = layer.store.batches()
    assert (hashlib.sha256(path.read_bytes()).hexdigest(), 7, 3) == (batch.digest, batch.read, batch.quarantined)
    assert 3 == len(listener.quarantined[0][1])


def test_a_file_that_grows_while_it_is_read(layer: DataLayer, tmp_path: Path) -> None:
    """What was read of a growing file is stored without a digest, since that would be of more, and the receipt says so."""
    path = file(tmp_path, MIXED)

    def grow(*_: object) -> None:
        with path.open("a", encoding="utf-8") as more:
            more.write("B,2024-05-01T14:30:00Z,1,2,0.5,1,5,1m,red\n")

    receipt = layer.ingest(path, progress=grow)
    assert any("the file grew while it was being read" in note for note in receipt.notes)
    assert [None] == [batch.digest for batch in layer.store.batches()]
    layer.ingest(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == layer.store.batches()[0].digest


@pytest.mark.parametrize("change", ["rewritten", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read_is_refused(layer: DataLayer, tmp_path: Path, change: str) -> None:
    """A file that is rewritten, replaced or removed while it is being read is refused whole: its rows may be of two versions."""
    path = file(tmp_path, MIXED)

    def disturb(*_: object) -> None:
        if change != "rewritten":
            path.rename(tmp_path / "aside.csv")
        if change != "removed":
            path.write_text(MIXED[:-20], "utf-8")

    with pytest.raises(DataError, match="was changed, replaced or removed while it was being read"):
        layer.ingest(path, progress=disturb)
    assert ([], [], []) == (layer.store.batches(), layer.store.get_bars(), layer.store.quarantined())


def test_long_rejected_rows_are_kept_in_part_once_they_take_much_room(
    layer: DataLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rejected rows beyond the room of a batch, the beginning is kept with the length and digest of the whole; the receipt says how many."""
    monkeypatch.setattr("fpa_core.ingest.entries.EntryRoom.CHARACTERS", 5_000)
    long = [f"A,2024-05-01 14:30:0{number},1,1,{'é' * 1_500}" for number in range(4)]
    rows = [*long, "A,2024-05-01 14:30:09,1,1,short", "A,2024-05-01T14:30:00Z,1,1,good"]
    path = file(tmp_path, "\n".join(["symbol,timestamp,price,size,conditions", rows[-1], *rows, ""]))
    receipt = layer.ingest(path)
    assert any(note.startswith("3 rejected rows are kept in part") for note in receipt.notes)
    kept = {record.row: record for record in layer.store.quarantined()}
    assert [long[0], rows[4]] == [kept[row].raw.rstrip() for row in (2, 6)]
    for row, whole in zip((3, 4, 5), long[1:], strict=True):
        digest = hashlib.sha256(whole.encode()).hexdigest()
        assert f"{whole[:512]}… [{len(whole):,} characters, SHA-256 {digest}]" == kept[row].raw
        assert kept[row].cells is None
    again = layer.quarantine.retry(receipt.batch, tz="UTC")
    assert (2, 3) == (again.inserted, again.quarantined)
    told = [
        record.findings[0]["message"] for record in layer.store.quarantined(state="open") if record.row in (3, 4, 5)
    ]
    assert ["the row is kept only in part: ingest its file again to read it with other options"] * 3 == told
    assert (0, 7) == (layer.ingest(path).inserted, layer.ingest(path).duplicate)


def test_a_file_again(layer: DataLayer, tmp_path: Path) -> None:
    """The same file a second time inserts, revises and sets aside nothing."""
    path = file(tmp_path, MIXED)
    layer.ingest(path)
    before = layer.store.get_bars(), layer.store.quarantined()
    assert (7, 0, 7, 0, 0) == counts(layer.ingest(str(path)))
    assert before == (layer.store.get_bars(), layer.store.quarantined())


def test_hints_for_a_file(layer: DataLayer, tmp_path: Path) -> None:
    """What a file leaves open is said with it: kind, symbol, interval, account."""
    path = file(tmp_path, "timestamp,close\n1970-01-01T00:00:00Z,1\n")
    assert "bars" == layer.ingest(path, kind="bars", symbol="A", interval="1d").kind
    assert ["1d"] == [bar.interval for bar in layer.store.get_bars("A")]
    positions = file(
        tmp_path, "symbol,timestamp,quantity,market_value,cost_basis\nA,1970-01-01T00:00:00Z,1,2,3\n", "p.csv"
    )
    layer.ingest(positions, account="margin")
    assert ["margin"] == [position.account for position in layer.store.get_positions()]


TIMELESS = {
    "orders": """order_id,symbol,quantity,side,order_type,status,timestamp,updated_at
1,A,5,buy,market,new,1970-01-01T00:00:01Z,1970-01-01T00:00:01Z
2,A,5.50,buy,market,new,,
""",
    "positions": """symbol,quantity,market_value,cost_basis,timestamp
A,5,5,5,1970-01-01T00:00:01Z
A,5.50,5,5,
""",
}


@pytest.mark.parametrize(("kind", "text"), TIMELESS.items(), ids=TIMELESS)
def test_rows_of_files_need_a_time(layer: DataLayer, tmp_path: Path, kind: str, text: str) -> None:
    """Orders and positions of a file without a time are set aside: the present one would make them new on every reading."""
    for quarantined in (1, 0):
        receipt = layer.ingest(file(tmp_path, text))
        assert (kind, 2, quarantined) == (receipt.kind, receipt.read, receipt.quarantined)
        assert 1 == layer.select(kind).count()
    record = layer.store.quarantined()[0]
    assert (2, SHAPE, "timestamp: it is missing") == (
        record.row,
        record.findings[0]["rule"],
        record.findings[0]["message"],
    )
    assert "5.5" == dict(record.cells)["quantity"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "file not found"),
        ("empty.csv", b"", "is empty"),
        ("data.xlsx", b"x", "the file has no rows"),
        ("noise.csv.gz", b"no gzip", "noise.csv.gz"),
        ("header.csv", b"symbol,timestamp,bid,ask\n", "no rows"),
        ("words.csv", b"colour,taste\nred,sweet\n", "words.csv"),
    ],
    ids=["missing", "empty", "format", "damaged", "no rows", "kind"],
)
def test_unreadable_file_touches_nothing(
    layer: DataLayer, tmp_path: Path, listener: Listener, name: str, content: bytes | None, message: str
) -> None:
    """A file that cannot be read is a typed error that names it, and there is no batch of it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        layer.ingest(tmp_path / name)
    assert ([], []) == (layer.store.batches(), listener.ingested)


def test_an_error_in_the_middle_leaves_nothing(layer: DataLayer) -> None:
    """A source that fails after some chunks leaves neither rows, quarantine nor batch, and remembered reads stay right."""

    def chunks() -> Iterator[Chunk]:
        yield Chunk(QUOTES, to_table(QUOTES, [QUOTE]), [1])
        yield Chunk(QUOTES, to_table(QUOTES, [evolve(QUOTE, timestamp=Instant(2))]), [2])
        raise DataError("the file ends in the middle")

    with pytest.raises(DataError, match="in the middle"):
        ingest(layer.store, layer.validator, chunks(), origin="files")
    assert ([], [], [], 0) == (
        layer.store.batches(), layer.store.quarantined(), layer.store.get_quotes(), layer.select(Quote).count(),
    )  # fmt: skip


def test_a_file_cut_short_leaves_nothing(layer: DataLayer, tmp_path: Path) -> None:
    """A compressed file that ends too early is not stored in part."""
    import gzip

    rows = "".join(f"A,{ns_text(i)},1.{i},2,1,1\n" for i in range(200_000))
    whole = gzip.compress(("symbol,timestamp,bid,ask,bid_size,ask_size\n" + rows).encode(), compresslevel=1)
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(DataError, match=r"cut\.csv\.gz"):
        layer.ingest(path)
    assert ([], 0) == (layer.store.batches(), layer.select(Quote).count())


def test_notes_of_several_kinds(layer: DataLayer) -> None:
    """Where kinds with ids or keys repeat, the note says for each what makes a row one."""
    trade = Trade("A", Instant(1), 1, 1, exchange="N", trade_id="7")
    receipt = layer.ingest([GOOD, GOOD, trade, trade])
    assert (4, 2, 2, 0, 0) == counts(receipt)
    (note,) = receipt.notes
    assert note.startswith(
        "2 rows repeat a row of the same batch and were stored only once: bars are stored once per symbol"
    )
    assert note.endswith(" and trades are stored once per exchange and trade id")


def test_progress_is_told(layer: DataLayer, tmp_path: Path) -> None:
    """While a file is read or judged, the rows so far and their share are told; both grow to the end."""
    path = file(tmp_path, "symbol,timestamp,bid,ask\n" + "".join(f"A,{ns_text(i)},1,2\n" for i in range(150_000)))
    for act in (layer.ingest, layer.validate):
        told: list[tuple[int, float | None]] = []
        act(path, progress=lambda rows, share, told=told: told.append((rows, share)))
        assert len(told) > 1
        assert told[0][0] < 150_000
        assert sorted(told) == told
        assert (150_000, 1.0) == told[-1]


# Validation says what an ingest would do


def test_validate_file_says_what_ingest_does(layer: DataLayer, tmp_path: Path) -> None:
    """Judging a file counts what an ingest sets aside and what it flags, and stores nothing."""
    path = file(tmp_path, MIXED)
    result = layer.validate(path)
    assert [] == layer.store.batches()
    receipt = layer.ingest(path)
    assert (receipt.read, False) == (result.rows, result.is_valid)
    assert receipt.quarantined == result.counts[SHAPE].failed + result.counts["bar.range"].failed
    errors = [(finding.rule, finding.row) for finding in result.findings if finding.severity == "error"]
    assert [(SHAPE, 2), (SHAPE, 3), ("bar.range", 1)] == errors
    assert receipt.warnings == result.flagged


def test_examples_of_shapeless_rows_are_few(layer: DataLayer, tmp_path: Path) -> None:
    """Of many rows that are no records some are shown, over all chunks, and all are counted."""
    rows = "".join("A,now,1,2\n" if i % 2 else f"A,{ns_text(10**18 + i)},1,1\n" for i in range(150_000))
    result = layer.validate(file(tmp_path, "symbol,timestamp,bid,ask\n" + rows.replace(",1,1\n", ",1,1.01\n")))
    assert (EXAMPLES, 75_000) == (len(result.findings), result.counts[SHAPE].failed)
    assert 150_000 == result.counts[SHAPE].evaluated == result.rows


# Properties


@given(
    level=st.sampled_from(LEVELS),
    batches=st.lists(st.lists(own.records(), max_size=8), min_size=1, max_size=3),
    data=st.data(),
)
def test_every_row_is_accounted_for(level: str, batches: list[list[Any]], data: st.DataObject) -> None:
    """Whatever is ingested, and however often: read = inserted + duplicate + revised + quarantined = rows; validation agrees."""
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        open_in(Path(folder), f'[store]\nsynchronous = "normal"\n[validator]\nlevel = "{level}"\n') as layer,
    ):
        for batch in batches:
            records = batch + (data.draw(st.lists(st.sampled_from(batch), max_size=4)) if batch else [])
            rows = len(records) + sum(len(getattr(record, "positions", ())) for record in records)
            result = layer.validate(records)
            receipt = layer.ingest(records)
            read, *others = counts(receipt)
            assert rows == read == sum(others) == result.rows
            assert receipt.quarantined == len(layer.store.quarantined(batch=receipt.batch))
            known = any("were already in quarantine" in note for note in receipt.notes)
            assert result.is_valid == (receipt.quarantined == 0 and not known)
            assert receipt.warnings == result.flagged
            listed = layer.store.batches(limit=1)[0]
            assert (read, *others) == (
                listed.read, listed.inserted, listed.duplicate, listed.revised, listed.quarantined,
            )  # fmt: skip


def test_a_listener_that_fails_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that fails while it hears of a batch does not take the batch with it."""

    class Deaf:
        @staticmethod
        @hookimpl
        def fpa_ingested(receipt: Receipt) -> None:  # noqa: ARG004 - hooks are known by their arguments
            raise RuntimeError("not today")

    with open_in(tmp_path, extra=[("deaf", Deaf)]) as layer, caplog.at_level(logging.ERROR):
        assert 1 == layer.ingest(QUOTE).inserted
        assert [QUOTE] == layer.store.get_quotes()
    assert ["plugin deaf failed in fpa_ingested"] == [record.getMessage() for record in caplog.records]


def test_others_write_while_rows_are_read_and_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is locked only once the first rows of a source, or all records of a save, are there to be written."""
    config = {"store": {"path": str(tmp_path / "test.db"), "busy_timeout": 0.05}}
    with fpa_core.open(config=config) as data, fpa_core.open(config=config) as other:
        numbers = iter(range(100))

        def write() -> None:
            assert 1 == other.store.save(Quote("OTHER", Instant(next(numbers)), 1, 2)).inserted

        def chunks() -> Iterator[Chunk]:
            for number in range(3):
                write()
                yield Chunk(QUOTES, to_table(QUOTES, [Quote("A", Instant(number), 1, 2)]), [number + 1])

        assert 3 == ingest(data.store, data.validator, chunks(), origin="here").inserted

        def converted(*given: Any) -> Any:
            monkeypatch.undo()
            write()
            return to_table(*given)

        monkeypatch.setattr("fpa_core.store.writer.to_table", converted)
        assert 1 == data.store.save([Quote("A", Instant(9), 1, 2)]).inserted
        assert (4, 4) == (data.select(Quote, "A").count(), data.select(Quote, "OTHER").count())


def test_little_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long source the rest is read as it is written, so memory stays bounded."""
    monkeypatch.setattr("fpa_core.ingest.batch.AHEAD", 10)
    read: list[int] = []
    with fpa_core.open(config={"store": {"path": str(tmp_path / "test.db")}}) as data:

        def chunks() -> Iterator[Chunk]:
            for number in range(20):
                read.append(number)
                yield Chunk(QUOTES, to_table(QUOTES, [Quote("A", Instant(number), 1, 2)]), [number + 1])

        begun: list[int] = []
        batch = data.store.batch
        monkeypatch.setattr(data.store, "batch", lambda **given: begun.append(len(read)) or batch(**given))
        assert 20 == ingest(data.store, data.validator, chunks(), origin="here").inserted
        assert [11] == begun
