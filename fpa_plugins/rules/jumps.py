"""Rules that compare a price with the one before it: large changes, with the split that would explain them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from fpa_core.numbers import EXACT, decimal_text, ns_text, to_decimal
from fpa_core.protocols import Failure
from fpa_core.validator import WARN, PairRule, Rule
from fpa_plugins.rules.intervals import DAY, interval_ns
from fpa_plugins.rules.stored import last_before

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import numpy as np
    import numpy.typing as npt

    from fpa_core.models import Bar
    from fpa_core.protocols import StoredBars
    from fpa_core.validator.lagged import Lagged
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["RULES", "BarJump", "TradeJump", "split_of"]

_RATIOS = [(ratio, 1) for ratio in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50, 100)] + [(3, 2), (4, 3), (5, 4)]
"""Common split ratios: new shares for old shares."""


@frozen(kw_only=True)
class _Jump(PairRule):
    """Base class of both rules. The price is the last of ``keeps``."""

    max_rel: Decimal = field(default=Decimal("0.10"), converter=to_decimal, metadata={"unit": "of the price before"})
    split_tolerance: Decimal = field(
        default=Decimal("0.03"), converter=to_decimal, metadata={"unit": "of the price a split would give"}
    )

    def counts(self, now: tuple[Any, ...]) -> bool:
        """Return whether a record counts: prices of zero are skipped, because a relative change from zero is undefined."""
        return now[1] is not None and now[1] != 0

    def count_all(self, columns: Columns) -> npt.NDArray[np.bool_] | None:
        """Return which rows count: prices of zero are skipped."""
        return (columns.numbers(self.keeps[1]) != 0).holds

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool | None:
        """Compare the prices."""
        if now[1] is None:
            return None
        change = EXACT.abs(EXACT.subtract(now[1], before[1]))
        return change <= EXACT.multiply(self.max_rel, EXACT.abs(before[1]))

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Compare the prices of a table."""
        old = before.numbers(self.keeps[1])
        return abs(columns.numbers(self.keeps[1]) - old) <= self.max_rel * abs(old)

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Return a message with both prices, the change, and the split that explains it."""
        price, old = now[1], before[1]
        change = EXACT.subtract(price, old) / abs(old)
        split = split_of(price, old, self.split_tolerance)
        hint = f"; a split of {split} would explain it" if split else ""
        return Failure(
            f"the price {decimal_text(price)} is {change:+.2%} from {decimal_text(old)}{hint}",
            f"{decimal_text(EXACT.multiply(self.max_rel, 100))}%",
            f"{decimal_text(old)} at {ns_text(before[0])}",
        )


def split_of(price: Decimal, old: Decimal, tolerance: Decimal) -> str | None:
    """Return the split, as in "7 for 1", that gives the new price from the old one, within the relative *tolerance*."""
    if price <= 0 or old <= 0:
        return None
    fits = []
    for many, few in _RATIOS:
        for new, held in ((many, few), (few, many)):
            expected = old * held / new
            if (off := abs(price - expected)) <= tolerance * expected:
                fits.append((off / expected, f"{new} for {held}"))
    return min(fits)[1] if fits else None


@frozen(kw_only=True)
class TradeJump(_Jump):
    """The price changes by at most a given fraction from one trade to the next of the same symbol.

    The message names a split that would explain the change, if one fits. After a bad tick, the return to the old price is also a finding.

    Good: 10.50 after 10.00. Bad: 5.00 after 10.00, which a split of 2 for 1 would explain.

    :ivar max_rel: the largest change, as a fraction of the price before. The default is this project's own choice.
    :ivar split_tolerance: how much a price may differ from the one a split would give and still be explained by it.
    """

    id = "trade.jump"
    kind = "trades"
    fields = ("price",)
    keeps = ("ts_ns", "price")
    levels = WARN


@frozen(kw_only=True)
class BarJump(_Jump):
    """The close changes by at most a given fraction from one bar to the next of the same symbol and interval.

    The message names a split that would explain the change, if one fits: unadjusted prices of shares show their splits. The first bar is
    compared with the last stored one, at most ten days or ten intervals before it.

    Good: close 10.50 after 10.00. Bad: close 92.70 after 645.57, which a split of 7 for 1 would explain.

    :ivar max_rel: the largest change, as a fraction of the close before. The default is this project's own choice.
    :ivar split_tolerance: how much a price may differ from the one a split would give and still be explained by it.
    """

    id = "bar.jump"
    kind = "bars"
    fields = ("close",)
    keeps = ("ts_ns", "close")
    key = ("symbol", "interval")
    levels = WARN
    needs = ("memory", "stored_bars")

    max_rel: Decimal = field(default=Decimal("0.25"), converter=to_decimal, metadata={"unit": "of the close before"})

    def check(  # type: ignore[override]  # given what `needs` names
        self, record: Bar, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None
    ) -> bool | Failure | None:
        """Check one bar after the one before it, which may be a stored one."""
        key = (record.symbol, record.interval)
        if stored_bars is not None and key not in memory:
            self._begin(memory, stored_bars, key, record.ts_ns)
        return PairRule.check(self, record, memory)

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any], stored_bars: StoredBars | None) -> KleeneMask:  # type: ignore[override]
        """Validate a table."""
        if stored_bars is not None:
            import numpy as np

            from fpa_core.validator.lagged import series_names

            codes, names = series_names(columns, self.key)
            times = columns.numbers("ts_ns").units
            found, firsts = np.unique(codes, return_index=True) if len(names) > 1 else ([0] * len(names), [0])
            for code, row in zip(found, firsts, strict=False):
                if names[code] not in memory:
                    self._begin(memory, stored_bars, names[code], int(times[row]))
        return PairRule.mask(self, columns, memory)

    @staticmethod
    def _begin(memory: MutableMapping[Any, Any], stored_bars: StoredBars, key: tuple[str, str], ts_ns: int) -> None:
        """Remember the last stored bar before the first one of a series."""
        found = last_before(stored_bars, *key, ts_ns, max(10 * interval_ns(key[1]), 10 * DAY))
        if found is not None and found[1]:
            memory[key] = found


RULES: tuple[type[Rule], ...] = (TradeJump, BarJump)
