"""All that a cache must pass, in one class."""

from __future__ import annotations

from fpa_core.protocols import CacheBackend, Capability
from fpa_core.testing.cache.base import CacheTests
from fpa_core.testing.cache.entries import EntryTests, KeyTests, PurgeTests
from fpa_core.testing.cache.invalidation import FenceTests, GenerationTests, InvalidationTests
from fpa_core.testing.cache.machine import MachineTests
from fpa_core.testing.cache.removals import RemovalTests
from fpa_core.testing.cache.sharing import SharingTests
from fpa_core.testing.contracts import CachePromise, holds

__all__ = ["CacheContract"]


class DeclarationTests(CacheTests):
    """A cache says what it can do."""

    @holds(CachePromise.K1)
    def test_capabilities_are_declared(self, backend: CacheBackend) -> None:
        """A cache declares a set of capabilities, and none that is for stores."""
        assert isinstance(backend.capabilities, frozenset)
        assert backend.capabilities <= {Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES}


class CacheContract(
    DeclarationTests,
    EntryTests,
    KeyTests,
    PurgeTests,
    GenerationTests,
    FenceTests,
    InvalidationTests,
    RemovalTests,
    SharingTests,
    MachineTests,
):
    """The contract of a cache: subclass it, and override the fixture ``cache_factory``.

    Tests of capabilities that the cache does not declare are skipped; what it declares must hold. A failure names the promise that is broken
    (:class:`fpa_core.testing.CachePromise`). A run in which everything is skipped fails. The caches of the tests need room for 2,000 small
    entries and for one of 300,000 bytes.
    """
