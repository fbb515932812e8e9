"""Real market data from the file to the database and back: nothing lost, nothing doubled, exact to the last digit."""

from __future__ import annotations

import csv
import functools
import gzip
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpa_core.cli.main import cli
from fpa_core.kinds import KINDS, Column, Kind
from fpa_core.numbers import decimal_text, to_ns

DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).parents[2] / "../shared/data")
PATHS = sorted(path for path in DATA.glob("*.csv.gz") if re.match("quotes|trades|bars", path.name))
FEW = 3
"""Symbols that are queried one by one."""

HEAD = 20_000
"""Lines of a file that are taken, so many from its beginning; the long form takes the whole file."""

NIFTY = "bars_index_1m_NIFTY50"

pytestmark = pytest.mark.skipif(not PATHS, reason="the shared market data are not here")

Row = tuple[Any, ...]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Go to a folder whose database need not survive a power cut."""
    (tmp_path / "fpa.toml").write_text('[store]\nsynchronous = "normal"\n')
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    instant.cache_clear()
    number.cache_clear()


def fpa(*arguments: object) -> str:
    """Run a command and return what it printed; one that fails fails the test."""
    result = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.stdout


def ingest(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fpa("ingest", path, "--json"))["results"][0]
    assert found["read"] == sum(found[name] for name in ("inserted", "duplicate", "revised", "quarantined"))
    return found


def kind_of(path: Path) -> Kind:
    return KINDS[path.name.split("_")[0]]


def lines(path: Path) -> Iterator[str]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        yield from file


instant = functools.cache(to_ns)


@functools.cache
def number(text: str) -> str:
    """One text for equal numbers."""
    return decimal_text(Decimal(text))


def value(column: Column, text: str) -> Any:
    """Return what a cell says: an exact number, nanoseconds, or a text; None where it is empty."""
    if not text:
        return None
    return instant(text) if column.type == "time" else number(text) if column.type in {"decimal", "integer"} else text


def rows(kind: Kind, content: Iterable[str]) -> list[Row]:
    """Return the rows of a CSV file as plain values in the order of the kind's columns."""
    reader = csv.reader(content)
    names = next(reader)
    columns = map(kind.by_name.__getitem__, names)
    values = [
        [value(column, text) for text in texts]
        for column, texts in zip(columns, zip(*reader, strict=True), strict=True)
    ]
    by_name = dict(zip(names, values, strict=True))
    missing = [None] * len(values[0])
    return list(zip(*(by_name.get(column.name, missing) for column in kind.columns), strict=True))


def queried(kind: Kind, symbols: list[str]) -> str:
    """Return what the command gives back: of a few symbols one after the other, of many all at once."""
    found = ""
    for symbol in symbols if len(symbols) <= FEW else [None]:
        fpa("query", kind.name, *([] if symbol is None else [symbol]), "--format", "csv", "-o", "out.csv")
        header, _, body = Path("out.csv").read_text(encoding="utf-8").partition("\n")
        found = (found or f"{header}\n") + body
    return found


def place(kind: Kind, row: Row) -> tuple[str, int]:
    names = [column.name for column in kind.columns]
    return row[names.index("symbol")], row[names.index("timestamp")]


def head(path: Path, folder: Path) -> Path:
    """Return a file, or its first lines in a file of the same name if it has more."""
    taken = list(itertools.islice(lines(path), HEAD + 1))
    if len(taken) <= HEAD:
        return path
    cut = folder / path.name
    with gzip.open(cut, "wt", encoding="utf-8", newline="", compresslevel=1) as file:
        file.writelines(taken[:HEAD])
    return cut


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.removesuffix(".csv.gz"))
def test_a_real_file(path: Path, folder: Path) -> None:
    """The first rows of a file are stored and come back equal, in order; again they add nothing, and half of them first make no difference."""
    check_file(head(path, folder), folder)


@pytest.mark.torture
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.removesuffix(".csv.gz"))
def test_a_whole_real_file(path: Path, folder: Path) -> None:
    """A whole file, however long, is stored and comes back equal, in order; again it adds nothing, and half of it first makes no difference."""
    check_file(path, folder)


def check_file(path: Path, folder: Path) -> None:
    kind = kind_of(path)
    source = rows(kind, lines(path))
    first = ingest(path)
    assert (len(source), 0, kind.name) == (first["read"], first["quarantined"], first["kind"])
    once = source if kind.multiset else list(dict.fromkeys(source))
    assert (len(once), 0) == (first["inserted"], first["revised"])
    if path.name.startswith(NIFTY):
        assert (3_018, 1_509) == (first["read"], first["inserted"])
        (note,) = first["notes"]
        assert (
            "1,509 rows repeat a row of the same batch and were stored only once: bars are stored once per symbol, interval and timestamp"
            == note
        )

    symbols = sorted({place(kind, row)[0] for row in source})
    answer = queried(kind, symbols)
    stored = rows(kind, answer.splitlines())
    in_order = sorted(once, key=lambda row: place(kind, row))
    if kind.multiset:
        assert in_order == stored, "in order of time, and of arrival within a timestamp"
    else:
        assert Counter(in_order) == Counter(stored)
        assert [place(kind, row) for row in in_order] == [place(kind, row) for row in stored]

    again = ingest(path)
    assert (len(source), 0, 0) == (again["duplicate"], again["inserted"], again["revised"])

    (folder / "portfolio.db").unlink()
    half = folder / f"{kind.name}.csv"
    half.write_text("".join(itertools.islice(lines(path), 1 + len(source) // 2)), encoding="utf-8")
    inserted = ingest(half)["inserted"] + (whole := ingest(path))["inserted"]
    assert (len(once), 0) == (inserted, whole["revised"])
    assert answer == queried(kind, symbols)


OVERLAPPING = [path for path in PATHS if re.search("(fxcm|oanda)_EURUSD", path.name)]
"""Two sources of one symbol, which begin at the same time."""


def test_two_files_that_overlap(folder: Path) -> None:
    """Of the first rows of two sources of one symbol that overlap in time, the store holds each row as often as the fuller of the two."""
    check_files([head(path, folder) for path in OVERLAPPING])


@pytest.mark.torture
@pytest.mark.usefixtures("folder")
def test_two_whole_files_that_overlap() -> None:
    """Of two sources of one symbol that overlap in time, the store holds each row as often as the fuller of the two."""
    check_files(OVERLAPPING)


def check_files(paths: list[Path]) -> None:
    assert 2 == len(paths)
    kind = kind_of(paths[0])
    sources = [Counter(rows(kind, lines(path))) for path in paths]
    expected = sources[0] | sources[1]
    assert expected.total() == ingest(paths[0])["inserted"] + ingest(paths[1])["inserted"]
    stored = rows(kind, queried(kind, ["EURUSD"]).splitlines())
    assert expected == Counter(stored)
    times = [place(kind, row) for row in stored]
    assert sorted(times) == times
    spans = [[place(kind, row)[1] for row in source] for source in sources]
    assert max(map(min, spans)) < min(map(max, spans)), "they overlap"
