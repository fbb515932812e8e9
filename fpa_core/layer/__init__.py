"""The data layer: the only place in which store, cache and validator meet."""

from fpa_core.layer.datalayer import DataLayer
from fpa_core.layer.inputs import files_of
from fpa_core.layer.opening import open_layer, open_tree

__all__ = ["DataLayer", "files_of", "open_layer", "open_tree"]
