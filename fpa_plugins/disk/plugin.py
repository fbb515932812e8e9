"""Registers the ``disk`` cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen, validators

from fpa_core.config import Duration
from fpa_core.hookspecs import hookimpl
from fpa_core.packages import needs

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register
    from fpa_core.protocols import CacheBackend

__all__ = ["DiskOptions"]


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
    user = "the cache 'disk'"
    with needs("diskcache", user, plugin="disk"), needs("apsw-sqlite3mc", user, modules={"apsw"}, plugin="disk"):
        from fpa_plugins.disk.cache import DiskCache
    return DiskCache(options.path, max_bytes=options.max_bytes, timeout=options.timeout)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Register the cache."""
    register("disk", create, DiskOptions)
