"""Connections to one schema of a server, shared between threads."""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from fpa_core.engine.turns import Turns
from fpa_plugins.postgres.options import PostgresOptions
from fpa_plugins.postgres.servers.commits import commit
from fpa_plugins.postgres.servers.server import Connection, Cursor, Server, milliseconds

__all__ = ["Pool"]

_LOCKS = 0x46504131
"""Marks our advisory locks: the letters FPA1."""

_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_INHERITED: list[object] = []
"""Connections of a parent process: closing them here would end them there."""


class Pool:
    """One writer and any number of readers on one schema.

    A reader belongs to whoever borrowed it until it is given back. An idle connection that turns out to be lost is replaced before anything was
    done on it. Connections do not survive a fork; a child opens its own.
    """

    def __init__(self, options: PostgresOptions) -> None:
        self.server = Server(options)
        self.read_only = options.read_only
        self.reconnections = 0
        self._busy_timeout = options.busy_timeout
        self._size = options.pool_size
        lock = f"pg_advisory_xact_lock({_LOCKS}, {zlib.crc32(options.schema.encode()) - 2**31})"
        limit = milliseconds(options.statement_timeout)
        # One message; the wait for the lock has a limit of its own, and what follows sees what the one before has written.
        self._begin = f"BEGIN; SET LOCAL statement_timeout = 0; SELECT {lock}; SET LOCAL statement_timeout = {limit}"
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._turns = Turns(self.server.name, self._busy_timeout)
        self._writer: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether this process may still use it."""
        return not self._closed and self._pid == os.getpid()

    def _check(self) -> None:
        if self._pid != os.getpid():
            _INHERITED.extend((self._idle, self._writer))
            self._reset()
        if self._closed:
            raise self.server.error("the store is closed", "use")

    def _start(
        self, connection: Connection | None, sql: bytes, parameters: Sequence[Any] | None = None, *, reading: bool
    ) -> tuple[Connection, Cursor]:
        """Run the first statement on a connection, or, if that is None or lost, on a new one.

        :param reading: whether a replica will do, and the statement is one that may be prepared, since it is run over and over.
        """
        while True:
            fresh = connection is None
            connection = connection or self.server.connect(reading=reading)
            try:
                cursor = connection.cursor(binary=parameters is not None)
                return connection, cursor.execute(sql, parameters, prepare=None if reading else False)
            except BaseException as error:
                lost = connection.closed and isinstance(error, psycopg.OperationalError)
                connection.close()
                if fresh or not lost:
                    raise
            self._drop_idle()  # opened before the server went away, as this one was
            connection = None

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def lend(self, sql: bytes = _READ, parameters: Sequence[Any] | None = None) -> Iterator[tuple[Connection, Cursor]]:
        """Lend a connection for reading, on which a first statement was run: the begin of a transaction if none is given."""
        self._check()
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        connection, cursor = self._start(idle, sql, parameters, reading=True)
        behind = self.server.is_behind(connection)
        if behind:
            self._give_back(connection)
            connection, cursor = self._start(None, sql, parameters, reading=False)
        try:
            yield connection, cursor
        finally:
            self._give_back(connection, keep=not behind)

    def _give_back(self, connection: Connection, *, keep: bool = True) -> None:
        if self._pid != os.getpid():
            _INHERITED.append(connection)
            return
        with contextlib.suppress(psycopg.Error):
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK")
            if keep and not self._closed and not connection.closed:
                with self._lock:
                    if len(self._idle) < self._size:
                        self._idle.append(connection)
                        return
        connection.close()

    @contextlib.contextmanager
    def writer(self, *, numbered: bool = True) -> Iterator[tuple[Connection, int]]:
        """Lend the connection for writing in a transaction, and the number of this writer; others wait, here and elsewhere.

        :param numbered: whether the schema exists and gives numbers.
        :raises DatabaseBusyError: if the wait takes longer than the busy timeout, or the thread is already writing.
        """
        self._check()
        if self.read_only:
            hint = "open it without read_only in [store], and without --read-only"
            raise self.server.error("the store was opened for reading only", "write", hint)
        begin = f"{self._begin}; SELECT nextval('writers')" if numbered else self._begin
        with self._turns:
            writer = self._writer
            try:
                self._writer, cursor = self._start(writer, begin.encode(), reading=False)
                self.reconnections += self._writer is not writer
                while cursor.nextset():
                    pass
                yield self._writer, int(str(cursor.fetchone()[0])) if numbered else 0  # type: ignore[index]
                commit(self.server, self._writer)
            except BaseException:
                if self._writer is not None:
                    with contextlib.suppress(psycopg.Error):
                        self._writer.execute(b"ROLLBACK")
                raise

    def close(self) -> None:
        """Close what is not on loan; what is, closes when it comes back."""
        if not self.is_open:
            return
        self._closed = True
        self._drop_idle()
        if self._writer is not None:
            self._writer.close()
