"""Compress columns if it pays off, with one Zstandard context per thread, because creating one takes as long as using it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zstandard

__all__ = ["compressed", "decompressed"]

LEVEL = 1
"""The compression level. Higher ones take several times as long and save a few percent."""

_PAYS = 0.9
"""A column is stored compressed only if it shrinks to this share of its size."""

_LEAST = 64
"""The size in bytes below which the overhead of a frame does not pay off."""


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compressed(columns: Sequence[bytes]) -> list[bytes | None]:
    """Return the bytes of columns as Zstandard frames; None for each that is better stored uncompressed.

    All are compressed in one call that releases the GIL, so that other threads can run meanwhile.
    """
    worth = [place for place, raw in enumerate(columns) if len(raw) > _LEAST]
    frames: list[bytes | None] = [None] * len(columns)
    if worth:
        made = _contexts.compressor.multi_compress_to_buffer([columns[place] for place in worth], threads=1)
        for number, place in enumerate(worth):
            if len(made[number]) < _PAYS * len(columns[place]):
                frames[place] = made[number].tobytes()
    return frames


def decompressed(frame: bytes | memoryview, size: int) -> bytes:
    """Return the *size* bytes of a frame."""
    return _contexts.decompressor.decompress(frame, size)
