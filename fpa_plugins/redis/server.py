"""A Redis server as this project uses it: typed errors, a circuit breaker, and an epoch that shows when it may have lost writes.

A server that restarts from a snapshot, or a replica that takes over, may have forgotten the last invalidations, and would give out values
that they ended. So entries and generations belong to an *epoch*: a text on the server that begins with the id of the server's run. Each
new connection of this process has it checked, and so has each change of the node of a cluster that has the keys; if the id is another one, the
epoch is replaced, and with it everything made before is void.
Every answer is read together with the epoch, so that all processes notice a new one at once.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from attrs import frozen

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError, FpaError
from fpa_plugins.redis.breaker import CircuitBreaker
from fpa_plugins.redis.client import make_client, name_of, secrets_of
from fpa_plugins.redis.errors import raise_ours, unreachable
from fpa_plugins.redis.options import RedisOptions
from fpa_plugins.redis.scripts import EPOCH

__all__ = ["Epoch", "EpochMovedError", "Server"]

P = ParamSpec("P")
T = TypeVar("T")

TRIES: Final = 8
"""How often an operation begins anew because the epoch moved meanwhile."""

BITS: Final = 62


class EpochMovedError(Exception):
    """The epoch is not the one that was known: the operation begins anew."""


@frozen
class Epoch:
    """An epoch of the server.

    :ivar text: as it is on the server; ``number`` a digest of it, which entries carry and generations are mixed with.
    """

    text: bytes
    number: int

    @classmethod
    def of(cls, text: bytes) -> Epoch:
        """Return the epoch with this text."""
        return cls(text, int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> (64 - BITS))


class Server:
    """The server of a cache.

    :ivar key: the key of the epoch.
    :ivar breaker: what it knows of failures.
    """

    def __init__(self, options: RedisOptions) -> None:
        self.name = name_of(options)
        self.key = f"{{{options.prefix}}}epoch".encode()
        self.breaker = CircuitBreaker(options.retry_after)
        self._options = options
        self._secrets = secrets_of(options)
        self._lock = fork_safe_lock()
        self._client: Any = None
        self._closed = False
        self._trouble = ""
        self._connecting = itertools.count(1)
        self._connections = 0  # made so far, in all
        self._checked: tuple[int, str] | None = None  # what it was checked for: see _place
        self._epoch = Epoch.of(b"")

    def run(self, operation: Callable[Concatenate[Any, Epoch, P], T], *given: P.args, **named: P.kwargs) -> T:
        """Return the answer of *operation*, which gets the client, the epoch and what is *given*, in one epoch from its beginning to its end.

        :raises CacheError: if the server cannot be reached, or refuses.
        """
        if not self.breaker.may_ask():
            raise CacheError(
                f"the cache {self.name} is left alone for a moment, because it failed repeatedly: {self._trouble}"
            )
        try:
            answer = self._in_one_epoch(lambda client, epoch: operation(client, epoch, *given, **named))
        except FpaError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, also what is not derived from its own errors
            if unreachable(error):
                self._trouble = type(error).__name__
                self.breaker.failed()
            else:
                self.breaker.succeeded()  # it answered
            raise_ours(error, self.name, self._secrets)
        self.breaker.succeeded()
        return answer

    def _in_one_epoch(self, operation: Callable[[Any, Epoch], T]) -> T:
        for _ in range(TRIES):
            client = self._opened()
            epoch = self._current(client)
            try:
                answer = operation(client, epoch)
            except EpochMovedError:
                self._checked = None
                continue
            # A connection made meanwhile may lead to a server that restarted: what it answered counts if the epoch is still the same.
            if self._checked == self._place(client) or self._current(client) == epoch:
                return answer
        raise CacheError(f"the cache {self.name} restarts all the time")

    @property
    def epoch(self) -> Epoch:
        """The epoch as it was when it was last read."""
        return self._epoch

    def node(self) -> Any:
        """Return the client of the server that has the keys of this cache: of the one in a cluster, or of the only one."""
        client = self._opened()
        if (node_of := getattr(client, "get_node_from_key", None)) is None:
            return client
        return client.get_redis_connection(node_of(self.key))

    def _opened(self) -> Any:
        if self._closed:
            raise CacheError(f"the cache {self.name} is closed")
        client = self._client
        if client is None:
            made = make_client(self._options, self._connected)
            with self._lock:
                client = self._client = self._client or made
            if client is not made:
                made.close()
        return client

    def _connected(self) -> None:
        self._connections = next(self._connecting)

    def _current(self, client: Any) -> Epoch:
        """Return the epoch, checked where the keys are now and after the last connection was made."""
        while self._checked != (place := self._place(client)):
            text = EPOCH.run(client, [self.key], secrets.token_hex(8).encode())
            with self._lock:
                if text != self._epoch.text:
                    self._epoch = Epoch.of(text)
                self._checked = place
        return self._epoch

    def _place(self, client: Any) -> tuple[int, str]:
        """Return how many connections were made, and the node of a cluster that has the keys."""
        node_of = getattr(client, "get_node_from_key", None)
        return self._connections, "" if node_of is None else node_of(self.key).name

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
