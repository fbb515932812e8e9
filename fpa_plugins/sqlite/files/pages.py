"""A checksum on each page of the file: a changed byte is an error when its page is read, and is found by a check of the whole file.

The checksums are those of SQLite's own extension ``cksumvfs``, which the driver ships: eight bytes at the end of each page, computed when the page is
written to the file and compared when it is read from there. In the write-ahead log they are not kept up to date; the log has checksums of its own,
which SQLite compares when it recovers. So a program that knows nothing of the extension, such as the sqlite3 shell, leaves pages with wrong ones when
it writes the log back, as it does if it is the first to open the database after a crash.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from fpa_core.exceptions import CorruptionError, DatabaseError
from fpa_plugins.sqlite.files.encryption import Key

__all__ = [
    "RESERVED",
    "accept_pages",
    "check_header",
    "damaged_pages",
    "has_checksums",
    "open_file",
    "plain_uri",
    "reserve_checksums",
    "set_up",
    "verifying",
    "without_verifying",
]

RESERVED = 8
"""Bytes at the end of each page that hold its checksum."""

CACHE_KIB = 32_768
"""Pages that a connection keeps in memory at most: some million sealed rows, so that the hours looked at again need no reading."""

_VFS = "cksmvfs"
_HEADER = 100
_RESERVED_AT = 20
_MAGIC = b"SQLite format 3\0"
_SMALLEST = 512
_PAGES_AT_ONCE = 64
_loading = threading.Lock()


@functools.cache
def _load() -> bool:
    import apsw.sqlite_extra

    default = apsw.vfs_names()[0]
    connection = apsw.Connection(":memory:")
    try:
        apsw.sqlite_extra.load(connection, "cksumvfs")
    except (apsw.Error, apsw.sqlite_extra.NotAvailable, OSError):
        return False
    finally:
        connection.close(True)
    # The extension makes itself the default of the whole process, which belongs to others as well.
    apsw.set_default_vfs(default)
    return True


def verifying() -> bool:
    """Return whether this installation of the driver has the extension."""
    with _loading:
        return _load()


def open_file(path: str, flags: int, key: Key | None = None) -> apsw.Connection:
    """Open a connection that verifies the checksums of the pages it reads, and writes those of new files; or, with a key, decrypts and encrypts them."""
    if key is not None:
        connection = apsw.Connection(path, flags=flags | apsw.SQLITE_OPEN_URI)
        key.unlock(connection)
        return connection
    if not verifying():
        return apsw.Connection(path, flags=flags)
    connection = apsw.Connection(path, flags=flags, vfs=_VFS)
    if not flags & apsw.SQLITE_OPEN_READONLY:
        reserve_checksums(connection)
    return connection


def set_up(connection: apsw.Connection, settings: str = "") -> None:
    """Make the settings that every connection of a store has, after others of its own."""
    # Plans do not depend on bound values: where they may, a statement is prepared anew each time it is given others, which takes
    # longer than most of them run.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    common = f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"
    connection.execute(
        f"{settings}; {common}"
    ).fetchall()  # read to the end: what follows the first row is not run before


def plain_uri(path: Path) -> str:
    """Return how SQLite is told to make a file that is not encrypted, though the one that it is made of may be."""
    how = f"vfs={_VFS}&reserve={RESERVED}" if verifying() else "reserve=0"
    return f"{path.as_uri()}?key=&{how}"


def reserve_checksums(connection: apsw.Connection) -> None:
    """Ask for room for checksums on each page; an empty file takes it over at once, any other when it is rewritten as a whole."""
    if verifying():
        connection.reserve_bytes("main", RESERVED)


def has_checksums(path: Path) -> bool:
    """Return whether the pages of a file carry checksums, by its header."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    return len(header) == _HEADER and header[_RESERVED_AT] == RESERVED


def check_header(path: Path) -> None:
    """Check what the first page says of checksums, since a flipped bit there would turn all of them off.

    :raises CorruptionError: if the header is damaged.
    :raises DatabaseError: if the file has checksums that this installation cannot write.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            return  # empty, encrypted or no database: opening it says so
        page = header + file.read(max(_page_size(header) - _HEADER, 0))
    if header[_RESERVED_AT] == RESERVED:
        if not verifying():
            raise DatabaseError(
                f"{path}: its pages carry checksums, which this installation of apsw cannot write",
                hint="install a wheel of apsw-sqlite3mc, which has the extension cksumvfs",
                path=str(path),
                operation="open",
            )
    elif verifying() and _matches(page[:_RESERVED_AT] + bytes([RESERVED]) + page[_RESERVED_AT + 1 :]):
        raise CorruptionError(
            f"{path} is damaged: its first page does not match its checksum",
            hint="restore it from a backup: `fpa store restore BACKUP --replace`",
            path=str(path),
            operation="open",
        )


def damaged_pages(path: Path) -> Iterator[int]:
    """Yield the numbers of the pages of a file, from 1, that do not match their checksums. Those within the write-ahead log are not looked at."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
        size = max(_page_size(header), _SMALLEST) if len(header) == _HEADER else 0
        number = 0
        file.seek(0)
        while size and (pages := file.read(size * _PAGES_AT_ONCE)):
            for start in range(0, len(pages), size):
                number += 1
                if not _matches(pages[start : start + size]) and not _settles(path, number, size):
                    yield number


@contextlib.contextmanager
def without_verifying(connection: apsw.Connection) -> Iterator[None]:
    """Read pages as they are, whether they match their checksums or not."""
    connection.execute("PRAGMA checksum_verification = OFF").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA checksum_verification = ON").fetchall()


def accept_pages(path: Path, busy_timeout: float) -> int:
    """Take the pages of a file as they are, and write it anew with their checksums; return how many did not match.

    :raises CorruptionError: if its structure is damaged; nothing is changed then.
    """
    accepted = sum(1 for _ in damaged_pages(path)) if verifying() and has_checksums(path) else 0
    if not accepted:
        return 0
    connection = open_file(str(path), apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(int(busy_timeout * 1000))
        with without_verifying(connection):
            if (fault := connection.execute("PRAGMA integrity_check(1)").get) != "ok":
                raise CorruptionError(
                    f"{path} is damaged: {fault}",
                    hint="restore it from a backup: `fpa store restore BACKUP --replace`",
                    path=str(path),
                    operation="accept pages",
                )
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close(True)
    return accepted


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65_536 if size == 1 else size


def _settles(path: Path, number: int, size: int) -> bool:
    """Return whether a page matches when it is read once more: a checkpoint may just have been writing it."""
    for _ in range(3):
        with path.open("rb") as file:
            file.seek((number - 1) * size)
            if _matches(file.read(size)):
                return True
    return False


def _matches(page: bytes) -> bool:
    return bool(_verifier().execute("SELECT verify_checksum(?)", (page,)).get == 1)


def _verifier() -> apsw.Connection:
    """Return this thread's connection for the function of the extension; a new one has it once the extension is loaded."""
    if not hasattr(_verifiers, "connection"):
        _verifiers.connection = apsw.Connection(":memory:")
    connection: apsw.Connection = _verifiers.connection
    return connection


_verifiers = threading.local()
