"""Encrypting a store, decrypting it, changing its key: by a copy that is checked before it takes the place of the store."""

from __future__ import annotations

import contextlib
import glob
from pathlib import Path

from fpa_core.engine.store import EngineStore
from fpa_core.exceptions import DatabaseError
from fpa_core.operations.backup import require_sound
from fpa_core.operations.check import check
from fpa_core.outputs import draft_of
from fpa_core.protocols import AuditEntry, StoreFile, Tick

__all__ = ["decrypt", "encrypt", "rekey"]


def encrypt(file: StoreFile, *, tick: Tick) -> AuditEntry:
    """Encrypt a store with the configured key, and return the entry in its audit log.

    :raises DatabaseError: if there is no key or no store, it is encrypted already, or another program has it open.
    :raises CorruptionError: if it is damaged; it is left as it is then.
    """
    if not file.has_key:
        raise _refused(file, "[store] has no key", "configure key or key_file; `fpa store new-key FILE` makes one")
    if file.encrypted:
        raise _refused(file, "it is encrypted already", "`fpa store rekey` changes its key")
    return _rewrite(file, "encrypt", key_file=None, plain=False, tick=tick)


def decrypt(file: StoreFile, *, tick: Tick) -> AuditEntry:
    """Write an encrypted store without encryption; the key is taken out of the configuration afterwards.

    :raises DatabaseError: if it is not encrypted, or another program has it open.
    """
    if not file.encrypted:
        raise _refused(file, "it is not encrypted", None)
    return _rewrite(file, "decrypt", key_file=None, plain=True, tick=tick)


def rekey(file: StoreFile, key_file: Path, *, tick: Tick) -> AuditEntry:
    """Encrypt an encrypted store with another key, which is configured afterwards.

    :raises DatabaseError: if it is not encrypted, or another program has it open.
    """
    if not file.encrypted:
        raise _refused(file, "it is not encrypted", "`fpa store encrypt` encrypts it with the configured key")
    return _rewrite(file, "rekey", key_file=key_file, plain=False, tick=tick)


def _rewrite(file: StoreFile, action: str, *, key_file: Path | None, plain: bool, tick: Tick) -> AuditEntry:
    path = file.path
    if not path.exists():
        raise _refused(file, "there is no database", None)
    with draft_of(path, left=glob.escape(path.name)) as draft:
        file.rewrite(draft, key_file=key_file, plain=plain)
        # The entry is in the copy, so that it is there if and only if the copy takes the place of the store.
        with contextlib.closing(file.open_copy(draft, key_file=key_file, read_only=False)) as backend:
            assert isinstance(backend, EngineStore), "a store that is one file is an engine's"
            entry = backend.record_act(action, {})
        with contextlib.closing(file.open_copy(draft, key_file=key_file)) as backend:
            assert isinstance(backend, EngineStore), "a store that is one file is an engine's"
            require_sound(draft, check(backend.database, tick=tick))
        # What was there is not kept: it would be readable under the old key, or without one.
        file.replace(draft, None)
    return entry


def _refused(file: StoreFile, why: str, hint: str | None) -> DatabaseError:
    return DatabaseError(f"{file.path}: {why}", hint=hint, path=str(file.path), operation="encrypt or decrypt")
