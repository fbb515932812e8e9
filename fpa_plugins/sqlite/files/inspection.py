"""What can be wrong with a file of SQLite: damaged pages, a broken structure, a schema that no migration made."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import apsw

from fpa_core.exceptions import SchemaError
from fpa_core.protocols import Problem, Severity
from fpa_plugins.sqlite.files.pages import damaged_pages, has_checksums, verifying
from fpa_plugins.sqlite.migrations import known_migrations
from fpa_plugins.sqlite.migrations.runner import take

__all__ = ["check_schema", "inspect"]

RESTORE = "restore the database from a backup: `fpa store restore BACKUP --replace`"
_MOST = 100
"""Faults of one sort that are listed; more say nothing new."""


def check_schema(connection: apsw.Connection, path: Path) -> None:
    """Compare the schema with the one that the migrations lead to: a planted trigger or view could change what is stored or read.

    :raises SchemaError: if anything is missing, changed or added.
    """
    faults = list(_schema_faults(connection))
    if faults:
        raise SchemaError(
            f"{path}: the schema is not the one that the migrations made: {'; '.join(faults[:5])}",
            hint=f"somebody changed it; {RESTORE}",
            path=str(path),
            operation="open",
        )


def inspect(connection: apsw.Connection, path: Path, *, encrypted: bool) -> Iterator[Problem]:
    """Yield what is wrong with the file as such: its pages, its trees and indexes, its schema."""
    if not encrypted:  # the codes of encrypted pages are verified as they are read
        yield from _damaged_pages(connection, path)
    for text in _structure_faults(connection):
        yield Problem("structure", str(path), text, RESTORE)
    for text in _schema_faults(connection):
        yield Problem("schema", str(path), text, RESTORE)


def _damaged_pages(connection: apsw.Connection, path: Path) -> Iterator[Problem]:
    if not verifying():
        remedy = "install a wheel of apsw-sqlite3mc, which has the extension cksumvfs"
        problem = "checksums of pages are not verified, since this installation of apsw cannot"
        yield Problem("page", str(path), problem, remedy, Severity.WARNING)
    elif not has_checksums(path):
        problem = "its pages carry no checksums, since an older version or another program made the file"
        yield Problem("page", str(path), problem, "`fpa store compact` adds them", Severity.WARNING)
    else:
        damaged = set(damaged_pages(path))
        if damaged:
            # A power cut in the middle of a checkpoint tears pages that the write-ahead log holds whole; these are written once more.
            with contextlib.suppress(apsw.ReadOnlyError, apsw.BusyError, apsw.LockedError):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            damaged &= set(damaged_pages(path))
        for number in sorted(damaged):
            yield Problem("page", f"{path}, page {number}", "it does not match its checksum", RESTORE)


def _structure_faults(connection: apsw.Connection) -> Iterator[str]:
    try:
        for (text,) in connection.execute(f"PRAGMA integrity_check({_MOST})"):
            if text != "ok":
                yield str(text)
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} refers to a row of {parent} that is not there"
    except apsw.Error as error:
        yield f"the check of its structure broke off: {error}"


def _schema_faults(connection: apsw.Connection) -> Iterator[str]:
    expected, found = _expected(), _objects(connection)
    for name in expected.keys() - found.keys():
        yield f"the {name[0]} {name[1]} is missing"
    for name in found.keys() - expected.keys():
        yield f"the {name[0]} {name[1]} was added"
    for name in expected.keys() & found.keys():
        if expected[name] != found[name]:
            yield f"the {name[0]} {name[1]} was changed"


@functools.cache
def _expected() -> Mapping[tuple[str, str], str]:
    connection = apsw.Connection(":memory:")
    take(connection, known_migrations())
    return _objects(connection)


def _objects(connection: apsw.Connection) -> dict[tuple[str, str], str]:
    """Return the statements that made the schema, in one spelling, by type and name; SQLite's own tables of statistics aside."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'")
    return {(kind, name): re.sub(r'[\s"]+', "", sql or "") for kind, name, sql in rows}
