"""What random changes and bombs once did to the reader of files: errors that were not its own, and work without an end."""

from __future__ import annotations

import gc
import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fpa_core
from fpa_core.exceptions import DataError
from fpa_core.kinds import TRADES
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.protocols import SourceRequest
from fpa_plugins.files import containers
from fpa_plugins.files.source import FilesSource

HEADER = b"symbol,timestamp,price,size\n"
NOON = 1_714_573_800_000_000_000
ROW = b"A,2024-05-01T14:30:00Z,1,1\n"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a data layer over an empty database."""
    config = tmp_path / "fpa.toml"
    config.write_text('[store]\npath = "hostile.db"\n', "utf-8")
    with fpa_core.open(config) as layer:
        yield layer


def _zip(*members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(members):
            archive.writestr(f"{number}.csv", content)
    return sink.getvalue()


@pytest.mark.parametrize("damage", ["the first", "the second"])
def test_a_member_whose_head_is_damaged(data: DataLayer, tmp_path: Path, damage: str):
    """A ZIP archive whose list of members is whole, and a member is not, is refused as damaged, and nothing of it is kept."""
    content = bytearray(_zip(HEADER + ROW, HEADER + ROW))
    place = 0 if damage == "the first" else content.index(b"PK\x03\x04", 4)
    content[place + 2] ^= 0xFF
    if damage == "the first":  # an archive may have anything in front of it, but is told by its first bytes
        content = bytearray(_zip(HEADER + ROW))
        content[26:26] = b"xxx"
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cut off or damaged"):
        data.ingest(path)
    with pytest.raises(DataError, match="cut off or damaged"):
        data.sniff(path)
    assert data.select(Trade).count() == 0


def test_half_a_character_in_json(data: DataLayer, tmp_path: Path):
    """A text of JSON that spells out half a character refuses its row, and the others are stored."""
    rows = [{"symbol": symbol, "timestamp": "2024-05-01T14:30:00Z", "price": "1", "size": "1"} for symbol in ("A", "?")]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows).replace('"?"', '"\\ud800"'), "utf-8")
    receipt = data.ingest(path)
    assert (1, 1) == (receipt.inserted, receipt.quarantined)
    assert [trade.symbol for trade in data.select(Trade)] == ["A"]
    (refused,) = data.quarantine.list()
    assert "surrogates not allowed" in str(refused.findings)


def test_half_a_character_in_a_document(data: DataLayer, tmp_path: Path):
    """The same in a document, whose rows have no text of their own to be kept; sniffing says so, too."""
    path = tmp_path / "a.json"
    good = '{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":1,"size":1}'
    path.write_text(f"[{good},{good.replace('1}', '[]}').replace('A', chr(92) + 'udfff')}]", "utf-8")
    receipt = data.ingest(path)
    assert (1, 1) == (receipt.inserted, receipt.quarantined)
    assert "symbol: bytes that are not UTF-8" in str(data.sniff(path)[0].rejects)


def test_half_a_character_in_a_name(data: DataLayer, tmp_path: Path):
    """A name of JSON with half a character is a column that is not read, like any other that nobody knows."""
    path = tmp_path / "a.json"
    path.write_text('[{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":1,"size":1,"\\ud800":1}]', "utf-8")
    assert data.ingest(path).inserted == 1


GROUPED = '{"T":"A","v":1,"vw":1,"o":1,"c":1,"h":1,"l":1,"t":%s,"n":1}'


@pytest.mark.parametrize("time", ['" "', '"-Infinity"'])
def test_a_row_that_does_not_fit_its_format(data: DataLayer, tmp_path: Path, time: str):
    """One time that is none refuses its row, not the file, where a format reads times by a function of its own."""
    path = tmp_path / "a.json"
    rows = ",".join(GROUPED % each for each in ("1714593600000", time))
    path.write_text(f'{{"queryCount":2,"resultsCount":2,"adjusted":true,"status":"OK","results":[{rows}]}}', "utf-8")
    receipt = data.ingest(path, interval="1d")
    assert (1, 1) == (receipt.inserted, receipt.quarantined)
    assert data.select(Bar).first() is not None


def test_a_header_in_capitals(data: DataLayer, tmp_path: Path):
    """A format is recognised without regard to case, and read so, too."""
    source = Path(__file__).parents[1] / "formats" / "nse.udiff_bhavcopy"
    (file,) = (path for path in source.iterdir() if path.suffix == ".csv")
    first, rest = file.read_text("utf-8").split("\n", 1)
    path = tmp_path / file.name
    path.write_text(f"{first.upper()}\n{rest}", "utf-8")
    data.ingest(file)
    known = list(data.select(Bar))
    assert data.ingest(path).duplicate == len(known) > 0


def test_a_series_whose_name_is_no_text(data: DataLayer, tmp_path: Path):
    """A header with bytes that are not UTF-8, where it is the symbol, refuses the file."""
    path = tmp_path / "fred.csv"
    path.write_bytes(b"observation_date,DG\xd710\n2024-05-01,4.63\n2024-05-02,4.58\n")
    with pytest.raises(DataError):
        data.ingest(path, interval="1d")


def test_the_last_line_decides_though_it_does_not_end(data: DataLayer, tmp_path: Path):
    """The last line counts as evidence of how numbers are written, whether or not a line end follows."""
    path = tmp_path / "a.csv"
    path.write_text(
        "symbol;timestamp;bid;ask\nA;2024-05-01T14:30:00Z;1,169;1,170\nA;2024-05-01T14:31:00Z;1,5;1,6", "utf-8"
    )
    assert data.ingest(path).inserted == 2
    assert [quote.bid for quote in data.select(Quote)] == [Decimal("1.169"), Decimal("1.5")]


@pytest.mark.parametrize("pack", [gzip.compress, _zip, lambda content: gzip.compress(_zip(content))])
def test_a_file_that_unpacks_to_absurdly_much(data: DataLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack):
    """A packed file is read up to 200 times its size, and refused, with nothing kept, where there is more."""
    monkeypatch.setattr(containers, "RATIO_FROM", 1 << 20)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(HEADER + ROW * 10_000))
    monkeypatch.setattr(containers, "MAX_RATIO", 200)
    assert data.ingest(path).inserted == 10_000
    monkeypatch.setattr(containers, "MAX_RATIO", 1)
    path.write_bytes(pack(HEADER + ROW * 60_000))
    with pytest.raises(DataError, match="unpacks to more than"):
        data.ingest(path)
    assert data.select(Trade).count() == 10_000


@pytest.mark.parametrize("kind", ["gzip", "bz2"])
def test_a_damaged_file_leaves_no_memory_behind(data: DataLayer, tmp_path: Path, kind: str):
    """Refusing a damaged compressed file again and again, as a job does that looks at a folder, takes no more memory each time."""
    path = tmp_path / "a.csv"
    with pa.CompressedOutputStream(str(path), kind) as stream:
        stream.write(HEADER + ROW * 1_000)
    path.write_bytes(path.read_bytes()[:20] + b"spoiled" + path.read_bytes()[27:])

    def refuse(times: int) -> int:
        for _ in range(times):
            with pytest.raises(DataError, match="cut off or damaged"):
                data.ingest(path)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        once = refuse(1)
        assert refuse(10) - once < 10 * containers.HEAD
    finally:
        tracemalloc.stop()


def test_an_archive_of_many_tiny_members(data: DataLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An archive of very many tiny files is refused before any is read; as many larger ones, or few tiny ones, are read."""
    path = tmp_path / "a.zip"

    def pack(members: int, rows: int) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(members):
                archive.writestr(f"{number}.csv", HEADER + ROW * rows)

    monkeypatch.setattr(containers, "MANY_MEMBERS", 3)
    for members, rows in ((3, 1), (4, 200)):
        pack(members, rows)
        assert members * rows == data.ingest(path).read
    pack(4, 1)
    with pytest.raises(DataError, match=r"the archive has 4 members of [0-9]+ bytes on average"):
        data.ingest(path)
    assert 2 == len(data.store.batches())


def test_a_list_of_millions_where_a_text_should_be(data: DataLayer, tmp_path: Path):
    """A list in a cell is written only as far as a text may be long: it refuses its row, and the text kept of it is short."""
    times = pa.array([NOON, NOON]).cast(pa.timestamp("ns", "UTC"))
    lists = pa.array([[1], list(range(1_000_000))], pa.list_(pa.int64()))
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"symbol": ["A", "B"], "timestamp": times, "price": [1, 1], "size": [1, 1], "conditions": lists}), path
    )
    receipt = data.ingest(path)
    assert (1, 1) == (receipt.inserted, receipt.quarantined)
    (refused,) = data.quarantine.list()
    assert len(refused.raw) < 50_000


def _prices(rows: int) -> Iterator[dict[str, str]]:
    """Yield trades of which only the last tells whether a comma is the decimal mark."""
    for row in range(rows):
        price = "1,5" if row == rows - 1 else "1,169"
        yield {
            "timestamp": f"2024-05-01T{10 + row // 3600}:{row // 60 % 60:02}:{row % 60:02}Z",
            "symbol": "A",
            "price": price,
            "size": "1",
        }


@pytest.mark.parametrize("packed", ["not", "gzip", "zip"])
@pytest.mark.parametrize("opened", [False, True], ids=["path", "open file"])
def test_looking_ahead_loses_no_row(tmp_path: Path, packed: str, opened: bool) -> None:
    """A file whose later rows tell how its first ones are read keeps every row, whether it comes by path or open."""
    lines = [";".join(each.values()) for each in _prices(10_000)]
    content = "\n".join(["timestamp;symbol;price;size", *lines]).encode()
    content = {"not": content, "gzip": gzip.compress(content), "zip": _zip(content)}[packed]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    request = SourceRequest(io.BytesIO(content) if opened else str(path), kind=TRADES, chunk_rows=500)
    chunks = list(FilesSource().read(request))
    assert sum(chunk.table.num_rows for chunk in chunks) == 10_000
    assert not any(chunk.rejects for chunk in chunks)


def test_two_readers_of_one_open_file_do_not_disturb_each_other() -> None:
    """Each reader of an open file goes on from where it was, whatever another reads meanwhile."""
    content = HEADER + ROW * 1_000
    for found in containers.contents_of(io.BytesIO(content)):
        first, second = found.opened(), found.opened()
        read = [first.read(100), second.read(7), first.read(900), second.read(-1), first.read(-1)]
        assert b"".join((read[0], read[2], read[4])) == content
        assert b"".join((read[1], read[3])) == content


@pytest.mark.parametrize("once", ["generator", "stream of batches"])
def test_what_can_be_read_only_once_is_not_looked_ahead_in(data: DataLayer, once: str) -> None:
    """Rows that come only once are asked about, instead of being lost to a look at the later ones."""
    rows = 70_000
    schema = pa.schema([(name, pa.string()) for name in ("timestamp", "symbol", "price", "size")])
    made = [each | {"timestamp": "2024-05-01T14:30:00Z"} for each in _prices(rows)]
    table = pa.Table.from_pylist(made, schema)
    target = iter(made) if once == "generator" else pa.RecordBatchReader.from_batches(schema, table.to_batches(10_000))
    with pytest.raises(DataError, match="'1,169' can be a whole number or a fraction") as caught:
        data.ingest(target, kind="trade")
    assert "--decimal" in str(caught.value.hint)
    assert data.ingest(table, kind="trade").read == rows


@pytest.mark.parametrize("before", [5, 5_000, 70_000])
def test_the_order_of_days_is_told_by_any_row_of_the_column(data: DataLayer, before: int) -> None:
    """A single date that can be read in one way only decides for all, wherever in the column it stands."""
    dates = ["01/02/2024 10:00:00"] * before + ["13/02/2024 10:00:00"]
    rows = [{"timestamp": date, "symbol": "A", "price": "1.5", "size": "1"} for date in dates]
    assert data.ingest(rows, kind="trade", tz="UTC").inserted == before + 1
    assert {str(trade.timestamp)[:10] for trade in data.select(Trade)} == {"2024-02-01", "2024-02-13"}


def test_damaged_offsets_are_refused(tmp_path: Path) -> None:
    """Offsets of texts that lead out of an Arrow file are refused as damage; Arrow itself would read beyond its memory."""
    path = tmp_path / "bars.feather"
    table = pa.table({"timestamp": ["2024-05-01"] * 3, "close": [1.5] * 3, "interval": ["1d"] * 3, "symbol": ["X"] * 3})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    content = path.read_bytes()
    offsets = struct.pack("<4i", 0, 10, 20, 30)
    assert 1 == content.count(offsets)
    path.write_bytes(content.replace(offsets, struct.pack("<4i", 0, 10, 1 << 24, 30)))
    with fpa_core.open(":memory:") as data, pytest.raises(DataError, match="its columns are damaged"):
        data.ingest(path)
