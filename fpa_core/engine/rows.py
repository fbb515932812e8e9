"""How a backend sees the rows of a kind: plain tuples, the key first, then the other values, then what the engine adds.

A row is ``(*key, *content, [seq,] batch, since)``. Decimals are canonical texts (:func:`fpa_core.numbers.decimal_text`), times are nanoseconds:
equal values have equal forms in every store, at any scale.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, NamedTuple, TypeAlias

from attrs import frozen

from fpa_core.kinds import Kind
from fpa_core.numbers import decimal_text
from fpa_core.protocols import Query

__all__ = ["Key", "Range", "Retirement", "Row", "Shape", "plain_value", "shape_of"]

Row: TypeAlias = tuple[Any, ...]
Key: TypeAlias = tuple[Any, ...]
"""The values of a kind's key, perhaps followed by a ``seq``."""


class Retirement(NamedTuple):
    """The single rows of the history of one subject that one batch retired for one reason."""

    subject: str
    retired_by: int
    reason: str


class Range(NamedTuple):
    """A range of time, both ends included, among the rows that share a prefix: the key without its time."""

    prefix: tuple[str, ...]
    first_ns: int
    last_ns: int

    def query(self, kind: Kind) -> Query:
        """Return the query for the rows in it."""
        equal = dict(zip(shape_of(kind).prefix, self.prefix, strict=True))
        subject = equal.pop(kind.subject, None)
        return Query(kind, None if subject is None else (subject,), self.first_ns, self.last_ns + 1, equal=equal)


@frozen
class Shape:
    """The columns of a kind's rows.

    :ivar key: the fields that identify a row; for a multiset (symbol, time), which many rows may share.
    :ivar content: the other fields of the record.
    :ivar columns: all columns in the order of a row. ``seq`` (multisets only) is the order of arrival among the rows of one key, ``batch`` the
        batch that brought the row, ``since`` the later batch that restored it, or None.
    :ivar row_key: what identifies one row: the key, and ``seq`` for a multiset.
    :ivar prefix: the key without its time.
    :ivar order: the columns that rows are read in the order of.
    :ivar venue_id: the positions of the venue's id in a row's content, its last part first; empty if the kind has none.
    """

    kind: Kind
    key: tuple[str, ...]
    content: tuple[str, ...]
    columns: tuple[str, ...]
    row_key: tuple[str, ...]
    prefix: tuple[str, ...]
    order: tuple[str, ...]
    venue_id: tuple[int, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The record's fields in the order of a row."""
        return self.key + self.content

    @property
    def contents(self) -> slice:
        """The part of a row that is its content."""
        return slice(len(self.key), len(self.key) + len(self.content))

    @property
    def timed(self) -> bool:
        """Whether time is part of the key; it is the last of it then."""
        return self.key[-1] == "ts_ns"

    def id_of(self, content: Row) -> Hashable | None:
        """Return the venue's id of a content; None if it has none."""
        places = self.venue_id
        return None if not places or content[places[0]] is None else tuple([content[place] for place in places])

    def place(self, column: str) -> int:
        """Return the position of a column in a row."""
        return self.columns.index(column)

    def history_order(self, row: Row) -> Row:
        """Return what the history is ordered by: key, ``seq``, when a row became known, and when it was retired."""
        batch = len(self.columns) - 2
        return (*(row[self.place(name)] for name in self.row_key), row[batch + 1] or row[batch], row[batch + 2])


@functools.cache
def shape_of(kind: Kind) -> Shape:
    """Return the shape of the rows of *kind*."""
    content = tuple(column.field for column in kind.columns if column.field not in kind.key)
    added = ("seq", "batch", "since") if kind.multiset else ("batch", "since")
    row_key = (*kind.key, "seq") if kind.multiset else kind.key
    prefix = tuple(name for name in kind.key if name != "ts_ns")
    rest = [name for name in row_key if name not in {kind.subject, "ts_ns"}]
    ids = [content.index(name) for name in kind.venue_id]
    columns, order = (*kind.key, *content, *added), (kind.subject, "ts_ns", *rest)
    return Shape(kind, kind.key, content, columns, row_key, prefix, order, (*ids[-1:], *ids[:-1]))


def plain_value(kind: Kind, field: str, value: Any) -> Any:
    """Return the value of one field as rows hold it."""
    if value is not None and kind.by_field[field].type == "decimal":
        return decimal_text(value)
    return str(value) if isinstance(value, str) else value  # an enumeration's member is its text
