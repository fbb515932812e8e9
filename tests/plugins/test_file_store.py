"""A store that a page of code makes of the port's plain form keeps every contract."""

from __future__ import annotations

from functools import partial

import pytest
from file_store import open_file_store

from fpa_core.testing import StoreContract


class TestFileStore(StoreContract):
    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: partial(open_file_store, tmp_path / f"{name}.store")
