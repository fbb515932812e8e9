"""Bars from trades, or from the middle of quotes: exact, in bounded memory, however the rows are cut into batches.

A row is a bar of its own: open, high, low and close are its price. Bars of bars are bars again, so rows fold into bars within a batch,
and the last bar of a batch with the first of the next, by one and the same rule. Prices are integers at one scale while this goes on: 64-bit
ones as long as no sum can pass 64 bits, Python's own beyond.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core.arrow import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS
from fpa_core.numbers import EXACT

__all__ = ["NEEDED", "VWAP", "From", "check_from", "fold", "runs"]

From: TypeAlias = Literal["trades", "mid"]
"""What bars are made of: the prices of trades, or half of bid plus ask."""

NEEDED = {"trades": ("symbol", "timestamp", "price", "size"), "mid": ("symbol", "timestamp", "bid", "ask")}
"""The columns that bars of each sort are made of."""

VWAP = Context(prec=18, rounding=ROUND_HALF_EVEN)
"""How the one quotient in a bar, the volume-weighted average price, is rounded. Everything else is exact."""

Integers: TypeAlias = npt.NDArray[Any]
"""Of 64 bits, or Python's own where these are too few."""

_SAFE = 2**62
_UNIT_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_MONDAY = -3 * 86400 * 10**9
"""The Monday before 1970, a Thursday: weeks are counted from there."""


def check_from(from_: str) -> None:
    """Refuse what bars cannot be made of.

    :raises DataError: it names what they can.
    """
    if from_ not in get_args(From):
        raise DataError(f"from_: {from_!r} is none of: {', '.join(get_args(From))}", field="from_", value=from_)


def fold(batches: Iterable[pa.RecordBatch], interval: str, from_: From) -> Iterator[pa.Table]:
    """Yield tables of bars of rows that come by symbol, then time; each bar is complete.

    :param batches: with the columns of :data:`NEEDED`, decimals preferably scaled (see :mod:`fpa_core.arrow.columns`).
    :raises DataError: for what is no interval.
    """
    interval = BARS.by_name["interval"].convert(interval)
    start_of = _floor(interval)
    rows_of = _of_trades if from_ == "trades" else _of_mids
    open_bar: tuple[str, _Bars] | None = None
    for symbol, batch in runs(batches):
        rows = rows_of(batch, start_of)
        if not len(rows.starts):
            continue
        bars = _folded(rows)
        if open_bar is not None:
            if open_bar[0] == symbol:
                bars = _folded(_joined(open_bar[1], bars))
            else:
                yield _table(*open_bar, interval)
        if len(bars.starts) > 1:
            yield _table(symbol, bars.part(slice(None, -1)), interval)
        open_bar = symbol, bars.part(slice(-1, None))
    if open_bar is not None:
        yield _table(*open_bar, interval)


def runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of each symbol of batches that come by symbol."""
    for batch in batches:
        if not batch.num_rows:
            continue
        symbols = batch.column("symbol")
        first = symbols[0].as_py()
        if first == symbols[-1].as_py():
            yield first, batch
            continue
        codes = symbols.dictionary_encode().indices.to_numpy()
        edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), batch.num_rows]
        for start, end in itertools.pairwise(edges):
            yield symbols[start].as_py(), batch.slice(start, end - start)


def _floor(interval: str) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """Return what finds the start of the interval each time lies in; months are those of the calendar, in UTC."""
    match = re.fullmatch(r"(\d+)(\D+)", interval)
    assert match is not None, "the converter of the interval let it through"
    number, unit = int(match[1]), match[2]

    def start_of(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if unit == "mo":
            months = times.view("datetime64[ns]").astype("datetime64[M]").astype(np.int64) // number * number
            starts = months.astype("datetime64[M]").astype("datetime64[ns]").view(np.int64)
        else:
            step, origin = number * _UNIT_NS[unit], _MONDAY if unit == "w" else 0
            starts = (times - origin) // step * step + origin
        if len(times) and starts[0] > times[0]:
            raise DataError(f"the interval {interval} around the first row begins before 1677-09-21", field="interval")
        return starts

    return start_of


@frozen(eq=False)
class _Numbers:
    """Integers and how many of their digits stand after the point."""

    values: Integers
    scale: int

    @classmethod
    def of(cls, batch: pa.RecordBatch, name: str) -> _Numbers:
        """Read a column without nulls."""
        array, scale = batch.column(name), columns.scale_of(batch.schema.field(name))
        if scale is not None:
            return cls(array.to_numpy(), scale)
        decimals = [value for value in columns.as_decimals(array) if value is not None]
        scale = max((max(0, -int(value.as_tuple().exponent)) for value in decimals), default=0)
        return cls(np.array([int(value.scaleb(scale, EXACT)) for value in decimals], object), scale)

    def at(self, scale: int) -> _Numbers:
        """Return the same numbers at a scale that is not smaller."""
        factor = 10 ** (scale - self.scale)
        return self if factor == 1 else _Numbers(_within(self.values, factor) * factor, scale)


def _within(values: Integers, times: int) -> Integers:
    """Return *values* in a type that holds so many *times* the largest of them."""
    if values.dtype == object or not len(values):
        return values.astype(object)
    peak = max(-int(values.min()), int(values.max()))
    return values if max(peak, 1) * times < _SAFE else values.astype(object)


@frozen(eq=False)
class _Bars:
    """Bars of one symbol in order of time, or rows, each taken for a bar; several may have one start until they are folded.

    :ivar amount: the sum of price times size, at both scales together.
    """

    starts: npt.NDArray[np.int64]
    open: Integers
    high: Integers
    low: Integers
    close: Integers
    scale: int
    volume: Integers | None = None
    amount: Integers | None = None
    count: npt.NDArray[np.int64] | None = None
    size_scale: int = 0

    def part(self, rows: slice) -> _Bars:
        """Return some of them."""
        series: dict[str, Any] = {name: getattr(self, name) for name in _SERIES}
        for name, value in series.items():
            series[name] = None if value is None else value[rows]
        return evolve(self, **series)

    def at(self, scale: int, size_scale: int) -> _Bars:
        """Return the same bars at other scales."""

        def put(values: Integers | None, by: int) -> Any:
            return None if values is None else _Numbers(values, 0).at(by).values

        up, size_up = scale - self.scale, size_scale - self.size_scale
        moved: dict[str, Any] = {name: put(getattr(self, name), up) for name in ("open", "high", "low", "close")}
        moved |= {"volume": put(self.volume, size_up), "amount": put(self.amount, up + size_up)}
        return evolve(self, **moved, scale=scale, size_scale=size_scale)


_SERIES = ("starts", "open", "high", "low", "close", "volume", "amount", "count")


def _of_trades(batch: pa.RecordBatch, start_of: Callable[[Any], Any]) -> _Bars:
    price, size = _Numbers.of(batch, "price"), _Numbers.of(batch, "size")
    volume = _within(size.values, batch.num_rows)
    largest = max((abs(int(end)) for end in (size.values.min(), size.values.max())), default=0)
    amount = _within(price.values, largest * batch.num_rows) * size.values
    starts, count = start_of(_times(batch)), np.ones(batch.num_rows, np.int64)
    value = price.values
    return _Bars(starts, value, value, value, value, price.scale, volume, amount, count, size.scale)


def _of_mids(batch: pa.RecordBatch, start_of: Callable[[Any], Any]) -> _Bars:
    """Take quotes that have both sides."""
    if batch.column("bid").null_count or batch.column("ask").null_count:
        batch = batch.filter(pc.and_(batch.column("bid").is_valid(), batch.column("ask").is_valid()))
    bid, ask = _Numbers.of(batch, "bid"), _Numbers.of(batch, "ask")
    scale = max(bid.scale, ask.scale)
    # Half of a sum is five times the sum with one more digit after the point.
    value = _within(bid.at(scale).values, 10) * 5 + _within(ask.at(scale).values, 10) * 5
    return _Bars(start_of(_times(batch)), value, value, value, value, scale + 1)


def _times(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    times: npt.NDArray[np.int64] = columns.times_as_ns(batch.column("timestamp")).to_numpy()
    return times


def _folded(bars: _Bars) -> _Bars:
    """Return bars with one for each start."""
    firsts = np.flatnonzero(np.concatenate([[True], bars.starts[1:] != bars.starts[:-1]]))
    lasts = np.append(firsts[1:], len(bars.starts)) - 1

    def total(values: Integers | None) -> Any:
        return None if values is None else np.add.reduceat(_within(values, len(values)), firsts)

    return evolve(
        bars,
        starts=bars.starts[firsts],
        open=bars.open[firsts],
        high=np.maximum.reduceat(bars.high, firsts),
        low=np.minimum.reduceat(bars.low, firsts),
        close=bars.close[lasts],
        volume=total(bars.volume),
        amount=total(bars.amount),
        count=total(bars.count),
    )


def _joined(one: _Bars, other: _Bars) -> _Bars:
    scale, size_scale = max(one.scale, other.scale), max(one.size_scale, other.size_scale)
    both = [bars.at(scale, size_scale) for bars in (one, other)]
    series: dict[str, Any] = {}
    for name in _SERIES:
        parts = [getattr(bars, name) for bars in both]
        series[name] = None if parts[0] is None else np.concatenate(parts)
    return evolve(both[0], **series)


def _table(symbol: str, bars: _Bars, interval: str) -> pa.Table:
    length = len(bars.starts)
    missing = pa.nulls(length, pa.decimal128(38, 0))
    arrays = {
        "symbol": pa.repeat(pa.scalar(symbol), length),
        "timestamp": pa.array(bars.starts).cast(columns.TIME),
        **{name: _decimals(getattr(bars, name), bars.scale) for name in ("open", "high", "low", "close")},
        "volume": missing if bars.volume is None else _decimals(bars.volume, bars.size_scale),
        "interval": pa.repeat(pa.scalar(interval), length),
        "vwap": missing if bars.amount is None else parsing.decimal_column(_vwap(bars)),
        "trade_count": pa.nulls(length, pa.int64()) if bars.count is None else pa.array(bars.count),
    }
    return pa.table([arrays[column.name] for column in BARS.columns], names=[column.name for column in BARS.columns])


def _vwap(bars: _Bars) -> Sequence[Decimal | None]:
    """Return what was paid for one on the average; None where nothing changed hands."""
    assert bars.amount is not None
    assert bars.volume is not None
    return [
        VWAP.divide(Decimal(amount), Decimal(volume)).scaleb(-bars.scale, VWAP) if volume else None
        for amount, volume in zip(bars.amount.tolist(), bars.volume.tolist(), strict=True)
    ]


def _decimals(values: Integers, scale: int) -> pa.Array:
    if values.dtype != object:
        return columns.from_scaled(pa.array(values), scale)
    return parsing.decimal_column([Decimal(value).scaleb(-scale, EXACT) for value in values.tolist()])
