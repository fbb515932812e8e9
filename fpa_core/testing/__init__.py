"""Conformance kits: what a backend must pass to be used with this framework.

A store plugin's whole test file::

    from functools import partial

    import pytest
    from fpa_core.testing import StoreContract

    from acme.store import AcmeOptions, open_store


    class TestAcmeStore(StoreContract):
        @pytest.fixture
        def store_factory(self, tmp_path):
            return lambda name: partial(open_store, AcmeOptions(path=tmp_path / name))

A cache's is the same with ``CacheContract`` and the fixture ``cache_factory``. :func:`check_rule` tests a rule of one's own,
and :func:`check_history` the history of a source.

Needs the extra ``testing``: pytest and Hypothesis.
"""

import pytest

pytest.register_assert_rewrite("fpa_core.testing.store", "fpa_core.testing.cache")

from fpa_core.testing.cache import CacheContract, CacheMachine  # noqa: E402  # after asserts are prepared
from fpa_core.testing.contracts import CachePromise, Contract  # noqa: E402
from fpa_core.testing.rules import check_rule  # noqa: E402
from fpa_core.testing.sources import check_history  # noqa: E402
from fpa_core.testing.store import StoreContract, StoreMachine  # noqa: E402

__all__ = [
    "CacheContract",
    "CacheMachine",
    "CachePromise",
    "Contract",
    "StoreContract",
    "StoreMachine",
    "check_history",
    "check_rule",
]
