"""The port: what a database must offer for the engine to keep the store's contracts over it.

The methods are set-oriented and without policy: which rows are equal, what a later version replaces and what an undo brings back is decided by
the engine. A backend keeps seven things: the *hot* rows of each kind with their history, sealed segments with their catalog, retired segments with
theirs, batches, the quarantine, the ledger of fetched ranges, and the audit log. Rows are plain tuples (see :mod:`fpa_core.engine.rows`); no method is called once per row.

Backends derive from these classes. The abstract methods are what a backend must have. The others follow from them, by a scan, or refuse a capability
that the backend does not declare; a backend overrides those that it can answer faster, and those of its capabilities.
:mod:`fpa_core.engine.sql` overrides nearly all, :mod:`fpa_core.engine.plain` nearly none.

The engine relies on this:

- Writers are serialised: from the beginning of a :class:`Writer`'s context to its end nobody else writes, in this process or in another.
- So batch ids, which a backend gives in rising order, follow the order of the commits.
- A context is all or nothing: leaving it commits, durably; an exception takes back everything, and the next writer sees nothing of it.
- A :class:`Reader` sees one state of the store from its first answer to its last, however long it is open, and blocks no writer. A Writer sees
  its own changes.
- An iterator that is closed early, or dropped, holds nothing open.
- Errors of the driver are raised as :class:`~fpa_core.exceptions.DatabaseError`: a writer that waited in vain as ``DatabaseBusyError``, damage as
  ``CorruptionError``.
"""

from __future__ import annotations

from fpa_core.engine.tables.audit_log import AuditReader, AuditWriter
from fpa_core.engine.tables.batches import BatchReader, BatchWriter
from fpa_core.engine.tables.coverage import CoverageReader, CoverageWriter
from fpa_core.engine.tables.database import Database, Reader, Writer, announce, figures, unsupported
from fpa_core.engine.tables.quarantine import QuarantineReader, QuarantineStore, Sought
from fpa_core.engine.tables.rows import RowReader, RowWriter
from fpa_core.engine.tables.segments import RetiredReader, RetiredWriter, SegmentReader, SegmentWriter

__all__ = [
    "AuditReader",
    "AuditWriter",
    "BatchReader",
    "BatchWriter",
    "CoverageReader",
    "CoverageWriter",
    "Database",
    "QuarantineReader",
    "QuarantineStore",
    "Reader",
    "RetiredReader",
    "RetiredWriter",
    "RowReader",
    "RowWriter",
    "SegmentReader",
    "SegmentWriter",
    "Sought",
    "Writer",
    "announce",
    "figures",
    "unsupported",
]
