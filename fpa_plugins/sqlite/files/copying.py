"""Copies of a database, taken while others write to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from pathlib import Path

import apsw

from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_core.outputs import sync_folder
from fpa_core.protocols import Tick
from fpa_plugins.sqlite.files.encryption import Key
from fpa_plugins.sqlite.files.pages import damaged_pages, has_checksums, open_file, plain_uri, verifying

__all__ = ["back_up", "backup_name", "copy_database", "rewrite", "verified_copy"]

_PAGES_AT_ONCE = 256


def copy_database(source: apsw.Connection, target: Path, tick: Tick, key: Key | None = None) -> None:
    """Write the state that *source* sees to a new or an empty file, durably, readable by its owner alone.

    :param key: that of the source, and of the copy.

    The transaction that is open for it keeps the state the same to the end, and holds no writer up; what is written meanwhile stays in the log.
    """
    if key is not None:
        # Pages are encrypted for their file, and so are written anew; one statement sees one state.
        rewrite(source, target, key)
        tick(1, 1)
        return
    own = not source.in_transaction
    if own:
        source.execute("BEGIN")
    try:
        source.execute("SELECT 1 FROM sqlite_schema").fetchall()
        if not target.exists():
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
        copy = open_file(str(target), apsw.SQLITE_OPEN_READWRITE)
        try:
            # With its header written the file computes checksums of all pages: those that come from the write-ahead log have none, and may
            # be written before the first page.
            copy.execute(f"PRAGMA page_size = {source.pragma('page_size')}; PRAGMA user_version = 1")
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES_AT_ONCE)
                    tick(backup.page_count - backup.remaining, backup.page_count)
        finally:
            copy.close(True)
    finally:
        if own:
            source.execute("ROLLBACK")


def rewrite(source: apsw.Connection, target: Path, key: Key | None) -> None:
    """Write the state of the store to a new or an empty file, encrypted with *key*, or not if it is None.

    :param source: a connection without a transaction that was opened for URIs.
    :raises DatabaseError: if it cannot be written; the error does not show the key.
    """
    if not target.exists():
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
    uri = plain_uri(target) if key is None else key.uri(target)
    try:
        source.execute("VACUUM INTO ?", (uri,))
    except apsw.FullError:
        raise  # its message names no file
    except apsw.Error as error:
        what = str(error).replace(uri, str(target))
        raise DatabaseError(f"{target} cannot be written: {what}", path=str(target), operation="copy") from None
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def verified_copy(path: Path, target: Path, key: Key | None = None) -> None:
    """Copy the database at *path* and check the copy.

    :raises CorruptionError: if it is damaged.
    """
    source = open_file(str(path), apsw.SQLITE_OPEN_READONLY, key)
    try:
        copy_database(source, target, lambda _done, _all: None, key)
    finally:
        source.close(True)
    copy = open_file(f"{target.as_uri()}?immutable=1", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, key)
    try:
        faults = [str(text) for (text,) in copy.execute("PRAGMA integrity_check(3)") if text != "ok"]
    finally:
        copy.close(True)
    if key is None and verifying() and has_checksums(target):
        faults += [f"page {number} does not match its checksum" for number in damaged_pages(target)]
    if faults:
        raise CorruptionError(
            f"{path} is damaged: {'; '.join(faults[:3])}",
            hint="restore it from a backup: `fpa store restore BACKUP --replace`",
            path=str(path),
            operation="back up",
        )


def backup_name(path: Path, version: int) -> Path:
    """Return a free name for the backup of a schema; one that ends in ``.part`` never became whole."""
    stem = f"{path.name}.v{version}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    names = itertools.chain([f"{stem}.bak"], (f"{stem}-{number}.bak" for number in itertools.count(2)))
    return next(found for name in names if not (found := path.with_name(name)).exists())


def back_up(path: Path, version: int, key: Key | None) -> Path:
    """Copy the database, by a connection of its own, as it is before a migration, and return where the copy is.

    :param version: that of the schema.
    :param key: that of the database, which the copy keeps.
    :raises CorruptionError: if it is damaged: a migration would spread the damage.
    :raises DatabaseError: if the copy cannot be written.
    """
    try:
        for left in path.parent.glob(f"{path.name}.v*.bak.part"):
            left.unlink()  # of a migration that was killed
        target = backup_name(path, version)
        draft = target.with_name(f"{target.name}.part")
        try:
            verified_copy(path, draft, key)
            draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the copy is there, only not yet for sure after a power cut
            sync_folder(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"{path}: the backup before the migration cannot be written: {error.strerror or error}",
            hint="free some space, or make the folder writable; nothing was migrated",
            path=str(path),
            operation="migrate",
        ) from error
    return target
