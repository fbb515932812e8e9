"""Rows as an HTML table, which notebooks display."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fpa_core.arrow.columns import times_as_texts
from fpa_core.display import displayed
from fpa_core.kinds import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PREVIEWED", "html_preview"]

PREVIEWED = 10
"""Rows of a preview."""


def html_preview(title: str, kind: Kind, names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
    """Return a table of the first rows, exact and escaped.

    :param names: the columns of *batches*, whose decimals are texts; a row more than :data:`PREVIEWED` tells that there are others.
    """
    rows = list(itertools.islice((row for batch in batches for row in _rows(kind, names, batch)), PREVIEWED + 1))
    caption = f"{title}: the first {PREVIEWED} rows" if len(rows) > PREVIEWED else f"{title}: {len(rows)} rows"
    heads = "".join(f"<th>{_escaped(name)}</th>" for name in names)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows[:PREVIEWED])
    return f"<table><caption>{_escaped(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _rows(kind: Kind, names: Sequence[str], batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    columns = [
        (times_as_texts(batch.column(name)) if kind.by_name[name].type == "time" else batch.column(name)).to_pylist()
        for name in names
    ]
    return zip(*columns, strict=True)


def _cells(row: Iterable[Any]) -> str:
    return "".join(f"<td>{'' if value is None else _escaped(str(value))}</td>" for value in row)


def _escaped(text: str) -> str:
    return html.escape(displayed(text))
