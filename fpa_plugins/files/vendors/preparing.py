"""Changes of rows for the few formats that no table describes.

Arrow is imported when a function runs, not before: the tables are loaded whenever formats are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, Prepare

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_plugins.files.rows import Rows

__all__ = ["at_the_end", "dates", "fixed_point", "one_series", "securities"]

_UNDEFINED = 2**63 - 1
"""What Databento writes for a price that is not there."""


def fixed_point(*names: str) -> Prepare:
    """Return a function that turns the prices *names* from whole billionths into decimals, unless they have a point."""

    def prepare(rows: Rows, said: Format) -> Rows:
        if said.scale is not None:  # the user knows what they are
            return rows
        cells = list(rows.cells)
        for name in names:
            if name in rows.names:
                index = rows.names.index(name)
                cells[index] = _scaled(cells[index])
        return evolve(rows, cells=cells)

    return prepare


def _scaled(cells: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        digits = pc.if_else(pc.match_substring_regex(cells, r"^\s*-?\d+\s*$"), cells, None)
        if digits.null_count == len(cells) or pc.any(pc.match_substring(cells, ".")).as_py():
            return cells  # written with a point, or not at all
        whole = pc.cast(pc.utf8_trim_whitespace(digits), pa.int64())
        if whole.null_count != pc.sum(pc.equal(pc.utf8_trim_whitespace(pc.fill_null(cells, "")), "")).as_py():
            return cells  # something that is no number: it is set aside when it is read
    elif pa.types.is_integer(cells.type):
        whole = pc.cast(cells, pa.int64())
    else:
        return cells
    whole = pc.if_else(pc.equal(whole, _UNDEFINED), None, whole)
    billionth = pa.scalar(Decimal("1e-9"), pa.decimal128(9, 9))
    return pc.cast(pc.multiply(pc.cast(whole, pa.decimal128(19, 0)), billionth), pa.string())


def at_the_end(milliseconds: int, name: str = "time") -> Prepare:
    """Return a function that adds *milliseconds* to the times *name*: closing quotes stood at the end of their interval."""

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        import pyarrow as pa
        import pyarrow.compute as pc

        index = _index(rows.names, name)
        cells = list(rows.cells)
        texts, times = _whole(cells[index])
        cells[index] = pc.coalesce(pc.cast(pc.add(times, milliseconds), pa.string()), texts)
        return evolve(rows, cells=cells)

    return prepare


def dates(name: str, zone: str) -> Prepare:
    """Return a function that puts the dates in *zone* in the place of the times *name*, in milliseconds since 1970."""

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        import pyarrow as pa
        import pyarrow.compute as pc

        index = _index(rows.names, name)
        cells = list(rows.cells)
        texts, whole = _whole(cells[index])
        times = pc.cast(whole, pa.timestamp("ms", zone))
        cells[index] = pc.coalesce(pc.strftime(times, "%Y-%m-%d"), texts)
        return evolve(rows, cells=cells)

    return prepare


def securities(symbol: str, series: str) -> Prepare:
    """Return a function that puts the series behind the symbol, as ``RELIANCE-N2``, unless it is the share itself (EQ)."""

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        import pyarrow.compute as pc

        place, other = _index(rows.names, symbol), _index(rows.names, series)
        name = pc.utf8_trim_whitespace(rows.cells[place])
        kind = pc.utf8_trim_whitespace(pc.fill_null(rows.cells[other], ""))
        share = pc.or_(pc.equal(kind, "EQ"), pc.equal(kind, ""))
        cells = list(rows.cells)
        cells[place] = pc.if_else(share, name, pc.binary_join_element_wise(name, kind, "-"))
        return evolve(rows, cells=cells)

    return prepare


def one_series(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
    """Name the two columns of a series, whose name is the header of its values.

    :raises DataError: when there are more columns than two.
    """
    import pyarrow as pa

    if len(rows.names) != 2:
        raise DataError(
            f"the file has {len(rows.names) - 1} series: {', '.join(rows.names[1:])}",
            hint="download one series a file",
        )
    name = pa.array([rows.names[1].strip()] * len(rows.positions), pa.string())
    return evolve(rows, names=("date", "value", "series"), cells=[*rows.cells, name])


def _index(names: Sequence[str], name: str) -> int:
    """Return the place of a column: of that very name, else without regard to case, as formats are recognised.

    :raises DataError: when there is none.
    """
    stripped = [each.strip() for each in names]
    for wanted, found in ((name, stripped), (name.lower(), [each.lower() for each in stripped])):
        if wanted in found:
            return found.index(wanted)
    raise DataError(f"there is no column {name!r}", hint="write the header as its vendor does")


def _whole(cells: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return cells as texts, and as whole numbers where they are such of at most 15 digits; the others are for their rows to answer for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from fpa_plugins.files.cells import texts_of

    texts = texts_of(cells)[0]
    plain = pc.match_substring_regex(texts, r"^\d{1,15}$")
    return texts, pc.cast(pc.if_else(plain, texts, None), pa.int64())
