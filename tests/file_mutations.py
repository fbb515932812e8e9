"""Files changed at random, but so that the same seed makes the same file: by their bytes, their dialect, their cells, or their JSON."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from attrs import frozen

__all__ = ["Mutated", "mutated", "seeds"]

HERE = Path(__file__).parent
LARGEST = 200_000
"""Bytes of the largest file that is changed: larger ones would take the time of many."""

MARKS = (b",", b";", b"\t", b"|")
CELLS = (
    *("", " ", "nan", "NaN", "NULL", "None", "n/a", "-", "--", ".", "\\N", "inf", "-inf", "Infinity", "-nan", "1e400"),
    *("0", "-0", "+1", "007", "1.", ".5", "1e3", "1E-3", "1e+2", "1.5e2", "1e999999999", "1e-999999999", "1e", "0x10"),
    *("1,000", "1.000", "1,000.5", "1.000,5", "1,5", "1,00,000", "1 000", "1'000", "1_000", "1,234,567", "1.234.567"),
    *(
        "0,123",
        "0.123",
        "12,3456",
        "1234,5",
        ",5",
        "$1.5",
        "-$1.5",
        "$-1.5",
        "($1.5)",
        "(1.5)",
        "(-1.5)",
        "€1,5",
        "1.5€",
    ),
    *(
        "1.5K",
        "2M",
        "3B",
        "1.5%",
        "--1",
        "+-1",
        "1-",
        "1/2",
        "\u0661\u0662",
        "\uff11",
        "1\u00a0000",
        "9" * 76,
        "9" * 77,
    ),
    *("0." + "1" * 76, "0." + "1" * 77, "1" * 5000, "x" * 4096, "x" * 4097, "x" * 70_000, "\x00", "a\x00b", "1\x00"),
    *(
        "\x1b]0;x\x07",
        "\u202e",
        "\ud7ff",
        "\ufeff",
        "\u2028",
        "\x85",
        "\x0b",
        "\x0c",
        '"',
        '""',
        "'",
        "\\",
        '\\"',
        "a\nb",
    ),
    *("a\r\nb", "a,b", "a;b", "=1+1", "@x", "true", "FALSE", "{}", "[]", '{"a":1}', "[1,2]", "AAPL", "buy", "1m", "1d"),
    *("2024-05-01", "2024-05-01T14:30:00Z", "2024-05-01 14:30:00+02:00", "2024-05-01T14:30:00.123456789Z", "20240501"),
    *(
        "05/01/2024",
        "13/05/2024 09:30",
        "01.05.2024 09:30",
        "May 1, 2024",
        "2024-02-30T00:00:00Z",
        "24:00:00",
        "1714573800",
    ),
    *("1714573800000", "1714573800000000", "1714573800000000000", "9999999999999", "1970-01-01T00:00:00Z", "45413.5"),
    *("2262-04-12T00:00:00Z", "1677-09-20T00:00:00Z", "0001-01-01T00:00:00Z", "2024-03-10 02:30", "2024-11-03 01:30"),
    *("2024-05-01T14:30:60Z", "2024-05-01T14:30:00-25:00", "2024-05-01T14:30Z", "2024-W18-3", "-9223372036854775808"),
)
VALUES = (
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "true",
    "1e400",
    "-0",
    "1E5",
    "{}",
    "[]",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    "01",
    "1.",
    "'a'",
)


@frozen
class Mutated:
    """A changed file: the name of what it was, what was done to it, and its content."""

    seed: int
    name: str
    done: tuple[str, ...]
    content: bytes


def seeds() -> list[Path]:
    """Return the files that are changed."""
    files = (path for folder in ("cases", "formats") for path in sorted((HERE / folder).glob("*/*")))
    return [
        path
        for path in files
        if path.is_file() and path.name not in {"EXPECT.txt", ".gitattributes"} and 0 < path.stat().st_size <= LARGEST
    ]


def mutated(paths: list[Path], count: int, first: int = 0) -> Iterator[Mutated]:
    """Yield *count* changed files; each depends on its number alone."""
    for seed in range(first, first + count):
        chance = random.Random(seed)
        path = chance.choice(paths)
        content = path.read_bytes()
        done: list[str] = []
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
            change = chance.choice(_changes(content))
            content = change(chance, content)[: 4 * LARGEST]
            done.append(change.__name__.strip("_"))
        yield Mutated(seed, path.name, tuple(done), content)


def _changes(content: bytes) -> tuple[Callable[[random.Random, bytes], bytes], ...]:
    start = content.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    if (
        b"\x00" in content[:512]
        or content[:4] in {b"PAR1", b"PK\x03\x04", b"ARRO"}
        or content[:2] in {b"\x1f\x8b", b"BZ"}
    ):
        return BYTES
    return (
        (*BYTES, *JSON, *JSON, *JSON, *PACKED) if start in {b"{", b"["} else (*BYTES, *DIALECT, *CELL, *CELL, *PACKED)
    )


# Bytes


def _flip(chance: random.Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8, 40)) if found else 0):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _cut(chance: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    start = chance.randrange(len(content))
    return content[:start] if chance.random() < 0.5 else content[:start] + content[start + chance.randint(1, 200) :]


def _repeat(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content) + 1)
    part = content[start : start + chance.choice((1, 5, 50, 500))]
    return content[:start] + part * chance.choice((2, 3, 50)) + content[start:]


def _insert(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content) + 1)
    what = chance.choice(
        (chance.randbytes(chance.randint(1, 30)), b"\x00", b"\xff\xfe", b"\xc3", b'"', b"\r", b"\n", b"\n\n", b"\x1a")
    )
    return content[:start] + what + content[start:]


# Dialect


def _delimiter(chance: random.Random, content: bytes) -> bytes:
    one = max(MARKS, key=content.count)
    other = chance.choice((*MARKS, b" ", b":", b"\x1f"))
    return content.replace(one, other)


def _line_ends(chance: random.Random, content: bytes) -> bytes:
    plain = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if chance.random() < 0.3:
        return b"".join(
            line.rstrip(b"\n") + chance.choice((b"\n", b"\r", b"\r\n")) for line in plain.splitlines(keepends=True)
        )
    return plain.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", b"\r\r\n")))


def _encoding(chance: random.Random, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    name = chance.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "utf-32", "utf-7"))
    return text.encode(name, "replace")


def _quotes(chance: random.Random, content: bytes) -> bytes:
    mark = max(MARKS, key=content.count)
    lines = content.split(b"\n")
    share = chance.choice((0.1, 0.5, 1.0))
    return b"\n".join(
        mark.join(
            b'"' + cell + b'"' if chance.random() < share and b'"' not in cell else cell for cell in line.split(mark)
        )
        if line.strip()
        else line
        for line in lines
    )


def _header(chance: random.Random, content: bytes) -> bytes:
    first, end, rest = content.partition(b"\n")
    how = chance.randrange(4)
    if how == 0:
        return rest
    if how == 1:
        return first + end + content
    if how == 2:
        return first.upper() + end + rest
    lines = rest.split(b"\n")
    lines.insert(chance.randrange(len(lines) + 1), first)
    return first + end + b"\n".join(lines)


def _lines(chance: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    for _ in range(chance.randint(1, 5)):
        what = chance.choice((b"", b"   ", b"# a comment", b",,,,", b"sep=;", b"Total,1,2", b'"', b"\x1a", *lines[:3]))
        lines.insert(chance.randrange(len(lines) + 1), what)
    return b"\n".join(lines)


def _columns(chance: random.Random, content: bytes) -> bytes:
    mark = max(MARKS, key=content.count)
    rows = [line.split(mark) for line in content.split(b"\n")]
    place, other, how = chance.randrange(12), chance.randrange(12), chance.randrange(4)
    for row in rows:
        if len(row) <= max(place, other):
            continue
        if how == 0:
            del row[place]
        elif how == 1:
            row.insert(other, row[place])
        elif how == 2:
            row[place], row[other] = row[other], row[place]
        else:
            row.append(b"")
    return b"\n".join(mark.join(row) for row in rows)


# Cells


def _cells(chance: random.Random, content: bytes) -> bytes:
    """Put other values into some cells, written as CSV has them."""
    mark = max(MARKS, key=content.count)
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    values = [chance.choice(CELLS) for _ in range(chance.choice((1, 1, 3)))]
    for _ in range(chance.choice((1, 1, 3, 10))):
        place = chance.randrange(len(lines))
        cells = lines[place].split(mark.decode())
        value = chance.choice(values)
        if chance.random() < 0.8 and any(each in value for each in ('"', "\n", "\r", mark.decode())):
            value = '"' + value.replace('"', '""') + '"'
        cells[chance.randrange(len(cells))] = value
        lines[place] = mark.decode().join(cells)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _column(chance: random.Random, content: bytes) -> bytes:
    """Write all cells of a column in another way."""
    mark = max(MARKS, key=content.count).decode()
    text = content.decode("utf-8", "replace")
    change = chance.choice(
        (
            lambda cell: cell.replace(".", ","),
            lambda cell: f"${cell}",
            lambda cell: f"({cell})",
            lambda cell: f" {cell} ",
            lambda cell: f"{cell}e2",
            lambda cell: f"1,{cell}",
            lambda cell: f"-{cell}",
            lambda cell: cell.replace("T", " "),
            lambda cell: cell.replace("Z", "+05:30"),
            lambda cell: f"{cell}000",
            lambda cell: cell.replace("-", "/"),
            lambda _: "",
            lambda _: chance.choice(CELLS),
        )
    )
    place = chance.randrange(10)
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=mark, lineterminator="\n")
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=mark)):
            if number and place < len(row):
                row[place] = change(row[place])
            writer.writerow(row)
    except csv.Error:
        return content
    return sink.getvalue().encode("utf-8", "replace")


# JSON


def _json_value(chance: random.Random, content: bytes) -> bytes:
    """Put another value in the place of a number or text."""
    text = content.decode("utf-8", "replace")
    starts = [place for place, letter in enumerate(text) if letter == ":"]
    if not starts:
        return content
    start = chance.choice(starts) + 1
    end = start
    while end < len(text) and text[end] not in ",}]\n":
        end += 1
    value = chance.choice(VALUES) if chance.random() < 0.5 else json.dumps(chance.choice(CELLS))
    return (text[:start] + value + text[end:]).encode("utf-8", "replace")


def _json_nested(chance: random.Random, content: bytes) -> bytes:
    deep = chance.choice((1, 2, 15, 17, 1_000))
    how = chance.randrange(4)
    if how == 0:
        return b"[" * deep + content + b"]" * deep
    if how == 1:
        return b'{"a":' * deep + content + b"}" * deep
    inner = b"[" * deep + b"]" * deep if how == 2 else b'{"x":' * deep + b"1" + b"}" * deep
    start = content.find(b":", chance.randrange(len(content) + 1)) + 1
    return (
        content[:start] + inner + content[start:]
        if chance.random() < 0.3
        else content[:start] + inner + b',"z":' + content[start:]
    )


def _json_names(chance: random.Random, content: bytes) -> bytes:
    """Have a name twice in an object, or another one."""
    start = content.find(b"{", chance.randrange(len(content) + 1)) + 1
    names = (b"symbol", b"price", b"t", b"close", b"", b"\\u0000", b"(key)", b"../x", b"timestamp", b"bars")
    return (
        content[:start] + b'"' + chance.choice(names) + b'":' + chance.choice(VALUES).encode() + b"," + content[start:]
    )


def _json_space(chance: random.Random, content: bytes) -> bytes:
    mark = chance.choice((b",", b":", b"}", b"{", b"]"))
    other = chance.choice((mark + b"\n", b" " + mark, mark * 2, b"\r\n" + mark, b"", mark + b"//x\n"))
    return content.replace(mark, other, chance.choice((-1, 1, 5)))


# Containers


def _packed(chance: random.Random, content: bytes) -> bytes:
    how = chance.choice((gzip.compress, bz2.compress, lzma.compress, _zipped, _zstd))
    packed = how(content)
    return _flip(chance, packed) if chance.random() < 0.6 else packed


def _zipped(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.csv", content)
        archive.writestr("two.csv", content)
    return sink.getvalue()


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


BYTES = (_flip, _cut, _repeat, _insert)
DIALECT = (_delimiter, _line_ends, _encoding, _quotes, _header, _lines, _columns)
CELL = (_cells, _cells, _cells, _column)
JSON = (_json_value, _json_value, _json_nested, _json_names, _json_space)
PACKED = (_packed,)
