"""The streams that files are read through."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Readable"]


class Readable(Protocol):
    """A binary stream that can be read from its beginning."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; empty at the end."""
        ...

    def close(self) -> None:
        """Release the resources."""
        ...
