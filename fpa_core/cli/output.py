"""How commands speak: tables for people, JSON for machines, progress on a terminal and silence in a pipe."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.ingest import Progress
    from fpa_core.records import Kind

__all__ = ["json_option", "note", "print_json", "progress_bar", "table", "text_rows", "when"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
"""The option of every command whose answer a machine may read."""


def print_json(value: Any) -> None:
    """Print *value* as JSON, indented on a terminal and on one line in a pipe."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False, default=str))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "nothing") -> None:
    """Print rows under headings; columns of numbers are flush right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    content = [list(row) for row in rows]
    if not content:
        click.echo(f"{title}: {empty}" if title else empty)
        return
    grid = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for i, name in enumerate(columns):
        numeric = all(isinstance(row[i], (int, float)) or row[i] in (None, "") or _is_number(row[i]) for row in content)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in content:
        grid.add_row(*(Text(_cell(value)) for value in row))
    # A pipe has no width: lines are not folded there. What pads the last column helps nobody.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).lstrip("-").isdigit()


def text_rows(kind: Kind, batch: pa.RecordBatch) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of a batch as the texts a person reads: exact decimals and times."""
    from fpa_core import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    cells = [read.get(c.type, lambda values: values)(batch.column(c.name)).to_pylist() for c in kind.columns]
    return zip(*cells, strict=True)


def note(text: str) -> None:
    """Print a remark on standard error, where it does not mix with data."""
    click.echo(text, err=True)


def when(ns: int | None) -> str:
    """Return a time for people: the exact text, to the second where that is all."""
    from fpa_core.numbers import ns_text

    return "" if ns is None else ns_text(ns)


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show how far a file has been read, while it takes; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _rows, _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=1.0, rows=0)

        def advance(rows: int, share: float | None) -> None:
            bar.update(task, completed=share or 0.0, rows=rows)

        yield advance
