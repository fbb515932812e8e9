"""Connections to one schema of a server: how they are opened, and shared between threads."""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from fpa_core.exceptions import CommitInDoubtError, DatabaseBusyError, DatabaseError, NotReplicatedError
from fpa_plugins.postgres.options import PostgresOptions

__all__ = ["Connection", "Cursor", "Pool"]

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

CONNECT_TIMEOUT = 5
"""Seconds to wait for a server that does not answer, unless the DSN says otherwise."""

CONNECT_TIMEOUT_EACH = 2
"""The same for each of several hosts: another one may have taken over."""

# So that a server that is gone without a word is noticed within some ten seconds, and not after the system's quarter of an hour.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

_LOCKS = 0x46504131
"""Marks our advisory locks: the letters FPA1."""

# A setting of the server that waits for replicas stays. Plans are compiled for no statement: what is read is read by an index.
_SETTINGS = b"""
SELECT set_config('search_path', quote_ident($1) || ', pg_temp', false), set_config('lock_timeout', $2, false),
    set_config('statement_timeout', $3, false), set_config('jit', 'off', false), set_config('client_min_messages', 'warning', false), set_config('synchronous_commit', CASE
        WHEN $4 = 'normal' THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)
"""
_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_INHERITED: list[object] = []
"""Connections of a parent process: closing them here would end them there."""


class Pool:
    """One writer and any number of readers on one schema.

    A reader belongs to whoever borrowed it until it is given back. An idle connection that turns out to be lost is replaced before anything was
    done on it. Connections do not survive a fork; a child opens its own.
    """

    def __init__(self, options: PostgresOptions) -> None:
        try:
            parts = conninfo_to_dict(options.dsn)
        except psycopg.ProgrammingError:
            message = (
                "dsn in [store] cannot be read"  # the driver's message, and so its traceback, would show all of it
            )
            raise DatabaseError(message, hint="write postgresql://user@host:5432/database", operation="open") from None
        self.server = _name_of(parts)
        self.secret = str(parts.get("password") or "")
        self.schema = options.schema
        self.busy_timeout = options.busy_timeout
        self.read_only = options.read_only
        self.reconnections = 0
        self._size = options.pool_size
        given = _with_tls(parts, options)
        several = "," in f"{given.get('host', '')}{given.get('hostaddr', '')}"
        defaults: dict[str, Any] = {"application_name": "fpa", **_KEEPALIVE}
        defaults["connect_timeout"] = CONNECT_TIMEOUT_EACH if several else CONNECT_TIMEOUT
        if several:
            defaults["target_session_attrs"] = "read-write"
        given = defaults | given | {"client_encoding": "UTF8"}
        self._conninfo = self._reading = make_conninfo("", **given)
        if options.read_from == "replica":
            self._conninfo = make_conninfo("", **given | {"target_session_attrs": "primary"})
            chosen = {"target_session_attrs": "prefer-standby", "load_balance_hosts": "random"}
            self._reading = make_conninfo("", **given | chosen)
        self._needed: str | None = None
        busy, statement = map(_milliseconds, (options.busy_timeout, options.statement_timeout))
        self._settings = [options.schema, busy, statement, options.synchronous]
        lock = f"pg_advisory_xact_lock({_LOCKS}, {zlib.crc32(options.schema.encode()) - 2**31})"
        # One message; the wait for the lock has a limit of its own, and what follows sees what the one before has written.
        self._begin = (
            f"BEGIN; SET LOCAL statement_timeout = 0; SELECT {lock}; SET LOCAL statement_timeout = {statement}"
        )
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._writing = threading.RLock()
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
            raise self._error("the store is closed", "use")

    def _error(
        self, problem: str, operation: str, hint: str | None = None, kind: type[DatabaseError] = DatabaseError
    ) -> DatabaseError:
        return kind(f"{self.server}: {problem}", hint=hint, path=self.server, operation=operation)

    def connect(self, conninfo: str | None = None) -> Connection:
        """Open a connection, with the settings of the options.

        :param conninfo: where to; None for the server that is written to.
        """
        connection: Connection = psycopg.connect(
            conninfo or self._conninfo, autocommit=True, cursor_factory=psycopg.RawCursor[tuple[Any, ...]]
        )
        # One type for all integers, so that a statement is planned once and not for each size of its values.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        try:
            connection.execute(_SETTINGS, self._settings)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start(
        self,
        connection: Connection | None,
        sql: bytes,
        parameters: Sequence[Any] | None,
        *,
        prepare: bool | None,
        conninfo: str | None = None,
    ) -> tuple[Connection, Cursor]:
        """Run the first statement on a connection, or, if that is None or lost, on a new one to *conninfo*."""
        while True:
            fresh = connection is None
            connection = connection or self.connect(conninfo)
            try:
                cursor = connection.cursor(binary=parameters is not None)
                return connection, cursor.execute(sql, parameters, prepare=prepare)
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
        connection, cursor = self._start(idle, sql, parameters, prepare=None, conninfo=self._reading)
        behind = self._needed is not None and not _has_replayed(connection, self._needed)
        if behind:
            self._give_back(connection)
            connection, cursor = self._start(None, sql, parameters, prepare=None)
        try:
            yield connection, cursor
        finally:
            if behind:
                connection.close()
            else:
                self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        if self._pid != os.getpid():
            _INHERITED.append(connection)
            return
        with contextlib.suppress(psycopg.Error):
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK")
            if not self._closed and not connection.closed:
                with self._lock:
                    if len(self._idle) < self._size:
                        self._idle.append(connection)
                        return
        connection.close()

    @contextlib.contextmanager
    def writer(self, *, numbered: bool = True) -> Iterator[tuple[Connection, int]]:
        """Lend the connection for writing in a transaction, and the number of this writer; others wait, here and elsewhere.

        :param numbered: whether the schema exists and gives numbers.
        :raises DatabaseBusyError: if the wait takes longer than the busy timeout.
        :raises DatabaseError: if the thread is already writing.
        """
        self._check()
        if self.read_only:
            hint = "open it without read_only in [store], and without --read-only"
            raise self._error("the store was opened for reading only", "write", hint)
        if not self._writing.acquire(timeout=self.busy_timeout):
            problem = f"another thread held the database for longer than {self.busy_timeout:g} s"
            hint = "let it finish, or raise busy_timeout in [store]"
            raise self._error(problem, "begin a batch", hint, DatabaseBusyError)
        try:
            writer = self._writer
            if writer is not None and not writer.closed and writer.info.transaction_status != TransactionStatus.IDLE:
                problem, hint = "this thread is already writing a batch", "finish the batch first, or write through it"
                raise self._error(problem, "begin a batch", hint)
            begin = f"{self._begin}; SELECT nextval('writers')" if numbered else self._begin
            try:
                self._writer, cursor = self._start(writer, begin.encode(), None, prepare=False)
                self.reconnections += self._writer is not writer
                while cursor.nextset():
                    pass
                yield self._writer, int(str(cursor.fetchone()[0])) if numbered else 0  # type: ignore[index]
                self._commit(self._writer)
            except BaseException:
                if self._writer is not None:
                    with contextlib.suppress(psycopg.Error):
                        self._writer.execute(b"ROLLBACK")
                raise
        finally:
            self._writing.release()

    def _commit(self, connection: Connection) -> None:
        warnings: list[str] = []

        def hear(notice: psycopg.errors.Diagnostic) -> None:  # which can be read only now
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "")

        connection.add_notice_handler(hear)
        try:
            done = connection.execute(b"COMMIT").statusmessage
        except psycopg.OperationalError as error:
            if not connection.closed:
                raise
            problem = "the connection was lost during the commit; the batch was kept as a whole, or not at all"
            hint = "look at the batches, or write it again: rows that are there already are recognised"
            raise self._error(problem, "commit", hint, CommitInDoubtError) from error
        finally:
            connection.remove_notice_handler(hear)
        if done != "COMMIT":  # a statement failed, and its error was not passed on
            raise self._error("a statement of the batch failed; nothing of it was kept", "commit")
        if warnings:  # the wait for a replica was cancelled
            problem = f"the batch was kept by this server, but not acknowledged: {warnings[0]}"
            hint = "look after the replicas, and write it again: rows that are there already are recognised"
            raise self._error(problem, "commit", hint, NotReplicatedError)

    def wait_for(self, position: str) -> None:
        """Read from replicas only once they have all up to a position of the primary's log, and from the primary until then."""
        if self._reading != self._conninfo:
            self._needed = position

    def close(self) -> None:
        """Close what is not on loan; what is, closes when it comes back."""
        if not self.is_open:
            return
        self._closed = True
        self._drop_idle()
        if self._writer is not None:
            self._writer.close()


def _with_tls(parts: Mapping[str, Any], options: PostgresOptions) -> dict[str, Any]:
    """Return the parts of a DSN with the options for TLS.

    :raises DatabaseError: if both say something different.
    """
    given = {name: getattr(options, name) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")}
    own = {name: str(Path(value).expanduser()) for name, value in given.items() if value is not None}
    for name, value in own.items():
        if str(parts.get(name, value)) != value:
            raise DatabaseError(
                f"{name} in [store] is {value!r}, and the dsn says {parts[name]!r}",
                hint=f"write {name} in one place",
                operation="open",
            )
    return {**parts, **own}


def _has_replayed(connection: Connection, position: str) -> bool:
    """Return whether a replica has all up to a position; a primary has everything."""
    sql = b"SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, true)"
    return bool(connection.execute(sql, [position]).fetchone() == (True,))


def _name_of(parts: Mapping[str, Any]) -> str:
    """Return the servers and the database of a DSN, filled in from libpq's variables, for messages."""

    def part(name: str, variable: str) -> str:
        return str(parts.get(name) or os.environ.get(variable) or "")

    hosts = (part("host", "PGHOST") or part("hostaddr", "PGHOSTADDR") or "localhost").split(",")
    ports = (part("port", "PGPORT") or "5432").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    places = ",".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=True))
    return f"postgresql://{places}/{part('dbname', 'PGDATABASE') or part('user', 'PGUSER')}"


def _milliseconds(seconds: float) -> str:
    """Return a time as the server takes it; to it, 0 would be no limit at all."""
    return str(max(1, int(seconds * 1000)))
