"""Frames of Arrow tables. Frames are for calculating, so their numbers are floats unless something else is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import pyarrow as pa

from fpa_core.arrow import decimals
from fpa_core.exceptions import DataError
from fpa_core.packages import needs

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["Numeric", "check_numeric", "to_pandas", "to_polars", "with_floats"]

Numeric: TypeAlias = Literal["float", "decimal", "arrow"]
"""What decimals are in a frame. ``float``: the nearest 64-bit float of each, which every function of a frame takes. ``decimal``: exact; in pandas
objects of ``decimal.Decimal``, in polars its own decimals. ``arrow``: exact; in pandas all columns are backed by Arrow, in polars as ``decimal``."""


def check_numeric(numeric: str) -> None:
    """Check that *numeric* is a known form.

    :raises DataError: if it is unknown.
    """
    if numeric not in get_args(Numeric):
        forms = ", ".join(get_args(Numeric))
        raise DataError(f"numeric: unknown form {numeric!r}; one of: {forms}", field="numeric", value=numeric)


def with_floats(table: pa.Table) -> pa.Table:
    """Return a table with the nearest float in place of each decimal."""
    for place, own in enumerate(table.schema):
        if pa.types.is_decimal(own.type):
            chunks = [decimals.floats(chunk) for chunk in table.column(place).chunks]
            table = table.set_column(place, own.name, pa.chunked_array(chunks, pa.float64()))
    return table


def to_pandas(table: pa.Table, numeric: Numeric = "float") -> pd.DataFrame:
    """Return a pandas frame.

    :raises DataError: if *numeric* is unknown.
    :raises MissingDependencyError: when pandas is not installed.
    """
    check_numeric(numeric)
    with needs("pandas", "to_pandas()", extra="pandas"):
        import pandas as pd
    if numeric == "arrow":
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    return (with_floats(table) if numeric == "float" else table).to_pandas()


def to_polars(table: pa.Table, numeric: Numeric = "float") -> pl.DataFrame:
    """Return a polars frame.

    :raises DataError: if *numeric* is unknown.
    :raises MissingDependencyError: when polars is not installed.
    """
    check_numeric(numeric)
    with needs("polars", "to_polars()", extra="polars"):
        import polars as pl
    frame = pl.from_arrow(with_floats(table) if numeric == "float" else table)
    assert isinstance(frame, pl.DataFrame)
    return frame
