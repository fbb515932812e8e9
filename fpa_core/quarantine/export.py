"""Quarantine entries as plain values, and files of them."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from fpa_core.export import Format
from fpa_core.numbers import ns_text
from fpa_core.protocols import Quarantined
from fpa_core.quarantine.replay import values_of

__all__ = ["COLUMNS", "as_dict", "write_entries"]

PAGE = 4_096
"""Entries held in memory at once."""

COLUMNS = (
    "id", "batch", "row", "kind", "symbol", "timestamp", "state", "changed_by", "rules", "messages", "raw",
)  # fmt: skip
"""The columns of CSV and Parquet files."""


def as_dict(record: Quarantined) -> dict[str, Any]:
    """Return an entry as JSON-compatible values, with ``values``: those of its columns that are known."""
    return {
        "id": record.id,
        "batch": record.batch,
        "row": record.row,
        "kind": record.kind,
        "subject": record.subject,
        "ts_ns": record.ts_ns,
        "timestamp": None if record.ts_ns is None else ns_text(record.ts_ns),
        "state": str(record.state),
        "changed_by": record.changed_by,
        "findings": [dict(finding) for finding in record.findings],
        "raw": record.raw,
        "values": values_of(record),
    }


def _row(record: Quarantined) -> list[Any]:
    shown = as_dict(record)
    shown["symbol"] = record.subject
    shown["rules"] = "; ".join(finding["rule"] for finding in record.findings)
    shown["messages"] = "; ".join(finding["message"] for finding in record.findings)
    return [shown[name] for name in COLUMNS]


def write_entries(records: Iterator[Quarantined], stream: BinaryIO, form: Format) -> int:
    """Write entries in a format and return their number."""
    count = 0
    if form == "parquet":
        return _write_parquet(records, stream)
    if form == "csv":
        stream.write((",".join(COLUMNS) + "\n").encode())
    while page := list(itertools.islice(records, PAGE)):
        count += len(page)
        if form == "jsonl":
            stream.writelines((json.dumps(as_dict(each), ensure_ascii=False) + "\n").encode() for each in page)
        else:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(map(_row, page))
            stream.write(text.getvalue().encode())
    return count


def _write_parquet(records: Iterator[Quarantined], stream: BinaryIO) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    integers = {"id", "batch", "row", "changed_by"}
    schema = pa.schema([(name, pa.int64() if name in integers else pa.string()) for name in COLUMNS])
    count = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while page := list(itertools.islice(records, PAGE)):
            count += len(page)
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*map(_row, page), strict=True), schema, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return count
