"""The sources of a data layer: history on demand, live collection, gaps and their plan, accounts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Required, TypedDict, Unpack, cast

from attrs import evolve, frozen

from fpa_core.exceptions import DataError
from fpa_core.ingest import notify_quarantined
from fpa_core.intervals import interval_text
from fpa_core.kinds import BARS, QUOTES, Kind, kind_of
from fpa_core.numbers import to_ns, to_seconds
from fpa_core.patterns import escape, matches
from fpa_core.protocols import (
    AccountSource,
    Capability,
    HistoryRequest,
    HistorySource,
    LatestSource,
    LiveRequest,
    LiveSource,
    OrderSource,
    Receipt,
)
from fpa_core.sources.accounts import sync_account
from fpa_core.sources.gaps import Gap, Plan, Subject, find_gaps, plan_fetches, settled_until
from fpa_core.sources.history import fetch
from fpa_core.sources.live import Collector, CollectorOptions
from fpa_core.sources.orders import FollowOptions, OrderFollower
from fpa_core.sources.ranges import Range, union
from fpa_core.sources.recent import LATEST_TTL, Memory, RecentAnswers

if TYPE_CHECKING:
    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Source
    from fpa_core.store import DataStore
    from fpa_core.store.streams.stream import Stream
    from fpa_core.validator import DataValidator

__all__ = ["FetchProgress", "HistoryOptions", "Sources"]

FetchProgress = Callable[[HistoryRequest, int, float], None]
"""A callback for progress: what is being fetched, its rows so far, and its share from 0 to 1."""


class HistoryOptions(TypedDict, total=False):
    """What a history may be asked for beside its kind and symbols.

    ``start`` is the first instant included and ``end`` the first excluded, None for now; ``interval`` that of bars, a day unless another is given;
    ``refetch`` fetches what was fetched before, too; ``progress`` is told how far each fetch is; ``stop`` cancels. ``ttl`` is the time for which
    what is too young to be final is not fetched again, in seconds or as ``"5s"``; without it, it is fetched each time. ``also`` names further origins
    whose ranges count as fetched, as in :meth:`Sources.gaps`.
    """

    start: Required[Any]
    end: Any
    interval: str | None
    refetch: bool
    progress: FetchProgress | None
    stop: threading.Event | None
    ttl: Any
    also: str | Sequence[str]


CALENDAR_OF_SOURCE = "source"
"""Stands for the calendar that the source names."""


@frozen
class _Surroundings:
    """What a data layer lends its sources."""

    store: Callable[[], DataStore]
    validator: Callable[[], DataValidator]
    source: Callable[[str], Source]
    stream: Callable[..., Stream]
    plugins: PluginManager
    recent: RecentAnswers
    clock: Callable[[], int]
    is_missing: Callable[[], bool]


class Sources:
    """History, live data and accounts of the configured sources. Reached as ``data.sources``.

    :param is_missing: returns whether there is no database yet, which looking for gaps does not make.
    """

    def __init__(
        self,
        *,
        store: Callable[[], DataStore],
        validator: Callable[[], DataValidator],
        source: Callable[[str], Source],
        stream: Callable[..., Stream],
        plugins: PluginManager,
        memory: Memory,
        clock: Callable[[], int],
        is_missing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._of = _Surroundings(store, validator, source, stream, plugins, RecentAnswers(memory), clock, is_missing)
        self._opened: dict[str, Any] = {}

    def _source(self, name: str, needed: Capability) -> Any:
        """Return a source that can do what is needed; the same object each time, since it keeps count of its requests.

        :raises DataError: if it cannot.
        """
        if not isinstance(name, str):
            raise DataError(f"via: {name!r} is not the name of a source", field="via", value=name)
        if name not in self._opened:
            self._opened[name] = self._of.source(name)
        source = self._opened[name]
        if needed not in source.capabilities:
            lacks = {
                Capability.HISTORY: "history",
                Capability.LIVE: "live data",
                Capability.ACCOUNT: "account",
                Capability.ORDERS: "updates of orders",
                Capability.LATEST: "latest records",
            }
            raise DataError(f"the source {name!r} has no {lacks[needed]}", field="via", value=name)
        return source

    def history_source(self, name: str) -> HistorySource:
        """Return the source of a name, if it has a history."""
        return cast(HistorySource, self._source(name, Capability.HISTORY))

    # History

    def subjects(self, via: str, what: Any, symbols: str | Sequence[str], interval: str | None = None) -> list[Subject]:
        """Return what the ledger keeps of a kind and symbols: bars by interval, a day's unless another is given."""
        kind = kind_of(what)
        if interval is not None and kind is not BARS:
            raise DataError(f"interval: {kind.name} have none", field="interval", value=interval)
        length = interval_text("1d" if interval is None else interval) if kind is BARS else None
        origin = self.history_source(via).origin
        return [Subject(kind.name, name, length, origin) for name in _names(symbols)]

    def gaps(
        self,
        via: str,
        what: Any,
        symbols: str | Sequence[str],
        *,
        start: Any,
        end: Any = None,
        interval: str | None = None,
        calendar: str | None = CALENDAR_OF_SOURCE,
        refetch: bool = False,
        also: str | Sequence[str] = (),
    ) -> list[Gap]:
        """Return the ranges that a source has and that were not fetched, by symbol and time.

        What is too young to be final is no gap. Weekends and holidays of the exchange are none; half days are sessions as others.

        :param end: the first instant excluded; None for now.
        :param calendar: the exchange; None expects data at any time. The default is that of the source.
        :param refetch: take what was fetched for unknown, too.
        :param also: further origins, or patterns of them, whose ranges count as fetched: ``"files:*"`` for files that were said to cover a range.
        """
        source = self.history_source(via)
        first, last = self._bounds(start, end)
        now = self._of.clock()
        exchange = source.calendar if calendar == CALENDAR_OF_SOURCE else calendar
        found: list[Gap] = []
        for subject in self.subjects(via, what, symbols, interval):
            covered = [] if refetch or self._of.is_missing() else self._covered(subject, also)
            found += find_gaps(
                subject, covered, first, last, calendar=exchange, settled=settled_until(subject, now, source.settles)
            )
        return found

    def _covered(self, subject: Subject, also: str | Sequence[str]) -> list[Range]:
        """Return what the ledger covers of a subject, from its own origin or others."""
        origins = [escape(subject.origin), *([also] if isinstance(also, str) else also)]
        return union(
            (one.start_ns, one.end_ns)
            for one in self._of.store().coverage(subject.kind, subject.symbol)
            if one.interval == subject.interval and any(matches(origin, one.origin) for origin in origins)
        )

    def _bounds(self, start: Any, end: Any) -> tuple[int, int]:
        first = to_ns(start, "start", dates=True)
        last = self._of.clock() if end is None else to_ns(end, "end", dates=True)
        if first > last:
            raise DataError("start: it is later than the end", field="start", value=start)
        return first, last

    def plan(self, via: str, gaps: Sequence[Gap]) -> Plan:
        """Return the requests that close *gaps*, and what they take."""
        return plan_fetches(self.history_source(via), gaps)

    def backfill(
        self, via: str, plan: Plan, *, progress: FetchProgress | None = None, stop: threading.Event | None = None
    ) -> list[Receipt]:
        """Fetch what *plan* says, and return the receipts of the batches. What was stored before an error stays stored."""
        return list(self.iter_backfill(via, plan, progress=progress, stop=stop))

    def iter_backfill(
        self, via: str, plan: Plan, *, progress: FetchProgress | None = None, stop: threading.Event | None = None
    ) -> Iterator[Receipt]:
        """Fetch what *plan* says, and yield the receipt of each batch."""
        for one in plan.fetches:
            request = one.request if stop is None else evolve(one.request, stop=stop)
            if request.stop.is_set():
                return
            yield from self._fetch(via, request, progress)

    def _fetch(self, via: str, request: HistoryRequest, progress: FetchProgress | None = None) -> Iterator[Receipt]:
        def advance(rows: int, share: float) -> None:
            if progress is not None:
                progress(request, rows, share)

        of = self._of
        source = self.history_source(via)
        for receipt in fetch(of.store(), of.validator(), source, request, clock=of.clock, advance=advance):
            notify_quarantined(of.store(), of.plugins, receipt)
            yield receipt

    def history(
        self, via: str, what: Any, symbols: str | Sequence[str], **options: Unpack[HistoryOptions]
    ) -> list[Receipt]:
        """Fetch and store what is not stored yet of a range, up to the newest rows, and return the receipts of the batches.

        What the ledger covers is not fetched again, so a fetch that was cut short goes on where it ended. The parts that are too young to be final
        are fetched each time.

        :param options: the range and more; see :class:`HistoryOptions`.
        """
        return list(self.iter_history(via, what, symbols, **options))

    def iter_history(
        self,
        via: str,
        what: Any,
        symbols: str | Sequence[str],
        *,
        start: Any,
        end: Any = None,
        interval: str | None = None,
        refetch: bool = False,
        progress: FetchProgress | None = None,
        stop: threading.Event | None = None,
        ttl: Any = 0,
        also: str | Sequence[str] = (),
    ) -> Iterator[Receipt]:
        """Do as :meth:`history` does, and yield the receipt of each batch."""
        source = self.history_source(via)
        first, last = self._bounds(start, end)
        seconds = to_seconds(ttl, "ttl")
        missing: list[Gap] = []
        for subject in self.subjects(via, what, symbols, interval):
            covered = [] if refetch or self._of.is_missing() else self._covered(subject, also)
            missing += find_gaps(subject, covered, first, last, calendar=None, settled=last)
        if not refetch:
            missing = self._of.recent.not_recent(missing, seconds)
        receipts = self.iter_backfill(via, plan_fetches(source, missing), progress=progress, stop=stop)
        return self._noting(receipts, missing, seconds, stop)

    def _noting(
        self, receipts: Iterator[Receipt], gaps: Sequence[Gap], ttl: float, stop: threading.Event | None
    ) -> Iterator[Receipt]:
        """Yield receipts, and remember that gaps were fetched when all are."""
        yield from receipts
        if stop is None or not stop.is_set():
            for gap in gaps:
                self._of.recent.note(gap, ttl)

    def latest(self, via: str, symbols: str | Sequence[str], what: Any = QUOTES, *, ttl: Any = LATEST_TTL) -> Any:
        """Return the latest record of a symbol that a source has now, None if it has none; of several symbols a list of those that have one.

        The source is asked once for all symbols, and not again for *ttl*. Nothing is stored.

        :param ttl: in seconds or as ``"1s"``; 0 asks each time.
        :raises SourceError: if the source fails.
        """
        source: LatestSource = self._source(via, Capability.LATEST)
        kind = kind_of(what)
        found = self._of.recent.latest(
            source.origin, kind, _names(symbols), lambda missing: source.latest(kind, *missing), to_seconds(ttl, "ttl")
        )
        return next(iter(found), None) if isinstance(symbols, str) else found

    # Live

    def collect(
        self,
        via: str,
        kinds: Sequence[Any],
        symbols: str | Sequence[str],
        *,
        options: CollectorOptions | None = None,
        stop: threading.Event | None = None,
    ) -> Collector:
        """Return what collects live data of *symbols*; its ``run()`` collects until *stop* is set."""
        source: LiveSource = self._source(via, Capability.LIVE)
        chosen: list[Kind] = list(dict.fromkeys(kind_of(kind) for kind in kinds))
        request = LiveRequest(kinds=chosen, symbols=_names(symbols), stop=threading.Event() if stop is None else stop)
        refills = Capability.HISTORY in source.capabilities
        return Collector(
            source,
            request,
            self._of.store(),
            self._of.stream,
            (lambda wanted: list(self._fetch(via, wanted))) if refills else None,
            options=options or CollectorOptions(),
            settles=self.history_source(via).settles if refills else 0.0,
            clock=self._of.clock,
        )

    # Accounts

    def sync(self, via: str, *, everything: bool = False, stop: threading.Event | None = None) -> Receipt:
        """Store the state of the account that a source knows, with its orders, activities and corporate actions, as one batch.

        If nothing has changed, nothing changes.

        :param everything: ask for all orders, fills, cash flows and corporate actions, not only for the latest.
        :raises SourceError: if the source fails; nothing is stored then.
        """
        source: AccountSource = self._source(via, Capability.ACCOUNT)
        receipt = sync_account(
            self._of.store(), self._of.validator(), source, clock=self._of.clock, everything=everything, stop=stop
        )
        notify_quarantined(self._of.store(), self._of.plugins, receipt)
        return receipt

    def follow(
        self, via: str, *, options: FollowOptions | None = None, stop: threading.Event | None = None
    ) -> OrderFollower:
        """Return what follows the orders of an account live; its ``run()`` stores their updates until *stop* is set.

        An update is a revision of its order. Fills, and what no update told, are taken from the account, as by :meth:`sync`.
        """
        source: OrderSource = self._source(via, Capability.ORDERS)
        return OrderFollower(
            source,
            self._of.store(),
            self._of.stream,
            lambda cancelled: self.sync(via, stop=cancelled),
            options=options or FollowOptions(),
            stop=threading.Event() if stop is None else stop,
            clock=self._of.clock,
        )


def _names(symbols: str | Sequence[str]) -> list[str]:
    """Return one symbol or several as a list, each once.

    :raises DataError: if there is none, or one is not text.
    """
    names = [symbols] if isinstance(symbols, str) else list(symbols) if isinstance(symbols, Iterable) else [symbols]
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"symbols: {name!r} is not a symbol", field="symbols", value=name)
    if not names:
        raise DataError("symbols: at least one is needed", field="symbols")
    return list(dict.fromkeys(names))
