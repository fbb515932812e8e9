"""Operating a store: checks, repair, backups, restoring, compaction and migration plans. What a store can do of it, it declares."""

from fpa_core.operations.audit_log import AuditReport
from fpa_core.operations.backup import Backup
from fpa_core.operations.changes import Change
from fpa_core.operations.check import CheckReport
from fpa_core.operations.comparison import Comparison, Difference
from fpa_core.operations.restore import Restored
from fpa_core.operations.retention import Expired, RetentionPlan, RetentionReport, RetentionStep
from fpa_core.operations.service import Operations

__all__ = [
    "AuditReport",
    "Backup",
    "Change",
    "CheckReport",
    "Comparison",
    "Difference",
    "Expired",
    "Operations",
    "Restored",
    "RetentionPlan",
    "RetentionReport",
    "RetentionStep",
]
