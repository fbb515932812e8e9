"""All that a store must pass, in one class."""

from __future__ import annotations

from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, StoreBackend
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.accounts import AccountTests
from fpa_core.testing.store.base import StoreTests
from fpa_core.testing.store.batches import BatchTests
from fpa_core.testing.store.copies import CopyTests
from fpa_core.testing.store.coverage import CoverageTests
from fpa_core.testing.store.crashes import CrashTests
from fpa_core.testing.store.exactness import ExactnessTests
from fpa_core.testing.store.history import HistoryTests
from fpa_core.testing.store.latest import LatestTests
from fpa_core.testing.store.machine import MachineTests
from fpa_core.testing.store.multisets import MultisetTests
from fpa_core.testing.store.processes import ProcessTests
from fpa_core.testing.store.quarantine import QuarantineTests
from fpa_core.testing.store.queries import QueryTests
from fpa_core.testing.store.retention import RetentionTests
from fpa_core.testing.store.sealing import SealingTests
from fpa_core.testing.store.threads import ThreadTests
from fpa_core.testing.store.versions import VersionTests

__all__ = ["StoreContract"]


class DeclarationTests(StoreTests):
    """A store says what it can do."""

    @holds(Contract.C1)
    def test_capabilities_are_declared(self, backend: StoreBackend, store: DataStore) -> None:
        """A store declares a set of capabilities, describes itself, and holds what was saved."""
        assert isinstance(backend.capabilities, frozenset)
        assert backend.capabilities <= set(Capability)
        assert Capability.STORES_BYTES not in backend.capabilities, "Capability.STORES_BYTES is for caches"
        store.save(Quote("A", Instant(1), 1, 2))
        assert [Quote("A", Instant(1), 1, 2)] == store.get_quotes()
        assert backend.describe().backend


class StoreContract(
    DeclarationTests,
    MultisetTests,
    VersionTests,
    AccountTests,
    BatchTests,
    HistoryTests,
    CoverageTests,
    QuarantineTests,
    ExactnessTests,
    QueryTests,
    LatestTests,
    SealingTests,
    CopyTests,
    RetentionTests,
    ThreadTests,
    ProcessTests,
    CrashTests,
    MachineTests,
):
    """The contracts of a store: subclass it, and override the fixture ``store_factory``.

    Tests of capabilities that the store does not declare are skipped; what it declares must hold. A failure names the contract that is broken
    (:class:`fpa_core.testing.Contract`). A run in which everything is skipped fails.
    """
