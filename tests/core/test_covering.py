"""Files in the ledger: a file covers what the user says it does, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fpa_core.exceptions import DataError
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Bar, Order, Quote
from fpa_core.numbers import Instant, to_ns

NOW = to_ns("2024-06-15T12:00:00Z")
MAY = ("2024-05-01", "2024-06-01")


@pytest.fixture
def data() -> Iterator[DataLayer]:
    """Open a layer in the middle of June."""
    with open_layer(":memory:", clock=lambda: NOW) as layer:
        yield layer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write bars of two symbols; one is of June."""
    path = tmp_path / "may.csv"
    rows = ["AAPL,2024-05-01", "AAPL,2024-05-02", "IBM,2024-05-31", "IBM,2024-06-03", "SPY,2024-06-03"]
    path.write_text("symbol,date,open,high,low,close,volume\n" + "".join(f"{row},1,1,1,1,1\n" for row in rows))
    return path


def ledger(data: DataLayer) -> set[tuple[Any, ...]]:
    """Return what the ledger holds, times as nanoseconds."""
    return {
        (one.kind, one.subject, one.interval, one.origin, one.start_ns, one.end_ns, one.rows)
        for one in data.store.coverage()
    }


def test_a_file_says_nothing_of_itself(data: DataLayer, file: Path) -> None:
    """A file that is ingested without more covers nothing, however many days it has."""
    data.ingest(file, interval="1d")
    assert set() == ledger(data)


def test_what_the_user_says(data: DataLayer, file: Path) -> None:
    """Of each symbol and interval of the file the whole range is covered, with as many rows as are in it; undoing the batch ends that."""
    receipt = data.ingest(file, interval="1d", origin="acme", covers=MAY)
    start, end = (to_ns(text, dates=True) for text in MAY)
    common = ("1d", "files:acme", start, end)
    assert {("bars", "AAPL", *common, 2), ("bars", "IBM", *common, 1), ("bars", "SPY", *common, 0)} == ledger(data)
    assert receipt.batch is not None
    data.store.undo(receipt.batch)
    assert set() == ledger(data)


def test_empty_is_not_unknown(data: DataLayer) -> None:
    """A symbol that is given with its kind and interval is covered, though the data have no row; without an interval bars are not."""
    nothing: list[Any] = []
    data.ingest(nothing, kind="bars", symbol="GONE", interval="60m", covers=MAY)
    data.ingest(nothing, kind="quotes", symbol="GONE", covers=MAY)
    data.ingest(nothing, kind="bars", symbol="OTHER", covers=MAY)
    assert {("bars", "GONE", "1h", 0), ("quotes", "GONE", None, 0)} == {(*one[:3], one[-1]) for one in ledger(data)}


def test_records_from_a_program(data: DataLayer) -> None:
    """Records count as files do; orders have no ledger, and nothing is stored then."""
    quotes = [Quote("AAPL", Instant(to_ns(f"2024-05-0{day}T14:30:00Z")), 1, 2) for day in (1, 2)]
    data.ingest(quotes, covers=(quotes[0].timestamp, "2024-05-02"))
    assert [1] == [one.rows for one in data.store.coverage()]
    with pytest.raises(DataError, match="nothing of orders"):
        data.ingest([Order("o", "A", 1, "buy", "market", timestamp="2024-05-01T14:30:00Z")], covers=MAY)
    assert 0 == data.select("orders").count()


@pytest.mark.parametrize(
    ("covers", "problem"),
    [
        (("2024-05-01", "2024-05-01"), "the range is empty"),
        (("2024-06-01", "2024-07-01"), "still to come"),
        (("2024-05-01",), "is not a start and an end"),
        (5, "is not a start and an end"),
        (("soon", "later"), "covers"),
    ],
)
def test_what_is_no_range(data: DataLayer, file: Path, covers: Any, problem: str) -> None:
    """A range that is none, or that is not over yet, is refused, and nothing is stored."""
    with pytest.raises(DataError, match=problem):
        data.ingest(file, interval="1d", covers=covers)
    assert 0 == data.select(Bar).count()
