"""The store on one SQLite file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apsw
import pyarrow as pa

from fpa_core.exceptions import DatabaseBusyError
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import Batch, Capability, Extent, QuarantineCount, Quarantined, QuarantineQuery, Query, Sealed
from fpa_plugins.sqlite import quarantine, reading, sealing
from fpa_plugins.sqlite.blocks import Blocks
from fpa_plugins.sqlite.connection import Pool, immediate, prepare_file
from fpa_plugins.sqlite.errors import translated
from fpa_plugins.sqlite.latest import latest
from fpa_plugins.sqlite.live import SqliteStream
from fpa_plugins.sqlite.migrations import migrate
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.writing import SqliteTransaction, begin_batch

__all__ = ["SqliteStore"]


class SqliteStore:
    """See :class:`fpa_core.protocols.StoreBackend`.

    :raises SchemaError: when the file is no database of ours, or of a newer version.
    :raises DatabaseError: when it cannot be opened.
    """

    capabilities = frozenset(
        {Capability.PERSISTENT, Capability.SHARED, Capability.KNOWN_AT, Capability.UNDO, Capability.SEAL}
    )

    def __init__(self, options: SqliteOptions) -> None:
        self.path = options.path.expanduser().absolute()
        prepare_file(self.path)
        self._seal_rows = options.seal_rows
        self._written = False
        self._blocks = Blocks(options.read_cache)
        self._pool = Pool(self.path, synchronous=options.synchronous, busy_timeout=options.busy_timeout)
        with translated(self.path, "open"), self._pool.writer() as connection:
            self.migration_backup = migrate(connection, self.path)

    def close(self) -> None:
        """Seal what is worth it, if that is the policy, and release the file; SQLite folds the write-ahead log into it."""
        if self._seal_rows is not None and self._written and self._pool.is_open:
            # Whoever is writing at this moment will seal when it closes.
            with contextlib.suppress(DatabaseBusyError):
                for kind in KINDS.values():
                    self.seal(kind, least=self._seal_rows)
        self._written = False
        self._blocks.clear()
        with translated(self.path, "close"):
            self._pool.close()

    def seal(self, kind: Kind, *, subject: str | None = None, least: int = 1) -> Sealed:
        """Move hot rows of quotes and trades into segments, and fold late ones into those they belong to."""
        if not kind.multiset:
            return Sealed()
        with translated(self.path, f"seal {kind.name}"), self._pool.writer() as connection, immediate(connection):
            return sealing.seal(connection, kind, subject=subject, least=least)

    @contextlib.contextmanager
    def transaction(
        self, *, source: str, file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> Iterator[SqliteTransaction]:
        """Begin a batch."""
        with translated(self.path, "write a batch"), self._pool.writer() as connection, immediate(connection):
            batch_id = begin_batch(connection, source, file, digest, replays)
            batch = SqliteTransaction(connection, batch_id, replays=replays)
            yield batch
            batch.record()
        self._written = True

    def stream(self, *, source: str) -> SqliteStream:
        """Begin a batch that is written in groups."""
        stream = SqliteStream(self._pool, self.path, source)
        self._written = True
        return stream

    def scan(
        self, query: Query, rows: int = 16_384, *, columns: Sequence[str] | None = None, scaled: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *query* in order."""
        with translated(self.path, f"read {query.kind.name}"), self._pool.reader() as connection:
            # One read transaction, so that catalog, segments and hot rows come from the same moment.
            connection.execute("BEGIN")
            try:
                yield from reading.scan(connection, query, rows, columns, scaled=scaled, blocks=self._blocks)
            finally:
                connection.execute("ROLLBACK")

    def latest(self, kind: Kind, subject: str) -> list[Any] | None:
        """Return the values of the last row of a multiset's subject; None where only a scan can tell."""
        with translated(self.path, f"read {kind.name}"), self._pool.reader() as connection:
            return latest(connection, kind, subject)

    def count(self, query: Query) -> int:
        """Count the rows of *query*."""
        with translated(self.path, f"count {query.kind.name}"), self._pool.reader() as connection:
            connection.execute("BEGIN")
            try:
                return reading.count(connection, query)
            finally:
                connection.execute("ROLLBACK")

    def inventory(self, kind: Kind) -> Sequence[Extent]:
        """Tell how many rows of each subject there are, and from when to when."""
        hot = f"SELECT {kind.subject} AS subject, count(*) AS rows, min(ts_ns) AS first, max(ts_ns) AS last FROM {kind.name} GROUP BY 1"
        sealed = "SELECT subject, rows, first_ns, last_ns FROM segments WHERE kind = ?"
        sql = f"SELECT subject, sum(rows), min(first), max(last) FROM ({hot} UNION ALL {sealed}) GROUP BY 1 ORDER BY 1"
        with translated(self.path, "take the inventory"), self._pool.reader() as connection:
            return [Extent(kind.name, *row) for row in connection.execute(sql, (kind.name,))]

    def batches(self, *, batch: int | None = None, limit: int | None = None) -> Sequence[Batch]:
        """List batches, latest first."""
        names = "id, source, recorded_ns, file, digest, read, inserted, duplicate, revised, quarantined, deleted, undone_by, replays, reading"
        sql = f"SELECT {names} FROM batches WHERE id = ifnull(?, id) ORDER BY id DESC LIMIT ?"
        with translated(self.path, "list batches"), self._pool.reader() as connection:
            return [Batch(*row) for row in connection.execute(sql, (batch, -1 if limit is None else limit))]

    def quarantined(self, query: QuarantineQuery) -> Iterator[Quarantined]:
        """Yield refused records."""
        with translated(self.path, "read the quarantine"), self._pool.reader() as connection:
            yield from quarantine.select(connection, query)

    def count_quarantined(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count refused records."""
        with translated(self.path, "count the quarantine"), self._pool.reader() as connection:
            return quarantine.count(connection, query)

    def describe(self) -> Mapping[str, Any]:
        """Tell what file this is."""
        with translated(self.path, "describe"), self._pool.reader() as connection:
            return {
                "backend": "sqlite",
                "path": str(self.path),
                "schema": connection.pragma("user_version"),
                "engine": f"SQLite {apsw.sqlite_lib_version()}",
                "bytes": connection.pragma("page_count") * connection.pragma("page_size"),
                "kinds": {name: _figures(connection, name) for name in KINDS},
            }


def _figures(connection: apsw.Connection, kind: str) -> dict[str, int]:
    """Tell how many rows of a kind are hot and how many sealed, and what the sealed ones take."""
    sums = "SELECT count(*), ifnull(sum(rows), 0), ifnull(sum(bytes), 0) FROM segments WHERE kind = ?"
    segments, rows, size = next(connection.execute(sums, (kind,)))
    hot = connection.execute(f"SELECT count(*) FROM {kind}").get
    return {"rows": hot + rows, "hot": hot, "sealed": rows, "segments": segments, "segment_bytes": size}
