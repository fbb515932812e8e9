"""The protocols of backends for DataStore, DataCache and DataValidator, and of data sources.

Core decides policy, and backends implement mechanism. A backend declares by its :class:`Capability` set what it supports beyond the
minimum. Protocols are structural: a backend need not derive from any class here, and uses only the value types.
"""

from fpa_core.protocols.caches import (
    MAX_KEY_LENGTH,
    CacheBackend,
    Entry,
    MinimalCache,
    RemovalCause,
    RemovalListener,
    Usage,
)
from fpa_core.protocols.capabilities import Capability
from fpa_core.protocols.maintenance import MigrationPlan, MigrationStep, Problem, Space, StoreFile, Tick
from fpa_core.protocols.quarantine import SHAPE, QuarantineCount, Quarantined, QuarantineQuery, State
from fpa_core.protocols.receipts import Receipt, Rejection
from fpa_core.protocols.sources import Chunk, Reject, Sniffed, Source, SourceRequest, is_shortened, shortened
from fpa_core.protocols.stores import (
    Batch,
    InventoryEntry,
    KindFigures,
    Query,
    Sealed,
    StoreBackend,
    StoreDescription,
    StoredVersion,
    StoreStream,
    StoreTransaction,
    WriteCounts,
)
from fpa_core.protocols.validators import (
    RANKS,
    Failure,
    Finding,
    RuleClass,
    Severity,
    StoredBars,
    StoredOrder,
    Tally,
    ValidatorBackend,
    Verdict,
)

__all__ = [
    "MAX_KEY_LENGTH",
    "RANKS",
    "SHAPE",
    "Batch",
    "CacheBackend",
    "Capability",
    "Chunk",
    "Entry",
    "Failure",
    "Finding",
    "InventoryEntry",
    "KindFigures",
    "MigrationPlan",
    "MigrationStep",
    "MinimalCache",
    "Problem",
    "QuarantineCount",
    "QuarantineQuery",
    "Quarantined",
    "Query",
    "Receipt",
    "Reject",
    "Rejection",
    "RemovalCause",
    "RemovalListener",
    "RuleClass",
    "Sealed",
    "Severity",
    "Sniffed",
    "Source",
    "SourceRequest",
    "Space",
    "State",
    "StoreBackend",
    "StoreDescription",
    "StoreFile",
    "StoreStream",
    "StoreTransaction",
    "StoredBars",
    "StoredOrder",
    "StoredVersion",
    "Tally",
    "Tick",
    "Usage",
    "ValidatorBackend",
    "Verdict",
    "WriteCounts",
    "is_shortened",
    "shortened",
]
