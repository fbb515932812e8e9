"""Resample trades, or the mid prices of quotes, to bars: exactly, in bounded memory, however the rows are cut into batches.

Each row is taken as a bar whose open, high, low and close are its price. Bars of one interval combine to a bar, so the same step combines the
rows of a batch, and the last bar of a batch with the first of the next. Prices are integers of one scale meanwhile: of 64 bits as long as no sum
can exceed them, otherwise Python integers.
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

__all__ = ["NEEDED", "VWAP", "From", "check_from", "resample", "runs"]

From: TypeAlias = Literal["trades", "mid"]
"""The prices of bars: those of trades, or the mid prices of quotes."""

NEEDED = {"trades": ("symbol", "timestamp", "price", "size"), "mid": ("symbol", "timestamp", "bid", "ask")}
"""The columns needed for each."""

VWAP = Context(prec=18, rounding=ROUND_HALF_EVEN)
"""The rounding of the volume-weighted average price, the only quotient in a bar. Everything else is exact."""

Integers: TypeAlias = npt.NDArray[Any]
"""Of 64 bits, or Python integers if these are too few."""

_SAFE = 2**62
_UNIT_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_MONDAY = -3 * 86400 * 10**9
"""The Monday before 1970, a Thursday: weeks are counted from there."""


def check_from(from_: str) -> None:
    """Check that bars can be made of *from_*.

    :raises DataError: if not; it names the values that are valid.
    """
    if from_ not in get_args(From):
        raise DataError(f"from_: {from_!r} is none of: {', '.join(get_args(From))}", field="from_", value=from_)


def resample(batches: Iterable[pa.RecordBatch], interval: str, from_: From) -> Iterator[pa.Table]:
    """Yield tables of complete bars of rows that come by symbol, then time.

    :param batches: rows with the columns of :data:`NEEDED`, decimals preferably scaled (see :mod:`fpa_core.arrow.columns`).
    :raises DataError: if *interval* is invalid.
    """
    interval = BARS.by_name["interval"].convert(interval)
    start_of = _floor(interval)
    rows_of = _of_trades if from_ == "trades" else _of_mids
    open_bar: tuple[str, _Bars] | None = None
    for symbol, batch in runs(batches):
        rows = rows_of(batch, start_of)
        if not len(rows.starts):
            continue
        bars = _combined(rows)
        if open_bar is not None:
            if open_bar[0] == symbol:
                bars = _combined(_concatenated(open_bar[1], bars))
            else:
                yield _table(*open_bar, interval)
        if len(bars.starts) > 1:
            yield _table(symbol, bars.part(slice(None, -1)), interval)
        open_bar = symbol, bars.part(slice(-1, None))
    if open_bar is not None:
        yield _table(*open_bar, interval)


def runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of each symbol; *batches* come by symbol."""
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
    """Return a function from times to the starts of their intervals; months are calendar months in UTC."""
    match = re.fullmatch(r"(\d+)(\D+)", interval)
    assert match is not None, "the converter accepted it"
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
    """Integers with a common number of decimal places."""

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
        """Return the same numbers at an equal or larger scale."""
        factor = 10 ** (scale - self.scale)
        return self if factor == 1 else _Numbers(_within(self.values, factor) * factor, scale)


def _within(values: Integers, times: int) -> Integers:
    """Return *values* in a type that holds the largest of them multiplied by *times*."""
    if values.dtype == object or not len(values):
        return values.astype(object)
    peak = max(-int(values.min()), int(values.max()))
    return values if max(peak, 1) * times < _SAFE else values.astype(object)


@frozen(eq=False)
class _Bars:
    """Bars of one symbol in order of time, or rows taken as bars; several may share a start until they are combined.

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
    """Return the quotes with both sides as bars."""
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


def _combined(bars: _Bars) -> _Bars:
    """Return one bar for each start."""
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


def _concatenated(one: _Bars, other: _Bars) -> _Bars:
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
    """Return the average price weighted by volume; None if the volume is zero."""
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
