"""The protocols of sources that are asked for a range of time, deliver live, or know an account. Each is a capability of its own.

A source declares what it offers by :class:`~fpa_core.protocols.Capability`: ``HISTORY``, ``LIVE``, ``ACCOUNT``, ``ORDERS``, ``CORPORATE_ACTIONS``, ``LATEST``. It decides nothing about storing:
core cuts history into batches, keeps the ledger of what was fetched, refills gaps of live connections, and compares accounts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from fpa_core.kinds import Kind
from fpa_core.models import CashFlow, CorporateAction, Fill, Order, PortfolioSnapshot
from fpa_core.protocols.capabilities import Capability
from fpa_core.protocols.sources import Chunk, Reject

if TYPE_CHECKING:
    from fpa_core.models import Record

__all__ = [
    "AccountRequest",
    "AccountSource",
    "AccountState",
    "CorporateActionSource",
    "Correction",
    "Estimate",
    "HistoryRequest",
    "HistorySource",
    "LatestSource",
    "ListedActions",
    "LiveRequest",
    "LiveSink",
    "LiveSource",
    "OrderSource",
    "Page",
    "RateLimit",
]


@frozen
class RateLimit:
    """How many requests a source may be sent: so many in any window of *seconds*."""

    requests: int
    seconds: float


@frozen(kw_only=True)
class HistoryRequest:
    """Which rows to fetch: those of one symbol in [start, end).

    :ivar start: the first instant included, and ``end`` the first excluded, in nanoseconds since 1970.
    :ivar interval: that of bars; None for other kinds.
    :ivar stop: set to cancel. The source then ends its pages early; what they covered so far counts.
    """

    kind: Kind
    symbol: str
    start: int
    end: int
    interval: str | None = None
    stop: threading.Event = field(factory=threading.Event, eq=False, repr=False)


@frozen
class Correction:
    """A source's notice that a trade it delivered was wrong.

    :ivar trade_id: the id of that trade on its exchange.
    :ivar at_ns: when the notice was given, in nanoseconds since 1970; the trade is at most a day older.
    :ivar changes: the fields of the trade that change; None if the trade was cancelled.
    """

    symbol: str
    exchange: str | None
    trade_id: str
    at_ns: int
    changes: Mapping[str, Any] | None = None


@frozen
class Page:
    """A part of a history.

    :ivar chunk: its rows, in order of time; None if there are none.
    :ivar until: all rows before this instant have been delivered, by this page or earlier ones; rows of this instant may follow. The last page
        of a complete history has the request's ``end``. Where a source does not know, it repeats the last instant it knows.
    :ivar cancelled: trades that the source lists, but marks as no longer valid. They are not in *chunk*.
    """

    chunk: Chunk | None
    until: int
    cancelled: Sequence[Correction] = ()


@frozen
class Estimate:
    """What a history is expected to take. Both are upper estimates, from how often such rows usually occur."""

    requests: int
    rows: int


class HistorySource(Protocol):
    """A source that can be asked for a range of time.

    :ivar capabilities: contains ``HISTORY``.
    :ivar origin: what provenance and the ledger call it, such as ``alpaca:iex``: the same for data that are the same.
    :ivar settles: the age in seconds from which on a range is final. A younger one is stored, but not entered into the ledger.
    :ivar calendar: the exchange whose sessions say when there are data, such as ``XNYS``; None if there are data at any time.
    :ivar limit: how often it may be asked; None for no limit. The source itself waits when it must.
    """

    capabilities: frozenset[Capability]
    origin: str
    settles: float
    calendar: str | None
    limit: RateLimit | None

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what :meth:`history` is expected to take, without asking the source."""
        ...

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the rows of a range, page by page, in order of time and in bounded memory.

        A failure that may pass is retried within a budget, before this raises. Closing the iterator cancels, too.

        :raises SourceError: if the source cannot be reached, refuses, or answers with something else than rows.
        :raises DataError: if it has no such kind or interval.
        """
        ...


class LatestSource(Protocol):
    """A source that can be asked for the latest record of symbols.

    :ivar capabilities: contains ``LATEST``.
    """

    capabilities: frozenset[Capability]
    origin: str

    def latest(self, what: Kind, *symbols: str) -> Sequence[Any]:
        """Return the latest record of each symbol that has one, asking once for all.

        :raises SourceError: if the source cannot be reached or refuses.
        :raises DataError: if it has no such kind.
        """
        ...


@frozen(kw_only=True)
class LiveRequest:
    """What to deliver as it happens.

    :ivar stop: set to end the connection.
    """

    kinds: Sequence[Kind]
    symbols: Sequence[str]
    stop: threading.Event = field(factory=threading.Event, eq=False, repr=False)


class LiveSink(Protocol):
    """Takes what a live source delivers, from one thread. Its methods return soon, unless the queue is full and set to wait."""

    def connected(self) -> None:
        """Note that from now on everything is delivered."""
        ...

    def disconnected(self, reason: str) -> None:
        """Note that the connection ended: what happens before the next :meth:`connected` may be missed."""
        ...

    def put(self, record: Record) -> None:
        """Take a record."""
        ...

    def correct(self, correction: Correction) -> None:
        """Take a notice about an earlier trade."""
        ...

    def reject(self, raw: str, problem: str, kind: Kind) -> None:
        """Take a message that is not a record, with the reason."""
        ...


class LiveSource(Protocol):
    """A source that delivers live.

    :ivar capabilities: contains ``LIVE``.
    :ivar origin: as in :class:`HistorySource`. If the source has both capabilities, core refills gaps from its history.
    """

    capabilities: frozenset[Capability]
    origin: str

    def live(self, request: LiveRequest, sink: LiveSink) -> None:
        """Deliver to *sink* until ``request.stop`` is set. Reconnect when the connection breaks.

        :raises SourceError: if the source refuses, so that another try would not help.
        """
        ...


@frozen(kw_only=True)
class AccountRequest:
    """Which part of an account's past to deliver.

    :ivar since: orders submitted at this instant or later, in nanoseconds since 1970; None for all.
    :ivar activities_since: fills and cash flows of this instant or later; None for all.
    :ivar stop: set to cancel: there is no account then, but a :class:`~fpa_core.exceptions.SourceError`.
    """

    since: int | None = None
    activities_since: int | None = None
    stop: threading.Event = field(factory=threading.Event, eq=False, repr=False)


@frozen
class AccountState:
    """An account now.

    :ivar snapshot: its totals and positions.
    :ivar orders: its orders, in any order; an order may occur more than once, the latest state counts.
    :ivar activities: its fills and cash flows, with the broker's ids, by which they are known when they come again.
    :ivar rejects: what is not a record, by the kind it would be of; it is quarantined.
    """

    snapshot: PortfolioSnapshot
    orders: Sequence[Order]
    activities: Sequence[Fill | CashFlow] = ()
    rejects: Mapping[Kind, Sequence[Reject]] = field(factory=dict)


class AccountSource(Protocol):
    """A source that knows an account.

    :ivar capabilities: contains ``ACCOUNT``.
    """

    capabilities: frozenset[Capability]
    origin: str

    def account(self, request: AccountRequest) -> AccountState:
        """Return the state of the account.

        :raises SourceError: if the source cannot be reached or refuses, or the request was cancelled.
        """
        ...


class OrderSource(AccountSource, Protocol):
    """A source that delivers updates of the account's orders as they happen.

    :ivar capabilities: contains ``ORDERS`` and ``ACCOUNT``: fills, and updates that a broken connection missed, are taken from the account.
    """

    def follow(self, stop: threading.Event, sink: LiveSink) -> None:
        """Deliver the state of each order that changes, with ``sink.put``, until *stop* is set. Reconnect when the connection breaks.

        :raises SourceError: if the source refuses, so that another try would not help.
        """
        ...


@frozen
class ListedActions:
    """Corporate actions of some symbols.

    :ivar symbols: the symbols that these are all of; those that the source cannot have are left out.
    :ivar rejects: what is not a record; it is quarantined.
    """

    actions: Sequence[CorporateAction]
    symbols: Sequence[str]
    rejects: Sequence[Reject] = ()


class CorporateActionSource(Protocol):
    """A source that lists the corporate actions of many symbols at once, for what an account holds or traded.

    :ivar capabilities: contains ``CORPORATE_ACTIONS``.
    """

    capabilities: frozenset[Capability]

    def corporate_actions(self, symbols: Sequence[str], start: int, end: int, stop: threading.Event) -> ListedActions:
        """Return the actions of symbols with an ex-date in [start, end), in nanoseconds since 1970; earlier ones that became known since may be among them.

        :raises SourceError: if the source cannot be reached or refuses, or the request was cancelled.
        """
        ...
