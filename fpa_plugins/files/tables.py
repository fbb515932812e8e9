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

    :ivar kind: the form it is in, for people; ``encoding`` and ``dialect`` of a text.
    :ivar path: the file itself, where it is one that is not packed.
    :ivar rows: yields its rows, anew each time it is called.
    :ivar once: whether the rows can be had only once, as those of a generator: then nobody may look ahead.
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
