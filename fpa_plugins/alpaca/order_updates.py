"""Updates of orders over Alpaca's websocket of the account.

As with market data, alpaca-py connects and reconnects, and what it does not do is done here: it says nothing when a connection begins or ends, tries
again for ever when the keys are wrong, and logs the frame with the secret at the level DEBUG. The real server sends JSON in binary frames to paper
accounts, and in text frames to others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import ORDERS
from fpa_core.protocols import LiveSink
from fpa_plugins.alpaca.credentials import Credentials
from fpa_plugins.alpaca.library import TradingStream
from fpa_plugins.alpaca.messages import raw_text, to_order
from fpa_plugins.alpaca.websocket import POLL, connection_options

__all__ = ["OrderUpdates"]

_log = logging.getLogger("fpa.alpaca")

CHANNEL = "trade_updates"

REFUSED = "failed to authenticate"
"""What alpaca-py raises a ValueError with if the server does not take the keys."""


class OrderUpdates:
    """Delivers updates of orders to a sink, until it is told to stop.

    :param account: the account that the orders belong to; updates do not name it.
    :param url: another address than Alpaca's.
    :param reconnect: the first pause before a new connection, in seconds.
    """

    def __init__(
        self, credentials: Credentials, account: str, *, paper: bool, url: str | None, reconnect: float, timeout: float
    ) -> None:
        self._credentials = credentials
        self._account = account
        self._paper = paper
        self._url = url
        self._reconnect = reconnect
        self._timeout = timeout

    def run(self, stop: threading.Event, sink: LiveSink) -> None:
        """Deliver until *stop* is set.

        :raises SourceError: if another try would not help.
        """
        connection = _Connection(self._credentials, self._paper, self._url, self._reconnect, self._timeout)
        asyncio.run(connection.serve(self._account, stop, sink))
        if connection.fatal is not None:
            raise connection.fatal


async def _unused(_: Any) -> None:
    """Stand in for a handler: messages are taken before it is called."""


class _Connection(TradingStream):
    """alpaca-py's stream of the account, with its beginnings and ends made known."""

    def __init__(
        self, credentials: Credentials, paper: bool, url: str | None, reconnect: float, timeout: float
    ) -> None:
        super().__init__(
            credentials.api_key,
            credentials.secret_key,
            paper=paper,
            raw_data=True,
            url_override=url,  # type: ignore[arg-type]  # None is its default
            websocket_params=connection_options(timeout),
        )
        self._reconnect_min_backoff = reconnect
        self._mask = credentials.mask
        self.fatal: SourceError | None = None
        self._open = False
        self._reason = "the connection broke"

    async def serve(self, account: str, stop: threading.Event, sink: LiveSink) -> None:
        """Run until told to stop."""
        self._account, self._sink = account, sink
        self.subscribe_trade_updates(_unused)
        running = asyncio.create_task(self._run_forever())  # type: ignore[no-untyped-call]
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=POLL)
                if stop.is_set():
                    self._reason = "stopped"
                    await self.stop_ws()
                    if self._ws is not None:
                        await self._ws.close()
            await running
        finally:
            running.cancel()
            self._ended()

    # What alpaca-py calls

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()  # type: ignore[no-untyped-call]
        except ValueError as error:
            if str(error) == REFUSED:  # an answer that is no JSON is a ValueError, too, and may pass
                await self._refused("the keys are not authorized")
            raise

    async def _refused(self, said: str) -> None:
        hint = "check the keys, and whether they are of a paper account"
        self.fatal = SourceError(f"alpaca: the stream of orders refused: {said}", hint=hint, source="alpaca")
        await self.stop_ws()

    async def close(self) -> None:
        """Close the connection, and make its end known."""
        self._ended()
        await super().close()

    def _ended(self) -> None:
        if self._open:
            self._open = False
            self._sink.disconnected(self._reason)
        self._reason = "the connection broke"

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        data = msg.get("data")
        said = msg.get("stream")
        if said == "listening":
            if CHANNEL not in (data or {}).get("streams", ()):
                await self._refused(f"{CHANNEL} is not among its channels")
                return
            self._open = True
            self._sink.connected()
        elif said == CHANNEL:
            try:
                order = to_order(data["order"], self._account)  # type: ignore[index]  # what it is not is refused
            except (DataError, KeyError, TypeError, AttributeError) as error:
                problem = error.message if isinstance(error, DataError) else f"the message has no {error}"
                self._sink.reject(raw_text(msg), problem, ORDERS)
                return
            self._sink.put(order)
        else:
            _log.warning("alpaca: the stream of orders says: %s", self._mask(raw_text(msg)))
