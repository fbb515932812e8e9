"""What a store derives from quotes and trades when asked: bars, and trades beside their quotes. Nothing of it is kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from fpa_core.arrow.conversion import concat, from_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, QUOTES, TRADES, Column
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import to_seconds
from fpa_core.store.selection import Selection

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.store.bars import From

__all__ = ["DerivedBars", "DerivedVerbs", "QuotedTrades"]

QUOTE_COLUMNS = ("timestamp", "bid", "ask", "bid_size", "ask_size")
"""What a joined table shows of the quote; its time is called ``quote_timestamp`` there."""


@frozen
class DerivedBars:
    """Bars made of a selection's rows, by symbol and time; made anew each time they are asked for."""

    rows: Selection[Any]
    interval: str
    from_: From

    def __iter__(self) -> Iterator[Bar]:
        return itertools.chain.from_iterable(from_table(BARS, table) for table in self.tables())

    def tables(self) -> Iterator[pa.Table]:
        """Yield the bars as they are made, in bounded memory; the type of a decimal column may differ from one table to the next."""
        from fpa_core.store import bars

        return bars.fold(self.rows.scan(), self.interval, self.from_)

    def to_list(self) -> list[Bar]:
        """Return all bars."""
        return list(self)

    def to_arrow(self) -> pa.Table:
        """Return one Arrow table with the columns of bars."""
        from fpa_core.arrow import decimals

        tables = list(self.tables())
        return (
            concat(BARS, tables) if tables else decimals.empty_schema(BARS, list(BARS.by_name), "decimal").empty_table()
        )

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the bars as an Arrow stream."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


@frozen
class QuotedTrades:
    """Trades, each with the quote that prevailed: the last one at or before its time, at equal times the last to arrive."""

    trades: Selection[Trade]
    quotes: Selection[Quote]
    tolerance_ns: int | None

    def __iter__(self) -> Iterator[tuple[Trade, Quote | None]]:
        names = tuple(QUOTES.by_name)
        for batch, quotes in self._joined(names):
            there = quotes.column("timestamp").is_valid()
            found = iter(from_table(QUOTES, quotes.filter(there)))
            for trade, quoted in zip(from_table(TRADES, batch), there.to_pylist(), strict=True):
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

        tables = list(self.tables())
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
        return list(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows of :meth:`to_arrow` as an Arrow stream."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _joined(self, names: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
        from fpa_core.arrow import columns
        from fpa_core.store import joins

        def quotes_of(symbol: str, first: int, last: int) -> Iterable[pa.RecordBatch]:
            backend = self.quotes.store.backend
            query = evolve(self.quotes.query, subjects=(symbol,))
            before = evolve(query, end_ns=first + 1, limit=1, reverse=True)
            found = next(iter(backend.scan(before, columns=["timestamp"])), None)
            start = first if found is None else columns.times_as_ns(found.column("timestamp"))[0].as_py()
            return backend.scan(evolve(query, start_ns=start, end_ns=last + 1), columns=names)

        for batch in self.trades.batches():
            yield batch, joins.prevailing(batch, quotes_of, names, self.tolerance_ns)


class DerivedVerbs:
    """The verbs for what is derived."""

    if TYPE_CHECKING:

        def select(self, what: Any, symbol: str | Sequence[str] | None = None, **conditions: Any) -> Selection[Any]:
            """Describe rows to read."""
            ...

    def bars(
        self,
        symbol: str | Sequence[str] | None = None,
        interval: str = "1m",
        *,
        from_: From = "trades",
        start: Any = None,
        end: Any = None,
        source: str | Sequence[str] | None = None,
        as_known_at: Any = None,
    ) -> DerivedBars:
        """Describe bars of trades, or of the middle of quotes; nothing is read yet.

        A bar holds the rows from its own time on, up to the start of the next one, in UTC; weeks begin on Monday. There is none where there is no
        row. All is exact but ``vwap``, which is rounded to 18 digits, half to even. Every trade counts, whatever its conditions; of quotes, those
        with both sides, and bars of these have no volume.

        :param symbol: as for :meth:`select`; so are *start*, *end*, *source* and *as_known_at*, which say what rows count.
        :raises DataError: for what is no interval.
        """
        from fpa_core.store import bars

        bars.check_from(from_)
        conditions = {"start": start, "end": end, "source": source, "as_known_at": as_known_at}
        kind = TRADES if from_ == "trades" else QUOTES
        rows = self.select(kind, symbol, columns=bars.NEEDED[from_], **conditions)
        return DerivedBars(rows, BARS.by_name["interval"].convert(interval), from_)

    def join_quotes(
        self,
        trades: Selection[Trade],
        tolerance: Any = None,
        *,
        source: str | Sequence[str] | None = None,
    ) -> QuotedTrades:
        """Describe trades, each with the quote that prevailed: the last one at or before it; nothing is read yet.

        Of quotes at the very time of the trade, the last to arrive counts. A selection of what was known in the past is joined with the quotes
        known then.

        :param trades: a selection of trades; all of their columns are read.
        :param tolerance: how old a quote may be, as ``"1s"``; None for any age.
        :param source: only quotes of this source, as for :meth:`select`.
        :raises DataError: when the selection is not of trades.
        """
        if trades.query.kind is not TRADES:
            raise DataError(f"trades are joined with quotes, not {trades.query.kind.name}", field="trades")
        quotes = self.select(QUOTES, source=source, as_known_at=trades.query.known_at_ns)
        tolerance_ns = None if tolerance is None else round(to_seconds(tolerance, "tolerance") * 10**9)
        return QuotedTrades(evolve(trades, columns=None), quotes, tolerance_ns)


def _field(column: Column) -> pa.Field:
    import pyarrow as pa

    return pa.field(column.name, column.arrow)


def _quote_field(name: str) -> pa.Field:
    return _field(QUOTES.by_name[name]).with_name("quote_timestamp" if name == "timestamp" else name)
