"""Rules that compare bars with others of their series: repeated bars, other versions of a bar, and extreme highs and lows."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge

from fpa_core.models import Bar
from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import INFO, WARN, Rule, SeriesRule, every
from fpa_plugins.rules.identities import Remembered, differences
from fpa_plugins.rules.jumps import split_of
from fpa_plugins.rules.rounding import rounded
from fpa_plugins.rules.stored import VALUES, held, page_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from fpa_core.protocols import StoredBars
    from fpa_core.validator.vectors import Columns, DecimalColumn, KleeneMask
    from fpa_plugins.rules.stored import Held

__all__ = ["RULES", "Conflict", "Repeated", "Wick"]

_SERIES = ("symbol", "interval")
_CLOSE = VALUES.index("close")
_TOLERANCE = Decimal("0.005")
"""How much a close may differ from the one a split gives, because adjusted prices are rounded."""
_DIGITS, _INTEGERS, _POWERS = 15, 10**15, 22
"""Limits of floats: numbers of this many digits are distinct; integers below, and powers of ten up to, are exact."""
_FAR = Decimal("0.10")
"""A larger change of the close is not a correction."""


@frozen(kw_only=True)
class Repeated(Remembered):
    """The bar has not come before with the same values.

    A file that contains a day twice repeats every bar. The store keeps each bar once.

    Good: 12:00, 12:01. Bad: 12:00, 12:01, 12:00 with the same prices and volume.

    :ivar window: how many bars of each symbol and interval are remembered.
    """

    id = "bar.repeated"
    kind = "bars"
    identity = ("ts_ns",)
    values = VALUES
    fields = identity + values
    key = _SERIES
    levels = INFO

    window: int = field(default=10_000, validator=ge(1), metadata={"unit": "bars"})

    def judge(self, name: Any, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        """Compare the values."""
        if before != now:
            return True
        return Failure(f"the bar of {ns_text(name)} has come before", related=ns_text(name))


@frozen(kw_only=True)
class Conflict(Remembered):
    """The bar has not come before with other values, nor does the store hold it with others.

    One of the two is wrong, or the later one is a correction. The store keeps the later one, and the earlier one in its history. The message
    names a split that would explain the change, because adjusting prices for a split changes every bar.

    Good: 12:00 close 10.00, 12:01 close 10.01. Bad: 12:00 close 10.00, 12:00 close 10.50.

    :ivar window: how many bars of each symbol and interval are remembered.
    """

    id = "bar.conflict"
    kind = "bars"
    identity = ("ts_ns",)
    values = VALUES
    fields = identity + values
    key = _SERIES
    levels = WARN
    needs = ("memory", "stored_bars")

    window: int = field(default=10_000, validator=ge(1), metadata={"unit": "bars"})

    def judge(self, name: Any, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        """Compare the values with those of a bar that came before."""
        if before == now:
            return True
        return self._failure(f"the bar of {ns_text(name)} came before with", name, before, now)

    def _judge_stored(self, ts_ns: int, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        if before == now:
            return True
        return self._failure(f"the store has the bar of {ns_text(ts_ns)} with", ts_ns, before, now)

    @staticmethod
    def _failure(told: str, ts_ns: int, before: tuple[Any, ...], now: tuple[Any, ...]) -> Failure:
        limit = ", ".join(f"{name} {_text(old)}" for name, old in zip(VALUES, before, strict=True))
        cause = _cause(before[_CLOSE], now[_CLOSE])
        return Failure(f"{told} {differences(VALUES, before, now)}{cause}", limit, ns_text(ts_ns))

    def check(  # type: ignore[override]  # given what `needs` names
        self, record: Bar, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None
    ) -> bool | Failure | None:
        """Check one bar against those before it, or against the stored one."""
        state = memory.get((record.symbol, record.interval), ())
        before = None
        if stored_bars is not None and record.ts_ns not in state:
            page = page_of(memory, stored_bars, record.symbol, record.interval, record.ts_ns)
            before = page.content(record.ts_ns)
        verdict = SeriesRule.check(self, record, memory)
        if before is None:
            return verdict
        return self._judge_stored(record.ts_ns, before, tuple(getattr(record, name) for name in VALUES))

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None) -> KleeneMask:  # type: ignore[override]
        """Validate a table. It is compared with the stored bars at once, unless a bar occurs twice in it."""
        found = self.distinct(columns, memory)
        stored = {} if stored_bars is None else held(columns, stored_bars)
        if found is None:
            return self._stepped(columns, memory, stored)
        return self._compared(columns, found, stored) if stored else found

    def _stepped(self, columns: Columns, memory: MutableMapping[Any, Any], stored: Mapping[Any, Held]) -> KleeneMask:
        """Validate a table row by row."""
        from fpa_core.validator.lagged import fold_series

        known = {
            name: dict(zip(some.times.tolist(), zip(*map(some.columns.values, VALUES), strict=True), strict=True))
            for name, some in stored.items()
        }

        def step(state: Any, symbol: str, interval: str, ts_ns: int, *now: Any) -> bool | Failure | None:
            is_new = ts_ns not in state
            verdict = self.step(state, ts_ns, *now)
            before = known.get((symbol, interval), {}).get(ts_ns) if is_new else None
            return verdict if before is None else self._judge_stored(ts_ns, before, now)

        return fold_series(columns, _SERIES, (*_SERIES, *self.fields), memory, self.start, step)

    def _compared(self, columns: Columns, found: KleeneMask, stored: Mapping[Any, Held]) -> KleeneMask:
        """Compare the rows of a table with the stored bars of their times."""
        import numpy as np

        from fpa_core.validator.lagged import series_names
        from fpa_core.validator.vectors import KleeneMask

        codes, names = series_names(columns, _SERIES)
        times = columns.numbers("ts_ns").units
        holds = found.holds.copy()
        others: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Held]] = []
        for code, name in enumerate(names):
            if (some := stored.get(name)) is None:
                continue
            own = np.flatnonzero(codes == code) if len(names) > 1 else np.arange(len(columns))
            rows, places = some.matching(times[own])
            differ = _differ(columns.take(own[rows]), some.at(places))  # in equal order
            if differ.any():
                others.append((own[rows][differ], places[differ], some))
                holds[own[rows][differ]] = False

        def why(row: int) -> Failure:
            for rows, places, some in others:
                place = int(rows.searchsorted(row))
                if place < len(rows) and rows[place] == row:
                    before = tuple(some.columns.value(name, int(places[place])) for name in VALUES)
                    now = tuple(columns.value(name, row) for name in VALUES)
                    failure = self._judge_stored(int(times[row]), before, now)
                    assert isinstance(failure, Failure)
                    return failure
            raise KeyError(row)

        return KleeneMask(holds, found.known, why if others else None)


def _differ(some: Columns, others: Columns) -> npt.NDArray[np.bool_]:
    """Return in which rows two tables have different values. Missing values are equal to each other."""
    import numpy as np

    differ = np.zeros(len(some), np.bool_)
    for name in VALUES:
        if (found := _differ_as_floats(some.numbers(name), others.arrow(name))) is not None:
            differ |= found
            continue
        one, other = some.numbers(name), others.numbers(name)
        differ |= (one != other).holds
        if one.known is not None or other.known is not None:
            differ |= one.present().holds != other.present().holds
    return differ


def _differ_as_floats(numbers: DecimalColumn, texts: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Return where numbers differ from decimal texts, compared as floats; None if floats might not distinguish them.

    Each number of up to 15 digits has its own float, whether parsed from text or divided by a power of ten. Parsing a float takes a fraction of
    the time of parsing a decimal.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = numbers.units.dtype == np.int64 and numbers.scale <= _POWERS and max(-numbers.low, numbers.high) < _INTEGERS
    if not exact or not pa.types.is_string(texts.type) or (pc.max(pc.binary_length(texts)).as_py() or 0) > _DIGITS:
        return None
    floats = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.bool_] = numbers.units / 10.0**numbers.scale != floats
    if numbers.known is None and not texts.null_count:
        return found
    known = numbers.present().holds
    present = texts.is_valid().to_numpy(zero_copy_only=False)
    unlike: npt.NDArray[np.bool_] = (known != present) | (known & found)
    return unlike


def _cause(before: Decimal | None, now: Decimal | None) -> str:
    """Return the probable cause of a changed close: a split, or a file of another symbol."""
    if before is None or now is None or before <= 0 or now <= 0 or before == now:
        return ""
    if (split := split_of(now, before, _TOLERANCE)) is not None:
        return f"; prices adjusted for a split of {split} would explain it"
    return (
        "; adjusted prices, or those of another symbol, would explain it" if abs(now - before) > before * _FAR else ""
    )


@frozen(kw_only=True)
class Wick(Rule):
    """High and low lie within a factor of open and close.

    A single bad tick can give a low of 0.06 on a day that opened and closed above 1000. Checked only if all prices are above zero.

    Good: open 10, high 12, low 9, close 11. Bad: open 1180.00, high 1190.00, low 0.06, close 1178.85.

    :ivar max_factor: the largest allowed ratio of the high to the higher of open and close, and of the lower of them to the low. The default is
        this project's own choice.
    """

    id = "bar.wick"
    kind = "bars"
    fields = ("open", "high", "low", "close")
    levels = WARN

    max_factor: Decimal = field(default=Decimal(2), converter=to_decimal, metadata={"unit": "times"})

    def check(self, bar: Bar) -> bool | None:
        """Check one bar."""
        opening, high, low, close, factor = bar.open, bar.high, bar.low, bar.close, self.max_factor
        if opening is None or high is None or low is None or min(opening, high, low, close) <= 0:
            return None
        return every(
            high <= EXACT.multiply(factor, max(opening, close)), EXACT.multiply(factor, low) >= min(opening, close)
        )

    def mask(self, columns: Columns) -> KleeneMask:
        """Validate a table."""
        opening, high, low, close = (columns.numbers(name) for name in self.fields)
        factor = self.max_factor
        positive = (opening > 0) & (high > 0) & (low > 0) & (close > 0)
        fits_high = (high <= factor * opening) | (high <= factor * close)
        fits_low = (factor * low >= opening) | (factor * low >= close)
        return (fits_high & fits_low).where(positive)

    def describe(self, bar: Bar) -> str:
        """Return a message with the four prices."""
        prices = ", ".join(f"{name} {_text(getattr(bar, name))}" for name in self.fields)
        return f"the high or the low is more than a factor of {decimal_text(self.max_factor)} from open and close: {prices}"

    def limit(self, bar: Bar) -> str | None:
        """Return the allowed range."""
        assert bar.open is not None
        low, high = min(bar.open, bar.close) / self.max_factor, max(bar.open, bar.close) * self.max_factor
        return f"{rounded(low)} to {rounded(high)}"


def _text(value: Decimal | None) -> str:
    return "missing" if value is None else decimal_text(value)


RULES: tuple[type[Rule], ...] = (Repeated, Conflict, Wick)
