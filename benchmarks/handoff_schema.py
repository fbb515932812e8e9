"""The design the store is measured against: one table with a surrogate key, driven by sqlite3's executemany."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from fpa_core.models import Quote

__all__ = ["read", "save"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS quotes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    symbol TEXT NOT NULL,
    timestamp DATETIME NOT NULL,
    bid DECIMAL(10,4) NOT NULL,
    ask DECIMAL(10,4) NOT NULL,
    bid_size INTEGER NOT NULL,
    ask_size INTEGER NOT NULL,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    UNIQUE(symbol, timestamp)
);
CREATE INDEX IF NOT EXISTS idx_quotes_symbol_timestamp ON quotes(symbol, timestamp);
"""


def save(path: Path, quotes: Iterable[Quote]) -> None:
    """Insert quotes in one transaction, as durably as a committed batch of the store."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.execute("PRAGMA synchronous = FULL")
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO quotes (symbol, timestamp, bid, ask, bid_size, ask_size) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (q.symbol, q.timestamp.isoformat(), str(q.bid), str(q.ask), str(q.bid_size), str(q.ask_size))
                for q in quotes
            ),
        )
    connection.close()


def read(path: Path, symbol: str, start: str, end: str) -> Sequence[Quote]:
    """Return the quotes of a symbol in a range, as records."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT symbol, timestamp, bid, ask, bid_size, ask_size FROM quotes "
        "WHERE symbol = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp",
        (symbol, start, end),
    )
    found = [Quote(*row) for row in rows]
    connection.close()
    return found
