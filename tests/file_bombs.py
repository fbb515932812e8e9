"""Small or simple files that ask for much time or memory, each written by a function of a folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from attrs import field, frozen

__all__ = ["BOMBS", "Bomb"]

TRADES = b"symbol,timestamp,price,size\n"
TRADE = b"A,2024-05-01T14:30:00Z,1,1\n"
MEMBER = '"symbol":"A","timestamp":"2024-05-01T14:30:00Z","price":1,"size":1'
START = 1_714_573_800_000_000_000
MIB = 1 << 20


@frozen
class Bomb:
    """A file that asks for much.

    :ivar write: returns its content, whole or in pieces.
    :ivar quick: whether it is done so soon that it can be part of every run.
    :ivar beyond: why it is beyond the bounds, where it is known to be.
    """

    name: str
    file: str
    write: Callable[[], bytes | Iterable[bytes]]
    quick: bool = False
    beyond: str | None = None
    options: dict[str, Any] = field(factory=dict)

    def written(self, folder: Path) -> Path:
        """Write the file and return its path."""
        path = folder / self.file
        content = self.write()
        with path.open("wb") as file:
            for piece in (content,) if isinstance(content, bytes) else content:
                file.write(piece)
        return path


def _new_names(lines: int, names: int = 5) -> bytes:
    return "".join(
        "{" + ",".join(f'"k{line}_{name}":1' for name in range(names)) + f",{MEMBER}}}\n" for line in range(lines)
    ).encode()


def _wide(columns: int) -> bytes:
    names = ",".join(f"c{number}" for number in range(columns))
    return f"symbol,timestamp,price,size,{names}\nA,2024-05-01T14:30:00Z,1,1{',1' * columns}\n".encode()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _trades(rows: int, **more: Any) -> pa.Table:
    times = pa.array(START + 1_000 * np.arange(rows)).cast(pa.timestamp("ns", "UTC"))
    ones = pa.array(np.ones(rows, np.int64))
    return pa.table({"symbol": pa.repeat("A", rows), "timestamp": times, "price": ones, "size": ones, **more})


def _words(rows: int, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["A" * length]))


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _null_rows(rows: int) -> Iterable[bytes]:
    names = ("symbol", "timestamp", "price", "size")
    types = (pa.string(), pa.timestamp("ns", "UTC"), pa.int64(), pa.int64())
    group = 1 << 24
    table = pa.table({name: pa.nulls(group, kind) for name, kind in zip(names, types, strict=True)})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema) as writer:
        for start in range(0, rows, group):
            writer.write_table(table.slice(0, min(group, rows - start)), row_group_size=group)
    yield sink.getvalue()


def _gzip(block: bytes, times: int, head: bytes = b"") -> Iterable[bytes]:
    if head:
        yield gzip.compress(head)
    packed = gzip.compress(block)
    yield from (packed for _ in range(times))


def _zstd(block: bytes, times: int, head: bytes = b"") -> Iterable[bytes]:
    codec = pa.Codec("zstd")
    if head:
        yield codec.compress(head, asbytes=True)
    packed = codec.compress(block, asbytes=True)
    yield from (packed for _ in range(times))


def _zip(members: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members:
            with archive.open(name, "w", force_zip64=True) as member:
                for piece in (content,) if isinstance(content, bytes) else content:
                    member.write(piece)
    return sink.getvalue()


def _nested(depth: int) -> bytes:
    content = TRADES + TRADE
    for level in range(depth):
        content = _zip([(f"{level}.{'zip' if level else 'csv'}", content)])
    return content


def _workbook(size: int) -> bytes:
    cells = "".join(f'<c r="{c}2" t="inlineStr"><is><t>{v}</t></is></c>' for c, v in zip("ABCD", "A111", strict=True))
    rows = f"<row>{cells}</row>".encode() * 1000
    types = (
        b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        b'<Default Extension="xml" ContentType="application/xml"/></Types>'
    )
    kinds = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = b"http://schemas.openxmlformats.org/package/2006/relationships"
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"

    def relation(target: bytes, kind: bytes) -> bytes:
        return (
            b'<?xml version="1.0"?><Relationships xmlns="%b"><Relationship Id="r1" Type="%b/%b" Target="%b"/></Relationships>'
            % (package, kinds, kind, target)
        )

    def sheet() -> Iterable[bytes]:
        yield b'<?xml version="1.0"?><worksheet xmlns="%b"><sheetData>' % main
        yield from (rows for _ in range(size // len(rows)))
        yield b"</sheetData></worksheet>"

    return _zip(
        [
            ("[Content_Types].xml", types),
            ("_rels/.rels", relation(b"xl/workbook.xml", b"officeDocument")),
            (
                "xl/workbook.xml",
                b'<?xml version="1.0"?><workbook xmlns="%b" xmlns:r="%b"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>'
                % (main, kinds),
            ),
            ("xl/_rels/workbook.xml.rels", relation(b"worksheets/sheet1.xml", b"worksheet")),
            ("xl/worksheets/sheet1.xml", sheet()),
        ]
    )


def _symbols(count: int) -> bytes:
    return TRADES + b"".join(b"S%d,2024-05-01T14:30:00Z,1,1\n" % number for number in range(count))


def _rows(count: int, day: int = 1) -> bytes:
    """Return rows of different times."""
    return b"".join(
        b"A,2024-%02d-%02dT14:30:%02d.%06dZ,1,1\n" % (1 + day // 28, 1 + day % 28, n // 10**6, n % 10**6)
        for n in range(count)
    )


def _reasons(count: int) -> bytes:
    bad = "".join(
        f"A,2024-05-01T14:30:00Z,{'x' * (number % 50)}y{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676 % 26)}"
        f"{chr(97 + number // 17576 % 26)},1\n"
        for number in range(count)
    )
    return TRADES + TRADE + bad.encode()


def _orders(count: int) -> bytes:
    lines = (
        f"o1,A,buy,10,limit,new,0,2024-05-01T14:30:00Z,2024-05-01T14:30:00.{number:06}Z\n" for number in range(count)
    )
    head = "order_id,symbol,side,quantity,order_type,status,filled_quantity,timestamp,updated_at\n"
    return (head + "".join(lines)).encode()


BOMBS = (
    Bomb("JSON Lines, new names on every line, 1.0 MB", "a.jsonl", lambda: _new_names(7_500), quick=True),
    Bomb("JSON Lines, new names on every line, 2.6 MB", "a.jsonl", lambda: _new_names(20_000), quick=True),
    Bomb("JSON Lines, 100 new names on every line", "a.jsonl", lambda: _new_names(2_000, 100), quick=True),
    Bomb("JSON Lines, 1,000,000 names in one object", "a.jsonl", lambda: _new_names(1, 1_000_000), quick=True),
    Bomb("JSON, 1,000,000 names in one object", "a.json", lambda: b"[" + _new_names(1, 1_000_000) + b"]", quick=True),
    Bomb("JSON, an object of 1,000,000 rows by key", "a.json", lambda: b"{" + b",".join(b'"k%d":{%b}' % (n, MEMBER.encode()) for n in range(1_000_000)) + b"}"),
    Bomb("JSON, 10,000,000 empty arrays", "a.json", lambda: b"[" + b",".join([b"[]"] * 10_000_000) + b"]", quick=True),
    Bomb("JSON, 10,000,000 empty objects", "a.json", lambda: b"[" + b",".join([b"{}"] * 10_000_000) + b"]"),
    Bomb("JSON Lines, 10,000,000 empty objects", "a.jsonl", lambda: b"{}\n" * 10_000_000),
    Bomb("JSON, one text of 100 MB", "a.json", lambda: b'[{"symbol":"' + b"A" * (100 * MIB) + b'"}]'),
    Bomb("JSON, one text of 15 MB of escapes", "a.json", lambda: b'[{"symbol":"' + b"\\u0041" * (15 * MIB // 6) + b'"}]'),
    Bomb("JSON, 100,000 arrays deep", "a.json", lambda: b"[" * 100_000, quick=True),
    Bomb("JSON, 100,000 objects deep", "a.json", lambda: b'{"a":' * 100_000, quick=True),
    Bomb("JSON Lines, 100,000 deep within a member", "a.jsonl", lambda: b'{"symbol":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", quick=True),
    Bomb("JSON, a number of 10,000,000 digits", "a.json", lambda: b'[{"symbol":"A","timestamp":"2024-05-01T14:30:00Z","size":1,"price":' + b"1" * 10_000_000 + b"}]"),
    Bomb("JSON Lines, lines of 15 MB", "a.jsonl", lambda: (b'{"symbol":"A","x":"' + b"A" * (15 * MIB) + b'"}\n' for _ in range(10))),
    Bomb("CSV header of 200,000 columns", "a.csv", lambda: _wide(200_000), quick=True),
    Bomb("CSV header of 1,000,000 columns", "a.csv", lambda: _wide(1_000_000), quick=True),
    Bomb("CSV header of 4,000 columns, 5,000 rows", "a.csv", lambda: _wide(4_000) + (b"A,2024-05-01T14:30:00Z,1,1" + b",1" * 4_000 + b"\n") * 5_000),
    Bomb("CSV header of 4,000 columns, 2,000 rows with quotes", "a.csv", lambda: _wide(4_000) + (b"A,2024-05-01T14:30:00Z,1,1" + b',"1"' * 4_000 + b"\n") * 2_000),
    Bomb("CSV, 1,000,000 cells in one row", "a.csv", lambda: TRADES + TRADE + b"1," * 1_000_000 + b"\n" + TRADE, quick=True),
    Bomb("CSV, 250,000 empty rows", "a.csv", lambda: TRADES + TRADE + b",,,\n" * 250_000, quick=True),
    Bomb("CSV, 250,000 equal refused rows", "a.csv", lambda: TRADES + TRADE + b"A,2024-05-01T14:30:00Z,,1\n" * 250_000),
    Bomb("CSV, 250,000 equal rows of the wrong width", "a.csv", lambda: TRADES + TRADE + b"A,B\n" * 250_000),
    Bomb("CSV, 100,000 refused rows of different reasons", "a.csv", lambda: _reasons(100_000)),
    Bomb("CSV, 100,000 symbols x 1 row", "a.csv", lambda: _symbols(100_000)),
    Bomb("CSV, 500,000 symbols x 1 row", "a.csv", lambda: _symbols(500_000)),
    Bomb("CSV, 20,000 versions of one order", "a.csv", lambda: _orders(20_000)),
    Bomb("CSV, one line of 100 MB", "a.csv", lambda: TRADES + TRADE + b"A" * (100 * MIB)),
    Bomb("CSV, 100 MB of line ends", "a.csv", lambda: TRADES + b"\n" * (100 * MIB) + TRADE),
    Bomb("CSV, a quote never closed, 50 MB", "a.csv", lambda: TRADES + TRADE + b'A,"' + _rows(1_500_000)),
    Bomb("CSV, a quote never closed on every line, 1 MB", "a.csv", lambda: TRADES + TRADE + b'"A,2024-05-01T14:30:00Z,1,1\n' * 37_001),
    Bomb("CSV, a stray quote on every line, 5 MB", "a.csv", lambda: TRADES + TRADE + b'"A"x,2024-05-01T14:30:00Z,1,1\n' * 170_000),
    Bomb("CSV, 20 MB of quotes", "a.csv", lambda: TRADES + TRADE + b'"' * (15 * MIB) + b"\n" + b'"' * (5 * MIB)),
    Bomb("CSV, 2,000,000 trades of one instant", "a.csv", lambda: TRADES + TRADE * 2_000_000),
    Bomb("CSV, UTF-16, 50 MB", "a.csv", lambda: (TRADES + TRADE * (25 * MIB // len(TRADE))).decode().encode("utf-16")),
    Bomb("CSV, numbers of 1,000,000 digits", "a.csv", lambda: TRADES + TRADE + (b"A,2024-05-01T14:30:00Z," + b"1" * 1_000_000 + b",1\n") * 20),
    Bomb("CSV, exponents of nine digits", "a.csv", lambda: TRADES + TRADE + b"A,2024-05-01T14:30:00Z,1e999999999,1\nA,2024-05-01T14:30:00Z,1,1e-999999999\n" * 20_000),
    Bomb("CSV, different exponents of nine digits", "a.csv", lambda: TRADES + TRADE + b"".join(b"A,2024-05-01T14:30:00Z,1e%d,1\n" % (10**8 + n) for n in range(50_000))),
    Bomb("gzip, 10 GB of zeros", "a.csv.gz", lambda: _gzip(bytes(100 * MIB), 100)),
    Bomb("gzip, 10 GB of zeros after a header", "a.csv.gz", lambda: _gzip(bytes(100 * MIB), 100, TRADES + TRADE)),
    Bomb("Zstandard, 10 GB of zeros after a header", "a.csv.zst", lambda: _zstd(bytes(100 * MIB), 100, TRADES + TRADE)),
    Bomb("Zstandard, 200,000,000 equal rows", "a.csv.zst", lambda: _zstd(TRADE * 1_000_000, 200, TRADES)),
    Bomb("Zstandard, 200,000,000 empty rows", "a.csv.zst", lambda: _zstd(b",,,\n" * 1_000_000, 200, TRADES + TRADE)),
    Bomb("Zstandard, 5 GB of line ends", "a.csv.zst", lambda: _zstd(b"\n" * (100 * MIB), 50, TRADES + TRADE)),
    Bomb("gzip, 1,000,000 rows with an unread cell of 10,000", "a.csv.gz", lambda: _gzip((TRADE[:-1] + b"," + b"x" * 10_000 + b"\n") * 10_000, 100, TRADES[:-1] + b",note_of_mine\n")),
    Bomb("gzip, 1,000,000 rows with conditions of 10,000", "a.csv.gz", lambda: _gzip((TRADE[:-1] + b"," + b"x" * 10_000 + b"\n") * 10_000, 100, TRADES[:-1] + b",conditions\n" + TRADE[:-1] + b",x\n")),
    Bomb("bzip2, 1 GB of zeros after a header", "a.csv.bz2", lambda: [bz2.compress(TRADES + TRADE), *[bz2.compress(bytes(100 * MIB), 1)] * 10]),
    Bomb("xz, 1 GB of zeros after a header", "a.csv.xz", lambda: [lzma.compress(TRADES + TRADE), *[lzma.compress(bytes(100 * MIB), preset=0)] * 10]),
    Bomb("ZIP, 4 deep", "a.zip", lambda: _nested(5)),
    Bomb("ZIP, 3 deep", "a.zip", lambda: _nested(3), quick=True),
    Bomb("ZIP, 1 GB of zeros", "a.zip", lambda: _zip([("a.csv", (bytes(100 * MIB) for _ in range(10)))])),
    Bomb("ZIP, 3,000 members", "a.zip", lambda: _zip((f"{n}.csv", TRADES + TRADE) for n in range(3_000))),
    Bomb("ZIP, 20,000 members", "a.zip", lambda: _zip((f"{n}.csv", TRADES + TRADE) for n in range(20_000))),
    Bomb("ZIP, 200 members of 1 MB", "a.zip", lambda: _zip((f"{n}.csv", TRADES + _rows(30_000, n)) for n in range(200))),
    Bomb("workbook, 1 GB", "a.xlsx", lambda: _workbook(1024 * MIB)),
    Bomb("workbook, 500 MB", "a.xlsx", lambda: _workbook(500 * MIB)),
    Bomb("Parquet, one text of 4,000 x 2,000,000", "a.parquet", lambda: _parquet(_trades(2_000_000, conditions=_words(2_000_000, 4_000)))),
    Bomb("Parquet, one text of 1 MB x 2,000,000", "a.parquet", lambda: _parquet(_trades(2_000_000, conditions=_words(2_000_000, MIB)))),
    Bomb("Parquet, an unread text of 1 MB x 2,000,000", "a.parquet", lambda: _parquet(_trades(2_000_000, mine=_words(2_000_000, MIB)))),
    Bomb("Parquet, texts of 100,000, no dictionary kept", "a.parquet", lambda: _parquet(_trades(100_000, conditions=_words(100_000, 100_000)).replace_schema_metadata(None))),
    Bomb("Arrow, one text of 1 MB x 2,000,000", "a.arrow", lambda: _arrow(_trades(2_000_000, conditions=_words(2_000_000, MIB)))),
    Bomb("Parquet, 200,000,000 rows of nulls", "a.parquet", lambda: _null_rows(200_000_000)),
    Bomb("Parquet, 20,000 columns", "a.parquet", lambda: _parquet(_trades(1, **{f"c{n}": [1] for n in range(20_000)}))),
    Bomb("Parquet, a list of 20,000,000 in one row", "a.parquet", lambda: _parquet(_trades(1, conditions=pa.array([np.zeros(20_000_000, np.int64)], pa.list_(pa.int64()))))),
)  # fmt: skip
