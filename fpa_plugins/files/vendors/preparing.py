"""Changes of rows for formats that a table cannot describe.

Arrow is imported when a function runs, not before: the tables are loaded whenever formats are listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, Prepare
from fpa_plugins.files.vendors.patterns import NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_plugins.files.rows import Rows

__all__ = ["as_traded", "at_the_end", "daily", "dates", "fixed_point", "one_account", "one_series", "securities"]

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
            return cells  # not a number: its row is rejected when it is read
    elif pa.types.is_integer(cells.type):
        whole = pc.cast(cells, pa.int64())
    else:
        return cells
    whole = pc.if_else(pc.equal(whole, _UNDEFINED), None, whole)
    billionth = pa.scalar(Decimal("1e-9"), pa.decimal128(9, 9))
    return pc.cast(pc.multiply(pc.cast(whole, pa.decimal128(19, 0)), billionth), pa.string())


def at_the_end(milliseconds: int) -> Prepare:
    """Return a function that adds *milliseconds* to the column ``time``: closing quotes stood at the end of their interval."""

    def change(times: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.cast(pc.add(times, milliseconds), pa.string())

    return _changed("time", change)


def dates(name: str, zone: str) -> Prepare:
    """Return a function that puts the dates in *zone* in the place of the times *name*, in milliseconds since 1970."""

    def change(times: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.strftime(pc.cast(times, pa.timestamp("ms", zone)), "%Y-%m-%d")

    return _changed(name, change)


def _changed(name: str, change: Callable[[pa.Array], pa.Array]) -> Prepare:
    """Return a function that puts the texts that *change* makes of whole numbers in the place of these, in the column *name*."""

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        import pyarrow.compute as pc

        index = _index(rows.names, name)
        cells = list(rows.cells)
        texts, numbers = _whole(cells[index])
        cells[index] = pc.coalesce(change(numbers), texts)
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


def daily(name: str) -> Prepare:
    """Return a function that asks for the interval where the dates *name* are a week or more apart: the vendor writes weeks and months under the header of days."""

    def prepare(rows: Rows, said: Format) -> Rows:
        names = [each.strip().lower() for each in rows.names]
        if said.interval is not None or name.lower() not in names:
            return rows
        days = sorted(set(_days(rows.cells[names.index(name.lower())], said.day_first)))
        gaps = [(after - before).days for before, after in pairwise(days)]
        if len(gaps) < _FEWEST_GAPS or median(gaps) < _NO_DAYS:
            return rows
        raise DataError(
            f"the dates in {name!r} are {median(gaps):g} days apart, and this header is used for days, weeks and months",
            hint="give the interval: --interval 1w, --interval 1mo, or --interval 1d",
        )

    return prepare


def as_traded(close: str, traded: str, then: Prepare) -> Prepare:
    """Return a function that refuses adjusted prices, whose *close* is not the one that was *traded*, and does *then* with others.

    A user who says which column is the close has chosen, and is not asked.
    """

    def prepare(rows: Rows, said: Format) -> Rows:
        if "close" not in said.columns:
            _check_as_traded(rows, close, traded)
        prepared: Rows = then(rows, said)
        return prepared

    return prepare


def _check_as_traded(rows: Rows, close: str, traded: str) -> None:
    import pyarrow.compute as pc

    ours, other = (_floats(rows.cells[_index(rows.names, name)]) for name in (close, traded))
    far = pc.greater(pc.abs(pc.subtract(ours, other)), pc.multiply(pc.abs(other), _ROUNDING))
    count = pc.sum(far).as_py() or 0
    if count:
        raise DataError(
            f"the prices are adjusted: in {count} rows {close!r} is not {traded!r}, and open, high and low have no such pair",
            hint=f"write the file without adjustment; or take adjusted prices, under an --origin of their own: --column close={close}",
        )


_ROUNDING = 1e-6
"""How far two writings of one price may be apart, as a part of it: single floats have seven digits."""


def _floats(cells: pa.Array) -> pa.Array:
    """Return cells as floats where they are numbers; the others are for their rows to answer for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from fpa_plugins.files.cells import texts_of

    texts = pc.utf8_trim_whitespace(texts_of(cells)[0])
    plain = pc.match_substring_regex(texts, rf"^(?:{NUMBER})$")
    return pc.cast(pc.if_else(plain, texts, None), pa.float64())


_FEWEST_GAPS = 2
_NO_DAYS = 5
"""Days of trading that are five days apart more often than not are no days in a row."""
_MONTHS = ("%b %d, %Y", "%d %b %Y", "%d-%b-%Y")


def _days(cells: pa.Array, day_first: bool | None) -> Iterable[date]:
    """Yield the dates in cells; the order of day and month is given by *day_first*, or by any unambiguous cell."""
    import pyarrow as pa

    from fpa_plugins.files.cells import texts_of

    if pa.types.is_date(cells.type) or pa.types.is_timestamp(cells.type):
        yield from (each for each in cells.cast(pa.date32()).unique().to_pylist() if each is not None)
        return
    texts = [text.strip() for text in texts_of(cells)[0].unique().to_pylist() if text]
    slashed = [match for match in (re.match(r"(\d{1,2})/(\d{1,2})/(\d{4})\b", text) for text in texts) if match]
    if day_first is None:
        day_first = any(int(match[1]) > 12 for match in slashed)
    for match in slashed:
        day, month = (match[1], match[2]) if day_first else (match[2], match[1])
        yield from _day(f"{match[3]}-{month:0>2}-{day:0>2}", "%Y-%m-%d")
    for text in texts:
        if re.match(r"\d{4}-\d{2}-\d{2}", text):
            yield from _day(text[:10], "%Y-%m-%d")
        elif re.fullmatch(r"\d{8}", text):
            yield from _day(text, "%Y%m%d")
        elif re.search("[A-Za-z]", text):
            for form in _MONTHS:
                yield from _day(text, form)


def _day(text: str, form: str) -> Iterable[date]:
    try:
        yield datetime.strptime(text, form).date()  # noqa: DTZ007 - a date alone has no zone
    except ValueError:  # its row answers for it when it is read
        return


def one_account(symbol: str, totals: Sequence[str], renamed: Mapping[str, str]) -> Prepare:
    """Return a function that refuses a file with several accounts one below the other, which a second header or total shows.

    :param symbol: the column that names the security; *totals* what it holds in the last row of an account.
    :param renamed: the names that columns are given, by those that the vendor gave them at another time.
    """

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        import pyarrow.compute as pc

        from fpa_plugins.files.cells import texts_of

        words = pc.utf8_trim_whitespace(texts_of(rows.cells[_index(rows.names, symbol)])[0])
        if (
            pc.any(pc.equal(words, symbol)).as_py()
            or (pc.sum(pc.is_in(words, value_set=_texts(totals))).as_py() or 0) > 1
        ):
            raise DataError(
                "the file has the positions of several accounts, and its rows do not name the account",
                hint="export one account at a time, and give it with --account",
            )
        return evolve(rows, names=tuple(renamed.get(each.strip(), each) for each in rows.names))

    return prepare


def _texts(words: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(words, pa.string())


def one_series(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
    """Name the two columns of a series, whose name is the header of its values.

    :raises DataError: when there are more columns than two.
    """
    import pyarrow as pa

    if len(rows.names) != 2:
        raise DataError(
            f"the file has {len(rows.names) - 1} series: {', '.join(rows.names[1:])}",
            hint="download one series per file",
        )
    name = pa.array([rows.names[1].strip()] * len(rows.positions), pa.string())
    return evolve(rows, names=("date", "value", "series"), cells=[*rows.cells, name])


def _index(names: Sequence[str], name: str) -> int:
    """Return the index of a column: one with exactly this name, else one that differs only in case, as when formats are recognised.

    :raises DataError: when there is none.
    """
    stripped = [each.strip() for each in names]
    for wanted, found in ((name, stripped), (name.lower(), [each.lower() for each in stripped])):
        if wanted in found:
            return found.index(wanted)
    raise DataError(f"no column {name!r}", hint="keep the header of the vendor")


def _whole(cells: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return cells as texts, and as whole numbers where they are such of at most 15 digits; the others are for their rows to answer for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from fpa_plugins.files.cells import texts_of

    texts = texts_of(cells)[0]
    plain = pc.match_substring_regex(texts, r"^\d{1,15}$")
    return texts, pc.cast(pc.if_else(plain, texts, None), pa.int64())
