"""C7: many threads use one store at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import QUOTES
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Query, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import StoreTests

__all__ = ["ThreadTests", "run_together"]

PATIENCE = 60.0
"""Seconds after which a thread or process that should have ended is taken for stuck."""


def run_together(*works: Callable[[], Any]) -> None:
    """Run each of *works* in a thread, wait for all, and raise what one of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), f"a thread is still waiting after {PATIENCE:g} s"


class ThreadTests(StoreTests):
    """Readers never block and see whole batches; writers wait for each other."""

    @holds(Contract.C7)
    def test_a_scan_sees_one_moment(self, store: DataStore, backend: StoreBackend) -> None:
        """A scan that is under way sees nothing of a batch written meanwhile; a new one sees all of it."""
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10)])
        scan = backend.scan(Query(QUOTES), rows=5)
        first = next(scan).num_rows
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(10, 20)])
        store.delete(store.select(Quote, start=8, end=10))
        assert first + sum(batch.num_rows for batch in scan) == 10
        assert store.select(Quote).count() == 18

    @holds(Contract.C7)
    def test_many_threads_write_and_read(self, store: DataStore) -> None:
        """Threads that write and read at once lose nothing, and each reads what it wrote."""

        def work(number: int) -> None:
            for ts in range(10):
                store.save(Quote(f"S{number}", Instant(ts), 1, 2))
                assert ts + 1 == store.select(Quote, f"S{number}").count()

        run_together(*(lambda number=number: work(number) for number in range(6)))
        assert 60 == store.select(Quote).count() == sum(batch.inserted for batch in store.batches())

    @holds(Contract.C7)
    def test_equal_rows_of_many_threads_are_counted(self, store: DataStore) -> None:
        """Threads that store the same rows at once leave them as often as the fullest of their batches had them."""
        rows = [Quote("A", Instant(ts // 2), 1, 2) for ts in range(20)]
        bars = [Bar("A", Instant(ts), 1, 2, 1, 2, 1, "1m") for ts in range(10)]
        run_together(*[lambda: store.save([*rows, *bars])] * 4)
        assert (rows, bars) == (store.get_quotes(), store.get_bars())

    @holds(Contract.C7)
    def test_readers_see_whole_batches(self, store: DataStore) -> None:
        """No reader ever sees a part of a batch while batches are written and deleted."""
        done = threading.Event()

        def write() -> None:
            try:
                for ts in range(8):
                    with store.batch() as batch:
                        for call in range(4):
                            rows = [Quote("A", Instant(100 * ts + 10 * call + n), 1, 2) for n in range(5)]
                            batch.write(QUOTES, to_table(QUOTES, rows))
                store.delete(store.select(Quote))
            finally:
                done.set()

        def read() -> None:
            while not done.is_set():
                assert store.select(Quote).count() % 20 == 0
                assert len(store.get_quotes()) % 20 == 0

        run_together(write, read, read)
        assert store.select(Quote).count() == 0

    @holds(Contract.C7)
    def test_a_writer_waits_for_another(self, store: DataStore) -> None:
        """A second writer waits until the batch of the first has ended, and both are stored."""
        begun = threading.Event()
        order: list[str] = []

        def first() -> None:
            with store.batch() as batch:
                begun.set()
                batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2)]))
                assert store.select(Quote, "B").count() == 0
                threading.Event().wait(0.05)
                order.append("first")

        def second() -> None:
            assert begun.wait(PATIENCE)
            store.save(Quote("B", Instant(1), 1, 2))
            order.append("second")

        run_together(first, second)
        assert order == ["first", "second"]
        assert store.select(Quote).count() == 2

    @holds(Contract.C7)
    def test_many_threads_write_to_one_stream(self, store: DataStore) -> None:
        """Threads that write to one stream lose nothing, and each thread's rows keep their order."""
        with store.stream(max_rows=7, max_delay="1ms") as stream:

            def write(number: int) -> None:
                for place in range(25):
                    stream.write(Quote(f"S{number}", Instant(place // 5), place, 99))

            run_together(*(lambda number=number: write(number) for number in range(4)))
        for number in range(4):
            assert list(range(25)) == [quote.bid for quote in store.get_quotes(f"S{number}")]
