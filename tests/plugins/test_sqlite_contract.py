"""The SQLite store passes the conformance kit."""

from functools import partial

import pytest

from fpa_core.testing import StoreContract
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: partial(open_store, SqliteOptions(path=tmp_path / f"{name}.db"))
