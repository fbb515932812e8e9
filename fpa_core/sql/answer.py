"""The answer to a query in SQL: described now, computed when it is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from attrs import field, frozen

from fpa_core.arrow import frames
from fpa_core.arrow.frames import Numeric
from fpa_core.exceptions import DataError, FpaError
from fpa_core.export import write_table
from fpa_core.kinds import KINDS
from fpa_core.retrying import read_whole
from fpa_core.sql.connections import Connections
from fpa_core.sql.layout import TooNarrowError
from fpa_core.sql.plain import Parameters, PlainSelect
from fpa_core.sql.relations import Relation, Selected

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["SqlAnswer"]

ROWS = 65_536
"""Rows of a batch of the answer."""


@frozen
class SqlAnswer:
    """The answer to a query; it is computed each time it is read, from the store as it is then.

    What reads Arrow streams reads an answer: polars, pandas, pyarrow.

    :ivar query: one statement that reads.
    :ivar parameters: the values of its ``?``, or by name of its ``$name``.
    """

    connections: Connections = field(repr=False)
    query: str
    parameters: Parameters | None = None
    _plain: PlainSelect | None = field(init=False, repr=False)

    @_plain.default
    def _understood(self) -> PlainSelect | None:
        return PlainSelect.of(self.query)

    def __attrs_post_init__(self) -> None:
        if self._plain is not None:
            return
        with self.connections.use(()) as (connection, _):
            _check(connection, self.query)

    def batches(self, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the answer in Arrow batches of about *rows*.

        :raises DataError: if the query is wrong, or a number does not fit any decimal of SQL.
        :raises DatabaseError: if the store cannot be read.
        """
        return iter(self.reader(rows))

    def reader(self, rows: int = ROWS) -> pa.RecordBatchReader:
        """Return an Arrow reader of the answer. What DuckDB need not hold to compute it is not held.

        :raises DataError: as for :meth:`batches`, also from the reader.
        """
        schema, pieces = read_whole(lambda: self._begun(rows))
        return pa.RecordBatchReader.from_batches(schema, pieces)

    def _begun(self, rows: int) -> tuple[pa.Schema, Iterator[Any]]:
        """Return the schema, and what comes after it."""
        pieces = self._pieces(rows)
        return next(pieces), pieces

    def _pieces(self, rows: int) -> Iterator[Any]:
        """Yield the schema, then the batches. A number that is wider than the store had estimated begins it anew, with wide decimals."""
        given = False
        while True:
            found: Mapping[str, Relation] = {}
            try:
                with self.connections.use(self._named()) as (connection, found):
                    reader = self._run(connection, found).to_arrow_reader(rows)
                    first = next(iter(reader), None)
                    if not given:
                        yield reader.schema
                        given = True
                    if first is not None:
                        yield first
                        yield from reader
            except Exception as error:
                if (narrow := self._widened(found)) is None:
                    raise _translated(error, found) from error
                if given:
                    raise DataError(
                        f"{narrow}: a number is wider than was estimated before the query",
                        hint="ask again: now it is known",
                    ) from error
            else:
                return

    def _run(self, connection: Any, found: Mapping[str, Relation]) -> Any:
        """Return the result: what has a table and a reader."""
        if self._plain is not None and (query := self._plain.query(self.parameters)) is not None:
            relation = found[self._plain.kind]
            there = relation.schema.names
            names = there if self._plain.columns is None else self._plain.columns
            if set(names) <= set(there):
                return Selected(relation, query, names)
        if self.parameters is None:
            return connection.sql(self.query)
        return connection.sql(self.query, params=self.parameters)

    def _widened(self, found: Mapping[str, Relation]) -> str | None:
        """If decimals that were too narrow ended a query, make them wider, and return their column."""
        for name, relation in found.items():
            if isinstance(relation.failure, TooNarrowError):
                self.connections.relations.wide.add((name, relation.failure.column))
                return f"{name}.{relation.failure.column}"
        return None

    def _named(self) -> list[str]:
        """Return the kinds whose names the query contains, wherever it does."""
        if self._plain is not None:
            return [self._plain.kind]
        words = set(re.findall(r"\w+", self.query.lower()))
        return [name for name in KINDS if name in words]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the answer as an Arrow stream."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> pa.Table:
        """Return the answer as one Arrow table.

        :raises DataError: as for :meth:`batches`.
        """
        return read_whole(self._table)

    def _table(self) -> pa.Table:
        while True:
            found: Mapping[str, Relation] = {}
            try:
                with self.connections.use(self._named()) as (connection, found):
                    return self._run(connection, found).to_arrow_table()
            except Exception as error:
                if self._widened(found) is None:
                    raise _translated(error, found) from error

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as dicts: decimals as ``Decimal``, times as ``datetime``."""
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows

    def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return a pandas frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        return frames.to_pandas(self.to_arrow(), numeric)

    def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return a polars frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        return frames.to_polars(self.to_arrow(), numeric)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write the answer to a file, exactly, and return the number of rows; its name ends in ``.parquet``, ``.csv`` or ``.jsonl``."""
        return write_table(self.reader(), path)


def _check(connection: Any, query: str) -> None:
    """Check that a query is one statement that reads.

    :raises DataError: if it is not.
    """
    try:
        statements = connection.extract_statements(query)
    except Exception as error:
        raise _translated(error, {}) from error
    if len(statements) != 1:
        raise DataError(f"one statement is needed, not {len(statements)}", field="query", value=query)
    kind = statements[0].type.name
    if kind != "SELECT":
        raise DataError(
            f"SQL only reads: {kind} is refused",
            hint="write with ingest(), the answer to a file with write()",
            field="query",
            value=query,
        )


def _translated(error: Exception, found: Mapping[str, Relation]) -> Exception:
    """Return what a query failed by: an error of the store as it was, one of DuckDB as ours."""
    import duckdb

    for relation in found.values():
        if isinstance(relation.failure, FpaError):
            return relation.failure
    if isinstance(error, duckdb.Error):
        unknown = isinstance(error, duckdb.CatalogException)
        return DataError(str(error).strip(), hint=f"tables: {', '.join(KINDS)}" if unknown else None, field="query")
    return error
