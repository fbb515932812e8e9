"""Tables on terminals and in pipes: they fit the terminal, never break a number, and long ones are printed as the rows come."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click
from attrs import define

from fpa_core.cli.output import echo, note, say, standard_output, style, writing
from fpa_core.display import displayed

__all__ = ["table", "wide_option"]

SAMPLE = 500
"""The rows that are looked at for the widths of the columns; those that follow are printed as they come."""

LEAST_WIDTH = 12
"""The width down to which texts are shortened before columns are left out."""

GAP = "  "
_WIDE = "fpa.wide"
_NUMBER = re.compile(r"-?[\d,]*\.?\d+(e[+-]?\d+)?%?", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?")


def _set_wide(context: click.Context, _: click.Parameter, value: bool) -> None:  # click calls it so
    context.meta[_WIDE] = value


wide_option = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    callback=_set_wide,
    help="Show all columns at their full width, even if lines are wider than the terminal.",
)
"""The option of every command with a table that may be wider than a terminal."""


def table(
    title: str,
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    empty: str = "nothing",
    optional: Sequence[int] = (),
) -> int:
    """Print rows under headings and return their number; columns of numbers are flush right.

    On a terminal, texts are shortened and, if that is not enough, the last columns are left out, with a note; a single row is shown as one
    line for each value instead. In pipes, and with ``--wide``, lines are as long as they have to be.

    :param empty: what is printed if there are no rows.
    :param optional: the columns that are left out if no row has a value there; only of tables that are short enough to know.
    """
    rest = iter(rows)
    sample = [[_text(value) for value in row] for row in itertools.islice(rest, SAMPLE)]
    if not sample:
        say(f"{title}: {empty}" if title else empty)
        return 0
    following = next(rest, None)
    used = [i for i in range(len(names)) if following is not None or i not in optional or any(row[i] for row in sample)]
    columns = [_Column.of(i, displayed(names[i]), [row[i] for row in sample]) for i in used]
    hidden: list[str] = []
    if (limit := _limit()) is not None and _width(columns) > limit:
        if len(sample) == 1 and following is None:
            return _record(title, columns, sample[0])
        hidden = _fit(columns, limit)
    later = () if following is None else itertools.chain([following], rest)
    count = len(sample)
    with writing():
        if title:
            echo(style(displayed(title), bold=True))
        echo(style(_line(columns, [column.name for column in columns]), bold=True))
        echo("\n".join(_line(columns, [row[column.place] for column in columns]) for row in sample))
        for block in _blocks(later):
            count += len(block)
            echo("\n".join(_line(columns, [_text(row[column.place]) for column in columns]) for row in block))
    if hidden:
        note(f"columns not shown: {', '.join(hidden)}; --wide shows them")
    return count


@define
class _Column:
    """A column as it is printed.

    :ivar place: its position in the rows.
    :ivar width: in cells of the terminal.
    :ivar right: whether it is flush right.
    :ivar fixed: whether its values are numbers or times, which are not shortened.
    """

    place: int
    name: str
    width: int
    right: bool
    fixed: bool

    @classmethod
    def of(cls, place: int, name: str, values: Sequence[str]) -> _Column:
        """Return a column that is as wide as its widest value."""
        numeric = all(not value or _NUMBER.fullmatch(value) for value in values)
        fixed = numeric or all(not value or _TIME.fullmatch(value) for value in values)
        return cls(place, name, max(map(_cells, [name, *values])), numeric, fixed)


def _limit() -> int | None:
    """Return how many cells a line may have; None without a limit."""
    context = click.get_current_context(silent=True)
    if not _is_terminal() or (context is not None and context.meta.get(_WIDE)):
        return None
    return shutil.get_terminal_size().columns


def _is_terminal() -> bool:
    return standard_output().isatty()


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _fit(columns: list[_Column], limit: int) -> list[str]:
    """Shorten the columns of texts but the first, then leave out columns from the end; return the names of these."""
    hidden: list[str] = []
    full = {column.place: column.width for column in columns}
    while True:
        texts = [column for column in columns[1:] if not column.fixed]
        longest = max((full[column.place] for column in texts), default=LEAST_WIDTH)
        # The longest texts lose most: all are cut at one width, the largest that fits.
        for width in range(min(longest, limit), LEAST_WIDTH - 1, -1):
            for column in texts:
                column.width = min(full[column.place], width)
            if _width(columns) <= limit:
                return hidden[::-1]
        if len(columns) == 1:
            columns[0].width = limit
            return hidden[::-1]
        hidden.append(columns.pop().name)


def _record(title: str, columns: Sequence[_Column], row: Sequence[str]) -> int:
    """Print one row as a line for each value."""
    width = max(_cells(column.name) for column in columns)
    with writing():
        if title:
            echo(style(displayed(title), bold=True))
        for column in columns:
            echo(f"{style(_padded(column.name, width), bold=True)}{GAP}{row[column.place]}".rstrip())
    return 1


def _line(columns: Sequence[_Column], values: Sequence[str]) -> str:
    cells = [
        _padded(value if column.fixed else _shortened(value, column.width), column.width, right=column.right)
        for column, value in zip(columns, values, strict=True)
    ]
    return GAP.join(cells).rstrip(" ")


def _blocks(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    remaining = iter(rows)
    while block := list(itertools.islice(remaining, SAMPLE)):
        yield block


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else displayed(str(value))


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - _cells(text))
    return space + text if right else text + space


def _shortened(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    kept = text[: width - 1]
    while _cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"
