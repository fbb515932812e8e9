"""A primary that is killed while a stream writes, and the standby that takes over: what was acknowledged, and what is there."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from attrs import frozen
from postgres_server import Server, dsn_of

from fpa_core.exceptions import DatabaseError
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.store import DataStore
from fpa_core.store.streams.acks import WriteFuture
from fpa_plugins.postgres.plugin import PostgresOptions, open_store

__all__ = ["Outcome", "failover"]


@frozen
class Outcome:
    """What became of a stream.

    :ivar acknowledged: how many rows were acknowledged; ``lost`` those of them that are not there, ``double`` those that are there twice.
    :ivar lost_seconds: from the acknowledgement of the first lost row to the crash.
    :ivar promoted: seconds from the crash until the standby was promoted; ``reconnected`` from the crash to the next acknowledgement.
    :ivar error: what ended the stream; None if it went on.
    """

    acknowledged: int
    lost: int
    double: int
    lost_seconds: float
    promoted: float
    reconnected: float | None
    error: DatabaseError | None


def failover(
    primary: Server,
    standby: Server,
    schema: str,
    *,
    before: int,
    after: int,
    on_crash: Callable[[], object] = lambda: None,
) -> Outcome:
    """Write quotes, kill the primary once *before* are acknowledged, promote the standby, and go on until *after* more are.

    :param on_crash: what goes down with the primary.
    """
    waiting: deque[tuple[int, WriteFuture]] = deque()
    at: dict[int, float] = {}
    crashed: list[float] = []
    due, error = threading.Event(), None

    def crash() -> None:
        due.wait()
        on_crash()
        primary.kill()
        crashed.append(time.monotonic())
        standby.promote()
        crashed.append(time.monotonic())

    thread = threading.Thread(target=crash)
    thread.start()
    with DataStore(open_store(PostgresOptions(dsn=dsn_of(primary, standby), schema=schema, seal_rows=None))) as store:
        stream = store.stream(max_rows=32, max_delay="2ms", max_waiting=256)
        try:
            for number in itertools.count():
                waiting.append((number, stream.write(Quote("A", Instant(number), number + 1, number + 2))))
                while waiting and waiting[0][1].done():
                    written, future = waiting.popleft()
                    future.result(0)
                    at[written] = time.monotonic()
                if len(at) >= before:
                    due.set()
                if len(crashed) == 2 and sum(when > crashed[1] for when in list(at.values())[-after:]) >= after:
                    break
            stream.close()
        except DatabaseError as problem:
            error = problem
            with contextlib.suppress(DatabaseError):  # it says the same again
                stream.close()
        due.set()
        thread.join()
        for written, future in waiting:
            if future.done() and future.exception(0) is None:
                at[written] = time.monotonic()
        stored = Counter(quote.ts_ns for quote in store.get_quotes("A"))
    lost = [written for written in at if not stored[written]]
    later = [when for when in at.values() if when > crashed[0]]
    return Outcome(
        acknowledged=len(at),
        lost=len(lost),
        double=sum(count > 1 for count in stored.values()),
        lost_seconds=crashed[0] - at[lost[0]] if lost else 0.0,
        promoted=crashed[1] - crashed[0],
        reconnected=None if error or not later else min(when for when in later if when > crashed[1]) - crashed[0],
        error=error,
    )
