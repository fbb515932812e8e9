"""Read selections in Spark, or in what speaks its API, as ``spark.read.format("fpa")``; needs the extra ``spark``.

Not a plugin of the layer: Spark is the one that loads it. :func:`register` offers it to a session.
"""

from __future__ import annotations

from typing import Any

__all__ = ["register"]


def register(spark: Any) -> None:
    """Offer the format ``fpa`` to a Spark session.

    :raises MissingDependencyError: if pyspark, from version 4.1 on, is not installed.
    """
    from fpa_core.exceptions import MissingDependencyError

    try:
        from fpa_plugins.spark.source import FpaDataSource
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"pyspark", "pandas", "grpc"}:
            raise
        raise MissingDependencyError(
            "the data source 'fpa' needs pyspark 4.1 or newer",
            package="pyspark",
            command="pip install 'financial-portfolio-automation[spark]', or pyspark itself",
        ) from error
    spark.dataSource.register(FpaDataSource)
