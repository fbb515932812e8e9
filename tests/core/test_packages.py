"""Packages that are missing: the error names the package, who needs it, and the command that installs it."""

from __future__ import annotations

import pytest

from fpa_core.exceptions import MissingDependencyError
from fpa_core.packages import needs


@pytest.mark.parametrize("module", ["redis", "redis.client"])
def test_a_package_of_an_extra(module):
    """What an extra brings is installed with it."""
    with (
        pytest.raises(
            MissingDependencyError, match=r"^the cache 'redis' needs the package redis, which is not installed"
        ) as caught,
        needs("redis", "the cache 'redis'", extra="redis", plugin="redis"),
    ):
        raise ModuleNotFoundError(name=module)
    found = caught.value
    assert ("redis", "redis", "pip install 'financial-portfolio-automation[redis]'") == (
        found.plugin,
        found.package,
        found.command,
    )


def test_a_package_of_every_installation():
    """What every installation has comes back by installing the program again, in a version that it works with."""
    with pytest.raises(MissingDependencyError) as caught, needs("apsw-sqlite3mc", "the store", modules={"apsw"}):
        raise ModuleNotFoundError(name="apsw")
    assert ("apsw-sqlite3mc", "pip install financial-portfolio-automation") == (
        caught.value.package,
        caught.value.command,
    )


def test_one_of_several_packages():
    """Of several packages the one that is missing is named."""
    with (
        pytest.raises(MissingDependencyError, match="needs the package numpy,"),
        needs("pyarrow", "the store"),
        needs("numpy", "the store"),
        needs("apsw", "the store"),
    ):
        raise ModuleNotFoundError(name="numpy")


def test_a_library_of_the_system():
    """A package that is there but does not find the library it needs is told as such."""
    with (
        pytest.raises(
            MissingDependencyError, match="needs the package psycopg, which is not installed or finds no libpq"
        ),
        needs("psycopg", "the store 'postgres'", extra="postgres", library="libpq"),
    ):
        raise ImportError("no pq wrapper available: libpq library not found")


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError(name="numpi"), ImportError("cannot import name 'x'"), ValueError("x")], ids=repr
)
@pytest.mark.parametrize("library", [None, "libpq"])
def test_mistakes_stay_mistakes(error, library):
    """Any other error of an import is passed on as it is."""
    with pytest.raises(type(error)) as caught, needs("numpy", "the store", library=library):
        raise error
    assert error is caught.value
