"""Rejected records: what validation keeps out of the tables, until it is replayed, fixed or discarded."""

from fpa_core.quarantine.export import COLUMNS, as_dict
from fpa_core.quarantine.service import Quarantine

__all__ = ["COLUMNS", "Quarantine", "as_dict"]
