"""The file of a store before it is opened: copies of it, its migration plan, and another one in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
from attrs import evolve

from fpa_core.engine.sql.migrations import version_before
from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.outputs import sync_folder
from fpa_core.protocols import MigrationPlan, MigrationStep, StoreBackend
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.files.encryption import Key, is_encrypted, key_of
from fpa_plugins.sqlite.files.pages import accept_pages, check_header, open_file
from fpa_plugins.sqlite.migrations import known_migrations, pending_steps
from fpa_plugins.sqlite.options import SqliteOptions

__all__ = ["SqliteFile"]

_PATIENCE = 2.0
"""Seconds to wait for a program that has the file open: it should be stopped first."""


class SqliteFile:
    """See :class:`fpa_core.protocols.StoreFile`.

    :param open_store: opens a store of other options, for its copies.
    """

    def __init__(self, options: SqliteOptions, open_store: Callable[[SqliteOptions], StoreBackend]) -> None:
        self._options = options
        self._open_store = open_store
        self.path = options.path.expanduser().absolute()
        self.schema = known_migrations()[-1].version
        self._log = self.path.with_name(f"{self.path.name}-wal")
        self._index = self.path.with_name(f"{self.path.name}-shm")

    def _key(self, path: Path | None = None) -> Key | None:
        """Return the key of a file, if it is encrypted."""
        return key_of(self._options) if is_encrypted(path or self.path) else None

    @property
    def encrypted(self) -> bool:
        """Whether the file is encrypted."""
        return is_encrypted(self.path)

    @property
    def has_key(self) -> bool:
        """Whether a key is configured."""
        return key_of(self._options) is not None

    def open_copy(self, path: Path, *, key_file: Path | None = None, read_only: bool = True) -> StoreBackend:
        """Open a copy."""
        options = evolve(self._options, path=path, read_only=read_only, read_cache=0)
        if key_file is not None or not is_encrypted(path):
            options = evolve(options, key="", key_file=key_file)
        return self._open_store(options)

    def rewrite(self, draft: Path, *, key_file: Path | None = None, plain: bool = False) -> None:
        """Write what the store holds to another file, under a key or without one."""
        from fpa_plugins.sqlite.files.copying import rewrite

        options = self._options if key_file is None else evolve(self._options, key="", key_file=key_file)
        key = None if plain else key_of(options)
        with translated(self.path, "encrypt or decrypt"):
            source = open_file(self.path.as_uri(), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI, self._key())
            try:
                source.set_busy_timeout(int(_PATIENCE * 1000))
                rewrite(source, draft, key)
            finally:
                source.close(True)

    def accept_pages(self) -> int:
        """Write the file anew with the checksums of its pages as they are."""
        if self.encrypted or not self.path.exists():
            return 0
        with translated(self.path, "accept pages"):
            return accept_pages(self.path, self._options.busy_timeout)

    def plan(self) -> MigrationPlan:
        """Look at the versions of the schema."""
        from fpa_plugins.sqlite.files.copying import backup_name
        from fpa_plugins.sqlite.files.read_only import ReadOnlyFile

        steps = known_migrations()
        version, left = 0, steps
        if self.path.exists() and self.path.stat().st_size:
            with translated(self.path, "plan a migration"):
                check_header(self.path)
                file = ReadOnlyFile(self.path, self._key(), busy_timeout=_PATIENCE)
                with contextlib.closing(file.connect()) as connection:
                    left = pending_steps(connection, self.path, steps)
            version = version_before(steps, left)
        size = sum(file.stat().st_size for file in (self.path, self._log) if file.exists())
        folder = next((one for one in self.path.parents if one.exists()), Path())
        return MigrationPlan(
            self.path,
            version,
            steps[-1].version,
            [MigrationStep(step.version, step.name) for step in left],
            backup_name(self.path, version) if left and version else None,
            size,
            shutil.disk_usage(folder).free,
        )

    def replace(self, draft: Path, aside: Path | None) -> None:
        """Put another file in the place of this one, by one rename."""
        self._fold_log()
        if aside is None:
            if self._log.exists():
                raise DatabaseError(
                    f"{self._log} cannot be written into the database", path=str(self.path), operation="replace"
                )
        elif self.path.exists():
            try:
                os.link(self.path, aside)
            except OSError:  # a file system without links
                shutil.copy2(self.path, aside)
        # A log that could not be folded belongs to the old file; SQLite would write it into the new one.
        if aside is not None and self._log.exists():
            self._log.rename(aside.with_name(f"{aside.name}-wal"))
        self._index.unlink(missing_ok=True)
        draft.replace(self.path)
        sync_folder(self.path.parent)

    def _fold_log(self) -> None:
        """Write the log of the old file into it, so that it is whole by itself, and make sure that nobody else has it open."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        try:
            connection = open_file(str(self.path), apsw.SQLITE_OPEN_READWRITE, self._key())
            try:
                connection.set_busy_timeout(int(_PATIENCE * 1000))
                connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            finally:
                connection.close(True)
        except apsw.BusyError as error:
            raise DatabaseBusyError(
                f"{self.path}: another program has the database open",
                hint="stop it, then restore again; nothing was changed",
                path=str(self.path),
                operation="restore",
            ) from error
        except apsw.ReadOnlyError as error:
            raise DatabaseError(
                f"{self.path} cannot be written: {error}", path=str(self.path), operation="restore"
            ) from error
        except apsw.Error:
            return  # it is damaged, which may be why it is replaced: it is kept as it is
