"""Rules about bars beside others of their series: the same bar again, another version of it, and highs and lows far from the rest."""

from __future__ import annotations

import itertools
from collections.abc import MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge

from fpa_core.models import Bar
from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import INFORMS, WARNS, Rule, SeriesRule, every
from fpa_plugins.rules.rounding import rounded

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, Truth

__all__ = ["RULES", "Conflict", "Repeated", "Wick"]

_FEW = 64
_BEFORE_ALL = -(2**63)
_SERIES = ("symbol", "interval")
_VALUES = ("open", "high", "low", "close", "volume")


@frozen(kw_only=True)
class _Known(SeriesRule):
    """Remembers the last bars of each symbol and interval by their time."""

    window: int = field(default=10_000, validator=ge(1), metadata={"unit": "bars"})

    def _before(self, state: dict[int, tuple[Any, ...]], ts_ns: int, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the bar that came before with this time, and remember this one."""
        before = state.get(ts_ns)
        state[ts_ns] = values
        if len(state) > self.window:
            del state[next(iter(state))]
        return before

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> Truth:
        """Judge a table; at once where every series of it goes forward in time, as bars nearly always do."""
        import numpy as np

        from fpa_core.validator.preceding import series_names
        from fpa_core.validator.vectors import Truth

        codes, names = series_names(columns, self.key_fields(columns.kind.name))
        times = columns.numbers("ts_ns").units
        series = [np.flatnonzero(codes == code) for code in range(len(names))] if len(names) <= _FEW else None
        if series is None or not all(
            (np.diff(times[rows]) > 0).all() and times[rows[0]] > max(memory.get(name, ()), default=_BEFORE_ALL)
            for rows, name in zip(series, names, strict=True)
        ):
            return super().mask(columns, memory)
        for rows, name in zip(series, names, strict=True):
            last = columns.take(rows[-self.window :])
            state = memory.setdefault(name, {})
            state.update(zip(last.values("ts_ns"), zip(*map(last.values, _VALUES), strict=True), strict=True))
            for ts_ns in list(itertools.islice(state, max(0, len(state) - self.window))):
                del state[ts_ns]
        return Truth(np.ones(len(columns), np.bool_))


@frozen(kw_only=True)
class Repeated(_Known):
    """The bar has not come before with the same values.

    A file that holds a day twice doubles every bar; the store keeps one of each.

    Good: 12:00, 12:01. Bad: 12:00, 12:01, 12:00 with the same prices and volume.

    :ivar window: how many bars of each symbol and interval are remembered.
    """

    id = "bar.repeated"
    kind = "bars"
    fields = ("ts_ns", *_VALUES)
    key = _SERIES
    levels = INFORMS

    def step(self, state: Any, *values: Any) -> bool | Failure | None:
        """Judge the next bar."""
        before = self._before(state, values[0], values[1:])
        if before != values[1:]:
            return True
        return Failure(f"the bar of {ns_text(values[0])} has come before", related=ns_text(values[0]))


@frozen(kw_only=True)
class Conflict(_Known):
    """The bar has not come before with other values.

    One of the two is wrong, or the later one corrects the earlier. The store keeps the later one and the earlier in its history.

    Good: 12:00 close 10.00, 12:01 close 10.01. Bad: 12:00 close 10.00, 12:00 close 10.50.

    :ivar window: how many bars of each symbol and interval are remembered.
    """

    id = "bar.conflict"
    kind = "bars"
    fields = ("ts_ns", *_VALUES)
    key = _SERIES
    levels = WARNS

    def step(self, state: Any, *values: Any) -> bool | Failure | None:
        """Judge the next bar."""
        before = self._before(state, values[0], values[1:])
        if before is None or before == values[1:]:
            return True
        pairs = zip(_VALUES, before, values[1:], strict=True)
        told = [f"{name} {_text(old)} then, {_text(new)} now" for name, old, new in pairs if old != new]
        limit = ", ".join(f"{name} {_text(old)}" for name, old in zip(_VALUES, before, strict=True))
        return Failure(f"the bar of {ns_text(values[0])} came before with {'; '.join(told)}", limit, ns_text(values[0]))


@frozen(kw_only=True)
class Wick(Rule):
    """High and low lie within a factor of open and close.

    A single bad tick makes a low of 0.06 in a day that opened and closed above 1000. Judged where all prices are above zero.

    Good: open 10, high 12, low 9, close 11. Bad: open 1180.00, high 1190.00, low 0.06, close 1178.85.

    :ivar max_factor: how many times the higher of open and close the high may be, and how many times the low the lower of them. The default is
        this project's own choice.
    """

    id = "bar.wick"
    kind = "bars"
    fields = ("open", "high", "low", "close")
    levels = WARNS

    max_factor: Decimal = field(default=Decimal(2), converter=to_decimal, metadata={"unit": "times"})

    def check(self, bar: Bar) -> bool | None:
        """Judge one bar."""
        opening, high, low, close, factor = bar.open, bar.high, bar.low, bar.close, self.max_factor
        if opening is None or high is None or low is None or min(opening, high, low, close) <= 0:
            return None
        return every(
            high <= EXACT.multiply(factor, max(opening, close)), EXACT.multiply(factor, low) >= min(opening, close)
        )

    def mask(self, columns: Columns) -> Truth:
        """Judge a table."""
        opening, high, low, close = (columns.numbers(name) for name in self.fields)
        factor = self.max_factor
        positive = (opening > 0) & (high > 0) & (low > 0) & (close > 0)
        fits_high = (high <= factor * opening) | (high <= factor * close)
        fits_low = (factor * low >= opening) | (factor * low >= close)
        return (fits_high & fits_low).where(positive)

    def describe(self, bar: Bar) -> str:
        """Tell the four prices."""
        prices = ", ".join(f"{name} {_text(getattr(bar, name))}" for name in self.fields)
        return f"the high or the low is more than a factor of {decimal_text(self.max_factor)} from open and close: {prices}"

    def limit(self, bar: Bar) -> str | None:
        """Return the range that is allowed."""
        assert bar.open is not None
        low, high = min(bar.open, bar.close) / self.max_factor, max(bar.open, bar.close) * self.max_factor
        return f"{rounded(low)} to {rounded(high)}"


def _text(value: Decimal | None) -> str:
    return "missing" if value is None else decimal_text(value)


RULES: tuple[type[Rule], ...] = (Repeated, Conflict, Wick)
