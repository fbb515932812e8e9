"""Schemas of SQLite for tests: what the definitions of the kinds lead to, and what migrations lead to, taken as the store takes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import apsw

from fpa_core.engine.rows import shape_of
from fpa_core.kinds import Kind
from fpa_plugins.sqlite.files.copying import back_up
from fpa_plugins.sqlite.files.encryption import Key
from fpa_plugins.sqlite.migrations import Migration
from fpa_plugins.sqlite.migrations import migrate as migrate_with

__all__ = ["create_tables", "migrate"]

_TYPES = {"text": "TEXT", "decimal": "TEXT", "time": "INTEGER", "integer": "INTEGER"}


def create_tables(kinds: Sequence[Kind]) -> str:
    """Return a script that makes the tables of *kinds*: what all migrations together lead to, but for the order of columns."""
    return "\n".join(f"{statement};" for kind in kinds for statement in _statements(kind)) + "\n"


def _statements(kind: Kind) -> list[str]:
    shape = shape_of(kind)
    columns = [f"    {one.field} {_TYPES[one.type]}{' NOT NULL' if one.required else ''}" for one in kind.columns]
    if kind.multiset:
        columns.append("    seq INTEGER NOT NULL")
    columns += ["    batch INTEGER NOT NULL", "    since INTEGER"]
    # The subject first: rows that are read together lie together.
    key = ", ".join(
        [kind.subject, *(name for name in shape.row_key if name != kind.subject)]
        if kind.subject in shape.row_key
        else shape.row_key
    )
    history = f"{kind.name}_history"
    statements = [
        _table(kind.name, [*columns, f"    PRIMARY KEY ({key})"], "STRICT, WITHOUT ROWID"),
        _table(history, [*columns, "    retired_by INTEGER NOT NULL", "    reason TEXT NOT NULL"], "STRICT"),
        f"CREATE INDEX {history}_by_key ON {history} ({key})",
    ]
    if not shape.timed or kind.name == "positions":
        by = "account" if kind.name == "positions" else kind.subject
        statements.append(f"CREATE INDEX {kind.name}_by_{by} ON {kind.name} ({by}, ts_ns)")
    return statements


def _table(name: str, lines: Sequence[str], options: str) -> str:
    return f"CREATE TABLE {name} (\n" + ",\n".join(lines) + f"\n) {options}"


def migrate(
    connection: apsw.Connection, path: Path, steps: Sequence[Migration] | None = None, *, key: Key | None = None
) -> Path | None:
    """Bring a database to the last of some steps, by default to the present schema, under the backup that the store makes."""
    return migrate_with(connection, path, steps, back_up=partial(back_up, path, key=key))
