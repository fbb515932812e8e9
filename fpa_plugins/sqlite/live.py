"""A batch that is written in groups, each durable on its own: the SQLite side of a live stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fpa_core.exceptions import DatabaseBusyError
from fpa_plugins.sqlite.appending import Appender
from fpa_plugins.sqlite.claims import Claims
from fpa_plugins.sqlite.connection import Pool, immediate
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.quarantine import QuarantineWriter
from fpa_plugins.sqlite.writing import SqliteTransaction, begin_batch

__all__ = ["SqliteStream"]


class SqliteStream:
    """See :class:`fpa_core.protocols.StoreStream`."""

    def __init__(self, pool: Pool, path: Path, source: str) -> None:
        self._pool = pool
        self._path = path
        with translated(path, "begin a stream"), pool.writer() as connection, immediate(connection):
            self.batch_id = begin_batch(connection, source)
            self._claims = Claims(connection, self.batch_id)
        self._appender = Appender(self.batch_id)

    @contextlib.contextmanager
    def group(self) -> Iterator[SqliteTransaction]:
        """Write a group."""
        try:
            with (
                translated(self._path, "write a group of a stream"),
                self._pool.writer() as connection,
                immediate(connection),
            ):
                self._appender.begin(connection)
                group = SqliteTransaction(connection, self.batch_id, self._claims, self._appender)
                yield group
                group.record()
                self._appender.end(connection)
        except BaseException:
            self._appender.forget()  # it may remember rows that were not kept
            raise

    def close(self) -> None:
        """Forget the rows that were recognised; where that would mean to wait for another writer, it matters little."""
        if self._pool.is_open:
            with (
                contextlib.suppress(DatabaseBusyError),
                translated(self._path, "end a stream"),
                self._pool.writer() as connection,
            ):
                self._claims.forget()
                QuarantineWriter(connection, self.batch_id).forget()
