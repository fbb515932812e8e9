"""DataStore, and the selections it reads."""

from fpa_core.store.datastore import DataStore
from fpa_core.store.selection import Selection

__all__ = ["DataStore", "Selection"]
