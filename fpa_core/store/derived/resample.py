"""Resample trades, the mid prices of quotes, or shorter bars to bars: exactly, in bounded memory, however the rows are cut into batches.

Each trade and quote is taken as a bar whose open, high, low and close are its price. Bars of one interval combine to a bar, so the same step combines the
rows of a batch, and the last bar of a batch with the first of the next. Prices are integers of one scale meanwhile: of 64 bits as long as no sum
can exceed them, otherwise Python integers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from fpa_core.arrow import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.intervals import interval_text, is_dated
from fpa_core.kinds import BARS
from fpa_core.numbers import EXACT

__all__ = ["VWAP", "check_from", "needed", "resample", "runs"]

NEEDED = {"trades": ("symbol", "timestamp", "price", "size"), "mid": ("symbol", "timestamp", "bid", "ask")}
"""The columns needed for bars of trades, and of the mid prices of quotes."""

OF_BARS = ("symbol", "timestamp", "open", "high", "low", "close", "volume", "vwap", "trade_count")
"""Those needed for bars of shorter bars."""

VWAP = Context(prec=18, rounding=ROUND_HALF_EVEN)
"""The rounding of the volume-weighted average price, the only quotient in a bar. Everything else is exact."""

Integers: TypeAlias = npt.NDArray[Any]
"""Of 64 bits, or Python integers if these are too few."""

_SAFE = 2**62
_UNIT_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_MONDAY = -3 * 86400 * 10**9
"""The Monday before 1970, a Thursday: weeks are counted from there."""


def check_from(interval: str, from_: str, tz: str | None = None) -> str:
    """Check that bars of *interval*, which is canonical, can be made of *from_*, and return that in canonical form.

    :param from_: ``trades``, ``mid``, or the interval of shorter bars.
    :raises DataError: if not; it says what is valid.
    """
    if not isinstance(from_, str) or from_ not in NEEDED:
        try:
            from_ = interval_text(from_)
        except (DataError, TypeError):
            raise DataError(
                f"from_: {from_!r} is none of: {', '.join(NEEDED)}, or an interval of bars such as 1m",
                field="from_",
                value=from_,
            ) from None
        if not _divides(from_, interval):
            raise DataError(
                f"bars of {from_} do not make up bars of {interval}",
                hint="take an interval that divides it",
                field="from_",
                value=from_,
            )
    if tz is not None:
        if not is_dated(interval) or is_dated(from_):
            raise DataError(
                f"tz: only days, weeks and months begin by a time zone, and only those made of shorter rows; not {interval} from {from_}",
                field="tz",
                value=tz,
            )
        _in_zone(np.zeros(1, np.int64), tz)
    return from_


def needed(from_: str) -> tuple[str, ...]:
    """Return the columns needed for bars of *from_*."""
    return NEEDED.get(from_, OF_BARS)


def _divides(short: str, long: str) -> bool:
    """Return whether intervals of one length make up one of another, wherever both begin."""
    (number, unit), (count, whole) = (_parts(each) for each in (short, long))
    if unit == "mo" or whole == "mo":
        day = _UNIT_NS["d"]
        return (
            count % number == 0 if unit == whole else unit not in ("w", "mo") and day % (number * _UNIT_NS[unit]) == 0
        )
    if whole == "w" and unit != "w":  # weeks begin on Monday, which no other count begins with unless it divides a day
        return _UNIT_NS["d"] % (number * _UNIT_NS[unit]) == 0
    return short != long and (count * _UNIT_NS[whole]) % (number * _UNIT_NS[unit]) == 0


def _parts(interval: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+)(\D+)", interval)
    assert match is not None, "the converter accepted it"
    return int(match[1]), match[2]


def resample(batches: Iterable[pa.RecordBatch], interval: str, from_: str, tz: str | None = None) -> Iterator[pa.Table]:
    """Yield tables of complete bars of rows that come by symbol, then time.

    :param batches: rows with the columns of :func:`needed`, decimals preferably scaled (see :mod:`fpa_core.arrow.columns`).
    :param tz: the zone by whose dates days, weeks and months are divided; None for UTC.
    :raises DataError: if *interval* is invalid.
    """
    interval = BARS.by_name["interval"].convert(interval)
    start_of = _floor(interval, tz)
    rows_of = {"trades": _of_trades, "mid": _of_mids}.get(from_, _of_bars)
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


def _floor(interval: str, tz: str | None) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """Return a function from times to the starts of their intervals; months are calendar months.

    In a zone, the start is the midnight in UTC of the date there, under which bars of days are stored.
    """
    number, unit = _parts(interval)

    def start_of(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if tz is not None:
            times = _in_zone(times, tz)
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


def _in_zone(times: npt.NDArray[np.int64], tz: str) -> npt.NDArray[np.int64]:
    """Return the clock of a zone at times, as if it were UTC.

    :raises DataError: if the zone is unknown.
    """
    try:
        clock = pc.local_timestamp(pa.array(times).cast(pa.timestamp("ns", tz)))
    except (pa.ArrowInvalid, UnicodeEncodeError, TypeError):
        raise DataError(f"tz: {tz!r} is no time zone", hint="such as America/New_York", field="tz", value=tz) from None
    found: npt.NDArray[np.int64] = clock.cast(pa.int64()).to_numpy()
    return found


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

    :ivar amount: the sum of price times size, at the scale of sizes and that of ``amount_scale`` together.
    :ivar no_volume: for each bar, how many of its rows have no volume; likewise ``no_amount`` and ``no_count``. None for no row.
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
    no_volume: npt.NDArray[np.int64] | None = None
    no_amount: npt.NDArray[np.int64] | None = None
    no_count: npt.NDArray[np.int64] | None = None
    size_scale: int = 0
    amount_scale: int = 0

    def part(self, rows: slice) -> _Bars:
        """Return some of them."""
        series: dict[str, Any] = {name: getattr(self, name) for name in _SERIES}
        for name, value in series.items():
            series[name] = None if value is None else value[rows]
        return evolve(self, **series)

    def at(self, scale: int, size_scale: int, amount_scale: int) -> _Bars:
        """Return the same bars at other scales."""

        def put(values: Integers | None, by: int) -> Any:
            return None if values is None else _Numbers(values, 0).at(by).values

        up, size_up = scale - self.scale, size_scale - self.size_scale
        moved: dict[str, Any] = {name: put(getattr(self, name), up) for name in ("open", "high", "low", "close")}
        moved |= {"volume": put(self.volume, size_up)}
        moved |= {"amount": put(self.amount, size_up + amount_scale - self.amount_scale)}
        return evolve(self, **moved, scale=scale, size_scale=size_scale, amount_scale=amount_scale)


_COUNTS = ("no_volume", "no_amount", "no_count")
_SERIES = ("starts", "open", "high", "low", "close", "volume", "amount", "count", *_COUNTS)


def _of_trades(batch: pa.RecordBatch, start_of: Callable[[Any], Any]) -> _Bars:
    price, size = _Numbers.of(batch, "price"), _Numbers.of(batch, "size")
    volume = _within(size.values, batch.num_rows)
    largest = max((abs(int(end)) for end in (size.values.min(), size.values.max())), default=0)
    amount = _within(price.values, largest * batch.num_rows) * size.values
    starts, count = start_of(_times(batch)), np.ones(batch.num_rows, np.int64)
    value = price.values
    return _Bars(
        *(starts, value, value, value, value, price.scale, volume, amount, count),
        size_scale=size.scale,
        amount_scale=price.scale,
    )


def _of_mids(batch: pa.RecordBatch, start_of: Callable[[Any], Any]) -> _Bars:
    """Return the quotes with both sides as bars."""
    if batch.column("bid").null_count or batch.column("ask").null_count:
        batch = batch.filter(pc.and_(batch.column("bid").is_valid(), batch.column("ask").is_valid()))
    bid, ask = _Numbers.of(batch, "bid"), _Numbers.of(batch, "ask")
    scale = max(bid.scale, ask.scale)
    # Half of a sum is five times the sum with one more digit after the point.
    value = _within(bid.at(scale).values, 10) * 5 + _within(ask.at(scale).values, 10) * 5
    return _Bars(start_of(_times(batch)), value, value, value, value, scale + 1)


def _of_bars(batch: pa.RecordBatch, start_of: Callable[[Any], Any]) -> _Bars:
    """Return shorter bars as bars; the average of their prices is that of theirs, weighted by volume."""
    prices = [_Numbers.of(batch, name) for name in ("open", "high", "low", "close")]
    scale = max(each.scale for each in prices)
    volume, no_volume = _known(batch, "volume")
    vwap, no_vwap = _known(batch, "vwap")
    count = batch.column("trade_count")
    amount = vwap.values.astype(object) * volume.values.astype(object)
    # Bars without volume weigh nothing, whatever their average.
    no_amount = no_volume | (no_vwap & (volume.values != 0).astype(np.int64))
    first, high, low, last = (each.at(scale).values for each in prices)
    return _Bars(
        start_of(_times(batch)),
        first,
        high,
        low,
        last,
        scale,
        _within(volume.values, batch.num_rows),
        amount,
        pc.fill_null(count, 0).to_numpy(),
        no_volume,
        no_amount,
        count.is_null().to_numpy(zero_copy_only=False).astype(np.int64),
        size_scale=volume.scale,
        amount_scale=vwap.scale,
    )


def _known(batch: pa.RecordBatch, name: str) -> tuple[_Numbers, npt.NDArray[np.int64]]:
    """Return the numbers of a column with 0 for what is missing, and 1 where something is."""
    column, field = batch.column(name), batch.schema.field(name)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    present = pa.RecordBatch.from_arrays([column.drop_null()], schema=pa.schema([field]))
    numbers = _Numbers.of(present, name)
    values = np.zeros(len(column), numbers.values.dtype)
    values[~missing] = numbers.values
    return _Numbers(values, numbers.scale), missing.astype(np.int64)


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
        **{name: total(getattr(bars, name)) for name in _COUNTS},
    )


def _concatenated(one: _Bars, other: _Bars) -> _Bars:
    scales = [max(getattr(one, name), getattr(other, name)) for name in ("scale", "size_scale", "amount_scale")]
    both = [bars.at(*scales) for bars in (one, other)]
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
        "volume": missing if bars.volume is None else _only(_decimals(bars.volume, bars.size_scale), bars.no_volume),
        "interval": pa.repeat(pa.scalar(interval), length),
        "vwap": missing if bars.amount is None else _only(parsing.decimal_column(_vwap(bars)), bars.no_amount),
        "trade_count": pa.nulls(length, pa.int64())
        if bars.count is None
        else _only(pa.array(bars.count), bars.no_count),
    }
    return pa.table([arrays[column.name] for column in BARS.columns], names=[column.name for column in BARS.columns])


def _only(values: pa.Array, unknown: npt.NDArray[np.int64] | None) -> pa.Array:
    """Return values, null for bars of which a row did not have one."""
    return values if unknown is None or not unknown.any() else pc.if_else(pa.array(unknown == 0), values, None)


def _vwap(bars: _Bars) -> Sequence[Decimal | None]:
    """Return the average price weighted by volume; None if the volume is zero."""
    assert bars.amount is not None
    assert bars.volume is not None
    return [
        VWAP.divide(Decimal(amount), Decimal(volume)).scaleb(-bars.amount_scale, VWAP) if volume else None
        for amount, volume in zip(bars.amount.tolist(), bars.volume.tolist(), strict=True)
    ]


def _decimals(values: Integers, scale: int) -> pa.Array:
    if values.dtype != object:
        return columns.from_scaled(pa.array(values), scale)
    return parsing.decimal_column([Decimal(value).scaleb(-scale, EXACT) for value in values.tolist()])
