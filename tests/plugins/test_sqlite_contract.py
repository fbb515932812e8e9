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

    # What the contracts demand and this store does not do yet.

    @pytest.mark.xfail(reason="the groups of a stream are one batch, recorded when the stream began", strict=True)
    def test_a_stream_is_known_group_by_group(self, store):
        super().test_a_stream_is_known_group_by_group(store)

    @pytest.mark.xfail(reason="a batch that was undone is not asked for when a deletion is undone", strict=True)
    def test_undo_of_a_deletion_brings_back_nothing_that_was_undone(self, store):
        super().test_undo_of_a_deletion_brings_back_nothing_that_was_undone(store)

    @pytest.mark.xfail(reason="replayed rows are not told from those of an earlier batch", strict=True)
    def test_a_replayed_row_is_recognised_in_an_earlier_batch(self, store):
        super().test_a_replayed_row_is_recognised_in_an_earlier_batch(store)
