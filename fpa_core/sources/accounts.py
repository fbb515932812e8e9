"""Syncing an account: its totals, positions, orders, fills, cash flows and corporate actions as one batch, which changes nothing if nothing has changed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.ingest import ingest
from fpa_core.ingest.chunks import chunks_of
from fpa_core.kinds import CORPORATE_ACTIONS
from fpa_core.models import CashFlow, Fill, Order, OrderStatus, PortfolioSnapshot, Record
from fpa_core.numbers import Instant
from fpa_core.patterns import escape
from fpa_core.protocols import (
    AccountRequest,
    AccountSource,
    AccountState,
    Capability,
    Chunk,
    CorporateActionSource,
    CoverageEntry,
    ListedActions,
    Receipt,
)
from fpa_core.sources.gaps import merge_coverage

if TYPE_CHECKING:
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["account_origin", "actions_since", "activities_since", "orders_origin", "orders_since", "sync_account"]

DAY_NS = 86_400 * 10**9

LATE_NS = 7 * DAY_NS
"""How late brokers enter fees, corrections and corporate actions."""

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
    latest = _latest(store, Order, synced)
    return latest if latest is None else min([latest, *opened])


def activities_since(store: DataStore, origin: str) -> int | None:
    """Return the time from which on fills and cash flows have to be asked for: a week before the latest, as brokers enter some late; None for all."""
    latest = [at for kind in (Fill, CashFlow) if (at := _latest(store, kind, escape(origin))) is not None]
    return max(latest) - LATE_NS if latest else None


def _latest(store: DataStore, what: Any, origin: str) -> int | None:
    """Return the time of the latest record of an origin."""
    record = store.select(what, origin=origin, limit=1, latest_first=True, order="time").first()
    return None if record is None else record.ts_ns


def sync_account(
    store: DataStore,
    validator: DataValidator,
    source: AccountSource,
    *,
    clock: Callable[[], int],
    everything: bool = False,
    stop: threading.Event | None = None,
) -> Receipt:
    """Store the state of an account as one batch.

    Orders are asked for from the oldest open one on, fills and cash flows from a week before the latest. A source that knows corporate actions is asked
    for those of the symbols that were traded or are held: from the first fill on, later from a week before the last sync on. A snapshot equal to the
    last one but for its time is not a new one.

    :param everything: ask for all orders, fills, cash flows and corporate actions.
    :raises SourceError: if the source fails; nothing is stored then.
    """
    origin = account_origin(source)
    request = AccountRequest(
        since=None if everything else orders_since(store, source),
        activities_since=None if everything else activities_since(store, origin),
        stop=stop or threading.Event(),
    )
    state = source.account(request)
    records: list[Record] = [_timed(store, state.snapshot), *state.orders, *state.activities]
    rejects = dict(state.rejects)
    covered: list[CoverageEntry] = []
    if Capability.CORPORATE_ACTIONS in source.capabilities:
        lister = cast(CorporateActionSource, source)
        now = clock()
        settled = now // DAY_NS * DAY_NS - LATE_NS
        since = actions_since(store, origin, state, settled, everything=everything)
        listed = lister.corporate_actions(sorted(since), min([settled, *since.values()]), now, request.stop)
        records += listed.actions
        rejects[CORPORATE_ACTIONS] = listed.rejects
        covered = _covered(origin, listed, since, settled)
    chunks = list(chunks_of(store, records))
    chunks += [Chunk(kind, to_table(kind, []), [], found) for kind, found in rejects.items() if found]
    return ingest(
        store,
        validator,
        iter(chunks),
        origin=origin,
        check_first=False,
        before_commit=lambda batch: batch.cover(covered),
    )


def actions_since(
    store: DataStore, origin: str, state: AccountState, settled: int, *, everything: bool = False
) -> dict[str, int]:
    """Return the date from which on corporate actions have to be asked for, of each symbol that is held or was traded.

    It is that up to which syncs have fetched them, else that of the first fill, and *settled* for what is held without a fill.
    """
    traded = [(one.symbol, one.ts_ns) for one in state.activities if isinstance(one, Fill)]
    since = dict.fromkeys((position.symbol for position in state.snapshot.positions), settled)
    for symbol, at in (*_first_fills(store, origin), *traded):
        since[symbol] = min(since.get(symbol, settled), at // DAY_NS * DAY_NS)
    if not everything:
        for subject, ranges in merge_coverage(store.coverage(CORPORATE_ACTIONS)).items():
            if subject.origin == origin and subject.symbol in since:
                since[subject.symbol] = ranges[-1][1]
    return since


def _first_fills(store: DataStore, origin: str) -> list[tuple[str, int]]:
    """Return each symbol that has a stored fill, and when the first one was."""
    import pyarrow as pa

    fills = store.select(Fill, origin=escape(origin), columns=["symbol", "timestamp"]).reader().read_all()
    first = fills.group_by("symbol").aggregate([("timestamp", "min")])
    times = first.column("timestamp_min").cast(pa.int64()).to_pylist()
    return list(zip(first.column("symbol").to_pylist(), times, strict=True))


def _covered(origin: str, listed: ListedActions, since: Mapping[str, int], settled: int) -> list[CoverageEntry]:
    """Return what a sync enters into the ledger: what is old enough to be final."""
    counts = Counter(action.symbol for action in listed.actions)
    return [
        CoverageEntry(CORPORATE_ACTIONS.name, symbol, None, origin, since[symbol], settled, counts[symbol])
        for symbol in listed.symbols
        if since[symbol] < settled
    ]


def _timed(store: DataStore, snapshot: PortfolioSnapshot) -> PortfolioSnapshot:
    """Return a snapshot with the time of the stored one, if that differs in nothing else."""
    stored = store.get_latest_snapshot(escape(snapshot.account))
    if stored is not None and evolve(snapshot, timestamp=Instant(stored.ts_ns)) == stored:
        return stored
    return snapshot
