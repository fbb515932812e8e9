"""Fixtures that every test may use, and how hard Hypothesis tries."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import postgres_server as postgres
import pytest
import redis_server as redis
from hypothesis import HealthCheck, Phase, settings

from fpa_core.protocols import StoreBackend
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

if TYPE_CHECKING:
    from fpa_core.testing.store import StoreFactory  # the kit is imported once the profile of Hypothesis is loaded

settings.register_profile("fast", max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
settings.register_profile("default", max_examples=40, deadline=None)
settings.register_profile("torture", max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
# What a change breaks must be told from what chance finds: the same examples on every run of CI, new ones everywhere else.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("FPA_HYPOTHESIS", "ci" if os.environ.get("CI") == "true" else "default"))

# pytest-xdist starts its workers by `python -c`. Without a file and a specification of the main module pyspark takes itself for running
# its own doctests, looks for a whole Spark and exits; with that of `python -m pytest` a worker is like a run without workers.
if sys.modules["__main__"].__spec__ is None and not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("pytest.__main__")

SHARED_DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).resolve().parents[1] / "../shared/data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real market data; tests that need it are skipped where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no market data at {SHARED_DATA}; FPA_SHARED_DATA names their folder")
    return SHARED_DATA.resolve()


@pytest.fixture
def clock() -> Callable[[], int]:
    """Return a clock that advances by a second each time it is asked."""
    now = 1_700_000_000_000_000_000

    def tick() -> int:
        nonlocal now
        now += 1_000_000_000
        return now

    return tick


@pytest.fixture
def store_factory(tmp_path: Path) -> StoreFactory:
    """Return what opens the store of a name: the same fixture as that of the conformance kit."""
    return lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db"))


@pytest.fixture
def backend(store_factory: StoreFactory) -> Iterator[StoreBackend]:
    """Open an empty store."""
    with contextlib.closing(store_factory("test")()) as opened:
        yield opened


@pytest.fixture
def store(backend: StoreBackend, clock: Callable[[], int]) -> DataStore:
    """Put a store over an empty database."""
    return DataStore(backend, clock=clock)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a test, or a command that it runs, sets up of logging."""
    loggers = [logging.getLogger(name) for name in ("fpa", "websockets")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep variables of whoever runs the tests away from the configuration under test."""
    for name in os.environ:
        if name.startswith("FPA_") and name not in {"FPA_SHARED_DATA", "FPA_HYPOTHESIS"}:
            monkeypatch.delenv(name)


# The servers that several modules of tests use: each is started once, when it is first needed.


@pytest.fixture(scope="session")
def redis_server() -> Iterator[redis.RedisServer]:
    """Start one server."""
    with redis.or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(redis.running())


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[redis.RedisServer]]:
    """Start a cluster of three masters."""
    with redis.or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(redis.cluster())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """Start a PostgreSQL server."""
    with postgres.or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(postgres.running())
