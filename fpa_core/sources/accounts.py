"""Syncing an account: its totals, positions, orders, fills and cash flows as one batch, which changes nothing if nothing has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.ingest import chunks_of, ingest
from fpa_core.kinds import CASH, FILLS
from fpa_core.models import Order, OrderStatus, PortfolioSnapshot
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.protocols import AccountRequest, AccountSource, Chunk, Receipt

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["account_origin", "activities_since", "orders_origin", "orders_since", "sync_account"]

LATE_NS = 7 * 86_400 * 10**9
"""How late brokers enter fees and corrections."""

_OPEN = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


def account_origin(source: AccountSource) -> str:
    """Return what provenance calls the account of a source: its name, without the feed of market data."""
    return f"{source.origin.partition(':')[0]}:account"


def orders_origin(source: AccountSource) -> str:
    """Return what provenance calls updates of orders that come live."""
    return f"{source.origin.partition(':')[0]}:orders"


def orders_since(store: DataStore, source: AccountSource) -> int | None:
    """Return the time from which on orders have to be asked for: that of the oldest open one, else of the latest; None for all.

    The latest is one that a sync brought: live updates say nothing of orders that came while nobody listened.
    """
    synced, live = escape(account_origin(source)), escape(orders_origin(source))
    opened = [
        order.ts_ns
        for status in _OPEN
        for order in store.select(Order, origin=[synced, live], status=status)
        if order.ts_ns is not None
    ]
    latest = max((order.ts_ns for order in store.select(Order, origin=synced) if order.ts_ns is not None), default=None)
    return latest if latest is None else min([latest, *opened])


def activities_since(store: DataStore, origin: str) -> int | None:
    """Return the time from which on fills and cash flows have to be asked for: a week before the latest, as brokers enter some late; None for all."""
    own = escape(origin)
    latest = [record.ts_ns for kind in (FILLS, CASH) for record in store.select(kind, origin=own)]
    return max(latest) - LATE_NS if latest else None


def sync_account(
    store: DataStore,
    validator: DataValidator,
    source: AccountSource,
    *,
    everything: bool = False,
    stop: threading.Event | None = None,
    before_commit: Callable[[Any], None] | None = None,
) -> Receipt:
    """Store the state of an account as one batch.

    Orders are asked for from the oldest open one on, fills and cash flows from a week before the latest. A snapshot equal to the last one but for its time is not a new one.

    :param everything: ask for all orders, fills and cash flows.
    :raises SourceError: if the source fails; nothing is stored then.
    """
    origin = account_origin(source)
    since = None if everything else orders_since(store, source)
    request = AccountRequest(
        since=since,
        activities_since=None if everything else activities_since(store, origin),
        stop=stop or threading.Event(),
    )
    state = source.account(request)
    records = [_timed(store, state.snapshot), *state.orders, *state.activities]
    chunks = list(chunks_of(store, records))
    chunks += [Chunk(kind, to_table(kind, []), [], rejects) for kind, rejects in state.rejects.items() if rejects]
    return ingest(store, validator, iter(chunks), origin=origin, check_first=False, before_commit=before_commit)


def _timed(store: DataStore, snapshot: PortfolioSnapshot) -> PortfolioSnapshot:
    """Return a snapshot with the time of the stored one, if that differs in nothing else."""
    stored = store.get_latest_snapshot(escape(snapshot.account))
    if stored is not None and evolve(snapshot, timestamp=Instant(stored.ts_ns)) == stored:
        return stored
    return snapshot
