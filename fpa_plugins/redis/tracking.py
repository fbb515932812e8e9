"""Generations of tags kept in this process, and updated by messages of the server.

The messages are those of the server's client tracking, in its broadcasting form: one for each change of a key that begins as tags do. Messages
that the writers of this cache would publish themselves are no match for them: the server also tells of keys that it evicted, that expired or were
flushed, and of those that another program changed; and no writer can forget, or fail, to send one.

A copy is trusted while the server shows signs of life. What was changed before the last answered ping has been told by then, so that a copy is
never older than the ping, plus what passes until the next check.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from fpa_core.cache.fork import fork_safe_lock

__all__ = ["Reading", "TagCopies"]

logger = logging.getLogger("fpa.cache")

CHANNEL: Final = "__redis__:invalidate"

PINGS: Final = 4
"""Signs of life asked for while a copy is trusted."""

MAX_COPIES: Final = 100_000
"""Copies beyond which all are dropped, so that tags which come and go leave nothing behind."""

RETRY: Final = 0.5
"""Seconds until a listener that lost its connection tries again."""


@define(eq=False)
class Reading:
    """Generations being read from the server; names that changed meanwhile are noted.

    :ivar changed: these names; ``void`` whether all of them did.
    """

    changed: set[bytes] = field(factory=set)
    void: bool = False


class TagCopies:
    """The generations that were read, by the names of their keys.

    :param client_of: returns the client of the node that has the tags; called in the listening thread.
    :param prefixes: what the names begin with of which changes matter.
    :param max_age: seconds for which copies are trusted after the last sign of life.
    """

    def __init__(self, client_of: Callable[[], Any], prefixes: Sequence[bytes], max_age: float) -> None:
        self._client_of = client_of
        self._prefixes = prefixes
        self._max_age = max_age
        self._lock = fork_safe_lock()
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        self._copies: dict[bytes, int] = {}
        self._epoch = -1
        self._readings: set[Reading] = set()
        self._alive_at = -1e9  # when the server last showed a sign of life
        self._stop = threading.Event()

    def known(self, names: Sequence[bytes], epoch: int) -> list[int] | None:
        """Return the generations of *names* in this epoch, or None if one is not known or cannot be trusted."""
        if self._pid != os.getpid():
            self._start()
            return None
        copies = self._copies
        if epoch != self._epoch or time.monotonic() - self._alive_at > self._max_age:
            return None
        found = [copies.get(name) for name in names]
        return None if None in found else found  # type: ignore[return-value]

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """Note what changes while generations are read."""
        reading = Reading()
        with self._lock:
            self._readings.add(reading)
        try:
            yield reading
        finally:
            with self._lock:
                self._readings.discard(reading)

    def remember(self, reading: Reading, found: Mapping[bytes, int], epoch: int) -> None:
        """Keep what was read, but for what changed meanwhile."""
        with self._lock:
            if reading.void:
                return
            if epoch != self._epoch or len(self._copies) > MAX_COPIES:
                self._copies, self._epoch = {}, epoch
            self._copies.update({name: value for name, value in found.items() if name not in reading.changed})

    def forget(self, names: Iterable[bytes]) -> None:
        """Drop the copies of *names*, which changed."""
        with self._lock:
            for name in names:
                self._copies.pop(name, None)
                for reading in self._readings:
                    reading.changed.add(name)

    def forget_all(self) -> None:
        """Drop all copies."""
        with self._lock:
            self._copies = {}
            for reading in self._readings:
                reading.void = True

    def stop(self) -> None:
        """End the listening thread."""
        self._stop.set()

    def _start(self) -> None:
        """Start listening, in this process: a forked child has no thread of its parent's."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._reset()
            self._pid = os.getpid()
        threading.Thread(target=self._listen, args=(self._stop,), name="fpa-redis-tags", daemon=True).start()

    def _listen(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except Exception as error:  # noqa: BLE001 - the server is down, or restarts: reads ask it themselves, and tell what is wrong
                logger.debug("no messages of tags: %s", type(error).__name__)
            self._alive_at = -1e9
            self.forget_all()
            stop.wait(RETRY)

    def _follow(self, stop: threading.Event) -> None:
        pool = self._client_of().connection_pool
        listening, tracked = pool.make_connection(), pool.make_connection()
        try:
            listening.connect()
            tracked.connect()
            number = _ask(listening, "CLIENT", "ID")
            _ask(listening, "SUBSCRIBE", CHANNEL)
            prefixes = [part for prefix in self._prefixes for part in (b"PREFIX", prefix)]
            _ask(tracked, "CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *prefixes)
            self.forget_all()
            while not stop.is_set():
                asked = time.monotonic()
                _ask(tracked, "PING")  # without this connection there would be no messages
                listening.send_command("PING")
                self._take_until_pong(listening)
                self._alive_at = asked
                while not stop.is_set() and (left := asked + self._max_age / PINGS - time.monotonic()) > 0:
                    if listening.can_read(timeout=min(left, 0.2)):
                        self._take(listening.read_response())
        finally:
            listening.disconnect()
            tracked.disconnect()

    def _take_until_pong(self, listening: Any) -> None:
        while self._take(listening.read_response()) != b"pong":
            pass

    def _take(self, message: Any) -> Any:
        """Do what a message says, and return its kind."""
        kind, *rest = message if isinstance(message, list) else [message]
        if kind == b"message":
            names = rest[-1]
            if names is None or any(not name.startswith(self._prefixes[0]) for name in names):
                self.forget_all()  # everything was flushed, or the epoch changed
            else:
                self.forget(names)
        return kind


def _ask(connection: Any, *words: Any) -> Any:
    connection.send_command(*words)
    return connection.read_response()
