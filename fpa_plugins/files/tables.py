"""One table of a target, ready to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from fpa_plugins.files.dialect import Dialect
from fpa_plugins.files.recognise import Recognised
from fpa_plugins.files.rows import Rows

__all__ = ["Table"]


@frozen
class Table:
    """One table of a file, ready to be read.

    :ivar kind: the type of the table, for people; ``encoding`` and ``dialect`` are those of text.
    :ivar path: the file, if it is one and not compressed.
    :ivar rows: yields the rows, from the beginning at each call.
    :ivar once: whether the rows can be read only once, as those of a generator, so that looking ahead is not allowed.
    """

    name: str
    file: str
    kind: str
    container: str
    rows: Callable[[], Iterator[Rows]]
    position: Callable[[], float]
    encoding: str | None = None
    dialect: Dialect | None = None
    recognised: Recognised | None = None
    path: Path | None = None
    once: bool = False
