"""A selection: which rows to read, described now and read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from attrs import asdict, evolve, frozen

from fpa_core.exceptions import DataError
from fpa_core.protocols import Query
from fpa_core.records import Kind, kind_of

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fpa_core.store.datastore import DataStore

__all__ = ["ReadThrough", "Selection", "make_query"]

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
    limit: int | None = None,
    latest_first: bool = False,
    **equal: Any,
) -> Query:
    """Check what a caller asked for and return it as a query.

    :raises DataError: for times without a zone, unknown columns, a negative limit.
    """
    from fpa_core.numbers import to_ns

    kind = kind_of(what)
    subjects = None if symbol is None else (symbol,) if isinstance(symbol, str) else tuple(dict.fromkeys(symbol))
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
            conditions[column.field] = None if value is None else column.convert(value)
        except DataError as error:
            problem = error.message.split(": ", 1)[-1]
            raise DataError(f"{name}: {problem}", hint=error.hint, field=name, value=value) from None

    def instant(value: Any, name: str) -> int | None:
        return None if value is None else to_ns(value, name, dates=True)

    return Query(
        kind,
        subjects,
        instant(start, "start"),
        instant(end, "end"),
        conditions,
        batch,
        instant(as_known_at, "as_known_at"),
        limit,
        latest_first,
    )


@frozen
class Selection(Generic[R]):
    """Rows of one kind, read when iterated or turned into something; it can be used any number of times.

    Rows come by symbol, then time, then arrival. ``start`` is included, ``end`` is not. Results that are held in one piece
    (:meth:`to_list`, :meth:`to_arrow`, :meth:`count`) may come from the cache; iteration and :meth:`batches` read the store, in
    bounded memory.
    """

    store: DataStore
    query: Query

    def __iter__(self) -> Iterator[R]:
        for batch in self.store.backend.scan(self.query):
            yield from self.store.records(self.query, batch)

    def batches(self, rows: int = 16_384, prices: Literal["decimal", "text"] = "decimal") -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of at most *rows*; a decimal column's scale may differ from one to the next."""
        for batch in self.store.backend.scan(self.query, rows):
            yield batch if prices == "text" else _numeric(self.query.kind, batch)

    def to_list(self) -> list[R]:
        """Return all records."""
        records: Sequence[R] = self.store.read(self._key("records"), lambda: tuple(self), self.query)
        return list(records)

    def to_arrow(self) -> pa.Table:
        """Return one Arrow table: exact decimals at one scale a column, times in nanoseconds UTC."""
        return self.store.read(self._key("table"), self._load_table, self.query)

    def _load_table(self) -> pa.Table:
        import pyarrow as pa

        batches = list(self.store.backend.scan(self.query))
        if not batches:
            return pa.table({column.name: pa.array([], column.arrow) for column in self.query.kind.columns})
        whole = pa.Table.from_batches([_uniform(self.query.kind, batch) for batch in batches])
        return _numeric(self.query.kind, whole.combine_chunks())

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame; decimals stay decimals."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
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
        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def count(self) -> int:
        """Count the rows without reading them."""
        return self.store.read(self._key("count"), lambda: self.store.backend.count(self.query), self.query)

    def first(self) -> R | None:
        """Return the first record, or None."""
        return next(iter(evolve(self, query=evolve(self.query, limit=1))), None)

    def _key(self, form: str) -> str:
        parts = asdict(self.query, recurse=False) | {"kind": self.query.kind.name, "form": form}
        parts["equal"] = {name: str(value) for name, value in self.query.equal.items()}
        return f"{self.query.kind.name}:{form}:{parts!r}"


def _uniform(kind: Kind, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give decimals one form, text, so that batches of different scales fit together."""
    from fpa_core import columns

    arrays = [
        columns.as_texts(batch.column(column.name)) if column.type == "decimal" else batch.column(column.name)
        for column in kind.columns
    ]
    return batch.from_arrays(arrays, names=batch.schema.names)


def _numeric(kind: Kind, data: Any) -> Any:
    from fpa_core import columns

    arrays = []
    for column in kind.columns:
        array = data.column(column.name)
        if column.type == "decimal":
            array = columns.as_numeric(array.combine_chunks() if hasattr(array, "combine_chunks") else array)
        arrays.append(array)
    return type(data).from_arrays(arrays, names=[column.name for column in kind.columns])
