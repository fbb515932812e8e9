"""The options of the store ``sqlite``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration, Secret

__all__ = ["SqliteOptions"]


def _path(value: str | Path) -> Path:
    """Return a path as it is: one that was made of a secret has a masked repr."""
    return value if isinstance(value, Path) else Path(value)


@frozen
class SqliteOptions:
    """Keys of ``[store]`` with ``backend = "sqlite"``.

    :ivar path: the database file; it and its folder are made when missing, readable by their owner alone.
    :ivar synchronous: ``full``: an acknowledged batch survives a power cut; ``normal``: it survives a crash of the process only.
    :ivar busy_timeout: how long a writer waits for another one, in seconds or as text such as ``"30s"``.
    :ivar seal_rows: on closing after a write, quotes and trades of a symbol with at least so many single rows are sealed into segments.
    :ivar read_only: change nothing and make no file: for a copy, for a disk that cannot be written, or beside a program that writes.
    :ivar key: encrypts the file; write ``"${FPA_STORE_KEY}"`` rather than the key itself. It is never shown.
    :ivar key_file: a file with the key instead, which only its owner may read.
    :ivar read_cache: bytes of memory for sealed rows that were read for a range of time, decoded, so that reading it again is faster; 0 for none.
    """

    path: Path = field(default=Path("portfolio.db"), converter=_path)
    synchronous: Literal["full", "normal"] = "full"
    busy_timeout: Duration = field(default=30.0, validator=validators.ge(0))
    seal_rows: int | None = field(default=8_192, validator=validators.optional(validators.ge(1)))  # type: ignore[arg-type]
    read_cache: int = field(default=64 * 2**20, validator=validators.ge(0))
    read_only: bool = False
    key: str = field(default="", converter=Secret)
    key_file: Path | None = None
