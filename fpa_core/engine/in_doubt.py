"""Find out whether a batch was stored whose commit was under way when the connection to the server was lost."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from fpa_core.engine.audit_log import append
from fpa_core.engine.tables import Database, Reader
from fpa_core.exceptions import CommitInDoubtError, ConnectionLostError, NotReplicatedError
from fpa_core.protocols import AuditEntry

__all__ = ["has_entry", "settled"]

PATIENCE = 30.0
"""Seconds for which a server is asked: a failover takes its time."""

PAUSE = 0.1
"""Seconds between two tries."""

_log = logging.getLogger("fpa.store")


@contextlib.contextmanager
def settled(
    database: Database,
    entry: Callable[[], AuditEntry | None],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[None]:
    """Go on as after any commit if the transaction within was stored although its answer was lost.

    The answer is in the audit log: an entry is written in the transaction of its batch, and its hash is like no other's. A number of a batch
    would not do: a replica that was behind gives it to another batch.

    :param entry: returns the entry of the transaction, once it was written.
    :raises ConnectionLostError: if it was not stored.
    :raises CommitInDoubtError: if the server cannot be asked.
    """
    try:
        yield
    except NotReplicatedError:
        raise
    except CommitInDoubtError as error:
        wanted = entry()
        if wanted is None:
            raise
        end = monotonic() + PATIENCE
        while True:
            try:
                stored = _is_stored(database, wanted)
                break
            except NotReplicatedError:
                raise
            except (ConnectionLostError, CommitInDoubtError):
                if monotonic() > end:
                    raise error from None
                sleep(PAUSE)
        if not stored:
            raise ConnectionLostError(
                f"{error.path}: the connection was lost during the commit, and nothing of the batch was kept",
                hint="write it again",
                path=error.path,
                operation=error.operation,
            ) from error
        _log.warning("the connection was lost during the commit of batch %s, which was stored", wanted.batch)


def _is_stored(database: Database, entry: AuditEntry) -> bool:
    """Return whether an entry is in the audit log, now that no other transaction can bring it any more.

    The writer's lock is held by the lost transaction until the server has ended it. The entry that is written here makes the server wait for its
    replicas, if it is set up to, before the other one counts as stored.
    """
    with database.writer("find out whether a batch was stored") as tables:
        if stored := has_entry(tables, entry):
            append(tables.audit_log, "settle", {"seq": entry.seq, "batch": entry.batch})
    return stored


def has_entry(tables: Reader, entry: AuditEntry) -> bool:
    """Return whether this very entry is in the audit log, and so everything that was committed before it."""
    return next((found[0].hash == entry.hash for found in tables.audit_log.scan(entry.seq, 1)), False)
