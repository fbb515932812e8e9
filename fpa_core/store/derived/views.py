"""Derived tables as lazy views: bars of trades or quotes, and trades with their quotes. Nothing of them is stored."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from fpa_core.arrow.conversion import concat, from_table
from fpa_core.kinds import BARS, QUOTES, TRADES, Column
from fpa_core.models import Bar, Quote, Trade
from fpa_core.retrying import read_whole
from fpa_core.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fpa_core.arrow.frames import Numeric
__all__ = ["QuotedTrades", "ResampledBars"]

QUOTE_COLUMNS = ("timestamp", "bid", "ask", "bid_size", "ask_size")
"""The columns of the quote in a joined table; its time is named ``quote_timestamp`` there."""


@frozen
class ResampledBars:
    """Bars of the rows of a selection, by symbol and time; made each time they are read."""

    rows: Selection[Any]
    interval: str
    from_: str
    tz: str | None = None

    def __iter__(self) -> Iterator[Bar]:
        return itertools.chain.from_iterable(from_table(BARS, table) for table in self.tables())

    def tables(self) -> Iterator[pa.Table]:
        """Yield the bars in bounded memory; the type of a decimal column may differ from one table to the next."""
        from fpa_core.store.derived.resample import resample

        return resample(self.rows.scan(), self.interval, self.from_, self.tz)

    def to_list(self) -> list[Bar]:
        """Return all bars."""
        return read_whole(lambda: list(self))

    def to_arrow(self) -> pa.Table:
        """Return one Arrow table with the columns of bars."""
        from fpa_core.arrow import decimals

        tables = read_whole(lambda: list(self.tables()))
        return (
            concat(BARS, tables) if tables else decimals.empty_schema(BARS, list(BARS.by_name), "decimal").empty_table()
        )

    def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return a pandas frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        from fpa_core.arrow import frames

        return frames.to_pandas(self.to_arrow(), numeric)

    def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return a polars frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        from fpa_core.arrow import frames

        return frames.to_polars(self.to_arrow(), numeric)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write the rows to a file, exactly, and return their number; its name ends in ``.parquet``, ``.csv`` or ``.jsonl``."""
        from fpa_core.export import write_table

        return write_table(self.to_arrow(), path)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the bars as an Arrow stream."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


@frozen
class QuotedTrades:
    """Trades, each with the prevailing quote: the last one at or before its time; of several at that time, the last to arrive."""

    trades: Selection[Trade]
    quotes: Selection[Quote]
    tolerance_ns: int | None

    def __iter__(self) -> Iterator[tuple[Trade, Quote | None]]:
        names = tuple(QUOTES.by_name)
        for batch, quotes in self._joined(names):
            present = quotes.column("timestamp").is_valid()
            found = iter(from_table(QUOTES, quotes.filter(present)))
            for trade, quoted in zip(from_table(TRADES, batch), present.to_pylist(), strict=True):
                yield trade, next(found) if quoted else None

    def tables(self) -> Iterator[pa.Table]:
        """Yield the trades in bounded memory; the type of a decimal column may differ from one table to the next."""
        import pyarrow as pa

        for batch, quotes in self._joined(QUOTE_COLUMNS):
            names = ["quote_timestamp", *QUOTE_COLUMNS[1:]]
            yield pa.table([*batch.columns, *quotes.columns], names=[*batch.schema.names, *names])

    def to_arrow(self) -> pa.Table:
        """Return one Arrow table: the columns of the trades, then ``quote_timestamp``, ``bid``, ``ask``, ``bid_size``, ``ask_size``."""
        import pyarrow as pa

        from fpa_core.arrow import columns

        tables = read_whole(lambda: list(self.tables()))
        if not tables:
            return pa.schema([*map(_field, TRADES.columns), *map(_quote_field, QUOTE_COLUMNS)]).empty_table()
        arrays = []
        for name in tables[0].schema.names:
            parts = [chunk for table in tables for chunk in table.column(name).chunks]
            decimal = TRADES.by_name.get(name) or QUOTES.by_name.get(name)
            decimals = decimal is not None and decimal.type == "decimal"
            arrays.append(pa.chunked_array(columns.to_common_type(parts) if decimals else parts))
        return pa.table(arrays, names=tables[0].schema.names)

    def to_list(self) -> list[tuple[Trade, Quote | None]]:
        """Return all pairs."""
        return read_whole(lambda: list(self))

    def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return a pandas frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        from fpa_core.arrow import frames

        return frames.to_pandas(self.to_arrow(), numeric)

    def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return a polars frame; see :data:`fpa_core.arrow.frames.Numeric` for *numeric*."""
        from fpa_core.arrow import frames

        return frames.to_polars(self.to_arrow(), numeric)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write the rows to a file, exactly, and return their number; its name ends in ``.parquet``, ``.csv`` or ``.jsonl``."""
        from fpa_core.export import write_table

        return write_table(self.to_arrow(), path)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows of :meth:`to_arrow` as an Arrow stream."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _joined(self, names: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
        from fpa_core.arrow import columns
        from fpa_core.store.derived.asof import asof_join

        def quotes_of(symbol: str, first: int, last: int) -> Iterable[pa.RecordBatch]:
            backend = self.quotes.rows.backend
            query = evolve(self.quotes.query, subjects=(symbol,))
            before = evolve(query, end_ns=first + 1, limit=1, reverse=True)
            found = next(iter(backend.scan(before, columns=["timestamp"])), None)
            start = first if found is None else columns.times_as_ns(found.column("timestamp"))[0].as_py()
            return backend.scan(evolve(query, start_ns=start, end_ns=last + 1), columns=names)

        for batch in self.trades.batches():
            yield batch, asof_join(batch, quotes_of, names, self.tolerance_ns)


def _field(column: Column) -> pa.Field:
    import pyarrow as pa

    return pa.field(column.name, column.arrow)


def _quote_field(name: str) -> pa.Field:
    return _field(QUOTES.by_name[name]).with_name("quote_timestamp" if name == "timestamp" else name)
