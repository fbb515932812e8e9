"""One writer at a time: threads wait for each other, and say so if it takes too long."""

from __future__ import annotations

import threading

import pytest

from fpa_core.engine.turns import Turns
from fpa_core.exceptions import DatabaseBusyError

AT_MOST = 10.0


def test_one_thread_at_a_time():
    """Threads that all want to write do so one after the other, and each gets its turn."""
    turns = Turns("p.db", AT_MOST)
    inside, most, done = 0, 0, []

    def write(number):
        nonlocal inside, most
        for _ in range(50):
            with turns:
                inside += 1
                most = max(most, inside)
                inside -= 1
        done.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(AT_MOST)
    assert ([0, 1, 2, 3], 1) == (sorted(done), most)


def test_a_thread_that_is_writing_does_not_wait_for_itself():
    """A second turn of one thread is refused at once, and the first goes on."""
    turns = Turns("p.db", 3_600.0)
    with turns:
        with pytest.raises(DatabaseBusyError, match=r"^p\.db: this thread is already writing a batch") as caught, turns:
            pytest.fail("it writes twice")
        assert not turns.acquire(3_600.0)
    assert ("p.db", "begin a batch") == (caught.value.path, caught.value.operation)
    with turns:
        pass


@pytest.mark.parametrize("how", ["a batch", "a batch that fails", "nothing"])
def test_the_next_thread_waits_only_for_so_long(how):
    """Who waits longer than the busy timeout gets an error with a hint; once the other has ended, however that was, it is its turn."""
    turns = Turns("p.db", 0.01)
    begun, end = threading.Event(), threading.Event()

    def write():
        try:
            with turns:
                begun.set()
                assert end.wait(AT_MOST)
                if how == "a batch that fails":
                    raise KeyError
        except KeyError:
            pass

    if how != "nothing":
        thread = threading.Thread(target=write)
        thread.start()
        assert begun.wait(AT_MOST)
        with (
            pytest.raises(
                DatabaseBusyError, match=r"another thread held the database for longer than 0\.01 s"
            ) as caught,
            turns,
        ):
            pytest.fail("two write at once")
        assert "raise busy_timeout" in str(caught.value.hint)
        assert not turns.acquire(0)
        end.set()
        thread.join(AT_MOST)
    assert turns.acquire(0)
    turns.release()
    with turns:
        pass
