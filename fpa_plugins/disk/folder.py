"""The folder of a disk cache: create it privately, check that it belongs to this user, and remove only the cache's own files."""

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
"""The subfolder of diskcache."""

_GONE = ".gone-"

# The tag by which backup programs skip caches (https://bford.info/cachedir/), and by which this cache recognises its folders.
_TAG_NAME = "CACHEDIR.TAG"
_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of market data; it may be deleted at any time.\n"


def prepare(folder: Path) -> None:
    """Create the folder with access for its owner only, and tag it as a cache.

    :raises CacheError: if it belongs to another user, contains other files, or cannot be created.
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
                raise CacheError(
                    f"{folder} contains files that do not belong to a cache", hint="choose an empty or a new folder"
                )
            tag.touch(mode=0o600)
            tag.write_text(_TAG_TEXT, encoding="ascii")
        if (folder / ENTRIES).is_symlink():
            raise CacheError(
                f"{folder / ENTRIES} is a symbolic link", hint="remove it: the cache creates a folder there"
            )
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be used: {error}") from None


def wipe(folder: Path) -> None:
    """Remove the entries, and nothing else.

    They are moved away in one step. A new database must not meet the log of the old one, nor the other way round.
    """
    with contextlib.suppress(OSError):
        (folder / ENTRIES).rename(folder / f"{_GONE}{secrets.token_hex(8)}")
    for gone in folder.glob(f"{_GONE}*"):  # also remove those of a process that was killed here
        shutil.rmtree(gone, ignore_errors=True)
