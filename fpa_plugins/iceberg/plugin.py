"""Registers the lake ``iceberg``; pyiceberg is imported when something is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.hookspecs import Register, hookimpl
from fpa_core.packages import needs
from fpa_plugins.iceberg.options import IcebergOptions

if TYPE_CHECKING:
    from fpa_core.protocols import Lake

__all__ = ["IcebergOptions"]


def open_lake(options: IcebergOptions) -> Lake:
    """Open, and if need be make, the catalog."""
    modules = {"pyiceberg", "sqlalchemy", "pyarrow"}
    with needs("pyiceberg", "the lake 'iceberg'", extra="lake", modules=modules, plugin="iceberg"):
        from fpa_plugins.iceberg.lake import IcebergLake
    return IcebergLake(options)


@hookimpl
def fpa_register_lakes(register: Register[Lake]) -> None:
    """Register the lake."""
    register("iceberg", open_lake, IcebergOptions)
