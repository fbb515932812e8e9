"""Ingest a file and live records, read them back, and take a batch back.

Run it anywhere: it works in a folder of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import fpa_core
from fpa_core import Quote

TICKS = """\
symbol,timestamp,bid,ask,bid_size,ask_size
AAPL,2024-05-01T13:30:00.000000001Z,169.57,169.59,300,100
AAPL,2024-05-01T13:30:00.000000001Z,169.57,169.59,300,100
AAPL,2024-05-01T13:30:00.25Z,169.60,169.58,200,200
AAPL,2024-05-01 13:30:02,169.58,169.60,100,100
"""


def main() -> None:
    """Show the life of a few quotes."""
    with tempfile.TemporaryDirectory() as folder:
        ticks = Path(folder) / "ticks.csv"
        ticks.write_text(TICKS, encoding="utf-8")
        with fpa_core.open(Path(folder) / "example.db") as data:
            receipt = data.ingest(ticks, origin="example")
            print(f"file: {receipt.read} read, {receipt.inserted} inserted, {receipt.quarantined} quarantined")
            for record in data.store.quarantined():
                print(f"  row {record.row}: {record.findings[0]['message']}")

            live = data.ingest(Quote("AAPL", "2024-05-01T13:30:03Z", bid="169.58", ask="169.61"), origin="live")
            print(f"live: {live.inserted} inserted as batch {live.batch}")

            selection = data.select(Quote, "AAPL", start="2024-05-01", end="2024-05-02")
            for quote in selection:
                print(f"  {quote.timestamp.time()} {quote.bid} {quote.ask} spread {quote.spread}")
            print(
                f"as Arrow: {selection.to_arrow().num_rows} rows; as of 13:30:01: {data.store.as_of('AAPL', 1714570201 * 10**9).bid}"
            )

            print(data.store.undo(live.batch).notes[0])
            print(f"left: {selection.count()} rows")


if __name__ == "__main__":
    main()
