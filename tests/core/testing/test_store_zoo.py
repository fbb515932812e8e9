"""The conformance kit finds every broken store, and names the contract that is broken."""

from __future__ import annotations

import pytest
from store_zoo import ZOO

from fpa_core.testing import Contract

pytest_plugins = ["pytester"]

SUITE = """
from functools import partial

import pytest
from fpa_core.testing import StoreContract
from store_zoo import open_animal


class TestAnimal(StoreContract):
    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: partial(open_animal, "{name}", tmp_path / name)
"""


def run_kit(pytester: pytest.Pytester, name: str, tests: str) -> pytest.RunResult:
    """Run tests of the kit on a store of the zoo."""
    pytester.makepyfile(SUITE.format(name=name))
    return pytester.runpytest_inprocess("-q", "-x", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", tests)


@pytest.mark.parametrize("name", ZOO)
def test_a_broken_store_is_found(pytester: pytest.Pytester, name: str) -> None:
    """A store that breaks one contract fails the kit, and the failure names this contract."""
    result = run_kit(pytester, name, ZOO[name].test)
    assert 1 == result.parseoutcomes().get("failed"), result.stdout.str()
    assert Contract[ZOO[name].contract].value in result.stdout.str()
    result.stdout.re_match_lines_random(
        [r"E +(AssertionError|fpa_core\.exceptions\.DatabaseError): .*"]
    )  # no slip of the wrapper


def test_the_wrapper_is_innocent(pytester: pytest.Pytester) -> None:
    """A correct store in the wrapper of the broken ones passes all tests that find these."""
    result = run_kit(pytester, "Innocent", " or ".join(sorted({animal.test for animal in ZOO.values()})))
    outcomes = result.parseoutcomes()
    assert {"passed"} == outcomes.keys() - {"deselected", "warnings", "warning"}, result.stdout.str()
    assert outcomes["passed"] >= len({animal.test for animal in ZOO.values()})


def test_the_zoo_has_animals_of_every_contract() -> None:
    """Every contract that a store can break is broken by one of at least twenty stores."""
    assert {contract.name for contract in Contract} == {animal.contract for animal in ZOO.values()}
    assert len(ZOO) >= 20


def test_what_is_not_declared_is_skipped(pytester: pytest.Pytester) -> None:
    """Tests of capabilities that a store does not declare are skipped with a reason that names them; the others run."""
    result = run_kit(pytester, "DeclaresNothing", "undo or deleted_row or two_handles or killed_in_a_batch")
    outcomes = result.parseoutcomes()
    assert {"passed", "skipped"} == outcomes.keys() - {"deselected"}, result.stdout.str()
    for capability in ("KNOWN_AT", "UNDO", "SHARED", "PERSISTENT"):
        result.stdout.fnmatch_lines([f"*the store does not declare Capability.{capability}"])


def test_a_run_in_which_all_is_skipped_fails(pytester: pytest.Pytester) -> None:
    """A run in which no test was executed fails: it proves nothing."""
    result = run_kit(pytester, "DeclaresNothing", "test_undo_only_once or test_killed")
    assert 1 == result.parseoutcomes().get("errors"), result.stdout.str()
    result.stdout.fnmatch_lines(["*TestAnimal: all tests were skipped, so nothing was tested*"])


def test_a_store_that_cannot_be_opened_fails(pytester: pytest.Pytester) -> None:
    """A fixture that skips, because a server is missing, does not pass for a kit that was run."""
    pytester.makepyfile(
        SUITE.format(name="Innocent").replace("        return", "        pytest.skip('no server')\n        return")
    )
    result = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "equal_rows_are_kept")
    result.stdout.fnmatch_lines(["*all tests were skipped, so nothing was tested*"])
    assert result.ret != 0
