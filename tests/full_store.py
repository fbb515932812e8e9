"""A small store that has something of everything: for tests of checks, backups and damage."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from fpa_core.kinds import KINDS, TRADES
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

__all__ = ["fill", "fill_file", "read_all"]

T = 1_714_573_800_000_000_000


def fill(store: DataStore) -> None:
    """Store hot and sealed rows, revisions, deletions, undone batches of either, a stream, rejected rows, and replays of none."""
    with store.batch(origin="files:one", file="trades.csv", digest="ab" * 32) as batch:
        batch.write_records(
            TRADES, [Trade("SEALED", Instant(T + i), 100 + i % 7, i % 13 + 1, trade_id=str(i)) for i in range(5_000)]
        )
        batch.quarantine(
            [
                Quarantined("trades", "SEALED", T, row, f"row {row},x", ({"rule": "format", "message": f"'{row}'"},))
                for row in range(40)
            ]
        )
    store.seal()
    store.save([Quote(f"S{i % 9}", Instant(T + i * 10**9), 10 + i % 5, 11 + i % 5) for i in range(900)])
    store.save([Bar("A", Instant(T + i * 60 * 10**9), 1, 3, 1, 2, i, "1m") for i in range(300)])
    store.save([Bar("A", Instant(T + i * 60 * 10**9), 1, 3, 1, 2, i + 1, "1m") for i in range(100)])
    store.save([Order(f"o{i}", "A", 10, "buy", "market", "new", 0, timestamp=Instant(T)) for i in range(60)])
    store.save(
        [
            Order(
                f"o{i}",
                "A",
                10,
                "buy",
                "market",
                "filled",
                10,
                average_fill_price=5,
                timestamp=Instant(T),
                updated_at=Instant(T + 5),
            )
            for i in range(30)
        ]
    )
    store.save([PortfolioSnapshot(Instant(T + i), 100 + i, positions=[Position("A", 1, 5, 4)]) for i in range(50)])
    undone = store.save([Quote("UNDONE", Instant(T + i), 1, 2) for i in range(200)])
    store.undo(undone.batch)
    sealed = store.save([Quote("RETIRED", Instant(T + i), 10 + i % 7, 20) for i in range(2_500)])
    store.undo(sealed.batch)
    store.delete(store.select(Quote, "S1", end=Instant(T + 100 * 10**9)))
    with contextlib.closing(store.stream(origin="live", max_rows=8)) as stream:
        for i in range(40):
            stream.write(Quote("LIVE", Instant(T + i), 1, 2))


def fill_file(path: Path) -> Path:
    """Make a store that is one file, closed."""
    with DataStore(open_store(SqliteOptions(path=path, seal_rows=None))) as store:
        fill(store)
    return path


def read_all(store: DataStore) -> dict[str, Any]:
    """Return all that a store answers, the quarantine and the batches included."""
    found: dict[str, Any] = {name: store.select(name).to_list() for name in KINDS}
    return found | {"batches": store.batches(), "rejected": store.quarantined(), "inventory": store.inventory()}
