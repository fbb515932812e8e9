"""The layout of a segment, shared by reader and writer. docs/reference/segment-format.md describes every byte."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from fpa_core.segments import integers

__all__ = ["COLUMN", "COMPRESSED", "HEADER", "MAGIC", "NULLS", "VERSION", "Coding", "Head", "checksum_of"]

MAGIC = b"FPAS"
VERSION = 1

HEADER = struct.Struct("<4sBBHIII")
"""Magic, version, zero, columns, rows, bytes of the whole header, CRC-32 of the header (taken with this field zero)."""

COLUMN = struct.Struct("<BBBbqqIIIII")
"""Coding, flags, width, scale, base, step, offset, stored bytes, raw bytes, bytes of the null mask, CRC-32 of the stored bytes."""


class Coding(IntEnum):
    """The coding of the values of a column."""

    EMPTY = 0
    """Every value is null."""
    OFFSET = integers.OFFSET
    DELTA = integers.DELTA
    TEXT = 3
    """As OFFSET, but the values are positions in a dictionary of texts."""


COMPRESSED = 1
NULLS = 2


class Head(NamedTuple):
    """The entry of a column, as :data:`COLUMN` packs it."""

    coding: int
    flags: int
    width: int
    scale: int
    base: int
    step: int
    offset: int
    stored: int
    raw: int
    nulls: int
    crc: int


def checksum_of(content: bytes | memoryview) -> bytes:
    """Return a checksum of the whole segment: the CRC of its header, which includes the CRCs of its columns."""
    return bytes(content[HEADER.size - 4 : HEADER.size])
