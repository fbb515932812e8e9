"""The data source ``fpa``: the rows of a selection, with filters of symbol and time pushed down, in partitions that workers read by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from attrs import frozen
from pyspark.sql.datasource import DataSource, DataSourceReader, Filter, InputPartition

from fpa_core.arrow.interchange import MICROSECONDS, SCALE, conform, interchange_schema
from fpa_core.config import did_you_mean
from fpa_core.exceptions import DataError
from fpa_core.kinds import KINDS, Kind, kind_of
from fpa_core.layer import open_layer
from fpa_core.store.partitions import Partition
from fpa_plugins.spark.filters import Conditions

__all__ = ["FpaDataSource"]

PARTITIONS = 8
OPTIONS = ("path", "env", "kind", "symbol", "start", "end", "as_known_at", "partitions", "scale")


@frozen
class _Options:
    """What a reading is about; see :class:`FpaDataSource`."""

    kind: Kind
    path: str | None = None
    env: str | None = None
    symbol: str | None = None
    start: str | None = None
    end: str | None = None
    as_known_at: str | None = None
    partitions: int = PARTITIONS
    scale: int = SCALE

    @classmethod
    def of(cls, given: dict[str, str]) -> _Options:
        """Check options as Spark has them.

        :raises DataError: for an unknown option, or one that is missing or invalid.
        """
        unknown = [name for name in given if name.lower() not in OPTIONS]
        if unknown:
            hint = did_you_mean(unknown[0].lower(), OPTIONS) or f"options: {', '.join(OPTIONS)}"
            raise DataError(f"the format 'fpa' has no option {unknown[0]!r}", hint=hint, field=unknown[0])
        options: dict[str, Any] = {name.lower(): value for name, value in given.items()}
        if "kind" not in options:
            kinds = ", ".join(KINDS)
            raise DataError(
                "the format 'fpa' needs the option 'kind'", hint=f'add .option("kind", "trades"); kinds: {kinds}'
            )
        options["kind"] = kind_of(options["kind"])
        for name in ("partitions", "scale"):
            if name in options:
                try:
                    options[name] = int(options[name])
                except ValueError:
                    raise DataError(
                        f"{name}: a whole number is needed, not {options[name]!r}", field=name, value=options[name]
                    ) from None
        return cls(**options)


class FpaDataSource(DataSource):
    """Rows of one kind of a store.

    Options: ``kind``, such as ``trades``; ``path``, what :func:`fpa_core.open` opens, also the argument of ``load``, and ``env``, the overlay;
    ``symbol``, a name or a pattern, ``start``, ``end`` and ``as_known_at`` as in ``select``; ``partitions``, the most there may be; ``scale``, the digits after
    the point of decimal columns. The columns are those of :func:`fpa_core.arrow.interchange.interchange_schema`.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "fpa"

    def schema(self) -> Any:
        """Return the columns and their types."""
        schema = _schema(_Options.of(dict(self.options)))
        if (
            "pysail" in sys.modules
        ):  # Sail wants Arrow's types: it reads Spark's words for an instant as a time without a zone
            return schema
        return ", ".join(f"{field.name} {_spark_type(field.type)}" for field in schema)

    def reader(self, schema: object) -> FpaReader:  # noqa: ARG002  # it is the one returned above
        """Return a reader."""
        return FpaReader(_Options.of(dict(self.options)))


def _schema(options: _Options) -> pa.Schema:
    """Return the schema, with columns that may all be null: Spark takes them so."""
    return pa.schema([field.with_nullable(True) for field in interchange_schema(options.kind, options.scale)])


def _spark_type(arrow: pa.DataType) -> str:
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision}, {arrow.scale})"
    return {pa.string(): "STRING", pa.int64(): "BIGINT", MICROSECONDS: "TIMESTAMP"}[arrow]


class FpaReader(DataSourceReader):
    """One reading: planned where Spark plans, read where its workers run."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._conditions = Conditions(options.kind, any_subject=options.symbol is None)

    def pushFilters(self, filters: list[Filter]) -> Iterator[Filter]:  # noqa: N802  # the name in Spark
        """Take over filters of symbol and time; yield those that Spark has to apply itself."""
        for each in filters:
            if not self._conditions.take(each):
                yield each

    def partitions(self) -> list[InputPartition]:
        """Divide the rows that are left by the filters, as the store is now."""
        options, pushed = self._options, self._conditions
        if pushed.nothing:
            return [InputPartition(None)]
        with open_layer(options.path, env=options.env, lazy=True) as data:
            select: Any = data.store.select  # the columns of the conditions are known only now
            own = select(
                options.kind, options.symbol, start=options.start, end=options.end, as_known_at=options.as_known_at
            ).query
            selection = select(
                options.kind,
                options.symbol if pushed.symbols is None else pushed.symbols,
                start=max((ns for ns in (own.start_ns, pushed.start_ns) if ns is not None), default=None),
                end=min((ns for ns in (own.end_ns, pushed.end_ns) if ns is not None), default=None),
                as_known_at=options.as_known_at,
                **pushed.equal,
            )
            return [InputPartition(part) for part in selection.partitions(options.partitions)] or [InputPartition(None)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition."""
        part: Partition | None = partition.value
        schema = _schema(self._options)
        if part is None:
            yield pa.RecordBatch.from_pylist([], schema=schema)
            return
        for batch in part.read(prices="scaled"):
            yield conform(self._options.kind, batch, schema)
