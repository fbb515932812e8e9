"""The conformance kit of stores."""

from fpa_core.testing.store.base import Fresh, Opener, StoreFactory, StoreTests
from fpa_core.testing.store.contract import StoreContract
from fpa_core.testing.store.machine import StoreMachine, run_machine

__all__ = ["Fresh", "Opener", "StoreContract", "StoreFactory", "StoreMachine", "StoreTests", "run_machine"]
