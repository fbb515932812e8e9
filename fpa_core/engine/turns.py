"""One writer at a time: how the threads of a process take turns at a database that lets only one of them write."""

from __future__ import annotations

import threading

from fpa_core.exceptions import DatabaseBusyError

__all__ = ["Turns"]


class Turns:
    """The right of this process to write, as a context in which one thread has it and the others wait.

    After a fork it is of no use to the child, which has to make its own: a thread that held it is not there to release it.

    :param store: the database, as errors name it.
    :param busy_timeout: how long a thread waits for another one, in seconds.
    """

    def __init__(self, store: str, busy_timeout: float) -> None:
        self._store = store
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._thread: int | None = None

    def __enter__(self) -> None:
        """Wait for the turn of this thread.

        :raises DatabaseBusyError: if the wait takes longer than the busy timeout, or this thread is writing already.
        """
        if self._thread == threading.get_ident():
            raise self._busy("this thread is already writing a batch", "finish the batch first, or write through it")
        if not self.acquire(self._busy_timeout):
            problem = f"another thread held the database for longer than {self._busy_timeout:g} s"
            raise self._busy(problem, "let it finish, or raise busy_timeout in [store]")

    def __exit__(self, *failure: object) -> None:
        self.release()

    def acquire(self, timeout: float) -> bool:
        """Take the turn if it comes within *timeout* seconds, and return whether it did; at once if this thread has it already."""
        thread = threading.get_ident()
        if self._thread == thread or not self._lock.acquire(timeout=timeout):
            return False
        self._thread = thread
        return True

    def release(self) -> None:
        """Release the turn, for the next thread."""
        self._thread = None
        self._lock.release()

    def _busy(self, problem: str, hint: str) -> DatabaseBusyError:
        return DatabaseBusyError(f"{self._store}: {problem}", hint=hint, path=self._store, operation="begin a batch")
