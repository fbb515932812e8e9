"""The files source: formats, compressions, headers, and rows that are no records."""

import gzip
import subprocess
import sys

import pyarrow as pa
import pytest

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.models import Quote
from fpa_core.protocols import Chunk, SourceRequest
from fpa_plugins.files import containers, plugin, stream
from fpa_plugins.files.source import FilesSource

QUOTES = """symbol,timestamp,bid,ask,bid_size,ask_size
AAPL,2024-05-01T14:30:00.5Z,169.58,169.60,100,200
BTC/USDT,2024-05-01T14:30:00.123456789Z,,0.00000000000000000001,,
"""

EXPECTED = [
    Quote("AAPL", "2024-05-01T14:30:00.5Z", "169.58", "169.60", "100", "200"),
    Quote("BTC/USDT", "2024-05-01T14:30:00.123456789Z", None, "0.00000000000000000001"),
]


def chunks_of(path, **request) -> list[Chunk]:
    """Read all of a file."""
    return list(FilesSource().read(SourceRequest(str(path), **request)))


def records_of(path, **request):
    """Return the records and the rejects of a file."""
    chunks = chunks_of(path, **request)
    records = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    return records, [reject for chunk in chunks for reject in chunk.rejects]


def write(folder, name, content):
    """Make a file, compressed as its name says."""
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    path.write_bytes(
        data
        if codec is None
        else bytes(pa.compress(data, codec, asbytes=True))
        if codec == "zstd"
        else gzip.compress(data)
    )
    return path


# The plugin


def test_the_plugin_offers_the_source():
    """The hook registers a source named files, whose factory makes a reader."""
    offered = {}
    plugin.fpa_register_sources(lambda name, factory, options: offered.update({name: (factory, options)}))
    factory, options = offered["files"]
    assert isinstance(factory(options()), FilesSource)


def test_the_plugin_module_imports_no_arrow():
    """The module with the hook is imported for every command, so it must not pull Arrow in."""
    code = "import sys, fpa_plugins.files.plugin; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Formats and compressions


@pytest.mark.parametrize("name", ["q.csv", "q.csv.gz", "q.csv.zst", "Q.CSV.GZ", "2024.05.01.csv"])
def test_csv_is_read_exactly(tmp_path, name):
    """CSV, plain or compressed, comes out as exact records in the order of its rows."""
    assert records_of(write(tmp_path, name, QUOTES)) == (EXPECTED, [])


def test_tsv_has_tabs(tmp_path):
    """A .tsv file is separated by tabs."""
    assert records_of(write(tmp_path, "q.tsv.gz", QUOTES.replace(",", "\t"))) == (EXPECTED, [])


@pytest.mark.parametrize("name", ["q.jsonl", "q.ndjson.gz", "q.jsonl.zst"])
def test_json_lines_are_read_exactly(tmp_path, name):
    """Numbers and strings in JSON Lines both come out as exact decimals; null and absence are missing values."""
    lines = (
        '\ufeff{"S": "AAPL", "ts": "2024-05-01T14:30:00.5Z", "bid": 169.58, "ask": 169.60, "bid_size": "100", "ask_size": 2e2}\r\n\n'
        '{"S": "BTC/USDT", "ts": "2024-05-01T14:30:00.123456789Z", "bid": null, "ask": 0.00000000000000000001, "bid_size": ""}'
    )
    assert records_of(write(tmp_path, name, lines)) == (EXPECTED, [])


def test_json_names_may_come_late(tmp_path):
    """A name that first occurs deep in a JSON Lines file is a column from there on, and said once if it is none."""
    line = '{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":1,"size":1%s}\n'
    path = write(
        tmp_path, "t.jsonl", line % "" * 4000 + line % ',"tape":"C"' + line % ',"venue":"P"' + line % ',"tape":"C"'
    )
    chunks = chunks_of(path, chunk_rows=100)
    trades = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    assert (len(trades), trades[0].exchange, trades[4001].exchange) == (4003, None, "P")
    assert [note for chunk in chunks for note in chunk.notes] == ["columns not read: tape"]


def test_json_that_is_no_text_stands_as_written(tmp_path):
    """Lists and truth values are kept as their JSON text where a text is wanted, and refused where a number is."""
    path = write(
        tmp_path,
        "t.jsonl",
        '{"symbol":"A","t":"2024-05-01T14:30:00Z","price":1,"size":1,"conditions":["@","I"],"id":55}\n'
        '{"symbol":"A","t":"2024-05-01T14:30:00Z","price":true,"size":1}\n',
    )
    (trade,), (reject,) = records_of(path)
    assert (trade.conditions, trade.trade_id) == ('["@", "I"]', "55")
    assert (reject.row, reject.problem) == (2, "price: 'true' is not a decimal number")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "a list or a single value"),
        ("{", "Expecting"),
        ('{"symbol":"A","symbol":"B"}', "duplicate name"),
        ('{"symbol":"\\ud800"}', "surrogate"),
        ("[" * 100_000, "recursion"),
        ('{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":NaN,"size":1}', "price: it is missing"),
        ('{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","size":1}', "price: it is missing"),
    ],
)
def test_json_lines_that_are_no_rows_are_rejected(tmp_path, line, problem):
    """A line that is no object, or no record, is rejected, and the others are not lost."""
    good = '{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":1,"size":1}\n'
    chunks = chunks_of(write(tmp_path, "t.jsonl", f"{good}{line}\n{good}"))
    (reject,) = chunks[0].rejects
    assert problem in reject.problem
    assert (reject.row, list(chunks[0].rows)) == (2, [1, 3])


# What cannot be read at all


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "\n\n", "the file is empty"),
        ("a.csv.gz", b"", "the file is empty"),
        ("a.jsonl", "\n", "the file is empty"),
        ("a.csv", "symbol,timestamp,bid,ask\n", "the file has no rows"),
        ("a.csv", b"\xff\xfes\x00y\x00\n", "the text is not utf-16"),
        ("a.csv", b"s" + b"\x00\x01\x02" * 400, "binary data of an unknown kind"),
        ("a.csv", '"symbol,ask\n1,2', "the first line is not a header"),
        ("a.parquet", "PAR1", "this is not a complete Parquet file"),
        ("a.parquet.gz", "PAR1", "this is not a complete Parquet file"),
        ("a.xlsx", "x", "the file has no rows"),
        ("a.csv", "<!DOCTYPE html><p>Log in", "this is an HTML page"),
        ("a.csv", "%PDF-1.7", "this is a PDF document"),
        ("a.json", '{"error": "no such key", "code": 404}', "do not match any kind of record"),
        (".gz", "x", "the file has no rows"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, content, problem):
    """A file that is no table of rows is refused with an error that names it and says why."""
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=problem) as caught:
        chunks_of(path)
    assert caught.value.source == str(path)


def test_a_truncated_gzip_is_refused(tmp_path):
    """The end of a compressed file cut off is an error, not the end of the data."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(QUOTES.encode())[:-10])
    with pytest.raises(DataError, match="cut off or damaged"):
        chunks_of(path)


def test_joined_gzips_are_one_file(tmp_path):
    """Compressed files appended to each other are read to the end."""
    path = tmp_path / "a.csv.gz"
    header, *rows = QUOTES.encode().splitlines(keepends=True)
    path.write_bytes(b"".join(map(gzip.compress, [header, *rows])))
    assert records_of(path) == (EXPECTED, [])


def test_missing_files_and_folders_are_named(tmp_path):
    """A missing file, and a folder, are told apart."""
    with pytest.raises(DataError, match="file not found"):
        chunks_of(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="this is a folder"):
        chunks_of(tmp_path / "folder.csv")


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    """What the operating system refuses becomes a DataError."""

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(containers.pa, "OSFile", refuse)
    with pytest.raises(DataError, match="cannot be opened: Permission denied"):
        chunks_of(write(tmp_path, "a.csv", QUOTES))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    """A line beyond all measure ends the reading before it fills the memory."""
    monkeypatch.setattr(stream, "MAX_LINE", 100_000)
    with pytest.raises(DataError, match="a line is longer than"):
        chunks_of(write(tmp_path, "a.csv", QUOTES + "x" * 200_000), chunk_rows=100)


# Chunks


def test_chunks_are_bounded_and_count_on(tmp_path):
    """No chunk has more rows than asked for; positions run on and progress reaches the end."""
    row = "A,2024-05-01T14:30:00Z,1,2\n"
    path = write(tmp_path, "q.csv", "symbol,timestamp,bid,ask\n" + row * 10_000)
    chunks = chunks_of(path, chunk_rows=700)
    assert [position for chunk in chunks for position in chunk.rows] == list(range(1, 10_001))
    assert max(chunk.table.num_rows for chunk in chunks) == 700
    progress = [chunk.progress for chunk in chunks]
    assert progress == sorted(progress)
    assert (progress[0] < 0.5, progress[-1]) == (True, 1.0)


def test_pieces_keep_their_rejects(tmp_path):
    """Rejects travel with the chunk in whose rows they stand."""
    good = "A,2024-05-01T14:30:00Z,1,2\n"
    chunks = chunks_of(
        write(tmp_path, "q.csv", f"symbol,timestamp,bid,ask\nx\n{good * 3}x\n{good * 2}x\n"), chunk_rows=2
    )
    assert [(list(chunk.rows), [reject.row for reject in chunk.rejects]) for chunk in chunks] == [
        ([2, 3], [1]),
        ([4, 6], [5]),
        ([7], [8]),
    ]
