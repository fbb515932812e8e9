"""Rules about records that share an identity: a memory of recent records, and contradictions within a batch."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen
from attrs.validators import ge

from fpa_core.numbers import decimal_text, ns_text
from fpa_core.protocols import Failure
from fpa_core.validator import WARN, Rule, SeriesRule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = [
    "RULES",
    "OrderConflict",
    "PositionConflict",
    "Remembered",
    "SnapshotConflict",
    "TradeId",
    "differences",
    "shown",
]


@frozen(kw_only=True)
class Remembered(SeriesRule):
    """A rule that remembers the last records of each series by their identity.

    ``fields`` are those of ``identity`` followed by those of ``values``. A record with a missing identity field is not checked. ``judge`` gets
    the values of the earlier record with the same identity, and those of this one.
    """

    identity: ClassVar[tuple[str, ...]]
    values: ClassVar[tuple[str, ...]]

    window: int = field(default=10_000, validator=ge(1), metadata={"unit": "records"})

    def judge(self, name: Any, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        """Compare two records of one identity."""
        raise NotImplementedError(f"{type(self).__name__} has no judge")

    def start(self) -> OrderedDict[Any, tuple[Any, ...]]:
        """Return no records; those that leave go from the front, which a plain dict would have to search for."""
        return OrderedDict()

    def step(self, state: OrderedDict[Any, tuple[Any, ...]], *values: Any) -> bool | Failure | None:
        """Check the next record, and remember it."""
        size = len(self.identity)
        named, content = values[:size], values[size:]
        if None in named:
            return None
        name = named[0] if size == 1 else named
        before = state.get(name)
        state[name] = content
        if len(state) > self.window:
            state.popitem(last=False)
        return True if before is None else self.judge(name, before, content)

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Validate a table; at once if no identity occurs twice, as in most data."""
        found = self.distinct(columns, memory)
        return SeriesRule.mask(self, columns, memory) if found is None else found

    def distinct(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask | None:
        """Remember the rows of a table and return that all pass. If an identity occurs again, remember nothing and return None."""
        import numpy as np

        from fpa_core.validator.lagged import series_names
        from fpa_core.validator.vectors import KleeneMask

        complete = np.ones(len(columns), np.bool_)
        for name in self.identity:
            complete &= _present(columns, name)
        codes, names = series_names(columns, self.key_fields(columns.kind.name))
        rows = np.flatnonzero(complete)
        if len(names) > 1:
            rows = rows[np.argsort(codes[rows], kind="stable")]
        if not self._unique(columns, codes, rows):
            return None
        ends = np.searchsorted(codes[rows], np.arange(len(names) + 1)) if len(names) > 1 else np.array([0, len(rows)])
        spans = [(names[code], int(ends[code]), int(ends[code + 1])) for code in range(len(names))]
        if not self._unseen(columns, rows, spans, memory):
            return None
        self._remember(columns, codes, rows, spans, memory)
        return KleeneMask(np.ones(len(columns), np.bool_), None if complete.all() else complete)

    def _unique(self, columns: Columns, codes: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> bool:
        """Return whether no two of the rows, which are in the order of their series, have one identity."""
        import numpy as np

        series = codes[rows]
        parts = [_numbered(columns, name)[rows] for name in self.identity]
        apart = series[1:] != series[:-1]
        if bool((apart | (parts[0][1:] > parts[0][:-1])).all()):
            return True  # fast path: the times of every series increase, as they nearly always do
        order = np.lexsort([*parts, series])
        same = series[order][1:] == series[order][:-1]
        for part in parts:
            same &= part[order][1:] == part[order][:-1]
        return not bool(same.any())

    def _unseen(
        self,
        columns: Columns,
        rows: npt.NDArray[np.int64],
        spans: Sequence[tuple[Any, int, int]],
        memory: Mapping[Any, Any],
    ) -> bool:
        """Return whether none of the rows has an identity that is remembered."""
        for name, start, end in spans:
            state = memory.get(name)
            if not state or start == end:
                continue
            if self.identity == ("ts_ns",):
                times = columns.numbers("ts_ns").units[rows[start:end]]
                if times.min() > max(state):
                    continue
            if not state.keys().isdisjoint(self._names(columns, rows[start:end])):
                return False
        return True

    def _names(self, columns: Columns, rows: npt.NDArray[np.int64]) -> list[Any]:
        return self._values_of(columns.take(rows))

    def _values_of(self, taken: Columns) -> list[Any]:
        parts = [taken.values(name) for name in self.identity]
        return list(parts[0]) if len(parts) == 1 else list(zip(*parts, strict=True))

    def _remember(
        self,
        columns: Columns,
        codes: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        spans: Sequence[tuple[Any, int, int]],
        memory: MutableMapping[Any, Any],
    ) -> None:
        """Remember the last rows of each series."""
        import numpy as np

        if not len(rows):
            return
        last = [rows[max(start, end - self.window) : end] for _, start, end in spans]
        chosen = np.sort(np.concatenate(last))
        # Rules that remember the same rows, as bar.repeated and bar.conflict do, read them once.
        slot = f"last {self.window} of {self.key_fields(columns.kind.name)} with {self.identity}"
        if slot not in columns.lookups:
            columns.lookups[slot] = columns.take(chosen)
        taken: Columns = columns.lookups[slot]
        states = []
        for name, _, _ in spans:
            state = memory.get(name)
            if state is None:
                state = memory[name] = self.start()
            states.append(state)
        contents = zip(*(taken.values(name) for name in self.values), strict=True)
        named = zip(self._values_of(taken), contents, strict=True)
        if len(states) == 1:
            states[0].update(named)
        else:
            for code, (name, content) in zip(codes[chosen].tolist(), named, strict=True):
                states[code][name] = content
        for state in states:
            for oldest in list(itertools.islice(state, max(0, len(state) - self.window))):
                del state[oldest]


def _present(columns: Columns, name: str) -> npt.NDArray[np.bool_]:
    if columns.kind.by_field[name].type == "text":
        return columns.strings(name).present().holds
    return columns.numbers(name).present().holds


def _numbered(columns: Columns, name: str) -> npt.NDArray[np.int64]:
    """Return a column of texts or times as integers that are equal if the values are."""
    if columns.kind.by_field[name].type == "text":
        codes: npt.NDArray[np.int64] = columns.codes(name)[0]
        return codes
    units: npt.NDArray[np.int64] = columns.numbers(name).units
    return units


def shown(field_name: str, value: Any) -> str:
    """Return a value of a record as text for a message."""
    if value is None:
        return "missing"
    if field_name.endswith("_ns"):
        return ns_text(value)
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def differences(names: Sequence[str], before: Sequence[Any], now: Sequence[Any]) -> str:
    """Return which values differ, as in ``close 10 then, 10.5 now``."""
    pairs = zip(names, before, now, strict=True)
    return "; ".join(
        f"{_column(name)} {shown(name, old)} then, {shown(name, new)} now" for name, old, new in pairs if old != new
    )


def _column(name: str) -> str:
    return {"ts_ns": "timestamp", "updated_ns": "updated_at"}.get(name, name)


@frozen(kw_only=True)
class _Conflict(Remembered):
    """Two records of one identity have the same values."""

    levels = WARN

    cause: ClassVar[str]

    def named(self, name: Any) -> str:
        """Return the description of a record with an identity, for messages."""
        raise NotImplementedError(f"{type(self).__name__} has no named")

    def judge(self, name: Any, before: tuple[Any, ...], now: tuple[Any, ...]) -> bool | Failure:
        """Compare the values."""
        if before == now:
            return True
        limit = ", ".join(
            f"{_column(each)} {shown(each, old)}"
            for each, old in zip(self.values, before, strict=True)
            if old is not None
        )
        told = self.named(name)
        return Failure(f"{told} came before with {differences(self.values, before, now)}; {self.cause}", limit, told)


@frozen(kw_only=True)
class PositionConflict(_Conflict):
    """The position of an account, symbol and time has not come before with other values.

    The store keeps the later one, and the earlier one in its history. Typical causes are lots of one holding, or several accounts in a column that
    is not read.

    Good: AAPL 5 at 20:00, MSFT 7 at 20:00. Bad: AAPL 5 at 20:00, AAPL 7 at 20:00.

    :ivar window: how many positions of each account are remembered.
    """

    id = "position.conflict"
    kind = "positions"
    identity = ("symbol", "ts_ns")
    values = (
        "quantity",
        "market_value",
        "cost_basis",
        "unrealized_pnl",
        "day_pnl",
        "avg_entry_price",
        "current_price",
        "side",
        "asset_class",
    )
    fields = identity + values
    key = ("account",)
    cause = "lots of one holding or several accounts are typical causes"

    def named(self, name: Any) -> str:
        """Return a description with symbol and time."""
        return f"the position {name[0]} of {ns_text(name[1])}"


@frozen(kw_only=True)
class SnapshotConflict(_Conflict):
    """The snapshot of an account and time has not come before with other values.

    The store keeps the later one, and the earlier one in its history. A typical cause is a file with snapshots of several accounts but no account
    column.

    Good: 1000 at 20:00, 1001 at 20:01. Bad: 1000 at 20:00, 2000 at 20:00.

    :ivar window: how many snapshots of each account are remembered.
    """

    id = "snapshot.conflict"
    kind = "snapshots"
    identity = ("ts_ns",)
    values = ("total_value", "buying_power", "day_pnl", "total_pnl", "cash", "currency")
    fields = identity + values
    key = ("account",)
    cause = "several accounts are a typical cause"

    def named(self, name: Any) -> str:
        """Return a message with the time."""
        return f"the snapshot of {ns_text(name)}"


@frozen(kw_only=True)
class OrderConflict(_Conflict):
    """The state of an order at a time has not come before with other values.

    It is unknown which of two states with the same time is later; the store keeps the one that arrives last. Checked only if the order has an
    update time.

    Good: new at 12:00:00, filled at 12:00:01. Bad: filled at 12:00:01, partially filled at 12:00:01.

    :ivar window: how many states of the orders of each symbol are remembered.
    """

    id = "order.conflict"
    kind = "orders"
    identity = ("order_id", "account", "updated_ns")
    values = (
        "symbol",
        "quantity",
        "side",
        "order_type",
        "status",
        "filled_quantity",
        "average_fill_price",
        "limit_price",
        "stop_price",
        "ts_ns",
    )
    fields = identity + values
    key = ("symbol",)
    cause = "it is unknown which is later"

    def named(self, name: Any) -> str:
        """Return a description with order and time."""
        return f"the order {name[0]} of {ns_text(name[2])}"


@frozen(kw_only=True)
class TradeId(_Conflict):
    """The id of the trade has not come before with another price, size or time, of the same symbol and exchange.

    The store keeps one trade per id: the later one replaces the earlier, which is moved to the history. Typical causes are ids rounded by a
    spreadsheet or a floating-point number, placeholders instead of ids, and corrections.

    Good: ids 1 at 10.00, 2 at 10.01, 1 at 10.00 again. Bad: ids 1 at 10.00, 1 at 10.01.

    :ivar window: how many ids of each symbol and exchange are remembered.
    """

    id = "trade.id"
    kind = "trades"
    identity = ("trade_id",)
    values = ("ts_ns", "price", "size")
    fields = identity + values
    key = ("symbol", "exchange")
    cause = "ids rounded by a spreadsheet or a float are a typical cause"

    def named(self, name: Any) -> str:
        """Return a message with the id."""
        return f"the trade id {name}"

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Validate a table; at once if no trade has an id."""
        if not columns.strings("trade_id").present().holds.any():
            return columns.unknown()
        return Remembered.mask(self, columns, memory)


RULES: tuple[type[Rule], ...] = (PositionConflict, SnapshotConflict, OrderConflict, TradeId)
