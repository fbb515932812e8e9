"""How the kits skip tests of what is not declared, and fail a run in which every test was skipped."""

from __future__ import annotations

import contextlib

import pytest

from fpa_core.protocols import Capability
from fpa_core.testing.contracts import capabilities_of

__all__ = ["skip_undeclared"]

_EXECUTED = pytest.StashKey[int]()
"""How many tests of a class have run in this process."""


def skip_undeclared(request: pytest.FixtureRequest, factory: str, what: str) -> None:
    """Skip a test of capabilities that are not declared; fail a run in which every test of the class is skipped.

    :param factory: the fixture that opens a store or a cache of a name; it may skip the test, too.
    :param what: what it opens, for the reason.
    """
    _expect_one_executed(request)
    open_named = request.getfixturevalue(factory)
    if needed := capabilities_of(request.function):
        with contextlib.closing(open_named("capabilities")()) as backend:
            missing = sorted(set(needed) - set(backend.capabilities))
        if missing:
            names = ", ".join(f"Capability.{Capability(one).name}" for one in missing)
            pytest.skip(f"the {what} does not declare {names}")
    request.node.getparent(pytest.Class).stash[_EXECUTED] += 1


def _expect_one_executed(request: pytest.FixtureRequest) -> None:
    """Fail the class of a test in the end if none of its tests was executed: such a run proves nothing."""
    group = request.node.getparent(pytest.Class)
    # A worker of pytest-xdist runs only some of the tests, so it may well skip all of them.
    if _EXECUTED in group.stash or hasattr(request.config, "workerinput"):
        group.stash.setdefault(_EXECUTED, 0)
        return
    group.stash[_EXECUTED] = 0

    def check() -> None:
        if not group.stash[_EXECUTED]:
            pytest.fail(f"{group.name}: all tests were skipped, so nothing was tested", pytrace=False)

    group.addfinalizer(check)
