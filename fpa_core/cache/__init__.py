"""The cache: :class:`DataCache` and what it takes and answers."""

from fpa_core.cache.answers import Hit, Miss, MissReason, WarmReport
from fpa_core.cache.completed import CompletedCache
from fpa_core.cache.datacache import DataCache
from fpa_core.cache.keys import escape, make_key
from fpa_core.cache.removals import Removal
from fpa_core.cache.stats import CacheStats
from fpa_core.cache.ttl import UNSET, Ttl
from fpa_core.protocols import RemovalCause

__all__ = [
    "UNSET",
    "CacheStats",
    "CompletedCache",
    "DataCache",
    "Hit",
    "Miss",
    "MissReason",
    "Removal",
    "RemovalCause",
    "Ttl",
    "WarmReport",
    "escape",
    "make_key",
]
