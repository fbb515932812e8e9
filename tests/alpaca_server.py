"""A server on loopback that speaks Alpaca's REST and websocket protocols in their documented shapes, faults included.

Shapes: "Historical quotes, trades, bars", "Real-time stock data", "Websocket stream", "Get account", "All open positions", "Get all orders",
Alpaca documentation. The tests run the real client against it.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
from attrs import define, field, frozen
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from fpa_core.numbers import ns_text, to_ns

__all__ = ["KEY", "SECRET", "AlpacaServer", "Fault", "alpaca_server", "configuration"]

KEY = "CANARYKEYID4711"
SECRET = "canary-secret-do-not-log-0815"

CHANNELS = {"trades": "t", "quotes": "q", "bars": "b", "corrections": "c", "cancelErrors": "x"}


@frozen
class Fault:
    """What happens to one request instead of an answer.

    :ivar status: the HTTP status; 0 for a connection that closes without a word.
    :ivar body: the text of the answer.
    :ivar wait: seconds before the answer; ``reset`` when the limit of requests ends, in seconds since 1970.
    """

    status: int = 500
    body: str = "<html><body><h1>500 Internal Server Error</h1></body></html>"
    wait: float = 0.0
    reset: int | None = None


@define
class AlpacaServer:
    """The state of the server; everything may be changed while it runs.

    :ivar rows: the rows of a history by kind (with the time frame of bars) and symbol: times and messages, in order of time.
    :ivar faults: what happens to the next requests, one each.
    :ivar requests: the requests for data so far: path and parameters.
    :ivar fixed: the text of every answer, instead of what the server has.
    :ivar muted: whether nothing is sent to subscribers, while connections stay open.
    :ivar binary: whether updates of orders are sent in binary frames, as to paper accounts; ``trading_channels`` what can be listened to there.
    :ivar refuse: errors (code, text) to answer the next authentications with.
    """

    page_rows: int = 10_000
    one_connection: bool = True
    account: dict[str, Any] = field(factory=dict)
    positions: list[dict[str, Any]] = field(factory=list)
    orders: list[dict[str, Any]] = field(factory=list)
    activities: list[dict[str, Any]] = field(factory=list)
    corporate_actions: dict[str, list[dict[str, Any]]] = field(factory=dict)
    rows: dict[tuple[str, str], tuple[list[int], list[dict[str, Any]]]] = field(
        factory=lambda: defaultdict(lambda: ([], []))
    )
    faults: deque[Fault] = field(factory=deque)
    refuse: deque[tuple[int, str]] = field(factory=deque)
    requests: list[tuple[str, dict[str, str]]] = field(factory=list)
    fixed: str | None = None
    muted: bool = False
    binary: bool = True
    trading_channels: tuple[str, ...] = ("trade_updates",)
    remaining: int = 200
    _lock: threading.RLock = field(factory=threading.RLock)
    _subscribed: dict[ServerConnection, dict[str, set[str]]] = field(factory=dict)
    _traders: set[ServerConnection] = field(factory=set)
    _changed: threading.Condition = field(factory=threading.Condition)
    subscriptions: int = 0
    http_port: int = 0
    ws_port: int = 0

    # What the tests do

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the plugin for this server."""
        return {
            "api_key": KEY,
            "secret_key": SECRET,
            "data_url": f"http://127.0.0.1:{self.http_port}",
            "trading_url": f"http://127.0.0.1:{self.http_port}",
            "stream_url": f"ws://127.0.0.1:{self.ws_port}/v2/iex",
            "orders_url": f"ws://127.0.0.1:{self.ws_port}/stream",
            "reconnect": 0.02,
        }

    def add(self, kind: str, symbol: str, ts: str | int, message: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row to a history, after those of its time."""
        ns = to_ns(ts)
        row = {"t": ns_text(ns), **message}
        with self._lock:
            times, rows = self.rows[kind, symbol]
            place = bisect.bisect_right(times, ns)
            times.insert(place, ns)
            rows.insert(place, row)
        return row

    def publish(self, kind: str, messages: Sequence[tuple[str, int, Mapping[str, Any]]]) -> int:
        """Add rows to histories and send them to whoever has subscribed; return to how many connections."""
        for symbol, ns, message in messages:
            self.add(kind, symbol, ns, message)
        frames = [{"T": CHANNELS[kind], "S": symbol, "t": ns, **message} for symbol, ns, message in messages]
        return self.send(kind, frames)

    def send(self, channel: str, messages: Sequence[Mapping[str, Any]]) -> int:
        """Send messages of a channel as one frame; times are nanoseconds."""
        wanted = "trades" if channel in {"corrections", "cancelErrors"} else channel
        sent = 0
        with self._lock:
            subscribed = [] if self.muted else list(self._subscribed.items())
        for connection, channels in subscribed:
            names = channels.get(wanted, set())
            chosen = [_packed(one) for one in messages if "*" in names or one["S"] in names]
            if chosen:
                with contextlib.suppress(ConnectionClosed, OSError):
                    connection.send(msgpack.packb(chosen))
                    sent += 1
        return sent

    def send_raw(self, payload: bytes) -> None:
        """Send bytes as a frame to all subscribers."""
        with self._lock:
            subscribed = list(self._subscribed)
        for connection in subscribed:
            connection.send(payload)

    def update_order(self, event: str, order: Mapping[str, Any], **more: Any) -> int:
        """Send an update of an order; return to how many connections."""
        return self.send_trading({"stream": "trade_updates", "data": {"event": event, "order": dict(order), **more}})

    def send_trading(self, message: Mapping[str, Any]) -> int:
        """Send a message to whoever listens to updates of orders; return to how many connections."""
        with self._lock:
            traders = list(self._traders)
        for connection in traders:
            with contextlib.suppress(ConnectionClosed, OSError):
                connection.send(self._framed(message))
        return len(traders)

    def _framed(self, message: Mapping[str, Any]) -> str | bytes:
        text = json.dumps(message)
        return text.encode() if self.binary else text

    def drop(self, *, mid_frame: bool = False) -> int:
        """Cut all connections, perhaps in the middle of a frame; return how many there were."""
        with self._lock:
            connections = [*self._subscribed, *self._traders]
            self._subscribed.clear()
            self._traders.clear()
        for connection in connections:
            with contextlib.suppress(OSError):
                if mid_frame:
                    connection.socket.sendall(b"\x82\x7e\x01\x00" + b"\x93" * 17)  # 256 bytes are announced
                connection.socket.shutdown(2)
                connection.socket.close()
        return len(connections)

    def wait_for_subscription(self, count: int = 1, timeout: float = 20.0) -> None:
        """Wait until so many subscriptions have been made in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.subscriptions >= count, timeout), "nobody subscribed"

    @property
    def connected(self) -> int:
        """How many connections have subscribed."""
        with self._lock:
            return len(self._subscribed)

    # REST

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        if self.fixed is not None:
            return 200, self.fixed
        parts = path.strip("/").split("/")
        if parts == ["v2", "account"]:
            return 200, self.account
        if parts == ["v2", "account", "activities"]:
            return 200, self._activities(query)
        if parts == ["v2", "positions"]:
            return 200, self.positions
        if parts == ["v2", "orders"]:
            return 200, self._orders(query)
        if parts == ["v1", "corporate-actions"]:
            return 200, self._corporate_actions(query)
        if parts[:2] == ["v2", "stocks"] and parts[-1] == "latest":
            return 200, self._latest(parts[2], query)
        if parts[:2] == ["v2", "stocks"] and len(parts) == 3:
            return self._page(parts[2], query)
        return 404, {"code": 40410000, "message": "endpoint not found."}

    def _latest(self, kind: str, query: dict[str, str]) -> Any:
        with self._lock:
            found = {symbol: self.rows[kind, symbol][1][-1:] for symbol in query["symbols"].split(",")}
        return {kind: {symbol: rows[0] for symbol, rows in found.items() if rows}}

    def _page(self, kind: str, query: dict[str, str]) -> tuple[int, Any]:
        if kind == "bars" and "timeframe" not in query:
            return 400, {"message": "timeframe is required"}
        stored = f"bars/{query['timeframe']}" if kind == "bars" else kind
        limit = min(int(query.get("limit", 1_000)), self.page_rows)
        start, end = (to_ns(query[name], dates=True) for name in ("start", "end"))
        skip = int(query.get("page_token") or 0)
        found: list[tuple[str, dict[str, Any]]] = []
        with self._lock:
            for symbol in sorted(query["symbols"].split(",")):
                times, rows = self.rows[stored, symbol]
                chosen = rows[bisect.bisect_left(times, start) : bisect.bisect_right(times, end)]  # the end is included
                found += [(symbol, row) for row in chosen]
        page: dict[str, list[Any]] = {}
        for symbol, row in found[skip : skip + limit]:
            page.setdefault(symbol, []).append(row)
        more = skip + limit < len(found)
        return 200, {kind: page or None, "next_page_token": str(skip + limit) if more else None}

    def _orders(self, query: dict[str, str]) -> Any:
        after = to_ns(query["after"]) if "after" in query else None
        until = to_ns(query["until"]) if "until" in query else None
        limit = min(int(query.get("limit", 50)), 500)

        def wanted(order: Mapping[str, Any]) -> bool:
            ns = to_ns(order["submitted_at"])
            opened = order["status"] not in {"filled", "canceled", "expired", "rejected", "replaced"}
            status = query.get("status", "open")
            return (
                (after is None or ns > after)
                and (until is None or ns < until)
                and (status == "all" or (status == "open") == opened)
            )

        chosen = sorted(filter(wanted, self.orders), key=lambda order: to_ns(order["submitted_at"]))
        return (chosen if query.get("direction") == "asc" else chosen[::-1])[:limit]

    def _activities(self, query: dict[str, str]) -> Any:
        assert "asc" == query["direction"]
        after = to_ns(query["after"], dates=True) if "after" in query else None

        def time_of(one: Mapping[str, Any]) -> int:
            return to_ns(one.get("transaction_time") or one["date"], dates=True)

        chosen = [one for one in sorted(self.activities, key=time_of) if after is None or time_of(one) > after]
        ids = [one["id"] for one in chosen]
        start = ids.index(query["page_token"]) + 1 if "page_token" in query else 0
        return chosen[start : start + int(query["page_size"])]

    def _corporate_actions(self, query: dict[str, str]) -> Any:
        """Return actions by the date on which they are processed, both ends included."""
        symbols = set(query["symbols"].split(","))

        def wanted(one: Mapping[str, Any]) -> bool:
            own = {one.get(f"{part}symbol") for part in ("", "old_", "source_", "acquiree_")}
            return bool(own & symbols) and query["start"] <= one["process_date"] <= query["end"]

        found = [(kind, one) for kind, rows in self.corporate_actions.items() for one in rows if wanted(one)]
        found.sort(key=lambda each: each[1]["process_date"])
        skip, limit = int(query.get("page_token") or 0), min(int(query["limit"]), self.page_rows)
        page: dict[str, list[Any]] = {}
        for kind, one in found[skip : skip + limit]:
            page.setdefault(kind, []).append(one)
        more = skip + limit < len(found)
        return {"corporate_actions": page, "next_page_token": str(skip + limit) if more else None}

    # Websockets

    def talk(self, connection: ServerConnection) -> None:
        """Serve one websocket connection."""
        with contextlib.suppress(ConnectionClosed, OSError):
            request = connection.request
            if request is not None and request.path.endswith("/stream"):
                self._talk_trading(connection)
            else:
                self._talk_data(connection)

    def _talk_data(self, connection: ServerConnection) -> None:
        connection.send(msgpack.packb([{"T": "success", "msg": "connected"}]))
        message = msgpack.unpackb(connection.recv())
        assert message["action"] == "auth"
        if (message["key"], message["secret"]) != (KEY, SECRET):
            connection.send(msgpack.packb([{"T": "error", "code": 402, "msg": "auth failed"}]))
            return
        with self._lock:
            refused = self.refuse.popleft() if self.refuse else None
            if refused is None and self.one_connection and self._subscribed:
                refused = (406, "connection limit exceeded")
        if refused is not None:
            connection.send(msgpack.packb([{"T": "error", "code": refused[0], "msg": refused[1]}]))
            return
        connection.send(msgpack.packb([{"T": "success", "msg": "authenticated"}]))
        try:
            while True:
                message = msgpack.unpackb(connection.recv())
                channels = {name: set(symbols) for name, symbols in message.items() if name != "action"}
                with self._lock:
                    self._subscribed[connection] = channels
                listed = {name: sorted(symbols) for name, symbols in channels.items()}
                connection.send(msgpack.packb([{"T": "subscription", **listed}]))
                with self._changed:
                    self.subscriptions += 1
                    self._changed.notify_all()
        finally:
            with self._lock:
                self._subscribed.pop(connection, None)

    def _talk_trading(self, connection: ServerConnection) -> None:
        message = json.loads(connection.recv())
        good = message["action"] == "authenticate" and message["data"] == {"key_id": KEY, "secret_key": SECRET}
        status = "authorized" if good else "unauthorized"
        answer = {"stream": "authorization", "data": {"status": status, "action": "authenticate"}}
        connection.send(self._framed(answer))
        try:
            while good:
                wanted = json.loads(connection.recv())["data"]["streams"]
                with self._lock:
                    self._traders.add(connection)
                listed = [name for name in wanted if name in self.trading_channels]
                connection.send(self._framed({"stream": "listening", "data": {"streams": listed}}))
                with self._changed:
                    self.subscriptions += 1
                    self._changed.notify_all()
        finally:
            with self._lock:
                self._traders.discard(connection)


def _packed(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: msgpack.Timestamp.from_unix_nano(value) if name == "t" else value for name, value in message.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: AlpacaServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Do nothing."""

    def do_GET(self) -> None:
        """Answer."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        state = self.state
        with state._lock:
            state.requests.append((url.path, query))
            fault = state.faults.popleft() if state.faults else None
            state.remaining -= 1
        if fault is not None:
            time.sleep(fault.wait)
            if fault.status == 0:
                self.close_connection = True
                self.connection.close()
                return
            if fault.status != 200:
                extra = (
                    {} if fault.reset is None else {"X-Ratelimit-Reset": str(fault.reset), "X-Ratelimit-Remaining": "0"}
                )
                kind = "application/json" if fault.body.startswith("{") else "text/html"
                self._send(fault.status, fault.body.encode(), kind, extra)
                return
        if (self.headers.get("APCA-API-KEY-ID"), self.headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            self._send(403, b'{"message": "forbidden."}\n', "application/json", {})
            return
        status, body = state.answer(url.path, query)
        extra = {"X-Ratelimit-Limit": "200", "X-Ratelimit-Remaining": str(max(0, state.remaining))}
        text = body if isinstance(body, str) else json.dumps(body)
        self._send(status, text.encode(), "application/json", extra)

    def _send(self, status: int, body: bytes, kind: str, extra: Mapping[str, str]) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: clients may disconnect at any time."""


@contextlib.contextmanager
def alpaca_server(**settings: Any) -> Iterator[AlpacaServer]:
    """Run the server on free ports of loopback."""
    state = AlpacaServer(**settings)
    handler = type("Handler", (_Handler,), {"state": state})
    http = _Http(("127.0.0.1", 0), handler)
    websockets: Server = serve(state.talk, "127.0.0.1", 0, compression=None, ping_interval=None)
    state.http_port = http.server_address[1]
    state.ws_port = websockets.socket.getsockname()[1]
    threads = [
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
        threading.Thread(target=websockets.serve_forever, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        state.drop()
        http.shutdown()
        http.server_close()
        websockets.shutdown()
        for thread in threads:
            thread.join(10)


def configuration(server: AlpacaServer, folder: Path, **options: Any) -> Path:
    """Write a configuration of a store in *folder* and the source ``alpaca`` on the server; return its file."""
    given = server.options | options
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items() if value is not None)
    path = folder / "fpa.toml"
    path.write_text(f'[store]\npath = "{(folder / "portfolio.db").as_posix()}"\n\n[sources.alpaca]\n{lines}')
    return path
