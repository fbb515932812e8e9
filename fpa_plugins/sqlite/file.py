"""The file of a store before it is opened: copies of it, its migration plan, and another one in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
from attrs import evolve

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.outputs import sync_folder
from fpa_core.protocols import MigrationPlan, MigrationStep, StoreBackend
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.migrations import backup_name, known_migrations, pending_steps
from fpa_plugins.sqlite.pages import check_header, open_file
from fpa_plugins.sqlite.plugin import open_store
from fpa_plugins.sqlite.read_only import ReadOnlyFile

if TYPE_CHECKING:
    from fpa_plugins.sqlite.plugin import SqliteOptions

__all__ = ["SqliteFile"]

_PATIENCE_MS = 2_000


class SqliteFile:
    """See :class:`fpa_core.protocols.StoreFile`."""

    def __init__(self, options: SqliteOptions) -> None:
        self._options = options
        self.path = options.path.expanduser().absolute()
        self.schema = known_migrations()[-1].version
        self._log = self.path.with_name(f"{self.path.name}-wal")
        self._index = self.path.with_name(f"{self.path.name}-shm")

    def open_copy(self, path: Path) -> StoreBackend:
        """Open a copy, for reading only."""
        return open_store(evolve(self._options, path=path, read_only=True, read_cache=0))

    def plan(self) -> MigrationPlan:
        """Look at the versions of the schema."""
        steps = known_migrations()
        version, left = 0, steps
        if self.path.exists() and self.path.stat().st_size:
            with translated(self.path, "plan a migration"):
                check_header(self.path)
                with contextlib.closing(ReadOnlyFile(self.path).connect(_PATIENCE_MS, "")) as connection:
                    left = pending_steps(connection, self.path, steps)
            version = left[0].version - 1 if left else steps[-1].version
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

    def replace(self, draft: Path, aside: Path) -> None:
        """Put another file in the place of this one, by one rename."""
        self._fold_log()
        if self.path.exists():
            try:
                os.link(self.path, aside)
            except OSError:  # a file system without links
                shutil.copy2(self.path, aside)
        # A log that could not be folded belongs to the old file; SQLite would write it into the new one.
        if self._log.exists():
            self._log.rename(aside.with_name(f"{aside.name}-wal"))
        self._index.unlink(missing_ok=True)
        draft.replace(self.path)
        sync_folder(self.path.parent)

    def _fold_log(self) -> None:
        """Write the log of the old file into it, so that it is whole by itself, and make sure that nobody else has it open."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        try:
            connection = open_file(str(self.path), apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(_PATIENCE_MS)
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
