"""Describe what the reader sees in a file, for people and as a table of ``fpa.toml``."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fpa_core.arrow import columns
from fpa_core.protocols import Chunk, Sniffed
from fpa_plugins.files.evidence import shown_kind
from fpa_plugins.files.layout import Layout
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.vocabulary import squeezed

if TYPE_CHECKING:
    from fpa_plugins.files.tables import Table

__all__ = ["described", "toml_of"]

TAIL = 16 * 1024
"""Bytes at the end of a text that are looked at."""

FIRST = 3
"""Records and refused rows that are shown."""


def described(
    table: Table,
    rows: Rows | None,
    layout: Layout | None,
    chunk: Chunk | None,
    *,
    problem: str | None = None,
    hint: str | None = None,
) -> Sniffed:
    """Return what is known of a table that was looked at."""
    dialect = table.dialect
    known: dict[str, Any] = {
        "name": table.name,
        "container": table.container,
        "form": table.kind,
        "encoding": table.encoding,
        "delimiter": None if dialect is None else dialect.delimiter,
        "header": None if dialect is None else dialect.has_header,
        "preamble": () if dialect is None else dialect.preamble,
        "last_line": None if dialect is None else _last_line(table, len(dialect.names), dialect.delimiter),
        "columns": () if rows is None else rows.names,
        "problem": problem,
        "hint": hint,
    }
    if layout is None or chunk is None:
        return Sniffed(**known)
    kind = layout.kind
    fields = {
        name: (" + ".join(layout.names[place] for place in places), _written(layout, name))
        for name, places in layout.places.items()
    }
    fills = {
        name: str(value) for name, value in layout.fills.items() if name not in layout.places and value is not None
    }
    return Sniffed(
        **known,
        format=layout.format_name,
        kind=kind.name,
        why=f"the format {layout.format_name}" if layout.format_name else shown_kind(kind),
        fields=fields,
        fills=fills,
        ignored=layout.ignored,
        records=tuple(_records(layout, chunk)),
        rejects=tuple((reject.row, reject.problem) for reject in chunk.rejects[:FIRST]),
        toml=toml_of(layout, dialect_delimiter=None if dialect is None else dialect.delimiter),
    )


def _last_line(table: Table, width: int, delimiter: str) -> str | None:
    """Return the last line of a text that is not packed, where it has other cells than the rows: a total, or a word of the vendor's."""
    if table.path is None:
        return None
    with table.path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL, 0))
        end = file.read().decode(table.encoding or "utf-8", "replace")
    lines = [line for line in end.splitlines()[1 if size > TAIL else 0 :] if line.strip()]
    if not lines or '"' in lines[-1].replace('""', "").removeprefix('"').removesuffix('"'):
        return None  # a quote may have begun above
    cells = next(csv.reader([lines[-1]], delimiter=delimiter), [])
    return lines[-1] if len(cells) != width and any(cell.strip() for cell in cells) else None


def _written(layout: Layout, name: str) -> str:
    """Return how the values of a field are written, in words."""
    column = layout.kind.by_name[name]
    if column.type == "time":
        return layout.times[name].words.removeprefix("times are ")
    if column.type == "decimal":
        mark = "decimal comma" if layout.numbers.decimal == "," else "decimal"
        return (
            f"{mark}, x {layout.form.scale}"
            if layout.scale is not None and name in {"open", "high", "low", "close", "vwap", "price", "bid", "ask"}
            else mark
        )
    return "whole number" if column.type == "integer" else "text"


def _records(layout: Layout, chunk: Chunk) -> list[dict[str, str]]:
    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    part = chunk.table.slice(0, FIRST)
    texts = {
        column.name: read.get(column.type, _as_text)(part.column(column.name).combine_chunks()).to_pylist()
        for column in layout.kind.columns
    }
    return [
        {name: values[row] for name, values in texts.items() if values[row] is not None} for row in range(part.num_rows)
    ]


def _as_text(array: pa.Array) -> pa.Array:
    return array.cast(pa.string())


def toml_of(layout: Layout, *, dialect_delimiter: str | None) -> str:
    """Return the table ``[formats.NAME]`` that reads files as this one is read."""
    form, style = layout.form, layout.times.get("timestamp")
    said: dict[str, object] = {"kind": layout.kind.name}
    if dialect_delimiter != ",":
        said["delimiter"] = dialect_delimiter
    for key in ("symbol", "interval", "account", "tz", "scale", "encoding", "comment", "time_format"):
        said[key] = getattr(form, key)
    said["time_unit"] = style.unit if style is not None and style.form == "epoch" else None
    said["decimal"] = None if layout.numbers.decimal == "." else layout.numbers.decimal
    said |= {key: getattr(form, key) or None for key in ("skip", "footer")} | {"names": list(form.names) or None}
    lines = ["[formats.mine]", *(f"{key} = {_toml(value)}" for key, value in said.items() if value is not None)]
    named = {name: [layout.names[place] for place in places] for name, places in layout.places.items()}
    columns_said = [
        f"{name} = {_toml(found[0] if len(found) == 1 else found)}"
        for name, found in named.items()
        if len(found) > 1 or squeezed(found[0]) != squeezed(name)
    ]
    if columns_said:
        lines += ["", "[formats.mine.columns]", *columns_said]
    for field, words in form.values.items():
        pairs = [f"{_toml(word)} = {_toml(ours)}" for word, ours in words.items()]
        lines += ["", f"[formats.mine.values.{field}]", *pairs]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Return a text, number or list as TOML; JSON's form of these is TOML's."""
    return json.dumps(value, ensure_ascii=False)
