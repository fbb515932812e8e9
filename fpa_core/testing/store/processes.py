"""C7: several processes use the same data at once; for stores that declare SHARED."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.kinds import QUOTES
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Changed
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Opener, StoreTests
from fpa_core.testing.store.threads import PATIENCE, run_together

__all__ = ["ProcessTests", "start"]

ROUNDS = 5
FORKS = 5


def start(work: Callable[..., None], opener: Opener, *args: Any) -> Any:
    """Start a process, which inherits nothing, that calls *work* with *opener* and *args*; return it."""
    try:
        pickle.dumps(opener)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        pytest.fail(
            f"other processes cannot open this store ({error}): store_factory must return something picklable for each "
            "name, as functools.partial(open_store, options)"
        )
    process = multiprocessing.get_context("spawn").Process(target=work, args=(opener, *args), daemon=True)
    process.start()
    return process


def finish(process: Any) -> None:
    """Wait for a process, which must end well."""
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        pytest.fail(f"a process is still waiting after {PATIENCE:g} s")
    assert process.exitcode == 0, f"a process ended with {process.exitcode}; what it raised is on standard error"


def _rows(number: int) -> list[Any]:
    """Return rows of which some are those of the other processes and some are not."""
    shared = [Quote("SHARED", Instant(place // 2), 1, 2) for place in range(8)]
    bars = [Bar("SHARED", Instant(place), 1, 2, 1, 2, 1, "1m") for place in range(4)]
    return [*shared, *bars, *(Quote(f"S{number}", Instant(place // 3), 1, 2) for place in range(6))]


def _write(opener: Opener, number: int) -> None:
    with contextlib.closing(DataStore(opener())) as store:
        for size in range(1, ROUNDS + 1):
            rows = _rows(number)
            store.save(rows[: len(rows) * size // ROUNDS])
            assert store.select(Quote).count()


def _child_stores(store: DataStore, number: int) -> bool:
    """Fork, have the child store a row and read, and return whether it did; if not, it was refused by an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are other threads is the point
        child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        status = 1
        try:
            store.save(Quote("F", Instant(number), 1, 2))
            status = 0 if len(store.get_quotes("A")) == 1_000 else 2
        except DatabaseBusyError:
            status = 3
        except DatabaseError:
            status = 4
        finally:
            os._exit(status)
    until = time.monotonic() + PATIENCE
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f"a forked child is still waiting after {PATIENCE:g} s")
        threading.Event().wait(0.01)
    status = os.waitstatus_to_exitcode(ended[1])
    assert status in {0, 4}, (
        f"a forked child ended with {status}: 1 by another error, 2 with wrong rows, 3 after a wait for a lock"
    )
    return status == 0


class _TakenBackError(Exception):
    """Ends a batch before its commit."""


def _stream(store: DataStore, record: Any) -> None:
    with store.stream() as stream:
        stream.write(record)


def _covers(heard: list[Changed | None], symbol: str) -> bool:
    """Return whether quotes of a symbol are among what was changed, or may be."""
    return any(
        changed is None or (QUOTES in changed and ((names := changed[QUOTES]) is None or symbol in names))
        for changed in list(heard)
    )


def _wait(act: Callable[[], bool], problem: str) -> None:
    end = time.monotonic() + PATIENCE
    while not act():
        assert time.monotonic() < end, problem
        time.sleep(0.002)


class ProcessTests(StoreTests):
    """Processes that write and read the same data lose nothing."""

    @holds(Contract.C7, Capability.SHARED)
    def test_two_handles_see_the_same_data(self, opener: Opener, store: DataStore) -> None:
        """A store opened twice has the same rows, batches and ids, whichever of the two wrote them."""
        with contextlib.closing(DataStore(opener())) as other:
            ids = [one.save(Quote("A", Instant(ts), 1, 2)).batch for ts, one in enumerate((store, other, store))]
            assert sorted(set(ids)) == ids
            assert other.save(Quote("A", Instant(0), 1, 2)).inserted == 0
            assert store.get_quotes() == other.get_quotes()
            assert store.batches() == other.batches()
        assert store.select(Quote).count() == 3

    @holds(Contract.C7, Capability.SHARED, Capability.NOTIFIES)
    def test_what_another_handle_commits_is_passed_on(self, opener: Opener, store: DataStore) -> None:
        """Every change that another handle commits is passed on, with its symbol or as one that may be any; one that is taken back is not."""
        heard: list[Changed | None] = []
        feed = store.backend.follow(heard.append)
        _wait(feed.is_current, "the feed was never current")
        with contextlib.closing(DataStore(opener())) as other:
            heard.clear()
            with contextlib.suppress(_TakenBackError), other.batch() as batch:
                batch.write_records(QUOTES, [Quote("BACK", Instant(1), 1, 2)])
                raise _TakenBackError
            saved = other.save(Quote("A", Instant(1), 1, 2))
            _wait(lambda: _covers(heard, "A"), "a batch was not passed on")
            assert not _covers(heard, "BACK"), "a batch that was taken back was passed on"
            changes: dict[str, Callable[[], object]] = {
                "a group of a stream": lambda: _stream(other, Quote("S", Instant(1), 1, 2)),
                "a deletion": lambda: other.delete(other.select(Quote, "S")),
                "an undo": lambda: other.undo(saved.batch),
            }
            for name, change in changes.items():
                heard.clear()
                change()
                _wait(lambda: _covers(heard, "S"), f"{name} was not passed on")
        assert feed.is_current()

    @holds(Contract.C7, Capability.SHARED)
    def test_processes_write_at_once(self, opener: Opener, store: DataStore) -> None:
        """Rows that several processes store at once, some of them the same, are there as often as the fullest batch had them."""
        processes = [start(_write, opener, number) for number in range(3)]
        while any(process.is_alive() for process in processes):
            assert len(store.get_quotes()) <= store.select(Quote).count(), "rows vanished between two reads"
            for process in processes:
                process.join(0.02)
        for process in processes:
            finish(process)
        expected: Counter[Any] = Counter()
        for number in range(3):
            expected |= Counter(_rows(number))
        assert expected == Counter([*store.get_quotes(), *store.get_bars()])
        batches = store.batches()
        assert 3 * ROUNDS == len(batches) == len({batch.id for batch in batches})
        assert expected.total() == sum(batch.inserted for batch in batches)

    @holds(Contract.C7, Capability.SHARED)
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_forked_child_has_connections_of_its_own(self, store: DataStore) -> None:
        """A forked child can go on with the store without disturbing its parent."""
        store.save(Quote("A", Instant(1), 1, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the test run are not in our way
            child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            status = 1
            try:
                added = store.save(Quote("A", Instant(2), 1, 2)).inserted
                status = 0 if (added, store.select(Quote).count()) == (1, 2) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.save(Quote("A", Instant(3), 1, 2))
        assert store.select(Quote).count() == 3

    @holds(Contract.C7, Capability.SHARED)
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_child_forked_beside_busy_threads_works_or_is_refused(self, store: DataStore) -> None:
        """A child that is forked while threads write and read can use the store, or is told at once that it cannot; the threads go on."""
        store.save([Quote("A", Instant(ts), 1, 2) for ts in range(1_000)])
        done = threading.Event()
        written = 0

        def write() -> None:
            nonlocal written
            while not done.is_set():
                written += store.save(Quote("W", Instant(written), 1, 2)).inserted

        def read() -> None:
            while not done.is_set():
                assert len(store.get_quotes("A")) == 1_000

        stored: list[int] = []

        def fork() -> None:
            try:
                stored.extend(number for number in range(FORKS) if _child_stores(store, number))
            finally:
                done.set()

        run_together(write, read, read, fork)
        assert len(store.get_quotes("W")) == written
        assert stored == [quote.ts_ns for quote in store.get_quotes("F")]
