"""The bounded queue between a live connection and the store."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from attrs import define, frozen

from fpa_core.kinds import kind_of
from fpa_core.models import Record

__all__ = ["Connected", "Disconnected", "Dropped", "EventQueue", "Policy", "Rejected"]


class Policy(StrEnum):
    """What happens to a record if the queue is full."""

    BLOCK = "block"
    """Wait for room: the connection waits, too, and the source may cut it; the gap is refilled afterwards."""
    DROP = "drop"
    """Drop the oldest record, and count it: its time is a gap, which is refilled afterwards."""


@frozen
class Connected:
    """A connection began, at a time in nanoseconds since 1970."""

    at_ns: int


@frozen
class Disconnected:
    """A connection ended."""

    reason: str


@frozen
class Rejected:
    """A message that is not a record."""

    kind: Any
    raw: str
    problem: str


@define
class Dropped:
    """Records of one kind and symbol that were dropped: how many, and their first and last time."""

    count: int
    first_ns: int
    last_ns: int


class EventQueue:
    """Holds what a live connection delivers, in order: records, of which there are at most *size*, and events, which are never dropped.

    :param monotonic: returns seconds that never go back, with which each record is stamped.
    """

    def __init__(self, size: int, policy: Policy, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._policy = policy
        self._monotonic = monotonic
        self._items: deque[Any] = deque()
        self._records = 0
        self._dropped: dict[tuple[str, str], Dropped] = {}
        self._closed = False
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._room = threading.Condition(lock)

    def put(self, record: Record) -> None:
        """Add a record. If the queue is full, wait for room or drop the oldest one. After :meth:`close`, records are not taken."""
        with self._room:
            if self._records >= self._size:
                if self._policy is Policy.DROP:
                    self._drop_oldest()
                else:
                    self._room.wait_for(lambda: self._records < self._size or self._closed)
            if self._closed:
                return
            self._items.append((self._monotonic(), record))
            self._records += 1
            if self._records == 1:
                self._filled.notify()

    def put_event(self, event: Any) -> None:
        """Add what is not a record."""
        with self._filled:
            self._items.append((None, event))
            self._filled.notify()

    def take(self, timeout: float) -> tuple[list[tuple[float | None, Any]], dict[tuple[str, str], Dropped]]:
        """Return all there is, after waiting for something for at most *timeout* seconds; and what was dropped since the last call.

        Records come with the time at which they were put, events with None.
        """
        with self._filled:
            if not self._items:
                self._filled.wait(timeout)
            items, dropped = list(self._items), self._dropped
            self._items.clear()
            self._records, self._dropped = 0, {}
            self._room.notify_all()
        return items, dropped

    def close(self) -> None:
        """Take no more records, and let nobody wait for room."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def __len__(self) -> int:
        return self._records

    def _drop_oldest(self) -> None:
        events = []
        while (item := self._items.popleft())[0] is None:
            events.append(item)
        self._items.extendleft(reversed(events))
        self._records -= 1
        record = item[1]
        kind = kind_of(record)
        key = (kind.name, getattr(record, kind.subject))
        known = self._dropped.get(key)
        if known is None:
            self._dropped[key] = Dropped(1, record.ts_ns, record.ts_ns)
        else:
            known.count += 1
            known.first_ns = min(known.first_ns, record.ts_ns)
            known.last_ns = max(known.last_ns, record.ts_ns)
