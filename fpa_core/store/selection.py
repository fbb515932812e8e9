"""A selection: which rows to read, described now and read when asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import asdict, evolve, frozen

from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind, kind_of
from fpa_core.protocols import Query
from fpa_core.protocols.patterns import name_of

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fpa_core.arrow.decimals import Prices
    from fpa_core.store.datastore import DataStore

__all__ = ["ReadThrough", "Selection", "check_columns", "make_query"]

ROWS = 16_384
"""Rows of a batch unless asked otherwise: as many as a full segment has."""

HELD = 500_000
"""Rows kept in memory while their types are found out."""

R = TypeVar("R")
T = TypeVar("T")


class ReadThrough(Protocol):
    """Answers a read from memory where it can: returns what *load* would, for the key and the rows the query names."""

    def __call__(self, key: str, load: Callable[[], T], query: Query) -> T:
        """Return the value."""
        ...


def make_query(
    what: Kind | str | type[Any],
    symbol: str | Sequence[str] | None = None,
    *,
    start: Any = None,
    end: Any = None,
    as_known_at: Any = None,
    batch: int | None = None,
    source: str | Sequence[str] | None = None,
    limit: int | None = None,
    latest_first: bool = False,
    **equal: Any,
) -> Query:
    """Check what a caller asked for and return it as a query.

    :raises DataError: for times without a zone, unknown columns, a negative limit.
    """
    from fpa_core.numbers import to_ns

    kind = kind_of(what)
    named = {one: name_of(one) for one in _several(symbol)}
    sources = _several(source)
    for pattern in sources:
        name_of(pattern)  # refuses what is no pattern
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise DataError(f"limit: a whole number from 0 is needed, not {limit!r}", field="limit", value=limit)
    conditions = {}
    for name, value in equal.items():
        column = kind.by_name.get(name) or kind.by_field.get(name)
        if column is None:
            raise DataError(
                f"{kind.name} have no column {name!r}", hint=f"columns: {', '.join(kind.by_name)}", field=name
            )
        try:
            # A question may be about any time, so an integer is taken as nanoseconds, however small.
            convert = to_ns if column.type == "time" else column.convert
            conditions[column.field] = None if value is None else convert(value)
        except DataError as error:
            problem = error.message.split(": ", 1)[-1]
            raise DataError(f"{name}: {problem}", hint=error.hint, field=name, value=value) from None

    def instant(value: Any, name: str) -> int | None:
        return None if value is None else to_ns(value, name, dates=True)

    return Query(
        kind,
        None if symbol is None else tuple(dict.fromkeys(name for name in named.values() if name is not None)),
        instant(start, "start"),
        instant(end, "end"),
        conditions,
        batch,
        instant(as_known_at, "as_known_at"),
        limit,
        latest_first,
        patterns=tuple(one for one, name in named.items() if name is None),
        origins=None if source is None else sources,
    )


def _several(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one text or many as a tuple."""
    return () if texts is None else (texts,) if isinstance(texts, str) else tuple(texts)


def check_columns(kind: Kind, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the columns asked for.

    :raises DataError: for one that *kind* does not have, or none at all.
    """
    if names is None:
        return None
    found = tuple(dict.fromkeys(_several(names)))
    unknown = [name for name in found if name not in kind.by_name]
    if unknown or not found:
        problem = f"{kind.name} have no column {unknown[0]!r}" if unknown else "columns: at least one is needed"
        raise DataError(problem, hint=f"columns: {', '.join(kind.by_name)}", field="columns", value=names)
    return found


@frozen
class Selection(Generic[R]):
    """Rows of one kind, read when iterated or turned into something; it can be used any number of times.

    Rows come by symbol, then time, then arrival; or, *by_time*, in order of time over all symbols. ``start`` is included, ``end`` is not.
    Results that are held in one piece (:meth:`to_list`, :meth:`to_arrow`, :meth:`count`) may come from the cache; iteration,
    :meth:`batches` and :meth:`reader` read the store, in bounded memory. What reads Arrow streams reads a selection: DuckDB, polars, pandas.

    :ivar columns: the columns of Arrow forms; None for all. Records always have all.
    :ivar adjust: what prices and sizes are adjusted for, see :mod:`fpa_core.store.adjust`; None for those that are stored.
    """

    store: DataStore
    query: Query
    columns: tuple[str, ...] | None = None
    by_time: bool = False
    adjust: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of Arrow forms."""
        return tuple(self.query.kind.by_name) if self.columns is None else self.columns

    def __iter__(self) -> Iterator[R]:
        return itertools.chain.from_iterable(self._records())

    def _records(self) -> Iterator[list[R]]:
        whole = evolve(self, columns=None)
        for batch in whole._read(ROWS):  # noqa: SLF001  # it is the same class
            yield self.store.records(self.query, batch)

    def _read(self, rows: int, *, scaled: bool = True) -> Iterator[pa.RecordBatch]:
        if self.adjust is None:
            return self._stored(rows, scaled=scaled)
        from fpa_core.store.adjust import NEEDED, Adjuster

        adjuster = Adjuster(self.store, self.query, self.adjust)
        whole = evolve(self, columns=tuple(dict.fromkeys((*self.names, *NEEDED))), adjust=None)
        return adjuster.batches(whole._stored(rows, scaled=scaled), self.names)  # noqa: SLF001  # it is the same class

    def _stored(self, rows: int, *, scaled: bool = True) -> Iterator[pa.RecordBatch]:
        backend = self.store.backend
        if not self.by_time:
            return backend.scan(self.query, rows, columns=self.columns, scaled=scaled)
        kind = self.query.kind

        def together(batches: Sequence[pa.RecordBatch]) -> pa.Table:
            return decimals.table_of(
                kind, batches[0].schema.names, [decimals.narrowed(kind, one) for one in batches], "scaled"
            )

        from fpa_core.arrow import decimals
        from fpa_core.store import timeline

        return timeline.by_time(backend, self.query, rows, self.names, together)

    def scan(self, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of at most *rows* as the store has them, with decimals as scaled integers wherever these hold them."""
        from fpa_core.arrow import decimals

        return (decimals.narrowed(self.query.kind, batch) for batch in self._read(rows))

    def batches(self, rows: int = ROWS, prices: Prices = "decimal") -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of at most *rows*; the type of a decimal column, or its scale, may differ from one to the next.

        :param prices: the form of decimal columns, see :data:`fpa_core.arrow.decimals.Prices`.
        """
        from fpa_core.arrow import decimals

        decimals.check_prices(prices)
        kind = self.query.kind
        for batch in self._read(rows, scaled=prices != "text"):
            one = batch if prices == "text" else decimals.narrowed(kind, batch)
            schema = decimals.schema_of(kind, one.schema.names, decimals.widths_of(kind, [one]), prices)
            yield decimals.shaped(kind, one, schema)

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
        records: Sequence[R] = self._remembered("records", lambda: tuple(self))
        return list(records)

    def to_arrow(self, prices: Prices = "decimal") -> pa.Table:
        """Return one Arrow table: exact decimals at one scale a column, times in nanoseconds UTC.

        :param prices: the form of decimal columns, see :data:`fpa_core.arrow.decimals.Prices`.
        """
        from fpa_core.arrow import decimals

        decimals.check_prices(prices)
        kind = self.query.kind

        def load() -> pa.Table:
            return decimals.table_of(kind, self.names, list(self.scan(ROWS)), prices)

        return self._remembered(f"table:{prices}", load)

    def to_pandas(self, prices: Prices = "decimal") -> pd.DataFrame:
        """Return a pandas frame; decimals stay decimals unless *prices* says otherwise."""
        return self.to_arrow(prices).to_pandas()

    def to_polars(self, prices: Prices = "decimal") -> pl.DataFrame:
        """Return a polars frame.

        :raises MissingDependencyError: when polars is not installed.
        """
        try:
            import polars as pl
        except ModuleNotFoundError as error:
            from fpa_core.exceptions import MissingDependencyError

            raise MissingDependencyError(
                "to_polars() needs polars, which is not installed",
                package="polars",
                command="pip install 'financial-portfolio-automation[polars]'",
            ) from error
        frame = pl.from_arrow(self.to_arrow(prices))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def count(self) -> int:
        """Count the rows without reading them."""
        return self._remembered("count", lambda: self.store.backend.count(self.query))

    def first(self) -> R | None:
        """Return the first record, or None."""
        limit = 1 if self.query.limit is None else min(self.query.limit, 1)
        return next(iter(evolve(self, query=evolve(self.query, limit=limit))), None)

    def _remembered(self, form: str, load: Callable[[], T]) -> T:
        if self.adjust is not None:  # the tags of an answer do not tell of corporate actions
            return load()
        return self.store.read(lambda: self._key(form), load, self.query)

    def _key(self, form: str) -> str:
        parts = asdict(self.query, recurse=False) | {"kind": self.query.kind.name, "form": form}
        parts["equal"] = {name: str(value) for name, value in self.query.equal.items()}
        parts |= {"columns": self.columns, "by_time": self.by_time}
        return f"{self.query.kind.name}:{form}:{parts!r}"
