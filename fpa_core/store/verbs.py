"""The verbs for each kind of record by name: save, get, update, delete. Thin words over ``save``, ``select`` and ``delete``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import evolve

from fpa_core.arrow.conversion import from_values
from fpa_core.exceptions import DataError
from fpa_core.kinds import Kind, kind_of
from fpa_core.models import Bar, CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.protocols import InventoryEntry, Query, Receipt, StoreBackend
from fpa_core.protocols.patterns import escape
from fpa_core.store.changing import Changes
from fpa_core.store.selection import Selection

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fpa_core.store.batch import StoreBatch

__all__ = ["RecordVerbs"]

R = TypeVar("R")


class RecordVerbs(Changes):
    """What can be said of each kind of record.

    The times of the ``get`` verbs are half-open: ``start_time`` is included, ``end_time`` is not. ``limit`` counts from the start.
    """

    backend: StoreBackend
    batch: Callable[..., AbstractContextManager[StoreBatch]]
    save: Callable[..., Receipt]
    inventory: Callable[..., list[InventoryEntry]]

    if TYPE_CHECKING:

        def select(self, what: type[R], symbol: str | Sequence[str] | None = None, **conditions: Any) -> Selection[R]:
            """Describe rows to read."""
            ...

    delete: Callable[..., Receipt]
    read: Callable[..., Any]
    _read_through: Callable[..., Any] | None

    # Quotes

    def save_quote(self, quote: Quote) -> Receipt:
        """Save a quote."""
        return self.save(quote)

    def save_quotes(self, quotes: Iterable[Quote]) -> Receipt:
        """Save quotes as one batch."""
        return self.save(quotes)

    def get_quotes(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Quote]:
        """Return quotes in order of time."""
        return self.select(Quote, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_quote(self, old: Quote, new: Quote) -> Receipt:
        """Put *new* in the place of *old*, once."""
        return self._exchange(old, new)

    def delete_quote(self, quote: Quote) -> Receipt:
        """Delete one quote equal to *quote*."""
        return self._delete_one(quote)

    # Trades

    def save_trade(self, trade: Trade) -> Receipt:
        """Save a trade."""
        return self.save(trade)

    def save_trades(self, trades: Iterable[Trade]) -> Receipt:
        """Save trades as one batch."""
        return self.save(trades)

    def get_trades(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Trade]:
        """Return trades in order of time."""
        return self.select(Trade, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_trade(self, old: Trade, new: Trade) -> Receipt:
        """Put *new* in the place of *old*, once."""
        return self._exchange(old, new)

    def delete_trade(self, trade: Trade) -> Receipt:
        """Delete one trade equal to *trade*."""
        return self._delete_one(trade)

    # Bars

    def save_bar(self, bar: Bar) -> Receipt:
        """Save a bar; a different one of the same symbol, interval and time is replaced."""
        return self.save(bar)

    def save_bars(self, bars: Iterable[Bar]) -> Receipt:
        """Save bars as one batch."""
        return self.save(bars)

    def get_bars(
        self,
        symbol: str | Sequence[str] | None = None,
        interval: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Bar]:
        """Return bars in order of time, of one interval or of all."""
        equal = {} if interval is None else {"interval": interval}
        return self.select(Bar, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_bar(self, bar: Bar) -> Receipt:
        """Replace the stored bar of the same symbol, interval and time."""
        return self._update(bar)

    def delete_bar(self, bar: Bar) -> Receipt:
        """Delete the bar of that symbol, interval and time."""
        return self._delete_one(bar)

    # Orders

    def save_order(self, order: Order) -> Receipt:
        """Save an order; a later version of the same id and account replaces the stored one, an earlier one does not."""
        return self.save(order)

    def get_order(self, order_id: str, account: str | None = None) -> Order | None:
        """Return an order as it stands, or None.

        :raises DataError: when several accounts have an order of that id, and none is named.
        """
        found = self._orders(order_id, account).to_list()
        if len(found) > 1:
            accounts = ", ".join(order.account for order in found)
            raise DataError(
                f"the accounts {accounts} have an order {order_id!r} each", hint="say which account", field="account"
            )
        return found[0] if found else None

    def _orders(self, order_id: str, account: str | None) -> Selection[Order]:
        equal = {} if account is None else {"account": account}
        return self.select(Order, order_id=order_id, **equal)

    def get_orders(
        self,
        symbol: str | Sequence[str] | None = None,
        status: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
        account: str | None = None,
    ) -> list[Order]:
        """Return orders in the order in which they were submitted, of one status and account or of all."""
        equal = {name: value for name, value in (("status", status), ("account", account)) if value is not None}
        return self.select(Order, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_order(self, order: Order) -> Receipt:
        """Save a later version of a stored order.

        :raises DataError: when there is no order of that id and account.
        """
        if self.get_order(order.order_id, order.account) is None:
            raise DataError(
                f"there is no order {order.order_id!r} to update", hint="save_order() adds one", field="order_id"
            )
        return self.save(order)

    def delete_order(self, order_id: str, account: str | None = None) -> Receipt:
        """Delete an order.

        :raises DataError: when there is none, or several accounts have one of that id, and none is named.
        """
        if (order := self.get_order(order_id, account)) is None:
            raise DataError(f"there is no order {order_id!r} to delete", field="order_id", value=order_id)
        return self._delete_one(order)

    # Fills

    def save_fill(self, fill: Fill) -> Receipt:
        """Save a fill; one without an id is taken for a fill equal to it that is stored already."""
        return self.save(fill)

    def save_fills(self, fills: Iterable[Fill]) -> Receipt:
        """Save fills as one batch; equal ones without ids are kept as often as they occur."""
        return self.save(fills)

    def get_fills(
        self,
        symbol: str | Sequence[str] | None = None,
        account: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Fill]:
        """Return fills by symbol and time, of one account or of all."""
        equal = {} if account is None else {"account": account}
        return self.select(Fill, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_fill(self, fill: Fill) -> Receipt:
        """Replace the stored fill of the same id and account."""
        return self._update(fill)

    def delete_fill(self, fill: Fill) -> Receipt:
        """Delete the fill of that id and account."""
        return self._delete_one(fill)

    # Cash flows

    def save_cash_flow(self, flow: CashFlow) -> Receipt:
        """Save a cash flow; one without an id is taken for one equal to it that is stored already."""
        return self.save(flow)

    def save_cash_flows(self, flows: Iterable[CashFlow]) -> Receipt:
        """Save cash flows as one batch; equal ones without ids are kept as often as they occur."""
        return self.save(flows)

    def get_cash_flows(
        self,
        account: str | None = None,
        flow_type: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[CashFlow]:
        """Return cash flows by account and time, of one type or of all."""
        equal = {} if flow_type is None else {"flow_type": flow_type}
        return self.select(CashFlow, account, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_cash_flow(self, flow: CashFlow) -> Receipt:
        """Replace the stored cash flow of the same id and account."""
        return self._update(flow)

    def delete_cash_flow(self, flow: CashFlow) -> Receipt:
        """Delete the cash flow of that id and account."""
        return self._delete_one(flow)

    # Corporate actions

    def save_corporate_action(self, action: CorporateAction) -> Receipt:
        """Save a corporate action; a different one of the same symbol, type and ex-date is replaced."""
        return self.save(action)

    def save_corporate_actions(self, actions: Iterable[CorporateAction]) -> Receipt:
        """Save corporate actions as one batch."""
        return self.save(actions)

    def get_corporate_actions(
        self,
        symbol: str | Sequence[str] | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[CorporateAction]:
        """Return corporate actions by symbol and ex-date."""
        return self.select(CorporateAction, symbol, start=start_time, end=end_time, limit=limit).to_list()

    def update_corporate_action(self, action: CorporateAction) -> Receipt:
        """Replace the stored corporate action of the same symbol, type and ex-date."""
        return self._update(action)

    def delete_corporate_action(self, action: CorporateAction) -> Receipt:
        """Delete the corporate action of that symbol, type and ex-date."""
        return self._delete_one(action)

    # Positions

    def save_position(self, position: Position, snapshot: PortfolioSnapshot | None = None) -> Receipt:
        """Save a position, of now if it has no time; or as part of a snapshot, whose account and time it then takes."""
        if snapshot is not None:
            position = evolve(position, timestamp=snapshot.ts_ns, account=snapshot.account)
        return self.save(position)

    def get_positions(
        self,
        symbol: str | Sequence[str] | None = None,
        account: str | None = None,
        start_time: Any = None,
        end_time: Any = None,
        limit: int | None = None,
    ) -> list[Position]:
        """Return positions by symbol and time, of one account or of all."""
        equal = {} if account is None else {"account": account}
        return self.select(Position, symbol, start=start_time, end=end_time, limit=limit, **equal).to_list()

    def update_position(self, position: Position) -> Receipt:
        """Replace the stored position of the same symbol, account and time."""
        return self._update(position)

    def delete_position(self, position: Position) -> Receipt:
        """Delete the position of that symbol, account and time."""
        return self._delete_one(position)

    # Snapshots

    def save_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Save a snapshot with its positions; a different one of the same account and time is replaced."""
        return self.save(snapshot)

    def get_portfolio_snapshots(
        self, account: str | None = None, start_time: Any = None, end_time: Any = None, limit: int | None = None
    ) -> list[PortfolioSnapshot]:
        """Return snapshots, with their positions, in order of time."""
        return self.select(PortfolioSnapshot, account, start=start_time, end=end_time, limit=limit).to_list()

    def get_latest_snapshot(self, account: str | None = None) -> PortfolioSnapshot | None:
        """Return the last snapshot of an account, or of whichever account has the latest one; None where there is none."""
        if account is None:
            last = max(self.inventory(PortfolioSnapshot), key=lambda extent: extent.last_ns, default=None)
            if last is None:
                return None
            account = escape(last.subject)
        return self.select(PortfolioSnapshot, account, limit=1, latest_first=True).first()

    def update_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Replace the stored snapshot of the same account and time, and its positions."""
        return self._update(snapshot)

    def delete_portfolio_snapshot(self, snapshot: PortfolioSnapshot) -> Receipt:
        """Delete the snapshot of that account and time, and its positions."""
        return self._delete_one(snapshot)

    # Any kind

    @overload
    def latest(self, symbol: str) -> Quote | None: ...

    @overload
    def latest(self, symbol: str, what: type[R]) -> R | None: ...

    @overload
    def latest(self, symbol: str, what: str) -> Any: ...

    def latest(self, symbol: str, what: Any = Quote) -> Any:
        """Return the last record of a symbol, a quote unless another kind is named; None where there is none."""
        kind = kind_of(what)
        if self._read_through is None:
            return self._latest(kind, symbol)
        query = Query(kind, (symbol,), limit=1, reverse=True)
        return self.read(lambda: f"{kind.name}:latest:{symbol}", lambda: self._latest(kind, symbol), query)

    def _latest(self, kind: Kind, symbol: str) -> Any:
        # A backend may have a shorter way than a scan, which finds most rows.
        find: Callable[[Kind, str], Sequence[Any] | None] | None = getattr(self.backend, "latest", None)
        if find is not None and kind.multiset and (values := find(kind, symbol)) is not None:
            return from_values(kind, values)
        return self.select(kind.record, escape(symbol), limit=1, latest_first=True).first()

    @overload
    def as_of(self, symbol: str, at: Any) -> Quote | None: ...

    @overload
    def as_of(self, symbol: str, at: Any, what: type[R]) -> R | None: ...

    @overload
    def as_of(self, symbol: str, at: Any, what: str) -> Any: ...

    def as_of(self, symbol: str, at: Any, what: Any = Quote) -> Any:
        """Return the record of a symbol that prevailed at an instant: the last one at or before it."""
        from fpa_core.numbers import to_ns

        # A query takes an end after the last instant there is, of which to_ns() says that it is none.
        query = Query(kind_of(what), (symbol,), end_ns=to_ns(at, "at", dates=True) + 1, limit=1, reverse=True)
        return Selection[Any](self, query).first()  # type: ignore[arg-type]
