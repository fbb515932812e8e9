"""Operating a store: checks, repair, backups, restoring, compaction and migration plans. What a store can do of it, it declares."""

from fpa_core.operations.backup import Backup
from fpa_core.operations.check import CheckReport
from fpa_core.operations.restore import Restored
from fpa_core.operations.service import Operations

__all__ = ["Backup", "CheckReport", "Operations", "Restored"]
