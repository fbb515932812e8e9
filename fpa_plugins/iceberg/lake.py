"""The catalog: an SQL database that knows each table's present metadata, through pyiceberg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchPropertyException,
    NoSuchTableError,
    NotInstalledError,
    RESTError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.schema import Schema
from pyiceberg.types import (
    DecimalType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import SQLAlchemyError

from fpa_core.exceptions import DatabaseBusyError, DatabaseError, FpaError
from fpa_plugins.iceberg.table import IcebergTable

if TYPE_CHECKING:
    from fpa_plugins.iceberg.options import IcebergOptions

__all__ = ["IcebergLake"]

_FAILURES = (NoSuchPropertyException, NotInstalledError, RESTError)

PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "commit.retry.num-retries": "0",  # a commit is for the version it was planned on
}


class IcebergLake:
    """See :class:`fpa_core.protocols.Lake`.

    :raises DatabaseError: if the catalog cannot be opened.
    """

    def __init__(self, options: IcebergOptions) -> None:
        self._namespace = options.namespace
        warehouse, catalog = options.warehouse, str(options.catalog)
        if not warehouse:
            folder = options.folder.expanduser().absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseError(
                    f"{folder} cannot be made: {error.strerror or error}", path=str(folder), operation="publish"
                ) from error
            catalog = catalog or f"sqlite:///{folder / 'catalog.db'}"
            warehouse = folder.as_uri()
        elif not catalog:
            raise DatabaseError(
                f"the warehouse {warehouse} needs a catalog",
                hint='give one beside it: catalog = "${CATALOG_URL}"',
                operation="publish",
            )
        self._where = warehouse
        with self.translated("open the catalog"):
            self._catalog = SqlCatalog("fpa", uri=catalog, warehouse=warehouse, **dict(options.properties))
            with contextlib.suppress(NamespaceAlreadyExistsError):
                self._catalog.create_namespace(self._namespace)

    @contextlib.contextmanager
    def translated(self, operation: str) -> Iterator[None]:
        """Raise errors of pyiceberg and of the catalog as ours; a URL with a password is in none of them."""
        try:
            yield
        except (CommitFailedException, ValidationException) as error:
            raise DatabaseBusyError(
                f"{self._where}: another program published to the table at the same time",
                hint="run it again; nothing was published, and what was written is used",
                path=self._where,
                operation=operation,
            ) from error
        except SQLAlchemyError as error:
            # The text of SQLAlchemy's own error has the statement; the driver's has what matters.
            problem = str(getattr(error, "orig", None) or type(error).__name__)
            raise DatabaseError(
                f"{self._where}: could not {operation}: {problem}", path=self._where, operation=operation
            ) from None
        except FpaError:
            raise
        except (*_FAILURES, OSError, ValueError, pa.ArrowException) as error:
            raise DatabaseError(
                f"{self._where}: could not {operation}: {error}", path=self._where, operation=operation
            ) from error

    def has(self, name: str) -> bool:
        """Return whether there is a table."""
        with self.translated("look for a table"):
            return bool(self._catalog.table_exists((self._namespace, name)))

    def table(self, name: str, schema: pa.Schema) -> IcebergTable:
        """Return a table, which is made if it does not exist."""
        identifier = (self._namespace, name)
        with self.translated("open a table"):
            try:
                table = self._catalog.load_table(identifier)
            except NoSuchTableError:
                try:
                    table = self._catalog.create_table(identifier, iceberg_schema(schema), properties=PROPERTIES)
                except TableAlreadyExistsError:  # another program was faster
                    table = self._catalog.load_table(identifier)
            return IcebergTable(self, table, f"{self._namespace}.{name}")

    def close(self) -> None:
        """Release the connections of the catalog."""
        self._catalog.close()


def iceberg_schema(schema: pa.Schema) -> Schema:
    """Return an Arrow schema as one of Iceberg, with ids in the order of the columns."""
    fields = [
        NestedField(number, own.name, _type(own.type), required=not own.nullable)
        for number, own in enumerate(schema, 1)
    ]
    return Schema(*fields)


def _type(arrow: pa.DataType) -> IcebergType:
    if pa.types.is_decimal(arrow):
        return DecimalType(arrow.precision, arrow.scale)
    if pa.types.is_timestamp(arrow):
        return TimestamptzType()
    return LongType() if pa.types.is_int64(arrow) else StringType()
