"""Prices adjusted for corporate actions when they are read; what is stored never changes.

A price before an ex-date is divided by the ratio of a split and multiplied by ``1 - D / P`` for a cash dividend D, where P is the last daily close
before the ex-date; a size is multiplied by the ratio of a split. Factors of several actions are multiplied. So returns of adjusted prices are those
of a holder: "Cumulative Factor to Adjust Price" and "Factor to Adjust Price in Period" of the CRSP US Stock Databases (Center for Research in
Security Prices, Data Descriptions Guide), and the "adjusted close" of Yahoo Finance.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from attrs import evolve, frozen

from fpa_core.amounts import decimal_of
from fpa_core.arrow import columns
from fpa_core.arrow.conversion import from_table
from fpa_core.arrow.parsing import decimal_column
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, CORPORATE_ACTIONS, QUOTES, TRADES, Kind
from fpa_core.models import Bar, CorporateAction, CorporateActionType
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.protocols import Query

if TYPE_CHECKING:
    from fpa_core.store.row_reader import RowReader

__all__ = ["MODES", "Adjust", "Adjuster", "Factors", "check_adjust", "factors_of"]

Adjust: TypeAlias = Literal["splits", "all"]
"""What prices are adjusted for: splits, or splits and cash dividends."""

MODES = ("splits", "all")

PRICES: dict[Kind, tuple[str, ...]] = {
    BARS: ("open", "high", "low", "close", "vwap"),
    TRADES: ("price",),
    QUOTES: ("bid", "ask"),
}
SIZES: dict[Kind, tuple[str, ...]] = {BARS: ("volume",), TRADES: ("size",), QUOTES: ("bid_size", "ask_size")}
NEEDED = ("symbol", "timestamp")

_DIVIDENDS = (CorporateActionType.DIVIDEND, CorporateActionType.SPECIAL_DIVIDEND)


@frozen
class Factors:
    """What prices and sizes of one symbol are multiplied by, from each ex-date back to the one before.

    :ivar ex_ns: the ex-dates, in order; ``prices`` and ``sizes`` have one more entry, the last of them 1.
    """

    ex_ns: list[int]
    prices: list[Fraction]
    sizes: list[Fraction]

    def place(self, ts_ns: int) -> int:
        """Return which factor counts at an instant; the ex-date itself has the next one."""
        return bisect.bisect_right(self.ex_ns, ts_ns)


def factors_of(
    actions: Sequence[CorporateAction], close_before: Callable[[int], Decimal | None], mode: Adjust
) -> Factors:
    """Return the factors of one symbol.

    :param close_before: returns the last daily close before an ex-date, as it is stored.
    :raises DataError: if there is none for a dividend, or it is not above the dividend.
    """
    steps: dict[int, tuple[Fraction, Fraction]] = {}
    for action in actions:
        price, size = steps.get(action.ts_ns, (Fraction(1), Fraction(1)))
        if action.action_type is CorporateActionType.SPLIT and action.ratio is not None:
            price, size = price / action.ratio, size * action.ratio
        elif mode == "all" and action.action_type in _DIVIDENDS and action.amount:
            price *= 1 - Fraction(action.amount) / _close(action, close_before)
        steps[action.ts_ns] = price, size
    ex_ns = sorted(ts_ns for ts_ns, step in steps.items() if step != (Fraction(1), Fraction(1)))
    prices, sizes = [Fraction(1)], [Fraction(1)]
    for ts_ns in reversed(ex_ns):
        prices.append(prices[-1] * steps[ts_ns][0])
        sizes.append(sizes[-1] * steps[ts_ns][1])
    return Factors(ex_ns, prices[::-1], sizes[::-1])


def _close(action: CorporateAction, close_before: Callable[[int], Decimal | None]) -> Fraction:
    close = close_before(action.ts_ns)
    if close is None or action.amount is None or close <= action.amount:
        problem = (
            "there is no daily bar before it" if close is None else f"the close before it is {decimal_text(close)}"
        )
        raise DataError(
            f"prices of {action.symbol} cannot be adjusted for the dividend of {ns_text(action.ts_ns)}: {problem}",
            hint='store bars of interval 1d, or read with adjust="splits"',
            field="adjust",
            value=action,
        )
    return Fraction(close)


def check_adjust(kind: Kind, mode: str) -> None:
    """Check what is asked for.

    :raises DataError: for an unknown mode, or a kind without prices.
    """
    if mode not in MODES:
        raise DataError(f"adjust: {mode!r} is unknown", hint="one of: splits, all", field="adjust", value=mode)
    if kind not in PRICES:
        raise DataError(f"{kind.name} have no prices to adjust", hint="bars, trades and quotes have", field="adjust")


class Adjuster:
    """Adjusts the rows of one query."""

    def __init__(self, rows: RowReader, query: Query, mode: Any) -> None:
        self._rows = rows
        self._query = query
        self._mode: Adjust = mode
        self._factors: dict[str, Factors] = {}

    def of(self, symbol: str) -> Factors:
        """Return the factors of a symbol, from the actions and closes known to the query."""
        if symbol not in self._factors:
            actions: list[CorporateAction] = list(self._records(Query(CORPORATE_ACTIONS, (symbol,))))
            self._factors[symbol] = factors_of(actions, lambda ts_ns: self._close_before(symbol, ts_ns), self._mode)
        return self._factors[symbol]

    def _close_before(self, symbol: str, ts_ns: int) -> Decimal | None:
        query = Query(BARS, (symbol,), end_ns=ts_ns, equal={"interval": "1d"}, limit=1, reverse=True)
        bar: Bar | None = next(self._records(query), None)
        return None if bar is None else bar.close

    def _records(self, query: Query) -> Iterator[Any]:
        known = evolve(query, known_at_ns=self._query.known_at_ns)
        for batch in self._rows.backend.scan(known, scaled=True):
            yield from from_table(query.kind, batch)

    def batches(self, batches: Iterator[pa.RecordBatch], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield rows with adjusted prices and sizes, with the columns *names*; the batches have :data:`NEEDED`, too."""
        for batch in batches:
            yield self._adjusted(batch).select(list(names))

    def _adjusted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        groups, factors = self._groups(batch)
        kind = self._query.kind
        arrays, fields = list(batch.columns), list(batch.schema)
        for names, of_sizes in ((PRICES[kind], False), (SIZES[kind], True)):
            wanted = {group: pair[of_sizes] for group, pair in factors.items() if pair[of_sizes] != 1}
            for name in names:
                place = batch.schema.get_field_index(name)
                if place < 0 or not wanted or arrays[place].null_count == len(batch):
                    continue
                scale = columns.scale_of(fields[place])
                array = arrays[place] if scale is None else columns.from_scaled(arrays[place], scale)
                arrays[place] = _multiplied(array, groups, wanted)
                fields[place] = pa.field(name, arrays[place].type)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _groups(self, batch: pa.RecordBatch) -> tuple[Any, Mapping[int, tuple[Fraction, Fraction]]]:
        """Return a number for each row, and the factors of prices and sizes of each number."""
        encoded = batch.column("symbol")
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        times = columns.times_as_ns(batch.column("timestamp")).to_numpy(zero_copy_only=False)
        groups = np.zeros(len(batch), np.int64)
        factors: dict[int, tuple[Fraction, Fraction]] = {}
        first = 0
        for code, symbol in enumerate(encoded.dictionary.to_pylist()):
            own = self.of(symbol)
            chosen = codes == code
            groups[chosen] = first + np.searchsorted(own.ex_ns, times[chosen], "right")
            factors |= {first + place: pair for place, pair in enumerate(zip(own.prices, own.sizes, strict=True))}
            first += len(own.prices)
        return groups, factors


def _multiplied(array: pa.Array, groups: Any, wanted: Mapping[int, Fraction]) -> pa.Array:
    """Return decimals, each multiplied by the factor of its group, if it has one; each distinct number once."""
    values = columns.as_decimals(array, None)
    changed = np.flatnonzero(np.isin(groups, list(wanted))).tolist()
    known: dict[tuple[int, Decimal], Decimal] = {}
    for row in changed:
        value, group = values[row], int(groups[row])
        if value is None:
            continue
        if (group, value) not in known:
            known[group, value] = decimal_of(Fraction(value) * wanted[group])
        values[row] = known[group, value]
    return decimal_column(values)
