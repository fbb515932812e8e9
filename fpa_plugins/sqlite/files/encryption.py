"""Encryption of the file: the cipher is ChaCha20 with a Poly1305 code for each page, from SQLite3 Multiple Ciphers, which the driver has built in.

The key of the pages is derived from the one that is configured. The file and its log are encrypted; what would be in temporary files, which are not, is kept
in memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
from attrs import field, frozen

from fpa_core.exceptions import ConfigError, DatabaseError
from fpa_plugins.sqlite.options import SqliteOptions

__all__ = ["RESERVED", "Key", "check_encryption", "is_encrypted", "key_of"]

RESERVED = 32
"""Bytes at the end of each page: a number used once, and the code."""

LEAST_LENGTH = 16
"""Characters of a key at least: shorter ones can be tried one after the other."""

_CIPHER = "chacha20"
_MAGIC = b"SQLite format 3\0"


@frozen
class Key:
    """A key. Its repr does not show it."""

    secret: str = field(repr=False)

    def unlock(self, connection: apsw.Connection) -> None:
        """Set the key of a connection; whether it fits shows when the file is first read."""
        connection.pragma("cipher", _CIPHER)
        connection.pragma("key", self.secret)
        connection.pragma("temp_store", "MEMORY")  # as the wheels do by default, and other builds may not

    def uri(self, path: Path) -> str:
        """Return how SQLite is told to make an encrypted file. It contains the key, so it must not be shown."""
        return f"{path.as_uri()}?cipher={_CIPHER}&hexkey={self.secret.encode().hex()}&reserve={RESERVED}"


def key_of(options: SqliteOptions) -> Key | None:
    """Return the configured key; None if there is none.

    :raises ConfigError: if it is too short, is given twice, or its file cannot be read or may be read by others.
    """
    if options.key and options.key_file is not None:
        raise ConfigError("store.key and store.key_file are both set", hint="give one of them")
    if options.key_file is not None:
        return _key("store.key_file", _read(options.key_file.expanduser()))
    return _key("store.key", str(options.key)) if options.key else None


def _key(name: str, secret: str) -> Key:
    if len(secret) < LEAST_LENGTH:
        raise ConfigError(
            f"{name}: the key has fewer than {LEAST_LENGTH} characters",
            hint="`fpa store new-key FILE` makes a file with a random key",
        )
    return Key(secret)


def _read(path: Path) -> str:
    try:
        status = path.stat()
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"store.key_file: {path} cannot be read: {why}") from error
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(f"store.key_file: {path} may be read by others", hint=f"chmod 600 {path}")
    return text


def is_encrypted(path: Path) -> bool:
    """Return whether a file is there and does not begin as a plain database does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    return bool(head) and head != _MAGIC


def check_encryption(path: Path, key: Key | None) -> None:
    """Check that a key is configured if and only if the file is encrypted.

    :raises DatabaseError: if not.
    """
    if key is not None and path.is_file() and path.stat().st_size and not is_encrypted(path):
        raise DatabaseError(
            f"{path} is not encrypted, and [store] has a key",
            hint="`fpa store encrypt` encrypts it",
            path=str(path),
            operation="open",
        )
