"""Files that this program writes: readable by their owner alone, never through a link, and complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import importlib.util
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fpa_core.exceptions import DataError

__all__ = [
    "append_to",
    "draft_of",
    "new_file",
    "private_folder",
    "sync_folder",
    "whole_file",
    "why_distrusted",
    "writable",
]

OWNER = stat.S_IRUSR | stat.S_IWUSR
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TRIES = 10


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside *path* that replaces it once it is complete and synced to disk. A link at *path* is replaced, not followed.

    Temporary files that killed programs left for the same path are removed.

    :raises DataError: if it cannot be written.
    """
    with writable(path):
        _remove_left(path.parent, glob.escape(path.name))
        draft, stream = _draft(path)
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def draft_of(path: Path, *, left: str) -> Iterator[Path]:
    """Make an empty temporary file beside *path*, for what writes a file by its name; at the end it is removed, unless it was renamed.

    :param left: the pattern of names for which temporary files that killed programs left are removed.
    :raises OSError: if it cannot be made.
    """
    _remove_left(path.parent, left)
    draft, stream = _draft(path)
    if not _can_lock():
        stream.close()  # an open file cannot be renamed there
    try:
        yield draft
    finally:
        stream.close()
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that must not be there yet, and that only its owner may read.

    :raises OSError: if it is there, or cannot be written.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, OWNER)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - it is a descriptor
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn failures to write a file or folder into a :class:`DataError`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}", source=str(path)) from error


def append_to(path: Path) -> int:
    """Open a file for appending, and return its descriptor; it is made if it is not there.

    :raises OSError: if it cannot be opened, or is a link; links in ``/dev`` are followed.
    """
    if path.parent == Path("/dev"):
        return os.open(path, os.O_WRONLY | os.O_APPEND)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link")
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINKS, OWNER)


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it, if they are not there; new ones are open to their owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, on systems that can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why_distrusted(path: Path) -> str | None:
    """Return why others could have changed a file, or None: it belongs to another user, or all may write to it."""
    if not hasattr(os, "geteuid"):
        return None
    status = path.stat()
    if status.st_uid not in {os.geteuid(), 0}:
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & stat.S_IWOTH:
        return "every user of this computer may write to it"
    return None


def _draft(path: Path) -> tuple[Path, BinaryIO]:
    """Make a locked temporary file: the lock ends with the program, however that ends."""
    for _ in range(_TRIES):
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NO_LINKS | _BINARY, OWNER)
        stream = open(descriptor, "w+b")  # noqa: PTH123, SIM115 - it is a descriptor, and the caller closes it
        if _lock(descriptor) and draft.exists():
            return draft, stream
        stream.close()  # somebody took it for a left one before it was locked
        draft.unlink(missing_ok=True)
    raise OSError(errno.EAGAIN, "its temporary file is taken away again and again")


def _remove_left(folder: Path, names: str) -> None:
    drafts = f".{names}.{'[0-9a-f]' * 32}.part"
    for left in folder.glob(drafts):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDWR | _NO_LINKS | _BINARY)
            try:
                free = _lock(descriptor)
            finally:
                os.close(descriptor)
            if free:
                left.unlink()
    for left in folder.glob(f"{drafts}-*"):  # the journals of a database that was a draft
        if not left.with_name(left.name.rpartition("-")[0]).exists():
            with contextlib.suppress(OSError):
                left.unlink()


def _can_lock() -> bool:
    return importlib.util.find_spec("fcntl") is not None


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return whether nobody else has. Where files cannot be locked, open ones cannot be removed either."""
    if not _can_lock():
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
