"""Offers the store ``sqlite``; the driver is imported when a database is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration, Secret
from fpa_core.exceptions import MissingDependencyError
from fpa_core.hookspecs import RegisterStore, hookimpl

if TYPE_CHECKING:
    from fpa_core.protocols import StoreBackend, StoreFile

__all__ = ["SqliteOptions"]


def _path(value: str | Path) -> Path:
    """Return a path as it is: one that was made of a secret has a masked repr."""
    return value if isinstance(value, Path) else Path(value)


@frozen
class SqliteOptions:
    """Keys of ``[store]`` with ``backend = "sqlite"``.

    :ivar path: the database file; it and its folder are made when missing, readable by their owner alone.
    :ivar synchronous: ``full``: an acknowledged batch survives a power cut; ``normal``: it survives a crash of the process only.
    :ivar busy_timeout: how long a writer waits for another one, in seconds or as text such as ``"30s"``.
    :ivar seal_rows: on closing after a write, quotes and trades of a symbol with at least so many single rows are sealed into segments.
    :ivar read_only: change nothing and make no file: for a copy, for a disk that cannot be written, or beside a program that writes.
    :ivar key: encrypts the file; write ``"${FPA_STORE_KEY}"`` rather than the key itself. It is never shown.
    :ivar key_file: a file with the key instead, which only its owner may read.
    :ivar read_cache: bytes of memory for sealed rows that were read for a range of time, decoded, so that reading it again is faster; 0 for none.
    """

    path: Path = field(default=Path("portfolio.db"), converter=_path)
    synchronous: Literal["full", "normal"] = "full"
    busy_timeout: Duration = field(default=30.0, validator=validators.ge(0))
    seal_rows: int | None = field(default=8_192, validator=validators.optional(validators.ge(1)))  # type: ignore[arg-type]
    read_cache: int = field(default=64 * 2**20, validator=validators.ge(0))
    read_only: bool = False
    key: str = field(default="", converter=Secret)
    key_file: Path | None = None


def open_store(options: SqliteOptions) -> StoreBackend:
    """Open, and if need be create or migrate, the database of *options*."""
    try:
        from fpa_core.engine.store import EngineStore
        from fpa_plugins.sqlite.database import SqliteDatabase
        from fpa_plugins.sqlite.encryption import key_of
    except ModuleNotFoundError as error:
        if error.name not in {"apsw", "pyarrow", "numpy"}:
            raise
        package = {"apsw": "apsw-sqlite3mc"}.get(error.name, error.name)
        raise MissingDependencyError(
            f"the store 'sqlite' needs the package {package}, which is not installed",
            plugin="sqlite",
            package=package,
            command=f"pip install {package}",
        ) from error
    database = SqliteDatabase(
        options.path,
        synchronous=options.synchronous,
        busy_timeout=options.busy_timeout,
        read_only=options.read_only,
        key=key_of(options),
    )
    return EngineStore(database, seal_rows=options.seal_rows, read_cache=options.read_cache)


def store_file(options: SqliteOptions) -> StoreFile:
    """Return the file of *options*, which need not be there."""
    from fpa_plugins.sqlite.file import SqliteFile

    return SqliteFile(options)


def missing(options: SqliteOptions) -> str | None:
    """Return where the database would be if there is none."""
    # Also of a name that is too long to exist, which pathlib would not take.
    return None if os.path.exists(options.path.expanduser()) else str(options.path)  # noqa: PTH110


@hookimpl
def fpa_register_stores(register: RegisterStore) -> None:
    """Offer SQLite."""
    register("sqlite", open_store, SqliteOptions, store_file, missing)
