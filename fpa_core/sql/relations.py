"""The kinds as relations that DuckDB reads: only the columns, symbols and time that a query needs leave the store."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from fpa_core.kinds import KINDS
from fpa_core.protocols import Query, StoreBackend
from fpa_core.sql.layout import Layout
from fpa_core.sql.pruning import admitted, fields_of

__all__ = ["Relation", "Relations", "Selected"]

ROWS = 65_536
"""Rows of a batch; a segment has less."""


class Relations:
    """All kinds of a store.

    :ivar wide: the columns, as kind and name, whose numbers were found to need wider decimals than the store had estimated.
    """

    def __init__(self, backend: StoreBackend) -> None:
        self.backend = backend
        self.wide: set[tuple[str, str]] = set()
        self._layouts: dict[str, tuple[object, Layout]] = {}

    def of(self, names: Sequence[str]) -> dict[str, Relation]:
        """Return the relations of kinds as the store is now."""
        return {name: Relation(self.backend, self._layout(name)) for name in names}

    def _layout(self, name: str) -> Layout:
        """Return the layout of a kind, which holds until a batch is committed."""
        last = next(iter(self.backend.batches(limit=1, children=True)), None)
        wide = frozenset(column for kind, column in self.wide if kind == name)
        state = None if last is None else last.id, wide
        kept = self._layouts.get(name)
        if kept is None or kept[0] != state:
            kind = KINDS[name]
            kept = self._layouts[name] = state, Layout.of(kind, self.backend.digits(kind), wide)
        return kept[1]


class Relation(ds.Dataset):  # type: ignore[misc]  # pyarrow has no types
    """A kind as DuckDB asks for it, which takes any dataset of Arrow.

    :ivar layout: its columns.
    :ivar failure: the error that ended a reading: DuckDB passes on no more than its text.
    """

    def __init__(self, backend: StoreBackend, layout: Layout) -> None:
        self._backend = backend
        self.layout = layout
        self.failure: Exception | None = None

    def reads_as(self, other: Relation) -> bool:
        """Return whether this relation can stand for another one."""
        return self._backend is other._backend and self.layout is other.layout

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        return self.layout.schema

    def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **_: Any) -> _Scan:  # noqa: A002  # as pyarrow calls it
        """Return a reading of *columns* of the rows that satisfy the expression *filter*."""
        return _Scan(self, self.schema.names if columns is None else columns, filter)

    def rows(self, names: Sequence[str], condition: Any) -> Iterator[pa.RecordBatch]:
        """Yield the rows that satisfy a condition."""
        try:
            yield from self._rows(names, condition)
        except Exception as error:
            self.failure = error
            raise

    def selected(self, query: Query, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *query*, as DuckDB would return them."""
        layout = self.layout
        try:
            for batch in self._backend.scan(query, size, columns=layout.needed(names), scaled=True):
                yield layout.batch(batch, names, answered=True)
        except Exception as error:
            self.failure = error
            raise

    def _rows(self, names: Sequence[str], condition: Any) -> Iterator[pa.RecordBatch]:
        layout = self.layout
        query, read = Query(layout.kind), list(names)
        if condition is not None:
            found = admitted(condition, layout.schema, layout.kind, self._backend.inventory(layout.kind))
            if found is None:
                return
            query = found.query
            if found.whole:
                condition = None
            else:
                read += sorted(fields_of(condition, layout.schema) - set(names))
        for batch in self._backend.scan(query, ROWS, columns=layout.needed(read), scaled=True):
            rows = layout.batch(batch, read)
            yield rows if condition is None else rows.filter(condition).select(names)


class Selected:
    """The answer of a query that only selects, with the methods by which DuckDB's own is read."""

    def __init__(self, relation: Relation, query: Query, names: Sequence[str]) -> None:
        self._batches = functools.partial(relation.selected, query, names)
        self._schema = relation.layout.schema_of(names, answered=True)

    def to_arrow_table(self) -> pa.Table:
        """Return the answer as one table."""
        return pa.Table.from_batches(self._batches(ROWS), self._schema)

    def to_arrow_reader(self, rows: int) -> pa.RecordBatchReader:
        """Return a reader of the answer, in batches of at most *rows*."""
        return pa.RecordBatchReader.from_batches(self._schema, self._batches(rows))


class _Scan:
    """What DuckDB takes from a dataset: something with a reader."""

    def __init__(self, relation: Relation, names: Sequence[str], condition: Any) -> None:
        self._relation = relation
        self._names = names
        self._condition = condition

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows."""
        schema = self._relation.layout.schema_of(self._names)
        return pa.RecordBatchReader.from_batches(schema, self._relation.rows(self._names, self._condition))
