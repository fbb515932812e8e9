"""Live quotes, trades and bars over Alpaca's websocket.

alpaca-py connects, authenticates, subscribes and reconnects. What it does not do is done here: it says nothing when a connection begins or ends,
so that gaps would go unnoticed; it tries again for ever when the keys are wrong; at the level DEBUG it logs the frame with the secret; it takes
up to five seconds to stop; and its time-out for silence does not know when the exchange is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import BARS, QUOTES, TRADES, Kind
from fpa_core.protocols import LiveRequest, LiveSink
from fpa_plugins.alpaca.credentials import Credentials
from fpa_plugins.alpaca.library import DataFeed, StockDataStream
from fpa_plugins.alpaca.messages import RECORDS, cancellation, correction, raw_text

__all__ = ["POLL", "Silence", "WebSocketHandler", "connection_options"]

_log = logging.getLogger("fpa.alpaca")

frame_log = logging.getLogger("fpa.alpaca.frames")
frame_log.setLevel(logging.INFO)  # at DEBUG the frames are logged, and the first one holds the secret


def connection_options(timeout: float) -> dict[str, Any]:
    """Return what a connection is opened with; a server that is silent for *timeout* seconds is given up."""
    return {
        "ping_interval": 10,
        "ping_timeout": timeout,
        "open_timeout": timeout,
        "close_timeout": 1,
        "max_queue": 1024,
        "logger": frame_log,
    }


POLL = 0.1
"""Seconds between two looks at whether to stop, or whether a subscription is silent."""

LONGEST_SILENCE = 3_600.0
"""Seconds up to which the allowed silence of names that are seldom traded grows."""

REFUSALS = 3
"""How often in a row, before the first subscription, another connection may be in the way."""

_HOPELESS = ("auth failed", "insufficient subscription", "v2 not enabled", "symbol limit exceeded", "invalid syntax")
_OCCUPIED = "connection limit exceeded"
_KINDS: Mapping[str, tuple[Kind, str | None]] = {
    "q": (QUOTES, None),
    "t": (TRADES, None),
    "b": (BARS, "1m"),
    "u": (BARS, "1m"),
    "d": (BARS, "1d"),
}


class Silence:
    """Notices when a subscription has been silent for too long.

    Each time it does, the silence allowed for that kind doubles, up to an hour, until the exchange closes: names that are seldom traded are not
    connected to again and again.

    :param timeouts: seconds of silence allowed by kind; a kind without is never silent.
    :param is_open: whether there should be data now.
    """

    def __init__(
        self,
        timeouts: Mapping[Kind, float],
        is_open: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeouts = timeouts
        self._allowed = dict(timeouts)
        self._is_open = is_open
        self._monotonic = monotonic
        self._last: dict[Kind, float] = {}

    def begin(self) -> None:
        """Begin to wait for data of each kind."""
        self._last = dict.fromkeys(self._timeouts, self._monotonic())

    def heard(self, kind: Kind) -> None:
        """Note that data came."""
        if kind in self._last:
            self._last[kind] = self._monotonic()

    def broken(self) -> Kind | None:
        """Return a kind that has been silent for too long; None if there is none. While the exchange is closed nothing counts."""
        if not self._last:
            return None
        if not self._is_open():
            self._allowed = dict(self._timeouts)
            self.begin()
            return None
        now = self._monotonic()
        silent = next((kind for kind, last in self._last.items() if now - last >= self._allowed[kind]), None)
        if silent is not None:
            self._allowed[silent] = max(self._timeouts[silent], min(LONGEST_SILENCE, 2 * self._allowed[silent]))
        return silent

    def end(self) -> None:
        """Wait for nothing."""
        self._last = {}


class WebSocketHandler:
    """Delivers live data to a sink, until it is told to stop.

    :param url: another address than Alpaca's.
    :param reconnect: the first pause before a new connection, in seconds.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        feed: str,
        url: str | None,
        reconnect: float,
        timeout: float,
        silence: Silence,
    ) -> None:
        self._credentials = credentials
        self._feed = feed
        self._url = url
        self._reconnect = reconnect
        self._timeout = timeout
        self._silence = silence

    def run(self, request: LiveRequest, sink: LiveSink) -> None:
        """Deliver until ``request.stop`` is set.

        :raises SourceError: if another try would not help.
        """
        kinds = [kind for kind in request.kinds if kind not in (QUOTES, TRADES, BARS)]
        if kinds or not request.kinds or not request.symbols:
            names = ", ".join(kind.name for kind in kinds) or "nothing"
            raise DataError(f"alpaca does not stream {names}", hint="it streams quotes, trades and bars of symbols")
        connection = _Connection(self._credentials, self._feed, self._url, self._reconnect, self._timeout)
        connection.deliver(request, sink, self._silence)
        asyncio.run(connection.serve(request, self._silence))
        if connection.fatal is not None:
            raise connection.fatal


async def _unused(_: Any) -> None:
    """Stand in for a handler: messages are taken before handlers are looked up."""


class _Connection(StockDataStream):
    """alpaca-py's stream, with its beginnings and ends made known."""

    def __init__(self, credentials: Credentials, feed: str, url: str | None, reconnect: float, timeout: float) -> None:
        super().__init__(
            credentials.api_key,
            credentials.secret_key,
            raw_data=True,
            feed=DataFeed(feed),
            url_override=url,
            websocket_params=connection_options(timeout),
        )
        self._reconnect_min_backoff = reconnect
        self._mask = credentials.mask
        self.fatal: SourceError | None = None
        self._open = False
        self._occupied = 0
        self._ever = False
        self._reason = "the connection broke"

    def deliver(self, request: LiveRequest, sink: LiveSink, silence: Silence) -> None:
        """Subscribe; :meth:`serve` does the rest. Subscribing later would freeze the client (alpaca-py issue 491)."""
        self._sink = sink
        self._silence = silence
        if QUOTES in request.kinds:
            self.subscribe_quotes(_unused, *request.symbols)
        if TRADES in request.kinds:
            self.subscribe_trades(_unused, *request.symbols)
        if BARS in request.kinds:
            self.subscribe_bars(_unused, *request.symbols)
            self.subscribe_updated_bars(_unused, *request.symbols)

    async def serve(self, request: LiveRequest, silence: Silence) -> None:
        """Run until told to stop."""
        running = asyncio.create_task(self._run_forever())
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=POLL)
                if request.stop.is_set():
                    self._reason = "stopped"
                    await self._end()
                elif self._open and (kind := silence.broken()) is not None:
                    self._reason = f"no {kind.name} came for too long"
                    _log.warning("alpaca: %s; connecting again", self._reason)
                    await self._break()
            await running
        finally:
            running.cancel()
            self._ended()

    async def _end(self) -> None:
        await self.stop_ws()
        await self._break()

    async def _break(self) -> None:
        """Close the connection under alpaca-py, which then notices at once."""
        silence = self._silence
        silence.end()
        if self._ws is not None:
            await self._ws.close()

    # What alpaca-py calls

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()
        except ValueError as error:
            self._refused(str(error))
            raise
        self._occupied = 0

    def _refused(self, said: str) -> None:
        if said == _OCCUPIED:
            self._occupied += 1
            _log.warning("alpaca: another connection is open with the same key")
        if said in _HOPELESS or (self._occupied >= REFUSALS and not self._ever):
            hint = (
                "an account may have one connection to each feed: end the other process"
                if said == _OCCUPIED
                else "check the keys and what the plan of the account includes"
            )
            self.fatal = SourceError(f"alpaca: the stream refused: {self._mask(said)}", hint=hint, source="alpaca")
            self._should_run = False
            if self._stop_stream_event is not None:
                self._stop_stream_event.set()

    async def close(self) -> None:
        """Close the connection, and make its end known."""
        self._ended()
        await super().close()

    def _ended(self) -> None:
        self._silence.end()
        if self._open:
            self._open = False
            self._sink.disconnected(self._reason)
        self._reason = "the connection broke"

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        said = str(msg.get("T"))
        if said in _KINDS:
            kind, interval = _KINDS[said]
            self._silence.heard(kind)
            try:
                record = RECORDS[kind](msg["S"], msg, interval)
            except (DataError, KeyError, TypeError, AttributeError) as error:
                problem = error.message if isinstance(error, DataError) else f"the message has no {error}"
                self._sink.reject(raw_text(msg), problem, kind)
                return
            self._sink.put(record)
        elif said == "subscription":
            self._open = self._ever = True
            self._silence.begin()
            self._sink.connected()
        elif said in {"c", "x"}:
            self._silence.heard(TRADES)
            try:
                notice = correction(msg) if said == "c" else cancellation(msg)
            except (DataError, KeyError, TypeError, AttributeError) as error:
                self._sink.reject(raw_text(msg), f"the notice of a correction cannot be read: {error}", TRADES)
                return
            self._sink.correct(notice)
        elif said == "error":
            text = str(msg.get("msg"))
            _log.warning("alpaca: the stream says: %s (%s)", self._mask(text), msg.get("code"))
            self._refused(text)
            if self.fatal is not None:
                raise self.fatal
