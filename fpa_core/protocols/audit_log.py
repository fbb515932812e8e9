"""An entry of the audit log."""

from __future__ import annotations

from attrs import frozen

__all__ = ["AuditEntry"]


@frozen
class AuditEntry:
    """One change of a store, or one act of maintenance.

    :ivar seq: its number, from 1 without a gap.
    :ivar ts_ns: when, in nanoseconds since 1970, by the clock of the computer.
    :ivar action: what was done, such as ``write``, ``undo``, ``delete`` or ``backup``.
    :ivar user: who, as the system knows them; ``host`` the computer, ``process`` the id of the process, ``program`` its name.
    :ivar batch: the batch that was written; None for maintenance.
    :ivar details: a JSON object with what the action came to, as text.
    :ivar hash: 64 hexadecimal digits over the hash before and all other values; see :func:`fpa_core.engine.audit_log.hash_of`.
    """

    seq: int
    ts_ns: int
    action: str
    user: str
    host: str
    process: int
    program: str
    batch: int | None
    details: str
    hash: str
