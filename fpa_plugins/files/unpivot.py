"""Tables with a column for each symbol, as yfinance makes them, turned into rows of one symbol each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from fpa_plugins.files.rows import LazyCells, Rows, constant

__all__ = ["SYMBOL", "Wide", "stacked_header", "tuple_names"]

SYMBOL = "Ticker"
"""The name of the column of symbols that is made."""

_TUPLE = re.compile(r"""\(\s*(['"])(?P<first>[^'"]*)\1\s*,\s*(['"])(?P<second>[^'"]*)\3\s*\)""")
_FIELDS = {"open", "high", "low", "close", "adj close", "volume", "dividends", "stock splits", "capital gains"}


@frozen
class Wide:
    """Where the columns of each symbol are.

    :ivar shared: columns that all symbols share, by place, with their names.
    :ivar of: the columns of each symbol, by place, with their names.
    """

    shared: dict[int, str]
    of: dict[str, dict[int, str]]

    def rows(self, rows: Rows) -> Iterator[Rows]:
        """Yield the rows of each symbol, without those in which it has no value."""
        for symbol, places in self.of.items():
            names = (*self.shared.values(), *places.values(), SYMBOL)
            chosen = (*self.shared, *places)
            own = evolve(
                rows, names=tuple(places.values()), cells=[rows.cells[place] for place in places]
            ).without_empty()
            kept = own.positions
            where = {position: index for index, position in enumerate(rows.positions)}
            part = rows if len(kept) == len(rows.positions) else rows.take([where[position] for position in kept])
            yield evolve(
                part,
                names=names,
                cells=_with_symbol(part, chosen, symbol),
                rejects=rows.rejects if symbol == next(iter(self.of)) else (),
                empty=rows.empty if symbol == next(iter(self.of)) else 0,
            )


def _with_symbol(rows: Rows, places: Sequence[int], symbol: str) -> LazyCells:
    count = len(rows.positions)
    return LazyCells(
        len(places) + 1,
        lambda column: constant(symbol, count) if column == len(places) else rows.cells[places[column]],
    )


def tuple_names(names: Sequence[str]) -> Wide | None:
    """Return the layout of columns named by pairs, as a frame with two levels of columns writes them; None where they are not."""
    pairs = [_TUPLE.fullmatch(name) for name in names]
    if not any(pairs):
        return None
    shared: dict[int, str] = {}
    of: dict[str, dict[int, str]] = {}
    for place, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        if pair is None or not pair["second"]:
            shared[place] = name if pair is None else pair["first"]
        elif not pair["first"]:
            shared[place] = pair["second"]
        elif pair["second"].lower() in _FIELDS:  # group_by="ticker"
            of.setdefault(pair["first"], {})[place] = pair["second"]
        else:
            of.setdefault(pair["second"], {})[place] = pair["first"]
    return Wide(shared, of) if of else None


def stacked_header(lines: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], int] | None:
    """Return the names of a stacked header of two or three lines, as pairs, and its number of lines; None if the header is not stacked.

    yfinance writes the fields, then the symbols, then the name of the index.
    """
    if len(lines) < 2:
        return None
    top, second = lines[0], lines[1]
    by_field = sum(cell.strip().lower() in _FIELDS for cell in top) > 1
    by_symbol = sum(cell.strip().lower() in _FIELDS for cell in second) > 1
    if by_field == by_symbol or len(top) != len(second) or second[0].strip().lower() not in {"ticker", "price", ""}:
        return None
    third = lines[2] if len(lines) > 2 else ()
    has_third = bool(third) and len(third) == len(top) and not any(cell.strip() for cell in third[1:])
    index = third[0].strip() if has_third else "Date"
    pairs = [f"({first.strip()!r}, {other.strip()!r})" for first, other in zip(top[1:], second[1:], strict=True)]
    return (index or "Date", *pairs), 3 if has_third else 2
