"""Packages that only some users need, imported when they are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from fpa_core.exceptions import MissingDependencyError

__all__ = ["DISTRIBUTION", "needs"]

DISTRIBUTION = "financial-portfolio-automation"
"""The name under which this program is installed."""


@contextlib.contextmanager
def needs(
    package: str,
    user: str,
    *,
    extra: str | None = None,
    modules: Collection[str] = (),
    library: str | None = None,
    plugin: str | None = None,
) -> Iterator[None]:
    """Import modules of a package in a ``with`` statement: if they are missing, the error names the command that installs them.

    :param package: the name of the package, as for pip.
    :param user: what needs it, as the message begins, such as ``the cache 'redis'``.
    :param extra: the extra of this program that the package belongs to; None if it comes with every installation.
    :param modules: the names of the modules that come with it, as they are imported; by default that of the package.
    :param library: a library of the system without which the package cannot be imported; its error names that.
    :param plugin: the plugin that needs it; None for core.
    :raises MissingDependencyError: if one of these modules is missing. Any other error of an import is a mistake, and is passed on.
    """
    try:
        yield
    except ImportError as error:
        absent = (error.name or "").partition(".")[0] in (modules or {package})
        if not absent and (library is None or library not in str(error)):
            raise
        raise MissingDependencyError(
            f"{user} needs the package {package}, which is not installed{f' or finds no {library}' if library else ''}",
            plugin=plugin,
            package=package,
            command=f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}",
        ) from error
