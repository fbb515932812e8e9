"""Registers the ``redis`` cache; the driver is imported when a cache is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.exceptions import CacheError
from fpa_core.hookspecs import hookimpl
from fpa_core.packages import needs
from fpa_plugins.redis.options import RedisOptions

if TYPE_CHECKING:
    from fpa_core.hookspecs import Register
    from fpa_core.protocols import CacheBackend

__all__ = ["RedisOptions"]


def create(options: RedisOptions) -> CacheBackend:
    """Create the cache. The server is first asked when the cache is used.

    :raises CacheError: if the URL or a certificate cannot be read.
    """
    with needs("redis", "the cache 'redis'", extra="redis", plugin="redis"):
        from fpa_plugins.redis.cache import RedisCache
    for file in (options.ca_file, options.cert_file, options.key_file):
        if file is not None and not file.is_file():
            raise CacheError(f"there is no file {file}", hint="check ca_file, cert_file and key_file in [cache]")
    return RedisCache(options)


@hookimpl
def fpa_register_caches(register: Register[CacheBackend]) -> None:
    """Register the cache."""
    register("redis", create, RedisOptions)
