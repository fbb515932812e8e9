"""Databento's binary files are read as its CSV is: exact prices and nanoseconds, and the symbols of the metadata."""

import datetime as dt
import sys
from types import SimpleNamespace

import pytest
import zstandard

from fpa_core.arrow.conversion import from_table
from fpa_core.exceptions import DataError, MissingDependencyError
from fpa_core.models import Trade
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource
from fpa_plugins.files.vendors import BUILT_IN

dbn = pytest.importorskip("databento_dbn", reason="the extra databento is not installed")

NS = 1_714_573_800_123_456_789
EXPECTED = [
    Trade("ESM4", NS, "5035.25", "3", side="buy"),
    Trade("ESM4", NS + 1, "5035.5", "1", side="sell"),
]


def content() -> bytes:
    """Return a file of two trades, made by Databento's own library."""
    metadata = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=NS - 10**12,
        end=NS + 10**12,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.TRADES,
        symbols=["ESM4"],
        mappings=[
            SimpleNamespace(
                raw_symbol="ESM4",
                intervals=[SimpleNamespace(start_date=dt.date(2024, 5, 1), end_date=dt.date(2024, 5, 2), symbol="118")],
            )
        ],
    )
    rows = [(NS, 5_035_250_000_000, 3, dbn.Side.BID), (NS + 1, 5_035_500_000_000, 1, dbn.Side.ASK)]
    trades = [
        dbn.TradeMsg(
            publisher_id=1,
            instrument_id=118,
            ts_event=at,
            price=price,
            size=size,
            action=dbn.Action.TRADE,
            side=side,
            depth=0,
            ts_recv=at + 1000,
        )
        for at, price, size, side in rows
    ]
    return metadata.encode() + b"".join(bytes(trade) for trade in trades)


def records_of(path):
    """Return the records of a file."""
    formats = {offer.name: offer for offer in BUILT_IN}
    chunks = FilesSource().read(SourceRequest(str(path), formats=formats))
    return [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]


@pytest.mark.parametrize("name", ["trades.dbn", "trades.dbn.zst"])
def test_a_binary_file_is_read_exactly(tmp_path, name):
    """Fixed-point prices and nanoseconds come out as they are, plain or compressed."""
    path = tmp_path / name
    path.write_bytes(zstandard.compress(content()) if name.endswith("zst") else content())
    assert EXPECTED == records_of(path)


def test_a_damaged_file_is_refused(tmp_path):
    """A file that is cut off within its metadata, or whose metadata are noise, is refused by name."""
    path = tmp_path / "trades.dbn"
    for damaged in (content()[:60], content()[:8] + b"\xff" * 200):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"trades\.dbn"):
            records_of(path)


def test_the_library_is_asked_for(tmp_path, monkeypatch):
    """Without Databento's library the error says how to install it."""
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    path = tmp_path / "trades.dbn"
    path.write_bytes(content())
    with pytest.raises(MissingDependencyError, match="the library to read it is not installed") as caught:
        records_of(path)
    assert "[databento]" in str(caught.value.hint)
