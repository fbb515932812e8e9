"""Putting a backup in the place of the store: verified first, and never over a database that nobody gave up."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from pathlib import Path

from attrs import frozen

from fpa_core.engine.anchor import SUFFIX, AnchorFile
from fpa_core.engine.store import EngineStore
from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.operations.backup import verify_backup
from fpa_core.operations.manifest import Manifest
from fpa_core.outputs import OWNER, new_file, private_folder
from fpa_core.protocols import AuditEntry, StoreFile, Tick

__all__ = ["Restored", "remove_database", "restore"]

_BLOCK = 1 << 20
_log = logging.getLogger("fpa.store")


@frozen
class Restored:
    """What a restore did: the store that holds the backup's contents now, and where the one before went; None if there was none."""

    path: Path
    manifest: Manifest
    aside: Path | None


def restore(file: StoreFile, backup: Path, *, replace: bool, tick: Tick, anchor: AnchorFile | None = None) -> Restored:
    """Verify a backup and put a copy of it in the place of the store.

    :param replace: whether a store that is there may be replaced; it is kept beside the new one.
    :param anchor: the anchor of the audit log, which is told where the log goes back to.
    :raises DatabaseError: if a store is there and may not be replaced, another program has it open, or the copy cannot be written.
    :raises CorruptionError: if the backup is not what it was when it was made; nothing is changed then.
    """
    path = file.path
    exists = path.exists() or path.with_name(f"{path.name}-wal").exists()
    if exists and not replace:
        raise DatabaseError(
            f"{path} already exists",
            hint="with --replace it is kept beside the restored one; or name another path in [store]",
            path=str(path),
            operation="restore",
        )
    manifest = verify_backup(file, backup, tick).manifest
    draft = path.with_name(f".{path.name}.restore.part")
    aside = path.with_name(f"{path.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}")
    try:
        private_folder(path.parent)
        remove_database(draft)  # of a restore that was killed
        try:
            _copy(backup, draft, manifest)
            entry = _record(file, draft, backup, manifest, aside if exists else None)
            lines = b"" if anchor is None else anchor.lines()
            if anchor is not None:
                anchor.restore(manifest.audit_seq, manifest.audit_hash)
            file.replace(draft, aside)
            if anchor is not None and entry is not None:
                anchor.note(entry)
            if lines and aside.exists():
                _keep_anchor(aside.with_name(aside.name + SUFFIX), lines)
        finally:
            remove_database(draft)
    except OSError as error:
        raise DatabaseError(
            f"{path}: the backup cannot be put there: {error.strerror or error}",
            hint="free some space, or close the programs that use the database; nothing was changed",
            path=str(path),
            operation="restore",
        ) from error
    return Restored(path, manifest, aside if aside.exists() else None)


def _keep_anchor(path: Path, lines: bytes) -> None:
    """Write the anchor of the database that was set aside. The restore is done by now, so that a failure is a warning."""
    try:
        with new_file(path) as stream:
            stream.write(lines)
    except OSError as error:
        _log.warning("%s: the anchor of the database before cannot be kept: %s", path, error)


def remove_database(path: Path) -> None:
    """Remove a file of a database with its write-ahead log, which would be taken for that of the next file of this name."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _record(file: StoreFile, draft: Path, backup: Path, manifest: Manifest, aside: Path | None) -> AuditEntry | None:
    """Add the entry of the restore to the copy, so that it is there if and only if the copy takes the place of the store.

    A copy of an older schema is left as it is: its log may not have begun.
    """
    if manifest.schema != file.schema:
        return None
    details = {"backup": backup.name, "sha256": manifest.sha256, "aside": aside and aside.name}
    with contextlib.closing(file.open_copy(draft, read_only=False)) as backend:
        assert isinstance(backend, EngineStore), "a store that is one file is an engine's"
        return backend.record_act("restore", details)


def _copy(backup: Path, draft: Path, manifest: Manifest) -> None:
    """Copy a file durably, and compare what was written with the manifest."""
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), OWNER)
    with open(descriptor, "w+b") as copy:  # noqa: PTH123 - it is a descriptor
        with backup.open("rb") as source:
            shutil.copyfileobj(source, copy, _BLOCK)
        copy.flush()
        os.fsync(copy.fileno())
        copy.seek(0)
        digest = hashlib.sha256()
        while block := copy.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != manifest.sha256:
        raise CorruptionError(
            f"{draft}: the copy of {backup} differs from it",
            hint="check the disk; nothing was changed",
            path=str(backup),
            operation="restore",
        )
