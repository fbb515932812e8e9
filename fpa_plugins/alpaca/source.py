"""The source ``alpaca``: history, live data, and the account, each by a part of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fpa_core.calendars import sessions
from fpa_core.exceptions import MissingDependencyError, SourceError
from fpa_core.kinds import BARS, CORPORATE_ACTIONS, QUOTES, TRADES, kind_of
from fpa_core.protocols import (
    AccountRequest,
    AccountState,
    Capability,
    Chunk,
    Estimate,
    HistoryRequest,
    ListedActions,
    LiveRequest,
    LiveSink,
    Page,
    RateLimit,
    SourceRequest,
)
from fpa_core.sources.history import read_history
from fpa_core.sources.rates import RateLimiter
from fpa_plugins.alpaca.account import AlpacaClient
from fpa_plugins.alpaca.corporate_actions import CorporateActions, is_share
from fpa_plugins.alpaca.credentials import find_credentials
from fpa_plugins.alpaca.library import CorporateActionsClient, StockHistoricalDataClient, TradingClient
from fpa_plugins.alpaca.market_data import MarketDataClient
from fpa_plugins.alpaca.options import AlpacaOptions
from fpa_plugins.alpaca.order_updates import OrderUpdates
from fpa_plugins.alpaca.rest import Requests, Stopped, sending
from fpa_plugins.alpaca.websocket import Silence, WebSocketHandler

__all__ = ["AlpacaSource"]

BAR_SILENCE = 150.0
"""Seconds after which a minute bar is overdue."""


class AlpacaSource:
    """See :class:`fpa_core.protocols.HistorySource`, :class:`~fpa_core.protocols.LiveSource` and :class:`~fpa_core.protocols.OrderSource`.

    :param clock: the present time in nanoseconds.
    :param monotonic: returns seconds that never go back, by which silence is measured.
    """

    def __init__(
        self,
        options: AlpacaOptions,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capabilities = frozenset(
            {Capability.HISTORY, Capability.LIVE, Capability.ACCOUNT, Capability.ORDERS, Capability.LATEST}
            | ({Capability.CORPORATE_ACTIONS} if options.corporate_actions else set())
        )
        self.origin = f"alpaca:{options.feed}"
        self.settles = options.settles
        self.calendar = options.calendar
        self.limit: RateLimit | None = RateLimit(options.requests_per_minute, 60.0)
        self._options = options
        self._clock = clock
        self._monotonic = monotonic
        self._credentials = find_credentials(options)
        sender = Requests(
            RateLimiter(self.limit),
            options.timeout,
            options.tries,
            backoff=options.reconnect,
            mask=self._credentials.mask,
        )
        keys = self._credentials.api_key, self._credentials.secret_key
        data = StockHistoricalDataClient(*keys, raw_data=True, url_override=options.data_url)
        actions = CorporateActionsClient(*keys, raw_data=True, url_override=options.data_url)
        trading = TradingClient(*keys, paper=options.paper, raw_data=True, url_override=options.trading_url)
        self.market_data = MarketDataClient(sending(data, sender), feed=options.feed, page_rows=options.page_rows)
        self.actions = CorporateActions(sending(actions, sender))
        self.client = AlpacaClient(sending(trading, sender), clock)

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of a symbol for ``fpa ingest --via``."""
        return read_history(self, request, self._clock)

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what a history is expected to take."""
        part = self.actions if request.kind is CORPORATE_ACTIONS else self.market_data
        return part.estimate(request)

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the pages of a history."""
        if request.start >= request.end:
            return iter(())
        part = self.actions if request.kind is CORPORATE_ACTIONS else self.market_data
        return part.history(request)

    def latest(self, what: Any, *symbols: str) -> list[Any]:
        """Return the latest quote or trade of symbols, as the exchange has it now."""
        return self.market_data.latest(kind_of(what), symbols)

    def live(self, request: LiveRequest, sink: LiveSink) -> None:
        """Deliver until told to stop."""
        options = self._options
        limit = options.data_timeout
        timeouts = {} if limit is None else {QUOTES: limit, TRADES: 3 * limit, BARS: max(limit, BAR_SILENCE)}
        silence = Silence(
            {kind: timeouts[kind] for kind in request.kinds if kind in timeouts}, self._is_open, self._monotonic
        )
        handler = WebSocketHandler(
            self._credentials,
            feed=options.feed,
            url=options.stream_url,
            reconnect=options.reconnect,
            timeout=options.timeout,
            silence=silence,
        )
        handler.run(request, sink)

    def _is_open(self) -> bool:
        """Return whether the exchange is open; without its calendar it always is."""
        if self.calendar is None:
            return True
        try:
            number = sessions(self.calendar).number(self._clock())
        except MissingDependencyError:
            return True
        return number != -1

    def account(self, request: AccountRequest) -> AccountState:
        """Return the state of the account."""
        try:
            return self.client.account(request)
        except Stopped:
            raise _interrupted() from None

    def corporate_actions(self, symbols: Sequence[str], start: int, end: int, stop: threading.Event) -> ListedActions:
        """Return the corporate actions of those symbols that may be shares."""
        shares = list(filter(is_share, symbols))
        try:
            actions, rejects = self.actions.since(shares, start, end, stop)
        except Stopped:
            raise _interrupted() from None
        return ListedActions(actions, shares, rejects)

    def follow(self, stop: threading.Event, sink: LiveSink) -> None:
        """Deliver updates of orders until told to stop."""
        options = self._options
        try:
            account = self.client.name(stop)
        except Stopped:
            return
        updates = OrderUpdates(
            self._credentials,
            account,
            paper=options.paper,
            url=options.orders_url,
            reconnect=options.reconnect,
            timeout=options.timeout,
        )
        updates.run(stop, sink)


def _interrupted() -> SourceError:
    return SourceError("alpaca: the sync was interrupted; nothing was stored", source="alpaca")
