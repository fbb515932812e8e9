"""What a backend can do beyond its protocol's least."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Capability"]


class Capability(StrEnum):
    """What a backend can do beyond its protocol's least. A kit tests what is declared, and skips what is not."""

    PERSISTENT = "persistent"
    """Data outlive the process."""
    SHARED = "shared"
    """Several processes may use the same data at once."""
    STORES_BYTES = "stores_bytes"
    """A cache that keeps bytes: DataCache encodes values before they reach it."""
    KNOWN_AT = "known_at"
    """A store that answers as of an earlier moment of knowledge (`Query.known_at_ns`)."""
    UNDO = "undo"
    """A store that can take a whole batch back."""
    SEAL = "seal"
    """A store that keeps history in a compact form of its own, and moves rows there when asked."""
