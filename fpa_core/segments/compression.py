"""Compressing the bytes of columns where that pays, with one Zstandard context a thread: making one takes as long as using it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zstandard

__all__ = ["compressed", "decompressed"]

LEVEL = 1
"""Higher ones take several times as long for a few percent."""

_PAYS = 0.9
"""Share of its size to which a column must shrink for compression to pay for its time."""

_LEAST = 64
"""Bytes that are not worth a frame's overhead."""


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compressed(columns: Sequence[bytes]) -> list[bytes | None]:
    """Return the bytes of columns as Zstandard frames; None for each that is better kept as it is.

    All are compressed in one step, for which the thread lets go of the interpreter: meanwhile another one can get on with its work.
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
