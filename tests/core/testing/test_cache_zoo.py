"""The conformance kit of caches finds every broken one, and names the promise that is broken."""

from __future__ import annotations

import pytest
from cache_zoo import ZOO

from fpa_core.testing import CachePromise

pytest_plugins = ["pytester"]

SUITE = """
from functools import partial

import pytest
from fpa_core.testing import CacheContract
from cache_zoo import open_animal


class TestAnimal(CacheContract):
    @pytest.fixture
    def cache_factory(self):
        return lambda _: partial(open_animal, "{name}")
"""


def run_kit(pytester: pytest.Pytester, name: str, tests: str) -> pytest.RunResult:
    """Run tests of the kit on a cache of the zoo."""
    pytester.makepyfile(SUITE.format(name=name))
    return pytester.runpytest_inprocess("-q", "-x", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", tests)


@pytest.mark.parametrize("name", ZOO)
def test_a_broken_cache_is_found(pytester: pytest.Pytester, name: str) -> None:
    """A cache that breaks one promise fails the kit, and the failure names this promise."""
    result = run_kit(pytester, name, ZOO[name].test)
    assert 1 == result.parseoutcomes().get("failed"), result.stdout.str()
    assert CachePromise[ZOO[name].promise].value in result.stdout.str()


def test_the_wrapper_is_innocent(pytester: pytest.Pytester) -> None:
    """A correct cache in the wrapper of the broken ones passes the whole kit but for what needs capabilities."""
    result = run_kit(pytester, "Innocent", "TestAnimal")
    outcomes = result.parseoutcomes()
    assert {"passed", "skipped"} == outcomes.keys() - {"warnings", "warning"}, result.stdout.str()
    assert outcomes["passed"] > 60
    for capability in ("SHARED", "PERSISTENT"):
        result.stdout.fnmatch_lines([f"*the cache does not declare Capability.{capability}"])


def test_the_zoo_has_animals_of_every_promise() -> None:
    """Every promise that a cache can break is broken by one of at least twelve caches."""
    assert {promise.name for promise in CachePromise} == {animal.promise for animal in ZOO.values()}
    assert len(ZOO) >= 12


def test_a_cache_that_cannot_be_opened_fails(pytester: pytest.Pytester) -> None:
    """A fixture that skips, because a server is missing, does not pass for a kit that was run."""
    pytester.makepyfile(
        SUITE.format(name="Innocent").replace("        return", "        pytest.skip('no server')\n        return")
    )
    result = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "absent_keys")
    result.stdout.fnmatch_lines(["*all tests were skipped, so nothing was tested*"])
    assert result.ret != 0
