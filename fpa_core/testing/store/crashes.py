"""C6: what was acknowledged outlives the process, however that ends; for stores that declare PERSISTENT."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

import pytest

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, QUOTES
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Quarantined
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Opener, StoreTests, contents
from fpa_core.testing.store.processes import start
from fpa_core.testing.store.threads import PATIENCE

__all__ = ["CrashTests"]

ROWS = [Quote("A", Instant(ts // 2), ts, 99) for ts in range(600)]
BAR = Bar("A", Instant(0), 1, 2, 1, 2, 1, "1m")
REVISED = Bar("A", Instant(0), 1, 2, 1, 2, 9, "1m")


def _in_a_batch(opener: Opener, ready: Connection) -> None:
    """Acknowledge one batch, and wait in the middle of another one to be killed."""
    store = DataStore(opener())
    store.save([*ROWS[:100], BAR])
    with store.batch(origin="killed") as batch:
        batch.write(QUOTES, to_table(QUOTES, ROWS))
        batch.write(BARS, to_table(BARS, [REVISED]))
        batch.quarantine([Quarantined("bars", "A", 5, 3, "{}", ())])
        ready.send("in the middle")
        threading.Event().wait()


def _in_a_stream(opener: Opener, ready: Connection) -> None:
    """Send the place of each row of a stream once it is acknowledged."""
    store = DataStore(opener())
    stream = store.stream(max_rows=8, max_delay="1ms")
    for place, row in enumerate(ROWS):
        stream.write(row).result(PATIENCE)
        ready.send(place)
    threading.Event().wait()


def _without_closing(opener: Opener, ready: Connection) -> None:
    """Acknowledge two batches, the second an undo, and wait to be killed."""
    store = DataStore(opener())
    store.save([*ROWS, BAR])
    store.save(REVISED)
    store.delete(store.select(Quote, "A", start=10))
    ready.send("acknowledged")
    threading.Event().wait()


def _kill(opener: Opener, work: Any, messages: int) -> list[Any]:
    """Run *work* in another process, kill it after so many messages, and return all that came."""
    receiving, sending = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with receiving:
        process = start(work, opener, sending)
        sending.close()
        received = []
        with contextlib.suppress(EOFError):
            for _ in range(messages):
                assert receiving.poll(PATIENCE), "the process does nothing"
                received.append(receiving.recv())
        process.kill()
        process.join(PATIENCE)
        with contextlib.suppress(EOFError, OSError):  # the last message may have broken off
            while True:
                received.append(receiving.recv())
    assert process.exitcode == -signal.SIGKILL, "the process ended by itself; what it raised is on standard error"
    return received


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
class CrashTests(StoreTests):
    """A killed process loses nothing that was acknowledged, and leaves no part of a batch."""

    @holds(Contract.C6, Capability.PERSISTENT)
    def test_data_outlive_the_store(self, opener: Opener) -> None:
        """What was stored is there when the store is opened again, to the last batch and rejected record."""
        with contextlib.closing(DataStore(opener())) as store:
            store.save([*ROWS[:50], BAR])
            store.save(REVISED)
            with store.batch() as batch:
                batch.quarantine([Quarantined("bars", "A", 5, 3, "{}", ())])
            before = contents(store), store.batches(), store.quarantined(), store.inventory()
        with contextlib.closing(DataStore(opener())) as store:
            assert before == (contents(store), store.batches(), store.quarantined(), store.inventory())
            assert store.save([*ROWS[:50], BAR]).inserted == 0
            assert before[1][0].id < store.batches()[0].id

    @holds(Contract.C6, Capability.PERSISTENT)
    def test_killed_in_a_batch(self, opener: Opener) -> None:
        """Killed in the middle of a batch, a store has nothing of it, has all before it, and can be written to."""
        assert _kill(opener, _in_a_batch, 1) == ["in the middle"]
        with contextlib.closing(DataStore(opener())) as store:
            assert (ROWS[:100], [BAR]) == (store.get_quotes(), store.get_bars())
            assert [batch.origin for batch in store.batches()] == ["api"]
            assert store.quarantined() == []
            receipt = store.save([*ROWS, REVISED])
            assert (receipt.inserted, receipt.duplicate, receipt.revised) == (500, 100, 1)
            assert store.get_quotes() == ROWS

    @holds(Contract.C6, Capability.PERSISTENT)
    def test_killed_without_closing(self, opener: Opener) -> None:
        """Killed before it was closed, a store has every batch that was acknowledged."""
        assert _kill(opener, _without_closing, 1) == ["acknowledged"]
        with contextlib.closing(DataStore(opener())) as store:
            assert (ROWS[:20], [REVISED]) == (store.get_quotes(), store.get_bars())
            assert len(store.batches()) == 3

    @holds(Contract.C6, Capability.PERSISTENT)
    @pytest.mark.parametrize("messages", [1, 60])
    def test_killed_while_it_streams(self, opener: Opener, messages: int) -> None:
        """Killed while it streams, a store has every row that was acknowledged, in order, and counts them."""
        acknowledged = _kill(opener, _in_a_stream, messages)
        with contextlib.closing(DataStore(opener())) as store:
            stored = store.get_quotes()
            assert ROWS[: len(stored)] == stored
            assert acknowledged[-1] < len(stored)
            assert len(stored) == sum(batch.inserted for batch in store.batches())
