"""The options of the lake ``iceberg``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen, validators

from fpa_core.config import Secret

__all__ = ["IcebergOptions"]


@frozen
class IcebergOptions:
    """Keys of ``[lakes.NAME]`` with ``backend = "iceberg"``.

    :ivar folder: the folder of the tables, made when missing.
    :ivar warehouse: where the tables are instead, as ``s3://bucket/folder``; empty for the folder.
    :ivar catalog: the database of the catalog, as SQLAlchemy's URL ``postgresql+psycopg://user:password@host/database``. It is never shown. Empty for
        the SQLite file ``catalog.db`` in the folder.
    :ivar namespace: the namespace of the tables.
    :ivar properties: further properties of the catalog and of the places it reaches, by pyiceberg's names, such as ``s3.endpoint``.
    """

    folder: Path = field(default=Path("lake"), converter=Path)
    warehouse: str = ""
    catalog: str = field(default="", converter=Secret)
    namespace: str = field(default="fpa", validator=validators.matches_re(r"[a-z_][a-z0-9_]*"))
    properties: Mapping[str, str] = field(factory=dict, repr=False)
