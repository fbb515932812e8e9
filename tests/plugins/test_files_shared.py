"""The files source on real market data: every row is read, and every value is what a plain reading of the text gives."""

import csv
import gzip
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from fpa_core.arrow import columns
from fpa_core.numbers import to_ns
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource

DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).parents[2] / "../shared/data")
PATHS = sorted(path for path in DATA.glob("*.csv.gz") if re.match("quotes|trades|bars", path.name))
LARGEST_COMPARED = 400_000

pytestmark = pytest.mark.skipif(not PATHS, reason="the shared market data are not here")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.removesuffix(".csv.gz"))
def test_every_row_is_read(path):
    """Real files have no rejects, and their rows are numbered without a gap."""
    with gzip.open(path, "rb") as file:
        expected = sum(1 for _ in file) - 1
    rows = 0
    for chunk in FilesSource().read(SourceRequest(str(path))):
        assert chunk.kind.name == path.name.split("_")[0]
        assert (list(chunk.rejects), chunk.notes) == ([], ())
        assert list(chunk.rows) == list(range(rows + 1, rows + 1 + chunk.table.num_rows))
        rows += chunk.table.num_rows
    assert rows == expected


@pytest.mark.parametrize(
    "path",
    [path for path in PATHS if path.stat().st_size < LARGEST_COMPARED],
    ids=lambda path: path.name.removesuffix(".csv.gz"),
)
def test_every_value_is_exact(path):
    """Each cell equals what the csv module, Decimal and to_ns make of it."""
    tables = [chunk.table for chunk in FilesSource().read(SourceRequest(str(path)))]
    (kind,) = {chunk.kind for chunk in FilesSource().read(SourceRequest(str(path)))}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    for name, texts in zip(header, zip(*rows, strict=True), strict=True):
        arrays = [table.column(name).combine_chunks() for table in tables]
        column = kind.by_name[name]
        if column.type == "decimal":
            read = [value for array in arrays for value in columns.as_decimals(array)]
            assert [Decimal(text) if text else None for text in texts] == read
        elif column.type == "time":
            read = [value for array in arrays for value in columns.times_as_ns(array).to_pylist()]
            assert [to_ns(text) for text in texts] == read
        else:
            assert [text or None for text in texts] == [value for array in arrays for value in array.to_pylist()]
