"""Write batches to a backend, complete the records that need it, and notify listeners after each commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.exceptions import CommitInDoubtError, ConnectionLostError
from fpa_core.kinds import ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.models import Order, PortfolioSnapshot
from fpa_core.protocols import Capability, Query, Receipt
from fpa_core.retrying import Retry
from fpa_core.store.batch import StoreBatch
from fpa_core.store.notifications import Notifications
from fpa_core.store.row_reader import RowReader

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BatchWriter", "positions_of"]


class BatchWriter:
    """Writes the batches of one store; one instance serves all threads.

    :param clock: the present time in nanoseconds, for records without a time.
    :ivar rows: what the store holds.
    :ivar notifications: the listeners.
    """

    def __init__(self, rows: RowReader, clock: Callable[[], int]) -> None:
        self.rows = rows
        self.clock = clock
        self.notifications = Notifications()

    @contextlib.contextmanager
    def batch(
        self, *, origin: str = "api", file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> Iterator[StoreBatch]:
        """Write a batch; see :meth:`fpa_core.store.DataStore.batch`."""
        with contextlib.ExitStack() as notifying:
            with self.rows.backend.transaction(origin=origin, file=file, digest=digest, replays=replays) as transaction:
                batch = StoreBatch(transaction, origin, file, self.clock)
                yield batch
                self.before_commit(batch, notifying)
            self.notifications.changed(batch.changed)
        self.notifications.committed(batch.committed())

    def before_commit(self, batch: StoreBatch, notifying: contextlib.ExitStack) -> None:
        """Take the last steps of a batch before its commit; *notifying* ends when the listeners of this process were notified."""
        if Capability.NOTIFIES in self.rows.backend.capabilities:
            batch.announce()
        notifying.enter_context(self.notifications.pending())

        def in_doubt(kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:  # noqa: ARG001
            if isinstance(error, CommitInDoubtError):  # it may have been committed
                self.notifications.changed(batch.changed)

        notifying.push(in_doubt)

    def save(self, records: Any, *, origin: str = "api") -> Receipt:
        """Save records as one batch; see :meth:`fpa_core.store.DataStore.save`."""
        by_kind = self.grouped(records)
        tables = {kind: to_table(kind, group) for kind, group in by_kind.items()}  # others may write meanwhile
        retry = Retry()
        while True:
            try:
                return self._save(tables, by_kind.get(SNAPSHOTS, ()), origin)
            except ConnectionLostError as error:
                retry.after(error)

    def _save(self, tables: Mapping[Kind, pa.Table], snapshots: Sequence[PortfolioSnapshot], origin: str) -> Receipt:
        kind = next(iter(tables)).name if len(tables) == 1 else None
        with self.batch(origin=origin) as batch:
            for each, table in tables.items():
                batch.write(each, table)
            self.drop_sold(batch, snapshots)
            batch.complete_receipt(lambda receipt: evolve(receipt, kind=kind))
        return batch.receipt

    def grouped(self, records: Any) -> dict[Kind, list[Any]]:
        """Return one record or several by kind, as they are stored: orders with their times, positions of snapshots as records."""
        by_class: dict[type[Any], list[Any]] = {}
        for record in records if isinstance(records, Iterable) else (records,):
            by_class.setdefault(type(record), []).append(record)
        by_kind = {kind_of(cls): group for cls, group in by_class.items()}
        if ORDERS in by_kind:
            by_kind[ORDERS] = [self._with_times(order) for order in by_kind[ORDERS]]
        for snapshot in by_kind.get(SNAPSHOTS, ()):
            by_kind.setdefault(POSITIONS, []).extend(snapshot.positions)
        return by_kind

    def _with_times(self, order: Order) -> Order:
        """Return an order with its times: those stored if nothing else is new, so that saving it twice changes nothing."""
        if order.ts_ns is not None and order.updated_ns is not None:
            return order
        stored = self._stored(order)
        submitted, updated = order.ts_ns, order.updated_ns
        if stored is not None:
            submitted = stored.ts_ns if submitted is None else submitted
            if updated is None and evolve(order, timestamp=submitted, updated_at=stored.updated_ns) == stored:
                updated = stored.updated_ns
            elif updated is None:  # a new version is later than the one it replaces, whatever the clock says
                updated = max(self.clock(), (stored.updated_ns or 0) + 1)
        if submitted is None:
            submitted = self.clock() if updated is None else updated
        return evolve(order, timestamp=submitted, updated_at=submitted if updated is None else updated)

    def _stored(self, order: Order) -> Order | None:
        query = Query(ORDERS, equal={"order_id": order.order_id, "account": order.account}, limit=1)
        for batch in self.rows.backend.scan(query, scaled=True):
            found: Order
            for found in from_table(ORDERS, batch):
                return found
        return None

    def drop_sold(self, batch: StoreBatch, snapshots: Iterable[PortfolioSnapshot]) -> None:
        """Delete the positions of an earlier version of each snapshot that the one now saved no longer has.

        A snapshot without any positions deletes none.
        """
        for snapshot in snapshots:
            place = positions_of(snapshot)
            held = {position.symbol for position in snapshot.positions}
            stored = self.rows.backend.scan(place, columns=["symbol"])
            sold = {symbol for rows in stored for symbol in rows.column("symbol").to_pylist()} - held
            if held and sold:
                batch.delete(evolve(place, subjects=tuple(sorted(sold))))


def positions_of(snapshot: PortfolioSnapshot) -> Query:
    """Return the query for the stored positions of a snapshot's account and time."""
    account = {"account": snapshot.account}
    return Query(POSITIONS, start_ns=snapshot.ts_ns, end_ns=snapshot.ts_ns + 1, equal=account)
