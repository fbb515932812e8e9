"""The first rows of a selection as an HTML table, which notebooks display."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.display import displayed

if TYPE_CHECKING:
    from fpa_core.store.selection import Selection

__all__ = ["html_preview"]

ROWS = 10


def html_preview(selection: Selection[Any]) -> str:
    """Return a heading and a table of the first rows, exact and escaped; the other rows are not read."""
    limit = selection.query.limit
    asked = ROWS + 1 if limit is None else min(limit, ROWS + 1)
    head = evolve(selection, query=evolve(selection.query, limit=asked))
    rows = [row for batch in head.batches(asked or 1, prices="text") for row in _rows(selection, batch)]
    more = f"the first {ROWS} rows" if len(rows) > ROWS else f"{len(rows)} rows"
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in selection.names)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows[:ROWS])
    title = f"{html.escape(displayed(repr(selection)))}: {more}"
    return f"<table><caption>{title}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _rows(selection: Selection[Any], batch: Any) -> Iterator[tuple[Any, ...]]:
    from fpa_core.arrow.columns import times_as_texts

    by_name = selection.query.kind.by_name
    columns = [
        (times_as_texts(batch.column(name)) if by_name[name].type == "time" else batch.column(name)).to_pylist()
        for name in selection.names
    ]
    return zip(*columns, strict=True)


def _cells(row: Iterable[Any]) -> str:
    texts = ("" if value is None else displayed(str(value)) for value in row)
    return "".join(f"<td>{html.escape(text)}</td>" for text in texts)
