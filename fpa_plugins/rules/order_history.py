"""Rules that compare an order with its earlier state, from an earlier record or the store."""

from __future__ import annotations

from collections.abc import MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from fpa_core.models import Order, OrderStatus
from fpa_core.numbers import decimal_text, ns_text
from fpa_core.protocols import Failure, StoredOrder
from fpa_core.validator import ERROR, FLAG, WARN, Rule, SeriesRule

if TYPE_CHECKING:
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["LISTED", "RULES", "UNUSUAL", "Fills", "Late", "Transition", "Unusual"]

_NEW, _PARTIAL, _FILLED, _CANCELLED, _REJECTED, _EXPIRED = OrderStatus

LISTED: dict[OrderStatus, frozenset[OrderStatus]] = {
    _NEW: frozenset({_PARTIAL, _FILLED, _CANCELLED, _REJECTED, _EXPIRED}),
    _PARTIAL: frozenset({_FILLED, _CANCELLED, _EXPIRED}),
    _FILLED: frozenset(),
    _CANCELLED: frozenset(),
    _REJECTED: frozenset(),
    _EXPIRED: frozenset(),
}
"""The allowed changes of a status. A status may also stay the same."""

UNUSUAL: dict[OrderStatus, frozenset[OrderStatus]] = {
    _PARTIAL: frozenset({_NEW}),
    _FILLED: frozenset({_PARTIAL}),
    _CANCELLED: frozenset({_FILLED}),
}
"""Rare changes: after a correction, or when a cancel and a fill cross."""

_State = tuple[OrderStatus, int | None, Decimal]


@frozen(kw_only=True)
class _History(SeriesRule):
    """Remembers status, time and filled quantity of each order. For an order not seen yet, the store is queried."""

    key = ("order_id", "account")
    needs = ("memory", "stored")
    stays: ClassVar[bool] = True

    def judge(self, now: _State, before: _State) -> bool | Failure | None:
        """Check an order by its state and the previous one, which is not later."""
        raise NotImplementedError(f"{type(self).__name__} has no judge")

    def check(  # type: ignore[override]  # given what `needs` names
        self, record: Order, memory: MutableMapping[Any, Any], stored: StoredOrder
    ) -> bool | Failure | None:
        """Check one order against its previous state."""
        now = (record.status, record.updated_ns, record.filled_quantity)
        return self._next((record.order_id, record.account), now, memory, stored)

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any], stored: StoredOrder) -> KleeneMask:  # type: ignore[override]
        """Validate a table row by row."""
        import numpy as np

        from fpa_core.validator.vectors import KleeneMask

        fields = ("order_id", "account", "status", "updated_ns", "filled_quantity")
        holds, known = np.ones(len(columns), np.bool_), np.ones(len(columns), np.bool_)
        failures: dict[int, Failure] = {}
        rows = zip(*map(columns.values, fields), strict=True)
        for row, (order, account, status, updated, filled) in enumerate(rows):
            verdict = self._next((order, account), (OrderStatus(status), updated, filled), memory, stored)
            known[row] = verdict is not None
            holds[row] = bool(verdict)
            if isinstance(verdict, Failure):
                failures[row] = verdict
        return KleeneMask(holds, known, failures.__getitem__)

    def _next(
        self, order: tuple[str, str], now: _State, memory: MutableMapping[Any, Any], stored: StoredOrder
    ) -> bool | Failure | None:
        before: _State | None = memory.get(order)
        if before is None and (known := stored(*order)) is not None:
            before = (known.status, known.updated_ns, known.filled_quantity)
        if before is None:
            memory[order] = now
            return None
        if _is_late(now, before):
            memory[order] = before
            return self.late(now, before)
        verdict = self.judge(now, before)
        # An impossible update does not change the remembered state of the order.
        memory[order] = before if self.stays and verdict is not None and not verdict else now
        return verdict

    def late(self, now: _State, before: _State) -> bool | Failure | None:  # noqa: ARG002
        """Check an order that is older than its remembered state. Nothing can be concluded from it."""
        return None


def _is_late(now: _State, before: _State) -> bool:
    return now[1] is not None and before[1] is not None and now[1] < before[1]


def _told(state: _State) -> str:
    return str(state[0]) if state[1] is None else f"{state[0]} at {ns_text(state[1])}"


@frozen(kw_only=True)
class Transition(_History):
    """The status of the order is one that its earlier status can become.

    The earlier status is that of the last record of the order, or of the stored order. A new order becomes partially filled, filled, cancelled,
    rejected or expired; a partially filled one filled, cancelled or expired. The same status again is not a change. Rare changes are
    reported by order.unusual. An update older than the known state is neither checked nor remembered.

    Good: new, then filled. Bad: rejected, then filled.
    """

    id = "order.transition"
    kind = "orders"
    fields = ("status",)
    levels = ERROR

    def judge(self, now: _State, before: _State) -> bool | Failure | None:
        """Check the change of status."""
        if now[0] is before[0] or now[0] in LISTED[before[0]] or now[0] in UNUSUAL.get(before[0], ()):
            return True
        allowed = ", ".join(sorted(LISTED[before[0]])) or "nothing else"
        return Failure(f"an order that was {before[0]} cannot become {now[0]}", allowed, _told(before))


@frozen(kw_only=True)
class Unusual(_History):
    """The status of the order does not change in a rare but possible way.

    A partially filled order becomes new again, a filled one partially filled, after a correction; a cancelled one filled, when the cancel and the
    fill cross.

    Good: partially filled, then cancelled. Bad: cancelled, then filled.
    """

    id = "order.unusual"
    kind = "orders"
    fields = ("status",)
    levels = FLAG
    stays = False

    def judge(self, now: _State, before: _State) -> bool | Failure | None:
        """Check the change of status."""
        if now[0] not in UNUSUAL.get(before[0], ()):
            return True
        return Failure(f"an order that was {before[0]} seldom becomes {now[0]}", related=_told(before))


@frozen(kw_only=True)
class Fills(_History):
    """The filled quantity does not decrease.

    It is a sum over time. It decreases if the exchange cancels a fill.

    Good: filled 40, then 100. Bad: filled 100, then 40.
    """

    id = "order.fills"
    kind = "orders"
    fields = ("filled_quantity",)
    levels = WARN

    def judge(self, now: _State, before: _State) -> bool | Failure | None:
        """Compare the quantities."""
        if now[2] >= before[2]:
            return True
        told = decimal_text(before[2])
        return Failure(f"the filled quantity decreases from {told} to {decimal_text(now[2])}", told, _told(before))


@frozen(kw_only=True)
class Late(_History):
    """The update of the order is not older than its known state.

    The store keeps the later state as current and the older update in its history, regardless of the order of their arrival.

    Good: updated 12:00:00, then 12:00:01. Bad: updated 12:00:01, then 12:00:00.
    """

    id = "order.late"
    kind = "orders"
    fields = ("updated_ns",)
    levels = FLAG

    def judge(self, now: _State, before: _State) -> bool | Failure | None:
        """Return no problem: the order is not late, if both times are known."""
        return None if now[1] is None or before[1] is None else True

    def late(self, now: _State, before: _State) -> bool | Failure | None:
        """Return a message with both times."""
        assert now[1] is not None
        assert before[1] is not None
        told = ns_text(before[1])
        return Failure(f"the update of {ns_text(now[1])} is older than the known one of {told}", told, _told(before))


RULES: tuple[type[Rule], ...] = (Transition, Unusual, Fills, Late)
