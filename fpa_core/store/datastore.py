"""The store people use: saving, reading, changing and deleting records of every kind, over any backend."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import KINDS, ORDERS, POSITIONS, SNAPSHOTS, Kind, kind_of
from fpa_core.models import Order, PortfolioSnapshot
from fpa_core.numbers import to_seconds
from fpa_core.protocols import Capability, Query, Receipt, Sealed, StoreBackend
from fpa_core.store.batch import Changed, StoreBatch
from fpa_core.store.derived import DerivedVerbs
from fpa_core.store.quarantine import QuarantineVerbs
from fpa_core.store.reading import ReadVerbs
from fpa_core.store.selection import Selection
from fpa_core.store.telling import Telling
from fpa_core.store.verbs import RecordVerbs

if TYPE_CHECKING:
    from fpa_core.store.selection import ReadThrough
    from fpa_core.store.stream import AsyncStream, Gate, Stream

__all__ = ["DataStore"]

_log = logging.getLogger("fpa.store")


class DataStore(ReadVerbs, RecordVerbs, DerivedVerbs, QuarantineVerbs):
    """Records of all kinds in a database.

    Every write is a batch: all or nothing, durable when the call returns, and answered by a :class:`~fpa_core.protocols.Receipt`. What is
    replaced or deleted stays in the history. Safe to use from many threads.

    :param backend: the database.
    :param clock: the present time in nanoseconds, for records that bring none.
    :param read_through: answers repeated reads from a cache; without it every read goes to the database.
    """

    def __init__(
        self, backend: StoreBackend, *, clock: Callable[[], int] = time.time_ns, read_through: ReadThrough | None = None
    ) -> None:
        self.backend = backend
        self._clock = clock
        self._read_through = read_through
        self.telling = Telling()
        self._listeners: list[Callable[[Changed], None]] = []
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    def on_change(self, listener: Callable[[Changed], None]) -> None:
        """Call *listener* after each batch that changed something, before the writing call returns."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def batch(
        self, *, source: str = "api", file: str | None = None, digest: str | None = None, replays: int | None = None
    ) -> Iterator[StoreBatch]:
        """Write a batch in as many calls as it takes; it is kept whole when the context ends, or not at all on an error.

        :param replays: the batch whose refused rows it puts into the tables.
        """
        with contextlib.ExitStack() as telling:
            with self.backend.transaction(origin=source, file=file, digest=digest, replays=replays) as transaction:
                batch = StoreBatch(transaction, source, file, self._clock)
                yield batch
                telling.enter_context(self.telling.batch())  # before the commit
            batch._seconds = time.perf_counter() - batch._started  # noqa: SLF001  # the two are one thing in two halves
            self.tell(batch.changed)

    def tell(self, changed: Changed) -> None:
        """Notify the listeners of what was changed, if anything was. The change is committed: a listener that fails is logged."""
        if changed:
            for listener in self._listeners:
                try:
                    listener(changed)
                except Exception:  # noqa: BLE001  # whatever it is: the batch is stored, and its receipt must not be lost
                    _log.exception("a listener failed after a batch was committed")

    def stream(
        self,
        *,
        source: str = "api",
        max_rows: int = 256,
        max_delay: Any = "50ms",
        max_waiting: int = 16_384,
        gate: Gate | None = None,
    ) -> Stream:
        """Write records one at a time as they come, from any thread, durably in groups.

        All that one stream brings is one batch: a connection to a source is a stream, and after it broke the next one is another. What a source
        then delivers again adds nothing.

        :param max_rows: commit when so many records are waiting, or
        :param max_delay: when the first of them has waited so long: ``"50ms"``, or seconds; 0 commits at once.
        :param max_waiting: when so many are waiting, because the disk is slow, writing waits until there is room.
        :param gate: judges records before they are stored; :meth:`fpa_core.DataLayer.stream` brings the rules.
        """
        from fpa_core.store.stream import Stream

        if max_rows < 1:
            raise DataError("max_rows: at least one record makes a group", field="max_rows", value=max_rows)
        stream = Stream(
            self,
            source=source,
            max_rows=max_rows,
            max_delay=to_seconds(max_delay, "max_delay"),
            max_waiting=max_waiting,
            gate=gate,
            clock=self._clock,
        )
        self._streams.add(stream)
        return stream

    def astream(self, **options: Any) -> AsyncStream:
        """Write records as they come, on an event loop; the options are those of :meth:`stream`."""
        from fpa_core.store.stream import AsyncStream

        return AsyncStream(functools.partial(self.stream, **options))

    def save(self, records: Any, *, source: str = "api") -> Receipt:
        """Save one record or many, of any kinds, as one batch.

        Rows that are stored already add nothing; a different version of a bar, order, position or snapshot replaces the one stored. The
        positions of a snapshot are rows of their own in the receipt.
        """
        by_kind = self.grouped(records)
        with self.batch(source=source) as batch:
            for kind, group in by_kind.items():
                batch.write(kind, to_table(kind, group))
            self.drop_sold(batch, by_kind.get(SNAPSHOTS, ()))
        return evolve(batch.receipt, kind=next(iter(by_kind)).name if len(by_kind) == 1 else None)

    def grouped(self, records: Any) -> dict[Kind, list[Any]]:
        """Return one record or many as they would be saved, by kind: orders with their times, positions of snapshots on their own."""
        by_class: dict[type[Any], list[Any]] = {}
        for record in records if isinstance(records, Iterable) else (records,):
            by_class.setdefault(type(record), []).append(record)
        by_kind = {kind_of(cls): group for cls, group in by_class.items()}
        if ORDERS in by_kind:
            by_kind[ORDERS] = [self._complete(order) for order in by_kind[ORDERS]]
        for snapshot in by_kind.get(SNAPSHOTS, ()):
            by_kind.setdefault(POSITIONS, []).extend(snapshot.positions)
        return by_kind

    def _complete(self, record: Order) -> Order:
        """Give an order its times: the stored ones where nothing else is new, so that saving it twice changes nothing."""
        if record.ts_ns is not None and record.updated_ns is not None:
            return record
        stored = self.get_order(record.order_id, record.account)
        submitted, updated = record.ts_ns, record.updated_ns
        if stored is not None:
            submitted = stored.ts_ns if submitted is None else submitted
            if updated is None and evolve(record, timestamp=submitted, updated_at=stored.updated_ns) == stored:
                updated = stored.updated_ns
            elif updated is None:  # it is news, so it is later than what it replaces, whatever the clock says
                updated = max(self._clock(), (stored.updated_ns or 0) + 1)
        if submitted is None:
            submitted = self._clock() if updated is None else updated
        return evolve(record, timestamp=submitted, updated_at=submitted if updated is None else updated)

    def drop_sold(self, batch: StoreBatch, snapshots: Iterable[PortfolioSnapshot]) -> None:
        """Remove positions that an earlier version of a snapshot had and the one now saved has not."""
        for snapshot in snapshots:
            at = self._positions_of(snapshot)
            held = {position.symbol for position in snapshot.positions}
            sold = {position.symbol for position in Selection[Any](self, at)} - held
            if held and sold:  # one without any positions says nothing of them
                batch.delete(evolve(at, subjects=tuple(sorted(sold))))

    @staticmethod
    def _positions_of(snapshot: PortfolioSnapshot) -> Query:
        account = {"account": snapshot.account}
        return Query(POSITIONS, start_ns=snapshot.ts_ns, end_ns=snapshot.ts_ns + 1, equal=account)

    def delete(self, selection: Selection[Any], *, source: str = "api") -> Receipt:
        """Delete the rows of a selection; they stay in the history, and undoing the batch brings them back."""
        query = selection.query
        if query.known_at_ns is not None:
            raise DataError(
                "what was known in the past cannot be deleted", hint="select without as_known_at", field="as_known_at"
            )
        if selection.adjust is not None:
            raise DataError("adjusted rows cannot be deleted", hint="select without adjust", field="adjust")
        if selection.by_time and query.limit is not None:
            raise DataError(
                "a limit over several symbols cannot be deleted", hint='select without order="time"', field="order"
            )
        with self.batch(source=source) as batch:
            if query.kind is SNAPSHOTS:
                for snapshot in selection:
                    batch.delete(self._positions_of(snapshot))
            deleted = batch.delete(query)
        return evolve(batch.receipt, kind=query.kind.name, notes=(f"{deleted} {query.kind.name} deleted",))

    def undo(self, batch_id: int) -> Receipt:
        """Take back a batch: the rows it inserted go, the rows it revised or deleted return, unless something later replaced them."""
        self._require(Capability.UNDO)
        with self.batch(source=f"undo:{batch_id}") as batch:
            changed = batch.undo(batch_id)
        notes = [f"batch {batch_id} undone: {changed} rows changed"]
        try:
            if records := self.count_quarantined(changed_by=batch.id):
                notes.append(f"{records:,} records of the quarantine changed their state")
        except DatabaseError as error:  # the undo is committed all the same
            notes.append(f"how many records of the quarantine changed their state could not be read: {error}")
        return evolve(batch.receipt, notes=tuple(notes))

    def seal(self, what: Kind | str | type[Any] | None = None, *, symbol: str | None = None, least: int = 1) -> Sealed:
        """Move single quotes and trades into compact segments, where a symbol has at least *least* of them; reads stay the same."""
        done = Sealed()
        if Capability.SEAL in self.backend.capabilities:
            for kind in KINDS.values() if what is None else [kind_of(what)]:
                done += self.backend.seal(kind, subject=symbol, least=least)
        return done

    def close(self) -> None:
        """Release the database, once what was written to open streams is durable; calling it twice does nothing."""
        try:
            with contextlib.ExitStack() as streams:
                for stream in list(self._streams):
                    streams.callback(stream.close)
        finally:
            self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
