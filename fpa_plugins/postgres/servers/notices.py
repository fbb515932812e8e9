"""Notices of what other processes commit: the server's NOTIFY, sent in the transaction of each batch, and a thread that listens."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.engine.sql.session import Session
from fpa_core.kinds import KINDS
from fpa_core.protocols import Changed, ChangeFeed
from fpa_plugins.postgres.servers.addresses import CONNECT_TIMEOUT
from fpa_plugins.postgres.servers.server import Server

__all__ = ["NoticeFeed", "Notices", "channel_of", "packed", "unpacked"]

_log = logging.getLogger("fpa.store")

SILENCE: Final = 1.0
"""Seconds without a notice after which the server is asked for a sign of life."""

TRUSTED: Final = 3.0
"""Seconds after the last sign of life for which nothing is believed to have been missed: what a reader may be behind at most."""

RETRY: Final = 0.2
"""Seconds until a lost connection is opened again."""

MOST_BYTES: Final = 7_900
"""Of a notice; the server takes 7,999."""

_NEVER = float("-inf")


def channel_of(schema: str) -> str:
    """Return the channel of a schema; names have 63 characters at most."""
    return f"fpa.{schema}"[:63]


def packed(sender: str, changed: Changed) -> str:
    """Return the text of a notice. If it would be too long, the subjects of a kind are left out: it may be all then."""
    subjects = {kind.name: None if names is None else sorted(names) for kind, names in changed.items()}
    for kind in sorted(subjects, key=lambda name: -len(subjects[name] or ())):
        text = json.dumps([sender, subjects], separators=(",", ":"))
        if len(text) <= MOST_BYTES:
            break
        subjects[kind] = None
    return json.dumps([sender, subjects], separators=(",", ":"))


def unpacked(text: str) -> tuple[str, Changed | None]:
    """Return the sender of a notice, and what was changed; None if that cannot be read, as when a later version has sent it."""
    try:
        sender, subjects = json.loads(text)
        changed = {
            KINDS[kind]: None if names is None else frozenset(map(str, names)) for kind, names in subjects.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", None
    return str(sender), changed


class Notices:
    """What one handle of a store tells the others, and hears of them.

    :param listens: whether to hear of them; else what they change is noticed when answers expire.
    """

    def __init__(self, server: Server, *, listens: bool) -> None:
        self.feeds: list[NoticeFeed] = []
        self._server = server
        self._listens = listens
        self._name = secrets.token_hex(8)

    def _sender(self) -> str:
        return f"{os.getpid()}.{self._name}"

    def announce(self, session: Session, changed: Changed) -> None:
        """Send a notice in the open transaction: listeners get it when that is committed."""
        text = packed(self._sender(), changed)
        session.query("SELECT pg_notify(?, ?)", [channel_of(self._server.schema), text])

    def follow(self, on_change: Callable[[Changed | None], None]) -> ChangeFeed:
        """Return a feed of the notices of all others, which listens from its first call on."""
        if not self._listens:
            return Unheard()
        feed = NoticeFeed(self._server, lambda sender: sender == self._sender(), on_change)
        self.feeds.append(feed)
        return feed

    def close(self) -> None:
        """End the feeds."""
        for feed in self.feeds:
            feed.close()


class NoticeFeed:
    """See :class:`fpa_core.protocols.ChangeFeed`. The thread is begun by the first call, in each process.

    Notices arrive in the order of the commits, on a connection that is asked for a sign of life when none has come for :data:`SILENCE`. If it
    is lost, or hangs, the feed is not current until it is there again; all may have changed then.

    Readers of a replica are told how much of the primary's log they need before what they have cached is ended.

    :param server: where to listen.
    :param is_own: whether a sender is this handle of the store, which knows what it changes.
    :param on_change: see :meth:`fpa_core.protocols.StoreBackend.follow`.
    """

    def __init__(
        self,
        server: Server,
        is_own: Callable[[str], bool],
        on_change: Callable[[Changed | None], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._heard: list[Changed | None] = []
        self._is_own = is_own
        self._on_change = on_change
        self._monotonic = monotonic
        self._lock = fork_safe_lock()
        self._pid = 0
        self._alive_at = _NEVER
        self._closed = False
        self._waker: socket.socket | None = None
        self._thread = threading.current_thread()

    def is_current(self) -> bool:
        """Return whether nothing can have been missed but what was committed in the last :data:`TRUSTED` seconds."""
        if self._pid != os.getpid():
            self._begin()
        return self._monotonic() - self._alive_at < TRUSTED

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closed = True
            if self._pid != os.getpid() or self._waker is None:
                return
        with contextlib.suppress(OSError):
            self._waker.send(b"x")
        self._waker.close()
        if self._thread is not threading.current_thread():
            self._thread.join(SILENCE)

    def _begin(self) -> None:
        """Begin to listen, and wait until that has worked or failed."""
        with self._lock:
            if self._closed or self._pid == os.getpid():
                return
            if self._waker is not None:
                self._waker.close()  # of the parent, whose thread has not come along
            self._pid = os.getpid()
            self._alive_at = _NEVER
            self._waker, sleeper = socket.socketpair()
            tried = threading.Event()
            name = "fpa-postgres-notices"
            self._thread = threading.Thread(target=self._run, args=(sleeper, tried), name=name, daemon=True)
            self._thread.start()
        tried.wait(CONNECT_TIMEOUT)

    def _run(self, sleeper: socket.socket, tried: threading.Event) -> None:
        with sleeper, selectors.DefaultSelector() as selector:
            selector.register(sleeper, selectors.EVENT_READ)
            while not self._closed:
                try:
                    self._listen(selector, tried)
                except (psycopg.Error, OSError) as error:
                    _log.debug("changes of other processes are not heard: %s", type(error).__name__)
                self._alive_at = _NEVER
                tried.set()
                if not self._closed:
                    selector.select(RETRY)

    def _listen(self, selector: selectors.BaseSelector, tried: threading.Event) -> None:
        with contextlib.closing(self._server.connect()) as connection, _registered(selector, connection.fileno()):
            connection.add_notify_handler(self._hear)
            connection.execute(f'LISTEN "{channel_of(self._server.schema)}"'.encode())
            self._heard = [None]
            while not self._closed:
                asked = self._monotonic()
                # What was sent before the answer has come with it, and was committed before this position.
                ((position,),) = connection.execute(b"SELECT pg_current_wal_lsn()::text").fetchall()
                if self._heard:
                    self._server.wait_for(position)
                while self._heard:
                    self._on_change(self._heard.pop(0))
                self._alive_at = asked
                tried.set()
                selector.select(SILENCE)

    def _hear(self, notice: psycopg.Notify) -> None:
        sender, changed = unpacked(notice.payload)
        if not self._is_own(sender):
            self._heard.append(changed)


@contextlib.contextmanager
def _registered(selector: selectors.BaseSelector, descriptor: int) -> Iterator[None]:
    selector.register(descriptor, selectors.EVENT_READ)
    try:
        yield
    finally:
        selector.unregister(descriptor)


class Unheard:
    """A feed that nobody listens to: what others change is noticed when answers expire."""

    def is_current(self) -> bool:
        """Return true."""
        return True

    def close(self) -> None:
        """Do nothing."""
