"""A selection of rows, described now and read when it is iterated or turned into something."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import asdict, evolve, frozen

from fpa_core.numbers import MAX_NS, MIN_NS, ns_text
from fpa_core.patterns import escape
from fpa_core.protocols import Query
from fpa_core.retrying import read_whole
from fpa_core.store.row_reader import RowReader

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fpa_core.arrow.decimals import Prices
    from fpa_core.arrow.frames import Numeric
    from fpa_core.store.freshness import Freshness
    from fpa_core.store.partitions import Partition

__all__ = ["Selection"]

ROWS = 16_384
"""Rows of a batch unless asked otherwise: as many as a full segment has."""

HELD = 500_000
"""Maximum number of rows :meth:`Selection.reader` keeps in memory until it knows their decimal types."""

R = TypeVar("R")
T = TypeVar("T")


@frozen
class Selection(Generic[R]):
    """Rows of one kind, read when iterated or turned into something; it can be used any number of times.

    Rows come by symbol, then time, then arrival; or, *by_time*, in order of time over all symbols. ``start`` is included, ``end`` is not.
    Results that are held in one piece (:meth:`to_list`, :meth:`to_arrow`, :meth:`count`) may come from the cache; iteration,
    :meth:`batches` and :meth:`reader` read the store, in bounded memory. What reads Arrow streams reads a selection: DuckDB, polars, pandas.
    If the connection to a server is lost, the former are read again for a while, and so are the latter until they have given rows; then they raise
    :class:`~fpa_core.exceptions.InterruptedReadError`.

    :ivar rows: where they are read.
    :ivar columns: the columns of Arrow forms; None for all. Records always have all.
    :ivar adjust: what prices and sizes are adjusted for, see :mod:`fpa_core.store.adjust`; None for those that are stored.
    :ivar freshness: what is demanded of the newest row each time something is read; None for nothing.
    """

    rows: RowReader
    query: Query
    columns: tuple[str, ...] | None = None
    by_time: bool = False
    adjust: str | None = None
    freshness: Freshness | None = None

    def __repr__(self) -> str:
        return f"<Selection of {self.query.kind.name}{''.join(f', {each}' for each in _described(self))}>"

    def _repr_html_(self) -> str:
        """Return the first rows as an HTML table, for notebooks."""
        from fpa_core.store.preview import PREVIEWED, html_preview

        limit = PREVIEWED + 1 if self.query.limit is None else min(self.query.limit, PREVIEWED + 1)
        head = evolve(self, query=evolve(self.query, limit=limit), freshness=None)
        return html_preview(repr(self), self.query.kind, self.names, head.batches(prices="text"))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of Arrow forms."""
        return tuple(self.query.kind.by_name) if self.columns is None else self.columns

    def __iter__(self) -> Iterator[R]:
        return itertools.chain.from_iterable(self._records())

    def _records(self) -> Iterator[list[R]]:
        whole = self if self.columns is None else evolve(self, columns=None)
        for batch in whole._read(ROWS):  # noqa: SLF001  # it is the same class
            yield self.rows.records(self.query, batch)

    def _check_freshness(self) -> None:
        """Check that the newest row is as fresh as was demanded.

        :raises StaleDataError: if it is not.
        """
        if self.freshness is not None:
            self.freshness.check(self.query, self._newest)

    def _newest(self, query: Query) -> R | None:
        return Selection[R](self.rows, query, by_time=query.subjects is None).first()

    def _read(self, rows: int, *, scaled: bool = True) -> Iterator[pa.RecordBatch]:
        self._check_freshness()
        if self.adjust is None:
            return self._stored(rows, scaled=scaled)
        from fpa_core.store.adjust import NEEDED, Adjuster

        adjuster = Adjuster(self.rows, self.query, self.adjust)
        whole = evolve(self, columns=tuple(dict.fromkeys((*self.names, *NEEDED))), adjust=None)
        return adjuster.batches(whole._stored(rows, scaled=scaled), self.names)  # noqa: SLF001  # it is the same class

    def _stored(self, rows: int, *, scaled: bool = True) -> Iterator[pa.RecordBatch]:
        return self.rows.batches(self.query, rows, self.columns, by_time=self.by_time, scaled=scaled)

    def scan(self, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of at most *rows* as the store has them, with decimals as scaled integers wherever these hold them."""
        from fpa_core.arrow.decimals import narrowed

        return (narrowed(self.query.kind, batch) for batch in self._read(rows))

    def batches(self, rows: int = ROWS, prices: Prices = "decimal") -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of at most *rows*; the type of a decimal column, or its scale, may differ from one to the next.

        :param prices: the form of decimal columns, see :data:`fpa_core.arrow.decimals.Prices`.
        """
        from fpa_core.arrow import decimals

        decimals.check_prices(prices)
        # What is too old is refused here, not at the first batch.
        return decimals.in_form(self.query.kind, self._read(rows, scaled=prices != "text"), prices)

    def reader(self, rows: int = ROWS, prices: Prices = "decimal") -> pa.RecordBatchReader:
        """Return an Arrow reader: batches of at most *rows*, all of one schema.

        Which decimal type holds a column is known when all rows have been seen. Up to half a million are kept meanwhile; of more, the columns
        of decimals are read twice.

        :raises DataError: from the reader, when rows that came between the two readings do not fit the others.
        """
        import pyarrow as pa

        from fpa_core.arrow import decimals

        decimals.check_prices(prices)
        kind, names = self.query.kind, self.names
        exact = tuple(name for name in names if kind.by_name[name].type == "decimal")
        kept: list[pa.RecordBatch] | None = None
        if prices in ("float", "text") or not exact:
            schema = decimals.empty_schema(kind, names, prices)
        else:
            kept, widths, held = [], dict[str, decimals.Width](), 0
            for batch in self.scan(rows):
                decimals.widen(widths, kind, batch)
                kept.append(batch)
                held += batch.num_rows
                if held > HELD:
                    kept, widths = None, decimals.widths_of(kind, evolve(self, columns=exact).scan(rows))
                    break
            schema = (
                decimals.schema_of(kind, names, widths, prices)
                if widths
                else decimals.empty_schema(kind, names, prices)
            )
        source = self.scan(rows) if kept is None else kept
        return pa.RecordBatchReader.from_batches(schema, (decimals.shaped(kind, batch, schema) for batch in source))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as an Arrow stream; see https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def to_list(self) -> list[R]:
        """Return all records."""
        records: Sequence[R] = self._cached("records", lambda: tuple(self))
        return list(records)

    def to_arrow(self, prices: Prices = "decimal") -> pa.Table:
        """Return one Arrow table: exact decimals at one scale a column, times in nanoseconds UTC.

        :param prices: the form of decimal columns, see :data:`fpa_core.arrow.decimals.Prices`.
        """
        from fpa_core.arrow.decimals import check_prices, table_of

        check_prices(prices)
        kind = self.query.kind

        def load() -> pa.Table:
            return table_of(kind, self.names, list(self.scan(ROWS)), prices)

        return self._cached(f"table:{prices}", load)

    def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return a pandas frame, with floats unless *numeric* says otherwise (see :data:`fpa_core.arrow.frames.Numeric`).

        :raises MissingDependencyError: when pandas is not installed.
        """
        from fpa_core.arrow import frames

        return frames.to_pandas(self._framed(numeric), numeric)

    def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return a polars frame, with floats unless *numeric* says otherwise (see :data:`fpa_core.arrow.frames.Numeric`).

        :raises MissingDependencyError: when polars is not installed.
        """
        from fpa_core.arrow import frames

        return frames.to_polars(self._framed(numeric), numeric)

    def _framed(self, numeric: Numeric) -> pa.Table:
        from fpa_core.arrow import frames

        frames.check_numeric(numeric)
        return self.to_arrow("float" if numeric == "float" else "decimal")

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write the rows to a file, exactly and in bounded memory, and return their number; its name ends in ``.parquet``, ``.csv`` or ``.jsonl``."""
        from fpa_core import export

        return export.write(self.query.kind, self.batches(), path, export.format_of(path), names=self.names)

    def count(self) -> int:
        """Count the rows without reading them."""
        return self._cached("count", lambda: self.rows.backend.count(self.query))

    def partitions(self, parts: int) -> list[Partition]:
        """Divide the rows into at most *parts* about equal partitions, which other processes or machines read by themselves.

        Their rows, in order, are the rows of the selection as it is now, each once. Nothing is read to divide them.

        :raises DataError: if *parts* is not positive, or the selection has a limit.
        :raises DatabaseError: if other processes cannot open the store, as one in memory.
        """
        from fpa_core.store.partitions import divide

        self._check_freshness()
        return divide(self.rows, self.query, parts, self.columns, by_time=self.by_time)

    def first(self) -> R | None:
        """Return the first record, or None."""
        limit = 1 if self.query.limit is None else min(self.query.limit, 1)
        return next(iter(evolve(self, query=evolve(self.query, limit=limit))), None)

    def _cached(self, form: str, load: Callable[[], T]) -> T:
        self._check_freshness()  # of an answer from the cache, too: it grows older
        if self.adjust is not None:  # the tags of an answer do not tell of corporate actions
            return read_whole(load)
        return self.rows.cached(lambda: self._key(form), lambda: read_whole(load), self.query)

    def _key(self, form: str) -> str:
        parts = asdict(self.query, recurse=False) | {"kind": self.query.kind.name, "form": form}
        parts["equal"] = {name: str(value) for name, value in self.query.equal.items()}
        parts |= {"columns": self.columns, "by_time": self.by_time}
        return f"{self.query.kind.name}:{form}:{parts!r}"


def _described(selection: Selection[R]) -> Iterator[str]:
    """Yield the conditions of a selection as they are given to ``select``."""
    query = selection.query
    symbols = (*map(escape, query.subjects or ()), *query.patterns)
    if query.subjects is not None or query.patterns:
        yield f"symbol={symbols[0]!r}" if len(symbols) == 1 else f"symbol={list(symbols)!r}"
    for name, ns in (("start", query.start_ns), ("end", query.end_ns), ("as_known_at", query.known_at_ns)):
        if ns is not None:
            yield f"{name}={_time(ns)!r}"
    for name, value in query.equal.items():
        column = query.kind.by_field[name]
        shown = _time(value) if column.type == "time" and value is not None else value
        yield f"{column.name}={shown if shown is None else str(shown)!r}"
    for name, given in (("batch", query.batch), ("origin", query.origins), ("limit", query.limit)):
        if given is not None:
            yield f"{name}={list(given) if isinstance(given, tuple) else given!r}"
    yield from _described_options(selection)


def _described_options(selection: Selection[R]) -> Iterator[str]:
    if selection.query.reverse:
        yield "latest_first=True"
    if selection.by_time:
        yield "order='time'"
    if selection.freshness is not None:
        yield f"max_age={selection.freshness.said!r}"
    if selection.columns is not None:
        yield f"columns={list(selection.columns)!r}"


def _time(ns: int) -> str | int:
    """Return a time as ISO text, or in nanoseconds if it is outside the range of times."""
    return ns_text(ns) if MIN_NS < ns <= MAX_NS else ns
