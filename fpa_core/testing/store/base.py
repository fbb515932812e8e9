"""What all groups of tests of a store share: how stores are opened, and which tests are skipped."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import Database
from fpa_core.kinds import KINDS
from fpa_core.protocols import StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing.runs import skip_undeclared

__all__ = ["Fresh", "Opener", "StoreFactory", "StoreTests", "contents", "database_of", "law"]

Opener: TypeAlias = Callable[[], StoreBackend]
"""Opens a store; called again, it opens the same data once more if the store is persistent or shared."""

StoreFactory: TypeAlias = Callable[[str], Opener]
"""Returns what opens the store of a name: a letter, then letters, digits and underscores."""

Fresh: TypeAlias = Callable[[], AbstractContextManager[DataStore]]
"""Opens an empty store for one example of a property, and closes it."""

F = TypeVar("F", bound=Callable[..., Any])

_RELAXED = [
    HealthCheck.differing_executors,  # the tests are inherited
    HealthCheck.function_scoped_fixture,  # each example opens a store of its own
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]


def law(*strategies: st.SearchStrategy[Any], cost: int = 1) -> Callable[[F], F]:
    """Return a decorator for a property that holds for all values of *strategies*, its last parameters.

    :param cost: how many times as long as others an example takes; so many times fewer are tried.
    """
    examples = max(1, settings().max_examples // cost)

    def decorate(test: F) -> F:
        effort = settings(deadline=None, suppress_health_check=_RELAXED, max_examples=examples)
        return effort(given(*strategies)(test))  # type: ignore[return-value]

    return decorate


def contents(store: DataStore) -> dict[str, list[Any]]:
    """Return all records of a store by the names of their kinds."""
    return {name: store.select(name).to_list() for name in KINDS}


def database_of(store: DataStore) -> Database:
    """Return the database under a store of the engine; skip the test if the store is of another kind."""
    if not isinstance(store.backend, EngineStore):
        pytest.skip("the store does not use the engine")
    return store.backend.database


class StoreTests:
    """A group of tests of a store."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        """Return a function that returns, for a name, what opens the store of that name: the one fixture to override.

        What it returns must be picklable if the store is SHARED or PERSISTENT: it is called in other processes, too.
        """
        raise NotImplementedError("override the fixture store_factory: lambda name: partial(open_store, options)")

    @pytest.fixture
    def layout(self) -> str:
        """Return how the store lays out its rows; override it with parameters to run all tests on several layouts."""
        return "default"

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest, layout: str) -> None:
        """Skip tests of capabilities that the store does not declare; fail a run in which every test is skipped."""
        del layout
        skip_undeclared(request, "store_factory", "store")

    @pytest.fixture
    def opener(self, layout: str, store_factory: StoreFactory) -> Opener:
        """Return what opens the store of this test."""
        del layout
        return store_factory("test")

    @pytest.fixture
    def backend(self, opener: Opener) -> Iterator[StoreBackend]:
        """Open the store of this test."""
        with contextlib.closing(opener()) as backend:
            yield backend

    @pytest.fixture
    def store(self, backend: StoreBackend) -> DataStore:
        """Return the store of this test as users see it."""
        return DataStore(backend)

    @pytest.fixture
    def fresh(self, layout: str, store_factory: StoreFactory) -> Fresh:
        """Return what opens an empty store each time."""
        del layout
        numbers = itertools.count()
        return lambda: contextlib.closing(DataStore(store_factory(f"fresh_{next(numbers)}")()))
