"""Fill a cache in advance, with bounded concurrency. A failure does not stop the rest, and fresh values are kept."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fpa_core.cache.answers import WarmReport
from fpa_core.exceptions import CacheError

__all__ = ["awarm", "warm"]

_LOADED, _PRESENT, _UNSTORED = "loaded", "present", "unstored"


def warm(
    contains: Callable[[str], bool],
    load: Callable[[str], Any],
    keys: Iterable[str],
    fetch: Callable[..., Any],
    workers: int,
) -> WarmReport:
    """Warm with threads that end with this call.

    :param contains: returns whether a key has a fresh value.
    :param fetch: ``get_or_load`` with its other arguments bound.
    """
    _check(workers)

    def one(key: str) -> str | Exception:
        try:
            if contains(key):
                return _PRESENT
            fetch(key, lambda: load(key))
            return _LOADED if contains(key) else _UNSTORED
        except Exception as error:  # noqa: BLE001 - reported, and the other keys continue
            return error

    started = time.perf_counter()
    wanted = list(dict.fromkeys(keys))
    if workers == 1:
        outcomes = [one(key) for key in wanted]
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="fpa-warm") as pool:
            jobs = [pool.submit(contextvars.copy_context().run, one, key) for key in wanted]
            outcomes = [job.result() for job in jobs]
    return _report(wanted, outcomes, started)


async def awarm(
    contains: Callable[[str], bool],
    load: Callable[[str], Any],
    keys: Iterable[str],
    fetch: Callable[..., Awaitable[Any]],
    workers: int,
) -> WarmReport:
    """Warm with at most *workers* loads at once on the running event loop; the parameters are those of :func:`warm`."""
    import asyncio

    _check(workers)
    free = asyncio.Semaphore(workers)

    async def one(key: str) -> str | Exception:
        async with free:
            try:
                if contains(key):
                    return _PRESENT
                await fetch(key, lambda: load(key))
                return _LOADED if contains(key) else _UNSTORED
            except Exception as error:  # noqa: BLE001 - as for threads
                return error

    started = time.perf_counter()
    wanted = list(dict.fromkeys(keys))
    return _report(wanted, await asyncio.gather(*map(one, wanted)), started)


def _check(workers: int) -> None:
    if workers < 1:
        raise CacheError(f"warming needs at least one worker, not {workers}")


def _report(keys: list[str], outcomes: Iterable[str | Exception], started: float) -> WarmReport:
    by_outcome: dict[str, list[str]] = {_LOADED: [], _PRESENT: [], _UNSTORED: []}
    failed: dict[str, Exception] = {}
    for key, outcome in zip(keys, outcomes, strict=True):
        if isinstance(outcome, Exception):
            failed[key] = outcome
        else:
            by_outcome[outcome].append(key)
    return WarmReport(
        tuple(by_outcome[_LOADED]),
        tuple(by_outcome[_PRESENT]),
        tuple(by_outcome[_UNSTORED]),
        failed,
        time.perf_counter() - started,
    )
