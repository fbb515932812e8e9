"""The SQLite store passes the conformance kit, however its rows come to lie."""

from functools import partial

import pytest
from sqlite_layouts import LAYOUTS, SqliteMachine, laid_out

from fpa_core.testing import StoreContract
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


class TestSqliteStore(StoreContract):
    machine = SqliteMachine

    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db", synchronous="normal"))

    @pytest.fixture(params=LAYOUTS)
    def layout(self, request):
        with laid_out(request.param) as layout:
            yield layout
