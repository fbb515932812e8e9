"""Registers the ``disk`` cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen, validators

from fpa_core.config import Duration
from fpa_core.exceptions import MissingDependencyError
from fpa_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register
    from fpa_core.protocols import CacheBackend

__all__ = ["DiskOptions"]


_PACKAGES = {"diskcache": "diskcache>=5.6.3,<6", "apsw": "apsw-sqlite3mc>=3.51.3,<4"}


@frozen
class DiskOptions:
    """Options of the ``disk`` cache.

    :ivar path: the folder; created if it does not exist. It must be on a local disk and belong to this user.
    :ivar max_bytes: the approximate size limit in bytes; the oldest entries are evicted first.
    :ivar timeout: the total time in seconds to wait for other threads and processes before an error is raised.
    """

    path: Path = field(default=Path(".fpa-cache"), converter=Path)
    max_bytes: int = field(default=2**30, validator=validators.ge(2**20))
    timeout: Duration = field(default=10.0, validator=validators.gt(0))


def create(options: DiskOptions) -> CacheBackend:
    """Create the cache."""
    try:
        from fpa_plugins.disk.cache import DiskCache
    except ModuleNotFoundError as error:
        if (package := _PACKAGES.get(error.name or "")) is None:
            raise
        raise MissingDependencyError(
            f"the disk cache needs the package {package.partition('>')[0]}",
            plugin="disk",
            package=package.partition(">")[0],
            command=f'pip install "{package}"',
        ) from None
    return DiskCache(options.path, max_bytes=options.max_bytes, timeout=options.timeout)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Register the cache."""
    register("disk", create, DiskOptions)
