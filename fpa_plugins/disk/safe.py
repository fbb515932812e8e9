"""diskcache without pickle: text keys, byte values, and no access to files outside the folder."""

from __future__ import annotations

import os
import re
import sqlite3
from typing import Any

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN

from fpa_core.exceptions import CacheError

__all__ = ["ForeignRowError", "SafeDisk"]


_FILE = re.compile(rf"[0-9a-f]{{2}}{re.escape(os.sep)}[0-9a-f]{{2}}{re.escape(os.sep)}[0-9a-f]{{28}}\.val")
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class ForeignRowError(OSError):
    """Raised for a row that this class did not write. It is an OSError because diskcache treats these as misses."""


class SafeDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores keys and values in rows and files.

    The base class unpickles rows that are marked so. Anyone who can write to the folder could thereby run code in every process that reads it
    (CVE-2025-69872, unfixed). Every method that handles a key or a value is overridden, and none calls the base class.
    """

    def put(self, key: object) -> tuple[str, bool]:
        """Return *key* as columns."""
        if type(key) is not str:
            raise TypeError(f"a key must be text, not {type(key).__name__}")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise CacheError(f"the key {key!r} is not valid Unicode", key=key) from None
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return the key in the columns."""
        if not raw or type(key) is not str:
            raise ForeignRowError("a key that is not text")
        return key

    def store(self, value: object, read: object, key: object = UNKNOWN) -> tuple[int, int, str | None, Any]:
        """Return *value* as columns, in a file if it is large."""
        if type(value) is not bytes or read:
            raise TypeError(f"a value must be bytes, not {type(value).__name__}")
        if len(value) < self.min_file_size:
            return (
                0,
                MODE_RAW,
                None,
                sqlite3.Binary(value),
            )  # the size counts files only; this value is counted with the pages
        filename, full_path = self.filename(key, value)
        self._write(full_path, iter((value,)), "xb")
        return len(value), MODE_BINARY, filename, None

    def fetch(self, mode: object, filename: object, value: object, read: object) -> bytes:
        """Return the value in the columns."""
        if mode == MODE_RAW and type(value) is bytes and not read:
            return value
        if mode == MODE_BINARY and not read:
            with open(os.open(self._inside(filename), _READ), "rb") as file:  # noqa: PTH123 - diskcache uses paths as text
                return file.read()
        raise ForeignRowError("a value that is not bytes")

    def remove(self, file_path: object) -> None:
        """Delete the file of a value."""
        try:
            path = self._inside(file_path)
            os.remove(path)  # noqa: PTH107
            os.removedirs(os.path.dirname(path))  # noqa: PTH120 - stops at the first folder that is not empty
        except OSError:
            pass  # another process removed it first, or the row was foreign

    def _inside(self, filename: object) -> str:
        """Return the path of a value's file. Raise ForeignRowError if it does not look like one of :meth:`filename`, or is reached through a link."""
        if type(filename) is str and _FILE.fullmatch(filename):
            path: str = self._directory
            for part in filename.split(os.sep):  # noqa: PTH206
                path += os.sep + part
                if os.path.islink(path):  # noqa: PTH114
                    break
            else:
                return path
        raise ForeignRowError("a file outside the folder")
