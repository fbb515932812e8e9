"""How the kits skip tests of what is not declared, and fail a run in which every test was skipped."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from fpa_core.protocols import Capability

__all__ = ["expect_one_executed", "skip_undeclared", "was_executed"]

_EXECUTED = pytest.StashKey[int]()
"""How many tests of a class have run in this process."""


def expect_one_executed(request: pytest.FixtureRequest) -> None:
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


def skip_undeclared(needed: Collection[Capability], declared: Collection[Capability], what: str) -> None:
    """Skip a test that needs capabilities which *what*, a store or a cache, does not declare."""
    if missing := sorted(set(needed) - set(declared)):
        names = ", ".join(f"Capability.{Capability(one).name}" for one in missing)
        pytest.skip(f"the {what} does not declare {names}")


def was_executed(request: pytest.FixtureRequest) -> None:
    """Count a test that was not skipped."""
    request.node.getparent(pytest.Class).stash[_EXECUTED] += 1
