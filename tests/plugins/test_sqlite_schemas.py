"""Databases of every past schema, kept as they were: each is migrated and holds what it held."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from fpa_core import open as open_layer
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.store import DataStore
from fpa_plugins.sqlite.files.copying import verified_copy
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import known_migrations
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

FOLDER = Path(__file__).parents[1] / "schemas"
T = Instant(1_714_573_800_000_000_000)
LATEST = known_migrations()[-1].version
KEPT = sorted(int(path.name[7:-6]) for path in FOLDER.glob("schema_*.db.gz"))
SEALED = [Trade("SEALED", T + row // 2, row % 2 + 1, 5, "c", "X") for row in range(500)]


def test_every_past_schema_is_kept() -> None:
    """There is a database of each schema before the present one; tests/schemas/make.py makes it."""
    assert set(range(1, LATEST)) <= set(KEPT)


def test_a_copied_database_is_as_a_migrated_one(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A new database that tests copy has the schema, the settings and the audit log of one that the migrations made."""

    def told(path: Path) -> list[Any]:
        with DataStore(open_store(SqliteOptions(path))) as store:
            (begun,) = store.backend.audit_entries(1)  # type: ignore[attr-defined]
        with contextlib.closing(open_file(str(path), apsw.SQLITE_OPEN_READONLY)) as file:
            names = ("page_size", "journal_mode", "user_version", "application_id", "page_count", "freelist_count")
            tables = file.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
            steps = file.execute("SELECT version, name, checksum FROM schema_versions ORDER BY 1").fetchall()
            log = begun.action, json.loads(begun.details) | {"log": "any"}
            return [log, [file.pragma(name) for name in names], tables, steps, path.stat().st_mode]

    copied = told(tmp_path / "copied.db")
    request.getfixturevalue("migrated_databases")
    assert told(tmp_path / "migrated.db") == copied


@pytest.mark.parametrize("version", KEPT)
def test_old_database_holds_what_it_held(version: int, tmp_path: Path) -> None:
    """A database of a past schema is migrated under a verified backup; its records, history, quarantine and batches are what they were."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((FOLDER / f"schema_{version}.db.gz").read_bytes()))
    with open_layer(environ={"FPA_STORE__PATH": str(path)}, lazy=True) as data:
        plan = data.operations.migrate()
        assert (version, LATEST) == (plan.version, plan.latest)
        store = data.store
        assert [Quote("Q", T, "1.5", "1.75", bid_exchange="X")] * 2 == store.get_quotes()
        assert [Trade("HOT", T, 10, 2, None, "X", "i1")] == store.get_trades("HOT")
        assert (SEALED if version > 1 else []) == store.get_trades("SEALED")
        bars = [Bar("A", T, 1, 1, 1, 2, 5, "1h"), Bar("B", T, 1, 1, 1, 1, 5, "1d")]
        assert bars == store.get_bars()
        order = Order("o", "A", 1, "buy", "market", "filled", 1, 2, timestamp=Instant(1), updated_at=Instant(2))
        assert [order] == store.select(Order).to_list()
        assert [Position("A", 3, 6, 5, timestamp=T)] == store.select(Position).to_list()
        (snapshot,) = store.select(PortfolioSnapshot).to_list()
        assert (snapshot.total_value, snapshot.cash) == (100.25, 94.25)
        assert 1 == store.select(Bar, "A", as_known_at=Instant(1500)).to_list()[0].close
        assert ["A,x"] == [one.raw for one in store.quarantined()]
        assert [4, 3, 2, 1] == [batch.id for batch in store.batches()][-4:]
        assert () == data.check().problems
        store.undo(4)
        assert [Quote("U", T, 1, 2)] == store.get_quotes("U")
        store.undo(2)
        assert [Bar("A", T, 1, 1, 1, 1, 5, "1h")] == store.get_bars()
        assert () == data.check().problems
    backups = list(tmp_path.glob("old.db.v*.bak"))
    assert (version < LATEST) == bool(backups)
    for backup in backups:
        assert backup.name.startswith(f"old.db.v{version}-")
        verified_copy(backup, tmp_path / "copy")
