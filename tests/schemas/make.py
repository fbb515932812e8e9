"""Make the databases of past schemas that tests migrate. Run it for a schema once, before the next one is begun: `python tests/schemas/make.py 5`.

The data are written in the first schema and brought along by the migrations; sealed rows are those of the second. Files are not made anew afterwards:
they are what a database of that time was.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from attrs import evolve

from fpa_core.arrow.batches import to_scaled
from fpa_core.arrow.conversion import to_table
from fpa_core.engine import segment_writer
from fpa_core.engine.sql.tables import SqlTables
from fpa_core.kinds import TRADES
from fpa_core.models import Trade
from fpa_plugins.sqlite.files.copying import back_up
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import known_migrations, migrate
from fpa_plugins.sqlite.session import SqliteSession

HERE = Path(__file__).parent
T = 1_714_573_800_000_000_000

SEALED = [Trade("SEALED", T + row // 2, row % 2 + 1, 5, "c", "X") for row in range(500)]

ROWS = f"""
INSERT INTO batches (id, source, recorded_ns, file, digest, read, inserted, revised, quarantined) VALUES
    (1, 'files:one', 1000, 'first.csv', 'aa', 6, 5, 0, 1), (2, 'files:two', 2000, 'second.csv', 'bb', 5, 3, 2, 0);
INSERT INTO batches (id, source, recorded_ns, read, inserted, undone_by) VALUES (3, 'api', 3000, 1, 1, 4), (4, 'undo:3', 4000, 0, 0, NULL);
INSERT INTO quotes VALUES ('Q', {T}, '1.5', '1.75', NULL, NULL, 'X', NULL, NULL, 0, 1), ('Q', {T}, '1.5', '1.75', NULL, NULL, 'X', NULL, NULL, 1, 1);
INSERT INTO quotes_history VALUES ('U', {T}, '1', '2', NULL, NULL, NULL, NULL, NULL, 0, 3, 4, 'undone');
INSERT INTO trades VALUES ('HOT', {T}, '10', '2', NULL, 'X', 'i1', 0, 1);
INSERT INTO bars VALUES ('A', {T}, '1', '1', '1', '2', '5', '60m', NULL, NULL, 2), ('B', {T}, '1', '1', '1', '1', '5', '1d', NULL, NULL, 2);
INSERT INTO bars_history VALUES ('A', {T}, '1', '1', '1', '1', '5', '60m', NULL, NULL, 1, 2, 'revised');
INSERT INTO orders VALUES ('o', 'A', '1', 'buy', 'market', 'filled', '1', '2', NULL, NULL, 'day', 1, 2, NULL, NULL, NULL, NULL, NULL, 2);
INSERT INTO orders_history VALUES ('o', 'A', '1', 'buy', 'market', 'new', '0', NULL, NULL, NULL, 'day', 1, 1, NULL, NULL, NULL, NULL, NULL, 1, 2, 'revised');
INSERT INTO positions VALUES ('A', '3', '6', '5', NULL, NULL, {T}, 'default', NULL, NULL, NULL, NULL, 2);
INSERT INTO snapshots VALUES ({T}, '100.25', NULL, NULL, NULL, '94.25', 'USD', 'default', 2);
"""


def make(version: int, target: Path) -> None:
    """Write the database of a schema."""
    steps = known_migrations()[:version]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.db"
        connection = open_file(str(path), 6)
        keep = partial(back_up, path, key=None)
        migrate(connection, path, steps[:1], back_up=keep)
        connection.execute(ROWS)
        connection.execute(
            "INSERT INTO quarantine (batch, kind, row, raw, findings) VALUES (1, 'trades', 7, 'A,x', ?)",
            (json.dumps([{"rule": "format", "message": "price: 'x' is not a decimal number"}]),),
        )
        if version > 1:
            migrate(connection, path, steps[:2], back_up=keep)
            connection.execute(
                "INSERT INTO batches (id, source, recorded_ns, read, inserted) VALUES (5, 'files:three', 5000, 500, 500)"
            )
            # The side of a trade came with a later schema.
            kind = evolve(TRADES, columns=tuple(column for column in TRADES.columns if column.name != "side"))
            batch = to_scaled(kind, to_table(kind, SEALED).combine_chunks().to_batches()[0])
            pending = segment_writer.PendingSegment(kind, "SEALED", batch, np.full(len(SEALED), 5))
            segment_writer.write_segments(SqlTables(SqliteSession(connection)), [pending])
        migrate(connection, path, steps, back_up=keep)
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.close()
        with gzip.GzipFile(target, "wb", mtime=0) as packed:
            packed.write(path.read_bytes())


if __name__ == "__main__":
    for number in map(int, sys.argv[1:]):
        make(number, HERE / f"schema_{number}.db.gz")
