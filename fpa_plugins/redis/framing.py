"""Serialise entries as the values of Redis keys: a head with times and tags, the value, and a signature if there is a key for it."""

from __future__ import annotations

import hmac
import math
import secrets
import struct

from attrs import frozen

from fpa_core.protocols import Entry

__all__ = ["NONCE", "Frame", "Framing"]

# Magic; length of the head, tags included; epoch; nonce; stored_at, expires_at, keep_until (NaN for None); number of tags. Big-endian for Lua.
_HEAD = struct.Struct(">4sIQ8sdddH")
_TAG = struct.Struct(">Hq")  # length of the name, generation
_PLAIN, _SIGNED = b"FPR\x01", b"FPR\x02"
_SIGNATURE = 32

NONCE = (16, 23)
"""First and last place of the nonce: a random number of each write, by which a script recognises the entry that was read."""


@frozen
class Frame:
    """What a value says: the entry, its nonce, and the epoch of the server in which it was stored."""

    entry: Entry
    nonce: bytes
    epoch: int


@frozen
class Framing:
    """How entries are written and read.

    :ivar key: the key of signatures, or None. A signature covers the name, so that a value moved to another name is not read.
    """

    key: bytes | None

    def pack(self, name: bytes, entry: Entry, epoch: int) -> bytes:
        """Return *entry*, whose value is bytes, as the value of the key *name*."""
        tags = b"".join(
            _TAG.pack(len(tag := name.encode()), generation) + tag for name, generation in entry.tags.items()
        )
        head = _HEAD.pack(
            _PLAIN if self.key is None else _SIGNED,
            _HEAD.size + len(tags),
            epoch,
            secrets.token_bytes(8),
            entry.stored_at,
            _number(entry.expires_at),
            _number(entry.keep_until),
            len(entry.tags),
        )
        content = b"".join((head, tags, entry.value))
        return content if self.key is None else content + self._sign(name, content)

    def unpack(self, name: bytes, content: bytes) -> Frame | None:
        """Return what :meth:`pack` wrote under *name*; the value is a view of *content*. None if it did not write this."""
        end = len(content)
        if self.key is not None:
            end -= _SIGNATURE
            if end < 0 or not hmac.compare_digest(content[end:], self._sign(name, content[:end])):
                return None
        try:
            return self._read(memoryview(content)[:end], len(content))
        except (struct.error, UnicodeDecodeError):
            return None

    def head(self, content: bytes) -> Frame | None:
        """Return what the head alone says, unchecked: the entry has no value. For sweeping and for notifications."""
        try:
            return self._read(memoryview(content), len(content))
        except (struct.error, UnicodeDecodeError):
            return None

    def _read(self, content: memoryview, size: int) -> Frame | None:
        magic, length, epoch, nonce, stored_at, expires_at, keep_until, count = _HEAD.unpack_from(content)
        if magic != (_PLAIN if self.key is None else _SIGNED):
            return None
        tags: dict[str, int] = {}
        place = _HEAD.size
        for _ in range(count):
            letters, generation = _TAG.unpack_from(content, place)
            place += _TAG.size
            tags[str(content[place : place + letters], "utf-8")] = generation
            place += letters
        if place != length:
            return None
        entry = Entry(content[place:], stored_at, _or_none(expires_at), _or_none(keep_until), size, tags)
        return Frame(entry, nonce, epoch)

    def _sign(self, name: bytes, content: bytes) -> bytes:
        assert self.key is not None
        signature = hmac.new(self.key, struct.pack(">I", len(name)) + name, "sha256")
        signature.update(content)
        return signature.digest()


def _number(moment: float | None) -> float:
    return math.nan if moment is None else moment


def _or_none(number: float) -> float | None:
    return None if number != number else number  # noqa: PLR0124 - only NaN differs from itself, and a call takes longer
