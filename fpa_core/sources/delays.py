"""How long records take to become durable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from fpa_core.store.streams.acks import WriteFuture

__all__ = ["Delays"]

LATEST = 4_096
"""The latest delays that percentiles are taken of."""


@define
class Delays:
    """Measures how long records take from their arrival until they are durable, in a thread of its own."""

    values: deque[float] = field(factory=lambda: deque(maxlen=LATEST))
    _futures: deque[tuple[WriteFuture, float]] = field(factory=deque)
    _wake: threading.Event = field(factory=threading.Event)
    _ended: bool = False
    _thread: threading.Thread | None = None

    def start(self, monotonic: Callable[[], float]) -> None:
        """Begin to measure."""

        def run() -> None:
            while not self._ended or self._futures:
                self._wake.wait(0.5)
                self._wake.clear()
                while self._futures:
                    future, begun = self._futures.popleft()
                    if future.wait(60) and future.exception(0) is None:
                        self.values.append(monotonic() - begun)

        self._thread = threading.Thread(target=run, name="fpa-collector-lag", daemon=True)
        self._thread.start()

    def add(self, future: WriteFuture, begun: float) -> None:
        """Measure a record that arrived at a time."""
        self._futures.append((future, begun))
        self._wake.set()

    def stop(self) -> None:
        """End, once all records are durable."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    def percentile(self, share: float) -> float | None:
        """Return the delay in seconds that a share of the latest records did not exceed; None if none is known."""
        values = sorted(self.values)
        return values[min(len(values) - 1, int(len(values) * share))] if values else None
