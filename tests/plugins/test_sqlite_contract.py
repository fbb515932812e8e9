"""The SQLite store passes the conformance kit, however its rows come to lie."""

from functools import partial

import pytest
from sqlite_layouts import SqliteMachine, laid_out

from fpa_core.testing import StoreContract
from fpa_core.testing.store.base import StoreTests
from fpa_core.testing.store.batches import BatchTests
from fpa_core.testing.store.copies import CopyTests
from fpa_core.testing.store.exactness import ExactnessTests
from fpa_core.testing.store.history import HistoryTests
from fpa_core.testing.store.latest import LatestTests
from fpa_core.testing.store.machine import MachineTests
from fpa_core.testing.store.multisets import MultisetTests
from fpa_core.testing.store.quarantine import QuarantineTests
from fpa_core.testing.store.queries import QueryTests
from fpa_core.testing.store.retention import RetentionTests
from fpa_core.testing.store.sealing import SealingTests
from fpa_core.testing.store.versions import VersionTests
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


class OnSqlite(StoreTests):
    """Opens SQLite stores for tests of the kit."""

    machine = SqliteMachine

    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db", synchronous="normal"))


class TestSqliteStore(OnSqlite, StoreContract):
    """The whole kit, where there are all sorts of rows, and so all statements."""

    @pytest.fixture(params=["mixed"])
    def layout(self, request):
        with laid_out(request.param) as layout:
            yield layout


class TestSqliteLayouts(
    OnSqlite,
    MultisetTests,
    VersionTests,
    BatchTests,
    HistoryTests,
    QuarantineTests,
    ExactnessTests,
    QueryTests,
    LatestTests,
    SealingTests,
    CopyTests,
    RetentionTests,
    MachineTests,
):
    """What is written and read, where all rows lie alike; processes, threads and kills do not see how they lie."""

    @pytest.fixture(params=["hot", "sealed"])
    def layout(self, request):
        with laid_out(request.param) as layout:
            yield layout
