"""What differs between SQL databases: a few words of their language, and how statements are run."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol

from fpa_core.engine.rows import Row
from fpa_core.patterns import start_of, text_after

__all__ = ["Parameters", "Session", "Wanted", "pattern_condition", "wanted_row"]

Parameters = Sequence[Any]

Wanted = tuple[str | None, str | None, int | None, int | None, int | None]
"""A row of the relation ``wanted``: two texts ``a`` and ``b``, three integers ``x``, ``y`` and ``z``."""


def wanted_row(
    a: str | None = None, b: str | None = None, x: int | None = None, y: int | None = None, z: int | None = None
) -> Wanted:
    """Return a row of ``wanted``."""
    return a, b, x, y, z


class Session(Protocol):
    """A connection inside a transaction. Statements are written with ``?`` for each parameter.

    :ivar same: the comparison in which null equals null.
    :ivar page: how many rows are best read together, where that is up to the database.
    """

    same: str
    page: int

    def query(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        ...

    def stream(self, sql: str, parameters: Parameters = (), *, size: int = 16_384) -> Generator[list[Row], None, None]:
        """Yield the rows of a statement in lists of at most *size*, in bounded memory."""
        ...

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def bulk(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows into a table, in the fastest way there is."""
        ...

    def heads(self, table: str, column: str, ids: Sequence[int], size: int) -> Iterator[bytes]:
        """Yield the first *size* bytes that a column of bytes has in the rows with these ids, without reading the rest."""
        ...

    def wanted(self, rows: Sequence[Wanted]) -> tuple[str, list[Any]]:
        """Make *rows* a relation ``wanted`` with a number ``n`` from 0, for the next statement only.

        Return what to write before that statement, a WITH clause or nothing, and its parameters, which come first.
        """
        ...

    def matches(self, column: str, pattern: str) -> tuple[str, list[Any]]:
        """Return the condition that a column matches a pattern (see :mod:`fpa_core.patterns`), and its parameters.

        If the pattern begins with plain text, the condition is one that an index on the column serves.
        """
        ...


def pattern_condition(column: str, operator: str, bound: str, pattern: str) -> tuple[str, list[Any]]:
    """Return a condition for :meth:`Session.matches`: the comparison with a pattern, and the range in which its matches are.

    An index serves the range whatever the operator is, and however the pattern is bound.

    :param operator: the comparison, in the language of the database.
    :param bound: the pattern, in the language of the operator.
    """
    start = start_of(pattern)
    if after := text_after(start):
        return f"({column} {operator} ? AND {column} >= ? AND {column} < ?)", [bound, start, after]
    return f"{column} {operator} ?", [bound]
