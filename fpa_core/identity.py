"""Ids for fills and cash flows that have none, so that equal ones are kept as often as the fullest batch holds them.

The k-th of wholly equal rows of a batch gets an id made of their values and k. The same file, read again, gives the same ids, and adds nothing;
two equal rows in one file have two ids, and both are kept. Over any number of batches this leaves the largest number of each row that one batch
held: the multiset rule, kept by a key.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.kinds import Kind, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MARK", "IdMaker"]

MARK = "~"
"""What a made id begins with."""


class IdMaker:
    """Makes the ids of one batch, however many calls it comes in."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def complete(self, kind: Kind, table: pa.Table) -> pa.Table:
        """Return *table* with an id in every row; it is the same table if none was missing."""
        if kind.made_id is None:
            return table
        name = kind.by_field[kind.made_id].name
        place = table.schema.get_field_index(name)
        if place >= 0 and not table.column(place).null_count:
            return table
        import pyarrow as pa

        given = [None] * table.num_rows if place < 0 else table.column(place).to_pylist()
        made = (self._next(text) for text in _texts(kind, table, given))
        ids = pa.array([next(made) if one is None else one for one in given], pa.string())
        return table.append_column(name, ids) if place < 0 else table.set_column(place, name, ids)

    def complete_records(self, records: Sequence[Any]) -> list[Any]:
        """Return records, of any kinds, with an id in each that can have a made one."""
        return [self._complete(record) for record in records]

    def _complete(self, record: Any) -> Any:
        kind = kind_of(record)
        if kind.made_id is None or getattr(record, kind.made_id) is not None:
            return record
        from fpa_core.arrow.conversion import to_table

        (text,) = _texts(kind, to_table(kind, [record]), [None])
        return evolve(record, **{kind.by_field[kind.made_id].name: self._next(text)})

    def _next(self, text: str) -> str:
        digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        self._seen[digest] += 1
        return f"{MARK}{digest}-{self._seen[digest]}"


def _texts(kind: Kind, table: pa.Table, given: Sequence[str | None]) -> list[str]:
    """Return, for each row without an id, a text that only equal rows share: the names and values of all that is present."""
    import pyarrow as pa

    from fpa_core.arrow import columns

    missing = table.filter(pa.array([one is None for one in given]))
    names, cells = [], []
    for column in kind.columns:
        place = table.schema.get_field_index(column.name)
        if place < 0 or column.field == kind.made_id:
            continue
        array = missing.column(place).combine_chunks()
        if column.type == "decimal":
            array = columns.as_texts(array)
        elif column.type == "time":
            array = columns.times_as_ns(array)
        names.append(column.name)
        cells.append(array.to_pylist())
    return [
        json.dumps([[name, value] for name, value in zip(names, row, strict=True) if value is not None])
        for row in zip(*cells, strict=True)
    ]
