"""The folder of a disk cache: made private, checked to be one's own, and emptied of what the cache put there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from pathlib import Path

from diskcache.core import DBNAME

from fpa_core.exceptions import CacheError

__all__ = ["prepare", "wipe"]

# The mark by which backup programs know what they need not keep (https://bford.info/cachedir/), and this one its folders.
_TAG_NAME = "CACHEDIR.TAG"
_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of market data; it may be deleted at any time.\n"
_SHARD = re.compile(r"[0-9a-f]{2}")


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
            if not (folder / DBNAME).exists() and any(folder.iterdir()):
                raise CacheError(f"{folder} holds other things than a cache", hint="choose an empty or a new folder")
            tag.write_text(_TAG_TEXT, encoding="ascii")
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be used: {error}") from None


def wipe(folder: Path) -> None:
    """Remove the database and the files of values, and nothing else."""
    for path in folder.glob(f"{DBNAME}*"):
        with contextlib.suppress(OSError):
            path.unlink()
    for path in folder.iterdir():
        if _SHARD.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
