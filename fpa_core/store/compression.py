"""Compressing the bytes of columns where that pays, with one Zstandard context a thread: making one takes as long as using it."""

from __future__ import annotations

import threading

import zstandard

__all__ = ["compressed", "decompressed"]

LEVEL = 1
"""Higher ones take several times as long for a few percent."""

_PAYS = 0.9
"""Share of its size to which a column must shrink for compression to pay for its time."""

_LEAST = 64
"""Bytes that are not worth a frame's overhead."""

_PROBE = 4_096
"""Bytes from the middle of a column that show whether compression pays at all."""


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compressed(raw: bytes) -> bytes | None:
    """Return *raw* as a Zstandard frame; None where it is better kept as it is."""
    if len(raw) <= _LEAST:
        return None
    if len(raw) >= 4 * _PROBE:  # a sample tells at a fraction of the time
        middle = len(raw) // 2
        if len(_contexts.compressor.compress(raw[middle : middle + _PROBE])) >= _PROBE:
            return None
    frame = _contexts.compressor.compress(raw)
    return frame if len(frame) < _PAYS * len(raw) else None


def decompressed(frame: bytes | memoryview, size: int) -> bytes:
    """Return the *size* bytes of a frame."""
    return _contexts.decompressor.decompress(frame, size)
