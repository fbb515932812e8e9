"""The cache that a configuration describes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from fpa_core.cache.datacache import DataCache
from fpa_core.cache.tiers import TieredCache
from fpa_core.cache.ttl import UNSET
from fpa_core.config import CacheSection
from fpa_core.protocols import CacheBackend

__all__ = ["make_cache"]


def make_cache(section: CacheSection, create: Callable[[str, Any], CacheBackend]) -> DataCache:
    """Return the cache of ``[cache]``; *create* makes a backend from its name and options.

    :raises CacheError: if the backends cannot be used, or not in this order.
    """
    return DataCache(
        _backend(section, create),
        ttl=section.ttl["default"],
        ttls={kind: lifetime for kind, lifetime in section.ttl.items() if kind != "default"},
        negative_ttl=UNSET if section.negative_ttl is None else section.negative_ttl,
        namespace=section.namespace,
        jitter=section.jitter,
        stale_while_revalidate=section.stale_while_revalidate,
        stale_if_error=section.stale_if_error,
        sweep_every=section.sweep_every,
    )


def _backend(section: CacheSection, create: Callable[[str, Any], CacheBackend]) -> CacheBackend:
    if isinstance(section.backend, str):
        return create(section.backend, section.options)
    with contextlib.ExitStack() as stack:  # closes the first unless both can be used
        tiers: list[CacheBackend] = []
        for name, options in zip(section.backend, section.options, strict=True):
            tiers.append(create(name, options))
            stack.callback(tiers[-1].close)
        l1, l2 = tiers
        tiered = TieredCache(l1, l2)
        stack.pop_all()
    return tiered
