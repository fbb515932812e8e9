"""SQLite databases that cost little: new ones are copies of a few, and none waits for the disk.

The migrations that make a database take ten times as long as most tests need it, and the disk as long as all else that is done with it. A process that
is killed, and a database that is opened anew, find what the system has; only a power cut would not, and tests that cut the power do so in programs of
their own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fpa_plugins.sqlite.database import SqliteDatabase

__all__ = ["begin", "quick_databases"]

DIFFERENT = 8
"""Databases that are copied."""

_numbers = itertools.count()

begin = SqliteDatabase.__init__
"""Opens a database as programs do."""


@contextlib.contextmanager
def quick_databases() -> Iterator[None]:
    """Open databases without waiting for the disk; new ones are copies of a few that the migrations have made, one after the other.

    Each of these has an audit log of its own, by which stores are told apart: so many new ones in a row are different stores.

    Encrypted ones, those in folders that are not there yet, and those that other programs open are made as ever.
    """

    @functools.wraps(begin)
    def copy_first(self: SqliteDatabase, path: Path, **options: Any) -> None:
        if not options.get("read_only") and options.get("key") is None:
            _lay(path.expanduser().absolute())
        begin(self, path, **options | {"synchronous": "off"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteDatabase, "__init__", copy_first)
        yield


def _lay(path: Path) -> None:
    """Put a copy at a path, whole or not at all, unless something is there, or was."""
    try:
        if os.path.lexists(path) or path.with_name(f"{path.name}-wal").exists() or not path.parent.is_dir():
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}.{id(path)}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_made(next(_numbers) % DIFFERENT))
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
    except (OSError, ValueError):
        return  # what is wrong with the path, opening it tells


@functools.cache
def _made(number: int) -> bytes:  # noqa: ARG001  # each is another one
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        database = SqliteDatabase.__new__(SqliteDatabase)
        begin(database, path, synchronous="normal", busy_timeout=30.0)
        database.close()
        return path.read_bytes()
