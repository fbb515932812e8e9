"""Fixtures that every test may use, and how hard Hypothesis tries."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import postgres_server as postgres
import pytest
import quick_databases
import redis_server as redis
from hypothesis import HealthCheck, Phase, settings

from fpa_core.plugins import manager
from fpa_core.plugins.discovery import Candidate, discover
from fpa_core.protocols import StoreBackend
from fpa_core.store import DataStore
from fpa_plugins.sqlite.database import SqliteDatabase
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

if TYPE_CHECKING:
    from fpa_core.testing.store import StoreFactory  # the kit is imported once the profile of Hypothesis is loaded

settings.register_profile("fast", max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
settings.register_profile("default", max_examples=60, deadline=None)
settings.register_profile("torture", max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
# What a change breaks must be told from what chance finds: the same examples on every run of CI, new ones everywhere else.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("FPA_HYPOTHESIS", "ci" if os.environ.get("CI") == "true" else "default"))

# pytest-xdist starts its workers by `python -c`. Without a file and a specification of the main module pyspark takes itself for running
# its own doctests, looks for a whole Spark and exits; with that of `python -m pytest` a worker is like a run without workers.
if sys.modules["__main__"].__spec__ is None and not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("pytest.__main__")

SHARED_DATA = Path(os.environ.get("FPA_SHARED_DATA") or Path(__file__).resolve().parents[1] / "../shared/data")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip long runs, which are marked as torture, unless the marker is named; begin with what takes longest of the others.

    What README and documentation show takes longest: at the end, one worker would be busy with it while the other has nothing to do.
    """
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != here)
    if "torture" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("torture"):
                item.add_marker(pytest.mark.skip(reason="a long run: pytest -m torture"))


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
    return lambda name: functools.partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db"))


@pytest.fixture
def backend(store_factory: StoreFactory) -> Iterator[StoreBackend]:
    """Open an empty store."""
    with contextlib.closing(store_factory("test")()) as opened:
        yield opened


@pytest.fixture
def store(backend: StoreBackend, clock: Callable[[], int]) -> DataStore:
    """Put a store over an empty database."""
    return DataStore(backend, clock=clock)


@pytest.fixture(autouse=True, scope="session")
def _quick_databases() -> Iterator[None]:
    """Copy new databases, rather than run all migrations for each of some twenty thousand, and do not wait for the disk."""
    with quick_databases.quick_databases():
        yield


@pytest.fixture(autouse=True, scope="session")
def _plugins_found_once() -> Iterator[None]:
    """Look for installed plugins once for each search path: the look takes a third of the time in which a layer is opened."""

    @functools.cache
    def installed(path: tuple[str, ...]) -> list[Candidate]:  # noqa: ARG001  # another path has other plugins
        return discover(None)

    def find(entry_points: Iterable[Any] | None) -> list[Candidate]:
        return list(installed(tuple(sys.path))) if entry_points is None else discover(entry_points)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manager, "discover", find)
        yield


@pytest.fixture
def migrated_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new databases by the migrations, and wait for the disk, as programs do."""
    monkeypatch.setattr(SqliteDatabase, "__init__", quick_databases.begin)


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
