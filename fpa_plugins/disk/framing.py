"""Serialise entries: their times and tags, followed by the value."""

from __future__ import annotations

import math
import struct

from fpa_core.protocols import Entry

__all__ = ["pack", "unpack"]

_HEAD = struct.Struct("<4sdddH")  # magic, stored_at, expires_at, keep_until (NaN for None), number of tags
_TAG = struct.Struct("<Hq")  # length of the name, generation
_MAGIC = b"FPE\x01"


def pack(entry: Entry) -> bytes:
    """Return *entry*, whose value is bytes, as bytes."""
    head = _HEAD.pack(_MAGIC, entry.stored_at, _number(entry.expires_at), _number(entry.keep_until), len(entry.tags))
    parts = [head]
    for tag, generation in entry.tags.items():
        name = tag.encode()
        parts += _TAG.pack(len(name), generation), name
    return b"".join([*parts, entry.value])


def unpack(content: bytes) -> Entry | None:
    """Return the entry that :func:`pack` serialised; its value is a view of *content*. None if *content* is not from :func:`pack`."""
    try:
        magic, stored_at, expires_at, keep_until, count = _HEAD.unpack_from(content)
        if magic != _MAGIC:
            return None
        position = _HEAD.size
        tags: dict[str, int] = {}
        for _ in range(count):
            length, generation = _TAG.unpack_from(content, position)
            position += _TAG.size
            tags[content[position : position + length].decode()] = generation
            position += length
    except (struct.error, UnicodeDecodeError):
        return None
    value = memoryview(content)[position:]  # do not copy values, which may be large
    return Entry(value, stored_at, _or_none(expires_at), _or_none(keep_until), len(content), tags)


def _number(moment: float | None) -> float:
    return math.nan if moment is None else moment


def _or_none(number: float) -> float | None:
    return None if number != number else number  # noqa: PLR0124 - only NaN differs from itself, and a call takes longer
