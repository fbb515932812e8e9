"""Keeping records: the store people use, the selections they read, and the rules by which rows are merged."""

from fpa_core.store.datastore import DataStore
from fpa_core.store.selection import Selection

__all__ = ["DataStore", "Selection"]
