"""The folder of a disk cache: made private, checked to be one's own, and emptied of what the cache put there."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from pathlib import Path

from fpa_core.exceptions import CacheError

__all__ = ["ENTRIES", "prepare", "wipe"]

ENTRIES = "entries"
"""The folder in it that is diskcache's."""

_GONE = ".gone-"

# The mark by which backup programs know what they need not keep (https://bford.info/cachedir/), and this one its folders.
_TAG_NAME = "CACHEDIR.TAG"
_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of market data; it may be deleted at any time.\n"


def prepare(folder: Path) -> None:
    """Make the folder, for its owner alone, and mark it as a cache.

    :raises CacheError: when it belongs to somebody else, holds other things, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            status = folder.stat()
            if status.st_uid != os.geteuid():
                raise CacheError(f"the cache folder {folder} belongs to another user", hint="choose another path")
        tag = folder / _TAG_NAME
        if not tag.exists():
            if not (folder / ENTRIES).exists() and any(folder.iterdir()):
                raise CacheError(f"{folder} holds other things than a cache", hint="choose an empty or a new folder")
            tag.write_text(_TAG_TEXT, encoding="ascii")
        if (folder / ENTRIES).is_symlink():
            raise CacheError(f"{folder / ENTRIES} is a symbolic link", hint="remove it: the cache makes a folder there")
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be used: {error}") from None


def wipe(folder: Path) -> None:
    """Remove the entries, and nothing else.

    In one step they are out of the way: a database whose log is left behind for the next one of its name, or the other way round, would be
    worse than the damage.
    """
    with contextlib.suppress(OSError):
        (folder / ENTRIES).rename(folder / f"{_GONE}{secrets.token_hex(8)}")
    for gone in folder.glob(f"{_GONE}*"):  # those of a process that was killed here, too
        shutil.rmtree(gone, ignore_errors=True)
