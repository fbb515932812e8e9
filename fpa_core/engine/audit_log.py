"""The audit log: who changed what and when, in entries of which each has a hash that covers the one before.

An entry is written in the transaction of what it records, so there is never one without the other. It holds counts, names and numbers of batches,
and no rows: what a batch changed is found through the history. This log is about the store's changes; the command ``fpa audit`` validates records.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from fpa_core.engine.tables import AuditReader, AuditWriter, Writer
from fpa_core.protocols import AuditEntry

__all__ = [
    "COPY",
    "GENESIS",
    "Actor",
    "AuditTrail",
    "append",
    "hash_of",
    "present_actor",
    "record_migration",
    "unfinished_copy",
]

GENESIS = "0" * 64
"""The hash that comes before the first entry."""

COPY = "copy"
"""The action of an entry that says which store was copied to this one. What was copied with it has no entries here, but in the log of that store."""

_FORM = "fpa-audit/1"

_encode = json.JSONEncoder(
    separators=(",", ":"), sort_keys=True
).encode  # made once, as each group of a stream has an entry


@frozen
class Actor:
    """Who acts: the user and the computer, the process id and the program."""

    user: str
    host: str
    process: int
    program: str


def present_actor() -> Actor:
    """Return who runs this process."""
    return _actor(os.getpid())


@functools.lru_cache(maxsize=1)
def _actor(process: int) -> Actor:
    return Actor(_plain(_user()), _plain(socket.gethostname()), process, _plain(_program()))


def _user() -> str:
    try:
        import pwd  # what the system knows; variables such as USER say what anybody likes
    except ImportError:
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container, users often have numbers only
        return str(os.geteuid())


def _program() -> str:
    """Return the name of the program, never its arguments, which may hold a secret."""
    path = Path(sys.argv[0] if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else sys.executable or "python")
    return path.parent.name if path.name == "__main__.py" else path.name


def _plain(text: str) -> str:
    """Return a text that every database can keep."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def hash_of(previous: str, entry: AuditEntry) -> str:
    """Return the hash of an entry, as 64 hexadecimal digits: SHA-256 over the hash before it and all its values, as a JSON array in ASCII.

    :param previous: the hash of the entry before; :data:`GENESIS` for the first.
    """
    values = [
        _FORM,
        previous,
        entry.seq,
        entry.ts_ns,
        entry.action,
        entry.user,
        entry.host,
        entry.process,
        entry.program,
        entry.batch,
        entry.details,
    ]
    return hashlib.sha256(_encode(values).encode("ascii")).hexdigest()


def append(
    log: AuditWriter, action: str, details: Mapping[str, Any], *, batch: int | None = None, now_ns: int | None = None
) -> AuditEntry:
    """Add an entry to the end of the log, and return it; what is None in *details* is left out.

    :param batch: the batch that the action wrote.
    :param now_ns: the present time; None for that of the system.
    """
    last = log.last()
    actor = present_actor()
    kept = {name: value for name, value in details.items() if value is not None}
    if last is None:  # so that no two logs have an entry in common
        kept["log"] = secrets.token_hex(16)
    entry = AuditEntry(
        seq=1 if last is None else last.seq + 1,
        ts_ns=time.time_ns() if now_ns is None else now_ns,
        action=action,
        user=actor.user,
        host=actor.host,
        process=actor.process,
        program=actor.program,
        batch=batch,
        details=_encode(kept),
        hash="",
    )
    entry = evolve(entry, hash=hash_of(GENESIS if last is None else last.hash, entry))
    log.add(entry)
    return entry


def record_migration(tables: Writer, version: int, latest: int, backup: Path | None) -> AuditEntry:
    """Add the entry of a migration, or of the creation of the store; the log may begin with it.

    :param version: the schema before; 0 if there was none. ``latest`` is the schema now.
    """
    found = tables.batches.find(limit=1, children=True)
    # The first entry says which batches are older than the log.
    details = {"from": version, "to": latest, "backup": backup and backup.name, "batches": found[0].id if found else 0}
    return append(tables.audit_log, "migrate" if version else "create", details)


def unfinished_copy(log: AuditReader) -> str | None:
    """Return what the store is a copy of, if the copy was begun, is not complete, and nothing was done since; else None."""
    last = log.last()
    if last is None or last.action != COPY:
        return None
    details = json.loads(last.details)
    return None if details.get("state") == "complete" else str(details.get("from"))


@frozen
class AuditTrail:
    """Those who are told of an entry once it is committed, such as the anchor outside the database."""

    listeners: list[Callable[[AuditEntry], None]] = field(factory=list)

    def committed(self, entry: AuditEntry) -> None:
        """Notify the listeners of a committed entry; they must not raise, since the change is made."""
        for listener in self.listeners:
            listener(entry)
